/* SPDX-License-Identifier: MIT */
/* Waits for a service without a run loop. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_AWAIT_H
#define LM_DETAIL_CLIENT_AWAIT_H

#include "../registry/presence.h"
#include "send.h"

#define LM_AWAIT_RETRY 1000000000 /* nanoseconds between two look-ups if the kernel reports nothing; untuned */

/* Waits until the service welcomes this process. MACH_SEND_INVALID_DEST: it died. */
LM_SETUP kern_return_t lm_link_await_welcome(struct lm_link *link, int64_t deadline)
{
    struct lm_request nothing;
    lm_request_init(&nothing, 0, "", 0, deadline);
    lm_link_lock(link);
    link->threads++;
    lm_link_ask_once(link, &nothing);
    int result = lm_link_wait_welcome(link, &nothing, deadline);
    lm_link_hand_over(link);
    kern_return_t status = result < 0 ? lm_link_untaken(link, result) : KERN_SUCCESS;
    lm_link_leave(link);
    lm_link_unlock(link);
    return status;
}

LM_SETUP kern_return_t lm_connection_reach(LMConnectionRef connection, int64_t deadline)
{
    struct lm_link *link;
    kern_return_t status = lm_connection_link(connection, deadline, &link);
    if (status)
        return status;
    status = lm_link_await_welcome(link, deadline);
    lm_release(&link->object);
    return status;
}

/* Sleeps until a new name may have appeared. The folders have been watched since before the look-up, so no name is
 * missed. */
LM_SETUP void lm_presence_sleep(int presence, int64_t deadline)
{
    int64_t left = lm_deadline_left(deadline);
    int64_t nap = left < LM_AWAIT_RETRY ? left : LM_AWAIT_RETRY;
    if (presence >= 0)
        lm_sys_poll_readable(presence, nap);
    else
        lm_sys_pause(nap);
}

LM_API kern_return_t LMConnectionWaitForService(LMConnectionRef connection, uint32_t milliseconds)
{
    if (!connection || !lm_name_valid(connection->serverName))
        return KERN_INVALID_ARGUMENT;
    int64_t deadline = lm_deadline_of_timeout(milliseconds);
    for (;;) {
        int presence = lm_presence_open();
        kern_return_t status = lm_connection_reach(connection, deadline);
        bool gone = status == BOOTSTRAP_UNKNOWN_SERVICE || status == MACH_SEND_INVALID_DEST;
        bool late = gone && lm_deadline_left(deadline) == 0;
        if (gone && !late)
            lm_presence_sleep(presence, deadline);
        lm_sys_close(&presence);
        if (!gone || late)
            return late ? MACH_SEND_TIMED_OUT : status;
    }
}

#endif
