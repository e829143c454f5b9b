/* SPDX-License-Identifier: MIT */
/* CFData, received. */
#ifndef LM_DETAIL_DATA_H
#define LM_DETAIL_DATA_H

#include "take.h"

LM_API CFDataRef LMResponseConsumeData(LMResponseBuffer *response)
{
    return lm_message_take_data(&response->message);
}

#endif
