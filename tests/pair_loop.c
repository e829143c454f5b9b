/* SPDX-License-Identifier: MIT */
/* Run loops: several services and timers on one, stopping and running again, loops of other threads, services that call
 * services. */
#include "harness.h"

#include <pthread.h>
#include <unistd.h>

enum { STOP = 1, TICKS, ASK_OTHER, ASK_NAME, INVALIDATE, IS_DONE, ECHO = 100 };

static int ticks, is_done;
static CFRunLoopTimerRef timer;

static void tick(CFRunLoopTimerRef fired, void *info)
{
    assert_ptr_equal(fired, timer);
    assert_ptr_equal(info, &ticks);
    ticks++;
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    static LMConnection other = {MACH_PORT_NULL, "loop.other"};
    mach_port_t reply = message->head.msgh_remote_port;
    switch (message->head.msgh_id) {
    case STOP:
        CFRunLoopStop(CFRunLoopGetCurrent());
        LMSendReply(reply, NULL, 0);
        break;
    case TICKS:
        LMSendIntegerReply(reply, ticks);
        break;
    case ASK_OTHER:
        LMSendIntegerReply(reply, th_ask(&other, TH_PROCESS_ID));
        break;
    case ASK_NAME:
        LMSendReply(reply, info, (uint32_t)strlen(info) + 1);
        break;
    case IS_DONE:
        LMSendIntegerReply(reply, __atomic_load_n(&is_done, __ATOMIC_ACQUIRE));
        break;
    case INVALIDATE:
        LMSendReply(reply, NULL, 0);
        CFMachPortInvalidate(port);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

static void start(const char *name)
{
    assert_int_equal(
        LMStartServiceWithUserInfo(name, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer, (void *)(uintptr_t)name),
        0);
}

static void call_empty(const char *name, SInt32 id)
{
    LMConnection connection = th_connection(name);
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(&connection, id, NULL, 0, &buffer), 0);
    LMResponseBufferFree(&buffer);
    th_close(&connection);
}

static void serve_three(const struct th_service *me)
{
    (void)me;
    start("loop.a");
    start("loop.b");
    start("loop.c");
    th_ready();
    th_serve_until_stopped();
}

/*
 * Intent: the services of one loop get their own messages.
 *   client             one process
 *   call ----------->  service a: its own info
 *   call ----------->  service b: its own info
 *   call ----------->  service c: its own info
 */
static void one_loop_serves_several_services(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_three});
    const char *names[] = {"loop.a", "loop.b", "loop.c"};
    unsigned rounds = th_rounds(300);
    for (unsigned i = 0; i < rounds; i++) {
        LMConnection connection = th_connection(names[i % 3]);
        LMResponseBuffer buffer;
        assert_int_equal(LMConnectionSendTwoWay(&connection, ASK_NAME, NULL, 0, &buffer), 0);
        assert_string_equal(LMMessageGetData(&buffer.message), names[i % 3]);
        LMResponseBufferFree(&buffer);
        if (i + 3 >= rounds)
            th_close(&connection);
    }
    th_stop(service);
}

static void serve_with_timer(const struct th_service *me)
{
    (void)me;
    CFRunLoopTimerContext context = {.info = &ticks};
    timer = CFRunLoopTimerCreate(kCFAllocatorDefault, CFAbsoluteTimeGetCurrent() + 0.01, 0.01, 0, 0, tick, &context);
    assert_non_null(timer);
    CFRunLoopAddTimer(CFRunLoopGetCurrent(), timer, kCFRunLoopCommonModes);
    start("loop.timer");
    th_ready();
    th_serve_until_stopped();
    CFRunLoopTimerInvalidate(timer);
    CFRunLoopTimerInvalidate(timer);
    assert_false(CFRunLoopTimerIsValid(timer));
    int before = ticks;
    CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0.05, false);
    assert_int_equal(ticks, before);
    CFRelease(timer);
}

static bool has_ticked(void *connection)
{
    return th_ask(connection, TICKS) >= 5;
}

/*
 * Intent: a loop serves a timer and a service.
 *   client             service            its timer
 *   ticks? --------->                     tick, tick
 *   <-------------- 2                     ...
 *   until there were 5
 */
static void a_timer_fires_beside_a_service(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_with_timer});
    LMConnection connection = th_connection("loop.timer");
    th_wait_until(has_ticked, &connection);
    th_close(&connection);
    th_stop(service);
}

static void serve_in_rounds(const struct th_service *me)
{
    (void)me;
    start("loop.rounds");
    th_ready();
    for (int i = 0; i < 3; i++)
        CFRunLoopRun();
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 30, false), kCFRunLoopRunStopped);
    exit(0);
}

/*
 * Intent: a loop that was stopped from a callback can run again, and the message that stopped it is answered.
 *   client             service
 *                      runs
 *   call ----------->  stops the loop
 *   <--------- answer  runs again; four times
 */
static void a_stopped_loop_runs_again(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_in_rounds});
    for (int i = 0; i < 3; i++) {
        call_empty("loop.rounds", ECHO);
        call_empty("loop.rounds", STOP);
    }
    call_empty("loop.rounds", STOP);
    assert_int_equal(th_reap(service), 0);
}

static void check_results(const struct th_service *me)
{
    (void)me;
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 30, false),
                     kCFRunLoopRunFinished); /* nothing to run for */
    CFRunLoopRun();
    start("loop.results");
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0, false), kCFRunLoopRunTimedOut);
    uint64_t begin = th_now_ms();
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0.1, false), kCFRunLoopRunTimedOut);
    assert_true(th_now_ms() - begin >= 99);
    th_ready();
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 30, true), kCFRunLoopRunHandledSource);
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 30, true), kCFRunLoopRunHandledSource);
    exit(0);
}

/*
 * Intent: CFRunLoopRunInMode's four results; the fourth, stopped, is above.
 *   client             service
 *                      nothing to serve: finished
 *                      a service, nobody calls: timed out
 *   call ----------->  handled
 *   one way -------->  handled
 */
static void a_limited_run_tells_why_it_ended(void)
{
    pid_t service = th_start(&(struct th_service){.program = check_results});
    call_empty("loop.results", ECHO);
    LMConnection connection = th_connection("loop.results");
    assert_int_equal(LMConnectionSendEmptyOneWay(&connection, ECHO), 0);
    assert_int_equal(th_reap(service), 0);
    th_close(&connection);
}

static void ring_once(CFRunLoopTimerRef fired, void *info)
{
    (void)fired;
    ++*(int *)info;
}

static int retained, released;

static const void *count_retain(const void *info)
{
    retained++;
    return info;
}

static void count_release(const void *info)
{
    (void)info;
    released++;
}

static void *fire_once(void *argument)
{
    int *fired = argument;
    CFRunLoopTimerContext context = {.info = fired, .retain = count_retain, .release = count_release};
    CFRunLoopTimerRef once =
        CFRunLoopTimerCreate(NULL, CFAbsoluteTimeGetCurrent() + 0.02, 0, 0, 0, ring_once, &context);
    CFRunLoopAddTimer(CFRunLoopGetCurrent(), once, kCFRunLoopDefaultMode);
    CFRunLoopAddTimer(CFRunLoopGetCurrent(), once, kCFRunLoopDefaultMode);
    CFRunLoopRun();
    assert_int_equal(*fired, 1);
    assert_false(CFRunLoopTimerIsValid(once));
    CFRelease(once);
    return NULL;
}

/* Intent: a timer without an interval fires once and is then invalid. Its loop has nothing left to run for and ends
 * with its thread. */
static void a_timer_may_fire_once(void)
{
    int fired = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fire_once, &fired), 0);
    pthread_join(thread, NULL);
    assert_int_equal(retained, 1);
    assert_int_equal(released, 1);
}

static void readd(CFRunLoopTimerRef fired, void *info)
{
    int *count = info;
    CFRunLoopRemoveTimer(CFRunLoopGetCurrent(), fired, kCFRunLoopCommonModes);
    if (++*count < 5)
        CFRunLoopAddTimer(CFRunLoopGetCurrent(), fired, kCFRunLoopCommonModes);
}

static void *run_moved_timer(void *count)
{
    CFRunLoopTimerContext context = {.info = count};
    CFRunLoopTimerRef moved =
        CFRunLoopTimerCreate(kCFAllocatorDefault, CFAbsoluteTimeGetCurrent(), 0.001, 0, 0, readd, &context);
    assert_non_null(moved);
    CFRunLoopAddTimer(CFRunLoopGetCurrent(), moved, kCFRunLoopCommonModes);
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 30, false), kCFRunLoopRunFinished);
    assert_true(CFRunLoopTimerIsValid(moved));
    CFRunLoopTimerInvalidate(moved);
    CFRelease(moved);
    return NULL;
}

/* Intent: a timer's callback may remove the timer from its loop and add it again: it continues until it stays
 * removed. */
static void a_timer_may_move_itself(void)
{
    int count = 0;
    pthread_t thread; /* its loop, with the descriptors, ends with it */
    assert_int_equal(pthread_create(&thread, NULL, run_moved_timer, &count), 0);
    pthread_join(thread, NULL);
    assert_int_equal(count, 5);
}

struct juggler {
    CFRunLoopRef loop;
    CFRunLoopSourceRef source;
};

static void *juggle(void *argument)
{
    struct juggler *juggler = argument;
    for (int i = 0; i < 2000; i++) {
        CFRunLoopRemoveSource(juggler->loop, juggler->source, kCFRunLoopCommonModes);
        CFRunLoopAddSource(juggler->loop, juggler->source, kCFRunLoopCommonModes);
    }
    return NULL;
}

static void keep_awake(CFRunLoopTimerRef fired, void *info)
{
    (void)fired, (void)info;
}

static void serve_while_juggled(const struct th_service *me)
{
    pthread_t thread;
    mach_port_t bootstrap;
    (void)me;
    CFMachPortRef port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)(void (*)(void))answer, NULL, NULL);
    struct juggler juggler = {CFRunLoopGetCurrent(), CFMachPortCreateRunLoopSource(kCFAllocatorDefault, port, 0)};
    CFRunLoopTimerRef awake = CFRunLoopTimerCreate(kCFAllocatorDefault, 0, 0.01, 0, 0, keep_awake, NULL);
    CFRunLoopAddTimer(juggler.loop, awake, kCFRunLoopCommonModes); /* the loop runs while the source is off it */
    task_get_bootstrap_port(mach_task_self(), &bootstrap);
    assert_int_equal(rocketbootstrap_register(bootstrap, "loop.juggled", CFMachPortGetPort(port)), 0);
    CFRunLoopAddSource(juggler.loop, juggler.source, kCFRunLoopCommonModes);
    assert_int_equal(pthread_create(&thread, NULL, juggle, &juggler), 0);
    th_ready();
    CFRunLoopRun();
    pthread_join(thread, NULL);
    exit(0);
}

/*
 * Intent: a source that another thread removes from its loop and adds again loses nothing.
 *   client             loop                thread
 *   connects, call ->                      off
 *                                          on
 *   <--------- answer  answers             off
 *   closes                                 on ...
 */
static void a_source_may_be_moved_by_another_thread(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_while_juggled});
    for (int i = 0; i < 200; i++) {
        LMConnection connection = th_connection("loop.juggled");
        LMResponseBuffer buffer;
        assert_int_equal(LMConnectionSendTwoWay(&connection, ECHO, &i, sizeof i, &buffer), 0);
        assert_int_equal(LMResponseConsumeInteger(&buffer), i);
        th_close(&connection);
    }
    call_empty("loop.juggled", STOP);
    assert_int_equal(th_reap(service), 0);
}

struct worker {
    CFRunLoopRef loop;
    const char *name;
    pthread_t thread;
    pthread_barrier_t started;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    worker->loop = CFRunLoopGetCurrent();
    start(worker->name);
    pthread_barrier_wait(&worker->started);
    CFRunLoopRun();
    return NULL;
}

static void start_worker(struct worker *worker, const char *name)
{
    worker->name = name;
    pthread_barrier_init(&worker->started, NULL, 2);
    assert_int_equal(pthread_create(&worker->thread, NULL, work, worker), 0);
    pthread_barrier_wait(&worker->started);
}

static void serve_on_thread(const struct th_service *me)
{
    (void)me;
    static struct worker worker;
    start_worker(&worker, "loop.thread");
    th_ready();
    th_serve_until_stopped();
    CFRunLoopStop(worker.loop);
    pthread_join(worker.thread, NULL);
}

/*
 * Intent: a service on another thread's loop, which is stopped from outside.
 *   client             thread              first thread
 *   call ----------->  answers
 *                      ends  <-----------  stops its loop
 */
static void a_thread_serves_its_own_loop(void)
{
    pid_t service = th_start(&(struct th_service){.program = serve_on_thread});
    LMConnection connection = th_connection("loop.thread");
    for (int i = 0; i < 20; i++)
        th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

static void add_to_other_loop(const struct th_service *me)
{
    (void)me;
    static struct worker worker;
    start_worker(&worker, "loop.first");
    th_await_others_asleep(1);
    assert_int_equal(LMStartService("loop.added", worker.loop, (CFMachPortCallBack)answer), 0);
    th_ready();
    th_serve_until_stopped();
    CFRunLoopStop(worker.loop);
    pthread_join(worker.thread, NULL);
}

/*
 * Intent: a service started on the loop of a thread that sleeps in it is served at once.
 *   client             first thread             thread
 *                                               sleeps in its loop
 *                      starts a service on it
 *   call ------------------------------------>  answers
 */
static void a_service_can_be_added_to_a_sleeping_loop(void)
{
    pid_t service = th_start(&(struct th_service){.program = add_to_other_loop});
    LMConnection connection = th_connection("loop.added");
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a service may call another one from inside its callback.
 *   client             service            another service
 *   call ----------->  call ----------->
 *   <- the same pid    <--------- its pid
 */
static void a_service_may_call_another(void)
{
    pid_t other = th_serve("loop.other", answer);
    pid_t service = th_serve("loop.a", answer);
    LMConnection connection = th_connection("loop.a");
    for (int i = 0; i < 20; i++)
        assert_int_equal(th_ask(&connection, ASK_OTHER), other);
    th_close(&connection);
    th_stop(service);
    th_stop(other);
}

/*
 * Intent: one process is client and server.
 *   first thread           thread
 *   calls, small, large -> answers
 *   call ----------------> invalidates its service; its loop ends
 */
static void a_process_may_call_itself(void)
{
    struct worker worker;
    start_worker(&worker, "loop.self");
    LMConnection connection = th_connection("loop.self");
    for (unsigned i = 0; i < th_rounds(1000); i++)
        th_check_echo(&connection);
    assert_int_equal(th_ask(&connection, TH_PROCESS_ID), getpid());
    static uint8_t large[3000000];
    LMResponseBuffer buffer;
    th_fill(large, sizeof large, 1);
    assert_int_equal(LMConnectionSendTwoWay(&connection, ECHO, large, sizeof large, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), sizeof large);
    assert_true(th_is_filled(LMMessageGetData(&buffer.message), sizeof large, 1));
    LMResponseBufferFree(&buffer);
    assert_int_equal(LMConnectionSendTwoWay(&connection, INVALIDATE, NULL, 0, &buffer), 0);
    LMResponseBufferFree(&buffer);
    pthread_join(worker.thread, NULL);
    th_close(&connection);
}

static void be_peer(const struct th_service *me)
{
    static struct worker worker;
    const char *mine = me->info, *theirs = strcmp(mine, "peer.a") == 0 ? "peer.b" : "peer.a";
    start_worker(&worker, mine);
    th_ready();
    LMConnection connection = th_connection(theirs);
    LMResponseBuffer buffer;
    while (LMConnectionSendTwoWay(&connection, ECHO, NULL, 0, &buffer) == BOOTSTRAP_UNKNOWN_SERVICE)
        th_sleep_ms(2);
    for (unsigned i = 0; i < th_rounds(2000); i++)
        th_check_echo(&connection);
    __atomic_store_n(&is_done, 1, __ATOMIC_RELEASE); /* both must be created before either ends */
    th_serve_until_stopped();
    CFRunLoopStop(worker.loop);
    pthread_join(worker.thread, NULL);
}

static bool peer_is_done(void *connection)
{
    return th_ask(connection, IS_DONE) == 1;
}

/*
 * Intent: two services call each other's process, each a client of its peer, at the same time.
 *   process a          process b
 *   calls ---------->  answers
 *   answers  <-------  calls
 */
static void processes_may_be_mutual_peers(void)
{
    static char a_name[] = "peer.a", b_name[] = "peer.b";
    pid_t a = th_start(&(struct th_service){.program = be_peer, .info = a_name});
    pid_t b = th_start(&(struct th_service){.program = be_peer, .info = b_name});
    LMConnection to_a = th_connection(a_name), to_b = th_connection(b_name);
    th_wait_until(peer_is_done, &to_a);
    th_wait_until(peer_is_done, &to_b);
    th_close(&to_a);
    th_close(&to_b);
    th_stop(a);
    th_stop(b);
}

enum { SLOW = 7 };
enum { IS_BUSY, IS_FREE }; /* words */

static void answer_slowly(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    if (message->head.msgh_id == SLOW) {
        th_add(IS_BUSY);
        th_await(IS_FREE, 1);
    } else {
        th_echo(port, message, size, info);
    }
}

/*
 * Intent: messages sent to a service that is busy for long do not use up the bells that wake it.
 *   client                            service
 *   one way ----------------------->  busy
 *   400 x one way, 12 ms apart ---->  (each finds no progress, and may ring)
 *   lets it go on
 *   call -------------------------->  drains, answers, sleeps
 *   call -------------------------->  answers
 */
static void a_busy_service_can_be_woken_afterwards(void)
{
    pid_t service = th_serve("loop.busy", answer_slowly);
    LMConnection connection = th_connection("loop.busy");
    th_check_echo(&connection);
    assert_int_equal(LMConnectionSendEmptyOneWay(&connection, SLOW), 0);
    th_await(IS_BUSY, 1);
    for (int i = 0; i < 400; i++, th_sleep_ms(12))
        assert_int_equal(LMConnectionSendOneWay(&connection, ECHO, "x", 1), 0);
    th_set(IS_FREE, 1);
    th_check_echo(&connection);
    th_await_sleep(service);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

static void *stop_main(void *argument)
{
    th_await_others_asleep(1);
    CFRunLoopStop((CFRunLoopRef)argument);
    return NULL;
}

static void be_stopped_from_a_thread(const struct th_service *me)
{
    (void)me;
    pthread_t thread;
    start("loop.stopped");
    assert_ptr_equal(CFRunLoopGetCurrent(), CFRunLoopGetMain());
    assert_int_equal(pthread_create(&thread, NULL, stop_main, CFRunLoopGetMain()), 0);
    CFRunLoopRun();
    pthread_join(thread, NULL);
    th_ready();
}

/* Intent: the main loop belongs to the first thread, and another thread can stop it while it sleeps. */
static void a_sleeping_loop_can_be_stopped(void)
{
    assert_int_equal(th_reap(th_start(&(struct th_service){.program = be_stopped_from_a_thread})), 0);
}

struct stopper {
    int fired;
    bool stops;
};

static void fire_and_stop(CFRunLoopTimerRef fired, void *info)
{
    struct stopper *stopper = info;
    (void)fired;
    stopper->fired++;
    if (stopper->stops)
        CFRunLoopStop(CFRunLoopGetCurrent());
}

static CFRunLoopTimerRef make_stopper(struct stopper *stopper, CFTimeInterval interval)
{
    CFRunLoopTimerContext context = {.info = stopper};
    CFRunLoopTimerRef made =
        CFRunLoopTimerCreate(NULL, CFAbsoluteTimeGetCurrent(), interval, 0, 0, fire_and_stop, &context);
    assert_non_null(made);
    CFRunLoopAddTimer(CFRunLoopGetCurrent(), made, kCFRunLoopCommonModes);
    return made;
}

static void *stop_by_timers(void *argument)
{
    struct stopper often = {0, true}, once = {0, false};
    CFRunLoopTimerRef first = make_stopper(&often, 0.001);
    (void)argument;
    for (int run = 1; run <= 5; run++) {
        assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 30, false), kCFRunLoopRunStopped);
        assert_int_equal(often.fired, run); /* set again although the loop was stopped */
        assert_true(CFRunLoopTimerIsValid(first));
    }
    CFRunLoopTimerRef second = make_stopper(&once, 0); /* added while the loop is stopped */
    while (once.fired == 0)
        assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 30, false), kCFRunLoopRunStopped);
    CFRunLoopRemoveTimer(CFRunLoopGetCurrent(), first, kCFRunLoopCommonModes);
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 30, false), kCFRunLoopRunFinished);
    int fired = often.fired;
    CFRunLoopAddTimer(CFRunLoopGetCurrent(), first, kCFRunLoopCommonModes);
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 30, false), kCFRunLoopRunStopped);
    assert_int_equal(often.fired, fired + 1);
    assert_int_equal(once.fired, 1);
    CFRunLoopTimerInvalidate(first);
    CFRelease(first);
    CFRelease(second);
    return NULL;
}

/*
 * Intent: a timer continues in the next run of a loop that was stopped, even by the timer itself.
 *   loop              timer A                  timer B
 *   run ----------->  fires, stops the loop
 *   run ----------->  fires, stops the loop
 *   ...                                        added in between
 *   run ----------------------------------->   fires once
 *   (A taken off, put on)
 *   run ----------->  fires, stops the loop
 */
static void timers_go_on_after_a_stop(void)
{
    pthread_t thread; /* its loop, with the descriptors, ends with it */
    assert_int_equal(pthread_create(&thread, NULL, stop_by_timers, NULL), 0);
    pthread_join(thread, NULL);
}

struct race {
    CFRunLoopRef loop;
    CFMachPortRef port;
    CFRunLoopSourceRef source;
    pthread_barrier_t running, start, end;
    uint32_t is_over;
};

static void *remove_source(void *argument)
{
    struct race *race = argument;
    for (;;) {
        pthread_barrier_wait(&race->start);
        if (race->is_over)
            return NULL;
        CFRunLoopRemoveSource(race->loop, race->source, kCFRunLoopCommonModes);
        CFRunLoopAddSource(race->loop, race->source, kCFRunLoopCommonModes);
        CFRunLoopRemoveSource(race->loop, race->source, kCFRunLoopCommonModes);
        pthread_barrier_wait(&race->end);
    }
}

static void *invalidate_port(void *argument)
{
    struct race *race = argument;
    for (;;) {
        pthread_barrier_wait(&race->start);
        if (race->is_over)
            return NULL;
        CFMachPortInvalidate(race->port);
        assert_false(CFMachPortIsValid(race->port));
        pthread_barrier_wait(&race->end);
    }
}

static void *run_awake(void *argument)
{
    struct race *race = argument;
    CFRunLoopTimerRef awake = CFRunLoopTimerCreate(kCFAllocatorDefault, 0, 0.01, 0, 0, keep_awake, NULL);
    race->loop = CFRunLoopGetCurrent();
    CFRunLoopAddTimer(race->loop, awake, kCFRunLoopCommonModes);
    pthread_barrier_wait(&race->running);
    CFRunLoopRun();
    CFRunLoopTimerInvalidate(awake);
    CFRelease(awake);
    return NULL;
}

/* A service on the loop, with clients that have called it. */
static void serve_for_race(struct race *race)
{
    race->port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)(void (*)(void))answer, NULL, NULL);
    race->source = CFMachPortCreateRunLoopSource(kCFAllocatorDefault, race->port, 0);
    assert_int_equal(rocketbootstrap_register(0, "loop.race", CFMachPortGetPort(race->port)), 0);
    CFRunLoopAddSource(race->loop, race->source, kCFRunLoopCommonModes);
}

static void run_race(struct race *race)
{
    LMConnection connection = th_connection("loop.race");
    for (unsigned i = 0; i < th_rounds(1000); i++) {
        serve_for_race(race);
        th_check_echo(&connection);
        LMConnectionSendOneWay(&connection, ECHO, "under way", 9);
        pthread_barrier_wait(&race->start);
        pthread_barrier_wait(&race->end);
        CFRelease(race->source);
        CFRelease(race->port);
    }
    race->is_over = 1;
    pthread_barrier_wait(&race->start);
    serve_for_race(race); /* once more, for the last message under way, which would otherwise be kept */
    th_check_echo(&connection);
    th_close(&connection);
    CFMachPortInvalidate(race->port);
    CFRelease(race->source);
    CFRelease(race->port);
}

/*
 * Intent: a service may be invalidated while another thread takes its source off the loop, which runs on.
 *   client             loop                thread A                thread B
 *   call ----------->  answers
 *   1 -------------->                      removes, adds, removes  invalidates
 *   and again with the next service of the same name
 */
static void removing_a_source_races_with_invalidating(void)
{
    struct race race = {0};
    pthread_t loop, remover, invalidator;
    pthread_barrier_init(&race.running, NULL, 2);
    pthread_barrier_init(&race.start, NULL, 3);
    pthread_barrier_init(&race.end, NULL, 3);
    assert_int_equal(pthread_create(&loop, NULL, run_awake, &race), 0);
    pthread_barrier_wait(&race.running);
    assert_int_equal(pthread_create(&remover, NULL, remove_source, &race), 0);
    assert_int_equal(pthread_create(&invalidator, NULL, invalidate_port, &race), 0);
    run_race(&race);
    pthread_join(remover, NULL);
    pthread_join(invalidator, NULL);
    CFRunLoopStop(race.loop);
    pthread_join(loop, NULL);
}

/* --- A callback runs the loop --- */

enum { WAIT_FOR_SECOND = 20, SECOND };
enum { WAITING, SECONDS }; /* words */

static void wait_within(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    if (message->head.msgh_id == SECOND)
        th_add(SECONDS);
    if (message->head.msgh_id != WAIT_FOR_SECOND) {
        th_echo(port, message, size, info);
        return;
    }
    uint32_t before = th_get(SECONDS);
    th_add(WAITING);
    while (th_get(SECONDS) == before)
        CFRunLoopRunInMode(kCFRunLoopDefaultMode, 20, true);
    LMSendIntegerReply(message->head.msgh_remote_port, (int)(th_get(SECONDS) - before));
}

static void *call_and_wait(void *connection)
{
    return (void *)(intptr_t)th_ask(connection, WAIT_FOR_SECOND);
}

/*
 * Intent: a callback that runs its loop is called for further messages of the same client.
 *   thread A --call------> callback runs the loop
 *   thread B --one way---> callback within it
 *   A: answered
 */
static void a_callback_that_runs_the_loop_hears_its_client(void)
{
    pid_t service = th_serve("loop.within", wait_within);
    LMConnection connection = th_connection("loop.within");
    th_check_echo(&connection);
    for (uint32_t i = 1; i <= 20; i++) {
        pthread_t thread;
        void *seconds;
        assert_int_equal(pthread_create(&thread, NULL, call_and_wait, &connection), 0);
        th_await(WAITING, i);
        if (i % 2)
            th_await_sleep(service); /* in the loop */
        assert_int_equal(LMConnectionSendOneWay(&connection, SECOND, NULL, 0), 0);
        pthread_join(thread, &seconds);
        assert_int_equal((intptr_t)seconds, 1);
    }
    th_close(&connection);
    th_stop(service);
}

static void *send_large_second(void *connection)
{
    static const uint8_t large[100000];
    return (void *)(intptr_t)LMConnectionSendOneWay(connection, SECOND, large, sizeof large);
}

/*
 * Intent: the same when the second message waits for the service's welcome, in the turn that sends it.
 *   service stopped
 *   thread A --first call--> connects
 *   thread B --large-------> waits to be welcome
 *   service goes on: A's callback runs the loop, B's message comes within it
 */
static void a_first_callback_that_runs_the_loop_welcomes_its_client(void)
{
    pid_t service = th_serve("loop.within", wait_within);
    LMConnection connection = th_connection("loop.within");
    pthread_t first, second;
    void *seconds, *status;
    th_pause(service);
    assert_int_equal(pthread_create(&first, NULL, call_and_wait, &connection), 0);
    th_await_others_asleep(1);
    assert_int_equal(pthread_create(&second, NULL, send_large_second, &connection), 0);
    th_await_others_asleep(2);
    th_resume(service);
    pthread_join(first, &seconds);
    pthread_join(second, &status);
    assert_int_equal((intptr_t)seconds, 1);
    assert_int_equal((intptr_t)status, 0);
    th_close(&connection);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(one_loop_serves_several_services),
        TH_TEST(a_timer_fires_beside_a_service),
        TH_TEST(a_stopped_loop_runs_again),
        TH_TEST(a_limited_run_tells_why_it_ended),
        TH_TEST(a_timer_may_fire_once),
        TH_TEST(a_timer_may_move_itself),
        TH_TEST(a_source_may_be_moved_by_another_thread),
        TH_TEST(a_thread_serves_its_own_loop),
        TH_TEST(a_service_can_be_added_to_a_sleeping_loop),
        TH_TEST(a_service_may_call_another),
        TH_TEST(a_process_may_call_itself),
        TH_TEST(processes_may_be_mutual_peers),
        TH_TEST(a_busy_service_can_be_woken_afterwards),
        TH_TEST(a_sleeping_loop_can_be_stopped),
        TH_TEST(timers_go_on_after_a_stop),
        TH_TEST(removing_a_source_races_with_invalidating),
        TH_TEST(a_callback_that_runs_the_loop_hears_its_client),
        TH_TEST(a_first_callback_that_runs_the_loop_welcomes_its_client),
    };
    return TH_MAIN(tests);
}
