/* SPDX-License-Identifier: MIT */
/* Two threads of a service at once: one is held at a point between two steps while the other continues. */
int test_before_call(long number);
#define LM_TEST_SYSCALL test_before_call
#include "harness.h"

#include <pthread.h>
#include <sys/syscall.h>

static const char NAME[] = "test.gaps";

enum { JUDGED, IN_GAP, GO_ON, DONE }; /* words */

static LMServiceRef service;
static __thread bool stops;
static __thread unsigned lines; /* lines that this thread has logged */

/* Holds the thread that stops the service when it logs that a session has ended: the session is then out of the lists,
 * and its channel is not cut yet. */
int test_before_call(long number)
{
    if (stops && number == SYS_write && ++lines == 2) {
        th_add(IN_GAP);
        th_await(GO_ON, 1);
    }
    return 0;
}

static void *stop_the_service(void *argument)
{
    (void)argument;
    stops = true;
    th_await(JUDGED, 1);
    LMServiceInvalidate(service);
    return NULL;
}

static bool holds_until_it_stops(const LMSender *sender, void *info)
{
    (void)sender, (void)info;
    th_add(JUDGED);
    th_await(IN_GAP, 1);
    return true;
}

static void serve_and_stop(const struct th_service *me)
{
    static const LMServiceOptions options = {.policy = holds_until_it_stops};
    pthread_t thread;
    (void)me;
    setenv("LM_DEBUG", "1", 1);
    assert_int_equal(
        LMStartServiceWithOptions(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)th_echo, NULL, &options, &service),
        0);
    assert_int_equal(pthread_create(&thread, NULL, stop_the_service, NULL), 0);
    th_ready();
    while (th_get(IN_GAP) == 0)
        CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0.01, false);
    CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0, false); /* the session is accepted, or is not */
    th_add(GO_ON);
    pthread_join(thread, NULL);
    CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0, false);
    assert_true(lm_list_empty(&service->sessions));
    assert_int_equal(service->processes.count, 0);
    assert_int_equal(service->unfinished_count, 0);
    CFRelease(service);
    th_add(DONE);
}

static void send_one(const struct th_service *me)
{
    (void)me;
    LMConnection connection = th_connection(NAME);
    th_ready();
    LMConnectionSendOneWay(&connection, 1, "x", 1);
    th_await(DONE, 1);
}

/*
 * Intent: a client whose hello comes while another thread stops the service is in none of its lists afterwards.
 *   client           loop's thread               another thread
 *   hello ------->   asks the policy
 *                    ...                         stops the service: the session is out of the lists
 *                    lets the client in
 *                                                ends the session
 */
static void a_hello_at_the_end_leaves_nothing_behind(void)
{
    pid_t server = th_start(&(struct th_service){.program = serve_and_stop});
    pid_t client = th_start(&(struct th_service){.program = send_one});
    assert_int_equal(th_reap(client), 0);
    assert_int_equal(th_reap(server), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(a_hello_at_the_end_leaves_nothing_behind),
    };
    return TH_MAIN(tests);
}
