/* SPDX-License-Identifier: MIT */
/*
 * A stream of frames in memory that is shared by one producer and one consumer, who do not trust each other.
 *
 * Both count bytes since the start. Each side keeps its own index privately, 64 bits wide, and publishes the low half;
 * it reads the other's published index once and checks it. docs/PROTOCOL.md has the layout and the proof; the labels P1
 * to P6, C1 to C7, S1, S2, W1 and W2 are its steps. The caller does the waiting: lm_producer_announce and
 * lm_consumer_announce_sleep say whether to wait.
 *
 * Functions return 0 or more, -EPROTO if the peer broke the protocol, or -ENOMEM.
 */
#ifndef LM_DETAIL_CHANNEL_RING_H
#define LM_DETAIL_CHANNEL_RING_H

#include "../ground/atomic.h"
#include "../ground/sys.h"

#define LM_FRAME_ALIGN 64u    /* a cache line: the producer writes none that the consumer still reads */
#define LM_PIECE_MAX   65536u /* most payload bytes in one frame, and so of a message that is not in pieces */
#define LM_PIECE_MIN   4096u  /* shortest piece */
/* 8 of the largest pieces. Measured: smaller rings stream slower, and larger ones no faster. */
#define LM_RING_DEFAULT  524288u
#define LM_RING_SMALLEST 4096u
#define LM_RING_LARGEST  16777216u
#define LM_NEVER_FITS    UINT32_MAX /* a producer that waits for this much is rung after any frame */
#define LM_RING_AHEAD    1024u /* bytes of the ring prefetched for small frames; with fewer, some arrive too late */
#define LM_RING_ROOMY    2048u /* with less room the producer prefetches nothing */
#define LM_RING_WARM     4096u /* a page: an empty ring restarts when the next frame would cross into another */

/* Returns the payload length of each piece of a large message: a sixteenth, at most LM_PIECE_MAX, so that both sides
 * copy at the same time for nearly all of it. A piece is not shorter, because one side may sleep for each. */
LM_INTERNAL uint32_t lm_piece_length(uint32_t total)
{
    return total >= 16 * LM_PIECE_MAX ? LM_PIECE_MAX : (uint32_t)lm_round_up(total / 16 + 1, LM_PIECE_MIN);
}

/* The published words of one ring, each with a cache line of its own: the flags are read with every frame, but written
 * only around a sleep. `origin` shares the line of `tail`. */
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
    LM_FRAME_MESSAGE = 1, /* a whole message, or the last piece of a large one */
    LM_FRAME_PIECE = 2,
    LM_FRAME_ABORT = 3,
    LM_FRAME_DROPPED = 5,
    LM_FRAME_LENT = 6,        /* a whole message in a segment; the payload is an lm_lease */
    LM_FRAME_STATUS = 7,      /* replies only: a number, `identifier`, instead of a message */
    LM_FRAME_IGNORABLE = 128, /* a receiver may ignore kinds from here on */
    LM_FRAME_GIVEN_UP = 128   /* requests only: the caller no longer waits for the reply */
};

/* Whether a frame fits. Functions that return it also return -EPROTO or -ENOMEM. */
enum lm_room { LM_ROOM_FULL = 0, LM_ROOM_READY = 1 };

struct lm_frame {
    uint32_t state;
    uint32_t kind;
    uint32_t length; /* payload bytes that follow the header */
    uint32_t token;
    int32_t identifier;
    uint32_t total; /* of the whole message */
    uint32_t descriptors;
    uint32_t deadline; /* requests only: when the caller stops waiting; see lm_deadline_to_wire */
};

/* The payload of a frame of kind LM_FRAME_LENT: the segment that holds the message. */
struct lm_lease {
    uint32_t number;
    uint32_t reserved;
    uint64_t size; /* of the memfd, if that is the frame's first descriptor because it is new to the receiver; else 0 */
};

/* The bytes of a ring, and one side's knowledge of where the frames are. */
struct lm_ring {
    struct lm_ring_words *words;
    unsigned char *bytes;
    uint32_t size;   /* a power of two */
    uint32_t origin; /* the low half of the index of the first byte, modulo the size */
};

struct lm_producer {
    struct lm_ring ring;
    uint64_t tail;        /* the index of the next frame to put */
    uint64_t head;        /* as last read and checked */
    uint32_t reserved;    /* bytes from the ring's first byte on whose pages exist */
    uint32_t last_extent; /* of the last frame that was put */
};

struct lm_consumer {
    struct lm_ring ring;
    uint64_t head; /* the index of the next frame to read */
    uint64_t tail; /* as last read and checked */
    bool takes;    /* the consumer takes the frames, with C4 */
};

LM_INTERNAL bool lm_ring_size_valid(uint32_t size)
{
    return size >= LM_RING_SMALLEST && size <= LM_RING_LARGEST && (size & (size - 1)) == 0;
}

/* Returns whether the invariants of either side's view hold: the ring contains whole frames, and no more than fit. */
LM_INTERNAL bool lm_ring_valid(const struct lm_ring *ring, uint64_t head, uint64_t tail)
{
    return lm_ring_size_valid(ring->size) && tail - head <= ring->size && head % LM_FRAME_ALIGN == 0 &&
           tail % LM_FRAME_ALIGN == 0 && ring->origin % LM_FRAME_ALIGN == 0;
}

/* Returns the bytes that a frame with this much payload occupies. */
LM_INTERNAL uint32_t lm_frame_extent(uint32_t length)
{
    return ((uint32_t)sizeof(struct lm_frame) + length + LM_FRAME_ALIGN - 1) & ~(LM_FRAME_ALIGN - 1);
}

/* Returns the offset of an index in the ring's bytes, for any origin. */
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

/* Return whether an index has changed. A thread may poll them without the lock. */
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

/* Checks a head that was just read: it must be between the last one and the tail, and a multiple of LM_FRAME_ALIGN. */
LM_INTERNAL int lm_producer_accept_head(struct lm_producer *producer, uint32_t published)
{
    uint32_t in_ring = (uint32_t)producer->tail - published;
    if (in_ring > producer->tail - producer->head || in_ring % LM_FRAME_ALIGN)
        return -EPROTO;
    producer->head = producer->tail - in_ring;
    return 0;
}

/* P1. The acquire pairs with the store of C5: what was consumed has been read and may be overwritten. */
LM_INTERNAL int lm_producer_refresh(struct lm_producer *producer)
{
    return lm_producer_accept_head(producer, lm_load_acquire(&producer->ring.words->head));
}

LM_INTERNAL bool lm_producer_fits(const struct lm_producer *producer, uint32_t extent)
{
    return producer->ring.size - (producer->tail - producer->head) >= extent;
}

/* P3: makes sure that the pages of [offset, offset + extent) exist. */
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

/* P4: writes a frame that fits. The consumer does not see it before P5. The payload is not NULL, even if it is empty.
 * The cache line of P5, which the consumer polls, is prefetched so that it arrives together with the frame's. */
LM_INTERNAL void lm_producer_put(struct lm_producer *producer, const struct lm_frame *frame, const void *payload)
{
    lm_prefetch_to_write(&producer->ring.words->tail);
    *lm_ring_frame(&producer->ring, producer->tail) = *frame;
    lm_ring_write(&producer->ring, producer->tail + sizeof *frame, payload, frame->length);
    producer->last_extent = lm_frame_extent(frame->length);
    producer->tail += producer->last_extent;
}

/*
 * Sets the origin so that the frame goes to the ring's first page, if the ring is empty and the frame would cross into
 * another page: a quiet ring then uses few pages. This takes no room. The consumer has read everything, and reads the
 * origin after the tail of P5.
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

/* Prepares for a frame of that extent. After LM_ROOM_READY it may be put. */
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

/* Prefetches the cache lines of the next small frames, which the consumer has read meanwhile. Not if the ring is almost
 * full: a producer that keeps up with the consumer there would keep it full, and wait for room each time. */
LM_INTERNAL void lm_producer_fetch_ahead(const struct lm_producer *producer)
{
    if (producer->last_extent > LM_RING_AHEAD || !lm_producer_fits(producer, LM_RING_ROOMY))
        return;
    for (uint32_t ahead = 0; ahead < LM_RING_AHEAD; ahead += LM_CACHE_LINE)
        lm_prefetch_to_write(lm_ring_frame(&producer->ring, producer->tail + ahead));
}

/* P5: publishes the frame. The store releases the bytes of P4 and the origin to the acquire of C1. It is sequentially
 * consistent, so that it is ordered before P6, against S1 and S2. */
LM_INTERNAL void lm_producer_publish(struct lm_producer *producer)
{
    lm_store_ordered(&producer->ring.words->tail, (uint32_t)producer->tail);
    lm_producer_fetch_ahead(producer);
}

/* P6: returns whether the consumer must be rung. True once per sleep. */
LM_INTERNAL bool lm_producer_claim_bell(struct lm_producer *producer)
{
    uint32_t *flag = &producer->ring.words->consumer_sleeps;
    return lm_load_ordered(flag) && lm_exchange(flag, 0);
}

/* W1, W2: announces the wait for room. LM_ROOM_FULL: there is none, and the consumer will ring. The flag stays set,
 * because another thread may be waiting too, and a spare bell is harmless. Both are sequentially consistent, against C5
 * and C6. */
LM_INTERNAL int lm_producer_announce(struct lm_producer *producer, uint32_t extent)
{
    lm_store_ordered(&producer->ring.words->producer_waits, 1);
    int result = lm_producer_accept_head(producer, lm_load_ordered(&producer->ring.words->head));
    if (result < 0)
        return result;
    return lm_producer_fits(producer, extent) ? LM_ROOM_READY : LM_ROOM_FULL;
}

/* Returns 1 if the consumer has passed or taken the frame at `position`, else 0. */
LM_SETUP int lm_producer_taken(struct lm_producer *producer, uint64_t position)
{
    int result = lm_producer_refresh(producer);
    if (result < 0 || position < producer->head)
        return result < 0 ? result : 1;
    return lm_load_acquire(&lm_ring_frame(&producer->ring, position)->state) == LM_FRAME_TAKEN;
}

/* Withdraws the published frame at `position`. 1: withdrawn; 0: the consumer took it first. The exchange of `state`
 * pairs with C4: only one of the two finds it ready. */
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

/* C1 of an empty view. The acquire pairs with the store of P5: the frames up to the tail have been written, and so has
 * the origin, which stays unchanged until this side has consumed them. */
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

/* C2: the only place that reads a header, each field once. */
LM_INTERNAL void lm_frame_fetch(const struct lm_frame *shared, struct lm_frame *frame)
{
    frame->state = LM_FRAME_READY; /* lm_consumer_take alone decides it */
    frame->kind = lm_load_relaxed(&shared->kind);
    frame->length = lm_load_relaxed(&shared->length);
    frame->token = lm_load_relaxed(&shared->token);
    frame->identifier = (int32_t)lm_load_relaxed((const uint32_t *)(const void *)&shared->identifier);
    frame->total = lm_load_relaxed(&shared->total);
    frame->descriptors = lm_load_relaxed(&shared->descriptors);
    frame->deadline = lm_load_relaxed(&shared->deadline);
}

/* Checks the header of a frame that is not a whole message or a last piece. */
LM_INTERNAL bool lm_frame_special_valid(const struct lm_frame *frame)
{
    if (frame->kind == LM_FRAME_LENT)
        return frame->length == sizeof(struct lm_lease) && frame->total > 0 && frame->descriptors <= LM_DESCRIPTORS_MAX;
    if (frame->descriptors > 0)
        return false;
    if (frame->kind == LM_FRAME_PIECE)
        return frame->length > 0 && frame->length < frame->total;
    if (frame->kind == LM_FRAME_STATUS)
        return frame->length == 0 && frame->identifier != 0;
    bool known = frame->kind == LM_FRAME_ABORT || frame->kind == LM_FRAME_DROPPED || frame->kind >= LM_FRAME_IGNORABLE;
    return known && frame->total >= frame->length;
}

/* C2: the only place that checks a header. `in_ring` is the number of bytes published from its start on, at least a
 * header. */
LM_INTERNAL bool lm_frame_valid(const struct lm_frame *frame, uint64_t in_ring)
{
    if (frame->length > LM_PIECE_MAX || lm_frame_extent(frame->length) > in_ring)
        return false;
    if (frame->kind == LM_FRAME_MESSAGE)
        return frame->total >= frame->length && frame->descriptors <= LM_DESCRIPTORS_MAX;
    return lm_frame_special_valid(frame);
}

/* Reads the next frame's header. 1: there is a frame; 0: the ring is empty. The frame remains the next one until
 * lm_consumer_advance. */
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

/* C3: copies the payload of the frame that lm_consumer_peek returned. */
LM_INTERNAL void lm_consumer_copy(const struct lm_consumer *consumer, const struct lm_frame *frame, void *target)
{
    lm_ring_read(&consumer->ring, consumer->head + sizeof *frame, target, frame->length);
}

/* C4: takes the frame. False: its sender has withdrawn it. The exchange of `state` pairs with that of
 * lm_producer_withdraw: only one of the two finds it ready. */
LM_INTERNAL bool lm_consumer_take(struct lm_consumer *consumer)
{
    return lm_exchange(&lm_ring_frame(&consumer->ring, consumer->head)->state, LM_FRAME_TAKEN) == LM_FRAME_READY;
}

/* C5: goes on to the next frame. The store releases the space that C3 read to the acquire of P1. It is sequentially
 * consistent, so that it is ordered before C6, against W1 and W2. */
LM_INTERNAL void lm_consumer_advance(struct lm_consumer *consumer, const struct lm_frame *frame)
{
    consumer->head += lm_frame_extent(frame->length);
    lm_store_ordered(&consumer->ring.words->head, (uint32_t)consumer->head);
}

/* C6: returns whether a producer that waits for room must be rung. */
LM_INTERNAL bool lm_consumer_claim_bell(struct lm_consumer *consumer)
{
    uint32_t *flag = &consumer->ring.words->producer_waits;
    return lm_load_ordered(flag) && lm_exchange(flag, 0);
}

LM_INTERNAL void lm_consumer_awake(struct lm_consumer *consumer)
{
    lm_store_relaxed(&consumer->ring.words->consumer_sleeps, 0);
}

/* Prefetches the first cache lines of the next frame, for a thread that polls the tail of an empty ring: they then
 * arrive together with the tail's. A frame that would begin a page goes to the first page instead
 * (lm_producer_restart). */
LM_INTERNAL void lm_ring_expect(const struct lm_ring *ring, uint64_t position)
{
    uint32_t offset = lm_ring_offset(ring, position);
    const unsigned char *frame = ring->bytes + (offset % LM_RING_WARM ? offset : 0);
    lm_prefetch_to_read(frame);
    lm_prefetch_to_read(frame + LM_CACHE_LINE);
}

/* Returns whether the tail has moved. For polls before S1. */
LM_INTERNAL bool lm_consumer_has_more(const struct lm_consumer *consumer)
{
    lm_ring_expect(&consumer->ring, consumer->head);
    return lm_ring_tail_moved(&consumer->ring, (uint32_t)consumer->head);
}

/* S1, S2: announces the sleep. True: the ring is empty and the producer will ring. Both are sequentially consistent,
 * against P5 and P6. */
LM_INTERNAL bool lm_consumer_announce_sleep(struct lm_consumer *consumer)
{
    lm_store_ordered(&consumer->ring.words->consumer_sleeps, 1);
    if (lm_load_ordered(&consumer->ring.words->tail) == (uint32_t)consumer->head)
        return true;
    lm_consumer_awake(consumer);
    return false;
}

/*
 * Returns a consumer's view of the frames that a producer has put and nobody has consumed, after the other side has
 * died. It has its own words: the dead peer may still write the shared ones, and threads that wait for their own frames
 * must not find them passed.
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
