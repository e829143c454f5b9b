/* SPDX-License-Identifier: MIT */
/* Processes that a benchmark starts and ends. They end with the benchmark in every case. */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/* Forks, runs `body` in the child, and returns when the child has called child_ready. Returns -1 if the child ended
 * before that; it is then reaped. */
pid_t child_start(void (*body)(const void *argument), const void *argument);
/* Tells the parent that the child is ready; called once, in the child. */
void child_ready(void);
/* Sends SIGSTOP, and returns when the child is stopped. */
void child_stop(pid_t child);
void child_continue(pid_t child);
/* Sends SIGKILL, and returns when the child is reaped. Does nothing to a child that did not start. */
void child_kill(pid_t child);

#endif
