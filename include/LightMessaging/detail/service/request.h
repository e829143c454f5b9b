/* SPDX-License-Identifier: MIT */
/* Takes requests from a session's ring: whole, in pieces, lent, with descriptors. Functions here are called with the
 * session's lock held. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_REQUEST_H
#define LM_DETAIL_SERVICE_REQUEST_H

#include "reply.h"

/* What lm_session_step returns about a message. */
struct lm_arrival {
    uint32_t token; /* 0: one-way */
    int32_t identifier;
    uint32_t deadline; /* in the wire format */
};

/* --- Large requests, which count in their user's quota until they are complete --- */

LM_SETUP void lm_session_drop_parts(struct lm_session *session)
{
    if (session->arriving) {
        LMResponseBufferFree(session->arriving);
        lm_user_give_bytes(session->user, session->incoming.total);
    }
    free(session->arriving);
    session->arriving = NULL;
    session->incoming.begun = false;
}

/* Provides the place for a large request, if it has none yet. */
LM_SETUP int lm_session_hold_parts(struct lm_session *session, const struct lm_frame *frame)
{
    if (session->arriving)
        return 0;
    int result = lm_user_take_bytes(session->user, frame->total);
    if (result < 0)
        return result;
    session->arriving = (LMResponseBuffer *)malloc(sizeof *session->arriving);
    if (session->arriving)
        lm_message_init(&session->arriving->message);
    else
        lm_user_give_bytes(session->user, frame->total);
    return session->arriving ? 0 : -ENOMEM;
}

/* --- Taking --- */

/* Discards what was read of a request that its sender has withdrawn. */
LM_SETUP void lm_session_forgo(struct lm_session *session, LMMessage *message)
{
    if (message->lent)
        lm_message_disown(message);
    else if (session->arriving && message == &session->arriving->message)
        lm_session_drop_parts(session);
    else
        LMResponseBufferFree((LMResponseBuffer *)(void *)message);
}

/* Handles a frame of a request. 1: the request was taken and is in `message`; 0: more is to come, or it was
 * withdrawn. */
LM_INTERNAL int lm_session_receive_request(struct lm_session *session, const struct lm_frame *frame,
                                           struct lm_parcel *parcel, LMMessage *message)
{
    bool part = lm_frame_is_part(frame);
    int result = part ? lm_session_hold_parts(session, frame) : 0;
    if (result < 0)
        return result;
    LMMessage *read = part ? &session->arriving->message : message;
    int came = lm_incoming_read(&session->incoming, &session->channel, frame, parcel, read);
    if (came != LM_CAME_ALL)
        return came < 0 ? came : 0;
    if (!lm_consumer_take(&session->channel.in)) {
        lm_session_forgo(session, read);
        return 0;
    }
    if (part) {
        lm_message_move(read, message);
        lm_session_drop_parts(session);
    }
    return 1;
}

/* Handles a frame. 1: a request was taken; 0: none was; -EPROTO, -ENOMEM, -EDQUOT: the client must lose its
 * connection. */
LM_INTERNAL int lm_session_receive(struct lm_session *session, const struct lm_frame *frame, struct lm_parcel *parcel,
                                   LMMessage *message)
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
    if (frame->kind == LM_FRAME_DROPPED || frame->kind == LM_FRAME_STATUS || frame->total > session->incoming.largest)
        return -EPROTO;
    return lm_session_receive_request(session, frame, parcel, message);
}

/* Handles a frame whose descriptors come through the socket. */
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
    if (result > 0)
        lm_message_attach(message, &parcel);
    lm_parcel_free(parcel);
    return result;
}

/* Handles the next frame. 1: it completed a message; 0: it did not; -EAGAIN: there is none. Called with the lock
 * held. */
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
    if (session->given_up_next && frame.token && result > 0)
        lm_session_forget_given_up(session, frame.token); /* it names a new call */
    arrival->token = frame.token;
    arrival->identifier = frame.identifier;
    arrival->deadline = frame.deadline;
    lm_incoming_pass(&session->channel, &frame);
    return result;
}

#endif
