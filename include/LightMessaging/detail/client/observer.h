/* SPDX-License-Identifier: MIT */
/*
 * Observers: told in their run loop when a service goes and when it comes. While it is there an observer stands among
 * the asynchronous calls of the link, which end with it; while it is away, it waits for a new name (presence.h). Its
 * lock is taken before the link's. The loop's thread alone looks; any thread may invalidate it.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_OBSERVER_H
#define LM_DETAIL_CLIENT_OBSERVER_H

#include "connection.h"
#include "../registry/presence.h"

#define LM_OBSERVER_RETRY                                                                                              \
    1000000000 /* nanoseconds; when the kernel can't tell, or the service can't be reached now                         \
                */

enum lm_observer_state { LM_SERVICE_UNKNOWN = 0, LM_SERVICE_AWAY, LM_SERVICE_THERE };

struct lm_observer {
    struct lm_object object;
    pthread_mutex_t lock;
    char name[LM_NAME_MAX + 1];
    uint32_t process_generation; /* in a forked child there is nothing to invalidate */
    bool over;
    bool patient; /* the service sent us away: not again before something has changed, or some time has passed */
    enum lm_observer_state told;
    struct lm_call call;  /* never answered */
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

/* The link has died. With its lock. */
LM_SETUP void lm_observer_ended(struct lm_call *call)
{
    struct lm_observer *observer = LM_CONTAINER(call, struct lm_observer, call);
    lm_watch_wake(&observer->job, observer->loop);
}

/* --- The two states, with the lock --- */

/* Takes over the reference, whatever becomes of it. */
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

/* Begins to wait, afresh: what there is to watch may have changed. */
LM_SETUP int lm_observer_wait(struct lm_observer *observer)
{
    lm_observer_stop_waiting(observer);
    observer->presence = lm_presence_open();
    int result = observer->presence;
    if (result >= 0)
        result = lm_loop_add(observer->loop, &observer->arrival, observer->presence, EPOLLIN);
    return result < 0 ? result : 0;
}

/* Looks the service up, waiting for its name from before that on. */
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

/* --- In the loop's thread --- */

/* Its link is dead. A service that sent us away is not asked again at once. */
LM_SETUP void lm_observer_lose(struct lm_observer *observer)
{
    observer->patient = observer->link->refusal != 0;
    lm_observer_leave(observer);
    if (!observer->patient)
        return;
    lm_observer_wait(observer);
    lm_loop_set_timer(observer->loop, &observer->timer, lm_now() + LM_OBSERVER_RETRY);
}

/* How it is now: unknown while the service has not let us in yet. */
LM_SETUP enum lm_observer_state lm_observer_state(const struct lm_observer *observer)
{
    if (!observer->link)
        return LM_SERVICE_AWAY;
    return lm_link_welcomed(observer->link) ? LM_SERVICE_THERE : LM_SERVICE_UNKNOWN;
}

/* Whether there is news to tell. A death is told before a new service is looked for. */
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

/* The job's callback: something has happened to the link, or it is time to look. */
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
    lm_watch_wake(&observer->job, observer->loop); /* telling has taken time */
    return LM_WATCH_WAIT;
}

/* Looks again even for a service that sent us away. */
LM_SETUP void lm_observer_retry(struct lm_object *object)
{
    struct lm_observer *observer = LM_CONTAINER(object, struct lm_observer, object);
    pthread_mutex_lock(&observer->lock);
    observer->patient = false;
    pthread_mutex_unlock(&observer->lock);
    lm_observer_ready(object, 0);
}

/* A name may have come. Without events it is only the watch's first call. */
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
    lm_loop_wake(observer->loop); /* it may have nothing left to wait for */
}

#endif
