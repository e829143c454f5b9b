/* SPDX-License-Identifier: MIT */
/*
 * Property lists, in C: values of libplist (include <plist/plist.h>, link with -lplist-2.0). Objective-C has the same
 * functions for Foundation's objects in LightMessaging.h, and the same lists go between both languages. In Objective-C
 * this header adds nothing.
 *
 * A property list is a dictionary, array, string, data, date, integer, real or boolean, or libplist's UID. It is sent
 * in the binary format and received in that or in XML. It means the same on every machine: word sizes and byte order
 * don't matter, as they do with structs sent as they are in memory.
 *
 * What comes from a peer is looked over before a parser sees it: containers may be 256 deep, and the list may have 2
 * million values and keys and 64 MiB, shared values counted each time. What is beyond that, or malformed, is refused in
 * both languages alike; it is not sent either. The limits of values:
 *
 *   integers   64 bits with a sign. libplist takes 2^63 and more for negative numbers in plist_new_uint, and Foundation
 *              does not say them: such an NSNumber is not sent, and integers of 16 bytes are refused.
 *   dates      in the years from 1 to 9999, in whole seconds in XML
 *   strings    Unicode without U+0000 and without halves of surrogates
 *   reals      Foundation writes no NaN
 *   UIDs       C only, up to four bytes: for Foundation there is no such list
 *
 * XML is what Apple's, libplist's and GNUstep's writers make of it, and no more: UTF-8, <plist> around one value, no
 * attributes elsewhere, no definitions, no instructions, comments between elements only, decimal integers. The <?xml?>
 * and DOCTYPE in front may be missing. References (&amp;) are slow to read: a text of 200,000 bytes may have some
 * 20,000, one of twice the length half as many, and all texts together no more than that; binary lists have none.
 *
 * Ownership is libplist's: a list that is returned is yours, for plist_free; one that is passed stays yours. Threads:
 * any, as long as nobody else changes the list.
 */
#ifndef LIGHTMESSAGING_PROPERTYLIST_H
#define LIGHTMESSAGING_PROPERTYLIST_H

#include "LightMessaging.h"

#ifndef __OBJC__

#include <plist/plist.h>

/*
 * The list that the bytes are, in either format; NULL, and an error, otherwise:
 *
 *   KERN_INVALID_ARGUMENT   NULL data with a length, or NULL list
 *   MACH_SEND_INVALID_DATA  not a property list; no bytes at all are none
 *   MACH_SEND_TOO_LARGE     too deep or too large
 *   KERN_RESOURCE_SHORTAGE  no memory
 */
LM_API kern_return_t LMPropertyListParse(const void *data, uint32_t length, plist_t *list);

/* The list that the data are, NULL if there is none. */
LM_API plist_t LMPropertyListForData(CFDataRef data);
/* In the binary format, to be given up with CFRelease. NULL if the list is NULL, too deep or too large, a string in it
 * is not UTF-8, or memory runs out. */
LM_API CFDataRef LMDataForPropertyList(plist_t list);

/* As LMConnectionSendOneWay and LMConnectionSendTwoWay. NULL is an empty message. Besides their errors:
 * MACH_SEND_INVALID_DATA if LMDataForPropertyList can't say the list. */
LM_API kern_return_t LMConnectionSendOneWayPropertyList(LMConnectionRef connection, SInt32 messageId, plist_t list);
LM_API kern_return_t LMConnectionSendTwoWayPropertyList(LMConnectionRef connection, SInt32 messageId, plist_t list,
                                                        LMResponseBuffer *response);
/* As LMSendReply. NULL is an empty reply. After MACH_SEND_INVALID_DATA the client's wait ends with MACH_RCV_PORT_DIED.
 */
LM_API kern_return_t LMSendPropertyListReply(mach_port_t replyPort, plist_t list);
/* The list in a response (or in a request, cast from LMMessage *), which is freed; NULL if there is none. */
LM_API plist_t LMResponseConsumePropertyList(LMResponseBuffer *response);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/types/property_list.h"
#endif

#endif
#endif
