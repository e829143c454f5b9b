/* SPDX-License-Identifier: MIT */
/* What peer_main.c and bench.c tell each other, besides what the head of peer_main.c says. */
#ifndef BENCH_PEER_PROGRAM_H
#define BENCH_PEER_PROGRAM_H

enum { PEER_REASON = 256 };

#endif
