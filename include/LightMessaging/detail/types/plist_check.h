/* SPDX-License-Identifier: MIT */
/* Checks a property list from a peer before it is passed to a parser, which may be recursive. */
#ifndef LM_DETAIL_TYPES_PLIST_CHECK_H
#define LM_DETAIL_TYPES_PLIST_CHECK_H

#include "plist_binary.h"
#include "plist_xml.h"

LM_INTERNAL bool lm_plist_is_binary(const void *bytes, uint32_t length)
{
    return length >= LM_BPLIST_HEADER && memcmp(bytes, LM_BPLIST_MAGIC, LM_BPLIST_HEADER) == 0;
}

/* Returns 0 if a parser may get the list. -EINVAL: not a property list, -E2BIG: too deep or too large, -ENOMEM. */
LM_INTERNAL int lm_plist_check(const void *bytes, uint32_t length)
{
    if (length > LM_PROPERTY_LIST_BYTES)
        return -E2BIG;
    if (lm_plist_is_binary(bytes, length))
        return lm_bplist_check((const unsigned char *)bytes, length);
    return lm_xml_check(bytes, length);
}

#endif
