/* SPDX-License-Identifier: MIT */
/*
 * Replies. A reply goes into the ring as far as there is room. The rest is copied into the session's backlog and
 * follows when the client has made room. The backlog is bounded: a client that lets it fill up loses its connection.
 * The reply that is being sent does not count, so that one reply always fits, whatever its length.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_REPLY_H
#define LM_DETAIL_SERVICE_REPLY_H

#include "../registry/runtime.h"
#include "../channel/outgoing.h"
#include "session.h"

/* Bytes in the backlog behind the reply that is being sent; as much as the default limit of a reply. */
#define LM_BACKLOG_MAX 0x10000000u

/* Bytes of one client's requests and replies in a turn, or of its backlog; at least one message or piece. As much as a
 * piece; untuned. */
#define LM_FAIR_BYTES LM_PIECE_MAX

struct lm_answer {
    struct lm_list in_backlog;
    struct lm_indexed by_token;
    struct lm_outgoing out;
    unsigned char *copy; /* the data, if the backlog owns them */
    int *copies;         /* the descriptors, if the backlog owns them */
};

LM_INTERNAL void lm_answer_free(struct lm_answer *answer)
{
    if (answer->copies)
        lm_descriptors_close(answer->copies, lm_outgoing_own(&answer->out));
    lm_sys_close(&answer->out.memory);
    free(answer->copies);
    free(answer->copy);
    free(answer);
}

LM_INTERNAL void lm_session_forget_answer(struct lm_session *session, struct lm_answer *answer)
{
    uint64_t bytes = answer->out.length - answer->out.data_from;
    session->backlog_bytes -= bytes;
    lm_user_give_bytes(session->user, bytes);
    lm_user_give_descriptors(session->user, answer->out.descriptor_count);
    lm_list_remove(&answer->in_backlog);
    lm_index_remove(&session->by_token, &answer->by_token);
    lm_store_relaxed(&session->answers_wait, !lm_list_empty(&session->backlog));
    lm_answer_free(answer);
}

LM_SETUP void lm_session_drop_backlog(struct lm_session *session)
{
    struct lm_list *first;
    while ((first = lm_list_first(&session->backlog)) != NULL)
        lm_session_forget_answer(session, LM_CONTAINER(first, struct lm_answer, in_backlog));
    lm_index_deinit(&session->by_token);
}

LM_INTERNAL void lm_session_publish(struct lm_session *session)
{
    lm_producer_publish(&session->channel.out);
    if (lm_producer_claim_bell(&session->channel.out))
        lm_channel_ring_bell(&session->channel);
}

/* Puts as much of the reply as fits until the ring's tail reaches `enough`, and publishes it. LM_PUT_PART: the tail is
 * there. If there is no room and `will_sleep` is set, the client rings when there is some. */
LM_INTERNAL int lm_session_put(struct lm_session *session, struct lm_answer *answer, uint64_t enough, bool will_sleep)
{
    int put = LM_PUT_PART;
    while (put == LM_PUT_PART && session->channel.out.tail < enough) {
        put = will_sleep ? lm_outgoing_put_or_announce(&answer->out, &session->channel, 0)
                         : lm_outgoing_put(&answer->out, &session->channel, 0);
        if (put == LM_PUT_LAST || put == LM_PUT_PART)
            lm_session_publish(session);
    }
    return put;
}

/* Sends the backlog in order, as far as there is room and is fair. 1: other sessions come first; 0: the backlog is
 * empty, or there is no room. `will_sleep` is as in lm_session_put. */
LM_INTERNAL int lm_session_flush(struct lm_session *session, bool will_sleep)
{
    struct lm_list *first;
    uint64_t enough = session->channel.out.tail + LM_FAIR_BYTES;
    while (!lm_session_is_cut(session) && (first = lm_list_first(&session->backlog)) != NULL) {
        struct lm_answer *answer = LM_CONTAINER(first, struct lm_answer, in_backlog);
        int put = lm_session_put(session, answer, enough, will_sleep);
        if (put < 0 || put == LM_PUT_PART)
            return put < 0 ? put : 1;
        if (put != LM_PUT_LAST)
            return 0;
        lm_session_forget_answer(session, answer);
    }
    return 0;
}

/* Returns whether the backlog has room for so many bytes behind the reply that is being sent. */
LM_INTERNAL bool lm_session_can_keep(const struct lm_session *session, uint32_t bytes)
{
    struct lm_list *first = lm_list_first(&session->backlog);
    if (!first)
        return true;
    const struct lm_answer *sending = LM_CONTAINER(first, struct lm_answer, in_backlog);
    return session->backlog_bytes - (sending->out.length - sending->out.data_from) + bytes <= LM_BACKLOG_MAX;
}

/* Counts what the backlog would keep of a reply in the user's quota. */
LM_INTERNAL bool lm_session_take_quota(struct lm_session *session, uint32_t bytes, uint32_t descriptors)
{
    if (lm_user_take_bytes(session->user, bytes) < 0)
        return false;
    if (lm_user_take_descriptors(session->user, descriptors) == 0)
        return true;
    lm_user_give_bytes(session->user, bytes);
    return false;
}

/* Returns the rest of a reply, with copies of what belongs to the caller. NULL: no memory or descriptors. */
LM_INTERNAL struct lm_answer *lm_answer_copy_rest(const struct lm_answer *answer)
{
    uint32_t rest = answer->out.length - answer->out.sent, own = lm_outgoing_own(&answer->out);
    struct lm_answer *kept = (struct lm_answer *)lm_new(sizeof *kept);
    if (!kept)
        return NULL;
    *kept = *answer;
    kept->out.memory = answer->out.memory < 0 ? -1 : lm_sys_duplicate(answer->out.memory);
    kept->copy = (unsigned char *)malloc(rest + (size_t)1);
    kept->copies = (int *)malloc((own + (size_t)1) * sizeof *kept->copies);
    if (!kept->copy || !kept->copies || (answer->out.memory >= 0 && kept->out.memory < 0) ||
        lm_descriptors_copy(kept->copies, answer->out.descriptors, own) < 0) {
        kept->out.descriptor_count = kept->out.memory >= 0; /* none of its own */
        lm_answer_free(kept);
        return NULL;
    }
    memcpy(kept->copy, answer->out.data + (answer->out.sent - answer->out.data_from), rest);
    kept->out.data = kept->copy;
    kept->out.data_from = answer->out.sent;
    kept->out.descriptors = kept->copies;
    return kept;
}

/* Adds the rest of a reply to the backlog. */
LM_INTERNAL int lm_session_keep(struct lm_session *session, const struct lm_answer *answer)
{
    uint32_t rest = answer->out.length - answer->out.sent;
    if (!lm_session_can_keep(session, rest) || !lm_session_take_quota(session, rest, answer->out.descriptor_count))
        return -ENOSPC;
    struct lm_answer *kept = lm_answer_copy_rest(answer);
    if (!kept || lm_index_add(&session->by_token, &kept->by_token, kept->out.token) < 0) {
        if (kept)
            lm_answer_free(kept);
        lm_user_give_bytes(session->user, rest);
        lm_user_give_descriptors(session->user, answer->out.descriptor_count);
        return -ENOMEM;
    }
    session->backlog_bytes += rest;
    lm_list_append(&session->backlog, &kept->in_backlog);
    lm_store_relaxed(&session->answers_wait, true);
    return 0;
}

/* --- Replies that no caller waits for --- */

/* Drops the rest of a reply. If the client has part of it, an abort is sent in its place. */
LM_SETUP void lm_session_cut_short(struct lm_session *session, struct lm_answer *answer)
{
    uint64_t rest = answer->out.length - answer->out.sent;
    if (answer->out.sent == 0) {
        lm_session_forget_answer(session, answer);
        return;
    }
    answer->out.kind = LM_FRAME_ABORT;
    answer->out.length = answer->out.sent;
    answer->out.total = 0;
    session->backlog_bytes -= rest;
    lm_user_give_bytes(session->user, rest);
    lm_user_give_descriptors(session->user, answer->out.descriptor_count);
    lm_descriptors_close(answer->copies, lm_outgoing_own(&answer->out));
    answer->out.descriptor_count = 0;
    lm_sys_close(&answer->out.memory);
}

/* Records that the caller of a call has stopped waiting. Its reply is dropped: now if it is in the backlog, else when
 * the service sends it. A reply in a segment is sent, because the client must give the segment back. */
LM_SETUP void lm_session_give_up(struct lm_session *session, uint32_t token)
{
    struct lm_indexed *waits = lm_index_next(&session->by_token, token, NULL);
    if (waits) {
        struct lm_answer *answer = LM_CONTAINER(waits, struct lm_answer, by_token);
        if (answer->out.kind == LM_FRAME_MESSAGE)
            lm_session_cut_short(session, answer);
        return;
    }
    session->given_up[session->given_up_next++ % LM_GIVEN_UP_MAX] = token;
}

/* Returns whether the caller of that call has stopped waiting, and forgets that. */
LM_SETUP bool lm_session_forget_given_up(struct lm_session *session, uint32_t token)
{
    bool found = false;
    for (int i = 0; i < LM_GIVEN_UP_MAX; i++) {
        if (session->given_up[i] != token)
            continue;
        session->given_up[i] = 0;
        found = true;
    }
    return found;
}

/* Sends a small reply ahead of the backlog. A reply in the backlog has announced the wait for room already. */
LM_INTERNAL int lm_session_pass(struct lm_session *session, struct lm_answer *answer)
{
    return lm_outgoing_is_large(&answer->out) ? (int)LM_PUT_RING_FULL
                                              : lm_session_put(session, answer, UINT64_MAX, false);
}

/* Called with the lock held. */
LM_INTERNAL int lm_session_send(struct lm_session *session, struct lm_answer *answer)
{
    if (lm_session_is_cut(session) || session->peer_gone)
        return -EPIPE;
    if (session->given_up_next && answer->out.kind != LM_FRAME_LENT &&
        lm_session_forget_given_up(session, answer->out.token))
        return 0;
    bool is_first = lm_list_empty(&session->backlog);
    answer->out.part_max = session->channel.part_max;
    answer->out.whole_max = is_first ? session->channel.whole_max : session->channel.part_max;
    /* Puts all that fits, in the thread that replies: that costs less than a copy for later. */
    int result = is_first ? lm_session_put(session, answer, UINT64_MAX, true) : lm_session_pass(session, answer);
    if (result == LM_PUT_RING_FULL || result == LM_PUT_SOCKET_FULL)
        result = lm_session_keep(session, answer);
    if (result < 0)
        lm_session_cut(session); /* a part cannot be taken back, and a whole reply must not be missing */
    return result < 0 ? result : 0;
}

/* Sends a reply, or a frame that ends the call without one. Called without the lock. */
LM_INTERNAL int lm_session_answer(struct lm_session *session, struct lm_answer *answer)
{
    lm_session_lock(session);
    int result = lm_session_send(session, answer);
    lm_session_unlock(session);
    return result;
}

/* Makes a reply whose data remain the caller's. */
LM_INTERNAL struct lm_answer lm_answer_make(const void *data, uint32_t length)
{
    struct lm_answer answer;
    memset(&answer, 0, sizeof answer);
    answer.out.kind = LM_FRAME_MESSAGE;
    answer.out.memory = -1;
    answer.out.data = (const unsigned char *)data;
    answer.out.length = answer.out.total = length;
    return answer;
}

/* Ends the caller's wait without a reply. */
LM_SETUP void lm_session_drop_call(struct lm_session *session, uint32_t token)
{
    struct lm_answer answer = lm_answer_make("", 0);
    answer.out.kind = LM_FRAME_DROPPED;
    answer.out.token = token;
    lm_session_answer(session, &answer);
}

/* Handles mach_port_deallocate on a reply port. */
LM_INTERNAL void lm_session_deallocated(struct lm_object *object, uint32_t token)
{
    lm_session_drop_call(LM_CONTAINER(object, struct lm_session, object), token);
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

/* Returns the public error number of an invalid reply, or 0. */
LM_INTERNAL kern_return_t lm_answer_fault(const struct lm_session *session, const struct lm_answer *answer)
{
    if (answer->out.total > session->largest_reply)
        return MACH_SEND_TOO_LARGE;
    bool whole = answer->out.data || answer->out.length == 0;
    return whole && lm_descriptors_valid(answer->out.descriptors, lm_outgoing_own(&answer->out))
               ? KERN_SUCCESS
               : KERN_INVALID_ARGUMENT;
}

LM_INTERNAL kern_return_t lm_session_reply(struct lm_session *session, struct lm_answer *answer)
{
    kern_return_t fault = lm_answer_fault(session, answer);
    if (fault) {
        lm_session_drop_call(session, answer->out.token);
        return fault;
    }
    if (!answer->out.data)
        answer->out.data = (const unsigned char *)"";
    return lm_reply_status(lm_session_answer(session, answer));
}

LM_COLD void lm_log_answer(struct lm_session *session, const struct lm_answer *answer, kern_return_t status)
{
    const char *name = session->service_name;
    lm_session_lock(session);
    int socket = session->channel.socket;
    if (status)
        lm_log_status("answer as", name, socket, status);
    else if (answer->out.kind == LM_FRAME_STATUS)
        lm_log(socket, "service \"%s\" answers with status %d", name, (int)answer->out.identifier);
    else
        lm_log(socket, "service \"%s\" answers with %u bytes", name, (unsigned)answer->out.length);
    lm_session_unlock(session);
}

#endif
