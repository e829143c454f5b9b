/* SPDX-License-Identifier: MIT */
/*
 * A link: this process's channel to a named service, shared by all threads and connections that use the name.
 *
 * The channel's lock guards it. Nobody waits while holding it: lm_link_wait gives it up. Of the threads that wait, one
 * leads: it sleeps on the socket, and when it wakes hands out all replies that have come. The others follow: each
 * sleeps on a word of its own, until its reply is there or it is its turn to lead. Who stops waiting passes the lead on
 * (lm_link_hand_over).
 *
 * Functions here are called with the lock held unless they say otherwise, and return 0 or more, or a negative errno:
 * -EPIPE the link is cut, -ETIMEDOUT the deadline passed, -EMSGSIZE the service takes no message of that length,
 * -ENOMEM.
 */
#ifndef LM_DETAIL_LINK_H
#define LM_DETAIL_LINK_H

#include "assembly.h"
#include "handshake.h"
#include "message.h"
#include "port.h"
#include "registry.h"

/* How long a service that is awake is taken to be alive without asking the kernel; untuned. */
#define LM_TRUST_NANOSECONDS 10000000

/* Frames handed out at once: more than a full ring of small ones. */
#define LM_COLLECT_MAX 16384

/* Records looked at when a link dies: more than a socket's queue of bells holds. */
#define LM_LAST_RECORDS 1024

enum lm_link_phase { LM_LINK_OPENING = 0, LM_LINK_OPEN = 1, LM_LINK_FAILED = 2 };
enum lm_call_state { LM_CALL_WAITING = 0, LM_CALL_ANSWERED, LM_CALL_DROPPED, LM_CALL_NO_MEMORY };

/* A call that waits for its reply; on the caller's stack. */
struct lm_call {
    LMResponseBuffer *response;
    enum lm_call_state state;
    struct lm_follower *follower; /* its thread, while that follows */
};

/* A thread that waits while another leads; on its stack. */
struct lm_follower {
    struct lm_list in_link;
    struct lm_call *call; /* NULL: it waits for room, or for the service to take or welcome */
    uint32_t woken;
};

struct lm_link {
    struct lm_object object;
    struct lm_channel channel;
    char name[LM_NAME_MAX + 1];
    mach_port_t port;
    uint32_t phase; /* futex; guarded by the process's lock */
    struct lm_list in_process;
    struct lm_table calls; /* outstanding, by token */
    struct lm_list followers;
    bool led;
    bool large_turn; /* a large message is being put in, in pieces */
    bool abort_due;  /* one was given up in the middle, which the service must be told before anything else */
    bool given_up;   /* cut by this side: the service still gets what is in the ring */
    uint32_t abort_token;
    kern_return_t refusal; /* what the service said instead of a welcome, or when it sent us away */
    bool wary;             /* the last link was refused: nothing is sent before the welcome */
    uint32_t largest_reply;
    struct lm_assembly reply; /* a large one on its way */
    int64_t asked_at;         /* when the kernel was last asked whether the service lives */
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

/* --- Waking threads of this process --- */

LM_INTERNAL void lm_follower_wake(struct lm_follower *follower)
{
    lm_store_release(&follower->woken, 1);
    lm_sys_futex_wake(&follower->woken, 1);
}

/* Wakes those that wait for something other than a reply; all of them when the link is cut. */
LM_INTERNAL void lm_link_wake_followers(struct lm_link *link)
{
    for (struct lm_list *l = lm_list_first(&link->followers); l; l = lm_list_next(&link->followers, l)) {
        struct lm_follower *follower = LM_CONTAINER(l, struct lm_follower, in_link);
        if (!follower->call || lm_link_is_cut(link))
            lm_follower_wake(follower);
    }
}

/* Has another thread lead, if nobody does. Whoever stops waiting calls it. */
LM_INTERNAL void lm_link_hand_over(struct lm_link *link)
{
    struct lm_list *first = lm_list_first(&link->followers);
    if (!link->led && first)
        lm_follower_wake(LM_CONTAINER(first, struct lm_follower, in_link));
}

LM_INTERNAL void lm_call_end(struct lm_call *call, enum lm_call_state state)
{
    call->state = state;
    if (call->follower)
        lm_follower_wake(call->follower);
}

/* --- Replies --- */

/* The call a frame is for; NULL if it has been given up: the reply is late, and dropped. */
LM_INTERNAL struct lm_call *lm_link_call_of(struct lm_link *link, const struct lm_frame *frame)
{
    struct lm_entry *entry = lm_table_find(&link->calls, frame->token, 0);
    return entry ? (struct lm_call *)entry->object : NULL;
}

LM_INTERNAL void lm_link_receive_whole(struct lm_link *link, const struct lm_frame *frame)
{
    struct lm_call *call = lm_link_call_of(link, frame);
    if (!call || call->state != LM_CALL_WAITING)
        return;
    void *target = lm_message_reserve(&call->response->message, frame->length);
    if (target)
        lm_consumer_copy(&link->channel.in, frame, target);
    call->response->message.head.msgh_id = frame->identifier;
    lm_call_end(call, target ? LM_CALL_ANSWERED : LM_CALL_NO_MEMORY);
}

/* Where the next part goes: straight into the response, which the first part makes room in. NULL: nowhere. */
LM_INTERNAL unsigned char *lm_link_part_target(struct lm_call *call, const struct lm_assembly *before)
{
    if (!call || call->state != LM_CALL_WAITING)
        return NULL;
    LMMessage *message = &call->response->message;
    if (before->received == 0 && !lm_message_reserve(message, before->total))
        lm_call_end(call, LM_CALL_NO_MEMORY);
    if (LMMessageGetDataLength(message) != before->total)
        return NULL;
    return (unsigned char *)LMMessageGetData(message) + before->received;
}

LM_INTERNAL int lm_link_receive_part(struct lm_link *link, const struct lm_frame *frame)
{
    struct lm_assembly before = {true, frame->token, frame->total, 0};
    if (link->reply.begun)
        before = link->reply;
    int last = lm_assembly_add(&link->reply, frame);
    if (last < 0)
        return last;
    struct lm_call *call = lm_link_call_of(link, frame);
    unsigned char *target = lm_link_part_target(call, &before);
    if (target)
        lm_consumer_copy(&link->channel.in, frame, target);
    if (last && target)
        lm_call_end(call, LM_CALL_ANSWERED);
    return 0;
}

LM_INTERNAL int lm_link_receive(struct lm_link *link, const struct lm_frame *frame)
{
    if (frame->kind >= LM_FRAME_IGNORABLE)
        return 0;
    if (frame->total > link->largest_reply)
        return -EPROTO;
    if (frame->kind == LM_FRAME_ABORT) {
        link->reply.begun = false;
        return 0;
    }
    if (frame->kind == LM_FRAME_DROPPED) {
        struct lm_call *call = lm_link_call_of(link, frame);
        if (call)
            lm_call_end(call, LM_CALL_DROPPED);
        return 0;
    }
    if (lm_frame_is_part(frame))
        return lm_link_receive_part(link, frame);
    lm_link_receive_whole(link, frame);
    return 0;
}

/* Hands out the replies that have come, but for what a flood brings: the deadline must be looked at. -EPROTO: the
 * service is not to be trusted with anything more. */
LM_INTERNAL int lm_link_collect(struct lm_link *link)
{
    struct lm_consumer *in = &link->channel.in;
    struct lm_frame frame;
    int result = 1;
    for (int i = 0; i < LM_COLLECT_MAX && result > 0; i++) {
        result = lm_consumer_peek(in, &frame);
        if (result <= 0)
            break;
        result = lm_link_receive(link, &frame);
        if (result < 0)
            break;
        lm_consumer_advance(in, &frame);
        if (lm_consumer_must_ring(in))
            lm_channel_ring_bell(&link->channel);
        result = 1;
    }
    return result;
}

/* A record of the service, of which `length` bytes came; a refusal says why it sends us away. */
union lm_record {
    struct lm_refusal refusal;
    char bytes[sizeof(struct lm_refusal) + 1];
};

/* Only what a service may say here is believed: other numbers would tell the caller that its message was taken. */
LM_INTERNAL void lm_link_heed(struct lm_link *link, const union lm_record *record, long length)
{
    uint32_t status = record->refusal.status;
    if (length != (long)sizeof record->refusal || record->refusal.magic != LM_HELLO_MAGIC)
        return;
    if (status == BOOTSTRAP_NOT_PRIVILEGED || status == KERN_RESOURCE_SHORTAGE || status == MACH_SEND_INVALID_DEST)
        link->refusal = (kern_return_t)status;
}

/* What the service had to say before it left, if nobody else reads it: bells, and perhaps a refusal. */
LM_INTERNAL void lm_link_heed_last(struct lm_link *link)
{
    union lm_record record;
    long length = link->led ? 0 : 1;
    for (int i = 0; i < LM_LAST_RECORDS && (length > 0 || length == -ECONNRESET); i++) {
        length = lm_sys_receive(link->channel.socket, &record, sizeof record, MSG_DONTWAIT);
        lm_link_heed(link, &record, length);
    }
}

/* Ends the link. Replies that the service left are handed out first; then everybody wakes and finds it cut. */
LM_INTERNAL void lm_link_die(struct lm_link *link)
{
    if (lm_link_is_cut(link))
        return;
    lm_link_collect(link);
    lm_link_heed_last(link);
    lm_channel_cut(&link->channel);
    lm_link_wake_followers(link);
}

/* --- Waiting --- */

LM_INTERNAL bool lm_link_welcomed(const struct lm_link *link)
{
    return lm_load_ordered(&link->channel.memory->welcomed);
}

/* What the record that ended the sleep means; `length` as lm_channel_listen returns it. */
LM_INTERNAL void lm_link_woken(struct lm_link *link, const union lm_record *record, long length)
{
    lm_link_heed(link, record, length);
    bool alive = length < 0 || length == 1;
    if (!alive || lm_link_collect(link) < 0)
        lm_link_die(link);
    lm_link_wake_followers(link);
}

LM_INTERNAL void lm_link_lead(struct lm_link *link, int64_t deadline)
{
    union lm_record record;
    long length = -EAGAIN;
    bool was_welcomed = lm_link_welcomed(link);
    link->led = true;
    memset(&record, 0, sizeof record);
    if (lm_consumer_may_sleep(&link->channel.in) && lm_link_welcomed(link) == was_welcomed) {
        lm_link_unlock(link);
        length = lm_channel_listen(&link->channel, &record, sizeof record, deadline);
        lm_link_lock(link);
    }
    lm_consumer_awake(&link->channel.in);
    link->led = false;
    lm_link_woken(link, &record, length);
}

LM_INTERNAL void lm_link_follow(struct lm_link *link, struct lm_call *call, int64_t deadline)
{
    struct lm_follower self;
    memset(&self, 0, sizeof self);
    self.call = call;
    if (call)
        call->follower = &self;
    lm_list_append(&link->followers, &self.in_link);
    lm_link_unlock(link);
    lm_sleep_on(&self.woken, 0, deadline);
    lm_link_lock(link);
    lm_list_remove(&self.in_link);
    if (call)
        call->follower = NULL;
}

/* Waits until something may have changed for the caller, who looks again and comes back. */
LM_INTERNAL int lm_link_wait(struct lm_link *link, struct lm_call *call, int64_t deadline)
{
    if (lm_link_is_cut(link))
        return -EPIPE;
    if (lm_deadline_left(deadline) == 0) {
        if (lm_link_collect(link) < 0)
            lm_link_die(link);
        return -ETIMEDOUT;
    }
    if (link->led)
        lm_link_follow(link, call, deadline);
    else
        lm_link_lead(link, deadline);
    return 0;
}

/* --- Sending --- */

struct lm_request {
    int32_t identifier;
    uint32_t token; /* 0: one-way */
    const void *data;
    uint32_t length;
    int64_t deadline;
    uint64_t position; /* of the frame that the service takes, */
    bool queued;       /* once it is in the ring */
    bool rung;         /* the service was asleep, and alive */
    int64_t put_at;    /* when a call was put in that did not ring */
};

/* Whether to ask the kernel if a service that does not sleep still lives: a bell would have told, but none is rung. */
LM_INTERNAL bool lm_link_may_be_dead(struct lm_link *link)
{
    int64_t now = lm_now_coarse();
    if (now - link->asked_at < LM_TRUST_NANOSECONDS)
        return false;
    link->asked_at = now;
    return true;
}

/* Lets the service see what was put, and wakes it if it sleeps: true. The lock is given up for the system call. */
LM_INTERNAL bool lm_link_publish(struct lm_link *link)
{
    lm_producer_publish(&link->channel.out);
    bool asleep = lm_producer_must_ring(&link->channel.out);
    if (!asleep && !lm_link_may_be_dead(link))
        return false;
    lm_link_unlock(link);
    bool dead = asleep ? lm_channel_ring_bell(&link->channel) < 0 : lm_sys_hung_up(link->channel.socket);
    lm_link_lock(link);
    if (dead)
        lm_link_die(link);
    return asleep;
}

/* Waits for room, unless there is some now. */
LM_INTERNAL int lm_link_wait_room(struct lm_link *link, uint32_t extent, int64_t deadline)
{
    int result = lm_producer_must_wait(&link->channel.out, extent);
    return result == 1 ? lm_link_wait(link, NULL, deadline) : result;
}

/* Returns when the ring has room. */
LM_INTERNAL int lm_link_make_room(struct lm_link *link, uint32_t extent, int64_t deadline)
{
    int result = 0;
    while (result == 0) {
        if (lm_link_is_cut(link))
            return -EPIPE;
        result = lm_producer_prepare(&link->channel.out, extent);
        if (result == 0)
            result = lm_link_wait_room(link, extent, deadline);
    }
    if (result == -EPROTO)
        lm_link_die(link);
    return result < 0 ? result : 0;
}

LM_INTERNAL void lm_link_put_abort(struct lm_link *link)
{
    struct lm_frame abort_frame;
    memset(&abort_frame, 0, sizeof abort_frame);
    abort_frame.kind = LM_FRAME_ABORT;
    abort_frame.token = link->abort_token;
    lm_producer_put(&link->channel.out, &abort_frame, "");
    link->abort_due = false;
}

/* Puts one part of the request, the whole if it is small, and publishes it. */
LM_INTERNAL int lm_link_put(struct lm_link *link, struct lm_request *request, uint32_t offset, uint32_t length)
{
    bool last = offset + length == request->length;
    struct lm_frame frame = {LM_FRAME_READY,
                             last ? LM_FRAME_MESSAGE : LM_FRAME_PIECE,
                             length,
                             request->token,
                             request->identifier,
                             request->length,
                             0,
                             0};
    int result = lm_link_make_room(link, lm_frame_extent(length) + lm_frame_extent(0), request->deadline);
    if (result < 0)
        return result;
    if (link->abort_due)
        lm_link_put_abort(link);
    request->position = link->channel.out.tail;
    request->queued = last;
    lm_producer_put(&link->channel.out, &frame, (const unsigned char *)request->data + offset);
    request->rung = lm_link_publish(link);
    if (request->token && !request->rung)
        request->put_at = lm_now();
    return 0;
}

LM_INTERNAL int lm_link_wait_welcome(struct lm_link *link, int64_t deadline)
{
    int result = 0;
    while (result == 0 && !lm_link_welcomed(link))
        result = lm_link_wait(link, NULL, deadline);
    return result;
}

/* Waits for the service's limits, and checks the length against them. */
LM_INTERNAL int lm_link_admit(struct lm_link *link, const struct lm_request *request)
{
    int result = lm_link_wait_welcome(link, request->deadline);
    if (result < 0)
        return result;
    return request->length > lm_load_relaxed(&link->channel.memory->largest_message) ? -EMSGSIZE : 0;
}

LM_INTERNAL int lm_link_take_turn(struct lm_link *link, int64_t deadline)
{
    while (link->large_turn) {
        int result = lm_link_wait(link, NULL, deadline);
        if (result < 0)
            return result;
    }
    link->large_turn = true;
    return 0;
}

LM_INTERNAL int lm_link_put_parts(struct lm_link *link, struct lm_request *request)
{
    int result = 0;
    for (uint32_t offset = 0; result == 0 && offset < request->length;) {
        uint32_t length = lm_min32(request->length - offset, LM_PIECE_MAX);
        result = lm_link_put(link, request, offset, length);
        if (result < 0 && offset > 0) {
            link->abort_due = true;
            link->abort_token = request->token;
        }
        offset += length;
    }
    return result;
}

LM_INTERNAL int lm_link_send_large(struct lm_link *link, struct lm_request *request)
{
    int result = lm_link_admit(link, request);
    if (result == 0)
        result = lm_link_take_turn(link, request->deadline);
    if (result < 0)
        return result;
    result = lm_link_put_parts(link, request);
    link->large_turn = false;
    lm_link_wake_followers(link);
    return result;
}

/* Takes a queued request back. True: it was never taken and never will be. */
LM_INTERNAL bool lm_link_withdraw(struct lm_link *link, const struct lm_request *request)
{
    return !request->queued || lm_producer_withdraw(&link->channel.out, request->position) == 1;
}

/*
 * Was the service, whose death is known now, dead already when the call was put in? A bell would have told. A service
 * that was awake, or looked so, is taken to have been dead if the news came at once.
 */
LM_INTERNAL bool lm_request_came_late(const struct lm_request *request)
{
    return !request->rung && lm_now() - request->put_at < LM_TRUST_NANOSECONDS;
}

/* Queues the request. After a failure nothing of it will be taken. -EPIPE: the service was dead before. */
LM_INTERNAL int lm_link_send(struct lm_link *link, struct lm_request *request)
{
    bool large = request->length > LM_PIECE_MAX;
    int result = link->wary ? lm_link_wait_welcome(link, request->deadline) : 0;
    if (result < 0)
        return result;
    result = large ? lm_link_send_large(link, request) : lm_link_put(link, request, 0, request->length);
    if (result == 0 && lm_link_is_cut(link) && lm_link_withdraw(link, request)) {
        request->queued = false;
        return -EPIPE;
    }
    return result;
}

/* Waits until the service has taken the queued request. */
LM_INTERNAL int lm_link_wait_taken(struct lm_link *link, const struct lm_request *request)
{
    const uint32_t never = UINT32_MAX; /* more room than any ring has: the service rings whenever it takes something */
    for (;;) {
        int result = lm_producer_must_wait(&link->channel.out, never);
        if (result >= 0)
            result = lm_producer_taken(&link->channel.out, request->position);
        if (result != 0)
            return result < 0 ? result : 0;
        result = lm_link_wait(link, NULL, request->deadline);
        if (result < 0)
            return result;
    }
}

/* --- Opening and closing --- */

LM_INTERNAL void lm_link_destroy(struct lm_object *object)
{
    struct lm_link *link = LM_CONTAINER(object, struct lm_link, object);
    lm_channel_deinit(&link->channel);
    lm_table_deinit(&link->calls);
    free(link);
}

/* Takes the link out of the process's list. Without the link's lock. */
LM_INTERNAL void lm_link_unlist(struct lm_link *link)
{
    lm_process_lock();
    bool listed = lm_list_contains(&link->in_process);
    lm_list_remove(&link->in_process);
    lm_process_unlock();
    if (listed)
        lm_release(&link->object);
}

/* mach_port_deallocate on the link's port. Without the lock. */
LM_INTERNAL void lm_link_deallocated(struct lm_object *object, uint32_t detail)
{
    struct lm_link *link = LM_CONTAINER(object, struct lm_link, object);
    (void)detail;
    lm_link_lock(link);
    link->given_up = true;
    lm_link_die(link);
    lm_link_unlock(link);
    lm_link_unlist(link);
}

/* In a forked child: the sockets and the memory go, what else there is stays unused. */
LM_INTERNAL void lm_links_forget(void)
{
    struct lm_list *first;
    while ((first = lm_list_first(&lm_process_1.links)) != NULL) {
        struct lm_link *link = LM_CONTAINER(first, struct lm_link, in_process);
        lm_list_remove(first);
        pthread_mutex_init(&link->channel.lock, NULL);
        lm_store_relaxed(&link->channel.cut, true);
        lm_sys_close(&link->channel.socket);
        link->channel.memory = NULL; /* not mapped in a child */
        lm_release(&link->object);
    }
}

LM_INTERNAL struct lm_link *lm_link_create(const char *name)
{
    struct lm_link *link = (struct lm_link *)lm_new(sizeof *link);
    if (!link)
        return NULL;
    lm_object_init(&link->object, lm_link_destroy);
    link->object.deallocated = lm_link_deallocated;
    lm_channel_init(&link->channel, -1);
    strcpy(link->name, name);
    return link;
}

LM_INTERNAL bool lm_frame_is_whole_one_way(const struct lm_frame *frame)
{
    return frame->kind == LM_FRAME_MESSAGE && frame->token == 0 && frame->total == frame->length;
}

/* Moves what is left in the dead link's ring; room is there, `payload` holds any frame's. With the dead link's lock. */
LM_INTERNAL void lm_link_move_rest(struct lm_link *link, struct lm_link *dead, unsigned char *payload)
{
    struct lm_ring_words words;
    struct lm_frame frame;
    struct lm_consumer rest = lm_consumer_of_rest(&dead->channel.out, &words);
    while (lm_consumer_peek(&rest, &frame) > 0) {
        if (lm_frame_is_whole_one_way(&frame) && lm_consumer_take(&rest)) {
            lm_consumer_copy(&rest, &frame, payload);
            lm_producer_put(&link->channel.out, &frame, payload);
        }
        lm_consumer_advance(&rest, &frame);
    }
    lm_producer_publish(&link->channel.out);
}

/*
 * Takes over the one-way messages that a dead service left untaken, in order, into a fresh ring, which is as large.
 * -ENOMEM: all of them are still the dead link's.
 */
LM_INTERNAL int lm_link_inherit(struct lm_link *link, struct lm_link *dead)
{
    struct lm_producer *left = &dead->channel.out;
    unsigned char *payload = (unsigned char *)malloc(LM_PIECE_MAX);
    int result = payload ? 0 : -ENOMEM;
    lm_link_lock(dead);
    if (result == 0 && !dead->given_up && left->ring.size && lm_producer_refresh(left) == 0) {
        result = lm_producer_reserve(&link->channel.out, 0, (uint32_t)(left->tail - left->head));
        if (result == 0)
            lm_link_move_rest(link, dead, payload);
    }
    lm_link_unlock(dead);
    free(payload);
    if (result == 0 && lm_producer_must_ring(&link->channel.out))
        lm_channel_ring_bell(&link->channel);
    return result;
}

/* Connects a link that nobody else uses yet. */
LM_INTERNAL int lm_link_connect(struct lm_link *link, int64_t deadline)
{
    int socket = lm_registry_connect(link->name, deadline);
    if (socket < 0)
        return socket;
    link->channel.socket = socket;
    lm_process_lock();
    uint32_t largest = lm_process_1.largest_reply_plus1;
    lm_process_unlock();
    link->largest_reply = largest ? largest - 1 : LM_LARGEST_MESSAGE;
    int result = lm_channel_offer(&link->channel, link->largest_reply);
    if (result < 0)
        return result;
    link->port = lm_port_create(LM_PORT_SEND, &link->object, 0);
    return link->port ? 0 : -ENOMEM;
}

/* With the process's lock: the link of that name, NULL if there is none. */
LM_INTERNAL struct lm_link *lm_link_listed(const char *name)
{
    struct lm_list *links = &lm_process_1.links;
    for (struct lm_list *l = lm_list_first(links); l; l = lm_list_next(links, l)) {
        struct lm_link *link = LM_CONTAINER(l, struct lm_link, in_process);
        if (strcmp(link->name, name) == 0)
            return link;
    }
    return NULL;
}

/* With the process's lock: puts `fresh` (with a reference for the list) in the place of `old`, either of which may be
 * NULL. */
LM_INTERNAL void lm_link_replace(struct lm_link *old, struct lm_link *fresh)
{
    lm_process_prepare();
    lm_process_1.forget_links = lm_links_forget;
    if (old)
        lm_list_remove(&old->in_process);
    if (fresh)
        lm_list_append(&lm_process_1.links, &fresh->in_process);
}

/* Makes the link's outcome known to the threads that wait for it, and gives up what it replaces. */
LM_INTERNAL void lm_link_settle(struct lm_link *link, struct lm_link *dead, bool opened)
{
    lm_process_lock();
    if (!opened)
        lm_link_replace(link, dead);
    lm_store_release(&link->phase, opened ? LM_LINK_OPEN : LM_LINK_FAILED);
    lm_process_unlock();
    lm_sys_futex_wake(&link->phase, INT_MAX);
    if (!opened)
        lm_release(&link->object); /* the list's */
    if (opened && dead) {
        lm_port_destroy(dead->port, LM_PORT_SEND);
        lm_release(&dead->object);
    }
}

/* Opens a listed link. On failure `dead` is back in its place, with the messages it keeps. */
LM_INTERNAL int lm_link_open(struct lm_link *link, struct lm_link *dead, int64_t deadline)
{
    int result = lm_link_connect(link, deadline);
    link->wary = dead && dead->refusal;
    if (result == 0 && dead)
        result = lm_link_inherit(link, dead);
    if (result < 0 && link->port)
        lm_port_destroy(link->port, LM_PORT_SEND);
    lm_link_settle(link, dead, result == 0);
    return result;
}

/* One attempt at the link of that name, with a reference for the caller: 1 got it, 0 look again. Without any lock. */
LM_INTERNAL int lm_link_try(const char *name, int64_t deadline, struct lm_link **found)
{
    struct lm_link *fresh = lm_link_create(name);
    if (!fresh)
        return -ENOMEM;
    lm_process_lock();
    struct lm_link *link = lm_link_listed(name);
    bool opening = link && lm_load_acquire(&link->phase) == LM_LINK_OPENING;
    bool usable = link && !opening && !lm_link_is_cut(link);
    if (opening || usable)
        lm_retain(&link->object);
    else
        lm_link_replace(link, fresh);
    lm_process_unlock();
    if (!opening && !usable) {
        lm_retain(&fresh->object);
        *found = fresh;
        int result = lm_link_open(fresh, link, deadline);
        if (result < 0)
            lm_release(&fresh->object);
        return result < 0 ? result : 1;
    }
    lm_release(&fresh->object);
    *found = link;
    if (usable)
        return 1;
    lm_sleep_on(&link->phase, LM_LINK_OPENING, deadline);
    lm_release(&link->object);
    return lm_deadline_left(deadline) == 0 ? -ETIMEDOUT : 0;
}

/* The link of a valid name, opened if need be, with a reference for the caller. Without any lock. */
LM_INTERNAL int lm_link_get(const char *name, int64_t deadline, struct lm_link **link)
{
    int result;
    do
        result = lm_link_try(name, deadline, link);
    while (result == 0);
    return result < 0 ? result : 0;
}

#endif
