/* SPDX-License-Identifier: MIT */
/* Pictures: there and back, to PNG and cairo, and the ones that are refused. */
#include "harness.h"

#include <LightMessaging/Image.h>
#include <LightMessaging/ImageCairo.h>
#include <LightMessaging/ImagePNG.h>
#include <unistd.h>

static const char NAME[] = "test.images";

enum { PICTURE = 1, OWN_PIXELS, NO_PICTURE, WRONG_NUMBERS, SMALL_PICTURE, MIRROR, KEEP_PICTURE, KEPT_PICTURE, TWICE };
enum { LARGE_WIDTH = 4096, LARGE_HEIGHT = 2160 };

/* --- A service --- */

static void reply_picture(mach_port_t reply, uint32_t width, uint32_t height)
{
    LMImage *image = LMReplyCreateImage(reply, width, height, LM_BITMAP_RGBA);
    assert_non_null(image);
    th_fill(image->pixels, (size_t)image->bytesPerRow * height, width);
    image->scale = 2;
    image->orientation = 3;
    assert_int_equal(LMSendImageReply(reply, image), 0);
    LMImageFree(image);
}

/* Replies with a grey picture with padded rows, in an LMImage of the service's own. */
static void reply_own_pixels(mach_port_t reply)
{
    uint8_t pixels[3 * 7];
    LMImage image = {0};
    th_fill(pixels, sizeof pixels, 5);
    image.width = 5;
    image.height = 3;
    image.bitsPerComponent = image.bitsPerPixel = 8;
    image.bytesPerRow = 7;
    image.scale = 1;
    image.pixels = pixels;
    assert_int_equal(LMSendImageReply(reply, &image), 0);
}

static void reply_wrong_numbers(mach_port_t reply)
{
    LMImage *image = LMImageCreate(10, 10, LM_BITMAP_RGBA);
    image->bytesPerRow = 39;
    assert_int_equal(LMSendImageReply(reply, image), MACH_SEND_INVALID_DATA);
    LMImageFree(image);
}

/* Replies with the picture that the request is. */
static void reply_mirror(LMMessage *message)
{
    LMImage *image = LMResponseConsumeImage((LMResponseBuffer *)message);
    assert_non_null(image);
    assert_int_equal(message->head.msgh_id, MIRROR);
    assert_int_equal(LMSendImageReply(message->head.msgh_remote_port, image), 0);
    LMImageFree(image);
}

static LMImage *kept;

static void reply_and_keep(mach_port_t reply)
{
    kept = LMReplyCreateImage(reply, 1024, 1024, LM_BITMAP_RGBA);
    assert_int_equal(LMSendImageReply(reply, kept), 0);
    assert_null(kept->pixels);
}

static void reply_kept(mach_port_t reply)
{
    assert_int_equal(LMSendImageReply(reply, kept), MACH_SEND_INVALID_DATA);
    LMImageFree(kept);
}

/* A reply port that was used accepts no picture, whoever owns the pixels. */
static void reply_twice(mach_port_t reply)
{
    uint8_t pixels[4] = {0};
    LMImage own = {.width = 1, .height = 1, .bitsPerComponent = 8, .bitsPerPixel = 32, .bytesPerRow = 4, .scale = 1};
    own.pixels = pixels;
    LMImage *image = LMReplyCreateImage(reply, 1, 1, LM_BITMAP_RGBA);
    reply_picture(reply, 3, 2);
    assert_int_equal(LMSendImageReply(reply, image), MACH_SEND_INVALID_RIGHT);
    assert_int_equal(LMSendImageReply(reply, &own), MACH_SEND_INVALID_RIGHT);
    LMImageFree(image);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    mach_port_t reply = message->head.msgh_remote_port;
    switch (message->head.msgh_id) {
    case PICTURE:
        reply_picture(reply, LARGE_WIDTH, LARGE_HEIGHT);
        break;
    case SMALL_PICTURE:
        reply_picture(reply, 3, 2);
        break;
    case OWN_PIXELS:
        reply_own_pixels(reply);
        break;
    case NO_PICTURE:
        assert_int_equal(LMSendImageReply(reply, NULL), 0);
        break;
    case WRONG_NUMBERS:
        reply_wrong_numbers(reply);
        break;
    case MIRROR:
        reply_mirror(message);
        break;
    case KEEP_PICTURE:
        reply_and_keep(reply);
        break;
    case KEPT_PICTURE:
        reply_kept(reply);
        break;
    case TWICE:
        reply_twice(reply);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

static LMImage *ask(LMConnectionRef connection, SInt32 id)
{
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(connection, id, NULL, 0, &response), 0);
    LMImage *image = LMResponseConsumeImage(&response);
    assert_int_equal(LMMessageGetDataLength(&response.message), 0);
    LMResponseBufferFree(&response);
    return image;
}

/* --- There and back --- */

static void check_picture(const LMImage *image, uint32_t width, uint32_t height)
{
    assert_non_null(image);
    assert_int_equal(image->width, width);
    assert_int_equal(image->height, height);
    assert_int_equal(image->bitsPerComponent, 8);
    assert_int_equal(image->bitsPerPixel, 32);
    assert_int_equal(image->bytesPerRow, 4 * width);
    assert_int_equal(image->bitmapInfo, LM_BITMAP_RGBA);
    assert_true(image->scale == 2);
    assert_int_equal(image->orientation, 3);
    assert_int_equal((uintptr_t)image->pixels % 16, 0);
    assert_true(th_is_filled(image->pixels, (size_t)image->bytesPerRow * height, width));
}

static FILE *open_temporary(void)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    return file;
}

/* Writes the picture to a file and reads it back. */
static LMImage *by_png(const LMImage *image)
{
    FILE *file = open_temporary();
    assert_int_equal(LMImageWritePNG(image, file), 0);
    rewind(file);
    LMImage *read = LMImageCreateWithPNG(file);
    assert_int_equal(fclose(file), 0);
    assert_non_null(read);
    assert_int_equal(read->width, image->width);
    assert_int_equal(read->height, image->height);
    assert_int_equal(read->bitmapInfo, LM_BITMAP_RGBA);
    return read;
}

static void a_large_picture_comes_out_as_a_png(void)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMImage *image = ask(&connection, PICTURE);
    check_picture(image, LARGE_WIDTH, LARGE_HEIGHT);
    LMImage *read = by_png(image);
    assert_memory_equal(read->pixels, image->pixels, (size_t)image->bytesPerRow * image->height);
    LMImageFree(read);
    LMImageFree(image);
    th_close(&connection);
    th_stop(server);
}

/* The pixels are where the service drew them: the message holds a segment, and the picture holds the message. */
static void pictures_are_lent(void)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    for (int i = 0; i < 20; i++) {
        LMResponseBuffer response;
        assert_int_equal(LMConnectionSendTwoWay(&connection, PICTURE, NULL, 0, &response), 0);
        assert_non_null(response.message.lent);
        const unsigned char *data = LMMessageGetData(&response.message);
        LMImage *image = LMResponseConsumeImage(&response);
        check_picture(image, LARGE_WIDTH, LARGE_HEIGHT);
        assert_ptr_equal(image->pixels, data + 64);
        LMImageFree(image);
    }
    th_close(&connection);
    th_stop(server);
}

static void small_and_own_pictures_come_back(void)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMImage *image = ask(&connection, SMALL_PICTURE);
    check_picture(image, 3, 2);
    LMImageFree(image);
    image = ask(&connection, OWN_PIXELS);
    assert_int_equal(image->width, 5);
    assert_int_equal(image->bytesPerRow, 7);
    assert_true(th_is_filled(image->pixels, 21, 5));
    LMImageFree(image);
    assert_null(ask(&connection, NO_PICTURE));
    LMImageFree(NULL);
    th_close(&connection);
    th_stop(server);
}

/* Small and large pictures, copied and lent. */
static void a_picture_may_be_a_request(void)
{
    const uint32_t widths[] = {8, 256, 1024};
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    for (int i = 0; i < 6; i++) {
        LMResponseBuffer response;
        LMBufferRef buffer;
        LMImage *image = LMImageCreate(widths[i / 2], 64, LM_BITMAP_RGBA);
        uint32_t length = image->store->length;
        memset(image->pixels, 5, (size_t)image->bytesPerRow * 64);
        assert_int_equal(LMConnectionCreateBuffer(&connection, length, &buffer), 0);
        memcpy(LMBufferGetBytes(buffer), image->store->memory, length);
        if (i % 2)
            assert_int_equal(LMConnectionSendTwoWayBuffer(&connection, MIRROR, &buffer, &response), 0);
        else
            assert_int_equal(LMConnectionSendTwoWay(&connection, MIRROR, image->store->memory, length, &response), 0);
        LMBufferFree(buffer);
        LMImage *back = LMResponseConsumeImage(&response);
        assert_non_null(back);
        assert_memory_equal(back->pixels, image->pixels, (size_t)image->bytesPerRow * 64);
        LMImageFree(back);
        LMImageFree(image);
    }
    th_close(&connection);
    th_stop(server);
}

/* --- Invalid pictures --- */

static void a_lent_picture_is_sent_once(void)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    LMImageFree(ask(&connection, KEEP_PICTURE));
    assert_int_equal(LMConnectionSendTwoWay(&connection, KEPT_PICTURE, NULL, 0, &response), MACH_RCV_PORT_DIED);
    LMImageFree(ask(&connection, TWICE));
    th_close(&connection);
    th_stop(server);
}

static void wrong_numbers_are_not_sent(void)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(&connection, WRONG_NUMBERS, NULL, 0, &response), MACH_RCV_PORT_DIED);
    assert_null(LMImageCreate(0, 1, LM_BITMAP_RGBA));
    assert_null(LMImageCreate(1, 0, LM_BITMAP_RGBA));
    assert_null(LMImageCreate(0x40000000, 1, LM_BITMAP_RGBA));
    assert_null(LMImageCreate(0x10000, 0x10000, LM_BITMAP_RGBA));
    assert_int_equal(LMSendImageReply(MACH_PORT_NULL, NULL), 0);
    th_close(&connection);
    th_stop(server);
}

/* A valid picture of 20 x 10, in 32-bit words: magic, width, height, bits of a component and of a pixel, bytes per row,
 * bitmap information, scale, orientation; the pixels begin at 64. */
enum { WORDS = 16 + 200 };

static void write_picture(uint32_t *words)
{
    const float scale = 1;
    memset(words, 0, WORDS * sizeof *words);
    words[0] = 0x314d494c;
    words[1] = 20;
    words[2] = 10;
    words[3] = 8;
    words[4] = 32;
    words[5] = 80;
    words[6] = LM_BITMAP_RGBA;
    memcpy(&words[7], &scale, sizeof scale);
}

/* Returns whether the client accepts these bytes. */
static bool is_taken(LMConnectionRef connection, const uint32_t *words, size_t length)
{
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(connection, 77, words, (uint32_t)length, &response), 0);
    LMImage *image = LMResponseConsumeImage(&response);
    bool taken = image != NULL;
    LMImageFree(image);
    return taken;
}

static void numbers_that_dont_fit_are_refused(void)
{
    const struct {
        unsigned word;
        uint32_t value;
    } wrong[] = {{0, 0},          {1, 0},  {1, 21},         {1, UINT32_MAX}, {2, 0},          {2, 11}, {2, UINT32_MAX},
                 {3, 0},          {3, 33}, {4, 0},          {4, 33},         {4, 160},        {5, 79}, {5, 81},
                 {5, UINT32_MAX}, {7, 0},  {7, 0x7fc00000}, {7, 0x7f800000}, {7, 0xbf800000}, {8, 8}};
    pid_t server = th_serve(NAME, th_echo);
    LMConnection connection = th_connection(NAME);
    uint32_t words[WORDS];
    write_picture(words);
    assert_true(is_taken(&connection, words, sizeof words));
    for (size_t length = 0; length < sizeof words; length += 13)
        assert_false(is_taken(&connection, words, length));
    assert_false(is_taken(&connection, words, sizeof words - 1));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_picture(words);
        words[wrong[i].word] = wrong[i].value;
        assert_false(is_taken(&connection, words, sizeof words));
    }
    th_close(&connection);
    th_stop(server);
}

/* --- Layouts --- */

/* Checks one pixel, whose red, green, blue and alpha are 200, 100, 50 and 255 (or 128, with which 200 becomes 100). */
static void check_layout(uint32_t bits, uint32_t info, const char *bytes, const char *rgba)
{
    LMImage image = {0};
    image.width = image.height = 1;
    image.bitsPerComponent = 8;
    image.bitsPerPixel = bits;
    image.bytesPerRow = 4;
    image.bitmapInfo = info;
    image.scale = 1;
    image.pixels = (void *)(uintptr_t)bytes;
    LMImage *read = by_png(&image);
    assert_memory_equal(read->pixels, rgba, 4);
    LMImageFree(read);
}

static void every_layout_becomes_a_png(void)
{
    check_layout(32, LM_BITMAP_RGBA, "\xc8\x64\x32\x80", "\xc8\x64\x32\x80");
    check_layout(32, LM_ALPHA_LAST | LM_BYTE_ORDER_32_BIG, "\xc8\x64\x32\x80", "\xc8\x64\x32\x80");
    check_layout(32, LM_ALPHA_FIRST, "\x80\xc8\x64\x32", "\xc8\x64\x32\x80");
    check_layout(32, LM_ALPHA_LAST | LM_BYTE_ORDER_32_LITTLE, "\x80\x32\x64\xc8", "\xc8\x64\x32\x80");
    check_layout(32, LM_ALPHA_FIRST | LM_BYTE_ORDER_32_LITTLE, "\x32\x64\xc8\x80", "\xc8\x64\x32\x80");
    check_layout(32, LM_ALPHA_PREMULTIPLIED_LAST, "\x64\x32\x19\x80", "\xc7\x64\x32\x80");
    check_layout(32, LM_ALPHA_PREMULTIPLIED_LAST, "\x00\x00\x00\x00", "\x00\x00\x00\x00");
    check_layout(32, LM_ALPHA_SKIP_LAST, "\xc8\x64\x32\x11", "\xc8\x64\x32\xff");
    check_layout(32, LM_ALPHA_SKIP_FIRST | LM_BYTE_ORDER_32_LITTLE, "\x32\x64\xc8\x11", "\xc8\x64\x32\xff");
    check_layout(24, LM_ALPHA_NONE, "\xc8\x64\x32", "\xc8\x64\x32\xff");
    check_layout(8, LM_ALPHA_NONE, "\xc8", "\xc8\xc8\xc8\xff");
}

static void other_layouts_and_files_are_refused(void)
{
    LMImage *image = LMImageCreate(2, 2, LM_ALPHA_NONE); /* 32 bits without an alpha component */
    FILE *file = open_temporary();
    assert_int_equal(LMImageWritePNG(image, file), MACH_SEND_INVALID_DATA);
    assert_null(LMImageCreateCairoSurface(image));
    assert_int_equal(LMImageWritePNG(NULL, file), KERN_INVALID_ARGUMENT);
    assert_null(LMImageCreateWithPNG(file));
    fputs("\x89PNG\r\n\x1a\n, or so it says", file);
    rewind(file);
    assert_null(LMImageCreateWithPNG(file));
    assert_int_equal(fclose(file), 0);
    LMImageFree(image);
}

static void a_full_disk_is_an_error(void)
{
    LMImage *image = LMImageCreate(200, 200, LM_BITMAP_RGBA);
    th_fill(image->pixels, 160000, 1);
    FILE *file = fopen("/dev/full", "wb");
    assert_non_null(file);
    assert_int_equal(LMImageWritePNG(image, file), KERN_RESOURCE_SHORTAGE);
    fclose(file);
    LMImageFree(image);
}

/* --- cairo --- */

static void draw(cairo_surface_t *surface)
{
    cairo_t *cairo = cairo_create(surface);
    cairo_set_source_rgba(cairo, 1, 0, 0, 1);
    cairo_paint(cairo);
    cairo_set_source_rgb(cairo, 0, 0, 1);
    cairo_rectangle(cairo, 1, 1, 1, 1);
    cairo_fill(cairo);
    assert_int_equal(cairo_status(cairo), CAIRO_STATUS_SUCCESS);
    cairo_destroy(cairo);
    cairo_surface_flush(surface);
}

static void check_drawing(const LMImage *image)
{
    LMImage *read = by_png(image);
    const uint8_t *row = (const uint8_t *)read->pixels + read->bytesPerRow;
    assert_memory_equal(read->pixels, "\xff\x00\x00\xff\xff\x00\x00\xff", 8);
    assert_memory_equal(row, "\xff\x00\x00\xff\x00\x00\xff\xff\xff\x00\x00\xff", 12);
    LMImageFree(read);
}

static void cairo_draws_into_pictures(void)
{
    LMImage *image = LMImageCreate(3, 3, LM_BITMAP_CAIRO);
    cairo_surface_t *surface = LMImageCreateCairoSurface(image);
    assert_non_null(surface);
    draw(surface);
    cairo_surface_destroy(surface);
    check_drawing(image);
    LMImageFree(image);
}

static void surfaces_become_pictures(void)
{
    const cairo_format_t formats[] = {CAIRO_FORMAT_ARGB32, CAIRO_FORMAT_RGB24};
    for (int i = 0; i < 2; i++) {
        cairo_surface_t *surface = cairo_image_surface_create(formats[i], 3, 3);
        draw(surface);
        LMImage *image = LMImageCreateWithCairoSurface(surface);
        cairo_surface_destroy(surface);
        assert_non_null(image);
        check_drawing(image);
        cairo_surface_t *same = LMImageCreateCairoSurface(image);
        assert_int_equal(cairo_image_surface_get_format(same), formats[i]);
        cairo_surface_destroy(same);
        LMImageFree(image);
    }
    cairo_surface_t *mask = cairo_image_surface_create(CAIRO_FORMAT_A8, 3, 3);
    assert_null(LMImageCreateWithCairoSurface(mask));
    assert_null(LMImageCreateWithCairoSurface(NULL));
    cairo_surface_destroy(mask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(a_picture_may_be_a_request),          TH_TEST(a_lent_picture_is_sent_once),
        TH_TEST(a_large_picture_comes_out_as_a_png),  TH_TEST(pictures_are_lent),
        TH_TEST(small_and_own_pictures_come_back),    TH_TEST(wrong_numbers_are_not_sent),
        TH_TEST(numbers_that_dont_fit_are_refused),   TH_TEST(every_layout_becomes_a_png),
        TH_TEST(other_layouts_and_files_are_refused), TH_TEST(a_full_disk_is_an_error),
        TH_TEST(cairo_draws_into_pictures),           TH_TEST(surfaces_become_pictures),
    };
    return TH_MAIN(tests);
}
