/* SPDX-License-Identifier: MIT */
/*
 * Service names, without a daemon: a socket per service in the file system, and the kernel's own checks on who may
 * reach it.
 *
 *     RUNTIME/locked/NAME       the socket; the folder is its user's alone (0700)
 *     RUNTIME/locked/.NAME      a file that the living owner of the name holds locked
 *     RUNTIME/unlocked/NAME     another link to the socket of an unlocked service; the folder that sandboxes get (0755)
 *
 * RUNTIME is $LM_RUNTIME_DIR, else $XDG_RUNTIME_DIR/lightmessaging, else /run/lightmessaging for root and
 * /tmp/lightmessaging-UID for others. Look-ups try it and then /run/lightmessaging. Work in a directory is done
 * relative to a descriptor of it whose owner and mode were checked. Functions return a descriptor or 0, or a negative
 * errno.
 */
#ifndef LM_DETAIL_REGISTRY_H
#define LM_DETAIL_REGISTRY_H

#include "deadline.h"
#include <stdio.h>

#define LM_NAME_MAX       127u
#define LM_PATH_MAX       4096 /* the kernel's limit, which strict libc headers hide */
#define LM_SYSTEM_RUNTIME "/run/lightmessaging"
#define LM_LISTEN_BACKLOG 4096 /* clamped by the kernel to net.core.somaxconn, which is 4096 unless set otherwise */

struct lm_registration {
    int listener;
    int lock;
};

/* 1 to 127 bytes, a NUL within the first 128, no '/' or control characters, not starting with '.'. */
LM_INTERNAL bool lm_name_valid(const char *name)
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

/* --- The runtime directory --- */

/* -EINVAL: LM_RUNTIME_DIR is not an absolute path; -ENAMETOOLONG. A relative XDG_RUNTIME_DIR is ignored, as its
 * standard asks. */
LM_INTERNAL int lm_runtime_path(char *path, size_t size)
{
    const char *directory = lm_environment("LM_RUNTIME_DIR");
    const char *session = lm_environment("XDG_RUNTIME_DIR");
    int length;
    if (directory && directory[0] != '/')
        return -EINVAL;
    if (directory)
        length = snprintf(path, size, "%s", directory);
    else if (session && session[0] == '/')
        length = snprintf(path, size, "%s/lightmessaging", session);
    else if (geteuid() == 0)
        length = snprintf(path, size, "%s", LM_SYSTEM_RUNTIME);
    else
        length = snprintf(path, size, "/tmp/lightmessaging-%u", (unsigned)geteuid());
    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

/* Opens a directory that only root or `owner` may change; stores who owns it. */
LM_INTERNAL int lm_directory_open(int parent, const char *path, uint32_t owner, uint32_t *found)
{
    struct stat status;
    int directory = lm_sys_open(parent, path, LM_O_PATH | LM_O_DIRECTORY | LM_O_NOFOLLOW, 0);
    if (directory < 0)
        return directory;
    int result = lm_sys_stat(directory, &status);
    if (result == 0 && ((status.st_uid != owner && status.st_uid != 0) || (status.st_mode & 022)))
        result = -EPERM;
    if (result < 0)
        lm_sys_close(&directory);
    *found = (uint32_t)status.st_uid;
    return result < 0 ? result : directory;
}

/* Makes the directory with that mode, whatever the umask, unless it exists; then opens it. It must be this user's. */
LM_INTERNAL int lm_directory_make(int parent, const char *path, unsigned mode)
{
    uint32_t owner = 0;
    int result = lm_sys_mkdir(parent, path, mode);
    if (result == 0)
        lm_sys_chmod(parent, path, mode);
    else if (result != -EEXIST)
        return result;
    int directory = lm_directory_open(parent, path, (uint32_t)geteuid(), &owner);
    if (directory >= 0 && owner != (uint32_t)geteuid()) {
        lm_sys_close(&directory);
        return -EPERM;
    }
    return directory;
}

/* The user's runtime directory, made if need be, with its two folders. */
LM_INTERNAL int lm_runtime_make(void)
{
    char path[LM_PATH_MAX];
    int result = lm_runtime_path(path, sizeof path);
    if (result < 0)
        return result;
    bool system = strcmp(path, LM_SYSTEM_RUNTIME) == 0;
    int runtime = lm_directory_make(LM_AT_FDCWD, path, system ? 0755 : 0700);
    if (runtime < 0)
        return runtime;
    int unlocked = lm_directory_make(runtime, "unlocked", 0755);
    int locked = unlocked < 0 ? unlocked : lm_directory_make(runtime, "locked", 0700);
    lm_sys_close(&unlocked);
    lm_sys_close(&runtime);
    return locked;
}

/* --- Looking up --- */

/* The path of an entry that is open, short enough for a socket's address. */
LM_INTERNAL void lm_descriptor_address(struct sockaddr_un *address, int descriptor, const char *below)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d%s", descriptor, below);
}

/* Waits, at most until the deadline, while the service's queue of new connections is full. */
LM_INTERNAL int lm_connect_until(int socket, const struct sockaddr_un *address, int64_t deadline)
{
    int result;
    do {
        int64_t left = lm_deadline_left(deadline);
        if (left != LM_FOREVER)
            lm_sys_set_timeout(socket, SO_SNDTIMEO, left > 1000 ? left : 1000);
        result = lm_sys_connect(socket, address);
    } while (result == -EINTR);
    return result == -EAGAIN ? -ETIMEDOUT : result;
}

/* Connects to the socket that `entry` is, which must be listened on by root or the directory's owner. */
LM_INTERNAL int lm_entry_connect(int socket, int entry, uint32_t owner, int64_t deadline)
{
    struct sockaddr_un address;
    struct lm_credentials server = {0, 0, 0};
    lm_descriptor_address(&address, entry, "");
    int result = lm_connect_until(socket, &address, deadline);
    if (result == 0)
        result = lm_sys_peer(socket, &server);
    return result == 0 && server.uid != 0 && server.uid != owner ? -EPERM : result;
}

/* Where a service may be. */
struct lm_place {
    int runtime;
    uint32_t owner;
    const char *name;
};

LM_INTERNAL int lm_folder_connect(int socket, const struct lm_place *place, const char *folder, int64_t deadline)
{
    char path[sizeof "unlocked/" + LM_NAME_MAX];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", folder, place->name);
    int entry = lm_sys_open(place->runtime, path, LM_O_PATH | LM_O_NOFOLLOW, 0);
    if (entry < 0)
        return entry;
    int result = lm_sys_stat(entry, &status);
    if (result == 0 && ((unsigned)status.st_mode & LM_S_IFMT) != LM_S_IFSOCK)
        result = -ENOENT;
    if (result == 0)
        result = lm_entry_connect(socket, entry, place->owner, deadline);
    lm_sys_close(&entry);
    return result;
}

/* Whether an error of one place means that the next should be asked. A folder that can't be entered hides whether the
 * name is in it. */
LM_INTERNAL bool lm_absent(int error)
{
    return error == -ENOENT || error == -ECONNREFUSED || error == -EACCES || error == -ENOTDIR;
}

LM_INTERNAL int lm_runtime_connect(int socket, const char *path, const char *name, int64_t deadline)
{
    struct lm_place place = {-1, 0, name};
    place.runtime = lm_directory_open(LM_AT_FDCWD, path, (uint32_t)geteuid(), &place.owner);
    if (place.runtime < 0)
        return place.runtime;
    int result = lm_folder_connect(socket, &place, "locked", deadline);
    if (lm_absent(result)) {
        int unlocked = lm_folder_connect(socket, &place, "unlocked", deadline);
        result = lm_absent(unlocked) && result == -EACCES ? result : unlocked;
    }
    lm_sys_close(&place.runtime);
    return result;
}

/* Connects a fresh socket to the named service. After a failure the socket is of no use. */
LM_INTERNAL int lm_registry_connect(int socket, const char *name, int64_t deadline)
{
    char path[LM_PATH_MAX];
    int result = lm_runtime_path(path, sizeof path);
    if (result < 0)
        return result;
    result = lm_runtime_connect(socket, path, name, deadline);
    if (!lm_absent(result) || strcmp(path, LM_SYSTEM_RUNTIME) == 0)
        return result;
    int system = lm_runtime_connect(socket, LM_SYSTEM_RUNTIME, name, deadline);
    return lm_absent(system) ? result : system;
}

/* --- Registering --- */

/* Holds the name for as long as this process lives. -EEXIST: another one does. */
LM_INTERNAL int lm_name_lock(int locked, const char *name)
{
    char path[1 + LM_NAME_MAX + 1];
    snprintf(path, sizeof path, ".%s", name);
    int file = lm_sys_open(locked, path, O_RDWR | O_CREAT | LM_O_NOFOLLOW, 0600);
    if (file < 0)
        return file;
    int result = lm_sys_lock(file);
    if (result < 0)
        lm_sys_close(&file);
    return result == -EWOULDBLOCK ? -EEXIST : result < 0 ? result : file;
}

/* A listening socket under a name that nobody looks up, open to everybody who can reach the folder. */
LM_INTERNAL int lm_listen_as(int locked, const char *temporary)
{
    struct sockaddr_un address;
    char below[64];
    int listener = lm_sys_socket(SOCK_NONBLOCK);
    if (listener < 0)
        return listener;
    snprintf(below, sizeof below, "/%s", temporary);
    lm_descriptor_address(&address, locked, below);
    int result = lm_sys_bind(listener, &address);
    if (result == 0)
        result = lm_sys_chmod(locked, temporary, 0666);
    if (result == 0)
        result = lm_sys_listen(listener, LM_LISTEN_BACKLOG);
    if (result < 0)
        lm_sys_close(&listener);
    return result < 0 ? result : listener;
}

LM_INTERNAL void lm_temporary_name(char *name, size_t size)
{
    uint64_t random = 0;
    lm_sys_random(&random, sizeof random);
    snprintf(name, size, "...%d-%016llx", (int)getpid(), (unsigned long long)random);
}

/* With the name's lock held, what is there is a dead owner's, and may be replaced. */
LM_INTERNAL int lm_listen_at(int locked, const char *name)
{
    char temporary[48];
    lm_temporary_name(temporary, sizeof temporary);
    int listener = lm_listen_as(locked, temporary);
    int result = listener < 0 ? listener : lm_sys_rename(locked, temporary, name);
    if (result < 0) {
        lm_sys_unlink(locked, temporary);
        lm_sys_close(&listener);
    }
    return result < 0 ? result : listener;
}

/* -EEXIST: a live process serves the name. On failure nothing is left behind. */
LM_INTERNAL int lm_registry_register(const char *name, struct lm_registration *registration)
{
    int locked = lm_runtime_make();
    if (locked < 0)
        return locked;
    registration->lock = lm_name_lock(locked, name);
    registration->listener = registration->lock < 0 ? registration->lock : lm_listen_at(locked, name);
    lm_sys_close(&locked);
    if (registration->listener >= 0)
        return 0;
    int error = registration->listener;
    lm_sys_close(&registration->lock);
    return error;
}

/* Opens the two folders of the user's runtime directory. */
LM_INTERNAL int lm_folders_open(int *locked, int *unlocked)
{
    char path[LM_PATH_MAX];
    uint32_t owner = 0;
    *locked = *unlocked = -1;
    int runtime = lm_runtime_path(path, sizeof path);
    if (runtime == 0)
        runtime = lm_directory_open(LM_AT_FDCWD, path, (uint32_t)geteuid(), &owner);
    if (runtime < 0)
        return runtime;
    *locked = lm_directory_open(runtime, "locked", (uint32_t)geteuid(), &owner);
    *unlocked = *locked < 0 ? *locked : lm_directory_open(runtime, "unlocked", (uint32_t)geteuid(), &owner);
    lm_sys_close(&runtime);
    int result = *unlocked < 0 ? *unlocked : 0;
    if (result < 0)
        lm_sys_close(locked);
    return result;
}

/* Frees the name. The lock goes last, so that a successor's socket can't be removed. */
LM_INTERNAL void lm_registry_unregister(const char *name, struct lm_registration *registration)
{
    int locked, unlocked;
    if (lm_folders_open(&locked, &unlocked) == 0) {
        lm_sys_unlink(unlocked, name);
        lm_sys_unlink(locked, name);
        lm_sys_close(&locked);
        lm_sys_close(&unlocked);
    }
    lm_sys_close(&registration->listener);
    lm_sys_close(&registration->lock);
}

/* Adds the link for sandboxes, in place of an older one. */
LM_INTERNAL int lm_registry_unlock(const char *name)
{
    char temporary[48];
    int locked, unlocked;
    int result = lm_folders_open(&locked, &unlocked);
    if (result < 0)
        return result;
    lm_temporary_name(temporary, sizeof temporary);
    result = lm_sys_link(locked, name, unlocked, temporary);
    if (result == 0)
        result = lm_sys_rename(unlocked, temporary, name);
    /* Renaming one link of a file to another leaves both: the name was unlocked before. */
    lm_sys_unlink(unlocked, temporary);
    lm_sys_close(&locked);
    lm_sys_close(&unlocked);
    return result;
}

#endif
