/* SPDX-License-Identifier: MIT */
/* Who sent the message that the callback is in. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_SENDER_H
#define LM_DETAIL_SERVICE_SENDER_H

#include "service.h"

/* The session of a message whose callback is running, with a reference; NULL: it is no such message. */
LM_SETUP struct lm_session *lm_message_session(const LMMessage *message)
{
    struct lm_object *object = message ? lm_port_get(message->head.msgh_local_port, LM_PORT_RECEIVE) : NULL;
    if (!object)
        return NULL;
    struct lm_delivery *delivery = LM_CONTAINER(object, struct lm_service, object)->delivering;
    while (delivery && delivery->message != message)
        delivery = delivery->outer;
    struct lm_session *session = delivery ? delivery->session : NULL;
    if (session)
        lm_retain(&session->object);
    lm_release(object);
    return session;
}

LM_API kern_return_t LMMessageGetSender(LMMessage *message, LMSender *sender)
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

LM_API int LMMessageCopySenderPidfd(LMMessage *message)
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
