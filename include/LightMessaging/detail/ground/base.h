/* SPDX-License-Identifier: MIT */
/* The base that every file of the implementation includes: linkage, small arithmetic, and the libc headers in use. */
#ifndef LM_DETAIL_GROUND_BASE_H
#define LM_DETAIL_GROUND_BASE_H

#include "limits.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
#define LM_EXTERN_C extern "C"
#else
#define LM_EXTERN_C extern
#endif

/*
 * The one place that decides how functions are linked. By default every function is inline code in each translation
 * unit that includes the headers. With LIGHTMESSAGING_IMPLEMENTATION in one unit and LIGHTMESSAGING_SEPARATE in the
 * others, the code is in that one unit and the others get declarations. A unit that sets macros which change the code,
 * or that is Objective-C (its function types differ), always keeps inline code of its own. The functions are hidden,
 * like the state they share: a plugin has its own functions, too.
 */
#if defined(LIGHTMESSAGING_IMPLEMENTATION)
#ifdef __OBJC__
#error "define LIGHTMESSAGING_IMPLEMENTATION in a file in C or C++"
#endif
#define LM_API LM_EXTERN_C __attribute__((visibility("hidden")))
#elif defined(LIGHTMESSAGING_SEPARATE) && !defined(LIGHTMESSAGING_TIMEOUT) && !defined(__OBJC__) &&                    \
    !(defined(LIGHTMESSAGING_USE_ROCKETBOOTSTRAP) && LIGHTMESSAGING_USE_ROCKETBOOTSTRAP == 0)
#define LM_API               LM_EXTERN_C __attribute__((visibility("hidden")))
#define LM_DECLARATIONS_ONLY 1
#else
#define LM_API static inline
#endif
#define LM_INTERNAL static inline

/* Code that runs at setup and teardown, not for each message: optimised for size. */
#define LM_SETUP static __attribute__((cold, unused))

/* Code that hardly ever runs: optimised for size and kept out of its callers. */
#define LM_COLD static __attribute__((cold, noinline, unused))

/* Code that runs for each message: optimised for speed even if its only caller runs once and is optimised for size. */
#define LM_HOT static __attribute__((hot, noinline, unused))

/* Defines one object per program or plugin, shared by all of its translation units. */
#ifdef __cplusplus
#define LM_STATE(type, name)                                                                                           \
    extern "C" {                                                                                                       \
    __attribute__((weak, visibility("hidden"))) type name;                                                             \
    }
#else
#define LM_STATE(type, name) __attribute__((weak, visibility("hidden"))) type name;
#endif

#define LM_CACHE_LINE 64u

/* The structure of `type` that contains `pointer` as its `member`. */
#define LM_CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

LM_INTERNAL uint32_t lm_min32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

LM_INTERNAL uint64_t lm_round_up(uint64_t value, uint64_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

#endif
