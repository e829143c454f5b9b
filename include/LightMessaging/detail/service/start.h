/* SPDX-License-Identifier: MIT */
/* The public functions that start, lock and stop a service and set its options. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_START_H
#define LM_DETAIL_SERVICE_START_H

#include "service.h"
#include "starters.h"

/* Registers a new service's name, or takes the launcher's socket for it. A launcher has decided itself whether its
 * socket is unlocked. */
LM_SETUP kern_return_t lm_service_name(struct lm_service *service, const char *name, unsigned how)
{
    int listener = how & LM_START_CHECK_IN ? lm_activation_take(name) : -ENOENT;
    if (listener >= 0)
        return lm_service_adopt(service, name, listener);
    if (listener != -ENOENT)
        return listener == -EALREADY ? BOOTSTRAP_SERVICE_ACTIVE : lm_kern_return(listener);
    kern_return_t status = lm_service_register(service, name);
    if (status == KERN_SUCCESS && how & LM_START_UNLOCKED)
        status = lm_registry_status(lm_registry_unlock(name, LM_DOOR_OPEN));
    return status;
}

/* Applies the options. Called before any client can connect. */
LM_SETUP kern_return_t lm_service_configure(struct lm_service *service, const LMServiceOptions *options)
{
    if (options->largestMessage && options->largestMessage < LM_PIECE_MAX)
        return KERN_INVALID_ARGUMENT;
    if (!lm_spin_valid(options->spinMicroseconds) || options->reserved[0] || options->reserved[1] ||
        options->reserved[2] || options->reserved[3])
        return KERN_INVALID_ARGUMENT;
    service->typed = options->callback;
    service->spin = lm_spin_nanoseconds(options->spinMicroseconds);
    if (options->largestMessage)
        service->largest_message = options->largestMessage;
    service->borrows = !options->privateCopies;
    service->quota.connections = options->connectionsPerUser;
    service->quota.descriptors = options->descriptorsPerUser;
    service->quota.bytes = options->bytesPerUser;
    return lm_kern_return(lm_policy_init(&service->policy, options, service->context.info));
}

/* `started` may be NULL; else it gets the service with a reference for the caller, or NULL after an error. */
LM_SETUP kern_return_t lm_service_start(const char *name, struct lm_loop *loop, CFMachPortCallBack callback, void *info,
                                        const LMServiceOptions *options, unsigned how, LMServiceRef *started)
{
    CFMachPortContext context = {0, info, NULL, NULL, NULL};
    if (started)
        *started = NULL;
    if (!loop || !(callback || (options && options->callback)) || !lm_name_valid(name))
        return KERN_INVALID_ARGUMENT;
    struct lm_service *service = lm_service_create(callback, &context);
    if (!service)
        return KERN_RESOURCE_SHORTAGE;
    kern_return_t status = options ? lm_service_configure(service, options) : KERN_SUCCESS;
    if (status == KERN_SUCCESS)
        status = lm_service_name(service, name, how);
    if (status == KERN_SUCCESS)
        status = lm_kern_return(lm_service_schedule(service, loop));
    if (status)
        lm_service_invalidate(service);
    if (status == KERN_SUCCESS && started)
        *started = service;
    else
        lm_release(&service->object);
    return status;
}

/* Starts a service in the way that the calling file's macros set; logs a failure. */
LM_API kern_return_t lm_start(const char *name, CFRunLoopRef loop, CFMachPortCallBack callback, void *info,
                              const LMServiceOptions *options, unsigned how, LMServiceRef *started)
{
    kern_return_t status = lm_service_start(name, loop, callback, info, options, how, started);
    return lm_status_told("start the service", name, -1, status);
}

LM_API kern_return_t LMLockService(const char *serverName)
{
    return lm_registry_change(serverName, LM_DOOR_LOCKED);
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
