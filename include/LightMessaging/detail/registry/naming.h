/* SPDX-License-Identifier: MIT */
/*
 * Taking a name, giving it up, and opening or closing its door. The door is a second link to the service's socket, in
 * the `unlocked` folder, through which sandboxed processes connect.
 *
 * The name's file stores whether the name is unlocked, so a name can be unlocked before its service starts, and stays
 * unlocked when the service restarts. A process that changes the entries or the file holds the change lock, and leaves
 * the door as the file says. Only a service that opens its own door when it starts does not write the file. Without a
 * door the socket has mode 0600, so that other users cannot connect through a descriptor that they opened earlier
 * either.
 *
 * A process may be killed between any two steps. An unfinished entry has a temporary name that begins with "..." and
 * depends on the service's name. The next change of the same name removes it.
 */
#include "../../Mach.h"

#ifndef LM_DETAIL_REGISTRY_NAMING_H
#define LM_DETAIL_REGISTRY_NAMING_H

#include "entries.h"
#include "../ground/error.h"

/* The state of a change of one name. */
struct lm_change {
    const char *name;
    char path[LM_PATH_MAX]; /* of the runtime directory */
    struct lm_folders folders;
    int file; /* the name's file, with the change lock */
};

/* --- The door; with the change lock --- */

LM_SETUP bool lm_is_users_socket(const struct stat *status)
{
    return lm_is_socket(status) && status->st_uid == geteuid();
}

/* Returns the identity of this user's socket of that name in `locked`; none if the entry is not a socket of this
 * user. */
LM_SETUP struct lm_identity lm_door_owner(const struct lm_change *change)
{
    struct lm_identity identity = {0, 0};
    struct stat status;
    int entry = lm_entry_open(change->folders.locked, change->name, &status);
    if (entry >= 0 && lm_is_users_socket(&status))
        identity = lm_identity_of(&status);
    lm_sys_close(&entry);
    return identity;
}

/* Sets the mode of a socket of this user. With 0666 every user who can reach the folder connects, with 0600 only this
 * user and root. */
LM_SETUP int lm_socket_set_mode(int locked, const char *name, unsigned mode)
{
    struct sockaddr_un address;
    struct stat status;
    int entry = lm_entry_open(locked, name, &status);
    if (entry < 0)
        return entry;
    lm_descriptor_address(&address, entry, "");
    int result = lm_is_users_socket(&status) ? lm_sys_chmod(address.sun_path, mode) : -EEXIST;
    if (lm_means_no_proc(result))
        result = lm_sys_chmod_entry(locked, name, mode);
    lm_sys_close(&entry);
    return result;
}

/* Links this socket into `unlocked`, unless another one has replaced it meanwhile. */
LM_SETUP int lm_door_link(const struct lm_change *change, struct lm_identity socket)
{
    char temporary[LM_TEMPORARY_SIZE];
    int unlocked = change->folders.unlocked;
    lm_temporary_name(temporary, change->name);
    int result = lm_sys_link(change->folders.locked, change->name, unlocked, temporary);
    if (result < 0)
        return result;
    result = lm_entry_check(unlocked, temporary, socket);
    if (result == 0)
        result = lm_sys_rename(unlocked, temporary, change->name);
    if (result < 0)
        lm_sys_unlink(unlocked, temporary); /* the link just made, whatever file it is */
    return result;
}

/* -EEXIST: another socket, such as a launcher's, has a listener in `unlocked`, or the entry there is not a socket. */
LM_SETUP int lm_door_open(const struct lm_change *change)
{
    struct lm_identity socket = lm_door_owner(change);
    if (!socket.inode)
        return 0; /* the door is opened when the service starts */
    int result = lm_socket_set_mode(change->folders.locked, change->name, 0666);
    if (result < 0 || lm_identity_same(lm_entry_identity(change->folders.unlocked, change->name), socket))
        return result;
    result = lm_vacate(change->path, "unlocked", change->folders.unlocked, change->name);
    return result < 0 ? result : lm_door_link(change, socket);
}

/* -ENOTUNIQ: the listener in `unlocked` is not that of `locked`. A launcher, for example, creates its socket itself. */
LM_SETUP int lm_door_remove(const struct lm_change *change)
{
    struct lm_identity door = lm_entry_identity(change->folders.unlocked, change->name);
    if (door.inode && lm_identity_same(door, lm_entry_identity(change->folders.locked, change->name))) {
        lm_entry_remove(change->folders.unlocked, change->name, door);
        return 0;
    }
    int result = lm_vacate(change->path, "unlocked", change->folders.unlocked, change->name);
    return result == -EEXIST ? -ENOTUNIQ : result;
}

LM_SETUP int lm_door_close(const struct lm_change *change)
{
    int result = lm_door_remove(change);
    if (result == 0 && lm_door_owner(change).inode)
        result = lm_socket_set_mode(change->folders.locked, change->name, 0600);
    return result;
}

/* --- Cleaning up after killed processes; with the change lock --- */

struct lm_sweep {
    const struct lm_change *change;
    const char *folder;
    struct lm_identity socket; /* its other links are removed although it has a listener */
};

LM_SETUP bool lm_sweep_entry(void *info, int folder, const char *entry)
{
    const struct lm_sweep *sweep = (const struct lm_sweep *)info;
    if (!lm_temporary_is_of(entry, sweep->change->name))
        return true;
    if (sweep->socket.inode && lm_identity_same(lm_entry_identity(folder, entry), sweep->socket))
        lm_entry_remove(folder, entry, sweep->socket);
    else
        lm_vacate(sweep->change->path, sweep->folder, folder, entry);
    return true;
}

/* Removes sockets without a listener under temporary names of this name. In `unlocked` it also removes such links to
 * the live service's socket: they would be doors that no process closes. */
LM_SETUP void lm_name_sweep(const struct lm_change *change)
{
    struct lm_sweep locked = {change, "locked", {0, 0}}, unlocked = {change, "unlocked", lm_door_owner(change)};
    lm_entries_visit(change->folders.locked, lm_sweep_entry, &locked);
    lm_entries_visit(change->folders.unlocked, lm_sweep_entry, &unlocked);
}

/* --- Unlocking and locking --- */

enum lm_door_wish {
    LM_DOOR_LOCKED,
    LM_DOOR_UNLOCKED,
    LM_DOOR_OPEN, /* opens the door without writing the file, which decides for the next service of the name */
};

/* Opens or closes the door, as the name's file says. */
LM_SETUP int lm_door_settle(const struct lm_change *change)
{
    return lm_name_is_unlocked(change->file) ? lm_door_open(change) : lm_door_close(change);
}

/* With the change lock. */
LM_SETUP int lm_door_make(const struct lm_change *change, enum lm_door_wish wish)
{
    lm_name_sweep(change);
    if (wish == LM_DOOR_OPEN)
        return lm_door_open(change);
    int result = lm_name_mark(change->file, wish == LM_DOOR_UNLOCKED);
    return result < 0 ? result : lm_door_settle(change);
}

LM_SETUP int lm_door_change(struct lm_change *change, enum lm_door_wish wish)
{
    int result = change->file = lm_name_open(change->folders.locked, change->name);
    if (result >= 0)
        result = lm_name_begin_change(change->file);
    if (result >= 0)
        result = lm_door_make(change, wish);
    if (change->file >= 0)
        lm_name_end_change(change->file); /* closing does not release it while a child forked meanwhile has a copy */
    lm_sys_close(&change->file);
    return result;
}

/* Opens or closes the service's door, as `wish` says. */
LM_SETUP int lm_registry_unlock(const char *name, enum lm_door_wish wish)
{
    struct lm_change change;
    change.name = name;
    int result = lm_runtime_make(change.path, &change.folders);
    if (result == 0)
        result = lm_door_change(&change, wish);
    lm_folders_close(&change.folders);
    if (result == 0)
        LM_LOG(-1, "%s \"%s\" at %s", wish == LM_DOOR_LOCKED ? "locked" : "unlocked", name, change.path);
    return lm_told(LM_DEED_UNLOCK, name, change.path, "", result);
}

LM_SETUP kern_return_t lm_registry_change(const char *name, enum lm_door_wish wish)
{
    kern_return_t status = KERN_INVALID_ARGUMENT;
    if (lm_name_valid(name))
        status = lm_registry_status(lm_registry_unlock(name, wish));
    return lm_status_told(wish == LM_DOOR_LOCKED ? "lock" : "unlock", name, -1, status);
}

/* --- Taking a name --- */

LM_SETUP int lm_bind_in(int listener, const char *path, int locked, const char *name)
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

/* Stores the identity of the socket that was just bound; removes the socket if that fails. */
LM_SETUP int lm_bound_identity(int locked, const char *temporary, struct lm_identity *socket)
{
    struct stat status;
    int entry = lm_entry_open(locked, temporary, &status);
    if (entry < 0) {
        lm_sys_unlink(locked, temporary);
        return entry;
    }
    *socket = lm_identity_of(&status);
    lm_sys_close(&entry);
    return 0;
}

/* Creates a listening socket under a temporary name. Stores the socket's identity once it is known. */
LM_SETUP int lm_listen_as(const char *path, int locked, const char *temporary, struct lm_identity *socket)
{
    int listener = lm_sys_socket(SOCK_NONBLOCK);
    if (listener < 0)
        return listener;
    int result = lm_bind_in(listener, path, locked, temporary);
    if (result == 0)
        result = lm_bound_identity(locked, temporary, socket);
    if (result == 0)
        result = lm_socket_set_mode(locked, temporary, 0600);
    if (result == 0)
        result = lm_sys_listen(listener, LM_LISTEN_BACKLOG);
    if (result < 0)
        lm_sys_close(&listener);
    return result < 0 ? result : listener;
}

/* Renames the socket to the name; this succeeds for only one process. -EEXIST: another process has the name. */
LM_SETUP int lm_name_claim(const struct lm_change *change, const char *temporary, struct lm_identity socket)
{
    int result = -EEXIST, locked = change->folders.locked;
    for (int i = 0; i < LM_REGISTER_TRIES && result == -EEXIST; i++) {
        result = lm_vacate(change->path, "locked", locked, change->name);
        if (result < 0)
            return result;
        result = lm_sys_rename(locked, temporary, change->name);
    }
    return result < 0 ? result : lm_entry_check(locked, change->name, socket);
}

/* After a failure, nothing of this process is left in the folders. */
LM_SETUP int lm_name_take(const struct lm_change *change, struct lm_registration *registration)
{
    char temporary[LM_TEMPORARY_SIZE];
    int locked = change->folders.locked;
    int result = lm_vacate(change->path, "unlocked", change->folders.unlocked, change->name);
    if (result < 0)
        return result;
    lm_temporary_name(temporary, change->name);
    result = registration->listener = lm_listen_as(change->path, locked, temporary, &registration->socket);
    if (result >= 0)
        result = lm_name_claim(change, temporary, registration->socket);
    if (result < 0)
        lm_entry_remove(locked, temporary, registration->socket);
    return result;
}

LM_SETUP void lm_name_give_up(const struct lm_folders *folders, const char *name,
                              const struct lm_registration *registration)
{
    lm_entry_remove(folders->unlocked, name, registration->socket);
    lm_entry_remove(folders->locked, name, registration->socket);
}

LM_SETUP void lm_registration_close(struct lm_registration *registration)
{
    memset(&registration->socket, 0, sizeof registration->socket);
    lm_sys_close(&registration->listener);
    lm_sys_close(&registration->lock);
}

/* Registers, with the name's file as the registration's lock. */
LM_SETUP int lm_registry_try(struct lm_change *change, struct lm_registration *registration)
{
    int result = lm_name_begin_change(registration->lock);
    if (result < 0)
        return result;
    change->file = registration->lock;
    lm_name_sweep(change);
    result = lm_name_take(change, registration);
    if (result >= 0)
        result = lm_door_settle(change);
    if (result < 0)
        lm_name_give_up(&change->folders, change->name, registration);
    lm_name_end_change(registration->lock);
    return result;
}

/* -EEXIST: a live process serves the name. After a failure nothing is left behind. */
LM_SETUP int lm_registry_register(const char *name, struct lm_registration *registration)
{
    struct lm_change change;
    change.name = name;
    int result = lm_runtime_make(change.path, &change.folders);
    if (result == 0)
        result = registration->lock = lm_name_own(change.folders.locked, name);
    if (result >= 0)
        result = lm_registry_try(&change, registration);
    lm_folders_close(&change.folders);
    if (result < 0)
        lm_registration_close(registration);
    else
        LM_LOG(-1, "registered \"%s\" at %s", name, change.path);
    return lm_told(LM_DEED_REGISTER, name, change.path, "", result);
}

/*
 * Frees the name. The listener and the owner's lock are closed last, so that other processes find a live service until
 * all entries are removed. If a stopped process holds the change lock, this proceeds without it: only entries of this
 * registration are removed.
 */
LM_SETUP void lm_registry_unregister(const char *name, struct lm_registration *registration)
{
    char path[LM_PATH_MAX];
    struct lm_folders folders;
    if (registration->socket.inode && lm_runtime_find(path, &folders) == 0) {
        lm_name_begin_change(registration->lock);
        lm_name_give_up(&folders, name, registration);
        lm_name_end_change(registration->lock);
        lm_folders_close(&folders);
    }
    LM_LOG(-1, "gave up \"%s\"", name);
    lm_registration_close(registration);
}

#endif
