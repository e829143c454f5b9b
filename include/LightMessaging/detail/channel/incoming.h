/* SPDX-License-Identifier: MIT */
/*
 * Receives messages, requests or replies: whole, in pieces, or in a segment. The callers decide which message a frame
 * belongs to, and what becomes of a complete one. Functions here are called with the channel's lock held.
 *
 * Only one large message arrives at a time in a channel; whole ones may come between its pieces.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CHANNEL_INCOMING_H
#define LM_DETAIL_CHANNEL_INCOMING_H

#include "lend.h"
#include "message.h"

struct lm_incoming {
    uint32_t largest; /* the longest message that this side accepts */
    /* The message in pieces, if one has begun: */
    bool begun;
    uint32_t token;
    uint32_t total;
    uint32_t received; /* bytes of it that have arrived */
};

/* The result of a frame: its message is not complete yet, or is. */
enum lm_came { LM_CAME_PART = 0, LM_CAME_ALL = 1 };

LM_INTERNAL bool lm_frame_is_part(const struct lm_frame *frame)
{
    return frame->kind == LM_FRAME_PIECE || (frame->kind == LM_FRAME_MESSAGE && frame->total > frame->length);
}

/* Counts a piece. -EPROTO: it does not belong to the message. */
LM_INTERNAL int lm_incoming_count(struct lm_incoming *incoming, const struct lm_frame *frame)
{
    bool last = frame->kind == LM_FRAME_MESSAGE;
    if (!incoming->begun) {
        incoming->begun = true;
        incoming->token = frame->token;
        incoming->total = frame->total;
        incoming->received = 0;
    }
    uint32_t rest = incoming->total - incoming->received;
    if (frame->token != incoming->token || frame->total != incoming->total || frame->length > rest ||
        last != (frame->length == rest))
        return -EPROTO;
    incoming->received += frame->length;
    incoming->begun = !last;
    return last ? LM_CAME_ALL : LM_CAME_PART;
}

/* C3 of a piece: copies it straight to its place in the message. The first piece allocates the whole message. */
LM_INTERNAL int lm_incoming_read_part(struct lm_incoming *incoming, const struct lm_channel *channel,
                                      const struct lm_frame *frame, LMMessage *message)
{
    int came = lm_incoming_count(incoming, frame);
    uint32_t before = incoming->received - frame->length;
    if (came < 0 || !message)
        return came;
    if (before == 0 && !lm_message_reserve(message, frame->total))
        return -ENOMEM;
    if (LMMessageGetDataLength(message) != frame->total)
        return -EPROTO;
    lm_consumer_copy(&channel->in, frame, (unsigned char *)LMMessageGetData(message) + before);
    return came;
}

LM_INTERNAL int lm_incoming_read_whole(const struct lm_channel *channel, const struct lm_frame *frame,
                                       LMMessage *message)
{
    void *target = message ? lm_message_reserve(message, frame->length) : NULL;
    if (message && !target)
        return -ENOMEM;
    if (target)
        lm_consumer_copy(&channel->in, frame, target);
    return LM_CAME_ALL;
}

LM_INTERNAL int lm_incoming_read_lent(const struct lm_incoming *incoming, struct lm_channel *channel,
                                      const struct lm_frame *frame, struct lm_parcel *parcel, LMMessage *message)
{
    struct lm_segment *segment = NULL;
    int result = lm_channel_borrow(channel, frame, parcel, incoming->largest, &segment);
    if (result < 0)
        return result;
    if (message)
        lm_message_borrow(message, segment, frame->total);
    else
        lm_segment_give_back(segment);
    return LM_CAME_ALL;
}

/* C3: reads a frame. `message` is the head of an LMResponseBuffer, or NULL to discard the data. `parcel` came with the
 * frame, or is NULL. Returns an lm_came; -EPROTO; -ENOMEM: nothing was read. */
LM_INTERNAL int lm_incoming_read(struct lm_incoming *incoming, struct lm_channel *channel, const struct lm_frame *frame,
                                 struct lm_parcel *parcel, LMMessage *message)
{
    if (frame->kind == LM_FRAME_LENT)
        return lm_incoming_read_lent(incoming, channel, frame, parcel, message);
    if (lm_frame_is_part(frame))
        return lm_incoming_read_part(incoming, channel, frame, message);
    return lm_incoming_read_whole(channel, frame, message);
}

/* C5, C6: goes on to the next frame, and rings if the producer waits for room. */
LM_INTERNAL void lm_incoming_pass(struct lm_channel *channel, const struct lm_frame *frame)
{
    lm_consumer_advance(&channel->in, frame);
    if (lm_consumer_claim_bell(&channel->in))
        lm_channel_ring_bell(channel);
}

/* Gives a complete message the descriptors that came with its last frame. */
LM_INTERNAL void lm_message_attach(LMMessage *message, struct lm_parcel **parcel)
{
    if (!*parcel || (*parcel)->count == 0)
        return;
    message->descriptors = *parcel;
    *parcel = NULL;
}

#endif
