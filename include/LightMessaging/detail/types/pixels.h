/* SPDX-License-Identifier: MIT */
/* Pixel layouts: the offsets of a pixel's components, and conversion between layouts. Only components of 8 bits. */
#include "../../Image.h"

#ifndef LM_DETAIL_TYPES_PIXELS_H
#define LM_DETAIL_TYPES_PIXELS_H

#include "image.h"

/* Offsets in a pixel's bytes. */
struct lm_layout {
    uint8_t size; /* bytes per pixel: 1 (grey), 3 or 4 */
    uint8_t red, green, blue, alpha;
    bool has_alpha, premultiplied;
};

/* Returns false if the conversions do not support the layout. */
LM_INTERNAL bool lm_layout_of(const LMImage *image, struct lm_layout *layout)
{
    uint32_t alpha = image->bitmapInfo & LM_ALPHA_MASK, order = image->bitmapInfo & LM_BYTE_ORDER_MASK;
    bool first = alpha == LM_ALPHA_PREMULTIPLIED_FIRST || alpha == LM_ALPHA_FIRST || alpha == LM_ALPHA_SKIP_FIRST;
    bool little = order == LM_BYTE_ORDER_32_LITTLE;
    memset(layout, 0, sizeof *layout);
    layout->size = (uint8_t)(image->bitsPerPixel / 8);
    layout->has_alpha = alpha >= LM_ALPHA_PREMULTIPLIED_LAST && alpha <= LM_ALPHA_FIRST;
    layout->premultiplied = alpha == LM_ALPHA_PREMULTIPLIED_LAST || alpha == LM_ALPHA_PREMULTIPLIED_FIRST;
    if (image->bitsPerComponent != 8 || alpha > LM_ALPHA_SKIP_FIRST ||
        (order && !little && order != LM_BYTE_ORDER_32_BIG))
        return false;
    if (image->bitsPerPixel == 8)
        return alpha == LM_ALPHA_NONE;
    unsigned red = first, end = layout->size - 1u;
    layout->red = (uint8_t)(little ? end - red : red);
    layout->green = (uint8_t)(little ? end - red - 1 : red + 1);
    layout->blue = (uint8_t)(little ? end - red - 2 : red + 2);
    layout->alpha = (uint8_t)(first == little ? end : 0);
    return image->bitsPerPixel == 32 ? alpha != LM_ALPHA_NONE
                                     : image->bitsPerPixel == 24 && alpha == LM_ALPHA_NONE && !little;
}

LM_INTERNAL uint8_t lm_divided(unsigned component, unsigned alpha)
{
    unsigned value = alpha ? (component * 255 + alpha / 2) / alpha : 0;
    return (uint8_t)(value > 255 ? 255 : value);
}

/* Converts one row to red, green, blue, alpha, not premultiplied. */
LM_INTERNAL void lm_row_to_rgba(const struct lm_layout *layout, const uint8_t *from, uint8_t *to, uint32_t width)
{
    for (uint32_t x = 0; x < width; x++, from += layout->size, to += 4) {
        uint8_t alpha = layout->has_alpha ? from[layout->alpha] : 255;
        uint8_t rgb[3] = {from[layout->red], from[layout->green], from[layout->blue]};
        for (unsigned i = 0; i < 3; i++)
            to[i] = layout->premultiplied ? lm_divided(rgb[i], alpha) : rgb[i];
        to[3] = alpha;
    }
}

LM_INTERNAL uint8_t *lm_image_row(const LMImage *image, uint32_t y)
{
    return (uint8_t *)image->pixels + (size_t)y * image->bytesPerRow;
}

#endif
