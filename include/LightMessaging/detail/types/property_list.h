/* SPDX-License-Identifier: MIT */
/* Property lists with libplist, which recurses without a limit and copies shared values. So every list is checked
 * first. */
#include "../../PropertyList.h"

#ifndef LM_DETAIL_TYPES_PROPERTY_LIST_H
#define LM_DETAIL_TYPES_PROPERTY_LIST_H

#include "../client/send.h"
#include "plist_check.h"
#include "property_list_senders.h"
#include "../service/send_reply.h"

LM_INTERNAL kern_return_t lm_plist_status(int result)
{
    return result == -EINVAL ? MACH_SEND_INVALID_DATA : result == -E2BIG ? MACH_SEND_TOO_LARGE : lm_kern_return(result);
}

LM_API kern_return_t LMPropertyListParse(const void *data, uint32_t length, plist_t *list)
{
    if (!list)
        return KERN_INVALID_ARGUMENT;
    *list = NULL;
    if (!data)
        return length ? KERN_INVALID_ARGUMENT : MACH_SEND_INVALID_DATA;
    int result = lm_plist_check(data, length);
    if (result < 0)
        return lm_plist_status(result);
    if (lm_plist_is_binary(data, length))
        plist_from_bin((const char *)data, length, list);
    else
        plist_from_xml((const char *)data, length, list);
    return *list ? KERN_SUCCESS : MACH_SEND_INVALID_DATA;
}

LM_API plist_t LMPropertyListForData(CFDataRef data)
{
    plist_t list = NULL;
    CFIndex length = data ? CFDataGetLength(data) : 0;
    if (length > 0 && (uint64_t)length <= UINT32_MAX)
        LMPropertyListParse(CFDataGetBytePtr(data), (uint32_t)length, &list);
    return list;
}

/* --- Checks before sending --- */

LM_INTERNAL bool lm_plist_sendable(plist_t list, uint32_t depth, uint32_t *values);

LM_INTERNAL bool lm_plist_array_sendable(plist_t list, uint32_t depth, uint32_t *values)
{
    plist_array_iter place = NULL;
    plist_t item = NULL;
    bool sendable = true;
    plist_array_new_iter(list, &place);
    for (plist_array_next_item(list, place, &item); item && sendable; plist_array_next_item(list, place, &item))
        sendable = lm_plist_sendable(item, depth, values);
    free(place);
    return sendable;
}

LM_INTERNAL bool lm_plist_dictionary_sendable(plist_t list, uint32_t depth, uint32_t *values)
{
    plist_dict_iter place = NULL;
    plist_t item = NULL;
    char *key = NULL;
    bool sendable = true;
    plist_dict_new_iter(list, &place);
    for (plist_dict_next_item(list, place, &key, &item); item && sendable;
         plist_dict_next_item(list, place, &key, &item)) {
        ++*values;
        sendable = lm_utf8_valid(key, strlen(key)) && lm_plist_sendable(item, depth, values);
        free(key);
        key = NULL;
    }
    free(key);
    free(place);
    return sendable;
}

LM_INTERNAL bool lm_plist_string_sendable(plist_t list)
{
    uint64_t length = 0;
    const char *text = plist_get_string_ptr(list, &length);
    return text && lm_utf8_valid(text, (size_t)length);
}

/* Returns whether the list is within the limits, counted as the receiver counts. `depth`: number of containers around
 * it. */
LM_INTERNAL bool lm_plist_sendable(plist_t list, uint32_t depth, uint32_t *values)
{
    if (++*values > LM_PROPERTY_LIST_VALUES)
        return false;
    switch (plist_get_node_type(list)) {
    case PLIST_ARRAY:
        return depth < LM_PROPERTY_LIST_DEPTH && lm_plist_array_sendable(list, depth + 1, values);
    case PLIST_DICT:
        return depth < LM_PROPERTY_LIST_DEPTH && lm_plist_dictionary_sendable(list, depth + 1, values);
    case PLIST_STRING:
        return lm_plist_string_sendable(list);
    default:
        return true;
    }
}

/* Serializes the list to bytes for plist_to_bin_free; a NULL list gives NULL and 0. A list that the receiver would
 * refuse is an error. */
LM_INTERNAL kern_return_t lm_plist_serialize(plist_t list, char **bytes, uint32_t *length)
{
    uint32_t values = 0;
    *bytes = NULL;
    *length = 0;
    if (!list)
        return KERN_SUCCESS;
    if (!lm_plist_sendable(list, 0, &values))
        return MACH_SEND_INVALID_DATA;
    plist_to_bin(list, bytes, length);
    int result = *bytes ? lm_plist_check(*bytes, *length) : -ENOMEM;
    return result == 0 ? KERN_SUCCESS : result == -ENOMEM ? KERN_RESOURCE_SHORTAGE : MACH_SEND_INVALID_DATA;
}

LM_INTERNAL void lm_plist_free_bytes(char *bytes)
{
    if (bytes)
        plist_to_bin_free(bytes);
}

LM_API CFDataRef LMDataForPropertyList(plist_t list)
{
    char *bytes;
    uint32_t length;
    CFDataRef data = NULL;
    if (lm_plist_serialize(list, &bytes, &length) == KERN_SUCCESS && bytes)
        data = CFDataCreate(kCFAllocatorDefault, (const UInt8 *)bytes, (CFIndex)length);
    lm_plist_free_bytes(bytes);
    return data;
}

/* --- Messages --- */

LM_API kern_return_t lm_send_property_list(LMConnectionRef connection, SInt32 messageId, plist_t list,
                                           uint32_t file_timeout, LMResponseBuffer *response)
{
    char *bytes;
    LMSend send = {messageId, 0, NULL, 0, 0, NULL, NULL, NULL, {0, 0}};
    if (response)
        lm_message_init(&response->message);
    kern_return_t status = lm_plist_serialize(list, &bytes, &send.length);
    send.data = bytes;
    if (status == KERN_SUCCESS)
        status = lm_send(connection, &send, file_timeout, response);
    lm_plist_free_bytes(bytes);
    return status;
}

LM_API kern_return_t LMSendPropertyListReply(mach_port_t replyPort, plist_t list)
{
    char *bytes;
    uint32_t length;
    kern_return_t status = lm_plist_serialize(list, &bytes, &length);
    if (status == KERN_SUCCESS)
        status = LMSendReply(replyPort, bytes, length);
    else
        lm_port_deallocate(replyPort);
    lm_plist_free_bytes(bytes);
    return status;
}

LM_API plist_t LMResponseConsumePropertyList(LMResponseBuffer *response)
{
    plist_t list = NULL;
    if (lm_message_keep(&response->message))
        LMPropertyListParse(LMMessageGetData(&response->message), LMMessageGetDataLength(&response->message), &list);
    LMResponseBufferFree(response);
    return list;
}

#endif
