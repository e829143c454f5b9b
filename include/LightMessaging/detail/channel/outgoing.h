/* SPDX-License-Identifier: MIT */
/*
 * Messages to be sent, requests or replies. A short message goes into the ring in one frame, a longer one in pieces.
 * Its descriptors go through the socket before its last frame. Nothing here waits. Functions are called with the
 * channel's lock held.
 */
#ifndef LM_DETAIL_CHANNEL_OUTGOING_H
#define LM_DETAIL_CHANNEL_OUTGOING_H

#include "channel.h"

struct lm_outgoing {
    uint32_t kind;  /* of the last frame */
    uint32_t token; /* names the call; 0: a one-way message */
    int32_t identifier;
    const unsigned char *data; /* the message from byte `data_from` on */
    uint32_t data_from;
    uint32_t length;           /* of the bytes that go through the ring */
    uint32_t total;            /* the message's length; equal to `length` unless the message is lent */
    uint32_t part_max;         /* longest payload of one frame; lm_channel.part_max */
    uint32_t whole_max;        /* a longer message goes in pieces */
    uint32_t sent;             /* bytes that are in the ring */
    uint64_t position;         /* of the last frame, once it is in the ring */
    uint32_t deadline;         /* of a call, in the wire format */
    int memory;                /* of a segment that is new to the receiver: the first descriptor; -1: none */
    const int *descriptors;    /* the message's own */
    uint32_t descriptor_count; /* with the memory */
};

/* The result of putting the next part. */
enum lm_put {
    LM_PUT_LAST,       /* it was put, and is the last */
    LM_PUT_PART,       /* it was put, and more follow */
    LM_PUT_RING_FULL,  /* there is no room for it */
    LM_PUT_SOCKET_FULL /* there is no room for its descriptors */
};

/* Returns whether the message goes in pieces. */
LM_INTERNAL bool lm_outgoing_is_large(const struct lm_outgoing *outgoing)
{
    return outgoing->length > outgoing->whole_max;
}

/* Returns the length of the next part: everything, if the message is short. */
LM_INTERNAL uint32_t lm_outgoing_part(const struct lm_outgoing *outgoing)
{
    uint32_t rest = outgoing->length - outgoing->sent;
    if (!lm_outgoing_is_large(outgoing))
        return rest;
    return lm_min32(rest, lm_min32(lm_piece_length(outgoing->length), outgoing->part_max));
}

/* Returns whether the next part, of that length, is the last. */
LM_INTERNAL bool lm_outgoing_ends_with(const struct lm_outgoing *outgoing, uint32_t part)
{
    return outgoing->sent + part == outgoing->length;
}

/* Returns the number of the message's own descriptors. */
LM_INTERNAL uint32_t lm_outgoing_own(const struct lm_outgoing *outgoing)
{
    return outgoing->descriptor_count - (outgoing->memory >= 0);
}

/* Sends the memory with the message, or not: -1. */
LM_INTERNAL void lm_outgoing_set_memory(struct lm_outgoing *outgoing, int memory)
{
    uint32_t own = lm_outgoing_own(outgoing);
    outgoing->memory = memory;
    outgoing->descriptor_count = own + (memory >= 0);
}

LM_INTERNAL void lm_outgoing_frame(const struct lm_outgoing *outgoing, uint32_t part, struct lm_frame *frame)
{
    bool last = lm_outgoing_ends_with(outgoing, part);
    frame->state = LM_FRAME_READY;
    frame->kind = last ? outgoing->kind : (uint32_t)LM_FRAME_PIECE;
    frame->length = part;
    frame->token = outgoing->token;
    frame->identifier = outgoing->identifier;
    frame->total = outgoing->total;
    frame->descriptors = last ? outgoing->descriptor_count : 0;
    frame->deadline = outgoing->deadline;
}

/* Puts the next part, but does not publish it. `spare` bytes of the ring stay free. Returns an lm_put, or -EPROTO,
 * -EPIPE, -ENOMEM. */
LM_INTERNAL int lm_outgoing_put(struct lm_outgoing *outgoing, struct lm_channel *channel, uint32_t spare)
{
    struct lm_frame frame;
    uint32_t part = lm_outgoing_part(outgoing);
    int room = lm_producer_prepare(&channel->out, lm_frame_extent(part) + spare);
    if (room != LM_ROOM_READY)
        return room < 0 ? room : LM_PUT_RING_FULL;
    lm_outgoing_frame(outgoing, part, &frame);
    int sent = frame.descriptors
                   ? lm_channel_send_parcel(channel, outgoing->memory, outgoing->descriptors, lm_outgoing_own(outgoing))
                   : 0;
    if (sent < 0)
        return sent == -EAGAIN ? LM_PUT_SOCKET_FULL : sent;
    bool last = lm_outgoing_ends_with(outgoing, part);
    outgoing->position = channel->out.tail;
    lm_producer_put(&channel->out, &frame, outgoing->data + (outgoing->sent - outgoing->data_from));
    outgoing->sent += part;
    return last ? LM_PUT_LAST : LM_PUT_PART;
}

/* Has the peer ring when there may be room, after a put that found none. LM_ROOM_READY: there may be room now. */
LM_INTERNAL int lm_outgoing_announce(const struct lm_outgoing *outgoing, struct lm_channel *channel, uint32_t spare,
                                     bool socket_full)
{
    uint32_t extent = socket_full ? LM_NEVER_FITS : lm_frame_extent(lm_outgoing_part(outgoing)) + spare;
    int room = lm_producer_announce(&channel->out, extent);
    if (room == LM_ROOM_FULL && socket_full && lm_sys_writable(channel->socket))
        return LM_ROOM_READY;
    return room;
}

/* Puts the next part, or has the peer ring when there is room for it. Results as lm_outgoing_put. */
LM_INTERNAL int lm_outgoing_put_or_announce(struct lm_outgoing *outgoing, struct lm_channel *channel, uint32_t spare)
{
    for (;;) {
        int put = lm_outgoing_put(outgoing, channel, spare);
        if (put != LM_PUT_RING_FULL && put != LM_PUT_SOCKET_FULL)
            return put;
        int room = lm_outgoing_announce(outgoing, channel, spare, put == LM_PUT_SOCKET_FULL);
        if (room != LM_ROOM_READY)
            return room < 0 ? room : put;
    }
}

#endif
