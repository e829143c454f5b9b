/* SPDX-License-Identifier: MIT */
/* Checks UTF-8: the shortest form of each character, no surrogates, nothing beyond U+10FFFF. */
#ifndef LM_DETAIL_GROUND_UTF8_H
#define LM_DETAIL_GROUND_UTF8_H

#include "base.h"

/* Returns the length of the character that begins with this byte, 0 if none does. */
LM_INTERNAL size_t lm_utf8_width(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Returns whether the second byte may follow the first. Some first bytes restrict it, to exclude overlong forms,
 * surrogates and characters beyond U+10FFFF. */
LM_INTERNAL bool lm_utf8_pair(unsigned char first, unsigned char second)
{
    unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return second >= least && second <= most;
}

/* Returns the length of the character at `bytes`, of which `rest` are left; 0 if it is invalid. */
LM_INTERNAL size_t lm_utf8_step(const unsigned char *bytes, size_t rest)
{
    size_t width = lm_utf8_width(bytes[0]);
    if (width == 0 || width > rest || (width > 1 && !lm_utf8_pair(bytes[0], bytes[1])))
        return 0;
    for (size_t i = 2; i < width; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return width;
}

LM_INTERNAL bool lm_utf8_valid(const void *data, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)data;
    for (size_t at = 0, width; at < length; at += width) {
        width = lm_utf8_step(bytes + at, length - at);
        if (width == 0)
            return false;
    }
    return true;
}

/* Returns whether the bytes are UTF-8 without a NUL, so that they can be a C string. */
LM_INTERNAL bool lm_text_valid(const void *data, size_t length)
{
    return length == 0 || (!memchr(data, 0, length) && lm_utf8_valid(data, length));
}

#endif
