/* SPDX-License-Identifier: MIT */
/*
 * The CoreFoundation names that LightMessaging's interface speaks in, for systems without CoreFoundation.
 *
 * Ownership is CoreFoundation's: what a function with Create in its name returns is yours, to be given up with
 * CFRelease; what one with Get returns is borrowed. Reference counts may change in any thread. A run loop belongs to
 * the thread that runs it; sources and timers may be added, removed and invalidated, and the loop stopped and woken,
 * from any other.
 *
 * Modes: kCFRunLoopDefaultMode and kCFRunLoopCommonModes name the same set of sources and timers here.
 *
 * Strings are kept as UTF-8, never change, and may hold any character but U+0000. CFSTR makes a constant, which lives
 * for ever, inside a function; it can't initialise a static object.
 *
 * Where there is a real CoreFoundation, define LIGHTMESSAGING_USE_COREFOUNDATION as 1 for the whole program. Then
 * types, data, strings, allocators, the clock, CFRetain and CFRelease are that one's, whose header is included
 * (<CoreFoundation/CoreFoundation.h>). What LightMessaging serves itself steps aside under names of its own:
 * LMRunLoop... and LMMachPort... for CFRunLoop... and CFMachPort..., with the same functions, and LMRetain and
 * LMRelease for what these and LMStartService... return. Modes are ignored then; CFMessagePort.h can't be had then.
 */
#ifndef LIGHTMESSAGING_COREFOUNDATION_H
#define LIGHTMESSAGING_COREFOUNDATION_H

#include "Mach.h"

/* Objective-C with a Foundation: a thread's run loop and its NSRunLoop serve each other's sources and timers. */
#if defined(__OBJC__) && defined(__has_include)
#if __has_include(<Foundation/Foundation.h>)
#define LM_FOUNDATION 1
#import <Foundation/Foundation.h>
#endif
#endif

#ifndef LIGHTMESSAGING_USE_COREFOUNDATION
#define LIGHTMESSAGING_USE_COREFOUNDATION 0
#endif

#if LIGHTMESSAGING_USE_COREFOUNDATION
#include <CoreFoundation/CoreFoundation.h>
#include "detail/cf/aside.h"
#else

typedef unsigned char Boolean;
typedef uint8_t UInt8;
typedef int32_t SInt32;
typedef uint32_t UInt32;
typedef long CFIndex;
typedef unsigned long CFOptionFlags;
typedef double CFTimeInterval; /* seconds */
typedef double CFAbsoluteTime; /* seconds since 2001-01-01 00:00:00 UTC, on the wall clock */

typedef const void *CFTypeRef;
typedef const struct lm_allocator *CFAllocatorRef;
typedef const struct lm_string *CFStringRef;
typedef const struct lm_data *CFDataRef;
typedef CFStringRef CFRunLoopMode;

typedef struct {
    CFIndex location;
    CFIndex length;
} CFRange;

typedef UInt32 CFStringEncoding;
enum { kCFStringEncodingASCII = 0x0600, kCFStringEncodingUTF8 = 0x08000100 }; /* others are refused */

typedef CFIndex CFComparisonResult;
enum { kCFCompareLessThan = -1, kCFCompareEqualTo = 0, kCFCompareGreaterThan = 1 };

/* Memory comes from malloc whatever allocator is named. kCFAllocatorNull as a deallocator means: don't free. */
#define kCFAllocatorDefault       ((CFAllocatorRef)0)
#define kCFAllocatorMalloc        LM_ALLOCATOR(0)
#define kCFAllocatorSystemDefault LM_ALLOCATOR(0)
#define kCFAllocatorNull          LM_ALLOCATOR(1)

#define kCFRunLoopDefaultMode LM_MODE(0)
#define kCFRunLoopCommonModes LM_MODE(1)

/* A constant string from a literal. */
#define CFSTR(literal)        LM_STRING(literal)

#endif

typedef struct lm_loop *CFRunLoopRef;
typedef struct lm_source *CFRunLoopSourceRef;
typedef struct lm_cf_timer *CFRunLoopTimerRef;
typedef struct lm_service *CFMachPortRef; /* its functions are in CFMachPort.h */

typedef void (*CFMachPortCallBack)(CFMachPortRef port, void *message, CFIndex size, void *info);
typedef void (*CFMachPortInvalidationCallBack)(CFMachPortRef port, void *info);
typedef void (*CFRunLoopTimerCallBack)(CFRunLoopTimerRef timer, void *info);

/* `info` goes to the callbacks. `retain` and `release`, where given, are called when the object is made and when it
 * goes. */
typedef struct {
    CFIndex version; /* 0 */
    void *info;
    const void *(*retain)(const void *info);
    void (*release)(const void *info);
    CFStringRef (*copyDescription)(const void *info);
} CFMachPortContext;
typedef CFMachPortContext CFRunLoopTimerContext;

enum { kCFRunLoopRunFinished = 1, kCFRunLoopRunStopped = 2, kCFRunLoopRunTimedOut = 3, kCFRunLoopRunHandledSource = 4 };

#include "detail/cf/constants.h"

/* Adds a reference and returns the object; gives one up. NULL is an error of the caller in CoreFoundation; here it is
 * ignored. */
LM_API CFTypeRef CFRetain(CFTypeRef object);
LM_API void CFRelease(CFTypeRef object);
LM_API CFIndex CFGetRetainCount(CFTypeRef object);

#if !LIGHTMESSAGING_USE_COREFOUNDATION

/* The wall clock. */
LM_API CFAbsoluteTime CFAbsoluteTimeGetCurrent(void);

/* A copy of `length` bytes. NULL if length is negative, bytes is NULL with a length, or memory runs out. */
LM_API CFDataRef CFDataCreate(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length);
/* The bytes themselves, which must outlive the object; freed with it by `deallocator` (NULL: free), or not
 * (kCFAllocatorNull). */
LM_API CFDataRef CFDataCreateWithBytesNoCopy(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length,
                                             CFAllocatorRef deallocator);
/* Data that last: the same object once more, or a copy if its bytes are somebody else's (kCFAllocatorNull), as those
 * are that a CFMessagePort's callback is given. NULL if memory runs out. */
LM_API CFDataRef CFDataCreateCopy(CFAllocatorRef allocator, CFDataRef data);
/* Borrowed until the object goes. */
LM_API const UInt8 *CFDataGetBytePtr(CFDataRef data);
LM_API CFIndex CFDataGetLength(CFDataRef data);
/* Copies a part, which must lie within the data. */
LM_API void CFDataGetBytes(CFDataRef data, CFRange range, UInt8 *buffer);
LM_API CFRange CFRangeMake(CFIndex location, CFIndex length);

/* A copy. NULL if the bytes are not valid in the encoding, which must be one of the two above, or memory runs out. */
LM_API CFStringRef CFStringCreateWithCString(CFAllocatorRef allocator, const char *string, CFStringEncoding encoding);
LM_API CFStringRef CFStringCreateWithBytes(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length,
                                           CFStringEncoding encoding, Boolean isExternalRepresentation);
LM_API CFStringRef CFStringCreateFromExternalRepresentation(CFAllocatorRef allocator, CFDataRef data,
                                                            CFStringEncoding encoding);
/* The same object once more. */
LM_API CFStringRef CFStringCreateCopy(CFAllocatorRef allocator, CFStringRef string);
/* The string's bytes in the encoding. What ASCII can't say becomes `lossByte`, or is an error if that is 0: NULL. */
LM_API CFDataRef CFStringCreateExternalRepresentation(CFAllocatorRef allocator, CFStringRef string,
                                                      CFStringEncoding encoding, UInt8 lossByte);
/* In units of UTF-16: one for each character, two beyond U+FFFF. */
LM_API CFIndex CFStringGetLength(CFStringRef string);
/* How many bytes a string of that length has at most, without a NUL. */
LM_API CFIndex CFStringGetMaximumSizeForEncoding(CFIndex length, CFStringEncoding encoding);
/* Puts the string and a NUL into the buffer. False if they don't fit, or the encoding can't say it. */
LM_API Boolean CFStringGetCString(CFStringRef string, char *buffer, CFIndex size, CFStringEncoding encoding);
/* The string's own bytes with a NUL, borrowed until it goes; NULL if it is not in that encoding. */
LM_API const char *CFStringGetCStringPtr(CFStringRef string, CFStringEncoding encoding);
/* By code points. The only option is 0. */
LM_API CFComparisonResult CFStringCompare(CFStringRef a, CFStringRef b, CFOptionFlags options);

#endif

/* The calling thread's loop, made on first use, borrowed until the thread ends. NULL if memory runs out. */
LM_API CFRunLoopRef CFRunLoopGetCurrent(void);
/* The loop of the process's first thread. */
LM_API CFRunLoopRef CFRunLoopGetMain(void);
/* Runs the calling thread's loop until it is stopped, or has neither sources nor timers. */
LM_API void CFRunLoopRun(void);
/* The same for at most `seconds`; 0 means one pass that does not wait. Returns one of the four results above. */
LM_API SInt32 CFRunLoopRunInMode(CFStringRef mode, CFTimeInterval seconds, Boolean returnAfterSourceHandled);
/* Makes the innermost run of the loop return after the callback it is in. Any thread. */
LM_API void CFRunLoopStop(CFRunLoopRef loop);
/* Makes a sleeping loop look again. Any thread. */
LM_API void CFRunLoopWakeUp(CFRunLoopRef loop);
/* The loop keeps a reference to what it was given. Adding twice changes nothing. */
LM_API void CFRunLoopAddSource(CFRunLoopRef loop, CFRunLoopSourceRef source, CFStringRef mode);
LM_API void CFRunLoopRemoveSource(CFRunLoopRef loop, CFRunLoopSourceRef source, CFStringRef mode);
LM_API void CFRunLoopAddTimer(CFRunLoopRef loop, CFRunLoopTimerRef timer, CFStringRef mode);
LM_API void CFRunLoopRemoveTimer(CFRunLoopRef loop, CFRunLoopTimerRef timer, CFStringRef mode);

/* Fires first at `fireDate`, then every `interval` seconds, or once if that is 0. flags and order: 0. NULL if memory
 * runs out. */
LM_API CFRunLoopTimerRef CFRunLoopTimerCreate(CFAllocatorRef allocator, CFAbsoluteTime fireDate,
                                              CFTimeInterval interval, CFOptionFlags flags, CFIndex order,
                                              CFRunLoopTimerCallBack callback, CFRunLoopTimerContext *context);
/* It fires no more, and its loop gives it up. Idempotent. */
LM_API void CFRunLoopTimerInvalidate(CFRunLoopTimerRef timer);
LM_API Boolean CFRunLoopTimerIsValid(CFRunLoopTimerRef timer);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/cf/object.h"
#if !LIGHTMESSAGING_USE_COREFOUNDATION
#include "detail/cf/base.h"
#include "detail/cf/string.h"
#endif
#include "detail/cf/run_loop.h"
#endif
#ifdef LM_FOUNDATION
#include "detail/objc/run_loop.h"
#endif
#if LIGHTMESSAGING_USE_COREFOUNDATION
#include "detail/cf/aside_end.h"
#endif

#endif
