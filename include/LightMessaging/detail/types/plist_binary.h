/* SPDX-License-Identifier: MIT */
/*
 * Checks a binary property list before it is passed to a parser. Every offset, length and reference lies within the
 * bytes, no value contains itself, and depth and size are limited. They are counted as the parser creates the values: a
 * value that is referenced twice counts twice.
 *
 * The format: "bplist00", values, a table of their offsets, and a trailer of 32 bytes that describes the table. A value
 * is a byte with its kind and length (length 15: an integer with the length follows), and its bytes or references,
 * which are indices of the table. Numbers are big-endian. Integers of more than 8 bytes, and offsets, references and
 * UIDs of more than 4, are refused: no list within the size limit needs them, and not every parser supports them.
 */
#ifndef LM_DETAIL_TYPES_PLIST_BINARY_H
#define LM_DETAIL_TYPES_PLIST_BINARY_H

#include "../ground/utf8.h"
#include "plist_limits.h"

#define LM_BPLIST_MAGIC   "bplist00"
#define LM_BPLIST_HEADER  8u
#define LM_BPLIST_TRAILER 32u

enum lm_bplist_kind {
    LM_BPLIST_SIMPLE = 0x0,
    LM_BPLIST_INTEGER = 0x1,
    LM_BPLIST_REAL = 0x2,
    LM_BPLIST_DATE = 0x3,
    LM_BPLIST_DATA = 0x4,
    LM_BPLIST_ASCII = 0x5,
    LM_BPLIST_UTF16 = 0x6,
    LM_BPLIST_UID = 0x8,
    LM_BPLIST_ARRAY = 0xa,
    LM_BPLIST_DICTIONARY = 0xd
};

/* The check's state of one value. */
struct lm_bplist_value {
    uint32_t values; /* number of values that it expands to; 0: not counted yet */
    uint32_t bytes;
    uint16_t height; /* depth of nested containers, itself included */
    bool open;       /* being checked: a reference to it from here would make it contain itself */
};

struct lm_bplist {
    const unsigned char *bytes;
    uint64_t end; /* of the values, where the table of offsets begins */
    uint32_t count;
    uint32_t top;
    uint8_t offset_size, reference_size;
    struct lm_bplist_value *known; /* for each value */
};

/* A value as encoded. */
struct lm_bplist_item {
    uint8_t kind;
    uint64_t at;         /* offset of its bytes or references */
    uint64_t length;     /* in bytes or members */
    uint64_t references; /* number of references */
};

/* An open container on the path to the current value. */
struct lm_bplist_step {
    uint32_t value;
    struct lm_bplist_item item;
    uint64_t next; /* index of the reference to check next */
};

LM_INTERNAL uint64_t lm_big_endian(const unsigned char *bytes, unsigned size)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < size; i++)
        number = number << 8 | bytes[i];
    return number;
}

LM_INTERNAL int lm_bplist_open(struct lm_bplist *list, const unsigned char *bytes, uint32_t length)
{
    if (length < LM_BPLIST_HEADER + LM_BPLIST_TRAILER)
        return -EINVAL;
    const unsigned char *trailer = bytes + length - LM_BPLIST_TRAILER;
    uint64_t count = lm_big_endian(trailer + 8, 8);
    uint64_t top = lm_big_endian(trailer + 16, 8);
    list->bytes = bytes;
    list->offset_size = trailer[6];
    list->reference_size = trailer[7];
    list->end = lm_big_endian(trailer + 24, 8);
    uint64_t table_end = length - LM_BPLIST_TRAILER;
    if (list->offset_size < 1 || list->offset_size > 4 || list->reference_size < 1 || list->reference_size > 4 ||
        list->end < LM_BPLIST_HEADER || list->end > table_end || count > (table_end - list->end) / list->offset_size ||
        top >= count)
        return -EINVAL;
    if (count > LM_PROPERTY_LIST_VALUES)
        return -E2BIG;
    list->count = (uint32_t)count;
    list->top = (uint32_t)top;
    list->known = (struct lm_bplist_value *)calloc(list->count, sizeof *list->known);
    return list->known ? 0 : -ENOMEM;
}

/* Reads the integer that holds a length too large for the first byte. */
LM_INTERNAL bool lm_bplist_length(const struct lm_bplist *list, struct lm_bplist_item *item)
{
    if (item->at >= list->end || list->bytes[item->at] >> 4 != LM_BPLIST_INTEGER)
        return false;
    unsigned size = 1u << (list->bytes[item->at] & 15);
    if (size > 8 || size > list->end - item->at - 1)
        return false;
    item->length = lm_big_endian(list->bytes + item->at + 1, size);
    item->at += 1 + size;
    return true;
}

/* Text must not contain a NUL: a C string would end there, and libplist ends the program. */
LM_INTERNAL bool lm_utf16_valid(const unsigned char *bytes, uint64_t units)
{
    for (uint64_t i = 0; i < units; i++) {
        unsigned unit = (unsigned)lm_big_endian(bytes + 2 * i, 2);
        if (unit != 0 && (unit & 0xf800) != 0xd800)
            continue;
        if (unit == 0 || unit >= 0xdc00 || ++i == units || (lm_big_endian(bytes + 2 * i, 2) & 0xfc00) != 0xdc00)
            return false;
    }
    return true;
}

LM_INTERNAL bool lm_ascii_valid(const unsigned char *bytes, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        if (bytes[i] == 0 || bytes[i] >= 0x80)
            return false;
    return true;
}

/* Returns the bytes per unit of length; 0: there is no such value. */
LM_INTERNAL unsigned lm_bplist_unit(const struct lm_bplist *list, const struct lm_bplist_item *item, unsigned low)
{
    switch (item->kind) {
    case LM_BPLIST_SIMPLE:
        return low == 8 || low == 9;
    case LM_BPLIST_INTEGER:
        return low <= 3;
    case LM_BPLIST_REAL:
        return low == 2 || low == 3;
    case LM_BPLIST_DATE:
        return low == 3;
    case LM_BPLIST_UID:
        return low < 4;
    case LM_BPLIST_DATA:
    case LM_BPLIST_ASCII:
        return 1;
    case LM_BPLIST_UTF16:
        return 2;
    case LM_BPLIST_ARRAY:
        return list->reference_size;
    case LM_BPLIST_DICTIONARY:
        return 2u * list->reference_size;
    default:
        return 0;
    }
}

/* Returns the length of a value that is encoded in its first byte. */
LM_INTERNAL uint64_t lm_bplist_short_length(const struct lm_bplist_item *item, unsigned low)
{
    switch (item->kind) {
    case LM_BPLIST_SIMPLE:
        return 0;
    case LM_BPLIST_INTEGER:
    case LM_BPLIST_REAL:
    case LM_BPLIST_DATE:
        return 1u << low;
    case LM_BPLIST_UID:
        return low + 1;
    default:
        return low;
    }
}

/* Dates are seconds since 2001. Only the years 1 to 9999 are accepted: some parsers count the years, others let dates
 * wrap. */
LM_INTERNAL bool lm_bplist_date_valid(const unsigned char *bytes)
{
    uint64_t bits = lm_big_endian(bytes, 8);
    double seconds;
    memcpy(&seconds, &bits, sizeof seconds);
    return seconds >= -63113904000.0 && seconds < 252423993600.0;
}

/* Returns whether every parser accepts the bytes. */
LM_INTERNAL bool lm_bplist_bytes_valid(const struct lm_bplist *list, const struct lm_bplist_item *item)
{
    const unsigned char *bytes = list->bytes + item->at;
    switch (item->kind) {
    case LM_BPLIST_ASCII:
        return lm_ascii_valid(bytes, item->length);
    case LM_BPLIST_UTF16:
        return item->length > 0 && lm_utf16_valid(bytes, item->length);
    case LM_BPLIST_DATE:
        return lm_bplist_date_valid(bytes);
    default:
        return true;
    }
}

LM_INTERNAL bool lm_bplist_read(const struct lm_bplist *list, uint32_t value, struct lm_bplist_item *item)
{
    const unsigned char *entry = list->bytes + list->end + (uint64_t)value * list->offset_size;
    item->at = lm_big_endian(entry, list->offset_size);
    if (item->at < LM_BPLIST_HEADER || item->at >= list->end)
        return false;
    unsigned low = list->bytes[item->at] & 15;
    item->kind = list->bytes[item->at++] >> 4;
    item->length = lm_bplist_short_length(item, low);
    unsigned unit = lm_bplist_unit(list, item, low);
    bool is_long = item->kind >= LM_BPLIST_DATA && item->kind != LM_BPLIST_UID && low == 15;
    if (unit == 0 || (is_long && !lm_bplist_length(list, item)) || item->length > (list->end - item->at) / unit)
        return false;
    bool is_container = item->kind >= LM_BPLIST_ARRAY;
    item->references = is_container ? item->length * (unit / list->reference_size) : 0;
    return lm_bplist_bytes_valid(list, item);
}

LM_INTERNAL uint32_t lm_add_capped(uint32_t sum, uint64_t more)
{
    return more > UINT32_MAX - sum ? UINT32_MAX : sum + (uint32_t)more;
}

/* Adds the counts of a checked member to its container's. */
LM_INTERNAL void lm_bplist_count(struct lm_bplist_value *container, const struct lm_bplist_value *member)
{
    container->values = lm_add_capped(container->values, member->values);
    container->bytes = lm_add_capped(container->bytes, member->bytes);
    if (member->height + 1 > container->height)
        container->height = (uint16_t)(member->height + 1);
}

LM_INTERNAL void lm_bplist_begin(struct lm_bplist_value *known, const struct lm_bplist_item *item)
{
    uint64_t bytes = item->kind == LM_BPLIST_UTF16 ? 2 * item->length : item->length;
    known->values = 1;
    known->bytes = lm_add_capped(1, bytes);
    known->height = item->kind >= LM_BPLIST_ARRAY;
}

/* Reads the step's next reference. A dictionary's first references are its keys, which must be strings. */
LM_INTERNAL int lm_bplist_next(const struct lm_bplist *list, struct lm_bplist_step *step, uint32_t *value)
{
    uint64_t number = step->next++;
    uint64_t reference =
        lm_big_endian(list->bytes + step->item.at + number * list->reference_size, list->reference_size);
    struct lm_bplist_item key;
    if (reference >= list->count || list->known[reference].open)
        return -EINVAL;
    *value = (uint32_t)reference;
    if (step->item.kind == LM_BPLIST_ARRAY || number >= step->item.length)
        return 0;
    return lm_bplist_read(list, *value, &key) && (key.kind == LM_BPLIST_ASCII || key.kind == LM_BPLIST_UTF16) ? 0
                                                                                                              : -EINVAL;
}

/* Begins to check a value. Returns 1 if it is a container, whose members are then to be checked with `step`. */
LM_INTERNAL int lm_bplist_enter(struct lm_bplist *list, uint32_t value, struct lm_bplist_step *step)
{
    struct lm_bplist_value *known = &list->known[value];
    step->value = value;
    step->next = 0;
    if (!lm_bplist_read(list, value, &step->item))
        return -EINVAL;
    lm_bplist_begin(known, &step->item);
    known->open = step->item.references > 0;
    return known->open;
}

LM_INTERNAL bool lm_bplist_too_big(const struct lm_bplist_value *value)
{
    return value->values > LM_PROPERTY_LIST_VALUES || value->bytes > LM_PROPERTY_LIST_BYTES ||
           value->height > LM_PROPERTY_LIST_DEPTH;
}

/* Ends the last of `depth` open containers, all of whose references have been checked. */
LM_INTERNAL int lm_bplist_leave(struct lm_bplist *list, const struct lm_bplist_step *steps, uint32_t depth)
{
    struct lm_bplist_value *known = &list->known[steps[depth - 1].value];
    known->open = false;
    if (lm_bplist_too_big(known))
        return -E2BIG;
    if (depth > 1)
        lm_bplist_count(&list->known[steps[depth - 2].value], known);
    return 0;
}

/* Checks the next reference of the last of `depth` open containers. Returns 1 if it opened a container. */
LM_INTERNAL int lm_bplist_go_on(struct lm_bplist *list, struct lm_bplist_step *steps, uint32_t depth)
{
    struct lm_bplist_step *step = &steps[depth - 1];
    uint32_t value = 0;
    int result = lm_bplist_next(list, step, &value);
    if (result == 0 && list->known[value].values == 0)
        result = lm_bplist_enter(list, value, &steps[depth]);
    if (result == 0)
        lm_bplist_count(&list->known[step->value], &list->known[value]);
    return result > 0 && depth == LM_PROPERTY_LIST_DEPTH ? -E2BIG : result;
}

/* Checks all values depth-first; `steps` holds the open containers. */
LM_INTERNAL int lm_bplist_walk(struct lm_bplist *list, struct lm_bplist_step *steps)
{
    int result = lm_bplist_enter(list, list->top, &steps[0]);
    uint32_t depth = result > 0;
    while (result >= 0 && depth > 0) {
        const struct lm_bplist_step *step = &steps[depth - 1];
        if (step->next == step->item.references) {
            result = lm_bplist_leave(list, steps, depth--);
        } else {
            result = lm_bplist_go_on(list, steps, depth);
            depth += result > 0;
        }
    }
    return result < 0 ? result : 0;
}

/* Returns 0, -EINVAL: not a property list, -E2BIG: too deep or too large, or -ENOMEM. */
LM_INTERNAL int lm_bplist_check(const unsigned char *bytes, uint32_t length)
{
    struct lm_bplist list;
    int result = lm_bplist_open(&list, bytes, length);
    if (result < 0)
        return result;
    struct lm_bplist_step *steps = (struct lm_bplist_step *)malloc((LM_PROPERTY_LIST_DEPTH + 1) * sizeof *steps);
    result = steps ? lm_bplist_walk(&list, steps) : -ENOMEM;
    if (result == 0 && lm_bplist_too_big(&list.known[list.top]))
        result = -E2BIG;
    free(steps);
    free(list.known);
    return result;
}

#endif
