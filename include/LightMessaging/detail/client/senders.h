/* SPDX-License-Identifier: MIT */
/* The sending functions that each file has for itself: they pass its LIGHTMESSAGING_TIMEOUT to each send. This file
 * holds nothing else. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_SENDERS_H
#define LM_DETAIL_CLIENT_SENDERS_H

/* Returns milliseconds in the form of LMSend.timeout, where 0 means unset. */
LM_INTERNAL uint32_t lm_explicit_timeout(uint32_t milliseconds)
{
    return milliseconds ? milliseconds : LM_TIMEOUT_POLL;
}

/* The file's timeout in the form of LMSend.timeout; 0: the file has none. */
#if defined(LIGHTMESSAGING_TIMEOUT) && !defined(LIGHTMESSAGING_IMPLEMENTATION)
#define LM_FILE_TIMEOUT lm_explicit_timeout((uint32_t)(LIGHTMESSAGING_TIMEOUT))
#else
#define LM_FILE_TIMEOUT 0u
#endif

LM_FLAT_API kern_return_t lm_send(LMConnectionRef connection, const LMSend *send, uint32_t file_timeout,
                                  LMResponseBuffer *response);
LM_API kern_return_t lm_send_async(LMConnectionRef connection, const LMSend *send, uint32_t file_timeout,
                                   CFRunLoopRef runLoop, LMReplyCallBack callback, void *info, LMCallRef *call);
LM_API kern_return_t lm_create_buffer(LMConnectionRef connection, uint32_t length, uint32_t file_timeout,
                                      LMBufferRef *buffer);
LM_API kern_return_t lm_set_spin(LMConnectionRef connection, uint32_t microseconds, uint32_t file_timeout);
LM_API bool lm_data_parts(CFDataRef data, const void **bytes, uint32_t *length);

LM_FILE_API kern_return_t LMConnectionSend(LMConnectionRef connection, const LMSend *send, LMResponseBuffer *response)
{
    return lm_send(connection, send, LM_FILE_TIMEOUT, response);
}

LM_FILE_API kern_return_t LMConnectionSendAsync(LMConnectionRef connection, const LMSend *send, CFRunLoopRef runLoop,
                                                LMReplyCallBack callback, void *info, LMCallRef *call)
{
    return lm_send_async(connection, send, LM_FILE_TIMEOUT, runLoop, callback, info, call);
}

LM_FILE_API kern_return_t LMConnectionCreateBuffer(LMConnectionRef connection, uint32_t length, LMBufferRef *buffer)
{
    return lm_create_buffer(connection, length, LM_FILE_TIMEOUT, buffer);
}

LM_FILE_API kern_return_t LMConnectionSetSpin(LMConnectionRef connection, uint32_t microseconds)
{
    return lm_set_spin(connection, microseconds, LM_FILE_TIMEOUT);
}

/* --- The same in fewer words: the functions' names say which fields of LMSend are set --- */

/* Sends a two-way message, which must have a place for the reply. */
LM_FLAT kern_return_t lm_ask(LMConnectionRef connection, const LMSend *send, LMResponseBuffer *response)
{
    return response ? lm_send(connection, send, LM_FILE_TIMEOUT, response) : KERN_INVALID_ARGUMENT;
}

LM_FILE_API kern_return_t LMConnectionSendOneWayWithDescriptors(LMConnectionRef connection, SInt32 messageId,
                                                                const void *data, uint32_t length,
                                                                const int *descriptors, uint32_t count,
                                                                uint32_t milliseconds)
{
    LMSend send = {messageId, lm_explicit_timeout(milliseconds), data, length, count, descriptors, NULL, NULL, {0, 0}};
    return lm_send(connection, &send, LM_FILE_TIMEOUT, NULL);
}

LM_FILE_API kern_return_t LMConnectionSendOneWayWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                            const void *data, uint32_t length, uint32_t milliseconds)
{
    LMSend send = {messageId, lm_explicit_timeout(milliseconds), data, length, 0, NULL, NULL, NULL, {0, 0}};
    return lm_send(connection, &send, LM_FILE_TIMEOUT, NULL);
}

LM_FILE_API kern_return_t LMConnectionSendOneWay(LMConnectionRef connection, SInt32 messageId, const void *data,
                                                 uint32_t length)
{
    LMSend send = {messageId, 0, data, length, 0, NULL, NULL, NULL, {0, 0}};
    return lm_send(connection, &send, LM_FILE_TIMEOUT, NULL);
}

LM_FILE_API kern_return_t LMConnectionSendEmptyOneWay(LMConnectionRef connection, SInt32 messageId)
{
    return LMConnectionSendOneWay(connection, messageId, NULL, 0);
}

LM_FILE_API bool LMConnectionSendOneWayData(LMConnectionRef connection, SInt32 messageId, CFDataRef data)
{
    const void *bytes;
    uint32_t length;
    return lm_data_parts(data, &bytes, &length) &&
           LMConnectionSendOneWay(connection, messageId, bytes, length) == KERN_SUCCESS;
}

LM_FILE_API kern_return_t LMConnectionSendOneWayBufferWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                                  LMBufferRef *buffer, uint32_t milliseconds)
{
    LMSend send = {messageId, lm_explicit_timeout(milliseconds), NULL, 0, 0, NULL, buffer, NULL, {0, 0}};
    return buffer ? lm_send(connection, &send, LM_FILE_TIMEOUT, NULL) : KERN_INVALID_ARGUMENT;
}

LM_FILE_API kern_return_t LMConnectionSendOneWayBuffer(LMConnectionRef connection, SInt32 messageId,
                                                       LMBufferRef *buffer)
{
    LMSend send = {messageId, 0, NULL, 0, 0, NULL, buffer, NULL, {0, 0}};
    return buffer ? lm_send(connection, &send, LM_FILE_TIMEOUT, NULL) : KERN_INVALID_ARGUMENT;
}

LM_FILE_API kern_return_t LMConnectionSendTwoWayWithDescriptors(LMConnectionRef connection, SInt32 messageId,
                                                                const void *data, uint32_t length,
                                                                const int *descriptors, uint32_t count,
                                                                uint32_t milliseconds, LMResponseBuffer *response)
{
    LMSend send = {messageId, lm_explicit_timeout(milliseconds), data, length, count, descriptors, NULL, NULL, {0, 0}};
    return lm_ask(connection, &send, response);
}

LM_FILE_API kern_return_t LMConnectionSendTwoWayWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                            const void *data, uint32_t length, uint32_t milliseconds,
                                                            LMResponseBuffer *response)
{
    LMSend send = {messageId, lm_explicit_timeout(milliseconds), data, length, 0, NULL, NULL, NULL, {0, 0}};
    return lm_ask(connection, &send, response);
}

LM_FILE_API kern_return_t LMConnectionSendTwoWay(LMConnectionRef connection, SInt32 messageId, const void *data,
                                                 uint32_t length, LMResponseBuffer *response)
{
    LMSend send = {messageId, 0, data, length, 0, NULL, NULL, NULL, {0, 0}};
    return lm_ask(connection, &send, response);
}

LM_FILE_API kern_return_t LMConnectionSendTwoWayData(LMConnectionRef connection, SInt32 messageId, CFDataRef data,
                                                     LMResponseBuffer *response)
{
    const void *bytes;
    uint32_t length;
    if (lm_data_parts(data, &bytes, &length))
        return LMConnectionSendTwoWay(connection, messageId, bytes, length, response);
    if (response)
        memset(&response->message, 0, sizeof response->message);
    return MACH_SEND_TOO_LARGE;
}

LM_FILE_API kern_return_t LMConnectionSendTwoWayBufferWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                                  LMBufferRef *buffer, uint32_t milliseconds,
                                                                  LMResponseBuffer *response)
{
    LMSend send = {messageId, lm_explicit_timeout(milliseconds), NULL, 0, 0, NULL, buffer, NULL, {0, 0}};
    return buffer ? lm_ask(connection, &send, response) : KERN_INVALID_ARGUMENT;
}

LM_FILE_API kern_return_t LMConnectionSendTwoWayBuffer(LMConnectionRef connection, SInt32 messageId,
                                                       LMBufferRef *buffer, LMResponseBuffer *response)
{
    LMSend send = {messageId, 0, NULL, 0, 0, NULL, buffer, NULL, {0, 0}};
    return buffer ? lm_ask(connection, &send, response) : KERN_INVALID_ARGUMENT;
}

LM_FILE_API kern_return_t LMConnectionSendTwoWayAsync(LMConnectionRef connection, SInt32 messageId, const void *data,
                                                      uint32_t length, uint32_t milliseconds, CFRunLoopRef runLoop,
                                                      LMReplyCallBack callback, void *info, LMCallRef *call)
{
    LMSend send = {messageId, lm_explicit_timeout(milliseconds), data, length, 0, NULL, NULL, NULL, {0, 0}};
    return LMConnectionSendAsync(connection, &send, runLoop, callback, info, call);
}

#endif
