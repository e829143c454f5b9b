/* SPDX-License-Identifier: MIT */
/* CoreFoundation's reference counts. An object without `destroy`, like a constant string, is not counted and never
 * freed. */
#include "../../CoreFoundation.h"

#ifndef LM_DETAIL_CF_OBJECT_H
#define LM_DETAIL_CF_OBJECT_H

#include "../ground/object.h"
#include "../process/process.h"

/* Every CoreFoundation object begins with its counted object. In CoreFoundation, const means that the value must not
 * change; the reference count may. */
LM_INTERNAL struct lm_object *lm_cf_object(CFTypeRef object)
{
    return (struct lm_object *)(uintptr_t)object;
}

LM_API CFTypeRef CFRetain(CFTypeRef object)
{
    if (object && lm_cf_object(object)->destroy)
        lm_retain(lm_cf_object(object));
    return object;
}

LM_API void CFRelease(CFTypeRef object)
{
    if (object && lm_cf_object(object)->destroy)
        lm_release(lm_cf_object(object));
}

LM_API CFIndex CFGetRetainCount(CFTypeRef object)
{
    if (!object)
        return 0;
    return lm_cf_object(object)->destroy ? (CFIndex)lm_load_relaxed(&lm_cf_object(object)->references) : LONG_MAX;
}

#endif
