/* SPDX-License-Identifier: MIT */
/* The base that every file of the implementation includes: linkage, small arithmetic, and the libc headers in use. */
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

/* A cast and a null pointer for public macros. These expand in the program's own code, which in C++ may be compiled
 * with warnings about C's casts and NULL. */
#ifdef __cplusplus
#define LM_CAST(type, value) static_cast<type>(value)
#define LM_NULL              nullptr
#else
#define LM_CAST(type, value) ((type)(value))
#define LM_NULL              NULL
#endif

/*
 * Linkage of the public functions, decided here alone: inline code in every unit that includes the headers; or, in a
 * program that asks for it, code in one unit and declarations in the others. Functions are hidden, like the state that
 * they share: a plugin has its own.
 *
 * LM_FILE_API is for the few lines that depend on LIGHTMESSAGING_TIMEOUT and LIGHTMESSAGING_USE_ROCKETBOOTSTRAP: a unit
 * that defines one of them has these lines itself, as inline code (LM_FILE_CODE), also where all else is declarations.
 * A unit in Objective-C, where functions have other types, always has code of its own.
 */
#if defined(LIGHTMESSAGING_IMPLEMENTATION)
#ifdef __OBJC__
#error "define LIGHTMESSAGING_IMPLEMENTATION in a file in C or C++"
#endif
#define LM_API       LM_EXTERN_C __attribute__((visibility("hidden")))
#define LM_FILE_API  LM_API
#define LM_FILE_CODE 1
#elif defined(LIGHTMESSAGING_SEPARATE) && !defined(__OBJC__)
#define LM_API               LM_EXTERN_C __attribute__((visibility("hidden")))
#define LM_DECLARATIONS_ONLY 1
#if defined(LIGHTMESSAGING_TIMEOUT) ||                                                                                 \
    (defined(LIGHTMESSAGING_USE_ROCKETBOOTSTRAP) && LIGHTMESSAGING_USE_ROCKETBOOTSTRAP == 0)
#define LM_FILE_API  static inline
#define LM_FILE_CODE 1
#else
#define LM_FILE_API LM_API
#endif
#else
#define LM_API       static inline
#define LM_FILE_API  LM_API
#define LM_FILE_CODE 1
#endif
#define LM_INTERNAL static inline

/* Code that becomes a few instructions once the compiler sees its arguments: always inlined. Where the public functions
 * are code of their own unit, so is what they are made of. */
#define LM_FLAT static inline __attribute__((always_inline))
#if defined(LIGHTMESSAGING_IMPLEMENTATION) || defined(LM_DECLARATIONS_ONLY)
#define LM_FLAT_API LM_API
#else
#define LM_FLAT_API LM_FLAT
#endif

/* Code that runs at setup and teardown, not for each message: optimised for size. */
#define LM_SETUP static __attribute__((cold, unused))

/* Code that hardly ever runs: optimised for size and kept out of its callers. */
#define LM_COLD static __attribute__((cold, noinline, unused))

/* Code that runs for each message: optimised for speed even if its only caller runs once and is optimised for size. */
#define LM_HOT static __attribute__((hot, noinline, unused))

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
