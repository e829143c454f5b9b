/* SPDX-License-Identifier: MIT */
/* Property lists for tests of both languages, made with libplist. */
#ifndef TESTS_LISTS_H
#define TESTS_LISTS_H

#include "harness.h"

#include <plist/plist.h>

/* What a service of ls_answer does: sends the list back, or compares it with one made there. */
enum { LS_ECHO = 1, LS_COMPARE, LS_COUNT };

/* Returns a list with every type, with the values at which their width changes, nested, and empty ones. */
plist_t ls_make(void);
/* The same with only the types that Foundation has: no UIDs. */
plist_t ls_make_for_foundation(void);
/* Returns a list of some 10 MB; 6 where allocations are watched. */
plist_t ls_make_large(void);
/* Returns `depth` nested arrays. */
plist_t ls_make_deep(unsigned depth);
/* Writes a binary list of arrays: value i refers to value i + 1 `times` times, and the last to value `back`, or to
 * nothing (-1). References have 16 bits, offsets 32. */
size_t ls_write_chain(uint8_t *to, unsigned count, unsigned times, int back);
/* Writes a binary list of one value with these bytes. */
size_t ls_write_value(uint8_t *to, const void *value, size_t length);
/* Returns an XML list that would be many nested arrays but for a trick in its notation; one for each `way`, NULL after
 * the last. For free(). */
char *ls_write_trick(unsigned way);
/* Returns a string of so many "&amp;". For free(). */
char *ls_write_references(unsigned count);

/* XML and other texts, and whether they are lists: with the same result in both languages. */
struct ls_text {
    bool is_list;
    const char *text;
};
extern const struct ls_text ls_texts[];
/* Values of binary lists, and whether they are valid. */
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
/* A service in C. LS_COMPARE answers with an integer: whether the list was ls_make_for_foundation's. LS_COUNT counts
 * messages that were lists. */
void ls_answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info);

#endif
