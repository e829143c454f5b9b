/* SPDX-License-Identifier: MIT */
/* Counted objects. The first member of everything that is shared between threads, or handed out as a CoreFoundation
 * object. */
#ifndef LM_DETAIL_GROUND_OBJECT_H
#define LM_DETAIL_GROUND_OBJECT_H

#include "atomic.h"

struct lm_object {
    uint32_t references;
    void (*destroy)(struct lm_object *object);                      /* frees it; called with no reference left */
    void (*deallocated)(struct lm_object *object, uint32_t detail); /* a port name for it was; NULL: it may not be */
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

/* Whether there was a reference left to add one to: for pointers that keep nothing alive, under a lock that `destroy`
 * takes before it frees. */
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

/* Zeroed memory, which must be given up with free(); NULL if there is none. */
LM_INTERNAL void *lm_new(size_t size)
{
    return calloc(1, size);
}

#endif
