/* SPDX-License-Identifier: MIT */
/*
 * CFMachPort: a service as CoreFoundation's programs know it. LMStartService does these steps for you.
 */
#ifndef LIGHTMESSAGING_CFMACHPORT_H
#define LIGHTMESSAGING_CFMACHPORT_H

#include "LightMessaging.h"
#if LIGHTMESSAGING_USE_COREFOUNDATION
#include "detail/cf/aside.h"
#endif

/*
 * A service before it has a name: rocketbootstrap_register gives it one, a source on a run loop makes it serve. The
 * message in the callback is an LMMessage (LightMessaging.h). `shouldFree` may be NULL and is always set to 0. NULL if
 * memory runs out.
 */
LM_API CFMachPortRef CFMachPortCreate(CFAllocatorRef allocator, CFMachPortCallBack callback, CFMachPortContext *context,
                                      Boolean *shouldFree);
/* The service that has this port already, with one more reference, its callback unchanged. NULL for any other port. */
LM_API CFMachPortRef CFMachPortCreateWithPort(CFAllocatorRef allocator, mach_port_t port, CFMachPortCallBack callback,
                                              CFMachPortContext *context, Boolean *shouldFree);
/* The source by which a run loop serves the port, with its own reference to it. A port stays with the first loop that
   it is added to; taken off that loop it serves nobody until it is added again. NULL for a NULL port or if memory runs
   out. */
LM_API CFRunLoopSourceRef CFMachPortCreateRunLoopSource(CFAllocatorRef allocator, CFMachPortRef port, CFIndex order);
/* The port's name, borrowed. */
LM_API mach_port_t CFMachPortGetPort(CFMachPortRef port);
/* Stops the service: the name is free, its clients' waits end with an error, no further callback begins. One that
   another thread is in finishes; let the context's retain and release keep its info alive. Idempotent, any thread. */
LM_API void CFMachPortInvalidate(CFMachPortRef port);
LM_API Boolean CFMachPortIsValid(CFMachPortRef port);
LM_API void CFMachPortSetInvalidationCallBack(CFMachPortRef port, CFMachPortInvalidationCallBack callback);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/compat/mach_port.h"
#endif
#if LIGHTMESSAGING_USE_COREFOUNDATION
#include "detail/cf/aside_end.h"
#endif

#endif
