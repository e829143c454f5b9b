/* SPDX-License-Identifier: MIT */
/* Reference-counted objects. struct lm_object is the first member of everything that threads share, or that is handed
 * out as a CoreFoundation object. */
#ifndef LM_DETAIL_GROUND_OBJECT_H
#define LM_DETAIL_GROUND_OBJECT_H

#include "atomic.h"

struct lm_object {
    uint32_t references;
    void (*destroy)(struct lm_object *object);                      /* frees it; called when no reference is left */
    void (*deallocated)(struct lm_object *object, uint32_t detail); /* a port name of it ended; NULL: not allowed */
};

LM_INTERNAL void lm_object_init(struct lm_object *object, void (*destroy)(struct lm_object *))
{
    object->references = 1;
    object->destroy = destroy;
    object->deallocated = NULL;
}

LM_INTERNAL void lm_retain(struct lm_object *object)
{
    lm_add(&object->references, 1);
}

/* Adds a reference unless none is left, and returns whether it did. For weak pointers, under a lock that `destroy`
 * takes before it frees the object. */
LM_INTERNAL bool lm_retain_alive(struct lm_object *object)
{
    for (;;) {
        uint32_t references = lm_load_relaxed(&object->references);
        if (references == 0)
            return false;
        if (lm_replace(&object->references, references, references + 1))
            return true;
    }
}

LM_INTERNAL void lm_release(struct lm_object *object)
{
    if (lm_add(&object->references, UINT32_MAX) == 0)
        object->destroy(object);
}

/* Returns zeroed memory, to be freed with free(); NULL if there is none. */
LM_INTERNAL void *lm_new(size_t size)
{
    return calloc(1, size);
}

#endif
