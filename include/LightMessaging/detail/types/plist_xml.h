/* SPDX-License-Identifier: MIT */
/*
 * Checks an XML property list before it is passed to a parser. It accepts the subset of XML that property lists are
 * written in, and nothing that two parsers could read differently, so that no parser sees more depth than is counted
 * here:
 *
 *   UTF-8; an optional <?xml ...?> at the very beginning; an optional DOCTYPE without definitions, before <plist>;
 *   <plist ...> around one value; attributes only in these three, and no '<' or '>' within their quotes.
 *   Containers hold white space, comments and elements; a dictionary's are keys and values alternately.
 *   Other elements hold text, CDATA sections, and references to XML's five entities or to characters by number.
 */
#ifndef LM_DETAIL_TYPES_PLIST_XML_H
#define LM_DETAIL_TYPES_PLIST_XML_H

#include "../ground/utf8.h"
#include "plist_limits.h"

/* Limit, in bytes, of what libplist moves in all: for each reference in a text it moves the rest of the text. A
 * fraction of a second. */
#define LM_XML_MOVES 0x100000000u

enum lm_xml_kind {
    LM_XML_ARRAY,
    LM_XML_DICTIONARY,
    LM_XML_STRING,
    LM_XML_DATA,
    LM_XML_TRUE,
    LM_XML_FALSE,
    LM_XML_KEY, /* these kinds have no form "<name/>" */
    LM_XML_INTEGER,
    LM_XML_REAL,
    LM_XML_DATE,
    LM_XML_KINDS
};

struct lm_xml {
    const char *at, *end;
    uint64_t moves;
    uint32_t values; /* counted so far, with keys and CDATA sections */
    uint32_t depth;
    uint8_t open[LM_PROPERTY_LIST_DEPTH]; /* the kinds of the open containers */
    bool has_key;                         /* the innermost container is a dictionary, and a value must follow */
};

/* --- Characters --- */

LM_INTERNAL bool lm_xml_starts(const struct lm_xml *xml, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(xml->end - xml->at) >= length && memcmp(xml->at, text, length) == 0;
}

/* Advances past `text` if it comes next, and returns whether it does. */
LM_INTERNAL bool lm_xml_take(struct lm_xml *xml, const char *text)
{
    bool starts = lm_xml_starts(xml, text);
    if (starts)
        xml->at += strlen(text);
    return starts;
}

/* Advances past the next occurrence of `text`. */
LM_INTERNAL int lm_xml_skip(struct lm_xml *xml, const char *text)
{
    while ((xml->at = (const char *)memchr(xml->at, text[0], (size_t)(xml->end - xml->at))) != NULL) {
        if (lm_xml_take(xml, text))
            return 0;
        xml->at++;
    }
    xml->at = xml->end;
    return -EINVAL;
}

LM_INTERNAL bool lm_xml_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

LM_INTERNAL bool lm_xml_space(struct lm_xml *xml)
{
    const char *from = xml->at;
    while (xml->at < xml->end && lm_xml_is_space(*xml->at))
        xml->at++;
    return xml->at > from;
}

/* Skips the rest of a comment. "--" within a comment is not XML, and parsers read "<!-->" differently. */
LM_INTERNAL int lm_xml_comment(struct lm_xml *xml)
{
    if (lm_xml_starts(xml, ">") || lm_xml_starts(xml, "->") || lm_xml_skip(xml, "--") < 0)
        return -EINVAL;
    return lm_xml_take(xml, ">") ? 0 : -EINVAL;
}

/* Skips white space and comments. */
LM_INTERNAL int lm_xml_gap(struct lm_xml *xml)
{
    int result = 0;
    do
        lm_xml_space(xml);
    while (lm_xml_take(xml, "<!--") && (result = lm_xml_comment(xml)) == 0);
    return result;
}

/* Finds the end of a tag with attributes and stores it in `*to`. All quotes must be closed there, so that the tag ends
 * at the same place for parsers that heed quotes and for those that do not. */
LM_INTERNAL bool lm_xml_tag(struct lm_xml *xml, const char **to)
{
    char quote = 0;
    for (; xml->at < xml->end && *xml->at != '<' && *xml->at != '>'; xml->at++) {
        char c = *xml->at;
        if (c == quote)
            quote = 0;
        else if (quote == 0 && (c == '"' || c == '\''))
            quote = c;
    }
    *to = xml->at;
    return quote == 0 && lm_xml_take(xml, ">");
}

/* --- Before and after the list --- */

/* Returns whether an XML declaration's encoding, from `xml` on, is UTF-8 or missing. */
LM_INTERNAL bool lm_xml_is_utf8(struct lm_xml xml)
{
    if (lm_xml_skip(&xml, "encoding") < 0)
        return true;
    lm_xml_space(&xml);
    if (!lm_xml_take(&xml, "="))
        return false;
    lm_xml_space(&xml);
    return lm_xml_take(&xml, "\"UTF-8\"") || lm_xml_take(&xml, "'UTF-8'") || lm_xml_take(&xml, "\"utf-8\"") ||
           lm_xml_take(&xml, "'utf-8'");
}

LM_INTERNAL int lm_xml_declaration(struct lm_xml *xml)
{
    const char *to;
    if (!lm_xml_take(xml, "<?xml"))
        return 0;
    struct lm_xml inside = *xml;
    if (!lm_xml_space(xml) || !lm_xml_tag(xml, &to) || to[-1] != '?')
        return -EINVAL;
    inside.end = to;
    return lm_xml_is_utf8(inside) ? 0 : -EINVAL;
}

LM_INTERNAL int lm_xml_doctype(struct lm_xml *xml)
{
    const char *to;
    if (!lm_xml_take(xml, "<!DOCTYPE"))
        return 0;
    const char *from = xml->at;
    return lm_xml_space(xml) && lm_xml_tag(xml, &to) && !memchr(from, '[', (size_t)(to - from)) ? 0 : -EINVAL;
}

/* Checks everything before the value. */
LM_INTERNAL int lm_xml_prolog(struct lm_xml *xml)
{
    const char *to;
    if (lm_xml_declaration(xml) < 0 || lm_xml_gap(xml) < 0 || lm_xml_doctype(xml) < 0 || lm_xml_gap(xml) < 0)
        return -EINVAL;
    if (!lm_xml_take(xml, "<plist") || !(lm_xml_starts(xml, ">") || lm_xml_space(xml)))
        return -EINVAL;
    return lm_xml_tag(xml, &to) && to[-1] != '/' ? 0 : -EINVAL;
}

LM_INTERNAL int lm_xml_epilog(struct lm_xml *xml)
{
    if (lm_xml_gap(xml) < 0 || !lm_xml_take(xml, "</plist"))
        return -EINVAL;
    lm_xml_space(xml);
    return lm_xml_take(xml, ">") && lm_xml_gap(xml) == 0 && xml->at == xml->end ? 0 : -EINVAL;
}

/* --- Text --- */

LM_INTERNAL unsigned lm_xml_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    return c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 16;
}

/* Checks "&#...;" from the number on: it must be a character, neither a NUL nor a surrogate. */
LM_INTERNAL bool lm_xml_number(struct lm_xml *xml)
{
    unsigned base = lm_xml_take(xml, "x") ? 16 : 10;
    uint32_t number = 0;
    for (; xml->at < xml->end && lm_xml_digit(*xml->at) < base; xml->at++) {
        number = number * base + lm_xml_digit(*xml->at);
        if (number > 0x10ffff)
            return false;
    }
    return number > 0 && (number & ~0x7ffu) != 0xd800 && lm_xml_take(xml, ";");
}

LM_INTERNAL bool lm_xml_reference(struct lm_xml *xml)
{
    if (lm_xml_take(xml, "&#"))
        return lm_xml_number(xml);
    return lm_xml_take(xml, "&amp;") || lm_xml_take(xml, "&lt;") || lm_xml_take(xml, "&gt;") ||
           lm_xml_take(xml, "&quot;") || lm_xml_take(xml, "&apos;");
}

/* Checks for a signed 64-bit decimal number in the form that every parser reads alike. */
LM_INTERNAL bool lm_xml_is_integer(const char *from, const char *to)
{
    bool negative = from < to && *from == '-';
    uint64_t number = 0;
    from += negative;
    if (from == to || to - from > 19 || (*from == '0' && to - from > 1))
        return false;
    for (; from < to; from++) {
        if (lm_xml_digit(*from) > 9)
            return false;
        number = number * 10 + lm_xml_digit(*from);
    }
    return number <= (uint64_t)INT64_MAX + negative;
}

/* Returns whether two digits are a number within the limits. */
LM_INTERNAL bool lm_xml_is_within(const char *digits, unsigned least, unsigned most)
{
    unsigned number = lm_xml_digit(digits[0]) * 10 + lm_xml_digit(digits[1]);
    return number >= least && number <= most;
}

/* Checks for "2001-01-01T00:00:00Z", with a year from 1 to 9999. */
LM_INTERNAL bool lm_xml_is_date(const char *from, const char *to)
{
    const char form[] = "0000-00-00T00:00:00Z";
    if (to - from != sizeof form - 1)
        return false;
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] == '0' ? lm_xml_digit(from[i]) > 9 : from[i] != form[i])
            return false;
    return memcmp(from, form, 4) != 0 && lm_xml_is_within(from + 5, 1, 12) && lm_xml_is_within(from + 8, 1, 31) &&
           lm_xml_is_within(from + 11, 0, 23) && lm_xml_is_within(from + 14, 0, 59) &&
           lm_xml_is_within(from + 17, 0, 59);
}

LM_INTERNAL bool lm_xml_is_text(enum lm_xml_kind kind, const char *from, const char *to)
{
    switch (kind) {
    case LM_XML_TRUE:
    case LM_XML_FALSE:
        return from == to;
    case LM_XML_INTEGER:
        return lm_xml_is_integer(from, to);
    case LM_XML_DATE:
        return lm_xml_is_date(from, to);
    default:
        return kind != LM_XML_REAL || from < to;
    }
}

/* --- Elements --- */

LM_INTERNAL const char *lm_xml_name(unsigned kind)
{
    static const char *const names[] = {"array", "dict", "string",  "data", "true",
                                        "false", "key",  "integer", "real", "date"};
    return names[kind];
}

/* Reads the rest of "<name>" or "<name/>", from the name on. */
LM_INTERNAL bool lm_xml_element(struct lm_xml *xml, enum lm_xml_kind *kind, bool *empty)
{
    unsigned found = 0;
    while (found < LM_XML_KINDS && !lm_xml_take(xml, lm_xml_name(found)))
        found++;
    *kind = (enum lm_xml_kind)found;
    lm_xml_space(xml);
    *empty = lm_xml_take(xml, "/");
    return found < LM_XML_KINDS && lm_xml_take(xml, ">");
}

LM_INTERNAL int lm_xml_close(struct lm_xml *xml, enum lm_xml_kind kind)
{
    if (!lm_xml_take(xml, "</") || !lm_xml_take(xml, lm_xml_name(kind)))
        return -EINVAL;
    lm_xml_space(xml);
    return lm_xml_take(xml, ">") ? 0 : -EINVAL;
}

LM_INTERNAL int lm_xml_count(struct lm_xml *xml)
{
    return ++xml->values > LM_PROPERTY_LIST_VALUES ? -E2BIG : 0;
}

/* Advances past a text, and counts its references. */
LM_INTERNAL int lm_xml_characters(struct lm_xml *xml, uint64_t *references)
{
    int result = 0;
    while (result == 0) {
        while (xml->at < xml->end && *xml->at != '<' && *xml->at != '&')
            xml->at++;
        if (lm_xml_starts(xml, "&")) {
            ++*references;
            result = lm_xml_reference(xml) ? 0 : -EINVAL;
        } else if (lm_xml_take(xml, "<![CDATA[")) {
            result = lm_xml_skip(xml, "]]>") < 0 ? -EINVAL : lm_xml_count(xml);
        } else {
            break;
        }
    }
    return result;
}

LM_INTERNAL int lm_xml_text(struct lm_xml *xml, enum lm_xml_kind kind)
{
    const char *from = xml->at;
    uint64_t references = 0;
    int result = lm_xml_characters(xml, &references);
    if (result < 0)
        return result;
    xml->moves += references * (uint64_t)(xml->at - from);
    if (xml->moves > LM_XML_MOVES)
        return -E2BIG;
    return lm_xml_is_text(kind, from, xml->at) ? lm_xml_close(xml, kind) : -EINVAL;
}

/* Returns whether an element of this kind, a key or a value, is allowed next. */
LM_INTERNAL bool lm_xml_may_come(struct lm_xml *xml, enum lm_xml_kind kind)
{
    bool in_dictionary = xml->depth > 0 && xml->open[xml->depth - 1] == LM_XML_DICTIONARY;
    bool may_come = kind == LM_XML_KEY ? in_dictionary && !xml->has_key : in_dictionary == xml->has_key;
    xml->has_key = kind == LM_XML_KEY;
    return may_come;
}

LM_INTERNAL int lm_xml_enter(struct lm_xml *xml, enum lm_xml_kind kind)
{
    if (xml->depth == LM_PROPERTY_LIST_DEPTH)
        return -E2BIG;
    xml->open[xml->depth++] = (uint8_t)kind;
    return 0;
}

LM_INTERNAL int lm_xml_leave(struct lm_xml *xml)
{
    if (xml->depth == 0 || xml->has_key)
        return -EINVAL;
    return lm_xml_close(xml, (enum lm_xml_kind)xml->open[--xml->depth]);
}

/* Reads the beginning of a container, or another element up to its end. */
LM_INTERNAL int lm_xml_open(struct lm_xml *xml)
{
    enum lm_xml_kind kind;
    bool empty;
    if (!lm_xml_take(xml, "<") || !lm_xml_element(xml, &kind, &empty) || !lm_xml_may_come(xml, kind))
        return -EINVAL;
    if (lm_xml_count(xml) < 0)
        return -E2BIG;
    if (empty)
        return kind < LM_XML_KEY ? 0 : -EINVAL;
    return kind <= LM_XML_DICTIONARY ? lm_xml_enter(xml, kind) : lm_xml_text(xml, kind);
}

/* Checks one value with all of its members. */
LM_INTERNAL int lm_xml_value(struct lm_xml *xml)
{
    int result;
    do {
        result = lm_xml_gap(xml);
        if (result == 0)
            result = lm_xml_starts(xml, "</") ? lm_xml_leave(xml) : lm_xml_open(xml);
    } while (result == 0 && xml->depth > 0);
    return result;
}

/* Results as of lm_bplist_check. */
LM_INTERNAL int lm_xml_check(const void *bytes, uint32_t length)
{
    struct lm_xml xml;
    memset(&xml, 0, sizeof xml);
    xml.at = (const char *)bytes;
    xml.end = xml.at + length;
    if (!lm_text_valid(bytes, length) || lm_xml_prolog(&xml) < 0)
        return -EINVAL;
    int result = lm_xml_value(&xml);
    return result == 0 ? lm_xml_epilog(&xml) : result;
}

#endif
