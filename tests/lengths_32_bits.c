/* SPDX-License-Identifier: MIT */
/* Compiled for 32 bits by lengths_32_bits.sh. */
#include <LightMessaging/Image.h>
#include <LightMessaging/String.h>

int main(void)
{
    int wrong = lm_data_new(UINT32_MAX) || lm_data_new(0xfffffff1u) || lm_text_new(UINT32_MAX) ||
                LMImageCreate(0x3fffffed, 1, LM_BITMAP_RGBA);
    void *data = lm_data_new(0), *text = lm_text_new(0);
    wrong |= sizeof(size_t) != 4 || !text;
    free(data);
    free(text);
    return wrong;
}
