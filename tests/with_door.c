/* SPDX-License-Identifier: MIT */
#include "with_door.h"

static void serve(const struct th_service *me)
{
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    CFMachPortCallBack callback = (CFMachPortCallBack)th_echo;
    LMServiceRef service;
    kern_return_t status = (uintptr_t)me->info == WITH_DOOR
                               ? LMStartServiceWithOptions(me->name, loop, callback, NULL, NULL, &service)
                               : start_without_door(me->name, loop, callback, &service);
    assert_int_equal(status, 0);
    th_ready();
    th_serve_until_stopped();
    LMServiceInvalidate(service);
    CFRelease(service);
}

pid_t start(const char *name, enum how how)
{
    return th_start(&(struct th_service){.name = name, .program = serve, .info = (void *)(uintptr_t)how});
}
