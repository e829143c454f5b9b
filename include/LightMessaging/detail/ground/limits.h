/* SPDX-License-Identifier: MIT */
/* Limits of the public interface that the lowest layers enforce. */
#ifndef LM_DETAIL_GROUND_LIMITS_H
#define LM_DETAIL_GROUND_LIMITS_H

/* Length of a service's name in bytes, without the NUL. */
#define LM_NAME_MAX 127u

/* File descriptors that one message can carry: the kernel's limit for one record of a socket. */
#define LM_DESCRIPTORS_MAX 253u

#endif
