/* SPDX-License-Identifier: MIT */
/*
 * Atomic access to words that another thread or process may change at any time. C's and C++'s own atomics cannot be
 * mixed in one header, so these functions wrap the compiler's builtins. The comment at each use names the partner
 * operation.
 */
#ifndef LM_DETAIL_GROUND_ATOMIC_H
#define LM_DETAIL_GROUND_ATOMIC_H

#include "base.h"

LM_INTERNAL uint32_t lm_load_relaxed(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

LM_INTERNAL uint32_t lm_load_acquire(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

LM_INTERNAL uint32_t lm_load_ordered(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

LM_INTERNAL void lm_store_relaxed(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

LM_INTERNAL void lm_store_release(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

LM_INTERNAL void lm_store_ordered(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

/* Fetches the cache line for writing, in the background: one transfer between cores instead of two. */
LM_INTERNAL void lm_prefetch_to_write(const void *line)
{
#if defined(__x86_64__)
    __asm__ __volatile__("prefetchw %0" ::"m"(*(const char *)line)); /* the builtin reads only, without -mprfchw */
#else
    __builtin_prefetch(line, 1);
    __asm__ __volatile__(""); /* see below */
#endif
}

/* Fetches the cache line for reading, in the background. The empty asm gives the function an effect: gcc drops calls of
 * a function that only prefetches. */
LM_INTERNAL void lm_prefetch_to_read(const void *line)
{
    __builtin_prefetch(line, 0);
    __asm__ __volatile__("");
}

LM_INTERNAL uint32_t lm_exchange(uint32_t *word, uint32_t value)
{
    return __atomic_exchange_n(word, value, __ATOMIC_ACQ_REL);
}

LM_INTERNAL bool lm_replace(uint32_t *word, uint32_t expected, uint32_t value)
{
    return __atomic_compare_exchange_n(word, &expected, value, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

LM_INTERNAL uint32_t lm_add(uint32_t *word, uint32_t value)
{
    return __atomic_add_fetch(word, value, __ATOMIC_ACQ_REL);
}

#endif
