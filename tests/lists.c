/* SPDX-License-Identifier: MIT */
#include "lists.h"

#include <LightMessaging/PropertyList.h>

/* --- Made --- */

static void set_integers(plist_t dictionary)
{
    const uint64_t values[] = {0,     1,     127,       128,         255,        256,          32767,    32768,
                               65535, 65536, INT32_MAX, 0x80000000u, UINT32_MAX, 0x100000000u, INT64_MAX};
    plist_t array = plist_new_array();
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        plist_array_append_item(array, plist_new_uint(values[i]));
    plist_dict_set_item(dictionary, "integers", array);
    plist_dict_set_item(dictionary, "minus one", plist_new_uint((uint64_t)-1));
}

static void set_reals(plist_t dictionary)
{
    plist_t array = plist_new_array();
    const double values[] = {0.0, 0.5, -1.5, 1e-9, 1e300, 0.1};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        plist_array_append_item(array, plist_new_real(values[i]));
    plist_dict_set_item(dictionary, "reals", array);
}

static void set_texts(plist_t dictionary)
{
    char text[1025];
    memset(text, 'x', sizeof text);
    text[1024] = 0;
    plist_dict_set_item(dictionary, "empty", plist_new_string(""));
    plist_dict_set_item(dictionary, "markup", plist_new_string("<a & \"b\">\n\t'c'"));
    plist_dict_set_item(dictionary, "wide", plist_new_string("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"));
    plist_dict_set_item(dictionary, "cl\xc3\xa9", plist_new_string("a wide key"));
    plist_dict_set_item(dictionary, "long", plist_new_string(text));
}

static void set_data(plist_t dictionary)
{
    char bytes[300];
    th_fill(bytes, sizeof bytes, 3);
    plist_dict_set_item(dictionary, "data", plist_new_data(bytes, sizeof bytes));
    plist_dict_set_item(dictionary, "no data", plist_new_data("", 0));
}

static void set_others(plist_t dictionary)
{
    plist_dict_set_item(dictionary, "date", plist_new_date(700000000, 0));
    plist_dict_set_item(dictionary, "early date", plist_new_date(-86400, 0));
    plist_dict_set_item(dictionary, "true", plist_new_bool(1));
    plist_dict_set_item(dictionary, "false", plist_new_bool(0));
    plist_dict_set_item(dictionary, "empty array", plist_new_array());
    plist_dict_set_item(dictionary, "empty dictionary", plist_new_dict());
}

plist_t ls_make_for_foundation(void)
{
    plist_t outer = plist_new_dict(), inner = plist_new_dict(), array = plist_new_array();
    set_integers(inner);
    set_reals(inner);
    set_texts(inner);
    set_data(inner);
    set_others(inner);
    plist_array_append_item(array, plist_copy(inner));
    plist_array_append_item(array, inner);
    plist_array_append_item(array, plist_new_string("last"));
    plist_dict_set_item(outer, "nested", array);
    return outer;
}

plist_t ls_make(void)
{
    plist_t list = ls_make_for_foundation();
    plist_dict_set_item(list, "uid", plist_new_uid(70000));
    return list;
}

plist_t ls_make_large(void)
{
    static char bytes[6 << 20], text[450];
    plist_t outer = plist_new_dict(), array = plist_new_array();
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    for (unsigned i = 0; i < (th_quick() || th_sanitized() ? 500 : 10000); i++) {
        text[snprintf(text, sizeof text, "string %05u", i)] = ' ';
        plist_array_append_item(array, plist_new_string(text));
    }
    th_fill(bytes, sizeof bytes, 11);
    plist_dict_set_item(outer, "data", plist_new_data(bytes, sizeof bytes));
    plist_dict_set_item(outer, "strings", array);
    return outer;
}

plist_t ls_make_deep(unsigned depth)
{
    plist_t list = plist_new_array();
    for (unsigned i = 1; i < depth; i++) {
        plist_t outer = plist_new_array();
        plist_array_append_item(outer, list);
        list = outer;
    }
    return list;
}

/* --- Made by hand --- */

static void put_big_endian(uint8_t *at, unsigned size, uint64_t number)
{
    while (size-- > 0) {
        at[size] = (uint8_t)number;
        number >>= 8;
    }
}

size_t ls_write_chain(uint8_t *to, unsigned count, unsigned times, int back)
{
    uint8_t *at = to, *offsets;
    memcpy(at, "bplist00", 8);
    at += 8;
    uint32_t *places = (uint32_t *)calloc(count, sizeof *places);
    for (unsigned i = 0; i < count; i++) {
        bool last = i + 1 == count;
        unsigned references = !last ? times : back >= 0 ? 1 : 0;
        places[i] = (uint32_t)(at - to);
        *at++ = (uint8_t)(0xa0 | references);
        for (unsigned j = 0; j < references; j++, at += 2)
            put_big_endian(at, 2, last ? (uint64_t)back : i + 1);
    }
    offsets = at;
    for (unsigned i = 0; i < count; i++, at += 4)
        put_big_endian(at, 4, places[i]);
    free(places);
    memset(at, 0, 32);
    at[6] = 4;
    at[7] = 2;
    put_big_endian(at + 8, 8, count);
    put_big_endian(at + 24, 8, (uint64_t)(offsets - to));
    return (size_t)(at + 32 - to);
}

size_t ls_write_value(uint8_t *to, const void *value, size_t length)
{
    uint8_t *at = to + 8 + length;
    memcpy(to, "bplist00", 8);
    memcpy(to + 8, value, length);
    *at++ = 8; /* where it is */
    memset(at, 0, 32);
    at[6] = at[7] = at[15] = 1;
    put_big_endian(at + 24, 8, 8 + length);
    return (size_t)(at + 32 - to);
}

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
#define TYPE                                                                                                           \
    "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">"
#define P(value) XML TYPE "<plist version=\"1.0\">" value "</plist>"

char *ls_write_trick(unsigned way)
{
    /* Each trick: what precedes the arrays, the arrays' tags, and what follows them. */
    static const char *const tricks[][4] = {
        {XML "<plist version=\"><!--\">", "<array>", "</array>", "<!-- --></plist>"},
        {XML "<plist version='><!--'>", "<array>", "</array>", "<!-- --></plist>"},
        {XML "<!DOCTYPE plist PUBLIC \"><!--\" \"x\"><plist>", "<array>", "</array>", "<!-- --><true/></plist>"},
        {XML "<plist><!DOCTYPE plist PUBLIC \"><!--\" \"x\">", "<array>", "</array>", "<!-- --></plist>"},
        {XML "<?x \"?><!--\" ?><plist>", "<array>", "</array>", "<!-- --></plist>"},
        {XML "<plist><!--><![CDATA[-->", "<array>", "</array>", "<!-- ]]>--></plist>"},
        {XML "<plist><!---><![CDATA[-->", "<array>", "</array>", "<!-- ]]>--></plist>"},
        {XML "<plist><!--><!--->", "<array>", "</array>", "<!-- --></plist>"},
        {XML "<plist><?><!--?>", "<array>", "</array>", "<!-- --></plist>"},
        {XML "<plist><string a='/>'>", "<array>", "</array>", "</string></plist>"},
        {XML "<plist><array/ >", "<array>", "</array>", "</plist>"},
        {"", "(", ")", "<a></a>"},
        {"", "{a=", "}", "<plist><true/></plist>"},
        {"<plist><true/></plist>", "(", ")", ""},
        {XML "<plist>", "<array>", "", "</plist>"},
    };
    enum { DEPTH = 100000 };
    if (way >= sizeof tricks / sizeof *tricks)
        return NULL;
    const char *const *trick = tricks[way];
    char *text = (char *)malloc(DEPTH * (strlen(trick[1]) + strlen(trick[2])) + 1000), *at = text;
    at = stpcpy(at, trick[0]);
    for (int i = 0; i < DEPTH; i++)
        at = stpcpy(at, trick[1]);
    for (int i = 0; i < DEPTH; i++)
        at = stpcpy(at, trick[2]);
    stpcpy(at, trick[3]);
    return text;
}

char *ls_write_references(unsigned count)
{
    char *text = (char *)malloc(5 * (size_t)count + 100), *at = text;
    at = stpcpy(at, "<plist><string>");
    while (count-- > 0)
        at = stpcpy(at, "&amp;");
    stpcpy(at, "</string></plist>");
    return text;
}

const struct ls_text ls_texts[] = {
    {true, P("<true/>")},
    {true, "<plist><false /></plist>"},
    {true, " <!-- a --> <plist version = '1.0' ><true></true></plist >\n<!-- b -->\n"},
    {true, "<?xml version='1.0' encoding='utf-8' standalone='yes'?>\n" TYPE "\n<plist><array /></plist>"},
    {true, P("<dict><key>a</key><!-- b --><string/>\n<key></key><dict/></dict>")},
    {true, P("<string>&amp;&lt;&gt;&quot;&apos;&#65;&#x1F600;</string>")},
    {true, P("<string><![CDATA[<array>&amp;]]]]><![CDATA[>]]></string>")},
    {true, P("<string>caf\xc3\xa9 > \"</string>")},
    {true, P("<integer>9223372036854775807</integer>")},
    {true, P("<integer>-9223372036854775808</integer>")},
    {true, P("<real>1e300</real>")},
    {true, P("<date>2001-01-01T00:00:00Z</date>")},
    {true, P("<date>9999-12-31T23:59:59Z</date>")},
    {true, P("<data>\n\tQUJD\n</data>")},
    {false, "x"},
    {false, "<"},
    {false, "<plist"},
    {false, "<plist>"},
    {false, "</plist>"},
    {false, "<plist></plist>"},
    {false, "<plist/>"},
    {false, "<dict/>"},
    {false, "<plists><true/></plists>"},
    {false, "<plist><true/></plist>x"},
    {false, "<plist><true/></plist><plist><true/></plist>"},
    {false, "<plist>x<true/></plist>"},
    {false, "<plist><array>x</array></plist>"},
    {false, "<plist><true/><true/></plist>"},
    {false, " " P("<true/>")},
    {false, "\xef\xbb\xbf" P("<true/>")},
    {false, "<?xml version='1.0' encoding='UTF-7'?><plist><true/></plist>"},
    {false, "<?xml version='1.0'><plist><true/></plist>"},
    {false, "<?x?><plist><true/></plist>"},
    {false, P("<?x?><true/>")},
    {false, TYPE TYPE "<plist><true/></plist>"},
    {false, P(TYPE "<true/>")},
    {false, "<!DOCTYPE plist [<!ENTITY a \"b\">]><plist><string>&a;</string></plist>"},
    {false, "<!DOCTYPE plist><!ENTITY a \"b\"><plist><string>&a;</string></plist>"},
    {false, P("<string>&a;</string>")},
    {false, P("<string>&</string>")},
    {false, P("<string>a&#0;b</string>")},
    {false, P("<string>a&#x00;b</string>")},
    {false, P("<string>&#xD800;</string>")},
    {false, P("<string>&#57343;</string>")},
    {false, P("<string>&#x110000;</string>")},
    {false, P("<string>&#x100000041;</string>")},
    {false, P("<string>&#;</string>")},
    {false, P("<string>&#65</string>")},
    {false, P("<string>\xff</string>")},
    {false, P("<string>\xed\xa0\x80</string>")},
    {false, P("<string><![CDATA[</string>")},
    {false, P("<string><true/></string>")},
    {false, P("<string>a<!-- b -->c</string>")},
    {false, P("<string a=\"b\">x</string>")},
    {false, P("<string a=\"/>\">x</string>")},
    {false, P("<string <array>x</string>")},
    {false, P("<array>")},
    {false, P("<array></dict>")},
    {false, P("</array>")},
    {false, P("<!-- ")},
    {false, P("<!-- -- --><true/>")},
    {false, P("<foo/>")},
    {false, P("<key>a</key>")},
    {false, P("<array><key>a</key></array>")},
    {false, P("<dict><key>a</key></dict>")},
    {false, P("<dict><key>a</key><key>b</key></dict>")},
    {false, P("<dict><true/></dict>")},
    {false, P("<dict><key/><true/></dict>")},
    {false, P("<dict><key>a</key><true/><true/></dict>")},
    {false, P("<integer/>")},
    {false, P("<integer></integer>")},
    {false, P("<integer>-</integer>")},
    {false, P("<integer>0x10</integer>")},
    {false, P("<integer>010</integer>")},
    {false, P("<integer>1.5</integer>")},
    {false, P("<integer>9223372036854775808</integer>")},
    {false, P("<integer>-9223372036854775809</integer>")},
    {false, P("<integer>99999999999999999999999999</integer>")},
    {false, P("<real></real>")},
    {false, P("<date>0000-01-01T00:00:00Z</date>")},
    {false, P("<date>10000-01-01T00:00:00Z</date>")},
    {false, P("<date>2001-13-01T00:00:00Z</date>")},
    {false, P("<date>2001-01-01T24:00:00Z</date>")},
    {false, P("<date>2001-01-01 00:00:00Z</date>")},
    {false, P("<date>x</date>")},
    {false, "{ openstep = style; }"},
    {false, "(old, style)"},
    {false, "\"old style\""},
    {false, "<414243>"},
    {false, "bplist00"},
    {false, "bplist00 and much that is no list at all, not at all"},
    {false, NULL},
};

const struct ls_value ls_values[] = {
    {true, 2, "\x10\xff"},
    {true, 9, "\x13\x7f\xff\xff\xff\xff\xff\xff\xff"},
    {true, 9, "\x13\x80\0\0\0\0\0\0\0"},
    {true, 9, "\x23\x7f\xf0\0\0\0\0\0\0"},             /* infinite */
    {true, 9, "\x33\x42\x4d\x62\xd2\x3c\x7f\x80\x00"}, /* a date near the year 10000 */
    {true, 1, "\x50"},
    {true, 3, "\x61\0A"},
    {true, 1, "\x40"},
    {true, 1, "\x09"},
    {false, 17, "\x14\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"}, /* 2^64 - 1 */
    {false, 17, "\x14\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
    {false, 9, "\x33\x42\x4d\x62\xd2\x3c\x80\x00\x00"}, /* the year 10000 */
    {false, 9, "\x33\xc2\x6d\x1a\x94\xa2\0\0\0"},       /* -1e12 s */
    {false, 9, "\x33\x42\x6d\x1a\x94\xa2\0\0\0"},       /* 1e12 s */
    {false, 9, "\x33\x7f\xf8\0\0\0\0\0\0"},             /* not a number */
    {false, 9, "\x33\xff\xf0\0\0\0\0\0\0"},             /* infinite */
    {false, 1, "\x60"},                                 /* empty text in the form for long ones */
    {false, 3, "\x61\xd8\0"},                           /* half of a surrogate pair */
    {false, 6, "\x84\1\1\1\1\1"},                       /* a UID of five bytes */
    {false, 1, "\x00"},
    {false, 1, "\x0f"},
    {false, 0, NULL},
};

/* --- Compared --- */

static bool equal_arrays(plist_t a, plist_t b)
{
    plist_array_iter in_a = NULL, in_b = NULL;
    plist_t one = NULL, other = NULL;
    bool equal = plist_array_get_size(a) == plist_array_get_size(b);
    plist_array_new_iter(a, &in_a);
    plist_array_new_iter(b, &in_b);
    do {
        plist_array_next_item(a, in_a, &one);
        plist_array_next_item(b, in_b, &other);
        equal = equal && (!one == !other) && (!one || ls_equal(one, other));
    } while (one && equal);
    free(in_a);
    free(in_b);
    return equal;
}

static bool equal_dictionaries(plist_t a, plist_t b)
{
    plist_dict_iter place = NULL;
    plist_t value = NULL;
    char *key = NULL;
    bool equal = plist_dict_get_size(a) == plist_dict_get_size(b);
    plist_dict_new_iter(a, &place);
    for (plist_dict_next_item(a, place, &key, &value); value; plist_dict_next_item(a, place, &key, &value)) {
        plist_t other = plist_dict_get_item(b, key);
        if (!other || !ls_equal(value, other)) {
            fprintf(stderr, "lists differ at \"%s\"\n", key);
            equal = false;
        }
        free(key);
        key = NULL;
    }
    free(place);
    return equal;
}

static bool equal_reals(plist_t a, plist_t b)
{
    double one, other;
    plist_get_real_val(a, &one);
    plist_get_real_val(b, &other);
    return memcmp(&one, &other, sizeof one) == 0;
}

static bool equal_dates(plist_t a, plist_t b)
{
    int32_t one, other, fraction;
    plist_get_date_val(a, &one, &fraction);
    plist_get_date_val(b, &other, &fraction);
    return one == other;
}

bool ls_equal(plist_t a, plist_t b)
{
    if (!a || !b || plist_get_node_type(a) != plist_get_node_type(b))
        return false;
    switch (plist_get_node_type(a)) {
    case PLIST_ARRAY:
        return equal_arrays(a, b);
    case PLIST_DICT:
        return equal_dictionaries(a, b);
    case PLIST_REAL:
        return equal_reals(a, b);
    case PLIST_DATE:
        return equal_dates(a, b);
    default:
        return plist_compare_node_value(a, b) != 0;
    }
}

/* --- Sent --- */

static void check_reply(LMResponseBuffer *response, plist_t list)
{
    plist_t reply = LMResponseConsumePropertyList(response);
    assert_non_null(reply);
    assert_true(ls_equal(list, reply));
    plist_free(reply);
    plist_free(list);
}

void ls_check_echo(LMConnectionRef connection, plist_t list)
{
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWayPropertyList(connection, LS_ECHO, list, &response), 0);
    check_reply(&response, list);
}

void ls_check_echo_of_xml(LMConnectionRef connection, plist_t list)
{
    LMResponseBuffer response;
    char *xml = NULL;
    uint32_t length = 0;
    plist_to_xml(list, &xml, &length);
    assert_int_equal(LMConnectionSendTwoWay(connection, LS_ECHO, xml, length, &response), 0);
    plist_to_xml_free(xml);
    check_reply(&response, list);
}

void ls_check_echo_of_lent(LMConnectionRef connection, plist_t list)
{
    LMResponseBuffer response;
    LMBufferRef buffer;
    char *bytes = NULL;
    uint32_t length = 0;
    plist_to_bin(list, &bytes, &length);
    assert_int_equal(LMConnectionCreateBuffer(connection, length, &buffer), 0);
    memcpy(LMBufferGetBytes(buffer), bytes, length);
    plist_to_bin_free(bytes);
    assert_int_equal(LMConnectionSendTwoWayBuffer(connection, LS_ECHO, &buffer, &response), 0);
    check_reply(&response, list);
}

static bool is_ours(plist_t list)
{
    plist_t ours = ls_make_for_foundation();
    bool equal = ls_equal(ours, list);
    plist_free(ours);
    return equal;
}

void ls_answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    static int count;
    mach_port_t reply = message->head.msgh_remote_port;
    SInt32 id = message->head.msgh_id;
    if (id != LS_ECHO && id != LS_COMPARE && id != LS_COUNT) {
        th_echo(port, message, size, info);
        return;
    }
    plist_t list = LMResponseConsumePropertyList((LMResponseBuffer *)message);
    count += list != NULL;
    if (id == LS_ECHO)
        LMSendPropertyListReply(reply, list);
    else
        LMSendIntegerReply(reply, id == LS_COMPARE ? is_ours(list) : count);
    plist_free(list);
}
