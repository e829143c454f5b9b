/* SPDX-License-Identifier: MIT */
/*
 * Taking a message's data over, with as little copying as there can be. The message is empty afterwards. Data that came
 * in a lent buffer are copied even so: its sender can still write to it, and gets it back at once.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CHANNEL_TAKE_H
#define LM_DETAIL_CHANNEL_TAKE_H

#include "message.h"

/* As one block for free(); NULL if memory runs out. */
LM_INTERNAL void *lm_message_take(LMMessage *message, uint32_t *length)
{
    void *data;
    *length = LMMessageGetDataLength(message);
    if (message->body.msgh_descriptor_count && !message->lent) {
        data = message->data.out_of_line.descriptor.address;
        message->body.msgh_descriptor_count = 0;
    } else {
        data = lm_text_new(*length);
        if (data && *length)
            memcpy(data, LMMessageGetData(message), *length);
    }
    LMResponseBufferFree((LMResponseBuffer *)(void *)message);
    return data;
}

/* As a CFData; NULL if memory runs out. */
LM_INTERNAL CFDataRef lm_message_take_data(LMMessage *message)
{
    uint32_t length;
    void *bytes = lm_message_take(message, &length);
    CFDataRef data = bytes ? CFDataCreateWithBytesNoCopy(kCFAllocatorDefault, (const UInt8 *)bytes, (CFIndex)length,
                                                         kCFAllocatorMalloc)
                           : NULL;
    if (!data)
        free(bytes);
    return data;
}

#endif
