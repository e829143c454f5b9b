/* SPDX-License-Identifier: MIT */
#ifndef TESTS_PAIR_REGISTRY_H
#define TESTS_PAIR_REGISTRY_H

#include <LightMessaging/LightMessaging.h>

/* LMStartServiceWithOptions of a file that says LIGHTMESSAGING_USE_ROCKETBOOTSTRAP 0. */
kern_return_t start_without_door(const char *name, CFRunLoopRef loop, CFMachPortCallBack callback,
                                 LMServiceRef *service);

#endif
