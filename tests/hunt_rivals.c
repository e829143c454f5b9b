/* SPDX-License-Identifier: MIT */
/*
 * Two rivals for one name, killed and started again and again:
 *
 *   A owner | killed                        B owner | both killed, at any moment | C and D start at once: one is owner
 *   B told  | its next attempt: it is owner, C told |                            | the other is told
 *
 * There is always exactly one owner, the one that answers; the other is told that the name is in use. The name is free
 * as soon as its owner's death can be known: the first attempt after that succeeds.
 */
#include "harness.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "hunt.rivals";

/* Words: the number of owners so far, and of refusals; deaths that can be known by now; attempts that failed although
 * the name was free; the last owner's process; the barrier that two start at. */
enum { OWNERS, TOLD, DEATHS, WRONG, OWNER, BARRIER };

static kern_return_t attempt(void)
{
    return LMStartService(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)th_echo);
}

/* Tries until it is the owner. An attempt that began after the only owner's death must succeed. */
static void compete(void)
{
    for (;;) {
        uint32_t deaths = th_get(DEATHS), owners = th_get(OWNERS);
        kern_return_t status = attempt();
        if (status == 0)
            break;
        assert_int_equal(status, BOOTSTRAP_NAME_IN_USE);
        if (deaths > 0 && deaths == owners && th_get(OWNERS) == owners)
            th_add(WRONG);
        th_add(TOLD);
        th_sleep_ms(1);
    }
    th_set(OWNER, (uint32_t)getpid());
    th_add(OWNERS);
    th_serve_until_stopped();
}

static void be_rival(const struct th_service *me)
{
    (void)me;
    th_ready();
    compete();
}

static void be_rival_at_the_barrier(const struct th_service *me)
{
    (void)me;
    th_ready();
    th_await(BARRIER, 1);
    compete();
}

static pid_t start(void (*program)(const struct th_service *))
{
    return th_start(&(struct th_service){.program = program});
}

/* Exactly one process is the owner, and it is the one that answers. */
static pid_t check_owner(const pid_t *rivals, uint32_t owners)
{
    th_await(OWNERS, owners);
    LMConnection connection = th_connection(NAME);
    pid_t owner = th_ask(&connection, TH_PROCESS_ID);
    th_close(&connection);
    assert_int_equal(owner, th_get(OWNER));
    assert_true(owner == rivals[0] || owner == rivals[1]);
    uint32_t told = th_get(TOLD);
    th_await(TOLD, told + 2); /* the other continues to be refused */
    assert_int_equal(th_get(OWNERS), owners);
    assert_int_equal(th_get(WRONG), 0);
    return owner;
}

/* Intent: the owner is killed, the other takes the name at its next attempt, and a third is refused. */
static void the_other_takes_over(void)
{
    unsigned rounds = th_hunt(100, 1000);
    uint64_t longest = 0;
    pid_t rivals[2] = {start(be_rival), start(be_rival)};
    for (uint32_t round = 1; round <= rounds; round++) {
        pid_t owner = check_owner(rivals, round);
        int index = owner == rivals[1];
        th_kill(owner);
        uint64_t began = th_now_us();
        th_add(DEATHS);
        th_await(OWNERS, round + 1);
        uint64_t took = th_now_us() - began;
        longest = took > longest ? took : longest;
        rivals[index] = start(be_rival);
    }
    check_owner(rivals, rounds + 1);
    th_report("%u kills: always one owner; the name was taken again after %llu us at most", rounds,
              (unsigned long long)longest);
    th_kill(rivals[0]);
    th_kill(rivals[1]);
}

/* Intent: both are killed at any moment of their starting; of the next two, one becomes the owner and one is
 * refused. */
static void of_two_at_once_one_is_owner(void)
{
    unsigned rounds = th_hunt(100, 1000);
    uint64_t random = th_seed(1);
    for (uint32_t round = 0; round < rounds; round++) {
        pid_t rivals[2];
        for (unsigned word = 0; word <= BARRIER; word++)
            th_set(word, 0);
        for (int i = 0; i < 2; i++)
            rivals[i] = start(be_rival_at_the_barrier);
        th_set(BARRIER, 1);
        if (round % 2 == 0)
            th_spin_us(th_random_in(&random, 0, 2000));
        else
            check_owner(rivals, 1);
        for (int i = 0; i < 2; i++)
            th_kill(rivals[i]);
        assert_int_equal(th_get(WRONG), 0);
    }
    th_report("%u times two at once, half of them killed on the way: always one owner", rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(the_other_takes_over, 50),
        TH_TEST_SECONDS(of_two_at_once_one_is_owner, 50),
    };
    return TH_HUNT_MAIN(tests);
}
