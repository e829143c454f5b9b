/* SPDX-License-Identifier: MIT */
/*
 * A peer is one way for two processes to talk, behind the few functions that the benchmark calls. A program peer_NAME
 * holds one or more of them (peers of one library, used in several ways) and the works of work.c, which are the same
 * for all; bench.py starts it, and has a line for each peer in its table.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stdint.h>

enum { PEER_LARGEST = 16 << 20 }; /* bytes in the longest message of any work */

/* Every message begins with it; a stream needs no other frame. */
typedef struct PeerHead {
    uint32_t length; /* of the message, this head included */
    uint32_t reply;  /* how long the answer is, or one of these */
    uint64_t number; /* so that no trip can pass for the one before it */
} PeerHead;
enum { PEER_NO_REPLY = 0, PEER_COUNT = 1 };

/* What a peer can't do, and why: said in the results. */
typedef struct PeerLack {
    const char *work; /* as in work.c; NULL ends the list */
    const char *why;
} PeerLack;

typedef struct Peer {
    const char *name;
    /* In the server's process: says `ready` once a client may connect, then answers each message as peer_answer says.
     * Returns only on an error. */
    void (*serve)(const char *folder, void (*ready)(void));
    /* In the client's process. False, after peer_error, on an error; likewise below. */
    bool (*connect)(const char *folder);
    /* One request and its reply of known length. */
    bool (*call)(const void *request, uint32_t length, void *reply, uint32_t reply_length);
    /* One way. */
    bool (*send)(const void *message, uint32_t length);
    /* A request of that length in memory that the peer lends, only its head written, and a reply of a head. */
    bool (*lend)(const PeerHead *head);
    /* A picture of so many rows of 4096 pixels of 4 bytes, which the server draws in memory that the peer lends:
     * only its head is written, and compared. NULL: the peer has no pictures. */
    bool (*picture)(uint32_t rows);
    void (*disconnect)(void);
    bool has_thread_safe_call; /* else a lock is held around it */
    uint32_t largest;          /* message; 0: any */
    uint32_t most_connections;
    const PeerLack *lacks;
} Peer;

/* The peers of this program, NULL at the end. */
extern const Peer *const peers[];

/* Server: what to answer to a request of which the head is enough; borrowed until the next call. NULL: nothing. */
const void *peer_answer(const void *request, uint32_t *length);
/* Says on behalf of a function above what went wrong. Returns false. */
bool peer_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Starts a program that helps the peer, a daemon; it ends with this process. False, after peer_error, if it can't. */
bool peer_start_helper(const char *const *arguments);

#endif
