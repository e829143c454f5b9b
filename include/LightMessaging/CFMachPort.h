/* SPDX-License-Identifier: MIT */
/*
 * CFMachPort: a service with CoreFoundation's interface. LMStartService does these steps in one call:
 *
 *   CFMachPortCreate, rocketbootstrap_register, CFMachPortCreateRunLoopSource, CFRunLoopAddSource
 *
 * Threads: every function may be called from any thread. Ownership: CoreFoundation.h.
 */
/* Before the guard, because it includes this file before the code that needs it. */
#include "LightMessaging.h"

#ifndef LIGHTMESSAGING_CFMACHPORT_H
#define LIGHTMESSAGING_CFMACHPORT_H

#include "detail/ground/quiet.h"
#if LIGHTMESSAGING_USE_COREFOUNDATION
#include "detail/cf/aside.h"
#endif

/*
 * Creates a service without a name. rocketbootstrap_register gives it a name; a source on a run loop serves it.
 *
 *   allocator   ignored
 *   callback    called with each message, which is an LMMessage (LightMessaging.h), in the thread that runs the loop
 *   context     its info is passed to the callbacks; may be NULL
 *   shouldFree  set to 0; may be NULL
 *
 * Returns the port, with a reference for the caller; NULL if the callback is NULL or memory runs out. The port lives
 * until it is invalidated, even if every reference is released before.
 */
LM_API CFMachPortRef CFMachPortCreate(CFAllocatorRef allocator, CFMachPortCallBack callback, CFMachPortContext *context,
                                      Boolean *shouldFree);

/*
 * Returns the existing service that has this port, with another reference for the caller. Its callback and context do
 * not change; all arguments but `port` are ignored, and *shouldFree is set to 0. NULL if no service of this process has
 * the port.
 */
LM_API CFMachPortRef CFMachPortCreateWithPort(CFAllocatorRef allocator, mach_port_t port, CFMachPortCallBack callback,
                                              CFMachPortContext *context, Boolean *shouldFree);

/*
 * Creates the source with which a run loop serves the port. The source holds a reference to the port. A port stays with
 * the first loop that it is added to; after it is removed from that loop, it serves nobody until it is added to it
 * again. `order` is ignored. Returns the source, with a reference for the caller; NULL if the port is NULL or memory
 * runs out.
 */
LM_API CFRunLoopSourceRef CFMachPortCreateRunLoopSource(CFAllocatorRef allocator, CFMachPortRef port, CFIndex order);

/* Returns the port's Mach name, which stays the port's: do not deallocate it. */
LM_API mach_port_t CFMachPortGetPort(CFMachPortRef port);

/*
 * Stops the service: its name becomes free, its clients' waits end with an error, and no further callback begins. A
 * callback that is running in another thread finishes, so let the context's retain and release keep its info alive.
 * Idempotent. NULL is ignored.
 */
LM_API void CFMachPortInvalidate(CFMachPortRef port);

/* Whether the port has not been invalidated. False for NULL. */
LM_API Boolean CFMachPortIsValid(CFMachPortRef port);

/* Sets the function that CFMachPortInvalidate calls, in the thread that invalidates the port; NULL for none. An invalid
 * port never calls it. */
LM_API void CFMachPortSetInvalidationCallBack(CFMachPortRef port, CFMachPortInvalidationCallBack callback);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/compat/mach_port.h"
#endif
#if LIGHTMESSAGING_USE_COREFOUNDATION
#include "detail/cf/aside_end.h"
#endif

#include "detail/ground/quiet_end.h"

#endif
