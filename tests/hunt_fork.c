/* SPDX-License-Identifier: MIT */
/*
 * Forks in the middle of other threads' calls. All sides continue with the same LMConnection: every answer is right,
 * and the parent is not affected.
 *
 *   parent  A, B, C, D call all the time, E opens and closes a channel to another service; A and B fork now and then
 *   child   calls with the parent's connection; one in four serves a name of its own first, one in five forks again
 *   parent  calls the child's service, waits for the child
 */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "hunt.fork", SECOND_NAME[] = "hunt.fork.second";

enum { CALLERS = 4, FORKERS = 2, GRANDCHILD_CALLS = 50, CHILD_SERVICE_CALLS = 50, NOTE = 1, NOTED };

static LMConnection connection = {MACH_PORT_NULL, "hunt.fork"};

/* Counts over all processes. */
static struct counts {
    uint64_t parent_calls;
    uint64_t child_calls;
    uint64_t calls_to_children;
    uint64_t openings;
    uint32_t forks;
    uint32_t grandchildren;
    uint32_t forkers_left;
} * counts;

static void count(uint64_t *what)
{
    __atomic_add_fetch(what, 1, __ATOMIC_RELAXED);
}

/* --- The service --- */

static uint32_t last_notes[CALLERS];
static uint32_t notes, disorders;

static void note(LMMessage *message)
{
    uint32_t note[2];
    assert_int_equal(LMMessageGetDataLength(message), sizeof note);
    memcpy(note, LMMessageGetData(message), sizeof note);
    assert_true(note[0] < CALLERS);
    disorders += note[1] != last_notes[note[0]] + 1;
    last_notes[note[0]] = note[1];
    notes++;
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    if (message->head.msgh_id == NOTE)
        note(message);
    else if (message->head.msgh_id == NOTED)
        LMSendIntegerReply(message->head.msgh_remote_port, disorders == 0 ? (int)notes : -1);
    else
        th_echo(port, message, size, info);
}

/* --- Calls --- */

static void call_once(LMConnectionRef to, uint64_t *random)
{
    uint8_t bytes[6000]; /* in line and out of line */
    LMResponseBuffer response;
    uint64_t seed = th_random(random);
    uint32_t length = (uint32_t)(seed % 16 == 0 ? seed / 16 % sizeof bytes : seed / 16 % 300);
    th_fill(bytes, length, seed);
    assert_int_equal(LMConnectionSendTwoWay(to, 100, bytes, length, &response), 0);
    assert_int_equal(LMMessageGetDataLength(&response.message), length);
    assert_true(th_is_filled(LMMessageGetData(&response.message), length, seed));
    LMResponseBufferFree(&response);
}

/* --- A child --- */

/* Ends a child without a leak check: memory that other threads held at the fork is lost in the child, and valgrind
 * would report it at any other exit. */
static void end_child(void)
{
    if (th_on_valgrind())
        kill(getpid(), SIGKILL);
    _exit(0);
}

struct child {
    pid_t process;
    int ready; /* readable once the child's service, if it has one, can be called */
    bool serves;
    char name[64];
};

static unsigned served;

static void answer_for_child(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    th_echo(port, message, size, info);
    if (++served == CHILD_SERVICE_CALLS)
        CFMachPortInvalidate(port);
}

static void serve_for_a_while(const char *name, int ready)
{
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    assert_int_equal(LMStartService(name, loop, (CFMachPortCallBack)answer_for_child), 0);
    assert_int_equal(write(ready, "", 1), 1);
    CFRunLoopRun(); /* until the service is invalidated */
}

static void expect_success(pid_t process)
{
    int status;
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_int_equal(status, th_on_valgrind() ? SIGKILL : 0);
}

static void have_grandchild(uint64_t *random)
{
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        for (unsigned i = 0; i < GRANDCHILD_CALLS; i++)
            call_once(&connection, random);
        end_child();
    }
    call_once(&connection, random);
    expect_success(process);
    __atomic_add_fetch(&counts->grandchildren, 1, __ATOMIC_RELAXED);
}

static void be_child(const struct child *child, uint32_t number, int ready)
{
    uint64_t random = th_seed(1000 + number);
    unsigned calls = th_hunt(300, 10000), sockets = th_sockets();
    if (child->serves)
        serve_for_a_while(child->name, ready);
    for (unsigned i = 0; i < calls; i++) {
        call_once(&connection, &random);
        count(&counts->child_calls);
        if (number % 5 == 0 && i == calls / 2)
            have_grandchild(&random);
    }
    th_close(&connection);
    assert_int_equal(th_sockets(), sockets);
    end_child();
}

static struct child start_child(uint32_t number)
{
    struct child child = {0, -1, number % 4 == 0, ""};
    int ready[2];
    snprintf(child.name, sizeof child.name, "hunt.fork.child.%u", (unsigned)number);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    child.process = fork();
    assert_true(child.process >= 0);
    if (child.process == 0)
        be_child(&child, number, ready[1]);
    close(ready[1]);
    child.ready = ready[0];
    return child;
}

static void call_child(struct child *child, uint64_t *random)
{
    char byte;
    LMConnection to_child = th_connection(child->name);
    assert_int_equal(read(child->ready, &byte, 1), 1);
    for (unsigned i = 0; i < CHILD_SERVICE_CALLS; i++) {
        call_once(&to_child, random);
        count(&counts->calls_to_children);
    }
    th_close(&to_child);
}

/* --- The parent --- */

struct caller {
    pthread_t thread;
    uint32_t number;
    uint32_t notes;
    uint64_t random;
};

static void call_and_note(struct caller *caller)
{
    const uint32_t note[2] = {caller->number, ++caller->notes};
    assert_int_equal(LMConnectionSendOneWay(&connection, NOTE, note, sizeof note), 0);
    call_once(&connection, &caller->random);
    count(&counts->parent_calls);
}

/* Forks at a random moment, and calls until the child has ended. */
static void fork_once(struct caller *caller)
{
    for (uint64_t i = th_random_in(&caller->random, 0, 20); i > 0; i--)
        call_and_note(caller);
    struct child child = start_child(__atomic_fetch_add(&counts->forks, 1, __ATOMIC_RELAXED));
    call_and_note(caller);
    if (child.serves)
        call_child(&child, &caller->random);
    expect_success(child.process);
    close(child.ready);
}

static void *call_all_the_time(void *argument)
{
    struct caller *caller = argument;
    unsigned forks = caller->number < FORKERS ? th_hunt(40, 100) : 0;
    for (unsigned i = 0; i < forks; i++)
        fork_once(caller);
    if (forks > 0)
        __atomic_sub_fetch(&counts->forkers_left, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&counts->forkers_left, __ATOMIC_RELAXED) > 0)
        call_and_note(caller);
    return NULL;
}

/* Opens and closes a channel all the time, so that forks find one half open. */
static void *open_all_the_time(void *argument)
{
    uint64_t random = th_seed(CALLERS);
    LMConnection second = th_connection(SECOND_NAME);
    (void)argument;
    while (__atomic_load_n(&counts->forkers_left, __ATOMIC_RELAXED) > 0) {
        call_once(&second, &random);
        th_close(&second);
        count(&counts->openings);
    }
    return NULL;
}

/* AddressSanitizer's allocator is unusable in a child if another thread was in it at the fork. Then there is only one
 * caller. */
static uint32_t count_callers(void)
{
    return th_sanitized() ? 1 : CALLERS;
}

static void start_callers(struct caller *callers)
{
    uint32_t many = count_callers();
    counts->forkers_left = many < FORKERS ? many : FORKERS;
    for (uint32_t i = 0; i < many; i++) {
        callers[i] = (struct caller){.number = i, .random = th_seed(i)};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_all_the_time, &callers[i]), 0);
    }
}

/* Ends the callers; returns the number of one-way messages that they sent. */
static uint32_t end_callers(struct caller *callers)
{
    uint32_t sent = 0;
    for (uint32_t i = 0; i < count_callers(); i++) {
        pthread_join(callers[i].thread, NULL);
        sent += callers[i].notes;
    }
    return sent;
}

/* Intent: whatever the other threads are doing at a fork, both sides can call afterwards as if it had not happened. */
static void forks_during_calls_disturb_nobody(void)
{
    pid_t service = th_serve(NAME, answer), second_service = th_serve(SECOND_NAME, th_echo);
    unsigned other_sockets = th_sockets();
    uint64_t start = th_now_ms();
    struct caller callers[CALLERS];
    pthread_t opener;
    memset(counts, 0, sizeof *counts);
    th_check_echo(&connection);
    fflush(NULL);
    start_callers(callers);
    if (!th_sanitized()) {
        assert_int_equal(pthread_create(&opener, NULL, open_all_the_time, NULL), 0);
        pthread_join(opener, NULL);
    }
    uint32_t sent = end_callers(callers);
    th_report(
        "fork: %u forks, %u of a child's; calls: %llu by the parent, %llu by children, %llu to children; %u notes; "
        "%llu channels opened; %llu ms",
        counts->forks, counts->grandchildren, (unsigned long long)counts->parent_calls,
        (unsigned long long)counts->child_calls, (unsigned long long)counts->calls_to_children, sent,
        (unsigned long long)counts->openings, (unsigned long long)(th_now_ms() - start));
    assert_int_equal(th_ask(&connection, NOTED), (int)sent); /* all of them, and each caller's in order */
    assert_int_equal(th_sockets(), other_sockets + 1);       /* still one channel */
    assert_int_equal(counts->child_calls, (uint64_t)counts->forks * th_hunt(300, 10000));
    th_close(&connection);
    th_stop(service);
    th_stop(second_service);
}

/* Returns whether a child forked now holds one of the parent's channels. */
static bool child_holds_a_socket(unsigned other_sockets)
{
    int status;
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0)
        _exit(th_sockets() != other_sockets);
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) != 0;
}

/* Intent: a child holds no channel of its parent, not even one that was being opened or closed at the fork. */
static void a_half_open_channel_stays_with_the_parent(void)
{
    pid_t second_service = th_serve(SECOND_NAME, th_echo);
    unsigned other_sockets = th_sockets(), forks = th_hunt(300, 20000), holders = 0;
    pthread_t opener;
    memset(counts, 0, sizeof *counts);
    if (th_sanitized() || th_on_valgrind()) /* see end_child and count_callers */
        forks = 0;
    counts->forkers_left = 1;
    assert_int_equal(pthread_create(&opener, NULL, open_all_the_time, NULL), 0);
    for (unsigned i = 0; i < forks; i++)
        holders += child_holds_a_socket(other_sockets);
    __atomic_store_n(&counts->forkers_left, 0, __ATOMIC_RELAXED);
    pthread_join(opener, NULL);
    th_report("fork: %u forks, %llu channels opened, %u children with a socket of the parent's", forks,
              (unsigned long long)counts->openings, holders);
    assert_int_equal(holders, 0);
    th_stop(second_service);
}

static void open_and_close(const struct th_service *me)
{
    LMConnection to = th_connection(me->name);
    th_ready();
    for (;;) {
        LMResponseBuffer response;
        if (LMConnectionSendTwoWay(&to, 0, NULL, 0, &response) == KERN_SUCCESS)
            count(&counts->openings);
        LMResponseBufferFree(&response);
        th_close(&to);
    }
}

static void *serve_second(void *loop)
{
    assert_int_equal(LMStartService(SECOND_NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)th_echo), 0);
    __atomic_store_n((CFRunLoopRef *)loop, CFRunLoopGetCurrent(), __ATOMIC_RELEASE);
    CFRunLoopRun();
    return NULL;
}

/* The process serves in a thread, while its main thread forks. */
static void serve_and_fork(const struct th_service *me)
{
    unsigned other_sockets = th_sockets(), forks = th_hunt(2000, 40000), holders = 0;
    CFRunLoopRef loop = NULL;
    pthread_t server;
    (void)me;
    if (th_sanitized() || th_on_valgrind()) /* see end_child and count_callers */
        forks = 0;
    assert_int_equal(pthread_create(&server, NULL, serve_second, &loop), 0);
    while (!__atomic_load_n(&loop, __ATOMIC_ACQUIRE))
        th_sleep_ms(1);
    th_ready();
    th_await(0, 1); /* the clients have connected */
    for (unsigned i = 0; i < forks; i++)
        holders += child_holds_a_socket(other_sockets);
    th_report("fork: %u forks of a service, %llu channels opened, %u children with a socket of the parent's", forks,
              (unsigned long long)counts->openings, holders);
    _exit(holders != 0);
}

/* Intent: a service's child holds no channel of its clients, not even one that was being accepted or ended. */
static void a_services_channels_stay_with_it(void)
{
    memset(counts, 0, sizeof *counts);
    pid_t service = th_start(&(struct th_service){.program = serve_and_fork});
    pid_t clients[2];
    for (int i = 0; i < 2; i++)
        clients[i] = th_start(&(struct th_service){.name = SECOND_NAME, .program = open_and_close});
    th_set(0, 1);
    assert_int_equal(th_reap(service), 0);
    for (int i = 0; i < 2; i++)
        th_kill(clients[i]);
}

int main(void)
{
    counts = th_share(sizeof *counts);
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(forks_during_calls_disturb_nobody, 50),
        TH_TEST_SECONDS(a_half_open_channel_stays_with_the_parent, 50),
        TH_TEST_SECONDS(a_services_channels_stay_with_it, 50),
    };
    return TH_HUNT_MAIN(tests);
}
