/* SPDX-License-Identifier: MIT */
/* Senders as the kernel reports them, policies, quotas, and services with options. */
#include "harness.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "test.policy";

enum { WHO = 1, WHO_OF_A_COPY, WATCH_ME, IS_GONE, KEEP, KEPT, ANSWER_KEPT, ONE_WAY, ONE_WAY_COUNT, JUDGED };
enum { NOBODY = 65534, A_GROUP = 4711 };

static CFMachPortRef running;
static int judged;
static int one_way_count;
static mach_port_t kept[2];
static uint32_t kept_count;
static int watched = -1;

/* --- The service --- */

static void answer_who(LMMessage *message)
{
    LMSender sender;
    assert_int_equal(LMMessageGetSender(message, &sender), 0);
    LMSendReply(message->head.msgh_remote_port, &sender, sizeof sender);
}

static void answer_who_of_a_copy(LMMessage *message)
{
    LMMessage copy = *message;
    LMSender sender = {1, 2, 3};
    kern_return_t status = LMMessageGetSender(&copy, &sender);
    assert_true(sender.pid == 1 && sender.uid == 2 && sender.gid == 3);
    assert_int_equal(LMMessageGetSender(message, NULL), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMMessageGetSender(NULL, &sender), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMMessageCopySenderPidfd(&copy), -1);
    LMSendIntegerReply(message->head.msgh_remote_port, status);
}

static void watch(LMMessage *message)
{
    watched = LMMessageCopySenderPidfd(message);
    assert_true(watched < 0 || (fcntl(watched, F_GETFD) & FD_CLOEXEC) != 0);
    LMSendIntegerReply(message->head.msgh_remote_port, watched >= 0);
}

static void answer_whether_gone(LMMessage *message)
{
    struct pollfd gone = {.fd = watched, .events = POLLIN};
    LMSendIntegerReply(message->head.msgh_remote_port, poll(&gone, 1, -1));
}

/* Sends a megabyte to each waiting client, and records the results. */
static void answer_kept(mach_port_t reply)
{
    static const char megabyte[1 << 20];
    kern_return_t status[2];
    for (int i = 0; i < 2; i++)
        status[i] = LMSendReply(kept[i], megabyte, sizeof megabyte);
    LMSendReply(reply, status, sizeof status);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    switch (message->head.msgh_id) {
    case WHO:
        answer_who(message);
        break;
    case WHO_OF_A_COPY:
        answer_who_of_a_copy(message);
        break;
    case WATCH_ME:
        watch(message);
        break;
    case IS_GONE:
        answer_whether_gone(message);
        break;
    case KEEP:
        kept[kept_count++] = message->head.msgh_remote_port;
        break;
    case KEPT:
        LMSendIntegerReply(message->head.msgh_remote_port, (int)kept_count);
        break;
    case ANSWER_KEPT:
        answer_kept(message->head.msgh_remote_port);
        break;
    case ONE_WAY:
        one_way_count++;
        th_echo(port, message, size, info);
        break;
    case ONE_WAY_COUNT:
        LMSendIntegerReply(message->head.msgh_remote_port, one_way_count);
        break;
    case JUDGED:
        LMSendIntegerReply(message->head.msgh_remote_port, judged);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

/* Options and attempts are static, since the processes that use them were forked before the test began. */
static void serve_with(const LMServiceOptions *options, void *info)
{
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    CFMachPortCallBack callback = (CFMachPortCallBack)answer;
    assert_int_equal(LMStartServiceWithOptions(NAME, loop, callback, info, options, &running), 0);
    th_ready();
    th_serve_until_stopped();
    LMServiceInvalidate(running);
    CFRelease(running);
}

static void serve(const struct th_service *me)
{
    serve_with(me->info, NULL);
}

/* The folder is private to root; another user must be able to reach the unlocked services. */
static pid_t start(const LMServiceOptions *options)
{
    assert_int_equal(chmod(getenv("LM_RUNTIME_DIR"), 0755), 0);
    return th_start(&(struct th_service){.program = serve, .info = (void *)(uintptr_t)options});
}

/* --- Clients --- */

static void become_nobody(gid_t further_group)
{
    if (geteuid() != 0)
        fail_msg("this test needs root to change its user");
    assert_int_equal(setgroups(further_group != 0, &further_group), 0);
    assert_int_equal(setresgid(NOBODY, NOBODY, NOBODY), 0);
    assert_int_equal(setresuid(NOBODY, NOBODY, NOBODY), 0);
}

struct attempt {
    gid_t further_group;
    kern_return_t expected;
};

static const struct attempt WORKS = {0, 0}, IS_REFUSED = {0, BOOTSTRAP_NOT_PRIVILEGED}, WORKS_IN_GROUP = {A_GROUP, 0};

static void attempt(const struct th_service *me)
{
    const struct attempt *wanted = me->info;
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    become_nobody(wanted->further_group);
    assert_int_equal(LMConnectionSendTwoWay(&connection, WHO, NULL, 0, &response), wanted->expected);
    if (wanted->expected == 0) {
        LMSender *sender = LMMessageGetData(&response.message);
        assert_int_equal(sender->pid, getpid());
        assert_int_equal(sender->uid, getuid());
        assert_int_equal(sender->gid, getgid());
    }
    LMResponseBufferFree(&response);
    th_ready();
}

/* Makes a call as user nobody, and expects the result. */
static void expect_for_nobody(const struct attempt *wanted)
{
    void *info = (void *)(uintptr_t)wanted;
    assert_int_equal(th_reap(th_start(&(struct th_service){.program = attempt, .info = info})), 0);
}

/* --- Tests --- */

/*
 * Intent: a service learns from the kernel who the caller is, of its own user or another.
 *   root --WHO--> service: root's pid, uid, gid
 *   nobody --WHO--> service: nobody's
 */
static void a_sender_is_known(void)
{
    pid_t service = start(NULL);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(&connection, WHO, NULL, 0, &response), 0);
    LMSender *sender = LMMessageGetData(&response.message);
    assert_true(sender->pid == getpid() && sender->uid == getuid() && sender->gid == getgid());
    LMResponseBufferFree(&response);
    expect_for_nobody(&WORKS);
    assert_int_equal(th_ask(&connection, WHO_OF_A_COPY), KERN_INVALID_ARGUMENT);
    th_close(&connection);
    th_stop(service);
}

static void be_watched(const struct th_service *me)
{
    LMConnection connection = th_connection(NAME);
    (void)me;
    assert_int_equal(th_ask(&connection, WATCH_ME), 1);
    th_ready();
    pause();
}

/*
 * Intent: the pidfd is the caller's, and outlives the callback.
 *   client --WATCH_ME--> service
 *   client killed
 *   the service's pidfd says so. Needs Linux 6.5; before, there is none.
 */
static void a_sender_can_be_watched(void)
{
    pid_t service = start(NULL);
    LMConnection connection = th_connection(NAME);
    if (th_ask(&connection, WATCH_ME) == 1) {
        th_kill(th_start(&(struct th_service){.program = be_watched}));
        assert_int_equal(th_ask(&connection, IS_GONE), 1);
    } else {
        print_message("no SO_PEERPIDFD here: only its absence was tested\n");
    }
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: lists of users and groups admit the users they name and no others, not even root.
 *   nobody --call--> [users: nobody] ok, root refused
 *   [users: root] refused
 *   [groups: 4711] only with that group
 */
static void lists_let_in_whom_they_name(void)
{
    static const uid_t nobody = NOBODY, root = 0;
    static const gid_t group = A_GROUP;
    static const LMServiceOptions for_nobody = {.users = &nobody, .userCount = 1};
    static const LMServiceOptions for_root = {.users = &root, .userCount = 1};
    static const LMServiceOptions for_group = {.groups = &group, .groupCount = 1};
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    pid_t service = start(&for_nobody);
    expect_for_nobody(&WORKS);
    assert_int_equal(LMConnectionSendTwoWay(&connection, WHO, NULL, 0, &response), BOOTSTRAP_NOT_PRIVILEGED);
    th_stop(service);
    service = start(&for_root);
    expect_for_nobody(&IS_REFUSED);
    th_check_echo(&connection);
    th_stop(service);
    service = start(&for_group);
    expect_for_nobody(&IS_REFUSED);
    expect_for_nobody(&WORKS_IN_GROUP);
    th_close(&connection);
    th_stop(service);
}

static bool only_even_calls(const LMSender *sender, void *info)
{
    assert_int_equal(sender->uid, NOBODY);
    assert_string_equal(info, "the service's");
    return ++judged % 2 == 0;
}

static void serve_with_a_function(const struct th_service *me)
{
    static char info[] = "the service's";
    static const uid_t root = 0;
    (void)me;
    serve_with(&(LMServiceOptions){.policy = only_even_calls, .users = &root, .userCount = 1}, info);
}

/*
 * Intent: a function decides about users whom no list names, once per client.
 *   nobody: refused
 *   nobody: let in
 *   root, listed, asks how often the function was called: 2
 */
static void a_function_decides(void)
{
    assert_int_equal(chmod(getenv("LM_RUNTIME_DIR"), 0755), 0);
    pid_t service = th_start(&(struct th_service){.program = serve_with_a_function});
    LMConnection connection = th_connection(NAME);
    expect_for_nobody(&IS_REFUSED);
    expect_for_nobody(&WORKS);
    assert_int_equal(th_ask(&connection, JUDGED), 2);
    th_close(&connection);
    th_stop(service);
}

static void serve_typed(const struct th_service *me)
{
    static const LMServiceOptions options = {.callback = answer};
    (void)me;
    assert_int_equal(LMStartServiceWithOptions(NAME, CFRunLoopGetCurrent(), NULL, NULL, &options, &running), 0);
    th_ready();
    th_serve_until_stopped();
    LMServiceInvalidate(running);
    CFRelease(running);
}

/* Intent: a callback of the documented type needs no cast. */
static void a_typed_callback_is_called(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_typed});
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

static bool refuses_after_a_while(const LMSender *sender, void *info)
{
    (void)sender, (void)info;
    CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0.2, false); /* the hello and the request are there */
    return false;
}

static void serve_with_a_slow_function(const struct th_service *me)
{
    (void)me;
    serve_with(&(LMServiceOptions){.policy = refuses_after_a_while}, NULL);
}

/*
 * Intent: no client is admitted while the function runs the loop.
 *   client --call--> the function runs the loop, says no
 */
static void a_function_may_run_the_loop(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_with_a_slow_function});
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(&connection, WHO, NULL, 0, &response), BOOTSTRAP_NOT_PRIVILEGED);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: one-way messages to a service that refuses the client do not seem sent for ever.
 *   client --one way--> queued, or refused at once
 *   refused
 *   client --one way--> BOOTSTRAP_NOT_PRIVILEGED, and again
 *   a service that lets everybody in: gets the first one, if that was queued
 */
static void a_refusal_reaches_one_way_senders(void)
{
    static const uid_t nobody = NOBODY;
    static const LMServiceOptions for_nobody = {.users = &nobody, .userCount = 1}, for_all = {0};
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    pid_t service = start(&for_nobody);
    kern_return_t first = LMConnectionSendOneWay(&connection, ONE_WAY, "1", 1);
    assert_true(first == 0 || first == BOOTSTRAP_NOT_PRIVILEGED); /* depends on which is faster */
    assert_int_equal(LMConnectionSendTwoWay(&connection, WHO, NULL, 0, &response), BOOTSTRAP_NOT_PRIVILEGED);
    for (int i = 0; i < 3; i++)
        assert_int_equal(LMConnectionSendOneWay(&connection, ONE_WAY, "2", 1), BOOTSTRAP_NOT_PRIVILEGED);
    th_stop(service);
    service = start(&for_all);
    assert_int_equal(th_ask(&connection, ONE_WAY_COUNT), first == 0);
    th_close(&connection);
    th_stop(service);
}

static void stay(const struct th_service *me)
{
    LMConnection connection = th_connection(NAME);
    (void)me;
    th_check_echo(&connection);
    th_ready();
    pause();
}

static bool gets_in(void *connection)
{
    LMResponseBuffer response;
    kern_return_t status = LMConnectionSendTwoWay(connection, 100, NULL, 0, &response);
    LMResponseBufferFree(&response);
    assert_true(status == 0 || status == KERN_RESOURCE_SHORTAGE);
    return status == 0;
}

/*
 * Intent: a user has a limited number of connections; another user still gets in; a connection that ends makes room.
 *   A, B connected
 *   C: KERN_RESOURCE_SHORTAGE
 *   nobody: ok
 *   A killed
 *   C: ok
 */
static void a_user_has_so_many_connections(void)
{
    static const LMServiceOptions options = {.connectionsPerUser = 2};
    LMConnection connection = th_connection(NAME);
    pid_t service = start(&options);
    pid_t clients[2];
    for (int i = 0; i < 2; i++)
        clients[i] = th_start(&(struct th_service){.program = stay});
    assert_false(gets_in(&connection));
    expect_for_nobody(&WORKS);
    th_kill(clients[0]);
    th_wait_until(gets_in, &connection);
    th_kill(clients[1]);
    th_close(&connection);
    th_stop(service);
}

static void wait_for_a_reply(const struct th_service *me)
{
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    (void)me;
    th_check_echo(&connection);
    th_ready();
    (void)LMConnectionSendTwoWay(&connection, KEEP, NULL, 0, &response);
    LMResponseBufferFree(&response);
}

/* Returns whether that many calls are kept. */
static bool are_kept(void *count)
{
    LMConnection connection = th_connection(NAME);
    return th_ask(&connection, KEPT) == *(int *)count;
}

/*
 * Intent: unread replies count for their user, over all of the user's connections.
 *   A, B --KEEP--> service
 *   both stopped
 *   service --1 MiB--> A: kept, B: over the quota, cut off; A's is not lost
 */
static void a_user_has_so_many_bytes(void)
{
    static const LMServiceOptions options = {.bytesPerUser = 900000};
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    pid_t service = start(&options);
    pid_t clients[2];
    for (int i = 0; i < 2; i++) {
        clients[i] = th_start(&(struct th_service){.program = wait_for_a_reply});
        int count = i + 1;
        th_wait_until(are_kept, &count);
        th_pause(clients[i]);
    }
    assert_int_equal(LMConnectionSendTwoWay(&connection, ANSWER_KEPT, NULL, 0, &response), 0);
    kern_return_t *status = LMMessageGetData(&response.message);
    assert_int_equal(status[0], 0);
    assert_int_equal(status[1], MACH_SEND_NO_BUFFER);
    LMResponseBufferFree(&response);
    for (int i = 0; i < 2; i++) {
        th_resume(clients[i]);
        assert_int_equal(th_reap(clients[i]), 0);
    }
    th_close(&connection);
    th_stop(service);
}

enum { SERVICE, LIMITED, FILLED }; /* words */
enum { LARGE = 3000000 };

/* The service is stopped: one part of the message fits into the ring, the rest does not come. */
static void time_out_and_stay(const struct th_service *me)
{
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    void *data = calloc(1, LARGE);
    (void)me;
    th_check_echo(&connection);
    kill((pid_t)th_get(SERVICE), SIGSTOP);
    assert_int_equal(LMConnectionSendTwoWayWithTimeout(&connection, ONE_WAY, data, LARGE, 100, &response),
                     MACH_SEND_TIMED_OUT);
    free(data);
    th_ready();
    th_serve_until_stopped();
}

/* Returns whether a large request of this process fits into the quota. */
static bool a_large_one_is_taken(void *info)
{
    LMConnection *connection = info;
    LMResponseBuffer response;
    void *data = calloc(1, LARGE);
    kern_return_t result = LMConnectionSendTwoWay(connection, ONE_WAY, data, LARGE, &response);
    free(data);
    if (result == 0)
        LMResponseBufferFree(&response);
    else
        assert_int_equal(result, KERN_RESOURCE_SHORTAGE);
    return result == 0;
}

/*
 * Intent: a large request that was given up in the middle uses none of its user's quota, even if its sender is idle.
 *   service stopped
 *   A --3 MB--> times out
 *   service goes on
 *   B --3 MB--> answered, with a quota of 4 MB, once what A's channel holds is read, in turns with B's
 */
static void what_was_given_up_does_not_count(void)
{
    static const LMServiceOptions options = {.bytesPerUser = 4000000};
    LMConnection connection = th_connection(NAME);
    pid_t service = start(&options);
    th_set(SERVICE, (uint32_t)service);
    th_check_echo(&connection);
    pid_t client = th_start(&(struct th_service){.program = time_out_and_stay});
    th_resume(service);
    for (int i = 0; i < 100; i++)
        th_check_echo(&connection);
    th_wait_until(a_large_one_is_taken, &connection);
    th_close(&connection);
    th_stop(client);
    th_stop(service);
}

/* Leaves one free descriptor, which a new connection takes: none is left for its memory. */
static void leave_one_descriptor(void)
{
    int last = -1;
    for (int next = dup(STDERR_FILENO); next >= 0; next = dup(STDERR_FILENO))
        last = next;
    assert_true(last >= 0);
    close(last);
}

static void serve_without_descriptors(const struct th_service *me)
{
    (void)me;
    assert_int_equal(LMStartService(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer), 0);
    CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0, false); /* opens what the loop needs */
    th_ready();
    th_await(LIMITED, 1);
    leave_one_descriptor();
    th_set(FILLED, 1);
    th_serve_until_stopped();
}

/* Intent: a service without descriptors refuses the client with an error. */
static void no_room_for_a_client_is_told(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_without_descriptors});
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    const struct rlimit few = {100, 100}; /* from outside: on valgrind a process only seems to limit itself */
    assert_int_equal(prlimit(service, RLIMIT_NOFILE, &few, NULL), 0);
    th_set(LIMITED, 1);
    th_await(FILLED, 1);
    assert_int_equal(LMConnectionSendTwoWay(&connection, WHO, NULL, 0, &response), KERN_RESOURCE_SHORTAGE);
    th_close(&connection);
    th_kill(service);
}

static void start_and_fail(const struct th_service *me)
{
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    CFMachPortCallBack callback = (CFMachPortCallBack)answer;
    LMServiceOptions wrong[3] = {{.largestMessage = 65535}, {.userCount = 1}, {.groupCount = 1}};
    LMServiceRef service = (LMServiceRef)(uintptr_t)1;
    (void)me;
    unsigned before = th_descriptors();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(LMStartServiceWithOptions("test.wrong", loop, callback, NULL, &wrong[i], &service),
                         KERN_INVALID_ARGUMENT);
        assert_null(service);
    }
    assert_int_equal(LMStartServiceWithOptions(NAME, loop, callback, NULL, NULL, &service), BOOTSTRAP_NAME_IN_USE);
    assert_null(service);
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0, false), kCFRunLoopRunFinished);
    assert_int_equal(th_descriptors(), before);
    th_ready();
}

/* Intent: a failed start leaves nothing: no service, no source on the loop, no descriptor, no effect on the first
 * service. */
static void a_start_that_fails_leaves_nothing(void)
{
    pid_t first = start(NULL);
    LMConnection connection = th_connection(NAME);
    assert_int_equal(th_reap(th_start(&(struct th_service){.program = start_and_fail})), 0);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(first);
}

static void start_and_stop(const struct th_service *me)
{
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    LMConnection connection = th_connection(NAME);
    LMServiceRef service = NULL;
    (void)me;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(LMStartServiceWithOptions(NAME, loop, (CFMachPortCallBack)answer, NULL, NULL, &service), 0);
        assert_true(CFMachPortIsValid(service));
        assert_int_equal(LMConnectionSendOneWay(&connection, ONE_WAY, "x", 1), 0);
        assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 1, true), kCFRunLoopRunHandledSource);
        LMServiceInvalidate(service);
        LMServiceInvalidate(service);
        assert_false(CFMachPortIsValid(service));
        CFRelease(service);
        assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0, false), kCFRunLoopRunFinished);
    }
    LMServiceInvalidate(NULL);
    th_ready();
}

/* Intent: a service can be stopped and started again, under its name, on its loop, with the same connection. */
static void a_service_stops_and_starts_again(void)
{
    assert_int_equal(th_reap(th_start(&(struct th_service){.program = start_and_stop})), 0);
}

int main(void)
{
    if (geteuid() != 0) {
        fprintf(stderr, "skipped: only root can become somebody else\n");
        return 77; /* Meson's number for a skipped test */
    }
    const struct CMUnitTest tests[] = {
        TH_TEST(a_sender_is_known),
        TH_TEST(a_sender_can_be_watched),
        TH_TEST(lists_let_in_whom_they_name),
        TH_TEST(a_function_decides),
        TH_TEST(a_typed_callback_is_called),
        TH_TEST(a_function_may_run_the_loop),
        TH_TEST(a_refusal_reaches_one_way_senders),
        TH_TEST(a_user_has_so_many_connections),
        TH_TEST(a_user_has_so_many_bytes),
        TH_TEST(what_was_given_up_does_not_count),
        TH_TEST(no_room_for_a_client_is_told),
        TH_TEST(a_start_that_fails_leaves_nothing),
        TH_TEST(a_service_stops_and_starts_again),
    };
    return TH_MAIN(tests);
}
