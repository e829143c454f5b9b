/* SPDX-License-Identifier: MIT */
/* What every measurement needs: a clock, a choice of core, and percentiles. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Returns nanoseconds on the monotonic clock. */
uint64_t measure_now(void);

/* Returns the n-th core (from 0) that this process was allowed to use at the first call; -1 if there are fewer. */
int measure_core(int n);
/* Restricts a process to one core; process 0 is the caller. */
bool measure_pin(pid_t process, int core);

/* Sorts the samples, as measure_percentile requires. */
void measure_sort(double *samples, size_t count);
/* Returns the sample below which `percent` of the samples lie. `count` must not be 0. */
double measure_percentile(const double *sorted, size_t count, double percent);

#endif
