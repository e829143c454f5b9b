/* SPDX-License-Identifier: MIT */
/*
 * A channel: a socket, which carries bells and shows the peer's death, and the memory with its two rings. Each side
 * produces into one ring and consumes from the other. The channel's lock guards its members and this process's side of
 * the rings; no thread waits while holding it. After a channel is cut, nothing in it moves, but the memory stays until
 * it is unmapped.
 */
#ifndef LM_DETAIL_CHANNEL_CHANNEL_H
#define LM_DETAIL_CHANNEL_CHANNEL_H

#include "../ground/deadline.h"
#include "parcel.h"
#include "ring.h"
#include "segment.h"

/* The first page of the shared memory. */
struct lm_memory {
    struct lm_ring_words requests;
    struct lm_ring_words replies;
    uint32_t welcomed; /* the service has accepted and has set the fields below */
    uint32_t largest_message;
    /* The service's: the version that it speaks here, those that it can speak, and its features. */
    uint32_t version, lowest, highest, ignorable, required;
    uint32_t pad[57];
};

#define LM_MEMORY_RINGS 4096u     /* offset of the rings */
#define LM_COARSE_WAIT  100000000 /* nanoseconds; for less, the kernel's timeouts may be over an eighth late */

struct lm_channel {
    pthread_mutex_t lock;
    int socket;
    uint32_t cut; /* the channel is ended; may be read without the lock, as a hint */
    struct lm_memory *memory;
    size_t memory_size;
    struct lm_producer out;
    struct lm_consumer in;
    uint32_t part_max;      /* the longest payload of a frame that this side sends: half of its ring */
    uint32_t whole_max;     /* longer messages go in pieces, unless the sender changes that for one */
    int64_t socket_timeout; /* the present value of SO_RCVTIMEO */
    /* Descriptors. The thread that reads the socket owns the first three members; the lock guards the others. */
    bool parcel_noticed;           /* a notice came: the next record with descriptors is a parcel */
    struct lm_list parcels;        /* that have arrived, in the order of their messages */
    uint32_t parcels_hold;         /* descriptors in them */
    bool notice_sent;              /* by this side; its parcel was not sent yet */
    bool borrows;                  /* this side accepts lent segments, from processes of its own user */
    struct lm_pool lent, borrowed; /* segments of this side and of the peer; see lend.h */
};

/* The kinds of records on the socket, by length. */
enum { LM_RECORD_BELL = 1, LM_RECORD_NOTICE = 2, LM_RECORD_PARCEL = 3 };

LM_INTERNAL size_t lm_memory_size(uint32_t request_size, uint32_t reply_size)
{
    return (size_t)LM_MEMORY_RINGS + request_size + reply_size;
}

/* `alone`: the two sides may have to share a core, and then cannot copy at the same time. */
LM_INTERNAL void lm_channel_init(struct lm_channel *channel, int socket, bool alone)
{
    pthread_mutex_init(&channel->lock, NULL);
    channel->socket = socket;
    channel->whole_max = alone ? LM_PIECE_MAX : LM_PIECE_MIN;
}

/* Maps memory whose size was checked. The client produces into the requests' ring, the service into the replies'. */
LM_SETUP int lm_channel_map(struct lm_channel *channel, int memory, uint32_t request_size, uint32_t reply_size,
                            bool is_client)
{
    channel->memory_size = lm_memory_size(request_size, reply_size);
    channel->memory = (struct lm_memory *)lm_sys_map(memory, channel->memory_size);
    if (!channel->memory)
        return -ENOMEM;
    lm_sys_keep_from_children(channel->memory, channel->memory_size);
    unsigned char *bytes = (unsigned char *)channel->memory + LM_MEMORY_RINGS;
    struct lm_ring requests = {&channel->memory->requests, bytes, request_size, 0};
    struct lm_ring replies = {&channel->memory->replies, bytes + request_size, reply_size, 0};
    channel->out.ring = is_client ? requests : replies;
    channel->in.ring = is_client ? replies : requests;
    channel->in.takes = !is_client;
    channel->part_max = lm_min32(LM_PIECE_MAX, channel->out.ring.size / 2 - (uint32_t)sizeof(struct lm_frame));
    channel->whole_max = lm_min32(channel->whole_max, channel->part_max);
    return lm_sys_populate(channel->memory, LM_MEMORY_RINGS) < 0 ? -ENOMEM : 0;
}

LM_SETUP void lm_channel_unmap(struct lm_channel *channel)
{
    lm_pool_clear(&channel->lent);
    lm_pool_clear(&channel->borrowed);
    if (channel->memory)
        lm_sys_unmap(channel->memory, channel->memory_size);
    channel->memory = NULL;
}

LM_SETUP void lm_channel_drop_parcels(struct lm_channel *channel)
{
    struct lm_list *first;
    while ((first = lm_list_first(&channel->parcels)) != NULL) {
        lm_list_remove(first);
        lm_parcel_free(LM_CONTAINER(first, struct lm_parcel, in_channel));
    }
    channel->parcels_hold = 0;
}

LM_SETUP void lm_channel_deinit(struct lm_channel *channel)
{
    lm_channel_unmap(channel);
    lm_channel_drop_parcels(channel);
    lm_sys_close(&channel->socket);
    pthread_mutex_destroy(&channel->lock);
}

/* Has the peer ring when it next puts a frame, which tells it that this side is gone: sets the flag that P6 reads. */
LM_INTERNAL void lm_channel_leave(struct lm_channel *channel)
{
    if (channel->memory)
        lm_store_ordered(&channel->in.ring.words->consumer_sleeps, 1);
}

/* Ends the channel for both sides: whoever sleeps on the socket, on either side, reads end-of-file. */
LM_SETUP void lm_channel_cut(struct lm_channel *channel)
{
    if (!lm_load_relaxed(&channel->cut))
        lm_sys_shutdown(channel->socket);
    lm_store_relaxed(&channel->cut, true);
}

/*
 * Wakes the peer. A full queue counts as success: it holds bells that the peer has not read yet. -EPIPE: the peer is
 * dead; or the kernel has had no memory for a bell for so long that the socket is shut down instead, which wakes both
 * sides. So no bell is lost, whether the caller looks at the result or not.
 */
LM_INTERNAL int lm_channel_ring_bell(const struct lm_channel *channel)
{
    long result;
    int attempts = 1000; /* in a row; they need no pauses, because the kernel itself waits for memory */
    do
        result = lm_sys_send(channel->socket, "", 1);
    while (result == -EINTR || ((result == -ENOBUFS || result == -ENOMEM) && --attempts > 0));
    if (result >= 0 || result == -EAGAIN)
        return 0;
    lm_sys_shutdown(channel->socket);
    return -EPIPE;
}

/*
 * Sets the socket's timeout so that a wait ends before `left` has passed. Mostly it is set already, because a program's
 * waits are equally long. The kernel's timeouts are coarse, up to an eighth late.
 */
LM_INTERNAL void lm_channel_limit_wait(struct lm_channel *channel, int64_t left)
{
    int64_t set = channel->socket_timeout;
    int64_t wanted = left == LM_FOREVER ? 0 : left / 8 * 5;
    if (set == wanted || (wanted && set >= left / 2 && set <= left / 4 * 3))
        return;
    if (lm_sys_set_timeout(channel->socket, SO_RCVTIMEO, wanted) == 0)
        channel->socket_timeout = wanted;
}

/* Keeps a parcel that has arrived. -EPROTO: a record has descriptors and should not, or the reverse. */
LM_SETUP long lm_channel_keep_parcel(struct lm_channel *channel, struct lm_parcel *parcel, long length)
{
    bool some = parcel->count > 0 || parcel->incomplete;
    if (some != (length == LM_RECORD_PARCEL))
        return -EPROTO;
    if (!some)
        return length;
    channel->parcel_noticed = false;
    channel->parcels_hold += parcel->count;
    lm_list_append(&channel->parcels, &parcel->in_channel);
    return length;
}

/* Receives a record that may be a parcel, after a notice. */
LM_SETUP long lm_channel_receive_parcel(struct lm_channel *channel, void *record, size_t length, int flags)
{
    struct lm_parcel *parcel = (struct lm_parcel *)calloc(1, sizeof *parcel);
    if (!parcel)
        return -ENOMEM;
    long received = lm_descriptors_receive(channel->socket, record, length, flags, parcel);
    long result = received < 0 ? received : lm_channel_keep_parcel(channel, parcel, received);
    if (!lm_list_contains(&parcel->in_channel))
        lm_parcel_free(parcel);
    return result;
}

/* Receives one record. It is ready for descriptors only after a notice, because that would slow down every bell. The
 * kernel closes descriptors that come without a notice. */
LM_INTERNAL long lm_channel_receive_record(struct lm_channel *channel, void *record, size_t length, int flags)
{
    if (channel->parcel_noticed)
        return lm_channel_receive_parcel(channel, record, length, flags);
    long result = lm_sys_receive(channel->socket, record, length, flags);
    channel->parcel_noticed = result == LM_RECORD_NOTICE;
    return result == LM_RECORD_PARCEL ? -EPROTO : result;
}

/* Receives one record, waiting until the deadline at most. -EAGAIN: the deadline passed. */
LM_INTERNAL long lm_channel_receive(struct lm_channel *channel, void *record, size_t length, int64_t deadline)
{
    int64_t left = lm_deadline_left(deadline);
    if (left > LM_COARSE_WAIT) {
        lm_channel_limit_wait(channel, left);
        long result = lm_channel_receive_record(channel, record, length, 0);
        if (result != -EAGAIN)
            return result;
        left = lm_deadline_left(deadline);
    }
    if (left > 0)
        lm_sys_poll_readable(channel->socket, left);
    return lm_channel_receive_record(channel, record, length, MSG_DONTWAIT);
}

/*
 * S3, W3: sleeps until the peer rings. Returns the record's length, at most `length`; 0 if the peer is gone; -EAGAIN if
 * the deadline passed; -EINTR after a signal. A reset means that the peer died with bells unread; its own records may
 * follow.
 */
LM_INTERNAL long lm_channel_listen(struct lm_channel *channel, void *record, size_t length, int64_t deadline)
{
    long result = lm_channel_receive(channel, record, length, deadline);
    if (result == -ECONNRESET)
        result = lm_channel_receive_record(channel, record, length, MSG_DONTWAIT);
    return result == -EAGAIN || result == -EINTR ? result : result < 0 ? 0 : result;
}

/* --- Descriptors --- */

/*
 * Sends a message's descriptors before its frame is put: a notice, then the parcel. The lock keeps parcels in the order
 * of their messages. -EAGAIN: the peer must read its socket first.
 */
LM_SETUP int lm_channel_send_parcel(struct lm_channel *channel, int first, const int *descriptors, uint32_t count)
{
    long result = 0;
    while (!channel->notice_sent && result >= 0) {
        result = lm_sys_send(channel->socket, "no", LM_RECORD_NOTICE);
        channel->notice_sent = result >= 0;
        result = result == -EINTR ? 0 : result;
    }
    if (channel->notice_sent)
        result = lm_descriptors_send(channel->socket, "par", LM_RECORD_PARCEL, first, descriptors, count);
    if (channel->notice_sent && result == 0)
        channel->notice_sent = false;
    return (int)result;
}

/* Records that are read for one parcel, which was sent before its message, and so is in the socket's queue: more than
 * that holds with Linux's default of 208 KiB. */
#define LM_AWAIT_RECORDS 4096

/* Reads the socket until a parcel has arrived. The peer has sent it before the message. -EPROTO: it has not. */
LM_SETUP int lm_channel_await_parcel(struct lm_channel *channel)
{
    char record[LM_RECORD_PARCEL + 1];
    for (int i = 0; i < LM_AWAIT_RECORDS && lm_list_empty(&channel->parcels); i++) {
        long length = lm_channel_receive_record(channel, record, sizeof record, MSG_DONTWAIT);
        if (length == -EINTR || length == -ECONNRESET)
            continue;
        if (length < LM_RECORD_BELL || length > LM_RECORD_PARCEL)
            return length == -ENOMEM ? -ENOMEM : -EPROTO;
    }
    return lm_list_empty(&channel->parcels) ? -EPROTO : 0;
}

/* Returns the parcel of the message that is being read; the caller frees it. The caller must have the right to read the
 * socket. -EMFILE: this process had no room for it. -EPROTO: there is none, or its number of descriptors is wrong. */
LM_SETUP int lm_channel_take_parcel(struct lm_channel *channel, uint32_t count, struct lm_parcel **parcel)
{
    int result = lm_channel_await_parcel(channel);
    if (result < 0)
        return result;
    struct lm_list *first = lm_list_first(&channel->parcels);
    *parcel = LM_CONTAINER(first, struct lm_parcel, in_channel);
    lm_list_remove(first);
    channel->parcels_hold -= (*parcel)->count;
    if ((*parcel)->incomplete)
        result = -EMFILE;
    else if ((*parcel)->count != count)
        result = -EPROTO;
    if (result == 0)
        return 0;
    lm_parcel_free(*parcel);
    *parcel = NULL;
    return result;
}

#endif
