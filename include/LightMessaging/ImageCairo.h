/* SPDX-License-Identifier: MIT */
/* Converts between images (Image.h) and cairo's image surfaces. Link with -lcairo. Any thread; one thread at a time
 * uses an image or a surface. */
#ifndef LIGHTMESSAGING_IMAGECAIRO_H
#define LIGHTMESSAGING_IMAGECAIRO_H

#include "detail/ground/quiet.h"
#include "Image.h"

#include <cairo.h>

/*
 * Creates a surface that uses the image's own pixels, to draw into an image before it is sent, or to draw a received
 * image. The image must have the layout LM_BITMAP_CAIRO, or the same with LM_ALPHA_SKIP_FIRST, and must outlive the
 * surface. Returns the surface, to be destroyed with cairo_surface_destroy; call that, or cairo_surface_flush, before
 * sending the image. NULL if the image is NULL, has no pixels or another layout, is wider or higher than 32,767 pixels,
 * or memory runs out.
 */
LM_API cairo_surface_t *LMImageCreateCairoSurface(const LMImage *image);
/* Creates an image with a copy of an image surface (CAIRO_FORMAT_ARGB32 or CAIRO_FORMAT_RGB24). Returns the image, to
 * be freed with LMImageFree; NULL for NULL or any other surface, or if memory runs out. */
LM_API LMImage *LMImageCreateWithCairoSurface(cairo_surface_t *surface);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/types/image_cairo.h"
#endif

#include "detail/ground/quiet_end.h"

#endif
