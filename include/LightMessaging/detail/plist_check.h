/* SPDX-License-Identifier: MIT */
/* What a peer sends as a property list is looked over before a parser, which may recurse, gets it. */
#ifndef LM_DETAIL_PLIST_CHECK_H
#define LM_DETAIL_PLIST_CHECK_H

#include "base.h"

/* How large a property list may be. The helpers of both languages hold to these, sending and receiving. */
#define LM_PROPERTY_LIST_DEPTH  256u       /* containers within each other; parsers recurse, and stacks may be small */
#define LM_PROPERTY_LIST_BYTES  0x4000000u /* also once values that a binary list shares are written out */
#define LM_PROPERTY_LIST_VALUES 0x200000u  /* and keys, counted like that; parsed they take some 200 bytes each */

#include "plist_binary.h"
#include "plist_xml.h"

LM_INTERNAL bool lm_plist_is_binary(const void *bytes, uint32_t length)
{
    return length >= LM_BPLIST_HEADER && memcmp(bytes, LM_BPLIST_MAGIC, LM_BPLIST_HEADER) == 0;
}

/* 0: a parser may have it. -EINVAL: it is no property list, -E2BIG: it is too deep or too large, -ENOMEM. */
LM_INTERNAL int lm_plist_check(const void *bytes, uint32_t length)
{
    if (length > LM_PROPERTY_LIST_BYTES)
        return -E2BIG;
    if (lm_plist_is_binary(bytes, length))
        return lm_bplist_check((const unsigned char *)bytes, length);
    return lm_xml_check(bytes, length);
}

#endif
