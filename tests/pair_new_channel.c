/* SPDX-License-Identifier: MIT */
/* A client's channels to one service, one after another: the rest of an old one is served first; and how a new one
 * begins. */
#include "harness.h"

static const char NAME[] = "test.channels";

enum { NOTE = 1, ECHO = 77 };
enum { NOTE_COUNT, DISORDERS }; /* words */

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    uint32_t number;
    if (message->head.msgh_id != NOTE) {
        th_echo(port, message, size, info);
        return;
    }
    memcpy(&number, LMMessageGetData(message), sizeof number);
    th_add(NOTE_COUNT);
    if (number != th_get(NOTE_COUNT))
        th_add(DISORDERS);
}

static void send_notes(LMConnectionRef connection, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i <= to; i++)
        assert_int_equal(LMConnectionSendOneWay(connection, NOTE, &i, sizeof i), 0);
}

/*
 * Intent: a new channel between two messages does not change their order.
 *   client                     service
 *                              (stopped)
 *   1 ... 200 ------------->
 *   deallocates the port
 *   201 ... 300, anew ----->
 *                              goes on: 1 ... 300
 */
static void order_holds_over_a_new_channel(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_pause(service);
    send_notes(&connection, 1, 200);
    th_close(&connection);
    send_notes(&connection, 201, 300);
    th_resume(service);
    th_await(NOTE_COUNT, 300);
    assert_int_equal(th_get(DISORDERS), 0);
    th_close(&connection);
    th_stop(service);
}

/* Intent: the same over several channels, each of which waits for the one before it. */
static void order_holds_over_many_new_channels(void)
{
    enum { CHANNELS = 5, EACH = 300 };
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_pause(service);
    for (uint32_t i = 0; i < CHANNELS; i++) {
        send_notes(&connection, i * EACH + 1, (i + 1) * EACH);
        th_close(&connection);
    }
    th_resume(service);
    th_await(NOTE_COUNT, CHANNELS * EACH);
    assert_int_equal(th_get(DISORDERS), 0);
    th_stop(service);
}

/*
 * Intent: a first message that has to wait for the service's limits does not sleep through their arrival.
 *   client                             service
 *   connects, large call ----------->  lets it in, answers
 *   gives the channel up, and again
 */
static void a_first_large_call_meets_its_welcome(void)
{
    static const uint8_t data[65537];
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    for (unsigned i = 0; i < th_rounds(3000); i++) {
        LMResponseBuffer response;
        assert_int_equal(LMConnectionSendTwoWay(&connection, ECHO, data, sizeof data, &response), 0);
        LMResponseBufferFree(&response);
        th_close(&connection);
    }
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(order_holds_over_a_new_channel),
        TH_TEST(order_holds_over_many_new_channels),
        TH_TEST(a_first_large_call_meets_its_welcome),
    };
    return TH_MAIN(tests);
}
