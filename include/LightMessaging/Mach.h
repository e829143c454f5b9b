/* SPDX-License-Identifier: MIT */
/*
 * The Mach types, error numbers and functions that LightMessaging's interface uses.
 *
 * No Mach kernel implements them here. A port is an entry in a table of this process, and a port's name is a number
 * that is valid in this process only. Using a deallocated or invented name is an error; such a name never refers to
 * another port.
 *
 * Threads: every function may be called from any thread. Not to be called from signal handlers.
 */
#ifndef LIGHTMESSAGING_MACH_H
#define LIGHTMESSAGING_MACH_H

#include "detail/ground/quiet.h"

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

#define MACH_PORT_NULL 0u /* of the type mach_port_t */

/* The values are those of the original system, so that programs can compare, log and store them across both systems. */
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
#define MACH_SEND_INTERRUPTED     0x10000007
#define MACH_RCV_TIMED_OUT        0x10004003
#define MACH_RCV_INTERRUPTED      0x10004005
#define MACH_RCV_PORT_DIED        0x10004009

/* This library's own, from the range that the original system leaves to others: 0xf8000001 and up, as an int. */
#define LM_INCOMPATIBLE_VERSION (-0x07ffffff)
#define LM_STATUS_REPLY         (-0x07fffffe)

#include "Version.h"
#include "detail/ground/base.h"

/* Returns a text that explains the error number and what to check. Static and never NULL. */
LM_API const char *mach_error_string(mach_error_t error);

/* Returns the name of this process, for functions that take a task argument and ignore it. */
LM_API mach_port_t mach_task_self(void);

/* Stores the port to pass as `bootstrap` to rocketbootstrap's functions. `task` is ignored; `port` must not be NULL.
 * Always KERN_SUCCESS. */
LM_API kern_return_t task_get_bootstrap_port(mach_port_t task, mach_port_t *port);

/*
 * Deallocates a port name. `task` is ignored. The effect depends on the port:
 *
 *   A reply port: the client's wait ends with MACH_RCV_PORT_DIED.
 *
 *   A connection's port: the channel to the service closes, and every LMConnection that used it looks the service up
 *   again when it is next used. Calls that the service has taken end with MACH_RCV_PORT_DIED; other pending calls are
 *   sent again on a new channel. Queued one-way messages still arrive, at this service or, if it dies before it takes
 *   them, at the next one (LMConnectionSend).
 *
 *   MACH_PORT_NULL: nothing happens.
 *
 * Returns KERN_SUCCESS, or KERN_INVALID_ARGUMENT for a name that is stale, invented, or a service's own (invalidate its
 * CFMachPort instead).
 */
LM_API kern_return_t mach_port_deallocate(mach_port_t task, mach_port_t name);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/process/mach.h"
#endif

#include "detail/ground/quiet_end.h"

#endif
