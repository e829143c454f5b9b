/* SPDX-License-Identifier: MIT */
/* Calls of two further translation units, one with LIGHTMESSAGING_TIMEOUT 300 and one with 0. */
#ifndef TESTS_PAIR_TIMEOUTS_UNITS_H
#define TESTS_PAIR_TIMEOUTS_UNITS_H

#include <LightMessaging/LightMessaging.h>

kern_return_t one_way_300(LMConnectionRef connection, SInt32 id, const void *data, uint32_t length);
kern_return_t two_way_300(LMConnectionRef connection, SInt32 id, const void *data, uint32_t length,
                          LMResponseBuffer *buffer);
kern_return_t one_way_0(LMConnectionRef connection, SInt32 id, const void *data, uint32_t length);
kern_return_t two_way_0(LMConnectionRef connection, SInt32 id, const void *data, uint32_t length,
                        LMResponseBuffer *buffer);

#endif
