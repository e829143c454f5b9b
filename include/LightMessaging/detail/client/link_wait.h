/* SPDX-License-Identifier: MIT */
/*
 * Waits for a link's socket: one thread leads and the others follow; if no thread waits, the run loops of asynchronous
 * calls lead, each with a pump. Locks and results are as in link.h.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_LINK_WAIT_H
#define LM_DETAIL_CLIENT_LINK_WAIT_H

#include "link_put.h"

#define LM_PARCELS_MAX  1024 /* descriptors whose messages have not arrived: many more than an honest service sends */
#define LM_FAIR_RECORDS 64   /* read at a time; there are more only if the service rings without need */

/* Returns whether the service has welcomed this process and the waiters have not been told. A thread that waits for the
 * welcome must not sleep then: the service rings for it only once. */
LM_INTERNAL bool lm_link_is_newly_welcome(const struct lm_link *link)
{
    return !link->told_welcome && lm_link_welcomed(link);
}

LM_INTERNAL void lm_link_note_welcome(struct lm_link *link)
{
    if (!lm_link_is_newly_welcome(link))
        return;
    link->told_welcome = true;
    if (!lm_link_check_welcome(link))
        lm_link_die(link);
    lm_link_tell_asynchronous(link);
}

/* Handles everything that may have changed: replies, room, the welcome. `gone`: the service is dead or broke the
 * protocol. */
LM_INTERNAL void lm_link_handle_news(struct lm_link *link, bool gone)
{
    if (gone || lm_link_collect(link) < 0)
        lm_link_die(link);
    lm_link_wake_followers(link);
    lm_link_note_welcome(link);
    lm_link_put_unsent(link);
}

/* Handles the record that ended a sleep; `length` is lm_channel_listen's result. */
LM_INTERNAL void lm_link_woken(struct lm_link *link, const union lm_record *record, long length)
{
    lm_link_read_refusal(link, record, length);
    bool alive = length < 0 || (length >= LM_RECORD_BELL && length <= LM_RECORD_PARCEL);
    lm_link_handle_news(link, !alive || link->channel.parcels_hold > LM_PARCELS_MAX);
}

/* --- Spinning --- */

/* Returns whether spinning threads would keep each other or the service from running. With exactly as many threads as
 * cores, yielding costs more than it gains. */
LM_INTERNAL bool lm_link_is_crowded(const struct lm_link *link)
{
    return link->threads > link->spin.cores;
}

/* What a spinning thread polls: the peer's indices, and their values when the thread last had the lock. A copy, because
 * other threads' calls keep changing the cache lines of the channel. */
struct lm_poll {
    struct lm_ring in, out;
    uint32_t replies, room;
    bool wants_room;
    bool crowded;
};

LM_INTERNAL bool lm_poll_has_changed(const struct lm_poll *poll)
{
    lm_ring_expect(&poll->in, poll->replies);
    return lm_ring_tail_moved(&poll->in, poll->replies) ||
           (poll->wants_room && lm_ring_head_moved(&poll->out, poll->room));
}

/* Polls without a pause, at most `looks` times. */
LM_INTERNAL bool lm_poll_eagerly(const struct lm_poll *poll, uint32_t looks)
{
    for (uint32_t i = 0; i < looks; i++)
        if (lm_poll_has_changed(poll))
            return true;
    return false;
}

/* Polls with pauses. Returns false after `limit` nanoseconds or at the deadline. */
LM_INTERNAL bool lm_poll_pausing(const struct lm_poll *poll, int64_t limit, int64_t deadline, int64_t *waited)
{
    for (int64_t begin = lm_now(), now = begin; now - begin < limit && now < deadline; now = lm_now()) {
        for (int i = 0; i < LM_SPIN_PAUSES; i++) {
            if (lm_poll_has_changed(poll)) {
                *waited = now - begin;
                return true;
            }
            lm_relax();
        }
    }
    return false;
}

/* Polls, yielding the core in between. The time that other threads compute meanwhile is not charged to the limit, but
 * the spin ends if that takes long: the scheduler prefers a thread that slept when it wakes. */
LM_INTERNAL bool lm_poll_yielding(const struct lm_poll *poll, int64_t limit, int64_t deadline, int64_t *waited)
{
    int64_t begin = lm_now();
    int64_t charged = 0;
    for (*waited = 0; charged < limit && *waited < LM_SPIN_WORTH && begin + *waited < deadline;
         charged += LM_SPIN_YIELD) {
        lm_sys_yield();
        bool found = lm_poll_has_changed(poll);
        *waited = lm_now() - begin;
        if (found)
            return true;
    }
    return false;
}

/* Polls for as long as the spin's settings permit. */
LM_INTERNAL bool lm_poll_for(const struct lm_poll *poll, const struct lm_spin *spin, int64_t deadline, int64_t *waited)
{
    uint32_t rest = lm_spin_paused(spin), hold = poll->crowded ? lm_spin_hold(spin) : rest;
    *waited = 0;
    return lm_poll_eagerly(poll, lm_spin_eager(spin)) || lm_poll_pausing(poll, hold, deadline, waited) ||
           lm_poll_yielding(poll, rest - hold, deadline, waited);
}

/* Spins before a sleep, if that pays. True: something has changed. Gives up the lock meanwhile. */
LM_INTERNAL bool lm_link_spin(struct lm_link *link, bool wants_room, int64_t deadline)
{
    if (!lm_spin_pays(&link->spin))
        return false;
    struct lm_channel *channel = &link->channel;
    struct lm_poll poll = {
        channel->in.ring, channel->out.ring,       (uint32_t)channel->in.head, (uint32_t)channel->out.head,
        wants_room,       lm_link_is_crowded(link)};
    struct lm_spin spin = link->spin;
    uint32_t news = link->news;
    lm_link_unlock(link);
    int64_t waited;
    bool found = lm_poll_for(&poll, &spin, deadline, &waited);
    lm_link_lock(link);
    if (found) {
        lm_spin_learn(&link->spin, waited / (link->news - news + 1), true);
        lm_link_handle_news(link, false);
    }
    return found;
}

/* --- Sleeping --- */

/* Returns the length of the record that ended the sleep. -EAGAIN: the deadline passed or the request's descriptor is
 * readable. */
LM_SETUP long lm_link_listen_interruptibly(struct lm_link *link, const struct lm_request *request,
                                           union lm_record *record, int64_t deadline)
{
    if (lm_sys_poll_either(link->channel.socket, request->interrupt, lm_deadline_left(deadline)))
        return -EAGAIN;
    return lm_channel_listen(&link->channel, record, sizeof *record, LM_PAST);
}

LM_INTERNAL void lm_link_lead(struct lm_link *link, const struct lm_request *request, int64_t deadline)
{
    union lm_record record;
    long length = -EAGAIN;
    link->led = true;
    memset(&record, 0, sizeof record);
    if (lm_consumer_announce_sleep(&link->channel.in) && !lm_link_is_newly_welcome(link)) {
        lm_link_unlock(link);
        length = request->interrupt < 0 ? lm_channel_listen(&link->channel, &record, sizeof record, deadline)
                                        : lm_link_listen_interruptibly(link, request, &record, deadline);
        lm_link_lock(link);
    }
    lm_consumer_awake(&link->channel.in);
    link->led = false;
    lm_link_woken(link, &record, length);
}

/* Sleeps until the follower is woken, the deadline passes or the descriptor is readable. If descriptors have run out,
 * it has no eventfd and polls every millisecond. */
LM_SETUP void lm_follower_sleep_interruptibly(struct lm_follower *self, int interrupt, int64_t deadline)
{
    int64_t left = lm_deadline_left(deadline);
    if (self->event >= 0)
        lm_sys_poll_either(self->event, interrupt, left);
    else
        lm_sleep_on(&self->woken, 0, left < LM_NAP_NANOSECONDS ? deadline : lm_now() + LM_NAP_NANOSECONDS);
}

LM_INTERNAL void lm_link_follow(struct lm_link *link, const struct lm_request *request, struct lm_call *call,
                                bool waits_for_thread, int64_t deadline)
{
    struct lm_follower self;
    memset(&self, 0, sizeof self);
    self.event = request->interrupt < 0 ? -1 : lm_sys_eventfd();
    self.call = call;
    self.waits_for_thread = waits_for_thread;
    if (call)
        call->follower = &self;
    lm_list_append(&link->followers, &self.in_link);
    lm_link_unlock(link);
    if (request->interrupt < 0)
        lm_sleep_on(&self.woken, 0, deadline);
    else
        lm_follower_sleep_interruptibly(&self, request->interrupt, deadline);
    lm_link_lock(link);
    lm_list_remove(&self.in_link);
    lm_sys_close(&self.event);
    if (call)
        call->follower = NULL;
}

/* Returns whether the request's descriptor ends its wait. */
LM_INTERNAL bool lm_request_is_interrupted(const struct lm_request *request)
{
    return request->interrupt >= 0 && lm_sys_readable(request->interrupt);
}

/* Returns 0 if there is something to wait for, else -EPIPE or -ETIMEDOUT. At the deadline, replies that have arrived
 * are delivered first: they are in time. */
LM_INTERNAL int lm_link_check_wait(struct lm_link *link, int64_t deadline)
{
    if (lm_link_is_cut(link))
        return -EPIPE;
    if (lm_deadline_left(deadline) > 0)
        return 0;
    if (lm_link_collect(link) < 0)
        lm_link_die(link);
    return -ETIMEDOUT;
}

/* Ends a wait before its deadline. What has arrived by now has arrived in time. */
LM_SETUP int lm_link_interrupt_wait(struct lm_link *link)
{
    if (lm_link_collect(link) < 0)
        lm_link_die(link);
    return -ECANCELED;
}

/* Sleeps until something may have changed for the request, or for its call if it waits for the reply. The caller checks
 * its condition again afterwards. */
LM_INTERNAL int lm_link_sleep(struct lm_link *link, struct lm_request *request, struct lm_call *call, int64_t deadline)
{
    lm_link_ask_once(link, request);
    int result = lm_link_check_wait(link, deadline);
    if (result == 0 && lm_request_is_interrupted(request))
        result = lm_link_interrupt_wait(link);
    if (result < 0)
        return result;
    bool spun = lm_spin_pays(&link->spin);
    int64_t begin = link->spin.limit ? lm_now() : 0;
    if (link->led)
        lm_link_follow(link, request, call, false, deadline);
    else
        lm_link_lead(link, request, deadline);
    if (begin)
        lm_spin_learn(&link->spin, lm_now() - begin + (spun ? link->spin.limit : 0), spun);
    return 0;
}

/* Spins if that pays, and sleeps if nothing has changed. The lock is given up for the spin: meanwhile another thread
 * may have delivered what the caller waits for and found no follower to wake. `news` shows that. */
LM_INTERNAL int lm_link_wait(struct lm_link *link, struct lm_request *request, struct lm_call *call, int64_t deadline)
{
    int result = lm_link_check_wait(link, deadline);
    uint32_t news = link->news;
    if (result < 0 || lm_link_spin(link, call == NULL, deadline) || link->news != news)
        return result;
    return lm_link_sleep(link, request, call, deadline);
}

/* Returns whether a thread, not the queue of asynchronous calls, has the turn to put a large message. */
LM_INTERNAL bool lm_link_turn_is_a_threads(const struct lm_link *link)
{
    struct lm_list *first = lm_list_first(&link->unsent);
    return link->large_turn && !(first && LM_CONTAINER(first, struct lm_request, in_unsent)->out.sent > 0);
}

/*
 * Waits for the turn to put a large message, or behind such a message in the queue. While a thread has the turn, that
 * thread wakes this one by its word, not by the socket, and reads the socket meanwhile.
 */
LM_INTERNAL int lm_link_wait_turn(struct lm_link *link, struct lm_request *request)
{
    if (!lm_link_turn_is_a_threads(link))
        return lm_link_wait(link, request, NULL, request->deadline);
    lm_link_ask_once(link, request);
    int result = lm_link_check_wait(link, request->deadline);
    if (result == 0 && lm_request_is_interrupted(request))
        result = lm_link_interrupt_wait(link);
    if (result == 0)
        lm_link_follow(link, request, NULL, true, request->deadline);
    return result;
}

/* Ends a thread's use of the link. The last thread closes the descriptor of a link that was given up. */
LM_INTERNAL void lm_link_leave(struct lm_link *link)
{
    link->threads--;
    if (link->threads == 0 && link->given_up)
        lm_sys_close(&link->channel.socket);
}

/* --- Handing over the lead --- */

/* Has the run loops call their pumps. */
LM_INTERNAL void lm_link_wake_pumps(struct lm_link *link)
{
    for (struct lm_list *l = lm_list_first(&link->pumps); l; l = lm_list_next(&link->pumps, l)) {
        struct lm_pump *pump = LM_CONTAINER(l, struct lm_pump, in_link);
        lm_watch_wake(&pump->watch, pump->watch.loop);
    }
}

/* Announces the run loops' sleep: what arrives from now on rings. They are woken for what is already there. */
LM_INTERNAL void lm_link_leave_to_pumps(struct lm_link *link)
{
    lm_link_put_unsent(link);
    if (link->led || lm_link_is_cut(link))
        return;
    bool missed = link->pump_missed;
    link->pump_missed = false;
    if (!lm_consumer_announce_sleep(&link->channel.in) || lm_link_is_newly_welcome(link) || missed)
        lm_link_wake_pumps(link);
}

/* Returns the first follower that may lead, or NULL. */
LM_INTERNAL struct lm_follower *lm_link_successor(struct lm_link *link)
{
    for (struct lm_list *l = lm_list_first(&link->followers); l; l = lm_list_next(&link->followers, l)) {
        struct lm_follower *follower = LM_CONTAINER(l, struct lm_follower, in_link);
        if (!follower->waits_for_thread)
            return follower;
    }
    return NULL;
}

/* Has another thread or the run loops lead, if no thread leads. Called by each thread that stops waiting. */
LM_INTERNAL void lm_link_hand_over(struct lm_link *link)
{
    struct lm_follower *successor = lm_link_successor(link);
    if (link->led)
        return;
    if (successor)
        lm_follower_wake(successor);
    else if (!lm_list_empty(&link->asynchronous))
        lm_link_leave_to_pumps(link);
}

/* --- Pumps --- */

LM_SETUP void lm_pump_destroy(struct lm_object *object)
{
    struct lm_pump *pump = LM_CONTAINER(object, struct lm_pump, object);
    lm_release(&pump->link->object);
    free(pump);
}

/* Reads the waiting records, because epoll reports each only once. True: there may be more than is fair to read at a
 * time. */
LM_INTERNAL bool lm_link_pump(struct lm_link *link)
{
    union lm_record record;
    long length = 1;
    memset(&record, 0, sizeof record);
    for (int i = 0; i < LM_FAIR_RECORDS && length == LM_RECORD_BELL; i++)
        length = lm_channel_listen(&link->channel, &record, sizeof record, LM_PAST);
    lm_consumer_awake(&link->channel.in);
    lm_link_woken(link, &record, length);
    return length >= LM_RECORD_BELL && length <= LM_RECORD_PARCEL;
}

/* The watch's callback. Removes the pumps when no asynchronous call needs them. */
LM_INTERNAL enum lm_wish lm_pump_ready(struct lm_object *object, uint32_t events)
{
    struct lm_link *link = LM_CONTAINER(object, struct lm_pump, object)->link;
    (void)events;
    lm_link_lock(link);
    link->pump_missed |= link->led;
    bool more = !link->led && !lm_link_is_cut(link) && lm_link_pump(link);
    lm_link_hand_over(link);
    if (lm_list_empty(&link->asynchronous))
        lm_link_stop_pumps(link);
    lm_link_unlock(link);
    return more ? LM_WATCH_AGAIN : LM_WATCH_WAIT;
}

LM_INTERNAL bool lm_link_has_pump(const struct lm_link *link, const struct lm_loop *loop)
{
    for (struct lm_list *l = lm_list_first(&link->pumps); l; l = lm_list_next(&link->pumps, l))
        if (LM_CONTAINER(l, struct lm_pump, in_link)->watch.loop == loop)
            return true;
    return false;
}

/* Has the run loop watch the link. Idempotent. */
LM_INTERNAL int lm_link_add_pump(struct lm_link *link, struct lm_loop *loop)
{
    if (lm_link_is_cut(link) || lm_link_has_pump(link, loop))
        return 0;
    struct lm_pump *pump = (struct lm_pump *)lm_new(sizeof *pump);
    if (!pump)
        return -ENOMEM;
    lm_object_init(&pump->object, lm_pump_destroy);
    lm_watch_init(&pump->watch, &pump->object, lm_pump_ready);
    pump->watch.in_background = true;
    lm_retain(&link->object);
    pump->link = link;
    int result = lm_loop_add(loop, &pump->watch, link->channel.socket, EPOLLIN | EPOLLRDHUP | EPOLLET);
    if (result < 0)
        lm_release(&pump->object);
    else
        lm_list_append(&link->pumps, &pump->in_link);
    return result;
}

#endif
