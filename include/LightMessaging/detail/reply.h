/* SPDX-License-Identifier: MIT */
/*
 * Answers. A reply goes into the ring as far as there is room; the rest is copied into the session's backlog and
 * follows when the client has made room. The backlog is bounded: a client that lets it fill up loses its connection.
 * The reply that is being sent does not count, so that one always fits, whatever its size.
 */
#ifndef LM_DETAIL_REPLY_H
#define LM_DETAIL_REPLY_H

#include "session.h"

/* Bytes behind the reply that is being sent; as much as the default limit of one. */
#define LM_BACKLOG_MAX 0x10000000u

/* Parts of waiting answers that one client gets in one go: what fills its ring. */
#define LM_FAIR_PARTS (LM_RING_DEFAULT / LM_PIECE_MAX)

struct lm_answer {
    struct lm_list in_backlog;
    uint32_t kind; /* LM_FRAME_MESSAGE or LM_FRAME_DROPPED */
    uint32_t token;
    const unsigned char *data; /* from byte `data_from` of the answer on */
    uint32_t data_from;
    uint32_t length;
    uint32_t sent;       /* bytes that are in the ring already */
    unsigned char *copy; /* what `data` points to, if it is the backlog's own */
};

LM_INTERNAL void lm_answer_free(struct lm_answer *answer)
{
    free(answer->copy);
    free(answer);
}

LM_INTERNAL void lm_session_drop_backlog(struct lm_session *session)
{
    struct lm_list *first;
    while ((first = lm_list_first(&session->backlog)) != NULL) {
        lm_list_remove(first);
        lm_answer_free(LM_CONTAINER(first, struct lm_answer, in_backlog));
    }
    if (session->backlog_bytes)
        lm_user_give_bytes(session->user, session->backlog_bytes);
    session->backlog_bytes = 0;
}

/* Puts the answer's next part into the ring: 1 it was the last, 0 there is more, -EAGAIN there is no room, or another
 * error. */
LM_INTERNAL int lm_answer_put(struct lm_answer *answer, struct lm_producer *out)
{
    uint32_t length = lm_min32(answer->length - answer->sent, LM_PIECE_MAX);
    bool last = answer->sent + length == answer->length;
    struct lm_frame frame = {
        LM_FRAME_READY, last ? answer->kind : (uint32_t)LM_FRAME_PIECE, length, answer->token, 0, answer->length, 0, 0};
    int room = lm_producer_prepare(out, lm_frame_extent(length));
    if (room <= 0)
        return room < 0 ? room : -EAGAIN;
    lm_producer_put(out, &frame, answer->data + (answer->sent - answer->data_from));
    answer->sent += length;
    return last;
}

LM_INTERNAL void lm_session_publish(struct lm_session *session)
{
    lm_producer_publish(&session->channel.out);
    if (lm_producer_must_ring(&session->channel.out))
        lm_channel_ring_bell(&session->channel);
}

/* Puts as much of the answer as fits, in at most `parts` parts, which it counts down, and lets the client see it. 1:
 * all of it; 0: no more parts; -EAGAIN: the client will ring when there is room. */
LM_INTERNAL int lm_session_put(struct lm_session *session, struct lm_answer *answer, uint32_t *parts)
{
    int result = 0;
    while (result == 0 && *parts > 0) {
        --*parts;
        result = lm_answer_put(answer, &session->channel.out);
        if (result == -EAGAIN) {
            uint32_t next = lm_frame_extent(lm_min32(answer->length - answer->sent, LM_PIECE_MAX));
            int waits = lm_producer_must_wait(&session->channel.out, next);
            result = waits == 1 ? -EAGAIN : waits;
        } else if (result >= 0) {
            lm_session_publish(session);
        }
    }
    return result;
}

LM_INTERNAL void lm_session_forget_answer(struct lm_session *session, struct lm_answer *answer)
{
    uint64_t bytes = answer->length - answer->data_from;
    session->backlog_bytes -= bytes;
    lm_user_give_bytes(session->user, bytes);
    lm_list_remove(&answer->in_backlog);
    lm_answer_free(answer);
}

/* Sends what waits, in order, as far as there is room and it is fair. 1: it is others' turn; 0: nothing waits, or the
 * client will ring. */
LM_INTERNAL int lm_session_flush(struct lm_session *session)
{
    struct lm_list *first;
    uint32_t parts = LM_FAIR_PARTS;
    while (!lm_session_is_cut(session) && (first = lm_list_first(&session->backlog)) != NULL) {
        struct lm_answer *answer = LM_CONTAINER(first, struct lm_answer, in_backlog);
        int result = lm_session_put(session, answer, &parts);
        if (result <= 0)
            return result == -EAGAIN ? 0 : result < 0 ? result : 1;
        lm_session_forget_answer(session, answer);
    }
    return 0;
}

/* Whether that much more can stand behind the answer that is being sent. */
LM_INTERNAL bool lm_session_can_keep(const struct lm_session *session, uint32_t bytes)
{
    struct lm_list *first = lm_list_first(&session->backlog);
    if (!first)
        return true;
    const struct lm_answer *sending = LM_CONTAINER(first, struct lm_answer, in_backlog);
    return session->backlog_bytes - (sending->length - sending->data_from) + bytes <= LM_BACKLOG_MAX;
}

/* Keeps the rest of an answer whose data are the caller's. */
LM_INTERNAL int lm_session_keep(struct lm_session *session, const struct lm_answer *answer)
{
    uint32_t rest = answer->length - answer->sent;
    if (!lm_session_can_keep(session, rest) || lm_user_take_bytes(session->user, rest) < 0)
        return -ENOSPC;
    struct lm_answer *kept = (struct lm_answer *)lm_new(sizeof *kept);
    unsigned char *copy = (unsigned char *)malloc(rest + (size_t)1);
    if (!kept || !copy) {
        lm_user_give_bytes(session->user, rest);
        free(kept);
        free(copy);
        return -ENOMEM;
    }
    *kept = *answer;
    memcpy(copy, answer->data + answer->sent, rest);
    kept->copy = copy;
    kept->data = copy;
    kept->data_from = answer->sent;
    session->backlog_bytes += rest;
    lm_list_append(&session->backlog, &kept->in_backlog);
    return 0;
}

/* A small answer may pass those that wait for room. What is in the backlog has announced the wait already. */
LM_INTERNAL int lm_session_pass(struct lm_session *session, struct lm_answer *answer)
{
    int result = answer->length <= LM_PIECE_MAX ? lm_answer_put(answer, &session->channel.out) : -EAGAIN;
    if (result > 0)
        lm_session_publish(session);
    return result;
}

/* With the lock. */
LM_INTERNAL int lm_session_send(struct lm_session *session, struct lm_answer *answer)
{
    if (lm_session_is_cut(session) || session->peer_gone)
        return -EPIPE;
    uint32_t parts = UINT32_MAX; /* the caller's own time: it costs less than a copy for later */
    int result =
        lm_list_empty(&session->backlog) ? lm_session_put(session, answer, &parts) : lm_session_pass(session, answer);
    if (result == -EAGAIN)
        result = lm_session_keep(session, answer);
    if (result < 0)
        lm_session_cut(session); /* half an answer can't be taken back, nor a whole one left out */
    return result < 0 ? result : 0;
}

/* Answers a call, or tells the client that there will be no answer. Without the lock. */
LM_INTERNAL int lm_session_answer(struct lm_session *session, uint32_t token, uint32_t kind, const void *data,
                                  uint32_t length)
{
    struct lm_answer answer;
    memset(&answer, 0, sizeof answer);
    answer.kind = kind;
    answer.token = token;
    answer.data = data ? (const unsigned char *)data : (const unsigned char *)"";
    answer.length = length;
    lm_session_lock(session);
    int result = lm_session_send(session, &answer);
    lm_session_unlock(session);
    return result;
}

/* mach_port_deallocate on a reply port. */
LM_INTERNAL void lm_session_deallocated(struct lm_object *object, uint32_t token)
{
    lm_session_answer(LM_CONTAINER(object, struct lm_session, object), token, LM_FRAME_DROPPED, NULL, 0);
}

LM_INTERNAL kern_return_t lm_reply_status(int result)
{
    switch (-result) {
    case 0:
        return KERN_SUCCESS;
    case ENOSPC:
        return MACH_SEND_NO_BUFFER;
    case ENOMEM:
        return KERN_RESOURCE_SHORTAGE;
    default:
        return MACH_SEND_INVALID_DEST;
    }
}

LM_API kern_return_t LMSendReply(mach_port_t replyPort, const void *data, uint32_t length)
{
    uint32_t token = 0;
    if (replyPort == MACH_PORT_NULL)
        return KERN_SUCCESS;
    struct lm_object *object = lm_port_consume(replyPort, LM_PORT_REPLY, &token);
    if (!object)
        return MACH_SEND_INVALID_RIGHT;
    struct lm_session *session = LM_CONTAINER(object, struct lm_session, object);
    kern_return_t refused = length > session->largest_reply ? MACH_SEND_TOO_LARGE
                            : !data && length               ? KERN_INVALID_ARGUMENT
                                                            : KERN_SUCCESS;
    int result = refused ? lm_session_answer(session, token, LM_FRAME_DROPPED, NULL, 0)
                         : lm_session_answer(session, token, LM_FRAME_MESSAGE, data, length);
    lm_release(object);
    return refused ? refused : lm_reply_status(result);
}

LM_API kern_return_t LMSendIntegerReply(mach_port_t replyPort, int integer)
{
    int32_t value = (int32_t)integer;
    return LMSendReply(replyPort, &value, sizeof value);
}

LM_API kern_return_t LMSendCFDataReply(mach_port_t replyPort, CFDataRef data)
{
    CFIndex length = data ? CFDataGetLength(data) : 0;
    if ((uint64_t)length > UINT32_MAX) {
        lm_port_deallocate(replyPort);
        return MACH_SEND_TOO_LARGE;
    }
    return LMSendReply(replyPort, data ? CFDataGetBytePtr(data) : NULL, (uint32_t)length);
}

#endif
