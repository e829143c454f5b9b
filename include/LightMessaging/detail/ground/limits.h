/* SPDX-License-Identifier: MIT */
/* Limits of the interface that the lowest layers keep. */
#ifndef LM_DETAIL_GROUND_LIMITS_H
#define LM_DETAIL_GROUND_LIMITS_H

/* Bytes in a service's name, without its NUL. */
#define LM_NAME_MAX 127u

/* File descriptors that one message can carry: the kernel's own limit for a record of a socket. */
#define LM_DESCRIPTORS_MAX 253u

#endif
