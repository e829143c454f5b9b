/* SPDX-License-Identifier: MIT */
/* From here on CoreFoundation's names are CoreFoundation's again. May be included again. */
#ifndef LM_PUBLIC_HEADER
#    error "include <LightMessaging/LightMessaging.h>; the files in detail/ are its implementation"
#endif

#undef CFGetRetainCount
#undef CFMachPortCallBack
#undef CFMachPortContext
#undef CFMachPortCreate
#undef CFMachPortCreateRunLoopSource
#undef CFMachPortCreateWithPort
#undef CFMachPortGetPort
#undef CFMachPortInvalidate
#undef CFMachPortInvalidationCallBack
#undef CFMachPortIsValid
#undef CFMachPortRef
#undef CFMachPortSetInvalidationCallBack
#undef CFRelease
#undef CFRetain
#undef CFRunLoopAddSource
#undef CFRunLoopAddTimer
#undef CFRunLoopGetCurrent
#undef CFRunLoopGetMain
#undef CFRunLoopRef
#undef CFRunLoopRemoveSource
#undef CFRunLoopRemoveTimer
#undef CFRunLoopRun
#undef CFRunLoopRunInMode
#undef CFRunLoopSourceRef
#undef CFRunLoopStop
#undef CFRunLoopTimerCallBack
#undef CFRunLoopTimerContext
#undef CFRunLoopTimerCreate
#undef CFRunLoopTimerInvalidate
#undef CFRunLoopTimerIsValid
#undef CFRunLoopTimerRef
#undef CFRunLoopWakeUp
#undef kCFRunLoopRunFinished
#undef kCFRunLoopRunHandledSource
#undef kCFRunLoopRunStopped
#undef kCFRunLoopRunTimedOut
