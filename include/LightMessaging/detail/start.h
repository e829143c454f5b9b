/* SPDX-License-Identifier: MIT */
/* The service's half of the interface: starting one in a single call. */
#ifndef LM_DETAIL_START_H
#define LM_DETAIL_START_H

#include "service.h"

/* Names and serves a fresh service. */
LM_INTERNAL kern_return_t lm_service_launch(struct lm_service *service, const char *name, struct lm_loop *loop,
                                            bool unlock)
{
    kern_return_t status = lm_service_register(service, name);
    if (status == KERN_SUCCESS && unlock)
        status = lm_kern_return(lm_registry_unlock(name));
    if (status == KERN_SUCCESS)
        status = lm_kern_return(lm_service_schedule(service, loop));
    return status;
}

LM_INTERNAL kern_return_t lm_service_start(const char *name, struct lm_loop *loop, CFMachPortCallBack callback,
                                           void *info, bool unlock)
{
    CFMachPortContext context = {0, info, NULL, NULL, NULL};
    if (!loop || !callback || !lm_name_valid(name))
        return KERN_INVALID_ARGUMENT;
    struct lm_service *service = lm_service_create(callback, &context);
    if (!service)
        return KERN_RESOURCE_SHORTAGE;
    kern_return_t status = lm_service_launch(service, name, loop, unlock);
    if (status)
        lm_service_invalidate(service);
    lm_release(&service->object);
    return status;
}

LM_API kern_return_t LMStartServiceWithUserInfo(const char *serverName, CFRunLoopRef runLoop,
                                                CFMachPortCallBack callback, void *userInfo)
{
    return lm_service_start(serverName, runLoop, callback, userInfo, LIGHTMESSAGING_USE_ROCKETBOOTSTRAP);
}

LM_API kern_return_t LMStartService(const char *serverName, CFRunLoopRef runLoop, CFMachPortCallBack callback)
{
    return LMStartServiceWithUserInfo(serverName, runLoop, callback, NULL);
}

LM_API kern_return_t LMCheckInService(const char *serverName, CFRunLoopRef runLoop, CFMachPortCallBack callback,
                                      void *userInfo)
{
    return LMStartServiceWithUserInfo(serverName, runLoop, callback, userInfo);
}

LM_API kern_return_t LMServiceSetLargestMessage(CFMachPortRef service, uint32_t bytes)
{
    if (!service || bytes < LM_PIECE_MAX)
        return KERN_INVALID_ARGUMENT;
    pthread_mutex_lock(&service->lock);
    service->largest_message = bytes;
    pthread_mutex_unlock(&service->lock);
    return KERN_SUCCESS;
}

#endif
