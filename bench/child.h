/* SPDX-License-Identifier: MIT */
/* Processes that a benchmark starts and ends. They end with it, whatever happens. */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/* Forks, runs `body` in the child, and returns when that has said that it is ready; -1, reaped, if it ended before. */
pid_t child_start(void (*body)(const void *argument), const void *argument);
/* In the child, once. */
void child_ready(void);
/* SIGSTOP, and stopped when this returns. */
void child_stop(pid_t child);
void child_continue(pid_t child);
/* SIGKILL, and reaped when this returns. Does nothing to a child that did not start. */
void child_kill(pid_t child);

#endif
