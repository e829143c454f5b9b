/* SPDX-License-Identifier: MIT */
/* The common part of peers whose server listens on a socket in a folder. */
#ifndef BENCH_UNIX_SOCKET_H
#define BENCH_UNIX_SOCKET_H

#include "peer.h"

/* Return a descriptor, -1 after peer_error. */
int unix_socket_listen(const char *folder, int type);
int unix_socket_connect(const char *folder, int type);

/* Both serve for ever; `answer` waits for one message and returns false when the client is gone. The first serves one
 * client at a time, without epoll; the second serves all clients, with epoll. */
void unix_socket_serve_one(int listener, bool (*answer)(int client));
void unix_socket_serve_all(int listener, bool (*answer)(int client));

#endif
