/* SPDX-License-Identifier: MIT */
/*
 * A session: one client, as the service sees it. The run loop's thread takes its requests; replies may be sent from any
 * thread. The channel's lock guards the session. Nothing here waits for the client. A session that has ended has
 * neither socket nor memory; it remains only for the reply ports that refer to it.
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

/* Calls that their callers have given up and the service has not replied to: as many are remembered; untuned. */
#define LM_GIVEN_UP_MAX 64

/* PENDING: the policy is being asked, and may run the run loop meanwhile. */
enum lm_verdict { LM_VERDICT_NONE = 0, LM_VERDICT_PENDING, LM_VERDICT_GIVEN };

struct lm_session {
    struct lm_object object;
    struct lm_channel channel;
    struct lm_service *service;     /* with a reference; see serving.h */
    const char *service_name;       /* the service's own */
    struct lm_session *predecessor; /* the same process's earlier channel, until it is cut; with a reference */
    struct lm_watch watch;
    struct lm_list in_service;
    struct lm_list in_unfinished;   /* of the service, until the hello has arrived */
    struct lm_indexed in_processes; /* of the service, from the welcome on, by the client's process id */
    struct lm_credentials client;   /* from the kernel */
    struct lm_user *user;           /* its user's entry; NULL before the welcome and after the end */
    enum lm_verdict verdict;        /* of the service's policy */
    kern_return_t refusal;          /* 0: the client is admitted */
    bool welcomed;
    bool rings_welcome; /* the client may sleep until it is rung; the bell follows a turn */
    bool ended;         /* or about to end: one thread ends it */
    bool peer_gone;     /* the client has closed its end; what it left in the ring is still served */
    uint32_t largest_reply;
    struct lm_incoming incoming;
    LMResponseBuffer *arriving; /* what has arrived of a large request */
    struct lm_list backlog;     /* replies that wait for room; see reply.h */
    struct lm_index by_token;   /* the backlog */
    uint64_t backlog_bytes;
    uint32_t descriptors_counted; /* of the channel's parcels, in the user's quota */
    bool lends;                   /* the client takes lent segments */
    bool streams;                 /* the last turn ended after a one-way message: more are likely */
    bool look_again;              /* records were read along with requests: there may be room for replies */
    uint32_t answers_wait;        /* the backlog is not empty; may be read without the lock, as a hint */
    uint32_t room_seen; /* the reply ring's head when the backlog was last flushed; the run loop's thread's own */
    uint32_t given_up[LM_GIVEN_UP_MAX]; /* tokens, 0 if unused */
    uint32_t given_up_next;             /* how many there have been; the next replaces the oldest */
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

/* Cuts the channel. The run loop notices that and ends the session. */
LM_INTERNAL void lm_session_cut(struct lm_session *session)
{
    lm_channel_cut(&session->channel);
}

/* Counts descriptors that have arrived and wait for their message in the user's quota. */
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

/* Reads one record, if `events` reports one. Called only before the rings are polled, so that every bell is followed by
 * a poll. -EPROTO: the record breaks the protocol. */
LM_INTERNAL int lm_session_read_record(struct lm_session *session, uint32_t events)
{
    char record[LM_RECORD_PARCEL + 1];
    long length = 0;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        session->peer_gone = true;
    if (events & EPOLLIN)
        length = lm_channel_receive_record(&session->channel, record, sizeof record, MSG_DONTWAIT);
    if (length == 0 && events & EPOLLIN)
        session->peer_gone = true; /* or an empty record, which no honest client sends */
    if (length == -EPROTO || length == -ENOMEM || length > LM_RECORD_PARCEL)
        return length == -ENOMEM ? -ENOMEM : -EPROTO;
    return lm_session_count_descriptors(session);
}

#endif
