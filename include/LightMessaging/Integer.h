/* SPDX-License-Identifier: MIT */
/*
 * Integers of all widths, beside the 32-bit ones of LightMessaging.h. For each of Int8, Int16, Int32, Int64, UInt8,
 * UInt16, UInt32 and UInt64, with its type of <stdint.h>, here for Int64:
 *
 *   kern_return_t LMConnectionSendOneWayInt64(LMConnectionRef connection, SInt32 messageId, int64_t integer)
 *   kern_return_t LMConnectionSendTwoWayInt64(LMConnectionRef connection, SInt32 messageId, int64_t integer,
 *                                             LMResponseBuffer *response)
 *   kern_return_t LMSendInt64Reply(mach_port_t replyPort, int64_t integer)
 *       As LMConnectionSendOneWay, LMConnectionSendTwoWay and LMSendReply.
 *
 *   bool LMMessageGetInt64(LMMessage *message, int64_t *integer)
 *       Stores the integer that the message is; the message stays as it is. False, and nothing is stored, if it has
 *       another length.
 *
 *   int64_t LMResponseConsumeInt64(LMResponseBuffer *response)
 *       The integer that the response is, 0 if it has another length. Frees the response.
 *
 * They go as they are in memory, in this machine's byte order, like every struct that is sent so. What must mean the
 * same on a machine of another kind goes as a property list (PropertyList.h). Any thread.
 */
#ifndef LIGHTMESSAGING_INTEGER_H
#define LIGHTMESSAGING_INTEGER_H

#include "LightMessaging.h"
#include "detail/types/integer.h"

#endif
