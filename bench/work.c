/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "work.h"
#include "measure.h"
#include "usage.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WARM_UP_SHARE = 2, FEWEST = 6, BATCH = 32, MOST_THREADS = 8, SMALL = 64, SETTLE = 200000 /* us */ };

static uint64_t number;

/* --- Trips --- */

static bool trip(const Peer *peer, char *request, uint32_t length, char *reply, uint32_t reply_length)
{
    PeerHead head = {length, reply_length, __atomic_add_fetch(&number, 1, __ATOMIC_RELAXED)};
    memcpy(request, &head, sizeof head);
    if (!peer->call(request, length, reply, reply_length))
        return false;
    return memcmp(reply, &head, sizeof head) == 0 || peer_error("the reply differs from the request");
}

/* Fills the data with a pattern in which no two nearby places are alike. */
static void fill(char *data, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        data[i] = (char)((i * UINT32_C(2654435761)) >> 24);
}

/* Checks every byte in both directions, which the timed trips do not. This also takes the page faults. */
static bool is_faithful(WorkPlace *place, uint32_t length)
{
    fill(place->request, length);
    memset(place->reply, 0, length);
    return trip(place->peer, place->request, length, place->reply, length) &&
           (memcmp(place->reply, place->request, length) == 0 || peer_error("the reply's data differ"));
}

static bool call_once(WorkPlace *place, const WorkOrder *order)
{
    return trip(place->peer, place->request, order->a, place->reply, order->b);
}

static bool lend_once(WorkPlace *place, const WorkOrder *order)
{
    PeerHead head = {order->a, sizeof head, ++number};
    return place->peer->lend(&head);
}

static bool picture_once(WorkPlace *place, const WorkOrder *order)
{
    return place->peer->picture(order->a);
}

static bool connect_once(WorkPlace *place, const WorkOrder *order)
{
    bool done = place->peer->connect(place->folder) && call_once(place, order);
    place->peer->disconnect();
    return done;
}

/* --- Repetition --- */

typedef bool Once(WorkPlace *, const WorkOrder *);

/* Repeats `once` for so many nanoseconds, but at least a few times, and records each duration. */
static int64_t repeat(WorkPlace *place, const WorkOrder *order, Once *once, uint64_t duration, int64_t fewest)
{
    int64_t count = 0;
    uint64_t before = measure_now();
    uint64_t end = before + duration;
    while (count < WORK_MOST_TRIPS && (count < fewest || before < end)) {
        if (!once(place, order))
            return -1;
        uint64_t after = measure_now();
        place->durations[count++] = (double)(after - before);
        before = after;
    }
    return count;
}

static uint64_t order_duration(const WorkOrder *order)
{
    return order->milliseconds * UINT64_C(1000000);
}

/* Warms up and measures; stores the quantiles in `values`. */
static int64_t repeat_warm(WorkPlace *place, const WorkOrder *order, Once *once, double *values)
{
    uint64_t duration = order_duration(order);
    if (repeat(place, order, once, duration / WARM_UP_SHARE, 1) < 0)
        return -1;
    int64_t count = repeat(place, order, once, duration, FEWEST);
    if (count < 0)
        return -1;
    measure_sort(place->durations, (size_t)count);
    for (int i = 0; i < WORK_QUANTILES; i++)
        values[i] = measure_percentile(place->durations, (size_t)count, 100.0 * i / (WORK_QUANTILES - 1));
    return WORK_QUANTILES;
}

static int64_t calls(WorkPlace *place, const WorkOrder *order)
{
    return is_faithful(place, order->a) ? repeat_warm(place, order, call_once, place->values) : -1;
}

static int64_t lend(WorkPlace *place, const WorkOrder *order)
{
    return repeat_warm(place, order, lend_once, place->values);
}

static int64_t picture(WorkPlace *place, const WorkOrder *order)
{
    return repeat_warm(place, order, picture_once, place->values);
}

static int64_t connects(WorkPlace *place, const WorkOrder *order)
{
    WorkOrder small = *order;
    small.a = small.b = SMALL;
    place->peer->disconnect();
    int64_t count = repeat_warm(place, &small, connect_once, place->values);
    return place->peer->connect(place->folder) ? count : -1;
}

/* --- One way --- */

/* Waits until the server has taken all that was sent before, and checks how much that was. */
static bool all_arrived(WorkPlace *place, uint64_t sent)
{
    PeerHead head = {sizeof head, PEER_COUNT, 0};
    PeerHead counted;
    if (!place->peer->call(&head, sizeof head, &counted, sizeof counted))
        return false;
    return counted.number == sent || peer_error("%llu messages were sent, %llu arrived", (unsigned long long)sent,
                                                (unsigned long long)counted.number);
}

static bool send_batch(WorkPlace *place, uint32_t length)
{
    PeerHead head = {length, PEER_NO_REPLY, 0};
    memcpy(place->request, &head, sizeof head);
    for (int i = 0; i < BATCH; i++) {
        if (!place->peer->send(place->request, length))
            return false;
    }
    return true;
}

/* Sends for that time. Returns the messages per second, less than 0 after an error. */
static double send_for(WorkPlace *place, uint32_t length, uint64_t duration)
{
    static uint64_t sent;
    uint64_t first = sent;
    uint64_t begin = measure_now();
    for (; measure_now() < begin + duration; sent += BATCH) {
        if (!send_batch(place, length))
            return -1;
    }
    if (!all_arrived(place, sent))
        return -1;
    return (double)(sent - first) * 1e9 / (double)(measure_now() - begin);
}

static int64_t one_way(WorkPlace *place, const WorkOrder *order)
{
    if (send_for(place, order->a, order_duration(order) / WARM_UP_SHARE) < 0)
        return -1;
    place->values[0] = send_for(place, order->a, order_duration(order));
    return place->values[0] < 0 ? -1 : 1;
}

/* --- Threads --- */

typedef struct Worker {
    WorkPlace *place;
    uint64_t end;
    uint64_t trips;
    bool failed;
} Worker;

static pthread_mutex_t peer_lock = PTHREAD_MUTEX_INITIALIZER;

static void *call_until_end(void *argument)
{
    Worker *worker = argument;
    char request[SMALL] = {0};
    char reply[SMALL];
    bool locked = !worker->place->peer->has_thread_safe_call;
    while (!worker->failed && measure_now() < worker->end) {
        if (locked)
            pthread_mutex_lock(&peer_lock);
        worker->failed = !trip(worker->place->peer, request, sizeof request, reply, sizeof reply);
        if (locked)
            pthread_mutex_unlock(&peer_lock);
        worker->trips++;
    }
    return NULL;
}

/* Calls from so many threads for that time. Returns the calls per second, less than 0 after an error. */
static double call_from_threads(WorkPlace *place, uint32_t count, uint64_t duration)
{
    Worker workers[MOST_THREADS];
    pthread_t handles[MOST_THREADS];
    uint32_t started = 0;
    uint64_t trips = 0;
    bool failed = false;
    uint64_t begin = measure_now();
    for (; started < count; started++) {
        workers[started] = (Worker){place, begin + duration, 0, false};
        if (pthread_create(&handles[started], NULL, call_until_end, &workers[started]) != 0)
            break;
    }
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(handles[i], NULL);
        trips += workers[i].trips;
        failed = failed || workers[i].failed;
    }
    if (started < count)
        peer_error("no thread could be started");
    return failed || started < count ? -1 : (double)trips * 1e9 / (double)(measure_now() - begin);
}

static int64_t threads(WorkPlace *place, const WorkOrder *order)
{
    uint32_t count = order->a < MOST_THREADS ? order->a : MOST_THREADS;
    if (call_from_threads(place, count, order_duration(order) / WARM_UP_SHARE) < 0)
        return -1;
    place->values[0] = call_from_threads(place, count, order_duration(order));
    return place->values[0] < 0 ? -1 : 1;
}

/* --- Many connections, and quiet ones --- */

/* Connect, first call and close, beside so many other clients. */
static int64_t joining(WorkPlace *place, const WorkOrder *order)
{
    return nursery_grow(&place->nursery, order->a - 1) ? connects(place, order) : -1;
}

static int64_t connections(WorkPlace *place, const WorkOrder *order)
{
    WorkOrder small = *order;
    small.a = small.b = SMALL;
    uint32_t before = place->nursery.clients;
    if (!nursery_grow(&place->nursery, order->a - 1) || !call_once(place, &small)) /* this process is a client, too */
        return -1;
    if (place->nursery.clients > before)
        usleep(SETTLE);
    place->values[0] = (double)usage_resident(place->server) - (double)place->resident_before;
    place->values[1] = (double)usage_descriptors(place->server) - (double)place->descriptors_before;
    int64_t count = repeat_warm(place, &small, call_once, place->values + 2);
    return count < 0 ? -1 : count + 2;
}

/* Wake-ups per second of the server and of one quiet client. */
static int64_t quiet(WorkPlace *place, const WorkOrder *order)
{
    if (!nursery_grow(&place->nursery, place->nursery.clients ? place->nursery.clients : 1))
        return -1;
    usleep(SETTLE);
    Usage server = usage_of(place->server);
    Usage client = usage_of(place->nursery.client);
    usleep(order->milliseconds * 1000);
    double seconds = order->milliseconds / 1e3;
    place->values[0] = (double)(usage_of(place->server).switches - server.switches) / seconds;
    place->values[1] = (double)(usage_of(place->nursery.client).switches - client.switches) / seconds;
    return 2;
}

/* One message per second: the server's nanoseconds of computing per second, and the client's. */
static int64_t beat(WorkPlace *place, const WorkOrder *order)
{
    uint32_t seconds = order->milliseconds / 1000;
    Usage server = usage_of(place->server);
    Usage client = usage_of(getpid());
    for (uint32_t i = 0; i < seconds; i++) {
        if (!trip(place->peer, place->request, SMALL, place->reply, SMALL))
            return -1;
        sleep(1);
    }
    place->values[0] = (double)(usage_of(place->server).cpu - server.cpu) / seconds;
    place->values[1] = (double)(usage_of(getpid()).cpu - client.cpu) / seconds;
    return 2;
}

/* --- The table --- */

static const struct {
    const char *name;
    int64_t (*run)(WorkPlace *, const WorkOrder *);
} works[] = {
    {"calls", calls},             /* a: bytes of the request; b: of the reply. Gives quantiles */
    {"oneway", one_way},          /* a: bytes. Gives messages per second */
    {"connect", connects},        /* connect, first call and close. Gives quantiles */
    {"connections", connections}, /* a: number. Gives the server's growth in bytes and in descriptors, and quantiles */
    {"joining", joining},         /* a: number of clients. Connect, first call and close. Gives quantiles */
    {"threads", threads},         /* a: number. Gives calls per second */
    {"lend", lend},               /* a: bytes. Gives quantiles */
    {"picture", picture},         /* a: rows. Gives quantiles */
    {"quiet", quiet},
    {"beat", beat},
};
enum { WORKS = sizeof works / sizeof works[0] };

bool work_can(const Peer *peer, const WorkOrder *order)
{
    bool is_sized = strcmp(order->work, "calls") == 0 || strcmp(order->work, "lend") == 0;
    for (const PeerLack *lack = peer->lacks; lack->work; lack++) {
        if (strcmp(lack->work, order->work) == 0)
            return peer_error("%s", lack->why);
    }
    if (is_sized && peer->largest && order->a > peer->largest)
        return peer_error("carries no message over %u bytes", peer->largest);
    bool many = strcmp(order->work, "connections") == 0 || strcmp(order->work, "joining") == 0;
    if (many && order->a > peer->most_connections)
        return peer_error("is tried with %u connections at most", peer->most_connections);
    if (strcmp(order->work, "picture") == 0 && !peer->picture)
        return peer_error("has no pictures");
    return true;
}

int64_t work_run(WorkPlace *place, const WorkOrder *order)
{
    for (int i = 0; i < WORKS; i++) {
        if (strcmp(works[i].name, order->work) == 0)
            return works[i].run(place, order);
    }
    peer_error("there is no such work");
    return -1;
}

bool work_prepare(WorkPlace *place)
{
    place->durations = calloc(WORK_MOST_TRIPS, sizeof *place->durations);
    place->request = malloc(PEER_LARGEST);
    place->reply = malloc(PEER_LARGEST);
    if (!place->durations || !place->request || !place->reply ||
        !nursery_start(&place->nursery, place->peer, place->folder))
        return peer_error("no memory or processes");
    place->resident_before = usage_resident(place->server);
    place->descriptors_before = usage_descriptors(place->server);
    return true;
}
