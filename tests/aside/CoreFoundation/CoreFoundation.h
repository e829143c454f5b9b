/* SPDX-License-Identifier: MIT */
/* Stands in for a real CoreFoundation in aside.c: the parts that a program needs which uses both, with types of its own
 * and the functions that would clash. */
#ifndef TESTS_ASIDE_COREFOUNDATION_H
#define TESTS_ASIDE_COREFOUNDATION_H

#include <stdint.h>

typedef unsigned char Boolean;
typedef uint8_t UInt8;
typedef int32_t SInt32;
typedef uint32_t UInt32;
typedef long CFIndex;
typedef unsigned long CFOptionFlags;
typedef double CFTimeInterval;
typedef double CFAbsoluteTime;
typedef const void *CFTypeRef;
typedef const struct real_allocator *CFAllocatorRef;
typedef const struct real_string *CFStringRef;
typedef const struct real_data *CFDataRef;
typedef struct real_loop *CFRunLoopRef;
typedef struct real_timer *CFRunLoopTimerRef;
typedef struct real_port *CFMachPortRef;
typedef struct {
    CFIndex version;
} CFRunLoopTimerContext;

enum { kCFRunLoopRunFinished = 1, kCFRunLoopRunStopped = 2 };
extern const CFStringRef kCFRunLoopDefaultMode;
extern const CFAllocatorRef kCFAllocatorDefault, kCFAllocatorMalloc, kCFAllocatorNull;
#define CFSTR(literal) real_constant(literal)

CFStringRef real_constant(const char *literal);
CFTypeRef CFRetain(CFTypeRef object);
void CFRelease(CFTypeRef object);
CFDataRef CFDataCreate(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length);
CFDataRef CFDataCreateWithBytesNoCopy(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length,
                                      CFAllocatorRef deallocator);
const UInt8 *CFDataGetBytePtr(CFDataRef data);
CFIndex CFDataGetLength(CFDataRef data);
CFAbsoluteTime CFAbsoluteTimeGetCurrent(void);
CFRunLoopRef CFRunLoopGetCurrent(void);
void CFRunLoopRun(void);
void CFRunLoopTimerInvalidate(CFRunLoopTimerRef timer);

#endif
