/* SPDX-License-Identifier: MIT */
/*
 * The part of CoreFoundation that LightMessaging's interface uses, for systems without CoreFoundation.
 *
 * Ownership follows CoreFoundation: an object that a function with Create in its name returns belongs to the caller,
 * who releases it with CFRelease; an object that a function with Get in its name returns is borrowed.
 *
 * Threads: CFRetain and CFRelease may be called from any thread. Data and strings never change, so any thread may read
 * them. A run loop belongs to the thread that runs it. Any thread may add, remove and invalidate its sources and
 * timers, stop it and wake it. Not to be called from signal handlers.
 *
 * Arguments: unless stated otherwise, object arguments must not be NULL. The `allocator` argument is ignored: memory
 * comes from malloc.
 *
 * Modes: kCFRunLoopDefaultMode and kCFRunLoopCommonModes name the same set of sources and timers, and `mode` arguments
 * are ignored.
 *
 * Strings are stored as UTF-8 and may contain any character but U+0000. CFSTR creates a constant that lives for ever.
 * Use it inside a function; it cannot initialise a static object.
 *
 * On a system with another CoreFoundation, define LIGHTMESSAGING_USE_COREFOUNDATION as 1 for the whole program. Types,
 * data, strings, allocators, the clock, CFRetain and CFRelease then come from <CoreFoundation/CoreFoundation.h>, which
 * this header includes. LightMessaging's own run loops and ports get other names: LMRunLoop... and LMMachPort...
 * instead of CFRunLoop... and CFMachPort..., with the same functions, and LMRetain and LMRelease for the objects that
 * these and LMStartService... return. CFMessagePort.h is not available then.
 */
#ifndef LIGHTMESSAGING_COREFOUNDATION_H
#define LIGHTMESSAGING_COREFOUNDATION_H

#include "detail/ground/quiet.h"
#include "Mach.h"

/* Objective-C with Foundation: a thread's run loop and its NSRunLoop serve each other's sources and timers. */
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
enum { kCFStringEncodingASCII = 0x0600, kCFStringEncodingUTF8 = 0x08000100 }; /* no others */

typedef CFIndex CFComparisonResult;
enum { kCFCompareLessThan = -1, kCFCompareEqualTo = 0, kCFCompareGreaterThan = 1 };

/* All allocators use malloc and free, except kCFAllocatorNull, which as a deallocator frees nothing. */
#define kCFAllocatorDefault       LM_CAST(CFAllocatorRef, LM_NULL)
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

/* The argument of a port's or timer's callbacks. The struct is copied when the object is created. */
typedef struct {
    CFIndex version;                         /* 0 */
    void *info;                              /* passed to the callbacks */
    const void *(*retain)(const void *info); /* called when the object is created; its result replaces info. Or NULL */
    void (*release)(const void *info);       /* called when the object is destroyed. Or NULL */
    CFStringRef (*copyDescription)(const void *info); /* not used */
} CFMachPortContext;
typedef CFMachPortContext CFRunLoopTimerContext;

/* Results of CFRunLoopRunInMode. */
enum { kCFRunLoopRunFinished = 1, kCFRunLoopRunStopped = 2, kCFRunLoopRunTimedOut = 3, kCFRunLoopRunHandledSource = 4 };

#include "detail/cf/constants.h"

/* Adds a reference and returns the object. NULL is ignored (in CoreFoundation it is an error). */
LM_API CFTypeRef CFRetain(CFTypeRef object);
/* Releases a reference; the last one destroys the object. NULL is ignored. */
LM_API void CFRelease(CFTypeRef object);
/* The number of references, for debugging: LONG_MAX for a constant, 0 for NULL. */
LM_API CFIndex CFGetRetainCount(CFTypeRef object);

#if !LIGHTMESSAGING_USE_COREFOUNDATION

/* The time of the wall clock. */
LM_API CFAbsoluteTime CFAbsoluteTimeGetCurrent(void);

/* Creates data with a copy of `length` bytes. NULL if `length` is negative, `bytes` is NULL and `length` is not 0, or
 * memory runs out. */
LM_API CFDataRef CFDataCreate(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length);
/* Creates data that use `bytes` without a copy; the bytes must stay valid and unchanged as long as the object lives.
 * The object frees them with free(), unless `deallocator` is kCFAllocatorNull. Errors as in CFDataCreate; after one the
 * bytes are still the caller's. */
LM_API CFDataRef CFDataCreateWithBytesNoCopy(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length,
                                             CFAllocatorRef deallocator);
/* Creates data that stay valid: the same object with another reference, or a copy if the object does not own its bytes
 * (kCFAllocatorNull), as with the data that a CFMessagePort passes to its callback. NULL if memory runs out. */
LM_API CFDataRef CFDataCreateCopy(CFAllocatorRef allocator, CFDataRef data);
/* The bytes, valid as long as the object lives. */
LM_API const UInt8 *CFDataGetBytePtr(CFDataRef data);
/* The length in bytes. */
LM_API CFIndex CFDataGetLength(CFDataRef data);
/* Copies a range of the bytes to `buffer`. Copies nothing if the range is not within the data. */
LM_API void CFDataGetBytes(CFDataRef data, CFRange range, UInt8 *buffer);
/* The range of `length` bytes from `location`. */
LM_API CFRange CFRangeMake(CFIndex location, CFIndex length);

/* Create a string with a copy of the bytes. NULL if the argument is NULL, the bytes are not valid in the encoding or
 * contain a NUL, the encoding is not one of the two above, or memory runs out. isExternalRepresentation is ignored. */
LM_API CFStringRef CFStringCreateWithCString(CFAllocatorRef allocator, const char *string, CFStringEncoding encoding);
LM_API CFStringRef CFStringCreateWithBytes(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length,
                                           CFStringEncoding encoding, Boolean isExternalRepresentation);
LM_API CFStringRef CFStringCreateFromExternalRepresentation(CFAllocatorRef allocator, CFDataRef data,
                                                            CFStringEncoding encoding);
/* Returns the same object with another reference. */
LM_API CFStringRef CFStringCreateCopy(CFAllocatorRef allocator, CFStringRef string);
/* Creates data with the string's bytes in the encoding. In ASCII, `lossByte` replaces each other character. NULL if the
 * encoding cannot represent the string and `lossByte` is 0, the encoding is unknown, or memory runs out. */
LM_API CFDataRef CFStringCreateExternalRepresentation(CFAllocatorRef allocator, CFStringRef string,
                                                      CFStringEncoding encoding, UInt8 lossByte);
/* The length in UTF-16 units: one for each character, two for each character beyond U+FFFF. */
LM_API CFIndex CFStringGetLength(CFStringRef string);
/* The maximum number of bytes of a string of `length` UTF-16 units in the encoding, without a NUL. */
LM_API CFIndex CFStringGetMaximumSizeForEncoding(CFIndex length, CFStringEncoding encoding);
/* Copies the string and a NUL to the buffer of `size` bytes. False, and the buffer is unchanged, if they do not fit or
 * the encoding cannot represent the string. */
LM_API Boolean CFStringGetCString(CFStringRef string, char *buffer, CFIndex size, CFStringEncoding encoding);
/* The string's own bytes with a NUL, valid as long as the string lives; NULL if the encoding cannot represent it. */
LM_API const char *CFStringGetCStringPtr(CFStringRef string, CFStringEncoding encoding);
/* Compares two strings by code points. `options` is ignored. */
LM_API CFComparisonResult CFStringCompare(CFStringRef a, CFStringRef b, CFOptionFlags options);

#endif

/* The calling thread's run loop, created on first use and valid until the thread ends. NULL if memory runs out. */
LM_API CFRunLoopRef CFRunLoopGetCurrent(void);
/* The run loop of the process's main thread. NULL if memory runs out. */
LM_API CFRunLoopRef CFRunLoopGetMain(void);
/* Runs the calling thread's run loop until it is stopped or has neither sources nor timers. */
LM_API void CFRunLoopRun(void);
/*
 * The same, but for at most `seconds`; with 0 the loop makes one pass and does not wait. If `returnAfterSourceHandled`
 * is true, it returns after one source.
 *
 *   kCFRunLoopRunFinished       the loop has neither sources nor timers, or memory ran out
 *   kCFRunLoopRunStopped        CFRunLoopStop was called
 *   kCFRunLoopRunTimedOut       the time is over
 *   kCFRunLoopRunHandledSource  a source was served, and `returnAfterSourceHandled` is true
 */
LM_API SInt32 CFRunLoopRunInMode(CFStringRef mode, CFTimeInterval seconds, Boolean returnAfterSourceHandled);
/* Makes the innermost run of the loop return after the current callback. NULL is ignored. */
LM_API void CFRunLoopStop(CFRunLoopRef loop);
/* Wakes a sleeping loop, which makes another pass. NULL is ignored. */
LM_API void CFRunLoopWakeUp(CFRunLoopRef loop);
/* Add and remove sources and timers. The loop holds a reference to the source's port, or to the timer. A source's port
 * and a timer stay with the first loop that they are added to; adding them to another loop has no effect. Adding twice
 * has no further effect. NULL arguments are ignored. */
LM_API void CFRunLoopAddSource(CFRunLoopRef loop, CFRunLoopSourceRef source, CFStringRef mode);
LM_API void CFRunLoopRemoveSource(CFRunLoopRef loop, CFRunLoopSourceRef source, CFStringRef mode);
LM_API void CFRunLoopAddTimer(CFRunLoopRef loop, CFRunLoopTimerRef timer, CFStringRef mode);
LM_API void CFRunLoopRemoveTimer(CFRunLoopRef loop, CFRunLoopTimerRef timer, CFStringRef mode);

/* Creates a timer that fires first at `fireDate`, then every `interval` seconds, or only once if `interval` is 0. The
 * callback is called in the thread that runs the loop. `context` may be NULL; `flags` and `order` are ignored. NULL if
 * memory runs out. */
LM_API CFRunLoopTimerRef CFRunLoopTimerCreate(CFAllocatorRef allocator, CFAbsoluteTime fireDate,
                                              CFTimeInterval interval, CFOptionFlags flags, CFIndex order,
                                              CFRunLoopTimerCallBack callback, CFRunLoopTimerContext *context);
/* Stops the timer and removes it from its loop. Idempotent. NULL is ignored. */
LM_API void CFRunLoopTimerInvalidate(CFRunLoopTimerRef timer);
/* Whether the timer was not invalidated and, if it fires once, has not fired. False for NULL. */
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

#include "detail/ground/quiet_end.h"

#endif
