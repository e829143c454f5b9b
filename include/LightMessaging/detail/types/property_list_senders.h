/* SPDX-License-Identifier: MIT */
/* Sending property lists in a file, with the file's timeout. */
#include "../../PropertyList.h"

#ifndef LM_DETAIL_TYPES_PROPERTY_LIST_SENDERS_H
#define LM_DETAIL_TYPES_PROPERTY_LIST_SENDERS_H

#include "../client/senders.h"

LM_API kern_return_t lm_send_property_list(LMConnectionRef connection, SInt32 messageId, plist_t list,
                                           uint32_t file_timeout, LMResponseBuffer *response);

LM_FILE_API kern_return_t LMConnectionSendOneWayPropertyList(LMConnectionRef connection, SInt32 messageId, plist_t list)
{
    return lm_send_property_list(connection, messageId, list, LM_FILE_TIMEOUT, NULL);
}

LM_FILE_API kern_return_t LMConnectionSendTwoWayPropertyList(LMConnectionRef connection, SInt32 messageId, plist_t list,
                                                             LMResponseBuffer *response)
{
    return response ? lm_send_property_list(connection, messageId, list, LM_FILE_TIMEOUT, response)
                    : KERN_INVALID_ARGUMENT;
}

#endif
