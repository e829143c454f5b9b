/* SPDX-License-Identifier: MIT */
/* Pictures to and from PNG, by libpng (link with -lpng). Any thread; a picture and a file by one at a time. */
#ifndef LIGHTMESSAGING_IMAGEPNG_H
#define LIGHTMESSAGING_IMAGEPNG_H

#include <stdio.h>

#include "Image.h"

/* Writes a picture of 8 bits per component: grey, RGB, or four bytes in any order, with alpha or not. Straight alpha
 * (LM_ALPHA_LAST and FIRST) and pictures without alpha are kept exactly; premultiplied ones are divided and rounded.
 * MACH_SEND_INVALID_DATA if it is of another kind, KERN_RESOURCE_SHORTAGE if memory runs out or the file can't be
 * written. */
LM_API kern_return_t LMImageWritePNG(const LMImage *image, FILE *file);
/* Reads any PNG, as LM_BITMAP_RGBA; yours, for LMImageFree. NULL if it is none, is over LM_LARGEST_MESSAGE, or memory
 * runs out. */
LM_API LMImage *LMImageCreateWithPNG(FILE *file);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/types/image_png.h"
#endif

#endif
