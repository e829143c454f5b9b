/* SPDX-License-Identifier: MIT */
/* This library, used as the README shows it. The second peer is the same with spinning off. */
#define _GNU_SOURCE
#include "peer.h"
#include <LightMessaging/LightMessaging.h>
#include <stdlib.h>

#define SERVICE "bench.echo"
enum { MOST_CONNECTIONS = 10000 };

static LMConnection connection = {MACH_PORT_NULL, SERVICE};

static bool check(const char *what, kern_return_t error)
{
    return error == KERN_SUCCESS || peer_error("%s: %s", what, mach_error_string(error));
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    uint32_t length;
    (void)port, (void)size, (void)info;
    const void *reply = peer_answer(LMMessageGetData(message), &length);
    if (reply) /* a client may have been killed */
        (void)LMSendReply(message->head.msgh_remote_port, reply, length);
}

static bool enter(const char *folder)
{
    return setenv("LM_RUNTIME_DIR", folder, 1) == 0;
}

static void serve(const char *folder, void (*ready)(void))
{
    LMServiceOptions options = {.connectionsPerUser = MOST_CONNECTIONS + 1};
    if (!enter(folder) || !check("start", LMStartServiceWithOptions(SERVICE, CFRunLoopGetCurrent(),
                                                                    (CFMachPortCallBack)answer, NULL, &options, NULL)))
        return;
    ready();
    CFRunLoopRun();
}

static bool connect_first(const char *folder)
{
    return enter(folder); /* the first call connects */
}

static bool call(const void *request, uint32_t length, void *reply, uint32_t reply_length)
{
    LMResponseBuffer response;
    if (!check("call", LMConnectionSendTwoWay(&connection, 1, request, length, &response)))
        return false;
    bool complete = LMMessageGetDataLength(&response.message) == reply_length;
    if (complete)
        memcpy(reply, LMMessageGetData(&response.message), reply_length);
    LMResponseBufferFree(&response);
    return complete || peer_error("call: a reply of the wrong length");
}

static bool send_one_way(const void *message, uint32_t length)
{
    return check("send", LMConnectionSendOneWay(&connection, 1, message, length));
}

static void disconnect(void)
{
    mach_port_deallocate(mach_task_self(), connection.serverPort);
    connection.serverPort = MACH_PORT_NULL;
}

#ifdef LM_HAS_BUFFERS
static bool lend(const PeerHead *head)
{
    LMBufferRef buffer;
    LMResponseBuffer response;
    if (!check("create a buffer", LMConnectionCreateBuffer(&connection, head->length, &buffer)))
        return false;
    memcpy(LMBufferGetBytes(buffer), head, sizeof *head);
    kern_return_t error = LMConnectionSendTwoWayBuffer(&connection, 1, &buffer, &response);
    if (!check("send a buffer", error)) {
        LMBufferFree(buffer); /* NULL if it was taken */
        return false;
    }
    bool same = LMMessageGetDataLength(&response.message) == sizeof *head &&
                memcmp(LMMessageGetData(&response.message), head, sizeof *head) == 0;
    LMResponseBufferFree(&response);
    return same || peer_error("lend: the reply differs from the request");
}
#    define LEND lend
static const PeerLack lacks[] = {{NULL, NULL}};
#else
#    define LEND NULL
static const PeerLack lacks[] = {{"lend", "not built: this version lends no buffers"}, {NULL, NULL}};
#endif

static void serve_without_spinning(const char *folder, void (*ready)(void))
{
    setenv("LM_SPIN_US", "0", 1);
    serve(folder, ready);
}

static bool connect_without_spinning(const char *folder)
{
    return setenv("LM_SPIN_US", "0", 1) == 0 && connect_first(folder);
}

#define LIGHTMESSAGING                                                                                                 \
    .call = call, .send = send_one_way, .lend = LEND, .disconnect = disconnect, .has_thread_safe_call = true,          \
    .most_connections = MOST_CONNECTIONS, .lacks = lacks

static const Peer spinning = {.name = "spinning", .serve = serve, .connect = connect_first, LIGHTMESSAGING};
static const Peer sleeping = {
    .name = "sleeping", .serve = serve_without_spinning, .connect = connect_without_spinning, LIGHTMESSAGING};
const Peer *const peers[] = {&spinning, &sleeping, NULL};
