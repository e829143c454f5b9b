/* SPDX-License-Identifier: MIT */
/* A translation unit whose calls have a timeout of 300 milliseconds. */
#define LIGHTMESSAGING_TIMEOUT 300
#include "pair_timeouts_units.h"

kern_return_t one_way_300(LMConnectionRef connection, SInt32 id, const void *data, uint32_t length)
{
    return LMConnectionSendOneWay(connection, id, data, length);
}

kern_return_t two_way_300(LMConnectionRef connection, SInt32 id, const void *data, uint32_t length,
                          LMResponseBuffer *buffer)
{
    return LMConnectionSendTwoWay(connection, id, data, length, buffer);
}
