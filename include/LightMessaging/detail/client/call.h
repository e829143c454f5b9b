/* SPDX-License-Identifier: MIT */
/* Sends on a link: a one-way message, or a call that waits for its reply; and the public error numbers of failed
 * sends. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_CALL_H
#define LM_DETAIL_CLIENT_CALL_H

#include "../ground/error.h"
#include "link_send.h"

/* Returns the public error number for a request that was not queued, or was withdrawn. */
LM_SETUP kern_return_t lm_link_untaken(const struct lm_link *link, int error)
{
    if (link->refusal && lm_link_is_cut(link))
        return link->refusal;
    return lm_kern_return(error);
}

/* Returns whether only the sender has the whole of a message that is in the ring. */
LM_INTERNAL bool lm_request_needs_its_sender(const struct lm_request *request)
{
    return lm_outgoing_is_large(&request->out) || request->out.descriptor_count > 0 || lm_request_is_lent(request);
}

/* Sends a one-way message. Called without the lock. MACH_SEND_INVALID_DEST: the link is cut and the message was not
 * taken. */
LM_INTERNAL kern_return_t lm_link_post(struct lm_link *link, struct lm_request *request)
{
    lm_link_lock(link);
    link->threads++;
    int result = lm_link_send(link, request);
    request->taken = result == 0;
    if (result == 0 && lm_request_needs_its_sender(request))
        result = lm_link_wait_taken(link, request);
    if (result < 0 && !lm_link_withdraw(link, request))
        result = 0;
    lm_link_hand_over(link);
    kern_return_t status = result < 0 ? lm_link_untaken(link, result) : KERN_SUCCESS;
    lm_link_leave(link);
    lm_link_unlock(link);
    return status;
}

/* Returns the public status of a call. `error` says why the wait ended, if the call is still waiting. */
LM_INTERNAL kern_return_t lm_call_settle(struct lm_link *link, const struct lm_call *call, struct lm_request *request,
                                         int error)
{
    request->taken = true;
    if (call->state == LM_CALL_ANSWERED)
        return KERN_SUCCESS;
    switch (call->state) {
    case LM_CALL_STATUS:
        return LM_STATUS_REPLY;
    case LM_CALL_DROPPED:
        return MACH_RCV_PORT_DIED;
    case LM_CALL_FAILED:
        request->taken = request->queued;
        return request->queued ? MACH_RCV_PORT_DIED /* no room for the reply */ : lm_link_untaken(link, call->error);
    default:
        break; /* it is still waiting */
    }
    if (lm_link_withdraw(link, request))
        return lm_link_untaken(link, error);
    return error == -ETIMEDOUT ? MACH_RCV_TIMED_OUT : error == -ECANCELED ? MACH_RCV_INTERRUPTED : MACH_RCV_PORT_DIED;
}

/* Returns the deadline for the reply, once the request is queued. */
LM_INTERNAL int64_t lm_request_reply_deadline(const struct lm_request *request)
{
    if (!request->has_reply_timeout)
        return request->deadline;
    return request->reply_timeout == LM_FOREVER ? LM_FOREVER : lm_now() + request->reply_timeout;
}

/* Sends a message and waits for the reply. Called without the lock. The response must be an empty message; after a
 * failure it is one again. */
LM_INTERNAL kern_return_t lm_link_call(struct lm_link *link, struct lm_request *request, LMResponseBuffer *response)
{
    struct lm_call call;
    memset(&call, 0, sizeof call);
    call.response = response;
    lm_link_lock(link);
    link->threads++;
    request->out.whole_max = link->channel.whole_max; /* this thread has all of the data, and waits */
    request->call = &call;
    request->out.token = lm_table_insert(&link->calls, 0, &call, 0);
    if (request->deadline != LM_FOREVER || request->has_reply_timeout)
        request->out.deadline = lm_deadline_to_wire(lm_request_reply_deadline(request));
    int result = request->out.token ? lm_link_send(link, request) : -ENOMEM;
    int64_t deadline = lm_request_reply_deadline(request);
    while (result == 0 && call.state == LM_CALL_WAITING)
        result = lm_link_wait(link, request, &call, deadline);
    kern_return_t status = lm_call_settle(link, &call, request, result);
    if (request->out.token)
        lm_table_remove(&link->calls, lm_table_find(&link->calls, request->out.token, 0));
    if (status == MACH_RCV_TIMED_OUT || status == MACH_RCV_INTERRUPTED)
        lm_link_give_up(link, request->out.token);
    lm_link_hand_over(link);
    lm_link_leave(link);
    lm_link_unlock(link);
    request->call = NULL;
    if (status) {
        LMResponseBufferFree(response);
        response->message.head.msgh_id = status == LM_STATUS_REPLY ? call.error : 0;
    }
    return status;
}

#endif
