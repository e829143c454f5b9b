/* SPDX-License-Identifier: MIT */
/*
 * What all translation units of a program share: one weak, hidden struct. A plugin that includes the headers has its
 * own, and its own channels. The name carries the layout's version, so that units compiled with different headers don't
 * share by mistake.
 *
 * Lock order: `lock` below is taken last of all, and never held over a system call that may wait.
 */
#ifndef LM_DETAIL_PROCESS_PROCESS_H
#define LM_DETAIL_PROCESS_PROCESS_H

#include "../ground/list.h"
#include "../ground/object.h"
#include "../ground/sys.h"
#include "../ground/table.h"

/* A CFString: UTF-8 and a NUL. One without a `destroy` is a constant, and not counted. */
struct lm_string {
    struct lm_object object;
    const char *bytes;
    size_t length;
};

struct lm_allocator {
    struct lm_object object; /* not counted */
};

/* How a fork goes for one kind of object that the process lists; set by its owner. With the process's lock. */
struct lm_fork_part {
    bool (*hold)(void);   /* takes the locks of all of them, unless one is taken: then none. In the parent, before */
    void (*resume)(void); /* gives them back. In the parent, after */
    void (*forget)(void); /* in the child, where this thread has the locks: drops what is the parent's */
};

struct lm_process {
    pthread_mutex_t lock;
    struct lm_table ports;     /* port.h */
    struct lm_list links;      /* link.h: channels to services, by name */
    struct lm_list all_links;  /* those that have been replaced or given up as well, for a fork */
    struct lm_list services;   /* service.h */
    struct lm_list loops;      /* loop.h */
    struct lm_loop *main_loop; /* cf_run_loop.h */
    pthread_key_t thread_loop; /* cf_run_loop.h: a thread's loop */
    uint32_t largest_reply;    /* if it was set */
    bool largest_reply_is_set;
    bool private_copies; /* of replies in lent buffers */
    uint32_t generation; /* of forks */
    bool prepared;
    bool thread_loop_made;
    struct lm_fork_part fork_links, fork_services, fork_loops;
    void (*end)(void);         /* link_open.h: what is still to be done when the process ends in good order */
    struct lm_string modes[2]; /* their names are in cf_string.h */
    struct lm_allocator allocators[2];
    uint32_t trace;          /* trace.h */
    uint64_t checked_in[16]; /* activation.h: of the launcher's sockets, those that services have taken */
};

/* All zero at first: a zeroed mutex is an unlocked one on Linux's libcs, and so are lists and tables empty. */
#ifdef __cplusplus
extern "C" {
#endif
LM_SHARED_STATE struct lm_process lm_process_1;
#ifdef __cplusplus
}
#endif

#define LM_MODE(number)      ((CFStringRef)&lm_process_1.modes[number])
#define LM_ALLOCATOR(number) ((CFAllocatorRef)&lm_process_1.allocators[number])

/* A constant: a static object of its own at each place that names one. */
#define LM_STRING(literal)                                                                                             \
    __extension__({                                                                                                    \
        static struct lm_string lm_constant = {{0, NULL, NULL}, "" literal "", sizeof(literal) - 1};                   \
        (CFStringRef) & lm_constant;                                                                                   \
    })

/* At exit, or when a plugin is unloaded, which must not leave threads a destructor that is gone with it. Each unit has
 * one; the first does it. */
__attribute__((destructor)) LM_INTERNAL void lm_process_unloaded(void)
{
    if (lm_process_1.end)
        lm_process_1.end();
    lm_process_1.end = NULL;
    if (lm_process_1.thread_loop_made)
        pthread_key_delete(lm_process_1.thread_loop);
    lm_process_1.thread_loop_made = false;
}

LM_INTERNAL void lm_process_lock(void)
{
    pthread_mutex_lock(&lm_process_1.lock);
}

LM_INTERNAL void lm_process_unlock(void)
{
    pthread_mutex_unlock(&lm_process_1.lock);
}

/* Ends all port names, which hold references. */
LM_SETUP void lm_ports_forget(void)
{
    struct lm_table *ports = &lm_process_1.ports;
    for (uint32_t slot = 1; slot < ports->used; slot++) {
        struct lm_object *object = (struct lm_object *)ports->entries[slot].object;
        if (!object)
            continue;
        lm_table_remove(ports, &ports->entries[slot]);
        lm_release(object);
    }
}

/* Without waiting, since the process's lock is held, which is the last one. */
LM_INTERNAL bool lm_fork_hold(const struct lm_fork_part *part)
{
    return !part->hold || part->hold();
}

LM_INTERNAL void lm_fork_resume(const struct lm_fork_part *part)
{
    if (part->resume)
        part->resume();
}

LM_SETUP bool lm_process_hold_all(void)
{
    if (!lm_fork_hold(&lm_process_1.fork_links))
        return false;
    if (lm_fork_hold(&lm_process_1.fork_services)) {
        if (lm_fork_hold(&lm_process_1.fork_loops))
            return true;
        lm_fork_resume(&lm_process_1.fork_services);
    }
    lm_fork_resume(&lm_process_1.fork_links);
    return false;
}

/* Before a fork: no other thread is changing anything that the child will look at. */
LM_SETUP void lm_process_before_fork(void)
{
    lm_process_lock();
    while (!lm_process_hold_all()) {
        lm_process_unlock();
        lm_sys_yield();
        lm_process_lock();
    }
}

LM_SETUP void lm_process_after_fork(void)
{
    lm_fork_resume(&lm_process_1.fork_loops);
    lm_fork_resume(&lm_process_1.fork_services);
    lm_fork_resume(&lm_process_1.fork_links);
    lm_process_unlock();
}

/*
 * In a forked child: none of the parent's sockets, epolls and memory may live on here (a helper that outlives a killed
 * server must not keep its clients waiting), and every port name is stale, so that connections look up afresh.
 */
LM_SETUP void lm_process_forked(void)
{
    lm_process_after_fork();
    lm_process_1.generation++;
    if (lm_process_1.fork_links.forget)
        lm_process_1.fork_links.forget();
    if (lm_process_1.fork_services.forget)
        lm_process_1.fork_services.forget();
    if (lm_process_1.fork_loops.forget)
        lm_process_1.fork_loops.forget();
    lm_ports_forget();
}

/* Called with the lock held, before the first object that a fork must forget is made. */
LM_SETUP void lm_process_prepare(void)
{
    if (lm_process_1.prepared)
        return;
    lm_process_1.prepared = true;
    pthread_atfork(lm_process_before_fork, lm_process_after_fork, lm_process_forked);
}

#endif
