/* SPDX-License-Identifier: MIT */
/*
 * A session: one client, as the service sees it. The loop's thread takes its requests; replies may come from any
 * thread. The channel's lock guards it. Nothing here waits for the client. A session that has ended keeps neither
 * socket nor memory, only itself, for the reply ports that still name it.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_SESSION_H
#define LM_DETAIL_SERVICE_SESSION_H

#include "../ground/index.h"
#include "../channel/handshake.h"
#include "../channel/incoming.h"
#include "../loop/loop.h"
#include "../channel/message.h"
#include "../process/port.h"
#include "quota.h"

/* Calls that their caller has given up and the service has not answered, that are kept in mind; untuned. */
#define LM_GIVEN_UP_MAX 64

/* Pending: the policy is being asked, and may run the loop meanwhile. */
enum lm_verdict { LM_VERDICT_NONE = 0, LM_VERDICT_PENDING, LM_VERDICT_GIVEN };

struct lm_session {
    struct lm_object object;
    struct lm_channel channel;
    struct lm_service *service; /* holds a reference; see serving.h */
    const char *service_name;   /* the service's own */
    struct lm_session
        *predecessor; /* the same process's channel before this one, until it is emptied; with a reference */
    struct lm_watch watch;
    struct lm_list in_service;
    struct lm_list in_unfinished;   /* of the service, until its hello has come */
    struct lm_indexed in_processes; /* of the service, once it is welcome, by the client's number of a process */
    struct lm_credentials client;   /* from the kernel */
    struct lm_user *user;           /* what its user's clients hold; NULL until it is welcomed, and when it has ended */
    enum lm_verdict verdict;        /* the service's policy's */
    kern_return_t refusal;          /* 0: it may come in */
    bool welcomed;
    bool rings_welcome; /* the client may sleep until it is rung: after the turn that let it in, or within it */
    bool ended;         /* or about to be: one thread ends it */
    bool peer_gone;     /* the client has closed its end; what it left in the ring is still served */
    uint32_t largest_reply;
    struct lm_incoming incoming;
    LMResponseBuffer *arriving; /* what has come of a large request */
    struct lm_list backlog;     /* replies that wait for room; reply.h */
    struct lm_index by_token;   /* the same */
    uint64_t backlog_bytes;
    uint32_t descriptors_counted; /* of the channel's parcels, in the user's quota */
    bool lends;                   /* the client takes lent segments */
    bool streams;                 /* its last turn ended behind a one-way message: more will come */
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

/* Reads one record away, if that is what woke us. Only before the rings are looked at, so that none is read unanswered.
 * -EPROTO: it was none that belongs there. */
LM_INTERNAL int lm_session_read_record(struct lm_session *session, uint32_t events)
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

#endif
