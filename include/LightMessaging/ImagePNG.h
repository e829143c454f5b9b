/* SPDX-License-Identifier: MIT */
/* Writes images (Image.h) to PNG files and reads them, with libpng. Link with -lpng. Any thread; one thread at a time
 * uses an image or a file. */
#ifndef LIGHTMESSAGING_IMAGEPNG_H
#define LIGHTMESSAGING_IMAGEPNG_H

#include "detail/ground/quiet.h"

#include <stdio.h>

#include "Image.h"

/*
 * Writes an image to `file`, which stays open. The image must have 8 bits per component: grey, RGB, or four bytes in
 * any order, with or without alpha. The file is exact for straight alpha (LM_ALPHA_LAST, LM_ALPHA_FIRST) and without
 * alpha; premultiplied colours are divided by alpha and rounded.
 *
 *   KERN_INVALID_ARGUMENT   NULL image or file
 *   MACH_SEND_INVALID_DATA  another layout, no pixels, or inconsistent members
 *   KERN_RESOURCE_SHORTAGE  no memory, or the file cannot be written
 */
LM_API kern_return_t LMImageWritePNG(const LMImage *image, FILE *file);
/* Reads any PNG file as an image of layout LM_BITMAP_RGBA. Returns the image, to be freed with LMImageFree; NULL if the
 * file is NULL or not a PNG, the image takes more than LM_LARGEST_MESSAGE bytes, or memory runs out. */
LM_API LMImage *LMImageCreateWithPNG(FILE *file);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/types/image_png.h"
#endif

#include "detail/ground/quiet_end.h"

#endif
