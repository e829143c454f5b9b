/* SPDX-License-Identifier: MIT */
/* What the load service and its clients agree on. */
#ifndef EXAMPLES_LOAD_H
#define EXAMPLES_LOAD_H

#define LOAD_SERVICE "com.example.load"

enum { LOAD_PICTURE = 1 }; /* no data; the reply is a picture, or empty if there is none */

#endif
