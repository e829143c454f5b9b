/* SPDX-License-Identifier: MIT */
/* The ring alone: order, wrap, room, restart, taking and withdrawing, the steps around sleeping, hostile indices. */
#include "harness.h"

enum { SIZE = 8192 };

static union {
    uint8_t bytes[SIZE];
    uint64_t align;
} storage __attribute__((aligned(4096)));
static struct lm_ring_words words;
static struct lm_producer producer;
static struct lm_consumer consumer;

/* Sets up a ring of SIZE bytes that has already carried `start` bytes. */
static void set_up(uint64_t start)
{
    struct lm_ring ring = {&words, storage.bytes, SIZE, 0};
    memset(&words, 0, sizeof words);
    memset(&storage, 0, sizeof storage);
    words.head = words.tail = (uint32_t)start;
    producer = (struct lm_producer){ring, start, start, SIZE, 0};
    consumer = (struct lm_consumer){ring, start, start, true};
}

static struct lm_frame frame_of(uint32_t length, uint32_t token)
{
    return (struct lm_frame){LM_FRAME_READY, LM_FRAME_MESSAGE, length, token, 0, length, 0, 0};
}

/* Puts a frame; returns 1 if it is in the ring, otherwise as lm_producer_prepare. */
static int put(uint32_t length, uint32_t token)
{
    static uint8_t payload[SIZE];
    struct lm_frame frame = frame_of(length, token);
    int result = lm_producer_prepare(&producer, lm_frame_extent(length));
    if (result != 1)
        return result;
    th_fill(payload, length, token);
    lm_producer_put(&producer, &frame, payload);
    lm_producer_publish(&producer);
    assert_true(lm_producer_valid(&producer));
    return 1;
}

static void expect(uint32_t length, uint32_t token)
{
    static uint8_t payload[SIZE];
    struct lm_frame frame;
    assert_int_equal(lm_consumer_peek(&consumer, &frame), 1);
    assert_int_equal(frame.length, length);
    assert_int_equal(frame.token, token);
    lm_consumer_copy(&consumer, &frame, payload);
    assert_true(th_is_filled(payload, length, token));
    assert_true(lm_consumer_take(&consumer));
    lm_consumer_advance(&consumer, &frame);
    assert_true(lm_consumer_valid(&consumer));
}

static void expect_empty(void)
{
    struct lm_frame frame;
    assert_int_equal(lm_consumer_peek(&consumer, &frame), 0);
}

static void frames_come_out_in_order(void)
{
    set_up(0);
    expect_empty();
    for (uint32_t token = 1; token <= 20; token++)
        assert_int_equal(put(token * 7, token), 1);
    for (uint32_t token = 1; token <= 20; token++)
        expect(token * 7, token);
    expect_empty();
}

static void frames_wrap_at_every_place(void)
{
    for (uint32_t start = 0; start < SIZE; start += LM_FRAME_ALIGN)
        for (uint32_t length = 0; length < 200; length += 33) {
            set_up(start);
            assert_int_equal(put(length, 1), 1);
            assert_int_equal(put(length + 1, 2), 1); /* the second can't restart: the ring isn't empty */
            expect(length, 1);
            expect(length + 1, 2);
            expect_empty();
        }
}

static void indices_wrap_at_32_bits(void)
{
    set_up(0xffffff00u);
    for (uint32_t token = 1; token <= 300; token++) {
        assert_int_equal(put(token % 100, token), 1);
        assert_int_equal(put(token % 90, token), 1);
        expect(token % 100, token);
        expect(token % 90, token);
    }
    assert_true(producer.tail > UINT32_MAX);
}

static void a_full_ring_has_no_room(void)
{
    set_up(0);
    uint32_t count = 0;
    while (put(96, count) == 1)
        count++;
    assert_int_equal(count, SIZE / 128);
    assert_int_equal(put(0, 1), 0);
    expect(96, 0);
    assert_int_equal(put(97, 1), 0); /* 192 bytes into 128 */
    assert_int_equal(put(96, count), 1);
    for (uint32_t token = 1; token <= count; token++)
        expect(96, token);
    expect_empty();
}

static void a_frame_may_fill_the_ring(void)
{
    set_up(4096);
    assert_int_equal(put(SIZE - 32, 5), 1);
    assert_int_equal(put(0, 6), 0);
    expect(SIZE - 32, 5);
    assert_int_equal(put(0, 6), 1);
}

/* Each message is consumed before the next one is put: only one or two pages are ever touched, whatever the sizes. */
static void a_quiet_ring_stays_on_its_first_pages(void)
{
    static uint8_t big[16 * 4096] __attribute__((aligned(4096)));
    const uint32_t strides[] = {1, 32, 64, 128, 200};
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++) {
        set_up(0);
        producer.ring.bytes = consumer.ring.bytes = big;
        producer.ring.size = consumer.ring.size = sizeof big;
        producer.reserved = 0;
        for (uint32_t token = 1; token <= 3000; token++) {
            uint32_t length = strides[i] == 1 ? token % 64 : strides[i] - 32;
            assert_int_equal(put(length, token), 1);
            expect(length, token);
        }
        assert_true(producer.tail > sizeof big);
        assert_in_range(producer.reserved, 1, 2 * LM_RING_WARM);
    }
}

/* Whatever restarts the producer has made: the messages that fit, while none is consumed, fill the ring's size. */
static void a_ring_holds_its_size_in_every_state(void)
{
    const uint32_t lengths[] = {0, 32, 100, 1500, 5000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        set_up(0);
        for (uint32_t consumed = 0; consumed < 300; consumed++) {
            uint32_t count = 0;
            while (put(32, count) == 1)
                count++;
            assert_int_equal(count, SIZE / 64);
            for (uint32_t token = 0; token < count; token++)
                expect(32, token);
            for (uint32_t token = 0; token <= consumed % 5; token++) {
                assert_int_equal(put(lengths[i], token), 1);
                expect(lengths[i], token);
            }
        }
    }
}

/* All pieces of one message fit, one after another, while none is consumed: no piece waits. */
static void a_message_in_pieces_does_not_wait(void)
{
    const uint32_t lengths[] = {4096, 4095, 2049, 256, 2100, 3000, 511, 1024}; /* 4096: the whole ring, with headers */
    const uint32_t part = 64;
    set_up(0);
    for (uint32_t token = 1; token <= 500; token++) {
        uint32_t length = lengths[token % (sizeof lengths / sizeof *lengths)];
        for (uint32_t sent = 0; sent < length; sent += part)
            assert_int_equal(put(lm_min32(part, length - sent), token), 1);
        for (uint32_t sent = 0; sent < length; sent += part)
            expect(lm_min32(part, length - sent), token);
    }
}

static void what_is_unpublished_is_not_seen(void)
{
    set_up(0);
    struct lm_frame frame = frame_of(0, 1);
    assert_int_equal(lm_producer_prepare(&producer, lm_frame_extent(0)), 1);
    lm_producer_put(&producer, &frame, "");
    expect_empty();
    lm_producer_publish(&producer);
    expect(0, 1);
}

static void withdrawing_and_taking_exclude_each_other(void)
{
    struct lm_frame frame;
    set_up(0);
    assert_int_equal(put(10, 1), 1);
    assert_int_equal(put(10, 2), 1);
    assert_int_equal(lm_producer_taken(&producer, 0), 0);
    assert_int_equal(lm_producer_withdraw(&producer, 0), 1); /* first: the producer */
    assert_int_equal(lm_consumer_peek(&consumer, &frame), 1);
    assert_false(lm_consumer_take(&consumer));
    lm_consumer_advance(&consumer, &frame);
    assert_int_equal(lm_consumer_peek(&consumer, &frame), 1);
    assert_true(lm_consumer_take(&consumer)); /* first: the consumer */
    assert_int_equal(lm_producer_taken(&producer, 64), 1);
    assert_int_equal(lm_producer_withdraw(&producer, 64), 0);
    lm_consumer_advance(&consumer, &frame);
    assert_int_equal(lm_producer_taken(&producer, 64), 1); /* the index has passed it */
    assert_int_equal(lm_producer_withdraw(&producer, 64), 0);
}

/* S1, S2 and P5, P6 in each order that matters. */
static void a_sleeping_consumer_is_rung_once(void)
{
    set_up(0);
    assert_int_equal(put(0, 1), 1);
    assert_false(lm_producer_claim_bell(&producer)); /* the consumer does not sleep */
    expect(0, 1);
    assert_true(lm_consumer_announce_sleep(&consumer));
    assert_int_equal(put(0, 2), 1);
    assert_true(lm_producer_claim_bell(&producer));
    assert_false(lm_producer_claim_bell(&producer));
    assert_false(lm_consumer_announce_sleep(&consumer)); /* P5 before S2 */
    assert_int_equal(words.consumer_sleeps, 0);
    expect(0, 2);
    assert_true(lm_consumer_announce_sleep(&consumer));
    lm_consumer_awake(&consumer);
    assert_int_equal(put(0, 3), 1);
    assert_false(lm_producer_claim_bell(&producer));
}

/* W1, W2 and C5, C6 likewise. */
static void a_waiting_producer_is_rung_once(void)
{
    set_up(0);
    while (put(96, 1) == 1)
        ;
    assert_false(lm_consumer_claim_bell(&consumer)); /* the producer does not wait */
    assert_int_equal(lm_producer_announce(&producer, 128), LM_ROOM_FULL);
    expect(96, 1);
    assert_true(lm_consumer_claim_bell(&consumer));
    assert_false(lm_consumer_claim_bell(&consumer));
    assert_int_equal(lm_producer_announce(&producer, 128), LM_ROOM_READY); /* C5 before W2 */
    assert_int_equal(words.producer_waits, 1);                             /* another thread may be waiting too */
}

/* The rest of a dead consumer's ring is read separately: waiting callers still see how far it had come, and nothing
 * more can be put into it. */
static void the_rest_of_a_dead_ring_is_read_aside(void)
{
    struct lm_ring_words own;
    struct lm_frame frame;
    set_up(0);
    assert_int_equal(put(8, 1), 1);
    struct lm_consumer rest = lm_consumer_of_rest(&producer, &own);
    words.tail = 4096;
    assert_int_equal(lm_consumer_peek(&rest, &frame), 1);
    assert_true(lm_consumer_take(&rest));
    lm_consumer_advance(&rest, &frame);
    assert_int_equal(lm_consumer_peek(&rest, &frame), 0);
    assert_int_equal(words.head, 0);
    assert_int_equal(lm_producer_withdraw(&producer, 0), 0); /* it was consumed */
}

static void a_hostile_tail_is_refused(void)
{
    const uint32_t offsets[] = {1, 32, 63, SIZE + 64, SIZE + 1, 0x80000000u, (uint32_t)-64, (uint32_t)-1};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct lm_frame frame;
        set_up(64);
        words.tail = 64 + offsets[i];
        assert_int_equal(lm_consumer_peek(&consumer, &frame), -EPROTO);
        assert_true(lm_consumer_valid(&consumer));
    }
}

static void a_hostile_head_is_refused(void)
{
    const uint32_t offsets[] = {1, 32, (uint32_t)-64, SIZE, 192, 0x80000000u};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        set_up(64);
        assert_int_equal(put(0, 1), 1);
        assert_int_equal(put(0, 2), 1); /* 64 to 192 */
        words.head = 64 + offsets[i];
        assert_int_equal(lm_producer_refresh(&producer), -EPROTO);
        assert_int_equal(lm_producer_announce(&producer, SIZE), -EPROTO);
        assert_true(lm_producer_valid(&producer));
    }
}

static void a_head_does_not_go_back(void)
{
    set_up(0);
    assert_int_equal(put(0, 1), 1);
    assert_int_equal(put(0, 2), 1);
    expect(0, 1);
    assert_int_equal(lm_producer_refresh(&producer), 0);
    words.head = 0;
    assert_int_equal(lm_producer_refresh(&producer), -EPROTO);
}

static void headers_are_validated(void)
{
    const struct {
        struct lm_frame frame;
        uint64_t in_ring;
        bool valid;
    } cases[] = {
        {{.kind = 1}, 64, true},
        {{.kind = 1, .length = 32, .total = 32}, 64, true},
        {{.kind = 1, .length = 33, .total = 33}, 64, false},
        {{.kind = 1, .length = 33, .total = 33}, 128, true},
        {{.kind = 1, .length = 65536, .total = 65536}, 65600, true},
        {{.kind = 1, .length = 65537, .total = 65537}, 1u << 20, false},
        {{.kind = 1, .length = UINT32_MAX, .total = UINT32_MAX}, UINT32_MAX, false},
        {{.kind = 1, .length = UINT32_MAX - 30, .total = UINT32_MAX}, 64, false},
        {{.kind = 1, .length = 8, .total = 7}, 64, false},
        {{.kind = 1, .length = 8, .total = 9}, 64, true}, /* a last piece */
        {{.kind = 2, .length = 8, .total = 8}, 64, false},
        {{.kind = 2, .length = 0, .total = 8}, 64, false},
        {{.kind = 2, .length = 8, .total = 9}, 64, true},
        {{.kind = 0}, 64, false},
        {{.kind = 4}, 64, false},
        {{.kind = 6}, 64, false},
        {{.kind = 6, .length = 16, .total = 1}, 64, true},
        {{.kind = 6, .length = 16, .total = 1, .descriptors = 1}, 64, true},
        {{.kind = 6, .length = 16, .total = 1, .descriptors = 253}, 64, true},
        {{.kind = 6, .length = 16, .total = 1, .descriptors = 254}, 64, false},
        {{.kind = 6, .length = 16, .total = 0}, 64, false},
        {{.kind = 6, .length = 17, .total = 17}, 64, false},
        {{.kind = 7}, 64, false},
        {{.kind = 7, .identifier = 1}, 64, true},
        {{.kind = 7, .identifier = 1, .length = 1, .total = 1}, 64, false},
        {{.kind = 7, .identifier = 1, .descriptors = 1}, 64, false},
        {{.kind = 8}, 64, false},
        {{.kind = 127}, 64, false},
        {{.kind = 128}, 64, true},
        {{.kind = UINT32_MAX}, 64, true},
        {{.kind = 1, .descriptors = 253}, 64, true},
        {{.kind = 1, .descriptors = 254}, 64, false},
        {{.kind = 2, .length = 8, .total = 9, .descriptors = 1}, 64, false},
        {{.kind = 5, .descriptors = 1}, 64, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lm_frame_valid(&cases[i].frame, cases[i].in_ring) != cases[i].valid)
            fail_msg("case %zu", i);
}

/* Every origin leads into the ring, and it is loaded only when the ring was empty. */
static void a_hostile_origin_harms_nobody(void)
{
    const uint32_t origins[] = {64, SIZE - 64, SIZE, 0x80000000u, (uint32_t)-64}, refused[] = {1, 32, (uint32_t)-1};
    struct lm_frame frame;
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        set_up(0);
        assert_int_equal(put(0, 1), 1);
        assert_int_equal(put(0, 2), 1);
        expect(0, 1);
        words.origin = origins[i];
        expect(0, 2);
        words.tail = 192;
        int found = lm_consumer_peek(&consumer, &frame); /* whatever is there */
        assert_true(found == 1 || found == -EPROTO);
        assert_true(lm_consumer_valid(&consumer));
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        set_up(0);
        assert_int_equal(put(0, 1), 1);
        words.origin = refused[i];
        assert_int_equal(lm_consumer_peek(&consumer, &frame), -EPROTO);
    }
}

static void sizes_are_checked(void)
{
    const uint32_t good[] = {4096, 8192, 524288, 16777216},
                   bad[] = {0, 1, 2048, 4095, 4097, 6144, 33554432, 0x80000000u};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(lm_ring_size_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(lm_ring_size_valid(bad[i]));
    assert_int_equal(lm_frame_extent(0), 64);
    assert_int_equal(lm_frame_extent(1), 64);
    assert_int_equal(lm_frame_extent(32), 64);
    assert_int_equal(lm_frame_extent(33), 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(frames_come_out_in_order),
        TH_TEST(frames_wrap_at_every_place),
        TH_TEST(indices_wrap_at_32_bits),
        TH_TEST(a_full_ring_has_no_room),
        TH_TEST(a_frame_may_fill_the_ring),
        TH_TEST(a_quiet_ring_stays_on_its_first_pages),
        TH_TEST(a_ring_holds_its_size_in_every_state),
        TH_TEST(a_message_in_pieces_does_not_wait),
        TH_TEST(what_is_unpublished_is_not_seen),
        TH_TEST(withdrawing_and_taking_exclude_each_other),
        TH_TEST(a_sleeping_consumer_is_rung_once),
        TH_TEST(a_waiting_producer_is_rung_once),
        TH_TEST(the_rest_of_a_dead_ring_is_read_aside),
        TH_TEST(a_hostile_tail_is_refused),
        TH_TEST(a_hostile_head_is_refused),
        TH_TEST(a_head_does_not_go_back),
        TH_TEST(headers_are_validated),
        TH_TEST(a_hostile_origin_harms_nobody),
        TH_TEST(sizes_are_checked),
    };
    return TH_MAIN(tests);
}
