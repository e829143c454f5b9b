/* SPDX-License-Identifier: MIT */
/* Pictures and cairo's image surfaces (link with -lcairo). */
#ifndef LIGHTMESSAGING_IMAGECAIRO_H
#define LIGHTMESSAGING_IMAGECAIRO_H

#include "Image.h"

#include <cairo.h>

/*
 * A surface on the picture's own pixels, for drawing into a picture before it is sent, or drawing one that came. The
 * picture must have LM_BITMAP_CAIRO's layout (or the same with LM_ALPHA_SKIP_FIRST) and outlive the surface, which is
 * yours, for cairo_surface_destroy; call that, or cairo_surface_flush, before the pixels are sent. NULL if the picture
 * has another layout or memory runs out.
 */
LM_API cairo_surface_t *LMImageCreateCairoSurface(const LMImage *image);
/* A copy of an image surface (CAIRO_FORMAT_ARGB32 or RGB24); yours, for LMImageFree. NULL for another kind of surface,
 * or if memory runs out. */
LM_API LMImage *LMImageCreateWithCairoSurface(cairo_surface_t *surface);

#ifndef LM_DECLARATIONS_ONLY
#include "detail/types/image_cairo.h"
#endif

#endif
