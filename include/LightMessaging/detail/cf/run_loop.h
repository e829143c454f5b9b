/* SPDX-License-Identifier: MIT */
/* CFRunLoop, its sources and timers, built on loop.h. */
#include "../../CoreFoundation.h"

#ifndef LM_DETAIL_CF_RUN_LOOP_H
#define LM_DETAIL_CF_RUN_LOOP_H

#include "../loop/loop.h"

/* A source: an object that a loop serves, and the functions that schedule and unschedule it. */
struct lm_source {
    struct lm_object object;
    struct lm_object *served; /* holds a reference */
    void (*schedule)(struct lm_object *served, struct lm_loop *loop);
    void (*unschedule)(struct lm_object *served, struct lm_loop *loop);
};

struct lm_cf_timer {
    struct lm_object object;
    struct lm_timer timer;
    pthread_mutex_t lock; /* guards the next four; taken before the loop's lock */
    struct lm_loop *loop; /* the first loop the timer was added to, with a reference; it is never replaced */
    bool valid;
    bool added;
    int64_t next; /* deadline */
    int64_t interval;
    CFRunLoopTimerCallBack callback;
    CFRunLoopTimerContext context;
};

#ifdef LM_FOUNDATION
/* objc/run_loop.h: lets the thread's NSRunLoop serve the loop, too; runs one pass of both. */
LM_INTERNAL void lm_ns_attach(struct lm_loop *loop);
LM_INTERNAL int lm_ns_pass(struct lm_loop *loop, int64_t deadline);
#define LM_LOOP_PASS lm_ns_pass
#else
#define LM_LOOP_PASS lm_loop_pass
#endif

/* --- Loops of threads --- */

LM_INTERNAL void lm_thread_ended(void *loop)
{
    lm_release(&((struct lm_loop *)loop)->object);
}

/* Deletes the key when a plugin is unloaded, so that no ending thread calls a destructor that is gone. Each unit has
 * this destructor; the first one does the work. */
__attribute__((destructor)) LM_INTERNAL void lm_thread_key_unloaded(void)
{
    if (lm_loops.thread_key_made)
        pthread_key_delete(lm_loops.thread_key);
    lm_loops.thread_key_made = false;
}

LM_INTERNAL bool lm_thread_key(pthread_key_t *key)
{
    lm_process_lock();
    if (!lm_loops.thread_key_made)
        lm_loops.thread_key_made = pthread_key_create(&lm_loops.thread_key, lm_thread_ended) == 0;
    bool made = lm_loops.thread_key_made;
    *key = lm_loops.thread_key;
    lm_process_unlock();
    return made;
}

LM_API CFRunLoopRef CFRunLoopGetMain(void)
{
    struct lm_loop *made = lm_loop_create();
    lm_process_lock();
    if (!lm_loops.main) {
        lm_loops.main = made;
        made = NULL;
    }
    struct lm_loop *loop = lm_loops.main;
    lm_process_unlock();
    if (made)
        lm_release(&made->object);
    return loop;
}

LM_INTERNAL struct lm_loop *lm_loop_of_thread(void)
{
    pthread_key_t key;
    if (!lm_thread_key(&key))
        return NULL;
    struct lm_loop *loop = (struct lm_loop *)pthread_getspecific(key);
    if (loop)
        return loop;
    if (lm_sys_is_main_thread()) {
        loop = CFRunLoopGetMain();
        if (loop)
            lm_retain(&loop->object);
    } else {
        loop = lm_loop_create();
    }
    if (loop && pthread_setspecific(key, loop) != 0) {
        lm_release(&loop->object);
        return NULL;
    }
    return loop;
}

LM_API CFRunLoopRef CFRunLoopGetCurrent(void)
{
    struct lm_loop *loop = lm_loop_of_thread();
#ifdef LM_FOUNDATION
    if (loop)
        lm_ns_attach(loop);
#endif
    return loop;
}

/* --- Running --- */

LM_INTERNAL int64_t lm_deadline_after_seconds(CFTimeInterval seconds)
{
    if (!(seconds > 0))
        return lm_now();
    return seconds > 1e9 ? LM_FOREVER : lm_now() + (int64_t)(seconds * 1e9);
}

LM_INTERNAL SInt32 lm_loop_run(struct lm_loop *loop, int64_t deadline)
{
    loop->waiting_since = 0; /* a nested run starts with no wait under way */
    for (;;) {
        int result = LM_LOOP_PASS(loop, deadline);
        if (lm_load_acquire(&loop->stop) && lm_exchange(&loop->stop, 0))
            return kCFRunLoopRunStopped;
        if (result < 0)
            return kCFRunLoopRunFinished;
        if (lm_loop_interrupted(loop))
            return kCFRunLoopRunHandledSource;
        if (lm_deadline_left(deadline) == 0)
            return kCFRunLoopRunTimedOut;
    }
}

LM_API SInt32 CFRunLoopRunInMode(CFStringRef mode, CFTimeInterval seconds, Boolean returnAfterSourceHandled)
{
    struct lm_loop *loop = CFRunLoopGetCurrent();
    (void)mode;
    if (!loop)
        return kCFRunLoopRunFinished;
    uint64_t outer = loop->handled_enough; /* of the outer run, if this is called from a callback */
    loop->handled_enough = returnAfterSourceHandled ? loop->handled + 1 : 0;
    SInt32 result = lm_loop_run(loop, lm_deadline_after_seconds(seconds));
    loop->handled_enough = outer;
    return result;
}

LM_API void CFRunLoopRun(void)
{
    CFRunLoopRunInMode(kCFRunLoopDefaultMode, 1e10, false);
}

LM_API void CFRunLoopStop(CFRunLoopRef loop)
{
    if (!loop)
        return;
    lm_store_release(&loop->stop, 1);
    lm_loop_wake(loop);
}

LM_API void CFRunLoopWakeUp(CFRunLoopRef loop)
{
    if (loop)
        lm_loop_wake(loop);
}

/* --- Sources --- */

LM_API void CFRunLoopAddSource(CFRunLoopRef loop, CFRunLoopSourceRef source, CFStringRef mode)
{
    (void)mode;
    if (loop && source)
        source->schedule(source->served, loop);
}

LM_API void CFRunLoopRemoveSource(CFRunLoopRef loop, CFRunLoopSourceRef source, CFStringRef mode)
{
    (void)mode;
    if (loop && source)
        source->unschedule(source->served, loop);
}

/* --- Timers --- */

LM_INTERNAL void lm_cf_timer_destroy(struct lm_object *object)
{
    struct lm_cf_timer *timer = LM_CONTAINER(object, struct lm_cf_timer, object);
    if (timer->context.release)
        timer->context.release(timer->context.info);
    if (timer->loop)
        lm_release(&timer->loop->object);
    pthread_mutex_destroy(&timer->lock);
    free(timer);
}

/* Sets the timer for the next multiple of its interval, unless it was removed or invalidated. */
LM_INTERNAL void lm_cf_timer_repeat(struct lm_cf_timer *timer)
{
    pthread_mutex_lock(&timer->lock);
    if (timer->valid && timer->added) {
        int64_t late = lm_now() - timer->next;
        timer->next += (late > 0 ? late / timer->interval + 1 : 1) * timer->interval;
        lm_loop_set_timer(timer->loop, &timer->timer, timer->next);
    }
    pthread_mutex_unlock(&timer->lock);
}

LM_INTERNAL void lm_cf_timer_fire(struct lm_object *object)
{
    struct lm_cf_timer *timer = LM_CONTAINER(object, struct lm_cf_timer, object);
    if (!CFRunLoopTimerIsValid(timer))
        return;
    timer->callback(timer, timer->context.info);
    if (timer->interval == 0)
        CFRunLoopTimerInvalidate(timer);
    else
        lm_cf_timer_repeat(timer);
}

LM_API CFRunLoopTimerRef CFRunLoopTimerCreate(CFAllocatorRef allocator, CFAbsoluteTime fireDate,
                                              CFTimeInterval interval, CFOptionFlags flags, CFIndex order,
                                              CFRunLoopTimerCallBack callback, CFRunLoopTimerContext *context)
{
    struct lm_cf_timer *timer = (struct lm_cf_timer *)lm_new(sizeof *timer);
    (void)allocator, (void)flags, (void)order;
    if (!timer)
        return NULL;
    lm_object_init(&timer->object, lm_cf_timer_destroy);
    lm_timer_init(&timer->timer, &timer->object, lm_cf_timer_fire);
    pthread_mutex_init(&timer->lock, NULL);
    timer->valid = true;
    timer->next = lm_deadline_after_seconds(fireDate - CFAbsoluteTimeGetCurrent());
    timer->interval = interval > 0 && interval < 1e9 ? (int64_t)(interval * 1e9) : 0;
    timer->callback = callback;
    if (context)
        timer->context = *context;
    if (timer->context.retain)
        timer->context.info = (void *)(uintptr_t)timer->context.retain(timer->context.info);
    return timer;
}

LM_API void CFRunLoopAddTimer(CFRunLoopRef loop, CFRunLoopTimerRef timer, CFStringRef mode)
{
    (void)mode;
    if (!loop || !timer)
        return;
    pthread_mutex_lock(&timer->lock);
    if (timer->valid && !timer->loop) {
        lm_retain(&loop->object);
        timer->loop = loop;
    }
    if (timer->valid && timer->loop == loop) {
        timer->added = true;
        lm_loop_set_timer(loop, &timer->timer, timer->next);
    }
    pthread_mutex_unlock(&timer->lock);
}

/* Removes the timer from the loop. The loop's reference may be the last but the one held here. */
LM_API void CFRunLoopRemoveTimer(CFRunLoopRef loop, CFRunLoopTimerRef timer, CFStringRef mode)
{
    (void)mode;
    if (!loop || !timer)
        return;
    lm_retain(&timer->object);
    pthread_mutex_lock(&timer->lock);
    if (timer->loop == loop) {
        timer->added = false;
        lm_timer_clear(&timer->timer, loop);
    }
    pthread_mutex_unlock(&timer->lock);
    lm_release(&timer->object);
}

LM_API void CFRunLoopTimerInvalidate(CFRunLoopTimerRef timer)
{
    if (!timer)
        return;
    lm_retain(&timer->object);
    pthread_mutex_lock(&timer->lock);
    bool was_valid = timer->valid;
    timer->valid = false;
    if (was_valid && timer->loop) {
        lm_timer_clear(&timer->timer, timer->loop);
        lm_loop_wake(timer->loop);
    }
    pthread_mutex_unlock(&timer->lock);
    lm_release(&timer->object);
}

LM_API Boolean CFRunLoopTimerIsValid(CFRunLoopTimerRef timer)
{
    if (!timer)
        return false;
    pthread_mutex_lock(&timer->lock);
    bool valid = timer->valid;
    pthread_mutex_unlock(&timer->lock);
    return valid;
}

#endif
