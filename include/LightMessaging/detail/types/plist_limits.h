/* SPDX-License-Identifier: MIT */
/* How large a property list may be. */
#ifndef LM_DETAIL_TYPES_PLIST_LIMITS_H
#define LM_DETAIL_TYPES_PLIST_LIMITS_H

/* The helpers of both languages hold to these, sending and receiving. */
#define LM_PROPERTY_LIST_DEPTH  256u       /* containers within each other; parsers recurse, and stacks may be small */
#define LM_PROPERTY_LIST_BYTES  0x4000000u /* also once values that a binary list shares are written out */
#define LM_PROPERTY_LIST_VALUES 0x200000u  /* and keys, counted like that; parsed they take some 200 bytes each */

#endif
