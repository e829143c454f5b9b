/* SPDX-License-Identifier: MIT */
/*
 * A peer is one way for two processes to communicate, behind the few functions that the benchmark calls. A program
 * peer_NAME holds one or more of them (peers of one library, used in several ways) and the works of work.c, which are
 * the same for all. bench.py starts the program, and has a line for each peer in its table.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stdint.h>

enum { PEER_LARGEST = 16 << 20 }; /* bytes in the longest message of any work */

/* The head of every message; a stream needs no other framing. */
typedef struct PeerHead {
    uint32_t length; /* of the message, this head included */
    uint32_t reply;  /* length of the answer, or one of these */
    uint64_t number; /* so that no reply can be mistaken for that of the previous trip */
} PeerHead;
enum { PEER_NO_REPLY = 0, PEER_COUNT = 1 };

/* A work that a peer does not support, and the reason, which the results show. */
typedef struct PeerLack {
    const char *work; /* as in work.c; NULL ends the list */
    const char *why;
} PeerLack;

typedef struct Peer {
    const char *name;
    /* In the server's process: calls `ready` once a client may connect, then answers each message with peer_answer.
     * Returns only after an error. */
    void (*serve)(const char *folder, void (*ready)(void));
    /* In the client's process. Returns false, after peer_error, on an error; so do the functions below. */
    bool (*connect)(const char *folder);
    /* Sends a request and receives its reply of known length. */
    bool (*call)(const void *request, uint32_t length, void *reply, uint32_t reply_length);
    /* Sends a one-way message. */
    bool (*send)(const void *message, uint32_t length);
    /* Sends a request of that length in memory that the peer lends, of which only the head is written, and receives a
     * reply that is a head. */
    bool (*lend)(const PeerHead *head);
    /* Receives a picture of so many rows of 4096 pixels of 4 bytes, which the server draws in memory that the peer
     * lends: only its head is written and compared. NULL: the peer has no pictures. */
    bool (*picture)(uint32_t rows);
    void (*disconnect)(void);
    bool has_thread_safe_call; /* otherwise a lock is held around `call` */
    uint32_t largest;          /* longest message; 0: no limit */
    uint32_t most_connections;
    const PeerLack *lacks;
} Peer;

/* The peers of this program, with a NULL at the end. */
extern const Peer *const peers[];

/* Server: returns the answer to a request, of which only the head is read; valid until the next call. NULL: no
 * answer. */
const void *peer_answer(const void *request, uint32_t *length);
/* Reports the error of a function above. Returns false. */
bool peer_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Starts a helper program of the peer, such as a daemon, which ends with this process. Returns false, after peer_error,
 * if that fails. */
bool peer_start_helper(const char *const *arguments);

#endif
