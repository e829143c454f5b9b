/* SPDX-License-Identifier: MIT */
/* Property lists in C: there and back, the ones that are refused, and how other programs read them. */
#include "lists.h"

#include <LightMessaging/PropertyList.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "test.lists";

/* --- There and back --- */

static void every_type_comes_back(void)
{
    pid_t server = th_serve(NAME, ls_answer);
    LMConnection connection = th_connection(NAME);
    ls_check_echo(&connection, ls_make());
    ls_check_echo_of_lent(&connection, ls_make());
    ls_check_echo_of_xml(&connection, ls_make_for_foundation());
    ls_check_echo(&connection, plist_new_string("a value alone"));
    ls_check_echo(&connection, plist_new_bool(0));
    ls_check_echo(&connection, plist_new_dict());
    ls_check_echo(&connection, plist_new_array());
    ls_check_echo(&connection, plist_new_string(""));
    ls_check_echo(&connection, plist_new_data("", 0));
    ls_check_echo_of_xml(&connection, plist_new_dict());
    ls_check_echo(&connection, ls_make_deep(LM_PROPERTY_LIST_DEPTH));
    ls_check_echo_of_xml(&connection, ls_make_deep(LM_PROPERTY_LIST_DEPTH));
    th_close(&connection);
    th_stop(server);
}

static void ten_megabytes_come_back(void)
{
    pid_t server = th_serve(NAME, ls_answer);
    LMConnection connection = th_connection(NAME);
    ls_check_echo(&connection, ls_make_large());
    ls_check_echo_of_xml(&connection, ls_make_large());
    th_close(&connection);
    th_stop(server);
}

static void no_list_is_an_empty_message(void)
{
    pid_t server = th_serve(NAME, ls_answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWayPropertyList(&connection, LS_ECHO, NULL, &response), 0);
    assert_int_equal(LMMessageGetDataLength(&response.message), 0);
    assert_null(LMResponseConsumePropertyList(&response));
    assert_int_equal(LMConnectionSendOneWayPropertyList(&connection, LS_COUNT, NULL), 0);
    plist_t list = ls_make();
    assert_int_equal(LMConnectionSendOneWayPropertyList(&connection, LS_COUNT, list), 0);
    plist_free(list);
    assert_int_equal(th_ask(&connection, LS_COUNT), 1);
    th_close(&connection);
    th_stop(server);
}

static void lists_become_data_and_back(void)
{
    plist_t list = ls_make();
    CFDataRef data = LMDataForPropertyList(list);
    assert_non_null(data);
    assert_memory_equal(CFDataGetBytePtr(data), "bplist00", 8);
    plist_t back = LMPropertyListForData(data);
    assert_true(ls_equal(list, back));
    plist_free(back);
    plist_free(list);
    CFRelease(data);
    assert_null(LMDataForPropertyList(NULL));
    assert_null(LMPropertyListForData(NULL));
}

/* --- plistutil's reading of the lists --- */

static void write_file(const char *path, CFDataRef data)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(CFDataGetBytePtr(data), 1, (size_t)CFDataGetLength(data), file), CFDataGetLength(data));
    assert_int_equal(fclose(file), 0);
}

static plist_t read_file(const char *path)
{
    static char text[1 << 20];
    plist_t list = NULL;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text, file);
    assert_int_equal(fclose(file), 0);
    assert_memory_equal(text, "<?xml", 5);
    assert_int_equal(LMPropertyListParse(text, (uint32_t)length, &list), 0);
    return list;
}

static void plistutil_reads_what_is_sent(void)
{
    char from[512], to[512];
    pid_t process;
    int status;
    char *environment[] = {NULL}; /* without the variables of a tool that checks this process */
    snprintf(from, sizeof from, "%s/list", getenv("LM_RUNTIME_DIR"));
    snprintf(to, sizeof to, "%s/list.xml", getenv("LM_RUNTIME_DIR"));
    plist_t list = ls_make_for_foundation();
    CFDataRef data = LMDataForPropertyList(list);
    write_file(from, data);
    CFRelease(data);
    char *arguments[] = {"plistutil", "-i", from, "-o", to, NULL};
    assert_int_equal(posix_spawnp(&process, "plistutil", NULL, NULL, arguments, environment), 0);
    assert_int_equal(waitpid(process, &status, 0), process);
    assert_int_equal(status, 0);
    plist_t read = read_file(to);
    assert_true(ls_equal(list, read));
    plist_free(read);
    plist_free(list);
    assert_int_equal(unlink(from), 0);
    assert_int_equal(unlink(to), 0);
}

/* --- Refused lists --- */

static kern_return_t parse(const void *bytes, size_t length)
{
    plist_t list = (plist_t)&list; /* must be overwritten */
    kern_return_t status = LMPropertyListParse(bytes, (uint32_t)length, &list);
    assert_int_equal(status == 0, list != NULL);
    plist_free(list);
    return status;
}

static kern_return_t parse_text(const char *text)
{
    return parse(text, strlen(text));
}

static uint8_t bytes[1 << 20];

static void deep_lists_are_refused(void)
{
    assert_int_equal(parse(bytes, ls_write_chain(bytes, LM_PROPERTY_LIST_DEPTH, 1, -1)), 0);
    assert_int_equal(parse(bytes, ls_write_chain(bytes, LM_PROPERTY_LIST_DEPTH + 1, 1, -1)), MACH_SEND_TOO_LARGE);
    assert_int_equal(parse(bytes, ls_write_chain(bytes, 10000, 1, -1)), MACH_SEND_TOO_LARGE);
}

static kern_return_t parse_deep_xml(unsigned depth)
{
    char *text = (char *)bytes, *at = text;
    at += sprintf(at, "<plist version=\"1.0\">");
    for (unsigned i = 0; i < depth; i++)
        at += sprintf(at, "<array>");
    for (unsigned i = 0; i < depth; i++)
        at += sprintf(at, "</array>");
    sprintf(at, "</plist>");
    return parse_text(text);
}

static void deep_xml_is_refused(void)
{
    assert_int_equal(parse_deep_xml(LM_PROPERTY_LIST_DEPTH), 0);
    assert_int_equal(parse_deep_xml(LM_PROPERTY_LIST_DEPTH + 1), MACH_SEND_TOO_LARGE);
    assert_int_equal(parse_deep_xml(10000), MACH_SEND_TOO_LARGE);
}

/* Lists whose containers end early for a simple check, but not for a parser. */
static void hidden_depth_is_refused(void)
{
    char *text;
    for (unsigned way = 0; (text = ls_write_trick(way)) != NULL; way++) {
        if (parse_text(text) == KERN_SUCCESS)
            fail_msg("trick %u is taken for a list", way);
        free(text);
    }
}

/* For each reference libplist moves all of the text behind it. */
static void too_many_references_are_refused(void)
{
    char *some = ls_write_references(10000), *many = ls_write_references(100000);
    assert_int_equal(parse_text(some), 0);
    assert_int_equal(parse_text(many), MACH_SEND_TOO_LARGE);
    free(some);
    free(many);
}

static void lists_within_themselves_are_refused(void)
{
    assert_int_equal(parse(bytes, ls_write_chain(bytes, 1, 1, 0)), MACH_SEND_INVALID_DATA);
    for (int back = 0; back < 10; back++)
        assert_int_equal(parse(bytes, ls_write_chain(bytes, 10, 1, back)), MACH_SEND_INVALID_DATA);
    assert_int_equal(parse(bytes, ls_write_chain(bytes, 10, 3, 0)), MACH_SEND_INVALID_DATA);
    assert_int_equal(parse(bytes, ls_write_chain(bytes, 10, 1, 10)), MACH_SEND_INVALID_DATA);
}

/* A dictionary of one pair whose key, or value, has a NUL in it; as ASCII and as UTF-16. */
static void texts_with_a_nul_are_refused(void)
{
    const char good[] = "bplist00\xd1\x01\x02\x51k\x62\0v\0w\x08\x0b\x0d\0\0\0\0\0\0\1\1\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0"
                        "\0\0\0\0\0\0\0\0\x12";
    const unsigned texts[] = {12, 15, 17}; /* offset of the key, and of the two units of the value */
    assert_int_equal(parse(good, sizeof good - 1), 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        memcpy(bytes, good, sizeof good);
        bytes[texts[i]] = 0;
        assert_int_equal(parse(bytes, sizeof good - 1), MACH_SEND_INVALID_DATA);
    }
}

/* Each value has two references to the next: a thousand bytes that would become 2^60 values. */
static void lists_that_would_grow_are_refused(void)
{
    assert_int_equal(parse(bytes, ls_write_chain(bytes, 10, 2, -1)), 0);
    assert_int_equal(parse(bytes, ls_write_chain(bytes, 60, 2, -1)), MACH_SEND_TOO_LARGE);
    assert_int_equal(parse(bytes, ls_write_chain(bytes, 200, 14, -1)), MACH_SEND_TOO_LARGE);
}

/* A truncated list is invalid; one with a damaged byte may be valid, but causes no crash. */
static void truncated_lists_are_refused(void)
{
    plist_t list = ls_make();
    CFDataRef data = LMDataForPropertyList(list);
    size_t length = (size_t)CFDataGetLength(data);
    for (size_t cut = 0; cut < length; cut += th_quick() ? 37 : 1) {
        uint8_t *part = (uint8_t *)malloc(cut + 1); /* memory of its own, so that a read beyond its end is noticed */
        memcpy(part, CFDataGetBytePtr(data), cut);
        assert_int_equal(parse(part, cut), MACH_SEND_INVALID_DATA);
        free(part);
    }
    uint8_t *wrong = (uint8_t *)malloc(length);
    for (size_t at = 8; at < length; at += th_quick() ? 37 : 1) {
        memcpy(wrong, CFDataGetBytePtr(data), length);
        wrong[at] ^= (uint8_t)(1u << (at % 8));
        parse(wrong, length);
        wrong[at] = 0xff;
        parse(wrong, length);
    }
    free(wrong);
    CFRelease(data);
    plist_free(list);
}

static void truncated_xml_is_refused(void)
{
    plist_t list = ls_make_for_foundation();
    char *xml = NULL;
    uint32_t length = 0;
    plist_to_xml(list, &xml, &length);
    while (xml[length - 1] == '\n')
        length--;
    assert_int_equal(parse(xml, length), 0);
    for (size_t cut = 0; cut < length; cut += th_quick() ? 37 : 1) {
        char *part = (char *)malloc(cut + 1);
        memcpy(part, xml, cut);
        assert_int_equal(parse(part, cut), MACH_SEND_INVALID_DATA);
        free(part);
    }
    plist_to_xml_free(xml);
    plist_free(list);
}

static void garbage_is_refused(void)
{
    plist_t list;
    for (const struct ls_text *text = ls_texts; text->text; text++)
        if (parse_text(text->text) != (text->is_list ? KERN_SUCCESS : MACH_SEND_INVALID_DATA))
            fail_msg("%s", text->text);
    for (const struct ls_value *value = ls_values; value->bytes; value++)
        if (parse(bytes, ls_write_value(bytes, value->bytes, value->length)) !=
            (value->is_list ? KERN_SUCCESS : MACH_SEND_INVALID_DATA))
            fail_msg("value %d", (int)(value - ls_values));
    assert_int_equal(parse("<plist><true/></plist>", 23), MACH_SEND_INVALID_DATA); /* with its NUL */
    assert_int_equal(LMPropertyListParse(NULL, 0, &list), MACH_SEND_INVALID_DATA);
    assert_int_equal(LMPropertyListParse(NULL, 1, &list), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMPropertyListParse("x", 1, NULL), KERN_INVALID_ARGUMENT);
}

static void a_reply_that_is_no_list_is_null(void)
{
    pid_t server = th_serve(NAME, th_echo);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    size_t length = ls_write_chain(bytes, 10000, 1, -1);
    assert_int_equal(LMConnectionSendTwoWay(&connection, 1, bytes, (uint32_t)length, &response), 0);
    assert_null(LMResponseConsumePropertyList(&response));
    assert_int_equal(LMMessageGetDataLength(&response.message), 0);
    assert_int_equal(LMConnectionSendTwoWay(&connection, 1, "no list", 7, &response), 0);
    assert_null(LMResponseConsumePropertyList(&response));
    th_close(&connection);
    th_stop(server);
}

/* --- Lists that are not sent --- */

static void reply_unsendable(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    if (message->head.msgh_id != LS_ECHO) {
        th_echo(port, message, size, info);
        return;
    }
    plist_t list = ls_make_deep(10000);
    assert_int_equal(LMSendPropertyListReply(message->head.msgh_remote_port, list), MACH_SEND_INVALID_DATA);
    plist_free(list);
}

/* An integer beyond signed 64 bits, which libplist creates from no other source. */
static plist_t make_wide_integer(void)
{
    const char xml[] = "<plist><integer>18446744073709551615</integer></plist>";
    plist_t list = NULL;
    plist_from_xml(xml, sizeof xml - 1, &list);
    assert_non_null(list);
    return list;
}

static void what_would_be_refused_is_not_sent(void)
{
    pid_t server = th_serve(NAME, reply_unsendable);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    plist_t lists[] = {ls_make_deep(10000), plist_new_string("\xff"), plist_new_dict(), make_wide_integer()};
    plist_dict_set_item(lists[2], "\xc3", plist_new_bool(1));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        assert_int_equal(LMConnectionSendTwoWayPropertyList(&connection, LS_ECHO, lists[i], &response),
                         MACH_SEND_INVALID_DATA);
        assert_int_equal(LMMessageGetDataLength(&response.message), 0);
        assert_int_equal(LMConnectionSendOneWayPropertyList(&connection, LS_ECHO, lists[i]), MACH_SEND_INVALID_DATA);
        assert_null(LMDataForPropertyList(lists[i]));
        plist_free(lists[i]);
    }
    assert_int_equal(LMConnectionSendTwoWayPropertyList(&connection, LS_ECHO, NULL, &response), MACH_RCV_PORT_DIED);
    assert_int_equal(LMSendPropertyListReply(MACH_PORT_NULL, NULL), 0);
    th_close(&connection);
    th_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(every_type_comes_back),
        TH_TEST(ten_megabytes_come_back),
        TH_TEST(no_list_is_an_empty_message),
        TH_TEST(lists_become_data_and_back),
        TH_TEST(plistutil_reads_what_is_sent),
        TH_TEST(deep_lists_are_refused),
        TH_TEST(deep_xml_is_refused),
        TH_TEST(hidden_depth_is_refused),
        TH_TEST(too_many_references_are_refused),
        TH_TEST(lists_within_themselves_are_refused),
        TH_TEST(texts_with_a_nul_are_refused),
        TH_TEST(lists_that_would_grow_are_refused),
        TH_TEST(truncated_lists_are_refused),
        TH_TEST(truncated_xml_is_refused),
        TH_TEST(garbage_is_refused),
        TH_TEST(a_reply_that_is_no_list_is_null),
        TH_TEST(what_would_be_refused_is_not_sent),
    };
    return TH_MAIN(tests);
}
