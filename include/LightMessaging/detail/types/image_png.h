/* SPDX-License-Identifier: MIT */
/* PNG with libpng's simplified interface. */
#include "../../ImagePNG.h"

#ifndef LM_DETAIL_TYPES_IMAGE_PNG_H
#define LM_DETAIL_TYPES_IMAGE_PNG_H

#include <png.h>

#include "pixels.h"

/* Returns a copy as LM_BITMAP_RGBA. */
LM_INTERNAL LMImage *lm_image_to_rgba(const LMImage *image, const struct lm_layout *layout)
{
    LMImage *copy = LMImageCreate(image->width, image->height, LM_BITMAP_RGBA);
    for (uint32_t y = 0; copy && y < image->height; y++)
        lm_row_to_rgba(layout, lm_image_row(image, y), lm_image_row(copy, y), image->width);
    return copy;
}

LM_INTERNAL kern_return_t lm_png_write(const LMImage *rgba, bool grey, FILE *file)
{
    png_image png;
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    png.width = rgba->width;
    png.height = rgba->height;
    png.format = grey ? PNG_FORMAT_GRAY : PNG_FORMAT_RGBA;
    png.flags = PNG_IMAGE_FLAG_FAST;
    int done = png_image_write_to_stdio(&png, file, 0, rgba->pixels, (png_int_32)rgba->bytesPerRow, NULL);
    png_image_free(&png);
    return done ? KERN_SUCCESS : KERN_RESOURCE_SHORTAGE;
}

LM_API kern_return_t LMImageWritePNG(const LMImage *image, FILE *file)
{
    struct lm_layout layout;
    if (!image || !file)
        return KERN_INVALID_ARGUMENT;
    if (!image->pixels || !lm_image_valid(image) || !lm_layout_of(image, &layout) || image->bytesPerRow > INT32_MAX)
        return MACH_SEND_INVALID_DATA;
    if (layout.size == 1 || (image->bitmapInfo & ~(uint32_t)LM_BYTE_ORDER_32_BIG) == LM_BITMAP_RGBA)
        return lm_png_write(image, layout.size == 1, file);
    LMImage *rgba = lm_image_to_rgba(image, &layout);
    if (!rgba)
        return KERN_RESOURCE_SHORTAGE;
    kern_return_t status = lm_png_write(rgba, false, file);
    LMImageFree(rgba);
    return status;
}

LM_API LMImage *LMImageCreateWithPNG(FILE *file)
{
    png_image png;
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    if (!file || !png_image_begin_read_from_stdio(&png, file))
        return NULL;
    png.format = PNG_FORMAT_RGBA;
    LMImage *image = (uint64_t)png.width * png.height <= LM_LARGEST_MESSAGE / 4
                         ? LMImageCreate(png.width, png.height, LM_BITMAP_RGBA)
                         : NULL;
    if (image && !png_image_finish_read(&png, NULL, image->pixels, (png_int_32)image->bytesPerRow, NULL)) {
        LMImageFree(image);
        image = NULL;
    }
    png_image_free(&png);
    return image;
}

#endif
