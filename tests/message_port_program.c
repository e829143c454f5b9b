/* SPDX-License-Identifier: MIT */
/* A program of two processes written against CFMessagePort's documentation, without knowledge of LightMessaging:
 * programs that are ported must compile unchanged. Exits with 0 if everything behaves as documented. */
#include <CoreFoundation/CoreFoundation.h>

#include <ctype.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { UPPER_CASE = 1, NOTE, NOTES, NOTHING, QUIT };

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static CFStringRef make_name(const char *text)
{
    CFStringRef name = CFStringCreateWithCString(kCFAllocatorDefault, text, kCFStringEncodingUTF8);
    REQUIRE(name);
    return name;
}

/* --- The process that answers --- */

typedef struct {
    SInt32 notes;
    Boolean invalidated;
    Boolean released;
} State;

static CFDataRef upper_case(CFDataRef data)
{
    CFIndex length = CFDataGetLength(data);
    UInt8 *bytes = malloc((size_t)length);
    REQUIRE(bytes);
    CFDataGetBytes(data, CFRangeMake(0, length), bytes);
    for (CFIndex i = 0; i < length; i++)
        bytes[i] = (UInt8)toupper(bytes[i]);
    return CFDataCreateWithBytesNoCopy(kCFAllocatorDefault, bytes, length, kCFAllocatorMalloc);
}

static CFDataRef answer(CFMessagePortRef local, SInt32 msgid, CFDataRef data, void *info)
{
    State *state = info;
    switch (msgid) {
    case UPPER_CASE:
        return upper_case(data);
    case NOTE:
        state->notes++;
        return NULL;
    case NOTES:
        return CFDataCreate(kCFAllocatorDefault, (const UInt8 *)&state->notes, sizeof state->notes);
    case QUIT:
        CFMessagePortInvalidate(local);
        CFRunLoopStop(CFRunLoopGetCurrent());
        return NULL;
    default:
        return NULL;
    }
}

static void local_ended(CFMessagePortRef port, void *info)
{
    REQUIRE(!CFMessagePortIsValid(port));
    ((State *)info)->invalidated = true;
}

static void release_state(const void *info)
{
    ((State *)(uintptr_t)info)->released = true;
}

static int serve(const char *text)
{
    static State state;
    CFStringRef name = make_name(text);
    CFMessagePortContext context = {0, &state, NULL, release_state, NULL};
    Boolean should_free;
    CFMessagePortRef port = CFMessagePortCreateLocal(kCFAllocatorDefault, name, answer, &context, &should_free);
    REQUIRE(port && !should_free && CFMessagePortIsValid(port) && !CFMessagePortIsRemote(port));
    REQUIRE(CFStringCompare(CFMessagePortGetName(port), name, 0) == kCFCompareEqualTo);
    CFRelease(name);
    CFMessagePortSetInvalidationCallBack(port, local_ended);
    CFRunLoopSourceRef source = CFMessagePortCreateRunLoopSource(kCFAllocatorDefault, port, 0);
    REQUIRE(source);
    CFRunLoopAddSource(CFRunLoopGetCurrent(), source, kCFRunLoopCommonModes);
    CFRelease(source);
    CFRunLoopRun();
    REQUIRE(state.invalidated && state.released && !CFMessagePortIsValid(port));
    CFRelease(port);
    return 0;
}

/* --- The process that asks --- */

static CFMessagePortRef find(CFStringRef name)
{
    CFMessagePortRef port = NULL;
    for (int tries = 0; tries < 2000 && !port; tries++) {
        port = CFMessagePortCreateRemote(kCFAllocatorDefault, name);
        if (!port)
            usleep(10000);
    }
    REQUIRE(port && CFMessagePortIsRemote(port) && CFMessagePortIsValid(port));
    REQUIRE(CFStringCompare(CFMessagePortGetName(port), name, 0) == kCFCompareEqualTo);
    return port;
}

static void ask_for_upper_case(CFMessagePortRef port)
{
    CFDataRef reply = NULL;
    CFDataRef data = CFStringCreateExternalRepresentation(NULL, CFSTR("light"), kCFStringEncodingUTF8, 0);
    SInt32 result = CFMessagePortSendRequest(port, UPPER_CASE, data, 20, 20, kCFRunLoopDefaultMode, &reply);
    REQUIRE(result == kCFMessagePortSuccess && reply);
    CFStringRef text = CFStringCreateFromExternalRepresentation(NULL, reply, kCFStringEncodingUTF8);
    REQUIRE(text && CFStringCompare(text, CFSTR("LIGHT"), 0) == kCFCompareEqualTo);
    CFRelease(text);
    CFRelease(reply);
    CFRelease(data);
}

static void send_notes(CFMessagePortRef port)
{
    SInt32 notes = 0;
    CFDataRef reply = NULL;
    for (int i = 0; i < 3; i++)
        REQUIRE(CFMessagePortSendRequest(port, NOTE, NULL, 20, 0, NULL, NULL) == kCFMessagePortSuccess);
    REQUIRE(CFMessagePortSendRequest(port, NOTES, NULL, 20, 20, kCFRunLoopDefaultMode, &reply) ==
            kCFMessagePortSuccess);
    REQUIRE(reply && CFDataGetLength(reply) == sizeof notes);
    CFDataGetBytes(reply, CFRangeMake(0, sizeof notes), (UInt8 *)&notes);
    REQUIRE(notes == 3);
    CFRelease(reply);
}

static void wait_in_vain(CFMessagePortRef port, pid_t server)
{
    CFDataRef reply = NULL;
    REQUIRE(kill(server, SIGSTOP) == 0 && waitpid(server, NULL, WUNTRACED) == server);
    SInt32 result = CFMessagePortSendRequest(port, NOTHING, NULL, 20, 0.1, kCFRunLoopDefaultMode, &reply);
    REQUIRE(result == kCFMessagePortReceiveTimeout && !reply);
    REQUIRE(kill(server, SIGCONT) == 0);
    REQUIRE(CFMessagePortIsValid(port));
}

static void remote_ended(CFMessagePortRef port, void *info)
{
    (void)info;
    REQUIRE(!CFMessagePortIsValid(port));
    CFRunLoopStop(CFRunLoopGetCurrent());
}

static void give_up(CFRunLoopTimerRef timer, void *info)
{
    (void)timer, (void)info;
    REQUIRE(!"the invalidation callback was called");
}

static void see_it_go(CFMessagePortRef port)
{
    CFAbsoluteTime late = CFAbsoluteTimeGetCurrent() + 20;
    CFRunLoopTimerRef timer = CFRunLoopTimerCreate(NULL, late, 0, 0, 0, give_up, NULL);
    CFRunLoopAddTimer(CFRunLoopGetCurrent(), timer, kCFRunLoopCommonModes);
    CFMessagePortSetInvalidationCallBack(port, remote_ended);
    REQUIRE(CFMessagePortSendRequest(port, QUIT, NULL, 20, 0, NULL, NULL) == kCFMessagePortSuccess);
    CFRunLoopRun();
    REQUIRE(CFMessagePortSendRequest(port, NOTES, NULL, 1, 1, kCFRunLoopDefaultMode, NULL) == kCFMessagePortIsInvalid);
    CFRunLoopTimerInvalidate(timer);
    CFRelease(timer);
}

static int ask(char *program, char *text)
{
    pid_t server;
    int status;
    char *arguments[] = {program, "serve", text, NULL};
    CFStringRef name = make_name(text);
    REQUIRE(posix_spawn(&server, program, NULL, NULL, arguments, environ) == 0);
    CFMessagePortRef port = find(name);
    ask_for_upper_case(port);
    send_notes(port);
    wait_in_vain(port, server);
    ask_for_upper_case(port);
    see_it_go(port);
    CFRelease(port);
    REQUIRE(waitpid(server, &status, 0) == server && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    REQUIRE(!CFMessagePortCreateRemote(kCFAllocatorDefault, name));
    CFRelease(name);
    return 0;
}

int main(int argc, char **argv)
{
    char name[64];
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2]);
    snprintf(name, sizeof name, "com.example.port.%ld", (long)getpid());
    return ask(argv[0], name);
}
