/* SPDX-License-Identifier: MIT */
/* The smallest service: whatever it is asked, it answers "lol". */
#include <LightMessaging/LightMessaging.h>
#include <stdio.h>

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    LMSendReply(message->head.msgh_remote_port, "lol", sizeof "lol");
}

int main(void)
{
    kern_return_t error = LMStartService("com.example.lol", CFRunLoopGetCurrent(), (CFMachPortCallBack)answer);
    if (error != KERN_SUCCESS) {
        fprintf(stderr, "lol_server: %s\n", mach_error_string(error));
        return 1;
    }
    puts("serving com.example.lol");
    fflush(stdout);
    CFRunLoopRun();
    return 0;
}
