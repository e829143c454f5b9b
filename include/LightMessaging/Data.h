/* SPDX-License-Identifier: MIT */
/* Receives messages as CFData. LightMessaging.h has the functions that send them: LMConnectionSendOneWayData,
 * LMConnectionSendTwoWayData, LMSendCFDataReply. Any thread. */
#ifndef LIGHTMESSAGING_DATA_H
#define LIGHTMESSAGING_DATA_H

#include "detail/ground/quiet.h"
#include "LightMessaging.h"

/*
 * Takes the data of a response, or of a request cast from LMMessage *, which is empty afterwards. Data of more than
 * LM_INLINE_MAX bytes are not copied, unless they arrived in a lent buffer: those are copied, and the buffer returns to
 * its sender. Returns a CFData, to be released with CFRelease; it has no bytes if the message is empty. NULL if memory
 * runs out.
 */
LM_API CFDataRef LMResponseConsumeData(LMResponseBuffer *response);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/types/data.h"
#endif

#include "detail/ground/quiet_end.h"

#endif
