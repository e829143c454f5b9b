/* SPDX-License-Identifier: MIT */
/*
 * Property lists as messages, in C: values of libplist (include <plist/plist.h>, link with -lplist-2.0). In Objective-C
 * this header adds nothing; LightMessaging.h has the same functions for Foundation's objects. C and Objective-C
 * programs can exchange property lists.
 *
 * A property list is a dictionary, array, string, data, date, integer, real or boolean, or a UID of libplist. It is
 * sent in the binary format and received in the binary format or XML. Unlike structs, it means the same on every
 * machine, whatever the word size and byte order.
 *
 * The library checks what a peer sends before a parser sees it. Containers may be 256 deep. A list may have 64 MiB and
 * 2 million values and keys; a value that a binary list shares counts each time that it occurs. (plist_limits.h has the
 * reasons for these numbers.) A list beyond these limits or a malformed list is refused, alike in C and Objective-C,
 * and is not sent either. Limits of values:
 *
 *   integers   64 bits with a sign. libplist treats 2^63 and more in plist_new_uint as negative numbers. An NSNumber of
 *              2^63 or more is not sent, and integers of 16 bytes are refused
 *   dates      years 1 to 9999; in XML, whole seconds
 *   strings    Unicode without U+0000 and without unpaired surrogates
 *   reals      Foundation writes no NaN
 *   UIDs       in C only, up to four bytes; Foundation refuses a list with a UID
 *
 * XML is accepted as Apple's, libplist's and GNUstep's writers produce it: UTF-8, <plist> around one value, no
 * attributes elsewhere, no entity definitions, no processing instructions, comments only between elements, decimal
 * integers. The leading <?xml?> and DOCTYPE may be missing. libplist reads references (&amp;) slowly, so their number
 * is limited: a text of 200,000 bytes may have about 20,000, a text of twice the length half as many, and all texts
 * together no more than that. Binary lists contain no references.
 *
 * Ownership: a returned list belongs to the caller, who frees it with plist_free; a list that is passed in remains the
 * caller's. Threads: any, as long as no other thread changes the list.
 */
#ifndef LIGHTMESSAGING_PROPERTYLIST_H
#define LIGHTMESSAGING_PROPERTYLIST_H

#include "detail/ground/quiet.h"
#include "LightMessaging.h"

#ifndef __OBJC__

#include <plist/plist.h>

/*
 * Parses `length` bytes in either format and stores the list in *list; NULL after an error:
 *
 *   KERN_INVALID_ARGUMENT   `list` is NULL, or `data` is NULL and `length` is not 0
 *   MACH_SEND_INVALID_DATA  the bytes are not a property list; this includes no bytes at all
 *   MACH_SEND_TOO_LARGE     the list is too deep or too large
 *   KERN_RESOURCE_SHORTAGE  no memory
 */
LM_API kern_return_t LMPropertyListParse(const void *data, uint32_t length, plist_t *list);

/* The same for a CFData. Returns the list; NULL after any of these errors, or if `data` is NULL. */
LM_API plist_t LMPropertyListForData(CFDataRef data);
/* Converts a list to the binary format. Returns a CFData, to be released with CFRelease; NULL if the list is NULL, too
 * deep or too large, has a string that is not UTF-8 or a value beyond the limits above, or memory runs out. */
LM_API CFDataRef LMDataForPropertyList(plist_t list);

/*
 * Send a list. NULL sends an empty message. Errors as in LMConnectionSend, and:
 *
 *   MACH_SEND_INVALID_DATA  LMDataForPropertyList cannot convert the list
 */
LM_FILE_API kern_return_t LMConnectionSendOneWayPropertyList(LMConnectionRef connection, SInt32 messageId,
                                                             plist_t list);
LM_FILE_API kern_return_t LMConnectionSendTwoWayPropertyList(LMConnectionRef connection, SInt32 messageId, plist_t list,
                                                             LMResponseBuffer *response);
/* Replies with a list. NULL sends an empty reply. The reply port is used up, whatever is returned. Errors as in
 * LMSendReply, and MACH_SEND_INVALID_DATA as above: then the client's wait ends with MACH_RCV_PORT_DIED. */
LM_API kern_return_t LMSendPropertyListReply(mach_port_t replyPort, plist_t list);
/* Parses the list of a response, or of a request cast from LMMessage *, and frees the response. Returns the list; NULL
 * if the message is empty or not a property list, or memory runs out. */
LM_API plist_t LMResponseConsumePropertyList(LMResponseBuffer *response);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/types/property_list.h"
#endif
#ifdef LM_FILE_CODE
#include "detail/types/property_list_senders.h"
#endif

#endif

#include "detail/ground/quiet_end.h"

#endif
