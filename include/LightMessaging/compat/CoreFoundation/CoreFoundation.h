/* SPDX-License-Identifier: MIT */
/* For programs that include <CoreFoundation/CoreFoundation.h> and use no more of it than there is here: put the folder
 * `compat` on the include path. */
#ifndef LIGHTMESSAGING_COMPAT_COREFOUNDATION_H
#define LIGHTMESSAGING_COMPAT_COREFOUNDATION_H

#include "../../CoreFoundation.h"
#include "../../CFMachPort.h"
#include "../../CFMessagePort.h"

#endif
