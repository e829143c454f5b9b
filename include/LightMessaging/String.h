/* SPDX-License-Identifier: MIT */
/*
 * Text as messages: UTF-8 without a NUL. Text that is not UTF-8, or contains a NUL, is neither sent nor received. A
 * single NUL at the end of received text is accepted and removed, since many programs send strlen(text) + 1 bytes. Any
 * thread.
 */
#ifndef LIGHTMESSAGING_STRING_H
#define LIGHTMESSAGING_STRING_H

#include "detail/ground/quiet.h"
#include "LightMessaging.h"

/*
 * Send a text, without its NUL. NULL sends an empty message, like "". The text remains the caller's. Errors as in
 * LMConnectionSend and LMReplySend, and:
 *
 *   MACH_SEND_INVALID_DATA  the text is not UTF-8. LMSendStringReply has used up the reply port, and its client's wait
 *                           ends with MACH_RCV_PORT_DIED
 */
LM_FILE_API kern_return_t LMConnectionSendOneWayString(LMConnectionRef connection, SInt32 messageId, const char *text);
LM_FILE_API kern_return_t LMConnectionSendTwoWayString(LMConnectionRef connection, SInt32 messageId, const char *text,
                                                       LMResponseBuffer *response);
LM_API kern_return_t LMSendStringReply(mach_port_t replyPort, const char *text);

/* Copies the text of a response, or of a request cast from LMMessage *, and frees the response. Returns the text with a
 * NUL at its end, to be freed with free(); "" if the message is empty; NULL if it is not valid text or memory runs out.
 */
LM_API char *LMResponseConsumeString(LMResponseBuffer *response);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/types/string.h"
#endif
#ifdef LM_FILE_CODE
#include "detail/types/string_senders.h"
#endif

#include "detail/ground/quiet_end.h"

#endif
