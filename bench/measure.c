/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "measure.h"
#include <sched.h>
#include <stdlib.h>
#include <time.h>

uint64_t measure_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int measure_core(int n)
{
    static cpu_set_t allowed; /* read once: pinning changes the answer */
    if (CPU_COUNT(&allowed) == 0 && sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return -1;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (CPU_ISSET((size_t)core, &allowed) && n-- == 0)
            return core;
    }
    return -1;
}

bool measure_pin(pid_t process, int core)
{
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET((size_t)core, &only);
    return sched_setaffinity(process, sizeof only, &only) == 0;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

void measure_sort(double *samples, size_t count)
{
    qsort(samples, count, sizeof *samples, ascending);
}

double measure_percentile(const double *sorted, size_t count, double percent)
{
    size_t index = (size_t)((double)count * percent / 100.0);
    return sorted[index < count ? index : count - 1];
}
