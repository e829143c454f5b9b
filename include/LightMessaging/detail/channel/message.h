/* SPDX-License-Identifier: MIT */
/*
 * LMMessage as the program gets it, always built here from checked parts. Up to LM_INLINE_MAX bytes of data are in
 * line, so a message must be the head of an LMResponseBuffer. More are in memory of their own, which the message owns.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CHANNEL_MESSAGE_H
#define LM_DETAIL_CHANNEL_MESSAGE_H

#include "parcel.h"
#include "segment.h"

#define LM_MESSAGE_HEADER offsetof(LMMessage, data.in_line.bytes)

/* Allocates memory aligned to 16 bytes, for free(). NULL: no memory. */
LM_INTERNAL void *lm_data_new(uint32_t length)
{
    size_t size = ((size_t)length + 15) & ~(size_t)15;
    return size < length ? NULL : aligned_alloc(16, size); /* where size_t has 32 bits, the sum may wrap */
}

/* Allocates one byte more than `length`, for a NUL, aligned as malloc does. */
LM_INTERNAL void *lm_text_new(uint32_t length)
{
    size_t size = (size_t)length + 1;
    return size > length ? malloc(size) : NULL;
}

/* Makes an empty message, which owns nothing. Its earlier contents are not read. */
LM_INTERNAL void lm_message_init(LMMessage *message)
{
    memset(message, 0, sizeof *message);
    message->head.msgh_size = (mach_msg_size_t)sizeof *message;
}

/* Gives the message data that came from lm_data_new. */
LM_INTERNAL void lm_message_adopt(LMMessage *message, void *data, uint32_t length)
{
    message->head.msgh_bits = MACH_MSGH_BITS_COMPLEX;
    message->body.msgh_descriptor_count = 1;
    message->data.out_of_line.descriptor.address = data;
    message->data.out_of_line.descriptor.size = length;
}

LM_API void LMResponseBufferFree(LMResponseBuffer *response)
{
    if (!response)
        return;
    if (response->message.lent)
        lm_segment_give_back(response->message.lent);
    else if (response->message.body.msgh_descriptor_count)
        free(response->message.data.out_of_line.descriptor.address);
    lm_parcel_free(response->message.descriptors);
    response->message.descriptors = NULL;
    response->message.lent = NULL;
    response->message.head.msgh_bits = 0;
    response->message.body.msgh_descriptor_count = 0;
    response->message.data.in_line.length = 0;
}

/* Returns room for that many bytes, and frees what the message held. NULL: no memory. */
LM_INTERNAL void *lm_message_reserve(LMMessage *message, uint32_t length)
{
    unsigned char *bytes = (unsigned char *)message + LM_MESSAGE_HEADER;
    LMResponseBufferFree((LMResponseBuffer *)(void *)message);
    if (length <= LM_INLINE_MAX) {
        message->data.in_line.length = length;
        if (LM_MESSAGE_HEADER + length > sizeof *message)
            message->head.msgh_size = (mach_msg_size_t)((LM_MESSAGE_HEADER + length + 3) & ~(size_t)3);
        return bytes;
    }
    void *data = lm_data_new(length);
    if (data)
        lm_message_adopt(message, data, length);
    return data;
}

/* Gives the message the data in a segment, and a reference to that. */
LM_INTERNAL void lm_message_borrow(LMMessage *message, struct lm_segment *segment, uint32_t length)
{
    LMResponseBufferFree((LMResponseBuffer *)(void *)message);
    lm_message_adopt(message, segment->data, length);
    message->lent = segment;
}

/* Releases a segment that its sender has taken back; it is not given back. */
LM_INTERNAL void lm_message_disown(LMMessage *message)
{
    lm_release(&message->lent->object);
    lm_message_init(message);
}

/* Moves everything that a message holds to another. Both are heads of LMResponseBuffers. */
LM_INTERNAL void lm_message_move(LMMessage *from, LMMessage *to)
{
    size_t end = from->body.msgh_descriptor_count ? 0 : LM_MESSAGE_HEADER + from->data.in_line.length;
    memcpy(to, from, end > sizeof *from ? end : sizeof *from);
    lm_message_init(from);
}

LM_API void *LMMessageGetData(const LMMessage *message)
{
    if (!message)
        return NULL;
    if (message->body.msgh_descriptor_count)
        return message->data.out_of_line.descriptor.address;
    return message->data.in_line.length ? (void *)((uintptr_t)message + LM_MESSAGE_HEADER) : NULL;
}

LM_API uint32_t LMMessageGetDataLength(const LMMessage *message)
{
    if (!message)
        return 0;
    if (message->body.msgh_descriptor_count)
        return message->data.out_of_line.descriptor.size;
    return lm_min32(message->data.in_line.length, LM_INLINE_MAX);
}

/* Copies data that came in a lent buffer: the sender can still write to that, and data must not change between a check
 * and their use. False: no memory, and nothing has changed. */
LM_INTERNAL bool lm_message_keep(LMMessage *message)
{
    if (!message->lent)
        return true;
    uint32_t length = LMMessageGetDataLength(message);
    void *data = lm_data_new(length);
    if (!data)
        return false;
    memcpy(data, LMMessageGetData(message), length);
    lm_segment_give_back(message->lent);
    message->lent = NULL;
    lm_message_adopt(message, data, length);
    return true;
}

LM_API SInt32 LMMessageGetIdentifier(const LMMessage *message)
{
    return message ? message->head.msgh_id : 0;
}

LM_API mach_port_t LMMessageGetReplyPort(const LMMessage *message)
{
    return message ? message->head.msgh_remote_port : MACH_PORT_NULL;
}

LM_API void LMMessageFree(LMMessage *message)
{
    LMResponseBufferFree((LMResponseBuffer *)(void *)message);
}

LM_API LMResponseBuffer *LMResponseCreate(void)
{
    LMResponseBuffer *response = (LMResponseBuffer *)lm_data_new((uint32_t)sizeof *response);
    if (response)
        lm_message_init(&response->message);
    return response;
}

LM_API void LMResponseFree(LMResponseBuffer *response)
{
    LMResponseBufferFree(response);
    free(response);
}

LM_API int32_t LMResponseGetStatus(const LMResponseBuffer *response)
{
    return response ? response->message.head.msgh_id : 0;
}

LM_API uint32_t LMMessageGetDescriptorCount(const LMMessage *message)
{
    return message && message->descriptors ? message->descriptors->count : 0;
}

LM_API int LMMessageTakeDescriptor(LMMessage *message, uint32_t index)
{
    if (index >= LMMessageGetDescriptorCount(message))
        return -1;
    int descriptor = message->descriptors->descriptors[index];
    message->descriptors->descriptors[index] = -1;
    return descriptor;
}

LM_API bool LMDataWithSizeIsValidMessage(const void *data, CFIndex size)
{
    const LMMessage *message = (const LMMessage *)data;
    if (!data || size < (CFIndex)sizeof *message)
        return false;
    if (message->body.msgh_descriptor_count)
        return true;
    return message->data.in_line.length <= (size_t)size - LM_MESSAGE_HEADER;
}

LM_API int32_t LMResponseConsumeInteger(LMResponseBuffer *response)
{
    int32_t integer = 0;
    if (!response)
        return 0;
    if (LMMessageGetDataLength(&response->message) == sizeof integer)
        memcpy(&integer, LMMessageGetData(&response->message), sizeof integer);
    LMResponseBufferFree(response);
    return integer;
}

#endif
