/* SPDX-License-Identifier: MIT */
/*
 * Uses every public macro and much of the public interface, as a program in C or C++ with strict warnings would.
 * build_matrix.sh compiles this file in all modes and does not run it.
 */
#include <LightMessaging/CFMachPort.h>
#include <LightMessaging/CFMessagePort.h>
#include <LightMessaging/Data.h>
#include <LightMessaging/Image.h>
#include <LightMessaging/ImageCairo.h>
#include <LightMessaging/ImagePNG.h>
#include <LightMessaging/Integer.h>
#include <LightMessaging/LightMessaging.h>
#include <LightMessaging/PropertyList.h>
#include <LightMessaging/String.h>
#include <LightMessaging/Version.h>
#include <rocketbootstrap/rocketbootstrap.h>
#include <stdio.h>

#ifdef __cplusplus
#define NOTHING        nullptr
#define AS(type, what) reinterpret_cast<type>(what)
#define EMPTY                                                                                                          \
    {                                                                                                                  \
    }
#else
#define NOTHING        NULL
#define AS(type, what) ((type)(what))
#define EMPTY                                                                                                          \
    {                                                                                                                  \
        0                                                                                                              \
    }
#endif

#if LIGHTMESSAGING_VERSION < 1000 * LIGHTMESSAGING_VERSION_MINOR + LIGHTMESSAGING_VERSION_PATCH ||                     \
    LIGHTMESSAGING_VERSION_MAJOR < 0
#error "the version"
#endif

int main(void);

/* Outside of functions. */
static LMConnection connection = {MACH_PORT_NULL, "com.example.interface"};
static CFAllocatorRef allocator = kCFAllocatorDefault;
static const kern_return_t statuses[] = {
    KERN_SUCCESS,
    KERN_INVALID_ARGUMENT,
    KERN_RESOURCE_SHORTAGE,
    BOOTSTRAP_SUCCESS,
    BOOTSTRAP_NOT_PRIVILEGED,
    BOOTSTRAP_NAME_IN_USE,
    BOOTSTRAP_UNKNOWN_SERVICE,
    BOOTSTRAP_SERVICE_ACTIVE,
    MACH_MSG_SUCCESS,
    MACH_SEND_INVALID_DATA,
    MACH_SEND_INVALID_DEST,
    MACH_SEND_TIMED_OUT,
    MACH_SEND_INVALID_RIGHT,
    MACH_SEND_NO_BUFFER,
    MACH_SEND_TOO_LARGE,
    MACH_SEND_INTERRUPTED,
    MACH_RCV_TIMED_OUT,
    MACH_RCV_INTERRUPTED,
    MACH_RCV_PORT_DIED,
    LM_INCOMPATIBLE_VERSION,
    LM_STATUS_REPLY,
};
static const uint32_t numbers[] = {
    MACH_PORT_NULL,      MACH_MSGH_BITS_COMPLEX, LM_INLINE_MAX,   LM_LARGEST_MESSAGE, LM_DESCRIPTORS_MAX,
    LM_NAME_MAX,         LM_TIMEOUT_NEVER,       LM_TIMEOUT_POLL, LM_SPIN_NEVER,      LM_PROTOCOL_LOWEST,
    LM_PROTOCOL_HIGHEST, LM_BITMAP_RGBA,         LM_BITMAP_CAIRO, LM_ALPHA_NONE,      LM_BYTE_ORDER_MASK,
};

/* --- A service --- */

/* Returns whether it has sent a reply. */
static bool answer_with_a_picture(mach_port_t port)
{
    LMImage *image = LMReplyCreateImage(port, 2, 2, LM_BITMAP_CAIRO);
    if (!image)
        return false;
    cairo_surface_t *surface = LMImageCreateCairoSurface(image);
    cairo_surface_destroy(surface);
    kern_return_t result = LMSendImageReply(port, image);
    LMImageFree(image);
    return result == KERN_SUCCESS;
}

static void answer(LMServiceRef service, LMMessage *message, CFIndex size, void *info)
{
    mach_port_t port = message->head.msgh_remote_port;
    LMSender sender = EMPTY;
    if (!LMDataWithSizeIsValidMessage(message, size) || LMMessageGetReplyPort(message) != port)
        return;
    if (port == MACH_PORT_NULL || info == NOTHING || LMMessageGetTimeLeft(message) == LM_TIMEOUT_NEVER)
        LMServiceInvalidate(service);
    if (LMMessageGetSender(message, &sender) == KERN_SUCCESS && sender.uid == 0)
        LMSendStatusReply(port, BOOTSTRAP_NOT_PRIVILEGED);
    else if (LMMessageGetIdentifier(message) == 1)
        LMSendReply(port, LMMessageGetData(message), LMMessageGetDataLength(message));
    else if (LMMessageGetIdentifier(message) == 2 && answer_with_a_picture(port))
        LMMessageFree(message);
    LMReply reply = EMPTY;
    reply.data = "lol";
    reply.length = sizeof "lol";
    LMReplySend(port, &reply);
    LMResponseBufferFree(AS(LMResponseBuffer *, message));
}

static void answer_as_the_original(CFMachPortRef port, void *message, CFIndex size, void *info)
{
    answer(port, AS(LMMessage *, message), size, info);
}

static bool admits(const LMSender *sender, void *info)
{
    return sender->pid != 0 && info != NOTHING;
}

static kern_return_t serve(CFRunLoopRef loop)
{
    const uid_t users[] = {0, 1000};
    LMServiceOptions options = EMPTY;
    options.callback = answer;
    options.policy = admits;
    options.users = users;
    options.userCount = sizeof users / sizeof *users;
    options.largestMessage = LM_LARGEST_MESSAGE;
    options.spinMicroseconds = LM_SPIN_NEVER;
    LMServiceRef service;
    kern_return_t result = LMStartServiceWithOptions("com.example.a", loop, NOTHING, &connection, &options, &service);
    if (result == KERN_SUCCESS)
        result = LMStartServiceWithUserInfo("com.example.b", loop, answer_as_the_original, &connection);
    if (result == KERN_SUCCESS)
        result = LMCheckInService("com.example.c", loop, answer_as_the_original, NOTHING);
    CFRelease(service);
    mach_port_t bootstrap = MACH_PORT_NULL, found;
    task_get_bootstrap_port(mach_task_self(), &bootstrap);
    rocketbootstrap_unlock("com.example.a");
    if (rocketbootstrap_look_up(bootstrap, "com.example.a", &found) == KERN_SUCCESS)
        mach_port_deallocate(mach_task_self(), found);
    return result;
}

/* --- CoreFoundation --- */

static CFDataRef answer_data(CFMessagePortRef port, SInt32 identifier, CFDataRef data, void *info)
{
    return port && identifier && data && info ? CFDataCreateCopy(allocator, data) : NOTHING;
}

static void fire(CFRunLoopTimerRef timer, void *info)
{
    printf("%s%s\n", CFRunLoopTimerIsValid(timer) ? "again" : "once", info ? "" : ".");
}

static CFIndex lengths_of_strings(void)
{
    CFStringRef empty = CFSTR(""), text = CFSTR("a text"), modes[] = {kCFRunLoopDefaultMode, kCFRunLoopCommonModes};
    CFIndex length = CFStringGetLength(text) + CFStringGetLength(empty) + CFStringGetLength(modes[1]);
    CFStringRef made = CFStringCreateWithCString(kCFAllocatorDefault, "made", kCFStringEncodingUTF8);
    if (made && CFStringCompare(made, CFSTR("made"), 0) == kCFCompareEqualTo)
        length++;
    CFRelease(made);
    return length;
}

static void serve_a_message_port(CFRunLoopRef loop)
{
    static const UInt8 bytes[] = {1, 2, 3};
    CFMessagePortContext context = EMPTY;
    CFMessagePortRef local = CFMessagePortCreateLocal(kCFAllocatorDefault, CFSTR("a"), answer_data, &context, NOTHING);
    CFRunLoopSourceRef source = CFMessagePortCreateRunLoopSource(kCFAllocatorMalloc, local, 0);
    CFRunLoopAddSource(loop, source, kCFRunLoopCommonModes);
    CFRunLoopTimerRef timer =
        CFRunLoopTimerCreate(kCFAllocatorSystemDefault, CFAbsoluteTimeGetCurrent() + 1.0, 0.5, 0, 0, fire, NOTHING);
    CFRunLoopAddTimer(loop, timer, kCFRunLoopDefaultMode);
    CFMessagePortRef remote = CFMessagePortCreateRemote(kCFAllocatorDefault, CFSTR("b"));
    CFDataRef data = CFDataCreateWithBytesNoCopy(kCFAllocatorDefault, bytes, sizeof bytes, kCFAllocatorNull), returned;
    if (CFMessagePortSendRequest(remote, 1, data, 1.0, 1.0, kCFRunLoopDefaultMode, &returned) == kCFMessagePortSuccess)
        CFRelease(returned);
    while (CFRunLoopRunInMode(kCFRunLoopDefaultMode, 1.0, false) == kCFRunLoopRunHandledSource)
        CFRunLoopWakeUp(loop);
    CFRelease(data);
    CFRelease(source);
    CFRelease(timer);
}

/* --- A client --- */

static void receive(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info)
{
    printf("%d %d\n", status, LMResponseGetStatus(response));
    if (info == NOTHING)
        CFRelease(call);
}

static void observe(LMObserverRef observer, const char *name, bool is_there, void *info)
{
    printf("%s %d\n", name, is_there);
    if (info == NOTHING)
        LMObserverInvalidate(observer);
}

static bool list(const LMServiceEntry *entry, void *info)
{
    return entry->isServed && info;
}

static void call_with_types(LMResponseBuffer *response)
{
    int64_t integer = 0;
    if (LMConnectionSendTwoWayInt64(&connection, 1, INT64_MAX, response) == KERN_SUCCESS)
        LMMessageGetInt64(&response->message, &integer);
    LMConnectionSendOneWayUInt8(&connection, 1, UINT8_MAX);
    if (LMConnectionSendTwoWayString(&connection, 1, "text", response) == KERN_SUCCESS)
        free(LMResponseConsumeString(response));
    plist_t property_list = plist_new_bool(1);
    if (LMConnectionSendTwoWayPropertyList(&connection, 1, property_list, response) == KERN_SUCCESS)
        plist_free(LMResponseConsumePropertyList(response));
    plist_free(property_list);
    LMImage *image = LMResponseConsumeImage(response);
    LMImageWritePNG(image, stdout);
    LMImageFree(image);
    CFRelease(LMResponseConsumeData(response));
}

static kern_return_t call(CFRunLoopRef loop)
{
    LMResponseBuffer response;
    LMSend send = EMPTY;
    send.messageId = 1;
    send.data = "hi";
    send.length = sizeof "hi";
    send.timeout = LM_TIMEOUT_NEVER;
    kern_return_t result = LMConnectionSend(&connection, &send, &response);
    if (result == LM_STATUS_REPLY)
        result = LMResponseGetStatus(&response);
    else if (result != KERN_SUCCESS)
        puts(mach_error_string(result));
    LMResponseBufferFree(&response);
    if (LMConnectionSendTwoWay(&connection, 1, "hi", 3, &response) == KERN_SUCCESS)
        printf("%d\n", LMResponseConsumeInteger(&response));
    LMBufferRef buffer;
    if (LMConnectionCreateBuffer(&connection, LM_INLINE_MAX, &buffer) == KERN_SUCCESS) {
        memset(LMBufferGetBytes(buffer), 0, LMBufferGetLength(buffer));
        LMConnectionSendOneWayBufferWithTimeout(&connection, 1, &buffer, LM_TIMEOUT_POLL);
        LMBufferFree(buffer);
    }
    LMCallRef pending;
    send.timeout = LM_TIMEOUT_POLL;
    if (LMConnectionSendAsync(&connection, &send, loop, receive, NOTHING, &pending) == KERN_SUCCESS)
        LMCallCancel(pending);
    LMObserverRef observer;
    if (LMConnectionObserve(&connection, loop, observe, NOTHING, &observer) == KERN_SUCCESS)
        CFRelease(observer);
    LMServiceVersions versions = EMPTY;
    if (LMConnectionGetServiceVersions(&connection, &versions) == KERN_SUCCESS && versions.lowest > LM_PROTOCOL_HIGHEST)
        result = LM_INCOMPATIBLE_VERSION;
    LMConnectionSetTimeout(&connection, LM_TIMEOUT_NEVER);
    LMConnectionSetSpin(&connection, LM_SPIN_NEVER);
    LMListServices(list, NOTHING);
    call_with_types(&response);
    return result;
}

int main(void)
{
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    puts(LIGHTMESSAGING_VERSION_STRING);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        puts(mach_error_string(statuses[i]));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        printf("%u\n", numbers[i]);
    serve_a_message_port(loop);
    kern_return_t result = serve(loop);
    if (lengths_of_strings() == 0 || result != KERN_SUCCESS)
        return result;
    return call(loop);
}
