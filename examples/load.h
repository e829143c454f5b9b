/* SPDX-License-Identifier: MIT */
/* The interface between the load service and its clients. */
#ifndef EXAMPLES_LOAD_H
#define EXAMPLES_LOAD_H

#define LOAD_SERVICE "com.example.load"

enum { LOAD_IMAGE = 1 }; /* no data; the reply is an image, or empty if the service has none */

#endif
