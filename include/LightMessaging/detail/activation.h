/* SPDX-License-Identifier: MIT */
/*
 * Sockets that a launcher such as systemd listens on and hands over when somebody connects:
 *
 *     LISTEN_PID      the process they are for; others take no notice
 *     LISTEN_FDS      how many there are, as descriptors 3, 4 and so on
 *     LISTEN_FDNAMES  their names, with ':' between them
 *
 * A service takes the one that has its name, else the one whose path ends in it, which is where clients look. Values
 * that don't fit each other, and sockets that no client could use, are an error rather than a guess.
 */
#ifndef LM_DETAIL_ACTIVATION_H
#define LM_DETAIL_ACTIVATION_H

#include "registry.h"

#define LM_LISTEN_FIRST 3
#define LM_LISTEN_MAX   1024u /* as many as lm_process's checked_in has bits */

/* A number of decimal digits and nothing else, at most `most`; -EINVAL. */
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

/* How many names the list has, and which of them is the first to be `name`; -ENOENT: none. */
LM_SETUP int lm_names_find(const char *names, const char *name, uint32_t *count)
{
    size_t length = strlen(name);
    int found = -ENOENT;
    *count = 0;
    for (;; names++) {
        size_t part = strcspn(names, ":");
        if (found < 0 && part == length && memcmp(names, name, length) == 0)
            found = (int)*count;
        ++*count;
        names += part;
        if (!*names)
            return found;
    }
}

/* Whether the descriptor is a socket that was bound to a path that ends in the name. */
LM_SETUP bool lm_socket_has_name(int descriptor, const char *name)
{
    struct sockaddr_un address;
    if (lm_sys_address(descriptor, &address) < 0 || address.sun_family != AF_UNIX)
        return false;
    const char *last = strrchr(address.sun_path, '/');
    return last && strcmp(last + 1, name) == 0;
}

/* Whether it is one that a service can accept clients from. */
LM_SETUP bool lm_socket_listens(int descriptor)
{
    struct sockaddr_un address;
    return lm_sys_socket_option(descriptor, SO_ACCEPTCONN) == 1 &&
           lm_sys_socket_option(descriptor, SO_TYPE) == SOCK_SEQPACKET && lm_sys_address(descriptor, &address) >= 0 &&
           address.sun_family == AF_UNIX;
}

/* --- Which of them services have taken; the process's lock guards it --- */

LM_SETUP bool lm_activation_claimed(uint32_t index)
{
    lm_process_lock();
    bool claimed = (lm_process_1.checked_in[index / 64] >> index % 64 & 1) != 0;
    lm_process_unlock();
    return claimed;
}

/* Whether the caller is the first to take it. */
LM_SETUP bool lm_activation_claim(uint32_t index)
{
    uint64_t bit = (uint64_t)1 << index % 64;
    lm_process_lock();
    bool first = (lm_process_1.checked_in[index / 64] & bit) == 0;
    lm_process_1.checked_in[index / 64] |= bit;
    lm_process_unlock();
    return first;
}

/* --- Taking one --- */

LM_SETUP int lm_activation_find_path(uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (lm_socket_has_name(LM_LISTEN_FIRST + (int)i, name))
            return (int)i;
    return -ENOENT;
}

/* Which of the launcher's sockets is the service's. -ENOENT: none is; -EINVAL: its variables contradict each other. */
LM_SETUP int lm_activation_find(const char *name)
{
    const char *names = lm_environment("LISTEN_FDNAMES");
    int found = -ENOENT;
    if (lm_number_parse(lm_environment("LISTEN_PID"), INT_MAX) != (int64_t)getpid())
        return -ENOENT;
    int64_t count = lm_number_parse(lm_environment("LISTEN_FDS"), LM_LISTEN_MAX);
    uint32_t name_count = (uint32_t)count;
    if (names)
        found = lm_names_find(names, name, &name_count);
    if (count < 0 || name_count != (uint32_t)count)
        return -EINVAL;
    return found >= 0 ? found : lm_activation_find_path(name_count, name);
}

LM_SETUP int lm_activation_take_index(uint32_t index)
{
    int descriptor = LM_LISTEN_FIRST + (int)index;
    if (lm_activation_claimed(index))
        return -EALREADY;
    if (!lm_socket_listens(descriptor) || lm_sys_make_ours(descriptor) < 0)
        return -EINVAL;
    return lm_activation_claim(index) ? descriptor : -EALREADY;
}

/* The launcher's socket for the service, the caller's from then on. -ENOENT: no launcher has one; -EINVAL: it is none
 * that can be served, or the launcher's variables are wrong; -EALREADY: it was taken before. */
LM_SETUP int lm_activation_take(const char *name)
{
    int result = lm_activation_find(name);
    if (result >= 0)
        result = lm_activation_take_index((uint32_t)result);
    if (result >= 0)
        LM_TRACE(-1, "checked in \"%s\" with the launcher's descriptor %d", name, result);
    return result == -ENOENT ? result : lm_told(LM_DEED_CHECK_IN, name, "the launcher's socket", "", result);
}

#endif
