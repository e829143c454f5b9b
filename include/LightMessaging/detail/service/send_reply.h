/* SPDX-License-Identifier: MIT */
/* The public functions that reply: LMReplySend, and the others in terms of it. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_SEND_REPLY_H
#define LM_DETAIL_SERVICE_SEND_REPLY_H

#include "../channel/buffer.h"
#include "reply.h"

LM_INTERNAL bool lm_reply_valid(const LMReply *reply)
{
    bool only_buffer = !reply->buffer || (*reply->buffer && !reply->data && reply->length == 0);
    bool only_status =
        !reply->status || (!reply->buffer && !reply->data && reply->length == 0 && reply->descriptorCount == 0);
    return only_buffer && only_status && !reply->reserved[0] && !reply->reserved[1];
}

/* Prepares the reply in a buffer: lends the buffer if it belongs to the session's channel, else has its data copied. */
LM_INTERNAL void lm_answer_load(struct lm_answer *answer, struct lm_lease *lease, struct lm_session *session,
                                struct lm_segment *buffer)
{
    answer->out.data = buffer->data;
    answer->out.length = answer->out.total = buffer->length;
    lm_session_lock(session);
    bool lends = lm_channel_lends(&session->channel, buffer) && answer->out.descriptor_count < LM_DESCRIPTORS_MAX;
    lm_session_unlock(session);
    if (!lends)
        return;
    *lease = lm_segment_lend(buffer);
    answer->out.kind = LM_FRAME_LENT;
    answer->out.data = (const unsigned char *)lease;
    answer->out.length = (uint32_t)sizeof *lease;
    lm_outgoing_set_memory(&answer->out, buffer->memory);
}

LM_INTERNAL kern_return_t lm_session_reply_buffer(struct lm_session *session, struct lm_answer *answer,
                                                  LMBufferRef buffer)
{
    struct lm_lease lease;
    lm_answer_load(answer, &lease, session, buffer);
    kern_return_t status = lm_session_reply(session, answer);
    if (status == KERN_SUCCESS && answer->out.kind == LM_FRAME_LENT)
        lm_sys_close(&buffer->memory); /* the client has a copy, or will get it with the frame */
    return status;
}

LM_INTERNAL kern_return_t lm_reply_send(struct lm_session *session, uint32_t token, const LMReply *reply)
{
    struct lm_answer answer = lm_answer_make(reply->data, reply->length);
    answer.out.token = token;
    answer.out.descriptors = reply->descriptors;
    answer.out.descriptor_count = reply->descriptorCount;
    if (reply->status) {
        answer.out.kind = LM_FRAME_STATUS;
        answer.out.identifier = reply->status;
    }
    kern_return_t status =
        reply->buffer ? lm_session_reply_buffer(session, &answer, *reply->buffer) : lm_session_reply(session, &answer);
    if (lm_logging())
        lm_log_answer(session, &answer, status);
    return status;
}

/* Uses the port up without a reply that is invalid. */
LM_SETUP kern_return_t lm_reply_refuse(mach_port_t replyPort)
{
    uint32_t token;
    struct lm_object *object = replyPort ? lm_port_consume(replyPort, LM_PORT_REPLY, &token) : NULL;
    if (!object)
        return replyPort ? MACH_SEND_INVALID_RIGHT : KERN_INVALID_ARGUMENT;
    lm_session_drop_call(LM_CONTAINER(object, struct lm_session, object), token);
    lm_release(object);
    return KERN_INVALID_ARGUMENT;
}

LM_API kern_return_t LMReplySend(mach_port_t replyPort, const LMReply *reply)
{
    uint32_t token = 0;
    kern_return_t status = KERN_SUCCESS;
    if (!reply || !lm_reply_valid(reply))
        return lm_reply_refuse(replyPort);
    if (replyPort) {
        struct lm_object *object = lm_port_consume(replyPort, LM_PORT_REPLY, &token);
        if (!object)
            return lm_status_told("answer as", "(not a reply port)", -1, MACH_SEND_INVALID_RIGHT);
        status = lm_reply_send(LM_CONTAINER(object, struct lm_session, object), token, reply);
        lm_release(object);
    }
    if (reply->buffer)
        lm_buffer_settle(reply->buffer, status == KERN_SUCCESS);
    return status;
}

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

/* --- The same in fewer words --- */

LM_API kern_return_t LMSendReplyWithDescriptors(mach_port_t replyPort, const void *data, uint32_t length,
                                                const int *descriptors, uint32_t count)
{
    LMReply reply = {data, length, count, descriptors, NULL, 0, {0, 0}};
    return LMReplySend(replyPort, &reply);
}

LM_API kern_return_t LMSendReply(mach_port_t replyPort, const void *data, uint32_t length)
{
    return LMSendReplyWithDescriptors(replyPort, data, length, NULL, 0);
}

LM_API kern_return_t LMSendIntegerReply(mach_port_t replyPort, int integer)
{
    int32_t value = (int32_t)integer;
    return LMSendReply(replyPort, &value, sizeof value);
}

LM_API kern_return_t LMSendStatusReply(mach_port_t replyPort, int32_t status)
{
    LMReply reply = {NULL, 0, 0, NULL, NULL, status, {0, 0}};
    return LMReplySend(replyPort, &reply);
}

LM_API kern_return_t LMSendReplyBuffer(mach_port_t replyPort, LMBufferRef *buffer)
{
    LMReply reply = {NULL, 0, 0, NULL, buffer, 0, {0, 0}};
    return buffer ? LMReplySend(replyPort, &reply) : lm_reply_refuse(replyPort);
}

LM_API kern_return_t LMSendCFDataReply(mach_port_t replyPort, CFDataRef data)
{
    CFIndex length = data ? CFDataGetLength(data) : 0;
    if ((uint64_t)length > UINT32_MAX) {
        kern_return_t status = lm_reply_refuse(replyPort);
        return status == KERN_INVALID_ARGUMENT ? MACH_SEND_TOO_LARGE : status;
    }
    return LMSendReply(replyPort, data ? CFDataGetBytePtr(data) : NULL, (uint32_t)length);
}

#endif
