/* SPDX-License-Identifier: MIT */
/* Start on demand: sockets that a launcher listens on and passes on, valid and invalid; and systemd's own tools. */
#include "others.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char A[] = "test.on.demand.a", B[] = "test.on.demand.b", C[] = "test.on.demand.c";

enum { FIRST = 3 };

/* --- The launcher's part --- */

static void make_folders(void)
{
    assert_int_equal(mkdir(th_runtime("unlocked"), 0755), 0);
    assert_int_equal(mkdir(th_runtime("locked"), 0700), 0);
}

static int make_socket(int type, const char *folder, const char *name, bool listens)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int made = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_true(made >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s/%s", getenv("LM_RUNTIME_DIR"), folder, name);
    assert_int_equal(bind(made, (const struct sockaddr *)&address, sizeof address), 0);
    if (listens)
        assert_int_equal(listen(made, 100), 0);
    return made;
}

/* Passes the descriptor on as number FIRST + index: inherited, and blocking, as systemd does. */
static void hand_over(int descriptor, int index)
{
    int flags = fcntl(descriptor, F_GETFL);
    assert_int_equal(fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK), 0);
    assert_int_equal(dup2(descriptor, FIRST + index), FIRST + index);
}

static void set(const char *variable, const char *value)
{
    if (value)
        assert_int_equal(setenv(variable, value, 1), 0);
    else
        assert_int_equal(unsetenv(variable), 0);
}

/* `process`: NULL means this process. */
static void announce(const char *process, const char *count, const char *names)
{
    char self[16];
    snprintf(self, sizeof self, "%d", (int)getpid());
    set("LISTEN_PID", process ? process : self);
    set("LISTEN_FDS", count);
    set("LISTEN_FDNAMES", names);
}

static void say_name(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size;
    (void)LMSendReply(message->head.msgh_remote_port, info, (uint32_t)strlen(info));
}

static kern_return_t check_in(const char *name)
{
    return LMCheckInService(name, CFRunLoopGetCurrent(), (CFMachPortCallBack)say_name, (void *)(uintptr_t)name);
}

/* --- Calls --- */

static void check_answer(const char *name, const char *expected)
{
    LMConnection connection = th_connection(name);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(&connection, 1, NULL, 0, &response), 0);
    assert_int_equal(LMMessageGetDataLength(&response.message), strlen(expected));
    assert_memory_equal(LMMessageGetData(&response.message), expected, strlen(expected));
    LMResponseBufferFree(&response);
    th_close(&connection);
}

/* --- Valid variables --- */

static void serve_three(int ready, void *info)
{
    const int *sockets = info;
    char names[200];
    for (int i = 0; i < 3; i++)
        hand_over(sockets[i], 20 + i); /* to a number where they do not collide */
    for (int i = 0; i < 3; i++)
        hand_over(FIRST + 20 + i, i);
    snprintf(names, sizeof names, "unknown:%s:%s", B, A); /* the first is found by its path */
    announce(NULL, "3", names);
    assert_int_equal(check_in(A), 0);
    assert_int_equal(check_in(B), 0);
    assert_int_equal(check_in(C), 0);
    for (int i = 0; i < 3; i++) {
        assert_true((fcntl(FIRST + i, F_GETFD) & FD_CLOEXEC) != 0);
        assert_true((fcntl(FIRST + i, F_GETFL) & O_NONBLOCK) != 0);
    }
    assert_int_equal(check_in(A), BOOTSTRAP_SERVICE_ACTIVE);
    assert_int_equal(check_in(C), BOOTSTRAP_SERVICE_ACTIVE);
    th_branch_ready(ready);
    CFRunLoopRun();
}

/*
 * Intent: several services in one process take their own sockets, by name or by path, each once.
 *   launcher: sockets of C, B, A with the names unknown, B, A
 *   process: checks in A, B, C; A and C again: active already
 *   clients reach all three
 */
static void services_take_their_own_sockets(void)
{
    make_folders();
    int sockets[] = {make_socket(SOCK_SEQPACKET, "locked", C, true), make_socket(SOCK_SEQPACKET, "unlocked", B, true),
                     make_socket(SOCK_SEQPACKET, "locked", A, true)};
    pid_t service = th_branch(serve_three, sockets);
    check_answer(A, A);
    check_answer(B, B);
    check_answer(C, C);
    th_branch_end(service);
    for (int i = 0; i < 3; i++)
        close(sockets[i]);
}

static void stop_and_look(void)
{
    LMServiceRef service;
    announce(NULL, "1", A);
    int socket = make_socket(SOCK_SEQPACKET, "locked", A, true);
    hand_over(socket, 0);
    assert_int_equal(
        LMCheckInServiceWithOptions(A, CFRunLoopGetCurrent(), (CFMachPortCallBack)say_name, NULL, NULL, &service), 0);
    LMServiceInvalidate(service);
    CFRelease(service);
    assert_int_equal(fcntl(FIRST, F_GETFD), -1);
    assert_int_equal(access(th_runtime("locked/test.on.demand.a"), F_OK), 0); /* the socket is the launcher's */
    assert_int_equal(check_in(A), BOOTSTRAP_SERVICE_ACTIVE);
    LMConnection connection = th_connection(A);
    assert_int_equal(LMConnectionSendEmptyOneWay(&connection, 1), 0); /* which still listens */
}

/* Intent: a service that stops closes its copy of the socket, and the launcher keeps the name. */
static void a_stopped_service_leaves_the_name_to_the_launcher(void)
{
    make_folders();
    th_do_as(0, stop_and_look);
}

/* --- Invalid variables --- */

static const char *tried_process, *tried_count, *tried_names;
static int tried_descriptor;
static kern_return_t tried_status;

static void try_values(void)
{
    if (tried_descriptor >= 0)
        hand_over(tried_descriptor, 0);
    else
        close(FIRST);
    announce(tried_process, tried_count, tried_names);
    kern_return_t status = check_in(A);
    if (status != tried_status)
        fail_msg("LISTEN_PID=%s LISTEN_FDS=%s LISTEN_FDNAMES=%s: %d instead of %d", getenv("LISTEN_PID"), tried_count,
                 tried_names, status, tried_status);
    if (tried_descriptor >= 0) /* not taken, so not changed either */
        assert_true((fcntl(FIRST, F_GETFD) & FD_CLOEXEC) == 0 && (fcntl(FIRST, F_GETFL) & O_NONBLOCK) == 0);
}

/* Checks in with these variables, in a process of its own, and expects the status. */
static void expect(kern_return_t status, int descriptor, const char *process, const char *count, const char *names)
{
    tried_status = status;
    tried_descriptor = descriptor;
    tried_process = process;
    tried_count = count;
    tried_names = names;
    th_do_as(0, try_values);
}

/* Intent: variables for another process, or for no service of this one, are ignored: the service registers by
 * itself. */
static void values_for_others_are_not_ours(void)
{
    const char *const others[] = {"", "1", "0", "-1", "x", " 1", "99999999999999999999", "4294967297"};
    make_folders();
    int socket = make_socket(SOCK_SEQPACKET, "locked", B, true);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        expect(0, socket, others[i], "1", A);
    expect(0, socket, NULL, "1", B);    /* for this process, but another service */
    expect(0, socket, NULL, "1", NULL); /* its path does not name it either */
    expect(0, socket, NULL, "0", NULL);
    close(socket);
}

/* Intent: variables that contradict each other are refused, and nothing is taken or registered. */
static void contradictory_values_are_refused(void)
{
    const char *const counts[] = {"",           "x",   "-1", "1x", "+1", " 1", "2", "0", "1.", "99999999999999999999",
                                  "4294967297", "1025"};
    make_folders();
    int socket = make_socket(SOCK_SEQPACKET, "locked", A, true);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        expect(KERN_INVALID_ARGUMENT, socket, NULL, counts[i], A);
    expect(KERN_INVALID_ARGUMENT, socket, NULL, NULL, A);
    expect(KERN_INVALID_ARGUMENT, socket, NULL, "1", "a:b");
    expect(KERN_INVALID_ARGUMENT, socket, NULL, "1", "test.on.demand.a:");
    expect(KERN_INVALID_ARGUMENT, socket, NULL, "3", ":test.on.demand.a");
    close(socket);
}

/* A socket that other users' processes could connect to, whatever the folders' modes. */
static int make_abstract_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", name);
    assert_int_equal(bind(made, (const struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(made, 100), 0);
    return made;
}

/* Intent: descriptors through which no client could reach a service are refused and left unchanged. */
static void senseless_descriptors_are_refused(void)
{
    char abstract[100];
    make_folders();
    assert_int_equal(mkdir(th_runtime("elsewhere"), 0755), 0);
    snprintf(abstract, sizeof abstract, "%s/locked/%s", getenv("LM_RUNTIME_DIR"), A);
    int wrong[] = {make_socket(SOCK_STREAM, "locked", "stream", true),
                   make_socket(SOCK_DGRAM, "locked", "datagrams", false),
                   make_socket(SOCK_SEQPACKET, "locked", "silent", false),
                   make_socket(SOCK_SEQPACKET, "locked", "another", true),
                   make_socket(SOCK_SEQPACKET, "unlocked", "not.test.on.demand.a", true),
                   make_socket(SOCK_SEQPACKET, "elsewhere", A, true),
                   make_socket(SOCK_SEQPACKET, ".", A, true),
                   make_abstract_socket(abstract),
                   socket(AF_INET, SOCK_STREAM, 0),
                   open("/dev/null", O_RDWR),
                   open("/", O_RDONLY | O_DIRECTORY)};
    expect(KERN_INVALID_ARGUMENT, -1, NULL, "1", A);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        expect(KERN_INVALID_ARGUMENT, wrong[i], NULL, "1", A);
        close(wrong[i]);
    }
}

static void check_in_twofold(void)
{
    static const char *const names[] = {"test.on.demand.a:test.on.demand.a", "other:test.on.demand.a", NULL};
    for (int i = 0; i < 3; i++) {
        announce(NULL, "2", names[i]);
        assert_int_equal(check_in(A), KERN_INVALID_ARGUMENT);
    }
    announce(NULL, "1", A); /* the first alone can be served */
    assert_int_equal(check_in(A), 0);
}

/* Intent: two sockets for one name are refused: only one would be served, and the other's clients would wait for
 * ever. */
static void two_sockets_for_a_name_are_refused(void)
{
    make_folders();
    int sockets[] = {make_socket(SOCK_SEQPACKET, "locked", A, true), make_socket(SOCK_SEQPACKET, "unlocked", A, true)};
    for (int i = 0; i < 2; i++)
        hand_over(sockets[i], 20 + i);
    for (int i = 0; i < 2; i++)
        hand_over(FIRST + 20 + i, i);
    th_do_as(0, check_in_twofold);
    for (int i = 0; i < 2; i++) {
        close(FIRST + i);
        close(FIRST + 20 + i);
    }
    _exit(0); /* these numbers may have been the test's own descriptors */
}

/* Intent: bad names are refused before the launcher's variables are read. */
static void check_bad_names(void)
{
    announce(NULL, "1", "a/b");
    assert_int_equal(check_in("a/b"), KERN_INVALID_ARGUMENT);
    assert_int_equal(check_in(""), KERN_INVALID_ARGUMENT);
    assert_int_equal(check_in(".a"), KERN_INVALID_ARGUMENT);
}

static void bad_names_are_refused_with_a_launcher_too(void)
{
    th_do_as(0, check_bad_names);
}

/* --- A launcher that starts the service again and again --- */

static char visitor[600], demand_a[64], demand_b[64];

static const char *find_program(const char *below)
{
    ssize_t length = readlink("/proc/self/exe", visitor, sizeof visitor - 1);
    assert_true(length > 0);
    visitor[length] = '\0';
    char *name = strrchr(visitor, '/') + 1;
    snprintf(name, sizeof visitor - (size_t)(name - visitor), "%s", below);
    if (access(visitor, X_OK) != 0)
        fail_msg("%s is missing", visitor);
    return visitor;
}

static void execute_service(int listener)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    hand_over(listener, 0);
    announce(NULL, "1", A);
    execl(visitor, visitor, demand_a, "run", (char *)NULL);
    _exit(127);
}

/* Word 0: the process that serves now. Word 1: the number of processes so far. */
static void launch(int ready, void *info)
{
    int listener = *(const int *)info;
    th_branch_ready(ready);
    for (;;) {
        struct pollfd waits = {.fd = listener, .events = POLLIN};
        if (poll(&waits, 1, -1) != 1)
            continue;
        pid_t service = fork();
        if (service == 0)
            execute_service(listener);
        th_set(0, (uint32_t)service);
        th_add(1);
        waitpid(service, NULL, 0);
    }
}

/*
 * Intent: a name that a launcher holds is always available: a call starts the service, again after each kill, on the
 * same connection.
 *   client --call--> launcher starts the service, which answers
 *   the service is killed
 *   client --call--> the next one answers
 */
static void a_killed_service_is_started_by_the_next_call(void)
{
    make_folders();
    find_program("visitor");
    snprintf(demand_a, sizeof demand_a, "serve:%s", A);
    int listener = make_socket(SOCK_SEQPACKET, "locked", A, true);
    pid_t launcher = th_branch(launch, &listener);
    close(listener);
    LMConnection connection = th_connection(A);
    assert_int_equal(th_get(1), 0);
    for (uint32_t i = 1; i <= 5; i++) {
        LMResponseBuffer response;
        assert_int_equal(LMConnectionSendTwoWay(&connection, 1, NULL, 0, &response), 0);
        LMResponseBufferFree(&response);
        assert_int_equal(th_get(1), i);
        assert_int_equal(kill((pid_t)th_get(0), SIGKILL), 0);
    }
    th_close(&connection);
    th_branch_end(launcher);
}

/* --- systemd's own launcher --- */

struct activation {
    const char *words[16];
    int output;
};

static void be_activator(int ready, void *info)
{
    struct activation *activation = info;
    if (activation->output >= 0) {
        dup2(activation->output, 1);
        dup2(activation->output, 2);
    }
    th_branch_ready(ready);
    execvp(activation->words[0], (char *const *)(uintptr_t)activation->words);
    _exit(127);
}

/* Returns whether a socket at the path accepts connections, which is later than its bind: a flag in the kernel's
 * list. */
static bool is_listened_to(void *path)
{
    unsigned long accepts_connections = 0x10000, flags = 0;
    char line[1024];
    FILE *sockets = fopen("/proc/net/unix", "r");
    assert_non_null(sockets);
    bool found = false;
    while (!found && fgets(line, sizeof line, sockets) != NULL)
        found =
            strstr(line, path) != NULL && sscanf(line, "%*s %*s %*s %lx", &flags) == 1 && flags & accepts_connections;
    fclose(sockets);
    return found;
}

static pid_t activate(struct activation *activation, char *last_path)
{
    pid_t process = th_branch(be_activator, activation);
    th_wait_until(is_listened_to, last_path);
    return process;
}

/* Intent: systemd-socket-activate starts the example at the first call, and the client gets its answers. */
static void systemd_starts_the_example_on_the_first_call(void)
{
    static struct th_output output;
    char path[600], server[600], client[600], named[100];
    make_folders();
    snprintf(server, sizeof server, "%s", find_program("../examples/processes_server"));
    snprintf(client, sizeof client, "%s", find_program("../examples/processes_client"));
    snprintf(path, sizeof path, "%s", th_runtime("unlocked/com.example.processes"));
    snprintf(named, sizeof named, "--fdname=%s", "com.example.processes");
    struct activation activation = {{"systemd-socket-activate", "--seqpacket", "-l", path, named, server, NULL}, -1};
    pid_t process = activate(&activation, path);
    char executable[64], running[600] = "";
    snprintf(executable, sizeof executable, "/proc/%d/exe", (int)process);
    assert_true(readlink(executable, running, sizeof running - 1) > 0);
    assert_null(strstr(running, "processes_server")); /* not started yet */
    th_execute(&output, (const char *const[]){client, NULL});
    if (output.status != 0)
        fail_msg("the client says: %s", output.text);
    assert_non_null(strstr(output.text, "asked how many processes run, answered "));
    memset(running, 0, sizeof running);
    assert_true(readlink(executable, running, sizeof running - 1) > 0);
    assert_non_null(strstr(running, "processes_server"));
    th_branch_end(process);
}

struct caller {
    const char *name;
    kern_return_t status;
    char answer[200];
};

static void *call_in_thread(void *info)
{
    struct caller *caller = info;
    LMConnection connection = th_connection(caller->name);
    LMResponseBuffer response;
    caller->status = LMConnectionSendTwoWay(&connection, 1, NULL, 0, &response);
    snprintf(caller->answer, sizeof caller->answer, "%.*s", (int)LMMessageGetDataLength(&response.message),
             (const char *)LMMessageGetData(&response.message));
    LMResponseBufferFree(&response);
    th_close(&connection);
    return NULL;
}

/*
 * Intent: messages sent before the service starts are served when it has started; two services of one process need one
 * start.
 *   launcher: sockets A and B
 *   clients: 100 one-way messages to A: queued; calls of A and of B wait
 *   the service is let start: both calls are answered, that of A after the messages
 */
static void what_was_sent_before_the_start_is_served(void)
{
    char path_a[600], path_b[600], gate[600], command[900], named[100];
    make_folders();
    snprintf(path_a, sizeof path_a, "%s", th_runtime("unlocked/test.on.demand.a"));
    snprintf(path_b, sizeof path_b, "%s", th_runtime("locked/test.on.demand.b"));
    snprintf(gate, sizeof gate, "%s", th_runtime("gate"));
    snprintf(named, sizeof named, "--fdname=%s:%s", A, B);
    snprintf(command, sizeof command, "until [ -e %s ]; do sleep 0.02; done; exec \"$0\" \"$@\"", gate);
    snprintf(demand_a, sizeof demand_a, "serve:%s", A);
    snprintf(demand_b, sizeof demand_b, "serve:%s", B);
    struct activation activation = {{"systemd-socket-activate", "--seqpacket", "-l", path_a, "-l", path_b, named, "sh",
                                     "-c", command, find_program("visitor"), demand_a, demand_b, "run", NULL},
                                    -1};
    pid_t process = activate(&activation, path_b);
    struct caller callers[] = {{.name = A}, {.name = B}};
    LMConnection connection = th_connection(A);
    pthread_t threads[2];
    for (int i = 0; i < 100; i++)
        assert_int_equal(LMConnectionSendOneWay(&connection, 2, "early", 5), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_in_thread, &callers[i]), 0);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWayWithTimeout(&connection, 1, NULL, 0, 50, &response), MACH_SEND_TIMED_OUT);
    assert_int_equal(close(open(gate, O_CREAT | O_WRONLY, 0600)), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(callers[0].status, 0);
    assert_string_equal(callers[0].answer, "test.on.demand.a: user 0, 100 before");
    assert_int_equal(callers[1].status, 0);
    assert_string_equal(callers[1].answer, "test.on.demand.b: user 0, 0 before");
    th_branch_end(process);
}

/* Intent: systemd's own check finds no fault with the example units. */
static void the_example_units_are_in_order(void)
{
    static struct th_output output;
    const char *socket = EXAMPLE_UNITS "/com.example.processes.socket";
    const char *service = EXAMPLE_UNITS "/com.example.processes.service";
    assert_int_equal(access(socket, R_OK), 0);
    th_execute(&output, (const char *const[]){"systemd-analyze", "verify", socket, service, NULL});
    assert_string_equal(output.text, "");
    assert_int_equal(output.status, 0);
}

int main(void)
{
    if (!th_is_root())
        return TH_SKIPPED;
    if (system("systemd-socket-activate --version >/dev/null && systemd-analyze --version >/dev/null") != 0) {
        fprintf(stderr, "skipped: systemd's tools are missing\n");
        return TH_SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        TH_TEST(services_take_their_own_sockets),
        TH_TEST(a_stopped_service_leaves_the_name_to_the_launcher),
        TH_TEST(values_for_others_are_not_ours),
        TH_TEST(contradictory_values_are_refused),
        TH_TEST(senseless_descriptors_are_refused),
        TH_TEST(two_sockets_for_a_name_are_refused),
        TH_TEST(bad_names_are_refused_with_a_launcher_too),
        TH_TEST(a_killed_service_is_started_by_the_next_call),
        TH_TEST(systemd_starts_the_example_on_the_first_call),
        TH_TEST(what_was_sent_before_the_start_is_served),
        TH_TEST(the_example_units_are_in_order),
    };
    return TH_MAIN(tests);
}
