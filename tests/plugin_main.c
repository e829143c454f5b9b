/* SPDX-License-Identifier: MIT */
/* A program of two translation units that loads a plugin; all of them use the headers. They call a service of this
 * program's child. */
#include <LightMessaging/LightMessaging.h>

#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int call_from_second_unit(void);

static LMConnection connection = {MACH_PORT_NULL, "test.plugin"};

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    LMSendIntegerReply(message->head.msgh_remote_port, message->head.msgh_id * 2);
}

static int sockets(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char target[64] = "";
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        count += length > 0 && strncmp(target, "socket:", 7) == 0;
    }
    closedir(folder);
    return count;
}

static void serve(int ready)
{
    if (LMStartService("test.plugin", CFRunLoopGetCurrent(), (CFMachPortCallBack)answer) != 0)
        _exit(1);
    if (write(ready, "", 1) != 1)
        _exit(1);
    CFRunLoopRun();
    _exit(0);
}

static int check(const char *plugin)
{
    LMResponseBuffer buffer;
    int before = sockets();
    if (LMConnectionSendTwoWay(&connection, 21, NULL, 0, &buffer) != 0 || LMResponseConsumeInteger(&buffer) != 42)
        return puts("the first unit's call failed"), 1;
    if (call_from_second_unit() != 42)
        return puts("the second unit's call failed"), 1;
    if (sockets() != before + 1)
        return printf("two units use %d sockets, not one\n", sockets() - before), 1;
    void *library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return puts(dlerror()), 1;
    int (*call_from_plugin)(void);
    void *symbol = dlsym(library, "call_from_plugin");
    memcpy(&call_from_plugin, &symbol, sizeof symbol);
    if (call_from_plugin() != 42 || call_from_second_unit() != 42)
        return puts("a call with the plugin failed"), 1;
    return 0;
}

int main(int count, char **arguments)
{
    int ready[2];
    char byte;
    if (count != 2 || pipe(ready) != 0)
        return 2;
    pid_t service = fork();
    if (service == 0)
        serve(ready[1]);
    close(ready[1]);
    alarm(30);
    int result = read(ready[0], &byte, 1) == 1 ? check(arguments[1]) : 1;
    close(ready[0]);
    kill(service, SIGKILL);
    waitpid(service, NULL, 0);
    return result;
}
