/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "stream.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

bool stream_write(int descriptor, const void *data, uint32_t length)
{
    const char *next = data;
    while (length > 0) {
        ssize_t written = write(descriptor, next, length);
        if (written < 0)
            return peer_error("write: %s", strerror(errno));
        next += written;
        length -= (uint32_t)written;
    }
    return true;
}

bool stream_read(int descriptor, void *data, uint32_t length)
{
    char *next = data;
    while (length > 0) {
        ssize_t taken = read(descriptor, next, length);
        if (taken <= 0)
            return peer_error("read: %s", taken == 0 ? "the end" : strerror(errno));
        next += taken;
        length -= (uint32_t)taken;
    }
    return true;
}

/* Answers the complete messages in the buffer. Returns the bytes that they take, -1 if the client is gone. */
static ssize_t answer_all(int out, const char *buffer, size_t filled)
{
    size_t done = 0;
    PeerHead head;
    while (filled - done >= sizeof head) {
        memcpy(&head, buffer + done, sizeof head);
        if (filled - done < head.length)
            break;
        uint32_t length;
        const void *reply = peer_answer(buffer + done, &length);
        if (reply && !stream_write(out, reply, length))
            return -1;
        done += head.length;
    }
    return (ssize_t)done;
}

bool stream_answer(int in, int out)
{
    static char buffer[PEER_LARGEST];
    size_t filled = 0;
    do {
        ssize_t taken = read(in, buffer + filled, sizeof buffer - filled);
        if (taken <= 0)
            return false;
        filled += (size_t)taken;
        ssize_t done = answer_all(out, buffer, filled);
        if (done < 0)
            return false;
        filled -= (size_t)done;
        memmove(buffer, buffer + done, filled); /* at most a part of a message */
    } while (filled > 0);
    return true;
}
