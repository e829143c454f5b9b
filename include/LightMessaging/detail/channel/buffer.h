/* SPDX-License-Identifier: MIT */
/* Lent buffers: a segment while the program fills it. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CHANNEL_BUFFER_H
#define LM_DETAIL_CHANNEL_BUFFER_H

#include "lend.h"

LM_API void *LMBufferGetBytes(LMBufferRef buffer)
{
    return buffer->data;
}

LM_API uint32_t LMBufferGetLength(LMBufferRef buffer)
{
    return buffer->length;
}

LM_API void LMBufferFree(LMBufferRef buffer)
{
    if (!buffer)
        return;
    lm_store_release(&buffer->held, 0);
    lm_release(&buffer->object);
}

/* The message is on its way, or its buffer the caller's as before. */
LM_INTERNAL void lm_buffer_settle(LMBufferRef *buffer, bool gone)
{
    if (!gone) {
        lm_segment_take_back(*buffer);
        return;
    }
    LMBufferFree(*buffer);
    *buffer = NULL;
}

/* The message has the buffer, or it is the caller's as before. */
LM_INTERNAL void lm_buffer_pass_on(LMBufferRef *buffer, bool gone)
{
    if (gone)
        *buffer = NULL;
    else
        lm_segment_take_back(*buffer);
}

/* A buffer that the channel has used before. */
LM_INTERNAL struct lm_segment *lm_channel_reuse(struct lm_channel *channel, uint32_t length)
{
    pthread_mutex_lock(&channel->lock);
    struct lm_segment *segment = lm_channel_free_segment(channel, length);
    if (segment) {
        lm_retain(&segment->object);
        lm_store_relaxed(&segment->held, 1);
    }
    pthread_mutex_unlock(&channel->lock);
    return segment;
}

/* A new one. */
LM_SETUP struct lm_segment *lm_channel_extend(struct lm_channel *channel, uint32_t length, uint32_t largest)
{
    struct lm_segment *segment = lm_segment_create(length);
    if (!segment)
        return NULL;
    segment->held = 1;
    pthread_mutex_lock(&channel->lock);
    if (!lm_load_relaxed(&channel->cut))
        lm_channel_add_segment(channel, segment, largest);
    pthread_mutex_unlock(&channel->lock);
    return segment;
}

/* A buffer for the channel, which the caller holds; NULL: no memory. `largest`: the peer takes leases of messages up to
 * this length; 0: none. */
LM_INTERNAL struct lm_segment *lm_channel_buffer(struct lm_channel *channel, uint32_t length, uint32_t largest)
{
    struct lm_segment *segment = lm_channel_reuse(channel, length);
    if (!segment)
        segment = lm_channel_extend(channel, length, largest);
    if (segment)
        segment->length = length;
    return segment;
}

#endif
