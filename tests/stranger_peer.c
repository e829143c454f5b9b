/* SPDX-License-Identifier: MIT */
/*
 * The library's side of strangers.py: a program of the public interface alone.
 *
 *     serve NAME    serves the name; what it does with a message is in its id, below. Says "serving" first
 *     talk NAME     reads a command from each line, and answers each with a line:
 *                     call MILLISECONDS ID TEXT    the status, and the text or the status that came as the reply
 *                     send ID TEXT                 a one-way message: the status
 *                     versions                     what the name's service told about its versions
 */
#include <LightMessaging/LightMessaging.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The same numbers are in strangers.py. A message of another id is sent back. */
enum { COLLECT = 100, COLLECTED, HOLD, IS_AWAITED, WATCH, TIME_LEFT, STATUS, DROP };
enum { A_STATUS = -77 };

static char collected[1024];
static mach_port_t held;

static void say(const char *what)
{
    puts(what);
    fflush(stdout);
}

static void collect(LMMessage *message)
{
    size_t used = strlen(collected);
    snprintf(collected + used, sizeof collected - used, "%.*s", (int)LMMessageGetDataLength(message),
             (const char *)LMMessageGetData(message));
}

/* Returns when nobody waits for the answer any more. */
static void watch(LMMessage *message)
{
    say("watching");
    while (LMMessageGetTimeLeft(message) != 0)
        usleep(1000);
    say("given up");
    (void)mach_port_deallocate(mach_task_self(), message->head.msgh_remote_port);
}

static void hold(mach_port_t reply)
{
    if (held)
        (void)mach_port_deallocate(mach_task_self(), held);
    held = reply;
}

static void answer_special(LMMessage *message, mach_port_t reply)
{
    switch (message->head.msgh_id) {
    case COLLECTED:
        LMSendReply(reply, collected, (uint32_t)strlen(collected));
        break;
    case IS_AWAITED:
        LMSendIntegerReply(reply, LMReplyIsAwaited(held));
        break;
    case TIME_LEFT:
        LMSendIntegerReply(reply, (int)LMMessageGetTimeLeft(message));
        break;
    case STATUS:
        LMSendStatusReply(reply, A_STATUS);
        break;
    case DROP:
        (void)mach_port_deallocate(mach_task_self(), reply);
        break;
    default:
        LMSendReply(reply, LMMessageGetData(message), LMMessageGetDataLength(message));
    }
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    if (message->head.msgh_id == COLLECT)
        collect(message);
    else if (message->head.msgh_id == HOLD)
        hold(message->head.msgh_remote_port);
    else if (message->head.msgh_id == WATCH)
        watch(message);
    else
        answer_special(message, message->head.msgh_remote_port);
}

static int serve(const char *name)
{
    kern_return_t status = LMStartService(name, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer);
    if (status)
        return fprintf(stderr, "cannot serve: %s\n", mach_error_string(status)), 1;
    say("serving");
    CFRunLoopRun();
    return 1;
}

static void call(LMConnectionRef connection, uint32_t milliseconds, SInt32 id, const char *text)
{
    LMResponseBuffer response;
    kern_return_t status =
        LMConnectionSendTwoWayWithTimeout(connection, id, text, (uint32_t)strlen(text), milliseconds, &response);
    if (status == LM_STATUS_REPLY)
        printf("%d %" PRId32 "\n", status, LMResponseGetStatus(&response));
    else
        printf("%d %.*s\n", status, (int)LMMessageGetDataLength(&response.message),
               status ? "" : (const char *)LMMessageGetData(&response.message));
    LMResponseBufferFree(&response);
}

static void print_versions(LMConnectionRef connection)
{
    LMServiceVersions versions;
    memset(&versions, 0, sizeof versions);
    kern_return_t status = LMConnectionGetServiceVersions(connection, &versions);
    printf("%d %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %d\n", status, versions.lowest, versions.highest,
           versions.spoken, versions.features, versions.otherByteOrder);
}

static void obey(LMConnectionRef connection, const char *line)
{
    uint32_t milliseconds;
    SInt32 id;
    char text[64] = "";
    if (sscanf(line, "call %" SCNu32 " %" SCNd32 " %63s", &milliseconds, &id, text) >= 2)
        call(connection, milliseconds, id, text);
    else if (sscanf(line, "send %" SCNd32 " %63s", &id, text) >= 1)
        printf("%d\n", LMConnectionSendOneWay(connection, id, text, (uint32_t)strlen(text)));
    else
        print_versions(connection);
    fflush(stdout);
}

static int talk(const char *name)
{
    char line[256];
    LMConnection connection;
    memset(&connection, 0, sizeof connection);
    strncpy(connection.serverName, name, sizeof connection.serverName - 1);
    while (fgets(line, sizeof line, stdin))
        obey(&connection, line);
    return 0;
}

int main(int count, char **arguments)
{
    if (count != 3)
        return fprintf(stderr, "usage: stranger_peer serve|talk NAME\n"), 2;
    return strcmp(arguments[1], "serve") == 0 ? serve(arguments[2]) : talk(arguments[2]);
}
