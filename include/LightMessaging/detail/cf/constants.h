/* SPDX-License-Identifier: MIT */
/* CoreFoundation's constants: strings, the run loop's modes, allocators. They are not counted. */
#ifndef LM_DETAIL_CF_CONSTANTS_H
#define LM_DETAIL_CF_CONSTANTS_H

#include "../ground/object.h"

/* A CFString: UTF-8 and a NUL. One without a `destroy` is a constant, and not counted. */
struct lm_string {
    struct lm_object object;
    const char *bytes;
    size_t length;
};

struct lm_allocator {
    struct lm_object object; /* not counted */
};

struct lm_constants {
    struct lm_string modes[2]; /* their names are in string.h */
    struct lm_allocator allocators[2];
};

LM_STATE(struct lm_constants, lm_constants)

#define LM_MODE(number)      ((CFStringRef)&lm_constants.modes[number])
#define LM_ALLOCATOR(number) ((CFAllocatorRef)&lm_constants.allocators[number])

/* A constant: a static object of its own at each place that names one. */
#define LM_STRING(literal)                                                                                             \
    __extension__({                                                                                                    \
        static struct lm_string lm_constant = {{0, NULL, NULL}, "" literal "", sizeof(literal) - 1};                   \
        (CFStringRef) & lm_constant;                                                                                   \
    })

#endif
