/* SPDX-License-Identifier: MIT */
/*
 * State that all translation units of a program share, in weak, hidden structs; a plugin that includes the headers has
 * its own state, its own channels and ports. This file has the state of the process itself: its lock, its ports, forks
 * and its end. Each layer above has a struct of its own.
 *
 * Lock order: `lock` below is taken last, and is never held over a system call that may wait.
 */
#ifndef LM_DETAIL_PROCESS_PROCESS_H
#define LM_DETAIL_PROCESS_PROCESS_H

#include "../ground/list.h"
#include "../ground/object.h"
#include "../ground/sys.h"
#include "../ground/table.h"

/* Fork handlers for one kind of object that the process lists; set by the owner of that kind. All are called with the
 * process's lock. */
struct lm_fork_part {
    bool (*hold)(void);   /* in the parent, before: try all locks of this kind; take all or none */
    void (*resume)(void); /* in both, after the fork: release these locks */
    void (*forget)(void); /* in the child, after `resume`: drop what belongs to the parent */
};

struct lm_process {
    pthread_mutex_t lock;
    struct lm_table ports; /* port.h */
    uint32_t salt;         /* port.h; 0: not drawn yet */
    uint32_t generation;   /* of forks */
    bool prepared;
    struct lm_fork_part fork_links, fork_services, fork_loops;
    void (*end)(void); /* link_open.h: work to do at a regular exit; atomic */
    uint32_t log;      /* log.h */
};

/* All zero at first: on Linux's libcs a zeroed mutex is unlocked, and zeroed lists and tables are empty. The structs of
 * the other layers are guarded by this lock, too. */
LM_STATE(struct lm_process, lm_process)

/* Runs at exit, or when a plugin is unloaded. Each unit has this destructor; the exchange lets only the first one run
 * `end`. */
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

/* Ends all port names and releases their references. */
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

/* Calls the handler, which does not wait for locks: the process's lock is held, and it is the last in the lock
 * order. */
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

/* Before a fork: takes all locks, so that no other thread is changing anything that the child will use. */
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

/* In a forked child: drops the parent's sockets, epolls and memory, since a helper that outlives a killed server must
 * not keep the server's clients waiting. Ends every port name, so that connections look up the service again. */
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

/* Installs the fork handlers. Called with the lock, before the first object that a fork must forget is created. */
LM_SETUP void lm_process_prepare(void)
{
    if (lm_process.prepared)
        return;
    lm_process.prepared = true;
    pthread_atfork(lm_process_before_fork, lm_process_after_fork, lm_process_forked);
}

#endif
