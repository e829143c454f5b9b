/* SPDX-License-Identifier: MIT */
/*
 * The program that tests run in sandboxes. Each argument is a command; each result is a line on the standard output.
 * The program is built without sanitizers, which need more of a system than a sandbox has.
 *
 *     call:NAME        the answer to a message with the text "?", as text; or the error's number
 *     send:NAME        a one-way message: the number
 *     register:NAME    0 if this process could register it, else the number
 *     unlock:NAME lock:NAME
 *     list             how many names can be seen
 *     who              this process's user
 *     forbid:NUMBER    from here on that system call fails with EPERM
 *     try:PATH         0 if the path exists, else the errno
 *     serve:NAME       serves the name after LMCheckInService: 0 or the number; it answers with the caller's user
 *     run              serves until it is ended
 */
#include <LightMessaging/LightMessaging.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>

static LMConnection connect_to(const char *name)
{
    LMConnection connection;
    memset(&connection, 0, sizeof connection);
    strncpy(connection.serverName, name, sizeof connection.serverName - 1);
    return connection;
}

static void call(const char *name)
{
    LMConnection connection = connect_to(name);
    LMResponseBuffer response;
    kern_return_t status = LMConnectionSendTwoWayWithTimeout(&connection, 1, "?", 1, 10000, &response);
    if (status)
        printf("%d\n", status);
    else
        printf("%.*s\n", (int)LMMessageGetDataLength(&response.message),
               (const char *)LMMessageGetData(&response.message));
    LMResponseBufferFree(&response);
    (void)mach_port_deallocate(mach_task_self(), connection.serverPort);
}

static void send_one(const char *name)
{
    LMConnection connection = connect_to(name);
    printf("%d\n", LMConnectionSendOneWayWithTimeout(&connection, 2, "!", 1, 10000));
    (void)mach_port_deallocate(mach_task_self(), connection.serverPort);
}

static void never(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)message, (void)size, (void)info;
}

static void register_name(const char *name)
{
    mach_port_t bootstrap;
    CFMachPortRef port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)(void (*)(void))never, NULL, NULL);
    task_get_bootstrap_port(mach_task_self(), &bootstrap);
    printf("%d\n", rocketbootstrap_register(bootstrap, name, CFMachPortGetPort(port)));
    CFMachPortInvalidate(port);
    CFRelease(port);
}

static bool count_entry(const LMServiceEntry *entry, void *info)
{
    (void)entry;
    ++*(int *)info;
    return true;
}

static void list(const char *unused)
{
    int count = 0;
    (void)unused;
    kern_return_t status = LMListServices(count_entry, &count);
    printf("%d\n", status ? status : count);
}

static void unlock(const char *name)
{
    printf("%d\n", rocketbootstrap_unlock(name));
}

static void lock(const char *name)
{
    printf("%d\n", LMLockService(name));
}

static void say_who(const char *unused)
{
    (void)unused;
    printf("%u\n", (unsigned)geteuid());
}

static void forbid(const char *number)
{
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)atoi(number), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof instructions / sizeof *instructions, instructions};
    bool done =
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
    puts(done ? "forbidden" : "can't forbid");
}

static void try_path(const char *path)
{
    printf("%d\n", access(path, F_OK) == 0 ? 0 : errno);
}

/* A service of this process. */
struct served {
    const char *name;
    unsigned one_way; /* messages received so far */
};

/* Answers with the caller's user as the kernel reports it, and the number of one-way messages so far. */
static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    struct served *served = (struct served *)info;
    LMSender sender = {0, 0, 0};
    char text[200];
    (void)port, (void)size;
    if (!message->head.msgh_remote_port) {
        served->one_way++;
        return;
    }
    LMMessageGetSender(message, &sender);
    int length =
        snprintf(text, sizeof text, "%s: user %u, %u before", served->name, (unsigned)sender.uid, served->one_way);
    LMSendReply(message->head.msgh_remote_port, text, (uint32_t)length);
}

static void serve(const char *name)
{
    static struct served services[8];
    static unsigned count;
    struct served *served = &services[count++ % 8];
    served->name = name;
    kern_return_t status =
        LMCheckInService(name, CFRunLoopGetCurrent(), (CFMachPortCallBack)(void (*)(void))answer, served);
    printf("serving %s: %d\n", name, status);
}

static void run(const char *unused)
{
    (void)unused;
    CFRunLoopRun();
}

static const struct {
    const char *verb;
    void (*act)(const char *name);
} DEEDS[] = {{"try:", try_path},           {"serve:", serve},   {"run", run},    {"call:", call}, {"send:", send_one},
             {"register:", register_name}, {"unlock:", unlock}, {"lock:", lock}, {"list", list},  {"who", say_who},
             {"forbid:", forbid}};

static bool act(const char *argument)
{
    for (size_t i = 0; i < sizeof DEEDS / sizeof *DEEDS; i++) {
        size_t length = strlen(DEEDS[i].verb);
        if (strncmp(argument, DEEDS[i].verb, length) != 0)
            continue;
        DEEDS[i].act(argument + length);
        fflush(stdout);
        return true;
    }
    return false;
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        if (act(arguments[i]))
            continue;
        fprintf(stderr, "visitor: what is '%s'?\n", arguments[i]);
        return 2;
    }
    return 0;
}
