/* SPDX-License-Identifier: MIT */
/* libFuzzer's target for the functions that consume a peer's data: property lists, strings, pictures, integers. The
 * first byte selects one. fuzz.sh runs it for a minute, or for the time it is given. */
#include <LightMessaging/Image.h>
#include <LightMessaging/Integer.h>
#include <LightMessaging/PropertyList.h>
#include <LightMessaging/String.h>

/* Makes the data a received response, in memory of its own so that a read beyond them is noticed. */
static bool fill(LMResponseBuffer *response, const uint8_t *data, size_t size)
{
    lm_message_init(&response->message);
    void *room = lm_message_reserve(&response->message, (uint32_t)size);
    if (room && size > 0)
        memcpy(room, data, size);
    return room != NULL;
}

static unsigned depth_of(plist_t list);

static unsigned deeper(plist_t list, unsigned depth)
{
    unsigned other = depth_of(list);
    return other > depth ? other : depth;
}

/* Returns the depth of nested containers. */
static unsigned depth_of(plist_t list)
{
    plist_array_iter in_array = NULL;
    plist_dict_iter in_dictionary = NULL;
    plist_t item = NULL;
    unsigned depth = 0;
    plist_type type = plist_get_node_type(list);
    if (type != PLIST_ARRAY && type != PLIST_DICT)
        return 0;
    if (type == PLIST_ARRAY)
        plist_array_new_iter(list, &in_array);
    else
        plist_dict_new_iter(list, &in_dictionary);
    do {
        if (type == PLIST_ARRAY)
            plist_array_next_item(list, in_array, &item);
        else
            plist_dict_next_item(list, in_dictionary, NULL, &item);
        depth = item ? deeper(item, depth) : depth;
    } while (item);
    free(in_array);
    free(in_dictionary);
    return depth + 1;
}

/* An accepted list is within the depth limit, can be sent, and is unchanged then. */
static void consume_list(LMResponseBuffer *response)
{
    plist_t list = LMResponseConsumePropertyList(response);
    if (!list)
        return;
    CFDataRef data = depth_of(list) <= LM_PROPERTY_LIST_DEPTH ? LMDataForPropertyList(list) : NULL;
    plist_t again = LMPropertyListForData(data);
    if (!again || plist_get_node_type(again) != plist_get_node_type(list))
        abort();
    plist_free(again);
    CFRelease(data);
    plist_free(list);
}

/* Reads every byte that a picture's numbers promise. */
static void consume_image(LMResponseBuffer *response)
{
    LMImage *image = LMResponseConsumeImage(response);
    unsigned sum = 0;
    for (size_t i = 0; image && i < (size_t)image->bytesPerRow * image->height; i++)
        sum += ((const uint8_t *)image->pixels)[i];
    if (sum == UINT32_MAX)
        abort(); /* never true, but the sum must be computed */
    LMImageFree(image);
}

static void consume_text(LMResponseBuffer *response)
{
    char *text = LMResponseConsumeString(response);
    if (text && !lm_utf8_valid(text, strlen(text)))
        abort();
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    LMResponseBuffer response;
    if (size == 0 || !fill(&response, data + 1, size - 1))
        return 0;
    switch (data[0] % 4) {
    case 0:
    case 1:
        consume_list(&response);
        break;
    case 2:
        consume_image(&response);
        break;
    default:
        consume_text(&response);
    }
    if (LMMessageGetDataLength(&response.message) != 0 || LMResponseConsumeInt64(&response) != 0)
        abort();
    return 0;
}
