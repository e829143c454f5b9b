/* SPDX-License-Identifier: MIT */
/* File descriptors travel with their own message, in both directions; descriptors that are not taken are closed. */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char NAME[] = "test.descriptors";

enum { SUM = 1, IGNORE, GIVE, KEEP, GIVE_KEPT, LIMIT_ME };
enum { KEPT_MAX = 400 };

/* --- Identifiable descriptors --- */

/* Returns a file that contains the number. */
static int numbered(int32_t number)
{
    int file = memfd_create("numbered", MFD_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, &number, sizeof number, 0), sizeof number);
    return file;
}

/* Returns the number in the message's descriptor, and closes the descriptor. */
static int32_t take_number(LMMessage *message, uint32_t index)
{
    int32_t number = -1;
    int file = LMMessageTakeDescriptor(message, index);
    assert_true(file >= 0);
    assert_true((fcntl(file, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(LMMessageTakeDescriptor(message, index), -1);
    assert_int_equal(pread(file, &number, sizeof number, 0), sizeof number);
    close(file);
    return number;
}

static int32_t take_sum(LMMessage *message)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < LMMessageGetDescriptorCount(message); i++)
        sum += take_number(message, i);
    return sum;
}

/* Files 1 to count. */
static int *make_files(uint32_t count)
{
    int *files = malloc(count * sizeof *files);
    for (uint32_t i = 0; i < count; i++)
        files[i] = numbered((int32_t)i + 1);
    return files;
}

static void close_files(int *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        close(files[i]);
    free(files);
}

/* --- The service --- */

static mach_port_t kept[KEPT_MAX];
static int32_t kept_numbers[KEPT_MAX];
static uint32_t kept_count;

/* Replies with as many files as the request's number says, and as many bytes as the request has. */
static void give(LMMessage *message)
{
    uint32_t count;
    memcpy(&count, LMMessageGetData(message), sizeof count);
    int *files = make_files(count);
    kern_return_t status = LMSendReplyWithDescriptors(message->head.msgh_remote_port, LMMessageGetData(message),
                                                      LMMessageGetDataLength(message), files, count);
    assert_int_equal(status, count > LM_DESCRIPTORS_MAX ? KERN_INVALID_ARGUMENT : 0);
    close_files(files, count);
}

static void keep(LMMessage *message)
{
    memcpy(&kept_numbers[kept_count], LMMessageGetData(message), 4);
    kept[kept_count++] = message->head.msgh_remote_port;
}

/* Each kept call gets its number and a file with it. */
static void give_kept(mach_port_t reply)
{
    uint32_t count = kept_count;
    for (uint32_t i = 0; i < count; i++) {
        int file = numbered(kept_numbers[i]);
        assert_int_equal(LMSendReplyWithDescriptors(kept[i], &kept_numbers[i], 4, &file, 1), 0);
        close(file);
    }
    LMSendIntegerReply(reply, (int)count);
}

/* Limits another process's descriptors. On valgrind a process cannot limit itself. */
static void limit_descriptors(pid_t process, rlim_t count)
{
    struct rlimit limit;
    assert_int_equal(prlimit(process, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = count;
    assert_int_equal(prlimit(process, RLIMIT_NOFILE, &limit, NULL), 0);
}

static void limit_sender(LMMessage *message)
{
    LMSender sender = {0, 0, 0};
    uint32_t count;
    memcpy(&count, LMMessageGetData(message), sizeof count);
    assert_int_equal(LMMessageGetSender(message, &sender), 0);
    limit_descriptors(sender.pid, count);
    LMSendIntegerReply(message->head.msgh_remote_port, 0);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    switch (message->head.msgh_id) {
    case SUM:
        LMSendIntegerReply(message->head.msgh_remote_port, take_sum(message));
        break;
    case IGNORE:
        LMSendIntegerReply(message->head.msgh_remote_port, (int)LMMessageGetDescriptorCount(message));
        break;
    case GIVE:
        give(message);
        break;
    case KEEP:
        keep(message);
        break;
    case GIVE_KEPT:
        give_kept(message->head.msgh_remote_port);
        break;
    case LIMIT_ME:
        limit_sender(message);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

/* --- The client --- */

static int32_t ask_with(LMConnectionRef connection, SInt32 id, const int *files, uint32_t count)
{
    LMResponseBuffer response;
    assert_int_equal(
        LMConnectionSendTwoWayWithDescriptors(connection, id, NULL, 0, files, count, LM_TIMEOUT_NEVER, &response), 0);
    assert_int_equal(LMMessageGetDescriptorCount(&response.message), 0);
    return LMResponseConsumeInteger(&response);
}

/*
 * Intent: descriptors arrive with their message, from none to the maximum; the sender's stay open.
 *   client --0, 1, 2, 253 files--> service adds up what is in them
 */
static void descriptors_arrive(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    const uint32_t counts[] = {0, 1, 2, LM_DESCRIPTORS_MAX};
    int32_t before = th_ask(&connection, TH_COUNT_DESCRIPTORS);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint32_t n = counts[i];
        int *files = make_files(n);
        assert_int_equal(ask_with(&connection, SUM, files, n), n * (n + 1) / 2);
        close_files(files, n);
    }
    assert_int_equal(th_ask(&connection, TH_COUNT_DESCRIPTORS), before);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: descriptors that the callback does not take are closed after it.
 *   client --2 files--> service takes none
 */
static void descriptors_not_taken_are_closed(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    int *files = make_files(2);
    int32_t before = th_ask(&connection, TH_COUNT_DESCRIPTORS);
    assert_int_equal(ask_with(&connection, IGNORE, files, 2), 2);
    assert_int_equal(LMConnectionSendOneWayWithDescriptors(&connection, IGNORE, "x", 1, files, 2, LM_TIMEOUT_NEVER), 0);
    assert_int_equal(th_ask(&connection, TH_COUNT_DESCRIPTORS), before);
    close_files(files, 2);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: replies carry them too, with data of any size; unused ones are closed with the response.
 *   client --GIVE n--> service --n files, the data--> client
 */
static void replies_carry_descriptors(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    const uint32_t lengths[] = {4, 5000, 70000, 1000000};
    const uint32_t counts[] = {1, 3, LM_DESCRIPTORS_MAX, 2};
    for (size_t i = 0; i < 4; i++) {
        LMResponseBuffer response;
        uint8_t *data = malloc(lengths[i]);
        th_fill(data, lengths[i], i);
        memcpy(data, &counts[i], 4);
        assert_int_equal(LMConnectionSendTwoWay(&connection, GIVE, data, lengths[i], &response), 0);
        assert_int_equal(LMMessageGetDataLength(&response.message), lengths[i]);
        assert_memory_equal(LMMessageGetData(&response.message), data, lengths[i]);
        assert_int_equal(LMMessageGetDescriptorCount(&response.message), counts[i]);
        assert_int_equal(take_number(&response.message, counts[i] - 1), counts[i]);
        assert_int_equal(LMMessageTakeDescriptor(&response.message, counts[i]), -1);
        LMResponseBufferFree(&response);
        LMResponseBufferFree(&response);
        assert_int_equal(LMMessageGetDescriptorCount(&response.message), 0);
        free(data);
    }
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: large requests carry them, and arrive whole.
 *   client --1 MB, 3 files--> service
 */
static void large_messages_carry_descriptors(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    uint8_t *data = calloc(1, 1000000);
    int *files = make_files(3);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(LMConnectionSendTwoWayWithDescriptors(&connection, SUM, data, 1000000, files, 3,
                                                               LM_TIMEOUT_NEVER, &response),
                         0);
        assert_int_equal(LMResponseConsumeInteger(&response), 6);
    }
    close_files(files, 3);
    free(data);
    th_close(&connection);
    th_stop(service);
}

static void expect_invalid(LMConnectionRef connection, const int *files, uint32_t count)
{
    LMResponseBuffer response;
    assert_int_equal(
        LMConnectionSendTwoWayWithDescriptors(connection, SUM, NULL, 0, files, count, LM_TIMEOUT_NEVER, &response),
        KERN_INVALID_ARGUMENT);
    LMResponseBufferFree(&response);
    assert_int_equal(LMConnectionSendOneWayWithDescriptors(connection, SUM, NULL, 0, files, count, LM_TIMEOUT_NEVER),
                     KERN_INVALID_ARGUMENT);
}

/* Intent: too many descriptors, a missing array, and closed descriptors are errors, and nothing is sent. */
static void bad_descriptors_are_errors(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    int *files = make_files(LM_DESCRIPTORS_MAX + 1);
    const int closed[] = {files[0], 9999}, negative[] = {-1};
    uint32_t too_many = LM_DESCRIPTORS_MAX + 1;
    expect_invalid(&connection, files, too_many);
    expect_invalid(&connection, NULL, 1);
    expect_invalid(&connection, closed, 2);
    expect_invalid(&connection, negative, 1);
    assert_int_equal(LMConnectionSendTwoWay(&connection, GIVE, &too_many, 4, &response), MACH_RCV_PORT_DIED);
    assert_int_equal(ask_with(&connection, SUM, files, 2), 3);
    close_files(files, LM_DESCRIPTORS_MAX + 1);
    th_close(&connection);
    th_stop(service);
}

struct sender {
    LMConnectionRef connection;
    int32_t first, rounds;
};

static void *send_numbered(void *argument)
{
    const struct sender *me = argument;
    for (int32_t i = me->first; i < me->first + me->rounds; i++) {
        int file = numbered(i);
        assert_int_equal(ask_with(me->connection, SUM, &file, 1), i);
        close(file);
    }
    return NULL;
}

static void send_from_threads(LMConnectionRef connection, int threads, int32_t rounds)
{
    pthread_t thread[200];
    struct sender sender[200];
    for (int i = 0; i < threads; i++) {
        sender[i] = (struct sender){connection, i * 10000, rounds};
        assert_int_equal(pthread_create(&thread[i], NULL, send_numbered, &sender[i]), 0);
    }
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
}

/*
 * Intent: each thread's message has its own descriptor.
 *   8 threads --file i--> service: i
 */
static void threads_dont_mix_descriptors(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    send_from_threads(&connection, 8, (int32_t)th_rounds(1000));
    th_close(&connection);
    th_stop(service);
}

enum { SENDERS = 200 };

static void *resume_when_all_wait(void *service)
{
    th_await_others_asleep(SENDERS + 1);
    th_resume(*(pid_t *)service);
    return NULL;
}

/*
 * Intent: descriptors beyond the socket's capacity wait, as for room in the ring.
 *   service stopped
 *   200 threads --file-->
 *   resumed: all answered
 */
static void a_full_socket_makes_senders_wait(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    pthread_t thread;
    th_check_echo(&connection);
    th_pause(service);
    assert_int_equal(pthread_create(&thread, NULL, resume_when_all_wait, &service), 0);
    send_from_threads(&connection, SENDERS, 2);
    pthread_join(thread, NULL);
    th_close(&connection);
    th_stop(service);
}

struct receiver {
    uint32_t calls_back;
    uint32_t right;
};

static void check_number(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info)
{
    struct receiver *receiver = info;
    (void)call;
    assert_int_equal(status, 0);
    receiver->calls_back++;
    int32_t number = take_number(&response->message, 0);
    receiver->right += number == LMResponseConsumeInteger(response);
}

/*
 * Intent: a client that does not read for a while gets all of them in the end, each with its reply, and the service
 * does not wait.
 *   client --KEEP 1..400--> service
 *   another --GIVE_KEPT--> service answers all
 *   client reads
 */
static void a_slow_client_gets_its_descriptors(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    struct receiver receiver = {0, 0};
    th_expect_more_descriptors(2); /* the loop's */
    for (int32_t i = 0; i < KEPT_MAX; i++)
        assert_int_equal(LMConnectionSendTwoWayAsync(&connection, KEEP, &i, 4, LM_TIMEOUT_NEVER, CFRunLoopGetCurrent(),
                                                     check_number, &receiver, NULL),
                         0);
    assert_int_equal(th_ask(&connection, GIVE_KEPT), KEPT_MAX);
    CFRunLoopRun();
    assert_int_equal(receiver.calls_back, KEPT_MAX);
    assert_int_equal(receiver.right, KEPT_MAX);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a withdrawn call withdraws its descriptors.
 *   service stopped
 *   client --file--> MACH_SEND_TIMED_OUT
 *   resumed: the next message has its own, and none is left over
 */
static void a_withdrawn_message_closes_its_descriptors(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    int *files = make_files(3);
    int32_t before = th_ask(&connection, TH_COUNT_DESCRIPTORS);
    th_pause(service);
    assert_int_equal(LMConnectionSendTwoWayWithDescriptors(&connection, SUM, NULL, 0, files, 2, 20, &response),
                     MACH_SEND_TIMED_OUT);
    assert_int_equal(LMConnectionSendOneWayWithDescriptors(&connection, SUM, NULL, 0, files, 1, 20),
                     MACH_SEND_TIMED_OUT);
    th_resume(service);
    assert_int_equal(ask_with(&connection, SUM, &files[2], 1), 3);
    assert_int_equal(th_ask(&connection, TH_COUNT_DESCRIPTORS), before);
    close_files(files, 3);
    th_close(&connection);
    th_stop(service);
}

static void *replace_when_it_waits(void *service)
{
    th_await_others_asleep(1);
    th_kill(*(pid_t *)service);
    *(pid_t *)service = th_serve(NAME, answer);
    return NULL;
}

/*
 * Intent: messages that a dead service did not take go to its successor with their descriptors, if it starts in time.
 *   service stopped
 *   client --files-->
 *   killed and restarted
 *   answered, or an error that says: never taken
 */
static void descriptors_move_to_a_restarted_service(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    pthread_t thread;
    int *files = make_files(2);
    kern_return_t status = MACH_SEND_INVALID_DEST;
    th_check_echo(&connection);
    th_pause(service);
    assert_int_equal(pthread_create(&thread, NULL, replace_when_it_waits, &service), 0);
    while (status == MACH_SEND_INVALID_DEST || status == BOOTSTRAP_UNKNOWN_SERVICE)
        status =
            LMConnectionSendTwoWayWithDescriptors(&connection, SUM, NULL, 0, files, 2, LM_TIMEOUT_NEVER, &response);
    assert_int_equal(status, 0);
    assert_int_equal(LMResponseConsumeInteger(&response), 3);
    pthread_join(thread, NULL);
    close_files(files, 2);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a service without room for descriptors returns an error, and continues.
 *   service may have 20
 *   client --40 files--> KERN_RESOURCE_SHORTAGE
 *   client --1 file--> ok
 */
static void a_service_without_room_says_so(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    int *files = make_files(40);
    limit_descriptors(service, 20);
    int32_t before = th_ask(&connection, TH_COUNT_DESCRIPTORS);
    assert_int_equal(
        LMConnectionSendTwoWayWithDescriptors(&connection, SUM, NULL, 0, files, 40, LM_TIMEOUT_NEVER, &response),
        KERN_RESOURCE_SHORTAGE);
    assert_int_equal(LMConnectionSendOneWayWithDescriptors(&connection, SUM, NULL, 0, files, 40, LM_TIMEOUT_NEVER),
                     KERN_RESOURCE_SHORTAGE);
    assert_int_equal(ask_with(&connection, SUM, files, 1), 1);
    assert_int_equal(th_ask(&connection, TH_COUNT_DESCRIPTORS), before);
    close_files(files, 40);
    th_close(&connection);
    th_stop(service);
}

static void limit_me(LMConnectionRef connection, uint32_t count)
{
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(connection, LIMIT_ME, &count, sizeof count, &response), 0);
    LMResponseBufferFree(&response);
}

/*
 * Intent: the same at the client.
 *   client may have few
 *   client --GIVE 40--> MACH_RCV_PORT_DIED, and goes on
 */
static void a_client_without_room_is_told(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    const uint32_t forty = 40;
    struct rlimit before;
    th_check_echo(&connection);
    getrlimit(RLIMIT_NOFILE, &before);
    limit_me(&connection, th_descriptors() + 8);
    assert_int_equal(LMConnectionSendTwoWay(&connection, GIVE, &forty, 4, &response), MACH_RCV_PORT_DIED);
    th_check_echo(&connection);
    limit_me(&connection, (uint32_t)before.rlim_cur);
    assert_int_equal(LMConnectionSendTwoWay(&connection, GIVE, &forty, 4, &response), 0);
    assert_int_equal(take_number(&response.message, 39), 40);
    LMResponseBufferFree(&response);
    th_close(&connection);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(descriptors_arrive),
        TH_TEST(descriptors_not_taken_are_closed),
        TH_TEST(replies_carry_descriptors),
        TH_TEST(large_messages_carry_descriptors),
        TH_TEST(bad_descriptors_are_errors),
        TH_TEST(threads_dont_mix_descriptors),
        TH_TEST(a_full_socket_makes_senders_wait),
        TH_TEST(a_slow_client_gets_its_descriptors),
        TH_TEST(a_withdrawn_message_closes_its_descriptors),
        TH_TEST(descriptors_move_to_a_restarted_service),
        TH_TEST(a_service_without_room_says_so),
        TH_TEST(a_client_without_room_is_told),
    };
    return TH_MAIN(tests);
}
