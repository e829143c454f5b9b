/* SPDX-License-Identifier: MIT */
/* The yardstick: a bare AF_UNIX SOCK_SEQPACKET socket with blocking send and recv, and nothing else. */
#define _GNU_SOURCE
#include "peer.h"
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connection = -1;

static struct sockaddr_un address_in(const char *folder)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/raw", folder);
    return address;
}

static int listen_in(const char *folder)
{
    struct sockaddr_un address = address_in(folder);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return -1;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0)
        return listener;
    close(listener);
    return -1;
}

static void raw_serve(const char *folder, void (*ready)(void))
{
    int listener = listen_in(folder);
    if (listener < 0) {
        perror("raw: listen");
        return;
    }
    ready();
    int client = accept(listener, NULL, NULL);
    char message[PEER_LARGEST];
    ssize_t length;
    while ((length = recv(client, message, sizeof message, 0)) > 0) {
        if (send(client, message, (size_t)length, MSG_NOSIGNAL) != length)
            break;
    }
}

static bool raw_connect(const char *folder)
{
    struct sockaddr_un address = address_in(folder);
    connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof address) == 0)
        return true;
    perror("raw: connect");
    return false;
}

static bool raw_call(const void *request, void *reply, uint32_t length)
{
    if (send(connection, request, length, MSG_NOSIGNAL) == (ssize_t)length &&
        recv(connection, reply, length, 0) == (ssize_t)length)
        return true;
    perror("raw: call");
    return false;
}

static void raw_disconnect(void)
{
    close(connection);
    connection = -1;
}

const Peer peer_raw = {"raw seqpacket", raw_serve, raw_connect, raw_call, raw_disconnect};
