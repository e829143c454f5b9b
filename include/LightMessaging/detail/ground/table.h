/* SPDX-License-Identifier: MIT */
/*
 * A table of names: 32-bit numbers, never 0, each made of a slot and the slot's generation. A removed name is not found
 * again until its slot has been reused LM_NAME_GENERATIONS times, and slots are reused oldest first. The caller's lock
 * guards the table; a zeroed table is empty.
 */
#ifndef LM_DETAIL_GROUND_TABLE_H
#define LM_DETAIL_GROUND_TABLE_H

#include "base.h"

/* About a million names at a time. */
#define LM_NAME_SLOT_BITS   20u
#define LM_NAME_SLOT_MAX    ((1u << LM_NAME_SLOT_BITS) - 1)
#define LM_NAME_GENERATIONS (1u << (32 - LM_NAME_SLOT_BITS))
#define LM_TABLE_FIRST_SIZE 256u /* slots; enough to keep reuses of one slot far apart from the start */

struct lm_entry {
    void *object;    /* NULL in a free slot */
    uint32_t detail; /* for the caller's use */
    uint16_t kind;   /* for the caller's use */
    uint16_t generation;
    uint32_t extra; /* the caller's; in a free slot: the next free one */
};

struct lm_table {
    struct lm_entry *entries; /* slot 0 is not used */
    uint32_t size;            /* number of slots */
    uint32_t used;            /* slots below this have been used at least once */
    uint32_t first_free, last_free;
    uint32_t free_count;
};

LM_INTERNAL void lm_table_deinit(struct lm_table *table)
{
    free(table->entries);
    memset(table, 0, sizeof *table);
}

LM_INTERNAL uint32_t lm_table_name(const struct lm_table *table, uint32_t slot)
{
    return (uint32_t)table->entries[slot].generation << LM_NAME_SLOT_BITS | slot;
}

LM_SETUP int lm_table_grow(struct lm_table *table)
{
    uint32_t size = table->size ? table->size * 2 : LM_TABLE_FIRST_SIZE;
    if (table->size > LM_NAME_SLOT_MAX)
        return -ENOMEM;
    struct lm_entry *entries = (struct lm_entry *)realloc(table->entries, size * sizeof *entries);
    if (!entries)
        return -ENOMEM;
    memset(entries + table->size, 0, (size - table->size) * sizeof *entries);
    table->entries = entries;
    table->size = size;
    if (table->used == 0)
        table->used = 1;
    return 0;
}

/* Returns a fresh slot, or else the one that has been free the longest; 0 if there is none. */
LM_INTERNAL uint32_t lm_table_take_slot(struct lm_table *table)
{
    if (table->used < table->size && table->used <= LM_NAME_SLOT_MAX)
        return table->used++;
    if (table->free_count == 0)
        return 0;
    uint32_t slot = table->first_free;
    table->first_free = table->entries[slot].extra;
    table->free_count--;
    return slot;
}

/* Returns a new name for the object, 0 if memory or names run out. */
LM_INTERNAL uint32_t lm_table_insert(struct lm_table *table, uint16_t kind, void *object, uint32_t detail)
{
    uint32_t slot = lm_table_take_slot(table);
    if (slot == 0 && lm_table_grow(table) == 0)
        slot = lm_table_take_slot(table);
    if (slot == 0)
        return 0;
    struct lm_entry *entry = &table->entries[slot];
    entry->kind = kind;
    entry->object = object;
    entry->detail = detail;
    return lm_table_name(table, slot);
}

/* Returns the live entry of the name, or NULL. The pointer is valid until the table is next changed. */
LM_INTERNAL struct lm_entry *lm_table_find_any(const struct lm_table *table, uint32_t name)
{
    uint32_t slot = name & ((1u << LM_NAME_SLOT_BITS) - 1);
    if (slot == 0 || slot >= table->used)
        return NULL;
    struct lm_entry *entry = &table->entries[slot];
    return entry->object && lm_table_name(table, slot) == name ? entry : NULL;
}

/* Returns the live entry of the name if it is of that kind, or NULL. */
LM_INTERNAL struct lm_entry *lm_table_find(const struct lm_table *table, uint32_t name, uint16_t kind)
{
    struct lm_entry *entry = lm_table_find_any(table, name);
    return entry && entry->kind == kind ? entry : NULL;
}

/* Ends the name of a live entry. */
LM_INTERNAL void lm_table_remove(struct lm_table *table, struct lm_entry *entry)
{
    uint32_t slot = (uint32_t)(entry - table->entries);
    entry->object = NULL;
    entry->generation = (uint16_t)((entry->generation + 1u) % LM_NAME_GENERATIONS);
    if (table->free_count++)
        table->entries[table->last_free].extra = slot;
    else
        table->first_free = slot;
    table->last_free = slot;
}

/* Ends all names. Their slots are reused, but the names are not found again soon. */
LM_SETUP void lm_table_clear(struct lm_table *table)
{
    for (uint32_t slot = 1; slot < table->used; slot++)
        if (table->entries[slot].object)
            lm_table_remove(table, &table->entries[slot]);
}

#endif
