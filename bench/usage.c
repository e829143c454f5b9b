/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "usage.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* Returns the number after a label in a file of lines "label: number". */
static uint64_t read_number(const char *path, const char *label)
{
    char line[256];
    unsigned long long number = 0;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, label, strlen(label)) == 0 && sscanf(line + strlen(label), "%llu", &number) == 1)
            break;
    }
    if (file)
        fclose(file);
    return number;
}

static void add_thread(Usage *sum, pid_t process, const char *thread)
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)process, thread);
    sum->cpu += read_number(path, ""); /* the file's first number */
    snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)process, thread);
    sum->switches += read_number(path, "voluntary_ctxt_switches:");
}

/* Calls `visit`, if it is not NULL, for each entry of a folder of /proc; returns the number of entries. */
static uint64_t list(pid_t process, const char *name, void (*visit)(Usage *, pid_t, const char *), Usage *sum)
{
    char path[64];
    uint64_t count = 0;
    struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)process, name);
    DIR *folder = opendir(path);
    while (folder && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (visit)
            visit(sum, process, entry->d_name);
    }
    if (folder)
        closedir(folder);
    return count;
}

Usage usage_of(pid_t process)
{
    Usage sum = {0, 0};
    list(process, "task", add_thread, &sum);
    return sum;
}

/* Reads two files: the first is exact, the other is rounded by up to some hundred KiB. */
uint64_t usage_resident(pid_t process)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)process);
    uint64_t kibibytes = read_number(path, "Rss:");
    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    return (kibibytes ? kibibytes : read_number(path, "VmRSS:")) * 1024;
}

uint64_t usage_descriptors(pid_t process)
{
    return list(process, "fd", NULL, NULL);
}
