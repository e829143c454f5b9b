/* SPDX-License-Identifier: MIT */
/* The starting functions that each file has for itself: they pass its LIGHTMESSAGING_USE_ROCKETBOOTSTRAP to each
 * start. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_STARTERS_H
#define LM_DETAIL_SERVICE_STARTERS_H

/* Bits that say how a service starts. */
#define LM_START_UNLOCKED 1u
#define LM_START_CHECK_IN 2u
#ifdef LIGHTMESSAGING_IMPLEMENTATION
#define LM_FILE_START LM_START_UNLOCKED /* of the files that say nothing */
#else
#define LM_FILE_START (LIGHTMESSAGING_USE_ROCKETBOOTSTRAP ? LM_START_UNLOCKED : 0u)
#endif

LM_API kern_return_t lm_start(const char *name, CFRunLoopRef loop, CFMachPortCallBack callback, void *info,
                              const LMServiceOptions *options, unsigned how, LMServiceRef *started);

LM_FILE_API kern_return_t LMStartServiceWithOptions(const char *serverName, CFRunLoopRef runLoop,
                                                    CFMachPortCallBack callback, void *userInfo,
                                                    const LMServiceOptions *options, LMServiceRef *service)
{
    return lm_start(serverName, runLoop, callback, userInfo, options, LM_FILE_START, service);
}

LM_FILE_API kern_return_t LMStartServiceWithUserInfo(const char *serverName, CFRunLoopRef runLoop,
                                                     CFMachPortCallBack callback, void *userInfo)
{
    return LMStartServiceWithOptions(serverName, runLoop, callback, userInfo, NULL, NULL);
}

LM_FILE_API kern_return_t LMStartService(const char *serverName, CFRunLoopRef runLoop, CFMachPortCallBack callback)
{
    return LMStartServiceWithUserInfo(serverName, runLoop, callback, NULL);
}

LM_FILE_API kern_return_t LMCheckInServiceWithOptions(const char *serverName, CFRunLoopRef runLoop,
                                                      CFMachPortCallBack callback, void *userInfo,
                                                      const LMServiceOptions *options, LMServiceRef *service)
{
    return lm_start(serverName, runLoop, callback, userInfo, options, LM_START_CHECK_IN | LM_FILE_START, service);
}

LM_FILE_API kern_return_t LMCheckInService(const char *serverName, CFRunLoopRef runLoop, CFMachPortCallBack callback,
                                           void *userInfo)
{
    return LMCheckInServiceWithOptions(serverName, runLoop, callback, userInfo, NULL, NULL);
}

#endif
