/* SPDX-License-Identifier: MIT */
/* Requests of threads, which wait for room, for the service's limits, and for their turn. Locks and results as in
 * link.h. */
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

/* The next part: put, once there is room. 0, or why it can't be. */
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

/* The same; a service that can't be talked to is given up. */
LM_INTERNAL int lm_link_put(struct lm_link *link, struct lm_request *request)
{
    int result = lm_link_try_put(link, request);
    if (result == -EPROTO || result == -EPIPE || result == -ECONNRESET)
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

/* Waits until there is no reason to be wary. Only a service that has sent us away may use the request's time up. */
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

/* Waits until no asynchronous call, whose send has returned, stands before us. */
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

/* Waits for the service's limits, and checks the length against them. */
LM_INTERNAL int lm_link_admit(struct lm_link *link, struct lm_request *request)
{
    int result = lm_link_wait_welcome(link, request, request->deadline);
    if (result < 0)
        return result;
    return request->out.total > lm_load_relaxed(&link->channel.memory->largest_message) ? -EMSGSIZE : 0;
}

/* The line of asynchronous calls may have the turn, and who is putting it in may have given up the lock just now: only
 * once we have found no room for it ourselves does a bell end our sleep. */
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

/* Takes a queued request back. True: it was never taken and never will be. */
LM_INTERNAL bool lm_link_withdraw(struct lm_link *link, struct lm_request *request)
{
    request->taken = request->queued && lm_producer_withdraw(&link->channel.out, request->out.position) != 1;
    return !request->taken;
}

/* Queues the request. After a failure nothing of it will be taken. -EPIPE: the service was dead before. */
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
        request->out.whole_max = LM_PIECE_MAX; /* it passes between the pieces of another, and does not wait for it */
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
