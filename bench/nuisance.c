/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "nuisance.h"
#include "child.h"
#include <LightMessaging/LightMessaging.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum {
    THREADS = 4,
    SETTLE = 20000, /* microseconds until rings are full and calls blocked */
    SMALL = 64,
    LARGE = 65536,
};

static pid_t troublemaker;

static bool start_troublemaker(void (*body)(const void *argument), const void *argument)
{
    troublemaker = child_start(body, argument);
    usleep(SETTLE);
    return troublemaker > 0;
}

static void kill_troublemaker(void)
{
    child_kill(troublemaker);
}

/* --- Nothing, and computing --- */

static bool begin_nothing(void)
{
    return true;
}

static void end_nothing(void)
{
}

static void *burn(void *argument)
{
    for (volatile unsigned i = 0;; i++)
        ;
    return argument;
}

static void burn_in_threads(const void *count)
{
    pthread_t thread;
    for (int i = 1; i < *(const int *)count; i++) {
        if (pthread_create(&thread, NULL, burn, NULL) != 0)
            return;
    }
    child_ready();
    burn(NULL);
}

static bool begin_burner(void)
{
    static const int one = 1;
    return start_troublemaker(burn_in_threads, &one);
}

static bool begin_burners(void)
{
    static const int several = THREADS;
    return start_troublemaker(burn_in_threads, &several);
}

const Nuisance nuisance_none = {begin_nothing, end_nothing};
const Nuisance nuisance_burner = {begin_burner, kill_troublemaker};
const Nuisance nuisance_burners = {begin_burners, kill_troublemaker};

/* --- A stopped service --- */

#define STOPPED_SERVICE "bench.stopped"

static LMConnection stopped = {MACH_PORT_NULL, STOPPED_SERVICE};
static pthread_t blocked[THREADS];
static int blocked_count;

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    (void)LMSendReply(message->head.msgh_remote_port, NULL, 0);
}

static void serve(const void *argument)
{
    (void)argument;
    if (LMStartService(STOPPED_SERVICE, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer) != KERN_SUCCESS)
        return;
    child_ready();
    CFRunLoopRun();
}

static void *call_stopped(void *argument)
{
    LMResponseBuffer response;
    kern_return_t status = LMConnectionSendTwoWay(&stopped, 0, NULL, 0, &response);
    if (status)
        fprintf(stderr, "neighbours: a service that was stopped and goes on: %s\n", mach_error_string(status));
    LMResponseBufferFree(&response);
    return argument;
}

static bool begin_stopped_service(void)
{
    blocked_count = 0;
    if (!start_troublemaker(serve, NULL))
        return false;
    call_stopped(NULL); /* so that it is connected */
    child_stop(troublemaker);
    while (blocked_count < THREADS && pthread_create(&blocked[blocked_count], NULL, call_stopped, NULL) == 0)
        blocked_count++;
    usleep(SETTLE);
    return blocked_count == THREADS;
}

static void end_stopped_service(void)
{
    child_continue(troublemaker);
    for (int i = 0; i < blocked_count; i++)
        pthread_join(blocked[i], NULL);
    kill_troublemaker();
}

const Nuisance nuisance_stopped_service = {begin_stopped_service, end_stopped_service};

/* --- Other clients of the healthy service --- */

static LMConnection healthy = {MACH_PORT_NULL, NEIGHBOUR_SERVICE};

static void flood(const void *length)
{
    static const char message[LARGE];
    child_ready();
    while (LMConnectionSendOneWay(&healthy, NEIGHBOUR_ECHO, message, *(const uint32_t *)length) == KERN_SUCCESS)
        ;
}

static bool begin_flood(void)
{
    static const uint32_t length = SMALL;
    return start_troublemaker(flood, &length);
}

static bool begin_heavy_flood(void)
{
    static const uint32_t length = LARGE;
    return start_troublemaker(flood, &length);
}

static void *ask_for_large_replies(void *argument)
{
    LMResponseBuffer response;
    while (LMConnectionSendTwoWay(&healthy, NEIGHBOUR_LARGE, NULL, 0, &response) == KERN_SUCCESS)
        LMResponseBufferFree(&response);
    return argument;
}

static void ask_in_several_threads(const void *argument)
{
    pthread_t thread;
    (void)argument;
    for (int i = 1; i < THREADS; i++) {
        if (pthread_create(&thread, NULL, ask_for_large_replies, NULL) != 0)
            return;
    }
    child_ready();
    ask_for_large_replies(NULL);
}

static bool begin_large_replies(void)
{
    return start_troublemaker(ask_in_several_threads, NULL);
}

/* Several threads keep some calls under way at all times, whose replies are more than a ring holds. */
static bool begin_stopped_client(void)
{
    if (!begin_large_replies())
        return false;
    child_stop(troublemaker);
    usleep(SETTLE);
    return true;
}

const Nuisance nuisance_flood = {begin_flood, kill_troublemaker};
const Nuisance nuisance_heavy_flood = {begin_heavy_flood, kill_troublemaker};
const Nuisance nuisance_large_replies = {begin_large_replies, kill_troublemaker};
const Nuisance nuisance_stopped_client = {begin_stopped_client, kill_troublemaker};
