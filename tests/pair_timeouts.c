/* SPDX-License-Identifier: MIT */
/* The timeout belongs to the translation unit; a call lasts no longer, and its error tells whether it was taken. This
 * unit sets no timeout. */
#include "harness.h"
#include "pair_timeouts_units.h"

#include <pthread.h>
#include <unistd.h>

static const char NAME[] = "test.timeouts";

enum { KEEP = 1, ANSWER_KEPT, COUNT, COUNTED, SLEEP_100, KEEP_MORE, ANSWER_MORE, LEAST = 290 };
enum { LATE_ANSWERS }; /* words */
enum { MORE = 5, LATE_BYTES = 100 << 20 };

static mach_port_t kept, kept_more[MORE];
static int counted, kept_more_count;

/* Answers with more than would be kept for a client that does not read. */
static void answer_more(void)
{
    void *data = calloc(1, LATE_BYTES);
    assert_non_null(data);
    for (int i = 0; i < MORE; i++) {
        assert_int_equal(LMSendReply(kept_more[i], data, LATE_BYTES), 0);
        th_add(LATE_ANSWERS);
    }
    free(data);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    mach_port_t reply = message->head.msgh_remote_port;
    switch (message->head.msgh_id) {
    case KEEP:
        kept = reply;
        break;
    case ANSWER_KEPT:
        LMSendReply(kept, "late", 4);
        LMSendReply(reply, NULL, 0);
        break;
    case KEEP_MORE:
        kept_more[kept_more_count++] = reply;
        break;
    case ANSWER_MORE:
        answer_more();
        break;
    case COUNT:
        counted++;
        LMSendReply(reply, NULL, 0);
        break;
    case COUNTED:
        LMSendIntegerReply(reply, counted);
        break;
    case SLEEP_100:
        th_sleep_ms(100);
        LMSendReply(reply, NULL, 0);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

static void check_failed(kern_return_t result, kern_return_t expected, LMResponseBuffer *buffer)
{
    assert_int_equal(result, expected);
    assert_int_equal(LMMessageGetDataLength(&buffer->message), 0);
    assert_null(LMMessageGetData(&buffer->message));
    LMResponseBufferFree(buffer);
}

/*
 * Intent: a call times out after 300 ms with an error that says that it was not taken, which is true.
 *   client               service
 *                        (stopped)
 *   call, 300 ms ----->
 *   timed out            goes on, sees nothing
 *   call ------------->  answers
 */
static void a_stopped_service_costs_the_timeout(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_pause(service);
    for (int i = 0; i < 3; i++) {
        LMResponseBuffer buffer;
        uint64_t start = th_now_ms();
        kern_return_t result = two_way_300(&connection, COUNT, "x", 1, &buffer);
        assert_true(th_now_ms() - start >= LEAST);
        check_failed(result, MACH_SEND_TIMED_OUT, &buffer);
    }
    th_resume(service);
    assert_int_equal(th_ask(&connection, COUNTED), 0); /* never taken, and never will be */
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: the same for the first call, with its look-up, small or large.
 *   client                       service
 *                                (stopped)
 *   connects, call, 300 ms --->
 *   timed out                    goes on, sees nothing
 *   call --------------------->  answers
 */
static void the_first_call_times_out_as_well(void)
{
    pid_t service = th_serve(NAME, answer);
    th_pause(service);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    uint64_t start = th_now_ms();
    kern_return_t result = two_way_300(&connection, COUNT, NULL, 0, &buffer);
    assert_true(th_now_ms() - start >= LEAST);
    check_failed(result, MACH_SEND_TIMED_OUT, &buffer);
    static uint8_t large[1000000]; /* more than the ring holds, so not all of it can be sent */
    check_failed(two_way_300(&connection, COUNT, large, sizeof large, &buffer), MACH_SEND_TIMED_OUT, &buffer);
    assert_int_equal(one_way_300(&connection, COUNT, large, sizeof large), MACH_SEND_TIMED_OUT);
    th_resume(service);
    assert_int_equal(th_ask(&connection, COUNTED), 0);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a taken call without an answer has another error than one not taken, and the late answer is dropped.
 *   client                    service
 *   call, 300 ms ---------->  keeps the port
 *   MACH_RCV_TIMED_OUT
 *   call ------------------>  answers the old port, then this one
 *   <---------- this answer
 */
static void a_late_reply_is_dropped(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    for (int i = 0; i < 3; i++) {
        uint64_t start = th_now_ms();
        kern_return_t result = two_way_300(&connection, KEEP, "x", 1, &buffer);
        assert_true(th_now_ms() - start >= LEAST);
        check_failed(result, MACH_RCV_TIMED_OUT, &buffer);
        assert_int_equal(LMConnectionSendTwoWay(&connection, ANSWER_KEPT, NULL, 0, &buffer), 0);
        assert_int_equal(LMMessageGetDataLength(&buffer.message), 0); /* not "late" */
        LMResponseBufferFree(&buffer);
        th_check_echo(&connection);
    }
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: late answers are not kept for a client that does not read them, and do not cost it its connection.
 *   client                          service
 *   calls, 50 ms each --------->    keeps them
 *   timed out, goes elsewhere
 *                                   500 MiB of answers: all returned 0
 *   call ---------------------->    answers
 */
static void late_replies_cost_nothing(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    int32_t before = th_ask(&connection, TH_PROCESS_ID);
    mach_port_t port = connection.serverPort;
    for (int i = 0; i < MORE; i++)
        check_failed(LMConnectionSendTwoWayWithTimeout(&connection, KEEP_MORE, NULL, 0, 50, &buffer),
                     MACH_RCV_TIMED_OUT, &buffer);
    assert_int_equal(LMConnectionSendOneWay(&connection, ANSWER_MORE, NULL, 0), 0);
    th_await(LATE_ANSWERS, MORE);
    assert_int_equal(th_ask(&connection, TH_PROCESS_ID), before);
    assert_int_equal(connection.serverPort, port);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a large message that is given up half way leaves the channel usable.
 *   client                 service
 *                          (stopped)
 *   10 MiB, 300 ms ----->
 *   timed out              goes on, sees nothing
 *   10 MiB ------------->
 *   <------------ 10 MiB
 */
static void a_large_message_can_be_given_up(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    uint32_t length = 10u << 20;
    uint8_t *large = malloc(length);
    assert_non_null(large);
    th_fill(large, length, 1);
    th_check_echo(&connection);
    th_pause(service);
    check_failed(two_way_300(&connection, COUNT, large, length, &buffer), MACH_SEND_TIMED_OUT, &buffer);
    assert_int_equal(one_way_300(&connection, COUNT, large, length), MACH_SEND_TIMED_OUT);
    th_resume(service);
    assert_int_equal(th_ask(&connection, COUNTED), 0);
    assert_int_equal(LMConnectionSendTwoWay(&connection, 100, large, length, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), length);
    assert_true(th_is_filled(LMMessageGetData(&buffer.message), length, 1));
    LMResponseBufferFree(&buffer);
    free(large);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a timeout of 0 polls: the call never waits, and is not sent if it would have to wait.
 *   client                 service
 *                          (stopped)
 *   100 calls: timed out
 *   one way ------------>
 *                          goes on, has the one message
 */
static void zero_means_not_to_wait(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    th_check_echo(&connection);
    th_pause(service);
    for (int i = 0; i < 100; i++)
        check_failed(two_way_0(&connection, COUNT, "x", 1, &buffer), MACH_SEND_TIMED_OUT, &buffer);
    assert_int_equal(one_way_0(&connection, COUNT, "x", 1), 0); /* there is room */
    th_resume(service);
    assert_int_equal(th_ask(&connection, COUNTED), 1);
    th_close(&connection);
    th_stop(service);
}

/* Fills the queue of a stopped service; returns how many messages it took. */
static int fill_queue(LMConnectionRef connection, uint32_t length)
{
    static uint8_t bytes[65536];
    int count = 0;
    kern_return_t result;
    while ((result = one_way_0(connection, COUNT, bytes, length)) == 0)
        assert_true(++count < 10000000);
    assert_int_equal(result, MACH_SEND_TIMED_OUT);
    return count;
}

/*
 * Intent: the timeout holds for one-way messages.
 *   client                       service
 *                                (stopped)
 *   n one-way: full ---------->
 *   one more, 300 ms: timed out
 *                                goes on, has n
 */
static void a_full_queue_times_out(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_pause(service);
    int count = fill_queue(&connection, 4000);
    count += fill_queue(&connection, 0); /* fills the last gap */
    assert_true(count > 0);
    uint64_t start = th_now_ms();
    assert_int_equal(one_way_300(&connection, COUNT, NULL, 0), MACH_SEND_TIMED_OUT);
    assert_true(th_now_ms() - start >= LEAST);
    LMResponseBuffer buffer;
    check_failed(two_way_300(&connection, COUNT, NULL, 0, &buffer), MACH_SEND_TIMED_OUT, &buffer);
    th_resume(service);
    assert_int_equal(th_ask(&connection, COUNTED), count);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

struct call {
    LMConnection *connection;
    kern_return_t result;
    uint64_t took;
    uint32_t begun;
};

static void *call_without_timeout(void *argument)
{
    struct call *call = argument;
    LMResponseBuffer buffer;
    uint64_t start = th_now_ms();
    __atomic_store_n(&call->begun, 1, __ATOMIC_SEQ_CST);
    call->result = LMConnectionSendTwoWay(call->connection, COUNT, "x", 1, &buffer);
    call->took = th_now_ms() - start;
    LMResponseBufferFree(&buffer);
    return NULL;
}

/*
 * Intent: without the macro a call has no timeout.
 *   thread A (no macro)    thread B (300 ms)      service
 *                                                 (stopped)
 *   call --------------------------------------->
 *   ...                    two calls: timed out
 *   ...                                           goes on
 *   <------------------------------------- answer
 */
static void without_the_macro_a_call_waits(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    pthread_t thread;
    struct call call = {&connection, -1, 0, 0};
    th_check_echo(&connection);
    th_pause(service);
    assert_int_equal(pthread_create(&thread, NULL, call_without_timeout, &call), 0);
    while (!__atomic_load_n(&call.begun, __ATOMIC_SEQ_CST))
        th_sleep_ms(1);
    for (int i = 0; i < 2; i++)
        check_failed(two_way_300(&connection, 100, "x", 1, &buffer), MACH_SEND_TIMED_OUT, &buffer);
    th_resume(service);
    pthread_join(thread, NULL);
    assert_int_equal(call.result, 0);
    assert_true(call.took >= 500);
    assert_int_equal(th_ask(&connection, COUNTED), 1);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: the functions that take a timeout.
 *   client                     service
 *   call, for ever --------->  takes 100 ms
 *   <---------------- answer
 *   call, 120 ms ----------->  keeps it
 *   MACH_RCV_TIMED_OUT
 */
static void a_call_may_have_its_own_timeout(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWayWithTimeout(&connection, SLEEP_100, NULL, 0, LM_TIMEOUT_NEVER, &buffer), 0);
    LMResponseBufferFree(&buffer);
    uint64_t start = th_now_ms();
    check_failed(LMConnectionSendTwoWayWithTimeout(&connection, KEEP, NULL, 0, 120, &buffer), MACH_RCV_TIMED_OUT,
                 &buffer);
    assert_true(th_now_ms() - start >= 115);
    assert_int_equal(LMConnectionSendOneWayWithTimeout(&connection, COUNT, NULL, 0, 0), 0);
    assert_int_equal(th_ask(&connection, COUNTED), 1);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: answers raced against deadlines end in exactly one of answer and timeout, and never as another call's answer.
 *   <-- i, or timed out
 *   and again
 */
static void replies_race_with_deadlines(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    unsigned answered = 0, failed = 0;
    for (uint32_t i = 0; i < th_rounds(20000); i++) {
        LMResponseBuffer buffer;
        kern_return_t result = LMConnectionSendTwoWayWithTimeout(&connection, 100, &i, 4, i % 3, &buffer);
        if (result == 0) {
            assert_int_equal(LMResponseConsumeInteger(&buffer), i);
            answered++;
        } else {
            assert_true(result == MACH_SEND_TIMED_OUT || result == MACH_RCV_TIMED_OUT);
            assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
            failed++;
        }
    }
    assert_true(failed > 0); /* with a deadline of 0 no other process has run */
    (void)answered;
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(a_stopped_service_costs_the_timeout),
        TH_TEST(the_first_call_times_out_as_well),
        TH_TEST(a_late_reply_is_dropped),
        TH_TEST(late_replies_cost_nothing),
        TH_TEST(a_large_message_can_be_given_up),
        TH_TEST(zero_means_not_to_wait),
        TH_TEST(a_full_queue_times_out),
        TH_TEST(without_the_macro_a_call_waits),
        TH_TEST(a_call_may_have_its_own_timeout),
        TH_TEST(replies_race_with_deadlines),
    };
    return TH_MAIN(tests);
}
