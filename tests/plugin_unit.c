/* SPDX-License-Identifier: MIT */
/* The program's second translation unit, and with -DPLUGIN the plugin. */
#include <LightMessaging/LightMessaging.h>

static LMConnection connection = {MACH_PORT_NULL, "test.plugin"};

#ifdef PLUGIN
int call_from_plugin(void);
int call_from_plugin(void)
#else
int call_from_second_unit(void);
int call_from_second_unit(void)
#endif
{
    LMResponseBuffer buffer;
    if (LMConnectionSendTwoWay(&connection, 21, NULL, 0, &buffer) != 0)
        return -1;
    return LMResponseConsumeInteger(&buffer);
}
