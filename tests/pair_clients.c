/* SPDX-License-Identifier: MIT */
/* Typical uses in programs written against the interface: deferred replies, payloads that are structs, registration
 * before main, real-time threads, servers that are restarted, stopped or hang. */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

static const char NAME[] = "test.clients";

enum { DEFER = 1, SUM, STAMP, HANG, STOP };
enum { CALLERS = 8 };
enum { TAKEN, GO }; /* words */

static LMConnection shared = {MACH_PORT_NULL, "test.clients"};

/* --- The service --- */

struct stamped {
    uint64_t stamp;
    char text[24];
};

static struct kept {
    mach_port_t reply;
    uint32_t length;
    uint8_t *data;
} kept[CALLERS];

static void *reply_backwards(void *argument)
{
    (void)argument;
    for (int i = CALLERS - 1; i >= 0; i--) {
        struct kept mine = kept[i]; /* its place is free once all callers have an answer */
        assert_int_equal(LMSendReply(mine.reply, mine.data, mine.length), 0);
        free(mine.data);
    }
    return NULL;
}

/* As programs do: copies the data, keeps the port and returns. The last call starts a thread that answers them all. */
static void defer(LMMessage *message)
{
    static int count;
    struct kept *next = &kept[count++];
    next->reply = message->head.msgh_remote_port;
    next->length = LMMessageGetDataLength(message);
    next->data = malloc(next->length);
    assert_non_null(next->data);
    memcpy(next->data, LMMessageGetData(message), next->length);
    if (count < CALLERS)
        return;
    pthread_t thread;
    count = 0;
    assert_int_equal(pthread_create(&thread, NULL, reply_backwards, NULL), 0);
    pthread_detach(thread);
}

static void sum(LMMessage *message)
{
    const double *numbers = LMMessageGetData(message);
    struct stamped answer = {(uint64_t)(numbers[0] + numbers[1] + numbers[2] + numbers[3]), "summed"};
    assert_int_equal(LMMessageGetDataLength(message), 4 * sizeof *numbers);
    assert_int_equal(LMSendReply(message->head.msgh_remote_port, &answer, sizeof answer), 0);
}

static void stamp(LMMessage *message)
{
    struct stamped *request = LMMessageGetData(message);
    request->stamp++; /* in place */
    assert_int_equal(LMSendReply(message->head.msgh_remote_port, request, sizeof *request), 0);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    if (size < (CFIndex)sizeof(LMMessage)) /* the first check in programs; no message may fail it */
        abort();
    switch (message->head.msgh_id) {
    case DEFER:
        defer(message);
        break;
    case SUM:
        sum(message);
        break;
    case STAMP:
        stamp(message);
        break;
    case HANG:
        th_add(TAKEN);
        while (th_get(GO) == 0)
            th_sleep_ms(1);
        LMSendReply(message->head.msgh_remote_port, NULL, 0);
        break;
    case STOP:
        LMSendReply(message->head.msgh_remote_port, NULL, 0);
        CFRunLoopStop(CFRunLoopGetCurrent());
        break;
    default:
        th_echo(port, message, size, info);
    }
}

static void expect_failure(SInt32 id, uint32_t milliseconds, kern_return_t expected)
{
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWayWithTimeout(&shared, id, "x", 1, milliseconds, &buffer), expected);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
    LMResponseBufferFree(&buffer);
}

/* --- Deferred replies --- */

static void *call_deferred(void *argument)
{
    unsigned seed = *(unsigned *)argument;
    uint32_t length = 1 + seed * 3000; /* in line and out of line */
    uint8_t *bytes = malloc(length);
    LMResponseBuffer buffer;
    assert_non_null(bytes);
    th_fill(bytes, length, seed);
    assert_int_equal(LMConnectionSendTwoWay(&shared, DEFER, bytes, length, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), length);
    assert_true(th_is_filled(LMMessageGetData(&buffer.message), length, seed));
    LMResponseBufferFree(&buffer);
    free(bytes);
    return NULL;
}

/*
 * Intent: the callback copies the data, keeps the reply port and returns; another thread replies, in any order.
 *   threads A to H     service             its thread
 *   calls ---------->  keeps all eight
 *                      starts ---------->
 *   <------------------------------ their own data, H first, A last
 */
static void replies_may_be_deferred_and_in_any_order(void)
{
    pid_t service = th_serve(NAME, answer);
    pthread_t threads[CALLERS];
    unsigned seeds[CALLERS];
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < CALLERS; i++) {
            seeds[i] = (unsigned)round + i;
            assert_int_equal(pthread_create(&threads[i], NULL, call_deferred, &seeds[i]), 0);
        }
        for (int i = 0; i < CALLERS; i++)
            pthread_join(threads[i], NULL);
    }
    th_close(&shared);
    th_stop(service);
}

/* --- Payloads --- */

/*
 * Intent: structs are sent as they are and read in place, on both sides.
 *   client                     service
 *   double[4] -------------->  reads them in place
 *   <- { uint64_t; char[24] }
 *   { uint64_t; char[24] } ->  writes into it
 *   <------------------------  and sends it back
 */
static void structs_are_read_in_place(void)
{
    pid_t service = th_serve(NAME, answer);
    const double numbers[4] = {1, 20, 300, 4000};
    struct stamped request = {UINT64_MAX - 1, "stamp me"};
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(&shared, SUM, numbers, sizeof numbers, &buffer), 0);
    struct stamped *got = LMMessageGetData(&buffer.message);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), sizeof *got);
    assert_true(got->stamp == 4321);
    assert_string_equal(got->text, "summed");
    LMResponseBufferFree(&buffer);
    assert_int_equal(LMConnectionSendTwoWay(&shared, STAMP, &request, sizeof request, &buffer), 0);
    got = LMMessageGetData(&buffer.message);
    assert_true(got->stamp == UINT64_MAX);
    assert_string_equal(got->text, "stamp me");
    assert_true(request.stamp == UINT64_MAX - 1); /* the sender's own copy is unchanged */
    LMResponseBufferFree(&buffer);
    th_close(&shared);
    th_stop(service);
}

/* --- Threads and times of the calls --- */

/* With this variable in its environment, the program registers before main. */
static const char ROLE[] = "LM_TEST_REGISTER_BEFORE_MAIN";
static kern_return_t registered = -1;

__attribute__((constructor)) static void register_before_main(void)
{
    if (getenv(ROLE) != NULL)
        registered = LMStartService(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)(void (*)(void))answer);
}

/* The rest of the program that registers before main. */
static int serve_after_all(void)
{
    if (registered != 0)
        return 1;
    CFRunLoopRun(); /* until STOP */
    return 0;
}

static void start_again(const struct th_service *me)
{
    char path[4096] = "";
    (void)me;
    assert_true(readlink("/proc/self/exe", path, sizeof path - 1) > 0); /* valgrind can't execute the link itself */
    assert_int_equal(setenv(ROLE, "1", 1), 0);
    th_ready();
    execl(path, path, (char *)NULL);
    _exit(2);
}

static bool is_served(void *argument)
{
    LMResponseBuffer buffer;
    (void)argument;
    kern_return_t result = LMConnectionSendTwoWay(&shared, 77, "x", 1, &buffer);
    LMResponseBufferFree(&buffer);
    assert_true(result == 0 || result == BOOTSTRAP_UNKNOWN_SERVICE);
    return result == 0;
}

/*
 * Intent: a constructor may register the service before the loop exists.
 *   client                        service
 *   call: unknown, again ...      a constructor registers
 *   call ---------------------->  main runs the loop
 *   <---------------------- answer
 */
static void a_constructor_may_register(void)
{
    pid_t service = th_start(&(struct th_service){.program = start_again});
    th_wait_until(is_served, NULL);
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(&shared, STOP, NULL, 0, &buffer), 0);
    LMResponseBufferFree(&buffer);
    assert_int_equal(th_reap(service), 0);
    th_close(&shared);
}

static void *call_many(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < th_rounds(2000); i++)
        th_check_echo(&shared);
    return NULL;
}

static void *call_many_in_real_time(void *argument)
{
    struct sched_param most = {.sched_priority = sched_get_priority_max(SCHED_FIFO)};
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &most) != 0)
        print_message("real-time threads are not allowed here: an ordinary one in its place\n");
    return call_many(argument);
}

/*
 * Intent: background threads and a real-time thread share the connection, and none of them starves.
 *   threads A, B       real-time thread        service
 *   calls ----------------------------------->  answers
 *                      calls ---------------->  answers
 */
static void a_real_time_thread_may_call(void)
{
    pid_t service = th_serve(NAME, answer);
    pthread_t threads[3];
    assert_int_equal(pthread_create(&threads[0], NULL, call_many, NULL), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, call_many, NULL), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, call_many_in_real_time, NULL), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    th_close(&shared);
    th_stop(service);
}

/* --- Servers that restart --- */

/*
 * Intent: a server that was restarted between two calls is found again without an error, however it ended.
 *   client             service
 *   call ----------->  answers
 *                      killed, or ended in order; started again
 *   call ----------->  answers
 */
static void a_restart_between_calls_is_not_noticed(void)
{
    LMResponseBuffer buffer;
    for (int i = 0; i < 6; i++) {
        pid_t service = th_serve(NAME, answer);
        assert_int_equal(LMConnectionSendEmptyOneWay(&shared, 77), 0);
        assert_int_equal(LMConnectionSendTwoWay(&shared, TH_PROCESS_ID, NULL, 0, &buffer), 0);
        assert_int_equal(LMResponseConsumeInteger(&buffer), service);
        if (i % 2 == 0)
            th_kill(service);
        else
            th_stop(service);
    }
    th_close(&shared);
}

static void *be_kept_waiting(void *argument)
{
    (void)argument;
    expect_failure(HANG, 300, MACH_RCV_TIMED_OUT);
    return NULL;
}

/*
 * Intent: a server that hangs in a callback costs each client its timeout, and the error tells whose call was taken.
 *   thread A                thread B                service
 *   call, 300 ms --------------------------------->  takes it and hangs
 *                           call, 100 ms --------->
 *                           MACH_SEND_TIMED_OUT
 *   MACH_RCV_TIMED_OUT                               goes on
 *                           call ----------------->  answers
 */
static void a_hanging_server_costs_the_timeout(void)
{
    pid_t service = th_serve(NAME, answer);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, be_kept_waiting, NULL), 0);
    th_await(TAKEN, 1);
    expect_failure(77, 100, MACH_SEND_TIMED_OUT);
    pthread_join(thread, NULL);
    th_set(GO, 1);
    th_check_echo(&shared);
    th_close(&shared);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(replies_may_be_deferred_and_in_any_order),
        TH_TEST(structs_are_read_in_place),
        TH_TEST(a_constructor_may_register),
        TH_TEST(a_real_time_thread_may_call),
        TH_TEST(a_restart_between_calls_is_not_noticed),
        TH_TEST(a_hanging_server_costs_the_timeout),
    };
    return getenv(ROLE) != NULL ? serve_after_all() : TH_MAIN(tests);
}
