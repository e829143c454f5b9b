/* SPDX-License-Identifier: MIT */
/* This library, used as the README shows it. The second peer is the same with spinning off. */
#define _GNU_SOURCE
#include "peer.h"
#include <LightMessaging/Image.h>
#include <stdlib.h>

#define SERVICE "bench.echo"
enum { MOST_CONNECTIONS = 10000, CALL = 1, PICTURE, WIDTH = 4096 };

static LMConnection connection = {MACH_PORT_NULL, SERVICE};

static bool check(const char *what, kern_return_t error)
{
    return error == KERN_SUCCESS || peer_error("%s: %s", what, mach_error_string(error));
}

/* Answers with a picture. The request is a head, whose `reply` is the number of rows. */
static void answer_picture(LMMessage *message)
{
    PeerHead head;
    memcpy(&head, LMMessageGetData(message), sizeof head);
    mach_port_t reply = message->head.msgh_remote_port;
    LMImage *image = LMReplyCreateImage(reply, WIDTH, head.reply, LM_BITMAP_RGBA);
    if (!image) {
        mach_port_deallocate(mach_task_self(), reply);
        return;
    }
    memcpy(image->pixels, &head, sizeof head);
    (void)LMSendImageReply(reply, image);
    LMImageFree(image);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    uint32_t length;
    (void)port, (void)size, (void)info;
    if (message->head.msgh_id == PICTURE) {
        answer_picture(message);
        return;
    }
    const void *reply = peer_answer(LMMessageGetData(message), &length);
    if (reply) /* the client may have been killed */
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
    if (!check("call", LMConnectionSendTwoWay(&connection, CALL, request, length, &response)))
        return false;
    bool complete = LMMessageGetDataLength(&response.message) == reply_length;
    if (complete)
        memcpy(reply, LMMessageGetData(&response.message), reply_length);
    LMResponseBufferFree(&response);
    return complete || peer_error("call: a reply of the wrong length");
}

static bool send_one_way(const void *message, uint32_t length)
{
    return check("send", LMConnectionSendOneWay(&connection, CALL, message, length));
}

static void disconnect(void)
{
    mach_port_deallocate(mach_task_self(), connection.serverPort);
    connection.serverPort = MACH_PORT_NULL;
}

static bool lend(const PeerHead *head)
{
    LMBufferRef buffer;
    LMResponseBuffer response;
    if (!check("create a buffer", LMConnectionCreateBuffer(&connection, head->length, &buffer)))
        return false;
    memcpy(LMBufferGetBytes(buffer), head, sizeof *head);
    kern_return_t error = LMConnectionSendTwoWayBuffer(&connection, CALL, &buffer, &response);
    if (!check("send a buffer", error)) {
        LMBufferFree(buffer); /* NULL if it was sent */
        return false;
    }
    bool same = LMMessageGetDataLength(&response.message) == sizeof *head &&
                memcmp(LMMessageGetData(&response.message), head, sizeof *head) == 0;
    LMResponseBufferFree(&response);
    return same || peer_error("lend: the reply differs from the request");
}

static void serve_without_spinning(const char *folder, void (*ready)(void))
{
    setenv("LM_SPIN_US", "0", 1);
    serve(folder, ready);
}

static bool connect_without_spinning(const char *folder)
{
    return setenv("LM_SPIN_US", "0", 1) == 0 && connect_first(folder);
}

static bool fetch_picture(uint32_t rows)
{
    static uint64_t number;
    PeerHead head = {sizeof head, rows, ++number};
    LMResponseBuffer response;
    if (!check("ask for a picture", LMConnectionSendTwoWay(&connection, PICTURE, &head, sizeof head, &response)))
        return false;
    LMImage *image = LMResponseConsumeImage(&response);
    bool same =
        image && image->width == WIDTH && image->height == rows && memcmp(image->pixels, &head, sizeof head) == 0;
    LMImageFree(image);
    return same || peer_error("the picture is not the one that was asked for");
}

static const PeerLack lacks[] = {{NULL, NULL}};

#define LIGHTMESSAGING                                                                                                 \
    .call = call, .send = send_one_way, .lend = lend, .picture = fetch_picture, .disconnect = disconnect,              \
    .has_thread_safe_call = true, .most_connections = MOST_CONNECTIONS, .lacks = lacks

static const Peer spinning = {.name = "spinning", .serve = serve, .connect = connect_first, LIGHTMESSAGING};
static const Peer sleeping = {
    .name = "sleeping", .serve = serve_without_spinning, .connect = connect_without_spinning, LIGHTMESSAGING};
const Peer *const peers[] = {&spinning, &sleeping, NULL};
