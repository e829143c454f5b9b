/* SPDX-License-Identifier: MIT */
/* A program of two translation units that loads a plugin; all of them use the headers. They call a service of this
 * program's child. The units share a channel and its port; the plugin has its own of both, and neither's ports are
 * ports for the other. */
#include <LightMessaging/LightMessaging.h>

#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int call_from_second_unit(void);
mach_port_t port_of_second_unit(void);

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

static int check_units(void)
{
    LMResponseBuffer buffer;
    int before = sockets();
    if (LMConnectionSendTwoWay(&connection, 21, NULL, 0, &buffer) != 0 || LMResponseConsumeInteger(&buffer) != 42)
        return puts("the first unit's call failed"), 1;
    if (call_from_second_unit() != 42)
        return puts("the second unit's call failed"), 1;
    if (sockets() != before + 1)
        return printf("two units use %d sockets, not one\n", sockets() - before), 1;
    if (connection.serverPort != port_of_second_unit())
        return puts("two units have different ports for one channel"), 1;
    return 0;
}

static struct {
    int (*call)(void);
    mach_port_t (*port)(void);
    kern_return_t (*deallocate)(mach_port_t name);
    kern_return_t (*reply)(mach_port_t name);
} plugin;

static int find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol == NULL ? puts(dlerror()), 1 : 0;
}

static int load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL)
        return puts(dlerror()), 1;
    return find(library, "call_from_plugin", &plugin.call) || find(library, "port_of_plugin", &plugin.port) ||
           find(library, "deallocate_in_plugin", &plugin.deallocate) || find(library, "reply_in_plugin", &plugin.reply);
}

/* Both ports are the first of their table, and for that are the same but for the salt of each. */
static int check_ports(void)
{
    mach_port_t ours = connection.serverPort, theirs = plugin.port();
    if (mach_port_deallocate(mach_task_self(), theirs) != KERN_INVALID_ARGUMENT ||
        LMSendIntegerReply(theirs, 0) != MACH_SEND_INVALID_RIGHT)
        return puts("the program takes the plugin's port for its own"), 1;
    if (plugin.deallocate(ours) != KERN_INVALID_ARGUMENT || plugin.reply(ours) != MACH_SEND_INVALID_RIGHT)
        return puts("the plugin takes the program's port for its own"), 1;
    if (plugin.call() != 42 || call_from_second_unit() != 42)
        return puts("a call with the plugin failed"), 1;
    if (connection.serverPort != ours || plugin.port() != theirs)
        return puts("a channel was closed by way of the other's port"), 1;
    if (mach_port_deallocate(mach_task_self(), ours) != 0 || plugin.deallocate(theirs) != 0)
        return puts("a port is none for who has it"), 1;
    return 0;
}

static int check(const char *path)
{
    if (check_units() != 0 || load(path) != 0)
        return 1;
    int before = sockets();
    if (plugin.call() != 42 || call_from_second_unit() != 42)
        return puts("a call with the plugin failed"), 1;
    if (sockets() != before + 1)
        return printf("the plugin uses %d sockets of its own, not one\n", sockets() - before), 1;
    return check_ports();
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
