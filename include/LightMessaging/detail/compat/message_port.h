/* SPDX-License-Identifier: MIT */
/*
 * CFMessagePort: local ports are built on a service, remote ports on a link.
 *
 * A port ends with its last reference, so nothing that calls it back may keep it alive. Services and watches therefore
 * refer to a tie, which refers to the port without a reference while the port exists. Only a run loop that serves a
 * local port keeps it alive, through the tie. Lock order: the tie's lock before the service's and the loop's.
 */
#include "../../CFMessagePort.h"

#ifndef LM_DETAIL_COMPAT_MESSAGE_PORT_H
#define LM_DETAIL_COMPAT_MESSAGE_PORT_H

#include "../cf/string.h"
#include "mach_port.h"
#include "message_port_file.h"
#include "../client/send.h"
#include "rocketbootstrap.h"
#include "../channel/take.h"

struct lm_tie {
    struct lm_object object;
    pthread_mutex_t lock;
    struct lm_message_port *port; /* without a reference; NULL: the port no longer exists */
    bool served;                  /* a run loop serves the port, so the tie holds a reference */
    struct lm_watch watch;        /* of a remote port's peer */
    int socket;                   /* the descriptor that `watch` watches, a copy of the link's */
};

struct lm_message_port {
    struct lm_object object;
    pthread_mutex_t lock; /* guards the next six; taken last */
    bool valid;
    bool ends_later; /* a callout has invalidated the port: its service ends when the callout has returned */
    uint32_t callouts;
    pthread_t callouts_in; /* the thread that runs the callouts */
    uint32_t keep_info;    /* number of users of the info: each callout, and the port while it is valid */
    CFMessagePortInvalidationCallBack invalidated;
    struct lm_tie *tie;
    CFStringRef name;
    CFMessagePortContext context;
    CFMessagePortCallBack callout;
    struct lm_service *service; /* of a local port */
    struct lm_list in_process;  /* of a local port with a name: listed before it takes the name, until that is free */
    bool open;                  /* guarded by the process's lock: other callers may get the port */
    struct lm_link *link;       /* of a remote port */
};

/* Local ports by name. Guarded by the process's lock. */
struct lm_message_ports {
    struct lm_list locals;
};

LM_STATE(struct lm_message_ports, lm_message_ports)

/* --- Ties --- */

LM_INTERNAL void lm_tie_destroy(struct lm_object *object)
{
    struct lm_tie *tie = LM_CONTAINER(object, struct lm_tie, object);
    lm_sys_close(&tie->socket);
    pthread_mutex_destroy(&tie->lock);
    free(tie);
}

/* Returns the port with a reference, or NULL if its last reference is gone. A port that is being destroyed waits for
 * the tie's lock. */
LM_INTERNAL struct lm_message_port *lm_tie_get(struct lm_tie *tie)
{
    pthread_mutex_lock(&tie->lock);
    struct lm_message_port *port = tie->port && lm_retain_alive(&tie->port->object) ? tie->port : NULL;
    pthread_mutex_unlock(&tie->lock);
    return port;
}

/* The peer's socket may have been closed: checks that the port is still valid. */
LM_INTERNAL enum lm_wish lm_tie_ready(struct lm_object *object, uint32_t events)
{
    struct lm_tie *tie = LM_CONTAINER(object, struct lm_tie, object);
    (void)events;
    struct lm_message_port *port = lm_tie_get(tie);
    if (port) {
        CFMessagePortIsValid(port);
        lm_release(&port->object);
    }
    return LM_WATCH_WAIT;
}

LM_INTERNAL struct lm_tie *lm_tie_create(struct lm_message_port *port)
{
    struct lm_tie *tie = (struct lm_tie *)lm_new(sizeof *tie);
    if (!tie)
        return NULL;
    lm_object_init(&tie->object, lm_tie_destroy);
    pthread_mutex_init(&tie->lock, NULL);
    lm_watch_init(&tie->watch, &tie->object, lm_tie_ready);
    tie->port = port;
    tie->socket = -1;
    return tie;
}

/* Ends the loop's reference and watch; `gone` also clears the tie's pointer to the port. */
LM_INTERNAL void lm_tie_loosen(struct lm_tie *tie, bool gone)
{
    pthread_mutex_lock(&tie->lock);
    struct lm_message_port *kept = tie->served ? tie->port : NULL;
    tie->served = false;
    lm_watch_remove(&tie->watch, tie->socket);
    if (gone)
        tie->port = NULL;
    pthread_mutex_unlock(&tie->lock);
    if (kept)
        lm_release(&kept->object);
}

/* --- Life --- */

LM_INTERNAL void lm_message_port_delist(struct lm_message_port *port)
{
    lm_process_lock();
    lm_list_remove(&port->in_process);
    lm_process_unlock();
}

/* Marks the port as invalid; returns whether this caller is the one to end it. */
LM_INTERNAL bool lm_message_port_claim_end(struct lm_message_port *port, CFMessagePortInvalidationCallBack *invalidated)
{
    pthread_mutex_lock(&port->lock);
    bool was_valid = port->valid;
    port->valid = false;
    port->ends_later = was_valid && port->callouts > 0 && pthread_equal(port->callouts_in, pthread_self());
    *invalidated = port->invalidated;
    pthread_mutex_unlock(&port->lock);
    return was_valid;
}

/* Ends the port's service and removes the port from the list; called once. The name is free before the port is
 * removed. */
LM_INTERNAL void lm_message_port_end(struct lm_message_port *port)
{
    if (port->service && !port->ends_later)
        lm_service_invalidate(port->service);
    lm_message_port_delist(port);
}

LM_INTERNAL void lm_message_port_release_info(struct lm_message_port *port)
{
    pthread_mutex_lock(&port->lock);
    bool last = --port->keep_info == 0;
    pthread_mutex_unlock(&port->lock);
    if (last && port->context.release)
        port->context.release(port->context.info);
}

LM_INTERNAL void lm_message_port_destroy(struct lm_object *object)
{
    struct lm_message_port *port = LM_CONTAINER(object, struct lm_message_port, object);
    lm_tie_loosen(port->tie, true);
    if (port->valid) {
        lm_message_port_end(port);
        lm_message_port_release_info(port);
    }
    if (port->service)
        lm_release(&port->service->object);
    if (port->link)
        lm_release(&port->link->object);
    lm_release(&port->tie->object);
    CFRelease(port->name);
    pthread_mutex_destroy(&port->lock);
    free(port);
}

LM_INTERNAL struct lm_message_port *lm_message_port_create(CFStringRef name)
{
    struct lm_message_port *port = (struct lm_message_port *)lm_new(sizeof *port);
    struct lm_tie *tie = port ? lm_tie_create(port) : NULL;
    if (!tie) {
        free(port);
        return NULL;
    }
    lm_object_init(&port->object, lm_message_port_destroy);
    pthread_mutex_init(&port->lock, NULL);
    port->tie = tie;
    port->name = (CFStringRef)CFRetain(name);
    port->valid = true;
    port->keep_info = 1;
    return port;
}

LM_API void CFMessagePortInvalidate(CFMessagePortRef port)
{
    CFMessagePortInvalidationCallBack invalidated;
    if (!port)
        return;
    lm_retain(&port->object);
    if (lm_message_port_claim_end(port, &invalidated)) {
        lm_message_port_end(port);
        if (invalidated)
            invalidated(port, port->context.info);
        lm_message_port_release_info(port);
        lm_tie_loosen(port->tie, false);
    }
    lm_release(&port->object);
}

/* --- Local --- */

/* Begins a callout if the port is still valid, and keeps the info for its duration. Returns whether to call the
 * port. */
LM_INTERNAL bool lm_message_port_begin_callout(struct lm_message_port *port)
{
    pthread_mutex_lock(&port->lock);
    bool valid = port->valid;
    if (valid) {
        port->callouts++;
        port->callouts_in = pthread_self();
        port->keep_info++;
    }
    pthread_mutex_unlock(&port->lock);
    return valid;
}

LM_INTERNAL void lm_message_port_finish_callout(struct lm_message_port *port)
{
    pthread_mutex_lock(&port->lock);
    bool ends = --port->callouts == 0 && port->ends_later;
    pthread_mutex_unlock(&port->lock);
    if (ends)
        lm_service_invalidate(port->service);
    lm_message_port_release_info(port);
}

/* Returns a request's bytes, which no longer change; NULL if there is no memory. */
LM_INTERNAL CFDataRef lm_message_port_data(LMMessage *message)
{
    if (!lm_message_keep(message))
        return NULL;
    return CFDataCreateWithBytesNoCopy(NULL, (const UInt8 *)LMMessageGetData(message),
                                       (CFIndex)LMMessageGetDataLength(message), kCFAllocatorNull);
}

/* Answers a request with the callback's result. */
LM_INTERNAL void lm_message_port_answer(struct lm_message_port *port, LMMessage *message)
{
    mach_port_t reply = message->head.msgh_remote_port;
    CFDataRef data = lm_message_port_data(message);
    if (!data) {
        lm_port_deallocate(reply);
        return;
    }
    CFDataRef answer = port->callout(port, message->head.msgh_id, data, port->context.info);
    LMSendCFDataReply(reply, answer);
    if (answer)
        CFRelease(answer);
    CFRelease(data);
}

LM_INTERNAL void lm_message_port_serve(CFMachPortRef service, void *message, CFIndex size, void *info)
{
    struct lm_message_port *port = lm_tie_get((struct lm_tie *)info);
    (void)service, (void)size;
    if (port && lm_message_port_begin_callout(port)) {
        lm_message_port_answer(port, (LMMessage *)message);
        lm_message_port_finish_callout(port);
    } else {
        lm_port_deallocate(((LMMessage *)message)->head.msgh_remote_port);
    }
    if (port)
        lm_release(&port->object);
}

LM_INTERNAL const void *lm_tie_retain(const void *tie)
{
    lm_retain(&((struct lm_tie *)(uintptr_t)tie)->object);
    return tie;
}

LM_INTERNAL void lm_tie_release(const void *tie)
{
    lm_release(&((struct lm_tie *)(uintptr_t)tie)->object);
}

/* Returns this process's local port of the name, in any state. With the process's lock. */
LM_INTERNAL struct lm_message_port *lm_message_port_listed(const char *name)
{
    const struct lm_list *locals = &lm_message_ports.locals;
    for (struct lm_list *l = lm_list_first(locals); l; l = lm_list_next(locals, l)) {
        struct lm_message_port *port = LM_CONTAINER(l, struct lm_message_port, in_process);
        if (strcmp(lm_string_bytes(port->name), name) == 0)
            return port;
    }
    return NULL;
}

/* Finds this process's port of the name, with a reference. If there is none, it is NULL, and `fresh`, if given, is
 * listed under the name. -EAGAIN: another thread is creating or ending the port. */
LM_INTERNAL int lm_message_port_find(const char *name, struct lm_message_port *fresh, struct lm_message_port **found)
{
    lm_process_lock();
    struct lm_message_port *listed = lm_message_port_listed(name);
    bool alive = listed && listed->open && lm_service_valid(listed->service) && lm_retain_alive(&listed->object);
    if (!listed && fresh)
        lm_list_append(&lm_message_ports.locals, &fresh->in_process);
    lm_process_unlock();
    *found = alive ? listed : NULL;
    return listed && !alive ? -EAGAIN : 0;
}

/* Repeats lm_message_port_find until other threads are done; for a second at most, since after a fork these threads may
 * not exist in this process. */
LM_INTERNAL int lm_message_port_settle(const char *name, struct lm_message_port *fresh, struct lm_message_port **found)
{
    int64_t give_up = lm_now() + 1000000000;
    uint32_t nothing = 0;
    int result;
    while ((result = lm_message_port_find(name, fresh, found)) == -EAGAIN && lm_now() < give_up)
        lm_sleep_on(&nothing, 0, lm_now() + 1000000);
    return result;
}

/* Gives a new local port its service, and registers the service's name. */
LM_INTERNAL bool lm_message_port_open(struct lm_message_port *port, const char *name)
{
    CFMachPortContext context = {0, port->tie, lm_tie_retain, lm_tie_release, NULL};
    struct lm_service *service = lm_service_create(lm_message_port_serve, &context);
    if (service && (!name || lm_service_register(service, name) == KERN_SUCCESS)) {
        port->service = service;
        return true;
    }
    if (service) {
        lm_service_invalidate(service);
        lm_release(&service->object);
    }
    return false;
}

/* Lets other threads get the port. */
LM_INTERNAL void lm_message_port_publish(struct lm_message_port *port)
{
    lm_process_lock();
    port->open = true;
    lm_process_unlock();
}

LM_INTERNAL void lm_message_port_set_context(struct lm_message_port *port, const CFMessagePortContext *context)
{
    port->context = *context;
    if (context->retain)
        port->context.info = (void *)(uintptr_t)context->retain(context->info);
}

/* Returns the process's port of the name, or a new one that is not open yet. NULL: there is no memory, or another
 * thread did not finish with the port of that name. */
LM_INTERNAL struct lm_message_port *lm_message_port_of(CFStringRef name, bool *is_new)
{
    struct lm_message_port *fresh = lm_message_port_create(name), *found = NULL;
    int result = fresh && name ? lm_message_port_settle(lm_string_bytes(name), fresh, &found) : 0;
    *is_new = fresh && !found && result == 0;
    if (*is_new)
        return fresh;
    if (fresh)
        lm_release(&fresh->object);
    return found;
}

LM_API CFMessagePortRef CFMessagePortCreateLocal(CFAllocatorRef allocator, CFStringRef name,
                                                 CFMessagePortCallBack callout, CFMessagePortContext *context,
                                                 Boolean *shouldFreeInfo)
{
    struct lm_message_port *port = NULL;
    bool is_new = false;
    (void)allocator;
    if (shouldFreeInfo)
        *shouldFreeInfo = true;
    if (callout)
        port = lm_message_port_of(name, &is_new);
    else if (name)
        lm_message_port_settle(lm_string_bytes(name), NULL, &port);
    if (!port || !is_new)
        return port;
    port->callout = callout;
    if (!lm_message_port_open(port, name ? lm_string_bytes(name) : NULL)) {
        lm_release(&port->object);
        return NULL;
    }
    if (context)
        lm_message_port_set_context(port, context);
    if (shouldFreeInfo)
        *shouldFreeInfo = false;
    lm_message_port_publish(port);
    return port;
}

LM_INTERNAL void lm_message_port_schedule(struct lm_object *served, struct lm_loop *loop)
{
    struct lm_message_port *port = LM_CONTAINER(served, struct lm_message_port, object);
    struct lm_tie *tie = port->tie;
    pthread_mutex_lock(&tie->lock);
    if (lm_service_schedule(port->service, loop) == 0 && !tie->served) {
        lm_retain(&port->object);
        tie->served = true;
    }
    pthread_mutex_unlock(&tie->lock);
}

LM_INTERNAL void lm_message_port_unschedule(struct lm_object *served, struct lm_loop *loop)
{
    struct lm_message_port *port = LM_CONTAINER(served, struct lm_message_port, object);
    lm_service_unschedule(port->service, loop);
    lm_tie_loosen(port->tie, false);
}

LM_API CFRunLoopSourceRef CFMessagePortCreateRunLoopSource(CFAllocatorRef allocator, CFMessagePortRef local,
                                                           CFIndex order)
{
    (void)allocator, (void)order;
    if (!local || !local->service || !CFMessagePortIsValid(local))
        return NULL;
    struct lm_source *source = (struct lm_source *)lm_new(sizeof *source);
    if (!source)
        return NULL;
    lm_object_init(&source->object, lm_source_destroy);
    lm_retain(&local->object);
    source->served = &local->object;
    source->schedule = lm_message_port_schedule;
    source->unschedule = lm_message_port_unschedule;
    return source;
}

/* --- Remote --- */

/* Checks the link's socket, ends the link if its service is gone, and returns whether it lives. */
LM_INTERNAL bool lm_link_lives(struct lm_link *link)
{
    lm_link_lock(link);
    if (!lm_link_is_cut(link) && lm_sys_hung_up(link->channel.socket))
        lm_link_die(link);
    bool lives = !lm_link_is_cut(link);
    lm_link_unlock(link);
    return lives;
}

/* Returns a link to a live service: the process may still have one to a service that died. NULL: there is no
 * service. */
LM_INTERNAL struct lm_link *lm_link_find_live(const char *name, int64_t deadline)
{
    struct lm_link *link;
    for (int tries = 0; tries < 2; tries++) {
        if (lm_link_get(name, deadline, &link) < 0)
            return NULL;
        if (lm_link_lives(link))
            return link;
        lm_release(&link->object);
    }
    return NULL;
}

LM_API CFMessagePortRef lm_message_port_create_remote(CFStringRef name, uint32_t file_timeout)
{
    const char *text = name ? lm_string_bytes(name) : NULL;
    struct lm_message_port *port = lm_name_valid(text) ? lm_message_port_create(name) : NULL;
    if (!port)
        return NULL;
    port->link = lm_link_find_live(text, lm_send_deadline(text, 0, file_timeout));
    if (port->link)
        return port;
    lm_release(&port->object);
    return NULL;
}

/* Converts seconds to nanoseconds that can be added to a time; LM_FOREVER if they are too many. */
LM_INTERNAL int64_t lm_nanoseconds(CFTimeInterval seconds)
{
    return seconds > 1e9 ? LM_FOREVER : seconds > 0 ? (int64_t)(seconds * 1e9) : 0;
}

LM_INTERNAL int64_t lm_deadline_in(int64_t nanoseconds)
{
    return nanoseconds == LM_FOREVER ? LM_FOREVER : nanoseconds == 0 ? LM_PAST : lm_now() + nanoseconds;
}

/* `queued` says whether the request was put into the queue. */
LM_INTERNAL SInt32 lm_message_port_status(struct lm_message_port *port, kern_return_t status, bool queued)
{
    switch (status) {
    case KERN_SUCCESS:
        return kCFMessagePortSuccess;
    case MACH_SEND_TIMED_OUT:
        return queued ? kCFMessagePortReceiveTimeout : kCFMessagePortSendTimeout;
    case MACH_RCV_TIMED_OUT:
        return kCFMessagePortReceiveTimeout;
    case MACH_SEND_INVALID_DEST:
    case MACH_RCV_PORT_DIED:
        return CFMessagePortIsValid(port) ? kCFMessagePortTransportError : kCFMessagePortBecameInvalidError;
    default:
        return kCFMessagePortTransportError;
    }
}

LM_INTERNAL SInt32 lm_message_port_call(struct lm_message_port *port, struct lm_request *request, CFDataRef *reply)
{
    LMResponseBuffer response;
    lm_message_init(&response.message);
    kern_return_t status = lm_link_call(port->link, request, &response);
    if (status == KERN_SUCCESS && reply) {
        *reply = lm_message_take_data(&response.message);
        status = *reply ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE;
    }
    LMResponseBufferFree(&response);
    return lm_message_port_status(port, status, request->queued);
}

LM_API SInt32 CFMessagePortSendRequest(CFMessagePortRef remote, SInt32 msgid, CFDataRef data,
                                       CFTimeInterval sendTimeout, CFTimeInterval rcvTimeout, CFStringRef replyMode,
                                       CFDataRef *returnData)
{
    const void *bytes;
    uint32_t length;
    if (returnData)
        *returnData = NULL;
    if (!remote || !remote->link || !CFMessagePortIsValid(remote))
        return kCFMessagePortIsInvalid;
    if (!lm_data_parts(data, &bytes, &length))
        return kCFMessagePortTransportError;
    struct lm_request request;
    lm_request_init(&request, msgid, length ? bytes : NULL, length, lm_deadline_in(lm_nanoseconds(sendTimeout)));
    if (!replyMode)
        return lm_message_port_status(remote, lm_link_post(remote->link, &request), false);
    request.has_reply_timeout = true;
    request.reply_timeout = lm_nanoseconds(rcvTimeout);
    return lm_message_port_call(remote, &request, returnData);
}

/* Has the thread's loop watch the peer's socket. If this fails, the peer's death is noticed later. */
LM_INTERNAL void lm_message_port_watch(struct lm_message_port *port)
{
    struct lm_loop *loop = CFRunLoopGetCurrent();
    struct lm_tie *tie = port->tie;
    pthread_mutex_lock(&tie->lock);
    if (loop && tie->socket < 0) {
        lm_link_lock(port->link);
        tie->socket = lm_link_is_cut(port->link) ? -1 : lm_sys_duplicate(port->link->channel.socket);
        lm_link_unlock(port->link);
        tie->watch.in_background = true;
        if (tie->socket >= 0)
            lm_loop_add(loop, &tie->watch, tie->socket, EPOLLRDHUP | EPOLLET);
    }
    pthread_mutex_unlock(&tie->lock);
}

/* --- Local and remote --- */

LM_API Boolean CFMessagePortIsValid(CFMessagePortRef port)
{
    if (!port)
        return false;
    pthread_mutex_lock(&port->lock);
    bool valid = port->valid;
    pthread_mutex_unlock(&port->lock);
    if (valid && port->service)
        return lm_service_valid(port->service);
    if (valid && !lm_link_lives(port->link)) {
        CFMessagePortInvalidate(port);
        return false;
    }
    return valid;
}

LM_API Boolean CFMessagePortIsRemote(CFMessagePortRef port)
{
    return port->link != NULL;
}

LM_API CFStringRef CFMessagePortGetName(CFMessagePortRef port)
{
    return port->name;
}

LM_API void CFMessagePortGetContext(CFMessagePortRef port, CFMessagePortContext *context)
{
    *context = port->context;
}

LM_API CFMessagePortInvalidationCallBack CFMessagePortGetInvalidationCallBack(CFMessagePortRef port)
{
    pthread_mutex_lock(&port->lock);
    CFMessagePortInvalidationCallBack callout = port->invalidated;
    pthread_mutex_unlock(&port->lock);
    return callout;
}

LM_API void CFMessagePortSetInvalidationCallBack(CFMessagePortRef port, CFMessagePortInvalidationCallBack callout)
{
    pthread_mutex_lock(&port->lock);
    bool valid = port->valid;
    port->invalidated = callout;
    pthread_mutex_unlock(&port->lock);
    if (!valid && callout)
        callout(port, port->context.info);
    else if (callout && port->link)
        lm_message_port_watch(port);
}

/* --- RocketBootstrap's functions --- */

LM_API kern_return_t rocketbootstrap_cfmessageportexposelocal(CFMessagePortRef port)
{
    if (!port || !port->service || !port->name)
        return KERN_INVALID_ARGUMENT;
    return rocketbootstrap_unlock(lm_string_bytes(port->name));
}

#endif
