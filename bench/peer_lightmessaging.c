/* SPDX-License-Identifier: MIT */
/* This library, used as the README shows it. */
#include "peer.h"
#include <LightMessaging/LightMessaging.h>
#include <stdio.h>

#define SERVICE "bench.echo"

static LMConnection connection = {MACH_PORT_NULL, SERVICE};

static bool report(const char *what, kern_return_t error)
{
    if (error != KERN_SUCCESS)
        fprintf(stderr, "lightmessaging: %s: %s\n", what, mach_error_string(error));
    return error == KERN_SUCCESS;
}

static void echo(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    report("reply",
           LMSendReply(message->head.msgh_remote_port, LMMessageGetData(message), LMMessageGetDataLength(message)));
}

static void lightmessaging_serve(const char *folder, void (*ready)(void))
{
    (void)folder; /* the runtime directory is there already */
    if (!report("start", LMStartService(SERVICE, CFRunLoopGetCurrent(), (CFMachPortCallBack)echo)))
        return;
    ready();
    CFRunLoopRun();
}

static bool lightmessaging_connect(const char *folder)
{
    (void)folder;
    return report("connect", LMConnectionSendEmptyOneWay(&connection, 0));
}

static bool lightmessaging_call(const void *request, void *reply, uint32_t length)
{
    LMResponseBuffer response;
    if (!report("call", LMConnectionSendTwoWay(&connection, 1, request, length, &response)))
        return false;
    bool complete = LMMessageGetDataLength(&response.message) == length;
    if (complete)
        memcpy(reply, LMMessageGetData(&response.message), length);
    else
        fputs("lightmessaging: call: a reply of the wrong length\n", stderr);
    LMResponseBufferFree(&response);
    return complete;
}

static void lightmessaging_disconnect(void)
{
    mach_port_deallocate(mach_task_self(), connection.serverPort);
}

const Peer peer_lightmessaging = {"lightmessaging", lightmessaging_serve, lightmessaging_connect, lightmessaging_call,
                                  lightmessaging_disconnect};
