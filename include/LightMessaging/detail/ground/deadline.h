/* SPDX-License-Identifier: MIT */
/*
 * Deadlines: nanoseconds on the monotonic clock, so neither clock steps nor a suspended machine affect them. One
 * deadline covers a whole operation, however many waits it takes. A test may replace the clock: it defines
 * LM_TEST_CLOCK as the name of a function `int64_t f(void)`.
 */
#ifndef LM_DETAIL_GROUND_DEADLINE_H
#define LM_DETAIL_GROUND_DEADLINE_H

#include "sys.h"

#define LM_FOREVER INT64_MAX
#define LM_PAST    INT64_MIN /* a deadline that has passed: do not wait at all */

#ifdef LM_TEST_CLOCK
LM_EXTERN_C int64_t LM_TEST_CLOCK(void);
#endif

LM_INTERNAL int64_t lm_clock(int clock)
{
#ifdef LM_TEST_CLOCK
    (void)clock;
    return LM_TEST_CLOCK();
#else
    struct lm_timespec now = {0, 0};
    lm_libc_clock_gettime(clock, &now);
    return (int64_t)now.seconds * 1000000000 + now.nanoseconds;
#endif
}

LM_INTERNAL int64_t lm_now(void)
{
    return lm_clock(LM_CLOCK_MONOTONIC);
}

/* Cheaper than lm_now, but up to a few milliseconds behind. */
LM_INTERNAL int64_t lm_now_coarse(void)
{
    return lm_clock(LM_CLOCK_MONOTONIC_COARSE);
}

/* The processor's counter, for a cheap check on each message whether hardly any time has passed: reading it costs a
 * third of lm_now. The unit depends on the processor, and the counter may jump. lm_ticks_few() ticks are 5 to 35 us. */
LM_INTERNAL uint64_t lm_ticks(void)
{
#if defined(LM_TEST_CLOCK)
    return (uint64_t)lm_now();
#elif defined(__x86_64__) || defined(__i386__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return (uint64_t)lm_now();
#endif
}

LM_INTERNAL uint64_t lm_ticks_few(void)
{
#if defined(LM_TEST_CLOCK)
    return 10000;
#elif defined(__x86_64__) || defined(__i386__)
    return 32768; /* at 1 to 5 GHz */
#elif defined(__aarch64__)
    uint64_t frequency;
    __asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
    return frequency >> 16;
#else
    return 10000;
#endif
}

LM_INTERNAL int64_t lm_deadline_after(uint32_t milliseconds)
{
    return milliseconds == UINT32_MAX ? LM_FOREVER : lm_now() + (int64_t)milliseconds * 1000000;
}

/* Returns the nanoseconds left, 0 if the deadline has passed. */
LM_INTERNAL int64_t lm_deadline_left(int64_t deadline)
{
    if (deadline == LM_FOREVER)
        return LM_FOREVER;
    int64_t left = deadline == LM_PAST ? 0 : deadline - lm_now();
    return left > 0 ? left : 0;
}

/*
 * A deadline as it is sent to another process: in units of 2^20 ns, modulo 2^32. 0: there is none, or it is so far away
 * (26 days) that the units would wrap. The clock is the same for all processes of a time namespace.
 */
LM_INTERNAL uint32_t lm_deadline_to_wire(int64_t deadline)
{
    if (deadline == LM_FOREVER)
        return 0;
    int64_t now = lm_now(), end = deadline < now ? now : deadline;
    uint32_t units = (uint32_t)((uint64_t)end >> 20);
    return end - now >= (int64_t)INT32_MAX << 20 ? 0 : units ? units : 1;
}

LM_INTERNAL int64_t lm_deadline_from_wire(uint32_t units)
{
    int64_t now = lm_now();
    int32_t left = (int32_t)(units - (uint32_t)((uint64_t)now >> 20));
    return units == 0 ? LM_FOREVER : now + (int64_t)left * (1 << 20);
}

/* Converts a deadline to epoll's timeout: rounded up, so that a sleeper does not wake early and sleep again; -1:
 * none. */
LM_INTERNAL int lm_deadline_milliseconds(int64_t deadline)
{
    int64_t left = lm_deadline_left(deadline);
    if (left == LM_FOREVER)
        return -1;
    int64_t milliseconds = left / 1000000 + (left % 1000000 != 0);
    return milliseconds > INT_MAX ? INT_MAX : (int)milliseconds;
}

#define LM_NAP_NANOSECONDS 1000000 /* between two polls where futexes are forbidden; untuned */

/* Sleeps until *word is no longer `value`, a wake arrives, or the deadline passes; may return early. Where futexes are
 * forbidden, it naps and returns, so that its caller polls. */
LM_INTERNAL void lm_sleep_on(uint32_t *word, uint32_t value, int64_t deadline)
{
    int64_t left = lm_deadline_left(deadline);
    struct lm_timespec timeout = {(long)(left / 1000000000), (long)(left % 1000000000)};
    int result = lm_sys_futex_wait(word, value, left == LM_FOREVER ? NULL : &timeout);
    if (result == -EPERM || result == -ENOSYS || result == -EACCES)
        lm_sys_pause(left < LM_NAP_NANOSECONDS ? left : LM_NAP_NANOSECONDS);
}

#endif
