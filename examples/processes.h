/* SPDX-License-Identifier: MIT */
/* What the processes service and its clients agree on. */
#ifndef EXAMPLES_PROCESSES_H
#define EXAMPLES_PROCESSES_H

#include <stdint.h>

#define PROCESSES_SERVICE "com.example.processes"

/* Message ids. Whatever the service can't answer gets an empty reply. */
enum {
    PROCESSES_COUNT = 1, /* no data; the reply is an integer */
    PROCESSES_TABLE = 2, /* no data; the reply is an array of Process */
    PROCESSES_MAPS = 3,  /* an int32_t, the pid; the reply is the text of its /proc/PID/maps */
};

/* Travels as it is in memory, so it has no padding: what is in the struct is what was meant to be sent. */
typedef struct Process {
    uint64_t resident_kib;
    int32_t pid;
    int32_t parent;
    uint32_t uid;
    char state;    /* a letter of proc(5): R running, S sleeping, ... */
    char name[19]; /* cut if longer, NUL-terminated */
} Process;

_Static_assert(sizeof(Process) == 40, "Process has padding");

#endif
