/* SPDX-License-Identifier: MIT */
/*
 * Port names: the process's table of them, and the kinds of objects they stand for. A port holds a reference to its
 * object.
 *
 * Each plugin of a process has such a table, too, and all tables begin with the same names. So that one does not take
 * another's port for its own, a port's number is the table's name exclusive-or a random number of 32 bits, the table's
 * salt. That a port of one is a live port of another, which has n of them, has a chance of n in 2^32: with a thousand
 * ports, one in four million.
 */
#include "../../Mach.h"

#ifndef LM_DETAIL_PROCESS_PORT_H
#define LM_DETAIL_PROCESS_PORT_H

#include "../ground/deadline.h"
#include "process.h"

enum lm_port_kind {
    LM_PORT_SEND = 1,    /* a link; detail unused */
    LM_PORT_REPLY = 2,   /* a session; detail: the call's token; extra: its deadline, as it came */
    LM_PORT_RECEIVE = 3, /* a service; detail unused */
};

/* What mach_task_self and task_get_bootstrap_port return, and MACH_PORT_NULL, are never ports. */
#define LM_TASK_PORT      ((mach_port_t)0x001fffffu)
#define LM_BOOTSTRAP_PORT ((mach_port_t)0x002fffffu)

/* With the process's lock, like what follows. Where the system gives no random number, or none yet, the address of the
 * process's state and the time take its place. */
LM_COLD void lm_port_draw_salt(void)
{
    uint32_t salt = 0;
    if (lm_sys_random(&salt, sizeof salt, LM_GRND_NONBLOCK) < (int)sizeof salt) {
        uint64_t mixed = ((uint64_t)(uintptr_t)&lm_process ^ (uint64_t)lm_now()) * 0x9e3779b97f4a7c15u;
        salt = (uint32_t)(mixed >> 32);
    }
    lm_process.salt = salt ? salt : 1;
}

LM_INTERNAL bool lm_port_is_taken(mach_port_t port)
{
    return port == MACH_PORT_NULL || port == LM_TASK_PORT || port == LM_BOOTSTRAP_PORT;
}

/* The table's name of a port. */
LM_INTERNAL uint32_t lm_port_name(mach_port_t port)
{
    return port ^ lm_process.salt;
}

/* Three names in 2^32 would be numbers that are reserved; they are skipped. */
LM_INTERNAL mach_port_t lm_port_insert(enum lm_port_kind kind, struct lm_object *object, uint32_t detail)
{
    struct lm_table *ports = &lm_process.ports;
    uint32_t name = lm_table_insert(ports, (uint16_t)kind, object, detail);
    while (name && lm_port_is_taken(name ^ lm_process.salt)) {
        lm_table_remove(ports, lm_table_find_any(ports, name));
        name = lm_table_insert(ports, (uint16_t)kind, object, detail);
    }
    return name ? name ^ lm_process.salt : MACH_PORT_NULL;
}

/* Returns a new port, MACH_PORT_NULL if memory or names run out. */
LM_INTERNAL mach_port_t lm_port_create(enum lm_port_kind kind, struct lm_object *object, uint32_t detail,
                                       uint32_t extra)
{
    lm_process_lock();
    if (!lm_process.salt)
        lm_port_draw_salt();
    mach_port_t port = lm_port_insert(kind, object, detail);
    if (port) {
        lm_table_find_any(&lm_process.ports, lm_port_name(port))->extra = extra;
        lm_retain(object);
    }
    lm_process_unlock();
    return port;
}

/* Returns the port's object with a reference for the caller, and copies its entry; NULL if the port is stale, forged or
 * of another kind. */
LM_INTERNAL struct lm_object *lm_port_look(mach_port_t port, enum lm_port_kind kind, struct lm_entry *copy)
{
    lm_process_lock();
    struct lm_entry *entry = lm_table_find(&lm_process.ports, lm_port_name(port), (uint16_t)kind);
    struct lm_object *object = entry ? (struct lm_object *)entry->object : NULL;
    if (object) {
        *copy = *entry;
        lm_retain(object);
    }
    lm_process_unlock();
    return object;
}

LM_INTERNAL struct lm_object *lm_port_get(mach_port_t port, enum lm_port_kind kind)
{
    struct lm_entry copy;
    return lm_port_look(port, kind, &copy);
}

/* Ends the port and passes its reference to the caller; NULL as above. Of several concurrent callers only one gets
 * it. */
LM_INTERNAL struct lm_object *lm_port_consume(mach_port_t port, enum lm_port_kind kind, uint32_t *detail)
{
    lm_process_lock();
    struct lm_entry *entry = lm_table_find(&lm_process.ports, lm_port_name(port), (uint16_t)kind);
    struct lm_object *object = entry ? (struct lm_object *)entry->object : NULL;
    if (object) {
        *detail = entry->detail;
        lm_table_remove(&lm_process.ports, entry);
    }
    lm_process_unlock();
    return object;
}

/* Ends the port, if it is live, and releases its reference. */
LM_SETUP void lm_port_destroy(mach_port_t port, enum lm_port_kind kind)
{
    uint32_t detail;
    struct lm_object *object = lm_port_consume(port, kind, &detail);
    if (object)
        lm_release(object);
}

/* Implements mach_port_deallocate: the object decides what the end of its port means. Returns false if the port is
 * stale or forged, or if its object does not allow this. */
LM_SETUP bool lm_port_deallocate(mach_port_t port)
{
    struct lm_object *object = NULL;
    uint32_t detail = 0;
    lm_process_lock();
    struct lm_entry *entry = lm_table_find_any(&lm_process.ports, lm_port_name(port));
    if (entry && ((struct lm_object *)entry->object)->deallocated) {
        object = (struct lm_object *)entry->object;
        detail = entry->detail;
        lm_table_remove(&lm_process.ports, entry);
    }
    lm_process_unlock();
    if (!object)
        return false;
    object->deallocated(object, detail);
    lm_release(object);
    return true;
}

#endif
