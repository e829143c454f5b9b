/* SPDX-License-Identifier: MIT */
/* The life of a service, which is also a CFMachPort: created, named, served by a run loop, stopped; forgotten in a
 * forked child. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_SERVICE_H
#define LM_DETAIL_SERVICE_SERVICE_H

#include "../registry/activation.h"
#include "listener.h"
#include "../registry/naming.h"
#include "../ground/error.h"

LM_SETUP void lm_service_destroy(struct lm_object *object)
{
    struct lm_service *service = LM_CONTAINER(object, struct lm_service, object);
    if (service->context.release)
        service->context.release(service->context.info);
    if (service->loop)
        lm_release(&service->loop->object);
    lm_sys_close(&service->registration.listener);
    lm_sys_close(&service->registration.lock);
    lm_policy_deinit(&service->policy);
    lm_index_deinit(&service->processes);
    pthread_mutex_destroy(&service->lock);
    free(service);
}

/* --- Fork --- */

LM_SETUP void lm_sessions_resume_until(const struct lm_list *sessions, const struct lm_list *end)
{
    for (struct lm_list *l = lm_list_first(sessions); l && l != end; l = lm_list_next(sessions, l))
        lm_session_unlock(LM_CONTAINER(l, struct lm_session, in_service));
}

/* Takes the locks of all sessions in the list, or none. */
LM_SETUP bool lm_sessions_hold(const struct lm_list *sessions)
{
    for (struct lm_list *l = lm_list_first(sessions); l; l = lm_list_next(sessions, l)) {
        if (pthread_mutex_trylock(&LM_CONTAINER(l, struct lm_session, in_service)->channel.lock) == 0)
            continue;
        lm_sessions_resume_until(sessions, l);
        return false;
    }
    return true;
}

/* Takes the service's lock and those of its sessions, or none. */
LM_SETUP bool lm_service_hold(struct lm_service *service)
{
    if (pthread_mutex_trylock(&service->lock) != 0)
        return false;
    if (lm_sessions_hold(&service->sessions)) {
        if (lm_sessions_hold(&service->ending))
            return true;
        lm_sessions_resume_until(&service->sessions, NULL);
    }
    pthread_mutex_unlock(&service->lock);
    return false;
}

LM_SETUP void lm_services_resume_until(const struct lm_list *end)
{
    struct lm_list *services = &lm_services.all;
    for (struct lm_list *l = lm_list_first(services); l && l != end; l = lm_list_next(services, l)) {
        struct lm_service *service = LM_CONTAINER(l, struct lm_service, in_process);
        lm_sessions_resume_until(&service->sessions, NULL);
        lm_sessions_resume_until(&service->ending, NULL);
        pthread_mutex_unlock(&service->lock);
    }
}

LM_SETUP void lm_services_resume(void)
{
    lm_services_resume_until(NULL);
}

LM_SETUP bool lm_services_hold(void)
{
    struct lm_list *services = &lm_services.all;
    for (struct lm_list *l = lm_list_first(services); l; l = lm_list_next(services, l)) {
        if (lm_service_hold(LM_CONTAINER(l, struct lm_service, in_process)))
            continue;
        lm_services_resume_until(l);
        return false;
    }
    return true;
}

/* Releases the session's part of its user's quota. */
LM_SETUP void lm_session_forget_user(struct lm_session *session)
{
    lm_session_drop_backlog(session);
    lm_session_drop_parts(session);
    lm_session_drop_parcels(session);
    lm_user_leave(session->user);
    session->user = NULL;
}

LM_SETUP void lm_sessions_forget(struct lm_list *sessions)
{
    struct lm_list *first;
    while ((first = lm_list_first(sessions)) != NULL) {
        struct lm_session *session = LM_CONTAINER(first, struct lm_session, in_service);
        lm_list_remove(first);
        lm_index_remove(&session->service->processes, &session->in_processes);
        lm_session_finish(session->service, session);
        lm_store_relaxed(&session->channel.cut, true);
        lm_sys_close(&session->channel.socket);
        session->channel.memory = NULL; /* not mapped in a child */
        lm_pool_clear(&session->channel.lent);
        lm_pool_clear(&session->channel.borrowed);
        if (session->user)
            lm_session_forget_user(session);
        lm_release(&session->object);
    }
}

/* Forgets all services in a forked child. The names stay the parent's. */
LM_SETUP void lm_services_forget(void)
{
    struct lm_list *first;
    while ((first = lm_list_first(&lm_services.all)) != NULL) {
        struct lm_service *service = LM_CONTAINER(first, struct lm_service, in_process);
        lm_list_remove(first);
        service->valid = false;
        lm_sys_close(&service->registration.listener);
        lm_sys_close(&service->registration.lock);
        lm_sessions_forget(&service->sessions);
        lm_sessions_forget(&service->ending); /* the thread that was ending them does not exist here */
    }
}

LM_SETUP void lm_service_enlist(struct lm_service *service)
{
    const struct lm_fork_part part = {lm_services_hold, lm_services_resume, lm_services_forget};
    lm_process_lock();
    lm_process_prepare();
    lm_process.fork_services = part;
    lm_list_append(&lm_services.all, &service->in_process);
    lm_process_unlock();
}

/* --- Life --- */

/* Creates a service without a name or a run loop. It lives until it is invalidated. NULL: no memory. */
LM_SETUP struct lm_service *lm_service_create(CFMachPortCallBack callback, const CFMachPortContext *context)
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
    service->spin = LM_SPIN_DEFAULT;
    service->borrows = true;
    service->callback = callback;
    service->port = lm_port_create(LM_PORT_RECEIVE, &service->object, 0, 0);
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

/* Begins to accept and to serve, once there are both a socket and a run loop. Called with the lock held. */
LM_SETUP int lm_service_begin(struct lm_service *service)
{
    int result = 0;
    if (!service->loop || service->registration.listener < 0 || lm_service_serving(service))
        return 0;
    for (struct lm_list *l = lm_list_first(&service->sessions); l && result == 0;
         l = lm_list_next(&service->sessions, l))
        result = lm_session_watch(LM_CONTAINER(l, struct lm_session, in_service), service->loop);
    if (result == 0)
        result = lm_loop_add(service->loop, &service->listener, service->registration.listener, EPOLLIN);
    lm_service_resume(service, service->unfinished_count ? lm_now() + LM_HELLO_NANOSECONDS : LM_FOREVER);
    return result;
}

/* Has the run loop serve the service. -EINVAL: the service was stopped, or belongs to another run loop. */
LM_SETUP int lm_service_schedule(struct lm_service *service, struct lm_loop *loop)
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

/* Stops accepting clients. Called with the lock held. */
LM_SETUP void lm_service_stop_accepting(struct lm_service *service)
{
    lm_watch_remove(&service->listener, service->registration.listener);
    if (service->loop)
        lm_timer_clear(&service->timer, service->loop);
    service->paused = false;
}

/* Stops serving on the run loop. Clients wait until the service is scheduled again. */
LM_SETUP void lm_service_unschedule(struct lm_service *service, struct lm_loop *loop)
{
    pthread_mutex_lock(&service->lock);
    if (service->loop == loop && lm_service_serving(service)) {
        lm_service_stop_accepting(service);
        for (struct lm_list *l = lm_list_first(&service->sessions); l; l = lm_list_next(&service->sessions, l)) {
            struct lm_session *session = LM_CONTAINER(l, struct lm_session, in_service);
            lm_watch_remove(&session->watch, session->channel.socket);
        }
    }
    pthread_mutex_unlock(&service->lock);
}

/* Records the name of a socket that was registered or taken over. Called with the lock held. */
LM_SETUP kern_return_t lm_service_named(struct lm_service *service, const char *name)
{
    strcpy(service->name, name);
    return lm_kern_return(lm_service_begin(service));
}

/* Registers the service's name. */
LM_SETUP kern_return_t lm_service_register(struct lm_service *service, const char *name)
{
    kern_return_t status = KERN_SUCCESS;
    if (!lm_name_valid(name))
        return KERN_INVALID_ARGUMENT;
    pthread_mutex_lock(&service->lock);
    if (!lm_service_valid(service) || service->name[0])
        status = MACH_SEND_INVALID_RIGHT;
    else
        status = lm_registry_status(lm_registry_register(name, &service->registration));
    if (status == KERN_SUCCESS)
        status = lm_service_named(service, name);
    pthread_mutex_unlock(&service->lock);
    return status;
}

/* Gives a new service the launcher's socket of that name. */
LM_SETUP kern_return_t lm_service_adopt(struct lm_service *service, const char *name, int listener)
{
    pthread_mutex_lock(&service->lock);
    service->registration.listener = listener;
    kern_return_t status = lm_service_named(service, name);
    pthread_mutex_unlock(&service->lock);
    return status;
}

LM_SETUP void lm_service_end_sessions(struct lm_service *service)
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

/* Returns whether the caller is the one to stop the service. From then on it takes no client and no message. */
LM_SETUP bool lm_service_claim_end(struct lm_service *service, CFMachPortInvalidationCallBack *invalidated)
{
    pthread_mutex_lock(&service->lock);
    bool was_valid = lm_service_valid(service);
    *invalidated = service->invalidated;
    lm_store_release(&service->valid, false);
    if (was_valid)
        lm_service_stop_accepting(service);
    pthread_mutex_unlock(&service->lock);
    return was_valid;
}

/* Stops the service and frees its name. Idempotent. Called from any thread, with a reference or in the callback. */
LM_SETUP void lm_service_invalidate(struct lm_service *service)
{
    CFMachPortInvalidationCallBack invalidated;
    lm_retain(&service->object);
    if (lm_service_claim_end(service, &invalidated)) {
        if (service->name[0])
            lm_registry_unregister(service->name, &service->registration);
        lm_service_end_sessions(service);
        lm_process_lock();
        lm_list_remove(&service->in_process);
        lm_process_unlock();
        lm_port_destroy(service->port, LM_PORT_RECEIVE);
        if (service->loop)
            lm_loop_wake(service->loop);
        if (invalidated)
            invalidated(service, service->context.info);
    }
    lm_release(&service->object);
}

#endif
