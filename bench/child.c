/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "child.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready_pipe[2];

void child_ready(void)
{
    if (write(ready_pipe[1], "", 1) != 1)
        _exit(1);
    close(ready_pipe[1]);
}

static void run_child(void (*body)(const void *argument), const void *argument)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ready_pipe[0]);
    body(argument);
    _exit(1);
}

pid_t child_start(void (*body)(const void *argument), const void *argument)
{
    char byte;
    if (pipe(ready_pipe) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0)
        run_child(body, argument);
    close(ready_pipe[1]);
    bool ready = child > 0 && read(ready_pipe[0], &byte, 1) == 1; /* end of file: the child failed */
    close(ready_pipe[0]);
    if (ready)
        return child;
    child_kill(child);
    return -1;
}

void child_stop(pid_t child)
{
    kill(child, SIGSTOP);
    waitpid(child, NULL, WUNTRACED);
}

void child_continue(pid_t child)
{
    kill(child, SIGCONT);
}

void child_kill(pid_t child)
{
    if (child <= 0)
        return;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}
