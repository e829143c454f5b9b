/* SPDX-License-Identifier: MIT */
/* Services that die, restart, are replaced or stop: each wait ends at once, with the error that says what happened. */
int test_before_call(long number);
#define LM_TEST_SYSCALL test_before_call
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char NAME[] = "test.death";

enum { DIE = 1, KEEP, DROP, INVALIDATE, REPLY_TWICE, REPLY_LATER, NOTE, NOTES, KEEP_AND_INVALIDATE, LEAVE };

enum { TAKEN, OTHERS_SERVED, CLIENT_DEAD }; /* words */

static unsigned sleeps; /* of this process; a sleep means that a message sent before it is in the queue */

int test_before_call(long number)
{
    __atomic_fetch_add(&sleeps, number == SYS_recvfrom, __ATOMIC_SEQ_CST);
    return 0;
}

static bool somebody_sleeps(void *argument)
{
    (void)argument;
    return __atomic_load_n(&sleeps, __ATOMIC_SEQ_CST) > 0;
}

static uint32_t first_note, last_note;
static int disorders;
static mach_port_t kept;

static void *reply_from_a_thread(void *argument)
{
    mach_port_t port = (mach_port_t)(uintptr_t)argument;
    th_await(OTHERS_SERVED, 1);
    assert_int_equal(LMSendIntegerReply(port, 4711), 0);
    return NULL;
}

static void reply_later(mach_port_t reply)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reply_from_a_thread, (void *)(uintptr_t)reply), 0);
    pthread_detach(thread);
}

static void reply_twice(mach_port_t reply)
{
    kern_return_t first = LMSendReply(reply, "one", 3);
    kern_return_t second = LMSendReply(reply, "two", 3);
    kern_return_t third = mach_port_deallocate(mach_task_self(), reply);
    if (first != 0 || second != MACH_SEND_INVALID_RIGHT || third != KERN_INVALID_ARGUMENT)
        abort();
}

static void note(LMMessage *message)
{
    uint32_t number;
    memcpy(&number, LMMessageGetData(message), sizeof number);
    disorders += last_note != 0 && number != last_note + 1;
    first_note = first_note == 0 ? number : first_note;
    last_note = number;
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    mach_port_t reply = message->head.msgh_remote_port;
    uint32_t notes[3];
    switch (message->head.msgh_id) {
    case DIE:
        kill(getpid(), SIGKILL);
        break;
    case KEEP:
        kept = reply;
        th_add(TAKEN);
        break;
    case DROP:
        mach_port_deallocate(mach_task_self(), reply);
        break;
    case INVALIDATE:
        CFMachPortInvalidate(port);
        break;
    case REPLY_TWICE:
        reply_twice(reply);
        break;
    case REPLY_LATER:
        reply_later(reply);
        break;
    case NOTE:
        note(message);
        break;
    case NOTES:
        notes[0] = first_note, notes[1] = last_note, notes[2] = (uint32_t)disorders;
        LMSendReply(reply, notes, sizeof notes);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

static void expect_error(LMConnectionRef connection, SInt32 id, kern_return_t expected)
{
    LMResponseBuffer buffer;
    memset(&buffer, 0xa5, sizeof buffer);
    assert_int_equal(LMConnectionSendTwoWay(connection, id, "stale bytes", 11, &buffer), expected);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
    assert_null(LMMessageGetData(&buffer.message));
    LMResponseBufferFree(&buffer);
}

/*
 * Intent: death during a call ends it; after a restart the same connection works.
 *   client             service
 *   call ----------->  kills itself
 *   error              restarted
 *   call ----------->
 *   <--------- answer
 */
static void a_kill_during_a_call_ends_it(void)
{
    LMConnection connection = th_connection(NAME);
    for (int i = 0; i < 5; i++) {
        pid_t service = th_serve(NAME, answer);
        if (i % 2 == 0)
            th_check_echo(&connection);
        expect_error(&connection, DIE, MACH_RCV_PORT_DIED);
        th_reap(service);
    }
    pid_t service = th_serve(NAME, answer);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

static void *killer(void *argument)
{
    th_await(TAKEN, 1);
    kill(*(pid_t *)argument, SIGKILL);
    return NULL;
}

/*
 * Intent: the same when the service dies while the caller waits.
 *   client             service
 *   call ----------->  keeps it
 *   ...                killed
 *   error
 */
static void a_kill_wakes_a_sleeping_caller(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, killer, &service), 0);
    expect_error(&connection, KEEP, MACH_RCV_PORT_DIED);
    pthread_join(thread, NULL);
    th_reap(service);
    th_close(&connection);
}

static void *keep_waiting(void *argument)
{
    LMConnection connection = *(LMConnection *)argument;
    expect_error(&connection, KEEP, MACH_RCV_PORT_DIED);
    return NULL;
}

/*
 * Intent: all waiting threads end, not only the one that reads the socket.
 *   threads A to F     service
 *   calls ---------->  keeps all six
 *   ...                killed
 *   six errors
 */
static void a_kill_wakes_all_callers(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    pthread_t threads[6];
    th_check_echo(&connection);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_waiting, &connection), 0);
    th_await(TAKEN, 6); /* otherwise the error would be MACH_SEND_INVALID_DEST */
    th_kill(service);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    th_close(&connection);
}

static void *kill_stopped(void *argument)
{
    th_wait_until(somebody_sleeps, NULL);
    kill(*(pid_t *)argument, SIGKILL); /* works on a stopped process */
    return NULL;
}

/*
 * Intent: a call that was not taken can be repeated, and its error says so.
 *   client                    service
 *                             (stopped)
 *   call ------------------>
 *   ...                       killed
 *   MACH_SEND_INVALID_DEST
 */
static void check_call_not_taken(bool asleep)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    pthread_t thread;
    th_check_echo(&connection);
    if (asleep)
        th_await_sleep(service); /* otherwise it would be stopped while it polls */
    th_pause(service);
    __atomic_store_n(&sleeps, 0, __ATOMIC_SEQ_CST);
    assert_int_equal(pthread_create(&thread, NULL, kill_stopped, &service), 0);
    expect_error(&connection, 100, MACH_SEND_INVALID_DEST);
    pthread_join(thread, NULL);
    th_reap(service);
    th_close(&connection);
}

static void a_call_not_taken_says_so(void)
{
    check_call_not_taken(true);
}

static void a_call_not_taken_by_a_busy_service_says_so(void)
{
    for (int i = 0; i < 20; i++)
        check_call_not_taken(false);
}

/*
 * Intent: the same for other waits: a large one-way message to be taken, a call for room.
 *   client                    service
 *                             (stopped)
 *   send ------------------>
 *   ...                       killed
 *   MACH_SEND_INVALID_DEST
 */
static void what_waited_for_a_dying_service_says_so(void)
{
    enum { LARGE = 800000 };
    for (int fills = 0; fills < 2; fills++) {
        pid_t service = th_serve(NAME, answer);
        LMConnection connection = th_connection(NAME);
        pthread_t thread;
        uint8_t *data = calloc(1, LARGE);
        assert_non_null(data);
        th_check_echo(&connection);
        th_pause(service);
        while (fills && LMConnectionSendOneWayWithTimeout(&connection, 100, data, 60000, 0) == 0)
            ;
        __atomic_store_n(&sleeps, 0, __ATOMIC_SEQ_CST);
        assert_int_equal(pthread_create(&thread, NULL, kill_stopped, &service), 0);
        if (fills)
            expect_error(&connection, 100, MACH_SEND_INVALID_DEST);
        else
            assert_int_equal(LMConnectionSendOneWay(&connection, 100, data, LARGE), MACH_SEND_INVALID_DEST);
        pthread_join(thread, NULL);
        th_reap(service);
        free(data);
        th_close(&connection);
    }
}

/*
 * Intent: the error if no process serves the name, or no longer does.
 *   client                      service
 *   call: unknown service
 *   call -------------------->  started
 *   <------------------ answer
 *                               killed
 *   call: unknown service
 */
static void an_unknown_service_is_an_error(void)
{
    LMConnection connection = th_connection(NAME);
    expect_error(&connection, 100, BOOTSTRAP_UNKNOWN_SERVICE);
    assert_int_equal(LMConnectionSendOneWay(&connection, NOTE, "1234", 4), BOOTSTRAP_UNKNOWN_SERVICE);
    assert_false(LMConnectionSendOneWayData(&connection, NOTE, NULL));
    pid_t service = th_serve(NAME, answer);
    th_check_echo(&connection);
    th_kill(service);
    expect_error(&connection, 100, BOOTSTRAP_UNKNOWN_SERVICE);
    assert_int_equal(LMConnectionSendEmptyOneWay(&connection, NOTE), BOOTSTRAP_UNKNOWN_SERVICE);
    th_close(&connection);
}

static kern_return_t start_result;

static void start_second(const struct th_service *me)
{
    unsigned before = th_descriptors();
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    unsigned with_loop = th_descriptors();
    start_result = LMStartService(NAME, loop, (CFMachPortCallBack)answer);
    assert_int_equal(start_result, me->info != NULL ? 0 : BOOTSTRAP_NAME_IN_USE);
    if (me->info == NULL) { /* nothing is left behind: no descriptor, no source on the loop */
        assert_true(th_descriptors() <= (with_loop > before ? with_loop : with_loop + 2));
        assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0, false), kCFRunLoopRunFinished);
    }
    th_ready();
    if (me->info != NULL)
        th_serve_until_stopped();
}

/*
 * Intent: a newcomer gets an error and does not disturb the owner; after the owner's death it gets the name.
 *   first          newcomer          client
 *   serves         start: in use     call --> first answers
 *   killed         start: 0          call --> newcomer answers
 */
static void a_name_has_one_owner_at_a_time(void)
{
    pid_t first = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    assert_int_equal(th_ask(&connection, TH_PROCESS_ID), first);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(th_reap(th_start(&(struct th_service){.program = start_second})), 0);
        assert_int_equal(th_ask(&connection, TH_PROCESS_ID), first);
        LMConnection fresh = th_connection(NAME);
        assert_int_equal(th_ask(&fresh, TH_PROCESS_ID), first);
    }
    th_kill(first);
    pid_t second = th_start(&(struct th_service){.program = start_second, .info = &connection});
    assert_int_equal(th_ask(&connection, TH_PROCESS_ID), second);
    th_close(&connection);
    th_stop(second);
}

static void serve_twice(const struct th_service *me)
{
    (void)me;
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    assert_int_equal(LMStartService(NAME, loop, (CFMachPortCallBack)answer), 0);
    assert_int_equal(LMStartService(NAME, loop, (CFMachPortCallBack)answer), BOOTSTRAP_NAME_IN_USE);
    th_ready();
    CFRunLoopRun(); /* until INVALIDATE has removed the only source */
    assert_int_equal(LMStartService(NAME, loop, (CFMachPortCallBack)answer), 0);
    th_serve_until_stopped();
}

static bool answers_again(void *connection)
{
    LMResponseBuffer buffer;
    kern_return_t result = LMConnectionSendTwoWay(connection, 100, "x", 1, &buffer);
    LMResponseBufferFree(&buffer);
    return result == 0;
}

static LMConnection waiting = {MACH_PORT_NULL, "test.death"};

/*
 * Intent: invalidating a service ends the deferred calls, frees the name and empties its loop.
 *   thread A           thread B                service
 *   call ------------------------------------> keeps it
 *                      call -----------------> invalidates itself
 *   dead port          dead port               its loop ends; it starts the same name again
 *                      call -----------------> answers
 */
static void invalidating_ends_waits_and_frees_the_name(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_twice});
    pthread_t thread;
    LMConnection connection = th_connection(NAME);
    th_check_echo(&waiting);
    assert_int_equal(pthread_create(&thread, NULL, keep_waiting, &waiting), 0);
    th_await(TAKEN, 1);
    expect_error(&connection, INVALIDATE, MACH_RCV_PORT_DIED);
    pthread_join(thread, NULL);
    th_wait_until(answers_again, &connection);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: deallocating the reply port ends the wait; the service lives on.
 *   client             service
 *   call ----------->  deallocates the reply port
 *   dead port
 *   call ----------->
 *   <--------- answer
 */
static void dropping_a_reply_port_ends_the_wait(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    for (int i = 0; i < 3; i++) {
        expect_error(&connection, DROP, MACH_RCV_PORT_DIED);
        th_check_echo(&connection);
    }
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: only the first reply counts; a second one gives the service an error.
 *   client             service
 *   call ----------->
 *   <---------- "one"  sent
 *                      "two": invalid right
 */
static void replying_twice_is_an_error(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    for (int i = 0; i < 3; i++) {
        LMResponseBuffer buffer;
        assert_int_equal(LMConnectionSendTwoWay(&connection, REPLY_TWICE, NULL, 0, &buffer), 0);
        assert_int_equal(LMMessageGetDataLength(&buffer.message), 3);
        assert_memory_equal(LMMessageGetData(&buffer.message), "one", 3);
        LMResponseBufferFree(&buffer);
        th_check_echo(&connection);
    }
    th_close(&connection);
    th_stop(service);
}

static void *ask_deferred(void *argument)
{
    assert_int_equal(th_ask(argument, REPLY_LATER), 4711);
    return NULL;
}

/*
 * Intent: the callback returns and another thread answers, while other clients are served.
 *   threads A to D     main thread        service
 *   calls ------------------------------> gives them to threads of its own
 *                      20 x call -------> answers at once
 *   <-------------------------- answers   the threads
 */
static void another_thread_may_reply(void)
{
    pid_t service = th_serve(NAME, answer);
    th_check_echo(&waiting);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_deferred, &waiting), 0);
    for (int i = 0; i < 20; i++)
        th_check_echo(&waiting);
    th_set(OTHERS_SERVED, 1);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    th_close(&waiting);
    th_stop(service);
}

static void send_notes(LMConnectionRef connection, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i <= to; i++)
        assert_int_equal(LMConnectionSendOneWay(connection, NOTE, &i, sizeof i), 0);
}

static void expect_notes(LMConnectionRef connection, uint32_t first, uint32_t last)
{
    LMResponseBuffer buffer;
    uint32_t notes[3];
    assert_int_equal(LMConnectionSendTwoWay(connection, NOTES, NULL, 0, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), sizeof notes);
    memcpy(notes, LMMessageGetData(&buffer.message), sizeof notes);
    LMResponseBufferFree(&buffer);
    assert_int_equal(notes[2], 0);
    assert_int_equal(notes[0], first);
    assert_int_equal(notes[1], last);
}

/*
 * Intent: one-way messages that were queued and not taken survive the service, in order, before newer ones.
 *   client                   service
 *   1 ... 10 ------------->  takes them
 *                            stopped
 *   11 ... 60 ------------>
 *                            killed
 *   61: unknown service
 *                            restarted
 *   61, 62 --------------->  takes 11 ... 62
 */
static void queued_messages_survive_a_kill(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    send_notes(&connection, 1, 10);
    expect_notes(&connection, 1, 10);
    th_pause(service);
    send_notes(&connection, 11, 60);
    th_kill(service);
    uint32_t number = 61;
    assert_int_equal(LMConnectionSendOneWay(&connection, NOTE, &number, sizeof number), BOOTSTRAP_UNKNOWN_SERVICE);
    service = th_serve(NAME, answer);
    send_notes(&connection, 61, 62);
    expect_notes(&connection, 11, 62);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: the same when the next use is a call, and over two deaths.
 *   client             service
 *                      (stopped)
 *   1 ... 20 ------->  killed
 *                      another, stopped
 *   21 ... 40 ------>  killed
 *                      a third one
 *   call ----------->  has 1 ... 40
 */
static void queued_messages_survive_two_kills(void)
{
    LMConnection connection = th_connection(NAME);
    for (int i = 0; i < 2; i++) {
        pid_t service = th_serve(NAME, answer);
        th_pause(service);
        send_notes(&connection, (uint32_t)i * 20 + 1, (uint32_t)i * 20 + 20);
        th_kill(service);
    }
    pid_t service = th_serve(NAME, answer);
    expect_notes(&connection, 1, 40);
    th_close(&connection);
    th_stop(service);
}

static void serve_and_reply_to_the_dead(const struct th_service *me)
{
    (void)me;
    assert_int_equal(LMStartService(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer), 0);
    th_ready();
    while (th_get(CLIENT_DEAD) == 0)
        CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0.002, false);
    CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0, false); /* a pass in which it can notice that */
    assert_int_not_equal(kept, MACH_PORT_NULL);
    assert_int_equal(LMSendReply(kept, "nobody", 6), MACH_SEND_INVALID_DEST);
    assert_int_equal(LMSendReply(kept, "nobody", 6), MACH_SEND_INVALID_RIGHT);
    th_serve_until_stopped();
}

static void call_and_be_killed(const struct th_service *me)
{
    (void)me;
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    th_check_echo(&connection);
    th_ready();
    LMConnectionSendTwoWay(&connection, KEEP, "x", 1, &buffer);
}

/*
 * Intent: a reply to a client that has ended gives a specific error.
 *   client             service
 *   call ----------->  keeps it
 *   killed             reply: invalid destination
 *                      reply again: invalid right
 */
static void a_reply_to_a_dead_client_is_an_error(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_and_reply_to_the_dead});
    pid_t client = th_start(&(struct th_service){.program = call_and_be_killed});
    th_await(TAKEN, 1);
    th_kill(client);
    th_set(CLIENT_DEAD, 1);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: closing a connection's port ends the calls under way over it.
 *   thread A           thread B                service
 *   call ------------------------------------> keeps it
 *                      deallocates the port
 *   dead port
 *                      call -----------------> answers
 */
static void deallocating_the_port_ends_calls(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    pthread_t thread;
    th_check_echo(&connection);
    assert_int_equal(pthread_create(&thread, NULL, keep_waiting, &connection), 0);
    th_await(TAKEN, 1);
    assert_int_equal(mach_port_deallocate(mach_task_self(), connection.serverPort), 0);
    pthread_join(thread, NULL);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(a_kill_during_a_call_ends_it),
        TH_TEST(a_kill_wakes_a_sleeping_caller),
        TH_TEST(a_kill_wakes_all_callers),
        TH_TEST(a_call_not_taken_says_so),
        TH_TEST(a_call_not_taken_by_a_busy_service_says_so),
        TH_TEST(what_waited_for_a_dying_service_says_so),
        TH_TEST(an_unknown_service_is_an_error),
        TH_TEST(a_name_has_one_owner_at_a_time),
        TH_TEST(invalidating_ends_waits_and_frees_the_name),
        TH_TEST(dropping_a_reply_port_ends_the_wait),
        TH_TEST(replying_twice_is_an_error),
        TH_TEST(another_thread_may_reply),
        TH_TEST(queued_messages_survive_a_kill),
        TH_TEST(queued_messages_survive_two_kills),
        TH_TEST(a_reply_to_a_dead_client_is_an_error),
        TH_TEST(deallocating_the_port_ends_calls),
    };
    return TH_MAIN(tests);
}
