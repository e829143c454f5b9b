/* SPDX-License-Identifier: MIT */
/* CFString, as UTF-8. */
#include "../../CoreFoundation.h"

#ifndef LM_DETAIL_CF_STRING_H
#define LM_DETAIL_CF_STRING_H

#include "base.h"
#include "../ground/utf8.h"

LM_INTERNAL const char *lm_string_bytes(CFStringRef string)
{
    if (string->bytes)
        return string->bytes;
    return string == LM_MODE(0) ? "kCFRunLoopDefaultMode" : "kCFRunLoopCommonModes";
}

LM_INTERNAL size_t lm_string_length(CFStringRef string)
{
    return string->bytes ? string->length : strlen(lm_string_bytes(string));
}

LM_INTERNAL bool lm_is_ascii(const void *data, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)data;
    for (size_t i = 0; i < length; i++)
        if (bytes[i] >= 0x80)
            return false;
    return true;
}

LM_INTERNAL bool lm_string_encodable(const void *bytes, size_t length, CFStringEncoding encoding)
{
    return encoding == kCFStringEncodingUTF8 || (encoding == kCFStringEncodingASCII && lm_is_ascii(bytes, length));
}

LM_INTERNAL void lm_string_destroy(struct lm_object *object)
{
    free(LM_CONTAINER(object, struct lm_string, object));
}

LM_API CFStringRef CFStringCreateWithBytes(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length,
                                           CFStringEncoding encoding, Boolean isExternalRepresentation)
{
    size_t size = (size_t)length;
    (void)allocator, (void)isExternalRepresentation;
    if (length < 0 || (!bytes && length > 0) || !lm_string_encodable(bytes, size, encoding) ||
        !lm_text_valid(bytes, size))
        return NULL;
    struct lm_string *string = (struct lm_string *)malloc(sizeof *string + size + 1);
    if (!string)
        return NULL;
    char *copy = (char *)(string + 1);
    if (size)
        memcpy(copy, bytes, size);
    copy[size] = 0;
    lm_object_init(&string->object, lm_string_destroy);
    string->bytes = copy;
    string->length = size;
    return string;
}

LM_API CFStringRef CFStringCreateWithCString(CFAllocatorRef allocator, const char *string, CFStringEncoding encoding)
{
    if (!string)
        return NULL;
    return CFStringCreateWithBytes(allocator, (const UInt8 *)string, (CFIndex)strlen(string), encoding, false);
}

LM_API CFStringRef CFStringCreateFromExternalRepresentation(CFAllocatorRef allocator, CFDataRef data,
                                                            CFStringEncoding encoding)
{
    return data ? CFStringCreateWithBytes(allocator, CFDataGetBytePtr(data), CFDataGetLength(data), encoding, true)
                : NULL;
}

LM_API CFStringRef CFStringCreateCopy(CFAllocatorRef allocator, CFStringRef string)
{
    (void)allocator;
    return (CFStringRef)CFRetain(string);
}

/* Returns the index of the next character. Constant literals are not checked, so the byte may not begin a character. */
LM_INTERNAL size_t lm_string_next(const unsigned char *bytes, size_t at)
{
    size_t width = lm_utf8_width(bytes[at]);
    return at + (width ? width : 1);
}

/* Writes one byte for each character, at most `length` bytes; returns their number. */
LM_INTERNAL size_t lm_string_to_ascii(CFStringRef string, UInt8 *to, UInt8 loss)
{
    const unsigned char *bytes = (const unsigned char *)lm_string_bytes(string);
    size_t length = lm_string_length(string), count = 0;
    for (size_t at = 0; at < length; at = lm_string_next(bytes, at))
        to[count++] = bytes[at] < 0x80 ? bytes[at] : loss;
    return count;
}

LM_API CFDataRef CFStringCreateExternalRepresentation(CFAllocatorRef allocator, CFStringRef string,
                                                      CFStringEncoding encoding, UInt8 lossByte)
{
    const UInt8 *bytes = (const UInt8 *)lm_string_bytes(string);
    CFIndex length = (CFIndex)lm_string_length(string);
    if (lm_string_encodable(bytes, (size_t)length, encoding))
        return CFDataCreate(allocator, bytes, length);
    UInt8 *ascii = encoding == kCFStringEncodingASCII && lossByte ? (UInt8 *)malloc((size_t)length) : NULL;
    if (!ascii)
        return NULL;
    CFIndex count = (CFIndex)lm_string_to_ascii(string, ascii, lossByte);
    CFDataRef data = CFDataCreateWithBytesNoCopy(allocator, ascii, count, kCFAllocatorMalloc);
    if (!data)
        free(ascii);
    return data;
}

LM_API CFIndex CFStringGetLength(CFStringRef string)
{
    const unsigned char *bytes = (const unsigned char *)lm_string_bytes(string);
    CFIndex units = 0;
    for (size_t at = 0; at < lm_string_length(string); at = lm_string_next(bytes, at))
        units += lm_utf8_width(bytes[at]) == 4 ? 2 : 1;
    return units;
}

LM_API CFIndex CFStringGetMaximumSizeForEncoding(CFIndex length, CFStringEncoding encoding)
{
    return encoding == kCFStringEncodingUTF8 ? 3 * length : length;
}

LM_API const char *CFStringGetCStringPtr(CFStringRef string, CFStringEncoding encoding)
{
    const char *bytes = lm_string_bytes(string);
    return lm_string_encodable(bytes, lm_string_length(string), encoding) ? bytes : NULL;
}

LM_API Boolean CFStringGetCString(CFStringRef string, char *buffer, CFIndex size, CFStringEncoding encoding)
{
    const char *bytes = CFStringGetCStringPtr(string, encoding);
    size_t length = lm_string_length(string);
    if (!bytes || !buffer || size <= 0 || length >= (size_t)size)
        return false;
    memcpy(buffer, bytes, length + 1);
    return true;
}

LM_API CFComparisonResult CFStringCompare(CFStringRef a, CFStringRef b, CFOptionFlags options)
{
    (void)options;
    int order = strcmp(lm_string_bytes(a), lm_string_bytes(b)); /* UTF-8 sorts by code points */
    return order < 0 ? kCFCompareLessThan : order > 0 ? kCFCompareGreaterThan : kCFCompareEqualTo;
}

#endif
