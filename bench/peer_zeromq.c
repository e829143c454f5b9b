/* SPDX-License-Identifier: MIT */
/* ZeroMQ over ipc: DEALER and ROUTER, which support requests, one-way messages and many clients. */
#define _GNU_SOURCE
#include "peer.h"
#include <stdio.h>
#include <string.h>
#include <zmq.h>

static void *context;
static void *connection;

static bool failed(const char *what)
{
    return peer_error("%s: %s", what, zmq_strerror(zmq_errno()));
}

static void *open_socket(int type)
{
    int unlimited = 0; /* one-way messages wait; none is dropped */
    if (!context)
        context = zmq_ctx_new();
    void *socket = context ? zmq_socket(context, type) : NULL;
    if (!socket)
        return NULL;
    zmq_setsockopt(socket, ZMQ_LINGER, &unlimited, sizeof unlimited);
    if (type == ZMQ_ROUTER)
        zmq_setsockopt(socket, ZMQ_SNDHWM, &unlimited, sizeof unlimited);
    return socket;
}

static void url_in(const char *folder, char url[static 256])
{
    snprintf(url, 256, "ipc://%s/zeromq", folder);
}

static bool answer(void *socket, zmq_msg_t *identity, zmq_msg_t *request)
{
    uint32_t length;
    if (zmq_msg_recv(identity, socket, 0) < 0 || zmq_msg_recv(request, socket, 0) < 0)
        return false;
    const void *reply = peer_answer(zmq_msg_data(request), &length);
    return !reply || (zmq_msg_send(identity, socket, ZMQ_SNDMORE) >= 0 && zmq_send(socket, reply, length, 0) >= 0);
}

static void zeromq_serve(const char *folder, void (*ready)(void))
{
    char url[256];
    zmq_msg_t identity;
    zmq_msg_t request;
    url_in(folder, url);
    void *socket = open_socket(ZMQ_ROUTER);
    if (!socket || zmq_bind(socket, url) != 0) {
        failed("bind");
        return;
    }
    ready();
    zmq_msg_init(&identity);
    zmq_msg_init(&request);
    while (answer(socket, &identity, &request))
        ;
}

static bool zeromq_connect(const char *folder)
{
    char url[256];
    url_in(folder, url);
    connection = open_socket(ZMQ_DEALER);
    return (connection && zmq_connect(connection, url) == 0) || failed("connect");
}

static bool zeromq_send(const void *message, uint32_t length)
{
    return zmq_send(connection, message, length, 0) == (int)length || failed("send");
}

static bool zeromq_call(const void *request, uint32_t length, void *reply, uint32_t reply_length)
{
    return zeromq_send(request, length) &&
           (zmq_recv(connection, reply, reply_length, 0) == (int)reply_length || failed("receive"));
}

static void disconnect(void)
{
    zmq_close(connection);
}

static const PeerLack lacks[] = {{"lend", "copies"}, {NULL, NULL}};
static const Peer zeromq = {.name = "zeromq",
                            .serve = zeromq_serve,
                            .connect = zeromq_connect,
                            .call = zeromq_call,
                            .send = zeromq_send,
                            .disconnect = disconnect,
                            .most_connections = 1000, /* each process has two more threads */
                            .lacks = lacks};
const Peer *const peers[] = {&zeromq, NULL};
