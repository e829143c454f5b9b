/* SPDX-License-Identifier: MIT */
/* Text messages. The text is checked by the sender and by the receiver. */
#include "../../String.h"

#ifndef LM_DETAIL_TYPES_STRING_H
#define LM_DETAIL_TYPES_STRING_H

#include "../client/send.h"
#include "../service/send_reply.h"
#include "string_senders.h"
#include "../ground/utf8.h"

/* Computes the length to send; 0 for NULL. */
LM_INTERNAL kern_return_t lm_text_parts(const char *text, uint32_t *length)
{
    uint64_t size = text ? strlen(text) : 0;
    *length = (uint32_t)size;
    if (size > UINT32_MAX)
        return MACH_SEND_TOO_LARGE;
    return lm_utf8_valid(text, (size_t)size) ? KERN_SUCCESS : MACH_SEND_INVALID_DATA;
}

LM_API kern_return_t lm_send_string(LMConnectionRef connection, SInt32 messageId, const char *text,
                                    uint32_t file_timeout, LMResponseBuffer *response)
{
    LMSend send = {messageId, 0, text, 0, 0, NULL, NULL, NULL, {0, 0}};
    kern_return_t status = lm_text_parts(text, &send.length);
    if (status && response)
        lm_message_init(&response->message);
    return status ? status : lm_send(connection, &send, file_timeout, response);
}

LM_API kern_return_t LMSendStringReply(mach_port_t replyPort, const char *text)
{
    uint32_t length;
    kern_return_t status = lm_text_parts(text, &length);
    if (status == KERN_SUCCESS)
        return LMSendReply(replyPort, text, length);
    lm_port_deallocate(replyPort);
    return status;
}

LM_API char *LMResponseConsumeString(LMResponseBuffer *response)
{
    bool kept = lm_message_keep(&response->message);
    uint32_t length = LMMessageGetDataLength(&response->message);
    const char *bytes = (const char *)LMMessageGetData(&response->message);
    if (length > 0 && bytes[length - 1] == 0)
        length--;
    char *text = kept && lm_text_valid(bytes, length) ? (char *)lm_text_new(length) : NULL;
    if (text) {
        if (length > 0)
            memcpy(text, bytes, length);
        text[length] = 0;
    }
    LMResponseBufferFree(response);
    return text;
}

#endif
