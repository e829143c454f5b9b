/* SPDX-License-Identifier: MIT */
/*
 * Decides whether a waiter spins before it sleeps, and for how long. Waking another core costs tens of microseconds,
 * and polling a shared cache line a tenth of one, but spinning occupies a whole core. So each waiter keeps a running
 * estimate of its waits and spins only if they are short: at most `limit` nanoseconds at a time, and after spins that
 * found nothing ever more rarely. The owner's lock guards struct lm_spin.
 */
#ifndef LM_DETAIL_GROUND_SPIN_H
#define LM_DETAIL_GROUND_SPIN_H

#include "deadline.h"

/* About the time that a wake across cores takes on a virtual machine: a longer spin loses more than it can gain. */
#define LM_SPIN_DEFAULT 50000
/* Longest expected wait, in nanoseconds, that is worth a spin. A call takes up to this long if both sides sleep, and
 * less than a microsecond if both spin. */
#define LM_SPIN_WORTH   200000
#define LM_SPIN_LONG    1000000 /* nanoseconds; longer waits count as this long */
#define LM_SPIN_WEIGHT  4       /* the last wait has a weight of one part in so many */
#define LM_SPIN_DOUBLED 5       /* misses; up to here each miss doubles the number of waits that pass without a spin */
#define LM_SPIN_MISSES  1024    /* from then on as many waits pass as there were misses, but no more than this */
#define LM_SPIN_EAGER   1024    /* most polls without a pause and without reading the clock */
#define LM_SPIN_LOOK    4       /* most nanoseconds per such poll, as long as the word has not changed */
#define LM_SPIN_PAUSES  16      /* polls with a pause between two readings of the clock */
#define LM_SPIN_HOLD    6000    /* nanoseconds that a thread in a crowd keeps its core: several short calls */
#define LM_SPIN_YIELD   2000    /* nanoseconds charged for yielding the core once: a slow system call; untuned */

struct lm_spin {
    uint32_t cores;    /* that the thread may run on */
    uint32_t allowed;  /* nanoseconds, limited by the environment and the cores; 0: never spin */
    uint32_t limit;    /* nanoseconds, the smaller of the wanted and the allowed spin; 0: never spin */
    uint32_t expected; /* nanoseconds, the estimate of the next wait */
    uint32_t misses;   /* spins in a row that found nothing */
    uint32_t passes;   /* waits still to pass without a spin because of the misses */
};

/* Yields to the core's other hardware thread, or saves energy. */
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

/* Waits until the given time without sleeping. */
LM_INTERNAL void lm_pause_until(int64_t time)
{
    while (lm_now() < time)
        lm_relax();
}

/* Returns the limit that LM_SPIN_US sets, in nanoseconds. Invalid values are ignored. */
LM_SETUP uint32_t lm_spin_allowed(void)
{
    const char *text = lm_environment("LM_SPIN_US");
    char *end = NULL;
    unsigned long microseconds = text ? strtoul(text, &end, 10) : 0;
    if (!text || end == text || *end || *text == '-' || microseconds > LM_SPIN_LONG / 1000)
        return LM_SPIN_LONG;
    return (uint32_t)microseconds * 1000;
}

/* Returns whether a value is valid in the public interface: microseconds, 0 for the default, or LM_SPIN_NEVER, which is
 * UINT32_MAX. */
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

/* Sets the limit for the next spins; at most what is allowed. */
LM_INTERNAL void lm_spin_set(struct lm_spin *spin, uint32_t wanted)
{
    spin->limit = lm_min32(wanted, spin->allowed);
}

/* A thread restricted to one core never spins: it would keep the other side from running. */
LM_SETUP void lm_spin_init(struct lm_spin *spin, uint32_t wanted)
{
    memset(spin, 0, sizeof *spin);
    spin->cores = lm_sys_core_count();
    spin->allowed = spin->cores == 1 ? 0 : lm_spin_allowed();
    spin->expected = LM_SPIN_LONG;
    lm_spin_set(spin, wanted);
}

/* Returns whether the next wait begins with a spin. */
LM_INTERNAL bool lm_spin_pays(const struct lm_spin *spin)
{
    return spin->limit > 0 && spin->expected <= LM_SPIN_WORTH && spin->passes == 0;
}

/* Returns the number of eager polls that a spin begins with. */
LM_INTERNAL uint32_t lm_spin_eager(const struct lm_spin *spin)
{
    return lm_min32(LM_SPIN_EAGER, spin->limit / LM_SPIN_LOOK);
}

/* Returns the nanoseconds of a spin that are left after the eager polls. */
LM_INTERNAL uint32_t lm_spin_paused(const struct lm_spin *spin)
{
    return spin->limit - lm_spin_eager(spin) * LM_SPIN_LOOK;
}

/* Returns for how many of these nanoseconds a thread in a crowd keeps its core before it yields between polls. */
LM_INTERNAL uint32_t lm_spin_hold(const struct lm_spin *spin)
{
    return lm_min32(lm_spin_paused(spin), LM_SPIN_HOLD);
}

/*
 * Records a spin that found nothing. Either the peer is slow or it shares this core. Where the other cores sleep too
 * deeply for the scheduler to wake one, as on virtual machines, the scheduler separates the two threads only if its
 * tick occurs while both want to run. So spins soon become rare, to let the peer run, but very rare only after many
 * misses.
 */
LM_INTERNAL void lm_spin_miss(struct lm_spin *spin)
{
    spin->misses += spin->misses < LM_SPIN_MISSES;
    uint32_t doubled = spin->misses < LM_SPIN_DOUBLED ? spin->misses : LM_SPIN_DOUBLED;
    spin->passes = spin->misses > 1u << doubled ? spin->misses : 1u << doubled;
}

/* Updates the estimate with a wait of `waited` nanoseconds; `spun` says whether the wait began with a spin. */
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
