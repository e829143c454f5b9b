/* SPDX-License-Identifier: MIT */
/*
 * Opens a channel: the client creates the memory and offers it (H2, H3); the service checks all of the offer before it
 * maps any memory (H4), and publishes its limits (H5). docs/PROTOCOL.md, section 3.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_CHANNEL_HANDSHAKE_H
#define LM_DETAIL_CHANNEL_HANDSHAKE_H

#include "channel.h"

/* Features, as bits. */
#define LM_FEATURE_BORROWS 1u /* accepts lent segments */
#define LM_FEATURES_KNOWN  LM_FEATURE_BORROWS
#define LM_HELLO_MAGIC     0x4c4d5331u                         /* "LMS1" */
#define LM_HELLO_FAMILY(x) ((x) >> 16 == LM_HELLO_MAGIC >> 16) /* "LM": a record of this protocol, of any version */
#define LM_HELLO_LONGEST   4096u                               /* bytes; those after the known ones are ignored */

struct lm_hello {
    uint32_t magic;
    uint32_t lowest, highest;     /* versions that the client speaks */
    uint32_t ignorable, required; /* features */
    uint32_t request_size, reply_size;
    uint32_t largest_reply;
    uint32_t reserved[8];
};

/* A service's record when it refuses a client. */
struct lm_refusal {
    uint32_t magic;
    uint32_t status;          /* the error number for the caller */
    uint32_t lowest, highest; /* versions that the service speaks */
    uint32_t features;        /* that the service knows */
    uint32_t reserved[3];
};

LM_SETUP uint32_t lm_other_byte_order(uint32_t value)
{
    return value >> 24 | (value >> 8 & 0xff00u) | (value & 0xff00u) << 8 | value << 24;
}

/* Returns whether this program speaks a version in the range and knows all required features. */
LM_SETUP bool lm_versions_meet(uint32_t lowest, uint32_t highest, uint32_t required)
{
    return lowest <= LM_PROTOCOL_HIGHEST && highest >= LM_PROTOCOL_LOWEST && lowest <= highest &&
           (required & ~LM_FEATURES_KNOWN) == 0;
}

/* --- Client --- */

/* H2: creates the channel's memory. */
LM_SETUP int lm_channel_furnish(struct lm_channel *channel, int *memory)
{
    *memory = lm_sys_memfd(lm_memory_size(LM_RING_DEFAULT, LM_RING_DEFAULT));
    return *memory < 0 ? *memory : lm_channel_map(channel, *memory, LM_RING_DEFAULT, LM_RING_DEFAULT, true);
}

/* H3: sends the hello, with the memory and what this side accepts. */
LM_SETUP int lm_channel_offer(struct lm_channel *channel, int memory, uint32_t largest_reply)
{
    struct lm_hello hello;
    memset(&hello, 0, sizeof hello);
    hello.magic = LM_HELLO_MAGIC;
    hello.lowest = LM_PROTOCOL_LOWEST;
    hello.highest = LM_PROTOCOL_HIGHEST;
    hello.ignorable = channel->borrows ? LM_FEATURE_BORROWS : 0;
    hello.request_size = hello.reply_size = LM_RING_DEFAULT;
    hello.largest_reply = largest_reply;
    return lm_descriptors_send(channel->socket, &hello, sizeof hello, memory, NULL, 0);
}

/* --- Service --- */

/* A hello with what later versions may append. */
union lm_hello_record {
    struct lm_hello hello;
    char bytes[LM_HELLO_LONGEST + 1]; /* one more, to recognise a record that is too long */
};

/* Checks a hello of that length. 0: it is valid; -EPROTONOSUPPORT: its client speaks another version or has the other
 * byte order; -EPROTO: it is no hello. */
LM_SETUP int lm_hello_check(const struct lm_hello *hello, long length)
{
    bool speaks = length >= (long)sizeof hello->magic && LM_HELLO_FAMILY(hello->magic);
    bool reversed = length >= (long)sizeof hello->magic && LM_HELLO_FAMILY(lm_other_byte_order(hello->magic));
    if (length > (long)LM_HELLO_LONGEST)
        return -EPROTO;
    if (!speaks)
        return reversed ? -EPROTONOSUPPORT : -EPROTO;
    if (hello->magic != LM_HELLO_MAGIC || length < (long)sizeof *hello ||
        !lm_versions_meet(hello->lowest, hello->highest, hello->required))
        return -EPROTONOSUPPORT;
    return lm_ring_size_valid(hello->request_size) && lm_ring_size_valid(hello->reply_size) ? 0 : -EPROTO;
}

/* Receives the hello and the memory, which is its only descriptor. -EAGAIN: it has not arrived yet; -EMFILE: there was
 * no room for the descriptor; else as lm_hello_check. */
LM_SETUP int lm_hello_receive(int socket, struct lm_hello *hello, int *memory)
{
    struct lm_parcel parcel;
    union lm_hello_record record;
    long length;
    memset(&record.hello, 0, sizeof record.hello);
    do
        length = lm_descriptors_receive(socket, &record, sizeof record, MSG_DONTWAIT, &parcel);
    while (length == -EINTR);
    if (length < 0)
        return (int)length;
    *hello = record.hello;
    int result = lm_hello_check(hello, length);
    if (result == 0 && parcel.count == 1) {
        *memory = parcel.descriptors[0];
        return 0;
    }
    lm_descriptors_close(parcel.descriptors, parcel.count);
    return result < 0 ? result : parcel.incomplete ? -EMFILE : -EPROTO;
}

LM_SETUP void lm_channel_refuse(const struct lm_channel *channel, kern_return_t status)
{
    struct lm_refusal refusal = {LM_HELLO_MAGIC,      (uint32_t)status,  LM_PROTOCOL_LOWEST,
                                 LM_PROTOCOL_HIGHEST, LM_FEATURES_KNOWN, {0, 0, 0}};
    lm_sys_send(channel->socket, &refusal, sizeof refusal);
}

LM_SETUP int lm_channel_accept_memory(struct lm_channel *channel, const struct lm_hello *hello, int memory)
{
    if (!lm_memory_safe(memory, lm_memory_size(hello->request_size, hello->reply_size)))
        return -EPROTO;
    return lm_channel_map(channel, memory, hello->request_size, hello->reply_size, false);
}

/*
 * H4. `refusal` is the status for a client that is not admitted, else 0. -EAGAIN: the hello has not arrived yet; after
 * any other error the client loses its connection. The socket must not block.
 */
LM_SETUP int lm_channel_accept(struct lm_channel *channel, kern_return_t refusal, struct lm_hello *hello)
{
    int memory = -1;
    int result = lm_hello_receive(channel->socket, hello, &memory);
    if (result == -EPROTONOSUPPORT)
        lm_channel_refuse(channel, refusal ? refusal : LM_INCOMPATIBLE_VERSION);
    if (result < 0)
        return result;
    if (refusal)
        lm_channel_refuse(channel, refusal);
    result = refusal ? -EACCES : lm_channel_accept_memory(channel, hello, memory);
    lm_sys_close(&memory);
    return result;
}

/* H5, without the bell. The channel speaks the highest version that both sides speak. The fields come before
 * `welcomed`, whose store releases them to the client's acquire. */
LM_SETUP void lm_channel_welcome(struct lm_channel *channel, const struct lm_hello *hello, uint32_t largest_message)
{
    struct lm_memory *memory = channel->memory;
    lm_store_relaxed(&memory->largest_message, largest_message);
    lm_store_relaxed(&memory->version, lm_min32(hello->highest, LM_PROTOCOL_HIGHEST));
    lm_store_relaxed(&memory->lowest, LM_PROTOCOL_LOWEST);
    lm_store_relaxed(&memory->highest, LM_PROTOCOL_HIGHEST);
    lm_store_relaxed(&memory->ignorable, channel->borrows ? LM_FEATURE_BORROWS : 0);
    lm_store_ordered(&memory->welcomed, 1);
}

#endif
