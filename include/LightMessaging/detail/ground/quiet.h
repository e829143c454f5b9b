/* SPDX-License-Identifier: MIT */
/*
 * For the public headers: from here to quiet_end.h, code in C causes no warnings in C++ about what it cannot avoid. C
 * has no other casts and no nullptr, and a cast that a platform needs changes nothing on another. All other warnings
 * remain. May be included repeatedly, and nested.
 */
#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wzero-as-null-pointer-constant"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuseless-cast"
#endif
#endif
