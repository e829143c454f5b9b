/* SPDX-License-Identifier: MIT */
/* Messages in a stream of bytes: their heads say where they end. */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include "peer.h"

/* All of it. False, after peer_error, if it can't be. */
bool stream_write(int descriptor, const void *data, uint32_t length);
bool stream_read(int descriptor, void *data, uint32_t length);
/* Server: takes one message and answers it, or all that one read gave. False: the client is gone. */
bool stream_answer(int in, int out);

#endif
