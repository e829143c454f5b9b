/* SPDX-License-Identifier: MIT */
/*
 * The segments of a channel, in both directions: which of its own a sender may use, and which of the peer's the
 * receiver knows. A segment's number is its place in the pool; new memory for a number replaces the old. Functions here
 * are called with the channel's lock held.
 */
#ifndef LM_DETAIL_CHANNEL_LEND_H
#define LM_DETAIL_CHANNEL_LEND_H

#include "channel.h"

/* --- Sender --- */

/* Returns whether the segment belongs to the channel and can be lent to its peer. */
LM_INTERNAL bool lm_channel_lends(const struct lm_channel *channel, const struct lm_segment *segment)
{
    return channel->lent.segments[segment->number] == segment;
}

/* Returns the smallest free segment with room, or NULL. */
LM_INTERNAL struct lm_segment *lm_channel_free_segment(const struct lm_channel *channel, uint32_t length)
{
    struct lm_segment *found = NULL;
    for (uint32_t place = 0; place < LM_SEGMENTS_MAX; place++) {
        struct lm_segment *segment = channel->lent.segments[place];
        bool better = segment && lm_segment_room(segment) >= length && (!found || segment->size < found->size);
        if (better && lm_segment_is_free(segment))
            found = segment;
    }
    return found;
}

/* Returns the place for a new segment: an empty one, or that of the smallest free segment. LM_SEGMENTS_MAX: all are in
 * use. */
LM_SETUP uint32_t lm_channel_segment_place(const struct lm_channel *channel)
{
    uint32_t found = LM_SEGMENTS_MAX;
    for (uint32_t place = 0; place < LM_SEGMENTS_MAX; place++) {
        const struct lm_segment *segment = channel->lent.segments[place];
        if (!segment)
            return place;
        if (lm_segment_is_free(segment) &&
            (found == LM_SEGMENTS_MAX || segment->size < channel->lent.segments[found]->size))
            found = place;
    }
    return found;
}

/* Adds a new segment to the channel's own, if there is a place. `largest` is the longest message that the peer
 * accepts. */
LM_SETUP void lm_channel_add_segment(struct lm_channel *channel, struct lm_segment *segment, uint32_t largest)
{
    bool may = segment->shared && segment->size <= lm_segment_size(largest);
    uint32_t place = may ? lm_channel_segment_place(channel) : LM_SEGMENTS_MAX;
    if (place == LM_SEGMENTS_MAX || !lm_pool_fits(&channel->lent, place, segment->size))
        return;
    segment->number = place;
    lm_retain(&segment->object);
    lm_pool_set(&channel->lent, place, segment);
}

/* --- Receiver --- */

/* Maps the new memory for a number, which came with a frame. `largest` is the longest message that this side
 * accepts. */
LM_SETUP int lm_channel_learn_segment(struct lm_channel *channel, const struct lm_lease *lease, int memory,
                                      uint32_t largest)
{
    if (!channel->borrows || lease->size <= LM_SEGMENT_DATA || lease->size > lm_segment_size(largest) ||
        !lm_memory_safe(memory, (size_t)lease->size))
        return -EPROTO;
    struct lm_segment *segment = lm_segment_borrow(memory, (size_t)lease->size);
    if (!segment)
        return -ENOMEM;
    lm_pool_set(&channel->borrowed, lease->number, segment);
    return 0;
}

/* C3 of a frame that lends: returns the segment, with a reference. `parcel` came with the frame, or is NULL. */
LM_INTERNAL int lm_channel_borrow(struct lm_channel *channel, const struct lm_frame *frame, struct lm_parcel *parcel,
                                  uint32_t largest, struct lm_segment **segment)
{
    struct lm_lease lease;
    lm_consumer_copy(&channel->in, frame, &lease);
    if (lease.number >= LM_SEGMENTS_MAX || (lease.size && !parcel))
        return -EPROTO;
    if (lease.size) {
        int result = lm_channel_learn_segment(channel, &lease, parcel->descriptors[0], largest);
        if (result < 0)
            return result;
        lm_parcel_drop_first(parcel);
    }
    *segment = channel->borrowed.segments[lease.number];
    if (!*segment || frame->total > lm_segment_room(*segment))
        return -EPROTO;
    lm_retain(&(*segment)->object);
    return 0;
}

#endif
