/* SPDX-License-Identifier: MIT */
/*
 * Threads in place of processes: a service and its clients in one process, so that ThreadSanitizer observes both sides
 * at once. A process may be both anyway, so the library needs nothing special for this.
 *
 * ThreadSanitizer has two limits here. Both sides map the same memory at two addresses, which it takes for two
 * memories: it does not see a race between one side's bytes in the ring and the other's, whatever the order of the
 * indices. The models check that. Nor does it see that a message orders its sender before the callback: data that both
 * use in this file are atomic or guarded by a lock.
 *
 * Every request carries a ticket. The callback counts how often it got the ticket, and the client records what its call
 * returned; at the end the two must agree.
 */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#define NAME "test.thread_pairs"

enum {
    ECHO,       /* the request comes back */
    NOTE,       /* one-way */
    LATER,      /* another thread sends it back */
    TWICE,      /* the callback and another thread both try to send it back */
    DROP,       /* the reply port is given up */
    SLOW,       /* like ECHO, sometimes after a nap */
    INVALIDATE, /* like ECHO, and the service stops */
};

enum { CLIENTS = 4, TICKETS = 1 << 16, JOBS = 64, LARGEST = 700000 };

static LMConnection shared = {MACH_PORT_NULL, NAME};
static uint32_t last_ticket;
static uint8_t handled[TICKETS];  /* counted by the service */
static int32_t outcomes[TICKETS]; /* result of the client's call, plus 1; 0: the ticket was not used */
static uint32_t clients_running;

/* --- Another thread that answers --- */

struct job {
    mach_port_t reply;
    void *data; /* owned */
    uint32_t length;
    bool contested; /* the callback tries, too */
};

static struct job jobs[JOBS];
static uint32_t job_count;
static bool worker_ends;
static pthread_mutex_t jobs_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t jobs_changed = PTHREAD_COND_INITIALIZER;
static uint32_t contests, contests_won;

static void give_job(mach_port_t reply, LMMessage *message, bool contested)
{
    uint32_t length = LMMessageGetDataLength(message);
    struct job job = {reply, malloc(length), length, contested};
    assert_non_null(job.data);
    memcpy(job.data, LMMessageGetData(message), length);
    pthread_mutex_lock(&jobs_lock);
    assert_true(job_count < JOBS); /* a client has one call at a time */
    jobs[job_count++] = job;
    pthread_cond_signal(&jobs_changed);
    pthread_mutex_unlock(&jobs_lock);
}

static bool take_job(struct job *job)
{
    pthread_mutex_lock(&jobs_lock);
    while (job_count == 0 && !worker_ends)
        pthread_cond_wait(&jobs_changed, &jobs_lock);
    bool taken = job_count > 0;
    if (taken)
        *job = jobs[--job_count];
    pthread_mutex_unlock(&jobs_lock);
    return taken;
}

/* One of two threads that try to answer. */
static void contend(mach_port_t reply, const void *data, uint32_t length)
{
    kern_return_t status = LMSendReply(reply, data, length);
    assert_true(status == KERN_SUCCESS || status == MACH_SEND_INVALID_RIGHT);
    __atomic_add_fetch(&contests_won, status == KERN_SUCCESS, __ATOMIC_RELAXED);
}

static void *work(void *argument)
{
    struct job job;
    while (take_job(&job)) {
        if (job.contested)
            contend(job.reply, job.data, job.length);
        else
            assert_int_equal(LMSendReply(job.reply, job.data, job.length), 0);
        free(job.data);
    }
    return argument;
}

static void end_worker(pthread_t worker)
{
    pthread_mutex_lock(&jobs_lock);
    worker_ends = true;
    pthread_cond_signal(&jobs_changed);
    pthread_mutex_unlock(&jobs_lock);
    pthread_join(worker, NULL);
}

/* --- The service's thread --- */

struct host {
    pthread_t thread;
    sem_t ready;
    CFMachPortRef port;
    CFRunLoopSourceRef source;
    CFRunLoopRef loop;
    uint32_t ends;
};

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    mach_port_t reply = message->head.msgh_remote_port;
    uint32_t ticket;
    memcpy(&ticket, LMMessageGetData(message), sizeof ticket);
    __atomic_add_fetch(&handled[ticket], 1, __ATOMIC_RELAXED);
    switch (message->head.msgh_id) {
    case LATER:
        give_job(reply, message, false);
        break;
    case TWICE:
        contests++;
        give_job(reply, message, true);
        contend(reply, LMMessageGetData(message), LMMessageGetDataLength(message));
        break;
    case DROP:
        assert_int_equal(mach_port_deallocate(mach_task_self(), reply), 0);
        break;
    case SLOW:
        th_sleep_ms(ticket % 8 == 0);
        th_echo(port, message, size, info);
        break;
    default:
        th_echo(port, message, size, info);
        if (message->head.msgh_id == INVALIDATE)
            CFMachPortInvalidate(port);
    }
}

static void *host_run(void *argument)
{
    struct host *host = argument;
    host->loop = (CFRunLoopRef)(uintptr_t)CFRetain(CFRunLoopGetCurrent());
    host->port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)answer, NULL, NULL);
    host->source = CFMachPortCreateRunLoopSource(kCFAllocatorDefault, host->port, 0);
    assert_non_null(host->source);
    assert_int_equal(rocketbootstrap_register(MACH_PORT_NULL, NAME, CFMachPortGetPort(host->port)), 0);
    CFRunLoopAddSource(host->loop, host->source, kCFRunLoopCommonModes);
    sem_post(&host->ready);
    while (!__atomic_load_n(&host->ends, __ATOMIC_ACQUIRE)) {
        CFRunLoopRun();
        sched_yield();
    }
    return NULL;
}

static void host_start(struct host *host)
{
    memset(host, 0, sizeof *host);
    sem_init(&host->ready, 0, 0);
    assert_int_equal(pthread_create(&host->thread, NULL, host_run, host), 0);
    sem_wait(&host->ready);
}

static void host_stop(struct host *host)
{
    CFMachPortInvalidate(host->port);
    __atomic_store_n(&host->ends, 1, __ATOMIC_RELEASE);
    CFRunLoopStop(host->loop);
    pthread_join(host->thread, NULL);
    CFRelease(host->source);
    CFRelease(host->port);
    CFRelease(host->loop);
    sem_destroy(&host->ready);
}

/* --- The clients' threads --- */

struct client {
    pthread_t thread;
    void (*act)(struct client *me, unsigned round);
    uint64_t random;
    uint32_t rounds;
    uint8_t *request;
};

static uint32_t client_random(struct client *me, uint32_t below)
{
    me->random ^= me->random << 13;
    me->random ^= me->random >> 7;
    me->random ^= me->random << 17;
    return (uint32_t)(me->random >> 33) % below;
}

/* A length from 4 on: rarely one that travels in pieces, more rarely one that exceeds the ring. */
static uint32_t client_length(struct client *me)
{
    uint32_t luck = client_random(me, 64);
    return luck == 0 ? LARGEST : luck < 4 ? 65537 + client_random(me, 200000) : 4 + client_random(me, 1000);
}

/* Fills the request: a ticket, and bytes derived from it. */
static uint32_t client_fill(struct client *me, uint32_t length)
{
    uint32_t ticket = __atomic_fetch_add(&last_ticket, 1, __ATOMIC_RELAXED);
    assert_true(ticket < TICKETS);
    th_fill(me->request, length, ticket);
    memcpy(me->request, &ticket, sizeof ticket);
    return ticket;
}

static kern_return_t client_call(struct client *me, SInt32 id, uint32_t milliseconds)
{
    LMResponseBuffer buffer;
    uint32_t length = client_length(me);
    uint32_t ticket = client_fill(me, length);
    kern_return_t status = LMConnectionSendTwoWayWithTimeout(&shared, id, me->request, length, milliseconds, &buffer);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), status ? 0 : length);
    if (status == KERN_SUCCESS)
        assert_memory_equal(LMMessageGetData(&buffer.message), me->request, length);
    LMResponseBufferFree(&buffer);
    outcomes[ticket] = status + 1;
    return status;
}

static kern_return_t client_note(struct client *me, uint32_t milliseconds)
{
    uint32_t length = client_length(me);
    uint32_t ticket = client_fill(me, length);
    kern_return_t status = LMConnectionSendOneWayWithTimeout(&shared, NOTE, me->request, length, milliseconds);
    outcomes[ticket] = status + 1;
    return status;
}

static void *client_run(void *argument)
{
    struct client *me = argument;
    for (unsigned i = 0; i < me->rounds; i++)
        me->act(me, i);
    __atomic_sub_fetch(&clients_running, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void clients_start(struct client *clients, void (*act)(struct client *me, unsigned round), unsigned rounds)
{
    clients_running = CLIENTS;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.act = act, .rounds = th_rounds(rounds), .request = malloc(LARGEST)};
        clients[i].random = (uint64_t)i * 0x9e3779b97f4a7c15u + 1;
        assert_non_null(clients[i].request);
        assert_int_equal(pthread_create(&clients[i].thread, NULL, client_run, &clients[i]), 0);
    }
}

static bool clients_run(void)
{
    return __atomic_load_n(&clients_running, __ATOMIC_ACQUIRE) > 0;
}

static void clients_join(struct client *clients)
{
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        free(clients[i].request);
    }
}

/* Makes an echo call after all others on the same channel: every earlier message is then settled. */
static void settle(void)
{
    struct client me = {.request = malloc(LARGEST), .random = 1};
    assert_int_equal(client_call(&me, ECHO, LM_TIMEOUT_NEVER), 0);
    free(me.request);
}

/* Messages that were not taken were never handled; the others once, or, if a service stopped meanwhile, perhaps not. */
static void check_tickets(bool service_stopped)
{
    for (uint32_t ticket = 0; ticket < TICKETS; ticket++) {
        kern_return_t outcome = outcomes[ticket] - 1;
        bool taken = outcome == KERN_SUCCESS || outcome == MACH_RCV_PORT_DIED || outcome == MACH_RCV_TIMED_OUT;
        assert_in_range(__atomic_load_n(&handled[ticket], __ATOMIC_RELAXED), taken && !service_stopped, taken);
    }
}

/* Returns the number of requests that were sent or answered, but not handled. */
static unsigned count_lost(void)
{
    unsigned lost = 0;
    for (uint32_t ticket = 0; ticket < TICKETS; ticket++)
        lost += outcomes[ticket] == KERN_SUCCESS + 1 && __atomic_load_n(&handled[ticket], __ATOMIC_RELAXED) == 0;
    return lost;
}

static bool nothing_is_lost(void *info)
{
    (void)info;
    return count_lost() == 0;
}

/* --- Tests --- */

static void do_anything(struct client *me, unsigned round)
{
    const SInt32 calls[] = {ECHO, LATER, TWICE, DROP};
    SInt32 id = calls[client_random(me, 4)];
    if (round % 3 == 0)
        assert_int_equal(client_note(me, LM_TIMEOUT_NEVER), 0);
    else
        assert_int_equal(client_call(me, id, LM_TIMEOUT_NEVER), id == DROP ? MACH_RCV_PORT_DIED : 0);
}

/* Intent: requests of all kinds and sizes, answered at once, later, by two threads that compete, or never. */
static void requests_of_every_kind_at_once(void)
{
    struct host host;
    struct client clients[CLIENTS];
    pthread_t worker;
    assert_int_equal(pthread_create(&worker, NULL, work, NULL), 0);
    host_start(&host);
    clients_start(clients, do_anything, 2000);
    clients_join(clients);
    settle();
    th_close(&shared);
    host_stop(&host);
    end_worker(worker);
    check_tickets(false);
    assert_int_equal(contests_won, contests);
}

static void do_without_patience(struct client *me, unsigned round)
{
    uint32_t milliseconds = client_random(me, 4);
    kern_return_t status = round % 3 == 0 ? client_note(me, milliseconds) : client_call(me, SLOW, milliseconds);
    assert_true(status == KERN_SUCCESS || status == MACH_SEND_TIMED_OUT || status == MACH_RCV_TIMED_OUT);
}

/*
 * Intent: a call that times out was either withdrawn or taken, and the error says which.
 *   clients: --SLOW--> gives up after 0 to 3 ms | service: takes it or not, naps, answers, perhaps too late
 */
static void withdrawing_races_with_taking(void)
{
    struct host host;
    struct client clients[CLIENTS];
    host_start(&host);
    settle();
    clients_start(clients, do_without_patience, 1000);
    clients_join(clients);
    settle();
    th_close(&shared);
    host_stop(&host);
    check_tickets(false);
}

static void do_in_spite_of_stops(struct client *me, unsigned round)
{
    SInt32 id = client_random(me, 100) == 0 ? INVALIDATE : ECHO;
    kern_return_t status = round % 3 == 0 ? client_note(me, LM_TIMEOUT_NEVER) : client_call(me, id, LM_TIMEOUT_NEVER);
    assert_true(status == KERN_SUCCESS || status == BOOTSTRAP_UNKNOWN_SERVICE || status == MACH_SEND_INVALID_DEST ||
                status == MACH_RCV_PORT_DIED);
    if (status)
        th_sleep_ms(1);
}

/*
 * Intent: a service that stops under load, by its callback or another thread, and starts again, ends every wait at once
 * and with the right error.   clients: calls, notes ... | service: stop, start, stop, start ...
 */
static void a_service_stops_and_starts_under_load(void)
{
    struct host host;
    struct client clients[CLIENTS];
    unsigned stops = 1;
    host_start(&host);
    clients_start(clients, do_in_spite_of_stops, 1000);
    while (clients_run()) {
        th_sleep_ms(2);
        host_stop(&host);
        host_start(&host);
        stops++;
    }
    clients_join(clients);
    settle();
    th_close(&shared);
    host_stop(&host);
    check_tickets(true);
    assert_true(count_lost() <= stops); /* at each stop, at most the one that the loop's thread has in hand */
}

static void do_in_spite_of_closing(struct client *me, unsigned round)
{
    kern_return_t status = round % 3 == 0 ? client_note(me, LM_TIMEOUT_NEVER) : client_call(me, ECHO, LM_TIMEOUT_NEVER);
    assert_true(status == KERN_SUCCESS || status == MACH_SEND_INVALID_DEST || status == MACH_RCV_PORT_DIED);
}

/*
 * Intent: the connection's port is deallocated under load: calls end or move to the next channel, and notes arrive.
 *   clients: calls, notes ... | another thread of theirs: mach_port_deallocate, again and again
 */
static void a_connection_is_closed_under_load(void)
{
    struct host host;
    struct client clients[CLIENTS];
    host_start(&host);
    clients_start(clients, do_in_spite_of_closing, 1000);
    while (clients_run()) {
        mach_port_t port = __atomic_load_n(&shared.serverPort, __ATOMIC_RELAXED);
        (void)mach_port_deallocate(mach_task_self(), port);
        th_sleep_ms(1);
    }
    clients_join(clients);
    th_wait_until(nothing_is_lost, NULL);
    settle();
    th_close(&shared);
    host_stop(&host);
    check_tickets(false);
}

static void tick(CFRunLoopTimerRef timer, void *info)
{
    (void)timer;
    __atomic_add_fetch((uint32_t *)info, 1, __ATOMIC_RELAXED);
}

static CFRunLoopTimerRef make_timer(uint32_t *ticks)
{
    CFRunLoopTimerContext context = {.info = ticks};
    CFRunLoopTimerRef timer = CFRunLoopTimerCreate(kCFAllocatorDefault, 0, 0.0001, 0, 0, tick, &context);
    assert_non_null(timer);
    return timer;
}

/* Does everything that another thread may do to a run loop. */
static void disturb(struct host *host, CFRunLoopTimerRef timer)
{
    CFRunLoopStop(host->loop);
    CFRunLoopAddTimer(host->loop, timer, kCFRunLoopCommonModes);
    CFRunLoopRemoveSource(host->loop, host->source, kCFRunLoopCommonModes);
    CFRunLoopWakeUp(host->loop);
    CFRunLoopAddSource(host->loop, host->source, kCFRunLoopCommonModes);
    th_sleep_ms(1);
    CFRunLoopRemoveTimer(host->loop, timer, kCFRunLoopCommonModes);
}

static void do_patiently(struct client *me, unsigned round)
{
    assert_int_equal(round % 3 == 0 ? client_note(me, LM_TIMEOUT_NEVER) : client_call(me, ECHO, LM_TIMEOUT_NEVER), 0);
}

/*
 * Intent: clients are not affected by anything that another thread does to the service's loop.
 *   clients: calls, notes ... | another thread: stops the loop, takes the service off it and puts it back, adds timers
 */
static void a_run_loop_is_disturbed_under_load(void)
{
    struct host host;
    struct client clients[CLIENTS];
    uint32_t ticks = 0;
    host_start(&host);
    clients_start(clients, do_patiently, 1000);
    while (clients_run()) {
        CFRunLoopTimerRef timer = make_timer(&ticks);
        for (int i = 0; i < 3; i++)
            disturb(&host, timer);
        CFRunLoopTimerInvalidate(timer);
        CFRelease(timer);
    }
    clients_join(clients);
    settle();
    th_close(&shared);
    host_stop(&host);
    check_tickets(false);
    assert_true(ticks > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(requests_of_every_kind_at_once),        TH_TEST(withdrawing_races_with_taking),
        TH_TEST(a_service_stops_and_starts_under_load), TH_TEST(a_connection_is_closed_under_load),
        TH_TEST(a_run_loop_is_disturbed_under_load),
    };
    return TH_MAIN(tests);
}
