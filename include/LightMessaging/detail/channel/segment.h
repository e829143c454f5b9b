/* SPDX-License-Identifier: MIT */
/*
 * A segment: memory that passes a message's data to another process without a copy. The sender creates it and lends it
 * again and again. The receiver maps it once, and gives it back when its program has freed the message. Its first page
 * holds the one word that says who may use it. docs/PROTOCOL.md, section 6b, has the steps L1 to L4.
 */
#ifndef LM_DETAIL_CHANNEL_SEGMENT_H
#define LM_DETAIL_CHANNEL_SEGMENT_H

#include "../process/process.h"
#include "ring.h"

#define LM_SEGMENT_DATA 4096u /* offset of the data: a page boundary, so that they are aligned to a page */
#define LM_SEGMENTS_MAX 8     /* in one direction of a channel: more messages than most programs hold at once */
/* Most bytes in a sender's pool, unless it has only one segment. As much as the default limit of a message. */
#define LM_POOL_BYTES_MAX 0x10000000u
#define LM_SEGMENT_STEP   65536u /* sizes are rounded up to it, so that messages of similar lengths share segments */

struct lm_segment_head {
    uint32_t lent; /* the sender stores 1 before it sends the message (L1), the receiver 0 when it is done (L3) */
};

struct lm_segment {
    struct lm_object object;
    struct lm_segment_head *shared; /* NULL: plain memory, because no memfd could be created */
    unsigned char *data;
    size_t size;                 /* of the whole mapping */
    uint32_t number;             /* its place in the channel's pool */
    uint32_t process_generation; /* a forked child gives nothing back */
    /* The sender's members: */
    uint32_t held;   /* the program holds it as a buffer */
    uint32_t length; /* of the buffer's message */
    int memory;      /* its memfd, until the receiver has that; else -1 */
};

/* Returns whether a memfd is safe to map: a sealed regular file on tmpfs of that size. Such memory cannot shrink, grow,
 * or fault for lack of a file. */
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

/* Returns how many bytes of data the segment can hold. */
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

/* Maps a memfd whose size was checked. The pages up to `ready` exist afterwards. */
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

/* Gives the segment memory. If memfds are forbidden or descriptors have run out, plain memory does the same, but is
 * sent as a copy. */
LM_SETUP int lm_segment_fill(struct lm_segment *segment, size_t size)
{
    segment->memory = lm_sys_memfd(size);
    if (segment->memory >= 0)
        return lm_segment_map(segment, segment->memory, size, size);
    segment->size = size;
    segment->data = (unsigned char *)aligned_alloc(LM_SEGMENT_DATA, size);
    return segment->data ? 0 : -ENOMEM;
}

/* Creates a sender's segment for `length` bytes of data. NULL: no memory. */
LM_SETUP struct lm_segment *lm_segment_create(uint32_t length)
{
    struct lm_segment *segment = lm_segment_new();
    if (!segment || lm_segment_fill(segment, lm_segment_size(length)) == 0)
        return segment;
    lm_release(&segment->object);
    return NULL;
}

/* Creates a receiver's segment from a memfd whose size was checked, and which remains the caller's. NULL: no memory.
 * Pages that the sender never wrote are created only when the program reads them, because a stranger's empty memfd may
 * be large. */
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

/* Returns whether the pool may hold a segment of that size in that place. A pool's only segment may have any size. */
LM_INTERNAL bool lm_pool_fits(const struct lm_pool *pool, uint32_t place, uint64_t size)
{
    uint64_t others = pool->bytes - (pool->segments[place] ? pool->segments[place]->size : 0);
    return others == 0 || others + size <= LM_POOL_BYTES_MAX;
}

/* Puts a segment, or NULL, into a place, and takes over its reference. Releases the segment that was there. */
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

/* Empties the pool. Messages and buffers keep their references to segments. */
LM_INTERNAL void lm_pool_clear(struct lm_pool *pool)
{
    for (uint32_t place = 0; place < LM_SEGMENTS_MAX; place++)
        lm_pool_set(pool, place, NULL);
}

/* --- Lending --- */

/* Returns whether this process created or mapped the segment, not its parent before a fork. Only then may it write
 * `lent`. */
LM_INTERNAL bool lm_segment_is_ours(const struct lm_segment *segment)
{
    return segment->process_generation == lm_load_relaxed(&lm_process.generation);
}

/* L4: returns whether the sender may use the segment again. The acquire of `lent` pairs with the release in
 * lm_segment_give_back: the receiver's reads come before the sender's next writes. That of `held` pairs likewise with
 * LMBufferFree. */
LM_INTERNAL bool lm_segment_is_free(const struct lm_segment *segment)
{
    return !lm_load_acquire(&segment->held) && !lm_load_acquire(&segment->shared->lent);
}

/* L1: returns the lease for a frame that lends the segment. The store precedes the frame, because the receiver may give
 * the segment back at once. P5 and C1 order it before the receiver's store of 0, so relaxed is enough. */
LM_INTERNAL struct lm_lease lm_segment_lend(struct lm_segment *segment)
{
    struct lm_lease lease = {segment->number, 0, segment->memory >= 0 ? segment->size : 0};
    lm_store_relaxed(&segment->shared->lent, 1);
    return lease;
}

/* Marks the segment as not lent, because the sender has withdrawn the message or never sent it. The receiver never
 * writes the word then, so the store needs no order. */
LM_INTERNAL void lm_segment_take_back(struct lm_segment *segment)
{
    if (segment->shared && lm_segment_is_ours(segment))
        lm_store_relaxed(&segment->shared->lent, 0);
}

/* L3: gives the segment back when the receiver is done with the data, and releases its reference. The release pairs
 * with the acquire in lm_segment_is_free. */
LM_INTERNAL void lm_segment_give_back(struct lm_segment *segment)
{
    if (lm_segment_is_ours(segment))
        lm_store_release(&segment->shared->lent, 0);
    lm_release(&segment->object);
}

#endif
