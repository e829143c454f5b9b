/* SPDX-License-Identifier: MIT */
/* Strings, integers and data: there and back, and the ones that are refused. */
#include "harness.h"

#include <LightMessaging/Data.h>
#include <LightMessaging/Integer.h>
#include <LightMessaging/String.h>

static const char NAME[] = "test.values";

enum { UPPER_CASE = 1, BAD_TEXT, TWICE_64, LENT, ECHO = 77 };

static void upper_case(LMMessage *message)
{
    mach_port_t reply = message->head.msgh_remote_port;
    char *text = LMResponseConsumeString((LMResponseBuffer *)message);
    for (char *c = text; c && *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 32);
    LMSendStringReply(reply, text);
    free(text);
}

/* Replies with the request's text, in a lent buffer. */
static void lend(LMMessage *message)
{
    LMBufferRef buffer;
    mach_port_t reply = message->head.msgh_remote_port;
    assert_int_equal(LMReplyCreateBuffer(reply, LMMessageGetDataLength(message), &buffer), 0);
    memcpy(LMBufferGetBytes(buffer), LMMessageGetData(message), LMMessageGetDataLength(message));
    assert_int_equal(LMSendReplyBuffer(reply, &buffer), 0);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    int64_t integer = 0;
    mach_port_t reply = message->head.msgh_remote_port;
    switch (message->head.msgh_id) {
    case UPPER_CASE:
        upper_case(message);
        break;
    case BAD_TEXT:
        assert_int_equal(LMSendStringReply(reply, "\xc3("), MACH_SEND_INVALID_DATA);
        break;
    case TWICE_64:
        assert_true(LMMessageGetInt64(message, &integer));
        assert_int_equal(LMSendInt64Reply(reply, 2 * integer), 0);
        break;
    case LENT:
        lend(message);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

/* --- Strings --- */

static void check_upper_case(LMConnectionRef connection, const char *text, const char *expected)
{
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWayString(connection, UPPER_CASE, text, &response), 0);
    char *reply = LMResponseConsumeString(&response);
    assert_string_equal(reply, expected);
    assert_int_equal(LMMessageGetDataLength(&response.message), 0);
    free(reply);
}

static void text_comes_back(void)
{
    static char text[100001], expected[100001];
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    memset(text, 'x', 100000);
    memset(expected, 'X', 100000);
    check_upper_case(&connection, "hello", "HELLO");
    check_upper_case(&connection, "", "");
    check_upper_case(&connection, NULL, "");
    check_upper_case(&connection, "\xf0\x9f\x98\x80 caf\xc3\xa9", "\xf0\x9f\x98\x80 CAF\xc3\xa9");
    check_upper_case(&connection, text, expected);
    assert_int_equal(LMConnectionSendOneWayString(&connection, ECHO, "x"), 0);
    th_close(&connection);
    th_stop(server);
}

static void what_is_not_utf8_is_not_sent(void)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendOneWayString(&connection, ECHO, "\xff"), MACH_SEND_INVALID_DATA);
    assert_int_equal(LMConnectionSendTwoWayString(&connection, ECHO, "\xed\xa0\x80", &response),
                     MACH_SEND_INVALID_DATA);
    assert_int_equal(LMMessageGetDataLength(&response.message), 0);
    assert_int_equal(LMConnectionSendTwoWayString(&connection, BAD_TEXT, "", &response), MACH_RCV_PORT_DIED);
    th_close(&connection);
    th_stop(server);
}

static void what_is_not_utf8_is_not_received(void)
{
    const struct {
        const char *bytes;
        uint32_t length;
        const char *text;
    } sent[] = {{"ab", 2, "ab"},
                {"ab", 3, "ab"},
                {"\0", 1, ""},
                {"a\0b", 3, NULL},
                {"ab\0\0", 4, NULL},
                {"\xc3", 1, NULL},
                {"\xc3\xa9", 2, "\xc3\xa9"},
                {"\xc0\x80", 2, NULL}};
    pid_t server = th_serve(NAME, th_echo);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
        assert_int_equal(LMConnectionSendTwoWay(&connection, ECHO, sent[i].bytes, sent[i].length, &response), 0);
        char *text = LMResponseConsumeString(&response);
        if (sent[i].text)
            assert_string_equal(text, sent[i].text);
        else
            assert_null(text);
        free(text);
    }
    th_close(&connection);
    th_stop(server);
}

/* --- Integers --- */

#define CHECK_INTEGER(name, type, value)                                                                               \
    do {                                                                                                               \
        LMResponseBuffer response;                                                                                     \
        type got = 0;                                                                                                  \
        assert_int_equal(LMConnectionSendTwoWay##name(&connection, ECHO, value, &response), 0);                        \
        assert_true(LMMessageGet##name(&response.message, &got));                                                      \
        assert_true(got == (value));                                                                                   \
        assert_true(LMResponseConsume##name(&response) == (value));                                                    \
        assert_int_equal(LMConnectionSendOneWay##name(&connection, ECHO, value), 0);                                   \
        assert_int_equal(LMConnectionSendTwoWay(&connection, ECHO, "123", 3, &response), 0);                           \
        assert_false(LMMessageGet##name(&response.message, &got));                                                     \
        assert_true(got == (value));                                                                                   \
        assert_true(LMResponseConsume##name(&response) == 0);                                                          \
        assert_int_equal(LMSend##name##Reply(MACH_PORT_NULL, value), 0);                                               \
    } while (0)

static void integers_of_all_widths_come_back(void)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    CHECK_INTEGER(Int8, int8_t, INT8_MIN);
    CHECK_INTEGER(Int16, int16_t, INT16_MIN);
    CHECK_INTEGER(Int32, int32_t, INT32_MIN);
    CHECK_INTEGER(Int64, int64_t, INT64_MIN);
    CHECK_INTEGER(UInt8, uint8_t, UINT8_MAX);
    CHECK_INTEGER(UInt16, uint16_t, UINT16_MAX);
    CHECK_INTEGER(UInt32, uint32_t, UINT32_MAX);
    CHECK_INTEGER(UInt64, uint64_t, UINT64_MAX);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWayInt64(&connection, TWICE_64, -3000000000, &response), 0);
    assert_true(LMResponseConsumeInt64(&response) == -6000000000);
    assert_int_equal(LMConnectionSendTwoWayInt32(&connection, ECHO, -7, &response), 0);
    assert_int_equal(LMResponseConsumeInteger(&response), -7); /* the original's is one of them */
    th_close(&connection);
    th_stop(server);
}

/* --- Data --- */

static void data_are_taken_over(void)
{
    static uint8_t bytes[100000];
    const uint32_t lengths[] = {0, 1, LM_INLINE_MAX, LM_INLINE_MAX + 1, sizeof bytes};
    pid_t server = th_serve(NAME, th_echo);
    LMConnection connection = th_connection(NAME);
    th_fill(bytes, sizeof bytes, 9);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        LMResponseBuffer response;
        CFDataRef sent = CFDataCreateWithBytesNoCopy(NULL, bytes, (CFIndex)lengths[i], kCFAllocatorNull);
        assert_int_equal(LMConnectionSendTwoWayData(&connection, ECHO, sent, &response), 0);
        const void *place = LMMessageGetData(&response.message);
        CFDataRef got = LMResponseConsumeData(&response);
        assert_int_equal(CFDataGetLength(got), lengths[i]);
        assert_memory_equal(CFDataGetBytePtr(got), bytes, lengths[i]);
        if (lengths[i] > LM_INLINE_MAX)
            assert_ptr_equal(CFDataGetBytePtr(got), place); /* not copied */
        LMResponseBufferFree(&response);
        CFRelease(got);
        CFRelease(sent);
    }
    th_close(&connection);
    th_stop(server);
}

/* Data received in a lent buffer are taken over as a copy, and the buffer is given back at once: more are held here
 * than could be lent. */
static void lent_data_are_copied_when_they_are_taken_over(void)
{
    enum { HELD = 2 * LM_SEGMENTS_MAX, BYTES = 100000 };
    static char text[BYTES + 1];
    char *texts[HELD];
    CFDataRef data[HELD];
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    for (int i = 0; i < 2 * HELD; i++) {
        LMResponseBuffer response;
        memset(text, 'a' + i / 2, BYTES);
        assert_int_equal(LMConnectionSendTwoWayString(&connection, LENT, text, &response), 0);
        assert_non_null(response.message.lent);
        if (i % 2)
            texts[i / 2] = LMResponseConsumeString(&response);
        else
            data[i / 2] = LMResponseConsumeData(&response);
        LMResponseBufferFree(&response);
    }
    for (int i = 0; i < HELD; i++) {
        memset(text, 'a' + i, BYTES);
        assert_string_equal(texts[i], text);
        assert_int_equal(CFDataGetLength(data[i]), BYTES);
        assert_memory_equal(CFDataGetBytePtr(data[i]), text, BYTES);
        free(texts[i]);
        CFRelease(data[i]);
    }
    th_close(&connection);
    th_stop(server);
}

/* Intent: the limit of the largest reply is the one set, and any length can be set. */
static void the_largest_reply_may_be_any_length(void)
{
    const uint32_t lengths[] = {0, 1, 65536, UINT32_MAX - 1, UINT32_MAX};
    struct lm_link link;
    memset(&link, 0, sizeof link);
    lm_link_configure(&link);
    assert_int_equal(link.incoming.largest, LM_LARGEST_MESSAGE);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        LMSetLargestReply(lengths[i]);
        lm_link_configure(&link);
        assert_int_equal(link.incoming.largest, lengths[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(the_largest_reply_may_be_any_length),
        TH_TEST(text_comes_back),
        TH_TEST(what_is_not_utf8_is_not_sent),
        TH_TEST(what_is_not_utf8_is_not_received),
        TH_TEST(integers_of_all_widths_come_back),
        TH_TEST(data_are_taken_over),
        TH_TEST(lent_data_are_copied_when_they_are_taken_over),
    };
    return TH_MAIN(tests);
}
