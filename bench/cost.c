/* SPDX-License-Identifier: MIT */
/* A program with a service and a client, as the README shows them. bench.py measures what the headers cost it. */
#include <LightMessaging/LightMessaging.h>
#include <stdio.h>

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    LMSendReply(message->head.msgh_remote_port, LMMessageGetData(message), LMMessageGetDataLength(message));
}

int main(int argc, char **argv)
{
    static LMConnection connection = {MACH_PORT_NULL, "bench.cost"};
    LMResponseBuffer response;
    if (argc < 2) {
        LMStartService("bench.cost", CFRunLoopGetCurrent(), (CFMachPortCallBack)answer);
        CFRunLoopRun();
    }
    if (LMConnectionSendTwoWay(&connection, 1, argv[1], (uint32_t)strlen(argv[1]), &response) == KERN_SUCCESS)
        puts(LMMessageGetData(&response.message));
    LMResponseBufferFree(&response);
    return 0;
}
