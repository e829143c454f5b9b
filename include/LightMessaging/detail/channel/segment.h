/* SPDX-License-Identifier: MIT */
/*
 * A segment: memory that goes from one process to another without being copied. The sender makes it, and lends it again
 * and again; the receiver maps it once, and gives it back when its program has freed the message. The first page holds
 * the one word that says whose turn it is; docs/PROTOCOL.md, section 6b.
 */
#ifndef LM_DETAIL_CHANNEL_SEGMENT_H
#define LM_DETAIL_CHANNEL_SEGMENT_H

#include "../process/process.h"
#include "ring.h"

#define LM_SEGMENT_DATA 4096u /* where the data begin: a page of their own, and what they are aligned to */
#define LM_SEGMENTS_MAX 8     /* of one channel in one direction: more messages than a program mostly holds at once */
/* Bytes that a sender keeps in a pool, but for its first segment; as much as the default limit of a message. */
#define LM_POOL_BYTES_MAX 0x10000000u
#define LM_SEGMENT_STEP   65536u /* sizes are rounded up to it, so that lengths that differ a little share segments */

struct lm_segment_head {
    uint32_t lent; /* sender: 1, before the message; receiver: 0, when it has done with it */
};

struct lm_segment {
    struct lm_object object;
    struct lm_segment_head *shared; /* NULL: the data are plain memory, for want of a memfd */
    unsigned char *data;
    size_t size;                 /* of all that is mapped */
    uint32_t number;             /* in its channel */
    uint32_t process_generation; /* a forked child gives nothing back */
    /* The sender's: */
    uint32_t held;   /* by the program, as a buffer */
    uint32_t length; /* of the buffer */
    int memory;      /* its memfd, until the receiver has it; else -1 */
};

/* Memory that can't shrink, grow, or fault for want of a file: only then is it safe to map. */
LM_SETUP bool lm_memory_safe(int memory, size_t size)
{
    const int seals = LM_F_SEAL_SHRINK | LM_F_SEAL_GROW | LM_F_SEAL_SEAL;
    struct stat status;
    int found = lm_sys_seals(memory);
    return found >= 0 && (found & seals) == seals && lm_sys_stat(memory, &status) == 0 &&
           ((unsigned)status.st_mode & LM_S_IFMT) == LM_S_IFREG && (uint64_t)status.st_size == size &&
           lm_sys_on_tmpfs(memory);
}

LM_INTERNAL size_t lm_segment_size(uint32_t length)
{
    return LM_SEGMENT_DATA + (((size_t)length + LM_SEGMENT_STEP - 1) & ~(size_t)(LM_SEGMENT_STEP - 1));
}

/* Bytes of data that it has room for. */
LM_INTERNAL size_t lm_segment_room(const struct lm_segment *segment)
{
    return segment->size - LM_SEGMENT_DATA;
}

LM_SETUP void lm_segment_destroy(struct lm_object *object)
{
    struct lm_segment *segment = LM_CONTAINER(object, struct lm_segment, object);
    if (segment->shared)
        lm_sys_unmap(segment->shared, segment->size);
    else
        free(segment->data);
    lm_sys_close(&segment->memory);
    free(segment);
}

/* Maps memory of checked size. Of its pages those up to `ready` exist then. */
LM_SETUP int lm_segment_map(struct lm_segment *segment, int memory, size_t size, size_t ready)
{
    segment->shared = (struct lm_segment_head *)lm_sys_map(memory, size);
    segment->size = size;
    if (!segment->shared)
        return -ENOMEM;
    segment->data = (unsigned char *)segment->shared + LM_SEGMENT_DATA;
    return lm_sys_populate(segment->shared, ready) < 0 ? -ENOMEM : 0;
}

LM_SETUP struct lm_segment *lm_segment_new(void)
{
    struct lm_segment *segment = (struct lm_segment *)lm_new(sizeof *segment);
    if (!segment)
        return NULL;
    lm_object_init(&segment->object, lm_segment_destroy);
    segment->process_generation = lm_load_relaxed(&lm_process.generation);
    segment->memory = -1;
    return segment;
}

/* Plain memory is as good, only slower to send: where memfds are forbidden, or descriptors used up. */
LM_SETUP int lm_segment_fill(struct lm_segment *segment, size_t size)
{
    segment->memory = lm_sys_memfd(size);
    if (segment->memory >= 0)
        return lm_segment_map(segment, segment->memory, size, size);
    segment->size = size;
    segment->data = (unsigned char *)aligned_alloc(LM_SEGMENT_DATA, size);
    return segment->data ? 0 : -ENOMEM;
}

/* A sender's segment with room for that many bytes; NULL: no memory. */
LM_SETUP struct lm_segment *lm_segment_create(uint32_t length)
{
    struct lm_segment *segment = lm_segment_new();
    if (!segment || lm_segment_fill(segment, lm_segment_size(length)) == 0)
        return segment;
    lm_release(&segment->object);
    return NULL;
}

/* A receiver's, of a memfd that stays the caller's and whose size was checked; NULL: no memory. Pages that the sender
 * never wrote are made when the program reads them, and not before: a stranger's empty memory may be large. */
LM_SETUP struct lm_segment *lm_segment_borrow(int memory, size_t size)
{
    struct lm_segment *segment = lm_segment_new();
    if (!segment || lm_segment_map(segment, memory, size, LM_SEGMENT_DATA) == 0)
        return segment;
    lm_release(&segment->object);
    return NULL;
}

/* --- Pools --- */

/* The segments of a channel in one direction, by number. */
struct lm_pool {
    struct lm_segment *segments[LM_SEGMENTS_MAX];
    uint64_t bytes;
};

/* Whether a segment of that size may be put into a place. The first may be of any size. */
LM_INTERNAL bool lm_pool_fits(const struct lm_pool *pool, uint32_t place, uint64_t size)
{
    uint64_t others = pool->bytes - (pool->segments[place] ? pool->segments[place]->size : 0);
    return others == 0 || others + size <= LM_POOL_BYTES_MAX;
}

/* Puts the segment, or NULL, into a place, which gives up what it held, and takes a reference over. */
LM_SETUP void lm_pool_set(struct lm_pool *pool, uint32_t place, struct lm_segment *segment)
{
    struct lm_segment *old = pool->segments[place];
    pool->segments[place] = segment;
    if (segment)
        pool->bytes += segment->size;
    if (!old)
        return;
    pool->bytes -= old->size;
    lm_release(&old->object);
}

/* Messages and buffers keep what they have of it. */
LM_INTERNAL void lm_pool_clear(struct lm_pool *pool)
{
    for (uint32_t place = 0; place < LM_SEGMENTS_MAX; place++)
        lm_pool_set(pool, place, NULL);
}

/* --- Lending --- */

/* Whether it was not a process before a fork that made or mapped it, which alone may say whose turn it is. */
LM_INTERNAL bool lm_segment_is_ours(const struct lm_segment *segment)
{
    return segment->process_generation == lm_load_relaxed(&lm_process.generation);
}

/* Whether the sender may use it again. The acquire pairs with lm_segment_give_back: what was borrowed has been read. */
LM_INTERNAL bool lm_segment_is_free(const struct lm_segment *segment)
{
    return !lm_load_acquire(&segment->held) && !lm_load_acquire(&segment->shared->lent);
}

/* What a frame says that lends the segment. The word comes first: the receiver may be faster than we are. */
LM_INTERNAL struct lm_lease lm_segment_lend(struct lm_segment *segment)
{
    struct lm_lease lease = {segment->number, 0, segment->memory >= 0 ? segment->size : 0};
    lm_store_relaxed(&segment->shared->lent, 1);
    return lease;
}

/* The sender has the message back, or never sent it. */
LM_INTERNAL void lm_segment_take_back(struct lm_segment *segment)
{
    if (segment->shared && lm_segment_is_ours(segment))
        lm_store_relaxed(&segment->shared->lent, 0);
}

/* The receiver has done with the data, and with its reference. */
LM_INTERNAL void lm_segment_give_back(struct lm_segment *segment)
{
    if (lm_segment_is_ours(segment))
        lm_store_release(&segment->shared->lent, 0);
    lm_release(&segment->object);
}

#endif
