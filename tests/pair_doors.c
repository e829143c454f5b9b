/* SPDX-License-Identifier: MIT */
/* The owner of a name, and its door (the link in `unlocked`): taking over, unlocking and locking, and listing. */
static int before_call(long number);
#define LM_TEST_SYSCALL fault_of
int fault_of(long number);

#include "others.h"
#include "with_door.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static const char NAME[] = "test.doors";

/* A function that runs before this process's next system call of that number. */
static long surprised_at = -1;
static void (*surprise)(void);

static int before_call(long number)
{
    if (number == surprised_at) {
        surprised_at = -1;
        surprise();
    }
    return 0;
}

int fault_of(long number)
{
    return before_call(number);
}

static void be_told(const struct th_service *me)
{
    LMServiceRef service;
    kern_return_t status =
        LMStartServiceWithOptions(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)th_echo, NULL, NULL, &service);
    assert_int_equal(status, (kern_return_t)(uintptr_t)me->info);
    th_ready();
    if (status)
        return;
    LMServiceInvalidate(service);
    CFRelease(service);
}

/* Starts a newcomer in a process of its own and expects the status. */
static void check_newcomer(kern_return_t status)
{
    assert_int_equal(th_reap(th_start(&(struct th_service){.program = be_told, .info = (void *)(uintptr_t)status})), 0);
}

static bool same(const char *below, const struct stat *status)
{
    struct stat now;
    return lstat(th_runtime(below), &now) == 0 && now.st_dev == status->st_dev && now.st_ino == status->st_ino;
}

static bool exists(const char *below)
{
    struct stat status;
    return lstat(th_runtime(below), &status) == 0;
}

static void check_still_served(const struct stat *socket)
{
    LMConnection connection = th_connection(NAME);
    assert_true(same("locked/test.doors", socket));
    th_check_echo(&connection);
    th_close(&connection);
}

/* --- Owners --- */

/*
 * Intent: a live service keeps its name, even if a program that cleans up old files has removed its lock file.
 *   service
 *   its lock file is removed, or the whole of what says that it is there but the socket
 *   newcomer: the name is in use; the service is still there, the same socket
 */
static void a_live_service_keeps_its_name_without_its_lock(void)
{
    struct stat socket;
    pid_t service = start(NAME, WITH_DOOR);
    assert_int_equal(lstat(th_runtime("locked/test.doors"), &socket), 0);
    check_newcomer(BOOTSTRAP_NAME_IN_USE);
    assert_int_equal(unlink(th_runtime("locked/.test.doors")), 0);
    check_newcomer(BOOTSTRAP_NAME_IN_USE);
    check_still_served(&socket);
    assert_int_equal(unlink(th_runtime("locked/.test.doors")), 0);
    th_pause(service);
    check_newcomer(BOOTSTRAP_NAME_IN_USE); /* a stopped service is not dead either */
    th_resume(service);
    check_still_served(&socket);
    th_stop(service);
}

/* Intent: a socket that a launcher listens on, in either folder, is not removed by a registration. */
static void a_launchers_socket_is_not_removed(void)
{
    const char *const places[] = {"locked/test.doors", "unlocked/test.doors"};
    th_stop(start(NAME, WITH_DOOR)); /* creates the folders */
    for (int i = 0; i < 2; i++) {
        struct stat socket;
        pid_t launcher = th_decoy(th_runtime(places[i]), 0, 0);
        assert_int_equal(lstat(th_runtime(places[i]), &socket), 0);
        check_newcomer(BOOTSTRAP_NAME_IN_USE);
        assert_true(same(places[i], &socket));
        assert_int_equal(LMLockService(NAME), i == 0 ? 0 : BOOTSTRAP_NOT_PRIVILEGED);
        assert_true(same(places[i], &socket));
        th_branch_end(launcher);
        check_newcomer(0);
    }
}

/* Intent: an entry that is not a socket is not the library's, and is not removed. */
static void what_is_no_socket_is_left_alone(void)
{
    struct stat file;
    th_stop(start(NAME, WITH_DOOR));
    assert_int_equal(close(open(th_runtime("locked/test.doors"), O_CREAT | O_WRONLY, 0600)), 0);
    assert_int_equal(lstat(th_runtime("locked/test.doors"), &file), 0);
    check_newcomer(BOOTSTRAP_NAME_IN_USE);
    assert_true(same("locked/test.doors", &file));
    assert_int_equal(unlink(th_runtime("locked/test.doors")), 0);
    assert_int_equal(symlink("/etc/passwd", th_runtime("locked/test.doors")), 0);
    check_newcomer(BOOTSTRAP_NAME_IN_USE);
    LMConnection connection = th_connection(NAME);
    assert_int_equal(LMConnectionSendEmptyOneWay(&connection, 1), BOOTSTRAP_UNKNOWN_SERVICE);
    assert_int_equal(unlink(th_runtime("locked/test.doors")), 0);
    assert_int_equal(unlink(th_runtime("locked/.test.doors")), 0);
    assert_int_equal(mkfifo(th_runtime("locked/.test.doors"), 0600), 0); /* opening it could wait for ever */
    check_newcomer(BOOTSTRAP_NAME_IN_USE);
    assert_int_equal(unlink(th_runtime("locked/.test.doors")), 0);
    check_newcomer(0);
}

/*
 * Intent: a service that stops removes its own socket, and no other one that has taken its name.
 *   service A at NAME
 *   A's socket is moved away, another process's live one put there
 *   A stops: the other is still there
 */
static void a_service_removes_its_own_socket_only(void)
{
    struct stat other;
    pid_t service = start(NAME, WITH_DOOR);
    char path[512];
    snprintf(path, sizeof path, "%s", th_runtime("locked/test.doors"));
    assert_int_equal(unlink(path), 0);
    pid_t decoy = th_decoy(path, 0, 0);
    assert_int_equal(lstat(path, &other), 0);
    th_stop(service);
    assert_true(same("locked/test.doors", &other));
    assert_false(exists("unlocked/test.doors")); /* this link was its own */
    th_branch_end(decoy);
}

/* Intent: only root and the folder's owner may listen there; a client sends nothing to a third user's socket. */
static void a_third_users_socket_is_not_spoken_to(void)
{
    char path[512], place[512];
    th_stop(start(NAME, WITH_DOOR));
    snprintf(path, sizeof path, "%s", th_runtime("open"));
    snprintf(place, sizeof place, "%s", th_runtime("locked/test.doors"));
    assert_int_equal(chmod(getenv("LM_RUNTIME_DIR"), 0755), 0);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(chmod(path, 0777), 0);
    strcat(path, "/socket");
    pid_t decoy = th_decoy(path, 0, THIRD_USER);
    assert_int_equal(rename(path, place), 0);
    LMConnection connection = th_connection(NAME);
    assert_int_equal(LMConnectionSendOneWay(&connection, 1, "secret", 6), BOOTSTRAP_NOT_PRIVILEGED);
    assert_int_equal(th_get(0), 0);
    th_branch_end(decoy);
}

/* Intent: a killed service's name and door are taken over, and clients get the right errors meanwhile. */
static void a_dead_services_name_is_taken_over(void)
{
    LMConnection connection = th_connection(NAME);
    for (int i = 0; i < 3; i++) {
        pid_t service = start(NAME, WITH_DOOR);
        th_check_echo(&connection);
        th_kill(service);
        assert_true(exists("locked/test.doors") && exists("unlocked/test.doors"));
        assert_int_equal(LMConnectionSendEmptyOneWay(&connection, 1) == 0
                             ? LMConnectionSendTwoWay(&connection, 1, NULL, 0, &(LMResponseBuffer){0})
                             : BOOTSTRAP_UNKNOWN_SERVICE,
                         BOOTSTRAP_UNKNOWN_SERVICE);
    }
    th_close(&connection);
}

/* --- Doors --- */

/*
 * Intent: RocketBootstrap's functions keep their meaning.
 *   registered without a door; unlocked: a door; again: no change; locked: none
 *   unlocked before it is there: the door comes with the service, and again after a kill and a restart
 *   locked: restarts without
 */
static void a_name_stays_unlocked_until_it_is_locked(void)
{
    pid_t service = start(NAME, WITHOUT_DOOR);
    assert_false(exists("unlocked/test.doors"));
    assert_int_equal(rocketbootstrap_unlock(NAME), 0);
    assert_int_equal(rocketbootstrap_unlock(NAME), 0);
    assert_true(exists("unlocked/test.doors"));
    assert_int_equal(LMLockService(NAME), 0);
    assert_int_equal(LMLockService(NAME), 0);
    assert_false(exists("unlocked/test.doors"));
    th_stop(service);
    assert_int_equal(rocketbootstrap_unlock(NAME), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(exists("unlocked/test.doors") == (i == 2)); /* after a kill */
        service = start(NAME, WITHOUT_DOOR);
        assert_true(exists("unlocked/test.doors"));
        if (i == 1)
            th_kill(service);
        else
            th_stop(service);
    }
    assert_int_equal(LMLockService(NAME), 0);
    th_stop(start(NAME, WITHOUT_DOOR));
    service = start(NAME, WITHOUT_DOOR);
    assert_false(exists("unlocked/test.doors"));
    th_stop(service);
}

/* Intent: starting unlocks the name, unless the options say 0; locking undoes that until the next start. */
static void starting_unlocks_unless_told_otherwise(void)
{
    pid_t service = start(NAME, WITHOUT_DOOR);
    assert_false(exists("unlocked/test.doors"));
    th_stop(service);
    service = start(NAME, WITH_DOOR);
    assert_true(exists("unlocked/test.doors"));
    assert_int_equal(LMLockService(NAME), 0);
    assert_false(exists("unlocked/test.doors"));
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
    service = start(NAME, WITH_DOOR);
    assert_true(exists("unlocked/test.doors"));
    th_stop(service);
    service = start(NAME, WITHOUT_DOOR); /* a user who was there before cannot change that */
    assert_false(exists("unlocked/test.doors"));
    th_stop(service);
}

static void try_somebody_elses(void)
{
    assert_int_equal(rocketbootstrap_unlock(NAME), BOOTSTRAP_NOT_PRIVILEGED);
    assert_int_equal(LMLockService(NAME), BOOTSTRAP_NOT_PRIVILEGED);
    assert_int_equal(rocketbootstrap_unlock("test.not.there"), BOOTSTRAP_NOT_PRIVILEGED);
}

/* Intent: only the owner opens and closes a door: other users are refused, even root, who might do it by mistake. */
static void somebody_elses_service_cannot_be_unlocked(void)
{
    assert_int_equal(chmod(getenv("LM_RUNTIME_DIR"), 0755), 0);
    pid_t service = start(NAME, WITHOUT_DOOR);
    th_do_as(OTHER_USER, try_somebody_elses);
    assert_false(exists("unlocked/test.doors"));
    th_stop(service);
    service = start(NAME, WITH_DOOR);
    th_do_as(OTHER_USER, try_somebody_elses);
    assert_true(exists("unlocked/test.doors"));
    th_stop(service);
    assert_int_equal(chown(getenv("LM_RUNTIME_DIR"), OTHER_USER, OTHER_USER), 0);
    try_somebody_elses();
}

static void lock_and_unlock(const struct th_service *me)
{
    (void)me;
    th_ready();
    for (unsigned i = 0; i < th_rounds(2000); i++)
        assert_int_equal(i % 2 ? LMLockService(NAME) : rocketbootstrap_unlock(NAME), 0);
}

static void start_and_stop(const struct th_service *me)
{
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    (void)me;
    th_ready();
    for (unsigned i = 0; i < th_rounds(1000); i++) {
        CFMachPortRef port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)th_echo, NULL, NULL);
        assert_int_equal(rocketbootstrap_register(MACH_PORT_NULL, NAME, CFMachPortGetPort(port)), 0);
        CFMachPortInvalidate(port);
        CFRelease(port);
    }
    (void)loop;
}

/*
 * Intent: concurrent registering, unlocking and locking end in the state that the last of them asked for.
 *   A: registers, stops, ...        B, C: unlock, lock, ...
 *   locked, then registered: no door. Unlocked: one.
 */
static void doors_settle_as_the_last_one_says(void)
{
    pid_t workers[3];
    for (int i = 0; i < 3; i++)
        workers[i] = th_start(&(struct th_service){.program = i ? lock_and_unlock : start_and_stop});
    for (int i = 0; i < 3; i++)
        assert_int_equal(th_reap(workers[i]), 0);
    assert_int_equal(LMLockService(NAME), 0);
    pid_t service = start(NAME, WITHOUT_DOOR);
    assert_false(exists("unlocked/test.doors"));
    for (int i = 1; i < 3; i++)
        workers[i] = th_start(&(struct th_service){.program = lock_and_unlock});
    for (int i = 1; i < 3; i++)
        assert_int_equal(th_reap(workers[i]), 0);
    assert_int_equal(LMLockService(NAME), 0);
    assert_false(exists("unlocked/test.doors"));
    assert_int_equal(rocketbootstrap_unlock(NAME), 0);
    assert_true(exists("unlocked/test.doors"));
    th_stop(service);
}

/* --- Doors that must stay closed --- */

static int held;

/* Connects to the descriptor `held`, as far as the kernel lets this user. */
static int connect_to_held(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", held);
    int error = connect(client, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(client);
    return error;
}

static void get_in(void)
{
    assert_int_equal(connect_to_held(), 0);
}

static void stay_outside(void)
{
    assert_int_equal(connect_to_held(), EACCES);
}

/* Intent: another user who holds the door open, as a descriptor without a connection, cannot use it once it is
 * locked. */
static void a_locked_door_can_not_be_held_open(void)
{
    assert_int_equal(chmod(getenv("LM_RUNTIME_DIR"), 0755), 0);
    pid_t service = start(NAME, WITH_DOOR);
    held = open(th_runtime("unlocked/test.doors"), O_PATH | O_CLOEXEC);
    th_do_as(OTHER_USER, get_in);
    assert_int_equal(LMLockService(NAME), 0);
    th_do_as(OTHER_USER, stay_outside);
    assert_int_equal(connect_to_held(), 0); /* it is not locked for its own user */
    assert_int_equal(rocketbootstrap_unlock(NAME), 0);
    th_do_as(OTHER_USER, get_in);
    close(held);
    th_stop(service);
}

static void swap_sockets(void)
{
    char place[512];
    snprintf(place, sizeof place, "%s", th_runtime("locked/test.doors"));
    assert_int_equal(rename(place, th_runtime("aside")), 0);
    assert_int_equal(rename(th_runtime("other"), place), 0);
}

/* Intent: only the socket that was checked gets a door, not one that has replaced it since. */
static void another_socket_gets_no_door(void)
{
    pid_t service = start(NAME, WITHOUT_DOOR);
    pid_t decoy = th_decoy(th_runtime("other"), 0, 0);
    surprise = swap_sockets;
    surprised_at = SYS_linkat;
    assert_int_equal(rocketbootstrap_unlock(NAME), BOOTSTRAP_NAME_IN_USE);
    assert_int_equal(surprised_at, -1);
    DIR *folder = opendir(th_runtime("unlocked"));
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        assert_true(strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    closedir(folder);
    th_branch_end(decoy);
    th_kill(service);
}

/* --- Leftovers of killed processes --- */

static void die(void)
{
    _exit(0);
}

static long death;

static void unlock_and_lock(void)
{
    surprise = die;
    surprised_at = death;
    (void)rocketbootstrap_unlock(NAME);
    (void)LMLockService(NAME);
    fail_msg("the process did not die at the system call");
}

static void start_and_die(void)
{
    surprise = die;
    surprised_at = death;
    mach_port_t bootstrap;
    CFMachPortRef port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)th_echo, NULL, NULL);
    task_get_bootstrap_port(mach_task_self(), &bootstrap);
    (void)rocketbootstrap_register(bootstrap, NAME, CFMachPortGetPort(port));
    CFMachPortInvalidate(port);
    fail_msg("the process did not die at the system call");
}

/* Returns the number of entries in both folders that are neither the name's nor its file. */
static int leftovers(void)
{
    static const char *const folders[] = {"locked", "unlocked"};
    int count = 0;
    for (int i = 0; i < 2; i++) {
        DIR *folder = opendir(th_runtime(folders[i]));
        for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
            count += strncmp(entry->d_name, "...", 3) == 0;
        closedir(folder);
    }
    return count;
}

/*
 * Intent: a process killed while it unlocks or locks leaves no door that a later lock does not close, and no permanent
 * files.
 *   a service lives; another process unlocks and locks it, and dies between two steps
 *   locked: none of what it left is there
 */
static void killed_unlockers_leave_no_door(void)
{
    const long deaths[] = {SYS_renameat2, SYS_unlinkat}; /* after the link is made; after it is moved away */
    pid_t service = start(NAME, WITHOUT_DOOR);
    for (int i = 0; i < 2; i++) {
        death = deaths[i];
        th_do_as(0, unlock_and_lock);
        assert_int_equal(leftovers(), 1);
        assert_int_equal(LMLockService(NAME), 0);
        assert_int_equal(leftovers(), 0);
        assert_false(exists("unlocked/test.doors"));
    }
    check_newcomer(BOOTSTRAP_NAME_IN_USE);
    th_stop(service);
}

/* Intent: processes killed while they start and stop do not leave more and more sockets. */
static void killed_starters_leave_nothing_for_ever(void)
{
    const long deaths[] = {SYS_listen, SYS_renameat2, SYS_unlinkat};
    for (int i = 0; i < 3; i++) {
        death = deaths[i];
        th_do_as(0, start_and_die);
        assert_int_equal(leftovers(), 1);
        th_stop(start(NAME, WITH_DOOR));
        assert_int_equal(leftovers(), 0);
    }
}

static void bind_and_wait(void)
{
    death = -1;
    th_stop(start("test.doors.other", WITH_DOOR));
    assert_int_equal(rocketbootstrap_unlock("test.doors.other"), 0);
    assert_int_equal(leftovers(), 1);
    _exit(0);
}

/* Intent: entries of another name's registration in progress are not removed. */
static void only_the_names_own_leftovers_are_removed(void)
{
    assert_int_equal(mkdir(th_runtime("locked"), 0700), 0);
    assert_int_equal(mkdir(th_runtime("unlocked"), 0755), 0);
    death = SYS_listen;
    th_do_as(0, start_and_die);
    assert_int_equal(leftovers(), 1);
    th_do_as(0, bind_and_wait);
    th_stop(start(NAME, WITHOUT_DOOR));
    assert_int_equal(leftovers(), 0);
}

/* --- Listing --- */

struct expected {
    const char *name;
    bool is_unlocked, is_served;
    int seen;
};

static bool check_entry(const LMServiceEntry *entry, void *info)
{
    struct expected *expected = info;
    if (strcmp(entry->directory, getenv("LM_RUNTIME_DIR")) != 0)
        return true; /* a service of the machine itself */
    while (expected->name && strcmp(expected->name, entry->serverName) != 0)
        expected++;
    assert_non_null(expected->name);
    assert_int_equal(entry->isUnlocked, expected->is_unlocked);
    assert_int_equal(entry->isServed, expected->is_served);
    expected->seen++;
    return true;
}

static void check_list(struct expected *expected)
{
    assert_int_equal(LMListServices(check_entry, expected), 0);
    for (; expected->name; expected++)
        assert_int_equal(expected->seen, 1);
}

static bool count_one(const LMServiceEntry *entry, void *info)
{
    assert_string_equal(entry->directory, getenv("LM_RUNTIME_DIR")); /* which is listed first */
    ++*(int *)info;
    return false;
}

static void list_from_elsewhere(void)
{
    check_list((struct expected[]){{.name = "list.unlocked", .is_unlocked = true}, {.name = NULL}});
}

/*
 * Intent: each service is listed once, with its state, and is not disturbed; other users see the unlocked ones.
 *   locked, unlocked, killed, stopped; files of other kinds
 */
static void services_are_listed(void)
{
    assert_int_equal(LMListServices(check_entry, &(struct expected){.name = NULL}), 0); /* no folders exist yet */
    assert_int_equal(chmod(getenv("LM_RUNTIME_DIR"), 0755), 0);
    pid_t locked = start("list.locked", WITHOUT_DOOR), unlocked = start("list.unlocked", WITH_DOOR);
    th_kill(start("list.killed", WITHOUT_DOOR));
    th_stop(start("list.stopped", WITH_DOOR));
    assert_int_equal(close(open(th_runtime("locked/file"), O_CREAT | O_WRONLY, 0600)), 0);
    check_list((struct expected[]){{.name = "list.locked", .is_served = true},
                                   {.name = "list.unlocked", .is_unlocked = true, .is_served = true},
                                   {.name = "list.killed"},
                                   {.name = NULL}});
    int count = 0;
    assert_int_equal(LMListServices(count_one, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(LMListServices(NULL, NULL), KERN_INVALID_ARGUMENT);
    th_do_as(OTHER_USER, list_from_elsewhere);
    th_stop(locked);
    th_stop(unlocked);
}

/* Intent: the same for more services than one read of the folder returns. */
static void many_services_are_listed(void)
{
    enum { MANY = 200 };
    static char names[MANY][132];
    static struct expected expected[MANY + 1];
    mach_port_t bootstrap;
    static CFMachPortRef ports[MANY];
    task_get_bootstrap_port(mach_task_self(), &bootstrap);
    for (int i = 0; i < MANY; i++) {
        memset(names[i], 'n', 120);
        snprintf(names[i] + 120, sizeof names[i] - 120, "%d", i);
        expected[i] = (struct expected){.name = names[i], .is_served = true};
        ports[i] = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)th_echo, NULL, NULL);
        assert_int_equal(rocketbootstrap_register(bootstrap, names[i], CFMachPortGetPort(ports[i])), 0);
    }
    check_list(expected);
    for (int i = 0; i < MANY; i++) {
        CFMachPortInvalidate(ports[i]);
        CFRelease(ports[i]);
    }
    assert_int_equal(LMListServices(check_entry, &(struct expected){.name = NULL}), 0);
}

int main(void)
{
    if (!th_is_root())
        return TH_SKIPPED;
    const struct CMUnitTest tests[] = {
        TH_TEST(a_live_service_keeps_its_name_without_its_lock),
        TH_TEST(a_launchers_socket_is_not_removed),
        TH_TEST(what_is_no_socket_is_left_alone),
        TH_TEST(a_service_removes_its_own_socket_only),
        TH_TEST(a_third_users_socket_is_not_spoken_to),
        TH_TEST(a_dead_services_name_is_taken_over),
        TH_TEST(a_name_stays_unlocked_until_it_is_locked),
        TH_TEST(starting_unlocks_unless_told_otherwise),
        TH_TEST(somebody_elses_service_cannot_be_unlocked),
        TH_TEST(doors_settle_as_the_last_one_says),
        TH_TEST(a_locked_door_can_not_be_held_open),
        TH_TEST(another_socket_gets_no_door),
        TH_TEST(killed_unlockers_leave_no_door),
        TH_TEST(killed_starters_leave_nothing_for_ever),
        TH_TEST(only_the_names_own_leftovers_are_removed),
        TH_TEST(services_are_listed),
        TH_TEST(many_services_are_listed),
    };
    return TH_MAIN(tests);
}
