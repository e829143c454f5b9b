/* SPDX-License-Identifier: MIT */
/* Decides which clients may call a service: compares the credentials that the kernel reports with the service's lists,
 * and asks the service's function. */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_POLICY_H
#define LM_DETAIL_SERVICE_POLICY_H

#include "../ground/sys.h"

struct lm_policy {
    uint32_t *ids; /* users, then groups */
    uint32_t user_count, group_count;
    LMServicePolicy function;
    void *info;
};

LM_SETUP void lm_policy_deinit(struct lm_policy *policy)
{
    free(policy->ids);
    policy->ids = NULL;
}

/* Copies the policy from the options. -EINVAL: a count without its list. -ENOMEM. */
LM_SETUP int lm_policy_init(struct lm_policy *policy, const LMServiceOptions *options, void *info)
{
    size_t users = options->userCount, groups = options->groupCount;
    if ((users && !options->users) || (groups && !options->groups))
        return -EINVAL;
    policy->ids = (uint32_t *)calloc(users + groups + 1, sizeof *policy->ids);
    if (!policy->ids)
        return -ENOMEM;
    for (size_t i = 0; i < users; i++)
        policy->ids[i] = options->users[i];
    for (size_t i = 0; i < groups; i++)
        policy->ids[users + i] = options->groups[i];
    policy->user_count = options->userCount;
    policy->group_count = options->groupCount;
    policy->function = options->policy;
    policy->info = info;
    return 0;
}

LM_SETUP bool lm_id_listed(const uint32_t *ids, uint32_t count, uint32_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

/* Returns whether the client was in one of the groups when it connected; its supplementary groups count. */
LM_SETUP bool lm_policy_knows_group(const struct lm_policy *policy, const struct lm_credentials *client, int socket)
{
    const uint32_t *groups = policy->ids + policy->user_count;
    bool known = lm_id_listed(groups, policy->group_count, client->gid);
    if (known || policy->group_count == 0)
        return known;
    uint32_t *others = NULL;
    int count = lm_sys_peer_groups(socket, &others);
    for (int i = 0; i < count && !known; i++)
        known = lm_id_listed(groups, policy->group_count, others[i]);
    free(others);
    return known;
}

/* Returns whether the client may call without the function being asked: because the policy is empty, or because a list
 * has the client. */
LM_SETUP bool lm_policy_admits(const struct lm_policy *policy, const struct lm_credentials *client, int socket)
{
    if (policy->user_count == 0 && policy->group_count == 0 && !policy->function)
        return true;
    return lm_id_listed(policy->ids, policy->user_count, client->uid) || lm_policy_knows_group(policy, client, socket);
}

/* Returns whether the service's function admits the client. Called without any lock. */
LM_SETUP bool lm_policy_asks(const struct lm_policy *policy, const struct lm_credentials *client)
{
    LMSender sender = {client->pid, client->uid, client->gid};
    return policy->function && policy->function(&sender, policy->info);
}

#endif
