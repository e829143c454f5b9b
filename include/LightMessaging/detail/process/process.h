/* SPDX-License-Identifier: MIT */
/*
 * What all translation units of a program share, in weak, hidden structs; a plugin that includes the headers has its
 * own, and its own channels and ports. Here is what concerns the process: its lock, its ports, forks and its end.
 *
 * Lock order: `lock` below is taken last of all, and never held over a system call that may wait.
 */
#ifndef LM_DETAIL_PROCESS_PROCESS_H
#define LM_DETAIL_PROCESS_PROCESS_H

#include "../ground/list.h"
#include "../ground/object.h"
#include "../ground/sys.h"
#include "../ground/table.h"

/* How a fork goes for one kind of object that the process lists; set by its owner. With the process's lock. */
struct lm_fork_part {
    bool (*hold)(void);   /* takes the locks of all of them, unless one is taken: then none. In the parent, before */
    void (*resume)(void); /* gives them back. In the parent, after */
    void (*forget)(void); /* in the child, where this thread has the locks: drops what is the parent's */
};

struct lm_process {
    pthread_mutex_t lock;
    struct lm_table ports; /* port.h */
    uint32_t salt;         /* port.h; 0: not drawn yet */
    uint32_t generation;   /* of forks */
    bool prepared;
    struct lm_fork_part fork_links, fork_services, fork_loops;
    void (*end)(void); /* link_open.h: what is to be done when the process ends in good order; atomic */
    uint32_t log;      /* log.h */
};

/* All zero at first: a zeroed mutex is an unlocked one on Linux's libcs, and so are lists and tables empty. Each layer
 * has such a struct of its own, under this lock. */
LM_STATE(struct lm_process, lm_process)

/* At exit, or when a plugin is unloaded. Each unit has one; the first does it. */
__attribute__((destructor)) LM_INTERNAL void lm_process_ended(void)
{
    void (*end)(void) = __atomic_exchange_n(&lm_process.end, NULL, __ATOMIC_ACQ_REL);
    if (end)
        end();
}

LM_INTERNAL void lm_process_lock(void)
{
    pthread_mutex_lock(&lm_process.lock);
}

LM_INTERNAL void lm_process_unlock(void)
{
    pthread_mutex_unlock(&lm_process.lock);
}

/* Ends all port names, which hold references. */
LM_SETUP void lm_ports_forget(void)
{
    struct lm_table *ports = &lm_process.ports;
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
    if (!lm_fork_hold(&lm_process.fork_links))
        return false;
    if (lm_fork_hold(&lm_process.fork_services)) {
        if (lm_fork_hold(&lm_process.fork_loops))
            return true;
        lm_fork_resume(&lm_process.fork_services);
    }
    lm_fork_resume(&lm_process.fork_links);
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
    lm_fork_resume(&lm_process.fork_loops);
    lm_fork_resume(&lm_process.fork_services);
    lm_fork_resume(&lm_process.fork_links);
    lm_process_unlock();
}

/*
 * In a forked child: none of the parent's sockets, epolls and memory may live on here (a helper that outlives a killed
 * server must not keep its clients waiting), and every port name is stale, so that connections look up afresh.
 */
LM_SETUP void lm_process_forked(void)
{
    lm_process_after_fork();
    lm_process.generation++;
    if (lm_process.fork_links.forget)
        lm_process.fork_links.forget();
    if (lm_process.fork_services.forget)
        lm_process.fork_services.forget();
    if (lm_process.fork_loops.forget)
        lm_process.fork_loops.forget();
    lm_ports_forget();
}

/* Called with the lock held, before the first object that a fork must forget is made. */
LM_SETUP void lm_process_prepare(void)
{
    if (lm_process.prepared)
        return;
    lm_process.prepared = true;
    pthread_atfork(lm_process_before_fork, lm_process_after_fork, lm_process_forked);
}

#endif
