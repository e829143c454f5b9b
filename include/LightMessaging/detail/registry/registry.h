/* SPDX-License-Identifier: MIT */
/*
 * Service names without a daemon: one socket per service in the file system (runtime.h), with access controlled by the
 * kernel. Functions return a descriptor or 0, or a negative errno.
 *
 * To take a name, a process takes the lock of the name's file and renames a listening socket to the name; the rename
 * succeeds for only one process. Before that it removes what a dead owner left. A socket with a listener is never
 * removed, whatever happened to its owner's lock: connecting to it shows whether it has one. An entry is removed in two
 * steps: renamed to a temporary name that no other process knows, and checked again.
 */
#include "../../Mach.h"

#ifndef LM_DETAIL_REGISTRY_REGISTRY_H
#define LM_DETAIL_REGISTRY_REGISTRY_H

#include "runtime.h"

#define LM_LISTEN_BACKLOG 4096 /* the kernel clamps this to net.core.somaxconn, which is 4096 by default */
#define LM_REGISTER_TRIES 100  /* at a name that other processes take and give up meanwhile; untuned */
#define LM_TEMPORARY_SIZE 29   /* "...", 8 digits, "-", 16 digits; short, because socket addresses are */

/* Identifies the file of an entry. All zero: none. */
struct lm_identity {
    uint64_t device;
    uint64_t inode;
};

struct lm_registration {
    int listener;
    int lock;                  /* -1 with a launcher's socket */
    struct lm_identity socket; /* this process's socket in the file system; none with a launcher's */
};

/* --- Entries --- */

LM_SETUP struct lm_identity lm_identity_of(const struct stat *status)
{
    struct lm_identity identity = {(uint64_t)status->st_dev, (uint64_t)status->st_ino};
    return identity;
}

LM_SETUP bool lm_identity_same(struct lm_identity a, struct lm_identity b)
{
    return a.device == b.device && a.inode == b.inode;
}

LM_SETUP bool lm_is_socket(const struct stat *status)
{
    return ((unsigned)status->st_mode & LM_S_IFMT) == LM_S_IFSOCK;
}

/* Opens the entry itself; links are not followed. */
LM_SETUP int lm_entry_open(int directory, const char *name, struct stat *status)
{
    int entry = lm_sys_open(directory, name, LM_O_PATH | LM_O_NOFOLLOW, 0);
    int result = entry < 0 ? entry : lm_sys_stat(entry, status);
    if (result < 0)
        lm_sys_close(&entry);
    return result < 0 ? result : entry;
}

/* Returns the identity of the entry's socket; none if it is not a socket. */
LM_SETUP struct lm_identity lm_entry_identity(int directory, const char *name)
{
    struct lm_identity identity = {0, 0};
    struct stat status;
    int entry = lm_entry_open(directory, name, &status);
    if (entry >= 0 && lm_is_socket(&status))
        identity = lm_identity_of(&status);
    lm_sys_close(&entry);
    return identity;
}

/* -EEXIST: the entry is another file. */
LM_SETUP int lm_entry_check(int directory, const char *name, struct lm_identity wanted)
{
    struct stat status;
    int entry = lm_entry_open(directory, name, &status);
    int result = entry < 0 ? entry : lm_identity_same(lm_identity_of(&status), wanted) ? 0 : -EEXIST;
    lm_sys_close(&entry);
    return result;
}

/* FNV-1a. If two names have the same number, each only removes dead entries of the other. */
LM_SETUP uint32_t lm_name_number(const char *name)
{
    uint32_t number = 2166136261u;
    for (; *name; name++)
        number = (number ^ (unsigned char)*name) * 16777619u;
    return number;
}

/* Stores the prefix of the temporary names of `name`; `name` may itself be a temporary name. */
LM_SETUP void lm_temporary_prefix(char *prefix, const char *name)
{
    if (name[0] == '.')
        snprintf(prefix, LM_TEMPORARY_SIZE, "%.12s", name);
    else
        snprintf(prefix, LM_TEMPORARY_SIZE, "...%08x-", (unsigned)lm_name_number(name));
}

/* Returns whether the entry has a temporary name of `name`: a process that was killed may have left it. */
LM_SETUP bool lm_temporary_is_of(const char *entry, const char *name)
{
    char prefix[LM_TEMPORARY_SIZE];
    lm_temporary_prefix(prefix, name);
    return strncmp(entry, prefix, strlen(prefix)) == 0 && strlen(entry) == LM_TEMPORARY_SIZE - 1;
}

/* Creates a random temporary name for the entry `name`. */
LM_SETUP void lm_temporary_name(char *temporary, const char *name)
{
    uint64_t random = 0;
    lm_sys_random(&random, sizeof random, 0);
    lm_temporary_prefix(temporary, name);
    size_t length = strlen(temporary);
    snprintf(temporary + length, LM_TEMPORARY_SIZE - length, "%016llx", (unsigned long long)random);
}

/* Removes the entry if it is the wanted socket. Between a check and a removal another process could replace the entry,
 * so it is first renamed to a temporary name, which no other process knows, and checked there. */
LM_SETUP void lm_entry_remove(int directory, const char *name, struct lm_identity wanted)
{
    char temporary[LM_TEMPORARY_SIZE];
    if (!wanted.inode || !lm_identity_same(lm_entry_identity(directory, name), wanted))
        return;
    lm_temporary_name(temporary, name);
    if (lm_sys_rename(directory, name, temporary) < 0)
        return;
    if (lm_identity_same(lm_entry_identity(directory, temporary), wanted))
        lm_sys_unlink(directory, temporary);
    else
        lm_sys_rename(directory, temporary, name);
}

/* --- Addresses --- */

/* Stores the path of an open descriptor, short enough for a socket's address; `below` is appended. */
LM_SETUP void lm_descriptor_address(struct sockaddr_un *address, int descriptor, const char *below)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d%s", descriptor, below);
}

/* Stores the plain path, for systems without /proc. Only the directory's owner can have changed it since the check. */
LM_SETUP int lm_path_address(struct sockaddr_un *address, const char *path, const char *folder, const char *name)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    int length = snprintf(address->sun_path, sizeof address->sun_path, "%s/%s/%s", path, folder, name);
    return length < 0 || (size_t)length >= sizeof address->sun_path ? -ENAMETOOLONG : 0;
}

/* Returns whether an error with an address below /proc means that there is no /proc: the rest of the path is an open
 * descriptor. */
LM_SETUP bool lm_means_no_proc(int error)
{
    return error == -ENOENT || error == -ENOTDIR;
}

/* --- Looking up --- */

/* A place to look for a service: an entry of a folder. */
struct lm_place {
    const char *name;
    const char *path; /* of the runtime directory */
    const char *folder;
    uint32_t owner; /* the folder's owner */
    int entry;      /* opened with O_PATH */
};

/* Connects. While the service's queue of new connections is full, it waits until the deadline. */
LM_SETUP int lm_connect_until(int socket, const struct sockaddr_un *address, int64_t deadline)
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

LM_SETUP int lm_entry_connect(int socket, const struct lm_place *place, int64_t deadline)
{
    struct sockaddr_un address;
    lm_descriptor_address(&address, place->entry, "");
    int result = lm_connect_until(socket, &address, deadline);
    if (!lm_means_no_proc(result))
        return result;
    result = lm_path_address(&address, place->path, place->folder, place->name);
    return result < 0 ? result : lm_connect_until(socket, &address, deadline);
}

/* Connects to the place's socket. The listener must belong to root or to the folder's owner. */
LM_SETUP int lm_place_connect(int socket, const struct lm_place *place, const struct stat *status, int64_t deadline)
{
    struct lm_credentials server = {0, 0, 0};
    if (!lm_is_socket(status))
        return -ENOENT;
    int result = lm_entry_connect(socket, place, deadline);
    if (result == 0)
        result = lm_sys_peer(socket, &server);
    if (result == 0 && server.uid != 0 && server.uid != place->owner)
        return -EPERM;
    if (result == 0)
        LM_LOG(socket, "connected to \"%s\" at %s/%s, which process %d of user %u listens on", place->name, place->path,
               place->folder, (int)server.pid, (unsigned)server.uid);
    return result;
}

/* Returns the result of one place unchanged, and logs a failure, which is not an error yet. */
LM_SETUP int lm_place_tried(const struct lm_place *place, int result)
{
    if (result < 0)
        LM_LOG(-1, "\"%s\" can't be called at %s%s%s: %s", place->name, place->path, place->folder[0] ? "/" : "",
               place->folder, strerror(-result));
    return result;
}

LM_SETUP int lm_folder_connect(int socket, struct lm_place *place, const struct lm_directory *runtime, int64_t deadline)
{
    struct lm_directory folder;
    struct stat status;
    int result = lm_folder_open(runtime, place->folder, &folder);
    if (result == 0) {
        result = place->entry = lm_entry_open(folder.descriptor, place->name, &status);
        place->owner = folder.owner;
        lm_sys_close(&folder.descriptor);
    }
    if (result >= 0) {
        result = lm_place_connect(socket, place, &status, deadline);
        lm_sys_close(&place->entry);
    }
    return lm_place_tried(place, result);
}

/* Returns whether an error of one place means that the next place is to be tried. A folder that cannot be entered hides
 * whether it has the name. */
LM_SETUP bool lm_absent(int error)
{
    return error == -ENOENT || error == -ECONNREFUSED || error == -EACCES || error == -ENOTDIR;
}

/* Tries both folders of a runtime directory. Afterwards place->folder is the one that the result is about. */
LM_SETUP int lm_runtime_connect(int socket, struct lm_place *place, int64_t deadline)
{
    struct lm_directory runtime;
    place->folder = "";
    int result = lm_place_tried(place, lm_runtime_open(place->path, &runtime));
    if (result < 0)
        return result;
    place->folder = "locked";
    result = lm_folder_connect(socket, place, &runtime, deadline);
    if (lm_absent(result)) {
        place->folder = "unlocked";
        int unlocked = lm_folder_connect(socket, place, &runtime, deadline);
        if (lm_absent(unlocked) && (result == -EACCES || result == -ECONNREFUSED))
            place->folder = "locked"; /* tells the caller more */
        else
            result = unlocked;
    }
    lm_sys_close(&runtime.descriptor);
    return result;
}

/* Connects a new socket to the named service. After a failure the socket is unusable. The system's directory is also
 * tried if the user's is not trusted, as can happen in /tmp. */
LM_SETUP int lm_registry_connect(int socket, const char *name, int64_t deadline)
{
    char path[LM_PATH_MAX];
    struct lm_place users = {name, path, "", 0, -1}, systems = {name, LM_SYSTEM_RUNTIME, "", 0, -1};
    const struct lm_place *told = &users;
    int result = lm_runtime_path(path, sizeof path);
    if (result == 0)
        result = lm_runtime_connect(socket, &users, deadline);
    if ((lm_absent(result) || result == -EPERM) && strcmp(path, LM_SYSTEM_RUNTIME) != 0) {
        int system = lm_runtime_connect(socket, &systems, deadline);
        if (!lm_absent(system) && system != -EPERM) {
            told = &systems;
            result = system;
        }
    }
    return lm_told(LM_DEED_LOOK_UP, name, told->path, told->folder, result);
}

/* --- Removing the entries of dead processes --- */

/* Returns 1 if the place's socket has a listener, 0 if it has none, and a negative errno if that cannot be
 * determined. */
LM_SETUP int lm_place_probe(const struct lm_place *place)
{
    int socket = lm_sys_socket(SOCK_NONBLOCK);
    int result = socket < 0 ? socket : lm_entry_connect(socket, place, LM_FOREVER);
    lm_sys_close(&socket);
    if (result == -ECONNREFUSED)
        return 0;
    return result == 0 || result == -ETIMEDOUT || result == -EPROTOTYPE ? 1 : result;
}

/* Removes a dead socket of that name from a folder. -EEXIST: the entry has a listener, or is not a socket. */
LM_SETUP int lm_place_vacate(struct lm_place *place, int folder)
{
    struct stat status;
    place->entry = lm_entry_open(folder, place->name, &status);
    if (place->entry < 0)
        return place->entry == -ENOENT ? 0 : place->entry;
    int live = lm_is_socket(&status) ? lm_place_probe(place) : 1;
    lm_sys_close(&place->entry);
    if (live == 0)
        lm_entry_remove(folder, place->name, lm_identity_of(&status));
    return live > 0 ? -EEXIST : live;
}

LM_SETUP int lm_vacate(const char *path, const char *folder_name, int folder, const char *name)
{
    struct lm_place place = {name, path, folder_name, 0, -1};
    return lm_place_vacate(&place, folder);
}

/* --- The name's file: two locks, and the mark that the name is unlocked --- */

/* Bytes of the file that are locked; the file need not be that long. */
enum lm_name_lock {
    LM_LOCK_OWNER = 0,  /* held while the name is served */
    LM_LOCK_CHANGE = 1, /* held while the name's entries and its mark are changed */
};

#define LM_CHANGE_TRIES       20000  /* with the pause below, some seconds; a change takes less than a tenth of one */
#define LM_CHANGE_NANOSECONDS 100000 /* untuned */

LM_SETUP int lm_name_open(int locked, const char *name)
{
    char path[1 + LM_NAME_MAX + 1];
    struct stat status;
    snprintf(path, sizeof path, ".%s", name);
    int file = lm_sys_open(locked, path, O_RDWR | O_CREAT | O_NONBLOCK | LM_O_NOFOLLOW, 0600);
    int result = file < 0 ? file : lm_sys_stat(file, &status);
    if (result == 0 && ((unsigned)status.st_mode & LM_S_IFMT) != LM_S_IFREG)
        result = -EEXIST;
    if (result < 0)
        lm_sys_close(&file);
    return result < 0 ? result : file;
}

/* Opens the file and takes the owner's lock, which is held until the file is closed. -EEXIST: another process has
 * it. */
LM_SETUP int lm_name_own(int locked, const char *name)
{
    int file = lm_name_open(locked, name);
    int result = file < 0 ? file : lm_sys_lock(file, LM_LOCK_OWNER);
    if (result < 0)
        lm_sys_close(&file);
    return result == -EAGAIN || result == -EACCES ? -EEXIST : result < 0 ? result : file;
}

/* -EBUSY: another process has been changing the name for too long, because it is stopped. */
LM_SETUP int lm_name_begin_change(int file)
{
    int result = lm_sys_lock(file, LM_LOCK_CHANGE);
    for (int i = 0; i < LM_CHANGE_TRIES && result == -EAGAIN; i++) {
        lm_sys_pause(LM_CHANGE_NANOSECONDS);
        result = lm_sys_lock(file, LM_LOCK_CHANGE);
    }
    return result == -EAGAIN ? -EBUSY : result;
}

LM_SETUP void lm_name_end_change(int file)
{
    lm_sys_unlock(file, LM_LOCK_CHANGE);
}

LM_SETUP bool lm_name_is_unlocked(int file)
{
    struct stat status;
    return lm_sys_stat(file, &status) == 0 && status.st_size > 0;
}

LM_SETUP int lm_name_mark(int file, bool unlocked)
{
    return lm_sys_truncate(file, unlocked);
}

#endif
