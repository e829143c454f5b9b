/* SPDX-License-Identifier: MIT */
/* The log (LM_DEBUG=1): a line per event in a fixed form; errors say which name, which path, and what to do. */
#include "others.h"

#include <ctype.h>
#include <fcntl.h>
#include <regex.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "test.trace";

static char visitor[600];
static struct th_output output;

static void visit(const char *debug, const char *deed, const char *another)
{
    th_find_program("visitor", visitor, sizeof visitor);
    if (debug)
        setenv("LM_DEBUG", debug, 1);
    else
        unsetenv("LM_DEBUG");
    th_execute(&output, (const char *const[]){visitor, deed, another, NULL});
    unsetenv("LM_DEBUG");
    assert_int_equal(output.status, 0);
}

static bool matches(const char *text, const char *pattern)
{
    regex_t compiled;
    assert_int_equal(regcomp(&compiled, pattern, REG_EXTENDED | REG_NEWLINE | REG_NOSUB), 0);
    bool found = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return found;
}

static void expect(const char *pattern)
{
    if (!matches(output.text, pattern))
        fail_msg("no line like\n%s\nin\n%s", pattern, output.text);
}

/* Every line of the library has a time, a process and a connection. */
static void check_form(void)
{
    static const char FORM[] =
        "^LightMessaging [0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{6} pid [0-9]+ connection ([0-9]+|-): .+$";
    char *rest = output.text;
    int lines = 0;
    for (char *line = strtok_r(rest, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (isdigit((unsigned char)line[0]) || strncmp(line, "test.trace: user", 16) == 0 ||
            strncmp(line, "serving", 7) == 0 || strcmp(line, "forbidden") == 0 || strcmp(line, "?") == 0)
            continue; /* a line of the visitor */
        if (!matches(line, FORM))
            fail_msg("a line of another form: %s", line);
        lines++;
    }
    assert_true(lines > 0);
}

/* The beginnings of the explanations of a status. */
#define SENTENCES                                                                                                      \
    "(invalid argument: a NULL where|out of memory, file|not permitted: the service|a live process already|"           \
    "no process serves this name)"

static void expect_nothing_like(const char *pattern)
{
    if (matches(output.text, pattern))
        fail_msg("a line like\n%s\nin\n%s", pattern, output.text);
}

static int count_lines(const char *part)
{
    int count = 0;
    for (const char *at = output.text; (at = strstr(at, part)) != NULL; at += strlen(part))
        count++;
    return count;
}

/* One line has the error, the name, the path and the advice; another has the status that the caller gets. */
static void expect_error(const char *name, const char *path, const char *advice)
{
    char pattern[3000];
    snprintf(pattern, sizeof pattern, "connection ([0-9]+|-): error: .*\"%s\".*%s.*: .*%s", name, path, advice);
    expect(pattern);
    snprintf(pattern, sizeof pattern, "error: can't .*\"%s\" \\(runtime directory %s\\): 0x[0-9a-f]+: %s", name,
             getenv("LM_RUNTIME_DIR"), SENTENCES);
    expect(pattern);
    check_form();
}

/* Intent: without LM_DEBUG, or with 0, nothing is written. */
static void nothing_is_said_unasked(void)
{
    visit(NULL, "call:nobody", "call:a/b");
    assert_string_equal(output.text, "1102\n4\n");
    visit("0", "call:nobody", "call:a/b");
    assert_string_equal(output.text, "1102\n4\n");
    visit("", "call:nobody", "call:a/b");
    assert_string_equal(output.text, "1102\n4\n");
}

static void serve_with_trace(int ready, void *info)
{
    const int *log = info;
    assert_int_equal(dup2(*log, 2), 2);
    setenv("LM_DEBUG", "1", 1);
    assert_int_equal(LMStartService(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)th_echo), 0);
    th_branch_ready(ready);
    CFRunLoopRun();
}

/*
 * Intent: the log lets a message be followed on both sides, and the lines of one connection be told by its number.
 *   service: registers, unlocks, lets in, takes, answers, sees the client go
 *   client: connects, calls
 */
static void a_message_can_be_followed(void)
{
    char path[600];
    snprintf(path, sizeof path, "%s", th_runtime("log"));
    int log = open(path, O_CREAT | O_RDWR | O_APPEND, 0600);
    pid_t service = th_branch(serve_with_trace, &log);
    visit("1", "call:test.trace", "send:test.trace");
    expect("connection [0-9]+: connected to \"test.trace\" at /.*/locked, which process [0-9]+ of user 0 listens on$");
    expect("connection [0-9]+: call \"test.trace\": message 1 of 1 bytes$");
    expect("connection [0-9]+: send to \"test.trace\": message 2 of 1 bytes$");
    check_form();
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_close(&connection);
    for (uint64_t end = th_hung_at(); th_now_ms() < end && !strstr(output.text, "is gone, or was sent away");) {
        th_sleep_ms(1);
        ssize_t length = pread(log, output.text, sizeof output.text - 1, 0);
        output.text[length < 0 ? 0 : length] = '\0';
    }
    expect("connection -: registered \"test.trace\" at /");
    expect("connection -: unlocked \"test.trace\" at /");
    expect("connection [0-9]+: service \"test.trace\": process [0-9]+ of user 0 is let in$");
    expect("connection [0-9]+: service \"test.trace\" takes message 1 of 1 bytes, to answer$");
    expect("connection [0-9]+: service \"test.trace\" takes message 2 of 1 bytes$");
    expect("connection [0-9]+: service \"test.trace\" answers with 1 bytes$");
    expect("connection [0-9]+: service \"test.trace\": process [0-9]+ of user 0 is gone, or was sent away$");
    check_form();
    th_branch_end(service);
    close(log);
}

static void make_folders(void)
{
    assert_int_equal(mkdir(th_runtime("locked"), 0700), 0);
    assert_int_equal(mkdir(th_runtime("unlocked"), 0755), 0);
}

/* Intent: a failed look-up logs where the service was looked for and what to do. */
static void errors_of_looking_up_say_what_to_do(void)
{
    visit("1", "call:nobody", NULL);
    expect("\"nobody\" can't be called at .*/locked: No such file");
    assert_int_equal(count_lines("error: "), 2); /* the failure, and the status that the caller gets */
    expect_nothing_like("memory|descriptors");
    expect_error("nobody", th_runtime(""), "start the service");
    make_folders();
    pid_t decoy = th_decoy(th_runtime("locked/nobody"), 0, 0);
    th_branch_end(decoy);
    visit("1", "send:nobody", NULL);
    expect_error("nobody", th_runtime("locked"), "start the service again");
    assert_int_equal(chmod(th_runtime("locked"), 0777), 0);
    visit("1", "call:nobody", NULL);
    expect_error("nobody", th_runtime("locked"), "chmod go-w");
    assert_int_equal(chmod(th_runtime("."), 0777), 0);
    visit("1", "call:nobody", NULL);
    expect_error("nobody", getenv("LM_RUNTIME_DIR"), "chmod go-w");
    visit("1", "call:a/b", NULL);
    expect_error("a/b", getenv("LM_RUNTIME_DIR"), "contains '/'");
    visit("1", "call:a\nb", NULL);
    expect_error("a\\?b", getenv("LM_RUNTIME_DIR"), "control characters");
}

static void call_from_elsewhere(void)
{
    th_become(OTHER_USER);
    visit("1", "call:test.trace", NULL);
    expect("\"test.trace\" can't be called at .*/locked: Permission denied$");
    expect("connected to \"test.trace\" at .*/unlocked");
    expect_nothing_like("error: ");
    check_form();
}

/* Intent: a call that reaches its service at the second place logs no error. */
static void a_detour_is_no_error(void)
{
    assert_int_equal(chmod(getenv("LM_RUNTIME_DIR"), 0755), 0);
    pid_t service = th_serve(NAME, th_echo);
    assert_int_equal(rocketbootstrap_unlock(NAME), 0);
    th_do_as(0, call_from_elsewhere);
    th_stop(service);
}

/* Intent: a line is complete however long the path is, and names and paths cannot move the cursor. */
static void lines_are_whole_and_clean(void)
{
    char path[1201] = "/nowhere/";
    for (size_t i = strlen(path); i < sizeof path - 1; i++)
        path[i] = i % 100 ? 'x' : '/';
    setenv("LM_RUNTIME_DIR", path, 1);
    visit("1", "register:test.trace", NULL);
    expect_error(NAME, path, "make the directory above it");
    setenv("LM_RUNTIME_DIR", "/no\n\x1b[2J\xc2\x9b\xffwhere", 1);
    visit("1", "call:\xc2\x9b\x9b\xc3\xa9", NULL);
    expect("error: can't look up \"\\?\\?\\?\xc3\xa9\" at /no\\?\\?\\[2J\\?\\?\\?where: No such file");
    expect_nothing_like("\x1b|\xc2\x9b|\xff");
    check_form();
}

static void look_at_locked(void)
{
    th_become(OTHER_USER);
    visit("1", "call:shut", "unlock:shut");
    expect("error: can't look up \"shut\" at .*/locked: Permission denied: .*have its owner unlock it");
    expect_error("shut", getenv("LM_RUNTIME_DIR"), "must belong to this user");
}

/* Intent: the same for locked services, and for calls that a sandbox forbids. */
static void errors_of_sandboxes_say_what_to_do(void)
{
    char forbid[32];
    make_folders();
    assert_int_equal(chmod(th_runtime("."), 0755), 0);
    pid_t service = th_serve(NAME, th_echo);
    th_do_as(0, look_at_locked);
    snprintf(forbid, sizeof forbid, "forbid:%d", SYS_memfd_create);
    visit("1", forbid, "call:test.trace");
    expect_error(NAME, getenv("LM_RUNTIME_DIR"), "forbids memfd_create: allow it");
    th_stop(service);
}

/* Intent: the same for registering. */
static void errors_of_registering_say_what_to_do(void)
{
    pid_t service = th_serve(NAME, th_echo);
    visit("1", "register:test.trace", NULL);
    expect_error(NAME, getenv("LM_RUNTIME_DIR"), "use another name");
    th_stop(service);
    assert_int_equal(chmod(th_runtime("locked"), 0777), 0);
    visit("1", "register:test.trace", NULL);
    expect_error(NAME, getenv("LM_RUNTIME_DIR"), "see its owner and mode");
    visit("1", "unlock:test.trace", NULL);
    expect_error(NAME, getenv("LM_RUNTIME_DIR"), "see its owner and mode");
    assert_int_equal(chmod(th_runtime("locked"), 0700), 0);
    setenv("LM_RUNTIME_DIR", "/nowhere/at/all", 1);
    visit("1", "register:test.trace", NULL);
    expect_error(NAME, "/nowhere/at/all", "make the directory above it");
    setenv("LM_RUNTIME_DIR", "here", 1);
    visit("1", "register:test.trace", NULL);
    expect_error(NAME, "here", "must be an absolute path");
}

/* Holds the name's change lock, as a process does that is stopped during a change. */
static void hold_change(int ready, void *info)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};
    int file = open(th_runtime("locked/.test.trace"), O_RDWR);
    (void)info;
    assert_int_equal(fcntl(file, F_OFD_SETLK, &lock), 0);
    th_branch_ready(ready);
    pause();
}

/* Intent: the same for unlocking, locking and listing. */
static void errors_of_doors_say_what_to_do(void)
{
    pid_t service = th_serve(NAME, th_echo);
    assert_int_equal(rocketbootstrap_unlock(NAME), 0);
    pid_t holder = th_branch(hold_change, NULL);
    visit("1", "lock:test.trace", NULL);
    expect_error(NAME, getenv("LM_RUNTIME_DIR"), "stopped holds the name's lock: let it go on, or end it");
    th_branch_end(holder);
    assert_int_equal(unlink(th_runtime("locked/test.trace")), 0);
    visit("1", "lock:test.trace", NULL);
    expect_error(NAME, getenv("LM_RUNTIME_DIR"), "somebody listens at unlocked/ of that name");
    assert_int_equal(chmod(getenv("LM_RUNTIME_DIR"), 0777), 0);
    visit("1", "list", NULL);
    expect_error("[*]", getenv("LM_RUNTIME_DIR"), "chmod go-w");
    assert_int_equal(chmod(getenv("LM_RUNTIME_DIR"), 0700), 0);
    th_kill(service);
}

/* Runs the visitor with a launcher's variables for its own process. */
static void visit_launched(const char *count, const char *names, int descriptor)
{
    char command[200];
    th_find_program("visitor", visitor, sizeof visitor);
    snprintf(command, sizeof command, "LISTEN_PID=$$ LISTEN_FDS=%s LISTEN_FDNAMES=%s LM_DEBUG=1 exec \"$0\" serve:%s",
             count, names, NAME);
    int kept = dup(3);
    if (descriptor >= 0)
        assert_int_equal(dup2(descriptor, 3), 3);
    th_execute(&output, (const char *const[]){"sh", "-c", command, visitor, NULL});
    if (kept >= 0)
        dup2(kept, 3);
    else
        close(3);
    close(kept);
}

/* Intent: the same for a service that a launcher starts. */
static void errors_of_checking_in_say_what_to_do(void)
{
    int null = open("/dev/null", O_RDONLY);
    visit_launched("7", "a:b", null);
    expect("invalid argument: .* a launcher's variables or socket are wrong");
    expect_error(NAME, "LISTEN_FDS=7 LISTEN_FDNAMES=a:b", "must fit each other");
    visit_launched("1", NAME, null);
    expect_error(NAME, "descriptor 3, which has no path", "must listen, be AF_UNIX");
    close(null);
}

static void keep(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    if (message->head.msgh_id == 1)
        (void)mach_port_deallocate(mach_task_self(), message->head.msgh_remote_port);
}

/* Intent: the same for a call that is not answered. */
static void errors_of_calls_say_what_to_do(void)
{
    pid_t service = th_serve(NAME, keep);
    visit("1", "call:test.trace", NULL);
    expect(
        "connection [0-9]+: error: can't call \"test.trace\" \\(runtime directory /.*\\): 0x10004009: the service took "
        "the message and died, or gave up the reply port");
    check_form();
    th_stop(service);
}

int main(void)
{
    if (!th_is_root())
        return TH_SKIPPED;
    const struct CMUnitTest tests[] = {
        TH_TEST(nothing_is_said_unasked),
        TH_TEST(a_message_can_be_followed),
        TH_TEST(errors_of_looking_up_say_what_to_do),
        TH_TEST(errors_of_sandboxes_say_what_to_do),
        TH_TEST(errors_of_registering_say_what_to_do),
        TH_TEST(a_detour_is_no_error),
        TH_TEST(lines_are_whole_and_clean),
        TH_TEST(errors_of_doors_say_what_to_do),
        TH_TEST(errors_of_checking_in_say_what_to_do),
        TH_TEST(errors_of_calls_say_what_to_do),
    };
    return TH_MAIN(tests);
}
