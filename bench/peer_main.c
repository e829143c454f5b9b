/* SPDX-License-Identifier: MIT */
/*
 *   peer_NAME PEER FOLDER CLIENT-CORE SERVER-CORE      (-1: any)
 *
 * The program around a peer. This process is the client; a child is the server, another the nursery of further, quiet
 * clients. Orders come in as lines "WORK A B MILLISECONDS"; an answer goes out as a count and as many doubles, or as -1
 * and the reason in a text of REASON bytes. It begins with one for having connected.
 */
#define _GNU_SOURCE
#include "child.h"
#include "measure.h"
#include "peer.h"
#include "peer_program.h"
#include "work.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static char *reason; /* shared with the children */
static const char *folder;
static int server_core;

bool peer_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, PEER_REASON, format, arguments);
    va_end(arguments);
    return false;
}

bool peer_start_helper(const char *const *arguments)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0)
        return peer_error("fork: %s", strerror(errno));
    if (child > 0)
        return true;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

const void *peer_answer(const void *request, uint32_t *length)
{
    static PeerHead counted = {.length = sizeof counted};
    PeerHead head;
    memcpy(&head, request, sizeof head);
    if (head.reply == PEER_NO_REPLY) {
        counted.number++;
        return NULL;
    }
    *length = head.reply == PEER_COUNT ? sizeof counted : head.reply;
    return head.reply == PEER_COUNT ? &counted : request;
}

static void serve(const void *argument)
{
    const Peer *peer = argument;
    if (server_core < 0 || measure_pin(0, server_core))
        peer->serve(folder, child_ready);
    if (reason[0] == '\0')
        peer_error("the server could not start");
}

static bool answer(const double *values, int64_t count)
{
    size_t bytes = count < 0 ? 0 : (size_t)count * sizeof *values;
    if (fwrite(&count, sizeof count, 1, stdout) != 1)
        return false;
    if (count < 0 && fwrite(reason, PEER_REASON, 1, stdout) != 1)
        return false;
    return (bytes == 0 || fwrite(values, bytes, 1, stdout) == 1) && fflush(stdout) == 0;
}

static bool obey(WorkPlace *place, const char *line)
{
    WorkOrder order;
    if (sscanf(line, "%31s %u %u %u", order.work, &order.a, &order.b, &order.milliseconds) != 4)
        return false;
    memset(reason, 0, PEER_REASON);
    int64_t count = work_run(place, &order);
    if (count < 0 && reason[0] == '\0')
        peer_error("it failed");
    return answer(place->values, count);
}

static const Peer *find_peer(const char *name)
{
    for (const Peer *const *peer = peers; *peer; peer++) {
        if (strcmp((*peer)->name, name) == 0)
            return *peer;
    }
    return NULL;
}

/* Ten thousand connections are as many descriptors. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run(const Peer *peer, int client_core)
{
    char line[128];
    WorkPlace place = {.peer = peer, .folder = folder};
    place.server = child_start(serve, peer);
    bool started = place.server > 0 && work_prepare(&place) && (client_core < 0 || measure_pin(0, client_core)) &&
                   peer->connect(folder);
    if (!started && reason[0] == '\0')
        peer_error("the client could not start");
    if (!answer(NULL, started ? 0 : -1) || !started)
        return 1;
    while (fgets(line, sizeof line, stdin)) {
        if (!obey(&place, line))
            return 1;
    }
    peer->disconnect();
    child_kill(place.nursery);
    child_kill(place.server);
    return 0;
}

int main(int argc, char **argv)
{
    const Peer *peer = argc == 5 ? find_peer(argv[1]) : NULL;
    if (!peer) {
        fprintf(stderr, "usage: %s PEER FOLDER CLIENT-CORE SERVER-CORE\n", argv[0]);
        return 2;
    }
    folder = argv[2];
    server_core = atoi(argv[4]);
    reason = mmap(NULL, PEER_REASON, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (reason == MAP_FAILED)
        return 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    return run(peer, atoi(argv[3]));
}
