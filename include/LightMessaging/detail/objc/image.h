/* SPDX-License-Identifier: MIT */
/* AppKit's bitmaps as pictures. A received bitmap keeps the message's bytes in an object of a private class; they are
 * copied only if AppKit does not support their byte order. */
#include "../../Image.h"

#ifndef LM_DETAIL_OBJC_IMAGE_H
#define LM_DETAIL_OBJC_IMAGE_H

#include "../types/pixels.h"
#include "class.h"

#import <AppKit/NSBitmapImageRep.h>
#import <AppKit/NSGraphics.h>
#import <AppKit/NSImage.h>

/* Returns the image itself if it is a bitmap, or else the bitmap that it contains. */
LM_INTERNAL NSBitmapImageRep *lm_ns_bitmap(id image)
{
    if ([image isKindOfClass:[NSBitmapImageRep class]])
        return image;
    if (![image isKindOfClass:[NSImage class]])
        return nil;
    NSEnumerator *members = [[image representations] objectEnumerator];
    id member;
    while ((member = [members nextObject]) != nil)
        if ([member isKindOfClass:[NSBitmapImageRep class]])
            return member;
    return nil;
}

LM_INTERNAL uint32_t lm_ns_alpha(NSBitmapImageRep *bitmap)
{
    bool first = [bitmap bitmapFormat] & NSAlphaFirstBitmapFormat;
    bool straight = [bitmap bitmapFormat] & NSAlphaNonpremultipliedBitmapFormat;
    if (![bitmap hasAlpha])
        return [bitmap bitsPerPixel] == 32 && [bitmap samplesPerPixel] == 3 ? LM_ALPHA_SKIP_LAST : LM_ALPHA_NONE;
    if (straight)
        return first ? LM_ALPHA_FIRST : LM_ALPHA_LAST;
    return first ? LM_ALPHA_PREMULTIPLIED_FIRST : LM_ALPHA_PREMULTIPLIED_LAST;
}

LM_INTERNAL LMImage lm_ns_describe(NSBitmapImageRep *bitmap)
{
    LMImage image;
    memset(&image, 0, sizeof image);
    image.width = (uint32_t)[bitmap pixelsWide];
    image.height = (uint32_t)[bitmap pixelsHigh];
    image.bitsPerComponent = (uint32_t)[bitmap bitsPerSample];
    image.bitsPerPixel = (uint32_t)[bitmap bitsPerPixel];
    image.bytesPerRow = (uint32_t)[bitmap bytesPerRow];
    image.bitmapInfo = lm_ns_alpha(bitmap);
    image.scale = [bitmap size].width > 0 ? (float)((double)image.width / (double)[bitmap size].width) : 1;
    image.pixels = [bitmap bitmapData];
    return image;
}

LM_API kern_return_t LMSendImageReply(mach_port_t replyPort, id image)
{
    NSBitmapImageRep *bitmap = lm_ns_bitmap(image);
    if (!image)
        return lm_image_answer(replyPort, NULL);
    if (bitmap && ![bitmap isPlanar]) {
        LMImage described = lm_ns_describe(bitmap);
        return lm_image_answer(replyPort, &described);
    }
    lm_port_deallocate(replyPort);
    return MACH_SEND_INVALID_DATA;
}

/* --- Receiving --- */

LM_INTERNAL void lm_ns_bitmap_dealloc(id self, SEL selector)
{
    LMImage *image = (LMImage *)*lm_ns_pointer(self);
    (void)selector;
    lm_ns_dealloc_as(self, [NSBitmapImageRep class]);
    LMImageFree(image);
}

/* Returns the picture in a byte order that AppKit supports, and frees the original. NULL if that fails. */
LM_INTERNAL LMImage *lm_ns_reorder(LMImage *image)
{
    struct lm_layout layout;
    bool known = lm_layout_of(image, &layout);
    if (known && (image->bitmapInfo & LM_BYTE_ORDER_MASK) != LM_BYTE_ORDER_32_LITTLE &&
        image->bitmapInfo != LM_ALPHA_SKIP_FIRST)
        return image;
    LMImage *copy = known ? LMImageCreate(image->width, image->height, LM_BITMAP_RGBA) : NULL;
    for (uint32_t y = 0; copy && y < image->height; y++)
        lm_row_to_rgba(&layout, lm_image_row(image, y), lm_image_row(copy, y), image->width);
    if (copy)
        copy->scale = image->scale;
    LMImageFree(image);
    return copy;
}

LM_INTERNAL NSBitmapFormat lm_ns_format(uint32_t alpha)
{
    NSUInteger format = 0;
    if (alpha == LM_ALPHA_FIRST || alpha == LM_ALPHA_PREMULTIPLIED_FIRST)
        format |= NSAlphaFirstBitmapFormat;
    if (alpha == LM_ALPHA_FIRST || alpha == LM_ALPHA_LAST)
        format |= NSAlphaNonpremultipliedBitmapFormat;
    return (NSBitmapFormat)format;
}

/* Returns an object of the private class on the picture's pixels; it keeps the picture alive. */
LM_INTERNAL NSBitmapImageRep *lm_ns_bitmap_on(LMImage *image)
{
    Class ours =
        lm_ns_class("Bitmap", [NSBitmapImageRep class], NULL, NULL, NULL, (IMP)(void (*)(void))lm_ns_bitmap_dealloc);
    uint32_t alpha = image->bitmapInfo & LM_ALPHA_MASK;
    bool grey = image->bitsPerPixel == 8, has_alpha = lm_ns_format(alpha) || alpha == LM_ALPHA_PREMULTIPLIED_LAST;
    unsigned char *planes[5] = {(unsigned char *)image->pixels, NULL, NULL, NULL, NULL};
    NSBitmapImageRep *bitmap =
        [[ours alloc] initWithBitmapDataPlanes:planes
                                    pixelsWide:(NSInteger)image->width
                                    pixelsHigh:(NSInteger)image->height
                                 bitsPerSample:8
                               samplesPerPixel:grey        ? 1
                                               : has_alpha ? 4
                                                           : 3
                                      hasAlpha:has_alpha
                                      isPlanar:NO
                                colorSpaceName:grey ? NSDeviceWhiteColorSpace : NSDeviceRGBColorSpace
                                  bitmapFormat:lm_ns_format(alpha)
                                   bytesPerRow:(NSInteger)image->bytesPerRow
                                  bitsPerPixel:(NSInteger)image->bitsPerPixel];
    [bitmap setSize:NSMakeSize((CGFloat)image->width / (CGFloat)image->scale,
                               (CGFloat)image->height / (CGFloat)image->scale)];
    return bitmap;
}

LM_API NSBitmapImageRep *LMResponseConsumeImage(LMResponseBuffer *response)
{
    LMImage *image = lm_image_consume(response);
    if (image)
        image = lm_ns_reorder(image);
    if (!image)
        return nil;
    NSBitmapImageRep *bitmap = lm_ns_bitmap_on(image);
    if (bitmap)
        *lm_ns_pointer(bitmap) = image;
    else
        LMImageFree(image);
    return [bitmap autorelease];
}

#endif
