/* SPDX-License-Identifier: MIT */
/* CoreFoundation's data, strings and reference counts, as documented. */
#include "harness.h"

#include <pthread.h>

static CFStringRef make(const char *text)
{
    return CFStringCreateWithCString(kCFAllocatorDefault, text, kCFStringEncodingUTF8);
}

static void check_text(CFStringRef string, const char *expected, CFIndex units)
{
    char text[64];
    assert_non_null(string);
    assert_true(CFStringGetCString(string, text, sizeof text, kCFStringEncodingUTF8));
    assert_string_equal(text, expected);
    assert_int_equal(CFStringGetLength(string), units);
}

/* --- Strings --- */

static void lengths_are_in_utf16(void)
{
    CFStringRef string = make("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"); /* one, two, three and four bytes */
    check_text(string, "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 5);
    assert_true(CFStringGetMaximumSizeForEncoding(5, kCFStringEncodingUTF8) >= 10);
    CFRelease(string);
}

static void what_is_not_utf8_is_refused(void)
{
    const char *bad[] = {"\x80",
                         "\xc0\xaf",
                         "\xc3",
                         "\xe0\x80\xaf",
                         "\xed\xa0\x80",
                         "\xf0\x80\x80\xaf",
                         "\xf4\x90\x80\x80",
                         "\xf5\x80\x80\x80",
                         "\xe2\x82",
                         "a\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_null(make(bad[i]));
    assert_null(CFStringCreateWithBytes(NULL, (const UInt8 *)"a\0b", 3, kCFStringEncodingUTF8, false));
    assert_null(CFStringCreateWithCString(NULL, "\xc3\xa9", kCFStringEncodingASCII));
    assert_null(CFStringCreateWithCString(NULL, "a", 0x0201)); /* ISO Latin 1 */
    assert_null(CFStringCreateWithCString(NULL, NULL, kCFStringEncodingUTF8));
    assert_null(CFStringCreateWithBytes(NULL, NULL, 1, kCFStringEncodingUTF8, false));
    assert_null(CFStringCreateWithBytes(NULL, (const UInt8 *)"a", -1, kCFStringEncodingUTF8, false));
}

static CFStringRef a_constant(void)
{
    return CFSTR("constant");
}

static void constants_live_for_ever(void)
{
    CFStringRef string = a_constant();
    for (int i = 0; i < 10; i++)
        CFRelease(string);
    assert_ptr_equal(CFRetain(string), string);
    check_text(a_constant(), "constant", 8);
    CFRelease(kCFRunLoopDefaultMode);
    CFRelease(kCFAllocatorMalloc);
    check_text(kCFRunLoopDefaultMode, "kCFRunLoopDefaultMode", 21);
    check_text(kCFRunLoopCommonModes, "kCFRunLoopCommonModes", 21);
    check_text(CFSTR(""), "", 0);
}

static void a_buffer_must_hold_it_all(void)
{
    char text[4] = "xxx";
    assert_false(CFStringGetCString(CFSTR("four"), text, sizeof text, kCFStringEncodingUTF8));
    assert_true(CFStringGetCString(CFSTR("thr"), text, sizeof text, kCFStringEncodingASCII));
    assert_string_equal(text, "thr");
    assert_false(CFStringGetCString(CFSTR("\xc3\xa9"), text, sizeof text, kCFStringEncodingASCII));
    assert_null(CFStringGetCStringPtr(CFSTR("\xc3\xa9"), kCFStringEncodingASCII));
    assert_string_equal(CFStringGetCStringPtr(CFSTR("\xc3\xa9"), kCFStringEncodingUTF8), "\xc3\xa9");
}

static void check_data(CFDataRef data, const char *expected)
{
    assert_non_null(data);
    assert_int_equal(CFDataGetLength(data), strlen(expected));
    assert_memory_equal(CFDataGetBytePtr(data), expected, strlen(expected));
    CFRelease(data);
}

static void strings_become_data_and_back(void)
{
    CFStringRef string = CFSTR("caf\xc3\xa9");
    check_data(CFStringCreateExternalRepresentation(NULL, string, kCFStringEncodingUTF8, 0), "caf\xc3\xa9");
    check_data(CFStringCreateExternalRepresentation(NULL, string, kCFStringEncodingASCII, '?'), "caf?");
    assert_null(CFStringCreateExternalRepresentation(NULL, string, kCFStringEncodingASCII, 0));
    CFDataRef data = CFDataCreate(NULL, (const UInt8 *)"caf\xc3\xa9", 5);
    CFStringRef back = CFStringCreateFromExternalRepresentation(NULL, data, kCFStringEncodingUTF8);
    assert_int_equal(CFStringCompare(back, string, 0), kCFCompareEqualTo);
    assert_int_equal(CFStringCompare(back, CFSTR("caf"), 0), kCFCompareGreaterThan);
    assert_int_equal(CFStringCompare(CFSTR("caf"), back, 0), kCFCompareLessThan);
    CFRelease(back);
    CFRelease(data);
}

/* --- Data --- */

static void data_are_copied_or_not(void)
{
    UInt8 bytes[] = "abc";
    CFDataRef copy = CFDataCreate(NULL, bytes, 3);
    CFDataRef same = CFDataCreateWithBytesNoCopy(NULL, bytes, 3, kCFAllocatorNull);
    CFDataRef owned = CFDataCreateWithBytesNoCopy(NULL, (UInt8 *)malloc(3), 3, kCFAllocatorMalloc);
    bytes[0] = 'z';
    assert_memory_equal(CFDataGetBytePtr(copy), "abc", 3);
    assert_ptr_equal(CFDataGetBytePtr(same), bytes);
    UInt8 part[2] = {0, 0};
    CFDataGetBytes(copy, CFRangeMake(1, 2), part);
    assert_memory_equal(part, "bc", 2);
    CFDataGetBytes(copy, CFRangeMake(2, 2), part); /* beyond the end: nothing */
    assert_memory_equal(part, "bc", 2);
    CFDataRef again = CFDataCreateCopy(NULL, copy);
    assert_ptr_equal(again, copy);
    assert_int_equal(CFGetRetainCount(copy), 2);
    CFRelease(again);
    again = CFDataCreateCopy(NULL, owned);
    assert_ptr_equal(again, owned);
    CFRelease(again);
    again = CFDataCreateCopy(NULL, same); /* outlives the bytes */
    bytes[0] = 'y';
    assert_memory_equal(CFDataGetBytePtr(again), "zbc", 3);
    CFRelease(again);
    CFRelease(copy);
    CFRelease(same);
    CFRelease(owned);
    assert_null(CFDataCreate(NULL, NULL, 1));
    assert_null(CFDataCreate(NULL, bytes, -1));
}

enum { THREADS = 4 };

static void *count(void *object)
{
    for (unsigned i = 0; i < th_rounds(100000); i++) {
        CFRetain(object);
        CFRelease(object);
    }
    CFRelease(object);
    return NULL;
}

static void counts_hold_over_threads(void)
{
    pthread_t threads[THREADS];
    CFDataRef data = CFDataCreate(NULL, (const UInt8 *)"x", 1);
    for (int i = 0; i < THREADS; i++)
        CFRetain(data);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, (void *)(uintptr_t)data), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(CFGetRetainCount(data), 1);
    CFRelease(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(lengths_are_in_utf16),      TH_TEST(what_is_not_utf8_is_refused),  TH_TEST(constants_live_for_ever),
        TH_TEST(a_buffer_must_hold_it_all), TH_TEST(strings_become_data_and_back), TH_TEST(data_are_copied_or_not),
        TH_TEST(counts_hold_over_threads),
    };
    return TH_MAIN(tests);
}
