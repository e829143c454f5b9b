/* SPDX-License-Identifier: MIT */
/* CoreFoundation's clock and data. */
#include "../../CoreFoundation.h"

#ifndef LM_DETAIL_CF_BASE_H
#define LM_DETAIL_CF_BASE_H

#include "constants.h"
#include "object.h"
#include "../ground/deadline.h"

#define LM_CLOCK_REALTIME 0
#define LM_CF_EPOCH       978307200.0 /* 2001-01-01 in seconds since 1970-01-01, both UTC */

struct lm_data {
    struct lm_object object;
    const UInt8 *bytes;
    CFIndex length;
    void *owned; /* freed with the object; NULL: the bytes belong to another owner or follow the object */
};

LM_API CFAbsoluteTime CFAbsoluteTimeGetCurrent(void)
{
    struct lm_timespec now = {0, 0};
    lm_libc_clock_gettime(LM_CLOCK_REALTIME, &now);
    return (double)now.seconds - LM_CF_EPOCH + (double)now.nanoseconds / 1e9;
}

LM_INTERNAL void lm_data_destroy(struct lm_object *object)
{
    struct lm_data *data = LM_CONTAINER(object, struct lm_data, object);
    free(data->owned);
    free(data);
}

/* Creates a data object with `extra` bytes of memory after it. */
LM_INTERNAL struct lm_data *lm_data_create(const UInt8 *bytes, CFIndex length, size_t extra)
{
    if (length < 0 || (!bytes && length > 0))
        return NULL;
    struct lm_data *data = (struct lm_data *)malloc(sizeof *data + extra);
    if (!data)
        return NULL;
    memset(data, 0, sizeof *data);
    lm_object_init(&data->object, lm_data_destroy);
    data->bytes = bytes;
    data->length = length;
    return data;
}

LM_API CFDataRef CFDataCreate(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length)
{
    (void)allocator;
    struct lm_data *data = lm_data_create(bytes, length, length > 0 ? (size_t)length : 0);
    if (!data)
        return NULL;
    UInt8 *copy = (UInt8 *)(data + 1);
    if (length > 0)
        memcpy(copy, bytes, (size_t)length);
    data->bytes = copy;
    return data;
}

LM_API CFDataRef CFDataCreateWithBytesNoCopy(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length,
                                             CFAllocatorRef deallocator)
{
    (void)allocator;
    struct lm_data *data = lm_data_create(bytes, length, 0);
    if (data && deallocator != kCFAllocatorNull)
        data->owned = (void *)(uintptr_t)bytes;
    return data;
}

LM_API const UInt8 *CFDataGetBytePtr(CFDataRef data)
{
    return data->bytes;
}

LM_API CFIndex CFDataGetLength(CFDataRef data)
{
    return data->length;
}

LM_API CFDataRef CFDataCreateCopy(CFAllocatorRef allocator, CFDataRef data)
{
    bool owns_bytes = data->owned || data->bytes == (const UInt8 *)(data + 1);
    return owns_bytes ? (CFDataRef)CFRetain(data) : CFDataCreate(allocator, data->bytes, data->length);
}

LM_API CFRange CFRangeMake(CFIndex location, CFIndex length)
{
    CFRange range = {location, length};
    return range;
}

LM_API void CFDataGetBytes(CFDataRef data, CFRange range, UInt8 *buffer)
{
    if (range.location >= 0 && range.length > 0 && range.location <= data->length &&
        range.length <= data->length - range.location)
        memcpy(buffer, data->bytes + range.location, (size_t)range.length);
}

#endif
