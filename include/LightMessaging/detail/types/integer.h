/* SPDX-License-Identifier: MIT */
/* One family of functions for each integer type. */
#include "../../Integer.h"

#ifndef LM_DETAIL_TYPES_INTEGER_H
#define LM_DETAIL_TYPES_INTEGER_H

#define LM_INTEGER(name, type)                                                                                         \
    static inline kern_return_t LMConnectionSendOneWay##name(LMConnectionRef connection, SInt32 messageId,             \
                                                             type integer)                                             \
    {                                                                                                                  \
        return LMConnectionSendOneWay(connection, messageId, &integer, sizeof integer);                                \
    }                                                                                                                  \
    static inline kern_return_t LMConnectionSendTwoWay##name(LMConnectionRef connection, SInt32 messageId,             \
                                                             type integer, LMResponseBuffer *response)                 \
    {                                                                                                                  \
        return LMConnectionSendTwoWay(connection, messageId, &integer, sizeof integer, response);                      \
    }                                                                                                                  \
    static inline kern_return_t LMSend##name##Reply(mach_port_t replyPort, type integer)                               \
    {                                                                                                                  \
        return LMSendReply(replyPort, &integer, sizeof integer);                                                       \
    }                                                                                                                  \
    static inline bool LMMessageGet##name(LMMessage *message, type *integer)                                           \
    {                                                                                                                  \
        if (LMMessageGetDataLength(message) != sizeof *integer)                                                        \
            return false;                                                                                              \
        memcpy(integer, LMMessageGetData(message), sizeof *integer);                                                   \
        return true;                                                                                                   \
    }                                                                                                                  \
    static inline type LMResponseConsume##name(LMResponseBuffer *response)                                             \
    {                                                                                                                  \
        type integer = 0;                                                                                              \
        LMMessageGet##name(&response->message, &integer);                                                              \
        LMResponseBufferFree(response);                                                                                \
        return integer;                                                                                                \
    }

LM_INTEGER(Int8, int8_t)
LM_INTEGER(Int16, int16_t)
LM_INTEGER(Int32, int32_t)
LM_INTEGER(Int64, int64_t)
LM_INTEGER(UInt8, uint8_t)
LM_INTEGER(UInt16, uint16_t)
LM_INTEGER(UInt32, uint32_t)
LM_INTEGER(UInt64, uint64_t)

#undef LM_INTEGER

#endif
