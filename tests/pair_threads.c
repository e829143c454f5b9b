/* SPDX-License-Identifier: MIT */
/* One connection, many threads; one channel, many connections; garbage in serverPort. */
#include "harness.h"

#include <pthread.h>

static LMConnection shared = {MACH_PORT_NULL, "test.threads"};

enum { THREADS = 8, NOTE = 5, ASK_NOTES = 6, ASK_NAME = 7, MEET = 8, ECHO = 100 };

enum { MEETING = 4, LARGE = 2000000, PIECES = 40000, HUGE = 32 << 20, HUGE_CALLS = 4 };

static int notes, disorders;
static uint32_t last_note[THREADS];

/* Answers no caller before all are there. */
static void meet(LMMessage *message)
{
    static mach_port_t waiting[MEETING];
    static int count;
    waiting[count++] = message->head.msgh_remote_port;
    if (count < MEETING)
        return;
    for (; count > 0; count--)
        LMSendReply(waiting[count - 1], "all here", 8);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    uint32_t note[2];
    switch (message->head.msgh_id) {
    case NOTE:
        memcpy(note, LMMessageGetData(message), sizeof note);
        disorders += last_note[note[0]] + 1 != note[1];
        last_note[note[0]] = note[1];
        notes++;
        break;
    case ASK_NOTES:
        LMSendIntegerReply(message->head.msgh_remote_port, disorders > 0 ? -disorders : notes);
        break;
    case MEET:
        meet(message);
        break;
    case ASK_NAME:
        LMSendReply(message->head.msgh_remote_port, info, (uint32_t)strlen(info) + 1);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

/* Most calls are small; one in 32 and its answer go in pieces, between which those of other threads go. */
static uint32_t length_of(uint32_t call, uint32_t number)
{
    return 8 + (call % 32 ? (call * 13 + number) % 592 : (call * 1009 + number * 5003) % PIECES);
}

static void *call_many(void *argument)
{
    uint32_t number = *(uint32_t *)argument;
    for (uint32_t i = 1; i <= th_rounds(4000); i++) {
        uint32_t note[2] = {number, i};
        uint8_t bytes[8 + PIECES];
        LMResponseBuffer buffer;
        uint32_t length = length_of(i, number);
        assert_int_equal(LMConnectionSendOneWay(&shared, NOTE, note, sizeof note), 0);
        th_fill(bytes, length, (uint64_t)number << 32 | i);
        assert_int_equal(LMConnectionSendTwoWay(&shared, ECHO, bytes, length, &buffer), 0);
        assert_int_equal(LMMessageGetDataLength(&buffer.message), length);
        assert_true(th_is_filled(LMMessageGetData(&buffer.message), length, (uint64_t)number << 32 | i));
        LMResponseBufferFree(&buffer);
    }
    return NULL;
}

/*
 * Intent: eight threads on one file-scope connection each get their own answers, and each one's one-way messages keep
 * their order.
 *   threads A to H            service
 *   A: note 1, call 1 ----->  counts notes, answers calls
 *   B: note 1, call 1 ----->
 *   <----- to A its answer
 *   A: note 2, call 2 ----->  ...
 */
static void every_thread_gets_its_own_answers(void)
{
    pid_t service = th_serve("test.threads", answer);
    pthread_t threads[THREADS];
    uint32_t numbers[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, call_many, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(th_ask(&shared, ASK_NOTES), (int)(THREADS * th_rounds(4000)));
    th_close(&shared);
    th_stop(service);
}

static pthread_barrier_t barrier;

static void *look_up_at_once(void *argument)
{
    (void)argument;
    pthread_barrier_wait(&barrier);
    th_check_echo(&shared);
    return NULL;
}

/*
 * Intent: eight first uses at the same moment make one channel.
 *   threads A to H            service
 *   all look up and call -->  answers
 *   one socket more
 */
static void first_uses_at_once_share_a_channel(void)
{
    pid_t service = th_serve("test.threads", answer);
    unsigned before = th_sockets();
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_up_at_once, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(th_sockets(), before + 1);
    th_close(&shared);
    assert_int_equal(th_sockets(), before);
    th_stop(service);
}

static void check_name(LMConnectionRef connection)
{
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(connection, ASK_NAME, NULL, 0, &buffer), 0);
    assert_string_equal(LMMessageGetData(&buffer.message), connection->serverName);
    LMResponseBufferFree(&buffer);
}

/*
 * Intent: garbage in serverPort means "not looked up yet", even if it happens to be another service's port.
 *   client                             service one         service two
 *   malloc, strcpy("one"), garbage
 *   call --------------------------->  answers
 *   another connection, call ---------------------------->  answers
 */
static void a_garbage_port_is_looked_up(void)
{
    static char one[] = "garbage.one", two[] = "garbage.two";
    pid_t first = th_start(&(struct th_service){.name = one, .callback = answer, .info = one});
    pid_t second = th_start(&(struct th_service){.name = two, .callback = answer, .info = two});
    LMConnection other = th_connection(two);
    check_name(&other);
    const mach_port_t garbage[] = {MACH_PORT_NULL,
                                   1,
                                   2,
                                   3,
                                   255,
                                   0x103,
                                   0x7fffffff,
                                   0xa5a5a5a5,
                                   0xffffffff,
                                   mach_task_self(),
                                   other.serverPort,
                                   other.serverPort + 1,
                                   other.serverPort - 1};
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        LMConnection *connection = malloc(sizeof *connection);
        assert_non_null(connection);
        memset(connection, 0xa5, sizeof *connection);
        connection->serverPort = garbage[i];
        strcpy(connection->serverName, one);
        check_name(connection);
        check_name(&other);
        mach_port_t port = connection->serverPort;
        check_name(connection);
        assert_int_equal(connection->serverPort, port); /* found once, not for every call */
        free(connection);
    }
    LMConnection last = th_connection(one);
    check_name(&last);
    th_close(&last);
    th_close(&other);
    th_stop(first);
    th_stop(second);
}

/*
 * Intent: many connections for one service cost one socket.
 *   client                             service
 *   50 connections, a call of each ->  answers
 *   one socket more
 *   one of them closed; a call ----->  answers
 *   one socket more
 */
static void connections_share_a_channel(void)
{
    pid_t service = th_serve("test.threads", answer);
    unsigned before = th_sockets();
    LMConnection connections[50];
    for (int i = 0; i < 50; i++) {
        connections[i] = th_connection("test.threads");
        th_check_echo(&connections[i]);
    }
    assert_int_equal(th_sockets(), before + 1);
    th_close(&connections[0]);
    th_check_echo(&connections[1]); /* looks up again */
    assert_int_equal(th_sockets(), before + 1);
    th_close(&connections[1]);
    th_stop(service);
}

/*
 * Intent: one thread's one-way messages arrive in order, also over two connections for the same service.
 *   client             service
 *   1 -------------->
 *   2, the other --->
 *   3 -------------->  has 1, 2, 3 ...
 */
static void one_way_messages_keep_their_order(void)
{
    pid_t service = th_serve("test.threads", answer);
    LMConnection connections[2] = {th_connection("test.threads"), th_connection("test.threads")};
    uint32_t count = th_rounds(50000);
    for (uint32_t i = 1; i <= count; i++) {
        uint32_t note[2] = {0, i};
        assert_int_equal(LMConnectionSendOneWay(&connections[i % 3 == 0], NOTE, note, sizeof note), 0);
    }
    assert_int_equal(th_ask(&connections[0], ASK_NOTES), (int)count);
    th_close(&connections[0]);
    th_stop(service);
}

static void *call_to_meet(void *argument)
{
    static const uint8_t data[LARGE];
    (void)argument;
    for (unsigned i = 0; i < th_rounds(100); i++) {
        LMResponseBuffer response;
        assert_int_equal(LMConnectionSendTwoWay(&shared, MEET, data, LARGE, &response), 0);
        LMResponseBufferFree(&response);
    }
    return NULL;
}

static void has_met(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info)
{
    (void)call, (void)response, (void)info;
    assert_int_equal(status, 0);
}

static void *call_to_meet_asynchronously(void *argument)
{
    static const uint8_t data[LARGE];
    (void)argument;
    for (unsigned i = 0; i < th_rounds(100); i++) {
        assert_int_equal(LMConnectionSendTwoWayAsync(&shared, MEET, data, LARGE, LM_TIMEOUT_NEVER,
                                                     CFRunLoopGetCurrent(), has_met, NULL, NULL),
                         0);
        CFRunLoopRun();
    }
    return NULL;
}

/*
 * Intent: large messages go one after another, and the thread whose turn comes notices it, even if no bell rings
 * meanwhile.
 *   client                        service
 *   A, B, C: large call ---->     keeps them
 *   D: large asynchronous -->     answers all four
 */
static void large_calls_meet(void)
{
    pid_t service = th_serve("test.threads", answer);
    pthread_t threads[MEETING];
    for (int i = 0; i < MEETING; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i == 3 ? call_to_meet_asynchronously : call_to_meet, NULL),
                         0);
    for (int i = 0; i < MEETING; i++)
        pthread_join(threads[i], NULL);
    th_close(&shared);
    th_stop(service);
}

static uint32_t huge_call; /* under way; 0: none */

static void *call_with_huge_data(void *argument)
{
    uint8_t *data = calloc(1, HUGE);
    (void)argument;
    for (uint32_t i = 1; i <= HUGE_CALLS; i++) {
        LMResponseBuffer response;
        __atomic_store_n(&huge_call, i, __ATOMIC_SEQ_CST);
        assert_int_equal(LMConnectionSendTwoWay(&shared, ECHO, data, HUGE, &response), 0);
        __atomic_store_n(&huge_call, i < HUGE_CALLS ? 0 : UINT32_MAX, __ATOMIC_SEQ_CST);
        LMResponseBufferFree(&response);
    }
    free(data);
    return NULL;
}

/*
 * Intent: a call that fits a frame, with an answer that does, does not wait for the whole of another thread's huge
 * call.
 *   client                        service
 *   A: 32 MiB --------------->    echoes
 *   B: 8 KiB, again and again     echoes
 *   many of B's calls begin and end within one of A's
 */
static void calls_pass_between_the_pieces_of_a_huge_one(void)
{
    static const uint8_t data[8192];
    pid_t service = th_serve("test.threads", answer);
    pthread_t thread;
    int passed = 0;
    uint32_t before = 0;
    th_check_echo(&shared);
    assert_int_equal(pthread_create(&thread, NULL, call_with_huge_data, NULL), 0);
    while (before != UINT32_MAX) {
        LMResponseBuffer response;
        before = __atomic_load_n(&huge_call, __ATOMIC_SEQ_CST);
        assert_int_equal(LMConnectionSendTwoWay(&shared, ECHO, data, sizeof data, &response), 0);
        passed += before > 0 && before <= HUGE_CALLS && before == __atomic_load_n(&huge_call, __ATOMIC_SEQ_CST);
        LMResponseBufferFree(&response);
    }
    pthread_join(thread, NULL);
    print_message("%d calls passed\n", passed);
    assert_true(passed > 10 * HUGE_CALLS);
    th_close(&shared);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(every_thread_gets_its_own_answers, 40),
        TH_TEST(first_uses_at_once_share_a_channel),
        TH_TEST(a_garbage_port_is_looked_up),
        TH_TEST(connections_share_a_channel),
        TH_TEST(one_way_messages_keep_their_order),
        TH_TEST(large_calls_meet),
        TH_TEST_SECONDS(calls_pass_between_the_pieces_of_a_huge_one, 40),
    };
    return TH_MAIN(tests);
}
