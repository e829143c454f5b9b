/* SPDX-License-Identifier: MIT */
/* The library's code, once for all programs of a build with -Dseparate=true. */
#define LIGHTMESSAGING_IMPLEMENTATION
#include <LightMessaging/CFMessagePort.h>
#include <LightMessaging/Data.h>
#include <LightMessaging/Image.h>
#include <LightMessaging/Integer.h>
#include <LightMessaging/LightMessaging.h>
#include <LightMessaging/String.h>
#include <rocketbootstrap/rocketbootstrap.h>
