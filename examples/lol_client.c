/* SPDX-License-Identifier: MIT */
/* The smallest client: it asks once and prints the answer. */
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
    const char *answer = (const char *)LMMessageGetData(&response.message);
    printf("asked \"%s\", answered \"%.*s\"\n", question, (int)LMMessageGetDataLength(&response.message),
           answer ? answer : "");
    LMResponseBufferFree(&response);
    return 0;
}
