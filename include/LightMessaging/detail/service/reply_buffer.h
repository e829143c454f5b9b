/* SPDX-License-Identifier: MIT */
/* Replies in lent buffers. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_REPLY_BUFFER_H
#define LM_DETAIL_SERVICE_REPLY_BUFFER_H

#include "../channel/buffer.h"
#include "reply.h"

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
    answer.out.token = token;
    if (lends) {
        lease = lm_segment_lend(buffer);
        answer.out.kind = LM_FRAME_LENT;
        answer.out.data = (const unsigned char *)&lease;
        answer.out.length = (uint32_t)sizeof lease;
        answer.out.descriptors = &buffer->memory;
        answer.out.descriptor_count = buffer->memory >= 0;
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
