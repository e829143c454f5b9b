/* SPDX-License-Identifier: MIT */
/* Spinning before sleeping: which threads spin, for how long, and that idle threads sleep. */
#include "harness.h"

#include <inttypes.h>
#include <sched.h>

static const char NAME[] = "test.spin";

enum { SECOND = 1000000 }; /* in microseconds */

/* --- The estimate --- */

static struct lm_spin looking(void)
{
    struct lm_spin spin;
    memset(&spin, 0, sizeof spin);
    spin.allowed = LM_SPIN_LONG;
    spin.expected = LM_SPIN_LONG;
    lm_spin_set(&spin, LM_SPIN_DEFAULT);
    return spin;
}

/*
 * Intent: a waiter spins if its waits are short, and does not if they are long.
 *   waits of 30 us, ... -> looks
 *   waits of 1 ms, ... --> sleeps at once
 */
static void looks_follow_the_waits(void)
{
    struct lm_spin spin = looking();
    assert_false(lm_spin_pays(&spin));
    for (int i = 0; i < 20; i++)
        lm_spin_learn(&spin, 30000, lm_spin_pays(&spin));
    assert_true(lm_spin_pays(&spin));
    for (int i = 0; i < 20; i++)
        lm_spin_learn(&spin, SECOND, lm_spin_pays(&spin));
    assert_false(lm_spin_pays(&spin));
}

/* Returns the number of spins among so many waits of 100 us, for which a spin is worthwhile but ends too early. */
static int looks_among(struct lm_spin *spin, int waits)
{
    int looks = 0;
    for (int i = 0; i < waits; i++) {
        bool pays = lm_spin_pays(spin);
        looks += pays;
        lm_spin_learn(spin, 100000, pays);
    }
    return looks;
}

/* Intent: spins that find nothing become rare, and in the end very rare; one that finds something resets that. */
static void looks_in_vain_become_rare(void)
{
    struct lm_spin spin = looking();
    assert_in_range(looks_among(&spin, 1000), 20, 50);
    looks_among(&spin, 1000000);
    assert_in_range(looks_among(&spin, 10240), 9, 11);
    lm_spin_learn(&spin, 1000, true);
    spin.passes = 0;
    assert_in_range(looks_among(&spin, 10), 3, 5);
}

/*
 * Intent: in a crowd a thread keeps its core only for a moment, or for less if the limit is lower.
 *   limits of 1, 5, 50, 1000 us -> at most LM_SPIN_HOLD, and with what it looks eagerly at most the limit
 */
static void a_crowd_shares_its_cores(void)
{
    static const struct {
        uint32_t limit, hold;
    } cases[] = {{1000, 0}, {5000, 904}, {LM_SPIN_DEFAULT, LM_SPIN_HOLD}, {LM_SPIN_LONG, LM_SPIN_HOLD}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lm_spin spin = looking();
        lm_spin_set(&spin, cases[i].limit);
        assert_int_equal(lm_spin_hold(&spin), cases[i].hold);
    }
}

/*
 * Intent: a thread that yields its core between polls notices new data, and ends at its limit or at the deadline.
 *   nothing comes ---------> false, at the limit, at the deadline, without a limit
 *   the index has moved ---> true
 */
static void a_yielding_look_ends(void)
{
    static struct lm_ring_words words;
    static union {
        unsigned char bytes[LM_RING_SMALLEST];
        uint64_t alignment;
    } memory;
    struct lm_ring ring = {&words, memory.bytes, sizeof memory.bytes, 0};
    struct lm_poll outlook = {.in = ring, .out = ring, .crowded = true};
    int64_t waited;
    assert_false(lm_poll_yielding(&outlook, 20000, LM_FOREVER, &waited));
    assert_false(lm_poll_yielding(&outlook, LM_FOREVER, LM_FOREVER, &waited)); /* it took too long for a spin */
    assert_false(lm_poll_yielding(&outlook, LM_FOREVER, lm_now(), &waited));
    words.tail = LM_FRAME_ALIGN;
    assert_false(lm_poll_yielding(&outlook, 0, LM_FOREVER, &waited));
    assert_true(lm_poll_yielding(&outlook, 20000, LM_FOREVER, &waited));
}

/*
 * Intent: the environment limits the spin, if the value is valid.
 *   LM_SPIN_US=0, 7, 1000 -> as many; anything else -> no bound of its own
 */
static void the_environment_bounds_it(void)
{
    static const struct {
        const char *text;
        uint32_t nanoseconds;
    } cases[] = {{"0", 0},
                 {"7", 7000},
                 {"1000", SECOND},
                 {"1001", LM_SPIN_LONG},
                 {"-1", LM_SPIN_LONG},
                 {"7us", LM_SPIN_LONG},
                 {"", LM_SPIN_LONG},
                 {"99999999999999999999", LM_SPIN_LONG}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("LM_SPIN_US", cases[i].text, 1);
        assert_int_equal(lm_spin_allowed(), cases[i].nanoseconds);
    }
    unsetenv("LM_SPIN_US");
}

/*
 * Intent: a thread restricted to one core never spins.
 *   one core allowed -> 0
 */
static void one_core_never_looks(void)
{
    struct lm_spin spin;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    lm_spin_init(&spin, LM_SPIN_DEFAULT);
    assert_int_equal(spin.limit, 0);
}

/* --- Options --- */

/* Returns the limit of the connection's link. */
static uint32_t limit_of(LMConnectionRef connection)
{
    struct lm_link *link = lm_link_of_port(connection->serverPort, connection->serverName);
    assert_non_null(link);
    uint32_t limit = link->spin.limit, allowed = link->spin.allowed;
    lm_release(&link->object);
    return allowed ? limit : UINT32_MAX; /* on one core there is nothing to check */
}

static void expect_limit(LMConnectionRef connection, uint32_t nanoseconds)
{
    uint32_t limit = limit_of(connection);
    assert_true(limit == nanoseconds || limit == UINT32_MAX);
}

/*
 * Intent: a connection's limit is checked, used, and kept over a restart.
 *   client                     service
 *   1001 us: refused
 *   7 us, call ------------->  answers
 *                              killed, restarted
 *   call ------------------->  answers; still 7 us
 */
static void a_connection_has_its_limit(void)
{
    LMConnection connection = th_connection(NAME);
    assert_int_equal(LMConnectionSetSpin(&connection, 7), BOOTSTRAP_UNKNOWN_SERVICE);
    pid_t service = th_serve(NAME, th_echo);
    assert_int_equal(LMConnectionSetSpin(NULL, 7), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSetSpin(&connection, 1001), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSetSpin(&connection, 7), 0);
    expect_limit(&connection, 7000);
    th_check_echo(&connection);
    th_kill(service);
    service = th_serve(NAME, th_echo);
    th_check_echo(&connection);
    expect_limit(&connection, 7000);
    assert_int_equal(LMConnectionSetSpin(&connection, LM_SPIN_NEVER), 0);
    expect_limit(&connection, 0);
    th_check_echo(&connection);
    assert_int_equal(LMConnectionSetSpin(&connection, 0), 0);
    expect_limit(&connection, LM_SPIN_DEFAULT);
    th_close(&connection);
    th_stop(service);
}

enum { CALLERS = 4 };

static void *call_and_post(void *argument)
{
    LMConnectionRef connection = (LMConnectionRef)argument;
    for (unsigned i = 0; i < th_rounds(3000); i++) {
        SInt32 number = (SInt32)i;
        LMResponseBuffer response;
        (void)LMConnectionSendTwoWay(connection, 1, &number, sizeof number, &response);
        LMResponseBufferFree(&response);
        (void)LMConnectionSendOneWay(connection, 1, NULL, 0);
    }
    return NULL;
}

/*
 * Intent: the count of threads in a call, which decides whether they are a crowd, is right in the end: whatever they
 * did, and whatever happened to the service meanwhile.
 *   4 threads          service
 *   calls, posts --->  killed, restarted; and again
 *   nobody ---------------------------------------->  0
 */
static void threads_in_calls_are_counted(void)
{
    LMConnection connection = th_connection(NAME);
    pthread_t threads[CALLERS];
    pid_t service = th_serve(NAME, th_echo);
    th_check_echo(&connection);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_and_post, &connection), 0);
    for (int i = 0; i < 10; i++) {
        th_sleep_ms(1); /* not to wait for something: to kill in the middle */
        th_kill(service);
        service = th_serve(NAME, th_echo);
    }
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    th_check_echo(&connection);
    struct lm_link *link = lm_link_of_port(connection.serverPort, connection.serverName);
    assert_non_null(link);
    assert_int_equal(link->threads, 0);
    lm_release(&link->object);
    th_close(&connection);
    th_stop(service);
}

static void serve_with_a_limit(const struct th_service *me)
{
    LMServiceOptions options = {.spinMicroseconds = 1001};
    CFMachPortCallBack callback = (CFMachPortCallBack)th_echo;
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    assert_int_equal(LMStartServiceWithOptions(me->name, loop, callback, NULL, &options, NULL), KERN_INVALID_ARGUMENT);
    options.spinMicroseconds = (uint32_t)(uintptr_t)me->info;
    assert_int_equal(LMStartServiceWithOptions(me->name, loop, callback, NULL, &options, NULL), 0);
    th_ready();
    CFRunLoopRun();
}

static uint64_t sleeps_of(pid_t process)
{
    char path[64], line[128];
    uint64_t count = UINT64_MAX;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        sscanf(line, "voluntary_ctxt_switches: %" SCNu64, &count);
    fclose(file);
    assert_true(count != UINT64_MAX);
    return count;
}

/*
 * Intent: a service that was busy and has nothing left to do sleeps, and is not woken once; whatever its limit.
 *   client               service
 *   2000 calls ------->  hot
 *                        sleeps; half a second later as well
 */
static void a_quiet_service_is_not_woken(void)
{
    static const uint32_t limits[] = {0, 1000, LM_SPIN_NEVER};
    for (size_t i = 0; i < 3; i++) {
        LMConnection connection = th_connection(NAME);
        pid_t service = th_start(
            &(struct th_service){.name = NAME, .program = serve_with_a_limit, .info = (void *)(uintptr_t)limits[i]});
        for (unsigned j = 0; j < th_rounds(2000); j++)
            th_check_echo(&connection);
        th_sleep_ms(100);
        th_await_sleep(service);
        uint64_t before = sleeps_of(service);
        th_sleep_ms(500);
        assert_true(sleeps_of(service) == before);
        th_close(&connection);
        th_kill(service);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(looks_follow_the_waits),       TH_TEST(looks_in_vain_become_rare),
        TH_TEST(a_crowd_shares_its_cores),     TH_TEST(a_yielding_look_ends),
        TH_TEST(the_environment_bounds_it),    TH_TEST(one_core_never_looks),
        TH_TEST(a_connection_has_its_limit),   TH_TEST(threads_in_calls_are_counted),
        TH_TEST(a_quiet_service_is_not_woken),
    };
    return TH_MAIN(tests);
}
