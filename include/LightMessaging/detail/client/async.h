/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous calls: a request with copies of its data and descriptors, and a reply that a run loop hands to a
 * callback.
 *
 * A call's lock is taken before its link's lock. Only the run loop's thread settles a call; any thread may cancel it. A
 * call moves to another link at most once, if the service died without taking it.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_ASYNC_H
#define LM_DETAIL_CLIENT_ASYNC_H

#include "send.h"

/* Bytes that may be queued on one link. */
#define LM_UNSENT_MAX 0x10000000u /* as much as LM_BACKLOG_MAX */

struct lm_async {
    struct lm_object object;
    pthread_mutex_t lock;
    bool over;                   /* settled or cancelled: the callback was called, or never is */
    uint32_t process_generation; /* a forked child cancels nothing */
    bool moved;
    struct lm_call call;
    struct lm_request request;
    unsigned char *data;  /* the request's copy */
    int *descriptors;     /* likewise */
    struct lm_link *link; /* with a reference; NULL while lm_async_move looks the service up */
    struct lm_loop *loop; /* with a reference */
    struct lm_watch job;
    struct lm_timer timer;
    LMReplyCallBack callback;
    void *info;
};

LM_INTERNAL void lm_async_free_response(struct lm_async *async)
{
    LMResponseBufferFree(async->call.response);
    free(async->call.response);
    async->call.response = NULL;
}

/* Frees what was to be sent, once the call is off its link. A receiver that has taken a lent buffer gives it back
 * itself. Idempotent. */
LM_INTERNAL void lm_async_free_request(struct lm_async *async)
{
    struct lm_request *request = &async->request;
    if (request->buffer && !request->taken)
        lm_segment_take_back(request->buffer);
    LMBufferFree(request->buffer);
    request->buffer = NULL;
    lm_descriptors_close(async->descriptors, lm_outgoing_own(&request->out));
    request->out.memory = -1;
    request->out.descriptor_count = 0;
    free(async->descriptors);
    free(async->data);
    async->descriptors = NULL;
    async->data = NULL;
}

LM_INTERNAL void lm_async_destroy(struct lm_object *object)
{
    struct lm_async *async = LM_CONTAINER(object, struct lm_async, object);
    if (async->link)
        lm_release(&async->link->object);
    lm_async_free_response(async);
    lm_async_free_request(async);
    lm_release(&async->loop->object);
    pthread_mutex_destroy(&async->lock);
    free(async);
}

/* Wakes the run loop's thread: the call or its link has changed. Called with the link's lock held. */
LM_INTERNAL void lm_async_ended(struct lm_call *call)
{
    struct lm_async *async = LM_CONTAINER(call, struct lm_async, call);
    lm_watch_wake(&async->job, async->loop);
}

/* --- On a link --- */

/* Returns whether the call may move from its dead link, and holds its lock if so: the service is not known to have
 * taken the call, and it has not moved before. Both links' locks are held. They come after the call's own, so that is
 * only tried; a thread that has it is already settling the call. */
LM_SETUP bool lm_async_hold_to_move(struct lm_call *call, struct lm_link *dead, struct lm_link *link)
{
    struct lm_async *async = LM_CONTAINER(call, struct lm_async, call);
    if (pthread_mutex_trylock(&async->lock) != 0)
        return false;
    if (!async->over && async->link == dead && !async->moved && call->state == LM_CALL_WAITING && !dead->refusal &&
        lm_link_add_pump(link, async->loop) == 0)
        return true;
    pthread_mutex_unlock(&async->lock);
    return false;
}

/* Records the link that the call is on; NULL: the call did not move. Releases the call's lock. */
LM_SETUP void lm_async_moved(struct lm_call *call, struct lm_link *link)
{
    struct lm_async *async = LM_CONTAINER(call, struct lm_async, call);
    if (link) {
        lm_retain(&link->object);
        lm_release(&async->link->object);
        async->link = link;
        async->moved = true;
    }
    pthread_mutex_unlock(&async->lock);
}

/* Queues the request and has the run loop wait for the reply. Both locks are held. */
LM_INTERNAL int lm_async_enter(struct lm_async *async, struct lm_link *link)
{
    struct lm_request *request = &async->request;
    if (link->unsent_bytes + request->out.length > LM_UNSENT_MAX && link->unsent_bytes > 0)
        return -EXFULL;
    int result = lm_link_add_pump(link, async->loop);
    request->out.token = result < 0 ? 0 : lm_table_insert(&link->calls, 0, &async->call, 0);
    if (request->out.token == 0)
        return result < 0 ? result : -ENOMEM;
    lm_list_append(&link->asynchronous, &async->call.in_link);
    lm_link_stand_in_line(link, request);
    lm_link_put_unsent(link);
    lm_link_ask_once(link, request);
    lm_link_hand_over(link);
    return 0;
}

/* Begins the call on a link, and takes over the reference to that, even on failure. Called with the call's lock
 * held. */
LM_INTERNAL int lm_async_begin(struct lm_async *async, struct lm_link *link)
{
    async->link = link;
    lm_link_lock(link);
    if (async->request.buffer)
        lm_request_load_buffer(&async->request, link);
    async->request.out.deadline = lm_deadline_to_wire(async->request.deadline);
    int result = lm_async_enter(async, link);
    if (lm_link_is_cut(link))
        lm_async_ended(&async->call);
    lm_link_unlock(link);
    return result;
}

/* Makes the link forget the call; a reply is late then, and dropped. Both locks are held. Idempotent. */
LM_INTERNAL void lm_async_leave(struct lm_async *async, struct lm_link *link)
{
    if (!lm_list_contains(&async->call.in_link))
        return;
    lm_list_remove(&async->call.in_link);
    lm_link_abandon(link, &async->request);
    if (async->call.state == LM_CALL_WAITING && async->request.taken)
        lm_link_give_up(link, async->request.out.token);
    lm_table_remove(&link->calls, lm_table_find(&link->calls, async->request.out.token, 0));
    lm_link_hand_over(link);
}

/* --- Settling, in the run loop's thread --- */

/* Returns why the wait ended. 0: the call itself ended; -EAGAIN: it has not. Both locks are held. */
LM_INTERNAL int lm_async_outcome(struct lm_async *async, struct lm_link *link)
{
    if (async->call.state == LM_CALL_WAITING && lm_deadline_left(async->request.deadline) == 0 &&
        !lm_link_is_cut(link) && lm_link_collect(link) < 0)
        lm_link_die(link);
    if (async->call.state != LM_CALL_WAITING)
        return 0;
    if (lm_link_is_cut(link))
        return -EPIPE;
    return lm_deadline_left(async->request.deadline) == 0 ? -ETIMEDOUT : -EAGAIN;
}

/* Returns whether the call is over, and stores its status. Called with the call's lock held. */
LM_INTERNAL bool lm_async_conclude(struct lm_async *async, kern_return_t *status)
{
    struct lm_link *link = async->link;
    lm_link_lock(link);
    int error = lm_async_outcome(async, link);
    if (error != -EAGAIN) {
        *status = lm_call_settle(link, &async->call, &async->request, error);
        lm_async_leave(async, link);
    }
    lm_link_unlock(link);
    return error != -EAGAIN;
}

/* Returns whether the call's link is dead and the call may move to another. Called with the call's lock held. */
LM_SETUP bool lm_async_is_stranded(struct lm_async *async)
{
    struct lm_link *link = async->link;
    lm_link_lock(link);
    bool stranded = lm_link_is_cut(link) && !link->refusal && async->call.state == LM_CALL_WAITING && !async->moved;
    lm_link_unlock(link);
    return stranded;
}

/* Looks the service up, so that all calls of a dead link, including this one, move in their order. Called with the
 * call's lock held; gives it up meanwhile. */
LM_SETUP int lm_async_rescue(struct lm_async *async)
{
    struct lm_link *dead = async->link, *link;
    lm_retain(&dead->object);
    pthread_mutex_unlock(&async->lock);
    int result = lm_link_get(dead->name, async->request.deadline, &link);
    if (result == 0)
        lm_release(&link->object);
    lm_release(&dead->object);
    pthread_mutex_lock(&async->lock);
    return result;
}

/* Returns the status of a call whose service is dead and cannot be looked up. */
LM_SETUP kern_return_t lm_async_away(const struct lm_async *async, int error)
{
    return async->request.service_lived ? MACH_SEND_INVALID_DEST : lm_kern_return(error);
}

/* Looks the service up once more, for this call alone. Called with the call's lock held; gives it up meanwhile. */
LM_SETUP kern_return_t lm_async_move(struct lm_async *async)
{
    struct lm_link *dead = async->link, *link = NULL;
    async->link = NULL;
    async->moved = true;
    pthread_mutex_unlock(&async->lock);
    int result = lm_link_get(dead->name, async->request.deadline, &link);
    lm_release(&dead->object);
    pthread_mutex_lock(&async->lock);
    if (result < 0)
        return lm_async_away(async, result);
    async->request.queued = false;
    async->request.out.sent = 0;
    async->call.state = LM_CALL_WAITING;
    if (!async->over)
        return lm_kern_return(lm_async_begin(async, link));
    lm_release(&link->object);
    return KERN_SUCCESS;
}

/* Removes the call from its run loop, which releases its reference. Called once. */
LM_INTERNAL void lm_async_stop(struct lm_async *async)
{
    lm_timer_clear(&async->timer, async->loop);
    lm_watch_remove(&async->job, -1);
}

/* Returns whether the caller is the one to end the call. Called with the call's lock held. */
LM_INTERNAL bool lm_async_end(struct lm_async *async)
{
    bool pending = !async->over;
    async->over = true;
    return pending;
}

/* Returns whether the caller must call the callback now. Called without the lock. */
LM_INTERNAL bool lm_async_settle(struct lm_async *async, kern_return_t *status)
{
    bool over = false;
    int looked_up = 0;
    pthread_mutex_lock(&async->lock);
    if (!async->over && async->link && lm_async_is_stranded(async))
        looked_up = lm_async_rescue(async);
    if (!async->over && async->link)
        over = lm_async_conclude(async, status);
    if (over && *status == MACH_SEND_INVALID_DEST && !async->moved) {
        *status = looked_up < 0 ? lm_async_away(async, looked_up) : lm_async_move(async);
        over = *status != KERN_SUCCESS;
    }
    bool call = over && lm_async_end(async);
    if (call)
        lm_async_free_request(async);
    pthread_mutex_unlock(&async->lock);
    return call;
}

LM_COLD void lm_log_outcome(struct lm_async *async, kern_return_t status)
{
    pthread_mutex_lock(&async->lock);
    const char *name = async->link ? async->link->name : "a service that is gone";
    if (status)
        lm_log_status("call asynchronously", name, -1, status);
    else
        lm_log(-1, "call of \"%s\" was answered: message %d", name, (int)async->request.out.identifier);
    pthread_mutex_unlock(&async->lock);
}

LM_INTERNAL void lm_async_proceed(struct lm_async *async)
{
    kern_return_t status = KERN_SUCCESS;
    if (!lm_async_settle(async, &status))
        return;
    lm_async_stop(async);
    async->loop->handled++;
    if (lm_logging())
        lm_log_outcome(async, status);
    LMResponseBuffer empty;
    lm_message_init(&empty.message);
    if (status == LM_STATUS_REPLY)
        empty.message.head.msgh_id = async->call.error;
    async->callback(async, status, status == KERN_SUCCESS ? async->call.response : &empty, async->info);
    lm_async_free_response(async);
}

/* The job's callback. */
LM_INTERNAL enum lm_wish lm_async_ready(struct lm_object *object, uint32_t events)
{
    (void)events;
    lm_async_proceed(LM_CONTAINER(object, struct lm_async, object));
    return LM_WATCH_WAIT;
}

/* The timer's callback: the deadline has passed. */
LM_INTERNAL void lm_async_late(struct lm_object *object)
{
    lm_async_proceed(LM_CONTAINER(object, struct lm_async, object));
}

/* --- Starting and cancelling --- */

/* Copies the data, unless they are in a buffer, and the descriptors. */
LM_INTERNAL int lm_async_copy(struct lm_async *async, const struct lm_request *request)
{
    uint32_t count = request->out.descriptor_count, length = request->buffer ? 0 : request->out.length;
    async->data = (unsigned char *)malloc((size_t)length + 1);
    async->descriptors = (int *)malloc((count + (size_t)1) * sizeof *async->descriptors);
    int result = async->data && async->descriptors ? 0 : -ENOMEM;
    if (result == 0)
        result = lm_descriptors_copy(async->descriptors, request->out.descriptors, count);
    if (result < 0)
        return result;
    memcpy(async->data, request->out.data, length);
    async->request.out.data = async->data;
    async->request.out.descriptors = async->descriptors;
    async->request.out.descriptor_count = count;
    return 0;
}

LM_INTERNAL void lm_async_init(struct lm_async *async, const struct lm_request *request, struct lm_loop *loop)
{
    lm_object_init(&async->object, lm_async_destroy);
    pthread_mutex_init(&async->lock, NULL);
    lm_watch_init(&async->job, &async->object, lm_async_ready);
    lm_timer_init(&async->timer, &async->object, lm_async_late);
    async->process_generation = lm_load_relaxed(&lm_process.generation);
    async->request = *request;
    async->request.out.descriptor_count = 0;
    async->request.buffer = NULL;
    async->request.call = &async->call;
    async->request.owner = &async->object;
    async->call.ended = lm_async_ended;
    async->call.hold_to_move = lm_async_hold_to_move;
    async->call.moved = lm_async_moved;
    async->call.request = &async->request;
    lm_retain(&loop->object);
    async->loop = loop;
}

/* Returns NULL if memory or descriptors run out. A buffer remains the caller's. */
LM_INTERNAL struct lm_async *lm_async_create(const struct lm_request *request, struct lm_loop *loop)
{
    struct lm_async *async = (struct lm_async *)lm_new(sizeof *async);
    if (!async)
        return NULL;
    lm_async_init(async, request, loop);
    if (lm_async_copy(async, request) == 0)
        return async;
    lm_release(&async->object);
    return NULL;
}

/* Puts the call on its run loop and its link. Takes over the reference to the link. */
LM_INTERNAL kern_return_t lm_async_start(struct lm_async *async, struct lm_link *link)
{
    pthread_mutex_lock(&async->lock);
    int result = lm_loop_add(async->loop, &async->job, -1, 0);
    if (result == 0 && async->request.deadline != LM_FOREVER)
        result = lm_loop_set_timer(async->loop, &async->timer, async->request.deadline);
    if (result == 0)
        result = lm_async_begin(async, link);
    else
        lm_release(&link->object);
    if (result < 0) {
        lm_async_end(async);
        lm_async_stop(async);
    }
    pthread_mutex_unlock(&async->lock);
    return lm_kern_return(result);
}

/* The call takes over the request's buffer only if this succeeds. */
LM_INTERNAL kern_return_t lm_async_send(LMConnectionRef connection, const struct lm_request *request,
                                        CFRunLoopRef runLoop, LMReplyCallBack callback, void *info, LMCallRef *call)
{
    struct lm_link *link;
    if (!lm_request_valid(connection, request) || !runLoop || !callback || request->interrupt >= 0)
        return KERN_INVALID_ARGUMENT;
    kern_return_t status = lm_connection_link(connection, request->deadline, &link);
    if (status)
        return status;
    struct lm_async *async = lm_async_create(request, runLoop);
    if (!async) {
        lm_release(&link->object);
        return KERN_RESOURCE_SHORTAGE;
    }
    async->callback = callback;
    async->info = info;
    async->request.buffer = request->buffer;
    if (call)
        *call = async;
    status = lm_async_start(async, link);
    if (status)
        async->request.buffer = NULL;
    if (status && call)
        *call = NULL;
    if (status || !call)
        lm_release(&async->object);
    return status;
}

LM_API kern_return_t lm_send_async(LMConnectionRef connection, const LMSend *send, uint32_t file_timeout,
                                   CFRunLoopRef runLoop, LMReplyCallBack callback, void *info, LMCallRef *call)
{
    struct lm_request request;
    if (call)
        *call = NULL;
    if (!connection || !send || !lm_send_valid(send))
        return KERN_INVALID_ARGUMENT;
    lm_request_of_send(&request, connection, send, file_timeout);
    kern_return_t status = lm_async_send(connection, &request, runLoop, callback, info, call);
    if (lm_logging())
        lm_log_message(connection, &request, "call asynchronously", status);
    if (send->buffer)
        lm_buffer_pass_on(send->buffer, status == KERN_SUCCESS);
    return status;
}

LM_API bool LMCallCancel(LMCallRef call)
{
    if (!call || call->process_generation != lm_load_relaxed(&lm_process.generation))
        return false;
    pthread_mutex_lock(&call->lock);
    bool pending = lm_async_end(call);
    if (pending && call->link) {
        lm_link_lock(call->link);
        lm_link_withdraw(call->link, &call->request);
        lm_async_leave(call, call->link);
        lm_link_unlock(call->link);
        lm_async_free_request(call);
    }
    pthread_mutex_unlock(&call->lock);
    if (!pending)
        return false;
    lm_async_stop(call);
    lm_loop_wake(call->loop); /* nothing may be left for it to wait for */
    return true;
}

#endif
