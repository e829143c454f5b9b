/* SPDX-License-Identifier: MIT */
/* RocketBootstrap's three functions, built on the registry. */
#include "../../../rocketbootstrap/rocketbootstrap.h"

#ifndef LM_DETAIL_COMPAT_ROCKETBOOTSTRAP_H
#define LM_DETAIL_COMPAT_ROCKETBOOTSTRAP_H

#include "../client/send.h"
#include "../service/service.h"
#include "rocketbootstrap_file.h"

LM_API kern_return_t lm_look_up(const char *name, uint32_t file_timeout, mach_port_t *port)
{
    struct lm_link *link;
    if (!port)
        return KERN_INVALID_ARGUMENT;
    *port = MACH_PORT_NULL;
    if (!lm_name_valid(name))
        return KERN_INVALID_ARGUMENT;
    int result = lm_link_get(name, lm_send_deadline(name, 0, file_timeout), &link);
    if (result < 0)
        return lm_status_told("look up", name, -1, lm_kern_return(result));
    *port = link->port;
    lm_release(&link->object);
    return KERN_SUCCESS;
}

LM_API kern_return_t rocketbootstrap_unlock(const char *name)
{
    return lm_registry_change(name, LM_DOOR_UNLOCKED);
}

LM_API kern_return_t rocketbootstrap_register(mach_port_t bootstrap, const char *name, mach_port_t port)
{
    (void)bootstrap;
    struct lm_object *object = lm_port_get(port, LM_PORT_RECEIVE);
    if (!object)
        return MACH_SEND_INVALID_RIGHT;
    kern_return_t status = lm_service_register(LM_CONTAINER(object, struct lm_service, object), name);
    lm_release(object);
    return lm_status_told("register", name, -1, status);
}

#endif
