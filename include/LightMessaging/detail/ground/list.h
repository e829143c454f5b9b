/* SPDX-License-Identifier: MIT */
/* A doubly linked list with links embedded in its members; a zeroed link is in no list. The caller's lock guards it. */
#ifndef LM_DETAIL_GROUND_LIST_H
#define LM_DETAIL_GROUND_LIST_H

#include "base.h"

struct lm_list {
    struct lm_list *next, *previous;
};

LM_INTERNAL void lm_list_init(struct lm_list *list)
{
    list->next = list->previous = list;
}

/* A zeroed head is an empty list too, so that static state needs no initialiser. */
LM_INTERNAL bool lm_list_empty(const struct lm_list *list)
{
    return !list->next || list->next == list;
}

LM_INTERNAL void lm_list_append(struct lm_list *list, struct lm_list *link)
{
    if (!list->next)
        lm_list_init(list);
    link->next = list;
    link->previous = list->previous;
    list->previous->next = link;
    list->previous = link;
}

/* Idempotent. */
LM_INTERNAL void lm_list_remove(struct lm_list *link)
{
    if (!link->next)
        return;
    link->previous->next = link->next;
    link->next->previous = link->previous;
    link->next = link->previous = NULL;
}

LM_INTERNAL bool lm_list_contains(const struct lm_list *link)
{
    return link->next != NULL;
}

/* Returns the first member, or NULL if the list is empty. */
LM_INTERNAL struct lm_list *lm_list_first(const struct lm_list *list)
{
    return lm_list_empty(list) ? NULL : list->next;
}

/* Returns the member after `link`, or NULL after the last. */
LM_INTERNAL struct lm_list *lm_list_next(const struct lm_list *list, const struct lm_list *link)
{
    return link->next == list ? NULL : link->next;
}

#endif
