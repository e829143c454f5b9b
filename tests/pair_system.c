/* SPDX-License-Identifier: MIT */
/* System services: root's in /run/lightmessaging for all users, a user's for root, and groups admitted by policy. */
#include "others.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "test.system";

enum { A_GROUP = 4711 };

/* --- Services --- */

static void answer_who(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    LMSender sender = {0, 0, 0};
    (void)port, (void)size, (void)info;
    assert_int_equal(LMMessageGetSender(message, &sender), 0);
    (void)LMSendReply(message->head.msgh_remote_port, &sender, sizeof sender);
}

struct server {
    uid_t user;
    const LMServiceOptions *options;
};

static void serve(int ready, void *info)
{
    const struct server *server = info;
    if (server->user)
        th_become(server->user);
    assert_int_equal(LMStartServiceWithOptions(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer_who, NULL,
                                               server->options, NULL),
                     0);
    th_branch_ready(ready);
    CFRunLoopRun();
}

static pid_t start(uid_t user, const LMServiceOptions *options)
{
    struct server server = {user, options};
    return th_branch(serve, &server);
}

/* --- Clients --- */

/* The service must report this process's identity, and the call must reach a server of the expected user. */
static void call(void)
{
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(&connection, 1, NULL, 0, &response), 0);
    const LMSender *sender = LMMessageGetData(&response.message);
    assert_int_equal(sender->pid, getpid());
    assert_int_equal(sender->uid, getuid());
    assert_int_equal(sender->gid, getgid());
    LMResponseBufferFree(&response);
    th_close(&connection);
}

static void be_refused(void)
{
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(&connection, 1, NULL, 0, &response), BOOTSTRAP_NOT_PRIVILEGED);
    LMResponseBufferFree(&response);
    th_close(&connection);
}

static void call_as_a_member(void)
{
    const gid_t group = A_GROUP;
    assert_int_equal(setgroups(1, &group), 0);
    assert_int_equal(setresgid(OTHER_USER, OTHER_USER, OTHER_USER), 0);
    assert_int_equal(setresuid(OTHER_USER, OTHER_USER, OTHER_USER), 0);
    call();
}

static void find_nobody(void)
{
    LMConnection connection = th_connection(NAME);
    assert_int_equal(LMConnectionSendEmptyOneWay(&connection, 1), BOOTSTRAP_UNKNOWN_SERVICE);
}

/* The snippet is passed open: its path may be in /tmp, which is hidden here. */
static void make_with_tmpfiles(int snippet)
{
    static struct th_output output;
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", snippet);
    th_execute(&output, (const char *const[]){"systemd-tmpfiles", "--create", path, NULL});
    assert_string_equal(output.text, "");
    assert_int_equal(output.status, 0);
}

static void check_mode(const char *path, unsigned mode)
{
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISDIR(status.st_mode) && status.st_uid == 0 && status.st_gid == 0);
    assert_int_equal(status.st_mode & 07777, mode);
}

static void check_modes(void)
{
    check_mode("/run/lightmessaging", 0755);
    check_mode("/run/lightmessaging/locked", 0700);
    check_mode("/run/lightmessaging/unlocked", 0755);
}

/*
 * Intent: root's service in /run/lightmessaging is open to all users, whether tmpfiles.d or the service made the
 * directory.
 *   nobody there: unknown
 *   root serves; a user and root call: known as what they are
 */
static void a_root_service_is_called_by_users(void)
{
    int snippet = open(EXAMPLE_UNITS "/lightmessaging.conf", O_RDONLY); /* for the executed program, too */
    assert_true(snippet >= 0);
    th_hide_tmp_and_run();
    th_forget_runtime_directory();
    th_do_as(OTHER_USER, find_nobody);
    make_with_tmpfiles(snippet);
    close(snippet);
    check_modes();
    for (int i = 0; i < 2; i++) {
        pid_t service = start(0, NULL);
        check_modes();
        th_do_as(OTHER_USER, call);
        th_do_as(THIRD_USER, call);
        th_do_as(0, call);
        th_branch_end(service);
        th_do_as(OTHER_USER, find_nobody);
        assert_int_equal(system("rm -r /run/lightmessaging"), 0); /* the next service makes it */
    }
}

static void call_there(void)
{
    call();
    assert_int_equal(rocketbootstrap_unlock(NAME), BOOTSTRAP_NOT_PRIVILEGED); /* the service is not root's */
}

static void find_locked(void)
{
    LMConnection connection = th_connection(NAME);
    assert_int_equal(LMConnectionSendEmptyOneWay(&connection, 1), BOOTSTRAP_NOT_PRIVILEGED);
}

/* Makes a session directory of the other user, and uses it in this process, too. */
static void have_users_session(void)
{
    th_hide_tmp_and_run();
    th_forget_runtime_directory();
    assert_int_equal(mkdir("/run/user", 0755), 0);
    assert_int_equal(mkdir("/run/user/4242", 0700), 0);
    assert_int_equal(chown("/run/user/4242", OTHER_USER, OTHER_USER), 0);
    setenv("XDG_RUNTIME_DIR", "/run/user/4242", 1);
}

/*
 * Intent: root, and other users, call a user's service by naming its directory; a session's directory is private to its
 * user.
 *   user serves in /run/user/4242
 *   user calls; root calls by LM_RUNTIME_DIR: known as root
 *   another user can't enter; can when the directories let him
 */
static void a_users_service_is_called_by_root(void)
{
    have_users_session();
    pid_t service = start(OTHER_USER, NULL);
    th_do_as(OTHER_USER, call);
    unsetenv("XDG_RUNTIME_DIR");
    th_do_as(0, find_nobody);
    setenv("LM_RUNTIME_DIR", "/run/user/4242/lightmessaging", 1);
    th_do_as(0, call_there);
    th_do_as(THIRD_USER, find_locked);
    assert_int_equal(chmod("/run/user/4242", 0711), 0);
    assert_int_equal(chmod("/run/user/4242/lightmessaging", 0711), 0);
    th_do_as(THIRD_USER, call_there);
    th_branch_end(service);
}

/*
 * Intent: root with a user's XDG_RUNTIME_DIR, as after su, neither takes the user's place nor misses its own directory.
 *   root serves: it is the system's service; the user's session is as it was, and the user can serve there
 */
static void root_leaves_a_users_session_alone(void)
{
    have_users_session();
    pid_t service = start(0, NULL);
    check_modes();
    assert_int_equal(access("/run/user/4242/lightmessaging", F_OK), -1);
    th_do_as(0, call);
    th_do_as(OTHER_USER, call);
    th_branch_end(service);
    service = start(OTHER_USER, NULL);
    th_do_as(OTHER_USER, call);
    th_branch_end(service);
    assert_int_equal(chown("/run/user/4242", 0, 0), 0); /* root may use a session directory that is its own */
    assert_int_equal(system("rm -r /run/user/4242/lightmessaging"), 0);
    service = start(0, NULL);
    check_mode("/run/user/4242/lightmessaging", 0700);
    th_branch_end(service);
}

static void serve_as_two(int ready, void *info)
{
    (void)info;
    assert_int_equal(LMStartService("test.mine", CFRunLoopGetCurrent(), (CFMachPortCallBack)answer_who), 0);
    th_branch_ready(ready);
    CFRunLoopRun();
}

static void serve_and_call_system(void)
{
    LMConnection mine = th_connection("test.mine");
    pid_t service = th_branch(serve_as_two, NULL);
    assert_int_equal(LMConnectionSendEmptyOneWay(&mine, 1), 0);
    call(); /* the system's service, which the user's directory does not have */
    th_branch_end(service);
}

/* Intent: a user's own directory is tried first, the system's after it. */
static void the_system_is_asked_after_the_user(void)
{
    th_hide_tmp_and_run();
    th_forget_runtime_directory();
    pid_t service = start(0, NULL);
    th_do_as(OTHER_USER, serve_and_call_system);
    check_modes();
    th_branch_end(service);
}

/* Intent: a system service's policy decides who may call it: here the members of a group. */
static void a_group_is_let_in_by_policy(void)
{
    static const gid_t group = A_GROUP;
    static const LMServiceOptions options = {.groups = &group, .groupCount = 1};
    th_hide_tmp_and_run();
    th_forget_runtime_directory();
    pid_t service = start(0, &options);
    th_do_as(OTHER_USER, be_refused);
    th_do_as(0, call_as_a_member);
    th_do_as(0, be_refused);
    th_branch_end(service);
}

static void try_to_move_in(void)
{
    const CFMachPortCallBack callback = (CFMachPortCallBack)answer_who;
    setenv("LM_RUNTIME_DIR", "/run/lightmessaging", 1);
    assert_int_equal(LMStartService(NAME, CFRunLoopGetCurrent(), callback), BOOTSTRAP_NOT_PRIVILEGED);
    assert_int_equal(LMStartService("test.other", CFRunLoopGetCurrent(), callback), BOOTSTRAP_NOT_PRIVILEGED);
    assert_int_equal(rocketbootstrap_unlock(NAME), BOOTSTRAP_NOT_PRIVILEGED);
    assert_int_equal(LMLockService(NAME), BOOTSTRAP_NOT_PRIVILEGED);
}

/* Intent: users cannot register in the system's directory. */
static void users_cannot_move_in(void)
{
    th_hide_tmp_and_run();
    th_forget_runtime_directory();
    pid_t service = start(0, NULL);
    th_do_as(OTHER_USER, try_to_move_in);
    th_do_as(OTHER_USER, call);
    th_branch_end(service);
}

int main(void)
{
    if (!th_is_root())
        return TH_SKIPPED;
    if (system("systemd-tmpfiles --version >/dev/null") != 0) {
        fprintf(stderr, "skipped: systemd-tmpfiles is missing\n");
        return TH_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        TH_TEST(a_root_service_is_called_by_users), TH_TEST(a_users_service_is_called_by_root),
        TH_TEST(root_leaves_a_users_session_alone), TH_TEST(the_system_is_asked_after_the_user),
        TH_TEST(a_group_is_let_in_by_policy),       TH_TEST(users_cannot_move_in),
    };
    return TH_MAIN(tests);
}
