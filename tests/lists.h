/* SPDX-License-Identifier: MIT */
/* Property lists to send about, made with libplist, for the tests of both languages. */
#ifndef TESTS_LISTS_H
#define TESTS_LISTS_H

#include "harness.h"

#include <plist/plist.h>

/* What a service of ls_answer does: the list comes back, or a list made there is compared with it. */
enum { LS_ECHO = 1, LS_COMPARE, LS_COUNT };

/* Every type, with the values at which they change their width, nested, and empty ones. */
plist_t ls_make(void);
/* The same with only what Foundation knows: no UIDs. */
plist_t ls_make_for_foundation(void);
/* Some 10 MB; 6 where allocations are watched. */
plist_t ls_make_large(void);
/* `depth` arrays in each other. */
plist_t ls_make_deep(unsigned depth);
/*
 * A binary list of arrays, value i of which refers to the value i + 1 `times` times, and the last to value `back`, or
 * to nothing (-1). 16-bit references, 32-bit offsets.
 */
size_t ls_write_chain(uint8_t *to, unsigned count, unsigned times, int back);
/* A binary list of one value, which is written as these bytes. */
size_t ls_write_value(uint8_t *to, const void *value, size_t length);
/* An XML list that would be many arrays in each other, but for the way it is written: one for each `way`, until it is
 * NULL. For free(). */
char *ls_write_trick(unsigned way);
/* A string of so many "&amp;". For free(). */
char *ls_write_references(unsigned count);

/* XML and other texts, and whether they are lists: the same in both languages. */
struct ls_text {
    bool is_list;
    const char *text;
};
extern const struct ls_text ls_texts[];
/* Values of binary lists, and whether they are such. */
struct ls_value {
    bool is_list;
    size_t length;
    const char *bytes;
};
extern const struct ls_value ls_values[];
/* Both end with NULL. */

bool ls_equal(plist_t a, plist_t b);

/* Sends the list, gets it back and compares. Frees it. */
void ls_check_echo(LMConnectionRef connection, plist_t list);
/* The same, sent as XML. */
void ls_check_echo_of_xml(LMConnectionRef connection, plist_t list);
/* The same, sent in a lent buffer; not the first message of a connection, which is never lent. */
void ls_check_echo_of_lent(LMConnectionRef connection, plist_t list);
/* A service in C. LS_COMPARE answers with an integer, whether it was ls_make_for_foundation's. LS_COUNT counts messages
 * that were lists. */
void ls_answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info);

#endif
