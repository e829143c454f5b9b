/* SPDX-License-Identifier: MIT */
/* Asynchronous calls: each ends once, with its own answer or error, in its run loop, while the sender goes on. */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "test.async";

enum { ECHO = 100, KEEP = 1, ANSWER_BACKWARDS, DIE, COUNT_TAKEN, TAKE = 200 };
enum { MANY = 10000 };

/* --- The service --- */

static mach_port_t kept[MANY];
static uint32_t kept_numbers[MANY];
static uint32_t kept_count, taken_count;

static void keep(LMMessage *message)
{
    memcpy(&kept_numbers[kept_count], LMMessageGetData(message), 4);
    kept[kept_count++] = message->head.msgh_remote_port;
}

static void answer_backwards(mach_port_t reply)
{
    uint32_t count = kept_count;
    while (kept_count > 0) {
        kept_count--;
        assert_int_equal(LMSendIntegerReply(kept[kept_count], (int)kept_numbers[kept_count] * 3), 0);
    }
    assert_int_equal(LMSendIntegerReply(reply, (int)count), 0);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    switch (message->head.msgh_id) {
    case KEEP:
        keep(message);
        break;
    case ANSWER_BACKWARDS:
        answer_backwards(message->head.msgh_remote_port);
        break;
    case DIE:
        kill(getpid(), SIGKILL);
        break;
    case COUNT_TAKEN:
        assert_int_equal(LMSendIntegerReply(message->head.msgh_remote_port, (int)taken_count), 0);
        break;
    case TAKE:
        taken_count++;
        th_echo(port, message, size, info);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

/* --- The client --- */

/* The outcome of one call. */
struct outcome {
    uint32_t number;
    uint32_t calls_back;
    kern_return_t status;
    int32_t integer;
    LMCallRef call;
};

static uint32_t finished;

static void note(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info)
{
    struct outcome *outcome = info;
    assert_true(outcome->call == NULL || outcome->call == call);
    outcome->calls_back++;
    outcome->status = status;
    outcome->integer = LMResponseConsumeInteger(response);
    finished++;
}

static void expect(const struct outcome *outcome, kern_return_t status)
{
    assert_int_equal(outcome->calls_back, 1);
    assert_int_equal(outcome->status, status);
}

/* Sends the outcome's number with that id. */
static void begin_for(LMConnectionRef connection, SInt32 id, struct outcome *outcome, uint32_t milliseconds)
{
    LMCallRef call = NULL;
    outcome->call = NULL;
    assert_int_equal(LMConnectionSendTwoWayAsync(connection, id, &outcome->number, 4, milliseconds,
                                                 CFRunLoopGetCurrent(), note, outcome, &call),
                     0);
    assert_non_null(call);
    outcome->call = call;
}

static void begin(LMConnectionRef connection, SInt32 id, struct outcome *outcome)
{
    begin_for(connection, id, outcome, LM_TIMEOUT_NEVER);
}

static struct outcome *begin_many(LMConnectionRef connection, SInt32 id, uint32_t count)
{
    struct outcome *outcomes = calloc(count, sizeof *outcomes);
    for (uint32_t i = 0; i < count; i++) {
        outcomes[i].number = i;
        begin(connection, id, &outcomes[i]);
    }
    return outcomes;
}

static void release(struct outcome *outcomes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        CFRelease(outcomes[i].call);
}

/* Runs the main loop until it has nothing to wait for: all calls have ended. The loop itself stays. */
static void finish(void)
{
    th_expect_more_descriptors(2);
    CFRunLoopRun();
}

/* --- Tests --- */

/*
 * Intent: a call goes out at once, and comes back in the loop, which then ends.
 *   client --1..5--> service
 *   client runs its loop: 1..5
 */
static void calls_are_answered(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    struct outcome *outcomes = begin_many(&connection, ECHO, 5);
    assert_int_equal(finished, 0);
    finish();
    for (uint32_t i = 0; i < 5; i++) {
        expect(&outcomes[i], 0);
        assert_int_equal(outcomes[i].integer, i);
    }
    release(outcomes, 5);
    free(outcomes);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: thousands of calls are under way on one connection, answered in another order, and each gets its own answer.
 *   client --1..10,000--> service keeps them
 *   client --ANSWER--> service: 10,000, 9,999, ... 1
 */
static void ten_thousand_are_outstanding(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    struct outcome *outcomes = begin_many(&connection, KEEP, MANY);
    assert_int_equal(th_ask(&connection, ANSWER_BACKWARDS), MANY);
    finish();
    for (uint32_t i = 0; i < MANY; i++) {
        expect(&outcomes[i], 0);
        assert_int_equal(outcomes[i].integer, i * 3);
    }
    release(outcomes, MANY);
    free(outcomes);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a service that hangs does not block the sender, and order is kept between the line and a thread's later send.
 *   service stopped
 *   client --10,000 x 1 KiB--> line
 *   client --call--> MACH_SEND_TIMED_OUT
 *   resumed: all, in order
 */
static void a_stopped_service_holds_nobody(void)
{
    static char kilobyte[1024];
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    struct outcome outcome = {0};
    th_check_echo(&connection);
    th_pause(service);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(LMConnectionSendTwoWayAsync(&connection, TAKE, kilobyte, sizeof kilobyte, LM_TIMEOUT_NEVER,
                                                     CFRunLoopGetCurrent(), note, &outcome, NULL),
                         0);
    assert_int_equal(LMConnectionSendTwoWayWithTimeout(&connection, ECHO, "x", 1, 50, &response), MACH_SEND_TIMED_OUT);
    th_resume(service);
    assert_int_equal(th_ask(&connection, COUNT_TAKEN), MANY);
    finish();
    assert_int_equal(outcome.calls_back, MANY);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a call cancelled before it was taken is never taken; one that was taken is not answered; neither calls back.
 *   client --KEEP 1--> taken
 *   cancel 1
 *   service stopped, client --TAKE 2-->
 *   cancel 2
 *   service goes on: none taken
 */
static void a_cancelled_call_never_calls_back(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    struct outcome taken = {.number = 1}, untaken = {.number = 2};
    begin(&connection, KEEP, &taken);
    th_check_echo(&connection);
    assert_true(LMCallCancel(taken.call));
    th_pause(service);
    begin(&connection, TAKE, &untaken);
    assert_true(LMCallCancel(untaken.call));
    assert_false(LMCallCancel(untaken.call));
    th_resume(service);
    assert_int_equal(th_ask(&connection, COUNT_TAKEN), 0);
    assert_int_equal(th_ask(&connection, ANSWER_BACKWARDS), 1);
    finish();
    assert_int_equal(taken.calls_back + untaken.calls_back, 0);
    CFRelease(taken.call);
    CFRelease(untaken.call);
    assert_false(LMCallCancel(NULL));
    th_close(&connection);
    th_stop(service);
}

static void cancel_another(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info)
{
    struct outcome *other = info;
    (void)status, (void)response;
    assert_false(LMCallCancel(call));
    assert_true(LMCallCancel(other->call));
}

/*
 * Intent: the same from a callback, when the other call's answer has already come.
 *   client --A, B--> service answers both
 *   A's callback cancels B
 */
static void a_callback_cancels_another_call(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    struct outcome other = {.number = 2};
    assert_int_equal(LMConnectionSendTwoWayAsync(&connection, ECHO, "1234", 4, LM_TIMEOUT_NEVER, CFRunLoopGetCurrent(),
                                                 cancel_another, &other, NULL),
                     0);
    begin(&connection, ECHO, &other);
    th_check_echo(&connection);
    finish();
    assert_int_equal(other.calls_back, 0);
    CFRelease(other.call);
    th_close(&connection);
    th_stop(service);
}

static void *cancel_all(void *argument)
{
    struct outcome *outcomes = argument;
    uint32_t *cancelled = malloc(sizeof *cancelled * MANY);
    for (uint32_t i = 0; i < MANY; i++)
        cancelled[i] = LMCallCancel(outcomes[i].call);
    return cancelled;
}

/*
 * Intent: one thread cancels while another receives answers: each call ends in one of the two ways.
 *
 *   client --1..many--> service answers
 *   thread cancels 1..many while the loop hands the answers out
 */
static void cancelling_races_with_answers(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    struct outcome *outcomes = begin_many(&connection, ECHO, MANY);
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, cancel_all, outcomes), 0);
    finish();
    pthread_join(thread, &result);
    uint32_t *cancelled = result;
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(cancelled[i] + outcomes[i].calls_back, 1);
    free(cancelled);
    release(outcomes, MANY);
    free(outcomes);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: one deadline for the whole call, and an error that tells whether the call was taken.
 *   client --KEEP--> taken: MACH_RCV_TIMED_OUT
 *   service stopped, client --TAKE--> MACH_SEND_TIMED_OUT, and never taken
 */
static void a_call_ends_in_time(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    struct outcome taken = {.number = 1}, untaken = {.number = 2}, polled = {.number = 3};
    begin_for(&connection, KEEP, &taken, 400);
    th_check_echo(&connection);
    th_pause(service);
    begin_for(&connection, TAKE, &untaken, 50);
    begin_for(&connection, TAKE, &polled, 0);
    finish();
    th_resume(service);
    expect(&taken, MACH_RCV_TIMED_OUT);
    expect(&untaken, MACH_SEND_TIMED_OUT);
    expect(&polled, MACH_SEND_TIMED_OUT);
    assert_int_equal(th_ask(&connection, COUNT_TAKEN), 0);
    release(&taken, 1);
    release(&untaken, 1);
    release(&polled, 1);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: death ends a call that was taken.
 *   client --KEEP--> taken
 *   killed: MACH_RCV_PORT_DIED
 */
static void death_ends_a_taken_call(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    struct outcome kept_one = {.number = 1}, killer = {.number = 2};
    begin(&connection, KEEP, &kept_one);
    begin(&connection, DIE, &killer);
    finish();
    th_reap(service);
    expect(&kept_one, MACH_RCV_PORT_DIED);
    expect(&killer, MACH_RCV_PORT_DIED);
    release(&kept_one, 1);
    release(&killer, 1);
    th_close(&connection);
}

/*
 * Intent: calls that were not taken go to the restarted service, also those in the line; without a service they end.
 *   service stopped, client --10,000-->
 *   killed
 *   restarted: all answered
 *   stopped, --1-->
 *   killed: error
 */
static void calls_not_taken_move_on(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_pause(service);
    struct outcome *outcomes = begin_many(&connection, TAKE, MANY);
    th_kill(service);
    service = th_serve(NAME, answer);
    finish();
    for (uint32_t i = 0; i < MANY; i++) {
        expect(&outcomes[i], 0);
        assert_int_equal(outcomes[i].integer, i);
    }
    assert_int_equal(th_ask(&connection, COUNT_TAKEN), MANY);
    release(outcomes, MANY);
    th_pause(service);
    outcomes[0] = (struct outcome){0};
    begin(&connection, TAKE, &outcomes[0]);
    th_kill(service);
    finish();
    expect(&outcomes[0], MACH_SEND_INVALID_DEST);
    release(outcomes, 1);
    free(outcomes);
    th_close(&connection);
}

enum { TAKEN, DISORDERS }; /* words */

static void take_in_order(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    uint32_t number;
    if (message->head.msgh_id == TAKE) {
        memcpy(&number, LMMessageGetData(message), sizeof number);
        if (number != th_get(TAKEN))
            th_add(DISORDERS);
        th_add(TAKEN);
    }
    th_echo(port, message, size, info);
}

/* Sends calls and one-way messages alternately, with the numbers `from` to `to`. */
static void send_numbers(LMConnectionRef connection, struct outcome *outcomes, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        outcomes[i].number = i;
        if (i % 2)
            assert_int_equal(LMConnectionSendOneWay(connection, TAKE, &i, sizeof i), 0);
        else
            begin(connection, TAKE, &outcomes[i]);
    }
}

/*
 * Intent: messages that a dead service left come before messages sent later, calls and one-way messages alike.
 *   service stopped, client --0..1999-->
 *   killed, restarted
 *   client --call--> answered, by the new service
 *   client --2000..2099--> before its loop ran
 *   service: 0..2099
 */
static void calls_that_move_keep_their_order(void)
{
    enum { UNTAKEN = 2000, ALL = 2100 };
    struct outcome *outcomes = calloc(ALL, sizeof *outcomes);
    pid_t service = th_serve(NAME, take_in_order);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_pause(service);
    send_numbers(&connection, outcomes, 0, UNTAKEN);
    th_kill(service);
    service = th_serve(NAME, take_in_order);
    th_check_echo(&connection);
    send_numbers(&connection, outcomes, UNTAKEN, ALL);
    finish();
    th_await(TAKEN, ALL);
    assert_int_equal(th_get(DISORDERS), 0);
    for (uint32_t i = 0; i < ALL; i += 2) {
        expect(&outcomes[i], 0);
        release(&outcomes[i], 1);
    }
    free(outcomes);
    th_close(&connection);
    th_stop(service);
}

enum { LARGE = 3000000 };

static void check_large(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info)
{
    (void)call;
    assert_int_equal(status, 0);
    assert_int_equal(LMMessageGetDataLength(&response->message), LARGE);
    assert_true(th_is_filled(LMMessageGetData(&response->message), LARGE, (uintptr_t)info));
    finished++;
}

/*
 * Intent: large messages go in pieces without blocking the sender, between small ones and a thread's large ones.
 *
 *   client --large, small, large, small, large, small--> nobody waits
 *   client --large--> waits: its own answer
 *   client runs its loop: the other six
 */
static void large_calls_are_answered(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    uint8_t *data = malloc(LARGE);
    struct outcome small[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    for (uintptr_t i = 0; i < 3; i++) {
        th_fill(data, LARGE, i);
        assert_int_equal(LMConnectionSendTwoWayAsync(&connection, ECHO, data, LARGE, LM_TIMEOUT_NEVER,
                                                     CFRunLoopGetCurrent(), check_large, (void *)i, NULL),
                         0);
        begin(&connection, ECHO, &small[i]);
    }
    th_fill(data, LARGE, 9);
    assert_int_equal(LMConnectionSendTwoWay(&connection, ECHO, data, LARGE, &response), 0);
    assert_true(th_is_filled(LMMessageGetData(&response.message), LARGE, 9));
    LMResponseBufferFree(&response);
    finish();
    assert_int_equal(finished, 6);
    free(data);
    release(small, 3);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a large message cancelled in the middle leaves the channel usable.
 *   service stopped
 *   client --3 MB--> ring full
 *   cancelled
 *   resumed: the next one arrives
 */
static void a_large_call_is_cancelled_in_the_middle(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    uint8_t *data = calloc(1, LARGE);
    LMCallRef call;
    th_check_echo(&connection);
    th_pause(service);
    assert_int_equal(LMConnectionSendTwoWayAsync(&connection, TAKE, data, LARGE, LM_TIMEOUT_NEVER,
                                                 CFRunLoopGetCurrent(), note, NULL, &call),
                     0);
    assert_true(LMCallCancel(call));
    CFRelease(call);
    th_resume(service);
    th_fill(data, LARGE, 5);
    assert_int_equal(LMConnectionSendTwoWayAsync(&connection, ECHO, data, LARGE, LM_TIMEOUT_NEVER,
                                                 CFRunLoopGetCurrent(), check_large, (void *)5, NULL),
                     0);
    finish();
    assert_int_equal(finished, 1);
    assert_int_equal(th_ask(&connection, COUNT_TAKEN), 0);
    free(data);
    th_close(&connection);
    th_stop(service);
}

struct chain {
    LMConnection *connection;
    uint32_t left;
};

static void next_link(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info)
{
    struct chain *chain = info;
    (void)call;
    assert_int_equal(status, 0);
    assert_int_equal(LMResponseConsumeInteger(response), chain->left);
    if (--chain->left > 0)
        assert_int_equal(LMConnectionSendTwoWayAsync(chain->connection, ECHO, &chain->left, 4, LM_TIMEOUT_NEVER,
                                                     CFRunLoopGetCurrent(), next_link, chain, NULL),
                         0);
}

static void run_chain(struct chain *chain)
{
    assert_int_equal(LMConnectionSendTwoWayAsync(chain->connection, ECHO, &chain->left, 4, LM_TIMEOUT_NEVER,
                                                 CFRunLoopGetCurrent(), next_link, chain, NULL),
                     0);
    CFRunLoopRun();
    assert_int_equal(chain->left, 0);
}

static void *run_chain_in_thread(void *connection)
{
    struct chain chain = {connection, th_rounds(5000)};
    run_chain(&chain);
    return NULL;
}

static void *call_in_thread(void *connection)
{
    for (uint32_t i = 0; i < th_rounds(5000); i++)
        th_check_echo(connection);
    return NULL;
}

/*
 * Intent: loops of two threads and calls of two more share a channel; the thread that wakes hands out all answers.
 *
 *   threads 1, 3: loops, each answer sends the next call
 *   threads 2, 4: call and wait
 */
static void loops_and_threads_share_a_channel(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i % 2 ? call_in_thread : run_chain_in_thread, &connection),
                         0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    th_close(&connection);
    th_stop(service);
}

/* Intent: a call that cannot begin returns an error, and calls nothing back. */
static void a_call_that_cannot_begin_says_so(void)
{
    LMConnection connection = th_connection(NAME), nameless = th_connection("");
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    LMCallRef call = (LMCallRef)(uintptr_t)1;
    assert_int_equal(LMConnectionSendTwoWayAsync(&connection, ECHO, NULL, 0, 1000, loop, note, NULL, &call),
                     BOOTSTRAP_UNKNOWN_SERVICE);
    assert_null(call);
    assert_int_equal(LMConnectionSendTwoWayAsync(&nameless, ECHO, NULL, 0, 1000, loop, note, NULL, NULL),
                     KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSendTwoWayAsync(NULL, ECHO, NULL, 0, 1000, loop, note, NULL, NULL),
                     KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSendTwoWayAsync(&connection, ECHO, NULL, 5, 1000, loop, note, NULL, NULL),
                     KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSendTwoWayAsync(&connection, ECHO, NULL, 0, 1000, NULL, note, NULL, NULL),
                     KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSendTwoWayAsync(&connection, ECHO, NULL, 0, 1000, loop, NULL, NULL, NULL),
                     KERN_INVALID_ARGUMENT);
    CFRunLoopRun();
    assert_int_equal(finished, 0);
}

/*
 * Intent: the service's limit holds, and nothing of the message is sent.
 *   client --3 MB--> [largest: 1 MB] error
 */
static void a_call_too_large_ends_with_an_error(void)
{
    pid_t service = th_start(&(struct th_service){.name = NAME, .callback = answer, .largest = 1000000});
    LMConnection connection = th_connection(NAME);
    struct outcome outcome = {0};
    uint8_t *data = calloc(1, LARGE);
    assert_int_equal(LMConnectionSendTwoWayAsync(&connection, TAKE, data, LARGE, LM_TIMEOUT_NEVER,
                                                 CFRunLoopGetCurrent(), note, &outcome, NULL),
                     0);
    finish();
    expect(&outcome, MACH_SEND_TOO_LARGE);
    assert_int_equal(th_ask(&connection, COUNT_TAKEN), 0);
    free(data);
    th_close(&connection);
    th_stop(service);
}

static void fork_now(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info)
{
    struct outcome *other = info;
    (void)call, (void)status, (void)response;
    pid_t child = fork();
    if (child == 0)
        _exit(LMCallCancel(other->call)); /* the call is not the child's to cancel */
    int child_status = -1;
    assert_int_equal(waitpid(child, &child_status, 0), child);
    assert_int_equal(child_status, 0);
}

/*
 * Intent: a child has none of its parent's calls.
 *   client --A, B-->
 *   A's callback forks
 *   child: nothing to cancel
 *   parent: B is answered
 */
static void a_forked_child_has_no_calls(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    struct outcome other = {.number = 7};
    assert_int_equal(LMConnectionSendTwoWayAsync(&connection, ECHO, "1234", 4, LM_TIMEOUT_NEVER, CFRunLoopGetCurrent(),
                                                 fork_now, &other, NULL),
                     0);
    begin(&connection, ECHO, &other);
    finish();
    expect(&other, 0);
    assert_int_equal(other.integer, 7);
    release(&other, 1);
    th_close(&connection);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(calls_are_answered),
        TH_TEST(ten_thousand_are_outstanding),
        TH_TEST(a_stopped_service_holds_nobody),
        TH_TEST(a_cancelled_call_never_calls_back),
        TH_TEST(a_callback_cancels_another_call),
        TH_TEST(cancelling_races_with_answers),
        TH_TEST(a_call_ends_in_time),
        TH_TEST(death_ends_a_taken_call),
        TH_TEST(calls_not_taken_move_on),
        TH_TEST(calls_that_move_keep_their_order),
        TH_TEST(large_calls_are_answered),
        TH_TEST(a_large_call_is_cancelled_in_the_middle),
        TH_TEST(loops_and_threads_share_a_channel),
        TH_TEST(a_call_that_cannot_begin_says_so),
        TH_TEST(a_call_too_large_ends_with_an_error),
        TH_TEST(a_forked_child_has_no_calls),
    };
    return TH_MAIN(tests);
}
