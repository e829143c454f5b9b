/* SPDX-License-Identifier: MIT */
/* Beside a real CoreFoundation: from here to cf_aside_end.h our own run loops and ports have names of their own. May be
 * included again. */
#ifndef LM_PUBLIC_HEADER
#    error "include <LightMessaging/LightMessaging.h>; the files in detail/ are its implementation"
#endif

#define CFGetRetainCount                  LMGetRetainCount
#define CFMachPortCallBack                LMMachPortCallBack
#define CFMachPortContext                 LMMachPortContext
#define CFMachPortCreate                  LMMachPortCreate
#define CFMachPortCreateRunLoopSource     LMMachPortCreateRunLoopSource
#define CFMachPortCreateWithPort          LMMachPortCreateWithPort
#define CFMachPortGetPort                 LMMachPortGetPort
#define CFMachPortInvalidate              LMMachPortInvalidate
#define CFMachPortInvalidationCallBack    LMMachPortInvalidationCallBack
#define CFMachPortIsValid                 LMMachPortIsValid
#define CFMachPortRef                     LMMachPortRef
#define CFMachPortSetInvalidationCallBack LMMachPortSetInvalidationCallBack
#define CFRelease                         LMRelease
#define CFRetain                          LMRetain
#define CFRunLoopAddSource                LMRunLoopAddSource
#define CFRunLoopAddTimer                 LMRunLoopAddTimer
#define CFRunLoopGetCurrent               LMRunLoopGetCurrent
#define CFRunLoopGetMain                  LMRunLoopGetMain
#define CFRunLoopRef                      LMRunLoopRef
#define CFRunLoopRemoveSource             LMRunLoopRemoveSource
#define CFRunLoopRemoveTimer              LMRunLoopRemoveTimer
#define CFRunLoopRun                      LMRunLoopRun
#define CFRunLoopRunInMode                LMRunLoopRunInMode
#define CFRunLoopSourceRef                LMRunLoopSourceRef
#define CFRunLoopStop                     LMRunLoopStop
#define CFRunLoopTimerCallBack            LMRunLoopTimerCallBack
#define CFRunLoopTimerContext             LMRunLoopTimerContext
#define CFRunLoopTimerCreate              LMRunLoopTimerCreate
#define CFRunLoopTimerInvalidate          LMRunLoopTimerInvalidate
#define CFRunLoopTimerIsValid             LMRunLoopTimerIsValid
#define CFRunLoopTimerRef                 LMRunLoopTimerRef
#define CFRunLoopWakeUp                   LMRunLoopWakeUp
#define kCFRunLoopRunFinished             kLMRunLoopRunFinished
#define kCFRunLoopRunHandledSource        kLMRunLoopRunHandledSource
#define kCFRunLoopRunStopped              kLMRunLoopRunStopped
#define kCFRunLoopRunTimedOut             kLMRunLoopRunTimedOut
