/* SPDX-License-Identifier: MIT */
/* What every measurement needs: a clock, a choice of core, and the order of many durations. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Nanoseconds on the monotonic clock. */
uint64_t measure_now(void);

/* The n-th core (from 0) on which this process was allowed to run when it was first asked; -1 if it has fewer. */
int measure_core(int n);
/* Ties a process to one core; 0 is the caller. */
bool measure_pin(pid_t process, int core);

/* Sorts the samples, on which the next function relies. */
void measure_sort(double *samples, size_t count);
/* The sample below which `percent` of them lie. count must not be 0. */
double measure_percentile(const double *sorted, size_t count, double percent);

#endif
