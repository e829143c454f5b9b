/* SPDX-License-Identifier: MIT */
/* Requests of threads, which wait for room, for the service's limits, and for their turn. Locks and results as in
 * link.h. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_LINK_SEND_H
#define LM_DETAIL_CLIENT_LINK_SEND_H

#include "link_wait.h"

/* Waits for room, unless there is some now. */
LM_INTERNAL int lm_link_wait_room(struct lm_link *link, uint32_t extent, int64_t deadline)
{
    if (lm_link_look(link, true, deadline))
        return 0;
    int result = lm_producer_must_wait(&link->channel.out, extent);
    return result == 1 ? lm_link_sleep(link, NULL, deadline) : result;
}

/* Returns when the ring has room for the request's next part. */
LM_INTERNAL int lm_link_make_room(struct lm_link *link, const struct lm_request *request)
{
    uint32_t extent = lm_request_extent(request);
    int result = 0;
    while (result == 0) {
        if (lm_link_is_cut(link))
            return -EPIPE;
        result = lm_producer_prepare(&link->channel.out, extent);
        if (result == 0)
            result = lm_link_wait_room(link, extent, request->deadline);
    }
    if (result == -EPROTO)
        lm_link_die(link);
    return result < 0 ? result : 0;
}

/* Sends the request's descriptors, if this part is its last. -EAGAIN: the service will ring when it has read some. */
LM_INTERNAL int lm_link_send_parcel(struct lm_link *link, const struct lm_request *request)
{
    if (request->descriptor_count == 0 || request->offset + lm_request_part(request) < request->length)
        return 0;
    int result = lm_channel_send_parcel(&link->channel, request->descriptors, request->descriptor_count);
    if (result == -EAGAIN && lm_producer_must_wait(&link->channel.out, LM_NEVER_FITS) == 1)
        result = lm_channel_send_parcel(&link->channel, request->descriptors, request->descriptor_count);
    if (result == -EPIPE || result == -ECONNRESET)
        lm_link_die(link);
    return result;
}

/* Puts one part of the request, the whole if it is small. */
LM_INTERNAL int lm_link_put(struct lm_link *link, struct lm_request *request)
{
    for (;;) {
        int result = lm_link_make_room(link, request);
        if (result == 0)
            result = lm_link_send_parcel(link, request);
        if (result == 0)
            lm_link_place(link, request);
        if (result == -EAGAIN)
            result = lm_link_wait(link, NULL, request->deadline);
        else
            return result;
        if (result < 0)
            return result;
    }
}

LM_INTERNAL int lm_link_wait_welcome(struct lm_link *link, int64_t deadline)
{
    int result = 0;
    while (result == 0 && !lm_link_welcomed(link))
        result = lm_link_wait(link, NULL, deadline);
    return result;
}

/* Waits until no asynchronous call, whose send has returned, stands before us. */
LM_INTERNAL int lm_link_wait_line(struct lm_link *link, int64_t deadline)
{
    int result = 0;
    while (result == 0 && !lm_list_empty(&link->unsent)) {
        lm_link_put_unsent(link);
        if (!lm_list_empty(&link->unsent))
            result = lm_link_wait_turn(link, deadline);
    }
    return result;
}

/* Waits for the service's limits, and checks the length against them. */
LM_INTERNAL int lm_link_admit(struct lm_link *link, const struct lm_request *request)
{
    int result = lm_link_wait_welcome(link, request->deadline);
    if (result < 0)
        return result;
    return request->total > lm_load_relaxed(&link->channel.memory->largest_message) ? -EMSGSIZE : 0;
}

/* The line of asynchronous calls may have the turn, and who is putting it in may have given up the lock just now: only
 * once we have found no room for it ourselves does a bell end our sleep. */
LM_INTERNAL int lm_link_take_turn(struct lm_link *link, int64_t deadline)
{
    int result = 0;
    while (result == 0 && link->large_turn) {
        lm_link_put_unsent(link);
        if (link->large_turn)
            result = lm_link_wait_turn(link, deadline);
    }
    if (result == 0)
        link->large_turn = true;
    return result;
}

LM_INTERNAL int lm_link_put_parts(struct lm_link *link, struct lm_request *request)
{
    int result = 0;
    while (result == 0 && request->offset < request->length)
        result = lm_link_put(link, request);
    if (result < 0)
        lm_link_break_off(link, request);
    return result;
}

LM_INTERNAL int lm_link_send_large(struct lm_link *link, struct lm_request *request)
{
    int result = lm_link_take_turn(link, request->deadline);
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
    request->taken = request->queued && lm_producer_withdraw(&link->channel.out, request->position) != 1;
    return !request->taken;
}

/* Queues the request. After a failure nothing of it will be taken. -EPIPE: the service was dead before. */
LM_INTERNAL int lm_link_send(struct lm_link *link, struct lm_request *request)
{
    int result = link->wary ? lm_link_wait_welcome(link, request->deadline) : 0;
    if (result == 0 && request->total > LM_PIECE_MAX)
        result = lm_link_admit(link, request);
    if (result == 0)
        result = lm_link_wait_line(link, request->deadline);
    if (result < 0)
        return result;
    request->offset = 0;
    if (link->large_turn && request->length <= LM_PIECE_MAX)
        request->whole_max = LM_PIECE_MAX; /* it passes between the pieces of another, and does not wait for it */
    result = lm_request_is_large(request) ? lm_link_send_large(link, request) : lm_link_put(link, request);
    if (result == 0 && lm_link_is_cut(link) && lm_link_withdraw(link, request)) {
        request->queued = false;
        return -EPIPE;
    }
    return result;
}

/* Waits until the service has taken the queued request. */
LM_INTERNAL int lm_link_wait_taken(struct lm_link *link, const struct lm_request *request)
{
    bool announced = false;
    for (;;) {
        int result = lm_producer_taken(&link->channel.out, request->position);
        if (result != 0)
            return result < 0 ? result : 0;
        if (!announced && lm_link_look(link, true, request->deadline))
            continue;
        result = announced ? lm_link_sleep(link, NULL, request->deadline)
                           : lm_producer_must_wait(&link->channel.out, LM_NEVER_FITS);
        if (result < 0)
            return result;
        announced = !announced;
    }
}

#endif
