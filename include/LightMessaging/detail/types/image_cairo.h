/* SPDX-License-Identifier: MIT */
/* cairo's image surfaces: pixels are words of this machine, LM_BITMAP_CAIRO. */
#include "../../ImageCairo.h"

#ifndef LM_DETAIL_TYPES_IMAGE_CAIRO_H
#define LM_DETAIL_TYPES_IMAGE_CAIRO_H

#include "pixels.h"

/* LM_BITMAP_CAIRO without alpha. */
#define LM_BITMAP_CAIRO_OPAQUE ((LM_BITMAP_CAIRO & ~(uint32_t)LM_ALPHA_MASK) | (uint32_t)LM_ALPHA_SKIP_FIRST)

LM_API cairo_surface_t *LMImageCreateCairoSurface(const LMImage *image)
{
    if (!image || !image->pixels || !lm_image_valid(image) || image->bitsPerPixel != 32 ||
        image->bitsPerComponent != 8 || image->width > INT16_MAX || image->height > INT16_MAX)
        return NULL;
    if (image->bitmapInfo != LM_BITMAP_CAIRO && image->bitmapInfo != LM_BITMAP_CAIRO_OPAQUE)
        return NULL;
    cairo_format_t format = image->bitmapInfo == LM_BITMAP_CAIRO ? CAIRO_FORMAT_ARGB32 : CAIRO_FORMAT_RGB24;
    cairo_surface_t *surface = cairo_image_surface_create_for_data(
        (unsigned char *)image->pixels, format, (int)image->width, (int)image->height, (int)image->bytesPerRow);
    if (cairo_surface_status(surface) == CAIRO_STATUS_SUCCESS)
        return surface;
    cairo_surface_destroy(surface);
    return NULL;
}

LM_API LMImage *LMImageCreateWithCairoSurface(cairo_surface_t *surface)
{
    if (!surface || cairo_surface_get_type(surface) != CAIRO_SURFACE_TYPE_IMAGE)
        return NULL;
    cairo_surface_flush(surface);
    cairo_format_t format = cairo_image_surface_get_format(surface);
    const unsigned char *from = cairo_image_surface_get_data(surface);
    size_t stride = (size_t)cairo_image_surface_get_stride(surface);
    if (!from || (format != CAIRO_FORMAT_ARGB32 && format != CAIRO_FORMAT_RGB24))
        return NULL;
    LMImage *image = LMImageCreate((uint32_t)cairo_image_surface_get_width(surface),
                                   (uint32_t)cairo_image_surface_get_height(surface),
                                   format == CAIRO_FORMAT_ARGB32 ? LM_BITMAP_CAIRO : LM_BITMAP_CAIRO_OPAQUE);
    for (uint32_t y = 0; image && y < image->height; y++)
        memcpy(lm_image_row(image, y), from + y * stride, image->bytesPerRow);
    return image;
}

#endif
