/* SPDX-License-Identifier: MIT */
/* Whether a caller still waits for its reply, and for how long. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_AWAITED_H
#define LM_DETAIL_SERVICE_AWAITED_H

#include "sender.h"

/* The most frames behind the one that is being served that are searched for a *given up*: as many as a ring of the
 * default size holds. A client chooses its ring's size, and must not be able to make the service search for long. */
#define LM_LOOK_AHEAD 8192

/* Returns whether the unread part of the ring says that the caller gave the call up. Called with the lock held. */
LM_SETUP bool lm_session_finds_given_up(const struct lm_session *session, uint32_t token)
{
    struct lm_consumer ahead = session->channel.in;
    struct lm_frame frame;
    ahead.takes = false;
    for (int i = 0; i < LM_LOOK_AHEAD && lm_consumer_peek(&ahead, &frame) > 0; i++) {
        if (frame.kind == LM_FRAME_GIVEN_UP && frame.token == token)
            return true;
        ahead.head += lm_frame_extent(frame.length);
    }
    return false;
}

LM_SETUP bool lm_session_knows_given_up(const struct lm_session *session, uint32_t token)
{
    for (int i = 0; i < LM_GIVEN_UP_MAX; i++)
        if (session->given_up[i] == token)
            return true;
    return false;
}

LM_SETUP bool lm_session_awaits(struct lm_session *session, uint32_t token)
{
    lm_session_lock(session);
    bool awaits = !lm_session_is_cut(session) && !session->peer_gone && !lm_sys_hung_up(session->channel.socket) &&
                  !lm_session_knows_given_up(session, token) && !lm_session_finds_given_up(session, token);
    lm_session_unlock(session);
    return awaits;
}

LM_API bool LMReplyIsAwaited(mach_port_t replyPort)
{
    struct lm_entry port;
    struct lm_object *object = replyPort ? lm_port_look(replyPort, LM_PORT_REPLY, &port) : NULL;
    if (!object)
        return false;
    bool late = lm_deadline_left(lm_deadline_from_wire(port.extra)) == 0;
    bool awaited = !late && lm_session_awaits(LM_CONTAINER(object, struct lm_session, object), port.detail);
    lm_release(object);
    return awaited;
}

/* Returns milliseconds, rounded down: a caller must not seem to have more time left than it has. */
LM_SETUP uint32_t lm_time_left(uint32_t deadline)
{
    int64_t left = lm_deadline_left(lm_deadline_from_wire(deadline));
    return left == LM_FOREVER ? LM_TIMEOUT_NEVER : (uint32_t)(left / 1000000);
}

LM_API uint32_t LMMessageGetTimeLeft(const LMMessage *message)
{
    uint32_t left = LM_TIMEOUT_NEVER;
    struct lm_object *object = NULL;
    const struct lm_delivery *delivery = lm_message_delivery(message, &object);
    if (delivery && delivery->arrival->token) {
        bool awaits = lm_session_awaits(delivery->session, delivery->arrival->token);
        left = awaits ? lm_time_left(delivery->arrival->deadline) : 0;
    }
    if (object)
        lm_release(object);
    return left;
}

#endif
