/* SPDX-License-Identifier: MIT */
/*
 * A stream of frames in memory shared by one producer and one consumer who distrust each other.
 *
 * Both count bytes since the start. Each keeps its own index privately, 64 bits wide, and publishes the low half; what
 * the other publishes is read once and checked. docs/PROTOCOL.md gives the layout and the argument; the labels P1..P6,
 * C1..C7, S1, S2, W1, W2 are its steps. Waiting is left to the caller: lm_producer_announce and
 * lm_consumer_announce_sleep say whether to.
 *
 * Functions return 0 or more, or -EPROTO if the peer broke the protocol, or -ENOMEM.
 */
#ifndef LM_DETAIL_CHANNEL_RING_H
#define LM_DETAIL_CHANNEL_RING_H

#include "../ground/atomic.h"
#include "../ground/sys.h"

#define LM_FRAME_ALIGN 64u    /* a cache line: the producer writes none that the consumer still reads */
#define LM_PIECE_MAX   65536u /* payload bytes in one frame, and so what a message without pieces has at most */
#define LM_PIECE_MIN   4096u  /* what is not worth cutting up */
/* 8 of the largest pieces; measured to stream faster than smaller rings, and no slower than larger ones. */
#define LM_RING_DEFAULT  524288u
#define LM_RING_SMALLEST 4096u
#define LM_RING_LARGEST  16777216u
#define LM_NEVER_FITS    UINT32_MAX /* who waits for this much room is rung whenever the consumer takes something */
#define LM_RING_AHEAD    1024u      /* bytes fetched back before small frames are written; fewer can come too late */
#define LM_RING_ROOMY    2048u      /* with less room the producer fetches nothing back */
#define LM_RING_WARM     4096u      /* an empty ring starts again when it has come this far: one page */

/* Payload bytes in each piece of a message that goes in pieces: a sixteenth, so that both sides copy at once nearly all
 * the time, but no more pieces than needed for that, since one side may sleep for each. */
LM_INTERNAL uint32_t lm_piece_length(uint32_t total)
{
    return total >= 16 * LM_PIECE_MAX ? LM_PIECE_MAX : (uint32_t)lm_round_up(total / 16 + 1, LM_PIECE_MIN);
}

/* The published words of one ring, each in a line of its own: the flags are looked at with every frame, and written
 * only around a sleep. */
struct lm_ring_words {
    uint32_t tail;   /* producer: bytes put in */
    uint32_t origin; /* producer, only while the ring is empty: the index of the ring's first byte */
    uint32_t pad1[14];
    uint32_t producer_waits; /* producer sets (W1), consumer clears (C6) */
    uint32_t pad2[15];
    uint32_t head; /* consumer: bytes taken out */
    uint32_t pad3[15];
    uint32_t consumer_sleeps; /* consumer sets (S1), producer clears (P6) */
    uint32_t pad4[15];
};

enum lm_frame_state { LM_FRAME_READY = 0, LM_FRAME_TAKEN = 1, LM_FRAME_WITHDRAWN = 2 };

enum lm_frame_kind {
    LM_FRAME_MESSAGE = 1, /* whole, or the last piece of a large one */
    LM_FRAME_PIECE = 2,
    LM_FRAME_ABORT = 3,
    LM_FRAME_DROPPED = 5,
    LM_FRAME_LENT = 6,        /* a whole message, in a segment; the payload says in which */
    LM_FRAME_STATUS = 7,      /* replies only: a number, the identifier, instead of a message */
    LM_FRAME_IGNORABLE = 128, /* from here on: may be ignored */
    LM_FRAME_GIVEN_UP = 128   /* requests only: nobody waits for the reply to the call any more */
};

/* Whether a frame fits; besides these, functions return -EPROTO or -ENOMEM. */
enum lm_room { LM_ROOM_FULL = 0, LM_ROOM_READY = 1 };

struct lm_frame {
    uint32_t state;
    uint32_t kind;
    uint32_t length; /* payload bytes that follow the header */
    uint32_t token;
    int32_t identifier;
    uint32_t total; /* the whole message's length */
    uint32_t descriptors;
    uint32_t deadline; /* requests only: when the caller stops waiting; lm_deadline_to_wire */
};

/* What a frame of kind LM_FRAME_LENT carries: which segment the message is in. */
struct lm_lease {
    uint32_t number;
    uint32_t reserved;
    uint64_t size; /* of the memory, if that is the frame's first descriptor: it is new to the receiver; else 0 */
};

/* The bytes of a ring, and where one side knows what to be in them. */
struct lm_ring {
    struct lm_ring_words *words;
    unsigned char *bytes;
    uint32_t size;   /* a power of two */
    uint32_t origin; /* the low half of the index that the first byte has, modulo the size */
};

struct lm_producer {
    struct lm_ring ring;
    uint64_t tail;        /* where the next frame goes */
    uint64_t head;        /* as last read and checked */
    uint32_t reserved;    /* bytes from the ring's start whose pages exist */
    uint32_t last_extent; /* of the frame that was put last */
};

struct lm_consumer {
    struct lm_ring ring;
    uint64_t head; /* the next frame to read */
    uint64_t tail; /* as last read and checked */
    bool takes;    /* the frames, with C4 */
};

LM_INTERNAL bool lm_ring_size_valid(uint32_t size)
{
    return size >= LM_RING_SMALLEST && size <= LM_RING_LARGEST && (size & (size - 1)) == 0;
}

/* The invariants of either view: what is in the ring is whole frames, and fits. */
LM_INTERNAL bool lm_ring_valid(const struct lm_ring *ring, uint64_t head, uint64_t tail)
{
    return lm_ring_size_valid(ring->size) && tail - head <= ring->size && head % LM_FRAME_ALIGN == 0 &&
           tail % LM_FRAME_ALIGN == 0 && ring->origin % LM_FRAME_ALIGN == 0;
}

/* Bytes that a frame with this much payload takes up. */
LM_INTERNAL uint32_t lm_frame_extent(uint32_t length)
{
    return ((uint32_t)sizeof(struct lm_frame) + length + LM_FRAME_ALIGN - 1) & ~(LM_FRAME_ALIGN - 1);
}

/* Where in the ring's bytes an index is, whatever the origin. */
LM_INTERNAL uint32_t lm_ring_offset(const struct lm_ring *ring, uint64_t position)
{
    return ((uint32_t)position - ring->origin) & (ring->size - 1);
}

LM_INTERNAL struct lm_frame *lm_ring_frame(const struct lm_ring *ring, uint64_t position)
{
    return (struct lm_frame *)(void *)(ring->bytes + lm_ring_offset(ring, position));
}

LM_INTERNAL void lm_ring_write(const struct lm_ring *ring, uint64_t position, const void *source, uint32_t length)
{
    uint32_t offset = lm_ring_offset(ring, position);
    uint32_t first = lm_min32(length, ring->size - offset);
    memcpy(ring->bytes + offset, source, first);
    if (length > first)
        memcpy(ring->bytes, (const unsigned char *)source + first, length - first);
}

LM_INTERNAL void lm_ring_read(const struct lm_ring *ring, uint64_t position, void *target, uint32_t length)
{
    uint32_t offset = lm_ring_offset(ring, position);
    uint32_t first = lm_min32(length, ring->size - offset);
    memcpy(target, ring->bytes + offset, first);
    if (length > first)
        memcpy((unsigned char *)target + first, ring->bytes, length - first);
}

/* Whether an index is no longer what it was, for who polls without the lock. */
LM_INTERNAL bool lm_ring_tail_moved(const struct lm_ring *ring, uint32_t tail)
{
    return lm_load_relaxed(&ring->words->tail) != tail;
}

LM_INTERNAL bool lm_ring_head_moved(const struct lm_ring *ring, uint32_t head)
{
    return lm_load_relaxed(&ring->words->head) != head;
}

/* --- Producer --- */

LM_INTERNAL bool lm_producer_valid(const struct lm_producer *producer)
{
    return lm_ring_valid(&producer->ring, producer->head, producer->tail) && producer->reserved <= producer->ring.size;
}

/* Checks a head that was just read: between the last one and the tail, on a frame's boundary. */
LM_INTERNAL int lm_producer_accept_head(struct lm_producer *producer, uint32_t published)
{
    uint32_t in_ring = (uint32_t)producer->tail - published;
    if (in_ring > producer->tail - producer->head || in_ring % LM_FRAME_ALIGN)
        return -EPROTO;
    producer->head = producer->tail - in_ring;
    return 0;
}

/* P1. The acquire pairs with C5: what was consumed has been read, and may be overwritten. */
LM_INTERNAL int lm_producer_refresh(struct lm_producer *producer)
{
    return lm_producer_accept_head(producer, lm_load_acquire(&producer->ring.words->head));
}

LM_INTERNAL bool lm_producer_fits(const struct lm_producer *producer, uint32_t extent)
{
    return producer->ring.size - (producer->tail - producer->head) >= extent;
}

/* P3: the pages of [offset, offset + extent) exist from here on. */
LM_INTERNAL int lm_producer_reserve(struct lm_producer *producer, uint32_t offset, uint32_t extent)
{
    uint64_t end = (uint64_t)offset + extent;
    uint32_t wanted = end > producer->ring.size ? producer->ring.size : (uint32_t)lm_round_up(end, LM_RING_WARM);
    if (wanted <= producer->reserved)
        return 0;
    int result = lm_sys_populate(producer->ring.bytes + producer->reserved, wanted - producer->reserved);
    if (result < 0)
        return -ENOMEM;
    producer->reserved = wanted;
    return 0;
}

/* P4: writes a frame that fits; nobody sees it before it is published. The payload is not NULL, even if empty. The line
 * of P5, which the consumer looks at, is fetched back together with the frame's, and not after them. */
LM_INTERNAL void lm_producer_put(struct lm_producer *producer, const struct lm_frame *frame, const void *payload)
{
    lm_prefetch_to_write(&producer->ring.words->tail);
    *lm_ring_frame(&producer->ring, producer->tail) = *frame;
    lm_ring_write(&producer->ring, producer->tail + sizeof *frame, payload, frame->length);
    producer->last_extent = lm_frame_extent(frame->length);
    producer->tail += producer->last_extent;
}

/*
 * When the ring is empty and the frame would begin another page, it goes to the first one: a quiet ring keeps few pages
 * warm. That takes no room. The consumer, who has read everything, reads the origin after the tail of P5.
 */
LM_INTERNAL int lm_producer_restart(struct lm_producer *producer, uint32_t extent)
{
    uint32_t offset = lm_ring_offset(&producer->ring, producer->tail);
    if (offset == 0 || (offset - 1) / LM_RING_WARM == (offset + extent - 1) / LM_RING_WARM)
        return 0;
    int result = lm_producer_refresh(producer);
    if (result < 0 || producer->head != producer->tail)
        return result;
    producer->ring.origin = (uint32_t)producer->tail;
    lm_store_relaxed(&producer->ring.words->origin, producer->ring.origin);
    return 0;
}

/* Makes ready for a frame of that extent, which may be put then if there is room. */
LM_INTERNAL int lm_producer_prepare(struct lm_producer *producer, uint32_t extent)
{
    int result = lm_producer_restart(producer, extent);
    if (result == 0 && !lm_producer_fits(producer, extent))
        result = lm_producer_refresh(producer);
    if (result < 0)
        return result;
    if (!lm_producer_fits(producer, extent))
        return LM_ROOM_FULL;
    result = lm_producer_reserve(producer, lm_ring_offset(&producer->ring, producer->tail), extent);
    return result < 0 ? result : LM_ROOM_READY;
}

/* Where a small frame goes more will follow: their lines, which the consumer has read meanwhile, are fetched back in
 * the background. Not where the ring is almost full: a producer that keeps up with the consumer there keeps it so, and
 * waits for room each time. */
LM_INTERNAL void lm_producer_fetch_ahead(const struct lm_producer *producer)
{
    if (producer->last_extent > LM_RING_AHEAD || !lm_producer_fits(producer, LM_RING_ROOMY))
        return;
    for (uint32_t ahead = 0; ahead < LM_RING_AHEAD; ahead += LM_CACHE_LINE)
        lm_prefetch_to_write(lm_ring_frame(&producer->ring, producer->tail + ahead));
}

/* P5: releases the bytes of P4, and the origin, to C1; ordered before P6, against S1 and S2. */
LM_INTERNAL void lm_producer_publish(struct lm_producer *producer)
{
    lm_store_ordered(&producer->ring.words->tail, (uint32_t)producer->tail);
    lm_producer_fetch_ahead(producer);
}

/* P6: whether the consumer must be rung. It is true once per sleep. */
LM_INTERNAL bool lm_producer_claim_bell(struct lm_producer *producer)
{
    uint32_t *flag = &producer->ring.words->consumer_sleeps;
    return lm_load_ordered(flag) && lm_exchange(flag, 0);
}

/* W1, W2: announces the wait for room, which is not taken back: another thread may be waiting too, and a spare bell is
 * harmless. If there is still none, the consumer will ring. */
LM_INTERNAL int lm_producer_announce(struct lm_producer *producer, uint32_t extent)
{
    lm_store_ordered(&producer->ring.words->producer_waits, 1);
    int result = lm_producer_accept_head(producer, lm_load_ordered(&producer->ring.words->head));
    if (result < 0)
        return result;
    return lm_producer_fits(producer, extent) ? LM_ROOM_READY : LM_ROOM_FULL;
}

/* Whether the consumer has gone past the frame at `position`, or holds it: 1, 0. */
LM_SETUP int lm_producer_taken(struct lm_producer *producer, uint64_t position)
{
    int result = lm_producer_refresh(producer);
    if (result < 0 || position < producer->head)
        return result < 0 ? result : 1;
    return lm_load_acquire(&lm_ring_frame(&producer->ring, position)->state) == LM_FRAME_TAKEN;
}

/* Takes the published frame at `position` back, unless the consumer was first: 1 withdrawn, 0 taken. */
LM_SETUP int lm_producer_withdraw(struct lm_producer *producer, uint64_t position)
{
    int taken = lm_producer_taken(producer, position);
    if (taken != 0)
        return taken < 0 ? taken : 0;
    return lm_replace(&lm_ring_frame(&producer->ring, position)->state, LM_FRAME_READY, LM_FRAME_WITHDRAWN);
}

/* --- Consumer --- */

LM_INTERNAL bool lm_consumer_valid(const struct lm_consumer *consumer)
{
    return lm_ring_valid(&consumer->ring, consumer->head, consumer->tail);
}

/* C1 of an empty view. The acquire pairs with P5: the frames up to the tail have been written, and the origin, which
 * stays until we have consumed them. */
LM_INTERNAL int lm_consumer_refresh(struct lm_consumer *consumer)
{
    struct lm_ring_words *words = consumer->ring.words;
    uint32_t in_ring = lm_load_acquire(&words->tail) - (uint32_t)consumer->head;
    if (in_ring == 0)
        return 0;
    uint32_t origin = lm_load_relaxed(&words->origin);
    if (in_ring > consumer->ring.size || in_ring % LM_FRAME_ALIGN || origin % LM_FRAME_ALIGN)
        return -EPROTO;
    consumer->tail = consumer->head + in_ring;
    consumer->ring.origin = origin;
    return 0;
}

/* C2: the only reading of a header, each field once. */
LM_INTERNAL void lm_frame_fetch(const struct lm_frame *shared, struct lm_frame *frame)
{
    frame->state = LM_FRAME_READY; /* decided by lm_consumer_take alone */
    frame->kind = lm_load_relaxed(&shared->kind);
    frame->length = lm_load_relaxed(&shared->length);
    frame->token = lm_load_relaxed(&shared->token);
    frame->identifier = (int32_t)lm_load_relaxed((const uint32_t *)(const void *)&shared->identifier);
    frame->total = lm_load_relaxed(&shared->total);
    frame->descriptors = lm_load_relaxed(&shared->descriptors);
    frame->deadline = lm_load_relaxed(&shared->deadline);
}

LM_INTERNAL bool lm_frame_kind_known(uint32_t kind)
{
    return (kind >= LM_FRAME_MESSAGE && kind <= LM_FRAME_ABORT) ||
           (kind >= LM_FRAME_DROPPED && kind <= LM_FRAME_STATUS) || kind >= LM_FRAME_IGNORABLE;
}

/* Descriptors come with the frame that completes a message. */
LM_INTERNAL uint32_t lm_frame_descriptors_max(uint32_t kind)
{
    return kind == LM_FRAME_MESSAGE || kind == LM_FRAME_LENT ? LM_DESCRIPTORS_MAX : 0;
}

/* The only checking of a header. `in_ring` is what has been published from its start on, at least a header. */
LM_INTERNAL bool lm_frame_valid(const struct lm_frame *frame, uint64_t in_ring)
{
    if (!lm_frame_kind_known(frame->kind) || frame->length > LM_PIECE_MAX)
        return false;
    if (frame->descriptors > lm_frame_descriptors_max(frame->kind) || lm_frame_extent(frame->length) > in_ring)
        return false;
    if (frame->kind == LM_FRAME_LENT)
        return frame->length == sizeof(struct lm_lease) && frame->total > 0;
    if (frame->kind == LM_FRAME_STATUS)
        return frame->length == 0 && frame->identifier != 0;
    if (frame->total < frame->length)
        return false;
    return frame->kind != LM_FRAME_PIECE || (frame->length > 0 && frame->length < frame->total);
}

/* The next frame's header: 1 there is one, 0 the ring is empty. It stays the next until lm_consumer_advance. */
LM_INTERNAL int lm_consumer_peek(struct lm_consumer *consumer, struct lm_frame *frame)
{
    int result = consumer->tail == consumer->head ? lm_consumer_refresh(consumer) : 0;
    if (result < 0 || consumer->tail == consumer->head)
        return result;
    if (consumer->takes)
        lm_prefetch_to_write(lm_ring_frame(&consumer->ring, consumer->head)); /* for C4 */
    lm_frame_fetch(lm_ring_frame(&consumer->ring, consumer->head), frame);
    return lm_frame_valid(frame, consumer->tail - consumer->head) ? 1 : -EPROTO;
}

/* C3: the payload of the frame that was just peeked at. */
LM_INTERNAL void lm_consumer_copy(const struct lm_consumer *consumer, const struct lm_frame *frame, void *target)
{
    lm_ring_read(&consumer->ring, consumer->head + sizeof *frame, target, frame->length);
}

/* C4: whether the frame is ours, and not withdrawn. The other half is lm_producer_withdraw. */
LM_INTERNAL bool lm_consumer_take(struct lm_consumer *consumer)
{
    return lm_exchange(&lm_ring_frame(&consumer->ring, consumer->head)->state, LM_FRAME_TAKEN) == LM_FRAME_READY;
}

/* C5: releases the space to P1; ordered before C6, against W1 and W2. */
LM_INTERNAL void lm_consumer_advance(struct lm_consumer *consumer, const struct lm_frame *frame)
{
    consumer->head += lm_frame_extent(frame->length);
    lm_store_ordered(&consumer->ring.words->head, (uint32_t)consumer->head);
}

/* C6: whether the producer waits for room and must be rung. */
LM_INTERNAL bool lm_consumer_claim_bell(struct lm_consumer *consumer)
{
    uint32_t *flag = &consumer->ring.words->producer_waits;
    return lm_load_ordered(flag) && lm_exchange(flag, 0);
}

LM_INTERNAL void lm_consumer_awake(struct lm_consumer *consumer)
{
    lm_store_relaxed(&consumer->ring.words->consumer_sleeps, 0);
}

/* A hint, for who looks at the tail of an empty ring again and again: has the first lines of the next frame cross
 * together with the tail's and not after it. A frame that would begin a page goes to the first page instead
 * (lm_producer_restart). */
LM_INTERNAL void lm_ring_expect(const struct lm_ring *ring, uint64_t position)
{
    uint32_t offset = lm_ring_offset(ring, position);
    const unsigned char *frame = ring->bytes + (offset % LM_RING_WARM ? offset : 0);
    lm_prefetch_to_read(frame);
    lm_prefetch_to_read(frame + LM_CACHE_LINE);
}

/* Whether something was put in since the last look, for who looks again and again before S1. */
LM_INTERNAL bool lm_consumer_has_more(const struct lm_consumer *consumer)
{
    lm_ring_expect(&consumer->ring, consumer->head);
    return lm_ring_tail_moved(&consumer->ring, (uint32_t)consumer->head);
}

/* S1, S2: announces the sleep; true if the ring is empty and the producer will ring. */
LM_INTERNAL bool lm_consumer_announce_sleep(struct lm_consumer *consumer)
{
    lm_store_ordered(&consumer->ring.words->consumer_sleeps, 1);
    if (lm_load_ordered(&consumer->ring.words->tail) == (uint32_t)consumer->head)
        return true;
    lm_consumer_awake(consumer);
    return false;
}

/*
 * A consumer's view of what a producer has put and nobody consumed: what is left when the other side is dead. Its words
 * are its own, since the dead may still write the shared ones, and threads that wait for their own frames must not find
 * them passed.
 */
LM_SETUP struct lm_consumer lm_consumer_of_rest(const struct lm_producer *producer, struct lm_ring_words *own)
{
    struct lm_consumer rest = {producer->ring, producer->head, producer->tail, false};
    memset(own, 0, sizeof *own);
    own->tail = (uint32_t)producer->tail;
    own->origin = producer->ring.origin;
    rest.ring.words = own;
    return rest;
}

#endif
