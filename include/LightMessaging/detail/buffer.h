/* SPDX-License-Identifier: MIT */
/* Lent buffers: a segment while the program fills it, and how it goes out with a message. */
#ifndef LM_DETAIL_BUFFER_H
#define LM_DETAIL_BUFFER_H

#include "connection.h"
#include "reply.h"

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

/* --- Requests --- */

/* The longest message that the service takes in a segment; 0: none, or it has not said so far. */
LM_INTERNAL uint32_t lm_link_longest_lease(const struct lm_link *link)
{
    const struct lm_memory *memory = link->channel.memory;
    if (!lm_link_welcomed(link) || lm_load_relaxed(&memory->borrows) != 1)
        return 0;
    return lm_load_relaxed(&memory->largest_message);
}

LM_API kern_return_t LMConnectionCreateBuffer(LMConnectionRef connection, uint32_t length, LMBufferRef *buffer)
{
    struct lm_link *link;
    if (buffer)
        *buffer = NULL;
    if (!connection || !buffer || length == 0)
        return KERN_INVALID_ARGUMENT;
    kern_return_t status = lm_connection_link(connection, lm_deadline_after(LM_TIMEOUT), &link);
    if (status)
        return status;
    *buffer = lm_channel_buffer(&link->channel, length, lm_link_longest_lease(link));
    lm_release(&link->object);
    return *buffer ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE;
}

/* response: NULL for a one-way message. */
LM_INTERNAL kern_return_t lm_connection_send_buffer(LMConnectionRef connection, SInt32 identifier, LMBufferRef *buffer,
                                                    uint32_t milliseconds, LMResponseBuffer *response)
{
    if (!buffer || !*buffer)
        return KERN_INVALID_ARGUMENT;
    struct lm_request request;
    lm_request_init(&request, identifier, (*buffer)->data, (*buffer)->length, milliseconds);
    request.buffer = *buffer;
    kern_return_t status = lm_connection_send(connection, &request, response);
    lm_buffer_settle(buffer, request.taken);
    return status;
}

LM_API kern_return_t LMConnectionSendOneWayBufferWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                             LMBufferRef *buffer, uint32_t milliseconds)
{
    return lm_connection_send_buffer(connection, messageId, buffer, milliseconds, NULL);
}

LM_API kern_return_t LMConnectionSendOneWayBuffer(LMConnectionRef connection, SInt32 messageId, LMBufferRef *buffer)
{
    return LMConnectionSendOneWayBufferWithTimeout(connection, messageId, buffer, LM_TIMEOUT);
}

LM_API kern_return_t LMConnectionSendTwoWayBufferWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                             LMBufferRef *buffer, uint32_t milliseconds,
                                                             LMResponseBuffer *response)
{
    if (!response)
        return KERN_INVALID_ARGUMENT;
    lm_message_init(&response->message);
    return lm_connection_send_buffer(connection, messageId, buffer, milliseconds, response);
}

LM_API kern_return_t LMConnectionSendTwoWayBuffer(LMConnectionRef connection, SInt32 messageId, LMBufferRef *buffer,
                                                  LMResponseBuffer *response)
{
    return LMConnectionSendTwoWayBufferWithTimeout(connection, messageId, buffer, LM_TIMEOUT, response);
}

/* --- Replies --- */

LM_API kern_return_t LMReplyCreateBuffer(mach_port_t replyPort, uint32_t length, LMBufferRef *buffer)
{
    if (buffer)
        *buffer = NULL;
    if (!buffer || length == 0)
        return KERN_INVALID_ARGUMENT;
    struct lm_object *object = lm_port_get(replyPort, LM_PORT_REPLY);
    if (!object)
        return MACH_SEND_INVALID_RIGHT;
    struct lm_session *session = LM_CONTAINER(object, struct lm_session, object);
    *buffer = lm_channel_buffer(&session->channel, length, session->lends ? session->largest_reply : 0);
    lm_release(object);
    return *buffer ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE;
}

/* Answers with the buffer itself, if it is one of the session's. */
LM_INTERNAL kern_return_t lm_session_reply_buffer(struct lm_session *session, uint32_t token, LMBufferRef buffer)
{
    struct lm_answer answer = lm_answer_make(buffer->data, buffer->length);
    struct lm_lease lease;
    lm_session_lock(session);
    bool lends = lm_channel_lends(&session->channel, buffer);
    lm_session_unlock(session);
    answer.token = token;
    if (lends) {
        lease = lm_segment_lend(buffer);
        answer.kind = LM_FRAME_LENT;
        answer.data = (const unsigned char *)&lease;
        answer.length = (uint32_t)sizeof lease;
        answer.descriptors = &buffer->memory;
        answer.descriptor_count = buffer->memory >= 0;
    }
    kern_return_t status = lm_session_reply(session, &answer);
    if (lends && status == KERN_SUCCESS)
        lm_sys_close(&buffer->memory); /* the client has it, or will have */
    return status;
}

LM_API kern_return_t LMSendReplyBuffer(mach_port_t replyPort, LMBufferRef *buffer)
{
    uint32_t token;
    if (!buffer || !*buffer) {
        lm_port_deallocate(replyPort);
        return KERN_INVALID_ARGUMENT;
    }
    struct lm_object *object = replyPort ? lm_port_consume(replyPort, LM_PORT_REPLY, &token) : NULL;
    if (replyPort && !object)
        return MACH_SEND_INVALID_RIGHT;
    kern_return_t status =
        object ? lm_session_reply_buffer(LM_CONTAINER(object, struct lm_session, object), token, *buffer) : 0;
    if (object)
        lm_release(object);
    lm_buffer_settle(buffer, status == KERN_SUCCESS);
    return status;
}

#endif
