/* SPDX-License-Identifier: MIT */
/* What /proc reports about a process, summed over its threads. */
#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H

#include <stdint.h>
#include <sys/types.h>

typedef struct Usage {
    uint64_t cpu;      /* nanoseconds */
    uint64_t switches; /* number of times it gave up the processor to wait: each is a wake-up */
} Usage;

Usage usage_of(pid_t process);
/* Returns the bytes in memory, with shared memory. */
uint64_t usage_resident(pid_t process);
uint64_t usage_descriptors(pid_t process);

#endif
