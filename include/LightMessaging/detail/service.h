/* SPDX-License-Identifier: MIT */
/*
 * A service: a name, a listening socket, the sessions of its clients, and the callback. It is also a CFMachPort. Its
 * lock guards the members below it; it is taken before a session's.
 */
#ifndef LM_DETAIL_SERVICE_H
#define LM_DETAIL_SERVICE_H

#include "error.h"
#include "registry.h"
#include "reply.h"

#define LM_FAIR_STEPS        64         /* frames of one client in one go: enough to be worth the turn; untuned */
#define LM_FAIR_ACCEPTS      16         /* the same for new connections */
#define LM_HELLO_NANOSECONDS 5000000000 /* for a hello to come: a stopped client's patience, not a network's */
#define LM_HELLO_UNFINISHED  128        /* connections without a hello; then the oldest goes */
#define LM_ACCEPT_PAUSE      100000000  /* nanoseconds without accepting when descriptors have run out */

struct lm_service {
    struct lm_object object;
    pthread_mutex_t lock;
    uint32_t valid; /* may be read without the lock */
    mach_port_t port;
    CFMachPortCallBack callback;
    CFMachPortInvalidationCallBack invalidated;
    CFMachPortContext context;
    uint32_t largest_message;
    char name[LM_NAME_MAX + 1]; /* empty: not registered */
    struct lm_registration registration;
    struct lm_loop *loop; /* that serves it, with a reference; set once, before anything is watched; NULL: none yet */
    struct lm_watch listener;
    struct lm_timer timer; /* for unfinished hellos, and for accepting again */
    struct lm_list sessions;
    uint32_t unfinished; /* sessions that wait for their hello */
    bool paused;
    struct lm_list in_process;
};

LM_INTERNAL bool lm_service_valid(const struct lm_service *service)
{
    return lm_load_acquire(&service->valid);
}

/* --- Sessions --- */

LM_INTERNAL void lm_session_destroy(struct lm_object *object)
{
    struct lm_session *session = LM_CONTAINER(object, struct lm_session, object);
    lm_channel_deinit(&session->channel);
    lm_release(&session->service->object);
    free(session);
}

/* Whether the caller is the one to end the session: it is taken out of the service's list once. */
LM_INTERNAL bool lm_session_unlist(struct lm_session *session)
{
    struct lm_service *service = session->service;
    pthread_mutex_lock(&service->lock);
    bool listed = lm_list_contains(&session->in_service);
    lm_list_remove(&session->in_service);
    if (listed && !session->welcomed)
        service->unfinished--;
    pthread_mutex_unlock(&service->lock);
    return listed;
}

/* Closes everything of the session at once; what still names it finds it cut. Idempotent, any thread. */
LM_INTERNAL void lm_session_end(struct lm_session *session)
{
    if (!lm_session_unlist(session))
        return;
    lm_watch_remove(&session->watch, session->channel.socket);
    lm_session_lock(session);
    lm_session_cut(session);
    lm_session_drop_backlog(session);
    lm_session_drop_parts(session);
    lm_channel_unmap(&session->channel);
    lm_sys_close(&session->channel.socket);
    lm_session_unlock(session);
    lm_release(&session->object);
}

/* Runs the callback with a message that was taken, and frees what it leaves. */
LM_INTERNAL void lm_service_deliver(struct lm_service *service, struct lm_session *session, LMMessage *message,
                                    const struct lm_arrival *arrival)
{
    mach_port_t reply =
        arrival->token ? lm_port_create(LM_PORT_REPLY, &session->object, arrival->token) : MACH_PORT_NULL;
    message->head.msgh_id = arrival->identifier;
    message->head.msgh_remote_port = reply;
    message->head.msgh_local_port = service->port;
    service->loop->handled++;
    if ((arrival->token && !reply) || !lm_service_valid(service))
        lm_session_answer(session, arrival->token, LM_FRAME_DROPPED, NULL, 0);
    else
        service->callback(service, message, (CFIndex)message->head.msgh_size, service->context.info);
    LMResponseBufferFree((LMResponseBuffer *)(void *)message);
}

/* The hello. 0: the session is open; -EAGAIN: it has not come yet. */
LM_INTERNAL int lm_session_open(struct lm_session *session)
{
    struct lm_service *service = session->service;
    pthread_mutex_lock(&service->lock);
    lm_session_lock(session);
    int result = lm_session_is_cut(session) ? -EPIPE : lm_session_welcome(session);
    service->unfinished -= session->welcomed;
    if (service->unfinished == 0 && !service->paused)
        lm_timer_clear(&service->timer, service->loop);
    lm_session_unlock(session);
    pthread_mutex_unlock(&service->lock);
    return result;
}

/* What the socket had to say, and answers that waited for room. With the lock. */
LM_INTERNAL int lm_session_attend(struct lm_session *session, uint32_t events)
{
    if (lm_session_is_cut(session))
        return -EPIPE;
    int result = lm_session_heed(session, events);
    return result < 0 ? result : lm_session_flush(session);
}

/* Takes the next step under the lock, beginning with what the socket had to say; results as lm_session_step. */
LM_INTERNAL int lm_session_advance(struct lm_session *session, uint32_t events, LMMessage *message,
                                   struct lm_arrival *arrival)
{
    lm_message_init(message);
    lm_session_lock(session);
    int result = events || !lm_list_empty(&session->backlog) ? lm_session_attend(session, events) : 0;
    if (result == 0)
        result = lm_session_step(session, message, arrival);
    lm_session_unlock(session);
    return result;
}

/* Serves up to a fair number of frames. 0: there is no more; 1: there may be; else send the client away. */
LM_INTERNAL int lm_session_serve(struct lm_session *session, uint32_t events)
{
    struct lm_service *service = session->service;
    struct lm_arrival arrival = {0, 0};
    LMResponseBuffer request;
    for (int i = 0; i < LM_FAIR_STEPS; i++, events = 0) {
        int result = lm_session_advance(session, events, &request.message, &arrival);
        if (result < 0)
            return result == -EAGAIN ? 0 : result;
        if (result > 0)
            lm_service_deliver(service, session, &request.message, &arrival);
        if (lm_loop_interrupted(service->loop))
            return 1;
    }
    return 1;
}

/* The loop's callback: true to be called again soon. */
LM_INTERNAL bool lm_session_ready(struct lm_object *object, uint32_t events)
{
    struct lm_session *session = LM_CONTAINER(object, struct lm_session, object);
    int result = session->welcomed ? 0 : lm_session_open(session);
    if (result == -EAGAIN && !(events & EPOLLRDHUP))
        return false;
    if (result == 0)
        result = lm_session_serve(session, events);
    if (result < 0 || (result == 0 && session->peer_gone))
        lm_session_end(session);
    return result > 0;
}

LM_INTERNAL int lm_session_watch(struct lm_session *session, struct lm_loop *loop)
{
    return lm_loop_add(loop, &session->watch, session->channel.socket, EPOLLIN | EPOLLRDHUP);
}

/* Takes over the socket, unless it returns NULL. */
LM_INTERNAL struct lm_session *lm_session_create(struct lm_service *service, int socket)
{
    struct lm_session *session = (struct lm_session *)lm_new(sizeof *session);
    if (!session)
        return NULL;
    lm_object_init(&session->object, lm_session_destroy);
    session->object.deallocated = lm_session_deallocated;
    lm_channel_init(&session->channel, socket);
    lm_watch_init(&session->watch, &session->object, lm_session_ready);
    session->service = service;
    session->largest_message = service->largest_message;
    session->hello_deadline = lm_now() + LM_HELLO_NANOSECONDS;
    lm_retain(&service->object);
    return session;
}

/* --- Accepting --- */

/* The oldest session without a hello, with a reference; NULL: none. With the lock. */
LM_INTERNAL struct lm_session *lm_service_oldest_unfinished(struct lm_service *service)
{
    for (struct lm_list *l = lm_list_first(&service->sessions); l; l = lm_list_next(&service->sessions, l)) {
        struct lm_session *session = LM_CONTAINER(l, struct lm_session, in_service);
        if (session->welcomed)
            continue;
        lm_retain(&session->object);
        return session;
    }
    return NULL;
}

/* Ends the oldest session without a hello if there are too many. */
LM_INTERNAL void lm_service_limit_unfinished(struct lm_service *service)
{
    pthread_mutex_lock(&service->lock);
    bool too_many = service->unfinished > LM_HELLO_UNFINISHED;
    struct lm_session *oldest = too_many ? lm_service_oldest_unfinished(service) : NULL;
    pthread_mutex_unlock(&service->lock);
    if (oldest) {
        lm_session_end(oldest);
        lm_release(&oldest->object);
    }
}

/* With the lock: whether the loop serves the service now. */
LM_INTERNAL bool lm_service_serving(const struct lm_service *service)
{
    return service->listener.loop != NULL;
}

/* Accepts one client and serves it. -EAGAIN: there is none; -EPIPE: the service was stopped, or taken off the loop. */
LM_INTERNAL int lm_service_accept(struct lm_service *service)
{
    int result = -EPIPE;
    pthread_mutex_lock(&service->lock);
    int socket = lm_service_serving(service) ? lm_sys_accept(service->registration.listener) : -EPIPE;
    struct lm_session *session = socket < 0 ? NULL : lm_session_create(service, socket);
    if (session) {
        lm_list_append(&service->sessions, &session->in_service);
        service->unfinished++;
        result = lm_session_watch(session, service->loop);
        lm_loop_set_timer(service->loop, &service->timer, session->hello_deadline);
    } else {
        result = socket < 0 ? socket : -ENOMEM;
        lm_sys_close(&socket);
    }
    pthread_mutex_unlock(&service->lock);
    if (session && result < 0)
        lm_session_end(session);
    return result;
}

/* Out of descriptors or memory: a listener left readable would keep the loop busy with nothing. */
LM_INTERNAL void lm_service_pause(struct lm_service *service)
{
    pthread_mutex_lock(&service->lock);
    if (lm_service_serving(service)) {
        service->paused = true;
        lm_watch_change(&service->listener, service->registration.listener, 0);
        lm_timer_clear(&service->timer, service->loop);
        lm_loop_set_timer(service->loop, &service->timer, lm_now() + LM_ACCEPT_PAUSE);
    }
    pthread_mutex_unlock(&service->lock);
}

LM_INTERNAL bool lm_listener_ready(struct lm_object *object, uint32_t events)
{
    struct lm_service *service = LM_CONTAINER(object, struct lm_service, object);
    (void)events;
    for (int i = 0; i < LM_FAIR_ACCEPTS; i++) {
        int result = lm_service_accept(service);
        if (result == -EINTR || result == -ECONNABORTED)
            continue;
        if (result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS)
            lm_service_pause(service);
        if (result < 0)
            return false;
        lm_service_limit_unfinished(service);
    }
    return true;
}

/* Ends sessions whose hello is overdue; when the next one will be. */
LM_INTERNAL int64_t lm_service_end_silent(struct lm_service *service)
{
    for (;;) {
        pthread_mutex_lock(&service->lock);
        struct lm_session *oldest = lm_service_oldest_unfinished(service);
        pthread_mutex_unlock(&service->lock);
        if (!oldest)
            return LM_FOREVER;
        int64_t deadline = oldest->hello_deadline;
        bool overdue = deadline <= lm_now();
        if (overdue)
            lm_session_end(oldest);
        lm_release(&oldest->object);
        if (!overdue)
            return deadline;
    }
}

/* With the lock: sets the timer, and accepts again after a pause. */
LM_INTERNAL void lm_service_resume(struct lm_service *service, int64_t next)
{
    if (!lm_service_serving(service))
        return;
    if (service->paused)
        lm_watch_change(&service->listener, service->registration.listener, EPOLLIN);
    service->paused = false;
    if (next != LM_FOREVER)
        lm_loop_set_timer(service->loop, &service->timer, next);
}

LM_INTERNAL void lm_service_tick(struct lm_object *object)
{
    struct lm_service *service = LM_CONTAINER(object, struct lm_service, object);
    int64_t next = lm_service_end_silent(service);
    pthread_mutex_lock(&service->lock);
    lm_service_resume(service, next);
    pthread_mutex_unlock(&service->lock);
}

/* --- Life --- */

LM_INTERNAL void lm_service_destroy(struct lm_object *object)
{
    struct lm_service *service = LM_CONTAINER(object, struct lm_service, object);
    if (service->context.release)
        service->context.release(service->context.info);
    if (service->loop)
        lm_release(&service->loop->object);
    lm_sys_close(&service->registration.listener);
    lm_sys_close(&service->registration.lock);
    pthread_mutex_destroy(&service->lock);
    free(service);
}

LM_INTERNAL void lm_sessions_forget(struct lm_service *service)
{
    struct lm_list *first;
    while ((first = lm_list_first(&service->sessions)) != NULL) {
        struct lm_session *session = LM_CONTAINER(first, struct lm_session, in_service);
        lm_list_remove(first);
        pthread_mutex_init(&session->channel.lock, NULL);
        lm_store_relaxed(&session->channel.cut, true);
        lm_sys_close(&session->channel.socket);
        session->channel.memory = NULL; /* not mapped in a child */
        lm_session_drop_backlog(session);
        lm_session_drop_parts(session);
        lm_release(&session->object);
    }
}

/* In a forked child: its parent's services are not its own, and their names stay the parent's. */
LM_INTERNAL void lm_services_forget(void)
{
    struct lm_list *first;
    while ((first = lm_list_first(&lm_process_1.services)) != NULL) {
        struct lm_service *service = LM_CONTAINER(first, struct lm_service, in_process);
        lm_list_remove(first);
        pthread_mutex_init(&service->lock, NULL);
        service->valid = false;
        lm_sys_close(&service->registration.listener);
        lm_sys_close(&service->registration.lock);
        lm_sessions_forget(service);
    }
}

LM_INTERNAL void lm_service_enlist(struct lm_service *service)
{
    lm_process_lock();
    lm_process_prepare();
    lm_process_1.forget_services = lm_services_forget;
    lm_list_append(&lm_process_1.services, &service->in_process);
    lm_process_unlock();
}

/* A service without a name, which nobody serves yet. It lives until it is invalidated. NULL: no memory. */
LM_INTERNAL struct lm_service *lm_service_create(CFMachPortCallBack callback, const CFMachPortContext *context)
{
    struct lm_service *service = (struct lm_service *)lm_new(sizeof *service);
    if (!service)
        return NULL;
    lm_object_init(&service->object, lm_service_destroy);
    pthread_mutex_init(&service->lock, NULL);
    lm_watch_init(&service->listener, &service->object, lm_listener_ready);
    lm_timer_init(&service->timer, &service->object, lm_service_tick);
    service->registration.listener = service->registration.lock = -1;
    service->largest_message = LM_LARGEST_MESSAGE;
    service->callback = callback;
    service->port = lm_port_create(LM_PORT_RECEIVE, &service->object, 0);
    if (!service->port) {
        lm_release(&service->object);
        return NULL;
    }
    service->valid = true;
    if (context)
        service->context = *context;
    if (service->context.retain)
        service->context.info = (void *)(uintptr_t)service->context.retain(service->context.info);
    lm_service_enlist(service);
    return service;
}

/* With the lock: begins to accept and to serve, once there is both a socket and a loop. */
LM_INTERNAL int lm_service_begin(struct lm_service *service)
{
    int result = 0;
    if (!service->loop || service->registration.listener < 0 || lm_service_serving(service))
        return 0;
    for (struct lm_list *l = lm_list_first(&service->sessions); l && result == 0;
         l = lm_list_next(&service->sessions, l))
        result = lm_session_watch(LM_CONTAINER(l, struct lm_session, in_service), service->loop);
    if (result == 0)
        result = lm_loop_add(service->loop, &service->listener, service->registration.listener, EPOLLIN);
    lm_service_resume(service, service->unfinished ? lm_now() + LM_HELLO_NANOSECONDS : LM_FOREVER);
    return result;
}

/* Has the loop serve. -EINVAL: the service was stopped, or belongs to another loop. */
LM_INTERNAL int lm_service_schedule(struct lm_service *service, struct lm_loop *loop)
{
    pthread_mutex_lock(&service->lock);
    int result = lm_service_valid(service) && (!service->loop || service->loop == loop) ? 0 : -EINVAL;
    if (result == 0 && !service->loop) {
        lm_retain(&loop->object);
        service->loop = loop;
    }
    if (result == 0)
        result = lm_service_begin(service);
    pthread_mutex_unlock(&service->lock);
    return result;
}

/* With the lock: accepts no more. */
LM_INTERNAL void lm_service_close_door(struct lm_service *service)
{
    lm_watch_remove(&service->listener, service->registration.listener);
    if (service->loop)
        lm_timer_clear(&service->timer, service->loop);
    service->paused = false;
}

/* The loop serves no more; clients wait until it does again. */
LM_INTERNAL void lm_service_unschedule(struct lm_service *service, struct lm_loop *loop)
{
    pthread_mutex_lock(&service->lock);
    if (service->loop == loop && lm_service_serving(service)) {
        lm_service_close_door(service);
        for (struct lm_list *l = lm_list_first(&service->sessions); l; l = lm_list_next(&service->sessions, l)) {
            struct lm_session *session = LM_CONTAINER(l, struct lm_session, in_service);
            lm_watch_remove(&session->watch, session->channel.socket);
        }
    }
    pthread_mutex_unlock(&service->lock);
}

LM_INTERNAL kern_return_t lm_register_status(int result)
{
    return result == -EEXIST   ? BOOTSTRAP_NAME_IN_USE
           : result == -ENOENT ? BOOTSTRAP_NOT_PRIVILEGED
                               : lm_kern_return(result);
}

/* Gives the service its name. */
LM_INTERNAL kern_return_t lm_service_register(struct lm_service *service, const char *name)
{
    kern_return_t status = KERN_SUCCESS;
    if (!lm_name_valid(name))
        return KERN_INVALID_ARGUMENT;
    pthread_mutex_lock(&service->lock);
    if (!lm_service_valid(service) || service->name[0])
        status = MACH_SEND_INVALID_RIGHT;
    else
        status = lm_register_status(lm_registry_register(name, &service->registration));
    if (status == KERN_SUCCESS) {
        strcpy(service->name, name);
        status = lm_kern_return(lm_service_begin(service));
    }
    pthread_mutex_unlock(&service->lock);
    return status;
}

LM_INTERNAL void lm_service_end_sessions(struct lm_service *service)
{
    for (;;) {
        pthread_mutex_lock(&service->lock);
        struct lm_list *first = lm_list_first(&service->sessions);
        struct lm_session *session = first ? LM_CONTAINER(first, struct lm_session, in_service) : NULL;
        if (session)
            lm_retain(&session->object);
        pthread_mutex_unlock(&service->lock);
        if (!session)
            return;
        lm_session_end(session);
        lm_release(&session->object);
    }
}

/* Whether the caller is the one to stop the service, which takes no client from here on. */
LM_INTERNAL bool lm_service_claim_end(struct lm_service *service)
{
    pthread_mutex_lock(&service->lock);
    bool was_valid = lm_service_valid(service);
    lm_store_release(&service->valid, false);
    if (was_valid)
        lm_service_close_door(service);
    pthread_mutex_unlock(&service->lock);
    return was_valid;
}

/* Stops the service and frees its name. Idempotent, any thread. The caller has a reference, or is in the callback. */
LM_INTERNAL void lm_service_invalidate(struct lm_service *service)
{
    lm_retain(&service->object);
    if (lm_service_claim_end(service)) {
        if (service->name[0])
            lm_registry_unregister(service->name, &service->registration);
        lm_service_end_sessions(service);
        lm_process_lock();
        lm_list_remove(&service->in_process);
        lm_process_unlock();
        lm_port_destroy(service->port, LM_PORT_RECEIVE);
        if (service->loop)
            lm_loop_wake(service->loop);
        if (service->invalidated)
            service->invalidated(service, service->context.info);
    }
    lm_release(&service->object);
}

#endif
