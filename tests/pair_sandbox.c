/* SPDX-License-Identifier: MIT */
/* Clients in sandboxes, of other users, and on restricted kernels. A separate program (visitor.c) calls an unlocked and
 * a locked service from there, tries to register and to unlock, and prints the results. */
static int fail_futex(long number);
#define LM_TEST_SYSCALL fault_of
int fault_of(long number);

#include "others.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char OPEN[] = "test.open", SHUT[] = "test.shut";
static char runtime[512], visitor[512];
static bool futex_is_forbidden;

int fault_of(long number)
{
    return fail_futex(number);
}

static int fail_futex(long number)
{
    return futex_is_forbidden && number == SYS_futex ? EPERM : 0;
}

/* --- The services, outside --- */

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    LMSender sender = {0, 0, 0};
    char text[32];
    (void)port, (void)size, (void)info;
    assert_int_equal(LMMessageGetSender(message, &sender), 0);
    int length = snprintf(text, sizeof text, "user %u", (unsigned)sender.uid);
    (void)LMSendReply(message->head.msgh_remote_port, text, (uint32_t)length);
}

static CFMachPortRef register_one(const char *name)
{
    mach_port_t bootstrap;
    CFMachPortRef port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)answer, NULL, NULL);
    task_get_bootstrap_port(mach_task_self(), &bootstrap);
    assert_int_equal(rocketbootstrap_register(bootstrap, name, CFMachPortGetPort(port)), 0);
    CFRunLoopSourceRef source = CFMachPortCreateRunLoopSource(kCFAllocatorDefault, port, 0);
    CFRunLoopAddSource(CFRunLoopGetCurrent(), source, kCFRunLoopCommonModes);
    CFRelease(source);
    return port;
}

/* Runs both services as the user that `info` points to. */
static void serve_both(int ready, void *info)
{
    uid_t user = *(const uid_t *)info;
    if (user != 0)
        th_become(user);
    register_one(OPEN);
    register_one(SHUT);
    assert_int_equal(rocketbootstrap_unlock(OPEN), 0);
    th_branch_ready(ready);
    CFRunLoopRun();
}

static void prepare(void)
{
    th_find_program("visitor", visitor, sizeof visitor);
    th_hide_run();
}

/* Makes a runtime directory of the user, at a place where no third user can have put it, and starts the services; the
 * directories above let every user through. */
static pid_t open_doors(uid_t user)
{
    prepare();
    snprintf(runtime, sizeof runtime, "/run/doors");
    assert_int_equal(mkdir(runtime, 0755), 0);
    assert_int_equal(chown(runtime, user, user), 0);
    assert_int_equal(setenv("LM_RUNTIME_DIR", runtime, 1), 0);
    return th_branch(serve_both, &user);
}

/* --- Visits --- */

enum { WORDS_MAX = 48 };

struct visit {
    const char *words[WORDS_MAX];
    unsigned count;
};

static void add(struct visit *visit, const char *const *words)
{
    for (; *words; words++) {
        assert_true(visit->count < WORDS_MAX - 1);
        visit->words[visit->count++] = *words;
    }
}
#define ADD(visit, ...) add(visit, (const char *const[]){__VA_ARGS__, NULL})

/* Runs the visitor with the words; its output must be `expected`. */
static void expect(const struct visit *visit, const char *expected)
{
    static struct th_output output;
    th_execute(&output, visit->words);
    if (!WIFEXITED(output.status) || WEXITSTATUS(output.status) != 0 || strcmp(output.text, expected) != 0)
        fail_msg("%s ...: status %#x, says:\n%s\ninstead of:\n%s", visit->words[0], (unsigned)output.status,
                 output.text, expected);
}

static void add_deeds(struct visit *visit)
{
    ADD(visit, "call:test.open", "send:test.open", "call:test.shut", "register:test.mine", "unlock:test.open",
        "unlock:test.shut", "lock:test.open", "call:test.open");
}

/* Adds bubblewrap with only the visitor and the unlocked folder, read-only: no /proc, no libraries, no network. */
static void add_bwrap(struct visit *visit, char *folder, size_t size)
{
    snprintf(folder, size, "%s/unlocked", runtime);
    ADD(visit, "bwrap", "--unshare-all", "--die-with-parent", "--clearenv", "--setenv", "LM_RUNTIME_DIR", runtime,
        "--ro-bind", visitor, "/visitor", "--ro-bind", folder, folder);
}

/* The outside must be the same after a visit as before. */
static void check_untouched(void)
{
    char path[600];
    struct stat status;
    snprintf(path, sizeof path, "%s/unlocked/test.open", runtime);
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    snprintf(path, sizeof path, "%s/unlocked/test.shut", runtime);
    assert_int_equal(lstat(path, &status), -1);
    snprintf(path, sizeof path, "%s/locked/test.mine", runtime);
    assert_int_equal(lstat(path, &status), -1);
}

/* The locked service cannot be seen there, so it is unknown; every change of the registry is refused. */
static void visit_by_bwrap(const char *user, const char *option, const char *value)
{
    char folder[600], expected[200];
    struct visit visit = {{NULL}, 0};
    add_bwrap(&visit, folder, sizeof folder);
    if (option)
        ADD(&visit, option, value);
    ADD(&visit, "/visitor");
    add_deeds(&visit);
    snprintf(expected, sizeof expected, "user %s\n0\n1102\n1100\n1100\n1100\n1100\nuser %s\n", user, user);
    expect(&visit, expected);
    check_untouched();
}

static void visit_as_somebody_else(void)
{
    th_become(OTHER_USER);
    visit_by_bwrap("4242", NULL, NULL);
    visit_by_bwrap("4242", "--proc", "/proc");
    visit_by_bwrap("4242", "--uid", "0"); /* believes that it is root */
}

/* Intent: a sandbox with only the unlocked folder reaches the unlocked services, and nothing else. */
static void bubblewrap_lets_in_to_what_is_unlocked(void)
{
    pid_t services = open_doors(0);
    visit_by_bwrap("0", NULL, NULL);
    visit_by_bwrap("0", "--proc", "/proc");
    visit_by_bwrap("0", "--uid", "1234");
    check_untouched();
    th_branch_end(services);
}

/* Intent: the same if another user creates the sandbox, who cannot even create a file outside. */
static void bubblewrap_of_another_user_does_too(void)
{
    pid_t services = open_doors(0);
    th_do_as(0, visit_as_somebody_else);
    check_untouched();
    th_branch_end(services);
}

/* Intent: the same for services of the sandbox's own user, the usual case. */
static void bubblewrap_of_the_services_user_does_too(void)
{
    pid_t services = open_doors(OTHER_USER);
    th_do_as(0, visit_as_somebody_else);
    check_untouched();
    th_branch_end(services);
}

static void visit_plainly(void)
{
    struct visit visit = {{NULL}, 0};
    th_become(THIRD_USER);
    ADD(&visit, visitor);
    add_deeds(&visit);
    expect(&visit, "user 4343\n0\n1100\n1100\n1100\n1100\n1100\nuser 4343\n");
}

/* Intent: another user, without a sandbox: the kernel refuses access to locked services. Services of root, and of a
 * user. */
static void another_user_reaches_what_is_unlocked(void)
{
    pid_t services = open_doors(OTHER_USER);
    th_do_as(0, visit_plainly);
    check_untouched();
    th_branch_end(services);
}

static void visit_as_false_root(void)
{
    struct visit visit = {{NULL}, 0};
    th_become(THIRD_USER);
    ADD(&visit, "unshare", "--user", "--map-root-user", visitor, "who");
    add_deeds(&visit);
    expect(&visit, "0\nuser 4343\n0\n1100\n1100\n1100\n1100\n1100\nuser 4343\n");
}

/* Intent: a process that is root only in its user namespace neither gains nor loses anything by that. */
static void a_false_root_is_the_user_that_he_is(void)
{
    pid_t services = open_doors(OTHER_USER);
    th_do_as(0, visit_as_false_root);
    check_untouched();
    th_branch_end(services);
}

static void serve_root_and_visit(uid_t user)
{
    pid_t services = open_doors(user);
    th_do_as(0, visit_as_false_root);
    th_branch_end(services);
}

/* Intent: the same if the services' user is the real root, who has no number in that namespace. */
static void a_false_root_finds_the_true_roots_services(void)
{
    serve_root_and_visit(0);
}

/* --- The usual directories --- */

static void visit_system_as_false_root(void)
{
    th_forget_runtime_directory();
    visit_as_false_root();
}

/* Intent: the system's services are found in their usual place from a namespace in which their owner root has no
 * number. */
static void a_false_root_finds_the_system(void)
{
    uid_t root = 0;
    prepare();
    th_forget_runtime_directory();
    pid_t services = th_branch(serve_both, &root);
    th_do_as(0, visit_system_as_false_root);
    th_branch_end(services);
}

static const char *session; /* NULL: none, so that the system's directory is used */

/* The lines for bubblewrap in docs/SANDBOX.md, without LM_RUNTIME_DIR. */
static void visit_by_the_documented_line(void)
{
    char folder[600];
    struct visit visit = {{NULL}, 0};
    th_become(OTHER_USER);
    snprintf(folder, sizeof folder, "%s/lightmessaging/unlocked", session ? session : "/run");
    ADD(&visit, "bwrap", "--unshare-all", "--die-with-parent", "--clearenv", "--ro-bind", visitor, "/visitor",
        "--ro-bind", folder, folder);
    if (session)
        ADD(&visit, "--setenv", "XDG_RUNTIME_DIR", session);
    ADD(&visit, "/visitor");
    add_deeds(&visit);
    expect(&visit, "user 4242\n0\n1102\n1100\n1100\n1100\n1100\nuser 4242\n");
}

/* Intent: the lines in the documentation admit bubblewrap to a session's services, and to the system's. */
static void the_documented_lines_let_in(void)
{
    uid_t users[] = {OTHER_USER, 0};
    prepare();
    th_forget_runtime_directory();
    assert_int_equal(mkdir("/run/session", 0700), 0);
    assert_int_equal(chown("/run/session", OTHER_USER, OTHER_USER), 0);
    for (int i = 0; i < 2; i++) {
        session = i == 0 ? "/run/session" : NULL;
        if (session)
            setenv("XDG_RUNTIME_DIR", session, 1);
        pid_t services = th_branch(serve_both, &users[i]);
        unsetenv("XDG_RUNTIME_DIR");
        th_do_as(0, visit_by_the_documented_line);
        th_branch_end(services);
    }
}

static void visit_without_number(void)
{
    struct visit visit = {{NULL}, 0};
    th_become(OTHER_USER);
    ADD(&visit, "unshare", "--user", getenv("LM_TEST_PROGRAM"), "who", "send:test.open", "register:test.open");
    expect(&visit, "65534\n1100\n1100\n");
}

/* Intent: users without a number cannot be told apart. A third user makes the directory of a user without a number, and
 * listens there; such a user does not trust it. */
static void the_numberless_are_not_each_other(void)
{
    static const char path[] = "/tmp/lightmessaging-65534";
    char place[100], program[40];
    prepare();
    th_forget_runtime_directory();
    int opened = open(visitor, O_RDONLY); /* for the executed program, too: it may be in /tmp */
    th_hide_tmp_and_run();
    snprintf(program, sizeof program, "/proc/self/fd/%d", opened);
    for (int i = 0; i < 2; i++) {
        snprintf(place, sizeof place, "%s%s", path, i ? "/locked" : "");
        assert_int_equal(mkdir(place, 0755), 0);
        assert_int_equal(chown(place, THIRD_USER, THIRD_USER), 0);
    }
    snprintf(place, sizeof place, "%s/locked/%s", path, OPEN);
    pid_t decoy = th_decoy(place, 0, THIRD_USER);
    setenv("LM_TEST_PROGRAM", program, 1);
    th_do_as(0, visit_without_number);
    assert_int_equal(th_get(0), 0);
    th_branch_end(decoy);
    close(opened);
}

/* --- Restricted systems --- */

/* Intent: without /proc a path of more than 107 bytes cannot be connected to, and the error says so; with /proc it
 * can. */
static void long_names_need_proc(void)
{
    char folder[600], name[128], deed[140];
    uid_t root = 0;
    pid_t services = open_doors(root);
    memset(name, 'n', 127);
    name[127] = '\0';
    CFMachPortRef port = register_one(name);
    assert_int_equal(rocketbootstrap_unlock(name), 0);
    snprintf(deed, sizeof deed, "send:%s", name);
    for (int with_proc = 0; with_proc < 2; with_proc++) {
        struct visit visit = {{NULL}, 0};
        add_bwrap(&visit, folder, sizeof folder);
        if (with_proc)
            ADD(&visit, "--proc", "/proc");
        ADD(&visit, "/visitor", deed);
        expect(&visit, with_proc ? "0\n" : "4\n");
    }
    CFMachPortInvalidate(port);
    CFRelease(port);
    th_branch_end(services);
    _exit(0); /* the loop's descriptors */
}

/* Visits under a seccomp filter that forbids the call, as a client's sandbox may have it. */
static void visit_with_filter(long number, const char *expected)
{
    struct visit visit = {{NULL}, 0};
    char deed[32];
    snprintf(deed, sizeof deed, "forbid:%ld", number);
    ADD(&visit, visitor, deed, "call:test.open", "send:test.open", "call:test.shut");
    expect(&visit, expected);
}

/*
 * Intent: a forbidden call that the library needs gives an error that says so; other forbidden calls are replaced.
 *   no memfd_create: not permitted       no futex, inotify, getrandom, eventfd, fcntl's locks, madvise: as ever
 */
static void filtered_calls_are_replaced_or_told(void)
{
    const long others[] = {SYS_futex,         SYS_inotify_init1, SYS_getrandom, SYS_eventfd2, SYS_madvise,
                           SYS_epoll_create1, SYS_sched_yield,   SYS_renameat2, SYS_ppoll};
    pid_t services = open_doors(0);
    visit_with_filter(SYS_memfd_create, "forbidden\n1100\n1100\n1100\n");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        visit_with_filter(others[i], "forbidden\nuser 0\n0\nuser 0\n");
    th_branch_end(services);
}

static void *call_often(void *connection)
{
    for (unsigned i = 0; i < th_rounds(500); i++)
        th_check_echo(connection);
    return NULL;
}

/* Intent: without futexes, threads that wait for each other's replies poll, and all get theirs. */
static void threads_get_by_without_futexes(void)
{
    pid_t service = th_serve("test.futex", th_echo);
    LMConnection connection = th_connection("test.futex");
    pthread_t threads[6];
    futex_is_forbidden = true;
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &connection), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    futex_is_forbidden = false;
    th_close(&connection);
    th_stop(service);
}

/* Intent: the sandbox really is one; otherwise the tests above would mean nothing. */
static void the_sandbox_is_one(void)
{
    char folder[600];
    struct visit visit = {{NULL}, 0};
    pid_t services = open_doors(0);
    add_bwrap(&visit, folder, sizeof folder);
    char outside[640], inside[640];
    snprintf(outside, sizeof outside, "try:%s/locked", runtime);
    snprintf(inside, sizeof inside, "try:%s/test.open", folder);
    ADD(&visit, "/visitor", inside, outside, "try:/proc", "try:/usr", "try:/tmp");
    expect(&visit, "0\n2\n2\n2\n2\n");
    th_branch_end(services);
}

/* Returns which of the tools work for that user. */
static bool can(const char *const *words, uid_t user)
{
    static struct th_output output;
    int status;
    fflush(NULL);
    pid_t process = fork();
    if (process == 0) {
        if (user)
            th_become(user);
        th_execute(&output, words);
        if (output.status != 0)
            fprintf(stderr, "%s: %s\n", words[0], output.text);
        _exit(output.status != 0);
    }
    return waitpid(process, &status, 0) == process && status == 0;
}

int main(void)
{
    const char *const bwrap[] = {"bwrap", "--unshare-all", "--ro-bind", "/", "/", "true", NULL};
    const char *const namespace[] = {"unshare", "--user", "--map-root-user", "true", NULL};
    if (!th_is_root())
        return TH_SKIPPED;
    if (!can(bwrap, 0) || !can(bwrap, OTHER_USER) || !can(namespace, OTHER_USER)) {
        fprintf(stderr, "skipped: bubblewrap or user namespaces are missing, or not allowed here\n");
        return TH_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        TH_TEST(the_sandbox_is_one),
        TH_TEST(bubblewrap_lets_in_to_what_is_unlocked),
        TH_TEST(bubblewrap_of_another_user_does_too),
        TH_TEST(bubblewrap_of_the_services_user_does_too),
        TH_TEST(another_user_reaches_what_is_unlocked),
        TH_TEST(a_false_root_is_the_user_that_he_is),
        TH_TEST(a_false_root_finds_the_true_roots_services),
        TH_TEST(a_false_root_finds_the_system),
        TH_TEST(the_documented_lines_let_in),
        TH_TEST(the_numberless_are_not_each_other),
        TH_TEST(long_names_need_proc),
        TH_TEST(filtered_calls_are_replaced_or_told),
        TH_TEST(threads_get_by_without_futexes),
    };
    return TH_MAIN(tests);
}
