/* SPDX-License-Identifier: MIT */
/* Observers are told the current state once, and then each death and each return, and nothing else. */
#include "harness.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static const char NAME[] = "test.observed";

/* The events as a string: + available, - gone. */
static char told[100];

static void note(LMObserverRef observer, const char *name, bool is_there, void *info)
{
    (void)observer;
    assert_string_equal(name, NAME);
    assert_ptr_equal(info, told);
    told[strlen(told)] = is_there ? '+' : '-';
}

static LMObserverRef observe(void)
{
    LMConnection connection = th_connection(NAME);
    LMObserverRef observer = NULL;
    assert_int_equal(LMConnectionObserve(&connection, CFRunLoopGetCurrent(), note, told, &observer), 0);
    th_expect_more_descriptors(2); /* the loop's */
    return observer;
}

static void end(LMObserverRef observer)
{
    LMConnection connection = th_connection(NAME);
    mach_port_t port = MACH_PORT_NULL;
    LMObserverInvalidate(observer);
    LMObserverInvalidate(observer);
    CFRelease(observer);
    if (rocketbootstrap_look_up(MACH_PORT_NULL, NAME, &port) == 0)
        connection.serverPort = port;
    th_close(&connection);
}

/* Runs the loop until the events are these. */
static void expect(const char *what)
{
    uint64_t limit = th_hung_at();
    while (strlen(told) < strlen(what) && th_now_ms() < limit)
        CFRunLoopRunInMode(kCFRunLoopDefaultMode, 1, true);
    assert_string_equal(told, what);
}

static void expect_nothing_more(const char *what)
{
    CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0.1, false);
    assert_string_equal(told, what);
}

/*
 * Intent: each death and each return is reported.
 *   client          service
 *   observes        there: +
 *                   killed: -
 *                   restarted: +
 *                   stops in good order: -
 */
static void deaths_and_returns_are_told(void)
{
    pid_t service = th_serve(NAME, th_echo);
    LMObserverRef observer = observe();
    expect("+");
    th_kill(service);
    expect("+-");
    service = th_serve(NAME, th_echo);
    expect("+-+");
    th_stop(service);
    expect("+-+-");
    expect_nothing_more("+-+-");
    end(observer);
    th_expect_more_descriptors(3); /* the loop's, and that of the dead channel, until the name is next used */
}

/*
 * Intent: before any service has run, no folder exists to be watched; the first start is still reported.
 *   client          service
 *   observes: -
 *                   starts, and makes the folders: +
 */
static void the_first_start_is_told(void)
{
    LMObserverRef observer = observe();
    expect("-");
    pid_t service = th_serve(NAME, th_echo);
    expect("-+");
    end(observer);
    th_stop(service);
}

/*
 * Intent: other names, one-way messages and calls are not reported.
 *   client          service           another
 *   observes: +
 *   calls ------>
 *                                     starts and stops
 */
static void nothing_else_is_told(void)
{
    pid_t service = th_serve(NAME, th_echo);
    LMObserverRef observer = observe();
    LMConnection connection = th_connection(NAME);
    expect("+");
    for (int i = 0; i < 100; i++)
        th_check_echo(&connection);
    th_stop(th_serve("test.another", th_echo));
    expect_nothing_more("+");
    th_check_echo(&connection);
    end(observer);
    th_stop(service);
}

/*
 * Intent: a restart between two polls of the loop is still reported as a death and a return.
 *   client              service
 *   observes: +
 *   (not in its loop)   killed, restarted
 *   in its loop: - +
 */
static void a_quick_restart_is_told_as_both(void)
{
    pid_t service = th_serve(NAME, th_echo);
    LMObserverRef observer = observe();
    LMConnection connection = th_connection(NAME);
    expect("+");
    th_kill(service);
    service = th_serve(NAME, th_echo);
    th_check_echo(&connection);
    expect("+-+");
    end(observer);
    th_stop(service);
}

/*
 * Intent: several observers of one service, and calls beside them, get their own events and answers.
 *   client                      service
 *   observes, 3 times: + + +
 *                               killed: - - -
 */
static void many_may_observe(void)
{
    pid_t service = th_serve(NAME, th_echo);
    LMObserverRef observers[3] = {observe(), observe(), observe()};
    expect("+++");
    LMObserverInvalidate(observers[1]);
    th_kill(service);
    expect("+++--");
    expect_nothing_more("+++--");
    for (int i = 0; i < 3; i++)
        end(observers[i]);
    th_expect_more_descriptors(3);
}

static void invalidate_at_once(LMObserverRef observer, const char *name, bool is_there, void *info)
{
    (void)name, (void)is_there;
    ++*(int *)info;
    LMObserverInvalidate(observer);
}

/* Intent: an observer may end itself in its callback; the loop then has nothing left to run for. */
static void an_observer_may_end_itself(void)
{
    pid_t service = th_serve(NAME, th_echo);
    LMConnection connection = th_connection(NAME);
    LMObserverRef observer;
    int calls = 0;
    assert_int_equal(LMConnectionObserve(&connection, CFRunLoopGetCurrent(), invalidate_at_once, &calls, &observer), 0);
    th_expect_more_descriptors(2);
    CFRunLoopRun();
    assert_int_equal(calls, 1);
    end(observer);
    th_stop(service);
}

/* Intent: invalid arguments are errors, and leave nothing behind. */
static void senseless_observers_are_errors(void)
{
    LMConnection connection = th_connection(NAME), nameless = th_connection("");
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    LMObserverRef observer = (LMObserverRef)(uintptr_t)1;
    assert_int_equal(LMConnectionObserve(NULL, loop, note, NULL, &observer), KERN_INVALID_ARGUMENT);
    assert_null(observer);
    assert_int_equal(LMConnectionObserve(&nameless, loop, note, NULL, &observer), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionObserve(&connection, NULL, note, NULL, &observer), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionObserve(&connection, loop, NULL, NULL, &observer), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionObserve(&connection, loop, note, NULL, NULL), KERN_INVALID_ARGUMENT);
    LMObserverInvalidate(NULL);
    CFRunLoopRun();
}

static bool admit_nobody(const LMSender *sender, void *info)
{
    (void)sender, (void)info;
    return false;
}

static void serve_nobody(const struct th_service *me)
{
    static const LMServiceOptions options = {.policy = admit_nobody};
    (void)me;
    assert_int_equal(
        LMStartServiceWithOptions(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)th_echo, NULL, &options, NULL), 0);
    th_ready();
    th_serve_until_stopped();
}

/*
 * Intent: a service that refuses the client counts as gone, and is not asked again in quick succession; the next one
 * may accept.
 *   client          service
 *   observes        refuses: -
 *                   another, which does not: +
 */
static void a_service_that_refuses_is_away(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_nobody});
    LMObserverRef observer = observe();
    expect("-");
    expect_nothing_more("-");
    th_stop(service);
    service = th_serve(NAME, th_echo);
    expect("-+");
    end(observer);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(deaths_and_returns_are_told),
        TH_TEST(the_first_start_is_told),
        TH_TEST(nothing_else_is_told),
        TH_TEST(a_quick_restart_is_told_as_both),
        TH_TEST(many_may_observe),
        TH_TEST(an_observer_may_end_itself),
        TH_TEST(senseless_observers_are_errors),
        TH_TEST(a_service_that_refuses_is_away),
    };
    return TH_MAIN(tests);
}
