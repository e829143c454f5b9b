/* SPDX-License-Identifier: MIT */
/*
 * Images as messages: raw pixels and a header that describes them. ImagePNG.h and ImageCairo.h convert images. In
 * Objective-C, LMSendImageReply and LMResponseConsumeImage take AppKit's images instead; C and Objective-C programs can
 * exchange images.
 *
 * An image is sent as it is in memory, which is right between processes of one machine. An image from
 * LMReplyCreateImage is in a lent buffer and is sent without a copy, whatever its size, to clients that accept lent
 * buffers (see "Lent buffers" in LightMessaging.h, also about a sender that goes on writing). Received pixels are not
 * copied, unless the whole image has at most LM_INLINE_MAX bytes. The library checks the header of a received image
 * against the length of its data: bytesPerRow * height bytes of pixels can be read, and each row holds all of its
 * pixels.
 *
 * Threads: any, but one thread at a time uses an image.
 */
#ifndef LIGHTMESSAGING_IMAGE_H
#define LIGHTMESSAGING_IMAGE_H

#include "detail/ground/quiet.h"
#include "LightMessaging.h"

/* bitmapInfo, with CoreGraphics' values: the place of the alpha component, and whether colours are premultiplied ... */
enum {
    LM_ALPHA_NONE = 0, /* no alpha: grey, or RGB */
    LM_ALPHA_PREMULTIPLIED_LAST = 1,
    LM_ALPHA_PREMULTIPLIED_FIRST = 2,
    LM_ALPHA_LAST = 3,
    LM_ALPHA_FIRST = 4,
    LM_ALPHA_SKIP_LAST = 5, /* the component is present but not used */
    LM_ALPHA_SKIP_FIRST = 6,
    LM_ALPHA_MASK = 0x1f
};
/* ... and the byte order of a 32-bit pixel: components in the order of the bytes (0, or BIG), or reversed (LITTLE). */
enum { LM_BYTE_ORDER_32_LITTLE = 0x2000, LM_BYTE_ORDER_32_BIG = 0x4000, LM_BYTE_ORDER_MASK = 0x7000 };

/* Red, green, blue, straight alpha, one byte each: PNG's layout. */
#define LM_BITMAP_RGBA LM_CAST(uint32_t, LM_ALPHA_LAST)
/* 32-bit words of this machine with premultiplied alpha in the highest byte: cairo's CAIRO_FORMAT_ARGB32. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LM_BITMAP_CAIRO (LM_CAST(uint32_t, LM_ALPHA_PREMULTIPLIED_FIRST) | LM_CAST(uint32_t, LM_BYTE_ORDER_32_LITTLE))
#else
#define LM_BITMAP_CAIRO (LM_CAST(uint32_t, LM_ALPHA_PREMULTIPLIED_FIRST) | LM_CAST(uint32_t, LM_BYTE_ORDER_32_BIG))
#endif

typedef struct LMImage {
    uint32_t width, height; /* pixels, at least 1 */
    uint32_t bitsPerComponent;
    uint32_t bitsPerPixel;
    uint32_t bytesPerRow;
    uint32_t bitmapInfo;
    float scale;                  /* pixels per point, usually 1 */
    uint32_t orientation;         /* 0 to 7, UIKit's values; 0 is upright */
    void *pixels;                 /* bytesPerRow * height bytes, top row first */
    struct lm_image_store *store; /* the library's; NULL in an LMImage that the caller filled in */
} LMImage;

/* Creates an image with four components of one byte per pixel. Its pixels are undefined: fill them. Returns the image,
 * to be freed with LMImageFree; NULL if width or height is 0, the image takes more than 2^32 - 1 bytes, or memory runs
 * out. */
LM_API LMImage *LMImageCreate(uint32_t width, uint32_t height, uint32_t bitmapInfo);
/* The same, in memory that can be lent to the client of `replyPort`. Send the image with LMSendImageReply to this port.
 * Also NULL if `replyPort` is neither an unused reply port nor MACH_PORT_NULL. */
LM_API LMImage *LMReplyCreateImage(mach_port_t replyPort, uint32_t width, uint32_t height, uint32_t bitmapInfo);
/* Frees an image that the library created. NULL, and an LMImage that the caller filled in, are ignored. */
LM_API void LMImageFree(LMImage *image);

/*
 * Replies with an image; NULL is an empty reply. The reply port is used up, whatever is returned. The image remains the
 * caller's; one from LMReplyCreateImage that was sent to its port has no pixels afterwards (NULL) and cannot be sent
 * again. To send existing pixels, fill in an LMImage (zero it first); they are copied. Errors as in LMSendReply, and:
 *
 *   MACH_SEND_INVALID_DATA  the image has no pixels, or its members are inconsistent
 *
 * After an error the client's wait ends with MACH_RCV_PORT_DIED, unless LMSendReply says otherwise.
 */
#ifndef __OBJC__
LM_API kern_return_t LMSendImageReply(mach_port_t replyPort, const LMImage *image);
/* Takes the image from a response, or from a request cast from LMMessage *, which is freed. Returns the image, to be
 * freed with LMImageFree; NULL if the message is not an image, its header does not match its length, or memory runs
 * out. */
LM_API LMImage *LMResponseConsumeImage(LMResponseBuffer *response);
#endif

/*
 * In Objective-C with AppKit, the same for an NSBitmapImageRep, or for an NSImage that has one (the original has
 * UIImage here). nil is an empty reply; a received image is autoreleased. A planar bitmap gives MACH_SEND_INVALID_DATA.
 * Images with 8 bits per component can be received. If AppKit does not support their byte order, the pixels are
 * converted into a copy, else they are not copied. AppKit has no orientation: the image is not rotated.
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

#include "detail/ground/quiet_end.h"

#endif
