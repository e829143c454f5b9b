/* SPDX-License-Identifier: MIT */
/* Classes that are created at run time: a header cannot define one, since each file that includes it would define it.
 * An object of such a class holds one pointer, and one of this library's functions is called when it is deallocated. */
#include "../../CoreFoundation.h"

#ifndef LM_DETAIL_OBJC_CLASS_H
#define LM_DETAIL_OBJC_CLASS_H

#include "../process/process.h"

#import <Foundation/Foundation.h>
#include <objc/runtime.h>
#include <stdio.h>

#define LM_NS_POINTER "lm_pointer"

LM_INTERNAL void **lm_ns_pointer(id object)
{
    Ivar variable = class_getInstanceVariable(object_getClass(object), LM_NS_POINTER);
    return (void **)(void *)((char *)object + ivar_getOffset(variable));
}

LM_INTERNAL Class lm_ns_make_class(const char *name, Class super, SEL selector, IMP method, const char *types,
                                   IMP dealloc)
{
    Class made = objc_allocateClassPair(super, name, 0);
    if (!made)
        return Nil;
    class_addIvar(made, LM_NS_POINTER, sizeof(void *), (uint8_t)(sizeof(void *) == 8 ? 3 : 2), "^v");
    class_addMethod(made, @selector(dealloc), dealloc, "v16@0:8");
    if (selector)
        class_addMethod(made, selector, method, types);
    objc_registerClassPair(made);
    return made;
}

/* Returns the class of that name and creates it if necessary. Programs and plugins have classes of their own, like
 * their other state. */
LM_INTERNAL Class lm_ns_class(const char *kind, Class super, SEL selector, IMP method, const char *types, IMP dealloc)
{
    char name[64];
    snprintf(name, sizeof name, "LM%s_%p", kind, (void *)&lm_process);
    [super class]; /* initializes it before the lock is taken */
    lm_process_lock();
    Class found = (Class)objc_lookUpClass(name);
    if (!found)
        found = lm_ns_make_class(name, super, selector, method, types, dealloc);
    lm_process_unlock();
    return found;
}

/* The last step of a dealloc function: calls that of the superclass. */
LM_INTERNAL void lm_ns_dealloc_as(id object, Class super)
{
    SEL selector = @selector(dealloc);
    IMP method = class_getMethodImplementation(super, selector);
    ((void (*)(id, SEL))(void (*)(void))method)(object, selector);
}

#endif
