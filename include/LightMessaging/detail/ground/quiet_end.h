/* SPDX-License-Identifier: MIT */
/* Ends what quiet.h began. May be included repeatedly. */
#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif
