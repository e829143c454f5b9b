/* SPDX-License-Identifier: MIT */
/*
 * The base of a run loop: an epoll, a queue of ready watches, and timers. A watch chooses whether its descriptor is
 * watched edge- or level-triggered. Every event goes through the ready queue, and a watch that has more to do than is
 * fair in one pass asks to be queued again. Callbacks run in the thread that runs the loop, without its lock; all other
 * functions may be called from any thread, unless their comments restrict it. A watched object is kept alive while it
 * is watched and while its callback runs. A callback may run the loop itself, and may then be called again within that
 * run.
 *
 * A watch that soon expects more in memory may ask to be kept hot: the loop then polls that memory instead of sleeping,
 * for as long as spinning pays (spin.h), and asks epoll only now and then. Before the loop sleeps, it cools: it calls
 * all hot watches once more. A watch cannot stay hot then, so its callback must make sure that its peer wakes the loop.
 */
#ifndef LM_DETAIL_LOOP_LOOP_H
#define LM_DETAIL_LOOP_LOOP_H

#include "../ground/deadline.h"
#include "../ground/list.h"
#include "../ground/object.h"
#include "../process/process.h"
#include "../ground/spin.h"

#define LM_LOOP_EVENTS 64    /* taken from epoll at once; the rest stay in the kernel */
#define LM_EPOLL_EVERY 50000 /* nanoseconds; how often a loop that is busy with hot watches asks epoll, approximately */
#define LM_EPOLL_LATEST                                                                                                \
    4000000 /* nanoseconds, a tick of the coarse clock: the longest time without epoll, however slow callbacks are */
#define LM_EPOLL_MOST 64  /* passes without asking epoll */
#define LM_LOOP_PAUSE 500 /* nanoseconds; about the time until the next call arrives */

/* Guarded by the process's lock. */
struct lm_loops {
    struct lm_list all;
    struct lm_loop *main;
    pthread_key_t thread_key; /* of the loop of each thread */
    bool thread_key_made;
};

LM_STATE(struct lm_loops, lm_loops)

struct lm_loop {
    struct lm_object object;
    pthread_mutex_t lock;
    int epoll, bell;         /* opened on first use; the bell is an eventfd that wakes the loop */
    struct lm_table watches; /* epoll identifies a watch by its name here, so that a late event finds nothing */
    struct lm_list ready;
    struct lm_list hot;    /* watches that are polled */
    struct lm_list timers; /* earliest first */
    uint32_t watch_count;
    uint32_t timer_count;
    uint32_t stop;
    bool asleep;             /* in epoll, or about to be: a change must ring the bell, once */
    uint64_t handled;        /* callbacks of sources that have run; only the running thread uses this and the next */
    uint64_t handled_enough; /* the value of `handled` that ends a run limited to one source; 0: no limit */
    /* Only the running thread uses these, too: */
    struct lm_spin spin;
    struct lm_watch *calling; /* the watch whose callback is running, until that callback runs the loop itself */
    int64_t waiting_since;    /* 0: not waiting */
    bool pauses;              /* the watch called last gains by a pause before the first poll */
    bool cooling;             /* about to sleep */
    uint32_t passes;          /* passes since epoll was last asked */
    uint32_t passes_enough;   /* passes after which epoll is to be asked */
    int64_t asked;            /* when epoll was last asked */
    struct lm_list in_process;
};

/* What a watch's callback wants next. */
enum lm_wish {
    LM_WATCH_WAIT = 0,  /* a call when there are events */
    LM_WATCH_AGAIN = 1, /* a call in the next pass */
    LM_WATCH_HOT = 2,   /* polls by has_come; only if lm_loop_keeps_hot allows it */
    LM_WATCH_WARM = 3   /* the same, with a pause before the first poll */
};

/* Embedded in the object that it watches for. */
struct lm_watch {
    struct lm_loop *loop; /* NULL when not watched; holds a reference */
    struct lm_object *object;
    /* `events` are those of epoll since the last call; 0 if the watch was queued for another reason. */
    enum lm_wish (*ready)(struct lm_object *object, uint32_t events);
    bool (*has_come)(struct lm_object *object); /* polls the memory of a hot watch; in the loop's thread */
    uint32_t name;
    uint32_t pending;
    bool in_background; /* the watch does not keep the loop running */
    bool is_hot;
    struct lm_list in_queue; /* in the loop's `ready` or `hot` */
};

struct lm_timer {
    struct lm_loop *loop; /* NULL when not set; holds a reference */
    struct lm_object *object;
    void (*fire)(struct lm_object *object); /* the timer is not set during this call */
    int64_t deadline;
    struct lm_list in_timers;
};

LM_INTERNAL void lm_loop_close(struct lm_loop *loop)
{
    lm_sys_close(&loop->epoll);
    lm_sys_close(&loop->bell);
}

LM_SETUP void lm_loop_destroy(struct lm_object *object)
{
    struct lm_loop *loop = LM_CONTAINER(object, struct lm_loop, object);
    lm_process_lock();
    lm_list_remove(&loop->in_process);
    lm_process_unlock();
    lm_loop_close(loop);
    lm_table_deinit(&loop->watches);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

/* `part` has the fork handlers at the end of this file. */
LM_SETUP struct lm_loop *lm_loop_create_with(const struct lm_fork_part *part)
{
    struct lm_loop *loop = (struct lm_loop *)lm_new(sizeof *loop);
    if (!loop)
        return NULL;
    lm_object_init(&loop->object, lm_loop_destroy);
    pthread_mutex_init(&loop->lock, NULL);
    loop->epoll = loop->bell = -1;
    loop->passes_enough = 1;
    lm_spin_init(&loop->spin, 0); /* until a watch wants more */
    lm_process_lock();
    lm_process_prepare();
    lm_process.fork_loops = *part;
    lm_list_append(&lm_loops.all, &loop->in_process);
    lm_process_unlock();
    return loop;
}

/* Opens the epoll with the bell in it, unless that is done. With the lock. The bell is edge-triggered and never
 * read. */
LM_INTERNAL int lm_loop_open(struct lm_loop *loop)
{
    if (loop->epoll >= 0)
        return 0;
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN | EPOLLET;
    loop->epoll = lm_sys_epoll();
    loop->bell = loop->epoll < 0 ? loop->epoll : lm_sys_eventfd();
    int result = loop->bell < 0 ? loop->bell : lm_sys_epoll_control(loop->epoll, EPOLL_CTL_ADD, loop->bell, &event);
    if (result < 0)
        lm_loop_close(loop);
    return result;
}

/* Returns whether the current run must return before it calls anything else. In the thread that runs the loop. */
LM_INTERNAL bool lm_loop_interrupted(const struct lm_loop *loop)
{
    return lm_load_relaxed(&loop->stop) || (loop->handled_enough && loop->handled >= loop->handled_enough);
}

LM_SETUP void lm_loop_wake(struct lm_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    if (loop->bell >= 0)
        lm_sys_eventfd_raise(loop->bell);
    pthread_mutex_unlock(&loop->lock);
}

/* Wakes the loop if it sleeps. With the lock. */
LM_INTERNAL void lm_loop_rouse(struct lm_loop *loop)
{
    if (loop->asleep)
        lm_sys_eventfd_raise(loop->bell);
    loop->asleep = false;
}

/* --- Watches --- */

LM_INTERNAL void lm_watch_init(struct lm_watch *watch, struct lm_object *object,
                               enum lm_wish (*ready)(struct lm_object *object, uint32_t events))
{
    memset(watch, 0, sizeof *watch);
    watch->object = object;
    watch->ready = ready;
}

/* Has the callback run in the loop's next pass, before the watches from `place` in the queue on. With the lock. */
LM_INTERNAL void lm_watch_queue_before(struct lm_watch *watch, uint32_t events, struct lm_list *place)
{
    watch->pending |= events;
    if (watch->is_hot)
        lm_list_remove(&watch->in_queue);
    watch->is_hot = false;
    if (!lm_list_contains(&watch->in_queue))
        lm_list_append(place, &watch->in_queue);
}

/* Has the callback run in the loop's next pass, after all the others. With the lock. */
LM_INTERNAL void lm_watch_queue(struct lm_watch *watch, uint32_t events)
{
    lm_watch_queue_before(watch, events, &watch->loop->ready);
}

LM_INTERNAL int lm_loop_add_locked(struct lm_loop *loop, struct lm_watch *watch, int descriptor, uint32_t events)
{
    struct epoll_event event;
    int result = lm_loop_open(loop);
    if (result < 0)
        return result;
    watch->name = lm_table_insert(&loop->watches, 0, watch, 0);
    if (watch->name == 0)
        return -ENOMEM;
    memset(&event, 0, sizeof event);
    event.events = events;
    event.data.u64 = watch->name;
    if (descriptor >= 0)
        result = lm_sys_epoll_control(loop->epoll, EPOLL_CTL_ADD, descriptor, &event);
    if (result < 0) {
        lm_table_remove(&loop->watches, lm_table_find(&loop->watches, watch->name, 0));
        return result;
    }
    watch->loop = loop;
    loop->watch_count += !watch->in_background;
    lm_retain(&loop->object);
    lm_retain(watch->object);
    lm_watch_queue(watch, 0);
    lm_loop_rouse(loop);
    return 0;
}

/* Has the callback run in the loop's next pass, if the watch is still in that loop. Any thread. */
LM_INTERNAL void lm_watch_wake(struct lm_watch *watch, struct lm_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    if (watch->loop == loop) {
        lm_watch_queue(watch, 0);
        lm_loop_rouse(loop);
    }
    pthread_mutex_unlock(&loop->lock);
}

/* Watches the descriptor for `events` of epoll. If it is -1, the callback runs only after lm_watch_wake. In both cases
 * it runs once at the start. */
LM_INTERNAL int lm_loop_add(struct lm_loop *loop, struct lm_watch *watch, int descriptor, uint32_t events)
{
    pthread_mutex_lock(&loop->lock);
    int result = lm_loop_add_locked(loop, watch, descriptor, events);
    pthread_mutex_unlock(&loop->lock);
    return result;
}

/* Ends the watch. `descriptor` is the one given to lm_loop_add and must still be open. Idempotent, but not safe from
 * two threads at once. */
LM_INTERNAL void lm_watch_remove(struct lm_watch *watch, int descriptor)
{
    struct lm_loop *loop = watch->loop;
    if (!loop)
        return;
    pthread_mutex_lock(&loop->lock);
    lm_table_remove(&loop->watches, lm_table_find(&loop->watches, watch->name, 0));
    lm_list_remove(&watch->in_queue);
    if (descriptor >= 0)
        lm_sys_epoll_control(loop->epoll, EPOLL_CTL_DEL, descriptor, NULL);
    watch->loop = NULL;
    loop->watch_count -= !watch->in_background;
    pthread_mutex_unlock(&loop->lock);
    lm_release(watch->object);
    lm_release(&loop->object);
}

/* Changes the events. Only for a callback whose watch no other thread can remove meanwhile. */
LM_INTERNAL void lm_watch_change(struct lm_watch *watch, int descriptor, uint32_t events)
{
    struct epoll_event event;
    if (!watch->loop)
        return;
    memset(&event, 0, sizeof event);
    event.events = events;
    event.data.u64 = watch->name;
    lm_sys_epoll_control(watch->loop->epoll, EPOLL_CTL_MOD, descriptor, &event);
}

/* --- Timers --- */

LM_INTERNAL void lm_timer_init(struct lm_timer *timer, struct lm_object *object, void (*fire)(struct lm_object *))
{
    memset(timer, 0, sizeof *timer);
    timer->object = object;
    timer->fire = fire;
}

/* Returns the first timer with a later deadline, or the list's end. With the lock. Searches from the end, since most
 * new timers have the latest deadline. */
LM_INTERNAL struct lm_list *lm_timer_place(struct lm_loop *loop, int64_t deadline)
{
    struct lm_list *place = &loop->timers;
    while (!lm_list_empty(place) && place->previous != &loop->timers &&
           LM_CONTAINER(place->previous, struct lm_timer, in_timers)->deadline > deadline)
        place = place->previous;
    return place;
}

/* Sets the timer, unless it is set already. */
LM_INTERNAL int lm_loop_set_timer(struct lm_loop *loop, struct lm_timer *timer, int64_t deadline)
{
    pthread_mutex_lock(&loop->lock);
    int result = lm_loop_open(loop);
    if (result == 0 && !lm_list_contains(&timer->in_timers)) {
        timer->loop = loop;
        timer->deadline = deadline;
        lm_list_append(lm_timer_place(loop, deadline), &timer->in_timers);
        loop->timer_count++;
        lm_retain(&loop->object);
        lm_retain(timer->object);
        lm_loop_rouse(loop);
    }
    pthread_mutex_unlock(&loop->lock);
    return result;
}

/* Clears the timer. Idempotent; of two threads, or of a thread and the firing timer, only one takes it out of the
 * list. */
LM_INTERNAL void lm_timer_clear(struct lm_timer *timer, struct lm_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool was_set = lm_list_contains(&timer->in_timers);
    if (was_set) {
        lm_list_remove(&timer->in_timers);
        timer->loop = NULL;
        loop->timer_count--;
    }
    pthread_mutex_unlock(&loop->lock);
    if (was_set) {
        lm_release(timer->object);
        lm_release(&loop->object);
    }
}

/* --- Running --- */

/* Takes the first timer that is due out of the list and passes its object's reference to the caller. */
LM_INTERNAL struct lm_timer *lm_loop_due_timer(struct lm_loop *loop)
{
    struct lm_timer *timer = NULL;
    pthread_mutex_lock(&loop->lock);
    struct lm_list *link = lm_list_first(&loop->timers);
    if (link && LM_CONTAINER(link, struct lm_timer, in_timers)->deadline <= lm_now()) {
        timer = LM_CONTAINER(link, struct lm_timer, in_timers);
        lm_list_remove(link);
        timer->loop = NULL;
        loop->timer_count--;
    }
    pthread_mutex_unlock(&loop->lock);
    return timer;
}

LM_INTERNAL void lm_loop_fire_timers(struct lm_loop *loop)
{
    struct lm_timer *timer;
    while (!lm_loop_interrupted(loop) && (timer = lm_loop_due_timer(loop)) != NULL) {
        struct lm_object *object = timer->object;
        timer->fire(object);
        lm_release(object);
        lm_release(&loop->object);
    }
}

/* Takes the first watch off the ready queue, with a reference to its object. Returns NULL if there is none, or if the
 * run must return. With the lock. */
LM_INTERNAL struct lm_watch *lm_loop_pop(struct lm_loop *loop, uint32_t *events)
{
    struct lm_list *link = lm_list_first(&loop->ready);
    if (!link || lm_loop_interrupted(loop))
        return NULL;
    struct lm_watch *watch = LM_CONTAINER(link, struct lm_watch, in_queue);
    lm_list_remove(link);
    *events = watch->pending;
    watch->pending = 0;
    lm_retain(watch->object);
    return watch;
}

/* Queues a watch again after its callback, as the callback wished. With the lock. */
LM_INTERNAL void lm_loop_grant(struct lm_loop *loop, struct lm_watch *watch, enum lm_wish wish)
{
    loop->pauses = wish == LM_WATCH_WARM;
    if (watch->loop != loop || wish == LM_WATCH_WAIT)
        return;
    if (wish == LM_WATCH_AGAIN || lm_list_contains(&watch->in_queue)) {
        lm_watch_queue(watch, 0);
        return;
    }
    lm_list_append(&loop->hot, &watch->in_queue);
    watch->is_hot = true;
}

/* Calls a watch that was popped; then pops the next one if `more`. */
LM_INTERNAL struct lm_watch *lm_loop_call(struct lm_loop *loop, struct lm_watch *watch, uint32_t *events, bool more)
{
    struct lm_object *object = watch->object;
    struct lm_watch *next = NULL;
    loop->calling = watch;
    enum lm_wish wish = watch->ready(object, *events);
    loop->calling = NULL;
    if (wish != LM_WATCH_WAIT || more) {
        pthread_mutex_lock(&loop->lock);
        lm_loop_grant(loop, watch, wish);
        next = more ? lm_loop_pop(loop, events) : NULL;
        pthread_mutex_unlock(&loop->lock);
    }
    lm_release(object);
    return next;
}

/* --- Hot watches --- */

/* Returns whether a watch that wants spins of up to `wanted` nanoseconds may ask to be kept hot. In the running
 * thread. */
LM_INTERNAL bool lm_loop_keeps_hot(struct lm_loop *loop, uint32_t wanted)
{
    if (wanted > loop->spin.limit)
        lm_spin_set(&loop->spin, wanted);
    return wanted > 0 && !loop->cooling && lm_spin_pays(&loop->spin);
}

/* Queues all hot watches for a last call before the loop sleeps. With the lock. */
LM_INTERNAL void lm_loop_cool(struct lm_loop *loop)
{
    struct lm_list *first;
    loop->cooling = true;
    while ((first = lm_list_first(&loop->hot)) != NULL)
        lm_watch_queue(LM_CONTAINER(first, struct lm_watch, in_queue), 0);
}

/* Ends all spinning of this loop. In the loop's thread, with the lock. */
LM_INTERNAL void lm_loop_sleep_only(struct lm_loop *loop)
{
    loop->spin.allowed = 0;
    lm_spin_set(&loop->spin, 0);
    lm_loop_cool(loop);
}

/* Polls each hot watch once and queues those that have something. Returns whether any watch is ready. Adds to `looks`
 * the polls made, so that the polls without a pause do not take longer if many watches are hot. With the lock. */
LM_INTERNAL bool lm_loop_poll_hot(struct lm_loop *loop, uint32_t *looks)
{
    struct lm_list *next;
    for (struct lm_list *l = lm_list_first(&loop->hot); l; l = next) {
        struct lm_watch *watch = LM_CONTAINER(l, struct lm_watch, in_queue);
        next = lm_list_next(&loop->hot, l);
        ++*looks;
        if (watch->has_come(watch->object))
            lm_watch_queue(watch, 0);
    }
    return !lm_list_empty(&loop->ready);
}

/* Records the end of a wait. */
LM_INTERNAL void lm_loop_waited(struct lm_loop *loop, int64_t waited, bool spun)
{
    loop->waiting_since = 0;
    lm_spin_learn(&loop->spin, waited, spun);
}

/* Pauses between two polls; the lock is released meanwhile. Returns false to end the spin: its time is over, the run
 * must return, or another thread has removed the last hot watch. */
LM_INTERNAL bool lm_loop_spin_on(struct lm_loop *loop, uint32_t looks, int64_t deadline)
{
    if (lm_list_empty(&loop->hot))
        return false;
    if (looks < lm_spin_eager(&loop->spin))
        return true;
    pthread_mutex_unlock(&loop->lock);
    int64_t now = lm_now();
    for (int i = 0; i < LM_SPIN_PAUSES; i++)
        lm_relax();
    pthread_mutex_lock(&loop->lock);
    if (loop->waiting_since == 0)
        loop->waiting_since = now;
    return now < deadline && now - loop->waiting_since < lm_spin_paused(&loop->spin) && !lm_loop_interrupted(loop);
}

/* Adjusts the number of passes between two calls of epoll, so that these are about LM_EPOLL_EVERY apart: the time of a
 * pass depends on the callbacks. */
LM_INTERNAL void lm_loop_pace(struct lm_loop *loop, int64_t now)
{
    int64_t apart = now - loop->asked;
    loop->asked = now;
    if (apart > LM_EPOLL_EVERY && loop->passes_enough > 1)
        loop->passes_enough /= 2;
    else if (apart < LM_EPOLL_EVERY / 2 && loop->passes_enough < LM_EPOLL_MOST)
        loop->passes_enough *= 2;
}

/* Records the end of a wait that ended in epoll. */
LM_INTERNAL void lm_loop_slept(struct lm_loop *loop, int64_t since)
{
    loop->asked = lm_now();
    lm_loop_waited(loop, loop->asked - since, loop->cooling);
}

/* Pauses before the first poll, if the only hot watch gains by that: a poll at the moment when another core writes the
 * cache lines takes them away from it. With the lock, which is released meanwhile. */
LM_INTERNAL void lm_loop_pause_first(struct lm_loop *loop)
{
    bool alone = loop->hot.next == loop->hot.previous;
    if (!loop->pauses || !alone || lm_spin_paused(&loop->spin) < LM_LOOP_PAUSE)
        return;
    loop->waiting_since = lm_now();
    pthread_mutex_unlock(&loop->lock);
    lm_pause_until(loop->waiting_since + LM_LOOP_PAUSE);
    pthread_mutex_lock(&loop->lock);
}

/* Spins on the hot watches until one has something, or until spinning no longer pays: then the loop cools. With the
 * lock. */
LM_INTERNAL void lm_loop_spin(struct lm_loop *loop, int64_t deadline)
{
    uint32_t looks = 0;
    lm_loop_pause_first(loop);
    while (!lm_loop_poll_hot(loop, &looks)) {
        if (!lm_loop_spin_on(loop, looks, deadline)) {
            lm_loop_cool(loop);
            return;
        }
    }
    lm_loop_waited(loop, loop->waiting_since ? lm_now() - loop->waiting_since : 0, true);
}

/* Returns how long epoll may sleep. With the lock. */
LM_INTERNAL int lm_loop_timeout(struct lm_loop *loop, int64_t deadline)
{
    struct lm_list *first = lm_list_first(&loop->timers);
    int64_t due = first ? LM_CONTAINER(first, struct lm_timer, in_timers)->deadline : LM_FOREVER;
    return lm_list_empty(&loop->ready) ? lm_deadline_milliseconds(due < deadline ? due : deadline) : 0;
}

/* The result of one wait. */
struct lm_harvest {
    struct epoll_event events[LM_LOOP_EVENTS];
    int count;
    int ready;   /* watches in the queue; those queued during this pass wait for the next one */
    bool timers; /* timers are set and may be due */
};

/* Asks epoll for events and waits up to `milliseconds`. Without the lock. */
LM_INTERNAL void lm_loop_ask(struct lm_loop *loop, int epoll, int milliseconds, struct lm_harvest *harvest)
{
    int64_t begin = loop->spin.limit > 0 ? lm_now() : 0;
    harvest->count = lm_sys_epoll_wait(epoll, harvest->events, LM_LOOP_EVENTS, milliseconds);
    if (begin && milliseconds == 0)
        lm_loop_pace(loop, begin);
    else if (begin)
        lm_loop_slept(loop, loop->waiting_since ? loop->waiting_since : begin);
    loop->passes = 0;
    loop->cooling = false;
}

/* Sleeps in epoll, and fires due timers. With the lock, which is released meanwhile. -ENOENT: there is neither a watch
 * nor a timer to wait for; any other error means that the epoll could not be opened. */
LM_INTERNAL int lm_loop_sleep(struct lm_loop *loop, int64_t deadline, struct lm_harvest *harvest)
{
    int result = loop->watch_count == 0 && loop->timer_count == 0 ? -ENOENT : lm_loop_open(loop);
    int epoll = loop->epoll;
    int milliseconds = lm_loop_timeout(loop, deadline);
    harvest->timers = loop->timer_count > 0;
    loop->asleep = milliseconds != 0;
    pthread_mutex_unlock(&loop->lock);
    if (result == 0)
        lm_loop_ask(loop, epoll, milliseconds, harvest);
    if (result == 0 && harvest->timers)
        lm_loop_fire_timers(loop);
    pthread_mutex_lock(&loop->lock);
    loop->asleep = false;
    return result;
}

/* Returns whether to ask epoll now, if only without waiting. With the lock. */
LM_INTERNAL bool lm_loop_must_ask(struct lm_loop *loop)
{
    return loop->spin.limit == 0 || lm_list_empty(&loop->ready) || ++loop->passes >= loop->passes_enough ||
           lm_now_coarse() - loop->asked > LM_EPOLL_LATEST;
}

/* Waits until there is something to do, by spinning or by sleeping. Results as of lm_loop_sleep. With the lock, which
 * is released meanwhile. */
LM_INTERNAL int lm_loop_wait(struct lm_loop *loop, int64_t deadline, struct lm_harvest *harvest)
{
    harvest->count = 0;
    if (!lm_list_empty(&loop->hot) && lm_list_empty(&loop->ready)) {
        lm_loop_spin(loop, deadline);
        if (loop->cooling)
            return 0;
    }
    return lm_loop_must_ask(loop) ? lm_loop_sleep(loop, deadline, harvest) : 0;
}

/*
 * Queues the watches that epoll has events for, counts the queue, and pops the first. With the lock. Watches that just
 * woke come before those that were called in the last pass and want more: they have waited through that pass. All of
 * them are called once in this pass.
 */
LM_INTERNAL struct lm_watch *lm_loop_collect(struct lm_loop *loop, struct lm_harvest *harvest, uint32_t *events)
{
    struct lm_list *left_over = lm_list_first(&loop->ready);
    struct lm_list *place = left_over ? left_over : &loop->ready;
    for (int i = 0; i < harvest->count; i++) {
        struct lm_entry *entry = lm_table_find(&loop->watches, (uint32_t)harvest->events[i].data.u64, 0);
        if (entry)
            lm_watch_queue_before((struct lm_watch *)entry->object, harvest->events[i].events, place);
    }
    harvest->ready = 0;
    for (struct lm_list *l = lm_list_first(&loop->ready); l; l = lm_list_next(&loop->ready, l))
        harvest->ready++;
    return lm_loop_pop(loop, events);
}

/* Handles a callback that runs the loop: queues the calling watch once, since it may have more to do and nothing would
 * wake it for that. With the lock. */
LM_INTERNAL void lm_loop_nest(struct lm_loop *loop)
{
    struct lm_watch *watch = loop->calling;
    loop->calling = NULL;
    if (watch->loop == loop)
        lm_watch_queue(watch, 0);
}

/* One pass: waits until something is ready, a timer is due or the deadline passes, and calls what is ready, until the
 * loop is stopped. Returns the number of watches called, or a negative errno as of lm_loop_wait. */
LM_HOT int lm_loop_pass(struct lm_loop *loop, int64_t deadline)
{
    struct lm_harvest harvest;
    uint32_t events = 0;
    int calls = 0;
    pthread_mutex_lock(&loop->lock);
    if (loop->calling)
        lm_loop_nest(loop);
    int result = lm_loop_wait(loop, deadline, &harvest);
    struct lm_watch *watch = result < 0 ? NULL : lm_loop_collect(loop, &harvest, &events);
    pthread_mutex_unlock(&loop->lock);
    if (result < 0)
        return result;
    while (watch) {
        calls++;
        watch = lm_loop_call(loop, watch, &events, calls < harvest.ready);
    }
    return calls;
}

/* --- Fork --- */

LM_SETUP void lm_loops_resume_until(const struct lm_list *end)
{
    struct lm_list *loops = &lm_loops.all;
    for (struct lm_list *l = lm_list_first(loops); l && l != end; l = lm_list_next(loops, l))
        pthread_mutex_unlock(&LM_CONTAINER(l, struct lm_loop, in_process)->lock);
}

LM_INTERNAL void lm_loops_resume(void)
{
    lm_loops_resume_until(NULL);
}

LM_SETUP bool lm_loops_hold(void)
{
    struct lm_list *loops = &lm_loops.all;
    for (struct lm_list *l = lm_list_first(loops); l; l = lm_list_next(loops, l)) {
        if (pthread_mutex_trylock(&LM_CONTAINER(l, struct lm_loop, in_process)->lock) == 0)
            continue;
        lm_loops_resume_until(l);
        return false;
    }
    return true;
}

LM_SETUP void lm_watch_forget(struct lm_watch *watch)
{
    struct lm_loop *loop = watch->loop;
    lm_list_remove(&watch->in_queue);
    watch->loop = NULL;
    lm_release(watch->object);
    lm_release(&loop->object);
}

LM_SETUP void lm_timer_forget(struct lm_timer *timer)
{
    struct lm_loop *loop = timer->loop;
    lm_list_remove(&timer->in_timers);
    timer->loop = NULL;
    lm_release(timer->object);
    lm_release(&loop->object);
}

LM_SETUP void lm_loop_forget(struct lm_loop *loop)
{
    struct lm_list *first;
    lm_loop_close(loop);
    for (uint32_t slot = 1; slot < loop->watches.used; slot++)
        if (loop->watches.entries[slot].object)
            lm_watch_forget((struct lm_watch *)loop->watches.entries[slot].object);
    lm_table_clear(&loop->watches);
    while ((first = lm_list_first(&loop->timers)) != NULL)
        lm_timer_forget(LM_CONTAINER(first, struct lm_timer, in_timers));
    loop->watch_count = loop->timer_count = 0;
    loop->calling = NULL;
}

/* In a forked child. The epolls are shared with the parent, so the child closes its copies unchanged; its loops start
 * empty. */
LM_SETUP void lm_loops_forget(void)
{
    struct lm_list *loops = &lm_loops.all;
    for (struct lm_list *l = lm_list_first(loops), *next; l; l = next) {
        struct lm_loop *loop = LM_CONTAINER(l, struct lm_loop, in_process);
        lm_retain(&loop->object);
        lm_loop_forget(loop);
        next = lm_list_next(loops, l);
        lm_release(&loop->object);
    }
}

LM_INTERNAL struct lm_loop *lm_loop_create(void)
{
    const struct lm_fork_part part = {lm_loops_hold, lm_loops_resume, lm_loops_forget};
    return lm_loop_create_with(&part);
}

#endif
