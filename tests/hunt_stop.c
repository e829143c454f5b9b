/* SPDX-License-Identifier: MIT */
/*
 * A service is stopped in good order by another thread and started again, over and over, while a client sends one-way
 * messages: each queued message arrives once and in order, since the callback runs for every message taken.
 *
 *   client   --1, 2, 3, ...-->
 *   service  takes some | invalidated by another thread | started, takes the rest
 */
#include "harness.h"

#include <pthread.h>
#include <unistd.h>

static const char NAME[] = "hunt.stop";

enum { NOTE = 1, ASK };
enum { LAST, OUT_OF_ORDER, STARTS, OVER }; /* words */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LMServiceRef current;
static LMConnection connection = {MACH_PORT_NULL, "hunt.stop"};

static void note(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    uint32_t number;
    (void)port, (void)size, (void)info;
    if (message->head.msgh_id == ASK) {
        LMSendReply(message->head.msgh_remote_port, NULL, 0);
        return;
    }
    memcpy(&number, LMMessageGetData(message), sizeof number);
    if (number != th_get(LAST) + 1)
        th_add(OUT_OF_ORDER);
    th_set(LAST, number);
}

static LMServiceRef exchange(LMServiceRef fresh)
{
    pthread_mutex_lock(&lock);
    LMServiceRef old = current;
    current = fresh;
    pthread_mutex_unlock(&lock);
    return old;
}

static void *stop_again_and_again(void *unused)
{
    uint64_t random = th_seed(1);
    while (!th_get(OVER)) {
        usleep((useconds_t)th_random_in(&random, 100, 3000));
        LMServiceRef service = exchange(NULL);
        if (!service)
            continue;
        LMServiceInvalidate(service);
        CFRelease(service);
    }
    return unused;
}

static void serve_again_and_again(const struct th_service *me)
{
    pthread_t thread;
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    (void)me;
    assert_int_equal(pthread_create(&thread, NULL, stop_again_and_again, NULL), 0);
    th_ready();
    for (;;) {
        LMServiceRef service;
        if (LMStartServiceWithOptions(NAME, loop, (CFMachPortCallBack)note, NULL, NULL, &service) != 0)
            continue; /* the old one is being taken down */
        th_add(STARTS);
        CFRetain(service);
        exchange(service);
        while (CFMachPortIsValid(service))
            CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0.2, false);
        CFRelease(service);
    }
}

/* Messages left by a service that was stopped go to its successor with the next call. */
static bool has_arrived(void *sent)
{
    LMResponseBuffer response;
    (void)LMConnectionSendTwoWayWithTimeout(&connection, ASK, NULL, 0, 1000, &response);
    LMResponseBufferFree(&response);
    return th_get(LAST) >= *(uint32_t *)sent;
}

static void what_was_queued_arrives_once_and_in_order(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_again_and_again});
    uint32_t sent = 0, starts = th_hunt(500, 10000);
    while (th_get(STARTS) < starts) {
        uint32_t number = sent + 1;
        kern_return_t status = LMConnectionSendOneWayWithTimeout(&connection, NOTE, &number, sizeof number, 1000);
        assert_true(status == 0 || status == BOOTSTRAP_UNKNOWN_SERVICE || status == MACH_SEND_INVALID_DEST);
        sent += status == 0;
    }
    th_set(OVER, 1);
    th_wait_until(has_arrived, &sent);
    th_report("stop: %u sent, the last is %u, %u out of order, %u starts", sent, th_get(LAST), th_get(OUT_OF_ORDER),
              th_get(STARTS));
    assert_int_equal(th_get(LAST), sent);
    assert_int_equal(th_get(OUT_OF_ORDER), 0);
    th_kill(service);
    th_close(&connection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(what_was_queued_arrives_once_and_in_order, 50),
    };
    return TH_HUNT_MAIN(tests);
}
