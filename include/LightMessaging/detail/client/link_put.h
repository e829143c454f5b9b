/* SPDX-License-Identifier: MIT */
/*
 * Requests into a link's ring, as far as there is room: nothing here waits. What asynchronous calls can't put in yet
 * stands in line, in the order of their sends; threads that send stand behind it. Locks and results as in link.h.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_LINK_PUT_H
#define LM_DETAIL_CLIENT_LINK_PUT_H

#include "../channel/outgoing.h"
#include "link.h"

/* Room that a request leaves behind itself, for an abort. */
#define LM_REQUEST_SPARE LM_FRAME_ALIGN

struct lm_request {
    struct lm_outgoing out; /* whole if it can be, unless its thread waits: a service's successor gets what is whole */
    int64_t deadline;
    bool has_reply_timeout;  /* once it is put in, a call waits this long instead: CFMessagePort's second timeout */
    int64_t reply_timeout;   /* nanoseconds, or LM_FOREVER */
    bool queued;             /* all of it is in the ring */
    bool service_lived;      /* after the send began: the kernel said so */
    bool taken;              /* it can't be had back: the service has it, or had */
    struct lm_call *call;    /* whose it is; NULL: a one-way message's */
    struct lm_object *owner; /* of an asynchronous one, which may end while the lock is given up */
    struct lm_list in_unsent;
    int interrupt;             /* a descriptor that ends the wait of the request's thread; -1: none */
    struct lm_segment *buffer; /* that the message is in; NULL: an ordinary one */
    struct lm_lease lease;     /* its data, if the buffer is lent */
};

/* Whether its sender goes on at once. A thread that waits for its answer hears of a death by the socket. */
LM_INTERNAL bool lm_request_is_left_alone(const struct lm_request *request)
{
    return !request->call || request->owner;
}

/* The kernel was asked at `now`, by a poll or by a bell: what that says of the service. */
LM_INTERNAL void lm_link_hear(struct lm_link *link, struct lm_request *request, bool lives, uint64_t now)
{
    request->service_lived |= lives;
    if (lives)
        link->lived_at = now;
    else
        lm_link_die(link);
}

/* Whether the kernel's last answer still counts: for less time than a successor needs to take the name. A question
 * takes as long as four messages. */
LM_INTERNAL bool lm_link_lived_just_now(const struct lm_link *link, uint64_t now)
{
    return now - link->lived_at < lm_ticks_few();
}

/*
 * Lets the service see what was put, and wakes it if it sleeps. Where nobody will wait, the kernel is asked whether a
 * service that is awake still lives, since no bell tells; but in a stream only once in some 10 us, since a question
 * takes as long as four messages. That is less than a successor needs to take the name. The lock is given up for the
 * system call.
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

/* Before a request waits for the first time: a service that is dead now was dead when the send began, or has died while
 * its thread was spinning. Where many threads wait, one question in some 10 us serves all. */
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

/* Puts a frame that says something about a call, and has room. */
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

/* Gives up a request of which parts are in the ring. Whoever put something in has left room for this. */
LM_SETUP void lm_link_break_off(struct lm_link *link, const struct lm_request *request)
{
    if (request->out.sent > 0 && !request->queued && !lm_link_is_cut(link))
        lm_link_say(link, LM_FRAME_ABORT, request->out.token);
}

/* Tells the service that nobody waits for an answer any more, if there is room: late ones need not come. */
LM_SETUP void lm_link_give_up(struct lm_link *link, uint32_t token)
{
    if (!lm_link_is_cut(link) &&
        lm_producer_prepare(&link->channel.out, lm_frame_extent(0) + LM_REQUEST_SPARE) == LM_ROOM_READY)
        lm_link_say(link, LM_FRAME_GIVEN_UP, token);
}

/* Whether the buffer itself goes, rather than a copy. */
LM_INTERNAL bool lm_request_is_lent(const struct lm_request *request)
{
    return request->out.kind == LM_FRAME_LENT;
}

/* Makes the request ready for a link: lends its buffer if that is one of the link's, and there is room for its memory
 * among the descriptors; else its data are to be copied. With the lock. */
LM_INTERNAL void lm_request_load_buffer(struct lm_request *request, const struct lm_link *link)
{
    struct lm_segment *buffer = request->buffer;
    bool lends = lm_channel_lends(&link->channel, buffer) && request->out.descriptor_count < LM_DESCRIPTORS_MAX;
    request->out.kind = lends ? LM_FRAME_LENT : LM_FRAME_MESSAGE;
    request->out.data = lends ? (const unsigned char *)&request->lease : buffer->data;
    request->out.length = lends ? (uint32_t)sizeof request->lease : buffer->length;
    request->out.memory = lends ? buffer->memory : -1;
    if (lends)
        request->lease = lm_segment_lend(buffer);
}

/* The same for any request. Without the lock. */
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
        lm_sys_close(&request->buffer->memory); /* it has been sent, if it was still here */
    lm_link_publish(link, request);
}

/* --- The line of asynchronous calls --- */

LM_INTERNAL void lm_link_stand_in_line(struct lm_link *link, struct lm_request *request)
{
    lm_list_append(&link->unsent, &request->in_unsent);
    link->unsent_bytes += request->out.length;
}

LM_INTERNAL void lm_link_leave_line(struct lm_link *link, struct lm_request *request)
{
    lm_list_remove(&request->in_unsent);
    link->unsent_bytes -= request->out.length;
    lm_link_wake_followers(link); /* who stands behind it */
}

/* Takes a request that will not be sent any more out of the line, if it stands there. */
LM_INTERNAL void lm_link_abandon(struct lm_link *link, struct lm_request *request)
{
    if (!lm_list_contains(&request->in_unsent))
        return;
    lm_link_break_off(link, request);
    if (request->out.sent > 0)
        link->large_turn = false;
    lm_link_leave_line(link, request);
}

/* Whether the service's limits are known, and allow it. 1: go on; 0: not yet; -EMSGSIZE. */
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

/* The next part of the first in line. 1: it was put; 0: it has to wait; else it can't be sent. */
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

/* Puts what stands in line, as far as there is room. The lock is given up meanwhile. */
LM_INTERNAL void lm_link_put_unsent(struct lm_link *link)
{
    struct lm_list *first;
    while (!lm_link_is_cut(link) && (first = lm_list_first(&link->unsent)) != NULL) {
        struct lm_request *request = LM_CONTAINER(first, struct lm_request, in_unsent);
        int result = lm_link_put_next(link, request);
        if (result == 0)
            return;
        if (result == -EPROTO) {
            lm_link_die(link);
        } else if (result < 0) {
            lm_link_abandon(link, request);
            lm_call_fail(request->call, result);
        }
    }
}

#endif
