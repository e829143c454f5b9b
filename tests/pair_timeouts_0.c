/* SPDX-License-Identifier: MIT */
/* A translation unit whose calls have a timeout of 0 milliseconds. */
#define LIGHTMESSAGING_TIMEOUT 0
#include "pair_timeouts_units.h"

kern_return_t one_way_0(LMConnectionRef connection, SInt32 id, const void *data, uint32_t length)
{
    return LMConnectionSendOneWay(connection, id, data, length);
}

kern_return_t two_way_0(LMConnectionRef connection, SInt32 id, const void *data, uint32_t length,
                        LMResponseBuffer *buffer)
{
    return LMConnectionSendTwoWay(connection, id, data, length, buffer);
}
