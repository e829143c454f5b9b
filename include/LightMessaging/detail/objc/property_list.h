/* SPDX-License-Identifier: MIT */
/* Foundation's property lists in messages. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_OBJC_PROPERTY_LIST_H
#define LM_DETAIL_OBJC_PROPERTY_LIST_H

#include "../client/send.h"
#include "../types/plist_check.h"
#include "../service/send_reply.h"

#import <Foundation/Foundation.h>

#ifndef NS_DURING
#error "Foundation was built with exceptions: compile with what gnustep-config --objc-flags says"
#endif

/* Parses the data. Foundation raises exceptions for some data, which are caught here. */
LM_INTERNAL id lm_ns_parse(NSData *data)
{
    id list = nil;
    NS_DURING
    {
        list = [NSPropertyListSerialization propertyListWithData:data
                                                         options:NSPropertyListImmutable
                                                          format:NULL
                                                           error:NULL];
    }
    NS_HANDLER
    {
        list = nil;
    }
    NS_ENDHANDLER
    return list;
}

/* Adds a missing XML declaration: without one, Foundation may take the data for a format of its own, which is not
 * checked. */
LM_INTERNAL NSData *lm_ns_declared(NSData *data)
{
    static const char declaration[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    uint32_t length = (uint32_t)[data length];
    if (lm_plist_is_binary([data bytes], length) || (length > 5 && memcmp([data bytes], declaration, 5) == 0))
        return data;
    NSMutableData *declared = [NSMutableData dataWithCapacity:length + sizeof declaration];
    [declared appendBytes:declaration length:sizeof declaration - 1];
    [declared appendData:data];
    return declared;
}

LM_API id LMPropertyListForData(NSData *data)
{
    NSUInteger length = [data length];
    if (length == 0 || length > LM_PROPERTY_LIST_BYTES || lm_plist_check([data bytes], (uint32_t)length) < 0)
        return nil;
    return lm_ns_parse(lm_ns_declared(data));
}

LM_INTERNAL bool lm_ns_sendable(id list, uint32_t depth, uint32_t *values);

/* Returns whether all members of a container can be sent. */
LM_INTERNAL bool lm_ns_members_sendable(NSEnumerator *members, uint32_t depth, uint32_t *values)
{
    id member;
    while ((member = [members nextObject]) != nil)
        if (!lm_ns_sendable(member, depth, values))
            return false;
    return true;
}

LM_INTERNAL bool lm_ns_keys_sendable(NSEnumerator *keys)
{
    id key;
    while ((key = [keys nextObject]) != nil)
        if (![key isKindOfClass:[NSString class]])
            return false;
    return true;
}

/*
 * Only numbers that fit a signed 64-bit integer are sent: Foundation would write larger ones as negative. NaN is
 * refused, too: Foundation would search for it in vain, since it does not equal itself, and then request 16 GiB of
 * memory.
 */
LM_INTERNAL bool lm_ns_is_number(NSNumber *number)
{
    char type = [number objCType][0];
    if (type == 'Q' || type == 'L')
        return [number unsignedLongLongValue] <= INT64_MAX;
    double value = [number doubleValue];
    return value <= 0 || value > 0;
}

LM_INTERNAL bool lm_ns_is_value(id object)
{
    if ([object isKindOfClass:[NSNumber class]])
        return lm_ns_is_number(object);
    return [object isKindOfClass:[NSString class]] || [object isKindOfClass:[NSData class]] ||
           [object isKindOfClass:[NSDate class]];
}

/* Returns whether the object is a property list, which Foundation does not check itself, and within the limits, counted
 * as the receiver counts. `depth`: number of containers around it. */
LM_INTERNAL bool lm_ns_sendable(id list, uint32_t depth, uint32_t *values)
{
    bool is_dictionary = [list isKindOfClass:[NSDictionary class]];
    if (++*values > LM_PROPERTY_LIST_VALUES)
        return false;
    if (!is_dictionary && ![list isKindOfClass:[NSArray class]])
        return lm_ns_is_value(list);
    if (depth == LM_PROPERTY_LIST_DEPTH || (is_dictionary && !lm_ns_keys_sendable([list keyEnumerator])))
        return false;
    if (is_dictionary)
        *values += (uint32_t)[list count];
    return lm_ns_members_sendable([list objectEnumerator], depth + 1, values);
}

LM_INTERNAL NSData *lm_ns_serialize(id list)
{
    NSData *data = nil;
    NS_DURING
    {
        data = [NSPropertyListSerialization dataWithPropertyList:list
                                                          format:NSPropertyListBinaryFormat_v1_0
                                                         options:0
                                                           error:NULL];
    }
    NS_HANDLER
    {
        data = nil;
    }
    NS_ENDHANDLER
    return data;
}

LM_API NSData *LMDataForPropertyList(id propertyList)
{
    uint32_t values = 0;
    if (!propertyList || !lm_ns_sendable(propertyList, 0, &values))
        return nil;
    NSData *data = lm_ns_serialize(propertyList);
    NSUInteger length = [data length];
    return length <= LM_PROPERTY_LIST_BYTES && lm_plist_check([data bytes], (uint32_t)length) == 0 ? data : nil;
}

/* For a nil list, `data` is nil. */
LM_INTERNAL kern_return_t lm_ns_data_to_send(id list, NSData **data)
{
    *data = LMDataForPropertyList(list);
    return list && !*data ? MACH_SEND_INVALID_DATA : KERN_SUCCESS;
}

LM_API kern_return_t LMConnectionSendOneWayPropertyList(LMConnectionRef connection, SInt32 messageId, id propertyList)
{
    NSData *data;
    kern_return_t status = lm_ns_data_to_send(propertyList, &data);
    return status ? status : LMConnectionSendOneWay(connection, messageId, [data bytes], (uint32_t)[data length]);
}

LM_API kern_return_t LMConnectionSendTwoWayPropertyList(LMConnectionRef connection, SInt32 messageId, id propertyList,
                                                        LMResponseBuffer *response)
{
    NSData *data;
    kern_return_t status = lm_ns_data_to_send(propertyList, &data);
    if (status && response)
        lm_message_init(&response->message);
    return status ? status
                  : LMConnectionSendTwoWay(connection, messageId, [data bytes], (uint32_t)[data length], response);
}

LM_API kern_return_t LMSendNSDataReply(mach_port_t replyPort, NSData *data)
{
    NSUInteger length = [data length];
    if ((uint64_t)length <= UINT32_MAX)
        return LMSendReply(replyPort, length ? [data bytes] : NULL, (uint32_t)length);
    lm_port_deallocate(replyPort);
    return MACH_SEND_TOO_LARGE;
}

LM_API kern_return_t LMSendPropertyListReply(mach_port_t replyPort, id propertyList)
{
    NSData *data;
    kern_return_t status = lm_ns_data_to_send(propertyList, &data);
    if (status == KERN_SUCCESS)
        return LMSendNSDataReply(replyPort, data);
    lm_port_deallocate(replyPort);
    return status;
}

/* Foundation gets the response's bytes without a copy, and only until it has parsed them. */
LM_API id LMResponseConsumePropertyList(LMResponseBuffer *response)
{
    uint32_t length = lm_message_keep(&response->message) ? LMMessageGetDataLength(&response->message) : 0;
    NSData *data = [[NSData alloc] initWithBytesNoCopy:LMMessageGetData(&response->message)
                                                length:length
                                          freeWhenDone:NO];
    id list = length ? LMPropertyListForData(data) : nil;
    [data release];
    LMResponseBufferFree(response);
    return list;
}

#endif
