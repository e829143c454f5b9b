/* SPDX-License-Identifier: MIT */
/* Lent buffers in both directions: they arrive, they are shared or private as they should be, and they have one
 * owner. */
#include "harness.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "test.buffers";

enum { CHECK = 1, WHERE, IS_SHARED, PICTURE, PICTURE_FOR_NOBODY, KEEP, NOTE, FORK };
enum { TAKEN, NOTES }; /* words */
enum { MEGABYTE = 1 << 20, MANY = 20, NOBODY = 65534 };

struct order {
    uint32_t length;
    uint32_t seed;
};

static const uint32_t SIZES[] = {1, 8, 4095, 4096, 4097, 65536, 65537, MEGABYTE, 16 * MEGABYTE + 1};

/* --- The service --- */

static bool is_whole(LMMessage *message)
{
    uint32_t length = LMMessageGetDataLength(message);
    return th_is_filled(LMMessageGetData(message), length, length);
}

static void send_picture(LMMessage *message)
{
    struct order order;
    LMBufferRef buffer;
    mach_port_t reply = message->head.msgh_remote_port;
    memcpy(&order, LMMessageGetData(message), sizeof order);
    assert_int_equal(LMReplyCreateBuffer(reply, order.length, &buffer), 0);
    assert_int_equal(LMBufferGetLength(buffer), order.length);
    th_fill(LMBufferGetBytes(buffer), order.length, order.seed);
    assert_int_equal(LMSendReplyBuffer(reply, &buffer), 0);
    assert_null(buffer);
}

/* Uses the port up, but not the buffer. */
static void send_to_nobody(LMMessage *message)
{
    LMBufferRef buffer, none = NULL;
    mach_port_t reply = message->head.msgh_remote_port;
    assert_int_equal(LMReplyCreateBuffer(reply, 100, &buffer), 0);
    LMSendIntegerReply(reply, 1);
    assert_int_equal(LMSendReplyBuffer(reply, &buffer), MACH_SEND_INVALID_RIGHT);
    assert_non_null(buffer);
    assert_int_equal(LMReplyCreateBuffer(reply, 100, &none), MACH_SEND_INVALID_RIGHT);
    assert_null(none);
    assert_int_equal(LMSendReplyBuffer(MACH_PORT_NULL, &buffer), 0);
    assert_null(buffer);
}

static void fork_a_reader(LMMessage *message)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct lm_segment *segment = message->lent;
        lm_retain(&segment->object);
        bool whole = is_whole(message);
        LMResponseBufferFree((LMResponseBuffer *)message);
        bool kept = segment->shared->lent == 1;
        lm_release(&segment->object);
        _exit(whole && kept ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    LMSendIntegerReply(message->head.msgh_remote_port, status == 0 && is_whole(message));
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    mach_port_t reply = message->head.msgh_remote_port;
    uint64_t address = (uint64_t)(uintptr_t)LMMessageGetData(message);
    switch (message->head.msgh_id) {
    case CHECK:
        LMSendIntegerReply(reply, is_whole(message));
        break;
    case WHERE:
        LMResponseBufferFree((LMResponseBuffer *)message); /* so that it is given back before the answer */
        LMSendReply(reply, &address, sizeof address);
        break;
    case IS_SHARED:
        assert_true(is_whole(message));
        LMSendIntegerReply(reply, message->lent != NULL);
        break;
    case PICTURE:
        send_picture(message);
        break;
    case PICTURE_FOR_NOBODY:
        send_to_nobody(message);
        break;
    case KEEP:
        th_add(TAKEN);
        break;
    case NOTE:
        assert_true(is_whole(message));
        th_add(NOTES);
        break;
    case FORK:
        fork_a_reader(message);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

/* --- The client --- */

static LMBufferRef filled(LMConnectionRef connection, uint32_t length)
{
    LMBufferRef buffer;
    assert_int_equal(LMConnectionCreateBuffer(connection, length, &buffer), 0);
    assert_int_equal(LMBufferGetLength(buffer), length);
    th_fill(LMBufferGetBytes(buffer), length, length);
    return buffer;
}

static int32_t ask_with(LMConnectionRef connection, SInt32 id, LMBufferRef *buffer)
{
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWayBuffer(connection, id, buffer, &response), 0);
    assert_null(*buffer);
    return LMResponseConsumeInteger(&response);
}

static int32_t ask_with_new(LMConnectionRef connection, SInt32 id, uint32_t length)
{
    LMBufferRef buffer = filled(connection, length);
    return ask_with(connection, id, &buffer);
}

static void get_picture(LMConnectionRef connection, uint32_t length, uint32_t seed, LMResponseBuffer *response)
{
    struct order order = {length, seed};
    assert_int_equal(LMConnectionSendTwoWay(connection, PICTURE, &order, sizeof order, response), 0);
    assert_int_equal(LMMessageGetDataLength(&response->message), length);
    assert_true(th_is_filled(LMMessageGetData(&response->message), length, seed));
}

/*
 * Intent: a buffer's contents arrive, whatever their size, in both directions, repeatedly.
 *   client                       service
 *   buffer, filled, call ----->  checks it
 *   order -------------------->  buffer, filled
 *   checks it <---------------
 */
static void buffers_arrive_in_every_size(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    for (unsigned round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
            LMResponseBuffer response;
            assert_int_equal(ask_with_new(&connection, CHECK, SIZES[i]), 1);
            get_picture(&connection, SIZES[i], round, &response);
            LMResponseBufferFree(&response);
        }
    th_close(&connection);
    th_stop(service);
}

static uint64_t where(LMConnectionRef connection, LMBufferRef *buffer)
{
    LMResponseBuffer response;
    uint64_t address;
    assert_int_equal(LMConnectionSendTwoWayBuffer(connection, WHERE, buffer, &response), 0);
    assert_int_equal(LMMessageGetDataLength(&response.message), sizeof address);
    memcpy(&address, LMMessageGetData(&response.message), sizeof address);
    LMResponseBufferFree(&response);
    return address;
}

/*
 * Intent: a returned buffer is reused, mapped at the same place, and costs no descriptor.
 *   client                          service
 *   buffer at A, call --------->    data at B
 *   buffer at A again, call --->    data at B again
 */
static void a_buffer_is_used_again(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    LMBufferRef buffer = filled(&connection, MEGABYTE);
    void *bytes = LMBufferGetBytes(buffer);
    uint64_t address = where(&connection, &buffer);
    unsigned ours = th_descriptors();
    int32_t theirs = th_ask(&connection, TH_COUNT_DESCRIPTORS);
    for (unsigned i = 0; i < th_rounds(1000); i++) {
        buffer = filled(&connection, MEGABYTE - i % 100);
        assert_ptr_equal(LMBufferGetBytes(buffer), bytes);
        assert_true(where(&connection, &buffer) == address);
    }
    assert_int_equal(th_descriptors(), ours);
    assert_int_equal(th_ask(&connection, TH_COUNT_DESCRIPTORS), theirs);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: more replies than there are buffers can be held at once; the others come as copies, and none changes
 * afterwards.
 *   client                    service
 *   20 orders ------------>   a buffer each
 *   holds 20 answers, then frees them, and again
 */
static void replies_beyond_the_buffers_are_copies(void)
{
    static LMResponseBuffer responses[MANY];
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    for (unsigned round = 0; round < 3; round++) {
        unsigned shared = 0;
        for (uint32_t i = 0; i < MANY; i++)
            get_picture(&connection, 100000 + i, 100 * round + i, &responses[i]);
        for (uint32_t i = 0; i < MANY; i++) {
            LMMessage *message = &responses[i].message;
            assert_true(th_is_filled(LMMessageGetData(message), 100000 + i, 100 * round + i));
            shared += message->lent != NULL;
            LMResponseBufferFree(&responses[i]);
        }
        assert_int_equal(shared, 8);
    }
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a request that was not taken in time leaves the buffer to its sender; one that was taken does not.
 *   client                       service
 *                                stopped
 *   buffer, call, 50 ms ---->
 *   time-out, buffer is back
 *                                goes on
 *   the same buffer, call ---->  checks it
 *   another, likewise, is freed and used again
 *   buffer, call, 50 ms ------>  keeps it
 *   time-out, buffer is gone
 */
static void a_buffer_comes_back_with_its_message(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    th_check_echo(&connection);
    LMBufferRef buffer = filled(&connection, MEGABYTE);
    th_pause(service);
    assert_int_equal(LMConnectionSendTwoWayBufferWithTimeout(&connection, CHECK, &buffer, 50, &response),
                     MACH_SEND_TIMED_OUT);
    assert_int_equal(LMConnectionSendOneWayBufferWithTimeout(&connection, NOTE, &buffer, 50), MACH_SEND_TIMED_OUT);
    th_resume(service);
    assert_non_null(buffer);
    assert_int_equal(ask_with(&connection, CHECK, &buffer), 1);
    buffer = filled(&connection, 4 * MEGABYTE); /* no service is running yet */
    void *bytes = LMBufferGetBytes(buffer);
    th_pause(service);
    assert_int_equal(LMConnectionSendTwoWayBufferWithTimeout(&connection, CHECK, &buffer, 50, &response),
                     MACH_SEND_TIMED_OUT);
    th_resume(service);
    LMBufferFree(buffer);
    buffer = filled(&connection, 4 * MEGABYTE);
    assert_ptr_equal(LMBufferGetBytes(buffer), bytes); /* it is free again */
    LMBufferFree(buffer);
    buffer = filled(&connection, MEGABYTE);
    assert_int_equal(LMConnectionSendTwoWayBufferWithTimeout(&connection, KEEP, &buffer, 200, &response),
                     MACH_RCV_TIMED_OUT);
    assert_null(buffer);
    assert_int_equal(th_get(TAKEN), 1);
    assert_int_equal(th_get(NOTES), 0);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: one-way buffers arrive in order with other messages, and belong to the service when the send returns.
 *   client                     service
 *   buffer, one-way, ... --->  checks each
 */
static void one_way_buffers_arrive(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    unsigned rounds = th_rounds(500);
    th_check_echo(&connection);
    for (unsigned i = 0; i < rounds; i++) {
        LMBufferRef buffer = filled(&connection, 5000 + i);
        assert_int_equal(LMConnectionSendOneWayBuffer(&connection, NOTE, &buffer), 0);
        assert_null(buffer);
    }
    th_check_echo(&connection);
    assert_int_equal(th_get(NOTES), rounds);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a buffer outlives its service, and goes to the next one as a copy.
 *   client                  service
 *   buffer
 *                           killed, restarted
 *   the buffer, call ---->  checks it
 */
static void a_buffer_outlives_its_service(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    LMBufferRef buffer = filled(&connection, MEGABYTE);
    th_kill(service);
    service = th_serve(NAME, answer);
    assert_int_equal(ask_with(&connection, CHECK, &buffer), 1);
    assert_int_equal(ask_with_new(&connection, CHECK, MEGABYTE), 1);
    th_close(&connection);
    th_stop(service);
}

/* Returns whether a buffer goes to that service without a copy. */
static bool is_shared(LMConnectionRef connection)
{
    th_check_echo(connection); /* before the welcome, the client does not know */
    return ask_with_new(connection, IS_SHARED, MEGABYTE) == 1;
}

static void serve_with_options(const struct th_service *me)
{
    assert_int_equal(
        LMStartServiceWithOptions(me->name, CFRunLoopGetCurrent(), (CFMachPortCallBack)answer, NULL, me->info, NULL),
        0);
    th_ready();
    th_serve_until_stopped();
}

/*
 * Intent: buffers are shared between processes of one user, unless the receiver wants copies.
 *   client                    services
 *   buffer, call ---------->  gets the buffer
 *   buffer, call ---------->  with privateCopies: a copy
 *   order ----------------->  buffer
 *   LMSetPrivateCopies: the reply is a copy
 */
static void copies_are_the_receivers_choice(void)
{
    static LMServiceOptions options = {.privateCopies = true};
    struct th_service private_one = {.name = "test.private", .program = serve_with_options, .info = &options};
    pid_t service = th_serve(NAME, answer), other = th_start(&private_one);
    LMConnection connection = th_connection(NAME), private_connection = th_connection("test.private");
    LMResponseBuffer response;
    assert_true(is_shared(&connection));
    assert_false(is_shared(&private_connection));
    get_picture(&connection, MEGABYTE, 1, &response);
    assert_non_null(response.message.lent);
    LMResponseBufferFree(&response);
    th_close(&connection);
    LMSetPrivateCopies(true);
    get_picture(&connection, MEGABYTE, 1, &response);
    assert_null(response.message.lent);
    LMResponseBufferFree(&response);
    LMSetPrivateCopies(false);
    th_close(&connection);
    th_close(&private_connection);
    th_stop(other);
    th_stop(service);
}

/*
 * Intent: a child that a callback forks reads the data, and frees it without giving it back on its parent's behalf.
 *   client             service                    child
 *   buffer, call --->  forks ------------------>  checks the data, frees the message
 *                      checks the data
 */
static void a_forked_child_reads_the_data(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask_with_new(&connection, FORK, MEGABYTE), 1);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: invalid uses are refused with an error.
 *   client                              service
 *   no length, no buffer, no service
 *   more than the service takes ----->  stays the client's
 */
static void misuse_is_refused(void)
{
    static struct th_service small = {.name = "test.small", .callback = answer, .largest = MEGABYTE};
    pid_t service = th_start(&small);
    LMConnection connection = th_connection("test.small"), nobody = th_connection("test.nobody");
    LMBufferRef buffer = NULL;
    LMResponseBuffer response;
    assert_int_equal(LMConnectionCreateBuffer(&connection, 0, &buffer), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionCreateBuffer(&connection, 1, NULL), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionCreateBuffer(NULL, 1, &buffer), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionCreateBuffer(&nobody, 1, &buffer), BOOTSTRAP_UNKNOWN_SERVICE);
    assert_null(buffer);
    assert_int_equal(LMConnectionSendOneWayBuffer(&connection, NOTE, &buffer), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSendTwoWayBuffer(&connection, NOTE, NULL, &response), KERN_INVALID_ARGUMENT);
    th_check_echo(&connection);
    buffer = filled(&connection, 2 * MEGABYTE);
    assert_int_equal(LMConnectionSendTwoWayBuffer(&connection, CHECK, &buffer, &response), MACH_SEND_TOO_LARGE);
    assert_non_null(buffer);
    LMBufferFree(buffer);
    LMBufferFree(NULL);
    mach_port_t port = connection.serverPort;
    assert_int_equal(ask_with_new(&connection, CHECK, 100), 1);
    assert_int_equal(connection.serverPort, port); /* the message that was too large did not come back as a lease */
    assert_int_equal(th_ask(&connection, PICTURE_FOR_NOBODY), 1);
    assert_int_equal(ask_with_new(&connection, CHECK, MEGABYTE), 1);
    th_close(&connection);
    th_stop(service);
}

static void be_somebody_else(const struct th_service *me)
{
    LMConnection connection = th_connection(NAME);
    (void)me;
    assert_int_equal(setresgid(NOBODY, NOBODY, NOBODY), 0);
    assert_int_equal(setresuid(NOBODY, NOBODY, NOBODY), 0);
    assert_false(is_shared(&connection));
    LMResponseBuffer response;
    get_picture(&connection, MEGABYTE, 1, &response);
    assert_null(response.message.lent);
    LMResponseBufferFree(&response);
    th_ready();
}

/*
 * Intent: between users everything is copied, in both directions.
 *   another user           service
 *   buffer, call ------->  gets a copy
 *   order -------------->  buffer
 *   gets a copy
 */
static void another_users_buffers_are_copied(void)
{
    if (geteuid() != 0)
        fail_msg("this test needs root to change its user");
    assert_int_equal(chmod(getenv("LM_RUNTIME_DIR"), 0755), 0);
    pid_t service = th_start(&(struct th_service){.name = NAME, .program = serve_with_options});
    assert_int_equal(th_reap(th_start(&(struct th_service){.program = be_somebody_else})), 0);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(buffers_arrive_in_every_size),
        TH_TEST(a_buffer_is_used_again),
        TH_TEST(replies_beyond_the_buffers_are_copies),
        TH_TEST(a_buffer_comes_back_with_its_message),
        TH_TEST(one_way_buffers_arrive),
        TH_TEST(a_buffer_outlives_its_service),
        TH_TEST(copies_are_the_receivers_choice),
        TH_TEST(a_forked_child_reads_the_data),
        TH_TEST(misuse_is_refused),
        TH_TEST(another_users_buffers_are_copied),
    };
    return TH_MAIN(tests);
}
