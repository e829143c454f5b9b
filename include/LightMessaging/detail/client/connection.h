/* SPDX-License-Identifier: MIT */
/* The client's half of the interface: from a connection to its link, and once more if the service died without taking
 * the message. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_CONNECTION_H
#define LM_DETAIL_CLIENT_CONNECTION_H

#include "call.h"
#include "link_open.h"

#ifdef LIGHTMESSAGING_TIMEOUT
#define LM_TIMEOUT ((uint32_t)(LIGHTMESSAGING_TIMEOUT))
#else
#define LM_TIMEOUT LM_TIMEOUT_NEVER
#endif

/*
 * The link that a port names, if that is a live one to this service. serverPort may be garbage, so a port proves
 * nothing by itself, and other threads may be storing it, so it is read and written as a whole.
 */
LM_INTERNAL struct lm_link *lm_link_of_port(mach_port_t port, const char *name)
{
    struct lm_object *object = port ? lm_port_get(port, LM_PORT_SEND) : NULL;
    if (!object)
        return NULL;
    struct lm_link *link = LM_CONTAINER(object, struct lm_link, object);
    if (!lm_link_is_cut(link) && strcmp(link->name, name) == 0)
        return link;
    lm_release(object);
    return NULL;
}

/* A name that is a live link's was checked when that was opened. */
LM_INTERNAL kern_return_t lm_connection_link(LMConnectionRef connection, int64_t deadline, struct lm_link **link)
{
    *link = lm_link_of_port(lm_load_relaxed(&connection->serverPort), connection->serverName);
    if (*link)
        return KERN_SUCCESS;
    if (!lm_name_valid(connection->serverName))
        return KERN_INVALID_ARGUMENT;
    int result = lm_link_get(connection->serverName, deadline, link);
    if (result == 0)
        lm_store_relaxed(&connection->serverPort, (*link)->port);
    return lm_kern_return(result);
}

/* One attempt. A failed look-up is told from a failed send by `looked_up`. */
LM_INTERNAL kern_return_t lm_connection_try(LMConnectionRef connection, struct lm_request *request,
                                            LMResponseBuffer *response, bool *looked_up)
{
    struct lm_link *link;
    kern_return_t status = lm_connection_link(connection, request->deadline, &link);
    *looked_up = status == KERN_SUCCESS;
    if (status)
        return status;
    lm_request_load(request, link);
    status = response ? lm_link_call(link, request, response) : lm_link_post(link, request);
    lm_release(&link->object);
    return status;
}

LM_INTERNAL bool lm_request_valid(LMConnectionRef connection, const struct lm_request *request)
{
    return connection && request->out.data &&
           lm_descriptors_valid(request->out.descriptors, request->out.descriptor_count);
}

/* response: NULL for a one-way message. */
LM_INTERNAL kern_return_t lm_connection_deliver(LMConnectionRef connection, struct lm_request *request,
                                                LMResponseBuffer *response)
{
    bool looked_up = false;
    if (!lm_request_valid(connection, request))
        return KERN_INVALID_ARGUMENT;
    kern_return_t status = lm_connection_try(connection, request, response, &looked_up);
    if (status != MACH_SEND_INVALID_DEST || !looked_up)
        return status;
    bool lived = request->service_lived;
    status = lm_connection_try(connection, request, response, &looked_up);
    return !looked_up && lived ? MACH_SEND_INVALID_DEST : status;
}

/* What became of a message. */
LM_COLD void lm_log_message(LMConnectionRef connection, const struct lm_request *request, const char *deed,
                            kern_return_t status)
{
    const char *name = connection ? connection->serverName : NULL;
    struct lm_link *link = NULL;
    if (lm_name_valid(name))
        link = lm_link_of_port(lm_load_relaxed(&connection->serverPort), name);
    if (link)
        lm_link_lock(link);
    int socket = link ? link->channel.socket : -1;
    if (status)
        lm_log_status(deed, name, socket, status);
    else
        lm_log(socket, "%s \"%s\": message %d of %u bytes", deed, name, (int)request->out.identifier,
               (unsigned)request->out.length);
    if (link) {
        lm_link_unlock(link);
        lm_release(&link->object);
    }
}

LM_INTERNAL kern_return_t lm_connection_send(LMConnectionRef connection, struct lm_request *request,
                                             LMResponseBuffer *response)
{
    kern_return_t status = lm_connection_deliver(connection, request, response);
    if (lm_logging())
        lm_log_message(connection, request, response ? "call" : "send to", status);
    return status;
}

/* No data are NULL with a length, which lm_request_valid finds, or "". In place and field by field: to clear it, and to
 * copy it from where it was made, took a third of the time of a one-way message. */
LM_INTERNAL void lm_request_init(struct lm_request *request, SInt32 identifier, const void *data, uint32_t length,
                                 uint32_t milliseconds)
{
    request->out.kind = LM_FRAME_MESSAGE;
    request->out.identifier = identifier;
    request->out.token = 0;
    request->out.data = (const unsigned char *)(data || length ? data : "");
    request->out.data_from = 0;
    request->out.length = request->out.total = length;
    request->out.whole_max = LM_PIECE_MAX;
    request->out.sent = 0;
    request->deadline = lm_deadline_after(milliseconds);
    request->has_reply_timeout = request->queued = request->service_lived = request->taken = false;
    request->out.position = 0;
    request->call = NULL;
    request->owner = NULL;
    request->in_unsent.next = NULL; /* in no list */
    request->buffer = NULL;
    request->out.descriptors = NULL;
    request->out.descriptor_count = 0;
}

LM_API kern_return_t LMConnectionSendOneWayWithDescriptors(LMConnectionRef connection, SInt32 messageId,
                                                           const void *data, uint32_t length, const int *descriptors,
                                                           uint32_t count, uint32_t milliseconds)
{
    struct lm_request request;
    lm_request_init(&request, messageId, data, length, milliseconds);
    request.out.descriptors = descriptors;
    request.out.descriptor_count = count;
    return lm_connection_send(connection, &request, NULL);
}

LM_API kern_return_t LMConnectionSendOneWayWithTimeout(LMConnectionRef connection, SInt32 messageId, const void *data,
                                                       uint32_t length, uint32_t milliseconds)
{
    return LMConnectionSendOneWayWithDescriptors(connection, messageId, data, length, NULL, 0, milliseconds);
}

LM_API kern_return_t LMConnectionSendOneWay(LMConnectionRef connection, SInt32 messageId, const void *data,
                                            uint32_t length)
{
    return LMConnectionSendOneWayWithTimeout(connection, messageId, data, length, LM_TIMEOUT);
}

LM_API kern_return_t LMConnectionSendEmptyOneWay(LMConnectionRef connection, SInt32 messageId)
{
    return LMConnectionSendOneWay(connection, messageId, NULL, 0);
}

LM_API kern_return_t LMConnectionSendTwoWayWithDescriptors(LMConnectionRef connection, SInt32 messageId,
                                                           const void *data, uint32_t length, const int *descriptors,
                                                           uint32_t count, uint32_t milliseconds,
                                                           LMResponseBuffer *response)
{
    if (!response)
        return KERN_INVALID_ARGUMENT;
    struct lm_request request;
    lm_request_init(&request, messageId, data, length, milliseconds);
    request.out.descriptors = descriptors;
    request.out.descriptor_count = count;
    lm_message_init(&response->message);
    return lm_connection_send(connection, &request, response);
}

LM_API kern_return_t LMConnectionSendTwoWayWithTimeout(LMConnectionRef connection, SInt32 messageId, const void *data,
                                                       uint32_t length, uint32_t milliseconds,
                                                       LMResponseBuffer *response)
{
    return LMConnectionSendTwoWayWithDescriptors(connection, messageId, data, length, NULL, 0, milliseconds, response);
}

LM_API kern_return_t LMConnectionSendTwoWay(LMConnectionRef connection, SInt32 messageId, const void *data,
                                            uint32_t length, LMResponseBuffer *response)
{
    return LMConnectionSendTwoWayWithTimeout(connection, messageId, data, length, LM_TIMEOUT, response);
}

/* A CFData's bytes as data and length; NULL is empty. False if it is longer than a message can be. */
LM_INTERNAL bool lm_data_parts(CFDataRef data, const UInt8 **bytes, uint32_t *length)
{
    CFIndex size = data ? CFDataGetLength(data) : 0;
    *bytes = data ? CFDataGetBytePtr(data) : NULL;
    *length = (uint32_t)size;
    return (uint64_t)size <= UINT32_MAX;
}

LM_API bool LMConnectionSendOneWayData(LMConnectionRef connection, SInt32 messageId, CFDataRef data)
{
    const UInt8 *bytes;
    uint32_t length;
    return lm_data_parts(data, &bytes, &length) &&
           LMConnectionSendOneWay(connection, messageId, bytes, length) == KERN_SUCCESS;
}

LM_API kern_return_t LMConnectionSendTwoWayData(LMConnectionRef connection, SInt32 messageId, CFDataRef data,
                                                LMResponseBuffer *response)
{
    const UInt8 *bytes;
    uint32_t length;
    if (lm_data_parts(data, &bytes, &length))
        return LMConnectionSendTwoWay(connection, messageId, bytes, length, response);
    if (response)
        lm_message_init(&response->message);
    return MACH_SEND_TOO_LARGE;
}

LM_API kern_return_t LMConnectionSetSpin(LMConnectionRef connection, uint32_t microseconds)
{
    struct lm_link *link;
    if (!connection || !lm_spin_valid(microseconds))
        return KERN_INVALID_ARGUMENT;
    kern_return_t status = lm_connection_link(connection, lm_deadline_after(LM_TIMEOUT), &link);
    if (status)
        return status;
    lm_link_lock(link);
    lm_spin_set(&link->spin, lm_spin_nanoseconds(microseconds));
    lm_link_unlock(link);
    lm_release(&link->object);
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
