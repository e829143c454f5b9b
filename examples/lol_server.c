/* SPDX-License-Identifier: MIT */
/* The smallest service: it replies "lol" to every request. */
#include <LightMessaging/LightMessaging.h>
#include <stdio.h>

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    kern_return_t error = LMSendReply(message->head.msgh_remote_port, "lol", sizeof "lol");
    if (error != KERN_SUCCESS)
        fprintf(stderr, "lol_server: reply: %s\n", mach_error_string(error));
}

int main(void)
{
    kern_return_t error = LMStartService("com.example.lol", CFRunLoopGetCurrent(), (CFMachPortCallBack)answer);
    if (error != KERN_SUCCESS) {
        fprintf(stderr, "lol_server: com.example.lol: %s\n", mach_error_string(error));
        return 1;
    }
    puts("serving com.example.lol");
    fflush(stdout);
    CFRunLoopRun();
    return 0;
}
