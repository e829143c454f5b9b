/* SPDX-License-Identifier: MIT */
/* Effects of the process on the library and of the library on the process: signals, executed programs, threads,
 * handlers and files. */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char NAME[] = "test.surroundings";

enum { NOTE = 1, KEEP, REPLY_LATE, COUNT_INHERITED, LOOK_AROUND, ECHO = 77 };
enum {
    FIRST_VICTIM,
    SECOND_VICTIM,
    PEST_ENDS,
    PEST_HAS_ENDED,
    HITS,
    BROKEN_PIPES,
    NOTES,
    TAKEN,
    CLIENT_DEAD
}; /* words */

static LMConnection shared = {MACH_PORT_NULL, "test.surroundings"};

static int count_inherited(void);
static bool is_as_before(void);

static void reply_late(mach_port_t reply)
{
    static uint8_t large[1 << 20];
    th_add(TAKEN);
    th_await(CLIENT_DEAD, 1);
    (void)LMSendReply(reply, large, sizeof large);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    mach_port_t reply = message->head.msgh_remote_port;
    switch (message->head.msgh_id) {
    case NOTE:
        th_add(NOTES);
        break;
    case KEEP:
        break;
    case REPLY_LATE:
        reply_late(reply);
        break;
    case COUNT_INHERITED:
        LMSendIntegerReply(reply, count_inherited());
        break;
    case LOOK_AROUND:
        LMSendIntegerReply(reply, is_as_before());
        break;
    default:
        th_echo(port, message, size, info);
    }
}

static void check_large_echo(uint64_t seed)
{
    static uint8_t bytes[1000000];
    LMResponseBuffer buffer;
    th_fill(bytes, sizeof bytes, seed);
    assert_int_equal(LMConnectionSendTwoWay(&shared, ECHO, bytes, sizeof bytes, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), sizeof bytes);
    assert_true(th_is_filled(LMMessageGetData(&buffer.message), sizeof bytes, seed));
    LMResponseBufferFree(&buffer);
}

static void start_and_stop_a_service(void)
{
    CFMachPortRef port = CFMachPortCreate(NULL, (CFMachPortCallBack)(void (*)(void))answer, NULL, NULL);
    assert_non_null(port);
    assert_int_equal(rocketbootstrap_register(0, "test.short", CFMachPortGetPort(port)), 0);
    assert_int_equal(rocketbootstrap_unlock("test.short"), 0);
    CFMachPortInvalidate(port);
    CFRelease(port);
}

/* --- Signals --- */

static void be_hit(int signal)
{
    th_add(signal == SIGPIPE ? BROKEN_PIPES : HITS);
}

/* Without SA_RESTART: system calls fail with EINTR. */
static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = be_hit};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(sigaction(SIGPIPE, &action, NULL), 0);
}

static void pester(const struct th_service *me)
{
    const struct timespec between = {0, th_on_valgrind() ? 10000000 : 100000};
    (void)me;
    th_ready();
    th_await(SECOND_VICTIM, 1);
    while (th_get(PEST_ENDS) == 0) {
        kill((pid_t)th_get(FIRST_VICTIM), SIGUSR1);
        kill((pid_t)th_get(SECOND_VICTIM), SIGUSR1);
        nanosleep(&between, NULL);
    }
    th_add(PEST_HAS_ENDED);
    exit(0);
}

static void time_out(uint32_t milliseconds)
{
    LMResponseBuffer buffer;
    uint64_t begin = th_now_ms();
    kern_return_t result = LMConnectionSendTwoWayWithTimeout(&shared, KEEP, NULL, 0, milliseconds, &buffer);
    assert_true(result == MACH_SEND_TIMED_OUT || result == MACH_RCV_TIMED_OUT);
    assert_true(th_now_ms() - begin + 1 >= milliseconds);
    LMResponseBufferFree(&buffer);
}

/* Uses every kind of wait: for an answer, for room, for the end of a large message, for a deadline, for a
 * connection. */
static void use_everything(unsigned rounds)
{
    static uint8_t bytes[2000];
    for (unsigned i = 0; i < rounds; i++) {
        th_check_echo(&shared);
        check_large_echo(i);
        for (int j = 0; j < 500; j++)
            assert_int_equal(LMConnectionSendOneWay(&shared, NOTE, bytes, sizeof bytes), 0);
        time_out(i % 10 == 0 ? 150 : 3);
        th_close(&shared);
        start_and_stop_a_service();
    }
    th_check_echo(&shared);
    th_await(NOTES, 500 * rounds);
    assert_int_equal(th_get(NOTES), 500 * rounds);
}

/*
 * Intent: signals that interrupt system calls at any moment, on both sides, change no result.
 *   pest                   client                  service
 *   10000 a second ------> calls, sends, waits --> answers
 *   ---------------------------------------------> hit as well
 */
static void interrupting_signals_are_not_noticed(void)
{
    pid_t service = th_start(&(struct th_service){.name = NAME, .callback = answer, .prepare = handle_signals});
    handle_signals();
    pid_t pest = th_start(&(struct th_service){.program = pester});
    th_set(FIRST_VICTIM, (uint32_t)getpid());
    th_set(SECOND_VICTIM, (uint32_t)service);
    use_everything(th_rounds(100));
    assert_true(th_get(HITS) > 10);
    th_set(PEST_ENDS, 1);
    th_await(PEST_HAS_ENDED, 1); /* the harness's own calls must not be interrupted */
    assert_int_equal(th_reap(pest), 0);
    th_close(&shared);
    th_stop(service);
}

static void call_and_be_killed(const struct th_service *me)
{
    LMResponseBuffer buffer;
    (void)me;
    th_ready();
    LMConnectionSendTwoWay(&shared, REPLY_LATE, NULL, 0, &buffer);
}

/*
 * Intent: writing to a peer that has ended causes no SIGPIPE, in either role.
 *   client A                client B           service
 *   call ------------------------------------> takes it
 *   killed                                     answers 1 MiB
 *                           call ------------> answers
 *                                              killed
 *                           1, 2, ... until one fails
 */
static void a_dead_peer_is_no_broken_pipe(void)
{
    pid_t service = th_start(&(struct th_service){.name = NAME, .callback = answer, .prepare = handle_signals});
    pid_t client = th_start(&(struct th_service){.program = call_and_be_killed});
    handle_signals();
    th_await(TAKEN, 1);
    th_kill(client);
    th_set(CLIENT_DEAD, 1);
    th_check_echo(&shared);
    th_await_sleep(service);
    th_kill(service);
    while (LMConnectionSendEmptyOneWay(&shared, NOTE) == 0)
        ;
    assert_int_equal(th_get(BROKEN_PIPES), 0);
    th_close(&shared);
}

/* --- Executed programs --- */

struct links {
    char targets[64][128];
    int count;
};

static struct links before;

static bool contains(const struct links *links, const char *target)
{
    for (int i = 0; i < links->count; i++)
        if (strcmp(links->targets[i], target) == 0)
            return true;
    return false;
}

/* Lists the process's open descriptors, except those in `without`. */
static void list_descriptors(pid_t process, struct links *links, const struct links *without)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)process);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    links->count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char *target = links->targets[links->count];
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof links->targets[0] - 1);
        if (length < 0 || links->count == 63)
            continue;
        target[length] = '\0';
        links->count += without == NULL || !contains(without, target);
    }
    closedir(folder);
}

/* Starts cat without libc's fork, so that only close-on-exec can help; returns when it runs. */
static pid_t execute_cat(int *input)
{
    char *const arguments[] = {"cat", NULL};
    char byte = 'x';
    int to[2], from[2];
    pid_t cat;
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe2(to, O_CLOEXEC) | pipe2(from, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    assert_int_equal(posix_spawnp(&cat, "cat", &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    assert_int_equal(write(to[1], &byte, 1), 1);
    assert_int_equal(read(from[0], &byte, 1), 1);
    close(from[0]);
    *input = to[1];
    return cat;
}

/* Returns how many of this process's descriptors, opened since `before`, an executed program has. */
static int count_inherited(void)
{
    static struct links ours, theirs;
    int input, inherited = 0;
    list_descriptors(getpid(), &ours, &before);
    assert_true(ours.count >= 6); /* the loop's two, the service's two, a client's, and a service's socket */
    pid_t cat = execute_cat(&input);
    list_descriptors(cat, &theirs, NULL);
    for (int i = 0; i < theirs.count; i++)
        inherited += contains(&ours, theirs.targets[i]);
    close(input);
    assert_int_equal(waitpid(cat, NULL, 0), cat);
    return inherited;
}

static void serve_and_call(const struct th_service *me)
{
    static LMConnection other = {MACH_PORT_NULL, "test.other"};
    (void)me;
    list_descriptors(getpid(), &before, NULL);
    assert_int_equal(LMStartService(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)(void (*)(void))answer), 0);
    th_check_echo(&other);
    th_ready();
    th_serve_until_stopped();
}

/*
 * Intent: a program that is executed while there are connections in both roles inherits none of their descriptors.
 *   client             service                 another service
 *                      call ---------------->  answers
 *   call ----------->  executes cat, looks at what that has open
 *   <-------------- 0
 */
static void an_executed_program_inherits_nothing(void)
{
    pid_t other = th_serve("test.other", th_echo);
    pid_t service = th_start(&(struct th_service){.program = serve_and_call});
    assert_int_equal(th_ask(&shared, COUNT_INHERITED), 0);
    th_close(&shared);
    th_stop(service);
    th_stop(other);
}

/* --- No side effects --- */

static char surroundings[4][80];

/* Reads the number of threads, and which signals are blocked, ignored and caught. */
static void read_surroundings(char lines[4][80])
{
    static const char *const wanted[4] = {"Threads:", "SigBlk:", "SigIgn:", "SigCgt:"};
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        for (int i = 0; i < 4; i++)
            if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
                snprintf(lines[i], 80, "%.79s", line);
    fclose(file);
    assert_int_equal(strncmp(lines[3], wanted[3], strlen(wanted[3])), 0);
}

static bool is_empty(const char *path)
{
    DIR *folder = opendir(path);
    int entries = 0;
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        entries++;
    closedir(folder);
    return entries == 2; /* "." and ".." */
}

static bool is_as_before(void)
{
    char now[4][80] = {""};
    read_surroundings(now);
    return memcmp(now, surroundings, sizeof now) == 0 && waitpid(-1, NULL, WNOHANG) == -1 && is_empty(".");
}

/* Makes the places where programs put files a single empty folder. */
static void move_into(const char *folder)
{
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(setenv("HOME", folder, 1) | setenv("TMPDIR", folder, 1) | setenv("XDG_RUNTIME_DIR", folder, 1), 0);
    read_surroundings(surroundings);
}

static void serve_in_folder(const struct th_service *me)
{
    move_into(me->name);
    assert_int_equal(LMStartService(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)(void (*)(void))answer), 0);
    th_ready();
    th_serve_until_stopped();
}

static void call_in_folder(const struct th_service *me)
{
    move_into(me->name);
    th_ready();
    use_everything(5);
    assert_int_equal(th_ask(&shared, LOOK_AROUND), 1);
    assert_true(is_as_before());
    exit(0);
}

/*
 * Intent: neither side gets a thread, a child, a signal handler, or a file outside of the runtime directory.
 *   client                          service
 *   looks around                    looks around
 *   everything there is ---------->
 *   looks around again <----------  looks around again
 */
static void nothing_is_hidden(void)
{
    char folder[] = "/tmp/lm-around-XXXXXX";
    assert_non_null(mkdtemp(folder));
    pid_t service = th_start(&(struct th_service){.name = folder, .program = serve_in_folder});
    pid_t client = th_start(&(struct th_service){.name = folder, .program = call_in_folder});
    assert_int_equal(th_reap(client), 0);
    th_stop(service);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(interrupting_signals_are_not_noticed),
        TH_TEST(a_dead_peer_is_no_broken_pipe),
        TH_TEST(an_executed_program_inherits_nothing),
        TH_TEST(nothing_is_hidden),
    };
    return TH_MAIN(tests);
}
