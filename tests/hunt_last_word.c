/* SPDX-License-Identifier: MIT */
/*
 * A sender's last word: one message after the service was killed, and then nothing more, so that nothing else brings
 * it to the successor. It either was refused, or comes, once.
 *
 *   sender                          service
 *   calls or one-way messages --->  busy with them, or asleep
 *                                   killed; another comes after 0 to 20 ms
 *   one message, at 0 to 20 ms      (unknown service, or it takes the message)
 *   idle, or gone
 */
#include "harness.h"

#include <pthread.h>
#include <unistd.h>

static const char NAME[] = "hunt.last_word";

enum { WARM = 1, LAST };
enum { RESULT, SENT, GO, ARRIVED }; /* words; those from ARRIVED on count what came, by round */
enum { ROUNDS_MAX = 10000, LATEST_US = 20000 };
enum { STAYS = 0, EXITS = 1, ENDS = 2 };

static void take(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    uint32_t round;
    if (message->head.msgh_id == LAST) {
        memcpy(&round, LMMessageGetData(message), sizeof round);
        th_add(ARRIVED + round);
    }
    if (message->head.msgh_remote_port)
        th_echo(port, message, size, info);
}

/* --- Before the kill: what the service is busy with --- */

static void warm_up(LMConnectionRef connection, uint64_t *random)
{
    uint64_t kind = th_random_in(random, 0, 3);
    th_check_echo(connection);
    for (int i = 0; i < 50; i++) {
        if (kind == 1 || (kind == 2 && i % 2))
            assert_int_equal(LMConnectionSendOneWay(connection, WARM, "warm", 4), 0);
        else
            th_check_echo(connection);
    }
    if (kind == 3)
        th_sleep_ms(1); /* not to wait for something: in most rounds the service goes to sleep */
}

/* --- The last word: each way to send one returns what it was told --- */

static kern_return_t send_plain(LMConnectionRef connection, uint32_t round)
{
    return LMConnectionSendOneWay(connection, LAST, &round, sizeof round);
}

static kern_return_t send_lent(LMConnectionRef connection, uint32_t round)
{
    LMBufferRef buffer;
    kern_return_t result = LMConnectionCreateBuffer(connection, sizeof round, &buffer);
    if (result)
        return result;
    memcpy(LMBufferGetBytes(buffer), &round, sizeof round);
    result = LMConnectionSendOneWayBuffer(connection, LAST, &buffer);
    LMBufferFree(buffer);
    return result;
}

static void answered(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info)
{
    (void)call, (void)response;
    *(kern_return_t *)info = status;
}

static kern_return_t send_asynchronously(LMConnectionRef connection, uint32_t round)
{
    kern_return_t status = -1;
    kern_return_t result = LMConnectionSendTwoWayAsync(connection, LAST, &round, sizeof round, LM_TIMEOUT_NEVER,
                                                       CFRunLoopGetCurrent(), answered, &status, NULL);
    while (result == 0 && status == -1)
        CFRunLoopRunInMode(kCFRunLoopDefaultMode, 20, true);
    return result ? result : status;
}

typedef kern_return_t (*send_function)(LMConnectionRef connection, uint32_t round);

/* --- A round --- */

struct round {
    uint32_t number;
    unsigned start_us, send_us; /* after the kill */
    unsigned ends;              /* what the sender does afterwards */
    send_function send;
    uint64_t random;
    LMConnection *connection;
};

static struct round *shared; /* the round that is played */

static void wait_us(uint64_t begin, unsigned us)
{
    while (th_now_us() < begin + us)
        th_spin_us(10);
}

static pid_t start_later(const struct round *round, uint64_t killed)
{
    wait_us(killed, round->start_us);
    return th_serve(NAME, take);
}

static void *send_later(void *argument)
{
    struct round *round = argument;
    wait_us(th_now_us(), round->send_us);
    th_set(RESULT, (uint32_t)round->send(round->connection, round->number));
    th_set(SENT, 1);
    return NULL;
}

/* The sender in a process of its own, which ends when it has said its word. */
static void send_and_end(const struct th_service *me)
{
    (void)me;
    struct round *round = shared;
    LMConnection connection = th_connection(NAME);
    round->connection = &connection;
    warm_up(&connection, &round->random);
    th_ready();
    th_await(GO, 1);
    send_later(round);
    if (round->ends == EXITS)
        _exit(0);
    exit(0);
}

/* What was said to be sent comes, and nothing else does. */
static void check_round(const struct round *round, unsigned *refused)
{
    kern_return_t result = (kern_return_t)th_get(RESULT);
    assert_true(result == 0 || result == BOOTSTRAP_UNKNOWN_SERVICE || result == MACH_SEND_INVALID_DEST);
    if (result == 0)
        th_await(ARRIVED + round->number, 1);
    *refused += result != 0;
}

/* The sender stays in this process, and its connection is used by nobody else before the message has come. */
static pid_t play_here(struct round *round, pid_t service, LMConnectionRef connection)
{
    pthread_t thread;
    round->connection = connection;
    warm_up(connection, &round->random);
    th_kill(service);
    uint64_t killed = th_now_us();
    assert_int_equal(pthread_create(&thread, NULL, send_later, round), 0);
    service = start_later(round, killed);
    pthread_join(thread, NULL);
    return service;
}

static pid_t play_apart(struct round *round, pid_t service)
{
    pid_t sender = th_start(&(struct th_service){.program = send_and_end});
    th_kill(service);
    uint64_t killed = th_now_us();
    th_set(GO, 1);
    service = start_later(round, killed);
    assert_int_equal(th_reap(sender), 0);
    th_await(SENT, 1);
    return service;
}

static void hunt(const char *name, send_function send, bool apart, uint64_t stream)
{
    uint64_t random = th_seed(stream);
    unsigned rounds = th_hunt(100, ROUNDS_MAX), refused = 0;
    LMConnection connection = th_connection(NAME);
    struct round *round = shared;
    pid_t service = th_serve(NAME, take);
    for (uint32_t number = 0; number < rounds; number++) {
        th_set(GO, 0);
        th_set(SENT, 0);
        *round = (struct round){.number = number, .send = send, .random = th_random(&random)};
        round->start_us = (unsigned)th_random_in(&random, 0, LATEST_US);
        round->send_us = (unsigned)th_random_in(&random, 0, LATEST_US);
        round->ends = apart ? (unsigned)th_random_in(&random, EXITS, ENDS) : STAYS;
        service = apart ? play_apart(round, service) : play_here(round, service, &connection);
        check_round(round, &refused);
    }
    for (uint32_t number = 0; number < rounds; number++)
        assert_true(th_get(ARRIVED + number) <= 1);
    th_report("last word, %s: %u rounds, %u refused, the others came once", name, rounds, refused);
    assert_true(refused < rounds || th_quick()); /* of two rounds both may be refused */
    th_check_echo(&connection);                  /* what was kept goes, so that nothing stays open */
    th_close(&connection);
    th_stop(service);
}

/* Intent: a message that nothing follows goes to the successor, or is refused. */
static void a_lone_message_comes_or_is_refused(void)
{
    hunt("one-way", send_plain, false, 1);
}

/* Intent: the same if its sender is gone at once, in good order or not. */
static void the_message_of_a_sender_that_ends_comes_or_is_refused(void)
{
    hunt("one-way, and the sender ends", send_plain, true, 2);
}

/* Intent: the same in a lent buffer. */
static void a_lone_lent_message_comes_or_is_refused(void)
{
    hunt("lent", send_lent, false, 3);
}

/* Intent: the same for a call whose loop runs. */
static void a_lone_asynchronous_call_comes_or_is_refused(void)
{
    hunt("asynchronous", send_asynchronously, false, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(a_lone_message_comes_or_is_refused, 120),
        TH_TEST_SECONDS(the_message_of_a_sender_that_ends_comes_or_is_refused, 120),
        TH_TEST_SECONDS(a_lone_lent_message_comes_or_is_refused, 120),
        TH_TEST_SECONDS(a_lone_asynchronous_call_comes_or_is_refused, 120),
    };
    shared = th_share(sizeof *shared);
    return TH_HUNT_MAIN(tests);
}
