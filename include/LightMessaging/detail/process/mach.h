/* SPDX-License-Identifier: MIT */
/* The Mach functions that the public interface uses. */
#include "../../Mach.h"

#ifndef LM_DETAIL_PROCESS_MACH_H
#define LM_DETAIL_PROCESS_MACH_H

#include "port.h"

LM_API mach_port_t mach_task_self(void)
{
    return LM_TASK_PORT;
}

LM_API kern_return_t task_get_bootstrap_port(mach_port_t task, mach_port_t *port)
{
    (void)task;
    *port = LM_BOOTSTRAP_PORT;
    return KERN_SUCCESS;
}

LM_API kern_return_t mach_port_deallocate(mach_port_t task, mach_port_t name)
{
    (void)task;
    return name == MACH_PORT_NULL || lm_port_deallocate(name) ? KERN_SUCCESS : KERN_INVALID_ARGUMENT;
}

LM_API const char *mach_error_string(mach_error_t error)
{
    switch (error) {
    case KERN_SUCCESS:
        return "success";
    case KERN_INVALID_ARGUMENT:
        return "invalid argument: a NULL where there must be a value; a service name that is empty, longer than 127 "
               "bytes, starts with '.', or contains '/' or control characters; LM_RUNTIME_DIR is not an absolute "
               "path; or a launcher's variables or socket are wrong";
    case KERN_RESOURCE_SHORTAGE:
        return "out of memory, file descriptors or port names; or a process that is stopped keeps the name's lock";
    case BOOTSTRAP_NOT_PRIVILEGED:
        return "not permitted: the service is locked or refuses this user, or this user may not write to the runtime "
               "directory";
    case BOOTSTRAP_NAME_IN_USE:
        return "a live process already serves this name";
    case BOOTSTRAP_UNKNOWN_SERVICE:
        return "no process serves this name (is it running, with the same LM_RUNTIME_DIR or XDG_RUNTIME_DIR?)";
    case BOOTSTRAP_SERVICE_ACTIVE:
        return "this process has checked the service in already";
    case MACH_SEND_INVALID_DATA:
        return "the data can't be sent as this type";
    case MACH_SEND_INVALID_DEST:
        return "the other side went away before it took the message; nothing was handled, so it can be sent again";
    case MACH_SEND_TIMED_OUT:
        return "timed out before the service took the message; it was withdrawn, so it can be sent again";
    case MACH_SEND_INTERRUPTED:
        return "interrupted before the service took the message; it was withdrawn, so it can be sent again";
    case MACH_SEND_INVALID_RIGHT:
        return "not a valid port for this: a reply port that was used already, or a name that was never a port";
    case MACH_SEND_NO_BUFFER:
        return "too much is waiting already for the other side to read it; a client that does not read its replies has "
               "lost its connection";
    case MACH_SEND_TOO_LARGE:
        return "longer than the receiver accepts; nothing was sent (LMServiceSetLargestMessage and LMSetLargestReply "
               "set the limits)";
    case MACH_RCV_TIMED_OUT:
        return "the service took the message and did not answer in time; a late answer is dropped";
    case MACH_RCV_INTERRUPTED:
        return "interrupted while waiting for the answer; the service took the message, and a late answer is dropped";
    case MACH_RCV_PORT_DIED:
        return "the service took the message and died, or gave up the reply port, without an answer";
    case LM_INCOMPATIBLE_VERSION:
        return "the service and this program speak different versions of the protocol, or have different byte orders; "
               "nothing was taken (LMConnectionGetServiceVersions has the numbers)";
    case LM_STATUS_REPLY:
        return "the service answered with a status instead of data (LMResponseGetStatus has it)";
    default:
        return "unknown error";
    }
}

#endif
