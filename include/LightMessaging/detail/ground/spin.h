/* SPDX-License-Identifier: MIT */
/*
 * Whether a waiter looks again and again before it sleeps, and for how long. Waking another core costs tens of
 * microseconds, a look at a shared cache line a tenth of one; but looking costs all of a core. So each waiter keeps a
 * running estimate of its waits, and spins only where they are short: at most `limit` nanoseconds at a time, and after
 * spins that found nothing ever more rarely. The owner's lock guards it.
 */
#ifndef LM_DETAIL_GROUND_SPIN_H
#define LM_DETAIL_GROUND_SPIN_H

#include "deadline.h"

/* A wake across cores takes about as long on a virtual machine: who spins longer loses more than it can win. */
#define LM_SPIN_DEFAULT 50000
/* Waits that seem worth it, in nanoseconds: when both sides sleep a call takes up to this long, and less than one if
 * they spin. */
#define LM_SPIN_WORTH   200000
#define LM_SPIN_LONG    1000000 /* longer waits count as this long */
#define LM_SPIN_WEIGHT  4       /* of the last wait, one part in so many */
#define LM_SPIN_DOUBLED 5       /* misses: after each of them twice as many waits as before pass without a spin */
#define LM_SPIN_MISSES  1024    /* after more of them as many waits as there were misses pass, but no more than this */
#define LM_SPIN_EAGER   1024    /* looks without a pause and without a look at the clock, at most */
#define LM_SPIN_LOOK    4       /* nanoseconds that one of them takes at most, as long as nothing has changed */
#define LM_SPIN_PAUSES  16      /* paused looks between two looks at the clock */
#define LM_SPIN_HOLD    6000    /* nanoseconds that a thread in a crowd keeps its core: several short calls */
#define LM_SPIN_YIELD   2000    /* nanoseconds charged for giving the core away once: a slow system call; untuned */

struct lm_spin {
    uint32_t cores;    /* on which the thread may run */
    uint32_t allowed;  /* nanoseconds, by the environment and the cores; 0: never */
    uint32_t limit;    /* nanoseconds, as was asked for and is allowed; 0: never */
    uint32_t expected; /* of the next wait */
    uint32_t misses;   /* spins in a row that found nothing */
    uint32_t passes;   /* waits without a spin that are left because of them */
};

/* Lets the core's other thread go first, or the processor save energy. */
LM_INTERNAL void lm_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
    __asm__ __volatile__("yield" ::: "memory");
#else
    __asm__ __volatile__("" ::: "memory");
#endif
}

/* Does nothing until then, without sleeping. */
LM_INTERNAL void lm_pause_until(int64_t time)
{
    while (lm_now() < time)
        lm_relax();
}

/* What LM_SPIN_US allows at most, in nanoseconds. What is no number of microseconds is not believed. */
LM_SETUP uint32_t lm_spin_allowed(void)
{
    const char *text = lm_environment("LM_SPIN_US");
    char *end = NULL;
    unsigned long microseconds = text ? strtoul(text, &end, 10) : 0;
    if (!text || end == text || *end || *text == '-' || microseconds > LM_SPIN_LONG / 1000)
        return LM_SPIN_LONG;
    return (uint32_t)microseconds * 1000;
}

/* What the interface speaks of: microseconds, 0 for the default, or LM_SPIN_NEVER, which is UINT32_MAX. */
LM_INTERNAL bool lm_spin_valid(uint32_t microseconds)
{
    return microseconds <= LM_SPIN_LONG / 1000 || microseconds == UINT32_MAX;
}

LM_SETUP uint32_t lm_spin_nanoseconds(uint32_t microseconds)
{
    if (microseconds == UINT32_MAX)
        return 0;
    return microseconds ? microseconds * 1000 : LM_SPIN_DEFAULT;
}

/* At most so many nanoseconds, from here on. */
LM_INTERNAL void lm_spin_set(struct lm_spin *spin, uint32_t wanted)
{
    spin->limit = lm_min32(wanted, spin->allowed);
}

/* None if this thread has one core only: it would keep the other side from running. */
LM_SETUP void lm_spin_init(struct lm_spin *spin, uint32_t wanted)
{
    memset(spin, 0, sizeof *spin);
    spin->cores = lm_sys_core_count();
    spin->allowed = spin->cores == 1 ? 0 : lm_spin_allowed();
    spin->expected = LM_SPIN_LONG;
    lm_spin_set(spin, wanted);
}

/* Whether the next wait begins with a spin. */
LM_INTERNAL bool lm_spin_pays(const struct lm_spin *spin)
{
    return spin->limit > 0 && spin->expected <= LM_SPIN_WORTH && spin->passes == 0;
}

/* A spin begins with so many eager looks. */
LM_INTERNAL uint32_t lm_spin_eager(const struct lm_spin *spin)
{
    return lm_min32(LM_SPIN_EAGER, spin->limit / LM_SPIN_LOOK);
}

/* The nanoseconds that are left of it after them. */
LM_INTERNAL uint32_t lm_spin_paused(const struct lm_spin *spin)
{
    return spin->limit - lm_spin_eager(spin) * LM_SPIN_LOOK;
}

/* Of these, how many a thread in a crowd keeps its core, before it gives it away between looks. */
LM_INTERNAL uint32_t lm_spin_hold(const struct lm_spin *spin)
{
    return lm_min32(lm_spin_paused(spin), LM_SPIN_HOLD);
}

/*
 * Spins were in vain if the peer is slow, or shares this core: where the other cores sleep too deeply for the scheduler
 * to wake one for it, as on virtual machines, it moves one of the two only if its clock ticks while both want to run.
 * So trying is rare soon, for the peer's sake, but very rare only after many misses.
 */
LM_INTERNAL void lm_spin_miss(struct lm_spin *spin)
{
    spin->misses += spin->misses < LM_SPIN_MISSES;
    uint32_t doubled = spin->misses < LM_SPIN_DOUBLED ? spin->misses : LM_SPIN_DOUBLED;
    spin->passes = spin->misses > 1u << doubled ? spin->misses : 1u << doubled;
}

/* How long a wait took, that began with a spin or did not. */
LM_INTERNAL void lm_spin_learn(struct lm_spin *spin, int64_t waited, bool spun)
{
    uint32_t wait = waited < LM_SPIN_LONG ? (uint32_t)waited : LM_SPIN_LONG;
    spin->expected = spin->expected - spin->expected / LM_SPIN_WEIGHT + wait / LM_SPIN_WEIGHT;
    if (spun && wait <= spin->limit) {
        spin->misses = 0;
    } else if (spun) {
        lm_spin_miss(spin);
    } else if (spin->passes > 0) {
        spin->passes--;
    }
}

#endif
