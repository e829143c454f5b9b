/* SPDX-License-Identifier: MIT */
/* Accepts clients as far as there are descriptors, and ends sessions whose hello is overdue. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_LISTENER_H
#define LM_DETAIL_SERVICE_LISTENER_H

#include "serving.h"

#define LM_FAIR_ACCEPTS     16        /* new connections in a row, like LM_FAIR_STEPS */
#define LM_HELLO_UNFINISHED 128       /* connections without a hello; the oldest of more is closed */
#define LM_ACCEPT_PAUSE     100000000 /* nanoseconds without accepting after descriptors ran out */

/* Returns the oldest session without a hello, with a reference, or NULL. Called with the lock held. */
LM_SETUP struct lm_session *lm_service_oldest_unfinished(struct lm_service *service)
{
    struct lm_list *first = lm_list_first(&service->unfinished);
    struct lm_session *oldest = first ? LM_CONTAINER(first, struct lm_session, in_unfinished) : NULL;
    if (oldest)
        lm_retain(&oldest->object);
    return oldest;
}

/* Ends the oldest session without a hello if there are too many. */
LM_SETUP void lm_service_limit_unfinished(struct lm_service *service)
{
    pthread_mutex_lock(&service->lock);
    bool too_many = service->unfinished_count > LM_HELLO_UNFINISHED;
    struct lm_session *oldest = too_many ? lm_service_oldest_unfinished(service) : NULL;
    pthread_mutex_unlock(&service->lock);
    if (oldest) {
        lm_session_end(oldest);
        lm_release(&oldest->object);
    }
}

/* Returns whether the run loop serves the service now. Called with the lock held. */
LM_SETUP bool lm_service_serving(const struct lm_service *service)
{
    return service->listener.loop != NULL;
}

/* Accepts one client and serves it. -EAGAIN: there is none; -EPIPE: the service was stopped, or is not on the run
 * loop. */
LM_SETUP int lm_service_accept(struct lm_service *service)
{
    int result = -EPIPE;
    pthread_mutex_lock(&service->lock);
    int socket = lm_service_serving(service) ? lm_sys_accept(service->registration.listener) : -EPIPE;
    struct lm_session *session = socket < 0 ? NULL : lm_session_create(service, socket);
    if (session) {
        lm_list_append(&service->sessions, &session->in_service);
        lm_list_append(&service->unfinished, &session->in_unfinished);
        service->unfinished_count++;
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

/* Stops accepting for a while because descriptors or memory ran out: a listener that stays readable would keep the run
 * loop busy. */
LM_SETUP void lm_service_pause(struct lm_service *service)
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

LM_SETUP enum lm_wish lm_listener_ready(struct lm_object *object, uint32_t events)
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
            return LM_WATCH_WAIT;
        lm_service_limit_unfinished(service);
    }
    return LM_WATCH_AGAIN;
}

/* Ends sessions whose hello is overdue. Returns the deadline of the next, or LM_FOREVER. */
LM_SETUP int64_t lm_service_end_silent(struct lm_service *service)
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

/* Sets the timer, and accepts again after a pause. Called with the lock held. */
LM_SETUP void lm_service_resume(struct lm_service *service, int64_t next)
{
    if (!lm_service_serving(service))
        return;
    if (service->paused)
        lm_watch_change(&service->listener, service->registration.listener, EPOLLIN);
    service->paused = false;
    if (next != LM_FOREVER)
        lm_loop_set_timer(service->loop, &service->timer, next);
}

LM_SETUP void lm_service_tick(struct lm_object *object)
{
    struct lm_service *service = LM_CONTAINER(object, struct lm_service, object);
    int64_t next = lm_service_end_silent(service);
    pthread_mutex_lock(&service->lock);
    lm_service_resume(service, next);
    pthread_mutex_unlock(&service->lock);
}

#endif
