/* SPDX-License-Identifier: MIT */
/* Nuisances beside a healthy client, which is this process. A nuisance is in full operation when its `begin` returns
 * (false: it could not start), and gone after its `end`. */
#ifndef BENCH_NUISANCE_H
#define BENCH_NUISANCE_H

#include <stdbool.h>

/* The healthy service, which answers with the request's bytes, or with a large reply. */
#define NEIGHBOUR_SERVICE "bench.neighbours"
enum { NEIGHBOUR_ECHO, NEIGHBOUR_LARGE, NEIGHBOUR_LARGE_REPLY = 1 << 20 };

typedef struct Nuisance {
    bool (*begin)(void);
    void (*end)(void);
} Nuisance;

extern const Nuisance nuisance_none;
/* A process that only computes, on this process's core. */
extern const Nuisance nuisance_burner;
/* The same with as many threads as nuisance_large_replies has. */
extern const Nuisance nuisance_burners;
/* Other threads of this process wait for answers of another service, which is stopped. */
extern const Nuisance nuisance_stopped_service;
/* Another client of the healthy service, stopped with its reply ring full. */
extern const Nuisance nuisance_stopped_client;
/* Another client of the healthy service, on this process's core, which sends small one-way messages as fast as it
 * can, */
extern const Nuisance nuisance_flood;
/* or the largest that travel in one frame, */
extern const Nuisance nuisance_heavy_flood;
/* or requests large replies, with several threads. */
extern const Nuisance nuisance_large_replies;

#endif
