/* SPDX-License-Identifier: MIT */
/* Lower bounds for any peer: a cache line that two spinning processes hand to each other, whatever the length of the
 * message; and one memcpy of the message, without telling the other process. */
#define _GNU_SOURCE
#include "peer.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- The cache line --- */

enum { LINE = 64, BOUNCED = 48 /* bytes of them beside the turn, as a multiple of 16 */ };

typedef struct Line {
    _Alignas(LINE) uint64_t turn; /* odd: the server's turn */
    char data[BOUNCED];
} Line;

static Line *line;

static bool map_line(const char *folder)
{
    char path[256];
    snprintf(path, sizeof path, "%s/line", folder);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *map = MAP_FAILED;
    if (file >= 0 && ftruncate(file, sizeof *line) == 0)
        map = mmap(NULL, sizeof *line, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    line = map;
    return map != MAP_FAILED || peer_error("%s: %s", path, strerror(errno));
}

static void wait_for(uint64_t turn)
{
    while (__atomic_load_n(&line->turn, __ATOMIC_ACQUIRE) != turn)
        ;
}

static void line_serve(const char *folder, void (*ready)(void))
{
    if (!map_line(folder))
        return;
    ready();
    for (uint64_t turn = 1;; turn += 2) {
        wait_for(turn);
        __atomic_store_n(&line->turn, turn + 1, __ATOMIC_RELEASE);
    }
}

static bool line_call(const void *request, uint32_t length, void *reply, uint32_t reply_length)
{
    static uint64_t turn;
    memcpy(line->data, request, length);
    __atomic_store_n(&line->turn, turn + 1, __ATOMIC_RELEASE);
    turn += 2;
    wait_for(turn);
    memcpy(reply, line->data, reply_length);
    return true;
}

static void line_disconnect(void)
{
    munmap(line, sizeof *line);
}

static const PeerLack line_lacks[] = {{"oneway", "is no way to send"},
                                      {"lend", "is no way to send"},
                                      {"connect", "is no way to send"},
                                      {"connections", "is no way to send"},
                                      {"threads", "is no way to send"},
                                      {"beat", "spins"},
                                      {"quiet", "spins"},
                                      {NULL, NULL}};
static const Peer cache_line = {.name = "line",
                                .serve = line_serve,
                                .connect = map_line,
                                .call = line_call,
                                .disconnect = line_disconnect,
                                .largest = BOUNCED,
                                .lacks = line_lacks};

/* --- memcpy --- */

static char *copy;

static void copy_serve(const char *folder, void (*ready)(void))
{
    (void)folder;
    ready();
    for (;;)
        pause();
}

static bool copy_connect(const char *folder)
{
    (void)folder;
    copy = malloc(PEER_LARGEST);
    return copy || peer_error("no memory");
}

static bool copy_call(const void *request, uint32_t length, void *reply, uint32_t reply_length)
{
    memcpy(copy, request, length);
    __asm__ volatile("" : : "r"(copy) : "memory"); /* so that the copy is not optimised away */
    memcpy(reply, copy, reply_length);             /* small; copied from the same data when the copy is checked */
    return true;
}

static void copy_disconnect(void)
{
    free(copy);
}

static const Peer one_memcpy = {.name = "memcpy",
                                .serve = copy_serve,
                                .connect = copy_connect,
                                .call = copy_call,
                                .disconnect = copy_disconnect,
                                .lacks = line_lacks};
const Peer *const peers[] = {&cache_line, &one_memcpy, NULL};
