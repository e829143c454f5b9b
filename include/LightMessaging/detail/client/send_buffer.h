/* SPDX-License-Identifier: MIT */
/* Requests in lent buffers. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_SEND_BUFFER_H
#define LM_DETAIL_CLIENT_SEND_BUFFER_H

#include "../channel/buffer.h"
#include "connection.h"

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

#endif
