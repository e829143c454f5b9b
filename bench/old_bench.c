/* SPDX-License-Identifier: MIT */
/*
 * Compares this library with other ways to talk, in one run: every peer's server is a child process, this process is
 * the client of all. The peers take turns, in both orders, so that what disturbs the machine disturbs them alike. Then
 * neighbours.c disturbs the library itself. Exits with 0 unless a call fails; the figures are for people to judge.
 *
 *   bench [TRIPS]     round trips per round and peer (10000)
 */
#define _GNU_SOURCE
#include "child.h"
#include "measure.h"
#include "neighbours.h"
#include "peer.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ROUNDS = 10, /* an even number: each order equally often */
    DEFAULT_TRIPS = 10000,
    MOST_TRIPS = 1000000,
    MESSAGE = 64,   /* bytes */
    PATIENCE = 300, /* seconds after which a run that hangs is killed */
};

/* The first is what the others are compared with. */
static const Peer *const peers[] = {&peer_raw, &peer_lightmessaging};
enum { PEERS = sizeof peers / sizeof peers[0] };

typedef struct Layout {
    const char *name;
    int client_core; /* counted among the cores this process may use */
    int server_core;
} Layout;

static const Layout layouts[] = {{"one core", 0, 0}, {"two cores", 0, 1}};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0] };

/* What was measured of one peer in one layout, in microseconds. */
typedef struct Result {
    double round_means[ROUNDS];
    double *trips; /* ROUNDS * the trips of a round, owned */
} Result;

/* --- Servers --- */

static pid_t servers[PEERS];
static const char *server_folder;

static void run_server(const void *argument)
{
    const Peer *peer = argument;
    peer->serve(server_folder, child_ready);
}

static bool start_servers(const char *folder)
{
    server_folder = folder;
    for (size_t i = 0; i < PEERS; i++) {
        servers[i] = child_start(run_server, peers[i]);
        if (servers[i] < 0 || !peers[i]->connect(folder))
            return false;
    }
    return true;
}

static void stop_servers(void)
{
    for (size_t i = 0; i < PEERS; i++)
        child_kill(servers[i]);
}

/* --- Measuring --- */

static bool run_trip(const Peer *peer, size_t number)
{
    char request[MESSAGE] = {0};
    char reply[MESSAGE];
    memcpy(request, &number, sizeof number); /* so that no trip can pass for the one before it */
    if (!peer->call(request, reply, MESSAGE))
        return false;
    if (memcmp(request, reply, MESSAGE) == 0)
        return true;
    fprintf(stderr, "%s: the reply differs from the request\n", peer->name);
    return false;
}

static bool warm_up(const Peer *peer, size_t trips)
{
    for (size_t i = 0; i < trips; i++) {
        if (!run_trip(peer, i))
            return false;
    }
    return true;
}

static bool run_round(const Peer *peer, Result *result, size_t round, size_t trips)
{
    double *durations = result->trips + round * trips;
    uint64_t begin = measure_now();
    uint64_t before = begin;
    for (size_t i = 0; i < trips; i++) {
        if (!run_trip(peer, i))
            return false;
        uint64_t after = measure_now();
        durations[i] = (double)(after - before) / 1e3;
        before = after;
    }
    result->round_means[round] = (double)(before - begin) / 1e3 / (double)trips;
    return true;
}

static bool run_rounds(Result *results, size_t trips)
{
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t turn = 0; turn < PEERS; turn++) {
            size_t i = round % 2 == 0 ? turn : PEERS - 1 - turn;
            if (!warm_up(peers[i], trips / 10) || !run_round(peers[i], &results[i], round, trips))
                return false;
        }
    }
    return true;
}

static bool pin(const Layout *layout)
{
    bool pinned = measure_pin(0, measure_core(layout->client_core));
    for (size_t i = 0; i < PEERS; i++)
        pinned = pinned && measure_pin(servers[i], measure_core(layout->server_core));
    if (!pinned)
        perror("bench: pinning to a core");
    return pinned;
}

static void print_results(const Layout *layout, Result *results, size_t trips)
{
    double yardstick = 0;
    for (size_t i = 0; i < PEERS; i++) {
        measure_sort(results[i].round_means, ROUNDS);
        measure_sort(results[i].trips, ROUNDS * trips);
        double median = measure_percentile(results[i].round_means, ROUNDS, 50);
        if (i == 0)
            yardstick = median;
        printf("%-10s  %-15s %9.2f %9.2f %9.2f %8.2f\n", layout->name, peers[i]->name, median,
               measure_percentile(results[i].trips, ROUNDS * trips, 50),
               measure_percentile(results[i].trips, ROUNDS * trips, 99), median / yardstick);
    }
    fflush(stdout);
}

static bool run_layout(const Layout *layout, size_t trips)
{
    if (measure_core(layout->server_core) < 0) {
        printf("%-10s  skipped: this process may use one core only\n", layout->name);
        return true;
    }
    Result results[PEERS] = {0};
    bool done = pin(layout);
    for (size_t i = 0; i < PEERS; i++)
        done = (results[i].trips = calloc(ROUNDS * trips, sizeof(double))) != NULL && done;
    done = done && run_rounds(results, trips);
    if (done)
        print_results(layout, results, trips);
    for (size_t i = 0; i < PEERS; i++)
        free(results[i].trips);
    return done;
}

static bool run_layouts(size_t trips)
{
    printf("%d-byte two-way round trips, warm, no spinning; %d rounds of %zu, peers taking turns in both orders\n\n",
           MESSAGE, ROUNDS, trips);
    printf("%-10s  %-15s %9s %9s %9s %8s\n", "", "", "median", "p50", "p99", "ratio");
    printf("%-10s  %-15s %9s %9s %9s %8s\n", "processes", "peer", "of rounds", "of trips", "of trips", "of");
    printf("%-10s  %-15s %9s %9s %9s %8s\n", "on", "", "us", "us", "us", "medians");
    for (size_t i = 0; i < LAYOUTS; i++) {
        if (!run_layout(&layouts[i], trips))
            return false;
    }
    return true;
}

/* --- The run --- */

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}

static bool run(const char *folder, size_t trips)
{
    bool done = setenv("LM_RUNTIME_DIR", folder, 1) == 0 && start_servers(folder) && run_layouts(trips);
    for (size_t i = 0; done && i < PEERS; i++)
        peers[i]->disconnect();
    stop_servers();
    return done && neighbours_run(trips);
}

static bool parse_trips(const char *text, size_t *trips)
{
    char *end;
    long value = strtol(text, &end, 10);
    *trips = (size_t)value;
    return end != text && *end == '\0' && value >= 1 && value <= MOST_TRIPS;
}

int main(int argc, char **argv)
{
    size_t trips = DEFAULT_TRIPS;
    if (argc > 2 || (argc == 2 && !parse_trips(argv[1], &trips))) {
        fprintf(stderr, "usage: bench [TRIPS]     (from 1 to %d)\n", MOST_TRIPS);
        return 2;
    }
    char folder[] = "/tmp/lightmessaging-bench-XXXXXX";
    if (!mkdtemp(folder)) {
        perror("bench: a temporary folder");
        return 1;
    }
    alarm(PATIENCE);
    bool done = run(folder, trips);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return done ? 0 : 1;
}
