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

/* Before anybody can connect. */
LM_INTERNAL kern_return_t lm_service_configure(struct lm_service *service, const LMServiceOptions *options)
{
    if (options->largestMessage && options->largestMessage < LM_PIECE_MAX)
        return KERN_INVALID_ARGUMENT;
    if (!lm_spin_valid(options->spinMicroseconds))
        return KERN_INVALID_ARGUMENT;
    service->spin = lm_spin_nanoseconds(options->spinMicroseconds);
    if (options->largestMessage)
        service->largest_message = options->largestMessage;
    service->borrows = !options->privateCopies;
    service->quota.connections = options->connectionsPerUser;
    service->quota.descriptors = options->descriptorsPerUser;
    service->quota.bytes = options->bytesPerUser;
    return lm_kern_return(lm_policy_init(&service->policy, options, service->context.info));
}

/* `service` may be NULL; else it gets the service with a reference for the caller, or NULL. */
LM_INTERNAL kern_return_t lm_service_start(const char *name, struct lm_loop *loop, CFMachPortCallBack callback,
                                           void *info, const LMServiceOptions *options, bool unlock,
                                           LMServiceRef *started)
{
    CFMachPortContext context = {0, info, NULL, NULL, NULL};
    if (started)
        *started = NULL;
    if (!loop || !callback || !lm_name_valid(name))
        return KERN_INVALID_ARGUMENT;
    struct lm_service *service = lm_service_create(callback, &context);
    if (!service)
        return KERN_RESOURCE_SHORTAGE;
    kern_return_t status = options ? lm_service_configure(service, options) : KERN_SUCCESS;
    if (status == KERN_SUCCESS)
        status = lm_service_launch(service, name, loop, unlock);
    if (status)
        lm_service_invalidate(service);
    if (status == KERN_SUCCESS && started)
        *started = service;
    else
        lm_release(&service->object);
    return status;
}

LM_API kern_return_t LMStartServiceWithOptions(const char *serverName, CFRunLoopRef runLoop,
                                               CFMachPortCallBack callback, void *userInfo,
                                               const LMServiceOptions *options, LMServiceRef *service)
{
    return lm_service_start(serverName, runLoop, callback, userInfo, options, LIGHTMESSAGING_USE_ROCKETBOOTSTRAP,
                            service);
}

LM_API kern_return_t LMStartServiceWithUserInfo(const char *serverName, CFRunLoopRef runLoop,
                                                CFMachPortCallBack callback, void *userInfo)
{
    return LMStartServiceWithOptions(serverName, runLoop, callback, userInfo, NULL, NULL);
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

LM_API void LMServiceInvalidate(LMServiceRef service)
{
    if (service)
        lm_service_invalidate(service);
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
