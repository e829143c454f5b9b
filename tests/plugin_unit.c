/* SPDX-License-Identifier: MIT */
/* The program's second translation unit, and with -DPLUGIN the plugin. */
#include <LightMessaging/LightMessaging.h>

static LMConnection connection = {MACH_PORT_NULL, "test.plugin"};

#ifdef PLUGIN
#define call       call_from_plugin
#define port       port_of_plugin
#define deallocate deallocate_in_plugin
#define reply      reply_in_plugin
#else
#define call       call_from_second_unit
#define port       port_of_second_unit
#define deallocate deallocate_in_second_unit
#define reply      reply_in_second_unit
#endif

int call(void);
mach_port_t port(void);
kern_return_t deallocate(mach_port_t name);
kern_return_t reply(mach_port_t name);

int call(void)
{
    LMResponseBuffer buffer;
    if (LMConnectionSendTwoWay(&connection, 21, NULL, 0, &buffer) != 0)
        return -1;
    return LMResponseConsumeInteger(&buffer);
}

mach_port_t port(void)
{
    return connection.serverPort;
}

kern_return_t deallocate(mach_port_t name)
{
    return mach_port_deallocate(mach_task_self(), name);
}

kern_return_t reply(mach_port_t name)
{
    return LMSendIntegerReply(name, 0);
}
