/* SPDX-License-Identifier: MIT */
/* Requests some facts from the host service, prints them, and waits until the service's timer has counted a second.
 * Built like host_server. */
#define LIGHTMESSAGING_TIMEOUT 5000 /* milliseconds */

#import <Foundation/Foundation.h>
#import <LightMessaging/LightMessaging.h>
#include <stdio.h>

static LMConnection service = {MACH_PORT_NULL, "com.example.host"};

static NSDictionary *ask(NSArray *names)
{
    LMResponseBuffer response;
    kern_return_t error = LMConnectionSendTwoWayPropertyList(&service, 1, names, &response);
    if (error != KERN_SUCCESS) {
        fprintf(stderr, "host_client: %s\n", mach_error_string(error));
        return nil;
    }
    id facts = LMResponseConsumePropertyList(&response);
    if ([facts isKindOfClass:[NSDictionary class]])
        return facts;
    fprintf(stderr, "host_client: the reply is not a dictionary\n");
    return nil;
}

static void print_facts(NSDictionary *facts)
{
    NSEnumerator *names = [[[facts allKeys] sortedArrayUsingSelector:@selector(compare:)] objectEnumerator];
    NSString *name;
    while ((name = [names nextObject]) != nil)
        printf("  %-15s %s\n", [name UTF8String], [[[facts objectForKey:name] description] UTF8String]);
}

/* The service's count of seconds; -1 if the reply has no such number. */
static int seconds_served(void)
{
    id seconds = [ask([NSArray arrayWithObject:@"seconds served"]) objectForKey:@"seconds served"];
    return [seconds isKindOfClass:[NSNumber class]] ? [seconds intValue] : -1;
}

/* Whether the service's timer fires while the service replies. */
static bool has_ticked(void)
{
    int before = seconds_served();
    for (int i = 0; before >= 0 && i < 40; i++) {
        [NSThread sleepForTimeInterval:0.25];
        if (seconds_served() > before)
            return true;
    }
    return false;
}

int main(void)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    NSDictionary *facts =
        ask([NSArray arrayWithObjects:@"name", @"processors", @"time", @"system", @"no such fact", nil]);
    bool good = [facts count] == 4;
    if (good) {
        print_facts(facts);
        good = has_ticked();
    }
    if (good)
        puts("  the service's timer fires");
    else
        fprintf(stderr, "host_client: the reply is incomplete, or the service's timer does not fire\n");
    [pool release];
    return good ? 0 : 1;
}
