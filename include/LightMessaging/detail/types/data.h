/* SPDX-License-Identifier: MIT */
/* CFData received in messages. */
#include "../../Data.h"

#ifndef LM_DETAIL_TYPES_DATA_H
#define LM_DETAIL_TYPES_DATA_H

#include "../channel/take.h"

LM_API CFDataRef LMResponseConsumeData(LMResponseBuffer *response)
{
    return lm_message_take_data(&response->message);
}

#endif
