/* SPDX-License-Identifier: MIT */
/*
 * The runtime directory: where it is, how it is made, and whom it is believed from.
 *
 *     RUNTIME/locked/NAME       the socket; the folder is its user's alone (0700)
 *     RUNTIME/locked/.NAME      a file that the living owner of the name holds locked; not empty: the name is unlocked
 *     RUNTIME/unlocked/NAME     another link to the socket of an unlocked service; the folder that sandboxes get (0755)
 *
 * RUNTIME is $LM_RUNTIME_DIR, else $XDG_RUNTIME_DIR/lightmessaging, else /run/lightmessaging for root and
 * /tmp/lightmessaging-UID for others. Look-ups try it and then /run/lightmessaging.
 *
 * Whoever can write to a directory decides what is in it. So directories that others may write to are refused, and work
 * in one is done relative to a descriptor of it that was checked: what happens to paths meanwhile doesn't matter. Links
 * are not followed. A name in it is an entry, which is opened before it is looked at.
 */
#ifndef LM_DETAIL_RUNTIME_H
#define LM_DETAIL_RUNTIME_H

#include "deadline.h"
#include "trace.h"

#define LM_NAME_MAX       127u
#define LM_PATH_MAX       4096 /* the kernel's limit, which strict libc headers hide */
#define LM_SYSTEM_RUNTIME "/run/lightmessaging"
#define LM_UID_UNKNOWN    65534u /* what the kernel says of users who have no number in this user namespace */

/* 1 to 127 bytes, a NUL within the first 128, no '/' or control characters, not starting with '.'. */
LM_SETUP bool lm_name_valid(const char *name)
{
    if (!name || name[0] == '\0' || name[0] == '.')
        return false;
    for (size_t i = 0; i <= LM_NAME_MAX; i++) {
        unsigned char byte = (unsigned char)name[i];
        if (byte == '\0')
            return true;
        if (byte < 0x20 || byte == 0x7f || byte == '/')
            return false;
    }
    return false;
}

/* -EINVAL: LM_RUNTIME_DIR is not an absolute path; -ENAMETOOLONG: `path` is cut off. A relative XDG_RUNTIME_DIR is
 * ignored, as its standard asks. */
LM_SETUP int lm_runtime_path(char *path, size_t size)
{
    const char *directory = lm_environment("LM_RUNTIME_DIR");
    const char *session = lm_environment("XDG_RUNTIME_DIR");
    int length;
    if (directory)
        length = snprintf(path, size, "%s", directory);
    else if (session && session[0] == '/')
        length = snprintf(path, size, "%s/lightmessaging", session);
    else if (geteuid() == 0)
        length = snprintf(path, size, "%s", LM_SYSTEM_RUNTIME);
    else
        length = snprintf(path, size, "/tmp/lightmessaging-%u", (unsigned)geteuid());
    if (directory && directory[0] != '/')
        return -EINVAL;
    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

/* --- Directories --- */

/* A directory that is open, and whose it is. */
struct lm_directory {
    int descriptor;
    uint32_t owner;
    uint64_t device;
};

LM_SETUP bool lm_others_may_write(const struct stat *status)
{
    return ((unsigned)status->st_mode & 022) != 0;
}

/* Opens a directory, and no link to one, that nobody but its owner may change, whoever that is. -EPERM: others may. */
LM_SETUP int lm_directory_open(int parent, const char *path, struct lm_directory *directory)
{
    struct stat status;
    memset(&status, 0, sizeof status);
    directory->descriptor = lm_sys_open(parent, path, LM_O_PATH | LM_O_DIRECTORY | LM_O_NOFOLLOW, 0);
    if (directory->descriptor < 0)
        return directory->descriptor;
    int result = lm_sys_stat(directory->descriptor, &status);
    if (result == 0 && lm_others_may_write(&status))
        result = -EPERM;
    if (result < 0)
        lm_sys_close(&directory->descriptor);
    directory->owner = (uint32_t)status.st_uid;
    directory->device = (uint64_t)status.st_dev;
    return result;
}

/* Whether others could have put the directory where it is, as they can in /tmp. */
LM_SETUP bool lm_directory_is_exposed(const struct lm_directory *directory)
{
    struct stat above;
    int parent = lm_sys_open(directory->descriptor, "..", LM_O_PATH | LM_O_DIRECTORY, 0);
    bool exposed = parent < 0 || lm_sys_stat(parent, &above) < 0 || lm_others_may_write(&above);
    lm_sys_close(&parent);
    return exposed;
}

/*
 * Whether a runtime directory is to be believed: this user's or root's anywhere; somebody else's if nobody else can
 * have put it there, and LM_RUNTIME_DIR names it or it is the system's, seen from where root has no number.
 */
LM_SETUP bool lm_runtime_trusted(const struct lm_directory *runtime, const char *path)
{
    if (runtime->owner == (uint32_t)geteuid() || runtime->owner == 0)
        return true;
    bool is_system = strcmp(path, LM_SYSTEM_RUNTIME) == 0 && runtime->owner == LM_UID_UNKNOWN;
    return (is_system || lm_environment("LM_RUNTIME_DIR")) && !lm_directory_is_exposed(runtime);
}

LM_SETUP int lm_runtime_open(const char *path, struct lm_directory *runtime)
{
    int result = lm_directory_open(LM_AT_FDCWD, path, runtime);
    if (result < 0 || lm_runtime_trusted(runtime, path))
        return result;
    lm_sys_close(&runtime->descriptor);
    return -EPERM;
}

/* Opens `locked` or `unlocked`: its runtime directory's owner's, root's, or mounted there, as for a sandbox. */
LM_SETUP int lm_folder_open(const struct lm_directory *runtime, const char *name, struct lm_directory *folder)
{
    int result = lm_directory_open(runtime->descriptor, name, folder);
    if (result < 0 || folder->owner == runtime->owner || folder->owner == 0 || folder->device != runtime->device)
        return result;
    lm_sys_close(&folder->descriptor);
    return -EPERM;
}

/* --- Making it --- */

/* Of a directory that this process has just made, which the umask may have narrowed. */
LM_SETUP int lm_directory_set_mode(const struct lm_directory *directory, unsigned mode)
{
    int readable = lm_sys_open(directory->descriptor, ".", LM_O_DIRECTORY, 0);
    int result = readable < 0 ? readable : lm_sys_fchmod(readable, mode);
    lm_sys_close(&readable);
    return result;
}

/* Makes the directory with that mode, whatever the umask, unless it exists; then opens it. It must be this user's. */
LM_SETUP int lm_directory_make(int parent, const char *path, unsigned mode, struct lm_directory *directory)
{
    directory->descriptor = -1;
    int made = lm_sys_mkdir(parent, path, mode);
    if (made < 0 && made != -EEXIST)
        return made;
    int result = lm_directory_open(parent, path, directory);
    if (result == 0 && directory->owner != (uint32_t)geteuid())
        result = -EPERM;
    if (result == 0 && made == 0)
        result = lm_directory_set_mode(directory, mode);
    if (result < 0)
        lm_sys_close(&directory->descriptor);
    return result;
}

/* The two folders of this user's runtime directory. */
struct lm_folders {
    int locked, unlocked;
};

LM_SETUP void lm_folders_close(struct lm_folders *folders)
{
    lm_sys_close(&folders->locked);
    lm_sys_close(&folders->unlocked);
}

/* A sandbox that was given one folder could make itself the other beside it, where nobody would find its services. */
LM_SETUP int lm_folder_is_here(const struct lm_directory *runtime, const struct lm_directory *folder)
{
    if (folder->device != runtime->device)
        return -EXDEV;
    return lm_sys_is_read_only(folder->descriptor) ? -EROFS : 0;
}

LM_SETUP int lm_folders_make(const struct lm_directory *runtime, struct lm_folders *folders)
{
    struct lm_directory locked = {-1, 0, 0}, unlocked = {-1, 0, 0};
    int result = lm_directory_make(runtime->descriptor, "unlocked", 0755, &unlocked);
    if (result == 0)
        result = lm_folder_is_here(runtime, &unlocked); /* before anything is made beside it */
    if (result == 0)
        result = lm_directory_make(runtime->descriptor, "locked", 0700, &locked);
    if (result == 0)
        result = lm_folder_is_here(runtime, &locked);
    folders->locked = locked.descriptor;
    folders->unlocked = unlocked.descriptor;
    if (result < 0)
        lm_folders_close(folders);
    return result;
}

/* This user's runtime directory, made if need be, with its two folders. `path` has room for LM_PATH_MAX bytes. */
LM_SETUP int lm_runtime_make(char *path, struct lm_folders *folders)
{
    struct lm_directory runtime;
    folders->locked = folders->unlocked = -1;
    int result = lm_runtime_path(path, LM_PATH_MAX);
    if (result < 0)
        return result;
    bool is_system = strcmp(path, LM_SYSTEM_RUNTIME) == 0;
    result = lm_directory_make(LM_AT_FDCWD, path, is_system ? 0755 : 0700, &runtime);
    if (result == 0)
        result = lm_folders_make(&runtime, folders);
    lm_sys_close(&runtime.descriptor);
    return result;
}

/* The same if it is there already. */
LM_SETUP int lm_runtime_find(char *path, struct lm_folders *folders)
{
    struct lm_directory runtime = {-1, 0, 0}, locked = {-1, 0, 0}, unlocked = {-1, 0, 0};
    int result = lm_runtime_path(path, LM_PATH_MAX);
    if (result == 0)
        result = lm_directory_open(LM_AT_FDCWD, path, &runtime);
    if (result == 0)
        result = lm_directory_open(runtime.descriptor, "locked", &locked);
    if (result == 0)
        result = lm_directory_open(runtime.descriptor, "unlocked", &unlocked);
    if (result == 0 && (locked.owner != (uint32_t)geteuid() || unlocked.owner != locked.owner))
        result = -EPERM;
    folders->locked = locked.descriptor;
    folders->unlocked = unlocked.descriptor;
    if (result < 0)
        lm_folders_close(folders);
    lm_sys_close(&runtime.descriptor);
    return result;
}

/* --- Errors as the caller gets them --- */

/* What can be shown of a name that may be anything; `shown` has LM_NAME_MAX + 1 bytes. */
LM_COLD const char *lm_name_shown(const char *name, char *shown)
{
    size_t length = 0;
    if (!name)
        return "NULL";
    for (; length < LM_NAME_MAX && name[length]; length++)
        shown[length] = (unsigned char)name[length] < 0x20 || name[length] == 0x7f ? '?' : name[length];
    shown[length] = '\0';
    return shown;
}

LM_COLD void lm_trace_status(const char *deed, const char *name, int socket, kern_return_t status)
{
    char path[LM_PATH_MAX], shown[LM_NAME_MAX + 1];
    lm_runtime_path(path, sizeof path);
    lm_trace(socket, "error: can't %s \"%s\" (runtime directory %s): %#x: %s", deed, lm_name_shown(name, shown), path,
             (unsigned)status, mach_error_string(status));
}

/* Passes the status on, with a line about it unless it is success. */
LM_SETUP kern_return_t lm_status_told(const char *deed, const char *name, int socket, kern_return_t status)
{
    if (status && lm_tracing())
        lm_trace_status(deed, name, socket, status);
    return status;
}

#endif
