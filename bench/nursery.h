/* SPDX-License-Identifier: MIT */
/* A process that forks quiet clients: each connects, calls once, and does nothing more. */
#ifndef BENCH_NURSERY_H
#define BENCH_NURSERY_H

#include "work.h"

bool nursery_start(WorkPlace *place);
/* Until there are that many. False, after peer_error, if there can't be. */
bool nursery_grow(WorkPlace *place, uint32_t clients);

#endif
