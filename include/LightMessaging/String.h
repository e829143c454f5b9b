/* SPDX-License-Identifier: MIT */
/*
 * Text, as UTF-8 without a NUL. What is not UTF-8, or has a NUL in it, is neither sent nor received; a single NUL at
 * the end of received text is taken for the C string's own, since many programs send strlen(text) + 1 bytes.
 */
#ifndef LIGHTMESSAGING_STRING_H
#define LIGHTMESSAGING_STRING_H

#include "LightMessaging.h"

/* As LMConnectionSendOneWay, LMConnectionSendTwoWay and LMSendReply. NULL is an empty message, as "" is. Besides their
 * errors: MACH_SEND_INVALID_DATA if the text is not UTF-8 (a reply port is used up, and its client's wait ends with
 * MACH_RCV_PORT_DIED). The text stays yours. */
LM_API kern_return_t LMConnectionSendOneWayString(LMConnectionRef connection, SInt32 messageId, const char *text);
LM_API kern_return_t LMConnectionSendTwoWayString(LMConnectionRef connection, SInt32 messageId, const char *text,
                                                  LMResponseBuffer *response);
LM_API kern_return_t LMSendStringReply(mach_port_t replyPort, const char *text);

/* The text of a response (or of a request, cast from LMMessage *), which is freed, with a NUL at its end: yours, for
 * free(). "" if it is empty; NULL if it is not UTF-8 or memory runs out. Any thread. */
LM_API char *LMResponseConsumeString(LMResponseBuffer *response);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/types/string.h"
#endif

#endif
