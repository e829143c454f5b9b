/* SPDX-License-Identifier: MIT */
/* The smallest client: it calls once and prints the reply. */
#include <LightMessaging/LightMessaging.h>
#include <stdio.h>

static LMConnection connection = {MACH_PORT_NULL, "com.example.lol"};

int main(void)
{
    const char question[] = "knock knock";
    LMResponseBuffer response;
    kern_return_t error = LMConnectionSendTwoWay(&connection, 1, question, sizeof question, &response);
    if (error != KERN_SUCCESS) {
        fprintf(stderr, "lol_client: %s\n", mach_error_string(error));
        return 1;
    }
    uint32_t length = LMMessageGetDataLength(&response.message);
    if (length > 0) /* the precision ends the output even if the reply has no NUL */
        printf("asked \"%s\", answered \"%.*s\"\n", question, (int)length,
               (const char *)LMMessageGetData(&response.message));
    else
        fprintf(stderr, "lol_client: the reply is empty\n");
    LMResponseBufferFree(&response);
    return length > 0 ? 0 : 1;
}
