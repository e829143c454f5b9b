/* SPDX-License-Identifier: MIT */
/*
 * How a channel comes to be: the client offers memory of its making (H2, H3), the service checks all of it before it
 * maps any (H4) and says what it accepts (H5). docs/PROTOCOL.md, section 3.
 */
#include "../../Mach.h"

#ifndef LM_DETAIL_CHANNEL_HANDSHAKE_H
#define LM_DETAIL_CHANNEL_HANDSHAKE_H

#include "channel.h"

#define LM_HELLO_MAGIC   0x4c4d5331u /* "LMS1" */
#define LM_HELLO_VERSION 1u

struct lm_hello {
    uint32_t magic;
    uint32_t version;
    uint32_t request_size;
    uint32_t reply_size;
    uint32_t largest_reply;
    uint32_t borrows; /* 1: the client takes lent segments */
    uint32_t reserved[2];
};

/* What a service says instead of accepting. */
struct lm_refusal {
    uint32_t magic;
    uint32_t status; /* the error number for the caller */
};

/* --- Client --- */

/* H2: gives the channel its memory. */
LM_SETUP int lm_channel_furnish(struct lm_channel *channel, int *memory)
{
    *memory = lm_sys_memfd(lm_memory_size(LM_RING_DEFAULT, LM_RING_DEFAULT));
    return *memory < 0 ? *memory : lm_channel_map(channel, *memory, LM_RING_DEFAULT, LM_RING_DEFAULT, true);
}

/* H3: sends it to the service, with what this side accepts. */
LM_SETUP int lm_channel_offer(struct lm_channel *channel, int memory, uint32_t largest_reply)
{
    struct lm_hello hello = {LM_HELLO_MAGIC, LM_HELLO_VERSION, LM_RING_DEFAULT, LM_RING_DEFAULT,
                             largest_reply,  channel->borrows, {0, 0}};
    return lm_descriptors_send(channel->socket, &hello, sizeof hello, &memory, 1);
}

/* --- Service --- */

/* Receives the hello and its memory, the one descriptor that comes with it. -EAGAIN: it has not come yet; -EMFILE:
 * there was no room for the descriptor. */
LM_SETUP int lm_hello_receive(int socket, struct lm_hello *hello, int *memory)
{
    struct lm_parcel parcel;
    long length;
    do
        length = lm_descriptors_receive(socket, hello, sizeof *hello, MSG_DONTWAIT, &parcel);
    while (length == -EINTR);
    if (length < 0)
        return (int)length;
    if (length == (long)sizeof *hello && parcel.count == 1) {
        *memory = parcel.descriptors[0];
        return 0;
    }
    lm_descriptors_close(parcel.descriptors, parcel.count);
    return length == (long)sizeof *hello && parcel.incomplete ? -EMFILE : -EPROTO;
}

LM_SETUP bool lm_hello_valid(const struct lm_hello *hello)
{
    return hello->magic == LM_HELLO_MAGIC && lm_ring_size_valid(hello->request_size) &&
           lm_ring_size_valid(hello->reply_size);
}

LM_SETUP void lm_channel_refuse(const struct lm_channel *channel, kern_return_t status)
{
    struct lm_refusal refusal = {LM_HELLO_MAGIC, (uint32_t)status};
    lm_sys_send(channel->socket, &refusal, sizeof refusal);
}

LM_SETUP int lm_channel_accept_memory(struct lm_channel *channel, const struct lm_hello *hello, int memory)
{
    if (!lm_hello_valid(hello))
        return -EPROTO;
    if (hello->version != LM_HELLO_VERSION) {
        lm_channel_refuse(channel, MACH_SEND_INVALID_DEST);
        return -EPROTO;
    }
    if (!lm_memory_safe(memory, lm_memory_size(hello->request_size, hello->reply_size)))
        return -EPROTO;
    return lm_channel_map(channel, memory, hello->request_size, hello->reply_size, false);
}

/*
 * H4. `refusal` is what a client is told that may not come in, or 0. -EAGAIN: the hello has not come yet; any other
 * failure: send the client away. The socket must not block.
 */
LM_SETUP int lm_channel_accept(struct lm_channel *channel, kern_return_t refusal, struct lm_hello *hello)
{
    int memory = -1;
    int result = lm_hello_receive(channel->socket, hello, &memory);
    if (result < 0)
        return result;
    if (refusal)
        lm_channel_refuse(channel, refusal);
    result = refusal ? -EACCES : lm_channel_accept_memory(channel, hello, memory);
    lm_sys_close(&memory);
    return result;
}

/* H5, but for the bell. */
LM_SETUP void lm_channel_welcome(struct lm_channel *channel, uint32_t largest_message)
{
    lm_store_relaxed(&channel->memory->largest_message, largest_message);
    lm_store_relaxed(&channel->memory->borrows, channel->borrows);
    lm_store_ordered(&channel->memory->welcomed, 1);
}

#endif
