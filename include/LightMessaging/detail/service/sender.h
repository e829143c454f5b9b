/* SPDX-License-Identifier: MIT */
/* The sender of the message whose callback is running. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_SENDER_H
#define LM_DETAIL_SERVICE_SENDER_H

#include "service.h"

/* Returns the delivery of a message whose callback is running, or NULL. `service` gets the service with a reference, or
 * NULL. */
LM_SETUP const struct lm_delivery *lm_message_delivery(const LMMessage *message, struct lm_object **service)
{
    *service = message ? lm_port_get(message->head.msgh_local_port, LM_PORT_RECEIVE) : NULL;
    if (!*service)
        return NULL;
    const struct lm_service *serving = LM_CONTAINER(*service, struct lm_service, object);
    if (__atomic_load_n(&serving->serving_thread, __ATOMIC_RELAXED) != (uintptr_t)pthread_self())
        return NULL; /* only the thread that calls the callback may look at what it delivers */
    const struct lm_delivery *delivery = serving->delivering;
    while (delivery && delivery->message != message)
        delivery = delivery->outer;
    return delivery;
}

/* Returns the session of a message whose callback is running, with a reference, or NULL. */
LM_SETUP struct lm_session *lm_message_session(const LMMessage *message)
{
    struct lm_object *object;
    const struct lm_delivery *delivery = lm_message_delivery(message, &object);
    struct lm_session *session = delivery ? delivery->session : NULL;
    if (session)
        lm_retain(&session->object);
    if (object)
        lm_release(object);
    return session;
}

LM_API kern_return_t LMMessageGetSender(const LMMessage *message, LMSender *sender)
{
    struct lm_session *session = sender ? lm_message_session(message) : NULL;
    if (!session)
        return KERN_INVALID_ARGUMENT;
    sender->pid = session->client.pid;
    sender->uid = session->client.uid;
    sender->gid = session->client.gid;
    lm_release(&session->object);
    return KERN_SUCCESS;
}

LM_API int LMMessageCopySenderPidfd(const LMMessage *message)
{
    struct lm_session *session = lm_message_session(message);
    if (!session)
        return -1;
    lm_session_lock(session);
    int pidfd = lm_session_is_cut(session) ? -1 : lm_sys_peer_pidfd(session->channel.socket);
    lm_session_unlock(session);
    lm_release(&session->object);
    return pidfd < 0 ? -1 : pidfd;
}

#endif
