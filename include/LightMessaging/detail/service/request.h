/* SPDX-License-Identifier: MIT */
/* Requests, as a session takes them from its ring: whole, in pieces, lent, with descriptors. With the session's lock. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_REQUEST_H
#define LM_DETAIL_SERVICE_REQUEST_H

#include "reply.h"

/* What lm_session_next found. */
struct lm_arrival {
    uint32_t token; /* 0: one-way */
    int32_t identifier;
};

LM_SETUP void lm_session_drop_parts(struct lm_session *session)
{
    if (session->parts)
        lm_user_give_bytes(session->user, session->request.total);
    free(session->parts);
    session->parts = NULL;
    session->request.begun = false;
}

/* C3, C4 of a whole message: 1 it is in `message`, 0 it was withdrawn. */
LM_INTERNAL int lm_session_take_whole(struct lm_session *session, const struct lm_frame *frame, LMMessage *message)
{
    void *target = lm_message_reserve(message, frame->length);
    if (!target)
        return -ENOMEM;
    lm_consumer_copy(&session->channel.in, frame, target);
    if (lm_consumer_take(&session->channel.in))
        return 1;
    LMResponseBufferFree((LMResponseBuffer *)(void *)message);
    return 0;
}

LM_INTERNAL int lm_session_begin_parts(struct lm_session *session, uint32_t total)
{
    int result = lm_user_take_bytes(session->user, total);
    if (result < 0)
        return result;
    session->parts = (unsigned char *)lm_data_new(total);
    if (!session->parts)
        lm_user_give_bytes(session->user, total);
    return session->parts ? 0 : -ENOMEM;
}

/* The same for a part of a large one, which is taken with its last part. */
LM_INTERNAL int lm_session_take_part(struct lm_session *session, const struct lm_frame *frame, LMMessage *message)
{
    uint32_t offset = session->request.begun ? session->request.received : 0;
    int last = lm_assembly_add(&session->request, frame);
    if (last < 0)
        return last;
    int result = session->parts ? 0 : lm_session_begin_parts(session, frame->total);
    if (result < 0)
        return result;
    lm_consumer_copy(&session->channel.in, frame, session->parts + offset);
    if (!last)
        return 0;
    if (!lm_consumer_take(&session->channel.in)) {
        lm_session_drop_parts(session);
        return 0;
    }
    lm_message_adopt(message, session->parts, frame->total);
    lm_user_give_bytes(session->user, frame->total);
    session->parts = NULL;
    return 1;
}

/* The same for a message in a segment, which a sender that takes its message back has again. */
LM_INTERNAL int lm_session_take_lent(struct lm_session *session, const struct lm_frame *frame,
                                     const struct lm_parcel *parcel, LMMessage *message)
{
    struct lm_segment *segment = NULL;
    int result = lm_channel_borrow(&session->channel, frame, parcel, session->largest_message, &segment);
    if (result < 0)
        return result;
    if (!lm_consumer_take(&session->channel.in)) {
        lm_release(&segment->object);
        return 0;
    }
    lm_message_borrow(message, segment, frame->total);
    return 1;
}

/* 1: a message was taken, 0: go on, -EPROTO, -ENOMEM or -EDQUOT: send the client away. */
LM_INTERNAL int lm_session_receive(struct lm_session *session, const struct lm_frame *frame,
                                   const struct lm_parcel *parcel, LMMessage *message)
{
    if (frame->kind >= LM_FRAME_IGNORABLE) {
        if (frame->kind == LM_FRAME_GIVEN_UP && frame->token)
            lm_session_give_up(session, frame->token);
        return 0;
    }
    if (frame->kind == LM_FRAME_ABORT) {
        lm_session_drop_parts(session);
        return 0;
    }
    if (frame->kind == LM_FRAME_DROPPED || frame->total > session->largest_message)
        return -EPROTO;
    if (lm_frame_is_part(frame))
        return lm_session_take_part(session, frame, message);
    if (frame->kind == LM_FRAME_LENT)
        return lm_session_take_lent(session, frame, parcel, message);
    return lm_session_take_whole(session, frame, message);
}

/* The same for a frame whose descriptors come by the socket. */
LM_SETUP int lm_session_receive_with_descriptors(struct lm_session *session, const struct lm_frame *frame,
                                                 LMMessage *message)
{
    struct lm_parcel *parcel = NULL;
    session->look_again = true;
    int result = lm_channel_take_parcel(&session->channel, frame->descriptors, &parcel);
    if (result == 0)
        result = lm_session_count_descriptors(session);
    if (result == 0)
        result = lm_session_receive(session, frame, parcel, message);
    if (result > 0 && frame->kind != LM_FRAME_LENT)
        message->descriptors = parcel;
    else
        lm_parcel_free(parcel);
    return result;
}

/* Handles the next frame. With the lock. 1: it completed a message; 0: it didn't; -EAGAIN: there is none. */
LM_INTERNAL int lm_session_step(struct lm_session *session, LMMessage *message, struct lm_arrival *arrival)
{
    struct lm_consumer *in = &session->channel.in;
    struct lm_frame frame;
    if (lm_session_is_cut(session))
        return -EPIPE;
    int result = lm_consumer_peek(in, &frame);
    if (result == 0)
        return -EAGAIN;
    if (result > 0)
        result = frame.descriptors ? lm_session_receive_with_descriptors(session, &frame, message)
                                   : lm_session_receive(session, &frame, NULL, message);
    if (result < 0)
        return result;
    arrival->token = frame.token;
    arrival->identifier = frame.identifier;
    lm_consumer_advance(in, &frame);
    if (lm_consumer_must_ring(in))
        lm_channel_ring_bell(&session->channel);
    return result;
}

#endif
