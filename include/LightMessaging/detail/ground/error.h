/* SPDX-License-Identifier: MIT */
/* Converts the negative errno of internal functions to the public numbers, where the caller has nothing more
 * precise. */
#include "../../Mach.h"

#ifndef LM_DETAIL_GROUND_ERROR_H
#define LM_DETAIL_GROUND_ERROR_H

#include "base.h"

LM_INTERNAL kern_return_t lm_kern_return(int error)
{
    switch (-error) {
    case 0:
        return KERN_SUCCESS;
    case ENOENT:
    case ECONNREFUSED:
    case ENOTDIR:
        return BOOTSTRAP_UNKNOWN_SERVICE;
    case EACCES:
    case EPERM:
    case EROFS:
    case EXDEV:
    case ELOOP:
    case ENOTUNIQ: /* not from the kernel: another service or a launcher listens in `unlocked` */
    case ENOSYS:   /* a system call that a sandbox forbids */
        return BOOTSTRAP_NOT_PRIVILEGED;
    case EWOULDBLOCK:
    case ETIMEDOUT:
        return MACH_SEND_TIMED_OUT;
    case ECANCELED:
        return MACH_SEND_INTERRUPTED;
    case EPIPE:
    case ECONNRESET:
    case EPROTO:
        return MACH_SEND_INVALID_DEST;
    case EMSGSIZE:
        return MACH_SEND_TOO_LARGE;
    case EXFULL: /* not from the kernel: no room */
        return MACH_SEND_NO_BUFFER;
    case EINVAL:
    case ENAMETOOLONG:
        return KERN_INVALID_ARGUMENT;
    default:
        return KERN_RESOURCE_SHORTAGE;
    }
}

/* The same for functions that change the registry rather than look up a name. */
LM_SETUP kern_return_t lm_registry_status(int error)
{
    if (error == -EEXIST)
        return BOOTSTRAP_NAME_IN_USE;
    return error == -ENOENT || error == -ENOTDIR ? BOOTSTRAP_NOT_PRIVILEGED : lm_kern_return(error);
}

#endif
