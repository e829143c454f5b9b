/* SPDX-License-Identifier: MIT */
/* A picture as a message: a header with fixed widths and offsets, then the pixels. */
#include "../../Image.h"

#ifndef LM_DETAIL_TYPES_IMAGE_H
#define LM_DETAIL_TYPES_IMAGE_H

#include "../client/send.h"
#include "../service/send_reply.h"

#define LM_IMAGE_MAGIC 0x314d494cu /* "LIM1" in little-endian memory */

/* Precedes the pixels. Its size is that of a cache line, so that the pixels are aligned to one. */
struct lm_image_header {
    uint32_t magic;
    uint32_t width, height;
    uint32_t bits_per_component, bits_per_pixel;
    uint32_t bytes_per_row;
    uint32_t bitmap_info;
    float scale;
    uint32_t orientation;
    uint32_t unused[7];
};

/* The memory of a picture's header and pixels. */
struct lm_image_store {
    LMImage image;
    unsigned char *memory; /* memory to send; NULL: the picture was received, or was sent away */
    uint32_t length;
    mach_port_t reply;  /* reply that the memory is for; MACH_PORT_NULL: the picture owns it */
    LMBufferRef buffer; /* the buffer that the memory is part of, if it is for a reply */
    LMMessage message;  /* the received message */
};

/* --- Memory for the pixels --- */

/* Allocates memory to send from. For a reply, the library provides it, so that it can be lent. */
LM_INTERNAL kern_return_t lm_image_place(struct lm_image_store *store)
{
    if (store->reply) {
        kern_return_t status = LMReplyCreateBuffer(store->reply, store->length, &store->buffer);
        store->memory = status ? NULL : (unsigned char *)LMBufferGetBytes(store->buffer);
        return status;
    }
    store->memory = (unsigned char *)lm_data_new(store->length);
    return store->memory ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE;
}

/* Sends the picture. If its memory was for this reply, the memory is gone afterwards. */
LM_INTERNAL kern_return_t lm_image_send(struct lm_image_store *store, mach_port_t reply)
{
    if (!reply || store->reply != reply)
        return LMSendReply(reply, store->memory, store->length);
    kern_return_t status = LMSendReplyBuffer(reply, &store->buffer);
    if (!store->buffer)
        store->image.pixels = store->memory = NULL;
    return status;
}

LM_INTERNAL void lm_image_displace(struct lm_image_store *store)
{
    if (store->reply)
        LMBufferFree(store->buffer);
    else
        free(store->memory);
}

/* --- Header --- */

LM_INTERNAL uint64_t lm_image_size(const LMImage *image)
{
    return sizeof(struct lm_image_header) + (uint64_t)image->bytesPerRow * image->height;
}

/* Returns whether the header's numbers are consistent. */
LM_INTERNAL bool lm_image_valid(const LMImage *image)
{
    uint64_t row = ((uint64_t)image->width * image->bitsPerPixel + 7) / 8;
    return image->width > 0 && image->height > 0 && image->bitsPerComponent > 0 && image->bitsPerComponent <= 32 &&
           image->bitsPerPixel >= image->bitsPerComponent && image->bitsPerPixel <= 128 && row <= image->bytesPerRow &&
           image->scale > 0 && image->scale <= 1e6f && image->orientation < 8;
}

LM_INTERNAL struct lm_image_header lm_image_describe(const LMImage *image)
{
    struct lm_image_header header;
    memset(&header, 0, sizeof header);
    header.magic = LM_IMAGE_MAGIC;
    header.width = image->width;
    header.height = image->height;
    header.bits_per_component = image->bitsPerComponent;
    header.bits_per_pixel = image->bitsPerPixel;
    header.bytes_per_row = image->bytesPerRow;
    header.bitmap_info = image->bitmapInfo;
    header.scale = image->scale;
    header.orientation = image->orientation;
    return header;
}

/* Reads a message's header. Returns false if it is not a picture, or if the pixels exceed the message. */
LM_INTERNAL bool lm_image_read(LMImage *image, const unsigned char *bytes, uint32_t length)
{
    struct lm_image_header header;
    if (length < sizeof header)
        return false;
    memcpy(&header, bytes, sizeof header);
    image->width = header.width;
    image->height = header.height;
    image->bitsPerComponent = header.bits_per_component;
    image->bitsPerPixel = header.bits_per_pixel;
    image->bytesPerRow = header.bytes_per_row;
    image->bitmapInfo = header.bitmap_info;
    image->scale = header.scale;
    image->orientation = header.orientation;
    return header.magic == LM_IMAGE_MAGIC && lm_image_valid(image) && lm_image_size(image) <= length;
}

/* --- Pictures --- */

LM_API void LMImageFree(LMImage *image)
{
    struct lm_image_store *store = image ? image->store : NULL;
    if (!store)
        return;
    lm_image_displace(store);
    LMResponseBufferFree((LMResponseBuffer *)(void *)&store->message);
    free(store);
}

LM_INTERNAL struct lm_image_store *lm_image_store_create(void)
{
    struct lm_image_store *store = (struct lm_image_store *)lm_new(sizeof *store);
    if (!store)
        return NULL;
    lm_message_init(&store->message);
    store->image.store = store;
    return store;
}

/* Creates a picture with these numbers, which must be consistent, and memory for its pixels. */
LM_INTERNAL kern_return_t lm_image_create(const LMImage *like, mach_port_t reply, LMImage **image)
{
    struct lm_image_store *store = lm_image_store_create();
    *image = NULL;
    if (!store)
        return KERN_RESOURCE_SHORTAGE;
    store->image = *like;
    store->image.store = store;
    store->length = (uint32_t)lm_image_size(like);
    store->reply = reply;
    kern_return_t status = lm_image_place(store);
    if (status) {
        free(store);
        return status;
    }
    struct lm_image_header header = lm_image_describe(like);
    memcpy(store->memory, &header, sizeof header);
    store->image.pixels = store->memory + sizeof header;
    *image = &store->image;
    return KERN_SUCCESS;
}

LM_API LMImage *LMReplyCreateImage(mach_port_t replyPort, uint32_t width, uint32_t height, uint32_t bitmapInfo)
{
    LMImage image, *created = NULL;
    memset(&image, 0, sizeof image);
    if (width > UINT32_MAX / 4)
        return NULL;
    image.width = width;
    image.height = height;
    image.bitsPerComponent = 8;
    image.bitsPerPixel = 32;
    image.bytesPerRow = 4 * width;
    image.bitmapInfo = bitmapInfo;
    image.scale = 1;
    if (lm_image_valid(&image) && lm_image_size(&image) <= UINT32_MAX)
        lm_image_create(&image, replyPort, &created);
    return created;
}

LM_API LMImage *LMImageCreate(uint32_t width, uint32_t height, uint32_t bitmapInfo)
{
    return LMReplyCreateImage(MACH_PORT_NULL, width, height, bitmapInfo);
}

/* Copies a picture with its pixels into memory that can be sent. */
LM_INTERNAL kern_return_t lm_image_copy(const LMImage *image, mach_port_t reply, LMImage **copy)
{
    kern_return_t status = lm_image_create(image, reply, copy);
    if (status == KERN_SUCCESS)
        memcpy((*copy)->pixels, image->pixels, (size_t)image->bytesPerRow * image->height);
    return status;
}

/* Writes the numbers, which the caller may have changed, to the header. Returns false if the memory cannot be sent or
 * is too small for them. */
LM_INTERNAL bool lm_image_is_ready(const LMImage *image)
{
    struct lm_image_store *store = image->store;
    if (!store || !store->memory || lm_image_size(image) > store->length)
        return false;
    struct lm_image_header header = lm_image_describe(image);
    memcpy(store->memory, &header, sizeof header);
    return true;
}

LM_INTERNAL kern_return_t lm_image_reply(mach_port_t reply, const LMImage *image)
{
    if (lm_image_is_ready(image))
        return lm_image_send(image->store, reply);
    LMImage *copy;
    kern_return_t status = lm_image_copy(image, reply, &copy);
    if (status) {
        lm_port_deallocate(reply);
        return status;
    }
    status = lm_image_send(copy->store, reply);
    LMImageFree(copy);
    return status;
}

/* The body of LMSendImageReply; Objective-C uses it for its own images. */
LM_INTERNAL kern_return_t lm_image_answer(mach_port_t reply, const LMImage *image)
{
    if (!image)
        return LMSendReply(reply, NULL, 0);
    bool sendable = image->pixels && lm_image_valid(image);
    if (sendable && lm_image_size(image) <= UINT32_MAX)
        return lm_image_reply(reply, image);
    lm_port_deallocate(reply);
    return sendable ? MACH_SEND_TOO_LARGE : MACH_SEND_INVALID_DATA;
}

/* Takes over the data: data over LM_INLINE_MAX move with their owner. The rest of the message, which may be a request
 * with a reply port, stays. */
LM_INTERNAL bool lm_image_adopt(struct lm_image_store *store, LMMessage *message)
{
    if (message->body.msgh_descriptor_count) {
        store->message = *message;
        store->message.descriptors = NULL;
        message->lent = NULL;
        message->body.msgh_descriptor_count = 0;
        store->image.pixels = (unsigned char *)LMMessageGetData(&store->message) + sizeof(struct lm_image_header);
        return true;
    }
    store->length = LMMessageGetDataLength(message);
    store->memory = (unsigned char *)lm_data_new(store->length);
    if (!store->memory)
        return false;
    memcpy(store->memory, LMMessageGetData(message), store->length);
    store->image.pixels = store->memory + sizeof(struct lm_image_header);
    return true;
}

/* The body of LMResponseConsumeImage. */
LM_INTERNAL LMImage *lm_image_consume(LMResponseBuffer *response)
{
    LMMessage *message = &response->message;
    struct lm_image_store *store = lm_image_store_create();
    bool valid = store &&
                 lm_image_read(&store->image, (const unsigned char *)LMMessageGetData(message),
                               LMMessageGetDataLength(message)) &&
                 lm_image_adopt(store, message);
    LMResponseBufferFree(response);
    if (valid)
        return &store->image;
    free(store);
    return NULL;
}

#ifndef __OBJC__

LM_API kern_return_t LMSendImageReply(mach_port_t replyPort, const LMImage *image)
{
    return lm_image_answer(replyPort, image);
}

LM_API LMImage *LMResponseConsumeImage(LMResponseBuffer *response)
{
    return lm_image_consume(response);
}

#endif

#endif
