/* SPDX-License-Identifier: MIT */
/* Reading what entries a folder has. */
#include "../../Mach.h"

#ifndef LM_DETAIL_REGISTRY_ENTRIES_H
#define LM_DETAIL_REGISTRY_ENTRIES_H

#include "registry.h"

#define LM_ENTRIES_SIZE 4096 /* bytes read at a time; one entry needs less than 300 */

/* An entry as getdents64 gives it. */
struct lm_directory_entry {
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[1]; /* and more, with a NUL */
};

/* False: no more. */
typedef bool (*lm_entry_visitor)(void *info, int folder, const char *name);

/* Goes through what one reading brought; false: no more. */
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

/* Has the visitor see each entry of a folder of O_PATH; -1 is one without entries. False if it wanted no more. */
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
