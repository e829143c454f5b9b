/* SPDX-License-Identifier: MIT */
/* Two processes, and each part of the interface once: messages arrive, and answers come back. */
#include "harness.h"

#include <unistd.h>

static const char NAME[] = "test.basics";

enum {
    ASK_SHAPE = 1,
    ASK_INTEGER,
    ASK_CFDATA,
    ASK_NULL_CFDATA,
    ASK_NULL,
    ASK_FREES,
    ASK_COUNT,
    ASK_INFO,
    ASK_THREE,
    ONE_WAY
};

static int one_ways;
static char user_info[] = "what the service was started with";

/* Returns 1 if the properties of every message hold. */
static int shape_of(LMMessage *message, CFIndex size)
{
    int shape = 0;
    shape |= (size >= (CFIndex)sizeof(LMMessage)) << 0;
    shape |= LMDataWithSizeIsValidMessage(message, size) << 1;
    shape |= (message->head.msgh_remote_port != MACH_PORT_NULL) << 2;
    shape |= (((uintptr_t)LMMessageGetData(message) & 15) == 0) << 3;
    shape |= (LMMessageGetDataLength(message) == 0) << 4;
    shape |= (LMMessageGetData(message) == NULL) << 5;
    return shape;
}

static void count_one_way(LMMessage *message)
{
    assert_int_equal(message->head.msgh_remote_port, MACH_PORT_NULL);
    assert_int_equal(LMSendReply(message->head.msgh_remote_port, "nobody waits", 12), 0);
    assert_int_equal(LMSendReply(message->head.msgh_remote_port, NULL, 0), 0);
    one_ways++;
}

static void reply_cfdata(mach_port_t port)
{
    static const UInt8 bytes[] = {9, 8, 7};
    CFDataRef data = CFDataCreate(kCFAllocatorDefault, bytes, 3);
    assert_int_equal(LMSendCFDataReply(port, data), 0);
    assert_int_equal(CFDataGetLength(data), 3); /* still the caller's */
    CFRelease(data);
}

static void reply_after_freeing(LMMessage *message)
{
    LMResponseBufferFree((LMResponseBuffer *)message);
    LMResponseBufferFree((LMResponseBuffer *)message);
    assert_int_equal(LMMessageGetDataLength(message), 0);
    assert_null(LMMessageGetData(message));
    assert_int_equal(LMSendIntegerReply(message->head.msgh_remote_port, 1), 0);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    mach_port_t reply = message->head.msgh_remote_port;
    assert_true(CFMachPortIsValid(port));
    switch (message->head.msgh_id) {
    case ASK_SHAPE:
        assert_int_equal(LMSendIntegerReply(reply, shape_of(message, size)), 0);
        break;
    case ASK_INTEGER:
        assert_int_equal(LMSendIntegerReply(reply, -123456789), 0);
        break;
    case ASK_CFDATA:
        reply_cfdata(reply);
        break;
    case ASK_NULL_CFDATA:
        assert_int_equal(LMSendCFDataReply(reply, NULL), 0);
        break;
    case ASK_NULL:
        assert_int_equal(LMSendReply(reply, NULL, 0), 0);
        break;
    case ASK_FREES:
        reply_after_freeing(message);
        break;
    case ASK_COUNT:
        assert_int_equal(LMSendIntegerReply(reply, one_ways), 0);
        break;
    case ASK_INFO:
        assert_int_equal(LMSendReply(reply, info, (uint32_t)strlen(info) + 1), 0);
        break;
    case ASK_THREE:
        assert_int_equal(LMSendReply(reply, "abc", 3), 0);
        break;
    case ONE_WAY:
        count_one_way(message);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

static pid_t start(void)
{
    return th_start(&(struct th_service){.name = NAME, .callback = answer, .info = user_info});
}

static bool has_counted(void *expected)
{
    LMConnection connection = th_connection(NAME);
    bool result = th_ask(&connection, ASK_COUNT) == *(int *)expected;
    th_close(&connection);
    return result;
}

/*
 * Intent: the classic pair.
 *   client             service
 *   "hi" ----------->
 *   <----------- "hi"
 */
static void a_call_is_answered(void)
{
    pid_t service = start();
    LMConnection connection = {MACH_PORT_NULL, "test.basics"};
    LMResponseBuffer buffer;
    memset(&buffer, 0xa5, sizeof buffer); /* as uninitialised stack memory */
    assert_int_equal(LMConnectionSendTwoWay(&connection, 100, "hi", 3, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 3);
    assert_string_equal(LMMessageGetData(&buffer.message), "hi");
    assert_int_equal((uintptr_t)LMMessageGetData(&buffer.message) & 15, 0);
    LMResponseBufferFree(&buffer);
    LMResponseBufferFree(&buffer);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
    assert_null(LMMessageGetData(&buffer.message));
    assert_int_not_equal(connection.serverPort, MACH_PORT_NULL);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: an empty message is a complete message, with a reply port and without data.
 *   client             service
 *   nothing -------->  looks at it
 *   <-- what it saw
 */
static void an_empty_message_passes_the_size_test(void)
{
    pid_t service = start();
    LMConnection connection = th_connection(NAME);
    assert_int_equal(th_ask(&connection, ASK_SHAPE), 0x3f);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: data of any size is aligned to 16 bytes, in the message or out of it.
 *   client             service
 *   n bytes -------->  looks at them
 *   <-- what it saw
 */
static void payloads_are_aligned(void)
{
    pid_t service = start();
    LMConnection connection = th_connection(NAME);
    static uint8_t bytes[70001];
    for (uint32_t length = 1; length <= sizeof bytes; length = length * 7 / 2 + 1) {
        LMResponseBuffer buffer;
        assert_int_equal(LMConnectionSendTwoWay(&connection, ASK_SHAPE, bytes + 1, length - 1, &buffer), 0);
        assert_int_equal(LMResponseConsumeInteger(&buffer) & 0xf, 0xf);
    }
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: the integer and CFData forms of a reply, and the empty ones.
 *   client             service
 *   which form? ---->
 *   <------- that one
 */
static void replies_have_many_forms(void)
{
    pid_t service = start();
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    assert_int_equal(th_ask(&connection, ASK_INTEGER), -123456789);
    assert_int_equal(LMConnectionSendTwoWay(&connection, ASK_CFDATA, NULL, 0, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 3);
    assert_memory_equal(LMMessageGetData(&buffer.message), "\x09\x08\x07", 3);
    LMResponseBufferFree(&buffer);
    const SInt32 empty[] = {ASK_NULL_CFDATA, ASK_NULL};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(LMConnectionSendTwoWay(&connection, empty[i], "x", 1, &buffer), 0);
        assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
        assert_null(LMMessageGetData(&buffer.message));
        LMResponseBufferFree(&buffer);
    }
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: only four bytes are an integer.
 *   client                             service
 *   how many bytes? ---------------->
 *   <------------- 3, 0, 5000 or 4
 *   reads 0, 0, 0 and the integer
 */
static void an_integer_of_another_length_is_zero(void)
{
    pid_t service = start();
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(&connection, ASK_THREE, NULL, 0, &buffer), 0);
    assert_int_equal(LMResponseConsumeInteger(&buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 0); /* freed: the length is 0 */
    assert_int_equal(LMConnectionSendTwoWay(&connection, ASK_NULL, NULL, 0, &buffer), 0);
    assert_int_equal(LMResponseConsumeInteger(&buffer), 0);
    static uint8_t bytes[5000] = {1, 2, 3, 4};
    assert_int_equal(LMConnectionSendTwoWay(&connection, 100, bytes, sizeof bytes, &buffer), 0);
    assert_int_equal(LMResponseConsumeInteger(&buffer), 0);
    assert_int_equal(LMConnectionSendTwoWay(&connection, 100, bytes, 4, &buffer), 0);
    assert_int_equal(LMResponseConsumeInteger(&buffer), 0x04030201);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: one-way messages arrive; they cannot be replied to, and trying to has no effect.
 *   client                    service
 *   four one-way forms ---->  replies to nobody
 *   how many? ------------->
 *   <---------------------- 4
 */
static void one_way_messages_have_no_reply_port(void)
{
    pid_t service = start();
    LMConnection connection = th_connection(NAME);
    CFDataRef data = CFDataCreate(kCFAllocatorDefault, (const UInt8 *)"four", 4);
    assert_int_equal(LMConnectionSendOneWay(&connection, ONE_WAY, "1", 1), 0);
    assert_int_equal(LMConnectionSendEmptyOneWay(&connection, ONE_WAY), 0);
    assert_true(LMConnectionSendOneWayData(&connection, ONE_WAY, data));
    assert_true(LMConnectionSendOneWayData(&connection, ONE_WAY, NULL));
    CFRelease(data);
    assert_int_equal(th_ask(&connection, ASK_COUNT), 4); /* one connection keeps the order */
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: CFData as the request of a call, NULL as an empty one.
 *   client             service
 *   data ----------->
 *   <---- the same data
 *   NULL ----------->
 *   <---------- nothing
 */
static void cfdata_can_be_sent(void)
{
    pid_t service = start();
    LMConnection connection = th_connection(NAME);
    CFDataRef data = CFDataCreateWithBytesNoCopy(kCFAllocatorDefault, (const UInt8 *)"data", 4, kCFAllocatorNull);
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWayData(&connection, 100, data, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 4);
    assert_memory_equal(LMMessageGetData(&buffer.message), "data", 4);
    LMResponseBufferFree(&buffer);
    CFRelease(data);
    assert_int_equal(LMConnectionSendTwoWayData(&connection, 100, NULL, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
    LMResponseBufferFree(&buffer);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a callback may free its request, small or large; a request that it does not free is freed after it.
 *   client             service
 *   n bytes -------->  frees them, twice
 *   <-------------- 1
 */
static void a_callback_may_free_its_request(void)
{
    pid_t service = start();
    LMConnection connection = th_connection(NAME);
    static uint8_t bytes[200000];
    const uint32_t lengths[] = {0, 10, 4097, sizeof bytes};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        LMResponseBuffer buffer;
        assert_int_equal(LMConnectionSendTwoWay(&connection, ASK_FREES, bytes, lengths[i], &buffer), 0);
        assert_int_equal(LMResponseConsumeInteger(&buffer), 1);
    }
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: the callback gets the pointer that the service was started with.
 *   client             service
 *   ?  ------------->
 *   <----- what it points to
 */
static void the_user_info_arrives(void)
{
    pid_t service = start();
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(&connection, ASK_INFO, NULL, 0, &buffer), 0);
    assert_string_equal(LMMessageGetData(&buffer.message), user_info);
    LMResponseBufferFree(&buffer);
    th_close(&connection);
    th_stop(service);
}

static void answer_id(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    LMSendReply(message->head.msgh_remote_port, &message->head.msgh_id, sizeof message->head.msgh_id);
}

/*
 * Intent: the id is any SInt32 that the caller chooses.
 *   client             service
 *   id ------------->
 *   <------------- id
 */
static void the_message_id_arrives(void)
{
    pid_t service = th_serve(NAME, answer_id);
    LMConnection connection = th_connection(NAME);
    const SInt32 ids[] = {0, 1, -1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        assert_int_equal(th_ask(&connection, ids[i]), ids[i]);
    th_close(&connection);
    th_stop(service);
}

static void send_one_and_exit(const struct th_service *me)
{
    LMConnection connection = th_connection(NAME);
    assert_int_equal(LMConnectionSendOneWay(&connection, ONE_WAY, me, 8), 0);
    th_ready();
    _exit(0);
}

/*
 * Intent: a queued message is sent, even if the sender exits.
 *   client             service
 *                      (stopped)
 *   one way -------->
 *   exits              goes on: has it
 */
static void a_message_outlives_its_sender(void)
{
    pid_t service = start();
    int expected = 0;
    assert_true(has_counted(&expected));
    th_pause(service);
    pid_t client = th_start(&(struct th_service){.program = send_one_and_exit});
    assert_int_equal(th_reap(client), 0);
    th_resume(service);
    expected = 1;
    th_wait_until(has_counted, &expected);
    th_stop(service);
}

static void start_three(const struct th_service *me)
{
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    assert_int_equal(LMStartService("three.plain", loop, (CFMachPortCallBack)th_echo), 0);
    assert_int_equal(LMStartServiceWithUserInfo("three.info", loop, (CFMachPortCallBack)answer, me->info), 0);
    assert_int_equal(LMCheckInService("three.checked", loop, (CFMachPortCallBack)answer, me->info), 0);
    th_ready();
    th_serve_until_stopped();
}

/*
 * Intent: the three ways to start work: plain, with user info, and check-in without a launcher.
 *   client             one process
 *   call ----------->  service 1
 *   call ----------->  service 2, which answers what it was started with
 *   call ----------->  service 3, likewise
 */
static void services_start_in_three_ways(void)
{
    pid_t service = th_start(&(struct th_service){.program = start_three, .info = user_info});
    const char *names[] = {"three.plain", "three.info", "three.checked"};
    for (int i = 0; i < 3; i++) {
        LMConnection connection = th_connection(names[i]);
        LMResponseBuffer buffer;
        const char *expected = i == 0 ? "me" : user_info;
        assert_int_equal(LMConnectionSendTwoWay(&connection, i == 0 ? 100 : ASK_INFO, "me", 3, &buffer), 0);
        assert_string_equal(LMMessageGetData(&buffer.message), expected);
        LMResponseBufferFree(&buffer);
        th_close(&connection);
    }
    th_stop(service);
}

/*
 * Intent: rocketbootstrap's look-up returns the port that connections use.
 *   client
 *   looks up: a port; gives it up; again: an error
 *   looks up a name that nobody serves: unknown, and no port
 *   unlocks twice: 0; a name that nobody serves yet: 0
 */
static void rocketbootstrap_looks_up(void)
{
    pid_t service = start();
    mach_port_t bootstrap, port = 1;
    assert_int_equal(task_get_bootstrap_port(mach_task_self(), &bootstrap), 0);
    assert_int_equal(rocketbootstrap_look_up(bootstrap, NAME, &port), 0);
    assert_int_not_equal(port, MACH_PORT_NULL);
    assert_int_equal(mach_port_deallocate(mach_task_self(), port), 0);
    assert_int_equal(mach_port_deallocate(mach_task_self(), port), KERN_INVALID_ARGUMENT);
    assert_int_equal(rocketbootstrap_look_up(bootstrap, "test.nobody", &port), BOOTSTRAP_UNKNOWN_SERVICE);
    assert_int_equal(port, MACH_PORT_NULL);
    assert_int_equal(rocketbootstrap_unlock(NAME), 0);
    assert_int_equal(rocketbootstrap_unlock(NAME), 0);
    assert_int_equal(rocketbootstrap_unlock("test.nobody"), 0); /* for the service of that name, when it starts */
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(a_call_is_answered),
        TH_TEST(an_empty_message_passes_the_size_test),
        TH_TEST(payloads_are_aligned),
        TH_TEST(replies_have_many_forms),
        TH_TEST(an_integer_of_another_length_is_zero),
        TH_TEST(one_way_messages_have_no_reply_port),
        TH_TEST(cfdata_can_be_sent),
        TH_TEST(a_callback_may_free_its_request),
        TH_TEST(the_user_info_arrives),
        TH_TEST(the_message_id_arrives),
        TH_TEST(a_message_outlives_its_sender),
        TH_TEST(services_start_in_three_ways),
        TH_TEST(rocketbootstrap_looks_up),
    };
    return TH_MAIN(tests);
}
