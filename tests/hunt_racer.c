/* SPDX-License-Identifier: MIT */
/*
 * A racer swaps files, links and directories that a service uses, as the owner of the directory could at worst:
 *
 *   service   registers, serves, unlocks, locks, stops, ...         one client calls, another lists
 *   racer     puts something else in a place, waits a moment, takes it away again, ...
 *
 * What it puts there: links to files outside, other users' directories, sockets with another listener, files, pipes.
 * In every case, no client sends anything to a wrong server, no socket with a listener is removed, and the files
 * outside do not change.
 */
#include "others.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "hunt.racer";

/* Words. */
enum { SAID_TO_DECOY, REGISTERED, CALLED, ANSWERED, WRONG_ANSWERS, LISTED, OVER };
/* Flags of renameat2. */
enum { NOREPLACE = 1, EXCHANGE = 2 };
/* Links to the decoy's socket, outside. */
enum { DECOYS_LINKS = 3 };

static char here[256], outside[300], stash[300];

static const char *at(const char *folder, const char *name)
{
    static char paths[4][700];
    static unsigned next;
    char path[sizeof paths[0]]; /* the folder may be in one of these */
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return memcpy(paths[next++ % 4], path, sizeof path);
}

/* --- Processes that run meanwhile --- */

static void say_mine(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size;
    (void)LMSendReply(message->head.msgh_remote_port, info, 4);
}

static void serve_a_while(uint64_t *random, CFMachPortRef port)
{
    mach_port_t bootstrap;
    task_get_bootstrap_port(mach_task_self(), &bootstrap);
    if (rocketbootstrap_register(bootstrap, NAME, CFMachPortGetPort(port)) != 0)
        return;
    th_add(REGISTERED);
    CFRunLoopSourceRef source = CFMachPortCreateRunLoopSource(kCFAllocatorDefault, port, 0);
    CFRunLoopAddSource(CFRunLoopGetCurrent(), source, kCFRunLoopCommonModes);
    CFRelease(source);
    for (uint64_t i = th_random_in(random, 0, 3); i > 0; i--) {
        CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0.0005, true);
        (void)(th_random(random) % 2 ? rocketbootstrap_unlock(NAME) : LMLockService(NAME));
    }
}

static void serve(int ready, void *info)
{
    uint64_t random = th_seed(1);
    CFMachPortContext context = {.info = info};
    th_branch_ready(ready);
    while (!th_get(OVER)) {
        CFMachPortRef port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)say_mine, &context, NULL);
        serve_a_while(&random, port);
        CFMachPortInvalidate(port);
        CFRelease(port);
    }
}

/* Runs a service of the same name elsewhere, whose directory the racer puts in place of the other. */
static void stand_by(int ready, void *info)
{
    CFMachPortContext context = {.info = info};
    CFMachPortRef port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)say_mine, &context, NULL);
    mach_port_t bootstrap;
    setenv("LM_RUNTIME_DIR", at(here, "bystander"), 1);
    task_get_bootstrap_port(mach_task_self(), &bootstrap);
    assert_int_equal(rocketbootstrap_register(bootstrap, NAME, CFMachPortGetPort(port)), 0);
    CFRunLoopSourceRef source = CFMachPortCreateRunLoopSource(kCFAllocatorDefault, port, 0);
    CFRunLoopAddSource(CFRunLoopGetCurrent(), source, kCFRunLoopCommonModes);
    th_branch_ready(ready);
    CFRunLoopRun();
}

/* Both answers are right: the name is in a directory of this user. */
static bool is_right(LMMessage *message)
{
    return LMMessageGetDataLength(message) == 4 &&
           (memcmp(LMMessageGetData(message), "mine", 4) == 0 || memcmp(LMMessageGetData(message), "also", 4) == 0);
}

static void call(int ready, void *info)
{
    (void)info;
    th_branch_ready(ready);
    while (!th_get(OVER)) {
        LMConnection connection = th_connection(NAME);
        LMResponseBuffer response;
        th_add(CALLED);
        if (LMConnectionSendTwoWayWithTimeout(&connection, 1, NULL, 0, 200, &response) == 0)
            th_add(is_right(&response.message) ? ANSWERED : WRONG_ANSWERS);
        LMResponseBufferFree(&response);
        th_close(&connection);
    }
}

static bool count_entry(const LMServiceEntry *entry, void *info)
{
    (void)info;
    if (strcmp(entry->serverName, NAME) == 0)
        th_add(LISTED);
    return true;
}

static void list(int ready, void *info)
{
    (void)info;
    th_branch_ready(ready);
    while (!th_get(OVER))
        (void)LMListServices(count_entry, NULL);
}

/* --- The files outside --- */

static uint64_t mixed(uint64_t sum, uint64_t value)
{
    uint64_t state = sum ^ value;
    return th_random(&state);
}

static uint64_t fingerprint_of(const char *path, uint64_t sum)
{
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    sum = mixed(sum, status.st_ino);
    sum = mixed(sum, status.st_mode);
    sum = mixed(sum, status.st_uid);
    sum = mixed(sum, (uint64_t)status.st_size);
    return S_ISDIR(status.st_mode) ? sum : mixed(sum, (uint64_t)status.st_mtim.tv_nsec);
}

static uint64_t inode_of(const char *path)
{
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    return status.st_ino;
}

/* Hashes a folder and its contents, two levels deep, independent of their order. */
static uint64_t fingerprint(const char *folder, int depth)
{
    uint64_t sum = fingerprint_of(folder, 1);
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        char path[700];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        sum += fingerprint_of(path, 2);
        if (entry->d_type == DT_DIR && depth > 0)
            sum += fingerprint(path, depth - 1);
    }
    closedir(entries);
    return sum;
}

static void make_file(const char *path)
{
    int file = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
    assert_int_equal(write(file, "precious", 8), 8);
    assert_int_equal(close(file), 0);
}

/* Makes a folder like a runtime directory, with sockets that another process listens on. */
static pid_t make_outside(void)
{
    assert_int_equal(mkdir(outside, 0755), 0);
    make_file(at(outside, "file"));
    assert_int_equal(mkdir(at(outside, "folder"), 0777), 0);
    assert_int_equal(chmod(at(outside, "folder"), 0777), 0);
    pid_t decoy = th_decoy(at(at(outside, "folder"), NAME), SAID_TO_DECOY, OTHER_USER);
    assert_int_equal(mkdir(at(outside, "locked"), 0755), 0);
    assert_int_equal(mkdir(at(outside, "unlocked"), 0755), 0);
    assert_int_equal(link(at(at(outside, "folder"), NAME), at(at(outside, "locked"), NAME)), 0);
    assert_int_equal(link(at(at(outside, "folder"), NAME), at(at(outside, "unlocked"), NAME)), 0);
    return decoy;
}

/* --- The racer --- */

enum thing {
    LINK_TO_FILE,
    LINK_TO_FOLDER,
    LINK_TO_SOCKET,
    LINK_TO_RUNTIME,
    FILE_ITSELF,
    PIPE,
    EMPTY_FOLDER,
    OTHERS_SOCKET,
    OTHERS_FOLDER,
    THINGS,
    LAST_WITHOUT_SOCKET = EMPTY_FOLDER
};

/* Makes the thing at a new path of the stash. */
static void make_thing(enum thing thing, const char *path)
{
    switch (thing) {
    case LINK_TO_FILE:
        assert_int_equal(symlink(at(outside, "file"), path), 0);
        break;
    case LINK_TO_FOLDER:
        assert_int_equal(symlink(at(outside, "folder"), path), 0);
        break;
    case LINK_TO_SOCKET:
        assert_int_equal(symlink(at(at(outside, "folder"), NAME), path), 0);
        break;
    case LINK_TO_RUNTIME:
        assert_int_equal(symlink(outside, path), 0);
        break;
    case OTHERS_SOCKET:
        assert_int_equal(link(at(at(outside, "folder"), NAME), path), 0);
        break;
    case FILE_ITSELF:
        make_file(path);
        break;
    case PIPE:
        assert_int_equal(mkfifo(path, 0600), 0);
        break;
    case EMPTY_FOLDER:
        assert_int_equal(mkdir(path, 0777), 0);
        break;
    default:
        assert_int_equal(mkdir(path, 0755), 0);
        assert_int_equal(link(at(at(outside, "folder"), NAME), at(path, NAME)), 0);
        assert_int_equal(chown(path, OTHER_USER, OTHER_USER), 0);
    }
}

static int rename_as(const char *from, const char *to, unsigned how)
{
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, how) == 0 ? 0 : -errno;
}

/* Moves `thing` to the place, and the place's previous entry, if any, to `thing`. */
static bool put(const char *thing, const char *place)
{
    return rename_as(thing, place, EXCHANGE) == 0 || rename_as(thing, place, NOREPLACE) == 0;
}

static void remove_all(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return;
    DIR *entries = opendir(path);
    for (struct dirent *entry = entries ? readdir(entries) : NULL; entry; entry = readdir(entries)) {
        char below[700];
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove_all(below);
    }
    if (entries)
        closedir(entries);
    (void)rmdir(path);
}

static nlink_t links_of_decoy(void)
{
    struct stat status;
    assert_int_equal(lstat(at(at(outside, "folder"), NAME), &status), 0);
    return status.st_nlink;
}

/* Moves the racer's thing from the place back to `thing`. The service may hold it under a temporary name to check it,
 * and then puts it back. */
static void take_back(const char *thing, const char *place)
{
    for (int i = 0; i < 200; i++) {
        if (rename_as(thing, place, EXCHANGE) == 0 || rename_as(place, thing, NOREPLACE) == 0)
            return;
        th_spin_us(20);
    }
}

/* Swaps and swaps back. The racer's links to the decoy's socket all exist while it says so. */
static void swap(uint64_t *random, const char *place, enum thing thing)
{
    static unsigned number;
    nlink_t least = DECOYS_LINKS + (thing == OTHERS_SOCKET || thing == OTHERS_FOLDER ? 1u : 0u);
    char mine[340];
    snprintf(mine, sizeof mine, "%s/%u", stash, number++); /* an older one may still be in use, if it was trusted */
    make_thing(thing, mine);
    if (put(mine, place)) {
        th_spin_us(th_random_in(random, 0, 60));
        assert_true(links_of_decoy() >= least);
        take_back(mine, place);
    }
    if (links_of_decoy() < least)
        fail_msg("a link to another process's socket is gone: thing %d at %s", (int)thing, place);
    remove_all(mine);
}

/* Removes what could not be taken back, so that the service continues. */
static void clear(const char *below)
{
    char place[400];
    struct stat status;
    snprintf(place, sizeof place, "%s/runtime/%s", here, below);
    if (lstat(place, &status) == 0 && (!S_ISSOCK(status.st_mode) || status.st_uid != 0))
        remove_all(place);
}

/* Puts the directory of a live service of this user into the place, and takes it away again. */
static void swap_bystander(uint64_t *random, const char *folder)
{
    char theirs[340], ours[340];
    snprintf(theirs, sizeof theirs, "%s/bystander/%s", here, folder);
    snprintf(ours, sizeof ours, "%s/runtime/%s", here, folder);
    if (rename_as(theirs, ours, EXCHANGE) != 0)
        return;
    th_spin_us(th_random_in(random, 0, 60));
    assert_int_equal(rename_as(theirs, ours, EXCHANGE), 0);
}

/* Takes away a temporary name while it is in use. The kernel removes only by name, so what the racer puts there may be
 * removed instead of what was there; therefore it puts no socket there. */
static void swap_temporary(uint64_t *random)
{
    char folder[300], found[300] = "", place[620];
    snprintf(folder, sizeof folder, "%s/runtime/locked", here);
    DIR *entries = opendir(folder);
    for (struct dirent *entry = entries ? readdir(entries) : NULL; entry; entry = readdir(entries))
        if (strncmp(entry->d_name, "...", 3) == 0)
            snprintf(found, sizeof found, "%s", entry->d_name);
    if (entries)
        closedir(entries);
    if (!found[0])
        return;
    snprintf(place, sizeof place, "%s/%s", folder, found);
    swap(random, place, (enum thing)th_random_in(random, 0, LAST_WITHOUT_SOCKET));
}

static void change_mode(uint64_t *random, const char *place)
{
    struct stat status;
    if (lstat(place, &status) != 0)
        return;
    (void)chmod(place, 0777);
    th_spin_us(th_random_in(random, 0, 30));
    (void)chmod(place, status.st_mode & 07777);
}

static void race_once(uint64_t *random)
{
    static const char *const places[] = {"runtime",
                                         "runtime/locked",
                                         "runtime/unlocked",
                                         "runtime/locked/hunt.racer",
                                         "runtime/locked/.hunt.racer",
                                         "runtime/unlocked/hunt.racer"};
    char place[400];
    uint64_t kind = th_random_in(random, 0, 15);
    snprintf(place, sizeof place, "%s/%s", here, places[kind % 6]);
    if (kind < 12)
        swap(random, place, (enum thing)th_random_in(random, 0, THINGS - 1));
    else if (kind == 12)
        swap_bystander(random, "locked");
    else if (kind == 13)
        swap_bystander(random, "unlocked");
    else if (kind == 14)
        swap_temporary(random);
    else
        change_mode(random, at(here, places[th_random_in(random, 0, 2)]));
}

static void prepare(void)
{
    snprintf(here, sizeof here, "%s", getenv("LM_RUNTIME_DIR"));
    snprintf(outside, sizeof outside, "%s/outside", here);
    snprintf(stash, sizeof stash, "%s/stash", here);
    assert_int_equal(chmod(here, 0755), 0);
    assert_int_equal(mkdir(stash, 0700), 0);
    assert_int_equal(mkdir(at(here, "runtime"), 0700), 0);
    setenv("LM_RUNTIME_DIR", at(here, "runtime"), 1);
}

static void check_all_is_well_again(void)
{
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    static char mine[] = "mine";
    th_set(OVER, 0);
    remove_all(at(at(here, "runtime"), "locked"));
    remove_all(at(at(here, "runtime"), "unlocked"));
    pid_t service = th_branch(serve, mine);
    kern_return_t status;
    do
        status = LMConnectionSendTwoWayWithTimeout(&connection, 1, NULL, 0, 1000, &response);
    while (status != 0);
    assert_true(is_right(&response.message));
    LMResponseBufferFree(&response);
    th_close(&connection);
    th_branch_end(service);
}

/* Intent: as in the comment at the top. */
static void a_racer_gains_nothing(void)
{
    static char mine[] = "mine", also[] = "also";
    unsigned rounds = th_hunt(5000, 100000);
    uint64_t random = th_seed(0);
    prepare();
    pid_t decoy = make_outside(), bystander = th_branch(stand_by, also);
    assert_int_equal(links_of_decoy(), DECOYS_LINKS);
    uint64_t before = fingerprint(outside, 1), bystanders = inode_of(at(here, "bystander/locked/hunt.racer"));
    pid_t others[] = {th_branch(serve, mine), th_branch(call, NULL), th_branch(call, NULL), th_branch(list, NULL)};
    unsigned round = 0;
    for (; round < rounds || th_get(REGISTERED) == 0 || th_get(ANSWERED) == 0; round++) { /* slow ones need more */
        race_once(&random);
        th_spin_us(th_random_in(&random, 0, 100)); /* undisturbed for a moment */
        if (round % 100 == 0) {
            clear("locked/hunt.racer");
            clear("unlocked/hunt.racer");
        }
    }
    th_set(OVER, 1);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        int status;
        assert_int_equal(waitpid(others[i], &status, 0), others[i]);
        assert_int_equal(status, 0);
    }
    th_report("%u swaps: registered %u times, called %u, answered %u, listed %u", round, th_get(REGISTERED),
              th_get(CALLED), th_get(ANSWERED), th_get(LISTED));
    assert_int_equal(th_get(SAID_TO_DECOY), 0);
    assert_int_equal(th_get(WRONG_ANSWERS), 0);
    assert_true(fingerprint(outside, 1) == before);
    clear("locked/hunt.racer");
    clear("unlocked/hunt.racer");
    assert_true(links_of_decoy() >= DECOYS_LINKS);
    assert_true(inode_of(at(here, "bystander/locked/hunt.racer")) == bystanders); /* unlocked or locked */
    check_all_is_well_again();
    th_branch_end(decoy);
    th_branch_end(bystander);
}

int main(void)
{
    if (!th_is_root())
        return TH_SKIPPED;
    const struct CMUnitTest tests[] = {
        TH_TEST_SECONDS(a_racer_gains_nothing, 50),
    };
    return TH_HUNT_MAIN(tests);
}
