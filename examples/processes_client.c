/* SPDX-License-Identifier: MIT */
/*
 * Sends the processes service's three requests and prints the replies. The client checks each reply before it uses it,
 * and replaces unprintable characters before it prints text that comes from other processes.
 *
 *   processes_client [PID]      PID: the process whose memory map to show; by default the client itself
 */
#define _POSIX_C_SOURCE 200809L

#define LIGHTMESSAGING_TIMEOUT 5000 /* milliseconds; a call to a service that hangs fails after them */

#include <LightMessaging/LightMessaging.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "processes.h"

enum { ROWS_SHOWN = 10, LINES_SHOWN = 4 };

static LMConnection service = {MACH_PORT_NULL, PROCESSES_SERVICE};

static bool fail(const char *what)
{
    fprintf(stderr, "processes_client: %s\n", what);
    return false;
}

static bool ask(SInt32 id, const void *data, uint32_t length, LMResponseBuffer *response)
{
    kern_return_t error = LMConnectionSendTwoWay(&service, id, data, length, response);
    return error == KERN_SUCCESS || fail(mach_error_string(error));
}

static bool show_count(void)
{
    LMResponseBuffer response;
    if (!ask(PROCESSES_COUNT, NULL, 0, &response))
        return false;
    int32_t count = LMResponseConsumeInteger(&response);
    if (count <= 0)
        return fail("the service could not count the processes");
    printf("asked how many processes run, answered %" PRId32 "\n", count);
    return true;
}

static int by_memory(const void *left, const void *right)
{
    uint64_t a = ((const Process *)left)->resident_kib;
    uint64_t b = ((const Process *)right)->resident_kib;
    return (a < b) - (a > b); /* largest first */
}

static char printable(char c)
{
    return (char)(isprint((unsigned char)c) ? c : '?');
}

static void print_row(const Process *process)
{
    printf("  %7" PRId32 " %7" PRId32 " %7" PRIu32 "   %c   %10" PRIu64 "  ", process->pid, process->parent,
           process->uid, printable(process->state), process->resident_kib);
    for (size_t i = 0; i < sizeof process->name && process->name[i] != '\0'; i++)
        putchar(printable(process->name[i]));
    putchar('\n');
}

static void print_table(Process *table, uint32_t count)
{
    uint32_t shown = count < ROWS_SHOWN ? count : ROWS_SHOWN;
    qsort(table, count, sizeof *table, by_memory);
    printf("asked for a table of them, answered %" PRIu32 " rows; the %" PRIu32 " largest:\n", count, shown);
    printf("      pid  parent     uid state memory KiB  name\n");
    for (uint32_t i = 0; i < shown; i++)
        print_row(&table[i]);
}

static bool show_table(void)
{
    LMResponseBuffer response;
    if (!ask(PROCESSES_TABLE, NULL, 0, &response))
        return false;
    uint32_t length = LMMessageGetDataLength(&response.message);
    bool valid = length > 0 && length % sizeof(Process) == 0;
    if (valid)
        print_table(LMMessageGetData(&response.message), (uint32_t)(length / sizeof(Process)));
    LMResponseBufferFree(&response);
    return valid || fail("the reply is not a table");
}

/* Prints the first lines of a text that has no terminating NUL. */
static void print_lines(const char *text, uint32_t length)
{
    int lines = 0;
    for (uint32_t i = 0; i < length && lines < LINES_SHOWN; i++) {
        if (i == 0 || text[i - 1] == '\n')
            fputs("  ", stdout);
        lines += text[i] == '\n';
        putchar(text[i] == '\n' ? '\n' : printable(text[i]));
    }
}

static bool show_maps(int32_t pid)
{
    LMResponseBuffer response;
    if (!ask(PROCESSES_MAPS, &pid, sizeof pid, &response))
        return false;
    uint32_t length = LMMessageGetDataLength(&response.message);
    if (length > 0) {
        printf("asked for the memory map of process %" PRId32 ", answered %" PRIu32 " bytes; they begin:\n", pid,
               length);
        print_lines(LMMessageGetData(&response.message), length);
    }
    LMResponseBufferFree(&response);
    return length > 0 || fail("no memory map: no such process, it has no memory, or the service may not read it");
}

static bool parse_pid(const char *text, int32_t *pid)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || value > INT32_MAX)
        return false;
    *pid = (int32_t)value;
    return true;
}

int main(int argc, char **argv)
{
    int32_t pid = (int32_t)getpid();
    if (argc > 2 || (argc == 2 && !parse_pid(argv[1], &pid))) {
        fprintf(stderr, "usage: processes_client [PID]     (PID: a number from 1 to %" PRId32 ")\n", INT32_MAX);
        return 2;
    }
    return show_count() && show_table() && show_maps(pid) ? 0 : 1;
}
