/* SPDX-License-Identifier: MIT */
/*
 * Quotas: how much of a service the clients of one user may use together, so that one user cannot exhaust it for the
 * others. They limit connections, bytes of messages that are arriving or waiting to be sent, and descriptors that came
 * with messages. The counts have a lock of their own, which is taken last, because replies are sent from any thread.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_QUOTA_H
#define LM_DETAIL_SERVICE_QUOTA_H

#include "../ground/list.h"
#include "../ground/sys.h"

#define LM_BYTES_PER_USER       0x40000000u /* 1 GiB: four of the largest messages; not tuned */
#define LM_DESCRIPTORS_PER_USER 512u        /* two of the largest messages */

struct lm_quota {
    uint32_t connections;
    uint32_t descriptors;
    uint64_t bytes;
};

/* The clients of one user. The service's lock guards `in_service` and the connections. */
struct lm_user {
    struct lm_list in_service;
    pthread_mutex_t lock;
    uint32_t uid;
    struct lm_quota most, used;
};

/* Returns half of the descriptors that this process may have. The rest is for other users and the service itself. */
LM_INTERNAL uint32_t lm_connections_per_user(void)
{
    uint64_t half = lm_sys_descriptor_limit() / 2;
    return half == 0 ? 1 : half > UINT32_MAX ? UINT32_MAX : (uint32_t)half;
}

LM_SETUP struct lm_user *lm_user_create(uint32_t uid, const struct lm_quota *most)
{
    struct lm_user *user = (struct lm_user *)calloc(1, sizeof *user);
    if (!user)
        return NULL;
    pthread_mutex_init(&user->lock, NULL);
    user->uid = uid;
    user->most = *most;
    if (user->most.connections == 0)
        user->most.connections = lm_connections_per_user();
    if (user->most.descriptors == 0)
        user->most.descriptors = LM_DESCRIPTORS_PER_USER;
    if (user->most.bytes == 0)
        user->most.bytes = LM_BYTES_PER_USER;
    return user;
}

LM_SETUP struct lm_user *lm_user_find(const struct lm_list *users, uint32_t uid)
{
    for (struct lm_list *l = lm_list_first(users); l; l = lm_list_next(users, l)) {
        struct lm_user *user = LM_CONTAINER(l, struct lm_user, in_service);
        if (user->uid == uid)
            return user;
    }
    return NULL;
}

/* Returns the user's entry, and creates it if necessary. NULL: no memory. */
LM_SETUP struct lm_user *lm_user_get(struct lm_list *users, uint32_t uid, const struct lm_quota *most)
{
    struct lm_user *user = lm_user_find(users, uid);
    if (user)
        return user;
    user = lm_user_create(uid, most);
    if (user)
        lm_list_append(users, &user->in_service);
    return user;
}

/* Counts a new connection. -EDQUOT: the user has as many as permitted. -ENOMEM. */
LM_SETUP int lm_user_enter(struct lm_list *users, uint32_t uid, const struct lm_quota *most, struct lm_user **entered)
{
    struct lm_user *user = lm_user_get(users, uid, most);
    if (!user)
        return -ENOMEM;
    if (user->used.connections >= user->most.connections)
        return -EDQUOT;
    user->used.connections++;
    *entered = user;
    return 0;
}

/* Stops counting a connection. The connection holds nothing else any more. */
LM_SETUP void lm_user_leave(struct lm_user *user)
{
    if (--user->used.connections > 0)
        return;
    lm_list_remove(&user->in_service);
    pthread_mutex_destroy(&user->lock);
    free(user);
}

/* Counts bytes. One message always fits, whatever its length. -EDQUOT. */
LM_INTERNAL int lm_user_take_bytes(struct lm_user *user, uint64_t bytes)
{
    pthread_mutex_lock(&user->lock);
    bool fits = user->used.bytes == 0 || user->used.bytes + bytes <= user->most.bytes;
    if (fits)
        user->used.bytes += bytes;
    pthread_mutex_unlock(&user->lock);
    return fits ? 0 : -EDQUOT;
}

LM_INTERNAL void lm_user_give_bytes(struct lm_user *user, uint64_t bytes)
{
    pthread_mutex_lock(&user->lock);
    user->used.bytes -= bytes;
    pthread_mutex_unlock(&user->lock);
}

LM_INTERNAL int lm_user_take_descriptors(struct lm_user *user, uint32_t count)
{
    pthread_mutex_lock(&user->lock);
    bool fits = user->used.descriptors + count <= user->most.descriptors;
    if (fits)
        user->used.descriptors += count;
    pthread_mutex_unlock(&user->lock);
    return fits ? 0 : -EDQUOT;
}

LM_INTERNAL void lm_user_give_descriptors(struct lm_user *user, uint32_t count)
{
    pthread_mutex_lock(&user->lock);
    user->used.descriptors -= count;
    pthread_mutex_unlock(&user->lock);
}

#endif
