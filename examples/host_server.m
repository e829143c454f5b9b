/* SPDX-License-Identifier: MIT */
/*
 * A service in Objective-C, on an NSRunLoop with a timer beside it: what Foundation knows of this machine, as a
 * property list. Needs gobjc and GNUstep's base library, and nothing else:
 *
 *   gcc -x objective-c -std=gnu11 $(gnustep-config --objc-flags) -I include examples/host_server.m \
 *       $(gnustep-config --base-libs) -o host_server
 */
#import <Foundation/Foundation.h>
#import <LightMessaging/LightMessaging.h>
#include <stdio.h>

#define HOST_SERVICE "com.example.host"

enum { HOST_FACTS = 1 }; /* an array of strings, the facts that are wanted; the reply is a dictionary of them */

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

/* What comes from a client may be any property list, or none. */
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
