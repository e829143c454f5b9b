/* SPDX-License-Identifier: MIT */
/* The guarantees that no single function makes: order over threads, queued means sent, taken is per message, at most
 * once, messages after a death, which side waits, and ownership of the data. */
int test_before_call(long number);
#define LM_TEST_SYSCALL test_before_call
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char NAME[] = "test.semantics";

enum { NOTE = 1, NOTES, BLOCK, SCRIBBLE, REPLY_TWICE_AT_ONCE, MARK, MARK_ONLY, ECHO = 77 };
/* Words. From SEEN on, one for each numbered message: the number of times that the callback was entered with it. */
enum { TAKEN, GO, MORTAL, NOTE_COUNT, DISORDERS, SEEN = 1000 };

static LMConnection shared = {MACH_PORT_NULL, "test.semantics"};

/* --- System calls of this side: points at which a test lets something happen --- */

static __thread bool is_watched;     /* the thread whose system calls are observed */
static unsigned sleeps;              /* of that thread; what it did before a sleep, like sending, is done */
static void (*before_look_up)(void); /* called once, before its next look-up */

int test_before_call(long number)
{
    if (!is_watched)
        return 0;
    __atomic_fetch_add(&sleeps, number == SYS_recvfrom || number == SYS_futex, __ATOMIC_SEQ_CST);
    if (number == SYS_openat && before_look_up != NULL) {
        void (*happens)(void) = before_look_up;
        before_look_up = NULL;
        happens();
    }
    return 0;
}

static bool it_sleeps(void *argument)
{
    (void)argument;
    return __atomic_load_n(&sleeps, __ATOMIC_SEQ_CST) > 0;
}

/* --- The service --- */

/* Notes are numbered from 1. */
static void note(LMMessage *message)
{
    uint32_t number;
    memcpy(&number, LMMessageGetData(message), sizeof number);
    th_add(NOTE_COUNT);
    if (number != th_get(NOTE_COUNT))
        th_add(DISORDERS);
}

static void block(mach_port_t reply)
{
    th_add(TAKEN);
    while (th_get(GO) == 0)
        th_sleep_ms(1);
    (void)LMSendReply(reply, NULL, 0); /* the caller may be gone */
}

static void mark(LMMessage *message, bool answers)
{
    uint32_t number;
    memcpy(&number, LMMessageGetData(message), sizeof number);
    th_add(SEEN + number);
    if (th_get(MORTAL) && number % 100 == 99)
        kill(getpid(), SIGKILL);
    if (answers)
        (void)LMSendReply(message->head.msgh_remote_port, &number, sizeof number);
}

/* Overwrites the request, frees nothing, and sends it back. */
static void scribble(LMMessage *message)
{
    uint32_t length = LMMessageGetDataLength(message);
    assert_int_equal((uintptr_t)LMMessageGetData(message) & 15, 0);
    th_fill(LMMessageGetData(message), length, 2);
    assert_int_equal(LMSendReply(message->head.msgh_remote_port, LMMessageGetData(message), length), 0);
}

struct replier {
    mach_port_t reply;
    int number;
    kern_return_t result;
};

static pthread_barrier_t both;

static void *reply_at_once(void *argument)
{
    struct replier *replier = argument;
    pthread_barrier_wait(&both);
    replier->result = LMSendIntegerReply(replier->reply, replier->number);
    return NULL;
}

static void reply_twice_at_once(mach_port_t reply)
{
    struct replier repliers[2] = {{reply, 1, -1}, {reply, 2, -1}};
    pthread_t thread;
    pthread_barrier_init(&both, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, reply_at_once, &repliers[0]), 0);
    reply_at_once(&repliers[1]);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&both);
    assert_int_equal(repliers[0].result + repliers[1].result, MACH_SEND_INVALID_RIGHT); /* one result is 0 */
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    switch (message->head.msgh_id) {
    case NOTE:
        note(message);
        break;
    case BLOCK:
        block(message->head.msgh_remote_port);
        break;
    case SCRIBBLE:
        scribble(message);
        break;
    case REPLY_TWICE_AT_ONCE:
        reply_twice_at_once(message->head.msgh_remote_port);
        break;
    case MARK:
    case MARK_ONLY:
        mark(message, message->head.msgh_id == MARK);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

static kern_return_t call(SInt32 id, const void *data, uint32_t length)
{
    LMResponseBuffer buffer;
    memset(&buffer, 0xa5, sizeof buffer);
    kern_return_t result = LMConnectionSendTwoWay(&shared, id, data, length, &buffer);
    LMResponseBufferFree(&buffer);
    return result;
}

static void send_notes(uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i <= to; i++)
        assert_int_equal(LMConnectionSendOneWay(&shared, NOTE, &i, sizeof i), 0);
}

/* This call comes after all messages that this process has sent. */
static void expect_notes(uint32_t count)
{
    assert_int_equal(call(ECHO, NULL, 0), 0);
    assert_int_equal(th_get(NOTE_COUNT), count);
    assert_int_equal(th_get(DISORDERS), 0);
}

/* --- Order --- */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static uint32_t next_note = 1;

static void *send_in_turns(void *argument)
{
    LMConnection own = th_connection(NAME);
    LMConnection *connection = *(int *)argument % 2 == 0 ? &shared : &own;
    uint32_t *bytes = calloc(1, 200000);
    assert_non_null(bytes);
    for (unsigned i = 0; i < th_rounds(2000); i++) {
        pthread_mutex_lock(&turn);
        uint32_t length = next_note % 50 == 0 ? 200000 : 4 + next_note % 90; /* the large ones go in pieces */
        bytes[0] = next_note++;
        assert_int_equal(LMConnectionSendOneWay(connection, NOTE, bytes, length), 0);
        pthread_mutex_unlock(&turn);
    }
    free(bytes);
    return NULL;
}

/*
 * Intent: messages arrive in the order in which their sends returned, over all threads, connections and sizes.
 *   thread A           thread B           service
 *   1 ----------------------------------> 1
 *                      2, 200 kB -------> 2
 *   3 ----------------------------------> 3
 */
static void order_holds_over_threads_and_sizes(void)
{
    pid_t service = th_serve(NAME, answer);
    pthread_t threads[4];
    int numbers[4] = {0, 1, 2, 3};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_in_turns, &numbers[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    expect_notes(next_note - 1);
    th_close(&shared);
    th_stop(service);
}

/* --- Queued means sent --- */

enum { SENT_LAST = 200 }; /* more than a service takes from one client in one turn */

static void serve_late(const struct th_service *me)
{
    (void)me;
    assert_int_equal(LMStartService(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)(void (*)(void))answer), 0);
    th_ready();
    th_await(GO, 1);
    th_serve_until_stopped();
}

static void send_and_exit(const struct th_service *me)
{
    for (uint32_t i = 1; i <= SENT_LAST; i++)
        assert_int_equal(LMConnectionSendOneWayWithTimeout(&shared, NOTE, &i, sizeof i, 0), 0);
    th_ready();
    if (me->info != NULL)
        kill(getpid(), SIGKILL);
    _exit(0);
}

static void expect_to_outlive_sender(pid_t service, bool is_killed)
{
    pid_t client = th_start(&(struct th_service){.program = send_and_exit, .info = is_killed ? &shared : NULL});
    th_reap(client);
    assert_int_equal(th_get(NOTE_COUNT), 0);
    th_set(GO, 1);
    th_await(NOTE_COUNT, SENT_LAST);
    assert_int_equal(th_get(DISORDERS), 0);
    th_stop(service);
}

/*
 * Intent: a service that has its name but does not serve yet loses no message; the sender need not even wait.
 *   client                 service
 *                          registers
 *   1 ... 200, no time ->
 *   exits                  runs its loop: 1 ... 200
 */
static void a_service_that_is_being_started_gets_everything(void)
{
    expect_to_outlive_sender(th_start(&(struct th_service){.program = serve_late}), false);
}

static void *be_blocked(void *argument)
{
    (void)argument;
    assert_int_equal(call(BLOCK, NULL, 0), 0);
    return NULL;
}

/*
 * Intent: the same for a service that is busy in a callback, when the sender is killed right after the sends.
 *   first client       client                 service
 *   call ------------------------------------> busy
 *                      1 ... 200, no time --->
 *                      killed                 done; 1 ... 200
 */
static void a_busy_service_gets_everything(void)
{
    pid_t service = th_serve(NAME, answer);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, be_blocked, NULL), 0);
    th_await(TAKEN, 1);
    expect_to_outlive_sender(service, true);
    pthread_join(thread, NULL);
    th_close(&shared);
}

/* --- Taken --- */

static void *expect_died_after_taking(void *argument)
{
    (void)argument;
    assert_int_equal(call(BLOCK, NULL, 0), MACH_RCV_PORT_DIED);
    return NULL;
}

static bool was_never_taken(kern_return_t result)
{
    return result == MACH_SEND_TIMED_OUT || result == MACH_SEND_INVALID_DEST || result == BOOTSTRAP_UNKNOWN_SERVICE;
}

static void *expect_never_taken(void *argument)
{
    (void)argument;
    is_watched = true;
    assert_true(was_never_taken(call(ECHO, NULL, 0))); /* it may come before or after the death */
    return NULL;
}

/*
 * Intent: taken is decided per message, before its callback runs: of two queued calls only the first was taken.
 *   thread A              thread B              service
 *   call ------------------------------------->  in its callback
 *                         call --------------->
 *   MACH_RCV_PORT_DIED    never taken            killed
 */
static void taken_is_per_message(void)
{
    pid_t service = th_serve(NAME, answer);
    pthread_t first, second;
    assert_int_equal(pthread_create(&first, NULL, expect_died_after_taking, NULL), 0);
    th_await(TAKEN, 1);
    assert_int_equal(pthread_create(&second, NULL, expect_never_taken, NULL), 0);
    th_wait_until(it_sleeps, NULL);
    th_kill(service);
    pthread_join(first, NULL);
    pthread_join(second, NULL);
    th_close(&shared);
}

/* --- At most once --- */

/* The result that the caller got for a message must match what happened to it. */
static void expect_truth(uint32_t number, kern_return_t result, bool service_lives)
{
    uint32_t seen = th_get(SEEN + number);
    if (result == 0)
        assert_int_equal(seen, 1);
    else if (was_never_taken(result))
        assert_int_equal(seen, 0);
    else if (service_lives && result == MACH_RCV_TIMED_OUT)
        assert_int_equal(seen, 1);
    else if (result == MACH_RCV_PORT_DIED)
        assert_true(seen <= 1); /* the service may have died between taking and calling back */
    else
        fail_msg("message %u: 0x%x", number, (unsigned)result);
}

/*
 * Intent: a call that times out either was taken or never will be, and the error says which.
 *   client                     service
 *   call 1, 0 to 2 ms ------>  marks it, perhaps answers in time
 *   call 2, ...
 *   in the end: what was said of each against its mark
 */
static void a_time_out_tells_whether_it_was_taken(void)
{
    enum { MOST = 20000 };
    static kern_return_t results[MOST];
    pid_t service = th_serve(NAME, answer);
    uint32_t count = th_rounds(MOST);
    for (uint32_t i = 0; i < count; i++) {
        LMResponseBuffer buffer;
        SInt32 id = i % 16 == 0 ? MARK_ONLY : MARK;
        results[i] = LMConnectionSendTwoWayWithTimeout(&shared, id, &i, sizeof i, i % 3, &buffer);
        LMResponseBufferFree(&buffer);
    }
    assert_int_equal(call(ECHO, NULL, 0), 0);
    for (uint32_t i = 0; i < count; i++)
        expect_truth(i, results[i], true);
    th_close(&shared);
    th_stop(service);
}

enum { CALLERS = 4, CALLS_EACH = 15000 };
static kern_return_t told[CALLERS * CALLS_EACH];
static uint32_t told_count[CALLERS];
static uint32_t calling_is_over;

static void *call_until_over(void *argument)
{
    uint32_t caller = *(uint32_t *)argument, i = 0;
    for (; i < CALLS_EACH && !__atomic_load_n(&calling_is_over, __ATOMIC_ACQUIRE); i++) {
        uint32_t number = caller * CALLS_EACH + i;
        LMResponseBuffer buffer;
        told[number] = LMConnectionSendTwoWay(&shared, MARK, &number, sizeof number, &buffer);
        if (told[number] == 0)
            assert_int_equal(LMResponseConsumeInteger(&buffer), number);
        LMResponseBufferFree(&buffer);
        if (told[number] == BOOTSTRAP_UNKNOWN_SERVICE)
            th_sleep_ms(1);
    }
    told_count[caller] = i;
    return NULL;
}

/*
 * Intent: whenever the service is killed, each call of each thread is handled at most once, and its error is right.
 *   threads A to D     service
 *   calls ---------->  marks and answers; sometimes it kills itself after the mark
 *                      killed at any moment, and started again; and again
 *   in the end: what was said of each against its mark
 */
static void kills_leave_no_call_in_doubt(void)
{
    pthread_t threads[CALLERS];
    uint32_t numbers[CALLERS];
    th_set(MORTAL, 1);
    pid_t service = th_serve(NAME, answer);
    for (uint32_t i = 0; i < CALLERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, call_until_over, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < 60; i++) {
        th_sleep_ms(i % 7); /* not to wait for something: to kill at different moments */
        th_kill(service);
        service = th_serve(NAME, answer);
    }
    __atomic_store_n(&calling_is_over, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    th_set(MORTAL, 0);
    th_kill(service); /* unless a call has killed it already */
    service = th_serve(NAME, answer);
    assert_int_equal(call(ECHO, NULL, 0), 0);
    for (uint32_t i = 0; i < CALLERS; i++)
        for (uint32_t j = 0; j < told_count[i]; j++)
            expect_truth(i * CALLS_EACH + j, told[i * CALLS_EACH + j], false);
    th_close(&shared);
    th_stop(service);
}

/* --- A service dies --- */

static pid_t first_service, second_service;

static void start_second(void)
{
    th_reap(first_service); /* the name is free a little later than the client learns of the death */
    second_service = th_serve(NAME, answer);
}

static void *kill_stopped(void *argument)
{
    th_wait_until(it_sleeps, NULL);
    kill(*(pid_t *)argument, SIGKILL);
    return NULL;
}

/* Queues notes 1 to 10 and a call at a stopped service, which is then killed, and replaced before it is looked up. */
static void call_over_a_restart(uint32_t length)
{
    static uint8_t bytes[300000];
    pthread_t thread;
    first_service = th_serve(NAME, answer);
    th_check_echo(&shared);
    th_pause(first_service);
    send_notes(1, 10);
    is_watched = true;
    before_look_up = start_second;
    assert_int_equal(pthread_create(&thread, NULL, kill_stopped, &first_service), 0);
    assert_int_equal(call(ECHO, bytes, length), 0);
    pthread_join(thread, NULL);
    assert_int_equal(th_get(NOTE_COUNT), 10); /* they come first, and in order */
    assert_int_equal(th_get(DISORDERS), 0);
    th_close(&shared);
    th_stop(second_service);
}

/*
 * Intent: a call that a dead service had not taken goes to its successor, after the one-way messages that it had left.
 *   client             first service          second service
 *                      (stopped)
 *   1 ... 10 ------->
 *   call ----------->
 *                      killed                 started
 *   looks up again
 *   1 ... 10, call ------------------------>  answers
 */
static void a_call_not_taken_is_sent_again(void)
{
    call_over_a_restart(8);
}

/* Intent: the same for a call that was being sent in pieces. The timeline is the one above. */
static void a_large_call_not_taken_is_sent_again(void)
{
    call_over_a_restart(300000);
}

/*
 * Intent: one-way messages that a dead service left go first, in order, also before the next one-way message.
 *   client             service
 *                      (stopped)
 *   1 ... 50 ------->
 *                      killed; another
 *   51 ------------->  1 ... 51
 */
static void messages_left_go_first(void)
{
    pid_t service = th_serve(NAME, answer);
    th_check_echo(&shared);
    th_pause(service);
    send_notes(1, 50);
    th_kill(service);
    service = th_serve(NAME, answer);
    send_notes(51, 51);
    expect_notes(51);
    th_close(&shared);
    th_stop(service);
}

/* --- Replies --- */

/*
 * Intent: of two replies at the same moment one is sent, and the other gets an error.
 *   client             service's thread A       B
 *   call ----------->  reply 1                  reply 2
 *   <--------- 1 or 2  one of them: invalid right
 */
static void of_two_replies_at_once_one_counts(void)
{
    pid_t service = th_serve(NAME, answer);
    for (unsigned i = 0; i < th_rounds(500); i++) {
        int32_t got = th_ask(&shared, REPLY_TWICE_AT_ONCE);
        assert_true(got == 1 || got == 2);
    }
    th_close(&shared);
    th_stop(service);
}

/* --- Flow --- */

enum { FLOOD = 30000 }; /* of 64 bytes each: more than any ring holds */

static void *flood(void *argument)
{
    (void)argument;
    is_watched = true;
    send_notes(1, FLOOD);
    return NULL;
}

/*
 * Intent: a full queue makes the sender wait, as long as necessary if it has no timeout, and loses nothing.
 *   client                       service
 *                                (stopped)
 *   1 ... full: sleeps ------->
 *                                goes on
 *   ... 30000 ---------------->  1 ... 30000
 */
static void a_full_queue_makes_the_sender_wait(void)
{
    pid_t service = th_serve(NAME, answer);
    pthread_t thread;
    th_check_echo(&shared);
    th_pause(service);
    assert_int_equal(pthread_create(&thread, NULL, flood, NULL), 0);
    th_wait_until(it_sleeps, NULL);
    th_resume(service);
    pthread_join(thread, NULL);
    expect_notes(FLOOD);
    th_close(&shared);
    th_stop(service);
}

static void call_and_stop_reading(const struct th_service *me)
{
    static uint8_t large[8 << 20];
    LMResponseBuffer buffer;
    (void)me;
    th_check_echo(&shared);
    th_ready();
    th_fill(large, sizeof large, 1);
    assert_int_equal(LMConnectionSendTwoWay(&shared, BLOCK + 100, large, sizeof large, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), sizeof large);
    assert_true(th_is_filled(LMMessageGetData(&buffer.message), sizeof large, 1));
    LMResponseBufferFree(&buffer);
    exit(0);
}

static void answer_and_count(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    bool is_large = message->head.msgh_id == BLOCK + 100;
    if (is_large) {
        th_add(TAKEN);
        th_await(GO, 1); /* its client is stopped now */
    }
    th_echo(port, message, size, info);
}

/*
 * Intent: a client that does not read a large answer blocks neither the service nor other clients.
 *   client A                client B           service
 *   call, 8 MiB ------------------------------> takes it
 *   stopped                                     answers 8 MiB, as far as there is room
 *                           call ------------->
 *                           <----------- answer
 *   goes on, gets it all
 */
static void a_client_that_does_not_read_delays_nobody(void)
{
    pid_t service = th_serve(NAME, answer_and_count);
    pid_t client = th_start(&(struct th_service){.program = call_and_stop_reading});
    th_await(TAKEN, 1);
    th_pause(client);
    th_set(GO, 1);
    for (int i = 0; i < 20; i++)
        th_check_echo(&shared);
    th_resume(client);
    assert_int_equal(th_reap(client), 0);
    th_close(&shared);
    th_stop(service);
}

/* --- Data --- */

/*
 * Intent: a request's data belong to the callback, aligned and writable; the sender's bytes do not change.
 *   client                  service
 *   n bytes of seed 1 --->  overwrites them in place
 *   <---------------------  n bytes of seed 2
 */
static void request_data_are_the_callbacks_own(void)
{
    static const uint32_t lengths[] = {1, 16, 100, 4096, 4097, 65536, 65537, 1000000};
    static uint8_t bytes[1000000];
    pid_t service = th_serve(NAME, answer);
    for (size_t i = 0; i < 2 * sizeof lengths / sizeof *lengths; i++) {
        uint32_t length = lengths[i / 2];
        LMResponseBuffer buffer;
        th_fill(bytes, length, 1);
        assert_int_equal(LMConnectionSendTwoWay(&shared, SCRIBBLE, bytes, length, &buffer), 0);
        assert_int_equal(LMMessageGetDataLength(&buffer.message), length);
        assert_true(th_is_filled(LMMessageGetData(&buffer.message), length, 2));
        assert_true(th_is_filled(bytes, length, 1));
        LMResponseBufferFree(&buffer);
    }
    th_close(&shared);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(order_holds_over_threads_and_sizes),
        TH_TEST(a_service_that_is_being_started_gets_everything),
        TH_TEST(a_busy_service_gets_everything),
        TH_TEST(taken_is_per_message),
        TH_TEST(a_time_out_tells_whether_it_was_taken),
        TH_TEST(kills_leave_no_call_in_doubt),
        TH_TEST(a_call_not_taken_is_sent_again),
        TH_TEST(a_large_call_not_taken_is_sent_again),
        TH_TEST(messages_left_go_first),
        TH_TEST(of_two_replies_at_once_one_counts),
        TH_TEST(a_full_queue_makes_the_sender_wait),
        TH_TEST(a_client_that_does_not_read_delays_nobody),
        TH_TEST(request_data_are_the_callbacks_own),
    };
    return TH_MAIN(tests);
}
