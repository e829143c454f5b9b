/* SPDX-License-Identifier: MIT */
/*
 * A link: this process's channel to a named service, shared by all threads and connections that use the name.
 *
 * The channel's lock guards it. Nobody waits while holding it: lm_link_wait gives it up. Of the threads that wait, one
 * leads: it sleeps on the socket, and when it wakes hands out all replies that have come. The others follow: each
 * sleeps on a word of its own, until its reply is there or it is its turn to lead. Who stops waiting passes the lead on
 * (lm_link_hand_over). When no thread waits but asynchronous calls are under way, their run loops lead.
 *
 * Functions here are called with the lock held unless they say otherwise, and return 0 or more, or a negative errno:
 * -EPIPE the link is cut, -ETIMEDOUT the deadline passed, -EMSGSIZE the service takes no message of that length,
 * -ENOMEM.
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

/* Frames handed out at once: more than a full ring of small ones. */
#define LM_COLLECT_MAX 16384

/* Records looked at when a link dies: more than a socket's queue of bells holds. */
#define LM_LAST_RECORDS 1024

/* Under the process's lock. */
struct lm_clients {
    struct lm_list links;     /* channels to services, by name */
    struct lm_list all_links; /* those that have been replaced or given up as well, for a fork */
    struct lm_list timeouts;  /* by name */
    bool timeouts_set;        /* there are some; may be read without the lock */
    uint32_t timeout;         /* of calls without one, in milliseconds; 0: none. May be read without the lock */
    uint32_t largest_reply;   /* if it was set */
    bool largest_reply_is_set;
    bool private_copies; /* of replies in lent buffers */
};

LM_STATE(struct lm_clients, lm_clients)

enum lm_link_phase { LM_LINK_OPENING = 0, LM_LINK_OPEN = 1, LM_LINK_FAILED = 2 };
enum lm_call_state { LM_CALL_WAITING = 0, LM_CALL_ANSWERED, LM_CALL_STATUS, LM_CALL_DROPPED, LM_CALL_FAILED };

struct lm_link;
struct lm_request;

/* A call that waits for its reply; on its thread's stack, or in an asynchronous call. */
struct lm_call {
    LMResponseBuffer *response; /* an asynchronous call has none before its reply comes */
    enum lm_call_state state;
    int error;                           /* of one that failed; the status, if that was the answer */
    struct lm_follower *follower;        /* its thread, while that follows */
    void (*ended)(struct lm_call *call); /* of an asynchronous one: something has happened to it, or to the link */
    /* Likewise: whether it may go over from a dead link to `link`; if so, it keeps still until it is told where it
     * is. */
    bool (*hold_to_move)(struct lm_call *call, struct lm_link *dead, struct lm_link *link);
    void (*moved)(struct lm_call *call, struct lm_link *link);
    struct lm_request *request; /* likewise; NULL: not asynchronous, or not a call */
    struct lm_list in_link;     /* likewise */
};

/* A thread that waits while another leads; on its stack. */
struct lm_follower {
    struct lm_list in_link;
    struct lm_call *call;  /* NULL: it waits for room, for the service to take or welcome, or for a thread */
    bool waits_for_thread; /* which would not find it asleep on the socket: it must not lead */
    uint32_t woken;
    int event; /* an eventfd that wakes it, if it waits for a descriptor, too; else -1 */
};

/* A run loop's eye on the link's socket; link_wait.h says what for. */
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
    struct lm_list in_process; /* by name: guarded by the process's lock, like the next */
    struct lm_list in_all;
    struct lm_table calls; /* outstanding, by token */
    struct lm_list followers;
    uint32_t news;    /* counts what waiters that give up the lock without following would miss */
    uint32_t threads; /* in a call, whether they look, sleep, or have no core at the moment */
    bool led;
    struct lm_list asynchronous; /* calls */
    struct lm_list unsent;       /* their requests that wait for room, in order */
    uint64_t unsent_bytes;
    bool pump_missed;           /* a pump was told of something while a thread led */
    struct lm_list pumps;       /* the loops that lead when no thread does */
    bool large_turn;            /* a large message is being put in, in pieces */
    bool given_up;              /* cut by this side: the service still gets what is in the ring */
    bool ended;                 /* the process ends, and has seen to it; guarded by the process's lock */
    bool calls_stay;            /* likewise: what is left goes to the next link without its calls */
    kern_return_t refusal;      /* what the service said instead of a welcome, or when it sent us away */
    bool told_welcome;          /* to whoever waits for it */
    bool wary;                  /* nothing is sent before the welcome, */
    int64_t wary_until;         /* or this time; lm_link_beware says why */
    LMServiceVersions versions; /* what the service said of them; highest is 0 before that */
    struct lm_credentials service;
    struct lm_incoming incoming;
    uint64_t lived_at;   /* when the kernel last said that the service lives, in ticks */
    struct lm_spin spin; /* of threads that wait */
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

/* The service has let us in, and said what it accepts. */
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

/* Wakes those that wait for something other than a reply; all of them when the link is cut. */
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

/* Has asynchronous calls and observers look: the link is cut, or was let in. */
LM_INTERNAL void lm_link_tell_asynchronous(struct lm_link *link)
{
    for (struct lm_list *l = lm_list_first(&link->asynchronous); l; l = lm_list_next(&link->asynchronous, l)) {
        struct lm_call *call = LM_CONTAINER(l, struct lm_call, in_link);
        call->ended(call);
    }
}

/* --- Replies --- */

/* The call a frame is for; NULL if it has been given up: the reply is late, and dropped. */
LM_INTERNAL struct lm_call *lm_link_call_of(struct lm_link *link, const struct lm_frame *frame)
{
    struct lm_entry *entry = lm_table_find(&link->calls, frame->token, 0);
    return entry ? (struct lm_call *)entry->object : NULL;
}

/* Where the call's reply goes; NULL if there is no memory. */
LM_INTERNAL LMMessage *lm_call_message(struct lm_call *call)
{
    if (!call->response) {
        call->response = (LMResponseBuffer *)malloc(sizeof *call->response);
        if (call->response)
            lm_message_init(&call->response->message);
    }
    return call->response ? &call->response->message : NULL;
}

/* A frame of a reply. Without memory for it the call fails, but a segment that can't be mapped ends the link. What is
 * not the reply's stays in the parcel. */
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

/* A frame that ends the call without a message. */
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

/* The same for a frame whose descriptors come by the socket. Without room for them the call fails. */
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

/* Hands out the replies that have come, but for what a flood brings: the deadline must be looked at. -EPROTO: the
 * service is not to be trusted with anything more. */
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
        if (frame.descriptors && link->led)
            break; /* the socket is the leader's to read, and has woken it */
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

/* Takes the pumps off their loops. */
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

/* A record of the service, as much of it as is known; a refusal says why it sends us away. */
union lm_record {
    struct lm_refusal refusal;
    char bytes[sizeof(struct lm_refusal)];
};

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

/* A service that can't be talked to. */
LM_SETUP void lm_link_find_incompatible(struct lm_link *link)
{
    link->refusal = LM_INCOMPATIBLE_VERSION;
    lm_log_service_versions(link);
}

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

/* Only what a service may say here is believed: other numbers would tell the caller that its message was taken. */
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

/* What the service had to say before it left, if nobody else reads it: bells, and perhaps a refusal. */
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

/* Ends the link. Replies that the service left are handed out first; then everybody wakes and finds it cut. */
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
