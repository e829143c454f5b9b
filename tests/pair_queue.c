/* SPDX-License-Identifier: MIT */
/* The queue to a service that takes nothing has its documented capacity, whatever has passed through it before; and its
 * contents go to a successor, also when the sender ends. */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static const char NAME[] = "test.queue";

enum { RING = 512 * 1024, LEAST = 384 * 1024, LONGEST = 60000, THREADS_MAX = 4 };
enum { TAKEN, BYTES, DISORDERS, GO }; /* words */
enum { PLAIN = 1, NUMBERED };

static void take(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    static uint32_t last;
    if (message->head.msgh_remote_port) {
        th_echo(port, message, size, info);
        return;
    }
    uint32_t number = last + 1;
    if (message->head.msgh_id == NUMBERED)
        memcpy(&number, LMMessageGetData(message), sizeof number);
    if (number != last + 1 && last != 0)
        th_add(DISORDERS);
    last = number;
    th_add(TAKEN);
}

/* --- Capacity --- */

/* The messages of one thread: a number of them, or 0 for as many as there is room for; a length, or 0 for random
 * lengths. */
struct sender {
    pthread_t thread;
    LMConnectionRef connection;
    uint32_t count, length;
    uint64_t random;
    uint32_t sent;
    uint64_t bytes;
};

static void *send_messages(void *argument)
{
    static const uint8_t data[LONGEST];
    struct sender *sender = argument;
    kern_return_t result = 0;
    while (sender->sent < sender->count && result == 0) {
        uint32_t length =
            sender->length ? sender->length
                           : (uint32_t)th_random_in(&sender->random, 1, th_random(&sender->random) % 4 ? 500 : LONGEST);
        bool fills = sender->count == UINT32_MAX;
        result =
            LMConnectionSendOneWayWithTimeout(sender->connection, PLAIN, data, length, fills ? 0 : LM_TIMEOUT_NEVER);
        assert_true(result == 0 || (fills && result == MACH_SEND_TIMED_OUT));
        sender->sent += result == 0;
        sender->bytes += result == 0 ? lm_frame_extent(length) : 0;
    }
    return NULL;
}

/* Returns the messages that the threads have sent together, and the room that they take. */
static struct sender send_from(unsigned threads, LMConnectionRef connection, uint32_t count, uint32_t length,
                               uint64_t seed)
{
    struct sender senders[THREADS_MAX], all = {.connection = connection};
    for (unsigned i = 0; i < threads; i++) {
        uint32_t share = count == UINT32_MAX ? count : count / threads + (i < count % threads);
        senders[i] = (struct sender){.connection = connection, .count = share, .length = length, .random = seed + i};
        if (i > 0)
            assert_int_equal(pthread_create(&senders[i].thread, NULL, send_messages, &senders[i]), 0);
    }
    send_messages(&senders[0]);
    for (unsigned i = 0; i < threads; i++) {
        if (i > 0)
            pthread_join(senders[i].thread, NULL);
        all.sent += senders[i].sent;
        all.bytes += senders[i].bytes;
    }
    return all;
}

/* Returns the room in a channel's queue after one call and `count` messages that were taken. */
static uint64_t room_after(pid_t service, unsigned threads, uint32_t count, uint32_t length)
{
    static const uint32_t fills[] = {1500, 1, 0, LONGEST};
    LMConnection connection = th_connection(NAME);
    th_set(TAKEN, 0);
    th_check_echo(&connection);
    send_from(threads, &connection, count, length, count);
    th_await(TAKEN, count);
    th_pause(service);
    struct sender fill = send_from(threads, &connection, UINT32_MAX, fills[count % 4], count);
    th_resume(service);
    th_await(TAKEN, count + fill.sent);
    th_close(&connection);
    return fill.bytes;
}

static void check_room(unsigned threads, uint32_t length)
{
    pid_t service = th_serve(NAME, take);
    uint64_t least = UINT64_MAX;
    uint32_t worst = 0;
    for (uint32_t count = 0; count <= 400; count += count > 40 && th_quick() ? 61 : 1) {
        uint64_t room = room_after(service, threads, count, length);
        assert_true(room <= RING);
        worst = room < least ? count : worst;
        least = room < least ? room : least;
    }
    th_report(
        "queue: from %u threads, after up to 400 messages of %u bytes (0: mixed): room for %u KiB at least, after %u",
        threads, length, (unsigned)(least / 1024), worst);
    assert_true(least >= LEAST);
    assert_int_equal(th_get(DISORDERS), 0);
    th_stop(service);
}

static void check_rooms(unsigned threads)
{
    static const uint32_t lengths[] = {1, 100, 1500, 5000, LONGEST, 0};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        check_room(threads, lengths[i]);
}

/*
 * Intent: the queue has its full capacity in every reachable state.
 *   client                     service
 *   a call, n messages ----->  takes them
 *                              stopped
 *   as many as go ---------->
 *                              goes on: takes them all
 */
static void the_queue_holds_its_size(void)
{
    check_rooms(1);
}

static void the_queue_holds_its_size_from_four_threads(void)
{
    check_rooms(4);
}

/* --- Messages that stay in the queue --- */

static void send_numbers(LMConnectionRef connection, uint32_t from, uint32_t to)
{
    for (uint32_t number = from; number <= to; number++)
        assert_int_equal(LMConnectionSendOneWay(connection, NUMBERED, &number, sizeof number), 0);
}

/* Sends to a stopped service, and exits normally once that is dead. */
static void send_and_end(const struct th_service *me)
{
    (void)me;
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_ready();
    th_await(GO, 1);
    send_numbers(&connection, 1, 100);
    th_add(GO);
    th_await(GO, 3);
    exit(0);
}

static void check_end(void (*client_program)(const struct th_service *me))
{
    th_set(GO, 0);
    th_set(TAKEN, 0);
    pid_t first = th_serve(NAME, take);
    pid_t client = th_start(&(struct th_service){.program = client_program});
    th_pause(first);
    th_add(GO);
    th_await(GO, 2);
    th_kill(first);
    pid_t second = th_serve(NAME, take);
    th_add(GO);
    assert_int_equal(th_reap(client), 0);
    th_await(TAKEN, 100);
    assert_int_equal(th_get(DISORDERS), 0);
    th_stop(second);
}

/*
 * Intent: messages that a process keeps for a dead service go to its successor when the process exits normally.
 *   client                     service
 *   a call ----------------->
 *                              stopped
 *   1 ... 100 -------------->
 *                              killed, started again
 *   exit                       takes 1 ... 100
 */
static void an_end_in_good_order_sends_what_was_kept(void)
{
    check_end(send_and_end);
}

/* Intent: without a successor, the exit does not wait. */
static void an_end_without_a_successor_is_an_end(void)
{
    pid_t service = th_serve(NAME, take);
    pid_t client = th_start(&(struct th_service){.program = send_and_end});
    th_pause(service);
    th_add(GO);
    th_await(GO, 2);
    th_kill(service);
    th_add(GO);
    assert_int_equal(th_reap(client), 0);
}

static void *send_one_more(void *argument)
{
    uint32_t number = 101;
    LMConnectionSendOneWay(argument, NUMBERED, &number, sizeof number);
    return NULL;
}

/* Exits while another thread opens the channel to the successor. */
static void send_and_end_beside_a_thread(const struct th_service *me)
{
    static LMConnection connection;
    pthread_t thread;
    (void)me;
    connection = th_connection(NAME);
    th_check_echo(&connection);
    th_ready();
    th_await(GO, 1);
    send_numbers(&connection, 1, 100);
    th_add(GO);
    th_await(GO, 3);
    assert_int_equal(pthread_create(&thread, NULL, send_one_more, &connection), 0);
    pthread_detach(thread);
    uint64_t random = (uint64_t)getpid();
    th_spin_us(th_random_in(&random, 0, 150));
    exit(0);
}

/* Intent: the same if another thread is just opening the channel to the successor. */
static void an_end_beside_a_sending_thread_sends_what_was_kept(void)
{
    for (unsigned i = 0; i < th_rounds(50); i++)
        check_end(send_and_end_beside_a_thread);
}

#if !TH_THREAD_SANITIZER /* which rightly reports what the handler does */

static void ignore_state(LMObserverRef observer, const char *name, bool is_there, void *info)
{
    (void)observer, (void)name, (void)is_there, (void)info;
}

static void end_by_signal(int signal)
{
    (void)signal;
    exit(0);
}

/* The signal usually arrives while the only thread is inside the library. */
static void send_and_end_by_signal(const struct th_service *me)
{
    (void)me;
    LMConnection connection = th_connection(NAME);
    LMObserverRef observer;
    th_check_echo(&connection);
    assert_int_equal(LMConnectionObserve(&connection, CFRunLoopGetCurrent(), ignore_state, NULL, &observer), 0);
    signal(SIGTERM, end_by_signal);
    th_ready();
    th_await(GO, 1);
    send_numbers(&connection, 1, 100);
    th_add(GO);
    th_await(GO, 3);
    for (;;)
        CFRunLoopWakeUp(CFRunLoopGetCurrent());
}

/* Intent: a signal handler that calls exit, which it should not, does not hang. */
static void an_end_by_a_signal_is_an_end(void)
{
    for (unsigned i = 0; i < th_rounds(20); i++) {
        th_set(GO, 0);
        pid_t service = th_serve(NAME, take);
        pid_t client = th_start(&(struct th_service){.program = send_and_end_by_signal});
        th_pause(service);
        th_add(GO);
        th_await(GO, 2);
        th_kill(service);
        th_add(GO);
        th_sleep_ms(1);
        assert_int_equal(kill(client, SIGTERM), 0);
        assert_int_equal(th_reap(client), 0);
    }
}

#endif

/*
 * Intent: deallocating the port of a living service that dies before it takes the messages loses none of them, and no
 * descriptor stays open.
 *   client                     service
 *                              stopped
 *   1 ... 3 ---------------->
 *   deallocates the port
 *                              killed, started again
 *   4 ---------------------->  takes 1 ... 4
 */
static void deallocating_a_living_services_port_loses_nothing(void)
{
    pid_t service = th_serve(NAME, take);
    LMConnection connection = th_connection(NAME);
    unsigned before = th_descriptors();
    th_check_echo(&connection);
    th_pause(service);
    send_numbers(&connection, 1, 3);
    assert_int_equal(mach_port_deallocate(mach_task_self(), connection.serverPort), 0);
    assert_int_equal(th_descriptors(), before);
    th_kill(service);
    service = th_serve(NAME, take);
    send_numbers(&connection, 4, 4);
    th_await(TAKEN, 4);
    assert_int_equal(th_get(DISORDERS), 0);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: deallocating the port of a dead service loses none of the messages that it had not taken.
 *   client                     service
 *                              stopped
 *   1 ... 3 ---------------->
 *                              killed, started again
 *   deallocates the port
 *   4 ---------------------->  takes 1 ... 4
 */
static void deallocating_a_dead_services_port_loses_nothing(void)
{
    pid_t service = th_serve(NAME, take);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_pause(service);
    send_numbers(&connection, 1, 3);
    th_kill(service);
    service = th_serve(NAME, take);
    assert_int_equal(mach_port_deallocate(mach_task_self(), connection.serverPort), 0);
    send_numbers(&connection, 4, 4);
    th_await(TAKEN, 4);
    assert_int_equal(th_get(DISORDERS), 0);
    th_close(&connection);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(the_queue_holds_its_size, 300),
        TH_TEST_SECONDS(the_queue_holds_its_size_from_four_threads, 300),
        TH_TEST(an_end_in_good_order_sends_what_was_kept),
        TH_TEST(an_end_without_a_successor_is_an_end),
        TH_TEST_SECONDS(an_end_beside_a_sending_thread_sends_what_was_kept, 60),
#if !TH_THREAD_SANITIZER
        TH_TEST_SECONDS(an_end_by_a_signal_is_an_end, 60),
#endif
        TH_TEST(deallocating_a_dead_services_port_loses_nothing),
        TH_TEST(deallocating_a_living_services_port_loses_nothing),
    };
    return TH_MAIN(tests);
}
