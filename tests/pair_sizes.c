/* SPDX-License-Identifier: MIT */
/* Every size travels both ways unchanged; beyond a limit there is an error and no other effect. */
#include "harness.h"

#include <pthread.h>

static const char NAME[] = "test.sizes";

enum { MIB = 1024 * 1024, CHECK_AND_RETURN = 1 << 20, RETURN_LENGTH, TINY };

/* Ids from CHECK_AND_RETURN - 1 down are seeds: the request must be filled with the seed; the reply has the same
 * length, filled with seed + 1. */
static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    uint32_t length = LMMessageGetDataLength(message);
    SInt32 id = message->head.msgh_id;
    if (id == RETURN_LENGTH)
        memcpy(&length, LMMessageGetData(message), sizeof length);
    else if (id >= CHECK_AND_RETURN || id < 0) {
        th_echo(port, message, size, info);
        return;
    } else if (!th_is_filled(LMMessageGetData(message), length, (uint64_t)id))
        return; /* the caller sees a dead reply port */
    LMResponseBufferFree((LMResponseBuffer *)message);
    void *bytes = malloc(length + 1u);
    assert_non_null(bytes);
    th_fill(bytes, length, (uint64_t)id + 1);
    (void)LMSendReply(message->head.msgh_remote_port, length > 0 ? bytes : NULL, length);
    free(bytes);
}

static pid_t start(uint32_t largest)
{
    return th_start(&(struct th_service){.name = NAME, .callback = answer, .largest = largest});
}

static void check_size(LMConnectionRef connection, uint32_t length, SInt32 seed)
{
    LMResponseBuffer buffer;
    void *bytes = malloc(length + 1u);
    assert_non_null(bytes);
    th_fill(bytes, length, (uint64_t)seed);
    kern_return_t result = LMConnectionSendTwoWay(connection, seed, length > 0 ? bytes : NULL, length, &buffer);
    free(bytes);
    assert_int_equal(result, 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), length);
    assert_true(length == 0 || ((uintptr_t)LMMessageGetData(&buffer.message) & 15) == 0);
    assert_true(th_is_filled(LMMessageGetData(&buffer.message), length, (uint64_t)seed + 1));
    LMResponseBufferFree(&buffer);
}

/*
 * Intent: the sizes around every limit.
 *   client                      service
 *   n bytes of seed --------->  checks them
 *   <---- n bytes of seed + 1
 *   checks them
 */
static void every_size_travels_both_ways(void)
{
    static const uint32_t sizes[] = {0,    1,    3,     4,     31,    32,     33,      4064, 4095,
                                     4096, 4097, 65535, 65536, 65537, 131072, MIB - 1, MIB,  40 * MIB};
    pid_t service = start(0);
    LMConnection connection = th_connection(NAME);
    for (unsigned round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            if (round == 0 || sizes[i] <= 2 * MIB)
                check_size(&connection, sizes[i], (SInt32)(round * 100 + i));
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: any length from 0 to some 10,000, so that frames end at every place of the ring.
 *   client             service
 *   n bytes -------->  checks them
 *   <---------- n bytes
 */
static void small_sizes_pass_every_place_of_the_ring(void)
{
    pid_t service = start(0);
    LMConnection connection = th_connection(NAME);
    unsigned step = th_quick() ? 97 : 1;
    for (uint32_t length = 0; length < 10000; length += step)
        check_size(&connection, length, (SInt32)length);
    th_close(&connection);
    th_stop(service);
}

static uint32_t huge(void)
{
    if (!th_quick())
        return 300u * MIB;
    print_message("quick run: 40 MiB in place of 300 MiB\n");
    return 40u * MIB;
}

/*
 * Intent: hundreds of MiB, the limits raised on both sides.
 *   client             service
 *   300 MiB -------->  checks them
 *   <---------- 300 MiB
 */
static void a_raised_limit_lets_300_mib_through(void)
{
    pid_t service = start(400u * MIB);
    LMSetLargestReply(400u * MIB);
    LMConnection connection = th_connection(NAME);
    check_size(&connection, huge(), 5);
    check_size(&connection, 4, 6);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: a one-way message may be large too; the data belong to the sender again when the call returns.
 *   client                       service
 *   20 MiB, returns ---------->  checks them
 *   overwrites and frees them
 *   4 bytes ------------------>  answers
 */
static void a_large_one_way_message_arrives(void)
{
    pid_t service = start(0);
    LMConnection connection = th_connection(NAME);
    void *bytes = malloc(20 * MIB);
    assert_non_null(bytes);
    th_fill(bytes, 20 * MIB, 9);
    assert_int_equal(LMConnectionSendOneWay(&connection, 9, bytes, 20 * MIB), 0);
    memset(bytes, 0, 20 * MIB);
    free(bytes);
    check_size(&connection, 4, 1);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: over the service's limit is an error before anything is sent.
 *   client                     service (limit n)
 *   n bytes ---------------->  answers
 *   n + 1 bytes: too large
 *   4 bytes, n bytes ------->  answers
 */
static void over_the_services_limit_is_too_large(void)
{
    enum { LIMIT = 100000 };
    pid_t service = start(LIMIT);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    static uint8_t bytes[LIMIT + 1];
    check_size(&connection, LIMIT, 1);
    assert_int_equal(LMConnectionSendTwoWay(&connection, 1, bytes, LIMIT + 1, &buffer), MACH_SEND_TOO_LARGE);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
    LMResponseBufferFree(&buffer);
    assert_int_equal(LMConnectionSendOneWay(&connection, 1, bytes, LIMIT + 1), MACH_SEND_TOO_LARGE);
    check_size(&connection, 4, 2);
    check_size(&connection, LIMIT, 3);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: the same for the default limit, and for the first message of a channel.
 *   client                           service
 *   256 MiB and a byte: too large
 *   4 bytes ---------------------->  answers
 */
static void over_the_default_limit_is_too_large(void)
{
    pid_t service = start(0);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    void *bytes = malloc((size_t)LM_LARGEST_MESSAGE + 1);
    assert_non_null(bytes);
    assert_int_equal(LMConnectionSendTwoWay(&connection, 1, bytes, LM_LARGEST_MESSAGE + 1, &buffer),
                     MACH_SEND_TOO_LARGE);
    free(bytes);
    check_size(&connection, 4, 2);
    th_close(&connection);
    th_stop(service);
}

/* Intent: the range of the service's limit. */
static void the_limit_has_a_range(void)
{
    CFMachPortRef port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)answer, NULL, NULL);
    assert_non_null(port);
    assert_int_equal(LMServiceSetLargestMessage(port, 65535), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMServiceSetLargestMessage(port, 0), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMServiceSetLargestMessage(port, 65536), 0);
    assert_int_equal(LMServiceSetLargestMessage(port, UINT32_MAX), 0);
    CFMachPortInvalidate(port);
    CFRelease(port);
}

/*
 * Intent: over the client's limit, its wait ends.
 *   client (limit n)       service
 *   n + 1, please ------>  reply: too large
 *   dead port
 *   n, please ---------->
 *   <---------- n bytes
 */
static void over_the_clients_limit_ends_the_wait(void)
{
    enum { LIMIT = 100000 };
    pid_t service = start(0);
    LMSetLargestReply(LIMIT);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    uint32_t length = LIMIT + 1;
    assert_int_equal(LMConnectionSendTwoWay(&connection, RETURN_LENGTH, &length, 4, &buffer), MACH_RCV_PORT_DIED);
    LMResponseBufferFree(&buffer);
    length = LIMIT;
    assert_int_equal(LMConnectionSendTwoWay(&connection, RETURN_LENGTH, &length, 4, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), LIMIT);
    LMResponseBufferFree(&buffer);
    th_close(&connection);
    th_stop(service);
}

static LMConnection shared = {MACH_PORT_NULL, "test.sizes"};
static uint32_t large_is_under_way;

static void *call_large(void *count)
{
    __atomic_store_n(&large_is_under_way, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < *(unsigned *)count; i++)
        check_size(&shared, huge(), (SInt32)i);
    __atomic_store_n(&large_is_under_way, 0, __ATOMIC_RELEASE);
    return NULL;
}

/*
 * Intent: a large transfer does not block other callers. Before the large call ends:
 *   thread A --------- large request ------------------>  service  ------- large reply --------->
 *   thread B   --4 bytes-->   service --4 bytes-->   again and again
 */
static void a_small_call_passes_a_large_one(void)
{
    pid_t service = start(400u * MIB);
    LMSetLargestReply(400u * MIB);
    check_size(&shared, 4, 1);
    pthread_t thread;
    unsigned count = 1, during = 0;
    assert_int_equal(pthread_create(&thread, NULL, call_large, &count), 0);
    while (!__atomic_load_n(&large_is_under_way, __ATOMIC_ACQUIRE))
        ;
    while (__atomic_load_n(&large_is_under_way, __ATOMIC_ACQUIRE)) {
        check_size(&shared, 4, 2);
        during += __atomic_load_n(&large_is_under_way, __ATOMIC_ACQUIRE) != 0;
    }
    pthread_join(thread, NULL);
    assert_true(during > 1); /* more than one that got in before the first byte */
    th_close(&shared);
    th_stop(service);
}

static void *call_medium(void *argument)
{
    for (unsigned i = 0; i < th_rounds(100); i++)
        check_size(&shared, 200000 + i * 1000, (SInt32)(i + *(unsigned *)argument * 1000));
    return NULL;
}

/*
 * Intent: several large messages at once take turns and do not mix.
 *   threads A to D           service
 *   ~200 kB of each ------>  checks them
 *   <------ to each its own
 */
static void large_calls_of_several_threads_take_turns(void)
{
    pid_t service = start(0);
    pthread_t threads[4];
    unsigned numbers[4];
    for (unsigned i = 0; i < 4; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, call_medium, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    th_close(&shared);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(every_size_travels_both_ways),
        TH_TEST(small_sizes_pass_every_place_of_the_ring),
        TH_TEST(a_raised_limit_lets_300_mib_through),
        TH_TEST(a_large_one_way_message_arrives),
        TH_TEST(over_the_services_limit_is_too_large),
        TH_TEST(over_the_default_limit_is_too_large),
        TH_TEST(the_limit_has_a_range),
        TH_TEST(over_the_clients_limit_ends_the_wait),
        TH_TEST(a_small_call_passes_a_large_one),
        TH_TEST(large_calls_of_several_threads_take_turns),
    };
    return TH_MAIN(tests);
}
