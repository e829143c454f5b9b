/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes what Objective-C makes of a peer's property lists, as fuzz_consume.c does for C: changes seeds at random and
 * has the result parsed, for some seconds. fuzz_foundation SECONDS NUMBER SEED... : runs with the same number do the
 * same. fuzz.sh builds it with AddressSanitizer. The list in hand is in the file `crash-foundation`, which outlives a
 * crash.
 */
#import <LightMessaging/LightMessaging.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SEEDS = 100, LARGEST = 1 << 14 };

struct text {
    size_t length;
    uint8_t bytes[LARGEST];
};

static struct text seeds[SEEDS];
static unsigned seed_count;
static struct text *in_hand; /* in the file */

static size_t below(size_t limit)
{
    return limit ? (size_t)random() % limit : 0;
}

/* --- Changes --- */

static void replace(struct text *text, size_t at, size_t length, const void *bytes, size_t size)
{
    length = length > text->length - at ? text->length - at : length;
    if (text->length - length + size > LARGEST)
        return;
    memmove(text->bytes + at + size, text->bytes + at + length, text->length - at - length);
    memcpy(text->bytes + at, bytes, size);
    text->length += size - length;
}

static void insert_word(struct text *text)
{
    static const char *const words[] = {
        "<array>", "</array>",  "<dict>", "</dict>",   "<key>",        "</key>", "<string>", "</plist>",   "</string>",
        "<!--",    "-->",       "<!-->",  "<![CDATA[", "]]>",          "<?",     "?>",       "<!DOCTYPE ", "<plist ",
        "\"",      "'",         ">",      "/>",        "&amp;",        "&#",     ";",        "(",          "{",
        "=",       "<integer>", "<date>", "<true/>",   "\xed\xa0\x80", "<*I1>"};
    const char *word = words[below(sizeof words / sizeof *words)];
    replace(text, below(text->length + 1), 0, word, strlen(word));
}

static void change(struct text *text)
{
    const struct text *other = &seeds[below(seed_count)];
    size_t at = below(text->length), from = below(other->length), length = below(64);
    uint8_t byte = (uint8_t)random();
    switch (text->length ? below(5) : 4) {
    case 0:
        text->bytes[at] = byte;
        break;
    case 1:
        text->bytes[at] ^= (uint8_t)(1u << (byte % 8));
        break;
    case 2:
        replace(text, at, length % 9, "", 0);
        break;
    case 3:
        length = length > other->length - from ? other->length - from : length;
        replace(text, at, byte % 2 ? length : 0, other->bytes + from, length);
        break;
    default:
        insert_word(text);
    }
}

/* --- Lists --- */

static unsigned depth_of(id list)
{
    unsigned deepest = 0;
    bool is_dictionary = [list isKindOfClass:[NSDictionary class]];
    if (!is_dictionary && ![list isKindOfClass:[NSArray class]])
        return 0;
    NSEnumerator *members = [list objectEnumerator];
    for (id member = [members nextObject]; member; member = [members nextObject]) {
        unsigned depth = depth_of(member);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

/* Returns whether the list is accepted; an accepted list is within the depth limit, and can be described and sent. */
static bool consume(const struct text *text)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    uint8_t *bytes = (uint8_t *)malloc(text->length + 1); /* separate, so that a read beyond its end is noticed */
    memcpy(bytes, text->bytes, text->length);
    id list = LMPropertyListForData([NSData dataWithBytesNoCopy:bytes length:text->length freeWhenDone:NO]);
    if (list && depth_of(list) > LM_PROPERTY_LIST_DEPTH)
        abort();
    [list description];
    if (list && !LMPropertyListForData(LMDataForPropertyList(list)))
        abort();
    bool taken = list != nil;
    [pool release];
    free(bytes);
    return taken;
}

static bool try_one(struct text *text)
{
    *text = seeds[below(seed_count)];
    for (size_t changes = below(6); changes > 0; changes--)
        change(text);
    if (lm_plist_check(text->bytes, (uint32_t)text->length) < 0)
        return false;
    *in_hand = *text;
    alarm(20);
    return consume(text);
}

/* --- Files --- */

/* Reads the seeds of lists only; the first byte tells. */
static void read_seed(const char *path)
{
    struct text *seed = &seeds[seed_count];
    FILE *file = fopen(path, "rb");
    if (file && seed_count < SEEDS && fgetc(file) < 2) {
        seed->length = fread(seed->bytes, 1, LARGEST, file);
        seed_count += feof(file) != 0;
    }
    if (file)
        fclose(file);
}

static void map_file(void)
{
    int file = open("crash-foundation", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof *in_hand) < 0)
        exit(2);
    in_hand = (struct text *)mmap(NULL, sizeof *in_hand, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (in_hand == MAP_FAILED)
        exit(2);
}

int main(int argc, char **argv)
{
    static struct text text;
    unsigned long tries = 0, taken = 0;
    for (int i = 3; i < argc; i++)
        read_seed(argv[i]);
    if (seed_count == 0)
        return 2;
    map_file();
    srandom((unsigned)atoi(argv[2]));
    int64_t end = lm_now() + atoi(argv[1]) * (int64_t)1000000000;
    for (; lm_now() < end; tries++)
        taken += try_one(&text);
    printf("foundation: %lu tried, %lu taken\n", tries, taken);
    unlink("crash-foundation");
    return taken > 0 ? 0 : 1;
}
