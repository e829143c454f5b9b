/* SPDX-License-Identifier: MIT */
/*
 * A link: this process's channel to a named service, shared by all threads and connections that use the name.
 *
 * The channel's lock guards the link. No thread waits while holding it: lm_link_wait gives it up. Of the threads that
 * wait, one leads: it sleeps on the socket, and when it wakes it delivers all replies that have arrived. The others
 * follow: each sleeps on a word of its own until its reply is delivered or it must lead. A thread that stops waiting
 * hands the lead over (lm_link_hand_over). If no thread waits but asynchronous calls are under way, their run loops
 * lead.
 *
 * Functions in this file are called with the lock held unless their comments say otherwise. They return 0 or more, or a
 * negative errno: -EPIPE the link is cut, -ETIMEDOUT the deadline passed, -EMSGSIZE the service accepts no message of
 * that length, -ENOMEM.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_LINK_H
#define LM_DETAIL_CLIENT_LINK_H

#include "../channel/handshake.h"
#include "../channel/incoming.h"
#include "../loop/loop.h"
#include "../channel/message.h"
#include "../process/port.h"
#include "../registry/registry.h"

/* Frames delivered at once: more than a full ring of the smallest holds. */
#define LM_COLLECT_MAX 16384

/* Records read when a link dies: more than a socket's queue holds bells. */
#define LM_LAST_RECORDS 1024

/* Guarded by the process's lock. */
struct lm_clients {
    struct lm_list links;     /* current links, by name */
    struct lm_list all_links; /* also those that were replaced or given up; for a fork */
    struct lm_list timeouts;  /* by name */
    bool timeouts_set;        /* there are some; may be read without the lock */
    uint32_t timeout;         /* of sends without one, in milliseconds; 0: none. May be read without the lock */
    uint32_t largest_reply;   /* valid if largest_reply_is_set */
    bool largest_reply_is_set;
    bool private_copies; /* refuses replies in lent buffers */
};

LM_STATE(struct lm_clients, lm_clients)

enum lm_link_phase { LM_LINK_OPENING = 0, LM_LINK_OPEN = 1, LM_LINK_FAILED = 2 };
/* What this side knows of the service's welcome. */
enum lm_welcome { LM_WELCOME_UNREAD = 0, LM_WELCOME_GOOD, LM_WELCOME_INCOMPATIBLE };
enum lm_call_state { LM_CALL_WAITING = 0, LM_CALL_ANSWERED, LM_CALL_STATUS, LM_CALL_DROPPED, LM_CALL_FAILED };

struct lm_link;
struct lm_request;

/* A call that waits for its reply. It is on its thread's stack, or part of an asynchronous call. */
struct lm_call {
    LMResponseBuffer *response; /* an asynchronous call has none before its reply arrives */
    enum lm_call_state state;
    int error;                           /* of a failed call; the status, if that was the reply */
    struct lm_follower *follower;        /* the call's thread, while it follows */
    void (*ended)(struct lm_call *call); /* asynchronous only: reports a change of the call or of the link */
    /* Asynchronous only: returns whether the call may move from a dead link to `link`. If it returns true, it holds the
     * call's lock until `moved` gets the link that the call is on, or NULL if it did not move. */
    bool (*hold_to_move)(struct lm_call *call, struct lm_link *dead, struct lm_link *link);
    void (*moved)(struct lm_call *call, struct lm_link *link);
    struct lm_request *request; /* of an asynchronous call; else NULL */
    struct lm_list in_link;     /* asynchronous only */
};

/* A thread that waits while another leads. It is on that thread's stack. */
struct lm_follower {
    struct lm_list in_link;
    struct lm_call *call;  /* NULL: waits for room, for its message to be taken, for the welcome, or for a thread */
    bool waits_for_thread; /* which would not wake it by the socket: it must not lead */
    uint32_t woken;
    int event; /* an eventfd that wakes it if it also waits for a descriptor; else -1 */
};

/* A run loop's watch on the link's socket; see link_wait.h. */
struct lm_pump {
    struct lm_object object;
    struct lm_link *link; /* with a reference */
    struct lm_watch watch;
    struct lm_list in_link;
};

struct lm_link {
    struct lm_object object;
    struct lm_channel channel;
    char name[LM_NAME_MAX + 1];
    mach_port_t port;
    uint32_t phase;            /* futex; guarded by the process's lock */
    struct lm_list in_process; /* by name: guarded by the process's lock, like in_all */
    struct lm_list in_all;
    struct lm_table calls; /* that wait for replies, by token */
    struct lm_list followers;
    uint32_t news;    /* counts events that a thread without the lock, which does not follow, would miss */
    uint32_t threads; /* using the link: spinning, asleep, or waiting for a core */
    bool led;
    struct lm_list asynchronous; /* calls and observers */
    struct lm_list unsent;       /* requests of asynchronous calls that wait for room, in order */
    uint64_t unsent_bytes;
    bool pump_missed;      /* a pump was called while a thread led */
    struct lm_list pumps;  /* of the run loops that lead when no thread does */
    bool large_turn;       /* a large message is being put, in pieces */
    bool given_up;         /* cut by this side: the service still gets what is in the ring */
    bool ended;            /* the ending process has handled this link; guarded by the process's lock */
    bool calls_stay;       /* likewise: the next link gets the one-way messages without the calls */
    kern_return_t refusal; /* the status of the service's refusal; 0: none */
    enum lm_welcome welcome;
    bool told_welcome;          /* the waiters have been told of the welcome */
    bool wary;                  /* nothing is sent before the welcome, */
    int64_t wary_until;         /* or before this time; see lm_link_beware */
    LMServiceVersions versions; /* as the service reported them; highest is 0 before that */
    struct lm_credentials service;
    struct lm_incoming incoming;
    uint64_t lived_at;   /* when the kernel last reported that the service lives, in ticks */
    struct lm_spin spin; /* of waiting threads */
};

LM_INTERNAL void lm_link_lock(struct lm_link *link)
{
    pthread_mutex_lock(&link->channel.lock);
}

LM_INTERNAL void lm_link_unlock(struct lm_link *link)
{
    pthread_mutex_unlock(&link->channel.lock);
}

LM_INTERNAL bool lm_link_is_cut(const struct lm_link *link)
{
    return lm_load_relaxed(&link->channel.cut);
}

/* Returns whether the service has accepted this process and set its limits. */
LM_INTERNAL bool lm_link_welcomed(const struct lm_link *link)
{
    return lm_load_ordered(&link->channel.memory->welcomed);
}

/* --- Waking threads of this process --- */

LM_INTERNAL void lm_follower_wake(struct lm_follower *follower)
{
    lm_store_release(&follower->woken, 1);
    if (follower->event >= 0)
        lm_sys_eventfd_raise(follower->event);
    else
        lm_sys_futex_wake(&follower->woken, 1);
}

/* Wakes the followers that wait for something other than a reply; all followers if the link is cut. */
LM_INTERNAL void lm_link_wake_followers(struct lm_link *link)
{
    link->news++;
    for (struct lm_list *l = lm_list_first(&link->followers); l; l = lm_list_next(&link->followers, l)) {
        struct lm_follower *follower = LM_CONTAINER(l, struct lm_follower, in_link);
        if (!follower->call || lm_link_is_cut(link))
            lm_follower_wake(follower);
    }
}

LM_INTERNAL void lm_call_end(struct lm_call *call, enum lm_call_state state)
{
    call->state = state;
    if (call->follower)
        lm_follower_wake(call->follower);
    if (call->ended)
        call->ended(call);
}

LM_INTERNAL void lm_call_fail(struct lm_call *call, int error)
{
    call->error = error;
    lm_call_end(call, LM_CALL_FAILED);
}

/* Reports to asynchronous calls and observers that the link was cut or welcomed. */
LM_INTERNAL void lm_link_tell_asynchronous(struct lm_link *link)
{
    for (struct lm_list *l = lm_list_first(&link->asynchronous); l; l = lm_list_next(&link->asynchronous, l)) {
        struct lm_call *call = LM_CONTAINER(l, struct lm_call, in_link);
        call->ended(call);
    }
}

/* --- Replies --- */

/* Returns the call that a frame is for. NULL: the caller gave it up; the reply is late and is dropped. */
LM_INTERNAL struct lm_call *lm_link_call_of(struct lm_link *link, const struct lm_frame *frame)
{
    struct lm_entry *entry = lm_table_find(&link->calls, frame->token, 0);
    return entry ? (struct lm_call *)entry->object : NULL;
}

/* Returns the call's place for the reply, or NULL if memory runs out. */
LM_INTERNAL LMMessage *lm_call_message(struct lm_call *call)
{
    if (!call->response) {
        call->response = (LMResponseBuffer *)malloc(sizeof *call->response);
        if (call->response)
            lm_message_init(&call->response->message);
    }
    return call->response ? &call->response->message : NULL;
}

/* Receives a frame of a reply. If there is no memory for the reply, the call fails; if a segment cannot be mapped, the
 * link ends. Descriptors that the reply does not take stay in the parcel. */
LM_INTERNAL int lm_link_receive_reply(struct lm_link *link, const struct lm_frame *frame, struct lm_parcel **parcel)
{
    struct lm_call *call = lm_link_call_of(link, frame);
    bool waits = call && call->state == LM_CALL_WAITING;
    LMMessage *message = waits ? lm_call_message(call) : NULL;
    int came = lm_incoming_read(&link->incoming, &link->channel, frame, *parcel, message);
    bool fatal = came < 0 && (came != -ENOMEM || frame->kind == LM_FRAME_LENT);
    if (fatal || !waits || came == LM_CAME_PART)
        return fatal ? came : 0;
    if (!message || came < 0) {
        lm_call_fail(call, -ENOMEM);
        return 0;
    }
    message->head.msgh_id = frame->identifier;
    lm_message_attach(message, parcel);
    lm_call_end(call, LM_CALL_ANSWERED);
    return 0;
}

/* Receives a frame that ends the call without a message. */
LM_INTERNAL void lm_link_receive_end(struct lm_link *link, const struct lm_frame *frame)
{
    struct lm_call *call = lm_link_call_of(link, frame);
    if (!call || call->state != LM_CALL_WAITING)
        return;
    call->error = frame->identifier;
    lm_call_end(call, frame->kind == LM_FRAME_STATUS ? LM_CALL_STATUS : LM_CALL_DROPPED);
}

LM_INTERNAL int lm_link_receive(struct lm_link *link, const struct lm_frame *frame, struct lm_parcel **parcel)
{
    if (frame->kind >= LM_FRAME_IGNORABLE)
        return 0;
    if (frame->total > link->incoming.largest)
        return -EPROTO;
    switch (frame->kind) {
    case LM_FRAME_ABORT:
        link->incoming.begun = false;
        return 0;
    case LM_FRAME_DROPPED:
    case LM_FRAME_STATUS:
        lm_link_receive_end(link, frame);
        return 0;
    default:
        return lm_link_receive_reply(link, frame, parcel);
    }
}

/* Receives a frame whose descriptors come through the socket. If there is no room for them, the call fails. */
LM_SETUP int lm_link_receive_with_descriptors(struct lm_link *link, const struct lm_frame *frame)
{
    struct lm_parcel *parcel = NULL;
    int result = lm_channel_take_parcel(&link->channel, frame->descriptors, &parcel);
    struct lm_call *call = result == -EMFILE || result == -ENOMEM ? lm_link_call_of(link, frame) : NULL;
    if (call && call->state == LM_CALL_WAITING)
        lm_call_fail(call, result);
    if (result == 0 || result == -EMFILE)
        result = lm_link_receive(link, frame, &parcel);
    lm_parcel_free(parcel);
    return result;
}

LM_COLD void lm_log_service_versions(const struct lm_link *link)
{
    const LMServiceVersions *versions = &link->versions;
    LM_LOG(link->channel.socket,
           "service \"%s\" speaks versions %u to %u of the protocol, features 0x%x, %s; this program %u to %u, "
           "features 0x%x",
           link->name, (unsigned)versions->lowest, (unsigned)versions->highest, (unsigned)versions->features,
           versions->otherByteOrder ? "in the other byte order" : "in the same byte order", LM_PROTOCOL_LOWEST,
           LM_PROTOCOL_HIGHEST, LM_FEATURES_KNOWN);
}

/* Records that the service's versions or features do not match this process's. */
LM_SETUP void lm_link_find_incompatible(struct lm_link *link)
{
    link->refusal = LM_INCOMPATIBLE_VERSION;
    lm_log_service_versions(link);
}

/* Reads what the service said with its welcome. */
LM_SETUP void lm_link_read_welcome(struct lm_link *link)
{
    const struct lm_memory *memory = link->channel.memory;
    uint32_t spoken = lm_load_relaxed(&memory->version), required = lm_load_relaxed(&memory->required);
    bool compatible = lm_versions_meet(spoken, spoken, required);
    link->versions.lowest = lm_load_relaxed(&memory->lowest);
    link->versions.highest = lm_load_relaxed(&memory->highest);
    link->versions.spoken = compatible ? spoken : 0;
    link->versions.features = lm_load_relaxed(&memory->ignorable) | required;
    link->welcome = compatible ? LM_WELCOME_GOOD : LM_WELCOME_INCOMPATIBLE;
    if (!compatible)
        lm_link_find_incompatible(link);
}

/* Returns false if the service's welcome says that it cannot be talked to. Called before anything of it is used. */
LM_INTERNAL bool lm_link_check_welcome(struct lm_link *link)
{
    if (link->welcome == LM_WELCOME_UNREAD && lm_link_welcomed(link))
        lm_link_read_welcome(link);
    return link->welcome != LM_WELCOME_INCOMPATIBLE;
}

/* Delivers the replies that have arrived, at most LM_COLLECT_MAX frames, so that a flood does not hide the deadline.
 * Negative: the link must end. */
LM_INTERNAL int lm_link_collect(struct lm_link *link)
{
    struct lm_consumer *in = &link->channel.in;
    struct lm_frame frame;
    struct lm_parcel *none = NULL;
    int result = 1;
    for (int i = 0; i < LM_COLLECT_MAX && result > 0; i++) {
        result = lm_consumer_peek(in, &frame);
        if (result <= 0)
            break;
        if (link->welcome != LM_WELCOME_GOOD && !lm_link_check_welcome(link))
            return -EPROTO;
        if (frame.descriptors && link->led)
            break; /* only the leader reads the socket; the parcel has woken it */
        result =
            frame.descriptors ? lm_link_receive_with_descriptors(link, &frame) : lm_link_receive(link, &frame, &none);
        if (result < 0)
            break;
        lm_incoming_pass(&link->channel, &frame);
        link->news++;
        result = 1;
    }
    return result;
}

/* Removes the pumps from their run loops. */
LM_SETUP void lm_link_stop_pumps(struct lm_link *link)
{
    struct lm_list *first;
    while ((first = lm_list_first(&link->pumps)) != NULL) {
        struct lm_pump *pump = LM_CONTAINER(first, struct lm_pump, in_link);
        lm_list_remove(first);
        lm_watch_remove(&pump->watch, link->channel.socket);
        lm_release(&pump->object);
    }
}

/* A record from the service, up to the fields that are known. A refusal gives the reason. */
union lm_record {
    struct lm_refusal refusal;
    char bytes[sizeof(struct lm_refusal)];
};

LM_SETUP void lm_link_note_versions(struct lm_link *link, const struct lm_refusal *refusal)
{
    bool reversed = refusal->magic != LM_HELLO_MAGIC;
    LMServiceVersions versions = {refusal->lowest, refusal->highest, 0, refusal->features, reversed, {0}};
    if (reversed) {
        versions.lowest = lm_other_byte_order(versions.lowest);
        versions.highest = lm_other_byte_order(versions.highest);
        versions.features = lm_other_byte_order(versions.features);
    }
    link->versions = versions;
}

/* Reads a refusal, if the record is one. Only these statuses are accepted: others would tell the caller that its
 * message was taken. */
LM_INTERNAL void lm_link_read_refusal(struct lm_link *link, const union lm_record *record, long length)
{
    if (length < (long)sizeof record->refusal)
        return;
    uint32_t status = record->refusal.status;
    bool reversed = record->refusal.magic == lm_other_byte_order(LM_HELLO_MAGIC);
    if (!reversed && record->refusal.magic != LM_HELLO_MAGIC)
        return;
    lm_link_note_versions(link, &record->refusal);
    if (reversed || status == (uint32_t)LM_INCOMPATIBLE_VERSION)
        lm_link_find_incompatible(link);
    else if (status == BOOTSTRAP_NOT_PRIVILEGED || status == KERN_RESOURCE_SHORTAGE || status == MACH_SEND_INVALID_DEST)
        link->refusal = (kern_return_t)status;
}

/* Reads the records that the service left, bells and perhaps a refusal, unless a leader reads the socket. */
LM_SETUP void lm_link_read_last_records(struct lm_link *link)
{
    union lm_record record;
    long length = link->led ? 0 : 1;
    memset(&record, 0, sizeof record);
    for (int i = 0; i < LM_LAST_RECORDS && (length > 0 || length == -ECONNRESET); i++) {
        length = lm_channel_receive_record(&link->channel, &record, sizeof record, MSG_DONTWAIT);
        lm_link_read_refusal(link, &record, length);
    }
}

/* Ends the link: delivers the replies that the service left, then wakes all waiters, who find the link cut. */
LM_SETUP void lm_link_die(struct lm_link *link)
{
    if (lm_link_is_cut(link))
        return;
    lm_link_collect(link);
    lm_link_read_last_records(link);
    LM_LOG(link->channel.socket, "channel to \"%s\" ended: %s", link->name,
           link->given_up ? "given up" : mach_error_string(link->refusal ? link->refusal : MACH_SEND_INVALID_DEST));
    lm_channel_cut(&link->channel);
    lm_link_wake_followers(link);
    lm_link_tell_asynchronous(link);
    lm_link_stop_pumps(link);
}

#endif
