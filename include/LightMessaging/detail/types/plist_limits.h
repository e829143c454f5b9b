/* SPDX-License-Identifier: MIT */
/* Size limits of property lists. */
#ifndef LM_DETAIL_TYPES_PLIST_LIMITS_H
#define LM_DETAIL_TYPES_PLIST_LIMITS_H

/* The helpers of both languages enforce these limits when they send and when they receive. */
#define LM_PROPERTY_LIST_DEPTH  256u       /* nested containers; parsers recurse, and stacks may be small */
#define LM_PROPERTY_LIST_BYTES  0x4000000u /* also after values that a binary list shares are copied */
#define LM_PROPERTY_LIST_VALUES 0x200000u  /* values and keys, counted likewise; about 200 bytes each when parsed */

#endif
