/* SPDX-License-Identifier: MIT */
/* Looking up in a file, with the file's timeout. */
#include "../../../rocketbootstrap/rocketbootstrap.h"

#ifndef LM_DETAIL_COMPAT_ROCKETBOOTSTRAP_FILE_H
#define LM_DETAIL_COMPAT_ROCKETBOOTSTRAP_FILE_H

#include "../client/senders.h"

LM_API kern_return_t lm_look_up(const char *name, uint32_t file_timeout, mach_port_t *port);

LM_FILE_API kern_return_t rocketbootstrap_look_up(mach_port_t bootstrap, const char *name, mach_port_t *port)
{
    (void)bootstrap;
    return lm_look_up(name, LM_FILE_TIMEOUT, port);
}

#endif
