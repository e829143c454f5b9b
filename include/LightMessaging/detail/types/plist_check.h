/* SPDX-License-Identifier: MIT */
/* What a peer sends as a property list is looked over before a parser, which may recurse, gets it. */
#ifndef LM_DETAIL_TYPES_PLIST_CHECK_H
#define LM_DETAIL_TYPES_PLIST_CHECK_H

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
