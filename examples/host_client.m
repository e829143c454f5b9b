/* SPDX-License-Identifier: MIT */
/* Asks the host service for some of what it knows, waits until a second has passed there, and prints that. Built like
 * host_server. */
#define LIGHTMESSAGING_TIMEOUT 5000

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
    return [facts isKindOfClass:[NSDictionary class]] ? facts : nil;
}

static void print_facts(NSDictionary *facts)
{
    NSEnumerator *names = [[[facts allKeys] sortedArrayUsingSelector:@selector(compare:)] objectEnumerator];
    NSString *name;
    while ((name = [names nextObject]) != nil)
        printf("  %-15s %s\n", [name UTF8String], [[[facts objectForKey:name] description] UTF8String]);
}

/* Whether the service's timer has gone on beside its answers. */
static bool has_ticked(void)
{
    NSArray *seconds = [NSArray arrayWithObject:@"seconds served"];
    int before = [[ask(seconds) objectForKey:@"seconds served"] intValue];
    for (int i = 0; i < 40; i++) {
        [NSThread sleepForTimeInterval:0.25];
        if ([[ask(seconds) objectForKey:@"seconds served"] intValue] > before)
            return true;
    }
    return false;
}

int main(void)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    NSDictionary *facts =
        ask([NSArray arrayWithObjects:@"name", @"processors", @"time", @"system", @"no such fact", nil]);
    print_facts(facts);
    bool good = [facts count] == 4 && has_ticked();
    if (!good)
        fprintf(stderr, "host_client: the service does not answer as it should\n");
    else
        puts("  and a second passes there, too");
    [pool release];
    return good ? 0 : 1;
}
