/* SPDX-License-Identifier: MIT */
/*
 * A program with another CoreFoundation beside ours (build_matrix.sh): that one's data go through our calls, that one's
 * functions keep their names, and ours have theirs. Exits with 0 if it works.
 */
#include <CoreFoundation/CoreFoundation.h>
#include <LightMessaging/LightMessaging.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct real_data {
    CFIndex length;
    UInt8 bytes[8];
};

static int real_releases;
const CFStringRef kCFRunLoopDefaultMode = NULL;

CFTypeRef CFRetain(CFTypeRef object)
{
    return object;
}

void CFRelease(CFTypeRef object)
{
    real_releases++;
    free((void *)(uintptr_t)object);
}

CFDataRef CFDataCreate(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length)
{
    struct real_data *data = (struct real_data *)malloc(sizeof *data);
    (void)allocator;
    if (!data)
        abort();
    data->length = length;
    memcpy(data->bytes, bytes, (size_t)length);
    return data;
}

const UInt8 *CFDataGetBytePtr(CFDataRef data)
{
    return data->bytes;
}

CFIndex CFDataGetLength(CFDataRef data)
{
    return data->length;
}

CFAbsoluteTime CFAbsoluteTimeGetCurrent(void)
{
    return 0;
}

static void answer(LMMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    LMSendReply(message->head.msgh_remote_port, LMMessageGetData(message), LMMessageGetDataLength(message));
    LMRunLoopStop(LMRunLoopGetCurrent());
}

static int ask(void)
{
    LMConnection connection = {MACH_PORT_NULL, "test.aside"};
    LMResponseBuffer buffer;
    CFDataRef data = CFDataCreate(NULL, (const UInt8 *)"real", 5);
    kern_return_t status = LMConnectionSendTwoWayData(&connection, 1, data, &buffer);
    bool same = status == 0 && strcmp((const char *)LMMessageGetData(&buffer.message), "real") == 0;
    LMResponseBufferFree(&buffer);
    CFRelease(data);
    return same && real_releases == 1 ? 0 : 1;
}

int main(void)
{
    LMServiceRef service;
    kern_return_t status = LMStartServiceWithOptions("test.aside", LMRunLoopGetCurrent(),
                                                     (LMMachPortCallBack)(void (*)(void))answer, NULL, NULL, &service);
    if (status)
        return 2;
    pid_t client = fork();
    if (client == 0)
        _exit(ask());
    LMRunLoopRunInMode(kCFRunLoopDefaultMode, 20, false);
    LMServiceInvalidate(service);
    LMRelease(service);
    int result = 3;
    waitpid(client, &result, 0);
    return result == 0 && real_releases == 0 ? 0 : 1;
}
