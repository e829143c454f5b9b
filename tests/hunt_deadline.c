/* SPDX-License-Identifier: MIT */
/*
 * Replies raced against deadlines. Each call is answered when its time is almost or just over, and the delay follows
 * the outcomes, so that both are frequent on any machine. Each call ends in one way, and the service agrees with it:
 *
 *   caller --n--> taken, kept ... answered |                  the answer to n
 *                                          | answered late    MACH_RCV_TIMED_OUT, the answer is never seen
 *   caller --n--> (service at work) ... withdrawn             MACH_SEND_TIMED_OUT, n is never seen
 *
 * Now and then an answer is so late that the names of calls have been used once around meanwhile. At the end both
 * processes hold what they held at the start.
 */
#include "harness.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char NAME[] = "hunt.deadline";

enum { CALLERS = 16, CALLS_MAX = 1100000, TIMEOUT_MAX_MS = 1000, STEP_US = 20, JITTER_US = 150, LONG_US = 80000 };
enum { ASK = 1, STALL, MEASURE };

/* What a process holds. Resident memory has some slack: malloc keeps freed memory, in one arena per thread. */
struct holdings {
    uint32_t descriptors;
    uint32_t names;    /* of ports, and of calls */
    uint32_t resident; /* KiB */
};
enum { SLACK_KIB = 2048 }; /* two bytes for each call of the long form */

/* Times that the callback was entered with a call's number. Shared by both processes, and read at the end. */
static uint8_t *entered;

static uint32_t resident_kib(void)
{
    long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &total, &resident), 2);
    fclose(file);
    return (uint32_t)(resident * (sysconf(_SC_PAGESIZE) / 1024));
}

static uint32_t names_in(const struct lm_table *table)
{
    return table->used == 0 ? 0 : table->used - 1 - table->free_count;
}

/* Called while the process makes no calls. */
static struct holdings measure(void)
{
    lm_process_lock();
    struct holdings now = {th_descriptors(), names_in(&lm_process.ports), resident_kib()};
    struct lm_list *links = &lm_clients.links;
    for (struct lm_list *l = lm_list_first(links); l != NULL; l = lm_list_next(links, l))
        now.names += names_in(&LM_CONTAINER(l, struct lm_link, in_process)->calls);
    lm_process_unlock();
    return now;
}

/* --- The service --- */

struct question {
    uint32_t number;
    uint32_t delay_us;
};

struct kept {
    mach_port_t reply;
    uint32_t number;
    uint64_t due; /* microseconds */
};

/* At most one for each caller, and a few whose callers have given up. */
static struct kept kept[CALLS_MAX / 16];
static unsigned kept_count;
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

/* Takes out the first answer that is due. */
static bool take_due(struct kept *due)
{
    uint64_t now = th_now_us();
    bool found = false;
    pthread_mutex_lock(&kept_lock);
    for (unsigned i = 0; i < kept_count && !found; i++) {
        if (kept[i].due > now)
            continue;
        found = true;
        *due = kept[i];
        kept[i] = kept[--kept_count];
    }
    pthread_mutex_unlock(&kept_lock);
    return found;
}

static void *answer_when_due(void *argument)
{
    (void)argument;
    prctl(PR_SET_TIMERSLACK, 1);
    for (;;) {
        struct kept due;
        if (take_due(&due))
            assert_int_equal(LMSendReply(due.reply, &due.number, sizeof due.number), 0); /* though it may be late */
        else
            usleep(20);
    }
    return NULL;
}

static void start_answering(void)
{
    pthread_t thread;
    unsigned sum = 0;
    for (size_t i = 0; i < CALLS_MAX; i++) /* makes all of it resident */
        sum += entered[i];
    assert_int_equal(sum, 0);
    assert_int_equal(pthread_create(&thread, NULL, answer_when_due, NULL), 0);
    pthread_detach(thread);
}

static void keep(mach_port_t reply, const struct question *question)
{
    pthread_mutex_lock(&kept_lock);
    assert_true(kept_count < sizeof kept / sizeof *kept);
    kept[kept_count++] = (struct kept){reply, question->number, th_now_us() + question->delay_us};
    pthread_mutex_unlock(&kept_lock);
}

static void serve(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    struct question question;
    mach_port_t reply = message->head.msgh_remote_port;
    (void)port, (void)size, (void)info;
    if (message->head.msgh_id == MEASURE) {
        struct holdings now = measure();
        LMSendReply(reply, &now, sizeof now);
        return;
    }
    memcpy(&question, LMMessageGetData(message), sizeof question);
    entered[question.number]++;
    if (message->head.msgh_id == ASK) {
        keep(reply, &question);
        return;
    }
    usleep(question.delay_us); /* all other calls wait, until it is time for them to be withdrawn */
    assert_int_equal(LMSendReply(reply, &question.number, sizeof question.number), 0);
}

/* --- The callers --- */

/* The delay that a caller aims at, so that the answer comes about when the timeout passes. */
struct aim {
    uint32_t timeout_ms; /* 1, if the machine is fast enough to be in time at all */
    uint32_t delay_us;
};

static void aim_later(struct aim *aim)
{
    aim->delay_us += STEP_US;
    if (aim->timeout_ms > 1 && aim->delay_us < (aim->timeout_ms - 1) * 1000)
        aim->timeout_ms--;
}

static void aim_earlier(struct aim *aim)
{
    if (aim->delay_us >= STEP_US)
        aim->delay_us -= STEP_US;
    else if (aim->timeout_ms < TIMEOUT_MAX_MS)
        aim->timeout_ms++;
}

enum outcome { NOT_USED = 0, ANSWERED, WITHDRAWN, TOO_LATE, OUTCOMES };

static LMConnection connection = {MACH_PORT_NULL, "hunt.deadline"};
static uint8_t outcomes[CALLS_MAX];
static uint32_t numbers_used, calls_wanted;

static enum outcome call(uint32_t number, SInt32 id, const struct aim *aim, uint32_t delay_us)
{
    const struct question question = {number, delay_us};
    LMResponseBuffer response;
    kern_return_t result =
        LMConnectionSendTwoWayWithTimeout(&connection, id, &question, sizeof question, aim->timeout_ms, &response);
    assert_int_equal(LMMessageGetDataLength(&response.message), result == 0 ? sizeof number : 0);
    if (result == 0)
        assert_memory_equal(LMMessageGetData(&response.message), &number, sizeof number); /* not an earlier call's */
    else
        assert_true(result == MACH_SEND_TIMED_OUT || result == MACH_RCV_TIMED_OUT);
    LMResponseBufferFree(&response);
    return result == 0 ? ANSWERED : result == MACH_SEND_TIMED_OUT ? WITHDRAWN : TOO_LATE;
}

static void *call_many(void *argument)
{
    uint64_t random = th_seed((uint64_t)(uintptr_t)argument);
    struct aim aim = {1, 500};
    prctl(PR_SET_TIMERSLACK, 1);
    for (;;) {
        uint32_t number = __atomic_fetch_add(&numbers_used, 1, __ATOMIC_RELAXED);
        if (number >= calls_wanted)
            return NULL;
        uint64_t choice = th_random_in(&random, 0, 99);
        uint32_t later = (uint32_t)th_random_in(&random, 0, choice == 0 ? LONG_US : JITTER_US);
        outcomes[number] = (uint8_t)call(number, choice == 1 ? STALL : ASK, &aim, aim.delay_us + later);
        if (outcomes[number] == ANSWERED)
            aim_later(&aim);
        else
            aim_earlier(&aim);
    }
}

/* `numbers_used` may be higher. */
static void call_until(uint32_t count)
{
    pthread_t callers[CALLERS];
    numbers_used = calls_wanted;
    calls_wanted = count;
    for (uintptr_t i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, call_many, (void *)(i + count)), 0);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
}

static bool nothing_is_kept(void *info)
{
    struct holdings *now = info;
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(&connection, MEASURE, NULL, 0, &response), 0);
    memcpy(now, LMMessageGetData(&response.message), sizeof *now);
    LMResponseBufferFree(&response);
    return now->names <= 2; /* the service's own port, and this call's */
}

static void take_stock(struct holdings *service, struct holdings *client)
{
    th_wait_until(nothing_is_kept, service); /* late answers are still on their way */
    *client = measure();
}

static void check_holdings(const char *whose, const struct holdings *before, const struct holdings *after)
{
    th_report("deadline, %s: descriptors %u, then %u; names %u, then %u; resident KiB %u, then %u", whose,
              before->descriptors, after->descriptors, before->names, after->names, before->resident, after->resident);
    assert_int_equal(after->descriptors, before->descriptors);
    assert_int_equal(after->names, before->names);
    if (!th_sanitized() && !TH_THREAD_SANITIZER && !th_on_valgrind()) /* these keep freed memory, or notes on it */
        assert_true(after->resident <= before->resident + SLACK_KIB);
}

static void check_outcomes(uint32_t count)
{
    uint32_t times[OUTCOMES] = {0}, wrong = 0;
    for (uint32_t number = 0; number < count; number++) {
        times[outcomes[number]]++;
        wrong += entered[number] != (outcomes[number] != WITHDRAWN);
    }
    th_report("deadline: %u calls: %u answered (%u %%), %u timed out: %u withdrawn, %u taken; disagreements %u", count,
              times[ANSWERED], times[ANSWERED] * 100 / count, times[WITHDRAWN] + times[TOO_LATE], times[WITHDRAWN],
              times[TOO_LATE], wrong);
    assert_int_equal(times[NOT_USED], 0);
    assert_int_equal(wrong, 0);
    if (th_quick())
        return;
    assert_true(times[ANSWERED] >= count / 20); /* otherwise nothing was raced */
    assert_true(times[WITHDRAWN] + times[TOO_LATE] >= count / 20);
}

/* Intent: exactly one of answer and timeout, on which the service agrees; no late answer is seen; nothing is left. */
static void replies_race_deadlines(void)
{
    struct holdings service_before, service_after, client_before, client_after;
    uint32_t first = th_hunt(1000, 50000), count = first + th_hunt(12000, 1000000);
    memset(entered, 0, CALLS_MAX);
    memset(outcomes, NOT_USED, CALLS_MAX);
    pid_t service = th_start(&(struct th_service){.name = NAME, .callback = serve, .prepare = start_answering});
    uint64_t start = th_now_ms();
    call_until(first); /* after these calls malloc and the stacks have what they need */
    take_stock(&service_before, &client_before);
    call_until(count);
    take_stock(&service_after, &client_after);
    th_report("deadline: %llu ms", (unsigned long long)(th_now_ms() - start));
    check_outcomes(count);
    check_holdings("service", &service_before, &service_after);
    check_holdings("client", &client_before, &client_after);
    th_close(&connection);
    th_stop(service);
}

int main(void)
{
    entered = th_share(CALLS_MAX);
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(replies_race_deadlines, 50),
    };
    return TH_HUNT_MAIN(tests);
}
