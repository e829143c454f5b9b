/* SPDX-License-Identifier: MIT */
/* Services with and without a door, for the tests of names. */
#ifndef TESTS_WITH_DOOR_H
#define TESTS_WITH_DOOR_H

#include "harness.h"

/* LMStartServiceWithOptions of a unit with LIGHTMESSAGING_USE_ROCKETBOOTSTRAP 0. */
kern_return_t start_without_door(const char *name, CFRunLoopRef loop, CFMachPortCallBack callback,
                                 LMServiceRef *service);

/* Whether a service is unlocked when it starts. */
enum how { WITH_DOOR = 1, WITHOUT_DOOR = 2 };
/* Starts a service that echoes, until th_stop. */
pid_t start(const char *name, enum how how);

#endif
