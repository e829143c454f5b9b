/* SPDX-License-Identifier: MIT */
/* How well a healthy client fares beside others that do not. */
#ifndef BENCH_NEIGHBOURS_H
#define BENCH_NEIGHBOURS_H

#include <stdbool.h>
#include <stddef.h>

/* Measures and prints a table, with a fifth of `trips` round trips a round. False, with a line on stderr, on an error.
 */
bool neighbours_run(size_t trips);

#endif
