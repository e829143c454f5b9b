/* SPDX-License-Identifier: MIT */
/*
 * The log. With LM_DEBUG=1 in the environment, each event writes a line to the standard error stream:
 *
 *     LightMessaging 13:37:29.123456 pid 4711 connection 815: WHAT HAPPENED
 *
 * The time is UTC. A connection's number is its socket's inode, as `ss -xp` and /proc/PID/fd show it; `-` means no
 * connection. Lines of errors begin with `error:` and say which name, which path and what to do. Without LM_DEBUG an
 * event costs one load.
 */
#include "../../Mach.h"

#ifndef LM_DETAIL_PROCESS_LOG_H
#define LM_DETAIL_PROCESS_LOG_H

#include "process.h"
#include "../ground/utf8.h"
#include <stdarg.h>

#define LM_LOG_LINE (4096 + 512) /* bytes: the longest path and the words around it; the rest of a line is cut off */

enum lm_log_state { LM_LOG_UNKNOWN = 0, LM_LOG_OFF, LM_LOG_ON };

/* Reads LM_DEBUG once. It is ignored in programs with raised privileges. */
LM_COLD bool lm_log_decide(void)
{
    const char *wanted = lm_environment("LM_DEBUG");
    bool on = wanted && strcmp(wanted, "0") != 0;
    lm_store_relaxed(&lm_process.log, on ? (uint32_t)LM_LOG_ON : (uint32_t)LM_LOG_OFF);
    return on;
}

LM_INTERNAL bool lm_logging(void)
{
    uint32_t state = lm_load_relaxed(&lm_process.log);
    return __builtin_expect(state != LM_LOG_OFF, 0) && (state == LM_LOG_ON || lm_log_decide());
}

/* LM_LOG(socket, format, ...) logs an event of the connection with this socket; -1: of no connection. */
#define LM_LOG(...)                                                                                                    \
    do {                                                                                                               \
        if (lm_logging())                                                                                              \
            lm_log(__VA_ARGS__);                                                                                       \
    } while (0)

/* A log line under construction. */
struct lm_log_line {
    char text[LM_LOG_LINE];
    size_t length;
};

LM_COLD __attribute__((format(printf, 2, 0))) void lm_log_line_add_list(struct lm_log_line *line, const char *format,
                                                                        va_list arguments)
{
    size_t room = sizeof line->text - line->length;
    int length = vsnprintf(line->text + line->length, room, format, arguments);
    if (length > 0)
        line->length += (size_t)length < room ? (size_t)length : room - 1;
}

LM_COLD __attribute__((format(printf, 2, 3))) void lm_log_line_add(struct lm_log_line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    lm_log_line_add_list(line, format, arguments);
    va_end(arguments);
}

LM_COLD void lm_log_line_begin(struct lm_log_line *line, int socket)
{
    struct lm_timespec now = {0, 0};
    struct stat status;
    line->length = 0;
    lm_libc_clock_gettime(0, &now); /* CLOCK_REALTIME */
    long day = now.seconds % 86400;
    lm_log_line_add(line, "LightMessaging %02ld:%02ld:%02ld.%06ld pid %d connection ", day / 3600, day / 60 % 60,
                    day % 60, now.nanoseconds / 1000, (int)getpid());
    if (socket >= 0 && lm_sys_stat(socket, &status) == 0)
        lm_log_line_add(line, "%llu: ", (unsigned long long)status.st_ino);
    else
        lm_log_line_add(line, "-: ");
}

/* Returns whether a character of that width is a control character, of ASCII or of ISO 8859-1, which could affect the
 * terminal. */
LM_COLD bool lm_is_control(const unsigned char *character, size_t width)
{
    if (width == 1)
        return character[0] < 0x20 || character[0] == 0x7f;
    return width == 2 && character[0] == 0xc2 && character[1] < 0xa0;
}

/* Replaces invalid UTF-8 and control characters by '?': other users may have chosen the names and paths. */
LM_COLD void lm_log_line_clean(struct lm_log_line *line, size_t length)
{
    unsigned char *text = (unsigned char *)line->text;
    for (size_t at = 0; at < length;) {
        size_t width = lm_utf8_step(text + at, length - at);
        size_t size = width ? width : 1;
        if (width == 0 || lm_is_control(text + at, width))
            memset(text + at, '?', size);
        at += size;
    }
}

/* Writes the line in one call, so that lines of several processes do not mix. */
LM_COLD void lm_log_line_end(struct lm_log_line *line)
{
    size_t length = line->length < sizeof line->text - 1 ? line->length : sizeof line->text - 1;
    lm_log_line_clean(line, length);
    line->text[length] = '\n';
    lm_sys_write(2, line->text, length + 1);
}

LM_COLD __attribute__((format(printf, 2, 3))) void lm_log(int socket, const char *format, ...)
{
    struct lm_log_line line;
    va_list arguments;
    lm_log_line_begin(&line, socket);
    va_start(arguments, format);
    lm_log_line_add_list(&line, format, arguments);
    va_end(arguments);
    lm_log_line_end(&line);
}

#endif
