/* SPDX-License-Identifier: MIT */
/* iceoryx through its C binding: a client and a server that poll, and the same with wait sets. `call` copies a request
 * once, into the chunk that the library lends; `lend` does not copy. The server reads the request in place. */
#define _GNU_SOURCE
#include "peer.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <iceoryx_binding_c/client.h>
#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/server.h>
#include <iceoryx_binding_c/wait_set.h>

#define SERVICE "bench", "echo", "call"
enum { QUEUE = 128 /* requests; the pools below hold these and those that the callers use */ };

static bool sleeps;
static iox_ws_storage_t set_storage;
static iox_ws_t set;
static iox_client_storage_t client_storage;
static iox_client_t client;

static void wait_for_event(void)
{
    iox_notification_info_t info;
    uint64_t missed;
    if (sleeps)
        (void)iox_ws_wait(set, &info, 1, &missed);
}

/* --- The server, and the daemon --- */

static bool write_config(const char *path)
{
    static const struct {
        unsigned size;
        unsigned count;
    } pools[] = {{256, 4000}, {8 << 10, 400}, {72 << 10, 200}, {(1 << 20) + 4096, 12}, {(16 << 20) + 4096, 6}};
    FILE *file = fopen(path, "we");
    if (!file)
        return peer_error("%s could not be written", path);
    fputs("[general]\nversion = 1\n\n[[segment]]\n", file);
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++)
        fprintf(file, "\n[[segment.mempool]]\nsize = %u\ncount = %u\n", pools[i].size, pools[i].count);
    return fclose(file) == 0;
}

static bool start_daemon(const char *folder)
{
    char path[256];
    snprintf(path, sizeof path, "%s/roudi.toml", folder);
    const char *const arguments[] = {"iox-roudi", "-c", path, "-m", "off", "-l", "error", "-k", "0", NULL};
    return write_config(path) && peer_start_helper(arguments);
}

/* Waits for the daemon here, since the runtime would wait in steps of whole seconds. */
static void wait_for_daemon(const char *folder)
{
    char path[256];
    char log[4096];
    snprintf(path, sizeof path, "%s/helper.log", folder);
    for (int i = 0; i < 1000; i++, usleep(5000)) {
        FILE *file = fopen(path, "re");
        size_t length = file ? fread(log, 1, sizeof log - 1, file) : 0;
        log[length] = '\0';
        if (file)
            fclose(file);
        if (strstr(log, "ready"))
            return;
    }
}

static void start_runtime(const char *name)
{
    iox_set_loglevel(Iceoryx_LogLevel_Off);
    iox_runtime_init(name);
}

static bool answer(iox_server_t server, const void *request)
{
    void *reply;
    uint32_t length;
    const void *data = peer_answer(request, &length);
    bool done = true;
    if (data) {
        done = iox_server_loan_response(server, request, &reply, length) == AllocationResult_SUCCESS;
        if (done) {
            memcpy(reply, data, length);
            done = iox_server_send(server, reply) == ServerSendResult_SUCCESS;
        }
    }
    iox_server_release_request(server, request);
    return done || peer_error("the server could not answer");
}

static void serve(const char *folder, void (*ready)(void))
{
    iox_server_storage_t storage;
    iox_server_options_t options;
    const void *request;
    if (!start_daemon(folder))
        return;
    wait_for_daemon(folder);
    start_runtime("bench-server");
    iox_server_options_init(&options);
    options.requestQueueCapacity = QUEUE;
    options.requestQueueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
    options.clientTooSlowPolicy = ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
    iox_server_t server = iox_server_init(&storage, SERVICE, &options);
    set = iox_ws_init(&set_storage);
    if (iox_ws_attach_server_state(set, server, ServerState_HAS_REQUEST, 0, NULL) != WaitSetResult_SUCCESS)
        return;
    ready();
    for (;;) {
        wait_for_event();
        while (iox_server_take_request(server, &request) == ServerRequestResult_SUCCESS) {
            if (!answer(server, request))
                return;
        }
    }
}

/* --- The client --- */

static bool connect_client(const char *folder)
{
    static bool has_runtime;
    iox_client_options_t options;
    (void)folder;
    if (!has_runtime)
        start_runtime("bench-client");
    has_runtime = true;
    iox_client_options_init(&options);
    options.responseQueueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
    options.serverTooSlowPolicy = ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
    client = iox_client_init(&client_storage, SERVICE, &options);
    set = iox_ws_init(&set_storage);
    if (iox_ws_attach_client_state(set, client, ClientState_HAS_RESPONSE, 0, NULL) != WaitSetResult_SUCCESS)
        return peer_error("the wait set takes no client");
    for (int i = 0; i < 10000; i++) {
        if (iox_client_get_connection_state(client) == ConnectionState_CONNECTED)
            return true;
        usleep(1000);
    }
    return peer_error("not connected after ten seconds");
}

static void disconnect(void)
{
    iox_ws_detach_client_state(set, client, ClientState_HAS_RESPONSE);
    iox_ws_deinit(set);
    iox_client_deinit(client);
}

static bool send_filled(const void *data, uint32_t filled, uint32_t length)
{
    void *request;
    if (iox_client_loan_request(client, &request, length) != AllocationResult_SUCCESS)
        return peer_error("no chunk of %u bytes", length);
    memcpy(request, data, filled);
    return iox_client_send(client, request) == ClientSendResult_SUCCESS || peer_error("send");
}

static bool send_one(const void *message, uint32_t length)
{
    return send_filled(message, length, length);
}

/* The receiver does not know a chunk's length; the head that comes back shows that it is the right one. */
static bool take(void *reply, uint32_t reply_length)
{
    const void *response;
    enum iox_ChunkReceiveResult result;
    do
        wait_for_event();
    while ((result = iox_client_take_response(client, &response)) == ChunkReceiveResult_NO_CHUNK_AVAILABLE);
    if (result != ChunkReceiveResult_SUCCESS)
        return peer_error("take");
    memcpy(reply, response, reply_length);
    iox_client_release_response(client, response);
    return true;
}

static bool call(const void *request, uint32_t length, void *reply, uint32_t reply_length)
{
    return send_one(request, length) && take(reply, reply_length);
}

static bool lend(const PeerHead *head)
{
    PeerHead reply;
    return send_filled(head, sizeof *head, head->length) && take(&reply, sizeof reply) &&
           (memcmp(&reply, head, sizeof reply) == 0 || peer_error("the reply differs from the request"));
}

/* --- With wait sets --- */

static void serve_asleep(const char *folder, void (*ready)(void))
{
    sleeps = true;
    serve(folder, ready);
}

static bool connect_asleep(const char *folder)
{
    sleeps = true;
    return connect_client(folder);
}

#define ICEORYX .call = call, .send = send_one, .lend = lend, .disconnect = disconnect, .lacks = lacks

static const PeerLack lacks[] = {{"connect", "a process registers with the daemon once in its life"},
                                 {"connections", "its daemon has room for 300 processes"},
                                 {NULL, NULL}};
static const Peer polling = {.name = "polling", .serve = serve, .connect = connect_client, ICEORYX};
static const Peer waiting = {.name = "waitset", .serve = serve_asleep, .connect = connect_asleep, ICEORYX};
const Peer *const peers[] = {&polling, &waiting, NULL};
