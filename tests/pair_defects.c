/* SPDX-License-Identifier: MIT */
/* Regression tests for old defects that the other files do not cover: leaks after a timeout, lengths over 32 bits, and
 * a lack of memory while messages are being kept. */
#include <stdlib.h>

/* Counts the library's allocations, and lets them fail. */
void *counted_malloc(size_t size);
void *counted_calloc(size_t count, size_t size);
void *counted_realloc(void *block, size_t size);
void *counted_aligned_alloc(size_t alignment, size_t size);
void counted_free(void *block);
#define malloc(size)                   counted_malloc(size)
#define calloc(count, size)            counted_calloc(count, size)
#define realloc(block, size)           counted_realloc(block, size)
#define aligned_alloc(alignment, size) counted_aligned_alloc(alignment, size)
#define free(block)                    counted_free(block)
int test_before_call(long number);
#define LM_TEST_SYSCALL test_before_call
#include "harness.h"
#undef malloc
#undef calloc
#undef realloc
#undef aligned_alloc
#undef free

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static const char NAME[] = "test.defects";

enum { KEEP = 1, ANSWER_KEPT, NOTE, ECHO = 77 };
enum { TAKEN, NOTE_COUNT, DISORDERS }; /* words */
enum { KEPT_MOST = 200, LARGE = 300000 };

static LMConnection shared = {MACH_PORT_NULL, "test.defects"};

/* --- Memory and system calls of this side --- */

static long blocks;                    /* that the library holds */
static size_t refused_from = SIZE_MAX; /* allocations of this size or more fail */
static bool lacks_pages;               /* only `pages_granted` calls for pages of a channel succeed */
static int pages_granted, madvise_calls;

void *counted_malloc(size_t size)
{
    void *block = size >= refused_from ? NULL : malloc(size);
    blocks += block != NULL;
    return block;
}

void *counted_calloc(size_t count, size_t size)
{
    void *block = calloc(count, size);
    blocks += block != NULL;
    return block;
}

void *counted_realloc(void *block, size_t size)
{
    void *moved = realloc(block, size);
    blocks += block == NULL && moved != NULL;
    return moved;
}

void *counted_aligned_alloc(size_t alignment, size_t size)
{
    void *block = aligned_alloc(alignment, size);
    blocks += block != NULL;
    return block;
}

void counted_free(void *block)
{
    blocks -= block != NULL;
    free(block);
}

int test_before_call(long number)
{
    if (number == SYS_memfd_create)
        madvise_calls = 0;
    madvise_calls += number == SYS_madvise;
    return lacks_pages && number == SYS_madvise && madvise_calls > pages_granted ? ENOMEM : 0;
}

/* --- The service --- */

static mach_port_t kept[KEPT_MOST];
static uint32_t kept_count;

static void answer_kept(void)
{
    static uint8_t large[LARGE];
    for (uint32_t i = 0; i < kept_count; i++)
        assert_int_equal(LMSendReply(kept[i], large, i % 2 == 0 ? 8 : LARGE), 0);
    kept_count = 0;
}

static void note(LMMessage *message)
{
    uint32_t number;
    memcpy(&number, LMMessageGetData(message), sizeof number);
    th_add(NOTE_COUNT);
    if (number != th_get(NOTE_COUNT))
        th_add(DISORDERS);
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    switch (message->head.msgh_id) {
    case KEEP:
        kept[kept_count++] = message->head.msgh_remote_port;
        th_add(TAKEN);
        break;
    case ANSWER_KEPT:
        answer_kept();
        LMSendReply(message->head.msgh_remote_port, NULL, 0);
        break;
    case NOTE:
        note(message);
        break;
    default:
        th_echo(port, message, size, info);
    }
}

static void call(SInt32 id, uint32_t milliseconds, kern_return_t expected)
{
    static const uint8_t bytes[5000];
    LMResponseBuffer buffer;
    memset(&buffer, 0xa5, sizeof buffer);
    assert_int_equal(LMConnectionSendTwoWayWithTimeout(&shared, id, bytes, sizeof bytes, milliseconds, &buffer),
                     expected);
    LMResponseBufferFree(&buffer);
}

/* --- Time-outs --- */

/* Makes echo calls that may time out at any point, also in the middle of the reply. */
static void give_up_large_calls(unsigned count)
{
    static uint8_t large[4 << 20];
    for (unsigned i = 0; i < count; i++) {
        LMResponseBuffer buffer;
        (void)LMConnectionSendTwoWayWithTimeout(&shared, ECHO, large, sizeof large, i % 8, &buffer);
        LMResponseBufferFree(&buffer);
    }
}

static void time_out(pid_t service, unsigned count)
{
    th_pause(service);
    for (unsigned i = 0; i < count; i++)
        call(KEEP, 0, MACH_SEND_TIMED_OUT);
    th_resume(service);
    for (unsigned i = 0; i < count; i++) {
        uint32_t taken = th_get(TAKEN);
        LMResponseBuffer buffer;
        while (th_get(TAKEN) == taken) /* until one is taken before it times out */
            (void)LMConnectionSendTwoWayWithTimeout(&shared, KEEP, "x", 1, 1, &buffer);
    }
    call(ANSWER_KEPT, LM_TIMEOUT_NEVER, 0);
    give_up_large_calls(count / 2);
}

/*
 * Intent: calls that time out, taken or not, leak neither memory nor descriptors; neither do late replies.
 *   client                 service
 *                          (stopped)
 *   calls: not taken       goes on
 *   calls: time out -----> keeps them all
 *   call ----------------> answers all of those, 8 bytes or 300 kB
 *   <--------------------- and this
 *   echoes of 4 MiB, 0 to 7 ms: some time out in the middle
 *   as many blocks and descriptors as before
 */
static void a_time_out_leaves_nothing_behind(void)
{
    pid_t service = th_serve(NAME, answer);
    time_out(service, 50); /* until tables have grown to their size */
    long blocks_before = blocks;
    int32_t theirs = th_ask(&shared, TH_COUNT_DESCRIPTORS);
    unsigned ours = th_descriptors();
    for (int i = 0; i < 5; i++)
        time_out(service, th_quick() ? 10 : 50);
    assert_int_equal(blocks, blocks_before);
    assert_int_equal(th_descriptors(), ours);
    assert_int_equal(th_ask(&shared, TH_COUNT_DESCRIPTORS), theirs);
    th_close(&shared);
    assert_true(blocks < blocks_before);
    th_stop(service);
}

/* --- Lengths --- */

static void reply_over_32_bits(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    static const UInt8 byte = 1;
    if (message->head.msgh_id == ECHO) {
        th_echo(port, message, size, info);
        return;
    }
    CFDataRef data = CFDataCreateWithBytesNoCopy(kCFAllocatorDefault, &byte, (CFIndex)1 << 32, kCFAllocatorNull);
    assert_int_equal(LMSendCFDataReply(message->head.msgh_remote_port, data), MACH_SEND_TOO_LARGE);
    CFRelease(data);
}

/*
 * Intent: a length over 32 bits is an error and is not truncated, in requests and in replies.
 *   client                          service
 *   2^32 bytes: too large
 *   2^32 + 1 bytes: too large
 *   call ------------------------>  reply of 2^32 bytes: too large
 *   dead port
 */
static void a_length_over_32_bits_is_an_error(void)
{
    static const UInt8 byte = 1; /* the other bytes are never read */
    pid_t service = th_serve(NAME, reply_over_32_bits);
    for (CFIndex more = 0; more < 2; more++) {
        LMResponseBuffer buffer;
        CFDataRef data = CFDataCreateWithBytesNoCopy(NULL, &byte, ((CFIndex)1 << 32) + more, kCFAllocatorNull);
        assert_non_null(data);
        assert_false(LMConnectionSendOneWayData(&shared, ECHO, data));
        assert_int_equal(LMConnectionSendTwoWayData(&shared, ECHO, data, &buffer), MACH_SEND_TOO_LARGE);
        assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
        LMResponseBufferFree(&buffer);
        CFRelease(data);
    }
    call(KEEP, LM_TIMEOUT_NEVER, MACH_RCV_PORT_DIED);
    call(ECHO, LM_TIMEOUT_NEVER, 0);
    th_close(&shared);
    th_stop(service);
}

/* --- Messages that are kept --- */

static kern_return_t send_note(uint32_t number)
{
    return LMConnectionSendOneWay(&shared, NOTE, &number, sizeof number);
}

/* Until `end_of_lack`, messages left for the next service cannot be moved. */
static void keep_over_a_lack(void (*lack)(void), void (*end_of_lack)(void))
{
    pid_t service = th_serve(NAME, answer);
    th_check_echo(&shared);
    th_pause(service);
    for (uint32_t i = 1; i <= 50; i++)
        assert_int_equal(send_note(i), 0);
    th_kill(service);
    service = th_serve(NAME, answer);
    lack();
    uint32_t number = 51;
    while (send_note(number) == 0) /* until the death is noticed */
        number++;
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_note(number), KERN_RESOURCE_SHORTAGE);
    end_of_lack();
    assert_int_equal(send_note(number), 0);
    call(ECHO, LM_TIMEOUT_NEVER, 0);
    assert_int_equal(th_get(NOTE_COUNT), number);
    assert_int_equal(th_get(DISORDERS), 0);
    th_close(&shared);
    th_stop(service);
}

static void refuse_memory(void)
{
    refused_from = LM_PIECE_MAX;
}

static void grant_memory(void)
{
    refused_from = SIZE_MAX;
}

/*
 * Intent: messages that a dead service left are kept when memory runs out while they are moved, and go first later.
 *   client                    service
 *                             (stopped)
 *   1 ... 50 -------------->  killed; another
 *   51, ... until one fails: resource shortage
 *   n --------------------->  1 ... n
 */
static void kept_messages_survive_a_lack_of_memory(void)
{
    keep_over_a_lack(refuse_memory, grant_memory);
}

static void refuse_pages(void)
{
    lacks_pages = true;
}

static void grant_pages(void)
{
    lacks_pages = false;
}

/* Intent: the same when pages run out, at any page of the new channel. The timeline is the one above. */
static void kept_messages_survive_a_lack_of_pages(void)
{
    for (pages_granted = 0; pages_granted < 3; pages_granted++) {
        keep_over_a_lack(refuse_pages, grant_pages);
        th_set(NOTE_COUNT, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(a_time_out_leaves_nothing_behind),
        TH_TEST(a_length_over_32_bits_is_an_error),
        TH_TEST(kept_messages_survive_a_lack_of_memory),
        TH_TEST(kept_messages_survive_a_lack_of_pages),
    };
    return TH_MAIN(tests);
}
