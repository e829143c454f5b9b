/* SPDX-License-Identifier: MIT */
/* The life of a link: found by name or opened; given up; forgotten in a forked child; and what happens when the process
 * ends. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_LINK_OPEN_H
#define LM_DETAIL_CLIENT_LINK_OPEN_H

#include "link_move.h"
#include "link_send.h"

LM_SETUP void lm_link_destroy(struct lm_object *object)
{
    struct lm_link *link = LM_CONTAINER(object, struct lm_link, object);
    lm_process_lock();
    lm_list_remove(&link->in_all);
    lm_sys_close(&link->channel.socket); /* a fork finds the link listed or its socket closed */
    lm_process_unlock();
    lm_channel_deinit(&link->channel);
    lm_table_deinit(&link->calls);
    free(link);
}

/* Removes the link from the process's list. Called without the link's lock. */
LM_SETUP void lm_link_unlist(struct lm_link *link)
{
    lm_process_lock();
    bool listed = lm_list_contains(&link->in_process);
    lm_list_remove(&link->in_process);
    lm_process_unlock();
    if (listed)
        lm_release(&link->object);
}

/*
 * Handles mach_port_deallocate on the link's port. Messages that the service has not taken stay in the ring, without a
 * descriptor: the service still gets them; if it dies before, its successor does. Called without the lock.
 */
LM_SETUP void lm_link_deallocated(struct lm_object *object, uint32_t detail)
{
    struct lm_link *link = LM_CONTAINER(object, struct lm_link, object);
    (void)detail;
    lm_link_lock(link);
    link->given_up = !lm_link_is_cut(link);
    lm_link_die(link);
    bool keeps = lm_link_keeps_messages(link);
    if (link->threads == 0)
        lm_sys_close(&link->channel.socket);
    lm_link_unlock(link);
    if (!keeps)
        lm_link_unlist(link);
}

/* --- Fork --- */

LM_SETUP void lm_links_resume_until(const struct lm_list *end)
{
    struct lm_list *links = &lm_clients.all_links;
    for (struct lm_list *l = lm_list_first(links); l && l != end; l = lm_list_next(links, l))
        lm_link_unlock(LM_CONTAINER(l, struct lm_link, in_all));
}

LM_SETUP void lm_links_resume(void)
{
    lm_links_resume_until(NULL);
}

LM_SETUP bool lm_links_hold(void)
{
    struct lm_list *links = &lm_clients.all_links;
    for (struct lm_list *l = lm_list_first(links); l; l = lm_list_next(links, l)) {
        if (pthread_mutex_trylock(&LM_CONTAINER(l, struct lm_link, in_all)->channel.lock) == 0)
            continue;
        lm_links_resume_until(l);
        return false;
    }
    return true;
}

/* Forgets the pumps in a forked child, whose run loops forget them too. */
LM_SETUP void lm_link_forget_pumps(struct lm_link *link)
{
    struct lm_list *first;
    while ((first = lm_list_first(&link->pumps)) != NULL) {
        lm_list_remove(first);
        lm_release(&LM_CONTAINER(first, struct lm_pump, in_link)->object);
    }
}

/* Gives up the socket and the memory; the rest stays unused. */
LM_SETUP void lm_link_forget(struct lm_link *link)
{
    bool listed = lm_list_contains(&link->in_process);
    lm_list_remove(&link->in_process);
    lm_link_forget_pumps(link);
    lm_channel_drop_parcels(&link->channel);
    lm_store_relaxed(&link->channel.cut, true);
    lm_sys_close(&link->channel.socket);
    link->channel.memory = NULL; /* not mapped in a child */
    lm_pool_clear(&link->channel.lent);
    lm_pool_clear(&link->channel.borrowed);
    if (listed)
        lm_release(&link->object);
}

/* Forgets all links in a forked child. References that the parent's other threads held are never released here. */
LM_SETUP void lm_links_forget(void)
{
    struct lm_list *links = &lm_clients.all_links, *first;
    while ((first = lm_list_first(links)) != NULL) {
        struct lm_link *link = LM_CONTAINER(first, struct lm_link, in_all);
        lm_list_remove(first);
        lm_retain(&link->object);
        lm_link_forget(link);
        lm_release(&link->object);
    }
}

/* --- Opening --- */

LM_SETUP void lm_links_end(void);

/* Makes the link known to fork and to the process's end. */
LM_SETUP void lm_link_enlist(struct lm_link *link)
{
    const struct lm_fork_part part = {lm_links_hold, lm_links_resume, lm_links_forget};
    void (*end)(void) = lm_links_end;
    lm_process_lock();
    lm_process_prepare();
    lm_process.fork_links = part;
    __atomic_store_n(&lm_process.end, end, __ATOMIC_RELEASE);
    lm_list_append(&lm_clients.all_links, &link->in_all);
    lm_process_unlock();
}

LM_SETUP struct lm_link *lm_link_create(const char *name)
{
    struct lm_link *link = (struct lm_link *)lm_new(sizeof *link);
    if (!link)
        return NULL;
    lm_object_init(&link->object, lm_link_destroy);
    link->object.deallocated = lm_link_deallocated;
    lm_spin_init(&link->spin, LM_SPIN_DEFAULT);
    lm_channel_init(&link->channel, -1, link->spin.cores == 1);
    strcpy(link->name, name);
    lm_link_enlist(link);
    return link;
}

/* Applies the process's settings for channels opened from now on. */
LM_SETUP void lm_link_configure(struct lm_link *link)
{
    lm_process_lock();
    bool set = lm_clients.largest_reply_is_set;
    link->incoming.largest = set ? lm_clients.largest_reply : LM_LARGEST_MESSAGE;
    link->channel.borrows = !lm_clients.private_copies;
    lm_process_unlock();
}

/* H1 to H3. The memory is mapped before the service is contacted, so that the service is woken only once. */
LM_SETUP int lm_link_greet(struct lm_link *link, int64_t deadline)
{
    int memory;
    int result = lm_offer_told(link->name, lm_channel_furnish(&link->channel, &memory));
    if (result == 0)
        result = lm_registry_connect(link->channel.socket, link->name, deadline);
    if (result == 0) {
        lm_sys_peer(link->channel.socket, &link->service);
        link->channel.borrows = link->channel.borrows && link->service.uid == (uint32_t)geteuid();
        result = lm_offer_told(link->name, lm_channel_offer(&link->channel, memory, link->incoming.largest));
    }
    lm_sys_close(&memory);
    return result;
}

/* Connects a link that no other thread uses yet. */
LM_SETUP int lm_link_connect(struct lm_link *link, int64_t deadline)
{
    lm_link_configure(link);
    lm_link_lock(link); /* for a fork, which finds the socket here or none */
    int result = link->channel.socket = lm_sys_socket(0);
    lm_link_unlock(link);
    result = result < 0 ? lm_offer_told(link->name, result) : lm_link_greet(link, deadline);
    if (result < 0)
        return result;
    link->port = lm_port_create(LM_PORT_SEND, &link->object, 0, 0);
    return link->port ? 0 : -ENOMEM;
}

/* Returns the link of that name, or NULL. Called with the process's lock held. */
LM_SETUP struct lm_link *lm_link_listed(const char *name)
{
    struct lm_list *links = &lm_clients.links;
    for (struct lm_list *l = lm_list_first(links); l; l = lm_list_next(links, l)) {
        struct lm_link *link = LM_CONTAINER(l, struct lm_link, in_process);
        if (strcmp(link->name, name) == 0)
            return link;
    }
    return NULL;
}

/* Replaces `old` in the list by `fresh`, which comes with a reference for the list; either may be NULL. Called with the
 * process's lock held. */
LM_SETUP void lm_link_replace(struct lm_link *old, struct lm_link *fresh)
{
    if (old)
        lm_list_remove(&old->in_process);
    if (fresh)
        lm_list_append(&lm_clients.links, &fresh->in_process);
}

/* Tells the threads that wait for the link its outcome, and gives up the link that it replaces. */
LM_SETUP void lm_link_settle(struct lm_link *link, struct lm_link *dead, bool opened)
{
    lm_process_lock();
    if (!opened)
        lm_link_replace(link, dead);
    lm_store_release(&link->phase, opened ? LM_LINK_OPEN : LM_LINK_FAILED);
    lm_process_unlock();
    lm_sys_futex_wake(&link->phase, INT_MAX);
    if (!opened)
        lm_release(&link->object); /* the list's */
    if (opened && dead) {
        lm_port_destroy(dead->port, LM_PORT_SEND);
        lm_release(&dead->object);
    }
}

/* Nanoseconds: long enough for the kernel to close all sockets of a dead process, even one with 10,000 clients;
 * untuned. */
#define LM_LAST_SOCKET 200000000

/*
 * Makes the link wary if the service refused this process before, or if the listener is the process that seems to have
 * died: the kernel closes the sockets of a dead process one after another, and the listener may still be open. A wary
 * link sends nothing before the welcome. In the second case the wait is short, because the socket's owner may also be a
 * launcher, which holds it for the next service, or a process that has stopped its service and started it again.
 */
LM_SETUP void lm_link_beware(struct lm_link *link, struct lm_link *dead)
{
    lm_link_lock(dead);
    bool same = !dead->given_up && dead->service.pid == link->service.pid && link->service.pid != (int32_t)getpid();
    link->wary = dead->refusal || same;
    link->wary_until = dead->refusal ? LM_FOREVER : lm_now() + LM_LAST_SOCKET;
    lm_link_unlock(dead);
}

/* Opens a listed link. On failure `dead` is listed again, with the messages that it keeps. */
LM_SETUP int lm_link_open(struct lm_link *link, struct lm_link *dead, int64_t deadline)
{
    int result = lm_link_connect(link, deadline);
    if (result == 0 && dead)
        lm_link_beware(link, dead);
    if (result == 0 && dead)
        result = lm_link_inherit(link, dead);
    if (result < 0 && link->port)
        lm_port_destroy(link->port, LM_PORT_SEND);
    lm_link_settle(link, dead, result == 0);
    return result;
}

/* Tries once to get the link of that name, with a reference for the caller. 1: got it; 0: try again. Called without any
 * lock. */
LM_SETUP int lm_link_try(const char *name, int64_t deadline, struct lm_link **found)
{
    struct lm_link *fresh = lm_link_create(name);
    if (!fresh)
        return -ENOMEM;
    lm_process_lock();
    struct lm_link *link = lm_link_listed(name);
    bool opening = link && lm_load_acquire(&link->phase) == LM_LINK_OPENING;
    bool usable = link && !opening && !lm_link_is_cut(link);
    if (opening || usable)
        lm_retain(&link->object);
    else
        lm_link_replace(link, fresh);
    lm_process_unlock();
    if (!opening && !usable) {
        lm_retain(&fresh->object);
        *found = fresh;
        int result = lm_link_open(fresh, link, deadline);
        if (result < 0)
            lm_release(&fresh->object);
        return result < 0 ? result : 1;
    }
    lm_release(&fresh->object);
    *found = link;
    if (usable)
        return 1;
    lm_sleep_on(&link->phase, LM_LINK_OPENING, deadline);
    lm_release(&link->object);
    return lm_deadline_left(deadline) == 0 ? -ETIMEDOUT : 0;
}

/* Gets the link of a valid name, opening it if necessary, with a reference for the caller. Called without any lock. */
LM_SETUP int lm_link_get(const char *name, int64_t deadline, struct lm_link **link)
{
    int result;
    do
        result = lm_link_try(name, deadline, link);
    while (result == 0);
    return result < 0 ? result : 0;
}

/*
 * --- The process's end ---
 *
 * At `exit` or a return from `main`, one-way messages that a dead service has not taken go to its successor, if there
 * is one, because no connection will be used again. `exit` may have been called by a signal handler that interrupted a
 * thread with a lock, so locks are only tried, and no run loop is touched.
 */

/* Nanoseconds that the end may be delayed, by a successor without room for a connection, and by a lock. */
#define LM_END_TIMEOUT      500000000
#define LM_END_LOCK_TIMEOUT 50000000

LM_SETUP bool lm_lock_in_time(pthread_mutex_t *lock)
{
    int64_t deadline = lm_now() + LM_END_LOCK_TIMEOUT;
    while (pthread_mutex_trylock(lock) != 0) {
        if (lm_deadline_left(deadline) == 0)
            return false;
        lm_sys_pause(LM_NAP_NANOSECONDS);
    }
    return true;
}

/* Returns the next link that the end has not handled, with a reference, and whether it is being opened. NULL: none is
 * left. */
LM_SETUP struct lm_link *lm_links_next_to_end(bool *opening)
{
    struct lm_link *found = NULL;
    if (!lm_lock_in_time(&lm_process.lock))
        return NULL;
    struct lm_list *links = &lm_clients.links;
    for (struct lm_list *l = lm_list_first(links); l && !found; l = lm_list_next(links, l)) {
        struct lm_link *link = LM_CONTAINER(l, struct lm_link, in_process);
        if (!link->ended)
            found = link;
    }
    if (found) {
        *opening = lm_load_acquire(&found->phase) == LM_LINK_OPENING;
        found->ended = !*opening;
        lm_retain(&found->object);
    }
    lm_process_unlock();
    return found;
}

/* Returns whether the link has messages for a successor. If so, cuts it, so that it is replaced. */
LM_SETUP bool lm_link_prepare_end(struct lm_link *link)
{
    if (!lm_lock_in_time(&link->channel.lock))
        return false;
    bool dead = lm_link_is_cut(link) || lm_sys_hung_up(link->channel.socket);
    bool keeps = dead && lm_link_keeps_messages(link);
    link->calls_stay = keeps;
    if (keeps)
        lm_channel_cut(&link->channel);
    lm_link_unlock(link);
    return keeps;
}

/* Has the successor take over what is kept for the name. -EPIPE: the successor has died too; -EACCES: it refuses this
 * process. */
LM_SETUP int lm_link_bequeath(const char *name, int64_t deadline)
{
    struct lm_link *successor;
    struct lm_request nothing;
    int result = lm_link_get(name, deadline, &successor);
    if (result < 0)
        return result;
    memset(&nothing, 0, sizeof nothing);
    nothing.deadline = deadline;
    nothing.interrupt = -1;
    lm_link_lock(successor);
    result = successor->wary ? lm_link_wait_until_trusted(successor, &nothing) : 0;
    if (successor->refusal)
        result = -EACCES;
    lm_link_unlock(successor);
    lm_release(&successor->object);
    return result;
}

/* Runs when the process ends. */
LM_SETUP void lm_links_end(void)
{
    int64_t deadline = lm_now() + LM_END_TIMEOUT;
    struct lm_link *link;
    bool opening = false;
    while ((link = lm_links_next_to_end(&opening)) != NULL && lm_deadline_left(deadline) > 0) {
        if (opening)
            lm_sleep_on(&link->phase, LM_LINK_OPENING, deadline);
        else if (lm_link_prepare_end(link))
            while (lm_link_bequeath(link->name, deadline) == -EPIPE && lm_deadline_left(deadline) > 0)
                ;
        lm_release(&link->object);
    }
    if (link)
        lm_release(&link->object);
}

#endif
