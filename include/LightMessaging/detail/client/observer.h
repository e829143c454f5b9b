/* SPDX-License-Identifier: MIT */
/*
 * Observers: they report in their run loop when a service dies and when it starts. While the service is there, the
 * observer is among the asynchronous calls of the link, which report the link's end. While it is away, the observer
 * waits for a new name (presence.h).
 *
 * An observer's lock is taken before its link's lock. Only the run loop's thread looks the service up; any thread may
 * invalidate the observer.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_OBSERVER_H
#define LM_DETAIL_CLIENT_OBSERVER_H

#include "connection.h"
#include "../registry/presence.h"

#define LM_OBSERVER_RETRY 1000000000 /* nanoseconds between look-ups that no event triggers */

enum lm_observer_state { LM_SERVICE_UNKNOWN = 0, LM_SERVICE_AWAY, LM_SERVICE_THERE };

struct lm_observer {
    struct lm_object object;
    pthread_mutex_t lock;
    char name[LM_NAME_MAX + 1];
    uint32_t process_generation; /* a forked child invalidates nothing */
    bool over;
    bool patient; /* the service refused this process: the next look-up waits for a change or for the timer */
    enum lm_observer_state told;
    struct lm_call call;  /* never gets a reply */
    struct lm_link *link; /* with a reference; NULL: the service is away */
    int presence;
    struct lm_loop *loop; /* with a reference */
    struct lm_watch job, arrival;
    struct lm_timer timer;
    LMObserverCallBack callback;
    void *info;
};

LM_SETUP void lm_observer_destroy(struct lm_object *object)
{
    struct lm_observer *observer = LM_CONTAINER(object, struct lm_observer, object);
    if (observer->link)
        lm_release(&observer->link->object);
    lm_sys_close(&observer->presence);
    lm_release(&observer->loop->object);
    pthread_mutex_destroy(&observer->lock);
    free(observer);
}

/* Wakes the run loop's thread: the link was cut or welcomed. Called with the link's lock held. */
LM_SETUP void lm_observer_ended(struct lm_call *call)
{
    struct lm_observer *observer = LM_CONTAINER(call, struct lm_observer, call);
    lm_watch_wake(&observer->job, observer->loop);
}

/* --- The two states, with the observer's lock held --- */

/* Takes over the reference to the link, even on failure. */
LM_SETUP int lm_observer_enter(struct lm_observer *observer, struct lm_link *link)
{
    lm_link_lock(link);
    int result = lm_link_is_cut(link) ? -EPIPE : lm_link_add_pump(link, observer->loop);
    if (result == 0) {
        lm_list_append(&link->asynchronous, &observer->call.in_link);
        lm_link_hand_over(link);
        observer->link = link;
    }
    lm_link_unlock(link);
    if (result < 0)
        lm_release(&link->object);
    return result;
}

LM_SETUP void lm_observer_leave(struct lm_observer *observer)
{
    struct lm_link *link = observer->link;
    if (!link)
        return;
    lm_link_lock(link);
    lm_list_remove(&observer->call.in_link);
    lm_link_hand_over(link);
    lm_link_unlock(link);
    observer->link = NULL;
    lm_release(&link->object);
}

LM_SETUP void lm_observer_stop_waiting(struct lm_observer *observer)
{
    lm_timer_clear(&observer->timer, observer->loop);
    lm_watch_remove(&observer->arrival, observer->presence);
    lm_sys_close(&observer->presence);
}

/* Watches for a new name, with a fresh watch: the folders to watch may have changed. */
LM_SETUP int lm_observer_wait(struct lm_observer *observer)
{
    lm_observer_stop_waiting(observer);
    observer->presence = lm_presence_open();
    int result = observer->presence;
    if (result >= 0)
        result = lm_loop_add(observer->loop, &observer->arrival, observer->presence, EPOLLIN);
    return result < 0 ? result : 0;
}

/* Looks the service up. The watch for its name begins before that, so no start is missed. */
LM_SETUP void lm_observer_seek(struct lm_observer *observer)
{
    struct lm_link *link = NULL;
    bool certain = lm_observer_wait(observer) == 0;
    int result = lm_link_get(observer->name, LM_PAST, &link);
    if (result == 0)
        result = lm_observer_enter(observer, link);
    if (result == 0)
        lm_observer_stop_waiting(observer);
    else if (!certain || !lm_absent(result))
        lm_loop_set_timer(observer->loop, &observer->timer, lm_now() + LM_OBSERVER_RETRY);
}

/* --- In the run loop's thread --- */

/* Leaves a dead link. A service that refused this process is not contacted again at once. */
LM_SETUP void lm_observer_lose(struct lm_observer *observer)
{
    observer->patient = observer->link->refusal != 0;
    lm_observer_leave(observer);
    if (!observer->patient)
        return;
    lm_observer_wait(observer);
    lm_loop_set_timer(observer->loop, &observer->timer, lm_now() + LM_OBSERVER_RETRY);
}

/* Returns the present state; unknown until the service has welcomed this process. */
LM_SETUP enum lm_observer_state lm_observer_state(const struct lm_observer *observer)
{
    if (!observer->link)
        return LM_SERVICE_AWAY;
    return lm_link_welcomed(observer->link) ? LM_SERVICE_THERE : LM_SERVICE_UNKNOWN;
}

/* Returns whether there is a change to report. A death is reported before a new service is looked up. */
LM_SETUP bool lm_observer_proceed(struct lm_observer *observer)
{
    if (observer->link && lm_link_is_cut(observer->link))
        lm_observer_lose(observer);
    if (!observer->link && observer->told != LM_SERVICE_THERE && !observer->patient)
        lm_observer_seek(observer);
    enum lm_observer_state state = lm_observer_state(observer);
    if (state == LM_SERVICE_UNKNOWN || state == observer->told)
        return false;
    observer->told = state;
    return true;
}

/* The job's callback: the link has changed, or a look-up is due. */
LM_SETUP enum lm_wish lm_observer_ready(struct lm_object *object, uint32_t events)
{
    struct lm_observer *observer = LM_CONTAINER(object, struct lm_observer, object);
    (void)events;
    pthread_mutex_lock(&observer->lock);
    bool news = !observer->over && lm_observer_proceed(observer);
    bool is_there = observer->told == LM_SERVICE_THERE;
    pthread_mutex_unlock(&observer->lock);
    if (!news)
        return LM_WATCH_WAIT;
    observer->loop->handled++;
    observer->callback(observer, observer->name, is_there, observer->info);
    lm_watch_wake(&observer->job, observer->loop); /* the callback has taken time */
    return LM_WATCH_WAIT;
}

/* The timer's callback: looks the service up even if it refused this process. */
LM_SETUP void lm_observer_retry(struct lm_object *object)
{
    struct lm_observer *observer = LM_CONTAINER(object, struct lm_observer, object);
    pthread_mutex_lock(&observer->lock);
    observer->patient = false;
    pthread_mutex_unlock(&observer->lock);
    lm_observer_ready(object, 0);
}

/* A name may have appeared. A call without events is only the watch's first. */
LM_SETUP enum lm_wish lm_observer_arrived(struct lm_object *object, uint32_t events)
{
    if (events)
        lm_observer_retry(object);
    return LM_WATCH_WAIT;
}

/* --- Starting and stopping --- */

LM_SETUP struct lm_observer *lm_observer_create(const char *name, struct lm_loop *loop)
{
    struct lm_observer *observer = (struct lm_observer *)lm_new(sizeof *observer);
    if (!observer)
        return NULL;
    lm_object_init(&observer->object, lm_observer_destroy);
    pthread_mutex_init(&observer->lock, NULL);
    lm_watch_init(&observer->job, &observer->object, lm_observer_ready);
    lm_watch_init(&observer->arrival, &observer->object, lm_observer_arrived);
    lm_timer_init(&observer->timer, &observer->object, lm_observer_retry);
    strcpy(observer->name, name);
    observer->process_generation = lm_load_relaxed(&lm_process.generation);
    observer->presence = -1;
    observer->call.ended = lm_observer_ended;
    lm_retain(&loop->object);
    observer->loop = loop;
    return observer;
}

LM_API kern_return_t LMConnectionObserve(LMConnectionRef connection, CFRunLoopRef runLoop, LMObserverCallBack callback,
                                         void *info, LMObserverRef *observer)
{
    if (observer)
        *observer = NULL;
    if (!connection || !lm_name_valid(connection->serverName) || !runLoop || !callback || !observer)
        return KERN_INVALID_ARGUMENT;
    struct lm_observer *created = lm_observer_create(connection->serverName, runLoop);
    if (!created)
        return KERN_RESOURCE_SHORTAGE;
    created->callback = callback;
    created->info = info;
    *observer = created;
    int result = lm_loop_add(runLoop, &created->job, -1, 0);
    if (result < 0) {
        *observer = NULL;
        lm_release(&created->object);
    }
    return lm_kern_return(result);
}

LM_API void LMObserverInvalidate(LMObserverRef observer)
{
    if (!observer || observer->process_generation != lm_load_relaxed(&lm_process.generation))
        return;
    pthread_mutex_lock(&observer->lock);
    bool was_over = observer->over;
    observer->over = true;
    if (!was_over) {
        lm_observer_leave(observer);
        lm_observer_stop_waiting(observer);
    }
    pthread_mutex_unlock(&observer->lock);
    if (was_over)
        return;
    lm_watch_remove(&observer->job, -1);
    lm_loop_wake(observer->loop); /* nothing may be left for it to wait for */
}

#endif
