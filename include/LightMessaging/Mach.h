/* SPDX-License-Identifier: MIT */
/*
 * The Mach names that LightMessaging's interface speaks in.
 *
 * On Linux there is no Mach kernel behind them: a port is an entry of a table of this process, and a port's name is a
 * number that means something in this process only. A name that was deallocated, or made up, is an error wherever it is
 * used; it never stands for another port.
 */
#ifndef LIGHTMESSAGING_MACH_H
#define LIGHTMESSAGING_MACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

typedef int kern_return_t;
typedef int mach_error_t;
typedef kern_return_t mach_msg_return_t;
typedef uint32_t mach_port_t; /* a name, never a pointer */
typedef mach_port_t mach_port_name_t;
typedef uint32_t mach_msg_size_t;
typedef int32_t mach_msg_id_t;
typedef char name_t[128]; /* a service name: 1 to 127 bytes and a NUL */

#define MACH_PORT_NULL ((mach_port_t)0)

/* The numbers are the original system's own, so that they can be compared, logged and stored across both. */
#define KERN_SUCCESS              0
#define KERN_INVALID_ARGUMENT     4
#define KERN_RESOURCE_SHORTAGE    6
#define BOOTSTRAP_SUCCESS         0
#define BOOTSTRAP_NOT_PRIVILEGED  1100
#define BOOTSTRAP_NAME_IN_USE     1101
#define BOOTSTRAP_UNKNOWN_SERVICE 1102
#define BOOTSTRAP_SERVICE_ACTIVE  1103
#define MACH_MSG_SUCCESS          0
#define MACH_SEND_INVALID_DATA    0x10000002
#define MACH_SEND_INVALID_DEST    0x10000003
#define MACH_SEND_TIMED_OUT       0x10000004
#define MACH_SEND_INVALID_RIGHT   0x1000000a
#define MACH_SEND_NO_BUFFER       0x1000000d
#define MACH_SEND_TOO_LARGE       0x1000000e
#define MACH_RCV_TIMED_OUT        0x10004003
#define MACH_RCV_PORT_DIED        0x10004009

#include "Version.h"
#include "detail/ground/base.h"

/* A sentence that says what the number means and what to look at. Static text; never NULL; any thread. */
LM_API const char *mach_error_string(mach_error_t error);

/* This process, for the calls that want to be told. */
LM_API mach_port_t mach_task_self(void);

/* The port that services are looked up and registered with. Always KERN_SUCCESS; `port` must not be NULL. */
LM_API kern_return_t task_get_bootstrap_port(mach_port_t task, mach_port_t *port);

/*
 * Gives up a port name. What that does depends on the port.
 *
 * A reply port: its caller's wait ends with MACH_RCV_PORT_DIED.
 *
 * A connection's port: the channel to the service closes, and every LMConnection that used it looks the service up
 * again when next used. Calls that the service has taken end with MACH_RCV_PORT_DIED; others under way are sent again
 * on a new channel. One-way messages that were queued still arrive, at this service or, if it dies before it takes
 * them, at the next one (LMConnectionSendOneWay).
 *
 * KERN_INVALID_ARGUMENT for a name that is stale, forged, or a service's own (invalidate its CFMachPort instead).
 * MACH_PORT_NULL is accepted and means nothing. Any thread.
 */
LM_API kern_return_t mach_port_deallocate(mach_port_t task, mach_port_t name);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/process/mach.h"
#endif

#endif
