/* SPDX-License-Identifier: MIT */
/* CFMachPort, built on a service. */
#include "../../CFMachPort.h"

#ifndef LM_DETAIL_COMPAT_MACH_PORT_H
#define LM_DETAIL_COMPAT_MACH_PORT_H

#include "../cf/run_loop.h"
#include "../service/service.h"

LM_API CFMachPortRef CFMachPortCreate(CFAllocatorRef allocator, CFMachPortCallBack callback, CFMachPortContext *context,
                                      Boolean *shouldFree)
{
    (void)allocator;
    if (shouldFree)
        *shouldFree = 0;
    return callback ? lm_service_create(callback, context) : NULL;
}

LM_API CFMachPortRef CFMachPortCreateWithPort(CFAllocatorRef allocator, mach_port_t port, CFMachPortCallBack callback,
                                              CFMachPortContext *context, Boolean *shouldFree)
{
    (void)allocator, (void)callback, (void)context;
    if (shouldFree)
        *shouldFree = 0;
    struct lm_object *object = lm_port_get(port, LM_PORT_RECEIVE);
    return object ? LM_CONTAINER(object, struct lm_service, object) : NULL;
}

LM_SETUP void lm_service_source_schedule(struct lm_object *served, struct lm_loop *loop)
{
    lm_service_schedule(LM_CONTAINER(served, struct lm_service, object), loop);
}

LM_SETUP void lm_service_source_unschedule(struct lm_object *served, struct lm_loop *loop)
{
    lm_service_unschedule(LM_CONTAINER(served, struct lm_service, object), loop);
}

LM_SETUP void lm_source_destroy(struct lm_object *object)
{
    struct lm_source *source = LM_CONTAINER(object, struct lm_source, object);
    lm_release(source->served);
    free(source);
}

LM_API CFRunLoopSourceRef CFMachPortCreateRunLoopSource(CFAllocatorRef allocator, CFMachPortRef port, CFIndex order)
{
    struct lm_source *source = port ? (struct lm_source *)lm_new(sizeof *source) : NULL;
    (void)allocator, (void)order;
    if (!source)
        return NULL;
    lm_object_init(&source->object, lm_source_destroy);
    lm_retain(&port->object);
    source->served = &port->object;
    source->schedule = lm_service_source_schedule;
    source->unschedule = lm_service_source_unschedule;
    return source;
}

LM_API mach_port_t CFMachPortGetPort(CFMachPortRef port)
{
    return port->port;
}

LM_API void CFMachPortInvalidate(CFMachPortRef port)
{
    if (port)
        lm_service_invalidate(port);
}

LM_API Boolean CFMachPortIsValid(CFMachPortRef port)
{
    return port && lm_service_valid(port);
}

LM_API void CFMachPortSetInvalidationCallBack(CFMachPortRef port, CFMachPortInvalidationCallBack callback)
{
    pthread_mutex_lock(&port->lock);
    port->invalidated = callback;
    pthread_mutex_unlock(&port->lock);
}

#endif
