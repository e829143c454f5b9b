/* SPDX-License-Identifier: MIT */
/* Writes the seeds of fuzz_consume.c into the folder that is its argument: good ones of each kind, and bad ones that
 * were once accepted. */
#include "lists.h"

#include <LightMessaging/Image.h>
#include <LightMessaging/PropertyList.h>

static void write_seed(const char *folder, const char *name, char kind, const void *data, size_t length)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fputc(kind, file) == EOF || fwrite(data, 1, length, file) != length || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void write_lists(const char *folder)
{
    static uint8_t bytes[1 << 16];
    char *text = NULL; /* libplist does nothing if the pointer is set */
    uint32_t length;
    plist_t list = ls_make();
    plist_to_bin(list, &text, &length);
    write_seed(folder, "binary", 0, text, length);
    plist_to_bin_free(text);
    plist_free(list);
    list = ls_make_for_foundation();
    text = NULL;
    plist_to_xml(list, &text, &length);
    write_seed(folder, "xml", 0, text, length);
    plist_to_xml_free(text);
    plist_free(list);
    write_seed(folder, "chain", 0, bytes, ls_write_chain(bytes, 10, 2, -1));
    write_seed(folder, "cycle", 0, bytes, ls_write_chain(bytes, 10, 1, 3));
    write_seed(folder, "small", 0, "<plist><dict><key>a</key><integer>1</integer></dict></plist>", 60);
}

/* The tricks that hide depth, with little depth. */
static void write_tricks(const char *folder)
{
    char name[32], *text;
    for (unsigned way = 0; (text = ls_write_trick(way)) != NULL; way++) {
        size_t length = strlen(text);
        char *cut = (char *)memmem(text, length, "<array><array>", 14);
        if (cut)
            length = (size_t)(stpcpy(cut + 14 * 2, text + length - 60) - text);
        snprintf(name, sizeof name, "trick%u", way);
        write_seed(folder, name, 0, text, length < 60000 ? length : 60000);
        free(text);
    }
}

static void write_table(const char *folder)
{
    char name[32];
    uint8_t bytes[100];
    for (const struct ls_text *text = ls_texts; text->text; text++) {
        snprintf(name, sizeof name, "text%u", (unsigned)(text - ls_texts));
        write_seed(folder, name, 0, text->text, strlen(text->text));
    }
    for (const struct ls_value *value = ls_values; value->bytes; value++) {
        snprintf(name, sizeof name, "value%u", (unsigned)(value - ls_values));
        write_seed(folder, name, 0, bytes, ls_write_value(bytes, value->bytes, value->length));
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    write_lists(argv[1]);
    write_tricks(argv[1]);
    write_table(argv[1]);
    LMImage *image = LMImageCreate(4, 4, LM_BITMAP_RGBA);
    if (!image)
        return 1;
    memset(image->pixels, 0, 64);
    write_seed(argv[1], "picture", 2, image->store->memory, image->store->length);
    LMImageFree(image);
    write_seed(argv[1], "text", 3, "caf\xc3\xa9", 5);
    return 0;
}
