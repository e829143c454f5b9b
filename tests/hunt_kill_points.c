/* SPDX-License-Identifier: MIT */
/* Kills one side at its n-th system call, for each n until it comes to its end. The call at which it dies is not made;
 * what it did before must be enough for the others. */
#define LM_TEST_SYSCALL die_at_point
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "hunt.points";

enum { ECHO = 1, KEEP, ANSWER_KEPT, NOTE, QUIT, DESCRIPTORS, STEPS = 10, WAITER = STEPS, MESSAGES, LONGEST = 200000 };

/* --- Shared memory, which outlives all processes --- */

static struct seen {
    uint32_t point; /* the system call at which the victim is killed, from 1 on */
    uint32_t passed;
    uint32_t dead;
    volatile uint32_t times[MESSAGES]; /* that the callback was entered with a message, */
    uint32_t queued[MESSAGES];         /* one-way messages, says their sender */
    uint32_t latest;                   /* the latest of them, */
    uint32_t put; /* plus 1: the whole answer for which the victim was to ring when it was killed */
    uint32_t disorder;
    uint32_t wrong; /* and payloads that were wrong */
} * seen;

static bool victim;
static uint32_t replying; /* to this message, plus 1, with an answer that is put in as a whole */

int die_at_point(long number);

int die_at_point(long number)
{
    if (victim && __atomic_add_fetch(&seen->passed, 1, __ATOMIC_SEQ_CST) == seen->point) {
        seen->put = number == SYS_sendto ? replying : 0;
        __atomic_store_n(&seen->dead, 1, __ATOMIC_SEQ_CST);
        kill(getpid(), SIGKILL);
    }
    return 0;
}

static bool is_dead(void)
{
    return __atomic_load_n(&seen->dead, __ATOMIC_SEQ_CST);
}

/* --- The service --- */

static mach_port_t kept;

static void enter(LMMessage *message)
{
    uint32_t number = MESSAGES, length = LMMessageGetDataLength(message);
    if (length >= sizeof number)
        memcpy(&number, LMMessageGetData(message), sizeof number);
    if (number >= MESSAGES) {
        seen->wrong++;
        return;
    }
    seen->times[number]++;
    seen->wrong += !th_is_filled((uint8_t *)LMMessageGetData(message) + sizeof number, length - sizeof number, number);
    if (number == WAITER)
        return;
    seen->disorder += number < seen->latest;
    seen->latest = number;
}

/* Keeps at most one call: a client that died may have left another. */
static void keep(mach_port_t reply)
{
    if (kept != MACH_PORT_NULL)
        mach_port_deallocate(mach_task_self(), kept);
    kept = reply;
}

static void answer_kept(void)
{
    (void)LMSendReply(kept, "kept", 4); /* the caller may be dead */
    kept = MACH_PORT_NULL;
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    mach_port_t reply = message->head.msgh_remote_port;
    (void)size, (void)info;
    if (message->head.msgh_id == DESCRIPTORS) {
        LMSendIntegerReply(reply, (int)th_descriptors());
        return;
    }
    enter(message);
    switch (message->head.msgh_id) {
    case KEEP:
        keep(reply);
        return;
    case ANSWER_KEPT:
        answer_kept();
        break;
    case QUIT:
        if (victim) /* only the victim, not its successor */
            CFMachPortInvalidate(port);
        return;
    default:
        break;
    }
    uint32_t length = LMMessageGetDataLength(message);
    replying = reply != MACH_PORT_NULL && length <= LM_PIECE_MIN ? seen->latest + 1 : 0;
    (void)LMSendReply(reply, LMMessageGetData(message), length);
    replying = 0;
}

/* It is ready before it has a name, so that it can be killed while it registers. */
static void serve_until_quit(const struct th_service *me)
{
    victim = me->info != NULL;
    th_ready();
    assert_int_equal(LMStartService(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer), 0);
    CFRunLoopRun();
}

/* --- The client --- */

/* All sizes, both directions, both kinds. */
static const struct step {
    SInt32 id;
    bool one_way;
    uint32_t length;
} steps[STEPS] = {
    {ECHO, false, 100},      {NOTE, true, 20}, {NOTE, true, 300},   {ECHO, false, LONGEST}, {NOTE, true, 100000},
    {ANSWER_KEPT, false, 8}, {NOTE, true, 20}, {ECHO, false, 5000}, {NOTE, true, 8},        {QUIT, true, 8},
};

static LMConnection connection = {MACH_PORT_NULL, "hunt.points"};
static kern_return_t results[MESSAGES];

static kern_return_t call(const struct step *step, const void *bytes)
{
    LMResponseBuffer response;
    kern_return_t result = LMConnectionSendTwoWay(&connection, step->id, bytes, step->length, &response);
    uint32_t length = LMMessageGetDataLength(&response.message);
    if (result != 0)
        assert_int_equal(length, 0);
    else if (step->id != KEEP)
        assert_true(length == step->length && memcmp(LMMessageGetData(&response.message), bytes, length) == 0);
    LMResponseBufferFree(&response);
    return result;
}

static void take_step(uint32_t number, const struct step *step)
{
    uint8_t *bytes = malloc(step->length);
    assert_non_null(bytes);
    memcpy(bytes, &number, sizeof number);
    th_fill(bytes + sizeof number, step->length - sizeof number, number);
    results[number] =
        step->one_way ? LMConnectionSendOneWay(&connection, step->id, bytes, step->length) : call(step, bytes);
    seen->queued[number] = step->one_way && results[number] == 0;
    free(bytes);
}

static void *wait_for_an_answer(void *argument)
{
    (void)argument;
    take_step(WAITER, &(const struct step){KEEP, false, 50});
    return NULL;
}

/* Takes all steps, beside another thread that waits, once there is a service or it is clear that there will be none. */
static void take_all_steps(void)
{
    pthread_t waiter;
    do
        take_step(0, &steps[0]);
    while (results[0] == BOOTSTRAP_UNKNOWN_SERVICE && !is_dead());
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_an_answer, NULL), 0);
    while (seen->times[WAITER] == 0 && !is_dead())
        th_sleep_ms(1);
    for (uint32_t i = 1; i < STEPS; i++)
        take_step(i, &steps[i]);
    pthread_join(waiter, NULL);
}

static void be_client(const struct th_service *me)
{
    victim = me->info != NULL;
    th_ready();
    take_all_steps();
    th_close(&connection);
}

/* --- A service that dies --- */

static void begin(uint32_t point)
{
    memset((void *)seen, 0, sizeof *seen);
    seen->point = point;
}

/* Returns whether the process ended by itself. */
static bool ended_well(pid_t process)
{
    int status = th_reap(process);
    assert_true((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
                (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return WIFEXITED(status);
}

/* Returns whether the error, if any, is that of a dead service. */
static bool is_right(kern_return_t result, bool one_way)
{
    return result == 0 || result == BOOTSTRAP_UNKNOWN_SERVICE || result == MACH_SEND_INVALID_DEST ||
           (result == MACH_RCV_PORT_DIED && !one_way);
}

/* A message that its sender was told was taken or queued, and for which the callback was not entered, was in hand at
 * the death. */
static void check_results(bool died)
{
    uint32_t in_hand = 0;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        bool one_way = i < STEPS && steps[i].one_way;
        assert_true(is_right(results[i], one_way));
        if (i != WAITER && !died)
            assert_int_equal(results[i], 0);
        if (results[i] == BOOTSTRAP_UNKNOWN_SERVICE || results[i] == MACH_SEND_INVALID_DEST)
            assert_int_equal(seen->times[i], 0);
        else if (results[i] == 0 && !one_way)
            assert_int_equal(seen->times[i], 1);
        else
            in_hand += seen->times[i] == 0;
        assert_true(seen->times[i] <= 1);
    }
    assert_true(in_hand <= died);
    assert_true(seen->put == 0 || results[seen->put - 1] == 0);
    assert_int_equal(seen->disorder, 0);
    assert_int_equal(seen->wrong, 0);
}

static bool answers(void *info)
{
    LMResponseBuffer response;
    (void)info;
    kern_return_t result = LMConnectionSendTwoWay(&connection, DESCRIPTORS, NULL, 0, &response);
    LMResponseBufferFree(&response);
    return result == 0;
}

static bool service_dies_at(uint32_t point)
{
    begin(point);
    pid_t service = th_start(&(struct th_service){.program = serve_until_quit, .info = seen});
    take_all_steps();
    bool died = !ended_well(service);
    pid_t next = th_start(&(struct th_service){.program = serve_until_quit});
    th_wait_until(answers, NULL); /* and what was kept has been taken before */
    check_results(died);
    th_kill(next);
    return died;
}

static uint32_t next_point(uint32_t point)
{
    return point + (th_quick() ? 13 : 1);
}

/* Intent: wherever a service dies, all that wait for it end with the right error, and its successor is found. */
static void a_service_may_die_at_any_system_call(void)
{
    uint32_t point = 1, died = 0;
    for (unsigned i = 0; i < th_hunt(2, 200); i++)
        for (point = 1; service_dies_at(point); point = next_point(point))
            died++;
    th_report("kill points of a service: %u deaths, the last at system call %u", died, point);
    th_close(&connection);
}

/* --- A client that dies --- */

static int32_t descriptors_of_service;

static int32_t count_descriptors(void)
{
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(&connection, DESCRIPTORS, NULL, 0, &response), 0);
    return LMResponseConsumeInteger(&response);
}

/* Asks over a fresh channel: it is accepted after the dead client's, which counts until all that it left is served. */
static bool holds_nothing_more(void *info)
{
    (void)info;
    th_close(&connection);
    return count_descriptors() == descriptors_of_service;
}

static bool client_dies_at(uint32_t point)
{
    begin(point);
    pid_t client = th_start(&(struct th_service){.program = be_client, .info = seen});
    bool died = !ended_well(client);
    th_wait_until(holds_nothing_more, NULL);
    for (uint32_t i = 0; i < MESSAGES; i++)
        assert_true(seen->times[i] <= 1 && seen->times[i] >= seen->queued[i]);
    assert_int_equal(seen->disorder, 0);
    assert_int_equal(seen->wrong, 0);
    return died;
}

/* Intent: wherever a client dies, what it had sent arrives, and the service frees what it held for it. */
static void a_client_may_die_at_any_system_call(void)
{
    uint32_t point = 1, died = 0;
    pid_t service = th_start(&(struct th_service){.program = serve_until_quit});
    th_wait_until(answers, NULL);
    descriptors_of_service = count_descriptors();
    for (unsigned i = 0; i < th_hunt(2, 200); i++)
        for (point = 1; client_dies_at(point); point = next_point(point))
            died++;
    th_report("kill points of a client: %u deaths, the last at system call %u", died, point);
    th_close(&connection);
    th_kill(service);
}

int main(void)
{
    seen = th_share(sizeof *seen);
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(a_service_may_die_at_any_system_call, 50),
        TH_TEST_SECONDS(a_client_may_die_at_any_system_call, 50),
    };
    return TH_HUNT_MAIN(tests);
}
