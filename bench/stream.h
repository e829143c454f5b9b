/* SPDX-License-Identifier: MIT */
/* Messages in a stream of bytes: each head holds its message's length. */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include "peer.h"

/* Writes all bytes. Returns false, after peer_error, if that fails. */
bool stream_write(int descriptor, const void *data, uint32_t length);
bool stream_read(int descriptor, void *data, uint32_t length);
/* Server: reads once, or until a message is complete, and answers the complete messages. Returns false if the client is
 * gone. */
bool stream_answer(int in, int out);

#endif
