/* SPDX-License-Identifier: MIT */
/* The text that the log adds to a failure to register, look up, unlock or list: which name, which path, and what to
 * do. */
#include "../../Mach.h"

#ifndef LM_DETAIL_REGISTRY_ADVICE_H
#define LM_DETAIL_REGISTRY_ADVICE_H

#include "../process/log.h"

enum lm_deed { LM_DEED_LOOK_UP, LM_DEED_OFFER, LM_DEED_REGISTER, LM_DEED_UNLOCK, LM_DEED_CHECK_IN, LM_DEED_LIST };

LM_COLD const char *lm_deed_name(enum lm_deed deed)
{
    static const char *const names[] = {"look up",        "make a channel to", "register",
                                        "lock or unlock", "check in",          "list"};
    return names[deed];
}

LM_COLD const char *lm_advice_to_callers(int error)
{
    switch (-error) {
    case ENOENT:
    case ENOTDIR:
        return "start the service, and let both sides have the same LM_RUNTIME_DIR or XDG_RUNTIME_DIR";
    case ECONNREFUSED:
        return "the process that served it is gone: start the service again";
    case EACCES:
        return "it is locked for this user or sandbox: have its owner unlock it (rocketbootstrap_unlock)";
    case EPERM:
        return "the directory or the listening process can't be trusted: the directory must belong to this user or "
               "root, and others must not be able to write to it or to those above it (chmod go-w); name it without "
               "links; the service must run as the directory's owner or root";
    case ELOOP:
        return "links are not followed here: name the directory itself";
    case ETIMEDOUT:
        return "the service does not accept connections: check whether it hangs or is stopped, or set a longer timeout";
    case ENAMETOOLONG:
        return "without /proc the path is limited to 107 bytes: mount /proc, or use a shorter name or directory";
    default:
        return "check that memory and descriptors (ulimit -n) are left";
    }
}

LM_COLD const char *lm_advice_on_memory(int error)
{
    switch (-error) {
    case EPERM:
    case EACCES:
    case ENOSYS:
        return "the sandbox's seccomp filter, or vm.memfd_noexec, forbids memfd_create: allow it";
    case EPIPE:
    case ECONNRESET:
        return "the service closed the connection at once: check that it runs, and call again";
    default:
        return "check that memory and descriptors (ulimit -n) are left";
    }
}

LM_COLD const char *lm_advice_to_services(int error)
{
    switch (-error) {
    case EEXIST:
        return "a live process or a launcher has the name, or the entry is not a socket: stop that process, or use "
               "another name";
    case ENOTUNIQ:
        return "somebody listens at unlocked/ of that name who is not the service in locked/: a launcher, or a service "
               "whose socket there was removed: stop that one, then lock the name";
    case EBUSY:
        return "a process that is stopped holds the name's lock: let it go on, or end it";
    case EALREADY:
        return "this process has checked the service in already: do so only once";
    case ENOENT:
        return "make the directory above it, or set LM_RUNTIME_DIR to one that exists";
    case EACCES:
    case EPERM:
        return "the directory must belong to this user, and others must not be able to write to it: see its owner and "
               "mode, or set LM_RUNTIME_DIR";
    case EROFS:
    case EXDEV:
        return "this is a sandbox's view of the directory: services register and unlock outside of it";
    case ELOOP:
    case ENOTDIR:
        return "this must be a directory, not a link to one: remove the entry";
    case ENAMETOOLONG:
        return "without /proc the path is limited to 107 bytes: mount /proc, or use a shorter directory";
    case EINVAL:
        return "LM_RUNTIME_DIR must be an absolute path";
    default:
        return "check that memory, descriptors (ulimit -n) and space on the file system are left";
    }
}

LM_COLD const char *lm_advice_on_launchers(int error)
{
    if (error != -EINVAL)
        return lm_advice_to_services(error);
    return "the launcher's socket must listen, be AF_UNIX and SOCK_SEQPACKET, and be bound to locked/NAME or "
           "unlocked/NAME of a runtime directory, one for each name; LISTEN_FDS and LISTEN_FDNAMES must fit each other";
}

LM_COLD const char *lm_advice(enum lm_deed deed, int error)
{
    switch (deed) {
    case LM_DEED_LOOK_UP:
    case LM_DEED_LIST:
        return lm_advice_to_callers(error);
    case LM_DEED_OFFER:
        return lm_advice_on_memory(error);
    case LM_DEED_CHECK_IN:
        return lm_advice_on_launchers(error);
    default:
        return lm_advice_to_services(error);
    }
}

/* `folder` is below `path`, or "". */
LM_COLD void lm_log_failure(enum lm_deed deed, const char *name, const char *path, const char *folder, int error)
{
    lm_log(-1, "error: can't %s \"%s\" at %s%s%s: %s: %s", lm_deed_name(deed), name, path, folder[0] ? "/" : "", folder,
           strerror(-error), lm_advice(deed, error));
}

/* For functions that return a negative errno on failure: logs the failure, and returns the result unchanged. */
LM_SETUP int lm_told(enum lm_deed deed, const char *name, const char *path, const char *folder, int result)
{
    if (result < 0 && lm_logging())
        lm_log_failure(deed, name, path, folder, result);
    return result;
}

#endif
