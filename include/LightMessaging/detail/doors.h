/* SPDX-License-Identifier: MIT */
/*
 * Taking a name, giving it up, and its door for sandboxed processes: a link to its socket in `unlocked`.
 *
 * Whether a name is unlocked is written in its file, so it can be said before the service is there and is kept when it
 * restarts. Who changes anything, file or socket, then makes the door as the file says, and looks at the file again:
 * whoever is last to look has seen what was written last.
 */
#ifndef LM_DETAIL_DOORS_H
#define LM_DETAIL_DOORS_H

#include "error.h"
#include "registry.h"

/* --- The door --- */

LM_INTERNAL int lm_door_open(const char *path, const struct lm_folders *folders, const char *name)
{
    struct lm_identity socket = lm_entry_identity(folders->locked, name);
    int result = socket.inode ? -EEXIST : 0; /* 0: it is opened when the service is there */
    for (int i = 0; i < LM_REGISTER_TRIES && result == -EEXIST; i++) {
        if (lm_identity_same(lm_entry_identity(folders->unlocked, name), socket))
            return 0;
        result = lm_vacate(path, "unlocked", folders->unlocked, name);
        if (result < 0)
            return result;
        result = lm_sys_link(folders->locked, name, folders->unlocked, name);
    }
    return result == -ENOENT ? 0 : result;
}

/* -EPERM: there is a launcher's socket, which it put there itself. */
LM_INTERNAL int lm_door_close(const char *path, const struct lm_folders *folders, const char *name)
{
    struct lm_identity door = lm_entry_identity(folders->unlocked, name);
    if (door.inode && lm_identity_same(door, lm_entry_identity(folders->locked, name))) {
        lm_entry_remove(folders->unlocked, name, door);
        return 0;
    }
    int result = lm_vacate(path, "unlocked", folders->unlocked, name);
    return result == -EEXIST ? -EPERM : result;
}

/* Makes the door as the name's file says. */
LM_INTERNAL int lm_door_settle(const char *path, const struct lm_folders *folders, const char *name)
{
    bool unlocked;
    int result;
    do {
        unlocked = lm_name_is_unlocked(folders->locked, name);
        result = unlocked ? lm_door_open(path, folders, name) : lm_door_close(path, folders, name);
    } while (result == 0 && unlocked != lm_name_is_unlocked(folders->locked, name));
    return result;
}

/* Opens the service's door to sandboxed processes, or closes it, from now on. */
LM_INTERNAL int lm_registry_unlock(const char *name, bool unlocked)
{
    char path[LM_PATH_MAX];
    struct lm_folders folders;
    int result = lm_runtime_make(path, &folders);
    if (result == 0)
        result = lm_name_mark(folders.locked, name, unlocked);
    if (result == 0)
        result = lm_door_settle(path, &folders, name);
    lm_folders_close(&folders);
    if (result == 0)
        LM_TRACE(-1, "%s \"%s\" at %s", unlocked ? "unlocked" : "locked", name, path);
    return lm_told(LM_DEED_UNLOCK, name, path, "", result);
}

LM_INTERNAL kern_return_t lm_registry_change(const char *name, bool unlocked)
{
    kern_return_t status = KERN_INVALID_ARGUMENT;
    if (lm_name_valid(name))
        status = lm_registry_status(lm_registry_unlock(name, unlocked));
    return lm_status_told(unlocked ? "unlock" : "lock", name, -1, status);
}

/* --- Taking a name --- */

/* Lets everybody who can reach the folder connect. */
LM_INTERNAL int lm_socket_open_to_all(int locked, const char *name)
{
    struct sockaddr_un address;
    struct stat status;
    int entry = lm_entry_open(locked, name, &status);
    if (entry < 0)
        return entry;
    lm_descriptor_address(&address, entry, "");
    int result = lm_is_socket(&status) ? lm_sys_chmod(address.sun_path, 0666) : -ENOENT;
    if (lm_means_no_proc(result))
        result = lm_sys_chmod_entry(locked, name, 0666);
    lm_sys_close(&entry);
    return result;
}

LM_INTERNAL int lm_bind_in(int listener, const char *path, int locked, const char *name)
{
    struct sockaddr_un address;
    char below[1 + LM_TEMPORARY_SIZE];
    snprintf(below, sizeof below, "/%s", name);
    lm_descriptor_address(&address, locked, below);
    int result = lm_sys_bind(listener, &address);
    if (!lm_means_no_proc(result))
        return result;
    result = lm_path_address(&address, path, "locked", name);
    return result < 0 ? result : lm_sys_bind(listener, &address);
}

/* A listening socket under a name that nobody looks up. */
LM_INTERNAL int lm_listen_as(const char *path, int locked, const char *temporary)
{
    int listener = lm_sys_socket(SOCK_NONBLOCK);
    if (listener < 0)
        return listener;
    int result = lm_bind_in(listener, path, locked, temporary);
    if (result == 0)
        result = lm_socket_open_to_all(locked, temporary);
    if (result == 0)
        result = lm_sys_listen(listener, LM_LISTEN_BACKLOG);
    if (result < 0)
        lm_sys_close(&listener);
    return result < 0 ? result : listener;
}

/* Links the socket to the name, which only one can. -EEXIST: somebody else has it. */
LM_INTERNAL int lm_name_claim(const char *path, int locked, const char *temporary, const char *name)
{
    int result = -EEXIST;
    for (int i = 0; i < LM_REGISTER_TRIES && result == -EEXIST; i++) {
        result = lm_vacate(path, "locked", locked, name);
        if (result < 0)
            return result;
        result = lm_sys_link(locked, temporary, locked, name);
    }
    return result;
}

/* With the name's lock, so that rivals are told at once. On failure what is in the folders is not ours. */
LM_INTERNAL int lm_name_take(const char *path, const struct lm_folders *folders, const char *name,
                             struct lm_registration *registration)
{
    char temporary[LM_TEMPORARY_SIZE];
    int result = lm_vacate(path, "unlocked", folders->unlocked, name);
    if (result < 0)
        return result;
    lm_temporary_name(temporary);
    result = registration->listener = lm_listen_as(path, folders->locked, temporary);
    if (result >= 0) {
        registration->socket = lm_entry_identity(folders->locked, temporary);
        result = lm_name_claim(path, folders->locked, temporary, name);
    }
    lm_sys_unlink(folders->locked, temporary);
    return result;
}

LM_INTERNAL void lm_name_give_up(const struct lm_folders *folders, const char *name,
                                 const struct lm_registration *registration)
{
    lm_entry_remove(folders->locked, name, registration->socket); /* first: nobody can link it any more */
    lm_entry_remove(folders->unlocked, name, registration->socket);
}

LM_INTERNAL void lm_registration_close(struct lm_registration *registration)
{
    memset(&registration->socket, 0, sizeof registration->socket);
    lm_sys_close(&registration->listener);
    lm_sys_close(&registration->lock);
}

LM_INTERNAL int lm_registry_try(const char *path, const struct lm_folders *folders, const char *name,
                                struct lm_registration *registration)
{
    int result = registration->lock = lm_name_lock(folders->locked, name);
    if (result >= 0)
        result = lm_name_take(path, folders, name, registration);
    if (result >= 0)
        result = lm_door_settle(path, folders, name);
    if (result >= 0)
        return 0;
    lm_name_give_up(folders, name, registration);
    lm_registration_close(registration);
    return result;
}

/* -EEXIST: a live process serves the name. On failure nothing is left behind. */
LM_INTERNAL int lm_registry_register(const char *name, struct lm_registration *registration)
{
    char path[LM_PATH_MAX];
    struct lm_folders folders;
    int result = lm_runtime_make(path, &folders);
    if (result == 0)
        result = lm_registry_try(path, &folders, name, registration);
    lm_folders_close(&folders);
    if (result == 0)
        LM_TRACE(-1, "registered \"%s\" at %s", name, path);
    return lm_told(LM_DEED_REGISTER, name, path, "", result);
}

/* Frees the name. Listening and the lock end last, so that a successor's socket can't be removed. */
LM_INTERNAL void lm_registry_unregister(const char *name, struct lm_registration *registration)
{
    char path[LM_PATH_MAX];
    struct lm_folders folders;
    if (registration->socket.inode && lm_runtime_find(path, &folders) == 0) {
        lm_name_give_up(&folders, name, registration);
        lm_folders_close(&folders);
    }
    LM_TRACE(-1, "gave up \"%s\"", name);
    lm_registration_close(registration);
}

#endif
