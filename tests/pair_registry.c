/* SPDX-License-Identifier: MIT */
/* Names: which are valid, which directories are trusted, who owns a name, and who can reach it. */
#include "others.h"
#include "with_door.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "test.registry";

/* --- Services --- */

/* Tries to serve; the program's exit status is the result. */
static kern_return_t start_here(const char *name)
{
    LMServiceRef service = NULL;
    kern_return_t status =
        LMStartServiceWithOptions(name, CFRunLoopGetCurrent(), (CFMachPortCallBack)th_echo, NULL, NULL, &service);
    if (status == 0) {
        LMServiceInvalidate(service);
        CFRelease(service);
    }
    return status;
}

/* Keeps this thread's loop, which has descriptors of its own. */
static void keep_loop(void)
{
    unsigned before = th_descriptors();
    assert_int_equal(start_here("warm"), 0);
    th_expect_more_descriptors((int)(th_descriptors() - before));
    unsigned then = th_descriptors();
    assert_int_equal(start_here("warm"), 0);
    assert_int_equal(th_descriptors(), then);
}

static kern_return_t call(const char *name)
{
    LMConnection connection = th_connection(name);
    kern_return_t status = LMConnectionSendOneWay(&connection, 1, "x", 1);
    th_close(&connection);
    return status;
}

/* --- Names --- */

static bool exists(const char *below)
{
    struct stat status;
    return lstat(th_runtime(below), &status) == 0;
}

static void check_accepted(const char *name)
{
    char door[160];
    snprintf(door, sizeof door, "unlocked/%s", name);
    pid_t service = start(name, WITHOUT_DOOR);
    LMConnection connection = th_connection(name);
    th_check_echo(&connection);
    assert_false(exists(door));
    assert_int_equal(rocketbootstrap_unlock(name), 0);
    assert_true(exists(door));
    assert_int_equal(LMLockService(name), 0);
    assert_false(exists(door));
    th_close(&connection);
    th_stop(service);
}

static void check_refused(const char *name)
{
    mach_port_t bootstrap, port;
    task_get_bootstrap_port(mach_task_self(), &bootstrap);
    assert_int_equal(start_here(name), KERN_INVALID_ARGUMENT);
    assert_int_equal(start_without_door(name, CFRunLoopGetCurrent(), (CFMachPortCallBack)th_echo, NULL),
                     KERN_INVALID_ARGUMENT);
    assert_int_equal(rocketbootstrap_unlock(name), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMLockService(name), KERN_INVALID_ARGUMENT);
    assert_int_equal(rocketbootstrap_look_up(bootstrap, name, &port), KERN_INVALID_ARGUMENT);
}

static bool never(const LMServiceEntry *entry, void *info)
{
    (void)info;
    assert_string_not_equal(entry->directory, getenv("LM_RUNTIME_DIR"));
    return true;
}

/* Intent: names of 1 to 127 bytes without '/', control characters and a leading dot are valid; all functions agree. */
static void names_are_accepted_or_refused_as_documented(void)
{
    char longest[128], too_long[129], utf8[128] = "";
    memset(longest, 'n', 127);
    memset(too_long, 'n', 128);
    longest[127] = too_long[128] = '\0';
    for (int i = 0; i < 42; i++)
        strcat(utf8, "\xe6\xbc\xa2"); /* 126 bytes */
    const char *accepted[] = {"a", longest, utf8, "\xc3\xa9t\xc3\xa9", "\xff\xfe", "a.b", "a b", "*", "a:b", "-", "~"};
    const char *refused[] = {too_long, "", ".", "..", ".a", "a/b", "/", "a/", "a\n", "\t", "\x01", "\x1f", "\x7f"};
    keep_loop();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        check_refused(refused[i]);
    assert_int_equal(LMListServices(never, NULL), 0); /* nothing was created for the invalid ones */
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++)
        check_accepted(accepted[i]);
}

/* --- Directories --- */

static unsigned mode_of(const char *below)
{
    struct stat status;
    assert_int_equal(lstat(th_runtime(below), &status), 0);
    return (unsigned)status.st_mode & 07777;
}

/* Intent: new entries have the modes they need, and no more, whatever the umask. */
static void what_is_made_is_private(void)
{
    const mode_t masks[] = {0, 022, 077};
    keep_loop();
    for (size_t i = 0; i < 3; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/%zu", getenv("LM_RUNTIME_DIR"), i);
        assert_int_equal(setenv("LM_RUNTIME_DIR", path, 1), 0);
        umask(masks[i]);
        LMServiceRef service;
        assert_int_equal(
            LMStartServiceWithOptions(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)th_echo, NULL, NULL, &service),
            0);
        assert_int_equal(mode_of("."), 0700);
        assert_int_equal(mode_of("locked"), 0700);
        assert_int_equal(mode_of("unlocked"), 0755);
        assert_int_equal(mode_of("locked/test.registry"), 0666);
        assert_int_equal(mode_of("unlocked/test.registry"), 0666);
        assert_int_equal(mode_of("locked/.test.registry"), 0600);
        LMServiceInvalidate(service);
        CFRelease(service);
        assert_false(exists("locked/test.registry") || exists("unlocked/test.registry"));
    }
}

static void be_refused(void)
{
    assert_int_equal(call(NAME), BOOTSTRAP_NOT_PRIVILEGED);
}

/* Intent: a `locked` folder that another program created with a wider mode is made private before anything is put
 * there. */
static void a_locked_folder_is_made_private(void)
{
    assert_int_equal(chmod(getenv("LM_RUNTIME_DIR"), 0755), 0);
    assert_int_equal(mkdir(th_runtime("locked"), 0755), 0);
    assert_int_equal(chmod(th_runtime("locked"), 0755), 0);
    pid_t service = start(NAME, WITHOUT_DOOR);
    assert_int_equal(mode_of("locked"), 0700);
    assert_int_equal(mode_of("."), 0755); /* unchanged */
    th_do_as(OTHER_USER, be_refused);
    th_stop(service);
}

/* Returns the number of entries in the folder, without . and .. */
static int count_entries(const char *path)
{
    int count = -2;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* Nothing can be served, called, or unlocked. */
static void check_not_believed(kern_return_t called)
{
    assert_int_equal(start_here(NAME), BOOTSTRAP_NOT_PRIVILEGED);
    assert_int_equal(rocketbootstrap_unlock(NAME), BOOTSTRAP_NOT_PRIVILEGED);
    assert_int_equal(LMLockService(NAME), BOOTSTRAP_NOT_PRIVILEGED);
    assert_int_equal(call(NAME), called);
}

static void change_and_check(const char *below, uid_t owner, mode_t mode, kern_return_t called)
{
    assert_int_equal(lchown(th_runtime(below), owner, owner), 0);
    assert_int_equal(chmod(th_runtime(below), mode), 0);
    check_not_believed(called);
    assert_int_equal(lchown(th_runtime(below), 0, 0), 0);
    assert_int_equal(chmod(th_runtime(below), 0755), 0);
}

/* Intent: directories that another user owns, or could write to, are not trusted, even if live services are in them. */
static void directories_of_others_are_not_believed(void)
{
    pid_t service = start(NAME, WITH_DOOR);
    keep_loop();
    assert_int_equal(call(NAME), 0);
    change_and_check(".", 0, 0777, BOOTSTRAP_NOT_PRIVILEGED);
    change_and_check(".", 0, 0775, BOOTSTRAP_NOT_PRIVILEGED);
    change_and_check(".", OTHER_USER, 0755, BOOTSTRAP_NOT_PRIVILEGED);
    change_and_check("locked", 0, 0702, BOOTSTRAP_NOT_PRIVILEGED);
    change_and_check("locked", 0, 0720, BOOTSTRAP_NOT_PRIVILEGED);
    change_and_check("locked", OTHER_USER, 0700, BOOTSTRAP_NOT_PRIVILEGED);
    change_and_check("unlocked", 0, 0777, 0); /* not checked: the service is found before */
    change_and_check("unlocked", OTHER_USER, 0755, 0);
    assert_int_equal(call(NAME), 0);
    th_stop(service);
}

/* Moves a directory away and puts something else in its place. */
static void replace_and_check(const char *below, const char *link)
{
    char place[512], aside[520];
    snprintf(place, sizeof place, "%s", th_runtime(below));
    snprintf(aside, sizeof aside, "%s.aside", place);
    assert_int_equal(rename(place, aside), 0);
    if (link)
        assert_int_equal(symlink(link, place), 0);
    else
        assert_int_equal(close(open(place, O_CREAT | O_WRONLY, 0600)), 0);
    check_not_believed(strcmp(below, "unlocked") == 0 ? 0 : BOOTSTRAP_UNKNOWN_SERVICE);
    assert_int_equal(unlink(place), 0);
    assert_int_equal(rename(aside, place), 0);
}

/*
 * Intent: links are not followed at any level, and nothing is created at their targets.
 *   RUNTIME/locked, RUNTIME/unlocked -> elsewhere, or a file: not trusted
 *   RUNTIME -> elsewhere: not trusted
 */
static void links_are_not_followed(void)
{
    const char *const ends[] = {"", "/", "/.", "//", "/./", "/././/."}; /* would make the kernel follow it */
    char elsewhere[512], linked[512], end[540];
    keep_loop();
    snprintf(elsewhere, sizeof elsewhere, "%s", th_runtime("elsewhere"));
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    pid_t service = start(NAME, WITHOUT_DOOR);
    replace_and_check("unlocked", elsewhere);
    replace_and_check("unlocked", NULL);
    assert_int_equal(call(NAME), 0);
    replace_and_check("locked", elsewhere);
    replace_and_check("locked", NULL);
    assert_int_equal(call(NAME), 0);
    th_stop(service);
    snprintf(linked, sizeof linked, "%s", th_runtime("linked"));
    assert_int_equal(symlink(elsewhere, linked), 0);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(end, sizeof end, "%s%s", linked, ends[i]);
        setenv("LM_RUNTIME_DIR", end, 1);
        check_not_believed(BOOTSTRAP_UNKNOWN_SERVICE);
    }
    assert_int_equal(count_entries(elsewhere), 0);
}

static void find_tmp_occupied(void)
{
    check_not_believed(BOOTSTRAP_NOT_PRIVILEGED);
}

static void find_tmp_linked(void)
{
    check_not_believed(BOOTSTRAP_UNKNOWN_SERVICE);
}

static bool count_systems(const LMServiceEntry *entry, void *info)
{
    *(int *)info += strcmp(entry->serverName, NAME) == 0 && strcmp(entry->directory, "/run/lightmessaging") == 0;
    return true;
}

static void find_system_service(void)
{
    int count = 0;
    assert_int_equal(LMListServices(count_systems, &count), BOOTSTRAP_NOT_PRIVILEGED); /* the user's own directory */
    assert_int_equal(count, 1);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    assert_int_equal(start_here(NAME), BOOTSTRAP_NOT_PRIVILEGED);
}

static void serve_system(int ready, void *info)
{
    (void)info;
    assert_int_equal(LMStartService(NAME, CFRunLoopGetCurrent(), (CFMachPortCallBack)th_echo), 0);
    th_branch_ready(ready);
    CFRunLoopRun();
}

/* Intent: a user who is first in /tmp gains nothing. A third user makes /tmp/lightmessaging-4242 and listens there;
 * user 4242 gets an error, sends nothing, and still reaches the system's services. */
static void a_hostile_tmp_gains_nothing(void)
{
    const char *mine = "/tmp/lightmessaging-4242", *folder = "/tmp/lightmessaging-4242/locked";
    char path[600];
    th_hide_tmp_and_run();
    th_forget_runtime_directory();
    assert_int_equal(mkdir(mine, 0755), 0);
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(mkdir("/tmp/lightmessaging-4242/unlocked", 0755), 0);
    assert_int_equal(chown(folder, THIRD_USER, THIRD_USER), 0);
    assert_int_equal(chown(mine, THIRD_USER, THIRD_USER), 0);
    snprintf(path, sizeof path, "%s/%s", folder, NAME);
    pid_t decoy = th_decoy(path, 0, THIRD_USER);
    th_do_as(OTHER_USER, find_tmp_occupied);
    setenv("LM_RUNTIME_DIR", mine, 1); /* nor if it is named: in /tmp any user could have made it */
    th_do_as(OTHER_USER, find_tmp_occupied);
    th_forget_runtime_directory();
    pid_t service = th_branch(serve_system, NULL);
    th_do_as(OTHER_USER, find_system_service);
    th_branch_end(service);
    assert_int_equal(rename(mine, "/tmp/other"), 0);
    assert_int_equal(symlink("/tmp/other", mine), 0);
    th_do_as(OTHER_USER, find_tmp_linked);
    assert_int_equal(th_get(0), 0);
    th_branch_end(decoy);
}

/* Makes a directory of that user with both folders and a live socket of NAME; the listener counts what it receives. */
static pid_t occupy(const char *path, uid_t user)
{
    char place[600];
    const char *const below[] = {"", "/locked", "/unlocked"};
    for (int i = 0; i < 3; i++) {
        snprintf(place, sizeof place, "%s%s", path, below[i]);
        assert_int_equal(mkdir(place, 0755), 0);
        assert_int_equal(chmod(place, 0755), 0);
        assert_int_equal(chown(place, user, user), 0);
    }
    snprintf(place, sizeof place, "%s/locked/%s", path, NAME);
    return th_decoy(place, 0, user);
}

static void make_for(const char *path, uid_t user, mode_t mode)
{
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(chown(path, user, user), 0);
}

/* Neither a user nor root trusts it, by any name. */
static void check_occupied(const char *path)
{
    setenv("LM_RUNTIME_DIR", path, 1);
    th_do_as(OTHER_USER, find_tmp_occupied);
    th_do_as(0, find_tmp_occupied);
    assert_int_equal(th_get(0), 0);
}

/* Intent: such a user gains nothing further down either, when LM_RUNTIME_DIR names a directory that he can have put
 * there because something above it was his to create or to link. */
static void a_hostile_directory_above_gains_nothing(void)
{
    th_hide_tmp_and_run();
    make_for("/tmp/app", THIRD_USER, 0755);
    pid_t decoys[] = {occupy("/tmp/app/lm", THIRD_USER), -1, -1};
    make_for("/run/safe", 0, 0755); /* where only root can create entries */
    decoys[1] = occupy("/run/safe/lm", THIRD_USER);
    assert_int_equal(symlink("/run/safe", "/tmp/way"), 0);
    assert_int_equal(lchown("/tmp/way", THIRD_USER, THIRD_USER), 0);
    make_for("/run/open", 0, 0777);
    make_for("/run/open/safe", 0, 0755);
    decoys[2] = occupy("/run/open/safe/lm", THIRD_USER);
    check_occupied("/tmp/app/lm");
    check_occupied("/tmp/app/lm/");
    check_occupied("/tmp/way/lm");
    check_occupied("/run/open/safe/lm");
    for (int i = 0; i < 3; i++)
        th_branch_end(decoys[i]);
}

static void serve_as_third(int ready, void *info)
{
    th_become(THIRD_USER);
    serve_system(ready, info);
}

static void find_in_safety(void)
{
    assert_int_equal(call(NAME), 0);
}

/* Intent: a user's directory with a safe path is trusted by other users who name it, also below a shared directory in
 * which root or the caller made the next component. */
static void directories_on_safe_ways_are_believed(void)
{
    th_hide_tmp_and_run();
    make_for("/tmp/roots", 0, 0755);
    make_for("/tmp/roots/lm", THIRD_USER, 0755);
    setenv("LM_RUNTIME_DIR", "/tmp/roots/lm", 1);
    pid_t service = th_branch(serve_as_third, NULL);
    th_do_as(OTHER_USER, find_in_safety);
    setenv("LM_RUNTIME_DIR", "//tmp/./roots//lm/", 1);
    th_do_as(OTHER_USER, find_in_safety);
    th_branch_end(service);
}

static int listed;

static bool count_name(const LMServiceEntry *entry, void *info)
{
    (void)info;
    assert_string_equal(entry->directory, "/run/lightmessaging");
    listed += strcmp(entry->serverName, NAME) == 0;
    return true;
}

/* Intent: the system's directory is recognised in every spelling: open to all users, and listed once. */
static void the_systems_directory_has_one_name(void)
{
    th_hide_tmp_and_run();
    th_forget_runtime_directory();
    setenv("LM_RUNTIME_DIR", "/run//lightmessaging/./", 1);
    pid_t service = th_branch(serve_system, NULL);
    th_forget_runtime_directory();
    th_do_as(OTHER_USER, find_in_safety);
    setenv("LM_RUNTIME_DIR", "/run/lightmessaging/", 1);
    assert_int_equal(mode_of("."), 0755);
    assert_int_equal(LMListServices(count_name, NULL), 0);
    assert_int_equal(listed, 1);
    th_branch_end(service);
}

int main(void)
{
    if (!th_is_root())
        return TH_SKIPPED;
    const struct CMUnitTest tests[] = {
        TH_TEST(names_are_accepted_or_refused_as_documented),
        TH_TEST(what_is_made_is_private),
        TH_TEST(a_locked_folder_is_made_private),
        TH_TEST(directories_of_others_are_not_believed),
        TH_TEST(links_are_not_followed),
        TH_TEST(a_hostile_tmp_gains_nothing),
        TH_TEST(a_hostile_directory_above_gains_nothing),
        TH_TEST(directories_on_safe_ways_are_believed),
        TH_TEST(the_systems_directory_has_one_name),
    };
    return TH_MAIN(tests);
}
