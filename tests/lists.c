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
