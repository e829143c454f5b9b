/* SPDX-License-Identifier: MIT */
/* The beginning of every peer that is a socket in a folder. */
#ifndef BENCH_UNIX_SOCKET_H
#define BENCH_UNIX_SOCKET_H

#include "peer.h"

/* Descriptors; -1 after peer_error. */
int unix_socket_listen(const char *folder, int type);
int unix_socket_connect(const char *folder, int type);

/* Both for ever; `answer` waits for one message; false: the client is gone. One client at a time, with nothing but what
 * that needs; or all that come, with epoll. */
void unix_socket_serve_one(int listener, bool (*answer)(int client));
void unix_socket_serve_all(int listener, bool (*answer)(int client));

#endif
