/* SPDX-License-Identifier: MIT */
/* Sending text in a file, with the file's timeout. */
#include "../../String.h"

#ifndef LM_DETAIL_TYPES_STRING_SENDERS_H
#define LM_DETAIL_TYPES_STRING_SENDERS_H

#include "../client/senders.h"

LM_API kern_return_t lm_send_string(LMConnectionRef connection, SInt32 messageId, const char *text,
                                    uint32_t file_timeout, LMResponseBuffer *response);

LM_FILE_API kern_return_t LMConnectionSendOneWayString(LMConnectionRef connection, SInt32 messageId, const char *text)
{
    return lm_send_string(connection, messageId, text, LM_FILE_TIMEOUT, NULL);
}

LM_FILE_API kern_return_t LMConnectionSendTwoWayString(LMConnectionRef connection, SInt32 messageId, const char *text,
                                                       LMResponseBuffer *response)
{
    return response ? lm_send_string(connection, messageId, text, LM_FILE_TIMEOUT, response) : KERN_INVALID_ARGUMENT;
}

#endif
