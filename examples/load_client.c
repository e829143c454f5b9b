/* SPDX-License-Identifier: MIT */
/*
 * Asks the load service for its picture and writes it as a PNG.
 *
 *   load_client [FILE]      load.png if none is named
 */
#define _POSIX_C_SOURCE 200809L

#define LIGHTMESSAGING_TIMEOUT 5000

#include <LightMessaging/Image.h>
#include <LightMessaging/ImagePNG.h>
#include <stdio.h>
#include "load.h"

static LMConnection service = {MACH_PORT_NULL, LOAD_SERVICE};

static int fail(const char *what)
{
    fprintf(stderr, "load_client: %s\n", what);
    return 1;
}

static kern_return_t write_png(const LMImage *image, const char *path)
{
    FILE *file = fopen(path, "wbe");
    if (!file)
        return KERN_INVALID_ARGUMENT;
    kern_return_t error = LMImageWritePNG(image, file);
    if (fclose(file) != 0 && error == KERN_SUCCESS)
        error = KERN_RESOURCE_SHORTAGE;
    return error;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "load.png";
    LMResponseBuffer response;
    kern_return_t error = LMConnectionSendTwoWay(&service, LOAD_PICTURE, NULL, 0, &response);
    if (error != KERN_SUCCESS)
        return fail(mach_error_string(error));
    LMImage *image = LMResponseConsumeImage(&response);
    if (!image)
        return fail("the service sent no picture");
    error = write_png(image, path);
    if (error == KERN_SUCCESS)
        printf("wrote %s, %u x %u pixels\n", path, (unsigned)image->width, (unsigned)image->height);
    LMImageFree(image);
    return error == KERN_SUCCESS ? 0 : fail("the file can't be written");
}
