/* SPDX-License-Identifier: MIT */
/* The baseline: plain AF_UNIX sockets with blocking send and recv. SOCK_SEQPACKET carries no message longer than the
 * socket's buffer; SOCK_STREAM carries long messages. The third peer adds epoll, for many clients. */
#define _GNU_SOURCE
#include "peer.h"
#include "stream.h"
#include "unix_socket.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connection = -1;

/* --- SOCK_SEQPACKET --- */

enum { PACKET_LARGEST = 64 << 10 };

static bool packet_answer(int client)
{
    static char message[PACKET_LARGEST];
    uint32_t length;
    if (recv(client, message, sizeof message, 0) <= 0)
        return false;
    const void *reply = peer_answer(message, &length);
    return !reply || send(client, reply, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static void packet_serve(const char *folder, void (*ready)(void))
{
    int listener = unix_socket_listen(folder, SOCK_SEQPACKET);
    if (listener < 0)
        return;
    ready();
    unix_socket_serve_one(listener, packet_answer);
}

static void packet_serve_all(const char *folder, void (*ready)(void))
{
    int listener = unix_socket_listen(folder, SOCK_SEQPACKET);
    if (listener < 0)
        return;
    ready();
    unix_socket_serve_all(listener, packet_answer);
}

static bool packet_connect(const char *folder)
{
    return (connection = unix_socket_connect(folder, SOCK_SEQPACKET)) >= 0;
}

static bool packet_send(const void *message, uint32_t length)
{
    return send(connection, message, length, MSG_NOSIGNAL) == (ssize_t)length ||
           peer_error("send: %s", strerror(errno));
}

static bool packet_call(const void *request, uint32_t length, void *reply, uint32_t reply_length)
{
    if (!packet_send(request, length))
        return false;
    ssize_t taken = recv(connection, reply, reply_length, 0);
    if (taken <= 0)
        return peer_error("recv: %s", taken == 0 ? "the end" : strerror(errno));
    return taken == (ssize_t)reply_length || peer_error("a reply of the wrong length");
}

static void disconnect(void)
{
    close(connection);
    connection = -1;
}

static const PeerLack packet_lacks[] = {{"lend", "copies"}, {"connections", "is measured with epoll"}, {NULL, NULL}};
static const Peer packet = {.name = "seqpacket",
                            .serve = packet_serve,
                            .connect = packet_connect,
                            .call = packet_call,
                            .send = packet_send,
                            .disconnect = disconnect,
                            .largest = PACKET_LARGEST,
                            .lacks = packet_lacks};

static const PeerLack all_lacks[] = {{"lend", "copies"}, {NULL, NULL}};
static const Peer packet_all = {.name = "epoll",
                                .serve = packet_serve_all,
                                .connect = packet_connect,
                                .call = packet_call,
                                .send = packet_send,
                                .disconnect = disconnect,
                                .largest = PACKET_LARGEST,
                                .most_connections = 10000,
                                .lacks = all_lacks};

/* --- SOCK_STREAM --- */

static bool stream_answer_client(int client)
{
    return stream_answer(client, client);
}

static void byte_serve(const char *folder, void (*ready)(void))
{
    int listener = unix_socket_listen(folder, SOCK_STREAM);
    if (listener < 0)
        return;
    ready();
    unix_socket_serve_one(listener, stream_answer_client);
}

static bool byte_connect(const char *folder)
{
    return (connection = unix_socket_connect(folder, SOCK_STREAM)) >= 0;
}

static bool byte_send(const void *message, uint32_t length)
{
    return stream_write(connection, message, length);
}

static bool byte_call(const void *request, uint32_t length, void *reply, uint32_t reply_length)
{
    return byte_send(request, length) && stream_read(connection, reply, reply_length);
}

static const PeerLack byte_lacks[] = {{"lend", "copies"}, {"connections", "is measured as SEQPACKET"}, {NULL, NULL}};
static const Peer bytes = {.name = "stream",
                           .serve = byte_serve,
                           .connect = byte_connect,
                           .call = byte_call,
                           .send = byte_send,
                           .disconnect = disconnect,
                           .lacks = byte_lacks};

const Peer *const peers[] = {&packet, &bytes, &packet_all, NULL};
