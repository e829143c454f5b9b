/* SPDX-License-Identifier: MIT */
/*
 * Requests the load service's image and writes it to a PNG file.
 *
 *   load_client [FILE]      by default load.png
 */
#define _POSIX_C_SOURCE 200809L

#define LIGHTMESSAGING_TIMEOUT 5000 /* milliseconds */

#include <LightMessaging/Image.h>
#include <LightMessaging/ImagePNG.h>
#include <errno.h>
#include <stdio.h>
#include "load.h"

static LMConnection service = {MACH_PORT_NULL, LOAD_SERVICE};

static bool fail(const char *what, const char *why)
{
    fprintf(stderr, "load_client: %s: %s\n", what, why);
    return false;
}

static bool write_png(const LMImage *image, const char *path)
{
    FILE *file = fopen(path, "wbe");
    if (!file)
        return fail(path, strerror(errno));
    kern_return_t error = LMImageWritePNG(image, file);
    bool closed = fclose(file) == 0;
    if (error != KERN_SUCCESS)
        return fail(path, mach_error_string(error));
    return closed || fail(path, strerror(errno));
}

static bool save_image(const char *path)
{
    LMResponseBuffer response;
    kern_return_t error = LMConnectionSendTwoWay(&service, LOAD_IMAGE, NULL, 0, &response);
    if (error != KERN_SUCCESS)
        return fail(LOAD_SERVICE, mach_error_string(error));
    LMImage *image = LMResponseConsumeImage(&response);
    if (!image)
        return fail(LOAD_SERVICE, "the reply is not an image");
    bool saved = write_png(image, path);
    if (saved)
        printf("wrote %s, %u x %u pixels\n", path, (unsigned)image->width, (unsigned)image->height);
    LMImageFree(image);
    return saved;
}

int main(int argc, char **argv)
{
    return save_image(argc > 1 ? argv[1] : "load.png") ? 0 : 1;
}
