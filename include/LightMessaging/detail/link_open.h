/* SPDX-License-Identifier: MIT */
/*
 * How a link comes and goes: found by name or opened, taking over what a dead one left untaken; given up; forgotten in
 * a forked child.
 */
#ifndef LM_DETAIL_LINK_OPEN_H
#define LM_DETAIL_LINK_OPEN_H

#include "link_wait.h"

LM_SETUP void lm_link_destroy(struct lm_object *object)
{
    struct lm_link *link = LM_CONTAINER(object, struct lm_link, object);
    lm_process_lock();
    lm_list_remove(&link->in_all);
    lm_sys_close(&link->channel.socket); /* a fork finds it listed or closed */
    lm_process_unlock();
    lm_channel_deinit(&link->channel);
    lm_table_deinit(&link->calls);
    free(link);
}

/* Takes the link out of the process's list. Without the link's lock. */
LM_SETUP void lm_link_unlist(struct lm_link *link)
{
    lm_process_lock();
    bool listed = lm_list_contains(&link->in_process);
    lm_list_remove(&link->in_process);
    lm_process_unlock();
    if (listed)
        lm_release(&link->object);
}

/* mach_port_deallocate on the link's port. Without the lock. */
LM_SETUP void lm_link_deallocated(struct lm_object *object, uint32_t detail)
{
    struct lm_link *link = LM_CONTAINER(object, struct lm_link, object);
    (void)detail;
    lm_link_lock(link);
    link->given_up = true;
    lm_link_die(link);
    lm_link_unlock(link);
    lm_link_unlist(link);
}

/* --- Fork --- */

LM_SETUP void lm_links_resume_until(const struct lm_list *end)
{
    struct lm_list *links = &lm_process_1.all_links;
    for (struct lm_list *l = lm_list_first(links); l && l != end; l = lm_list_next(links, l))
        lm_link_unlock(LM_CONTAINER(l, struct lm_link, in_all));
}

LM_SETUP void lm_links_resume(void)
{
    lm_links_resume_until(NULL);
}

LM_SETUP bool lm_links_hold(void)
{
    struct lm_list *links = &lm_process_1.all_links;
    for (struct lm_list *l = lm_list_first(links); l; l = lm_list_next(links, l)) {
        if (pthread_mutex_trylock(&LM_CONTAINER(l, struct lm_link, in_all)->channel.lock) == 0)
            continue;
        lm_links_resume_until(l);
        return false;
    }
    return true;
}

/* In a forked child, whose loops forget them too. */
LM_SETUP void lm_link_forget_pumps(struct lm_link *link)
{
    struct lm_list *first;
    while ((first = lm_list_first(&link->pumps)) != NULL) {
        lm_list_remove(first);
        lm_release(&LM_CONTAINER(first, struct lm_pump, in_link)->object);
    }
}

/* The socket and the memory go, what else there is stays unused. */
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

/* In a forked child. Threads of the parent may have held references, which nobody gives up here. */
LM_SETUP void lm_links_forget(void)
{
    struct lm_list *links = &lm_process_1.all_links, *first;
    while ((first = lm_list_first(links)) != NULL) {
        struct lm_link *link = LM_CONTAINER(first, struct lm_link, in_all);
        lm_list_remove(first);
        lm_retain(&link->object);
        lm_link_forget(link);
        lm_release(&link->object);
    }
}

/* --- Opening --- */

/* A fork knows the link from here on. */
LM_SETUP void lm_link_enlist(struct lm_link *link)
{
    const struct lm_fork_part part = {lm_links_hold, lm_links_resume, lm_links_forget};
    lm_process_lock();
    lm_process_prepare();
    lm_process_1.fork_links = part;
    lm_list_append(&lm_process_1.all_links, &link->in_all);
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

/* Whose sender does not wait for it to be taken. */
LM_INTERNAL bool lm_frame_is_whole_one_way(const struct lm_frame *frame)
{
    return frame->kind == LM_FRAME_MESSAGE && frame->token == 0 && frame->total == frame->length &&
           frame->descriptors == 0;
}

/* Gives a dead link's call to another link, which knows it by another token. Both links' locks. */
LM_SETUP void lm_link_adopt(struct lm_link *link, struct lm_link *dead, struct lm_call *call, uint32_t token)
{
    lm_table_remove(&dead->calls, lm_table_find(&dead->calls, call->request->token, 0));
    lm_list_remove(&call->in_link);
    lm_list_append(&link->asynchronous, &call->in_link);
    call->request->token = token;
    call->request->offset = 0;
    call->request->queued = false;
    call->moved(call, link);
}

/* Where a request goes that the dead service did not take: into the ring if it is whole, else to the end of the
 * line. */
LM_SETUP void lm_link_resend(struct lm_link *link, struct lm_request *request, struct lm_frame *frame,
                             const unsigned char *payload)
{
    if (!payload) {
        lm_link_stand_in_line(link, request);
        return;
    }
    frame->token = request->token;
    request->position = link->channel.out.tail;
    request->offset = request->length;
    request->queued = true;
    lm_producer_put(&link->channel.out, frame, payload);
}

/* A token of `link` for a dead link's call that may go over to it, which is held from then on. 0: it stays. */
LM_SETUP uint32_t lm_link_invite(struct lm_link *link, struct lm_link *dead, struct lm_call *call)
{
    if (!call->may_move(call, dead, link))
        return 0;
    uint32_t token = lm_table_insert(&link->calls, 0, call, 0);
    if (token == 0)
        call->moved(call, NULL);
    return token;
}

/* Moves an asynchronous call whose last frame is in the dead ring, unless the dead service had taken it. */
LM_SETUP void lm_link_move_call(struct lm_link *link, struct lm_link *dead, struct lm_consumer *rest,
                                struct lm_frame *frame, unsigned char *payload)
{
    struct lm_call *call = lm_link_call_of(dead, frame);
    uint32_t token = call && call->request ? lm_link_invite(link, dead, call) : 0;
    if (token == 0)
        return;
    if (!lm_consumer_take(rest)) {
        lm_table_remove(&link->calls, lm_table_find(&link->calls, token, 0));
        call->moved(call, NULL);
        return;
    }
    bool whole = !lm_frame_is_part(frame);
    if (whole)
        lm_consumer_copy(rest, frame, payload);
    lm_link_adopt(link, dead, call, token);
    lm_link_resend(link, call->request, frame, whole ? payload : NULL);
}

/* Moves what is left in the dead link's ring; room is there, `payload` holds any frame's. With both locks. */
LM_SETUP void lm_link_move_rest(struct lm_link *link, struct lm_link *dead, unsigned char *payload)
{
    struct lm_ring_words words;
    struct lm_frame frame;
    struct lm_consumer rest = lm_consumer_of_rest(&dead->channel.out, &words);
    while (lm_consumer_peek(&rest, &frame) > 0) {
        if (frame.kind == LM_FRAME_MESSAGE && frame.token) {
            lm_link_move_call(link, dead, &rest, &frame, payload);
        } else if (lm_frame_is_whole_one_way(&frame) && lm_consumer_take(&rest)) {
            lm_consumer_copy(&rest, &frame, payload);
            lm_producer_put(&link->channel.out, &frame, payload);
        }
        lm_consumer_advance(&rest, &frame);
    }
    lm_producer_publish(&link->channel.out);
}

/* Moves those who stand in the dead link's line. With both locks. */
LM_SETUP void lm_link_move_line(struct lm_link *link, struct lm_link *dead)
{
    struct lm_list *next;
    for (struct lm_list *l = lm_list_first(&dead->unsent); l; l = next) {
        struct lm_request *request = LM_CONTAINER(l, struct lm_request, in_unsent);
        next = lm_list_next(&dead->unsent, l);
        uint32_t token = lm_link_invite(link, dead, request->call);
        if (token == 0)
            continue;
        lm_link_leave_line(dead, request);
        lm_link_adopt(link, dead, request->call, token);
        lm_link_stand_in_line(link, request);
    }
}

/*
 * Takes over what a dead service left untaken, in order, into a fresh ring, which is as large: one-way messages, and
 * asynchronous calls, whose sends have returned likewise. -ENOMEM: all of it is still the dead link's.
 */
LM_SETUP int lm_link_inherit(struct lm_link *link, struct lm_link *dead)
{
    struct lm_producer *left = &dead->channel.out;
    unsigned char *payload = (unsigned char *)malloc(LM_PIECE_MAX);
    int result = payload ? 0 : -ENOMEM;
    lm_link_lock(dead);
    lm_link_lock(link);
    if (result == 0 && !dead->given_up && left->ring.size && lm_producer_refresh(left) == 0) {
        result = lm_producer_reserve(&link->channel.out, 0, (uint32_t)(left->tail - left->head));
        if (result == 0)
            lm_link_move_rest(link, dead, payload);
        if (result == 0)
            lm_link_move_line(link, dead);
    }
    link->spin = dead->spin;
    lm_link_unlock(dead);
    lm_link_put_unsent(link);
    lm_link_hand_over(link);
    if (result == 0 && lm_producer_must_ring(&link->channel.out))
        lm_channel_ring_bell(&link->channel);
    lm_link_unlock(link);
    free(payload);
    return result;
}

/* Whether the service is this user's. */
LM_SETUP bool lm_link_is_to_myself(const struct lm_link *link)
{
    struct lm_credentials service;
    return lm_sys_peer(link->channel.socket, &service) == 0 && service.uid == (uint32_t)geteuid();
}

/* What the process has set for channels opened from now on. */
LM_SETUP void lm_link_configure(struct lm_link *link)
{
    lm_process_lock();
    uint32_t largest = lm_process_1.largest_reply_plus1;
    link->channel.borrows = !lm_process_1.private_copies;
    lm_process_unlock();
    link->largest_reply = largest ? largest - 1 : LM_LARGEST_MESSAGE;
}

/* H1 to H3. The memory is there before the service hears of us, so that it is woken once. */
LM_SETUP int lm_link_greet(struct lm_link *link, int64_t deadline)
{
    int memory;
    int result = lm_offer_told(link->name, lm_channel_furnish(&link->channel, &memory));
    if (result == 0)
        result = lm_registry_connect(link->channel.socket, link->name, deadline);
    if (result == 0) {
        link->channel.borrows = link->channel.borrows && lm_link_is_to_myself(link);
        result = lm_offer_told(link->name, lm_channel_offer(&link->channel, memory, link->largest_reply));
    }
    lm_sys_close(&memory);
    return result;
}

/* Connects a link that nobody else uses yet. */
LM_SETUP int lm_link_connect(struct lm_link *link, int64_t deadline)
{
    lm_link_configure(link);
    lm_link_lock(link); /* so that a fork finds the socket here, or none */
    int result = link->channel.socket = lm_sys_socket(0);
    lm_link_unlock(link);
    result = result < 0 ? lm_offer_told(link->name, result) : lm_link_greet(link, deadline);
    if (result < 0)
        return result;
    link->port = lm_port_create(LM_PORT_SEND, &link->object, 0);
    return link->port ? 0 : -ENOMEM;
}

/* With the process's lock: the link of that name, NULL if there is none. */
LM_SETUP struct lm_link *lm_link_listed(const char *name)
{
    struct lm_list *links = &lm_process_1.links;
    for (struct lm_list *l = lm_list_first(links); l; l = lm_list_next(links, l)) {
        struct lm_link *link = LM_CONTAINER(l, struct lm_link, in_process);
        if (strcmp(link->name, name) == 0)
            return link;
    }
    return NULL;
}

/* With the process's lock: puts `fresh` (with a reference for the list) in the place of `old`, either of which may be
 * NULL. */
LM_SETUP void lm_link_replace(struct lm_link *old, struct lm_link *fresh)
{
    if (old)
        lm_list_remove(&old->in_process);
    if (fresh)
        lm_list_append(&lm_process_1.links, &fresh->in_process);
}

/* Makes the link's outcome known to the threads that wait for it, and gives up what it replaces. */
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

/* Opens a listed link. On failure `dead` is back in its place, with the messages it keeps. */
LM_SETUP int lm_link_open(struct lm_link *link, struct lm_link *dead, int64_t deadline)
{
    int result = lm_link_connect(link, deadline);
    link->wary = dead && dead->refusal;
    if (result == 0 && dead)
        result = lm_link_inherit(link, dead);
    if (result < 0 && link->port)
        lm_port_destroy(link->port, LM_PORT_SEND);
    lm_link_settle(link, dead, result == 0);
    return result;
}

/* One attempt at the link of that name, with a reference for the caller: 1 got it, 0 look again. Without any lock. */
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

/* The link of a valid name, opened if need be, with a reference for the caller. Without any lock. */
LM_SETUP int lm_link_get(const char *name, int64_t deadline, struct lm_link **link)
{
    int result;
    do
        result = lm_link_try(name, deadline, link);
    while (result == 0);
    return result < 0 ? result : 0;
}

#endif
