/* SPDX-License-Identifier: MIT */
/* Lent buffers: segments that the program fills and sends. */
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

/* After a send whose message takes the buffer over if it is `gone`; else the buffer remains the caller's. */
LM_INTERNAL void lm_buffer_pass_on(LMBufferRef *buffer, bool gone)
{
    if (gone)
        *buffer = NULL;
    else
        lm_segment_take_back(*buffer);
}

/* After a send that frees the buffer if its message is `gone`; else the buffer remains the caller's. */
LM_INTERNAL void lm_buffer_settle(LMBufferRef *buffer, bool gone)
{
    if (gone)
        LMBufferFree(*buffer);
    lm_buffer_pass_on(buffer, gone);
}

/* Returns a free segment that the channel has used before, held by the caller, or NULL. */
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

/* Creates a segment, held by the caller, and adds it to the channel if possible. NULL: no memory. */
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

/* Returns a buffer for the channel, held by the caller. NULL: no memory. `largest` is the longest message that the peer
 * accepts in a segment; 0: none. */
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
