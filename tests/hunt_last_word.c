/* SPDX-License-Identifier: MIT */
/*
 * A sender's last message: one message after the service was killed, and then nothing more, so that no later message
 * carries it to the successor. Either it is refused, or it arrives once.
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

enum { WARM = 1, LAST, KEEP };
enum { RESULT, SENT, GO, KEPT, ARRIVED }; /* words; those from ARRIVED on count what came, by round */
enum { ROUNDS_MAX = 10000, LATEST_US = 20000 };
enum { STAYS = 0, EXITS = 1, ENDS = 2 };

static void take(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    uint32_t round;
    if (message->head.msgh_id == LAST) {
        memcpy(&round, LMMessageGetData(message), sizeof round);
        th_add(ARRIVED + round);
    }
    if (message->head.msgh_id == KEEP)
        th_add(KEPT);
    else if (message->head.msgh_remote_port)
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
        th_sleep_ms(1); /* not to wait for something: in most rounds the service falls asleep */
}

/* --- The last message: each way to send one returns the result it got --- */

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

/* Runs the sender in a process of its own, which ends when it has sent its message. */
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

/* A message that was reported as sent arrives, and nothing else does. */
static void check_round(const struct round *round, unsigned *refused)
{
    kern_return_t result = (kern_return_t)th_get(RESULT);
    assert_true(result == 0 || result == BOOTSTRAP_UNKNOWN_SERVICE || result == MACH_SEND_INVALID_DEST);
    if (result == 0)
        th_await(ARRIVED + round->number, 1);
    *refused += result != 0;
}

/* Runs the sender in this process; its connection is not used for anything else before the message has come. */
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

/* --- At the moment of the death --- */

/* Calls, and sends when the call has ended with the service: the kernel has then not yet closed all of the service's
 * sockets. */
static void *call_and_send(void *argument)
{
    struct round *round = argument;
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(round->connection, KEEP, NULL, 0, &buffer), MACH_RCV_PORT_DIED);
    return send_later(round);
}

static pid_t play_at_once(struct round *round, pid_t service, LMConnectionRef connection)
{
    pthread_t thread;
    round->connection = connection;
    round->send_us = 0;
    warm_up(connection, &round->random);
    th_set(KEPT, 0);
    assert_int_equal(pthread_create(&thread, NULL, call_and_send, round), 0);
    th_await(KEPT, 1);
    th_kill(service);
    uint64_t killed = th_now_us();
    service = start_later(round, killed);
    pthread_join(thread, NULL);
    return service;
}

enum sender { HERE, APART, AT_ONCE };

static void hunt(const char *name, send_function send, enum sender sender, uint64_t stream)
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
        round->ends = sender == APART ? (unsigned)th_random_in(&random, EXITS, ENDS) : STAYS;
        service = sender == APART     ? play_apart(round, service)
                  : sender == AT_ONCE ? play_at_once(round, service, &connection)
                                      : play_here(round, service, &connection);
        check_round(round, &refused);
    }
    for (uint32_t number = 0; number < rounds; number++)
        assert_true(th_get(ARRIVED + number) <= 1);
    th_report("last word, %s: %u rounds, %u refused, the others came once", name, rounds, refused);
    /* At most one of two rounds may be refused; at the death, all may be, since no successor is there yet. */
    assert_true(refused < rounds || th_quick() || sender == AT_ONCE);
    th_check_echo(&connection); /* sends what was kept, so that nothing stays open */
    th_close(&connection);
    th_stop(service);
}

/* Intent: a message that nothing follows goes to the successor, or is refused. */
static void a_lone_message_comes_or_is_refused(void)
{
    hunt("one-way", send_plain, HERE, 1);
}

/* Intent: the same if its sender ends at once, in good order or not. */
static void the_message_of_a_sender_that_ends_comes_or_is_refused(void)
{
    hunt("one-way, and the sender ends", send_plain, APART, 2);
}

/* Intent: the same in a lent buffer. */
static void a_lone_lent_message_comes_or_is_refused(void)
{
    hunt("lent", send_lent, HERE, 3);
}

/* Intent: the same for a call whose loop runs. */
static void a_lone_asynchronous_call_comes_or_is_refused(void)
{
    hunt("asynchronous", send_asynchronously, HERE, 4);
}

/* Intent: the same for a message that is sent as soon as its sender learns of the death, while the kernel may not have
 * closed the service's listener. */
static void a_message_at_the_death_comes_or_is_refused(void)
{
    hunt("one-way, at the death", send_plain, AT_ONCE, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(a_lone_message_comes_or_is_refused, 120),
        TH_TEST_SECONDS(the_message_of_a_sender_that_ends_comes_or_is_refused, 120),
        TH_TEST_SECONDS(a_lone_lent_message_comes_or_is_refused, 120),
        TH_TEST_SECONDS(a_lone_asynchronous_call_comes_or_is_refused, 120),
        TH_TEST_SECONDS(a_message_at_the_death_comes_or_is_refused, 120),
    };
    shared = th_share(sizeof *shared);
    return TH_HUNT_MAIN(tests);
}
