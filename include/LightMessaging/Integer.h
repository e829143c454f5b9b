/* SPDX-License-Identifier: MIT */
/*
 * Integers of all widths as messages; LightMessaging.h itself has only 32-bit ones. These functions exist for Int8,
 * Int16, Int32, Int64, UInt8, UInt16, UInt32 and UInt64, each with its type from <stdint.h>. Shown for Int64:
 *
 *   kern_return_t LMConnectionSendOneWayInt64(LMConnectionRef connection, SInt32 messageId, int64_t integer)
 *   kern_return_t LMConnectionSendTwoWayInt64(LMConnectionRef connection, SInt32 messageId, int64_t integer,
 *                                             LMResponseBuffer *response)
 *   kern_return_t LMSendInt64Reply(mach_port_t replyPort, int64_t integer)
 *       Send an integer. Errors as in LMConnectionSend and LMReplySend.
 *
 *   bool LMMessageGetInt64(LMMessage *message, int64_t *integer)
 *       Stores the message's integer; the message does not change. Returns false, and stores nothing, if the message
 *       has another length.
 *
 *   int64_t LMResponseConsumeInt64(LMResponseBuffer *response)
 *       Returns the response's integer, or 0 if the response has another length. Frees the response.
 *
 * Integers are sent as they are in memory, in this machine's byte order, like every struct. To send values that mean
 * the same on other kinds of machines, use a property list (PropertyList.h). Any thread.
 */
#ifndef LIGHTMESSAGING_INTEGER_H
#define LIGHTMESSAGING_INTEGER_H

#include "detail/ground/quiet.h"
#include "LightMessaging.h"
#include "detail/types/integer.h"
#include "detail/ground/quiet_end.h"

#endif
