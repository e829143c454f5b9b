/* SPDX-License-Identifier: MIT */
/* CoreFoundation's constants: strings, the run loop's modes, allocators. They are not reference-counted. */
#ifndef LM_DETAIL_CF_CONSTANTS_H
#define LM_DETAIL_CF_CONSTANTS_H

#include "../ground/object.h"

/* A CFString: UTF-8 with a NUL. A string without `destroy` is a constant and is not reference-counted. */
struct lm_string {
    struct lm_object object;
    const char *bytes;
    size_t length;
};

struct lm_allocator {
    struct lm_object object; /* not reference-counted */
};

struct lm_constants {
    struct lm_string modes[2]; /* their names are in string.h */
    struct lm_allocator allocators[2];
};

LM_STATE(struct lm_constants, lm_constants)

#define LM_MODE(number)      LM_CAST(CFStringRef, &lm_constants.modes[number])
#define LM_ALLOCATOR(number) LM_CAST(CFAllocatorRef, &lm_constants.allocators[number])

/* A constant string: a separate static object at each place that uses it. */
#define LM_STRING(literal)                                                                                             \
    __extension__({                                                                                                    \
        static struct lm_string lm_constant = {{0, LM_NULL, LM_NULL}, "" literal "", sizeof(literal) - 1};             \
        LM_CAST(CFStringRef, &lm_constant);                                                                            \
    })

#endif
