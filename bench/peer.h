/* SPDX-License-Identifier: MIT */
/*
 * A peer is one way for two processes to talk, behind the four functions that the benchmark calls. A new one is a file
 * peer_NAME.c, a line here, and a line in the table of bench.c.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stdint.h>

enum { PEER_LARGEST = 4096 }; /* bytes in the longest message of any workload */

typedef struct Peer {
    const char *name;
    /* In the server's process: says `ready` once a client may connect, then echoes. Returns only on an error. */
    void (*serve)(const char *folder, void (*ready)(void));
    /* In the client's process. False, with a line on stderr, on an error; likewise below. */
    bool (*connect)(const char *folder);
    /* One request and its reply, which is as long. */
    bool (*call)(const void *request, void *reply, uint32_t length);
    void (*disconnect)(void);
} Peer;

extern const Peer peer_raw;
extern const Peer peer_lightmessaging;

#endif
