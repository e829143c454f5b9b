/* SPDX-License-Identifier: MIT */
/*
 * Takes over a message's data with as few copies as possible. The message is empty afterwards. Data in a lent buffer
 * are copied, because the sender can still write to the buffer; the buffer is given back at once.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CHANNEL_TAKE_H
#define LM_DETAIL_CHANNEL_TAKE_H

#include "message.h"

/* Returns the data as one block for free(). NULL: no memory. */
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

/* Returns the data as a CFData. NULL: no memory. */
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
