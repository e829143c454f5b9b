/* SPDX-License-Identifier: MIT */
/*
 * CFMessagePort over LightMessaging, for existing code that uses it. A local port is a service, and a remote port is a
 * connection to a service. An LMConnection may call a local port, and a remote port may call a service that
 * LMStartService started.
 *
 * Differences from Apple's CFMessagePort:
 *
 *   - Data are never NULL. An empty message or reply is a CFData without bytes.
 *   - A request that waits for a reply does not run the run loop, whatever mode is passed. A thread therefore cannot
 *     call a port that it serves itself.
 *   - If a callback invalidates its own port, its reply is sent only as far as there is room at once, some hundred KB.
 *     The name becomes free after that.
 *   - CFMessagePortSetName, CFMessagePortGetTypeID and CFMessagePortSetDispatchQueue are missing.
 *
 * Threads: every function may be called from any thread. Callbacks run in the thread that runs the loop; invalidation
 * callbacks run in the thread that invalidates the port. Ownership: CoreFoundation.h. `allocator` is ignored. Unless
 * stated otherwise, ports must not be NULL.
 */
#ifndef LIGHTMESSAGING_CFMESSAGEPORT_H
#define LIGHTMESSAGING_CFMESSAGEPORT_H

#include "detail/ground/quiet.h"
#include "LightMessaging.h"

#if LIGHTMESSAGING_USE_COREFOUNDATION
#error "CFMessagePort.h declares CFMessagePort's names and cannot be used beside a CoreFoundation that has them"
#endif

typedef struct lm_message_port *CFMessagePortRef;

/* Results of CFMessagePortSendRequest. */
enum {
    kCFMessagePortSuccess = 0,
    kCFMessagePortSendTimeout = -1,       /* the queue stayed full; nothing was sent */
    kCFMessagePortReceiveTimeout = -2,    /* sent, but no reply arrived in time */
    kCFMessagePortIsInvalid = -3,         /* the port was already invalid; nothing was sent */
    kCFMessagePortTransportError = -4,    /* not permitted, too large, no memory, or the port sent no reply */
    kCFMessagePortBecameInvalidError = -5 /* the other side died during the request */
};

/* The argument of a port's callbacks. Copied when the port is created. */
typedef struct {
    CFIndex version; /* 0 */
    void *info;      /* passed to the callbacks */
    const void *(*retain)(const void *info);
    void (*release)(const void *info);
    CFStringRef (*copyDescription)(const void *info); /* not used */
} CFMessagePortContext;

/* Handles a request to a local port and returns the reply, which the library releases, or NULL for an empty reply.
 * `data` are valid until the callback returns and do not change; use CFDataCreateCopy to keep them. `info` is also
 * valid until then, even if the port is invalidated meanwhile. */
typedef CFDataRef (*CFMessagePortCallBack)(CFMessagePortRef local, SInt32 msgid, CFDataRef data, void *info);
/* Called when a port becomes invalid. */
typedef void (*CFMessagePortInvalidationCallBack)(CFMessagePortRef port, void *info);

/*
 * Creates a local port and registers its name. If this process already has a local port of that name, the function
 * returns that port with another reference and does not change it.
 *
 *   name            as LMStartService takes it; NULL for a port that other processes cannot reach
 *   callout         handles the requests; if it is NULL, only an existing port is returned
 *   context         its info is passed to the callbacks; may be NULL
 *   shouldFreeInfo  set to true if `context` was not used, so that its info is still the caller's to free; may be NULL
 *
 * Returns the port, with a reference for the caller; NULL if another process has the name, the name is invalid, or
 * memory runs out. The port lives until its last reference is released; a run loop that serves it holds one.
 */
LM_API CFMessagePortRef CFMessagePortCreateLocal(CFAllocatorRef allocator, CFStringRef name,
                                                 CFMessagePortCallBack callout, CFMessagePortContext *context,
                                                 Boolean *shouldFreeInfo);
/* Connects to the local port of that name, within LIGHTMESSAGING_TIMEOUT. Returns a remote port, with a reference for
 * the caller; NULL if no port of that name exists now, it may not be called, the time is over, or memory runs out. */
LM_FILE_API CFMessagePortRef CFMessagePortCreateRemote(CFAllocatorRef allocator, CFStringRef name);

/*
 * Sends a request to a remote port and, unless `replyMode` is NULL, waits for the reply.
 *
 *   data         NULL sends an empty message
 *   sendTimeout  seconds to wait for room in the queue
 *   rcvTimeout   seconds to wait for the reply
 *   returnData   receives the reply, to be released with CFRelease, or NULL if there is none; may be NULL
 *
 * Returns one of the results above; kCFMessagePortIsInvalid for NULL and for a local port.
 */
LM_API SInt32 CFMessagePortSendRequest(CFMessagePortRef remote, SInt32 msgid, CFDataRef data,
                                       CFTimeInterval sendTimeout, CFTimeInterval rcvTimeout, CFStringRef replyMode,
                                       CFDataRef *returnData);

/* Creates the source with which a run loop serves a local port. The source holds a reference to the port. A port stays
 * with the first loop that it is added to. `order` is ignored. Returns the source, with a reference for the caller;
 * NULL if the port is NULL, remote or invalid, or memory runs out. */
LM_API CFRunLoopSourceRef CFMessagePortCreateRunLoopSource(CFAllocatorRef allocator, CFMessagePortRef local,
                                                           CFIndex order);

/* Makes the port invalid for ever. A local port's name becomes free, and its clients' waits end with an error. The
 * function calls the invalidation callback, then releases the context's info. Idempotent. NULL is ignored. */
LM_API void CFMessagePortInvalidate(CFMessagePortRef port);
/* Whether the port is valid. A remote port becomes invalid when the other side dies; this function detects that, and
 * then invalidates the port. False for NULL. */
LM_API Boolean CFMessagePortIsValid(CFMessagePortRef port);
/* Whether the port is remote. */
LM_API Boolean CFMessagePortIsRemote(CFMessagePortRef port);
/* The port's name, valid as long as the port lives; NULL if it has none. */
LM_API CFStringRef CFMessagePortGetName(CFMessagePortRef port);
/* Copies the port's context to *context; its info stays the port's. */
LM_API void CFMessagePortGetContext(CFMessagePortRef port, CFMessagePortContext *context);
/*
 * Sets the function that is called once, when the port becomes invalid; it is called at once if the port is already
 * invalid. NULL for none. For a remote port, the run loop of the thread that calls this function detects the other
 * side's death while it runs, but the port does not keep the loop running. Sends and CFMessagePortIsValid also detect
 * it.
 */
LM_API void CFMessagePortSetInvalidationCallBack(CFMessagePortRef port, CFMessagePortInvalidationCallBack callout);
/* The function that CFMessagePortSetInvalidationCallBack set, or NULL. */
LM_API CFMessagePortInvalidationCallBack CFMessagePortGetInvalidationCallBack(CFMessagePortRef port);

/* RocketBootstrap's name for CFMessagePortCreateRemote. A sandboxed process reaches only unlocked ports. */
LM_FILE_API CFMessagePortRef rocketbootstrap_cfmessageportcreateremote(CFAllocatorRef allocator, CFStringRef name);
/* Unlocks a local port's name for sandboxed processes. Errors as in rocketbootstrap_unlock, and KERN_INVALID_ARGUMENT
 * for a port that is NULL, remote or has no name. */
LM_API kern_return_t rocketbootstrap_cfmessageportexposelocal(CFMessagePortRef port);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/compat/message_port.h"
#endif
#ifdef LM_FILE_CODE
#include "detail/compat/message_port_file.h"
#endif

#include "detail/ground/quiet_end.h"

#endif
