/* SPDX-License-Identifier: MIT */
/*
 * Looks an XML property list over before a parser gets it: it is UTF-8, tags are closed, depth and size are bounded,
 * and it defines no entities. What parsers could take in two ways is refused, so that none sees more depth than is
 * counted here: '<' within a tag, and quotes in tags other than <plist>'s.
 */
#ifndef LM_DETAIL_PLIST_XML_H
#define LM_DETAIL_PLIST_XML_H

#include "utf8.h"

struct lm_xml {
    const char *at, *end;
    uint32_t depth;    /* tags that are open: <plist>, containers, and a value */
    uint32_t elements; /* so far */
};

LM_INTERNAL bool lm_xml_starts(const struct lm_xml *xml, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(xml->end - xml->at) >= length && memcmp(xml->at, text, length) == 0;
}

/* Goes behind the next `text`. */
LM_INTERNAL int lm_xml_skip(struct lm_xml *xml, const char *text)
{
    for (; xml->at < xml->end; xml->at++) {
        xml->at = (const char *)memchr(xml->at, text[0], (size_t)(xml->end - xml->at));
        if (!xml->at)
            return -EINVAL;
        if (lm_xml_starts(xml, text)) {
            xml->at += strlen(text);
            return 0;
        }
    }
    return -EINVAL;
}

/* Goes behind the '>' of a tag, whose text is from *from to *to. */
LM_INTERNAL int lm_xml_tag(struct lm_xml *xml, const char **from, const char **to)
{
    *from = xml->at;
    *to = (const char *)memchr(xml->at, '>', (size_t)(xml->end - xml->at));
    if (!*to || memchr(*from, '<', (size_t)(*to - *from)))
        return -EINVAL;
    xml->at = *to + 1;
    return 0;
}

LM_INTERNAL bool lm_xml_has(const char *from, const char *to, char c)
{
    return memchr(from, c, (size_t)(to - from)) != NULL;
}

/* A comment, text as it stands, or the document's type, which must not define anything itself. */
LM_INTERNAL int lm_xml_declaration(struct lm_xml *xml)
{
    const char *from, *to;
    if (lm_xml_starts(xml, "!--"))
        return lm_xml_skip(xml, "-->");
    if (lm_xml_starts(xml, "![CDATA["))
        return lm_xml_skip(xml, "]]>");
    if (!lm_xml_starts(xml, "!DOCTYPE") || lm_xml_tag(xml, &from, &to) < 0)
        return -EINVAL;
    return lm_xml_has(from, to, '[') ? -EINVAL : 0;
}

LM_INTERNAL int lm_xml_close(struct lm_xml *xml)
{
    const char *from, *to;
    if (xml->depth-- == 0 || lm_xml_tag(xml, &from, &to) < 0)
        return -EINVAL;
    return lm_xml_has(from, to, '"') || lm_xml_has(from, to, '\'') ? -EINVAL : 0;
}

LM_INTERNAL int lm_xml_open(struct lm_xml *xml)
{
    const char *from, *to;
    bool is_root = lm_xml_starts(xml, "plist");
    if (lm_xml_tag(xml, &from, &to) < 0 || from == to)
        return -EINVAL;
    if (!is_root && (lm_xml_has(from, to, '"') || lm_xml_has(from, to, '\'')))
        return -EINVAL;
    if (++xml->elements > LM_PROPERTY_LIST_VALUES)
        return -E2BIG;
    if (!is_root && to[-1] == '/')
        return 0;
    return ++xml->depth > LM_PROPERTY_LIST_DEPTH + 2 ? -E2BIG : 0;
}

/* What begins with the '<' that was just passed. */
LM_INTERNAL int lm_xml_markup(struct lm_xml *xml)
{
    if (xml->at == xml->end)
        return -EINVAL;
    switch (*xml->at) {
    case '?':
        return lm_xml_skip(xml, "?>");
    case '!':
        return lm_xml_declaration(xml);
    case '/':
        return lm_xml_close(xml);
    default:
        return lm_xml_open(xml);
    }
}

/* Whether a character is written as the number 0. */
LM_INTERNAL bool lm_xml_has_nul(const char *at, const char *end)
{
    while ((at = (const char *)memchr(at, '&', (size_t)(end - at))) != NULL) {
        at++;
        if (at < end && *at == '#') {
            for (at++; at < end && (*at == '0' || *at == 'x' || *at == 'X'); at++)
                ;
            if (at < end && *at == ';')
                return true;
        }
    }
    return false;
}

/* As lm_bplist_check. */
LM_INTERNAL int lm_xml_check(const void *bytes, uint32_t length)
{
    struct lm_xml xml = {(const char *)bytes, (const char *)bytes + length, 0, 0};
    int result = lm_text_valid(bytes, length) && !lm_xml_has_nul(xml.at, xml.end) ? 0 : -EINVAL;
    while (result == 0 && (xml.at = (const char *)memchr(xml.at, '<', (size_t)(xml.end - xml.at))) != NULL) {
        xml.at++;
        result = lm_xml_markup(&xml);
    }
    return result == 0 && (xml.depth > 0 || xml.elements == 0) ? -EINVAL : result;
}

#endif
