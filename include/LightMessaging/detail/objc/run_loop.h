/* SPDX-License-Identifier: MIT */
/* Runs a thread's loop within its NSRunLoop (GNUstep's): a watcher on the loop's descriptor, which lives as long as the
 * thread. */
#include "../../CoreFoundation.h"

#ifndef LM_DETAIL_OBJC_RUN_LOOP_H
#define LM_DETAIL_OBJC_RUN_LOOP_H

#include "../cf/run_loop.h"
#include "../loop/embedding.h"
#include "class.h"

struct lm_ns_tie {
    struct lm_embedding embedding;
    int descriptor;
    unsigned runs; /* number of CFRunLoopRun calls under way, which a stop applies to */
};

LM_INTERNAL void lm_ns_tie_event(id self, SEL selector, void *data, RunLoopEventType type, void *extra, NSString *mode)
{
    struct lm_ns_tie *tie = (struct lm_ns_tie *)*lm_ns_pointer(self);
    (void)selector, (void)data, (void)type, (void)extra, (void)mode;
    if (tie->runs == 0)
        lm_store_relaxed(&tie->embedding.loop->stop, 0);
    [self retain];
    lm_embedding_serve(&tie->embedding);
    [self release];
}

LM_INTERNAL void lm_ns_tie_dealloc(id self, SEL selector)
{
    struct lm_ns_tie *tie = (struct lm_ns_tie *)*lm_ns_pointer(self);
    (void)selector;
    if (tie)
        lm_embedding_close(&tie->embedding);
    free(tie);
    lm_ns_dealloc_as(self, [NSObject class]);
}

LM_INTERNAL Class lm_ns_tie_class(void)
{
    return lm_ns_class("RunLoopTie", [NSObject class], @selector(receivedEvent:type:extra:forMode:),
                       (IMP)(void (*)(void))lm_ns_tie_event, "v@:^vi^v@", (IMP)(void (*)(void))lm_ns_tie_dealloc);
}

/* Creates the watcher for the loop; nil on failure. */
LM_INTERNAL id lm_ns_tie_create(struct lm_loop *loop)
{
    struct lm_ns_tie *tie = (struct lm_ns_tie *)lm_new(sizeof *tie);
    id object = tie ? [lm_ns_tie_class() alloc] : nil;
    int descriptor = object ? lm_embedding_open(&tie->embedding, loop) : -ENOMEM;
    if (descriptor < 0) {
        free(tie);
        [object release];
        return nil;
    }
    tie->descriptor = descriptor;
    *lm_ns_pointer(object) = tie;
    return object;
}

LM_INTERNAL NSString *lm_ns_tie_key(void)
{
    return [NSString stringWithFormat:@"LMRunLoopTie_%p", (void *)&lm_process];
}

/* Returns the calling thread's watcher if it serves the loop. In a forked child it does not, since the descriptor was
 * closed. */
LM_INTERNAL struct lm_ns_tie *lm_ns_tie_of(const struct lm_loop *loop)
{
    id object = [[[NSThread currentThread] threadDictionary] objectForKey:lm_ns_tie_key()];
    struct lm_ns_tie *tie = object ? (struct lm_ns_tie *)*lm_ns_pointer(object) : NULL;
    return tie && tie->embedding.loop == loop && tie->descriptor == loop->epoll ? tie : NULL;
}

LM_INTERNAL void lm_ns_attach(struct lm_loop *loop)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    id object = lm_ns_tie_of(loop) ? nil : lm_ns_tie_create(loop);
    if (object) {
        struct lm_ns_tie *tie = (struct lm_ns_tie *)*lm_ns_pointer(object);
        [[[NSThread currentThread] threadDictionary] setObject:object forKey:lm_ns_tie_key()];
        [[NSRunLoop currentRunLoop] addEvent:(void *)(intptr_t)tie->descriptor
                                        type:ET_RDESC
                                     watcher:object
                                     forMode:NSDefaultRunLoopMode];
        [object release];
    }
    [pool release];
}

/* Converts a deadline to a date. */
LM_INTERNAL NSDate *lm_ns_date(int64_t deadline)
{
    int64_t left = lm_deadline_left(deadline);
    if (left == LM_FOREVER)
        return [NSDate distantFuture];
    return [NSDate dateWithTimeIntervalSinceNow:(NSTimeInterval)left / 1e9];
}

/* Returns whether anything keeps the loop running. */
LM_INTERNAL bool lm_loop_occupied(struct lm_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool occupied = loop->watch_count > 0 || loop->timer_count > 0;
    pthread_mutex_unlock(&loop->lock);
    return occupied;
}

/* Like lm_loop_pass, but by the NSRunLoop. */
LM_INTERNAL int lm_ns_pass(struct lm_loop *loop, int64_t deadline)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    struct lm_ns_tie *tie = lm_ns_tie_of(loop);
    int result = 0;
    if (!tie || !lm_loop_occupied(loop)) {
        result = lm_loop_pass(loop, deadline);
    } else {
        tie->runs++;
        [[NSRunLoop currentRunLoop] runMode:NSDefaultRunLoopMode beforeDate:lm_ns_date(deadline)];
        tie->runs--;
    }
    [pool release];
    return result;
}

#endif
