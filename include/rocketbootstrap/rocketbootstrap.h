/* SPDX-License-Identifier: MIT */
/*
 * RocketBootstrap's interface: looking names up, registering them, and unlocking services for sandboxed processes.
 *
 * A service is registered in the `locked` folder of the runtime directory, which only its user can enter. Unlocking
 * adds a link to its socket in `unlocked`, the folder that sandboxes are given (docs/SANDBOX.md). The `bootstrap`
 * argument, which task_get_bootstrap_port returns, is ignored.
 *
 * Threads: every function may be called from any thread. Not to be called from signal handlers.
 */
#ifndef ROCKETBOOTSTRAP_ROCKETBOOTSTRAP_H
#define ROCKETBOOTSTRAP_ROCKETBOOTSTRAP_H

#include "../LightMessaging/detail/ground/quiet.h"
#include "../LightMessaging/LightMessaging.h"

/*
 * Connects to the service, within LIGHTMESSAGING_TIMEOUT, and stores its port in *port. All connections of the process
 * to the service share this port; deallocating it closes their channel. After an error *port is MACH_PORT_NULL. Errors
 * as in LMConnectionSend.
 */
LM_FILE_API kern_return_t rocketbootstrap_look_up(mach_port_t bootstrap, const char *name, mach_port_t *port);

/*
 * Unlocks a service for sandboxed processes, and for other users who can reach the runtime directory. Works only for
 * services of this user. The service need not be running. The name stays unlocked when the service restarts, whatever
 * the service's LIGHTMESSAGING_USE_ROCKETBOOTSTRAP, until LMLockService locks it. (By contrast, LMStartService unlocks
 * a service only for as long as it runs.) Idempotent.
 *
 *   KERN_INVALID_ARGUMENT     empty, too long or invalid name
 *   BOOTSTRAP_NOT_PRIVILEGED  the runtime directory is not this user's, or cannot be written, as in a sandbox
 *   BOOTSTRAP_NAME_IN_USE     a launcher's socket, or a file that is not a socket, has the name in `unlocked`. The
 *                             library connects to a socket to find out, which starts a launcher's service
 *   KERN_RESOURCE_SHORTAGE    no memory or descriptors; or a stopped process holds the name's lock
 */
LM_API kern_return_t rocketbootstrap_unlock(const char *name);

/* Registers a name for a CFMachPort's port. Errors as in LMStartService, and MACH_SEND_INVALID_RIGHT if `port` is not
 * the port of a valid CFMachPort or already has a name. */
LM_API kern_return_t rocketbootstrap_register(mach_port_t bootstrap, const char *name, mach_port_t port);

#ifndef LM_DECLARATIONS_ONLY
#include "../LightMessaging/detail/compat/rocketbootstrap.h"
#endif
#ifdef LM_FILE_CODE
#include "../LightMessaging/detail/compat/rocketbootstrap_file.h"
#endif

/* Declares rocketbootstrap_cfmessageportcreateremote and rocketbootstrap_cfmessageportexposelocal. */
#if !LIGHTMESSAGING_USE_COREFOUNDATION
#include "../LightMessaging/CFMessagePort.h"
#endif

#include "../LightMessaging/detail/ground/quiet_end.h"

#endif
