/* SPDX-License-Identifier: MIT */
/*
 * CFMessagePort over LightMessaging: code that was written for it moves over unchanged. A local port is a service, and
 * a remote one a connection to it; an LMConnection may call a local port, and a remote port an LMStartService's
 * service.
 *
 * Where it differs from Apple's: data are never NULL, an empty message or reply is a CFData without bytes; a request
 * with a reply waits without running the run loop, whatever mode is named, so a thread can't call a port that it
 * serves itself; the answer of a callout that invalidates its own port is sent as far as there is room at once, some
 * hundred KB, and the name is free when that is done. CFMessagePortSetName, CFMessagePortGetTypeID and
 * CFMessagePortSetDispatchQueue are missing. Threads: any function in any thread; callbacks in the thread that runs the
 * loop.
 */
#ifndef LIGHTMESSAGING_CFMESSAGEPORT_H
#define LIGHTMESSAGING_CFMESSAGEPORT_H

#include "LightMessaging.h"

#if LIGHTMESSAGING_USE_COREFOUNDATION
#error "CFMessagePort.h brings CFMessagePort's names itself and can't be used beside a CoreFoundation that has them"
#endif

typedef struct lm_message_port *CFMessagePortRef;

enum {
    kCFMessagePortSuccess = 0,
    kCFMessagePortSendTimeout = -1,       /* there was no room in the queue; nothing was sent */
    kCFMessagePortReceiveTimeout = -2,    /* sent, and no reply in time */
    kCFMessagePortIsInvalid = -3,         /* the port was invalid before; nothing was sent */
    kCFMessagePortTransportError = -4,    /* not permitted, too large, no memory, or the port gave no reply */
    kCFMessagePortBecameInvalidError = -5 /* the other side died meanwhile */
};

typedef struct {
    CFIndex version; /* 0 */
    void *info;
    const void *(*retain)(const void *info);
    void (*release)(const void *info);
    CFStringRef (*copyDescription)(const void *info); /* not used */
} CFMessagePortContext;

/* Answers a request: with data that are given up to the caller, or NULL for an empty reply. `data` are borrowed
 * until it returns, and nobody changes them: CFDataCreateCopy makes what lasts longer. The info is kept until it
 * returns, too, even if the port is invalidated meanwhile. */
typedef CFDataRef (*CFMessagePortCallBack)(CFMessagePortRef local, SInt32 msgid, CFDataRef data, void *info);
typedef void (*CFMessagePortInvalidationCallBack)(CFMessagePortRef port, void *info);

/*
 * A port that others may send to under the name (as LMStartService's), or by nobody without one (NULL). The port of
 * that name that this process has already is returned again. NULL: another process has the name, it is not a legal
 * one, or memory runs out. *shouldFreeInfo, if wanted, tells whether `context` was not used and its info is still the
 * caller's to free. The port lives as long as somebody has a reference; a run loop that serves it has one.
 */
LM_API CFMessagePortRef CFMessagePortCreateLocal(CFAllocatorRef allocator, CFStringRef name,
                                                 CFMessagePortCallBack callout, CFMessagePortContext *context,
                                                 Boolean *shouldFreeInfo);
/* The way to another process's local port. NULL if there is none of that name now. Connects, and waits for that as long
 * as LIGHTMESSAGING_TIMEOUT says. */
LM_API CFMessagePortRef CFMessagePortCreateRemote(CFAllocatorRef allocator, CFStringRef name);

/*
 * Sends, waiting at most sendTimeout seconds for room; then, unless replyMode is NULL, waits at most rcvTimeout seconds
 * for the reply, and stores it in *returnData (which may be NULL), to be given up with CFRelease. NULL is stored if
 * there is none. NULL data are an empty message. Returns one of the results above.
 */
LM_API SInt32 CFMessagePortSendRequest(CFMessagePortRef remote, SInt32 msgid, CFDataRef data,
                                       CFTimeInterval sendTimeout, CFTimeInterval rcvTimeout, CFStringRef replyMode,
                                       CFDataRef *returnData);

/* The source by which a run loop serves a local port, with a reference to it. A port stays with the first loop that it
 * is added to. NULL for a remote or an invalid port, or if memory runs out. */
LM_API CFRunLoopSourceRef CFMessagePortCreateRunLoopSource(CFAllocatorRef allocator, CFMessagePortRef local,
                                                           CFIndex order);

/* Ends the port for good: a local one frees its name, and its clients' waits end with an error. The invalidation
 * callback is called, then the context's info is released. Idempotent. */
LM_API void CFMessagePortInvalidate(CFMessagePortRef port);
/* A remote port becomes invalid when the other side goes; this looks. */
LM_API Boolean CFMessagePortIsValid(CFMessagePortRef port);
LM_API Boolean CFMessagePortIsRemote(CFMessagePortRef port);
/* Borrowed; NULL if it has none. */
LM_API CFStringRef CFMessagePortGetName(CFMessagePortRef port);
LM_API void CFMessagePortGetContext(CFMessagePortRef port, CFMessagePortContext *context);
/* Called once, when the port is invalidated; at once if it is invalid already. A remote port's death is noticed by the
 * run loop of the thread that sets this, which does not go on running for it; and by sends and CFMessagePortIsValid. */
LM_API void CFMessagePortSetInvalidationCallBack(CFMessagePortRef port, CFMessagePortInvalidationCallBack callout);
LM_API CFMessagePortInvalidationCallBack CFMessagePortGetInvalidationCallBack(CFMessagePortRef port);

/* RocketBootstrap's: CFMessagePortCreateRemote from inside a sandbox; and what the other side does for that. The second
 * fails as rocketbootstrap_unlock does, and with KERN_INVALID_ARGUMENT for a port that is remote or has no name. */
LM_API CFMessagePortRef rocketbootstrap_cfmessageportcreateremote(CFAllocatorRef allocator, CFStringRef name);
LM_API kern_return_t rocketbootstrap_cfmessageportexposelocal(CFMessagePortRef port);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/compat/message_port.h"
#endif

#endif
