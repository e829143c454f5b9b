/* SPDX-License-Identifier: MIT */
/*
 * Pictures: raw pixels and what they mean. ImagePNG.h and ImageCairo.h convert them; Objective-C has the same two
 * functions for AppKit's images (LMSendImageReply, LMResponseConsumeImage), and the same pictures go between both
 * languages.
 *
 * A picture goes as it is in memory, which is fast, and right between processes of one machine. One that was made by
 * LMReplyCreateImage, and drawn into, is in a lent buffer and sent without a copy, whatever its size, to clients that
 * take such (see "Lent buffers" in LightMessaging.h: its sender could go on writing to it); received pixels are never
 * copied here. What a peer says of a picture is checked against the bytes that came: pixels can be read up to
 * bytesPerRow * height, and a row holds all of its pixels.
 */
#ifndef LIGHTMESSAGING_IMAGE_H
#define LIGHTMESSAGING_IMAGE_H

#include "LightMessaging.h"

/* bitmapInfo, in CoreGraphics' numbers: where alpha is, and whether colours are multiplied with it already ... */
enum {
    LM_ALPHA_NONE = 0, /* there is none: grey, or RGB */
    LM_ALPHA_PREMULTIPLIED_LAST = 1,
    LM_ALPHA_PREMULTIPLIED_FIRST = 2,
    LM_ALPHA_LAST = 3,
    LM_ALPHA_FIRST = 4,
    LM_ALPHA_SKIP_LAST = 5, /* there is room for it, which is not used */
    LM_ALPHA_SKIP_FIRST = 6,
    LM_ALPHA_MASK = 0x1f
};
/* ... and whether a pixel is 32 bits in the order of the bytes (0, or BIG), or in the opposite one (LITTLE). */
enum { LM_BYTE_ORDER_32_LITTLE = 0x2000, LM_BYTE_ORDER_32_BIG = 0x4000, LM_BYTE_ORDER_MASK = 0x7000 };

/* Red, green, blue, alpha, a byte each: what PNG has. */
#define LM_BITMAP_RGBA ((uint32_t)LM_ALPHA_LAST)
/* Words of this machine, alpha on top, premultiplied: what cairo has. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LM_BITMAP_CAIRO ((uint32_t)LM_ALPHA_PREMULTIPLIED_FIRST | (uint32_t)LM_BYTE_ORDER_32_LITTLE)
#else
#define LM_BITMAP_CAIRO ((uint32_t)LM_ALPHA_PREMULTIPLIED_FIRST | (uint32_t)LM_BYTE_ORDER_32_BIG)
#endif

typedef struct LMImage {
    uint32_t width, height; /* pixels, at least 1 */
    uint32_t bitsPerComponent;
    uint32_t bitsPerPixel;
    uint32_t bytesPerRow;
    uint32_t bitmapInfo;
    float scale;                  /* pixels per point, 1 for most */
    uint32_t orientation;         /* 0 to 7, UIKit's numbers: 0 is upright */
    void *pixels;                 /* bytesPerRow * height bytes, from the top */
    struct lm_image_store *store; /* what the pixels are in, the library's; NULL in an LMImage of your own making */
} LMImage;

/* A picture of four bytes per pixel, a byte each, to be filled; yours, for LMImageFree. NULL if width or height is 0,
 * it takes more than 2^32 - 1 bytes, or memory runs out. */
LM_API LMImage *LMImageCreate(uint32_t width, uint32_t height, uint32_t bitmapInfo);
/* The same, for a reply: in memory that goes to the client as it is. Send it with LMSendImageReply, to this port. */
LM_API LMImage *LMReplyCreateImage(mach_port_t replyPort, uint32_t width, uint32_t height, uint32_t bitmapInfo);
/* Frees a picture that the library made. NULL does nothing. */
LM_API void LMImageFree(LMImage *image);

/*
 * Answers with a picture, as LMSendReply; NULL is an empty reply. The picture stays yours, but one from
 * LMReplyCreateImage has no pixels any more (NULL), and can't be sent again. Fill in an LMImage of your own ({0} first)
 * to send pixels that you have already: they are copied. Besides LMSendReply's errors: MACH_SEND_INVALID_DATA if there
 * are no pixels, or the numbers don't fit each other.
 */
#ifndef __OBJC__
LM_API kern_return_t LMSendImageReply(mach_port_t replyPort, const LMImage *image);
/* The picture that a response is (or a request, cast from LMMessage *), which is empty afterwards: yours, for
 * LMImageFree. NULL if it is none, its numbers don't fit its bytes, or memory runs out. */
LM_API LMImage *LMResponseConsumeImage(LMResponseBuffer *response);
#endif

/*
 * In Objective-C with AppKit, the same for an NSBitmapImageRep, or an NSImage that has one, instead of the original's
 * UIImage. nil is an empty reply, and what is received is autoreleased. Planar bitmaps are MACH_SEND_INVALID_DATA.
 * Received are 8 bits per component; orders of bytes that AppKit does not know are changed for it, other pixels are
 * not copied. AppKit has no orientation: a picture arrives as it was taken.
 *
 *   kern_return_t LMSendImageReply(mach_port_t replyPort, id image);
 *   NSBitmapImageRep *LMResponseConsumeImage(LMResponseBuffer *response);
 */

#ifndef LM_DECLARATIONS_ONLY
#include "detail/types/image.h"
#endif

#if defined(LM_FOUNDATION)
#if __has_include(<AppKit/NSBitmapImageRep.h>)
#include "detail/objc/image.h"
#endif
#endif

#endif
