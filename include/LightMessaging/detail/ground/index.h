/* SPDX-License-Identifier: MIT */
/*
 * Finds the members of a collection by a key; several members may have the same key. It is a hash table of lists that
 * grows with its members; if memory for that runs out, look-ups get slower. The caller's lock guards it; a zeroed index
 * is empty.
 */
#ifndef LM_DETAIL_GROUND_INDEX_H
#define LM_DETAIL_GROUND_INDEX_H

#include "list.h"

#define LM_INDEX_FIRST_SIZE 16u /* buckets; after that, at least half as many buckets as members */

/* Embedded in each member. */
struct lm_indexed {
    struct lm_list in_bucket;
    uint32_t key;
};

struct lm_index {
    struct lm_list *buckets;
    uint32_t size; /* number of buckets; a power of two */
    uint32_t count;
};

LM_INTERNAL void lm_index_deinit(struct lm_index *index)
{
    free(index->buckets);
    memset(index, 0, sizeof *index);
}

/* Knuth's multiplicative hash. Consecutive keys, the usual ones, spread well. */
LM_INTERNAL struct lm_list *lm_index_bucket(const struct lm_index *index, uint32_t key)
{
    return &index->buckets[(key * 2654435769u >> 8) & (index->size - 1)];
}

LM_SETUP int lm_index_grow(struct lm_index *index)
{
    struct lm_index larger = {NULL, index->size ? 2 * index->size : LM_INDEX_FIRST_SIZE, index->count};
    larger.buckets = (struct lm_list *)calloc(larger.size, sizeof *larger.buckets);
    if (!larger.buckets)
        return -ENOMEM;
    for (uint32_t i = 0; i < index->size; i++) {
        struct lm_list *first;
        while ((first = lm_list_first(&index->buckets[i])) != NULL) {
            lm_list_remove(first);
            lm_list_append(lm_index_bucket(&larger, LM_CONTAINER(first, struct lm_indexed, in_bucket)->key), first);
        }
    }
    free(index->buckets);
    *index = larger;
    return 0;
}

/* -ENOMEM: there was no memory for the first buckets. */
LM_INTERNAL int lm_index_add(struct lm_index *index, struct lm_indexed *member, uint32_t key)
{
    if (index->count >= 2 * index->size && lm_index_grow(index) < 0 && index->size == 0)
        return -ENOMEM;
    member->key = key;
    lm_list_append(lm_index_bucket(index, key), &member->in_bucket);
    index->count++;
    return 0;
}

/* Idempotent. */
LM_INTERNAL void lm_index_remove(struct lm_index *index, struct lm_indexed *member)
{
    if (!lm_list_contains(&member->in_bucket))
        return;
    lm_list_remove(&member->in_bucket);
    index->count--;
}

/* Returns the next member with the key after `last`, or NULL. With a NULL `last` it returns the first. */
LM_INTERNAL struct lm_indexed *lm_index_next(const struct lm_index *index, uint32_t key, const struct lm_indexed *last)
{
    if (index->size == 0)
        return NULL;
    const struct lm_list *bucket = lm_index_bucket(index, key);
    struct lm_list *l = last ? lm_list_next(bucket, &last->in_bucket) : lm_list_first(bucket);
    while (l && LM_CONTAINER(l, struct lm_indexed, in_bucket)->key != key)
        l = lm_list_next(bucket, l);
    return l ? LM_CONTAINER(l, struct lm_indexed, in_bucket) : NULL;
}

#endif
