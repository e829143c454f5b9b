/* SPDX-License-Identifier: MIT */
/* Connecting to a message port in a file, with the file's timeout. */
#include "../../CFMessagePort.h"

#ifndef LM_DETAIL_COMPAT_MESSAGE_PORT_FILE_H
#define LM_DETAIL_COMPAT_MESSAGE_PORT_FILE_H

#include "../client/senders.h"

LM_API CFMessagePortRef lm_message_port_create_remote(CFStringRef name, uint32_t file_timeout);

LM_FILE_API CFMessagePortRef CFMessagePortCreateRemote(CFAllocatorRef allocator, CFStringRef name)
{
    (void)allocator;
    return lm_message_port_create_remote(name, LM_FILE_TIMEOUT);
}

LM_FILE_API CFMessagePortRef rocketbootstrap_cfmessageportcreateremote(CFAllocatorRef allocator, CFStringRef name)
{
    return CFMessagePortCreateRemote(allocator, name);
}

#endif
