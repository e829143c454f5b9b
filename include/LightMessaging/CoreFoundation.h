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
 */
#ifndef LIGHTMESSAGING_COREFOUNDATION_H
#define LIGHTMESSAGING_COREFOUNDATION_H

#define LM_PUBLIC_HEADER 1

#include "Mach.h"

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
typedef const struct lm_mode *CFStringRef; /* only the two run-loop modes below exist */
typedef CFStringRef CFRunLoopMode;
typedef const struct lm_data *CFDataRef;
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

#define kCFRunLoopDefaultMode LM_MODE(0)
#define kCFRunLoopCommonModes LM_MODE(1)

/* Memory comes from malloc whatever allocator is named. kCFAllocatorNull as a deallocator means: don't free. */
#define kCFAllocatorDefault ((CFAllocatorRef)0)
#define kCFAllocatorMalloc  LM_ALLOCATOR(0)
#define kCFAllocatorNull    LM_ALLOCATOR(1)

#include "detail/process.h"

/* Adds a reference and returns the object; gives one up. NULL is an error of the caller in CoreFoundation; here it is
 * ignored. */
LM_API CFTypeRef CFRetain(CFTypeRef object);
LM_API void CFRelease(CFTypeRef object);
LM_API CFIndex CFGetRetainCount(CFTypeRef object);

/* The wall clock. */
LM_API CFAbsoluteTime CFAbsoluteTimeGetCurrent(void);

/* A copy of `length` bytes. NULL if length is negative, bytes is NULL with a length, or memory runs out. */
LM_API CFDataRef CFDataCreate(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length);
/* The bytes themselves, which must outlive the object; freed with it by `deallocator` (NULL: free), or not
 * (kCFAllocatorNull). */
LM_API CFDataRef CFDataCreateWithBytesNoCopy(CFAllocatorRef allocator, const UInt8 *bytes, CFIndex length,
                                             CFAllocatorRef deallocator);
/* Borrowed until the object goes. */
LM_API const UInt8 *CFDataGetBytePtr(CFDataRef data);
LM_API CFIndex CFDataGetLength(CFDataRef data);

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

#include "detail/cf_base.h"
#include "detail/cf_run_loop.h"

#endif
