/* SPDX-License-Identifier: MIT */
#define LIGHTMESSAGING_USE_ROCKETBOOTSTRAP 0
#include "with_door.h"

kern_return_t start_without_door(const char *name, CFRunLoopRef loop, CFMachPortCallBack callback,
                                 LMServiceRef *service)
{
    return LMStartServiceWithOptions(name, loop, callback, NULL, NULL, service);
}
