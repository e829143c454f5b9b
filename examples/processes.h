/* SPDX-License-Identifier: MIT */
/* The interface between the processes service and its clients. */
#ifndef EXAMPLES_PROCESSES_H
#define EXAMPLES_PROCESSES_H

#include <stdint.h>

#define PROCESSES_SERVICE "com.example.processes"

/* Message ids. A request that the service cannot answer gets an empty reply. */
enum {
    PROCESSES_COUNT = 1, /* no data; the reply is an integer */
    PROCESSES_TABLE = 2, /* no data; the reply is an array of Process */
    PROCESSES_MAPS = 3,  /* an int32_t, the pid; the reply is the text of /proc/PID/maps */
};

/* Sent as it is in memory. It has no padding, so no uninitialised bytes are sent. */
typedef struct Process {
    uint64_t resident_kib;
    int32_t pid;
    int32_t parent;
    uint32_t uid;
    char state;    /* a letter of proc(5): R running, S sleeping, ... */
    char name[19]; /* truncated if longer; NUL-terminated */
} Process;

_Static_assert(sizeof(Process) == 40, "Process has padding");

#endif
