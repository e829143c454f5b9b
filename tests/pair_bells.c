/* SPDX-License-Identifier: MIT */
/* The kernel has no memory for a bell, again and again: the sleeper is woken all the same. */
int test_before_call(long number);
#define LM_TEST_SYSCALL test_before_call
#include "harness.h"

#include <sys/syscall.h>
#include <unistd.h>

static const char NAME[] = "test.bells";

static bool no_memory;

int test_before_call(long number)
{
    return no_memory && number == SYS_sendto ? ENOBUFS : 0;
}

/* Answers when the caller sleeps, and cannot wake it. */
static void answer_without_memory(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    th_await_sleep(getppid());
    no_memory = true;
    LMSendReply(LMMessageGetReplyPort(message), "x", 1);
    no_memory = false;
}

/*
 * Intent: a bell that cannot be sent is not lost: the channel ends, and the reply is in it.
 *   client            service
 *   call, sleeps -->
 *                     answers, has no memory for a bell
 *   <--- end of the channel, with the answer
 */
static void an_answer_without_a_bell_arrives(void)
{
    pid_t service = th_serve(NAME, answer_without_memory);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(LMConnectionSendTwoWay(&connection, 1, NULL, 0, &response), 0);
        assert_int_equal(LMMessageGetDataLength(&response.message), 1);
        LMResponseBufferFree(&response);
    }
    th_close(&connection);
    th_stop(service);
}

/* Intent: likewise for one-way messages of a client without memory: they are kept, and go to the service in order. */
static void a_message_without_a_bell_arrives(void)
{
    pid_t service = th_serve(NAME, th_echo);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_await_sleep(service);
    no_memory = true;
    kern_return_t status = LMConnectionSendOneWay(&connection, 1, "x", 1);
    no_memory = false;
    assert_true(status == 0 || status == MACH_SEND_INVALID_DEST || status == BOOTSTRAP_UNKNOWN_SERVICE);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(an_answer_without_a_bell_arrives),
        TH_TEST(a_message_without_a_bell_arrives),
    };
    return TH_MAIN(tests);
}
