/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "nursery.h"
#include "child.h"
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { BATCH = 64 }; /* clients that start at the same time */

static int order_pipe[2];
static int report_pipe[2];
static int ready_pipe[2]; /* a byte from each client: whether it connected */

static bool connect_quietly(const Nursery *nursery)
{
    char request[64] = {0};
    char reply[64];
    PeerHead head = {sizeof request, sizeof reply, 0};
    memcpy(request, &head, sizeof head);
    return nursery->peer->connect(nursery->folder) && nursery->peer->call(request, sizeof request, reply, sizeof reply);
}

static void be_quiet(const Nursery *nursery)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool connected = connect_quietly(nursery);
    if (write(ready_pipe[1], &connected, 1) != 1 || !connected)
        _exit(1);
    for (;;)
        pause();
}

/* Returns the last client's pid; -1 if a client could not connect. */
static pid_t start_batch(const Nursery *nursery, uint32_t count)
{
    pid_t newest = -1;
    bool all = true;
    bool one;
    for (uint32_t i = 0; i < count; i++) {
        newest = fork();
        if (newest < 0)
            return -1;
        if (newest == 0)
            be_quiet(nursery);
    }
    for (uint32_t i = 0; i < count; i++)
        all = read(ready_pipe[0], &one, 1) == 1 && one && all;
    return all ? newest : -1;
}

static void run(const void *argument)
{
    uint32_t wanted;
    uint32_t there = 0;
    pid_t newest = 0;
    close(order_pipe[1]); /* otherwise this process would not end with its parent */
    if (pipe(ready_pipe) != 0)
        return;
    child_ready();
    while (read(order_pipe[0], &wanted, sizeof wanted) == sizeof wanted) {
        while (newest >= 0 && there < wanted) {
            uint32_t count = wanted - there < BATCH ? wanted - there : BATCH;
            newest = start_batch(argument, count);
            there += count;
        }
        if (write(report_pipe[1], &newest, sizeof newest) != sizeof newest)
            return;
    }
}

bool nursery_start(Nursery *nursery, const Peer *peer, const char *folder)
{
    if (pipe(order_pipe) != 0 || pipe(report_pipe) != 0)
        return false;
    *nursery = (Nursery){.peer = peer, .folder = folder};
    nursery->process = child_start(run, nursery);
    nursery->orders = order_pipe[1];
    nursery->reports = report_pipe[0];
    return nursery->process > 0;
}

bool nursery_grow(Nursery *nursery, uint32_t clients)
{
    if (clients <= nursery->clients)
        return true;
    if (write(nursery->orders, &clients, sizeof clients) != sizeof clients ||
        read(nursery->reports, &nursery->client, sizeof nursery->client) != sizeof nursery->client)
        return peer_error("the nursery is gone");
    nursery->clients = clients;
    return nursery->client > 0 || peer_error("a client could not connect");
}
