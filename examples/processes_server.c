/* SPDX-License-Identifier: MIT */
/*
 * A service on real input: the machine's processes, from /proc. It replies with an integer, with an array of structs,
 * and with a text that may be large (processes.h). A process that ends while the service reads it is left out.
 */
#define _POSIX_C_SOURCE 200809L

/* Starting this service by hand does not unlock it: it can read its user's memory maps, which sandboxed processes must
 * not see. The system service (systemd/) runs as a user of its own, and the launcher decides in which folder its socket
 * is. */
#define LIGHTMESSAGING_USE_ROCKETBOOTSTRAP 0

#include <LightMessaging/LightMessaging.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "processes.h"

/* --- A growing buffer; all zero is the empty buffer --- */

typedef struct Bytes {
    char *data;
    size_t length;
    size_t capacity;
} Bytes;

static void bytes_deinit(Bytes *bytes)
{
    free(bytes->data);
    *bytes = (Bytes){0};
}

/* Makes room for `more` bytes at the end. False, and the buffer is unchanged, if memory runs out. */
static bool bytes_reserve(Bytes *bytes, size_t more)
{
    if (more <= bytes->capacity - bytes->length)
        return true;
    size_t capacity = 2 * bytes->capacity + more;
    char *data = realloc(bytes->data, capacity);
    if (!data)
        return false;
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

static bool bytes_append(Bytes *bytes, const void *data, size_t length)
{
    if (!bytes_reserve(bytes, length))
        return false;
    memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
    return true;
}

/* --- /proc --- */

/* The next process of an open /proc; 0 after the last. */
static int32_t next_process(DIR *proc)
{
    struct dirent *entry;
    while ((entry = readdir(proc)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10); /* 0 for an entry that is not a process */
        if (pid > 0)
            return (int32_t)pid;
    }
    return 0;
}

static FILE *open_process_file(int32_t pid, const char *file)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%" PRId32 "/%s", pid, file);
    return fopen(path, "re");
}

/* Reads one line of /proc/PID/status. False for the lines that the service does not use. */
static bool read_status_line(Process *process, const char *line)
{
    return sscanf(line, "Name: %18[^\n]", process->name) == 1 || sscanf(line, "State: %c", &process->state) == 1 ||
           sscanf(line, "PPid: %" SCNd32, &process->parent) == 1 || sscanf(line, "Uid: %" SCNu32, &process->uid) == 1 ||
           sscanf(line, "VmRSS: %" SCNu64, &process->resident_kib) == 1;
}

/* False if the process has ended. */
static bool read_process(int32_t pid, Process *process)
{
    FILE *status = open_process_file(pid, "status");
    if (!status)
        return false;
    *process = (Process){.pid = pid};
    char line[4096]; /* the line of supplementary groups may be longer; its rest then counts as a line of its own */
    while (fgets(line, sizeof line, status))
        read_status_line(process, line);
    bool complete = !ferror(status) && process->state != 0;
    fclose(status);
    return complete;
}

/* -1 if /proc cannot be read. */
static int count_processes(void)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return -1;
    int count = 0;
    while (next_process(proc))
        count++;
    closedir(proc);
    return count;
}

static bool read_table(Bytes *table)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return false;
    bool fits = true;
    Process process;
    for (int32_t pid; fits && (pid = next_process(proc)) != 0;) {
        if (read_process(pid, &process))
            fits = bytes_append(table, &process, sizeof process);
    }
    closedir(proc);
    return fits;
}

static bool read_maps(int32_t pid, Bytes *text)
{
    enum { CHUNK = 65536 };
    FILE *maps = open_process_file(pid, "maps");
    if (!maps)
        return false;
    size_t got = CHUNK;
    while (got > 0 && bytes_reserve(text, CHUNK)) {
        got = fread(text->data + text->length, 1, CHUNK, maps);
        text->length += got;
    }
    bool complete = feof(maps) && !ferror(maps);
    fclose(maps);
    return complete;
}

/* --- Replies --- */

static void report(kern_return_t error)
{
    if (error != KERN_SUCCESS)
        fprintf(stderr, "processes_server: reply: %s\n", mach_error_string(error));
}

static void reply_empty(mach_port_t reply_port)
{
    report(LMSendReply(reply_port, NULL, 0));
}

/* Replies with the bytes if they are complete and fit into one message, else with an empty message; frees them. */
static void reply_bytes(mach_port_t reply_port, Bytes *bytes, bool complete)
{
    if (complete && bytes->length <= UINT32_MAX)
        report(LMSendReply(reply_port, bytes->data, (uint32_t)bytes->length));
    else
        reply_empty(reply_port);
    bytes_deinit(bytes);
}

static void reply_count(mach_port_t reply_port)
{
    int count = count_processes();
    if (count >= 0)
        report(LMSendIntegerReply(reply_port, count));
    else
        reply_empty(reply_port);
}

static void reply_table(mach_port_t reply_port)
{
    Bytes table = {0};
    bool complete = read_table(&table);
    reply_bytes(reply_port, &table, complete);
}

static void reply_maps(mach_port_t reply_port, LMMessage *request)
{
    int32_t pid = 0;
    if (LMMessageGetDataLength(request) == sizeof pid)
        memcpy(&pid, LMMessageGetData(request), sizeof pid);
    Bytes text = {0};
    bool complete = pid > 0 && read_maps(pid, &text);
    reply_bytes(reply_port, &text, complete);
}

static void answer(CFMachPortRef port, LMMessage *request, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    mach_port_t reply_port = request->head.msgh_remote_port;
    switch (request->head.msgh_id) {
    case PROCESSES_COUNT:
        reply_count(reply_port);
        break;
    case PROCESSES_TABLE:
        reply_table(reply_port);
        break;
    case PROCESSES_MAPS:
        reply_maps(reply_port, request);
        break;
    default:
        reply_empty(reply_port);
    }
}

int main(void)
{
    /* Takes over systemd's socket if there is one; otherwise registers the name. */
    kern_return_t error = LMCheckInService(PROCESSES_SERVICE, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer, NULL);
    if (error != KERN_SUCCESS) {
        fprintf(stderr, "processes_server: %s: %s\n", PROCESSES_SERVICE, mach_error_string(error));
        return 1;
    }
    puts("serving " PROCESSES_SERVICE);
    fflush(stdout);
    CFRunLoopRun();
    return 0;
}
