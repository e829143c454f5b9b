/* SPDX-License-Identifier: MIT */
/*
 * Measures how well a healthy client fares beside clients and services that misbehave: 64-byte round trips, the medians
 * over rounds of their percentiles, in microseconds. Prints a line per neighbour, with tabs between: its name, then p50
 * and p99 of the client alone, beside a process that only computes, and beside the neighbour.
 *
 *     neighbours ROUNDS TRIPS     (an even number of rounds, for each order equally often; round trips per round)
 *
 * The healthy client is this process, on one core; its service is on another. The rounds alternate, in both orders,
 * between nothing, a process that only computes, and the nuisance itself. A flood needs computing time on any core, and
 * here it runs on the client's core. The burner, with as many threads, shows how much time the scheduler takes from the
 * client for it; the rest is due to the service.
 */
#define _GNU_SOURCE
#include "child.h"
#include "measure.h"
#include "nuisance.h"
#include <LightMessaging/LightMessaging.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    MOST_ROUNDS = 100,
    MESSAGE = 64,  /* bytes */
    PATIENCE = 300 /* seconds after which a run that hangs is killed */
};

enum { ALONE, BURNER, BESIDE, COLUMNS };

typedef struct Row {
    const char *name;
    const Nuisance *columns[COLUMNS]; /* NULL: no such column */
} Row;

static const Row rows[] = {
    {"threads that call a stopped service", {&nuisance_none, NULL, &nuisance_stopped_service}},
    {"a stopped client, its reply ring full", {&nuisance_none, NULL, &nuisance_stopped_client}},
    {"a flood of one-way messages, 64 bytes", {&nuisance_none, &nuisance_burner, &nuisance_flood}},
    {"a flood of one-way messages, 64 KiB", {&nuisance_none, &nuisance_burner, &nuisance_heavy_flood}},
    {"a flood of calls with replies of 1 MiB", {&nuisance_none, &nuisance_burners, &nuisance_large_replies}},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static size_t rounds;

/* Percentiles of each round, in microseconds. */
typedef struct Result {
    double p50[MOST_ROUNDS];
    double p99[MOST_ROUNDS];
} Result;

/* --- The service --- */

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    static const char large[NEIGHBOUR_LARGE_REPLY];
    mach_port_t reply = message->head.msgh_remote_port;
    (void)port, (void)size, (void)info;
    if (message->head.msgh_id == NEIGHBOUR_LARGE) /* the client may have been killed */
        (void)LMSendReply(reply, large, sizeof large);
    else
        (void)LMSendReply(reply, LMMessageGetData(message), LMMessageGetDataLength(message));
}

static void serve(const void *argument)
{
    (void)argument;
    kern_return_t status = LMStartService(NEIGHBOUR_SERVICE, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer);
    if (status)
        fprintf(stderr, "neighbours: %s\n", mach_error_string(status));
    if (status || !measure_pin(0, measure_core(1)))
        return;
    child_ready();
    CFRunLoopRun();
}

/* --- Measuring --- */

static LMConnection connection = {MACH_PORT_NULL, NEIGHBOUR_SERVICE};

static bool run_trip(size_t number)
{
    char request[MESSAGE] = {0};
    LMResponseBuffer response;
    memcpy(request, &number, sizeof number); /* so that no reply can be mistaken for that of the previous trip */
    kern_return_t status = LMConnectionSendTwoWay(&connection, NEIGHBOUR_ECHO, request, sizeof request, &response);
    bool same = status == KERN_SUCCESS && LMMessageGetDataLength(&response.message) == sizeof request &&
                memcmp(LMMessageGetData(&response.message), request, sizeof request) == 0;
    if (!same)
        fprintf(stderr, "neighbours: %s\n", status ? mach_error_string(status) : "the reply differs from the request");
    LMResponseBufferFree(&response);
    return same;
}

/* Warms up, and measures `count` round trips. */
static bool run_trips(double *trips, size_t count)
{
    for (size_t i = 0; i < count / 5; i++) {
        if (!run_trip(i))
            return false;
    }
    uint64_t before = measure_now();
    for (size_t i = 0; i < count; i++) {
        if (!run_trip(i))
            return false;
        uint64_t after = measure_now();
        trips[i] = (double)(after - before) / 1e3;
        before = after;
    }
    return true;
}

static bool run_round(const Nuisance *nuisance, Result *result, size_t round, double *trips, size_t count)
{
    bool done = nuisance->begin() && run_trips(trips, count);
    nuisance->end();
    if (!done)
        return false;
    measure_sort(trips, count);
    result->p50[round] = measure_percentile(trips, count, 50);
    result->p99[round] = measure_percentile(trips, count, 99);
    return true;
}

static bool run_rounds(const Row *row, Result *results, double *trips, size_t count)
{
    for (size_t round = 0; round < rounds; round++) {
        for (size_t turn = 0; turn < COLUMNS; turn++) {
            size_t column = round % 2 == 0 ? turn : COLUMNS - 1 - turn;
            const Nuisance *nuisance = row->columns[column];
            if (nuisance && !run_round(nuisance, &results[column], round, trips, count))
                return false;
        }
    }
    return true;
}

/* --- The table --- */

/* The medians of a column's percentiles. */
static void print_column(Result *result, bool measured)
{
    if (!measured) {
        printf("\t-\t-");
        return;
    }
    measure_sort(result->p50, rounds);
    measure_sort(result->p99, rounds);
    printf("\t%.2f\t%.2f", measure_percentile(result->p50, rounds, 50), measure_percentile(result->p99, rounds, 50));
}

static void print_row(const Row *row, Result *results)
{
    printf("%s", row->name);
    for (int i = 0; i < COLUMNS; i++)
        print_column(&results[i], row->columns[i] != NULL);
    printf("\n");
    fflush(stdout);
}

static bool run_rows(size_t count)
{
    double *trips = calloc(count, sizeof *trips);
    bool done = trips != NULL;
    for (size_t i = 0; done && i < ROWS; i++) {
        Result results[COLUMNS];
        done = run_rounds(&rows[i], results, trips, count);
        if (done)
            print_row(&rows[i], results);
    }
    free(trips);
    return done;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}

static bool run(size_t trips)
{
    pid_t service = child_start(serve, NULL);
    /* The client connects while it may use all cores: only then does it spin before it sleeps, as it usually does. */
    bool done = service > 0 && run_trip(0) && measure_pin(0, measure_core(0)) && run_rows(trips);
    child_kill(service);
    return done;
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/lightmessaging-bench-XXXXXX";
    int trips = argc == 3 ? atoi(argv[2]) : 0;
    rounds = argc == 3 ? (size_t)atoi(argv[1]) : 0;
    if (trips < 1 || rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: neighbours ROUNDS TRIPS\n");
        return 2;
    }
    if (measure_core(1) < 0) {
        fprintf(stderr, "this process may use one core only\n");
        return 1;
    }
    alarm(PATIENCE);
    if (!mkdtemp(folder) || setenv("LM_RUNTIME_DIR", folder, 1) != 0)
        return 1;
    bool done = run((size_t)trips);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return done ? 0 : 1;
}
