/* SPDX-License-Identifier: MIT */
/* A process that forks quiet clients: each connects, calls once, and does nothing more. */
#ifndef BENCH_NURSERY_H
#define BENCH_NURSERY_H

#include "peer.h"
#include <sys/types.h>

typedef struct Nursery {
    const Peer *peer;
    const char *folder;
    pid_t process;
    int orders;       /* to it: how many quiet clients there shall be */
    int reports;      /* from it: the pid of one of them, -1 if it failed */
    uint32_t clients; /* that there are, */
    pid_t client;     /* and one of them */
} Nursery;

bool nursery_start(Nursery *nursery, const Peer *peer, const char *folder);
/* Until there are that many. False, after peer_error, if there can't be. */
bool nursery_grow(Nursery *nursery, uint32_t clients);

#endif
