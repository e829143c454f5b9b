/* SPDX-License-Identifier: MIT */
/* The works, which are the same for all peers. Durations are in nanoseconds. */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include "nursery.h"

enum {
    WORK_MOST_TRIPS = 200000, /* recorded at most */
    WORK_QUANTILES = 1001     /* from the 0th to the 100th percentile, in tenths */
};

typedef struct WorkOrder {
    char work[32];
    uint32_t a; /* their meaning is in the table of work.c */
    uint32_t b;
    uint32_t milliseconds; /* how long to measure */
} WorkOrder;

typedef struct WorkPlace {
    const Peer *peer;
    const char *folder;
    pid_t server;
    Nursery nursery;
    uint64_t resident_before; /* of the server, before the first client */
    uint64_t descriptors_before;
    double values[WORK_QUANTILES + 2];
    double *durations; /* WORK_MOST_TRIPS */
    char *request;     /* PEER_LARGEST */
    char *reply;
} WorkPlace;

/* Called after the server was started, before anything else. */
bool work_prepare(WorkPlace *place);
/* Returns false, after peer_error, if the peer does not support the work. */
bool work_can(const Peer *peer, const WorkOrder *order);
/* Does the work. Returns the number of values, -1 after peer_error. */
int64_t work_run(WorkPlace *place, const WorkOrder *order);

#endif
