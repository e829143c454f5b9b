/* SPDX-License-Identifier: MIT */
/* Pictures in Objective-C: AppKit's bitmaps to and from C's. */
#import <LightMessaging/Image.h>

#import <AppKit/AppKit.h>

#include "harness.h"

static const char NAME[] = "test.appkit";

enum { SAME = 1, LITTLE, NO_PICTURE, OBJECT };

/* Memory that Foundation allocates at the first access to settings, and never frees; gnustep.supp has this function's
 * name. */
__attribute__((noinline)) static void set_up_foundation(void)
{
    id volatile settings = [NSUserDefaults standardUserDefaults]; /* used below: the call must not become a jump */
    (void)settings;
}

/* A picture is received as a bitmap, and sent back as one or as an image that contains it. */
static void send_back(mach_port_t reply, LMMessage *message)
{
    SInt32 what = message->head.msgh_id;
    NSBitmapImageRep *bitmap = LMResponseConsumeImage((LMResponseBuffer *)message);
    id picture = bitmap;
    if (what == OBJECT) {
        picture = [[[NSImage alloc] initWithSize:NSMakeSize(3, 2)] autorelease];
        [picture addRepresentation:bitmap];
    }
    assert_int_equal(LMSendImageReply(reply, what == NO_PICTURE ? nil : picture), 0);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    set_up_foundation();
    if (message->head.msgh_id >= SAME && message->head.msgh_id <= OBJECT)
        send_back(message->head.msgh_remote_port, message);
    else
        th_echo(port, message, size, info);
    [pool release];
}

static LMImage *make(uint32_t width, uint32_t height, uint32_t info)
{
    LMImage *image = LMImageCreate(width, height, info);
    assert_non_null(image);
    th_fill(image->pixels, (size_t)image->bytesPerRow * height, 3);
    lm_image_is_ready(image);
    return image;
}

/* Sends the image, frees it, and returns the one that comes back. */
static LMImage *exchange(LMConnectionRef connection, SInt32 what, LMImage *image)
{
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(connection, what, image->store->memory, image->store->length, &response),
                     0);
    LMImageFree(image);
    return lm_image_consume(&response);
}

static void check_same(LMConnectionRef connection, SInt32 what, uint32_t width, uint32_t height, uint32_t info)
{
    LMImage *back = exchange(connection, what, make(width, height, info));
    assert_non_null(back);
    assert_int_equal(back->width, width);
    assert_int_equal(back->height, height);
    assert_int_equal(back->bitmapInfo, info);
    assert_true(th_is_filled(back->pixels, (size_t)back->bytesPerRow * height, 3));
    LMImageFree(back);
}

static void bitmaps_come_back(void)
{
    const uint32_t infos[] = {LM_ALPHA_LAST, LM_ALPHA_FIRST, LM_ALPHA_PREMULTIPLIED_LAST, LM_ALPHA_PREMULTIPLIED_FIRST,
                              LM_ALPHA_SKIP_LAST};
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    for (size_t i = 0; i < sizeof infos / sizeof *infos; i++) {
        check_same(&connection, SAME, 3, 2, infos[i]);
        check_same(&connection, OBJECT, 3, 2, infos[i]);
    }
    check_same(&connection, SAME, 500, 300, LM_ALPHA_LAST);
    th_close(&connection);
    th_stop(server);
}

/* cairo's byte order, which AppKit does not support. */
static void other_orders_are_changed(void)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMImage *image = LMImageCreate(1, 1, LM_ALPHA_FIRST | LM_BYTE_ORDER_32_LITTLE);
    memcpy(image->pixels, "\x32\x64\xc8\x80", 4);
    image = exchange(&connection, LITTLE, image);
    assert_non_null(image);
    assert_int_equal(image->bitmapInfo, LM_BITMAP_RGBA);
    assert_memory_equal(image->pixels, "\xc8\x64\x32\x80", 4);
    LMImageFree(image);
    th_close(&connection);
    th_stop(server);
}

static void no_picture_is_nil(void)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(&connection, NO_PICTURE, "x", 1, &response), 0);
    assert_int_equal(LMMessageGetDataLength(&response.message), 0);
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    set_up_foundation();
    assert_null(LMResponseConsumeImage(&response));
    assert_int_equal(LMSendImageReply(MACH_PORT_NULL, @"no picture"), MACH_SEND_INVALID_DATA);
    [pool release];
    th_close(&connection);
    th_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(bitmaps_come_back),
        TH_TEST(other_orders_are_changed),
        TH_TEST(no_picture_is_nil),
    };
    return TH_MAIN(tests);
}
