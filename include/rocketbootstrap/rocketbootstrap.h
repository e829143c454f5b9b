/* SPDX-License-Identifier: MIT */
/*
 * RocketBootstrap's interface: names to ports, and the doors for sandboxed processes.
 *
 * A service is registered in the `locked` folder of the runtime directory, which only its user can enter. Unlocking
 * adds a link to its socket in `unlocked`, the folder that a sandbox is given. `bootstrap` is what
 * task_get_bootstrap_port returns.
 */
#ifndef ROCKETBOOTSTRAP_ROCKETBOOTSTRAP_H
#define ROCKETBOOTSTRAP_ROCKETBOOTSTRAP_H

#include "../LightMessaging/LightMessaging.h"

/* Connects to the service and stores its port, which stays the process's: deallocating it closes the channel. Waits as
   long as LIGHTMESSAGING_TIMEOUT says. Errors as in LMConnectionSendOneWay; `port` is MACH_PORT_NULL after one. */
LM_API kern_return_t rocketbootstrap_look_up(mach_port_t bootstrap, const char *name, mach_port_t *port);

/*
 * Opens the service to sandboxed processes, and to other users where they can reach the runtime directory. Idempotent.
 * The service need not be there yet; it stays unlocked when it restarts, until LMLockService, whatever it says itself
 * (LIGHTMESSAGING_USE_ROCKETBOOTSTRAP), while what LMStartService opens is not remembered. For your own services
 * only:
 *
 *   KERN_INVALID_ARGUMENT     empty, too long or illegal name
 *   BOOTSTRAP_NOT_PRIVILEGED  the runtime directory is not this user's, or can't be written, as from inside a sandbox
 *   BOOTSTRAP_NAME_IN_USE     a launcher's socket, or something that is no socket, is in the place of the door. It is
 *                             asked by connecting, which starts a launcher's service
 *   KERN_RESOURCE_SHORTAGE    no memory or descriptors; or a process that is stopped keeps the name's lock
 */
LM_API kern_return_t rocketbootstrap_unlock(const char *name);

/* Gives a CFMachPort's port a name. Errors as in LMStartService. MACH_SEND_INVALID_RIGHT: not a CFMachPort's port, or
 * it has a name. */
LM_API kern_return_t rocketbootstrap_register(mach_port_t bootstrap, const char *name, mach_port_t port);

#ifndef LM_DECLARATIONS_ONLY
#include "../LightMessaging/detail/compat/rocketbootstrap.h"
#endif

/* rocketbootstrap_cfmessageportcreateremote and rocketbootstrap_cfmessageportexposelocal are there. */
#if !LIGHTMESSAGING_USE_COREFOUNDATION
#include "../LightMessaging/CFMessagePort.h"
#endif

#endif
