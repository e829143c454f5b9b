/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Seconds that a body or a wait takes at most on an idle machine, and the factor for a busy one. */
enum { TH_SECONDS = 25, TH_LONG_SECONDS = 1800, TH_WAIT_SECONDS = 20, TH_SLOWNESS = 12, TH_LEAKED = 97 };

static int th_extra_descriptors;

/* Not a cmocka assertion, because it is also used outside of bodies. */
static void th_require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "harness: %s: %s\n", what, strerror(errno));
    abort();
}

/* --- Surroundings --- */

bool th_on_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

bool th_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return true;
#elif defined(__has_feature)
    return __has_feature(address_sanitizer);
#else
    return false;
#endif
}

bool th_quick(void)
{
    return th_on_valgrind() || getenv("LM_TEST_QUICK") != NULL;
}

unsigned th_rounds(unsigned count)
{
    unsigned fewer = count / 50;
    return !th_quick() ? count : fewer > 0 ? fewer : 1;
}

bool th_long(void)
{
    return getenv("LM_TEST_LONG") != NULL && !th_quick();
}

static unsigned th_slowness(void)
{
    const char *wanted = getenv("LM_TEST_SLOWNESS");
    unsigned slowness = wanted != NULL ? (unsigned)strtoul(wanted, NULL, 10) : TH_SLOWNESS;
    return th_on_valgrind() || TH_THREAD_SANITIZER ? 4 * slowness : slowness;
}

static unsigned th_count(bool (*counts)(const char *target))
{
    DIR *folder = opendir("/proc/self/fd");
    th_require(folder != NULL, "opendir");
    unsigned count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char target[128] = "";
        if (entry->d_name[0] == '.')
            continue;
        if (readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1) < 0)
            continue;
        count += counts(target);
    }
    closedir(folder);
    return count;
}

static bool th_is_any(const char *target)
{
    (void)target;
    return true;
}

static bool th_is_socket(const char *target)
{
    return strncmp(target, "socket:", 7) == 0;
}

unsigned th_descriptors(void)
{
    return th_count(th_is_any) - 1; /* without the folder's own descriptor */
}

unsigned th_sockets(void)
{
    return th_count(th_is_socket);
}

void th_expect_more_descriptors(int count)
{
    th_extra_descriptors = count;
}

uint64_t th_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t th_now_ms(void)
{
    return th_now_us() / 1000;
}

static void th_sleep_us(unsigned microseconds)
{
    struct timespec left = {.tv_sec = microseconds / 1000000, .tv_nsec = (long)(microseconds % 1000000) * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

void th_sleep_ms(unsigned milliseconds)
{
    th_sleep_us(milliseconds * 1000);
}

uint64_t th_hung_at(void)
{
    return th_now_ms() + 1000 * TH_WAIT_SECONDS * th_slowness();
}

/* Waits actively at first, since most conditions become true soon. */
void th_wait_until(bool (*condition)(void *), void *info)
{
    uint64_t end = th_hung_at();
    for (unsigned us = 20; !condition(info); us = us < 1000 ? 2 * us : us) {
        assert_true(th_now_ms() < end);
        th_sleep_us(us);
    }
}

/* --- Words that all processes of a test share --- */

static uint32_t *th_words;

static void th_share_words(void)
{
    if (th_words != NULL)
        munmap(th_words, TH_WORDS * sizeof *th_words);
    th_words = mmap(NULL, TH_WORDS * sizeof *th_words, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    th_require(th_words != MAP_FAILED, "mmap");
}

uint32_t th_get(unsigned word)
{
    return __atomic_load_n(&th_words[word], __ATOMIC_SEQ_CST);
}

void th_set(unsigned word, uint32_t value)
{
    __atomic_store_n(&th_words[word], value, __ATOMIC_SEQ_CST);
}

void th_add(unsigned word)
{
    __atomic_fetch_add(&th_words[word], 1, __ATOMIC_SEQ_CST);
}

static bool th_has_come(void *info)
{
    const uint32_t *wanted = info;
    return th_get(wanted[0]) >= wanted[1];
}

void th_await(unsigned word, uint32_t least)
{
    uint32_t wanted[] = {word, least};
    th_wait_until(th_has_come, wanted);
}

/* --- The helper process that forks services --- */

enum th_operation { TH_START, TH_WAIT, TH_WAIT_STOPPED };

struct th_order {
    enum th_operation operation;
    pid_t process;
    struct th_service service; /* its pointers are valid on both sides: one program, forked */
    char name[300];            /* copied, since a name may be on the test's stack or heap */
    bool has_name;
};

static int th_nursery = -1;
static int th_ready_pipe = -1;
static volatile sig_atomic_t th_told_to_end;

static void th_end(int signal)
{
    (void)signal;
    th_told_to_end = 1;
}

void th_ready(void)
{
    th_require(write(th_ready_pipe, "", 1) == 1, "write");
    close(th_ready_pipe);
    th_ready_pipe = -1;
}

void th_serve_until_stopped(void)
{
    while (!th_told_to_end)
        CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0.05, false);
}

static void th_be_service(const struct th_service *service)
{
    struct sigaction action = {.sa_handler = th_end};
    sigaction(SIGTERM, &action, NULL);
    if (service->prepare != NULL)
        service->prepare();
    if (service->program != NULL) {
        service->program(service);
        exit(0);
    }
    CFMachPortContext context = {.info = service->info};
    CFMachPortRef port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)service->callback, &context, NULL);
    assert_non_null(port);
    if (service->largest != 0)
        assert_int_equal(LMServiceSetLargestMessage(port, service->largest), 0);
    mach_port_t bootstrap;
    assert_int_equal(task_get_bootstrap_port(mach_task_self(), &bootstrap), 0);
    assert_int_equal(rocketbootstrap_register(bootstrap, service->name, CFMachPortGetPort(port)), 0);
    CFRunLoopSourceRef source = CFMachPortCreateRunLoopSource(kCFAllocatorDefault, port, 0);
    assert_non_null(source);
    CFRunLoopAddSource(CFRunLoopGetCurrent(), source, kCFRunLoopCommonModes);
    CFRelease(source);
    th_ready();
    th_serve_until_stopped();
    CFMachPortInvalidate(port);
    CFRelease(port);
    exit(0);
}

static pid_t th_fork_service(struct th_order *order, int channel)
{
    int ready[2];
    th_require(pipe2(ready, O_CLOEXEC) == 0, "pipe2");
    fflush(NULL);
    pid_t process = fork();
    th_require(process >= 0, "fork");
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(channel);
        close(ready[0]);
        th_ready_pipe = ready[1];
        if (order->has_name)
            order->service.name = order->name;
        th_be_service(&order->service);
    }
    close(ready[1]);
    char byte;
    ssize_t got = read(ready[0], &byte, 1);
    close(ready[0]);
    return got == 1 ? process : -process; /* negative: the process ended before it was ready */
}

static void th_run_nursery(int channel)
{
    static struct th_order order;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (recv(channel, &order, sizeof order, 0) == (ssize_t)sizeof order) {
        int result = 0;
        if (order.operation == TH_START)
            result = th_fork_service(&order, channel);
        else
            th_require(waitpid(order.process, &result, order.operation == TH_WAIT_STOPPED ? WUNTRACED : 0) ==
                           order.process,
                       "waitpid");
        th_require(send(channel, &result, sizeof result, MSG_NOSIGNAL) == (ssize_t)sizeof result, "send");
    }
    _exit(0);
}

static int th_tell_nursery(const struct th_order *order)
{
    int result;
    th_require(send(th_nursery, order, sizeof *order, MSG_NOSIGNAL) == (ssize_t)sizeof *order, "send");
    th_require(recv(th_nursery, &result, sizeof result, 0) == (ssize_t)sizeof result, "the helper process is gone");
    return result;
}

static void th_open_nursery(void)
{
    int pair[2];
    th_require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    pid_t process = fork();
    th_require(process >= 0, "fork");
    if (process == 0) {
        close(pair[0]);
        th_run_nursery(pair[1]);
    }
    close(pair[1]);
    th_nursery = pair[0];
}

pid_t th_start(const struct th_service *service)
{
    struct th_order order;
    memset(&order, 0, sizeof order);
    order.operation = TH_START;
    order.service = *service;
    order.has_name = service->name != NULL;
    if (service->name != NULL)
        snprintf(order.name, sizeof order.name, "%s", service->name);
    int process = th_tell_nursery(&order);
    assert_true(process > 0);
    return process;
}

pid_t th_serve(const char *name, th_callback callback)
{
    return th_start(&(struct th_service){.name = name, .callback = callback});
}

static int th_wait(pid_t process, enum th_operation how)
{
    struct th_order order;
    memset(&order, 0, sizeof order);
    order.operation = how;
    order.process = process;
    return th_tell_nursery(&order);
}

int th_reap(pid_t process)
{
    return th_wait(process, TH_WAIT);
}

void th_stop(pid_t service)
{
    assert_int_equal(kill(service, SIGTERM), 0);
    int status = th_reap(service);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void th_kill(pid_t service)
{
    assert_int_equal(kill(service, SIGKILL), 0);
    int status = th_reap(service);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

void th_pause(pid_t service)
{
    assert_int_equal(kill(service, SIGSTOP), 0);
    assert_true(WIFSTOPPED(th_wait(service, TH_WAIT_STOPPED)));
}

void th_resume(pid_t service)
{
    assert_int_equal(kill(service, SIGCONT), 0);
}

/* Opens and closes without ThreadSanitizer noticing. It sees only one side when a descriptor's number passes from here
 * to the library, which calls the kernel directly, and would report a race. */
static int th_open(const char *path)
{
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    th_require(file >= 0, path);
    return file;
}

/* Returns whether a thread, given by its id, sleeps. */
static bool th_thread_sleeps(pid_t thread)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)thread);
    int file = th_open(path);
    th_require(syscall(SYS_read, file, line, sizeof line - 1) > 0, path);
    syscall(SYS_close, file);
    const char *name_end = strrchr(line, ')');
    return name_end != NULL && name_end[2] == 'S';
}

static bool th_sleeps(void *service)
{
    return th_thread_sleeps(*(pid_t *)service);
}

void th_await_sleep(pid_t service)
{
    th_wait_until(th_sleeps, &service);
}

static bool th_others_sleep(void *least)
{
    unsigned asleep = 0, awake = 0;
    union {
        struct dirent64 first;
        char bytes[16384]; /* some 500 threads */
    } entries;
    int folder = th_open("/proc/self/task");
    long length = syscall(SYS_getdents64, folder, &entries, sizeof entries);
    th_require(length > 0, "getdents64");
    syscall(SYS_close, folder);
    for (long at = 0; at < length;) {
        const struct dirent64 *entry = (const void *)(entries.bytes + at);
        pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
        at += entry->d_reclen;
        if (thread == 0 || thread == gettid())
            continue;
        if (th_thread_sleeps(thread))
            asleep++;
        else
            awake++;
    }
    return awake == 0 && asleep >= *(unsigned *)least;
}

void th_await_others_asleep(unsigned least)
{
    for (int looks = 0; looks < 2; looks++, th_sleep_ms(1)) /* twice: a lock may make a thread sleep for a moment */
        th_wait_until(th_others_sleep, &least);
}

/* --- Running a body --- */

static int th_remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static void th_be_body(const struct th_case *test)
{
    unsigned seconds = (test->seconds != 0 ? test->seconds : TH_SECONDS) * th_slowness();
    alarm(th_long() && seconds < TH_LONG_SECONDS ? TH_LONG_SECONDS : seconds);
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    th_extra_descriptors = 0;
    th_open_nursery();
    unsigned before = th_descriptors();
    test->body();
    unsigned after = th_descriptors();
    if (after != (unsigned)((int)before + th_extra_descriptors)) {
        fprintf(stderr, "harness: %u descriptors before, %u after\n", before, after);
        fflush(NULL);
        _exit(TH_LEAKED);
    }
    close(th_nursery);
    exit(0); /* not _exit: leak checkers run at exit */
}

const char *th_outcome(const struct th_case *test)
{
    char folder[] = "/tmp/lm-test-XXXXXX";
    th_require(mkdtemp(folder) != NULL, "mkdtemp");
    setenv("LM_RUNTIME_DIR", folder, 1);
    th_share_words();
    fflush(NULL);
    pid_t process = fork();
    th_require(process >= 0, "fork");
    if (process == 0) {
        setpgid(0, 0);
        th_be_body(test);
    }
    setpgid(process, process); /* on both sides, so that it has happened on either */
    siginfo_t info;
    memset(&info, 0, sizeof info);
    th_require(waitid(P_PID, (id_t)process, &info, WEXITED | WNOWAIT) == 0, "waitid");
    kill(-process, SIGKILL); /* kills its services; the body's zombie keeps the group's number in use */
    int status;
    th_require(waitpid(process, &status, 0) == process, "waitpid");
    nftw(folder, th_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    static char words[64];
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return "hung";
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
        return "failed";
    if (WIFEXITED(status) && WEXITSTATUS(status) == TH_LEAKED)
        return "left descriptors behind";
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    snprintf(words, sizeof words, "ended with wait status 0x%x", (unsigned)status);
    return words;
}

void th_choose(void)
{
    if (getenv("LM_TEST_ONLY") != NULL)
        cmocka_set_test_filter(getenv("LM_TEST_ONLY"));
}

void th_run(void **state)
{
    const struct th_case *test = *state;
    const char *outcome = th_outcome(test);
    if (outcome != NULL)
        fail_msg("%s: %s", test->name, outcome);
}

/* --- Calls --- */

bool th_answer_standard(LMMessage *message)
{
    mach_port_t port = message->head.msgh_remote_port;
    if (message->head.msgh_id == TH_COUNT_DESCRIPTORS)
        assert_int_equal(LMSendIntegerReply(port, (int)th_descriptors()), 0);
    else if (message->head.msgh_id == TH_PROCESS_ID)
        assert_int_equal(LMSendIntegerReply(port, getpid()), 0);
    else
        return false;
    return true;
}

void th_echo(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port;
    (void)size;
    (void)info;
    if (!th_answer_standard(message)) /* a client may be gone already */
        (void)LMSendReply(message->head.msgh_remote_port, LMMessageGetData(message), LMMessageGetDataLength(message));
}

int32_t th_ask(LMConnectionRef connection, SInt32 id)
{
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(connection, id, NULL, 0, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 4);
    return LMResponseConsumeInteger(&buffer);
}

void th_check_echo(LMConnectionRef connection)
{
    static const char text[] = "are you there?";
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(connection, 77, text, sizeof text, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), sizeof text);
    assert_memory_equal(LMMessageGetData(&buffer.message), text, sizeof text);
    LMResponseBufferFree(&buffer);
}

void th_close(LMConnectionRef connection)
{
    (void)mach_port_deallocate(mach_task_self(), connection->serverPort);
}

LMConnection th_connection(const char *name)
{
    LMConnection connection;
    memset(&connection, 0, sizeof connection);
    snprintf(connection.serverName, sizeof connection.serverName, "%s", name);
    return connection;
}

/* --- Hunts --- */

static uint64_t th_chosen_seed;

unsigned th_hunt(unsigned shorter, unsigned longer)
{
    return th_long() ? longer : th_rounds(shorter);
}

void th_choose_seed(void)
{
    const char *wanted = getenv("LM_TEST_SEED");
    th_chosen_seed = wanted != NULL ? strtoull(wanted, NULL, 0) : th_now_us() * 64 + (uint64_t)getpid() % 64;
    th_report("LM_TEST_SEED=%llu", (unsigned long long)th_chosen_seed);
}

/* SplitMix64. */
uint64_t th_random(uint64_t *state)
{
    uint64_t word = *state += 0x9e3779b97f4a7c15u;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
}

uint64_t th_seed(uint64_t stream)
{
    uint64_t state = th_chosen_seed ^ th_random(&stream);
    return th_random(&state);
}

uint64_t th_random_in(uint64_t *state, uint64_t least, uint64_t most)
{
    return least + th_random(state) % (most - least + 1);
}

void *th_share(size_t length)
{
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    th_require(memory != MAP_FAILED, "mmap");
    return memory;
}

void th_spin_us(uint64_t microseconds)
{
    for (uint64_t end = th_now_us() + microseconds; th_now_us() < end;)
        ;
}

void th_report(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("# ", stdout); /* a comment in TAP */
    vprintf(format, arguments);
    putchar('\n');
    fflush(stdout);
    va_end(arguments);
}

/* --- Data --- */

static uint64_t th_word(uint64_t index, uint64_t seed)
{
    uint64_t word = (index + seed) * 0x9e3779b97f4a7c15u;
    return word ^ (word >> 29);
}

void th_fill(void *bytes, size_t length, uint64_t seed)
{
    for (size_t at = 0; at < length; at += 8) {
        uint64_t word = th_word(at, seed);
        memcpy((uint8_t *)bytes + at, &word, length - at < 8 ? length - at : 8);
    }
}

bool th_is_filled(const void *bytes, size_t length, uint64_t seed)
{
    uint64_t wrong = 0;
    size_t at = 0;
    for (; at + 8 <= length; at += 8) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)bytes + at, 8);
        wrong |= word ^ th_word(at, seed);
    }
    uint64_t last = th_word(at, seed);
    return wrong == 0 && (at == length || memcmp((const uint8_t *)bytes + at, &last, length - at) == 0);
}
