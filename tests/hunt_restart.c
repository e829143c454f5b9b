/* SPDX-License-Identifier: MIT */
/*
 * A service is killed and started again, over and over, under clients that never stop. The results that the clients got
 * are compared with the messages for which the service's callback was entered.
 *
 *   producers --1, 2, 3, ...-->   --k-->  (unknown service) --k-->   --k, k+1, ...-->
 *   service      takes some | killed                        | started, takes what was left, then k
 *
 * The callback writes into memory that outlives the service. A kill may lose the one message that the service had in
 * hand: it was taken, but its callback had not ended, or had not begun if the kill came just before.
 */
#include "harness.h"

#include <pthread.h>

static const char NAME[] = "hunt.restart";

enum { MESSAGES_MAX = 8000000, KILLS_MAX = 100, PRODUCERS_MAX = 2, CALLERS = 6, KEPT_MAX = 2, PAYLOAD_MAX = 200000 };
enum { NOTE = 1, CALL, FLUSH, ENTERED };

/* --- Shared memory, which outlives the service --- */

struct entry {
    uint32_t producer;
    uint32_t number;
};

struct counts {
    uint32_t entered; /* callbacks that were entered, */
    uint32_t ended;   /* and how many of them ended */
    uint32_t wrong;   /* payloads that are not their number's */
    uint32_t flushed; /* no reply port is to be kept any longer */
    uint32_t pace;    /* most microseconds that a callback takes */
    uint64_t random;  /* where the next service begins */
};

struct seen {
    struct counts counts;
    struct entry entries[MESSAGES_MAX];
    uint8_t times[MESSAGES_MAX];    /* whether a number was entered, for calls, */
    uint8_t answered[MESSAGES_MAX]; /* and that its answer was sent */
};

static struct seen *seen;

/* --- The payload: a number, and more bytes that are derived from it --- */

struct head {
    uint32_t producer;
    uint32_t number;
};

static uint64_t filling_seed(struct head head)
{
    return (uint64_t)head.producer << 32 | head.number;
}

/* Mostly short; sometimes in pieces, for which the sender waits. */
static uint32_t choose_length(uint64_t *random)
{
    uint64_t kind = th_random_in(random, 0, 999);
    return (uint32_t)(sizeof(struct head) + (kind == 0 ? th_random_in(random, 65536, PAYLOAD_MAX - sizeof(struct head))
                                             : kind < 10 ? th_random_in(random, 600, 10000)
                                                         : th_random_in(random, 0, 300)));
}

static void make_payload(uint8_t *bytes, uint32_t length, struct head head)
{
    memcpy(bytes, &head, sizeof head);
    th_fill(bytes + sizeof head, length - sizeof head, filling_seed(head));
}

/* --- The service --- */

static struct {
    mach_port_t reply;
    uint32_t number;
} kept[KEPT_MAX];
static unsigned kept_count;
static uint64_t service_random;

static void seed_service(void)
{
    service_random = seen->counts.random;
}

static struct head enter(LMMessage *message)
{
    struct head head = {0, 0};
    uint32_t length = LMMessageGetDataLength(message), entry = seen->counts.entered;
    if (length >= sizeof head)
        memcpy(&head, LMMessageGetData(message), sizeof head);
    if (head.number >= MESSAGES_MAX || entry >= MESSAGES_MAX)
        abort();
    seen->entries[entry] = (struct entry){head.producer, head.number};
    seen->times[head.number]++;
    __atomic_store_n(&seen->counts.entered, entry + 1, __ATOMIC_SEQ_CST);
    if (length < sizeof head ||
        !th_is_filled((uint8_t *)LMMessageGetData(message) + sizeof head, length - sizeof head, filling_seed(head)))
        seen->counts.wrong++;
    return head;
}

static void answer_number(mach_port_t reply, uint32_t number)
{
    const uint32_t answer[2] = {number, ~number};
    assert_int_equal(LMSendReply(reply, answer, sizeof answer), 0); /* although the caller may have given up */
    seen->answered[number] = 1;
}

static void answer_kept(void)
{
    while (kept_count > 0) {
        kept_count--;
        answer_number(kept[kept_count].reply, kept[kept_count].number);
    }
}

/* Answers, or keeps the call for a while, so that a kill finds calls that wait although they were taken long ago. */
static void answer_or_keep(mach_port_t reply, uint32_t number)
{
    uint64_t choice = th_random_in(&service_random, 0, 15);
    if (choice == 0)
        answer_kept();
    if (choice > 3 || kept_count == KEPT_MAX || seen->counts.flushed) {
        answer_number(reply, number);
        return;
    }
    kept[kept_count].reply = reply;
    kept[kept_count].number = number;
    kept_count++;
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    if (message->head.msgh_id == FLUSH) {
        seen->counts.flushed = 1;
        answer_kept();
    }
    if (message->head.msgh_id == FLUSH || message->head.msgh_id == ENTERED) {
        LMSendIntegerReply(message->head.msgh_remote_port, (int)seen->counts.entered);
        return;
    }
    struct head head = enter(message);
    if (seen->counts.pace > 0)
        th_spin_us(th_random_in(&service_random, 0, seen->counts.pace));
    if (message->head.msgh_id == CALL)
        answer_or_keep(message->head.msgh_remote_port, head.number);
    __atomic_store_n(&seen->counts.ended, seen->counts.entered, __ATOMIC_SEQ_CST);
}

/* --- Killing --- */

static struct kill {
    uint32_t entered; /* entered so far */
    uint32_t unended; /* 1 if a callback was running */
    uint32_t missing; /* taken, but not entered */
} kills[KILLS_MAX];
static unsigned kill_count;
static bool ending;

static pid_t start_service(uint64_t *random)
{
    static const uint32_t paces[] = {0, 0, 3, 30};
    seen->counts.pace = paces[th_random_in(random, 0, 3)];
    seen->counts.random = th_random(random);
    return th_start(&(struct th_service){.name = NAME, .callback = answer, .prepare = seed_service});
}

/* Starts and kills services; returns the one that is left. */
static pid_t kill_many(uint64_t stream)
{
    uint64_t random = th_seed(stream);
    unsigned many = th_hunt(20, KILLS_MAX), up = th_long() ? 400 : 80, away = th_long() ? 150 : 30;
    pid_t service = start_service(&random);
    for (kill_count = 0; kill_count < many; kill_count++) {
        th_sleep_ms((unsigned)th_random_in(&random, 0, up));
        th_kill(service);
        kills[kill_count] = (struct kill){seen->counts.entered, seen->counts.entered - seen->counts.ended, 0};
        seen->counts.ended = seen->counts.entered;
        th_sleep_ms((unsigned)th_random_in(&random, 0, away));
        service = start_service(&random);
    }
    th_sleep_ms(50);
    __atomic_store_n(&ending, true, __ATOMIC_RELAXED);
    return service;
}

static bool at_end(void)
{
    return __atomic_load_n(&ending, __ATOMIC_RELAXED);
}

static unsigned lost_in_hand(void)
{
    unsigned lost = 0;
    for (unsigned i = 0; i < kill_count; i++)
        lost += kills[i].unended + kills[i].missing;
    return lost;
}

/* --- One-way messages --- */

/* The times when a send began and when it returned, on one clock for all producers. */
struct stamps {
    uint32_t begun;
    uint32_t returned;
};

static struct producer {
    pthread_t thread;
    uint32_t number; /* of the producer */
    uint32_t sent;   /* messages that were queued, from 1 on */
    unsigned unknown, died;
    struct stamps *stamps;
} producers[PRODUCERS_MAX];

static LMConnection connection = {MACH_PORT_NULL, "hunt.restart"};
static uint32_t clock_of_stamps;

static uint32_t stamp(void)
{
    return __atomic_add_fetch(&clock_of_stamps, 1, __ATOMIC_SEQ_CST);
}

/* Repeats until the message is queued: a refused message was not queued, and keeps its number. */
static void send_one(struct producer *producer, const uint8_t *bytes, uint32_t length, uint64_t *random)
{
    struct stamps *stamps = &producer->stamps[producer->sent + 1];
    for (;;) {
        stamps->begun = stamp();
        kern_return_t result = LMConnectionSendOneWay(&connection, NOTE, bytes, length);
        stamps->returned = stamp();
        if (result == 0)
            break;
        assert_true(result == BOOTSTRAP_UNKNOWN_SERVICE || result == MACH_SEND_INVALID_DEST);
        producer->unknown += result == BOOTSTRAP_UNKNOWN_SERVICE;
        producer->died += result == MACH_SEND_INVALID_DEST;
        th_sleep_ms((unsigned)th_random_in(random, 0, 2));
    }
    producer->sent++;
}

/* Sends in bursts, some longer than the queue, so that kills find it empty, full and in between. */
static void *produce(void *argument)
{
    struct producer *producer = argument;
    uint64_t random = th_seed(100 + producer->number);
    uint8_t *bytes = malloc(PAYLOAD_MAX);
    assert_non_null(bytes);
    while (!at_end()) {
        uint64_t burst = th_random_in(&random, 1, th_random_in(&random, 0, 1) ? 3000 : 30);
        for (; burst > 0 && !at_end(); burst--) {
            uint32_t length = choose_length(&random);
            assert_true(producer->sent + 1 < MESSAGES_MAX);
            make_payload(bytes, length, (struct head){producer->number, producer->sent + 1});
            send_one(producer, bytes, length, &random);
        }
        th_sleep_ms((unsigned)th_random_in(&random, 0, 15));
    }
    free(bytes);
    return NULL;
}

struct verdict {
    unsigned missing, duplicates, disorder, overtaken;
};

/* A producer's numbers from `from` up to `to` never came; kills from `first` up to `last` may each have cost one of
 * them. The rest is missing. */
static void blame_kills(struct verdict *verdict, uint32_t from, uint32_t to, unsigned first, unsigned last)
{
    uint32_t lost = to - from;
    for (unsigned i = first; i < last && lost > 0; i++)
        if (kills[i].unended + kills[i].missing == 0) {
            kills[i].missing = 1;
            lost--;
        }
    verdict->missing += lost;
}

/* Compares the entries with what was sent. */
static struct verdict judge(unsigned count)
{
    struct verdict verdict = {0, 0, 0, 0};
    uint32_t next[PRODUCERS_MAX] = {1, 1}, latest_begun = 0;
    unsigned lives[PRODUCERS_MAX] = {0, 0}, life = 0; /* kills before each producer's last entry, and before this one */
    for (uint32_t i = 0; i < seen->counts.entered; i++) {
        const struct entry *entry = &seen->entries[i];
        while (life < kill_count && i >= kills[life].entered)
            life++;
        assert_true(entry->producer < count && entry->number >= 1 && entry->number <= producers[entry->producer].sent);
        uint32_t *expected = &next[entry->producer];
        const struct stamps *stamps = &producers[entry->producer].stamps[entry->number];
        verdict.overtaken += stamps->returned < latest_begun;
        latest_begun = stamps->begun > latest_begun ? stamps->begun : latest_begun;
        if (entry->number < *expected) {
            verdict.duplicates += entry->number == *expected - 1;
            verdict.disorder += entry->number != *expected - 1;
            continue;
        }
        blame_kills(&verdict, *expected, entry->number, lives[entry->producer], life);
        lives[entry->producer] = life;
        *expected = entry->number + 1;
    }
    for (unsigned i = 0; i < count; i++)
        blame_kills(&verdict, next[i], producers[i].sent + 1, lives[i], kill_count);
    return verdict;
}

static void report_and_check(unsigned count, const struct verdict *verdict)
{
    uint32_t sent = 0, missing_in_hand = 0;
    unsigned unknown = 0, died = 0;
    for (unsigned i = 0; i < count; i++) {
        sent += producers[i].sent;
        unknown += producers[i].unknown;
        died += producers[i].died;
    }
    for (unsigned i = 0; i < kill_count; i++)
        missing_in_hand += kills[i].missing;
    th_report(
        "restart, %u producers: sent %u, received %u, lost in hand %u (%u of them not entered), kills %u, refused %u "
        "(unknown) and %u (died), missing %u, duplicates %u, disorder %u, overtaken %u, wrong %u",
        count, sent, seen->counts.entered, lost_in_hand(), missing_in_hand, kill_count, unknown, died, verdict->missing,
        verdict->duplicates, verdict->disorder, verdict->overtaken, seen->counts.wrong);
    assert_int_equal(
        verdict->missing + verdict->duplicates + verdict->disorder + verdict->overtaken + seen->counts.wrong, 0);
    assert_int_equal(seen->counts.entered + missing_in_hand, sent);
    assert_true(lost_in_hand() <= kill_count);
}

static void hunt_one_way(unsigned count)
{
    memset(&seen->counts, 0, sizeof seen->counts);
    for (uint32_t i = 0; i < count; i++) {
        producers[i].number = i;
        producers[i].stamps = calloc(MESSAGES_MAX, sizeof *producers[i].stamps); /* only the used part is touched */
        assert_non_null(producers[i].stamps);
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    pid_t service = kill_many(count);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(producers[i].thread, NULL);
    int32_t entered = th_ask(&connection, ENTERED); /* this call comes after all of them */
    assert_int_equal(entered, (int)seen->counts.entered);
    struct verdict verdict = judge(count);
    report_and_check(count, &verdict);
    for (uint32_t i = 0; i < count; i++)
        free(producers[i].stamps);
    th_close(&connection);
    th_stop(service);
}

/* Intent: of one producer's messages none is lost but what was in hand, none comes twice, none overtakes another. */
static void a_producer_outlives_its_service(void)
{
    hunt_one_way(1);
}

/* Intent: the same for two on one connection; what one sent before the other comes before the other's. */
static void two_producers_outlive_their_service(void)
{
    hunt_one_way(2);
}

/* --- Calls --- */

enum outcome { NOT_USED = 0, ANSWERED, QUEUED, NEVER_TAKEN, TAKEN, TIMED_OUT, OUTCOMES };

static uint32_t numbers_used;
static uint8_t *outcomes;
/* How often each result came; the last counts results that must not come. */
static struct result {
    kern_return_t number;
    enum outcome outcome;
    unsigned count;
} results[] = {
    {0, ANSWERED, 0},
    {BOOTSTRAP_UNKNOWN_SERVICE, NEVER_TAKEN, 0},
    {MACH_SEND_INVALID_DEST, NEVER_TAKEN, 0},
    {MACH_SEND_TIMED_OUT, NEVER_TAKEN, 0},
    {MACH_RCV_TIMED_OUT, TIMED_OUT, 0},
    {MACH_RCV_PORT_DIED, TAKEN, 0},
    {-1, NOT_USED, 0},
};

static enum outcome outcome_of(kern_return_t number, bool one_way)
{
    struct result *result = results;
    while (result->number != number && result->number != -1)
        result++;
    __atomic_add_fetch(&result->count, 1, __ATOMIC_RELAXED);
    return one_way && number == 0 ? QUEUED : result->outcome;
}

static void check_response(kern_return_t result, LMResponseBuffer *response, uint32_t number)
{
    const uint32_t expected[2] = {number, ~number};
    assert_int_equal(LMMessageGetDataLength(&response->message), result == 0 ? sizeof expected : 0);
    if (result == 0)
        assert_memory_equal(LMMessageGetData(&response->message), expected, sizeof expected);
    LMResponseBufferFree(response);
}

static void *call_many(void *argument)
{
    uint64_t random = th_seed(200 + (uint64_t)(uintptr_t)argument);
    uint8_t *bytes = malloc(PAYLOAD_MAX);
    assert_non_null(bytes);
    while (!at_end()) {
        LMResponseBuffer response;
        kern_return_t result;
        uint32_t number = __atomic_add_fetch(&numbers_used, 1, __ATOMIC_RELAXED);
        uint32_t length = choose_length(&random), choice = (uint32_t)th_random_in(&random, 0, 15);
        uint32_t timeout = choice < 2 ? (uint32_t)th_random_in(&random, 0, 4) : LM_TIMEOUT_NEVER;
        bool one_way = choice % 4 == 1;
        assert_true(number < MESSAGES_MAX);
        make_payload(bytes, length, (struct head){0, number});
        if (one_way) {
            result = LMConnectionSendOneWayWithTimeout(&connection, NOTE, bytes, length, timeout);
        } else {
            result = LMConnectionSendTwoWayWithTimeout(&connection, CALL, bytes, length, timeout, &response);
            check_response(result, &response, number);
        }
        outcomes[number] = outcome_of(result, one_way);
        if (result == BOOTSTRAP_UNKNOWN_SERVICE)
            th_sleep_ms((unsigned)th_random_in(&random, 0, 2));
    }
    free(bytes);
    return NULL;
}

static void compare_outcomes(void)
{
    unsigned unentered[OUTCOMES] = {0}, entered[OUTCOMES] = {0}, twice = 0, ignored = 0;
    for (uint32_t number = 1; number <= numbers_used; number++) {
        twice += seen->times[number] > 1;
        ignored += seen->answered[number] && outcomes[number] == TAKEN;
        unentered[outcomes[number]] += seen->times[number] == 0;
        entered[outcomes[number]] += seen->times[number] != 0;
    }
    unsigned not_entered =
        unentered[QUEUED] + unentered[TAKEN] + unentered[TIMED_OUT]; /* each of these was in a service's hand */
    th_report("restart, calls: %u answered, %u one-way, %u never taken, %u taken; lost in hand before the callback %u, "
              "kills %u",
              entered[ANSWERED], entered[QUEUED], unentered[NEVER_TAKEN], entered[TAKEN] + entered[TIMED_OUT],
              not_entered, kill_count);
    th_report("restart, calls: never taken but entered %u, answered but not entered %u, died though answered %u, "
              "twice %u, wrong %u",
              entered[NEVER_TAKEN], unentered[ANSWERED], ignored, twice, seen->counts.wrong);
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        th_report("restart, calls: %u times %s", results[i].count, mach_error_string(results[i].number));
    assert_int_equal(entered[NEVER_TAKEN] + unentered[ANSWERED] + ignored + twice + seen->counts.wrong, 0);
    assert_int_equal(entered[NOT_USED] + unentered[NOT_USED], 0);
    assert_true(not_entered <= kill_count);
}

/* Intent: 0 was entered once; MACH_SEND_... and BOOTSTRAP_... never; MACH_RCV_... once, without an answer in time;
 * whichever side dies at whatever time. */
static void calls_know_what_became_of_them(void)
{
    pthread_t callers[CALLERS];
    memset(&seen->counts, 0, sizeof seen->counts);
    memset(seen->times, 0, sizeof seen->times);
    memset(seen->answered, 0, sizeof seen->answered);
    outcomes = calloc(MESSAGES_MAX, 1);
    assert_non_null(outcomes);
    for (uintptr_t i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, call_many, (void *)i), 0);
    pid_t service = kill_many(3);
    th_ask(&connection, FLUSH);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
    int32_t entered = th_ask(&connection, ENTERED);
    assert_int_equal(entered, (int)seen->counts.entered);
    compare_outcomes();
    free(outcomes);
    th_close(&connection);
    th_stop(service);
}

int main(void)
{
    seen = th_share(sizeof *seen);
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(a_producer_outlives_its_service, 50),
        TH_TEST_SECONDS(two_producers_outlive_their_service, 50),
        TH_TEST_SECONDS(calls_know_what_became_of_them, 50),
    };
    return TH_HUNT_MAIN(tests);
}
