/* SPDX-License-Identifier: MIT */
/* CFData, received. Sending them is in LightMessaging.h: LMConnectionSendOneWayData, LMConnectionSendTwoWayData,
 * LMSendCFDataReply. */
#ifndef LIGHTMESSAGING_DATA_H
#define LIGHTMESSAGING_DATA_H

#include "LightMessaging.h"

/* The bytes of a response (or of a request, cast from LMMessage *), which is empty afterwards, as a CFData that is
 * yours, to be given up with CFRelease. More than LM_INLINE_MAX are not copied, unless they came in a lent buffer,
 * which goes back. An empty message is a CFData without bytes; NULL only if memory runs out. Any thread. */
LM_API CFDataRef LMResponseConsumeData(LMResponseBuffer *response);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/types/data.h"
#endif

#endif
