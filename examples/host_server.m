/* SPDX-License-Identifier: MIT */
/*
 * A service in Objective-C, on an NSRunLoop that also serves a timer. It replies with what Foundation knows about this
 * machine, as a property list. Needs only gobjc and GNUstep's base library:
 *
 *   gcc -x objective-c -std=gnu11 $(gnustep-config --objc-flags) -I include examples/host_server.m \
 *       $(gnustep-config --base-libs) -o host_server
 */
#import <Foundation/Foundation.h>
#import <LightMessaging/LightMessaging.h>
#include <stdio.h>

#define HOST_SERVICE "com.example.host"

enum { HOST_FACTS = 1 }; /* an array of strings, the requested facts; the reply is a dictionary of those that exist */

@interface Host : NSObject {
    unsigned seconds;
}
- (void)secondPassed:(NSTimer *)timer;
- (NSDictionary *)factsNamed:(NSArray *)names;
@end

@implementation Host

- (void)secondPassed:(NSTimer *)timer
{
    (void)timer;
    seconds++;
}

- (NSDictionary *)allFacts
{
    NSProcessInfo *process = [NSProcessInfo processInfo];
    return [NSDictionary dictionaryWithObjectsAndKeys:[process hostName], @"name",
                                                      [process operatingSystemVersionString], @"system",
                                                      [NSNumber numberWithUnsignedInteger:[process processorCount]],
                                                      @"processors", [NSDate date], @"time",
                                                      [NSNumber numberWithUnsignedInt:seconds], @"seconds served", nil];
}

- (NSDictionary *)factsNamed:(NSArray *)names
{
    NSDictionary *all = [self allFacts];
    NSMutableDictionary *facts = [NSMutableDictionary dictionary];
    NSEnumerator *wanted = [names objectEnumerator];
    id name;
    while ((name = [wanted nextObject]) != nil) {
        id fact = [all objectForKey:name];
        if (fact)
            [facts setObject:fact forKey:name];
    }
    return facts;
}

@end

/* A client may send any property list, or data that are not one. */
static void answer(CFMachPortRef port, LMMessage *request, CFIndex size, void *info)
{
    (void)port, (void)size;
    mach_port_t reply = request->head.msgh_remote_port;
    SInt32 what = request->head.msgh_id;
    id names = LMResponseConsumePropertyList((LMResponseBuffer *)request);
    bool valid = what == HOST_FACTS && [names isKindOfClass:[NSArray class]];
    kern_return_t error = LMSendPropertyListReply(reply, valid ? [(Host *)info factsNamed:names] : nil);
    if (error != KERN_SUCCESS)
        fprintf(stderr, "host_server: reply: %s\n", mach_error_string(error));
}

int main(void)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    Host *host = [[[Host alloc] init] autorelease];
    kern_return_t error =
        LMStartServiceWithUserInfo(HOST_SERVICE, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer, host);
    if (error != KERN_SUCCESS) {
        fprintf(stderr, "host_server: %s: %s\n", HOST_SERVICE, mach_error_string(error));
        [pool release];
        return 1;
    }
    [NSTimer scheduledTimerWithTimeInterval:1 target:host selector:@selector(secondPassed:) userInfo:nil repeats:YES];
    puts("serving " HOST_SERVICE);
    fflush(stdout);
    [[NSRunLoop currentRunLoop] run];
    [pool release];
    return 0;
}
