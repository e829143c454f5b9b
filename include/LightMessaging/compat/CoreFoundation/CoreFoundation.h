/* SPDX-License-Identifier: MIT */
/* For programs that include <CoreFoundation/CoreFoundation.h> and use only the functions that LightMessaging has: add
 * the folder `compat` to the include path. */
#ifndef LIGHTMESSAGING_COMPAT_COREFOUNDATION_H
#define LIGHTMESSAGING_COMPAT_COREFOUNDATION_H

#include "../../CoreFoundation.h"
#include "../../CFMachPort.h"
#include "../../CFMessagePort.h"

#endif
