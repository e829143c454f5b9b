/* SPDX-License-Identifier: MIT */
/*
 * A service that draws an image: how busy the machine's processors were in the last minute, from /proc/stat. It draws
 * with cairo directly into the memory that the image is sent from.
 */
#define _POSIX_C_SOURCE 200809L

#include <LightMessaging/Image.h>
#include <LightMessaging/ImageCairo.h>
#include <stdio.h>
#include "load.h"

enum { WIDTH = 640, HEIGHT = 240, MARGIN = 20, SAMPLES = 240 }; /* four a second */

/* --- Measuring --- */

typedef struct Times {
    unsigned long long busy, all; /* of all processors, since the machine started */
} Times;

static Times last;
static double samples[SAMPLES]; /* from 0 to 1, oldest first */
static int sample_count;

static bool read_times(Times *times)
{
    unsigned long long t[8] = {0}; /* user, nice, system, idle, iowait, irq, softirq, steal */
    FILE *stat = fopen("/proc/stat", "re");
    if (!stat)
        return false;
    int count = fscanf(stat, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3], &t[4], &t[5],
                       &t[6], &t[7]);
    fclose(stat);
    unsigned long long idle = t[3] + t[4];
    times->all = t[0] + t[1] + t[2] + idle + t[5] + t[6] + t[7];
    times->busy = times->all - idle;
    return count == 8;
}

static void add_sample(double sample)
{
    if (sample_count == SAMPLES)
        memmove(samples, samples + 1, (SAMPLES - 1) * sizeof *samples);
    else
        sample_count++;
    samples[sample_count - 1] = sample;
}

static void measure(CFRunLoopTimerRef timer, void *info)
{
    Times now;
    (void)timer, (void)info;
    if (!read_times(&now))
        return;
    if (now.all > last.all)
        add_sample((double)(now.busy - last.busy) / (double)(now.all - last.all));
    last = now;
}

/* --- Drawing --- */

static double x_of(int sample)
{
    return MARGIN + (WIDTH - 2.0 * MARGIN) * (SAMPLES - sample_count + sample) / (SAMPLES - 1);
}

static double y_of(double load)
{
    return HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * load;
}

static void draw_grid(cairo_t *cairo)
{
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    cairo_set_source_rgb(cairo, 0.8, 0.8, 0.8);
    cairo_set_line_width(cairo, 1);
    for (int quarter = 0; quarter <= 4; quarter++) {
        cairo_move_to(cairo, MARGIN, y_of(quarter / 4.0));
        cairo_line_to(cairo, WIDTH - MARGIN, y_of(quarter / 4.0));
    }
    cairo_stroke(cairo);
}

static void draw_curve(cairo_t *cairo)
{
    if (sample_count == 0)
        return;
    cairo_move_to(cairo, x_of(0), y_of(0));
    for (int i = 0; i < sample_count; i++)
        cairo_line_to(cairo, x_of(i), y_of(samples[i]));
    cairo_line_to(cairo, x_of(sample_count - 1), y_of(0));
    cairo_close_path(cairo);
    cairo_set_source_rgba(cairo, 0.2, 0.4, 0.8, 0.5);
    cairo_fill_preserve(cairo);
    cairo_set_source_rgb(cairo, 0.2, 0.4, 0.8);
    cairo_stroke(cairo);
}

static void draw_caption(cairo_t *cairo)
{
    char caption[80];
    double load = sample_count ? samples[sample_count - 1] : 0;
    snprintf(caption, sizeof caption, "processors, busy in the last minute; now %.0f %%", 100 * load);
    cairo_set_source_rgb(cairo, 0, 0, 0);
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo, 12);
    cairo_move_to(cairo, MARGIN, MARGIN - 6);
    cairo_show_text(cairo, caption);
}

static bool draw(cairo_surface_t *surface)
{
    cairo_t *cairo = cairo_create(surface);
    draw_grid(cairo);
    draw_curve(cairo);
    draw_caption(cairo);
    bool drawn = cairo_status(cairo) == CAIRO_STATUS_SUCCESS;
    cairo_destroy(cairo);
    return drawn;
}

/* --- Replies --- */

static void report(kern_return_t error)
{
    if (error != KERN_SUCCESS)
        fprintf(stderr, "load_server: reply: %s\n", mach_error_string(error));
}

static void reply_image(mach_port_t reply)
{
    LMImage *image = LMReplyCreateImage(reply, WIDTH, HEIGHT, LM_BITMAP_CAIRO);
    cairo_surface_t *surface = LMImageCreateCairoSurface(image);
    bool drawn = surface && draw(surface);
    if (surface)
        cairo_surface_destroy(surface);
    report(LMSendImageReply(reply, drawn ? image : NULL));
    LMImageFree(image);
}

static void answer(CFMachPortRef port, LMMessage *request, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    if (request->head.msgh_id == LOAD_IMAGE)
        reply_image(request->head.msgh_remote_port);
    else
        report(LMSendImageReply(request->head.msgh_remote_port, NULL));
}

int main(void)
{
    measure(NULL, NULL);
    CFRunLoopTimerRef timer = CFRunLoopTimerCreate(NULL, CFAbsoluteTimeGetCurrent(), 0.25, 0, 0, measure, NULL);
    if (!timer) {
        fprintf(stderr, "load_server: %s\n", mach_error_string(KERN_RESOURCE_SHORTAGE));
        return 1;
    }
    CFRunLoopAddTimer(CFRunLoopGetCurrent(), timer, kCFRunLoopCommonModes);
    CFRelease(timer);
    kern_return_t error = LMStartService(LOAD_SERVICE, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer);
    if (error != KERN_SUCCESS) {
        fprintf(stderr, "load_server: %s: %s\n", LOAD_SERVICE, mach_error_string(error));
        return 1;
    }
    puts("serving " LOAD_SERVICE);
    fflush(stdout);
    CFRunLoopRun();
    return 0;
}
