/* SPDX-License-Identifier: MIT */
/* The timeout of a send that sets none: its file's, else its name's, else the process's, else none. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CLIENT_TIMEOUT_H
#define LM_DETAIL_CLIENT_TIMEOUT_H

#include "link.h"

/* A name's timeout. It is kept for the life of the process. */
struct lm_name_timeout {
    struct lm_list in_clients;
    uint32_t milliseconds;
    char name[LM_NAME_MAX + 1];
};

/* Returns the name's entry, or NULL. Called with the process's lock held. */
LM_SETUP struct lm_name_timeout *lm_name_timeout_listed(const char *name)
{
    struct lm_list *timeouts = &lm_clients.timeouts;
    for (struct lm_list *l = lm_list_first(timeouts); l; l = lm_list_next(timeouts, l)) {
        struct lm_name_timeout *entry = LM_CONTAINER(l, struct lm_name_timeout, in_clients);
        if (strcmp(entry->name, name) == 0)
            return entry;
    }
    return NULL;
}

/* Returns the name's timeout; 0: none is set. */
LM_SETUP uint32_t lm_timeout_of_name(const char *name)
{
    lm_process_lock();
    const struct lm_name_timeout *entry = lm_name_timeout_listed(name);
    uint32_t milliseconds = entry ? entry->milliseconds : 0;
    lm_process_unlock();
    return milliseconds;
}

/* Returns the deadline of a wait that begins now, with a timeout as the interface has it. */
LM_INTERNAL int64_t lm_deadline_of_timeout(uint32_t milliseconds)
{
    return lm_deadline_after(milliseconds == LM_TIMEOUT_POLL ? 0 : milliseconds);
}

/* Returns the deadline of a send. The name may be invalid. `timeout` and `file_timeout` are the send's and its file's,
 * 0 if unset. */
LM_FLAT int64_t lm_send_deadline(const char *name, uint32_t timeout, uint32_t file_timeout)
{
    uint32_t milliseconds = timeout ? timeout : file_timeout;
    if (milliseconds == 0 && __atomic_load_n(&lm_clients.timeouts_set, __ATOMIC_RELAXED) && lm_name_valid(name))
        milliseconds = lm_timeout_of_name(name);
    if (milliseconds == 0)
        milliseconds = lm_load_relaxed(&lm_clients.timeout);
    if (milliseconds == 0)
        return LM_FOREVER;
    return lm_deadline_of_timeout(milliseconds);
}

LM_API kern_return_t LMConnectionSetTimeout(LMConnectionRef connection, uint32_t milliseconds)
{
    if (!connection || !lm_name_valid(connection->serverName))
        return KERN_INVALID_ARGUMENT;
    struct lm_name_timeout *fresh = (struct lm_name_timeout *)lm_new(sizeof *fresh);
    if (!fresh)
        return KERN_RESOURCE_SHORTAGE;
    strcpy(fresh->name, connection->serverName);
    lm_process_lock();
    struct lm_name_timeout *entry = lm_name_timeout_listed(fresh->name);
    if (!entry)
        lm_list_append(&lm_clients.timeouts, &fresh->in_clients);
    (entry ? entry : fresh)->milliseconds = milliseconds;
    __atomic_store_n(&lm_clients.timeouts_set, true, __ATOMIC_RELAXED);
    lm_process_unlock();
    if (entry)
        free(fresh);
    return KERN_SUCCESS;
}

LM_API void LMSetTimeout(uint32_t milliseconds)
{
    lm_store_relaxed(&lm_clients.timeout, milliseconds);
}

#endif
