/* SPDX-License-Identifier: MIT */
/* Finds the link of a connection and sends on it; repeats both if the service died without taking the message. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_CONNECTION_H
#define LM_DETAIL_CLIENT_CONNECTION_H

#include "call.h"
#include "link_open.h"

/* Returns the live link to this service that a port names, with a reference, or NULL. serverPort may be garbage, so a
 * port alone proves nothing. Other threads may be storing it, so it is read and written as a whole. */
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

/* Returns the connection's link, with a reference; looks it up if necessary. A live link's name is valid: it was
 * checked when the link was opened. */
LM_FLAT kern_return_t lm_connection_link(LMConnectionRef connection, int64_t deadline, struct lm_link **link)
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

#define LM_INTERRUPT_STEP                                                                                              \
    20000000 /* nanoseconds between two polls of the descriptor while a link is being opened; untuned */

/* lm_connection_link for a request that a descriptor may interrupt: it waits in steps and polls the descriptor between
 * them. */
LM_SETUP kern_return_t lm_connection_link_interruptibly(LMConnectionRef connection, const struct lm_request *request,
                                                        struct lm_link **link)
{
    *link = lm_link_of_port(lm_load_relaxed(&connection->serverPort), connection->serverName);
    if (*link)
        return KERN_SUCCESS;
    while (!lm_request_is_interrupted(request)) {
        int64_t step = lm_now() + LM_INTERRUPT_STEP;
        bool last = request->deadline <= step;
        kern_return_t status = lm_connection_link(connection, last ? request->deadline : step, link);
        if (status != MACH_SEND_TIMED_OUT || last)
            return status;
    }
    return MACH_SEND_INTERRUPTED;
}

/* Looks the service up and sends once. `looked_up` is false if the look-up failed. */
LM_INTERNAL kern_return_t lm_connection_try(LMConnectionRef connection, struct lm_request *request,
                                            LMResponseBuffer *response, bool *looked_up)
{
    struct lm_link *link;
    kern_return_t status = request->interrupt < 0 ? lm_connection_link(connection, request->deadline, &link)
                                                  : lm_connection_link_interruptibly(connection, request, &link);
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

/* Sends, and repeats the attempt once if the service died without taking the message. `response` is NULL for a one-way
 * message. */
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

/* Logs the outcome of a send. */
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

/* Sets each field in place: clearing the request and copying it from elsewhere took a third of a one-way message's
 * time. NULL data of length 0 become ""; NULL with a length stays, for lm_request_valid to find. */
LM_INTERNAL void lm_request_init(struct lm_request *request, SInt32 identifier, const void *data, uint32_t length,
                                 int64_t deadline)
{
    request->out.kind = LM_FRAME_MESSAGE;
    request->out.identifier = identifier;
    request->out.token = 0;
    request->out.data = (const unsigned char *)(data || length ? data : "");
    request->out.data_from = 0;
    request->out.length = request->out.total = length;
    request->out.whole_max = request->out.part_max = LM_PIECE_MAX; /* half of this side's ring is more */
    request->out.sent = 0;
    request->deadline = deadline;
    request->has_reply_timeout = request->queued = request->service_lived = request->taken = false;
    request->out.position = 0;
    request->call = NULL;
    request->owner = NULL;
    request->in_unsent.next = NULL; /* in no list */
    request->buffer = NULL;
    request->interrupt = -1;
    request->out.deadline = 0;
    request->out.memory = -1;
    request->out.descriptors = NULL;
    request->out.descriptor_count = 0;
}

#endif
