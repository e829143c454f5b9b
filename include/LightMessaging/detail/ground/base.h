/* SPDX-License-Identifier: MIT */
/* What every file of the implementation starts from: linkage, small arithmetic, the libc headers in use. */
#ifndef LM_DETAIL_GROUND_BASE_H
#define LM_DETAIL_GROUND_BASE_H

#include "interface.h"
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
 * The one place that decides how functions are linked. Inline code in every translation unit that includes the headers;
 * or, in a program that asks for it, code in one of them and declarations in the others. What depends on macros of the
 * unit's own, and Objective-C, where functions have other types, does not go into that one. Hidden like the state that
 * they share: a plugin's functions are its own, too.
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

/* What runs when something comes or goes, and not for each message: made small rather than fast. */
#define LM_SETUP static __attribute__((cold, unused))

/* What hardly ever runs: the same, and kept out of the callers' code. */
#define LM_COLD static __attribute__((cold, noinline, unused))

/* What runs for each message: made fast, though its caller may run once only, and be made small. */
#define LM_HOT static __attribute__((hot, noinline, unused))

#define LM_CACHE_LINE 64u

/* The structure of `type` whose `member` is at `pointer`. */
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
