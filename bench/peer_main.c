/* SPDX-License-Identifier: MIT */
/*
 *     peer_NAME PEER FOLDER CLIENT-CORE SERVER-CORE      (-1: any)
 *
 * The program around a peer. This process is the client; one child is the server, another is the nursery of further,
 * quiet clients. Orders are lines "WORK A B MILLISECONDS". The program answers with a line once it has connected, and
 * then after each order: "= NUMBER...", or "- WHY" if the peer does not support the work, or "! WHAT" after an error.
 */
#define _GNU_SOURCE
#include "child.h"
#include "measure.h"
#include "peer.h"
#include "work.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REASON = 256 };

static char *reason; /* shared with the children */
static const char *folder;
static int server_core;

bool peer_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (reason[0] == '\0') /* the first error causes the others */
        vsnprintf(reason, REASON, format, arguments);
    va_end(arguments);
    return false;
}

/* Redirects the output of helpers, which would otherwise be taken for answers. */
static bool log_helper(void)
{
    char path[256];
    snprintf(path, sizeof path, "%s/helper.log", folder);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    return file >= 0 && dup2(file, STDOUT_FILENO) >= 0 && dup2(file, STDERR_FILENO) >= 0;
}

bool peer_start_helper(const char *const *arguments)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0)
        return peer_error("fork: %s", strerror(errno));
    if (child > 0)
        return true;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent && log_helper())
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    peer_error("%s: %s", arguments[0], strerror(errno));
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
    peer_error("the server ended");
}

static bool answer(char sign, const double *values, int64_t count)
{
    putchar(sign);
    for (int64_t i = 0; i < count; i++)
        printf(" %.6g", values[i]);
    if (count < 0)
        printf(" %s", reason[0] ? reason : "it failed");
    return putchar('\n') != EOF && fflush(stdout) == 0;
}

static bool obey(WorkPlace *place, const char *line)
{
    WorkOrder order;
    if (sscanf(line, "%31s %u %u %u", order.work, &order.a, &order.b, &order.milliseconds) != 4)
        return false;
    memset(reason, 0, REASON);
    if (!work_can(place->peer, &order))
        return answer('-', NULL, -1);
    int64_t count = work_run(place, &order);
    return answer(count < 0 ? '!' : '=', place->values, count);
}

static const Peer *find_peer(const char *name)
{
    for (const Peer *const *peer = peers; *peer; peer++) {
        if (strcmp((*peer)->name, name) == 0)
            return *peer;
    }
    return NULL;
}

/* Ten thousand connections need as many descriptors. */
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
    bool goes_on = answer(started ? '=' : '!', NULL, started ? 0 : -1) && started;
    while (goes_on && fgets(line, sizeof line, stdin))
        goes_on = obey(&place, line);
    if (started)
        peer->disconnect();
    child_kill(place.nursery.process);
    child_kill(place.server);
    while (wait(NULL) > 0) /* waits for helpers, too: the next program may need one of the same name */
        ;
    return goes_on ? 0 : 1;
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
    reason = mmap(NULL, REASON, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (reason == MAP_FAILED)
        return 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* adopts helpers and quiet clients */
    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    return run(peer, atoi(argv[3]));
}
