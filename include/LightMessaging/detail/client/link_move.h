/* SPDX-License-Identifier: MIT */
/*
 * Moves from a dead link to the next one what the dead service had not taken and whose sends have returned: one-way
 * messages and asynchronous calls.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_LINK_MOVE_H
#define LM_DETAIL_CLIENT_LINK_MOVE_H

#include "link_wait.h"

/* Returns whether the frame is a one-way message whose sender does not wait until it is taken. */
LM_INTERNAL bool lm_frame_is_whole_one_way(const struct lm_frame *frame)
{
    return frame->kind == LM_FRAME_MESSAGE && frame->token == 0 && frame->total == frame->length &&
           frame->descriptors == 0;
}

/* Returns whether the frame is a one-way message that the service has not taken, and that moves to the next link. */
LM_SETUP bool lm_link_keeps_frame(const struct lm_consumer *rest, const struct lm_frame *frame)
{
    return lm_frame_is_whole_one_way(frame) &&
           lm_load_relaxed(&lm_ring_frame(&rest->ring, rest->head)->state) == LM_FRAME_READY;
}

/* Returns whether the link has such messages. */
LM_SETUP bool lm_link_keeps_messages(struct lm_link *link)
{
    struct lm_ring_words words;
    struct lm_frame frame;
    if (!link->channel.memory || lm_producer_refresh(&link->channel.out) < 0)
        return false;
    struct lm_consumer rest = lm_consumer_of_rest(&link->channel.out, &words);
    while (lm_consumer_peek(&rest, &frame) > 0 && !lm_link_keeps_frame(&rest, &frame))
        lm_consumer_advance(&rest, &frame);
    return rest.head != rest.tail;
}

/* Moves a call from a dead link to another, where it has another token. Both links' locks are held. */
LM_SETUP void lm_link_adopt(struct lm_link *link, struct lm_link *dead, struct lm_call *call, uint32_t token)
{
    lm_table_remove(&dead->calls, lm_table_find(&dead->calls, call->request->out.token, 0));
    lm_list_remove(&call->in_link);
    lm_list_append(&link->asynchronous, &call->in_link);
    call->request->out.token = token;
    call->request->out.sent = 0;
    call->request->queued = false;
    if (call->request->buffer)
        lm_request_load_buffer(call->request, link); /* as a copy */
    call->moved(call, link);
}

/* Puts a request, whose data and descriptors are the call's own, into the ring at its place. False: it does not fit. */
LM_SETUP bool lm_link_put_again(struct lm_link *link, struct lm_request *request)
{
    if (lm_outgoing_is_large(&request->out))
        return false;
    request->queued = lm_outgoing_put(&request->out, &link->channel, LM_REQUEST_SPARE) == LM_PUT_LAST;
    return request->queued;
}

/* Sends a request that the dead service did not take: by the ring, or behind others by the line. Messages in pieces and
 * lent ones, which become such, go by the line; one-way messages may overtake them. */
LM_SETUP void lm_link_resend(struct lm_link *link, struct lm_request *request)
{
    if (!lm_list_empty(&link->unsent) || !lm_link_put_again(link, request))
        lm_link_stand_in_line(link, request);
}

/* Holds a dead link's call that may move, and returns its token on `link`. 0: it does not move. */
LM_SETUP uint32_t lm_link_invite(struct lm_link *link, struct lm_link *dead, struct lm_call *call)
{
    if (!call->hold_to_move(call, dead, link))
        return 0;
    uint32_t token = lm_table_insert(&link->calls, 0, call, 0);
    if (token == 0)
        call->moved(call, NULL);
    return token;
}

/* Moves an asynchronous call whose last frame is in the dead ring, unless the dead service has taken it. */
LM_SETUP void lm_link_move_call(struct lm_link *link, struct lm_link *dead, struct lm_consumer *rest,
                                const struct lm_frame *frame)
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
    lm_link_adopt(link, dead, call, token);
    lm_link_resend(link, call->request);
}

/* Returns whether this is a call's last frame. */
LM_INTERNAL bool lm_frame_ends_call(const struct lm_frame *frame)
{
    return (frame->kind == LM_FRAME_MESSAGE || frame->kind == LM_FRAME_LENT) && frame->token;
}

/* Moves what is left in the dead link's ring. The caller has reserved the room, and `payload` holds any frame's. Both
 * locks are held. */
LM_SETUP void lm_link_move_rest(struct lm_link *link, struct lm_link *dead, unsigned char *payload)
{
    struct lm_ring_words words;
    struct lm_frame frame;
    struct lm_consumer rest = lm_consumer_of_rest(&dead->channel.out, &words);
    while (lm_consumer_peek(&rest, &frame) > 0) {
        if (lm_frame_ends_call(&frame) && !dead->calls_stay) {
            lm_link_move_call(link, dead, &rest, &frame);
        } else if (lm_frame_is_whole_one_way(&frame) && lm_consumer_take(&rest)) {
            lm_consumer_copy(&rest, &frame, payload);
            lm_producer_put(&link->channel.out, &frame, payload);
        }
        lm_consumer_advance(&rest, &frame);
    }
    lm_producer_publish(&link->channel.out);
}

/* Moves the dead link's queue. Both locks are held. */
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
 * Takes over, in order, what the service of a cut link has not taken. The new ring is empty and as large as the old
 * one. One-way messages move, and, unless the process is ending, asynchronous calls. If the link was given up and its
 * service lives, the exchange of C4 decides which of the two has a message. -ENOMEM: nothing has moved.
 */
LM_SETUP int lm_link_inherit(struct lm_link *link, struct lm_link *dead)
{
    struct lm_producer *left = &dead->channel.out;
    unsigned char *payload = (unsigned char *)malloc(LM_PIECE_MAX);
    int result = payload ? 0 : -ENOMEM;
    lm_link_lock(dead);
    lm_link_lock(link);
    if (result == 0 && left->ring.size && lm_producer_refresh(left) == 0) {
        result = lm_producer_reserve(&link->channel.out, 0, (uint32_t)(left->tail - left->head));
        if (result == 0)
            lm_link_move_rest(link, dead, payload);
        if (result == 0 && !dead->calls_stay)
            lm_link_move_line(link, dead);
    }
    link->spin = dead->spin;
    link->versions = dead->versions; /* until the service says its own */
    lm_link_unlock(dead);
    lm_link_put_unsent(link);
    lm_link_hand_over(link);
    if (result == 0 && lm_producer_claim_bell(&link->channel.out))
        lm_channel_ring_bell(&link->channel);
    lm_link_unlock(link);
    free(payload);
    return result;
}

#endif
