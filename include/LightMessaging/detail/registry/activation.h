/* SPDX-License-Identifier: MIT */
/*
 * Sockets that a launcher such as systemd listens on and passes to the service it starts:
 *
 *     LISTEN_PID      the process that they are for; other processes ignore them
 *     LISTEN_FDS      the number of sockets, which are descriptors 3, 4 and so on
 *     LISTEN_FDNAMES  their names, separated by ':'
 *
 * A service takes the socket that has its name, or whose path ends in locked/NAME or unlocked/NAME, which is where
 * clients look. Variables that contradict each other, two sockets for one name, and sockets that no client could find
 * are errors; nothing is guessed.
 */
#include "../../Mach.h"

#ifndef LM_DETAIL_REGISTRY_ACTIVATION_H
#define LM_DETAIL_REGISTRY_ACTIVATION_H

#include "registry.h"

#define LM_LISTEN_FIRST 3
#define LM_LISTEN_MAX   1024u /* the number of bits in lm_launcher's checked_in */

/* One bit for each of the launcher's sockets that a service has taken. Guarded by the process's lock. */
struct lm_launcher {
    uint64_t checked_in[16];
};

LM_STATE(struct lm_launcher, lm_launcher)

/* Parses a number that consists of decimal digits only and is at most `most`. -EINVAL: it is not such a number. */
LM_SETUP int64_t lm_number_parse(const char *text, int64_t most)
{
    int64_t number = 0;
    if (!text || !text[0])
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        number = number * 10 + (*text - '0');
        if (number > most)
            return -EINVAL;
    }
    return number;
}

LM_SETUP uint32_t lm_names_count(const char *names)
{
    uint32_t count = 1;
    for (; *names; names++)
        count += *names == ':';
    return count;
}

/* Returns whether the first name of the list is `name`, and advances to the next. */
LM_SETUP bool lm_names_next(const char **names, const char *name)
{
    size_t part = strcspn(*names, ":");
    bool same = part == strlen(name) && memcmp(*names, name, part) == 0;
    *names += part + ((*names)[part] == ':');
    return same;
}

LM_SETUP bool lm_path_ends(const char *path, const char *folder, const char *name)
{
    size_t length = strlen(path), tail = strlen(folder) + strlen(name);
    return length >= tail && strncmp(path + length - tail, folder, strlen(folder)) == 0 &&
           strcmp(path + length - strlen(name), name) == 0;
}

/* Returns whether the descriptor is a socket bound to a path where clients look for the name. It may be in any runtime
 * directory: the launcher's need not be the service's. */
LM_SETUP bool lm_socket_has_name(int descriptor, const char *name)
{
    struct sockaddr_un address;
    if (lm_sys_address(descriptor, &address) < 0 || address.sun_family != AF_UNIX || address.sun_path[0] != '/')
        return false;
    return lm_path_ends(address.sun_path, "/locked/", name) || lm_path_ends(address.sun_path, "/unlocked/", name);
}

/* Returns whether the descriptor is a socket that a service can accept clients from. */
LM_SETUP bool lm_socket_listens(int descriptor)
{
    struct sockaddr_un address;
    return lm_sys_socket_option(descriptor, SO_ACCEPTCONN) == 1 &&
           lm_sys_socket_option(descriptor, SO_TYPE) == SOCK_SEQPACKET && lm_sys_address(descriptor, &address) >= 0 &&
           address.sun_family == AF_UNIX;
}

/* --- Sockets that services have taken; guarded by the process's lock --- */

LM_SETUP bool lm_activation_claimed(uint32_t index)
{
    lm_process_lock();
    bool claimed = (lm_launcher.checked_in[index / 64] >> index % 64 & 1) != 0;
    lm_process_unlock();
    return claimed;
}

/* Marks the socket as taken; returns whether the caller is the first to take it. */
LM_SETUP bool lm_activation_claim(uint32_t index)
{
    uint64_t bit = (uint64_t)1 << index % 64;
    lm_process_lock();
    bool first = (lm_launcher.checked_in[index / 64] & bit) == 0;
    lm_launcher.checked_in[index / 64] |= bit;
    lm_process_unlock();
    return first;
}

/* --- Taking a socket --- */

/* Returns the index of the name's socket. -EINVAL: there is more than one. `names` is a list of `count` names, or
 * NULL. */
LM_SETUP int lm_activation_search(const char *names, uint32_t count, const char *name)
{
    int found = -ENOENT;
    for (uint32_t i = 0; i < count; i++) {
        int descriptor = LM_LISTEN_FIRST + (int)i;
        bool named = names && lm_names_next(&names, name);
        if (!named && !(lm_socket_has_name(descriptor, name) && lm_socket_listens(descriptor)))
            continue; /* lm_socket_listens excludes accepted connections, which have the same path */
        if (found >= 0)
            return -EINVAL;
        found = (int)i;
    }
    return found;
}

/* Returns the index of the service's socket. -ENOENT: there is none; -EINVAL: the launcher's variables contradict each
 * other, or two sockets have the name. */
LM_SETUP int lm_activation_find(const char *name)
{
    const char *names = lm_environment("LISTEN_FDNAMES");
    if (lm_number_parse(lm_environment("LISTEN_PID"), INT_MAX) != (int64_t)getpid())
        return -ENOENT;
    int64_t count = lm_number_parse(lm_environment("LISTEN_FDS"), LM_LISTEN_MAX);
    if (count < 0 || (names && lm_names_count(names) != (uint32_t)count))
        return -EINVAL;
    return lm_activation_search(names, (uint32_t)count, name);
}

LM_SETUP int lm_activation_take_index(uint32_t index, const char *name)
{
    int descriptor = LM_LISTEN_FIRST + (int)index;
    if (lm_activation_claimed(index))
        return -EALREADY;
    if (!lm_socket_listens(descriptor) || !lm_socket_has_name(descriptor, name) || lm_sys_make_ours(descriptor) < 0)
        return -EINVAL;
    return lm_activation_claim(index) ? descriptor : -EALREADY;
}

/* --- Errors --- */

LM_COLD const char *lm_variable_shown(const char *variable)
{
    const char *value = lm_environment(variable);
    return value ? value : "unset";
}

/* `index` is that of the socket tried; negative if none was found. */
LM_COLD void lm_activation_log(const char *name, int index, int error)
{
    struct sockaddr_un address;
    char place[LM_PATH_MAX];
    int descriptor = LM_LISTEN_FIRST + index;
    if (index < 0)
        snprintf(place, sizeof place, "the launcher's LISTEN_FDS=%s LISTEN_FDNAMES=%s", lm_variable_shown("LISTEN_FDS"),
                 lm_variable_shown("LISTEN_FDNAMES"));
    else if (lm_sys_address(descriptor, &address) < 0 || address.sun_family != AF_UNIX || address.sun_path[0] != '/')
        snprintf(place, sizeof place, "the launcher's descriptor %d, which has no path", descriptor);
    else
        snprintf(place, sizeof place, "the launcher's descriptor %d, %s", descriptor, address.sun_path);
    lm_log_failure(LM_DEED_CHECK_IN, name, place, "", error);
}

/* Returns the launcher's socket for the service; the caller owns it. -ENOENT: no launcher has one; -EINVAL: it is not a
 * socket that can be served, or the launcher's variables are wrong; -EALREADY: it was taken before. */
LM_SETUP int lm_activation_take(const char *name)
{
    int index = lm_activation_find(name);
    int result = index < 0 ? index : lm_activation_take_index((uint32_t)index, name);
    if (result >= 0)
        LM_LOG(-1, "checked in \"%s\" with the launcher's descriptor %d", name, result);
    else if (result != -ENOENT && lm_logging())
        lm_activation_log(name, index, result);
    return result;
}

#endif
