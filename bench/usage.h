/* SPDX-License-Identifier: MIT */
/* What /proc says about a process, all its threads together. */
#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H

#include <stdint.h>
#include <sys/types.h>

typedef struct Usage {
    uint64_t cpu;      /* nanoseconds */
    uint64_t switches; /* how often it gave up the processor to wait: each is a wake-up */
} Usage;

Usage usage_of(pid_t process);
/* Bytes in memory, shared memory included. */
uint64_t usage_resident(pid_t process);
uint64_t usage_descriptors(pid_t process);

#endif
