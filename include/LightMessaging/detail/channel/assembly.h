/* SPDX-License-Identifier: MIT */
/* A large message on its way through a ring: which one, and how much of it has come. Both ends check with this that
 * pieces add up. */
#ifndef LM_DETAIL_CHANNEL_ASSEMBLY_H
#define LM_DETAIL_CHANNEL_ASSEMBLY_H

#include "ring.h"

struct lm_assembly {
    bool begun;
    uint32_t token;
    uint32_t total;
    uint32_t received;
};

LM_INTERNAL bool lm_frame_is_part(const struct lm_frame *frame)
{
    return frame->kind == LM_FRAME_PIECE || (frame->kind == LM_FRAME_MESSAGE && frame->total > frame->length);
}

/* Counts a part in. 1: it was the last, 0: more is to come, -EPROTO: it does not belong here. */
LM_INTERNAL int lm_assembly_add(struct lm_assembly *assembly, const struct lm_frame *frame)
{
    bool last = frame->kind == LM_FRAME_MESSAGE;
    if (!assembly->begun) {
        struct lm_assembly begun = {true, frame->token, frame->total, 0};
        *assembly = begun;
    }
    uint32_t rest = assembly->total - assembly->received;
    if (frame->token != assembly->token || frame->total != assembly->total || frame->length > rest ||
        last != (frame->length == rest))
        return -EPROTO;
    assembly->received += frame->length;
    if (last)
        assembly->begun = false;
    return last;
}

#endif
