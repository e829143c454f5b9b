/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "nursery.h"
#include "child.h"
#include <string.h>
#include <unistd.h>

static int order_pipe[2];
static int report_pipe[2];

static void be_quiet(const void *argument)
{
    const WorkPlace *place = argument;
    char request[64] = {0};
    char reply[64];
    PeerHead head = {sizeof request, sizeof reply, 0};
    memcpy(request, &head, sizeof head);
    if (!place->peer->connect(place->folder) || !place->peer->call(request, sizeof request, reply, sizeof reply))
        return;
    child_ready();
    for (;;)
        pause();
}

static void run(const void *argument)
{
    uint32_t wanted;
    uint32_t there = 0;
    pid_t newest = 0;
    close(order_pipe[1]); /* else this would not end with its parent's end */
    child_ready();
    while (read(order_pipe[0], &wanted, sizeof wanted) == sizeof wanted) {
        for (; newest >= 0 && there < wanted; there++)
            newest = child_start(be_quiet, argument);
        if (write(report_pipe[1], &newest, sizeof newest) != sizeof newest)
            return;
    }
}

bool nursery_start(WorkPlace *place)
{
    if (pipe(order_pipe) != 0 || pipe(report_pipe) != 0)
        return false;
    place->nursery = child_start(run, place);
    place->orders = order_pipe[1];
    place->reports = report_pipe[0];
    return place->nursery > 0;
}

bool nursery_grow(WorkPlace *place, uint32_t clients)
{
    if (clients <= place->quiet_clients)
        return true;
    if (write(place->orders, &clients, sizeof clients) != sizeof clients ||
        read(place->reports, &place->quiet_client, sizeof place->quiet_client) != sizeof place->quiet_client)
        return peer_error("the nursery is gone");
    place->quiet_clients = clients;
    return place->quiet_client > 0 || peer_error("a client could not connect");
}
