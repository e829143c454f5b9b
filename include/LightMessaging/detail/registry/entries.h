/* SPDX-License-Identifier: MIT */
/* Reads the entries of a folder. */
#include "../../Mach.h"

#ifndef LM_DETAIL_REGISTRY_ENTRIES_H
#define LM_DETAIL_REGISTRY_ENTRIES_H

#include "registry.h"

#define LM_ENTRIES_SIZE 4096 /* bytes per read; one entry needs less than 300 */

/* An entry in the format of getdents64. */
struct lm_directory_entry {
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[1]; /* longer in fact; ends with a NUL */
};

/* Returns false to stop. */
typedef bool (*lm_entry_visitor)(void *info, int folder, const char *name);

/* Calls the visitor for each entry of one read; returns false if the visitor stopped. */
LM_SETUP bool lm_entries_tell(const char *entries, long size, int folder, lm_entry_visitor visitor, void *info)
{
    for (long at = 0; at < size;) {
        uint16_t length;
        memcpy(&length, entries + at + offsetof(struct lm_directory_entry, length), sizeof length);
        if (!visitor(info, folder, entries + at + offsetof(struct lm_directory_entry, name)))
            return false;
        at += length;
    }
    return true;
}

/* Calls the visitor for each entry of a folder that was opened with O_PATH; -1 stands for an empty folder. Returns
 * false if the visitor stopped. */
LM_SETUP bool lm_entries_visit(int folder, lm_entry_visitor visitor, void *info)
{
    char entries[LM_ENTRIES_SIZE];
    long size = 1;
    bool more = true;
    int readable = folder < 0 ? -1 : lm_sys_open(folder, ".", LM_O_DIRECTORY, 0);
    while (more && readable >= 0 && (size = lm_sys_entries(readable, entries, sizeof entries)) > 0)
        more = lm_entries_tell(entries, size, folder, visitor, info);
    lm_sys_close(&readable);
    return more;
}

#endif
