/* SPDX-License-Identifier: MIT */
/*
 * Sends and receives file descriptors with a record. A parcel holds descriptors that have arrived and belong to a
 * message, until the message's owner takes them. The owner of a parcel closes what is left in it.
 */
#ifndef LM_DETAIL_CHANNEL_PARCEL_H
#define LM_DETAIL_CHANNEL_PARCEL_H

#include "../ground/list.h"
#include "../ground/sys.h"

struct lm_parcel {
    struct lm_list in_channel;
    bool incomplete; /* this process had no room for all of them; none is kept */
    uint32_t count;
    int descriptors[LM_DESCRIPTORS_MAX]; /* -1: taken */
};

/* Space for the control data of the most descriptors that a record can carry. */
union lm_descriptor_space {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(LM_DESCRIPTORS_MAX * sizeof(int))];
};

LM_INTERNAL void lm_descriptors_close(int *descriptors, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        lm_sys_close(&descriptors[i]);
}

/* NULL is ignored. */
LM_INTERNAL void lm_parcel_free(struct lm_parcel *parcel)
{
    if (parcel)
        lm_descriptors_close(parcel->descriptors, parcel->count);
    free(parcel);
}

LM_SETUP void lm_descriptors_message(struct msghdr *message, struct iovec *part, union lm_descriptor_space *control)
{
    memset(message, 0, sizeof *message);
    message->msg_iov = part;
    message->msg_iovlen = 1;
    message->msg_control = control;
    message->msg_controllen = sizeof *control;
}

/* Sends a record with descriptors, `first` (unless it is -1) and the others, which remain the caller's. Never waits. */
LM_SETUP int lm_descriptors_send(int socket, const void *record, size_t length, int first, const int *descriptors,
                                 uint32_t count)
{
    uint32_t before = first >= 0;
    union lm_descriptor_space control;
    struct iovec part = {(void *)(uintptr_t)record, length};
    struct msghdr message;
    memset(&control, 0, sizeof control);
    lm_descriptors_message(&message, &part, &control);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = (socklen_t)CMSG_LEN((before + count) * sizeof first); /* musl's type; glibc's is wider */
    message.msg_controllen = control.header.cmsg_len;
    if (before)
        memcpy(CMSG_DATA(&control.header), &first, sizeof first);
    if (count)
        memcpy(CMSG_DATA(&control.header) + before * sizeof first, descriptors, count * sizeof first);
    long result;
    do
        result = lm_sys_sendmsg(socket, &message);
    while (result == -EINTR);
    return result < 0 ? (int)result : 0;
}

/* Closes the first descriptor, which does not belong to the message. */
LM_SETUP void lm_parcel_drop_first(struct lm_parcel *parcel)
{
    lm_sys_close(&parcel->descriptors[0]);
    parcel->count--;
    memmove(parcel->descriptors, parcel->descriptors + 1, parcel->count * sizeof *parcel->descriptors);
}

/* Moves the descriptors that came with a record into the parcel: all of them, or none, and it is incomplete. */
LM_SETUP void lm_parcel_fill(struct lm_parcel *parcel, struct msghdr *message)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    parcel->count = 0;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        parcel->count = (uint32_t)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(parcel->descriptors, CMSG_DATA(header), parcel->count * sizeof(int));
    }
    parcel->incomplete = (message->msg_flags & MSG_CTRUNC) != 0;
    if (!parcel->incomplete)
        return;
    lm_descriptors_close(parcel->descriptors, parcel->count);
    parcel->count = 0;
}

/* Receives a record and the descriptors that came with it. Returns the record's length; after an error nothing was
 * received. */
LM_SETUP long lm_descriptors_receive(int socket, void *record, size_t length, int flags, struct lm_parcel *parcel)
{
    union lm_descriptor_space control;
    struct iovec part = {record, length};
    struct msghdr message;
    lm_descriptors_message(&message, &part, &control);
    long result = lm_sys_recvmsg(socket, &message, flags);
    if (result >= 0)
        lm_parcel_fill(parcel, &message);
    return result;
}

/* Returns whether this process can send the descriptors. */
LM_INTERNAL bool lm_descriptors_valid(const int *descriptors, uint32_t count)
{
    if (count > LM_DESCRIPTORS_MAX || (count && !descriptors))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!lm_sys_is_open(descriptors[i]))
            return false;
    return true;
}

/* Makes close-on-exec copies. After an error there are none. */
LM_INTERNAL int lm_descriptors_copy(int *copies, const int *descriptors, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        copies[i] = lm_sys_duplicate(descriptors[i]);
        if (copies[i] >= 0)
            continue;
        int error = copies[i];
        lm_descriptors_close(copies, i);
        return error;
    }
    return 0;
}

#endif
