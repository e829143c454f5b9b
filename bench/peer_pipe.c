/* SPDX-License-Identifier: MIT */
/* Two named pipes, one for each direction. */
#define _GNU_SOURCE
#include "peer.h"
#include "stream.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CAPACITY = 1 << 20 }; /* the most that a user other than root may request */

static int requests = -1;
static int replies = -1;

static int open_pipe(const char *folder, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (mkfifo(path, 0600) != 0 && errno != EEXIST)
        return -1;
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor >= 0) /* if this fails, a long message is only split into more pieces */
        (void)fcntl(descriptor, F_SETPIPE_SZ, CAPACITY);
    return descriptor;
}

static bool open_both(const char *folder)
{
    requests = open_pipe(folder, "requests");
    replies = open_pipe(folder, "replies");
    return (requests >= 0 && replies >= 0) || peer_error("mkfifo: %s", strerror(errno));
}

static void pipe_serve(const char *folder, void (*ready)(void))
{
    if (!open_both(folder))
        return;
    ready();
    while (stream_answer(requests, replies))
        ;
}

static bool pipe_send(const void *message, uint32_t length)
{
    return stream_write(requests, message, length);
}

static bool pipe_call(const void *request, uint32_t length, void *reply, uint32_t reply_length)
{
    return pipe_send(request, length) && stream_read(replies, reply, reply_length);
}

static void disconnect(void)
{
    close(requests);
    close(replies);
}

static const PeerLack lacks[] = {
    {"lend", "copies"}, {"connect", "has no connections"}, {"connections", "has no connections"}, {NULL, NULL}};
static const Peer both = {.name = "pipe",
                          .serve = pipe_serve,
                          .connect = open_both,
                          .call = pipe_call,
                          .send = pipe_send,
                          .disconnect = disconnect,
                          .lacks = lacks};
const Peer *const peers[] = {&both, NULL};
