/* SPDX-License-Identifier: MIT */
/* Port names: the process's table of them, and the kinds of objects they stand for. A port holds a reference to its
 * object. */
#include "../../Mach.h"

#ifndef LM_DETAIL_PROCESS_PORT_H
#define LM_DETAIL_PROCESS_PORT_H

#include "process.h"

enum lm_port_kind {
    LM_PORT_SEND = 1,    /* a link; detail unused */
    LM_PORT_REPLY = 2,   /* a session; detail: the call's token */
    LM_PORT_RECEIVE = 3, /* a service; detail unused */
};

/* Returns a new name, MACH_PORT_NULL if memory or names run out. */
LM_INTERNAL mach_port_t lm_port_create(enum lm_port_kind kind, struct lm_object *object, uint32_t detail)
{
    lm_process_lock();
    mach_port_t name = lm_table_insert(&lm_process_2.ports, (uint16_t)kind, object, detail);
    if (name)
        lm_retain(object);
    lm_process_unlock();
    return name;
}

/* The port's object with a reference for the caller, and its detail; NULL if the name is stale, forged or of another
 * kind. */
LM_INTERNAL struct lm_object *lm_port_look(mach_port_t name, enum lm_port_kind kind, uint32_t *detail)
{
    lm_process_lock();
    struct lm_entry *entry = lm_table_find(&lm_process_2.ports, name, (uint16_t)kind);
    struct lm_object *object = entry ? (struct lm_object *)entry->object : NULL;
    if (object) {
        *detail = entry->detail;
        lm_retain(object);
    }
    lm_process_unlock();
    return object;
}

LM_INTERNAL struct lm_object *lm_port_get(mach_port_t name, enum lm_port_kind kind)
{
    uint32_t detail;
    return lm_port_look(name, kind, &detail);
}

/* Ends the name and passes its reference to the caller; NULL as above. Of several concurrent callers only one gets
 * it. */
LM_INTERNAL struct lm_object *lm_port_consume(mach_port_t name, enum lm_port_kind kind, uint32_t *detail)
{
    lm_process_lock();
    struct lm_entry *entry = lm_table_find(&lm_process_2.ports, name, (uint16_t)kind);
    struct lm_object *object = entry ? (struct lm_object *)entry->object : NULL;
    if (object) {
        *detail = entry->detail;
        lm_table_remove(&lm_process_2.ports, entry);
    }
    lm_process_unlock();
    return object;
}

/* Ends the name, if it is live, and releases its reference. */
LM_SETUP void lm_port_destroy(mach_port_t name, enum lm_port_kind kind)
{
    uint32_t detail;
    struct lm_object *object = lm_port_consume(name, kind, &detail);
    if (object)
        lm_release(object);
}

/* Implements mach_port_deallocate: the object decides what the end of its name means. Returns false if the name is
 * stale or forged, or if its object does not allow this. */
LM_SETUP bool lm_port_deallocate(mach_port_t name)
{
    struct lm_object *object = NULL;
    uint32_t detail = 0;
    lm_process_lock();
    struct lm_entry *entry = lm_table_find_any(&lm_process_2.ports, name);
    if (entry && ((struct lm_object *)entry->object)->deallocated) {
        object = (struct lm_object *)entry->object;
        detail = entry->detail;
        lm_table_remove(&lm_process_2.ports, entry);
    }
    lm_process_unlock();
    if (!object)
        return false;
    object->deallocated(object, detail);
    lm_release(object);
    return true;
}

#endif
