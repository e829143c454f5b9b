/* SPDX-License-Identifier: MIT */
/*
 * Puts requests into a link's ring as far as there is room; nothing here waits. Requests of asynchronous calls that do
 * not fit are queued in the order of their sends; threads that send wait behind that queue. Locks and results are as in
 * link.h.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_LINK_PUT_H
#define LM_DETAIL_CLIENT_LINK_PUT_H

#include "../channel/outgoing.h"
#include "link.h"

/* Room that each request leaves in the ring for an abort. */
#define LM_REQUEST_SPARE LM_FRAME_ALIGN

struct lm_request {
    struct lm_outgoing out; /* in one frame if possible, unless its thread waits: a whole frame can go to a successor */
    int64_t deadline;
    bool has_reply_timeout;  /* once queued, a call waits this long instead: CFMessagePort's second timeout */
    int64_t reply_timeout;   /* nanoseconds, or LM_FOREVER */
    bool queued;             /* the ring has all of it */
    bool service_lived;      /* the kernel reported this after the send began */
    bool taken;              /* the service has or had it; it cannot be withdrawn */
    struct lm_call *call;    /* NULL: a one-way message */
    struct lm_object *owner; /* the asynchronous call, which may end while the lock is given up; else NULL */
    struct lm_list in_unsent;
    int interrupt;             /* a descriptor that ends the wait of the request's thread; -1: none */
    struct lm_segment *buffer; /* holds the message's data; NULL: not a buffer */
    struct lm_lease lease;     /* the frame's payload, if the buffer is lent */
};

/* Returns whether the sender does not wait for the reply. A thread that waits notices a death by the socket. */
LM_INTERNAL bool lm_request_is_left_alone(const struct lm_request *request)
{
    return !request->call || request->owner;
}

/* Records the kernel's report, of a poll or a bell at `now`, whether the service lives. */
LM_INTERNAL void lm_link_hear(struct lm_link *link, struct lm_request *request, bool lives, uint64_t now)
{
    request->service_lived |= lives;
    if (lives)
        link->lived_at = now;
    else
        lm_link_die(link);
}

/* Returns whether the kernel's last report still counts: for less time than a successor needs to take the name. */
LM_INTERNAL bool lm_link_lived_just_now(const struct lm_link *link, uint64_t now)
{
    return now - link->lived_at < lm_ticks_few();
}

/*
 * Publishes what was put, and rings if the service sleeps. If the service is awake and no thread will wait, no bell
 * tells whether it lives, so the kernel is asked: in a stream only once in about 10 us, because the poll takes as long
 * as four messages. 10 us is less than a successor needs to take the name. The lock is given up for the system call.
 */
LM_INTERNAL void lm_link_publish(struct lm_link *link, struct lm_request *request)
{
    lm_producer_publish(&link->channel.out);
    bool asleep = lm_producer_claim_bell(&link->channel.out);
    if (!asleep && !lm_request_is_left_alone(request))
        return;
    uint64_t now = lm_ticks();
    if (!asleep && lm_link_lived_just_now(link, now)) {
        request->service_lived = true;
        return;
    }
    lm_link_unlock(link);
    bool lives = asleep ? lm_channel_ring_bell(&link->channel) == 0 : !lm_sys_hung_up(link->channel.socket);
    lm_link_lock(link);
    lm_link_hear(link, request, lives, now);
}

/* Asks the kernel whether the service lives, before a request's first wait. A service that is dead now was dead when
 * the send began, or died while the thread was spinning. If many threads wait, one poll in about 10 us serves all. */
LM_INTERNAL void lm_link_ask_once(struct lm_link *link, struct lm_request *request)
{
    if (request->service_lived || lm_link_is_cut(link))
        return;
    uint64_t now = lm_ticks();
    if (lm_link_lived_just_now(link, now))
        request->service_lived = true;
    else
        lm_link_hear(link, request, !lm_sys_hung_up(link->channel.socket), now);
}

/* Puts a frame without data about a call. The caller has made sure of the room. */
LM_SETUP void lm_link_say(struct lm_link *link, uint32_t kind, uint32_t token)
{
    struct lm_frame frame;
    memset(&frame, 0, sizeof frame);
    frame.kind = kind;
    frame.token = token;
    lm_producer_put(&link->channel.out, &frame, "");
    lm_producer_publish(&link->channel.out);
    if (lm_producer_claim_bell(&link->channel.out))
        lm_channel_ring_bell(&link->channel);
}

/* Aborts a request of which some pieces are in the ring. Each put has left room for the abort. */
LM_SETUP void lm_link_break_off(struct lm_link *link, const struct lm_request *request)
{
    if (request->out.sent > 0 && !request->queued && !lm_link_is_cut(link))
        lm_link_say(link, LM_FRAME_ABORT, request->out.token);
}

/* Tells the service that the caller has stopped waiting, if there is room: the reply need not be sent. */
LM_SETUP void lm_link_give_up(struct lm_link *link, uint32_t token)
{
    if (!lm_link_is_cut(link) &&
        lm_producer_prepare(&link->channel.out, lm_frame_extent(0) + LM_REQUEST_SPARE) == LM_ROOM_READY)
        lm_link_say(link, LM_FRAME_GIVEN_UP, token);
}

/* Returns whether the buffer itself is sent, not a copy. */
LM_INTERNAL bool lm_request_is_lent(const struct lm_request *request)
{
    return request->out.kind == LM_FRAME_LENT;
}

/* Prepares a request in a buffer for a link. The buffer is lent if it belongs to the link and there is room for its
 * memory among the descriptors; else its data are copied. */
LM_INTERNAL void lm_request_load_buffer(struct lm_request *request, const struct lm_link *link)
{
    struct lm_segment *buffer = request->buffer;
    bool lends = lm_channel_lends(&link->channel, buffer) && lm_outgoing_own(&request->out) < LM_DESCRIPTORS_MAX;
    request->out.kind = lends ? LM_FRAME_LENT : LM_FRAME_MESSAGE;
    request->out.data = lends ? (const unsigned char *)&request->lease : buffer->data;
    request->out.length = lends ? (uint32_t)sizeof request->lease : buffer->length;
    lm_outgoing_set_memory(&request->out, lends ? buffer->memory : -1);
    if (lends)
        request->lease = lm_segment_lend(buffer);
}

/* Prepares any request for a link. Called without the lock. */
LM_INTERNAL void lm_request_load(struct lm_request *request, struct lm_link *link)
{
    request->queued = request->service_lived = false;
    if (!request->buffer)
        return;
    lm_link_lock(link);
    lm_request_load_buffer(request, link);
    lm_link_unlock(link);
}

/* Publishes the part that was just put. */
LM_INTERNAL void lm_link_show(struct lm_link *link, struct lm_request *request, bool last)
{
    request->queued = last;
    if (lm_request_is_lent(request))
        lm_sys_close(&request->buffer->memory); /* it was sent, unless the service had it before */
    lm_link_publish(link, request);
}

/* --- The queue of asynchronous calls --- */

LM_INTERNAL void lm_link_stand_in_line(struct lm_link *link, struct lm_request *request)
{
    lm_list_append(&link->unsent, &request->in_unsent);
    link->unsent_bytes += request->out.length;
}

LM_INTERNAL void lm_link_leave_line(struct lm_link *link, struct lm_request *request)
{
    lm_list_remove(&request->in_unsent);
    link->unsent_bytes -= request->out.length;
    lm_link_wake_followers(link); /* those that wait behind it */
}

/* Removes a request that will not be sent from the queue. Idempotent. */
LM_INTERNAL void lm_link_abandon(struct lm_link *link, struct lm_request *request)
{
    if (!lm_list_contains(&request->in_unsent))
        return;
    lm_link_break_off(link, request);
    if (request->out.sent > 0)
        link->large_turn = false;
    lm_link_leave_line(link, request);
}

/* Returns whether the service's limits permit the request to begin. 1: yes; 0: not yet; -EMSGSIZE: never. */
LM_INTERNAL int lm_link_may_begin(struct lm_link *link, const struct lm_request *request)
{
    bool large = lm_outgoing_is_large(&request->out);
    bool needs_limit = request->out.total > LM_PIECE_MAX || link->wary;
    if (request->out.sent > 0 || !needs_limit)
        return 1;
    if (!lm_link_welcomed(link))
        return 0;
    if (request->out.total > lm_load_relaxed(&link->channel.memory->largest_message))
        return -EMSGSIZE;
    return !(large && link->large_turn);
}

/* Puts the next part of the first request in the queue. 1: put; 0: it must wait; negative: it cannot be sent. */
LM_INTERNAL int lm_link_put_next(struct lm_link *link, struct lm_request *request)
{
    int result = lm_link_may_begin(link, request);
    if (result <= 0)
        return result;
    result = lm_outgoing_put_or_announce(&request->out, &link->channel, LM_REQUEST_SPARE);
    if (result != LM_PUT_LAST && result != LM_PUT_PART)
        return result < 0 ? result : 0;
    bool last = result == LM_PUT_LAST;
    lm_retain(request->owner);
    if (lm_outgoing_is_large(&request->out))
        link->large_turn = !last;
    if (last)
        lm_link_leave_line(link, request);
    lm_link_show(link, request, last);
    lm_release(request->owner);
    return 1;
}

/* Returns whether an error of the socket or the ring means that the service is dead or broke the protocol. */
LM_INTERNAL bool lm_error_ends_link(int error)
{
    return error == -EPROTO || error == -EPIPE || error == -ECONNRESET;
}

/* Puts the queue as far as there is room. Gives up the lock meanwhile. */
LM_INTERNAL void lm_link_put_unsent(struct lm_link *link)
{
    struct lm_list *first;
    while (!lm_link_is_cut(link) && (first = lm_list_first(&link->unsent)) != NULL) {
        struct lm_request *request = LM_CONTAINER(first, struct lm_request, in_unsent);
        int result = lm_link_put_next(link, request);
        if (result == 0)
            return;
        if (lm_error_ends_link(result)) {
            lm_link_die(link); /* what is in the line goes to the next link */
        } else if (result < 0) {
            lm_link_abandon(link, request);
            lm_call_fail(request->call, result);
        }
    }
}

#endif
