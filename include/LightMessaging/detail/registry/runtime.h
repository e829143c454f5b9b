/* SPDX-License-Identifier: MIT */
/*
 * The runtime directory: where it is, how it is created, and whose directories are trusted.
 *
 *     RUNTIME/locked/NAME       the socket; only the user can enter the folder (0700)
 *     RUNTIME/locked/.NAME      a file that the live owner of the name holds locked; not empty if the name is unlocked
 *     RUNTIME/unlocked/NAME     a second link to the socket of an unlocked service; sandboxes get this folder (0755)
 *
 * RUNTIME is $LM_RUNTIME_DIR, else $XDG_RUNTIME_DIR/lightmessaging (for root only if root owns $XDG_RUNTIME_DIR), else
 * /run/lightmessaging for root and /tmp/lightmessaging-UID for other users. Look-ups try this directory and then
 * /run/lightmessaging.
 *
 * Whoever can write to a directory decides what is in it. So directories that others may write to are refused, and all
 * work in a directory is relative to a checked descriptor of it: later changes to paths have no effect. Links are not
 * followed. An entry is opened (O_PATH) before it is checked.
 */
#include "../../Mach.h"

#ifndef LM_DETAIL_REGISTRY_RUNTIME_H
#define LM_DETAIL_REGISTRY_RUNTIME_H

#include "../ground/deadline.h"
#include "advice.h"

#define LM_PATH_MAX       4096 /* the kernel's limit; strict libc headers hide it */
#define LM_SYSTEM_RUNTIME "/run/lightmessaging"
#define LM_STICKY         01000u /* mode bit of a directory in which only owners rename and remove */
#define LM_UID_UNKNOWN    65534u /* the kernel's uid for users without a number in this user namespace */

/* Returns whether the name is valid: 1 to 127 bytes, no '/' or control characters, not starting with '.'. Reads at most
 * 128 bytes. */
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

/* Removes redundant parts of an absolute path, so that each directory has one name. A trailing '/' would make the
 * kernel follow a link. */
LM_SETUP void lm_path_tidy(char *path)
{
    char *end = path;
    for (const char *slash = path; *slash;) {
        size_t part = strcspn(slash + 1, "/");
        size_t size = part == 0 || (part == 1 && slash[1] == '.') ? 0 : 1 + part;
        memmove(end, slash, size);
        end += size;
        slash += 1 + part;
    }
    if (end == path)
        *end++ = '/';
    *end = '\0';
}

/*
 * Returns whether to use XDG_RUNTIME_DIR. A relative path is ignored, as its standard demands. Root ignores another
 * user's directory, which su or sudo may have left in the environment: what root creates there that user could not use.
 */
LM_SETUP bool lm_session_usable(const char *session)
{
    struct stat status;
    if (!session || session[0] != '/')
        return false;
    if (geteuid() != 0)
        return true;
    int directory = lm_sys_open(LM_AT_FDCWD, session, LM_O_PATH | LM_O_DIRECTORY, 0);
    bool usable = directory >= 0 && lm_sys_stat(directory, &status) == 0 && status.st_uid == 0;
    lm_sys_close(&directory);
    return usable;
}

/* Stores the path of the runtime directory. -EINVAL: LM_RUNTIME_DIR is not an absolute path; -ENAMETOOLONG: `path` is
 * cut off. */
LM_SETUP int lm_runtime_path(char *path, size_t size)
{
    const char *directory = lm_environment("LM_RUNTIME_DIR");
    const char *session = lm_environment("XDG_RUNTIME_DIR");
    int length;
    if (directory)
        length = snprintf(path, size, "%s", directory);
    else if (lm_session_usable(session))
        length = snprintf(path, size, "%s/lightmessaging", session);
    else if (geteuid() == 0)
        length = snprintf(path, size, "%s", LM_SYSTEM_RUNTIME);
    else
        length = snprintf(path, size, "/tmp/lightmessaging-%u", (unsigned)geteuid());
    if (path[0] != '/')
        return -EINVAL;
    lm_path_tidy(path);
    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

/* --- Directories --- */

/* An open directory and its properties. */
struct lm_directory {
    int descriptor;
    uint32_t owner;
    unsigned mode;
    uint64_t device;
};

LM_SETUP bool lm_others_may_write(const struct stat *status)
{
    return ((unsigned)status->st_mode & 022) != 0;
}

/* Opens a directory, but no link to one. -EPERM: users other than its owner may write to it. Any owner is accepted. */
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
    directory->mode = (unsigned)status.st_mode;
    directory->device = (uint64_t)status.st_dev;
    return result;
}

/* --- Trust in runtime directories --- */

/* Returns whether directories of this owner are trusted: root's and this user's. A uid that the kernel cannot map may
 * be any user's, even if this process has that uid, too. */
LM_SETUP bool lm_owner_trusted(uint32_t owner)
{
    return owner == 0 || (owner == (uint32_t)geteuid() && owner != LM_UID_UNKNOWN);
}

/* The walk from / to another user's directory. */
struct lm_walk {
    struct lm_directory at;
    uint32_t stranger; /* the owner of that directory */
    bool is_shared;    /* any user can create entries in the directory reached, but not replace them, as in /tmp */
};

/*
 * Goes one component down and follows no link. Each directory above the stranger's must belong to him, to root or to
 * this user, and others must not be able to replace its entries. In a shared directory, an entry of his might have been
 * put there by anyone.
 */
LM_SETUP int lm_walk_step(struct lm_walk *walk, int above, const char *component)
{
    struct stat status;
    int result = walk->at.descriptor = lm_sys_open(above, component, LM_O_PATH | LM_O_DIRECTORY | LM_O_NOFOLLOW, 0);
    if (result >= 0)
        result = lm_sys_stat(walk->at.descriptor, &status);
    if (result < 0)
        return result;
    uint32_t owner = walk->at.owner = (uint32_t)status.st_uid;
    walk->at.mode = (unsigned)status.st_mode;
    walk->at.device = (uint64_t)status.st_dev;
    if (!lm_owner_trusted(owner) && (owner != walk->stranger || walk->is_shared))
        return -EPERM;
    walk->is_shared = lm_others_may_write(&status);
    return walk->is_shared && !(walk->at.mode & LM_STICKY) ? -EPERM : 0;
}

/* Goes to the first component of `rest`, and advances `rest` past it. */
LM_SETUP int lm_walk_on(struct lm_walk *walk, const char **rest)
{
    char component[256]; /* the kernel's limit */
    size_t length = strcspn(*rest, "/");
    int above = walk->at.descriptor;
    if (length >= sizeof component)
        return -ENAMETOOLONG;
    memcpy(component, *rest, length);
    component[length] = '\0';
    *rest += length + ((*rest)[length] == '/');
    int result = lm_walk_step(walk, above, component);
    lm_sys_close(&above);
    return result;
}

/* Opens the stranger's directory again, from / down, to make sure that only he can have put it there. -EPERM: others
 * can. */
LM_SETUP int lm_walk_to(const char *path, struct lm_directory *directory)
{
    struct lm_walk walk = {{-1, 0, 0, 0}, directory->owner, false};
    int result = lm_walk_step(&walk, LM_AT_FDCWD, "/");
    for (const char *rest = path + 1; result == 0 && *rest;)
        result = lm_walk_on(&walk, &rest);
    if (result == 0 && !walk.is_shared && walk.at.owner == walk.stranger) {
        lm_sys_close(&directory->descriptor);
        *directory = walk.at;
        return 0;
    }
    lm_sys_close(&walk.at.descriptor);
    return -EPERM;
}

/*
 * Checks whether a runtime directory is trusted. One of this user or root is trusted anywhere, since only they can have
 * put anything into it. Another user's is trusted if only that user can have put it there (lm_walk_to), and if
 * LM_RUNTIME_DIR names it, or it is the system's directory or the user's own, seen from a user namespace in which the
 * owner has no number. -EPERM: it is not trusted. The walk costs three system calls for each component of the path; the
 * usual directories need no walk.
 */
LM_SETUP int lm_runtime_check(struct lm_directory *runtime, const char *path)
{
    if (lm_owner_trusted(runtime->owner))
        return 0;
    bool is_unknown = runtime->owner == LM_UID_UNKNOWN;
    bool is_own = is_unknown && runtime->owner == (uint32_t)geteuid();
    bool is_system = is_unknown && strcmp(path, LM_SYSTEM_RUNTIME) == 0;
    return is_own || is_system || lm_environment("LM_RUNTIME_DIR") ? lm_walk_to(path, runtime) : -EPERM;
}

LM_SETUP int lm_runtime_open(const char *path, struct lm_directory *runtime)
{
    int result = lm_directory_open(LM_AT_FDCWD, path, runtime);
    if (result == 0)
        result = lm_runtime_check(runtime, path);
    if (result < 0)
        lm_sys_close(&runtime->descriptor);
    return result;
}

/* Opens `locked` or `unlocked`. The folder must belong to the runtime directory's owner or to root, or must be a mount,
 * as in a sandbox. */
LM_SETUP int lm_folder_open(const struct lm_directory *runtime, const char *name, struct lm_directory *folder)
{
    int result = lm_directory_open(runtime->descriptor, name, folder);
    if (result < 0 || folder->owner == runtime->owner || folder->owner == 0 || folder->device != runtime->device)
        return result;
    lm_sys_close(&folder->descriptor);
    return -EPERM;
}

/* --- Creating the runtime directory --- */

/* Sets the mode of a directory of this user. The umask may have reduced the mode of a new directory. */
LM_SETUP int lm_directory_set_mode(const struct lm_directory *directory, unsigned mode)
{
    int readable = lm_sys_open(directory->descriptor, ".", LM_O_DIRECTORY, 0);
    int result = readable < 0 ? readable : lm_sys_fchmod(readable, mode);
    lm_sys_close(&readable);
    return result;
}

/* Creates the directory with that mode, whatever the umask, unless it exists; then opens it. It must be this user's. */
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

/* Refuses a folder that is mounted or read-only. A sandbox that was given only one of the folders could otherwise
 * create the other beside it, where no client would find its services. */
LM_SETUP int lm_folder_is_here(const struct lm_directory *runtime, const struct lm_directory *folder)
{
    if (folder->device != runtime->device)
        return -EXDEV;
    return lm_sys_is_read_only(folder->descriptor) ? -EROFS : 0;
}

LM_SETUP int lm_folders_make(const struct lm_directory *runtime, struct lm_folders *folders)
{
    struct lm_directory locked = {-1, 0, 0, 0}, unlocked = {-1, 0, 0, 0};
    int result = lm_directory_make(runtime->descriptor, "unlocked", 0755, &unlocked);
    if (result == 0)
        result = lm_folder_is_here(runtime, &unlocked); /* before anything is created beside it */
    if (result == 0)
        result = lm_directory_make(runtime->descriptor, "locked", 0700, &locked);
    if (result == 0)
        result = lm_folder_is_here(runtime, &locked);
    if (result == 0 && (locked.mode & 077) != 0) /* created by another program, such as a launcher for its socket */
        result = lm_directory_set_mode(&locked, 0700);
    folders->locked = locked.descriptor;
    folders->unlocked = unlocked.descriptor;
    if (result < 0)
        lm_folders_close(folders);
    return result;
}

/* Opens the two folders of this user's runtime directory and creates what is missing. `path` has room for LM_PATH_MAX
 * bytes. */
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
        result = lm_runtime_check(&runtime, path);
    if (result == 0)
        result = lm_folders_make(&runtime, folders);
    lm_sys_close(&runtime.descriptor);
    return result;
}

/* Like lm_runtime_make, but creates nothing. */
LM_SETUP int lm_runtime_find(char *path, struct lm_folders *folders)
{
    struct lm_directory runtime = {-1, 0, 0, 0}, locked = {-1, 0, 0, 0}, unlocked = {-1, 0, 0, 0};
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

/* --- Logging of the caller's errors --- */

/* Returns a printable form of a name, which may be invalid; `shown` has LM_NAME_MAX + 1 bytes. */
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

LM_COLD void lm_log_status(const char *deed, const char *name, int socket, kern_return_t status)
{
    char path[LM_PATH_MAX], shown[LM_NAME_MAX + 1];
    lm_runtime_path(path, sizeof path);
    lm_log(socket, "error: can't %s \"%s\" (runtime directory %s): %#x: %s", deed, lm_name_shown(name, shown), path,
           (unsigned)status, mach_error_string(status));
}

LM_COLD void lm_log_offer(const char *name, int error)
{
    char path[LM_PATH_MAX];
    lm_runtime_path(path, sizeof path);
    lm_log_failure(LM_DEED_OFFER, name, path, "", error);
}

/* Like lm_told, for a failure to open a channel to a service; its path is that of the runtime directory. */
LM_SETUP int lm_offer_told(const char *name, int result)
{
    if (result < 0 && lm_logging())
        lm_log_offer(name, result);
    return result;
}

/* Returns the status unchanged, and logs it unless it is success. */
LM_SETUP kern_return_t lm_status_told(const char *deed, const char *name, int socket, kern_return_t status)
{
    if (status && lm_logging())
        lm_log_status(deed, name, socket, status);
    return status;
}

#endif
