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
    int orders;       /* to the nursery: the number of quiet clients wanted */
    int reports;      /* from the nursery: the pid of one of them, -1 if it failed */
    uint32_t clients; /* that exist now */
    pid_t client;     /* one of them */
} Nursery;

bool nursery_start(Nursery *nursery, const Peer *peer, const char *folder);
/* Adds clients until there are that many. Returns false, after peer_error, if that fails. */
bool nursery_grow(Nursery *nursery, uint32_t clients);

#endif
