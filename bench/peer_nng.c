/* SPDX-License-Identifier: MIT */
/* nng over ipc: with its pair protocol, which does the least, and with requests and replies, for many clients. */
#define _GNU_SOURCE
#include "peer.h"
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <string.h>

static nng_socket connection;

static bool check(const char *what, int error)
{
    return error == 0 || peer_error("%s: %s", what, nng_strerror(error));
}

static void url_in(const char *folder, char url[static 256])
{
    snprintf(url, 256, "ipc://%s/nng", folder);
}

typedef int Opener(nng_socket *);

static bool open_socket(nng_socket *socket, Opener *opener)
{
    return check("open", opener(socket)) &&
           check("size", nng_socket_set_size(*socket, NNG_OPT_RECVMAXSZ, 2 * PEER_LARGEST));
}

static bool answer(nng_socket socket)
{
    nng_msg *request;
    nng_msg *reply;
    uint32_t length;
    if (!check("receive", nng_recvmsg(socket, &request, 0)))
        return false;
    const void *data = peer_answer(nng_msg_body(request), &length);
    bool done = !data || (nng_msg_alloc(&reply, length) == 0 && memcpy(nng_msg_body(reply), data, length) &&
                          check("send", nng_sendmsg(socket, reply, 0)));
    nng_msg_free(request);
    return done;
}

static void serve(const char *folder, void (*ready)(void), Opener *opener)
{
    char url[256];
    nng_socket socket;
    url_in(folder, url);
    if (!open_socket(&socket, opener) || !check("listen", nng_listen(socket, url, NULL, 0)))
        return;
    ready();
    while (answer(socket))
        ;
}

static void pair_serve(const char *folder, void (*ready)(void))
{
    serve(folder, ready, nng_pair0_open);
}

static void rep_serve(const char *folder, void (*ready)(void))
{
    serve(folder, ready, nng_rep0_open);
}

static bool connect_to(const char *folder, Opener *opener)
{
    char url[256];
    url_in(folder, url);
    return open_socket(&connection, opener) && check("connect", nng_dial(connection, url, NULL, 0));
}

static bool pair_connect(const char *folder)
{
    return connect_to(folder, nng_pair0_open);
}

static bool req_connect(const char *folder)
{
    return connect_to(folder, nng_req0_open);
}

static bool nng_send_one(const void *message, uint32_t length)
{
    nng_msg *copy;
    if (!check("allocate", nng_msg_alloc(&copy, length)))
        return false;
    memcpy(nng_msg_body(copy), message, length);
    return check("send", nng_sendmsg(connection, copy, 0));
}

static bool nng_call(const void *request, uint32_t length, void *reply, uint32_t reply_length)
{
    size_t size = reply_length;
    return nng_send_one(request, length) && check("receive", nng_recv(connection, reply, &size, 0)) &&
           (size == reply_length || peer_error("a reply of the wrong length"));
}

static void disconnect(void)
{
    nng_close(connection);
}

static const PeerLack pair_lacks[] = {
    {"lend", "copies"},
    {"connect", "a pair loses what is sent before the last client is seen to be gone"},
    {"connections", "a pair has two ends"},
    {NULL, NULL}};
static const Peer pair = {.name = "pair",
                          .serve = pair_serve,
                          .connect = pair_connect,
                          .call = nng_call,
                          .send = nng_send_one,
                          .disconnect = disconnect,
                          .lacks = pair_lacks};

static const PeerLack req_lacks[] = {{"lend", "copies"}, {"oneway", "each request has its reply"}, {NULL, NULL}};
static const Peer req = {.name = "req",
                         .serve = rep_serve,
                         .connect = req_connect,
                         .call = nng_call,
                         .disconnect = disconnect,
                         .most_connections = 1000, /* each process has a dozen more threads */
                         .lacks = req_lacks};
const Peer *const peers[] = {&pair, &req, NULL};
