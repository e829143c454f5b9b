/* SPDX-License-Identifier: MIT */
/*
 * 200 calls at once, answered by another thread in random order: each caller gets its own complete answer.
 *
 *   8 groups: 25 calls each -->  the callback keeps the reply ports until there are 200
 *                                the worker shuffles them and answers
 *   each call:              <--  an answer that follows only from its own request
 *
 * Twice: with a thread for each call, which waits, and with 8 threads whose calls are asynchronous.
 */
#include "harness.h"

#include <pthread.h>
#include <semaphore.h>

static const char NAME[] = "hunt.deferred";

enum { GROUPS = 8, CALLS_PER_GROUP = 25, CALLS = GROUPS * CALLS_PER_GROUP, ASK = 1, ASK_ANSWERED };

/* The question. The answer follows from it by a rule that both sides know. */
struct question {
    uint32_t round;
    uint32_t caller;
    uint64_t secret;
};

static uint64_t answer_seed(const struct question *question)
{
    return question->secret ^ ((uint64_t)question->round << 32 | question->caller);
}

/* Mostly short, now and then out of line, seldom in pieces. */
static uint32_t answer_length(const struct question *question)
{
    uint32_t kind = (uint32_t)(question->secret >> 40) % 1000;
    uint32_t size = (uint32_t)(question->secret >> 8);
    return kind == 0 ? 65537 + size % 100000 : kind < 30 ? 4097 + size % 8000 : size % 600;
}

/* --- The service --- */

struct kept {
    mach_port_t reply;
    struct question question;
};

/* The callback uses `filling`, the worker `ready`. Each caller waits for its answer, so one of each is enough. */
static struct kept batches[2][CALLS];
static struct kept *filling = batches[0], *ready = batches[1];
static unsigned filled;
static sem_t batch_ready, batch_free;
static uint32_t answered;

static void shuffle(struct kept *batch, uint64_t *random)
{
    for (unsigned i = CALLS - 1; i > 0; i--) {
        unsigned other = (unsigned)th_random_in(random, 0, i);
        struct kept swapped = batch[i];
        batch[i] = batch[other];
        batch[other] = swapped;
    }
}

static void answer_one(const struct kept *kept)
{
    static uint8_t bytes[65537 + 100000];
    uint32_t length = answer_length(&kept->question);
    th_fill(bytes, length, answer_seed(&kept->question));
    __atomic_add_fetch(&answered, 1, __ATOMIC_RELAXED); /* before: the last caller may ask as soon as it has its own */
    assert_int_equal(LMSendReply(kept->reply, bytes, length), 0);
}

/* The signal that ends the service may arrive at any thread. */
static void await(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ;
}

static void *work(void *argument)
{
    uint64_t random = th_seed(1000);
    (void)argument;
    for (;;) {
        await(&batch_ready);
        shuffle(ready, &random);
        for (unsigned i = 0; i < CALLS; i++)
            answer_one(&ready[i]);
        sem_post(&batch_free);
    }
    return NULL;
}

static void start_worker(void)
{
    pthread_t thread;
    sem_init(&batch_ready, 0, 0);
    sem_init(&batch_free, 0, 1);
    assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
    pthread_detach(thread);
}

static void keep(LMMessage *message)
{
    assert_int_equal(LMMessageGetDataLength(message), sizeof(struct question));
    filling[filled].reply = message->head.msgh_remote_port;
    memcpy(&filling[filled].question, LMMessageGetData(message), sizeof(struct question));
    if (++filled < CALLS)
        return;
    await(&batch_free);
    struct kept *full = filling;
    filling = ready;
    ready = full;
    filled = 0;
    sem_post(&batch_ready);
}

static void serve(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    if (message->head.msgh_id == ASK)
        keep(message);
    else if (message->head.msgh_id == ASK_ANSWERED)
        LMSendIntegerReply(message->head.msgh_remote_port, (int)__atomic_load_n(&answered, __ATOMIC_RELAXED));
    else
        th_echo(port, message, size, info);
}

/* --- The callers --- */

struct group {
    pthread_t thread;
    uint32_t first; /* caller */
    sem_t ended;    /* once for each of its calls */
};

struct call {
    struct group *group;
    struct question question;
    pthread_t thread;
    sem_t go;
    bool last;
};

static LMConnection connection = {MACH_PORT_NULL, "hunt.deferred"};
static struct group groups[GROUPS];
static struct call calls[CALLS];
static uint64_t bytes_received;
static bool asynchronous;

/* Called in any thread when a call has ended. */
static void end_call(struct call *call, kern_return_t status, LMResponseBuffer *response)
{
    uint32_t length = answer_length(&call->question);
    assert_int_equal(status, 0);
    assert_int_equal(LMMessageGetDataLength(&response->message), length);
    assert_true(th_is_filled(LMMessageGetData(&response->message), length, answer_seed(&call->question)));
    LMResponseBufferFree(response);
    __atomic_add_fetch(&bytes_received, length, __ATOMIC_RELAXED);
    sem_post(&call->group->ended);
}

/* A waiting call needs a thread, so each has one. */
static void *be_call(void *argument)
{
    struct call *call = argument;
    for (await(&call->go); !call->last; await(&call->go)) {
        LMResponseBuffer response;
        kern_return_t status =
            LMConnectionSendTwoWay(&connection, ASK, &call->question, sizeof call->question, &response);
        end_call(call, status, &response);
    }
    return NULL;
}

static void end_asynchronous(LMCallRef reference, kern_return_t status, LMResponseBuffer *response, void *info)
{
    (void)reference;
    end_call(info, status, response);
}

/* Has end_call called when the answer has come. Only this function and await_calls know how a call is made. */
static void start_call(struct call *call)
{
    if (asynchronous)
        assert_int_equal(LMConnectionSendTwoWayAsync(&connection, ASK, &call->question, sizeof call->question,
                                                     LM_TIMEOUT_NEVER, CFRunLoopGetCurrent(), end_asynchronous, call,
                                                     NULL),
                         0);
    else
        sem_post(&call->go);
}

static void await_calls(struct group *group)
{
    if (asynchronous)
        CFRunLoopRun(); /* until none is left */
    for (unsigned i = 0; i < CALLS_PER_GROUP; i++)
        await(&group->ended);
}

static void *be_group(void *argument)
{
    struct group *group = argument;
    uint64_t random = th_seed(group->first);
    for (uint32_t round = 0; round < th_hunt(300, 10000); round++) {
        for (uint32_t i = group->first; i < group->first + CALLS_PER_GROUP; i++) {
            calls[i].question = (struct question){round, i, th_random(&random)};
            start_call(&calls[i]);
        }
        await_calls(group);
    }
    return NULL;
}

static void start_callers(void)
{
    pthread_attr_t small; /* threads are expensive on valgrind and with sanitizers */
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 * 1024);
    for (uint32_t i = 0; i < CALLS; i++) {
        calls[i].group = &groups[i / CALLS_PER_GROUP];
        sem_init(&calls[i].go, 0, 0);
        if (!asynchronous)
            assert_int_equal(pthread_create(&calls[i].thread, &small, be_call, &calls[i]), 0);
    }
    for (uint32_t i = 0; i < GROUPS; i++) {
        groups[i].first = i * CALLS_PER_GROUP;
        sem_init(&groups[i].ended, 0, 0);
        assert_int_equal(pthread_create(&groups[i].thread, NULL, be_group, &groups[i]), 0);
    }
    pthread_attr_destroy(&small);
}

static void end_callers(void)
{
    for (uint32_t i = 0; i < GROUPS; i++)
        pthread_join(groups[i].thread, NULL);
    for (uint32_t i = 0; i < CALLS && !asynchronous; i++) {
        calls[i].last = true;
        sem_post(&calls[i].go);
        pthread_join(calls[i].thread, NULL);
    }
}

static void run_rounds(void)
{
    pid_t service = th_start(&(struct th_service){.name = NAME, .callback = serve, .prepare = start_worker});
    unsigned rounds = th_hunt(300, 10000);
    uint64_t start = th_now_ms();
    start_callers();
    end_callers();
    int32_t answers = th_ask(&connection, ASK_ANSWERED);
    th_report("deferred: %u rounds of %d calls of %d threads, %d answers, %llu KiB, %llu ms", rounds, CALLS,
              asynchronous ? GROUPS : CALLS, (int)answers, (unsigned long long)bytes_received / 1024,
              (unsigned long long)(th_now_ms() - start));
    assert_int_equal(answers, (int)(rounds * CALLS));
    th_close(&connection);
    th_stop(service);
}

/* Intent: however many calls wait, and in whatever order they are answered, each caller gets its own answer, once. */
static void each_of_200_threads_gets_its_own_answer(void)
{
    run_rounds();
}

/* Intent: the same for asynchronous calls. */
static void each_of_200_asynchronous_calls_gets_its_own_answer(void)
{
    asynchronous = true;
    run_rounds();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(each_of_200_threads_gets_its_own_answer, 50),
        TH_TEST_SECONDS(each_of_200_asynchronous_calls_gets_its_own_answer, 50),
    };
    return TH_HUNT_MAIN(tests);
}
