/* SPDX-License-Identifier: MIT */
/* The public functions that send on a connection, and a connection's settings. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_SEND_H
#define LM_DETAIL_CLIENT_SEND_H

#include "../channel/buffer.h"
#include "connection.h"
#include "senders.h"
#include "timeout.h"

/* Returns whether the fields of a send do not exclude each other. */
LM_FLAT bool lm_send_valid(const LMSend *send)
{
    bool only_buffer = !send->buffer || (*send->buffer && !send->data && send->length == 0);
    bool interruptible = !send->interrupt || lm_sys_is_open(*send->interrupt);
    return only_buffer && interruptible && !send->reserved[0] && !send->reserved[1];
}

LM_FLAT void lm_request_of_send(struct lm_request *request, const LMConnection *connection, const LMSend *send,
                                uint32_t file_timeout)
{
    int64_t deadline = lm_send_deadline(connection->serverName, send->timeout, file_timeout);
    lm_request_init(request, send->messageId, send->data, send->length, deadline);
    request->out.descriptors = send->descriptors;
    request->out.descriptor_count = send->descriptorCount;
    if (send->interrupt)
        request->interrupt = *send->interrupt;
    if (!send->buffer)
        return;
    request->buffer = *send->buffer;
    request->out.data = request->buffer->data;
    request->out.length = request->out.total = request->buffer->length;
}

/* Sends with the default timeout of the calling file; 0: the file has none. */
LM_FLAT_API kern_return_t lm_send(LMConnectionRef connection, const LMSend *send, uint32_t file_timeout,
                                  LMResponseBuffer *response)
{
    struct lm_request request;
    if (response)
        lm_message_init(&response->message);
    if (!connection || !send || !lm_send_valid(send))
        return KERN_INVALID_ARGUMENT;
    lm_request_of_send(&request, connection, send, file_timeout);
    kern_return_t status = lm_connection_send(connection, &request, response);
    if (send->buffer)
        lm_buffer_settle(send->buffer, request.taken);
    return status;
}

/* Stores a CFData's bytes and length; NULL is empty. False if it is longer than a message can be. */
LM_API bool lm_data_parts(CFDataRef data, const void **bytes, uint32_t *length)
{
    CFIndex size = data ? CFDataGetLength(data) : 0;
    *bytes = data ? CFDataGetBytePtr(data) : NULL;
    *length = (uint32_t)size;
    return (uint64_t)size <= UINT32_MAX;
}

/* Returns the longest message that the service accepts in a segment. 0: none, or the service has not welcomed this
 * process. */
LM_INTERNAL uint32_t lm_link_longest_lease(const struct lm_link *link)
{
    const struct lm_memory *memory = link->channel.memory;
    if (!lm_link_welcomed(link) || !(lm_load_relaxed(&memory->ignorable) & LM_FEATURE_BORROWS))
        return 0;
    return lm_load_relaxed(&memory->largest_message);
}

LM_API kern_return_t lm_create_buffer(LMConnectionRef connection, uint32_t length, uint32_t file_timeout,
                                      LMBufferRef *buffer)
{
    struct lm_link *link;
    if (buffer)
        *buffer = NULL;
    if (!connection || !buffer || length == 0)
        return KERN_INVALID_ARGUMENT;
    int64_t deadline = lm_send_deadline(connection->serverName, 0, file_timeout);
    kern_return_t status = lm_connection_link(connection, deadline, &link);
    if (status)
        return status;
    *buffer = lm_channel_buffer(&link->channel, length, lm_link_longest_lease(link));
    lm_release(&link->object);
    return *buffer ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE;
}

/* --- Settings --- */

LM_API kern_return_t lm_set_spin(LMConnectionRef connection, uint32_t microseconds, uint32_t file_timeout)
{
    struct lm_link *link;
    if (!connection || !lm_spin_valid(microseconds))
        return KERN_INVALID_ARGUMENT;
    int64_t deadline = lm_send_deadline(connection->serverName, 0, file_timeout);
    kern_return_t status = lm_connection_link(connection, deadline, &link);
    if (status)
        return status;
    lm_link_lock(link);
    lm_spin_set(&link->spin, lm_spin_nanoseconds(microseconds));
    lm_link_unlock(link);
    lm_release(&link->object);
    return KERN_SUCCESS;
}

LM_API kern_return_t LMConnectionGetServiceVersions(const LMConnection *connection, LMServiceVersions *versions)
{
    if (!connection || !versions || !lm_name_valid(connection->serverName))
        return KERN_INVALID_ARGUMENT;
    lm_process_lock();
    struct lm_link *link = lm_link_listed(connection->serverName);
    if (link)
        lm_retain(&link->object);
    lm_process_unlock();
    if (!link)
        return BOOTSTRAP_UNKNOWN_SERVICE;
    lm_link_lock(link);
    if (link->channel.memory)
        lm_link_check_welcome(link);
    LMServiceVersions known = link->versions;
    lm_link_unlock(link);
    lm_release(&link->object);
    if (known.highest == 0)
        return BOOTSTRAP_UNKNOWN_SERVICE;
    *versions = known;
    return KERN_SUCCESS;
}

LM_API void LMSetPrivateCopies(bool wanted)
{
    lm_process_lock();
    lm_clients.private_copies = wanted;
    lm_process_unlock();
}

LM_API void LMSetLargestReply(uint32_t bytes)
{
    lm_process_lock();
    lm_clients.largest_reply = bytes;
    lm_clients.largest_reply_is_set = true;
    lm_process_unlock();
}

#endif
