/* SPDX-License-Identifier: MIT */
/*
 * A program with another CoreFoundation beside this library's (build_matrix.sh): the library's calls accept the other's
 * data, the other's functions keep their names, and the library's have theirs. All headers but CFMessagePort.h. Exits
 * with 0 if it works.
 */
#include <CoreFoundation/CoreFoundation.h>
#include <LightMessaging/LightMessaging.h>

#include <LightMessaging/CFMachPort.h>
#include <LightMessaging/Data.h>
#include <LightMessaging/Image.h>
#include <LightMessaging/ImageCairo.h>
#include <LightMessaging/ImagePNG.h>
#include <LightMessaging/Integer.h>
#include <LightMessaging/PropertyList.h>
#include <LightMessaging/String.h>
#include <rocketbootstrap/rocketbootstrap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct real_data {
    CFIndex length;
    UInt8 *bytes;
};
struct real_allocator {
    int unused;
};

static int real_releases;
const CFStringRef kCFRunLoopDefaultMode = NULL;
static const struct real_allocator real_malloc;
const CFAllocatorRef kCFAllocatorDefault = NULL, kCFAllocatorMalloc = &real_malloc;

CFTypeRef CFRetain(CFTypeRef object)
{
    return object;
}

void CFRelease(CFTypeRef object)
{
    struct real_data *data = (struct real_data *)(uintptr_t)object;
    real_releases++;
    free(data->bytes);
    free(data);
}

CFDataRef CFDataCreateWithBytesNoCopy(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length,
                                      CFAllocatorRef deallocator)
{
    struct real_data *data = (struct real_data *)malloc(sizeof *data);
    (void)allocator;
    if (!data || deallocator != kCFAllocatorMalloc)
        abort();
    data->length = length;
    data->bytes = (UInt8 *)(uintptr_t)bytes;
    return data;
}

CFDataRef CFDataCreate(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length)
{
    UInt8 *copy = (UInt8 *)malloc((size_t)length);
    if (!copy)
        abort();
    memcpy(copy, bytes, (size_t)length);
    return CFDataCreateWithBytesNoCopy(allocator, copy, length, kCFAllocatorMalloc);
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

enum { STOP = 1, GO_ON };

static void answer(LMMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    LMSendReply(message->head.msgh_remote_port, LMMessageGetData(message), LMMessageGetDataLength(message));
    if (message->head.msgh_id == STOP)
        LMRunLoopStop(LMRunLoopGetCurrent());
}

/* A string is returned as a property list that is data of the other CoreFoundation. */
static bool helpers_work(LMConnectionRef connection)
{
    LMResponseBuffer buffer;
    plist_t list = plist_new_string("real"), back = NULL;
    if (LMConnectionSendTwoWayPropertyList(connection, GO_ON, list, &buffer) == 0) {
        CFDataRef data = LMResponseConsumeData(&buffer);
        back = LMPropertyListForData(data);
        CFRelease(data);
    }
    bool same = back && plist_compare_node_value(list, back);
    plist_free(list);
    plist_free(back);
    return same && real_releases == 1;
}

static int ask(void)
{
    LMConnection connection = {MACH_PORT_NULL, "test.aside"};
    LMResponseBuffer buffer;
    if (!helpers_work(&connection))
        return 1;
    CFDataRef data = CFDataCreate(NULL, (const UInt8 *)"real", 5);
    kern_return_t status = LMConnectionSendTwoWayData(&connection, STOP, data, &buffer);
    bool same = status == 0 && strcmp((const char *)LMMessageGetData(&buffer.message), "real") == 0;
    LMResponseBufferFree(&buffer);
    CFRelease(data);
    return same && real_releases == 2 ? 0 : 1;
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
