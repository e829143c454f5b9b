/* SPDX-License-Identifier: MIT */
/*
 * Which version of LightMessaging this is. For the preprocessor only: this file includes nothing and declares nothing.
 *
 *     #if LIGHTMESSAGING_VERSION >= 1002000 // 1.2.0 or later
 */
#ifndef LIGHTMESSAGING_VERSION_H
#define LIGHTMESSAGING_VERSION_H

/* The one place that has them: meson.build reads these lines. */
#define LIGHTMESSAGING_VERSION_MAJOR 0
#define LIGHTMESSAGING_VERSION_MINOR 1
#define LIGHTMESSAGING_VERSION_PATCH 0

/* One number, which grows from version to version. */
#define LIGHTMESSAGING_VERSION                                                                                         \
    (LIGHTMESSAGING_VERSION_MAJOR * 1000000 + LIGHTMESSAGING_VERSION_MINOR * 1000 + LIGHTMESSAGING_VERSION_PATCH)

/* The same as people write it: "0.1.0". */
#define LIGHTMESSAGING_VERSION_STRING                                                                                  \
    LM_VERSION_TEXT(LIGHTMESSAGING_VERSION_MAJOR, LIGHTMESSAGING_VERSION_MINOR, LIGHTMESSAGING_VERSION_PATCH)
#define LM_VERSION_TEXT(major, minor, patch)  LM_VERSION_TEXT_(major, minor, patch)
#define LM_VERSION_TEXT_(major, minor, patch) #major "." #minor "." #patch

#endif
