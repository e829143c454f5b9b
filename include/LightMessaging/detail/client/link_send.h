/* SPDX-License-Identifier: MIT */
/* Sends requests of threads, which wait for room, for the service's limits, and for their turn. Locks and results are
 * as in link.h. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_LINK_SEND_H
#define LM_DETAIL_CLIENT_LINK_SEND_H

#include "link_wait.h"

/* Waits for room, unless there is some now. */
LM_INTERNAL int lm_link_wait_room(struct lm_link *link, struct lm_request *request, bool socket_full)
{
    if (lm_link_spin(link, true, request->deadline))
        return 0;
    int room = lm_outgoing_announce(&request->out, &link->channel, LM_REQUEST_SPARE, socket_full);
    if (room == LM_ROOM_FULL)
        return lm_link_sleep(link, request, NULL, request->deadline);
    return room < 0 ? room : 0;
}

/* Puts the next part, once there is room. */
LM_INTERNAL int lm_link_try_put(struct lm_link *link, struct lm_request *request)
{
    for (;;) {
        if (lm_link_is_cut(link))
            return -EPIPE;
        int result = lm_outgoing_put(&request->out, &link->channel, LM_REQUEST_SPARE);
        if (result == LM_PUT_LAST || result == LM_PUT_PART) {
            lm_link_show(link, request, result == LM_PUT_LAST);
            return 0;
        }
        if (result >= 0)
            result = lm_link_wait_room(link, request, result == LM_PUT_SOCKET_FULL);
        if (result < 0)
            return result;
    }
}

/* Puts the next part; ends the link if the service is dead or broke the protocol. */
LM_INTERNAL int lm_link_put(struct lm_link *link, struct lm_request *request)
{
    int result = lm_link_try_put(link, request);
    if (lm_error_ends_link(result))
        lm_link_die(link);
    return result;
}

LM_INTERNAL int lm_link_wait_welcome(struct lm_link *link, struct lm_request *request, int64_t deadline)
{
    int result = 0;
    while (result == 0 && !lm_link_welcomed(link))
        result = lm_link_wait(link, request, NULL, deadline);
    if (result == 0)
        lm_link_note_welcome(link);
    return result == 0 && lm_link_is_cut(link) ? -EPIPE : result;
}

/* Waits until the link need not be wary. A timeout is an error only if the service has refused this process; otherwise
 * the request is sent without the welcome. */
LM_INTERNAL int lm_link_wait_until_trusted(struct lm_link *link, struct lm_request *request)
{
    bool for_ever = link->wary_until == LM_FOREVER;
    bool in_time = request->deadline < link->wary_until;
    int result = lm_link_wait_welcome(link, request, in_time ? request->deadline : link->wary_until);
    if (result == -ETIMEDOUT && !for_ever)
        return 0;
    if (result == 0)
        link->wary = false;
    return result;
}

/* Waits until the queue of asynchronous calls, whose sends have returned, is empty. */
LM_INTERNAL int lm_link_wait_line(struct lm_link *link, struct lm_request *request)
{
    int result = 0;
    while (result == 0 && !lm_list_empty(&link->unsent)) {
        lm_link_put_unsent(link);
        if (!lm_list_empty(&link->unsent))
            result = lm_link_wait_turn(link, request);
    }
    return result;
}

/* Waits for the service's limits and checks the length against them. */
LM_INTERNAL int lm_link_admit(struct lm_link *link, struct lm_request *request)
{
    int result = lm_link_wait_welcome(link, request, request->deadline);
    if (result < 0)
        return result;
    return request->out.total > lm_load_relaxed(&link->channel.memory->largest_message) ? -EMSGSIZE : 0;
}

/* Waits for the turn to put a large message, and takes it. If the queue of asynchronous calls has the turn, this thread
 * puts the queue's pieces first. Another thread may be doing that and have given up the lock for a moment: a bell ends
 * this thread's sleep only after it has found no room itself and has announced that. */
LM_INTERNAL int lm_link_take_turn(struct lm_link *link, struct lm_request *request)
{
    int result = 0;
    while (result == 0 && link->large_turn) {
        lm_link_put_unsent(link);
        if (link->large_turn)
            result = lm_link_wait_turn(link, request);
    }
    if (result == 0)
        link->large_turn = true;
    return result;
}

LM_INTERNAL int lm_link_put_parts(struct lm_link *link, struct lm_request *request)
{
    int result = 0;
    while (result == 0 && request->out.sent < request->out.length)
        result = lm_link_put(link, request);
    if (result < 0)
        lm_link_break_off(link, request);
    return result;
}

LM_INTERNAL int lm_link_send_large(struct lm_link *link, struct lm_request *request)
{
    int result = lm_link_take_turn(link, request);
    if (result < 0)
        return result;
    result = lm_link_put_parts(link, request);
    link->large_turn = false;
    lm_link_put_unsent(link);
    lm_link_wake_followers(link);
    return result;
}

/* Withdraws a queued request. True: the service did not take it and never will. */
LM_INTERNAL bool lm_link_withdraw(struct lm_link *link, struct lm_request *request)
{
    request->taken = request->queued && lm_producer_withdraw(&link->channel.out, request->out.position) != 1;
    return !request->taken;
}

/* Queues the request. After an error the service takes nothing of it. -EPIPE: the service is dead. */
LM_INTERNAL int lm_link_send(struct lm_link *link, struct lm_request *request)
{
    int result = link->wary ? lm_link_wait_until_trusted(link, request) : 0;
    if (result == 0 && request->out.total > LM_PIECE_MAX)
        result = lm_link_admit(link, request);
    if (result == 0)
        result = lm_link_wait_line(link, request);
    if (result < 0)
        return result;
    request->out.sent = 0;
    if (link->large_turn && request->out.length <= LM_PIECE_MAX)
        request->out.whole_max = LM_PIECE_MAX; /* passes between the pieces of another message */
    result = lm_outgoing_is_large(&request->out) ? lm_link_send_large(link, request) : lm_link_put(link, request);
    if (result == 0 && lm_link_is_cut(link) && lm_link_withdraw(link, request)) {
        request->queued = false;
        return -EPIPE;
    }
    return result;
}

/* Waits until the service has taken the queued request. */
LM_INTERNAL int lm_link_wait_taken(struct lm_link *link, struct lm_request *request)
{
    bool announced = false;
    for (;;) {
        int result = lm_producer_taken(&link->channel.out, request->out.position);
        if (result != 0)
            return result < 0 ? result : 0;
        if (!announced && lm_link_spin(link, true, request->deadline))
            continue;
        result = announced ? lm_link_sleep(link, request, NULL, request->deadline)
                           : lm_producer_announce(&link->channel.out, LM_NEVER_FITS);
        if (result < 0)
            return result;
        announced = !announced;
    }
}

#endif
