/* SPDX-License-Identifier: MIT */
/*
 * A session: one client, as the service sees it. The loop's thread takes its requests; replies may come from any
 * thread. The channel's lock guards it. Nothing here waits for the client. A session that has ended keeps neither
 * socket nor memory, only itself, for the reply ports that still name it.
 */
#ifndef LM_DETAIL_SESSION_H
#define LM_DETAIL_SESSION_H

#include "assembly.h"
#include "handshake.h"
#include "lend.h"
#include "loop.h"
#include "message.h"
#include "port.h"
#include "quota.h"

/* Calls that their caller has given up and the service has not answered, that are kept in mind; untuned. */
#define LM_GIVEN_UP_MAX 64

/* Pending: the policy is being asked, and may run the loop meanwhile. */
enum lm_verdict { LM_VERDICT_NONE = 0, LM_VERDICT_PENDING, LM_VERDICT_GIVEN };

struct lm_session {
    struct lm_object object;
    struct lm_channel channel;
    struct lm_service *service; /* holds a reference; see serving.h */
    struct lm_session
        *predecessor; /* the same process's channel before this one, until it is emptied; with a reference */
    struct lm_watch watch;
    struct lm_list in_service;
    struct lm_credentials client; /* from the kernel */
    struct lm_user *user;         /* what its user's clients hold; NULL until it is welcomed, and when it has ended */
    enum lm_verdict verdict;      /* the service's policy's */
    kern_return_t refusal;        /* 0: it may come in */
    bool welcomed;
    bool rings_welcome; /* the client may sleep until it is rung: after the turn that let it in, or within it */
    bool ended;         /* or about to be: one thread ends it */
    bool peer_gone;     /* the client has closed its end; what it left in the ring is still served */
    uint32_t largest_message, largest_reply;
    struct lm_assembly request; /* a large one on its way, */
    unsigned char *parts;       /* and what has come of it */
    struct lm_list backlog;     /* replies that wait for room; reply.h */
    uint64_t backlog_bytes;
    uint32_t descriptors_counted; /* of the channel's parcels, in the user's quota */
    bool lends;                   /* the client takes lent segments */
    bool look_again;              /* records were read while requests were: there may be room for answers */
    uint32_t answers_wait;        /* the backlog is not empty; may be read without the lock, as a hint */
    uint32_t room_seen;           /* where the reply ring's head was when the backlog was last looked at; the loop's */
    uint32_t given_up[LM_GIVEN_UP_MAX]; /* tokens, 0 where there is none, */
    uint32_t given_up_next;             /* and how many there have been: the next takes the oldest's place */
    int64_t hello_deadline;
};

LM_INTERNAL void lm_session_lock(struct lm_session *session)
{
    pthread_mutex_lock(&session->channel.lock);
}

LM_INTERNAL void lm_session_unlock(struct lm_session *session)
{
    pthread_mutex_unlock(&session->channel.lock);
}

LM_INTERNAL bool lm_session_is_cut(const struct lm_session *session)
{
    return lm_load_relaxed(&session->channel.cut);
}

/* Sends the client away; the loop finds it and ends the session. */
LM_INTERNAL void lm_session_cut(struct lm_session *session)
{
    lm_channel_cut(&session->channel);
}

/* Holds what has come and waits for its message against the user's quota. */
LM_INTERNAL int lm_session_count_descriptors(struct lm_session *session)
{
    uint32_t held = session->channel.parcels_hold, counted = session->descriptors_counted;
    if (held > counted && lm_user_take_descriptors(session->user, held - counted) < 0)
        return -EDQUOT;
    if (held < counted)
        lm_user_give_descriptors(session->user, counted - held);
    session->descriptors_counted = held;
    return 0;
}

LM_SETUP void lm_session_drop_parcels(struct lm_session *session)
{
    lm_channel_drop_parcels(&session->channel);
    if (session->user)
        lm_session_count_descriptors(session);
}

/* Reads one record away, if that is what woke us. Only before the rings are looked at, so that none is read unheeded.
 * -EPROTO: it was none that belongs there. */
LM_INTERNAL int lm_session_heed(struct lm_session *session, uint32_t events)
{
    char record[LM_RECORD_PARCEL + 1];
    long length = 0;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        session->peer_gone = true;
    if (events & EPOLLIN)
        length = lm_channel_receive_record(&session->channel, record, sizeof record, MSG_DONTWAIT);
    if (length == 0 && events & EPOLLIN)
        session->peer_gone = true; /* or an empty record, which nobody else sends */
    if (length == -EPROTO || length == -ENOMEM || length > LM_RECORD_PARCEL)
        return length == -ENOMEM ? -ENOMEM : -EPROTO;
    return lm_session_count_descriptors(session);
}

/* --- Requests --- */

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

LM_INTERNAL void lm_session_give_up(struct lm_session *session, uint32_t token); /* reply.h */

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
