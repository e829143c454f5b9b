/* SPDX-License-Identifier: MIT */
/*
 * Hostile peers in both roles, built on raw sockets and memory after docs/PROTOCOL.md: the structures below are the
 * document's, not the library's. Whatever they do, the victim neither crashes nor hangs, and serves the next honest
 * peer.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char NAME[] = "test.victim";

enum { MAGIC = 0x4c4d5331, RING = 65536, RINGS = 4096, MEMORY = RINGS + 2 * RING };

struct hello {
    uint32_t magic, lowest, highest, ignorable, required, request_size, reply_size, largest_reply, reserved[8];
};

struct refusal {
    uint32_t magic, status, lowest, highest, features, reserved[3];
};

struct words {
    uint32_t tail, pad1[15], producer_waits, pad2[15], head, pad3[15], consumer_sleeps, pad4[15];
};

struct memory {
    struct words requests, replies;
    uint32_t welcomed, largest_message, version, lowest, highest, ignorable, required;
};

struct frame {
    uint32_t state, kind, length, token;
    int32_t identifier;
    uint32_t total, descriptors, deadline;
};

struct peer {
    int socket;
    struct memory *memory; /* NULL: not mapped */
    size_t size;
    uint8_t *requests, *replies;
};

static const struct hello GOOD_HELLO = {MAGIC, 1, 1, 0, 0, RING, RING, 1u << 20, {0}};

static struct sockaddr_un address_of(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.50s/locked/%.40s", getenv("LM_RUNTIME_DIR"), name);
    return address;
}

static int make_memory(size_t size, int seals)
{
    int memory = memfd_create("evil", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(memory >= 0);
    assert_int_equal(ftruncate(memory, (off_t)size), 0);
    if (seals != 0)
        assert_int_equal(fcntl(memory, F_ADD_SEALS, seals), 0);
    return memory;
}

static int make_good_memory(void)
{
    return make_memory(MEMORY, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

/* Sends one record with that many copies of the descriptor. */
static void send_record(int socket, const void *record, size_t length, int descriptor, unsigned copies)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } control;
    struct iovec vector = {(void *)(uintptr_t)record, length};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    memset(&control, 0, sizeof control);
    if (copies > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(copies * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(copies * sizeof(int));
        for (unsigned i = 0; i < copies; i++)
            memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &descriptor, sizeof(int));
    }
    assert_true(sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)length || errno == EPIPE || errno == ECONNRESET);
}

static int connect_raw(void)
{
    struct sockaddr_un address = address_of(NAME);
    int evil = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(evil >= 0);
    assert_int_equal(connect(evil, (struct sockaddr *)&address, sizeof address), 0);
    return evil;
}

/* Returns whether the peer closes the connection in time; reads and drops whatever else it sends. */
static bool is_closed(int socket)
{
    char bytes[64];
    struct pollfd poller = {.fd = socket, .events = POLLIN};
    uint64_t end = th_hung_at();
    while (poll(&poller, 1, 1000) >= 0 && th_now_ms() < end) {
        ssize_t length = recv(socket, bytes, sizeof bytes, MSG_DONTWAIT);
        if (length == 0 || (length < 0 && errno == ECONNRESET))
            return true;
    }
    return false;
}

static void expect_closed(int socket)
{
    assert_true(is_closed(socket));
    close(socket);
}

static void map(struct peer *peer, int memory)
{
    peer->size = MEMORY;
    peer->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    assert_ptr_not_equal(peer->memory, MAP_FAILED);
    peer->requests = (uint8_t *)peer->memory + RINGS;
    peer->replies = peer->requests + RING;
}

/* Opens a channel as an honest client does up to here. */
static struct peer open_channel(void)
{
    struct peer peer = {.socket = connect_raw()};
    int memory = make_good_memory();
    map(&peer, memory);
    send_record(peer.socket, &GOOD_HELLO, sizeof GOOD_HELLO, memory, 1);
    close(memory);
    return peer;
}

static void close_peer(struct peer *peer)
{
    munmap(peer->memory, peer->size);
    close(peer->socket);
}

static void store(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static void bell(int socket)
{
    (void)send(socket, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

enum { UNREAD_ANSWERS, RECORD_SIZE, TAKES_FIRST }; /* words */

static void echo(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)size, (void)info;
    if (th_answer_standard(message))
        return;
    if (LMSendReply(message->head.msgh_remote_port, LMMessageGetData(message), LMMessageGetDataLength(message)) ==
        MACH_SEND_NO_BUFFER)
        th_add(UNREAD_ANSWERS);
}

/* The victim, and an honest client that checks that it lives and counts its descriptors. */
struct victim {
    pid_t process;
    LMConnection connection;
    int32_t descriptors;
};

static struct victim start_victim(void)
{
    struct victim victim = {th_serve(NAME, echo), th_connection(NAME), 0};
    th_check_echo(&victim.connection);
    victim.descriptors = th_ask(&victim.connection, TH_COUNT_DESCRIPTORS);
    return victim;
}

static bool has_no_more_descriptors(void *argument)
{
    struct victim *victim = argument;
    return th_ask(&victim->connection, TH_COUNT_DESCRIPTORS) == victim->descriptors;
}

static void expect_unharmed(struct victim *victim)
{
    th_check_echo(&victim->connection);
    assert_int_equal(th_ask(&victim->connection, TH_PROCESS_ID), victim->process);
    th_wait_until(has_no_more_descriptors, victim);
}

static void end_victim(struct victim *victim)
{
    expect_unharmed(victim);
    th_close(&victim->connection);
    LMConnection fresh = th_connection(NAME);
    th_check_echo(&fresh);
    th_close(&fresh);
    th_stop(victim->process);
}

/* --- Evil clients: the hello --- */

/*
 * Intent: each field of the hello is checked.
 *   evil client                        victim
 *   hello with one wrong field ----->
 *   closed                             serves an honest client
 */
static void a_wrong_hello_closes_the_connection(void)
{
    static const struct {
        size_t field;
        uint32_t value;
    } wrong[] = {
        {offsetof(struct hello, magic), 0},
        {offsetof(struct hello, magic), 0x31534d4c},
        {offsetof(struct hello, lowest), 2},
        {offsetof(struct hello, highest), 0},
        {offsetof(struct hello, required), 2},
        {offsetof(struct hello, required), 0x80000000},
        {offsetof(struct hello, request_size), 0},
        {offsetof(struct hello, request_size), 2048},
        {offsetof(struct hello, request_size), RING - 1},
        {offsetof(struct hello, request_size), 2 * RING},
        {offsetof(struct hello, request_size), 0x80000000},
        {offsetof(struct hello, request_size), 0xfffff000},
        {offsetof(struct hello, reply_size), 0},
        {offsetof(struct hello, reply_size), RING + 4096},
        {offsetof(struct hello, reply_size), 32u << 20},
        {offsetof(struct hello, reply_size), 0xffffffff},
    };
    struct victim victim = start_victim();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct hello hello = GOOD_HELLO;
        memcpy((char *)&hello + wrong[i].field, &wrong[i].value, sizeof(uint32_t));
        int evil = connect_raw(), memory = make_good_memory();
        send_record(evil, &hello, sizeof hello, memory, 1);
        close(memory);
        expect_closed(evil);
    }
    end_victim(&victim);
}

/* The service answers the hello with that error and its own range, and closes the connection. */
static void expect_refusal(const struct hello *hello, size_t length, uint32_t status)
{
    struct refusal refusal;
    char bytes[4096] = {0};
    int evil = connect_raw(), memory = make_good_memory();
    memcpy(bytes, hello, sizeof *hello);
    send_record(evil, bytes, length, memory, 1);
    close(memory);
    assert_int_equal(recv(evil, &refusal, sizeof refusal, 0), sizeof refusal);
    assert_int_equal(refusal.magic, MAGIC);
    assert_int_equal(refusal.status, status);
    assert_int_equal(refusal.lowest, 1);
    assert_int_equal(refusal.highest, 1);
    expect_closed(evil);
}

/*
 * Intent: a client that speaks another version, or needs an unknown feature, gets an error of its own.
 *   evil client                         victim
 *   hello of other versions ----->
 *   <------------------- refusal, with its range
 *   closed
 */
static void another_version_gets_a_refusal(void)
{
    const struct {
        size_t field;
        uint32_t value;
    } other[] = {
        {offsetof(struct hello, lowest), 2},        {offsetof(struct hello, highest), 0},
        {offsetof(struct hello, required), 2},      {offsetof(struct hello, required), 1u << 31},
        {offsetof(struct hello, magic), MAGIC + 1}, /* a later hello */
        {offsetof(struct hello, magic), 0x31534d4c} /* the other byte order */
    };
    struct victim victim = start_victim();
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        struct hello hello = GOOD_HELLO;
        memcpy((char *)&hello + other[i].field, &other[i].value, sizeof(uint32_t));
        expect_refusal(&hello, sizeof hello, (uint32_t)LM_INCOMPATIBLE_VERSION);
    }
    expect_refusal(&GOOD_HELLO, sizeof GOOD_HELLO - 4, (uint32_t)LM_INCOMPATIBLE_VERSION); /* an earlier hello */
    end_victim(&victim);
}

/*
 * Intent: a record that is not a hello of any version closes the connection.
 *   evil client                              victim
 *   1 or 3 bytes, or 4097, or no magic ---->
 *   closed
 */
static void a_record_that_is_no_hello_closes_the_connection(void)
{
    static const size_t sizes[] = {1, 3, 4097};
    struct victim victim = start_victim();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char bytes[4097] = {0};
        int evil = connect_raw(), memory = make_good_memory();
        memcpy(bytes, &GOOD_HELLO, sizeof GOOD_HELLO);
        send_record(evil, bytes, sizes[i], memory, 1);
        close(memory);
        expect_closed(evil);
    }
    end_victim(&victim);
}

/*
 * Intent: only a sealed memfd of the announced size is mapped.
 *   evil client                           victim
 *   hello with another descriptor ----->
 *   closed                                has none of them open
 */
static void other_descriptors_close_the_connection(void)
{
    struct victim victim = start_victim();
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    const int seals[] = {0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_SEAL, F_SEAL_GROW | F_SEAL_SEAL};
    const size_t sizes[] = {0, 1, RINGS, MEMORY - 4096, MEMORY + 4096};
    int descriptors[14], count = 0;
    descriptors[count++] = pipes[0];
    descriptors[count++] = pipes[1];
    descriptors[count++] = open("/dev/zero", O_RDWR | O_CLOEXEC);
    descriptors[count++] = open("/", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 5; i++)
        descriptors[count++] = make_memory(MEMORY, seals[i]);
    for (int i = 0; i < 5; i++)
        descriptors[count++] = make_memory(sizes[i], F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    for (int i = 0; i < count; i++) {
        int evil = connect_raw();
        send_record(evil, &GOOD_HELLO, sizeof GOOD_HELLO, descriptors[i], 1);
        close(descriptors[i]);
        expect_closed(evil);
    }
    end_victim(&victim);
}

/*
 * Intent: exactly one descriptor.
 *   evil client                          victim
 *   hello with 0, 2, 3, 253 of them -->
 *   closed                               has none of them open
 */
static void another_number_of_descriptors_closes_the_connection(void)
{
    static const unsigned copies[] = {0, 2, 3, 253};
    struct victim victim = start_victim();
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        int evil = connect_raw(), memory = make_good_memory();
        send_record(evil, &GOOD_HELLO, sizeof GOOD_HELLO, memory, copies[i]);
        close(memory);
        expect_closed(evil);
    }
    end_victim(&victim);
}

/*
 * Intent: connections that send nothing keep no client out; the oldest of them are closed.
 *   evil client            victim                  honest client
 *   300 connections ---->
 *                          answers  <------------  call
 *   the first is closed
 */
static void silent_connections_keep_nobody_out(void)
{
    struct victim victim = start_victim();
    int evil[300];
    for (int i = 0; i < 300; i++)
        evil[i] = connect_raw();
    th_check_echo(&victim.connection);
    LMConnection fresh = th_connection(NAME);
    th_check_echo(&fresh);
    assert_true(is_closed(evil[0]));
    for (int i = 0; i < 300; i++)
        close(evil[i]);
    end_victim(&victim);
}

/* --- Evil clients: the request ring --- */

/*
 * Intent: the tail is checked.
 *   evil client                            victim
 *   tail out of range or misaligned, bell ->
 *   closed
 */
static void hostile_indices_close_the_connection(void)
{
    static const uint32_t tails[] = {1, 32, 63, RING + 64, 0x7fffffc0, 0x80000000, 0xffffffc0, 0xffffffff};
    struct victim victim = start_victim();
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        struct peer evil = open_channel();
        store(&evil.memory->requests.tail, tails[i]);
        bell(evil.socket);
        assert_true(is_closed(evil.socket));
        close_peer(&evil);
    }
    end_victim(&victim);
}

static uint32_t extent_of(uint32_t length)
{
    return (32 + length + 63) / 64 * 64;
}

static void put_frame(struct peer *evil, const struct frame *frame)
{
    memcpy(evil->requests, frame, sizeof *frame);
    store(&evil->memory->requests.tail, 64);
    bell(evil->socket);
}

/*
 * Intent: each field of a frame is checked.
 *   evil client                       victim
 *   one hostile frame of 64 bytes ->
 *   closed
 */
static void hostile_frames_close_the_connection(void)
{
    static const struct frame frames[] = {
        {.kind = 0, .length = 4, .total = 4},
        {.kind = 6, .length = 4, .total = 4}, /* lent: of another length */
        {.kind = 7, .length = 4, .total = 4},
        {.kind = 99, .length = 4, .total = 4},
        {.kind = 127, .length = 4, .total = 4},
        {.kind = 5, .length = 0, .total = 0, .token = 1}, /* dropped: only in replies */
        {.kind = 4, .length = 4, .total = 4},
        {.kind = 1, .length = 33, .total = 33}, /* more than was published */
        {.kind = 1, .length = RING, .total = RING},
        {.kind = 1, .length = 65537, .total = 65537},
        {.kind = 1, .length = 0x7fffffff, .total = 0x7fffffff},
        {.kind = 1, .length = 0xffffffe0, .total = 0xffffffe0},
        {.kind = 1, .length = 0xffffffff, .total = 0xffffffff},
        {.kind = 1, .length = 4, .total = 3}, /* total < length */
        {.kind = 1, .length = 32, .total = 0},
        {.kind = 1, .length = 4, .total = 8},           /* a last piece without a first */
        {.kind = 2, .length = 0, .total = 100},         /* a piece of nothing */
        {.kind = 2, .length = 32, .total = 32},         /* a piece that is the whole */
        {.kind = 2, .length = 32, .total = 0xffffffff}, /* over the service's limit */
        {.kind = 1, .length = 4, .total = 4, .descriptors = 1},
    };
    struct victim victim = start_victim();
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        struct peer evil = open_channel();
        put_frame(&evil, &frames[i]);
        if (!is_closed(evil.socket))
            fail_msg("frame %zu was accepted", i);
        close_peer(&evil);
    }
    end_victim(&victim);
}

static void put_frames(struct peer *evil, const struct frame *frames, size_t count)
{
    uint32_t at = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(evil->requests + at, &frames[i], sizeof *frames);
        at += extent_of(frames[i].length);
    }
    store(&evil->memory->requests.tail, at);
    bell(evil->socket);
}

/*
 * Intent: pieces must add up.
 *   evil client                                                    victim
 *   pieces of two messages, of changing total, too many, too few ->
 *   closed
 */
static void pieces_that_dont_add_up_close_the_connection(void)
{
    static const struct frame sequences[][3] = {
        {{.kind = 2, .length = 64, .token = 1, .total = 128}, {.kind = 2, .length = 32, .token = 2, .total = 128}},
        {{.kind = 2, .length = 64, .token = 1, .total = 128}, {.kind = 1, .length = 64, .token = 2, .total = 128}},
        {{.kind = 2, .length = 64, .token = 1, .total = 128}, {.kind = 1, .length = 64, .token = 1, .total = 160}},
        {{.kind = 2, .length = 64, .token = 1, .total = 128}, {.kind = 1, .length = 32, .token = 1, .total = 128}},
        {{.kind = 2, .length = 64, .token = 1, .total = 128}, {.kind = 1, .length = 96, .token = 1, .total = 128}},
        {{.kind = 2, .length = 64, .token = 1, .total = 128}, {.kind = 2, .length = 64, .token = 1, .total = 128}},
        {{.kind = 2, .length = 64, .token = 1, .total = 128}, {.kind = 2, .length = 96, .token = 1, .total = 128}},
    };
    struct victim victim = start_victim();
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++) {
        struct peer evil = open_channel();
        put_frames(&evil, sequences[i], 2);
        if (!is_closed(evil.socket))
            fail_msg("sequence %zu was accepted", i);
        close_peer(&evil);
    }
    end_victim(&victim);
}

/* Ways to be wrong about descriptors: each sends something, then a bell. */
enum parcel_way {
    HOARD,             /* hundreds that no message ever claims */
    OTHER_NUMBER,      /* fewer than the message says */
    NONE_IN_PARCEL,    /* a parcel without descriptors */
    IN_A_BELL,         /* after a notice, a bell with descriptors */
    NO_PARCEL,         /* a message with descriptors, nothing on the socket */
    BEFORE_THE_NOTICE, /* the kernel drops descriptors that are not expected: like no parcel at all */
    PARCEL_WAYS
};

static void send_wrong_parcel(struct peer *evil, enum parcel_way way, int file)
{
    struct frame frame = {.kind = 1, .length = 4, .total = 4, .descriptors = 2};
    unsigned copies = way == OTHER_NUMBER || way == IN_A_BELL ? 1 : way == NONE_IN_PARCEL ? 0 : 2;
    for (int i = 0; way == HOARD && i < 40; i++) {
        send_record(evil->socket, "no", 2, -1, 0);
        send_record(evil->socket, "par", 3, file, 50);
    }
    if (way != NO_PARCEL && way != BEFORE_THE_NOTICE && way != HOARD)
        send_record(evil->socket, "no", 2, -1, 0);
    if (way != NO_PARCEL && way != HOARD)
        send_record(evil->socket, "par", way == IN_A_BELL ? 1 : 3, file, copies);
    if (way != HOARD)
        put_frame(evil, &frame);
}

/*
 * Intent: descriptors that belong to no message, or not as it says, are closed with the channel.
 *   evil client                    victim
 *   parcel or none, message ---->
 *   closed                         has no descriptor more than before
 */
static void wrong_parcels_close_the_connection(void)
{
    struct victim victim = start_victim();
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (enum parcel_way way = HOARD; way < PARCEL_WAYS; way++) {
        struct peer evil = open_channel();
        send_wrong_parcel(&evil, way, file);
        if (!is_closed(evil.socket))
            fail_msg("way %d was accepted", way);
        close_peer(&evil);
        expect_unharmed(&victim);
    }
    close(file);
    end_victim(&victim);
}

/*
 * Intent: this test's own frames are right, otherwise the tests above would prove nothing: an honest call made by hand
 * is answered.
 *   client by hand                       victim
 *   an ignorable frame, two pieces --->
 *   <----------------------- the whole
 */
static void a_client_made_by_hand_is_answered(void)
{
    struct victim victim = start_victim();
    struct peer peer = open_channel();
    struct frame frames[] = {{.kind = 200, .length = 4, .total = 4}, /* may be ignored */
                             {.kind = 2, .length = 32, .token = 7, .total = 40, .identifier = 5},
                             {.kind = 1, .length = 8, .token = 7, .total = 40, .identifier = 5}};
    for (uint8_t i = 0; i < 32; i++)
        peer.requests[64 + 32 + i] = i;
    for (uint8_t i = 0; i < 8; i++)
        peer.requests[128 + 32 + i] = (uint8_t)(32 + i);
    put_frames(&peer, frames, 3);
    uint64_t end = th_hung_at();
    while (__atomic_load_n(&peer.memory->replies.tail, __ATOMIC_SEQ_CST) == 0)
        assert_true(th_now_ms() < end);
    struct frame reply;
    memcpy(&reply, peer.replies, sizeof reply);
    assert_int_equal(reply.kind, 1);
    assert_int_equal(reply.token, 7);
    assert_int_equal(reply.length, 40);
    assert_int_equal(reply.total, 40);
    for (uint8_t i = 0; i < 40; i++)
        assert_int_equal(peer.replies[32 + i], i);
    close_peer(&peer);
    end_victim(&victim);
}

/*
 * Intent: a frame that announces a descriptor, no parcel, and a flood of bells: the service gives the client up.
 *   evil client                               victim
 *   a message with a descriptor that is not
 *   there, bells, bells, bells ------------>
 *   closed                                    serves others
 */
static void a_flood_of_bells_is_no_parcel(void)
{
    struct victim victim = start_victim();
    struct peer evil = open_channel();
    const struct frame frame = {.kind = 1, .token = 7, .descriptors = 1};
    uint64_t end = th_hung_at();
    send_record(evil.socket, "no", 2, -1, 0);
    put_frame(&evil, &frame);
    while (send(evil.socket, "", 1, MSG_NOSIGNAL) >= 0)
        assert_true(th_now_ms() < end);
    close_peer(&evil);
    end_victim(&victim);
}

/*
 * Intent: a call that was given up after it was answered says nothing of a later call with the same token.
 *   client by hand                    victim
 *   call 7 -------------------------->
 *   <------------------------- answer
 *   gives call 7 up, makes call 7 ---->
 *   <------------------------- answer
 */
static void a_token_that_was_given_up_is_used_again(void)
{
    struct victim victim = start_victim();
    struct peer peer = open_channel();
    const struct frame call = {.kind = 1, .length = 5, .token = 7, .total = 5}, given_up = {.kind = 128, .token = 7};
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t at = i * 192;
        memcpy(peer.requests + at, &call, sizeof call);
        store(&peer.memory->requests.tail, at + 64);
        bell(peer.socket);
        uint64_t end = th_hung_at();
        while (__atomic_load_n(&peer.memory->replies.tail, __ATOMIC_SEQ_CST) != (i + 1) * 64)
            assert_true(th_now_ms() < end);
        memcpy(peer.requests + at + 64, &given_up, sizeof given_up);
        memcpy(peer.requests + at + 128, &given_up, sizeof given_up);
        store(&peer.memory->requests.tail, at + 192);
        bell(peer.socket);
    }
    close_peer(&peer);
    end_victim(&victim);
}

struct lease {
    uint32_t number, reserved;
    uint64_t size;
};

/* Lends `length` bytes in a segment, and sends its memory, unless that is -1. */
static void lend(struct peer *evil, const struct lease *lease, uint32_t length, int memory, unsigned copies)
{
    struct frame frame = {.kind = 6, .length = sizeof *lease, .token = 7, .total = length, .descriptors = copies};
    memcpy(evil->requests + 32, lease, sizeof *lease);
    if (copies > 0) {
        send_record(evil->socket, "no", 2, -1, 0);
        send_record(evil->socket, "par", 3, memory, copies);
    }
    put_frame(evil, &frame);
}

/*
 * Intent: a segment is checked like the channel's memory, and its message against its size.
 *   evil client                                 victim
 *   lends what is unknown, unsafe, too small ->
 *   closed                                      has none of them open
 */
static void hostile_leases_close_the_connection(void)
{
    enum { SIZE = 4096 + 65536, SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };
    const struct {
        struct lease lease;
        uint32_t length;
        unsigned copies;
        size_t size; /* size of the memory that is sent */
        int seals;
    } wrong[] = {
        {{0, 0, SIZE}, 100, 0, SIZE, SEALS}, /* no memory was ever sent */
        {{7, 0, SIZE}, 100, 0, SIZE, SEALS},
        {{8, 0, SIZE}, 100, 1, SIZE, SEALS}, /* no such number */
        {{UINT32_MAX, 0, SIZE}, 100, 1, SIZE, SEALS},
        {{0, 0, SIZE}, 65537, 1, SIZE, SEALS}, /* more than it holds */
        {{0, 0, SIZE}, 0xffffffff, 1, SIZE, SEALS},
        {{0, 0, SIZE}, 0, 1, SIZE, SEALS}, /* nothing in it */
        {{0, 0, SIZE + 4096}, 100, 1, SIZE, SEALS},
        {{0, 0, 4096}, 100, 1, 4096, SEALS}, /* no room for data */
        {{0, 0, 0}, 100, 1, 0, SEALS},
        {{0, 0, UINT64_MAX}, 100, 1, SIZE, SEALS},
        {{0, 0, 0x20000000}, 100, 1, 0x20000000, SEALS}, /* over the service's limit */
        {{0, 0, SIZE}, 100, 1, SIZE, 0},
        {{0, 0, SIZE}, 100, 1, SIZE, F_SEAL_SHRINK | F_SEAL_SEAL},
    };
    struct victim victim = start_victim();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct peer evil = open_channel();
        int memory = make_memory(wrong[i].size, wrong[i].seals);
        lend(&evil, &wrong[i].lease, wrong[i].length, memory, wrong[i].copies);
        close(memory);
        if (!is_closed(evil.socket))
            fail_msg("lease %zu was accepted", i);
        close_peer(&evil);
    }
    end_victim(&victim);
}

/*
 * Intent: a correct lease is answered, and given back: otherwise the test above would prove nothing.
 *   client by hand                victim
 *   lends 100 bytes ----------->
 *   <----------------- the whole
 *   the word is 0 again
 */
static void a_lease_made_by_hand_is_answered(void)
{
    enum { SIZE = 4096 + 65536 };
    struct victim victim = start_victim();
    struct peer peer = open_channel();
    int memory = make_memory(SIZE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    uint8_t *segment = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    assert_ptr_not_equal(segment, MAP_FAILED);
    th_fill(segment + 4096, 100, 1);
    store((uint32_t *)(void *)segment, 1);
    lend(&peer, &(struct lease){0, 0, SIZE}, 100, memory, 1);
    uint64_t end = th_hung_at();
    while (__atomic_load_n(&peer.memory->replies.tail, __ATOMIC_SEQ_CST) == 0 ||
           __atomic_load_n((uint32_t *)(void *)segment, __ATOMIC_SEQ_CST) == 1)
        assert_true(th_now_ms() < end);
    assert_memory_equal(peer.replies + 32, segment + 4096, 100);
    munmap(segment, SIZE);
    close(memory);
    close_peer(&peer);
    end_victim(&victim);
}

/*
 * Intent: a hostile head of the reply ring is noticed by the victim, which is the producer there.
 *   evil client                     victim
 *   head out of range
 *   calls ------------------------> answers, until it looks at the head
 *   closed
 */
static void hostile_reply_heads_close_the_connection(void)
{
    static const uint32_t heads[] = {1, 0x80000000, 0xffffffc0}; /* 64 would be an honest one */
    struct victim victim = start_victim();
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct peer evil = open_channel();
        store(&evil.memory->replies.head, heads[i]);
        bool closed = false;
        uint32_t tail = 0;
        for (int calls = 0; calls < 400 && !closed; calls++) { /* the victim loads the head when the ring seems full */
            struct frame frame = {.kind = 1, .length = 480, .total = 480, .token = 1};
            memcpy(evil.requests + tail % RING, &frame, sizeof frame);
            store(&evil.memory->requests.tail, tail += 512);
            bell(evil.socket);
            struct pollfd poller = {.fd = evil.socket, .events = POLLIN};
            uint64_t end = th_hung_at();
            while (!closed && __atomic_load_n(&evil.memory->requests.head, __ATOMIC_SEQ_CST) != tail &&
                   th_now_ms() < end)
                closed = poll(&poller, 1, 0) == 1 && (poller.revents & POLLHUP);
        }
        assert_true(closed || is_closed(evil.socket));
        close_peer(&evil);
    }
    end_victim(&victim);
}

struct flipper {
    struct peer *peer;
    uint32_t stop;
};

static void *flip(void *argument)
{
    struct flipper *flipper = argument;
    uint64_t random = 88172645463325252u;
    while (!__atomic_load_n(&flipper->stop, __ATOMIC_RELAXED))
        for (int i = 0; i < 1000; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            __atomic_fetch_xor(&flipper->peer->requests[(random >> 8) % 256], (uint8_t)(1u << (random & 7)),
                               __ATOMIC_RELAXED);
        }
    return NULL;
}

/*
 * Intent: whatever changes between two loads by the victim, it does not crash.
 *   evil thread                     evil client                     victim
 *   flips bits of the first frames  publishes them, rings, ... ---> closes, or not
 *   and again over the next channel, for two seconds
 */
static void flipping_bits_harms_nobody(void)
{
    struct victim victim = start_victim();
    uint64_t end = th_now_ms() + 2000;
    unsigned channels = 0;
    while (th_now_ms() < end || channels == 0) {
        struct peer evil = open_channel();
        struct flipper flipper = {&evil, 0};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, flip, &flipper), 0);
        for (uint32_t tail = 64; tail <= 4096; tail += 64) {
            struct frame frame = {.kind = 1, .length = 32, .total = 32};
            memcpy(evil.requests + tail % 256, &frame, sizeof frame);
            store(&evil.memory->requests.tail, tail);
            bell(evil.socket);
        }
        th_sleep_ms(2);
        store(&flipper.stop, 1);
        pthread_join(thread, NULL);
        close_peer(&evil);
        channels++;
    }
    end_victim(&victim);
}

/*
 * Intent: a client that reads no replies loses its connection, and does not disturb the others.
 *   evil client                victim
 *   calls, 60 kB each ------>  answers, until it keeps 256 MiB of them: no buffer
 *   closed                     serves an honest client
 */
static void a_client_that_reads_nothing_goes(void)
{
    struct victim victim = start_victim();
    struct peer evil = open_channel();
    struct frame frame = {.kind = 1, .length = 60000, .total = 60000, .token = 1};
    uint32_t extent = extent_of(60000), tail = 0;
    bool closed = false;
    uint64_t end = th_now_ms() + 80000;
    while (!closed && th_now_ms() < end) {
        struct frame *place = (struct frame *)(void *)(evil.requests + tail % RING);
        uint32_t head = __atomic_load_n(&evil.memory->requests.head, __ATOMIC_SEQ_CST);
        if (tail - head + extent <= RING) {
            *place = frame;
            store(&evil.memory->requests.tail, tail += extent);
            bell(evil.socket);
        }
        struct pollfd poller = {.fd = evil.socket, .events = POLLIN};
        closed = poll(&poller, 1, 0) == 1 && (poller.revents & POLLHUP);
    }
    assert_true(closed);
    th_await(UNREAD_ANSWERS, 1);
    close_peer(&evil);
    end_victim(&victim);
}

static bool is_welcomed(void *argument)
{
    struct peer *peer = argument;
    return __atomic_load_n(&peer->memory->welcomed, __ATOMIC_SEQ_CST) == 1;
}

/*
 * Intent: after the hello, the socket carries bells of one byte, notices of two, or its end.
 *   evil client               victim
 *   hello ----------------->  welcomes it
 *   0, 3, 4, ... bytes ---->
 *   closed                    serves an honest client
 */
static void records_that_are_no_bells_close_the_connection(void)
{
    static const size_t sizes[] = {0, 3, 4, 7, 8, 9, 32, 4096};
    static const char record[4096];
    struct victim victim = start_victim();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct peer evil = open_channel();
        th_wait_until(is_welcomed, &evil);
        send_record(evil.socket, record, sizes[i], -1, 0);
        if (!is_closed(evil.socket))
            fail_msg("a record of %zu bytes was accepted", sizes[i]);
        close_peer(&evil);
    }
    end_victim(&victim);
}

/*
 * Intent: descriptors that come with bells are closed.
 *   evil client                      victim
 *   hello ------------------------>  welcomes it
 *   bells with 1 and 253 of them ->  has as many open as before
 */
static void descriptors_with_bells_do_not_stay(void)
{
    struct victim victim = start_victim();
    struct peer evil = open_channel();
    th_wait_until(is_welcomed, &evil);
    for (int i = 0; i < 5; i++) {
        send_record(evil.socket, "", 1, 0, 1);
        send_record(evil.socket, "", 1, 0, 253);
    }
    close_peer(&evil);
    end_victim(&victim);
}

/* --- Curious peers --- */

static void expect_zeroes(const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((const uint8_t *)bytes)[i] != 0)
            fail_msg("byte %zu of %zu is 0x%x", i, length, ((const uint8_t *)bytes)[i]);
}

/* Checks that a frame holds its message's bytes, and zeroes behind them; returns the place of the next one. */
static const uint8_t *expect_frame(const uint8_t *at, struct frame expected, const void *payload)
{
    const size_t extent = extent_of(expected.length);
    expected.kind = 1;
    expected.total = expected.length;
    assert_memory_equal(at, &expected, sizeof expected);
    assert_memory_equal(at + 32, payload, expected.length);
    expect_zeroes(at + 32 + expected.length, extent - 32 - expected.length);
    return at + extent;
}

/*
 * Intent: a reply carries no byte that the service did not pass.
 *   curious client        service
 *   call, 5 bytes ----->
 *   <----------- 5 bytes  and zeroes around them, in all of the memory
 */
static void a_client_sees_nothing_but_its_answer(void)
{
    struct victim victim = start_victim();
    struct peer peer = open_channel();
    struct frame call = {.kind = 1, .length = 5, .token = 7, .total = 5, .identifier = 3};
    memcpy(peer.requests + 32, "hello", 5);
    put_frame(&peer, &call);
    uint64_t end = th_hung_at();
    while (__atomic_load_n(&peer.memory->replies.tail, __ATOMIC_SEQ_CST) == 0)
        assert_true(th_now_ms() < end);
    const uint8_t *rest = expect_frame(peer.replies, (struct frame){.length = 5, .token = 7}, "hello");
    expect_zeroes(rest, (size_t)(peer.replies + RING - rest));
    expect_zeroes(&peer.memory->required, RINGS - offsetof(struct memory, required));
    close_peer(&peer);
    end_victim(&victim);
}

/* --- Evil servers --- */

enum evil_way {
    NEVER_ACCEPT,
    CLOSE_AT_ONCE,
    CLOSE_AFTER_HELLO,
    NEVER_ANSWER,
    ODD_RECORDS,
    REFUSE,
    BAD_TAIL,
    BAD_FRAME,
    BAD_HEAD,
    MIXED_REPLY,
    NO_BELL,
    WAYS
};

/* Creates the runtime directory as the library does. */
static void make_folders(void)
{
    char path[100];
    snprintf(path, sizeof path, "%.80s/locked", getenv("LM_RUNTIME_DIR"));
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%.80s/unlocked", getenv("LM_RUNTIME_DIR"));
    assert_int_equal(mkdir(path, 0755), 0);
}

static int receive_hello(int socket, struct hello *hello)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec vector = {hello, sizeof *hello};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int memory = -1;
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == (ssize_t)sizeof *hello && CMSG_FIRSTHDR(&message) != NULL)
        memcpy(&memory, CMSG_DATA(&control.header), sizeof memory);
    return memory;
}

static void await_request(struct memory *memory)
{
    uint64_t end = th_hung_at();
    while (__atomic_load_n(&memory->requests.tail, __ATOMIC_SEQ_CST) == 0 && th_now_ms() < end)
        th_sleep_ms(1);
}

/* Begins a large reply to the first call, and then sends a small one to the same call. */
static void mix_replies(struct memory *memory, const struct hello *hello)
{
    uint8_t *requests = (uint8_t *)memory + RINGS, *replies = requests + hello->request_size;
    await_request(memory);
    uint32_t token = ((struct frame *)(void *)requests)->token;
    struct frame piece = {.kind = 2, .length = 4096, .total = 100000, .token = token};
    struct frame whole = {.kind = 1, .length = 8, .total = 8, .token = token};
    memcpy(replies, &piece, sizeof piece);
    memcpy(replies + extent_of(4096), &whole, sizeof whole);
    memcpy(replies + extent_of(4096) + 32, "surprise", 8);
    store(&memory->replies.tail, extent_of(4096) + extent_of(8));
}

static void scribble(struct memory *memory, const struct hello *hello, enum evil_way way)
{
    uint8_t *replies = (uint8_t *)memory + RINGS + hello->request_size;
    static const struct frame bad = {.kind = 1, .length = 0xffffffff, .total = 0xffffffff, .token = 1};
    memory->largest_message = 0xffffffff;
    memory->version = 1;
    store(&memory->welcomed, 1);
    if (way == BAD_TAIL)
        store(&memory->replies.tail, hello->reply_size + 64);
    if (way == BAD_HEAD)
        store(&memory->requests.head, 0x80000000);
    if (way == MIXED_REPLY)
        mix_replies(memory, hello);
    if (way == BAD_FRAME) {
        memcpy(replies, &bad, sizeof bad);
        store(&memory->replies.tail, 64);
    }
}

/* Takes the first request, if TAKES_FIRST says so, and sends a record of an undefined size. */
static void send_no_bell(int client, struct memory *memory)
{
    static const char record[4096];
    await_request(memory);
    if (th_get(TAKES_FIRST))
        store(&((struct frame *)(void *)((uint8_t *)memory + RINGS))->state, 1);
    (void)send(client, record, th_get(RECORD_SIZE), MSG_NOSIGNAL);
}

static void treat(int client, enum evil_way way)
{
    struct hello hello;
    int memory = receive_hello(client, &hello);
    if (memory < 0)
        _exit(3);
    struct memory *map = mmap(NULL, RINGS + (size_t)hello.request_size + hello.reply_size, PROT_READ | PROT_WRITE,
                              MAP_SHARED, memory, 0);
    if (map == MAP_FAILED)
        _exit(4);
    if (way >= BAD_TAIL)
        scribble(map, &hello, way);
    static const struct refusal refusal = {MAGIC, BOOTSTRAP_NOT_PRIVILEGED, 1, 1, 0, {0}};
    static const char odd[100] = "odd";
    if (way == REFUSE)
        (void)send(client, &refusal, sizeof refusal, MSG_NOSIGNAL);
    if (way == ODD_RECORDS)
        (void)send(client, odd, sizeof odd, MSG_NOSIGNAL);
    if (way == NO_BELL)
        send_no_bell(client, map);
    else if (way >= BAD_TAIL)
        bell(client);
    char byte[64];
    if (way != CLOSE_AFTER_HELLO && way != REFUSE) /* until the client goes */
        while (recv(client, byte, sizeof byte, 0) > 0)
            ;
    munmap(map, RINGS + (size_t)hello.request_size + hello.reply_size);
    close(memory);
}

static void be_evil(const struct th_service *me)
{
    enum evil_way way = (enum evil_way)(uintptr_t)me->info;
    struct sockaddr_un address = address_of(NAME);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    unlink(address.sun_path);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 100) != 0)
        _exit(2);
    th_ready();
    for (;;) {
        if (way == NEVER_ACCEPT)
            pause();
        int client = accept(listener, NULL, NULL);
        if (way != CLOSE_AT_ONCE)
            treat(client, way);
        close(client);
    }
}

static void suffer(enum evil_way way, uint32_t milliseconds)
{
    static uint8_t large[1 << 20];
    make_folders();
    pid_t evil = th_start(&(struct th_service){.program = be_evil, .info = (void *)(uintptr_t)way});
    LMConnection connection = th_connection(NAME);
    const uint32_t lengths[] = {0, 8, 65536, sizeof large};
    for (int i = 0; i < 12; i++) {
        LMResponseBuffer buffer;
        memset(&buffer, 0xa5, sizeof buffer);
        kern_return_t result =
            LMConnectionSendTwoWayWithTimeout(&connection, i, large, lengths[i % 4], milliseconds, &buffer);
        assert_int_not_equal(result, 0);
        assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
        LMResponseBufferFree(&buffer);
        (void)LMConnectionSendOneWayWithTimeout(&connection, i, large, lengths[i % 4], milliseconds);
    }
    th_kill(evil);
    th_close(&connection);
    pid_t good = th_serve(NAME, th_echo);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(good);
}

/*
 * Intent: a server that never answers costs the timeout.
 *   client             evil server         good server
 *   call, 50 ms ---->  silence
 *   error              killed              started
 *   call -------------------------------->  answers
 */
static void a_server_that_never_accepts(void)
{
    suffer(NEVER_ACCEPT, 50);
}

static void a_server_that_never_answers(void)
{
    suffer(NEVER_ANSWER, 50);
}

/*
 * Intent: a server that breaks the protocol is disconnected, whatever the timeout. So are those in the tests below.
 *   client             evil server         good server
 *   call, for ever ->  nonsense
 *   error              killed              started
 *   call -------------------------------->  answers
 */
static void a_server_that_closes_at_once(void)
{
    suffer(CLOSE_AT_ONCE, LM_TIMEOUT_NEVER);
}

static void a_server_that_closes_after_the_hello(void)
{
    suffer(CLOSE_AFTER_HELLO, LM_TIMEOUT_NEVER);
}

static void a_server_that_sends_odd_records(void)
{
    suffer(ODD_RECORDS, LM_TIMEOUT_NEVER);
}

static void a_server_that_refuses(void)
{
    suffer(REFUSE, LM_TIMEOUT_NEVER);
}

static void a_server_with_a_bad_tail(void)
{
    suffer(BAD_TAIL, LM_TIMEOUT_NEVER);
}

static void a_server_with_a_bad_frame(void)
{
    suffer(BAD_FRAME, LM_TIMEOUT_NEVER);
}

static void a_server_with_a_bad_head(void)
{
    suffer(BAD_HEAD, 50); /* the client need not load the head while its ring has room */
}

/*
 * Intent: a small reply in the middle of a large one to the same call leaves one sound message.
 *   client                 evil server
 *   call --------------->
 *   <----- part of a large reply
 *   <----- a small one
 *   has the small one
 */
static void a_server_that_mixes_replies(void)
{
    make_folders();
    pid_t evil = th_start(&(struct th_service){.program = be_evil, .info = (void *)(uintptr_t)MIXED_REPLY});
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(&connection, 1, "x", 1, &buffer), 0);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 8);
    assert_memory_equal(LMMessageGetData(&buffer.message), "surprise", 8);
    LMResponseBufferFree(&buffer);
    th_kill(evil);
    th_close(&connection);
}

/*
 * Intent: after the welcome, a client accepts only bells from its server, and knows whether its call had been taken.
 *   client                         evil server
 *   call ----------------------->  welcomes it; takes the call or not
 *   <-------- 3, 4, ... bytes
 *   dead port, or never taken
 */
static void a_server_whose_records_are_no_bells(void)
{
    static const uint32_t sizes[] = {3, 4, 7, 8, 9, 10, 4096};
    make_folders();
    pid_t evil = th_start(&(struct th_service){.program = be_evil, .info = (void *)(uintptr_t)NO_BELL});
    LMConnection connection = th_connection(NAME);
    for (uint32_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        LMResponseBuffer buffer;
        th_set(RECORD_SIZE, sizes[i / 2]);
        th_set(TAKES_FIRST, i % 2);
        kern_return_t result = LMConnectionSendTwoWay(&connection, 1, "x", 1, &buffer);
        assert_true(i % 2 == 0 ? result == MACH_SEND_INVALID_DEST : result == MACH_RCV_PORT_DIED);
        LMResponseBufferFree(&buffer);
    }
    th_kill(evil);
    th_close(&connection);
}

static int listen_by_hand(int backlog)
{
    struct sockaddr_un address = address_of(NAME);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    make_folders();
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, backlog), 0);
    return listener;
}

/*
 * Intent: connecting is part of the timeout.
 *   client                       server
 *                                (its queue of connections is full)
 *   call, 100 ms: timed out
 *   call, 0 ms: timed out
 */
static void a_full_queue_of_connections_costs_the_timeout(void)
{
    struct sockaddr_un address = address_of(NAME);
    int listener = listen_by_hand(0), waiting[16], count = 0;
    do
        waiting[count] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    while (connect(waiting[count++], (struct sockaddr *)&address, sizeof address) == 0 && count < 16);
    assert_int_equal(errno, EAGAIN);
    LMConnection connection = th_connection(NAME);
    for (uint32_t milliseconds = 0; milliseconds <= 100; milliseconds += 100) {
        LMResponseBuffer buffer;
        uint64_t begin = th_now_ms();
        assert_int_equal(LMConnectionSendTwoWayWithTimeout(&connection, 1, "x", 1, milliseconds, &buffer),
                         MACH_SEND_TIMED_OUT);
        LMResponseBufferFree(&buffer);
        assert_int_equal(LMConnectionSendOneWayWithTimeout(&connection, 1, "x", 1, milliseconds), MACH_SEND_TIMED_OUT);
        assert_true(th_now_ms() - begin + 2 >= 2 * milliseconds);
    }
    while (count > 0)
        close(waiting[--count]);
    close(listener);
}

/* Sends from a stack that is full of other bytes. */
static void send_three(void)
{
    LMConnection connection = th_connection(NAME);
    assert_int_equal(LMConnectionSendOneWay(&connection, 11, "hello", 5), 0);
    assert_int_equal(LMConnectionSendOneWay(&connection, 12, "forty bytes that need two units of 32....", 40), 0);
    assert_int_equal(LMConnectionSendOneWay(&connection, 13, "x", 1), 0);
    th_close(&connection);
}

static void send_from_a_dirty_stack(void)
{
    volatile uint8_t dirt[65536];
    for (size_t i = 0; i < sizeof dirt; i++)
        dirt[i] = 0xa5;
    send_three();
}

/*
 * Intent: a request carries no byte that the client did not pass.
 *   client                      curious server
 *   hello, 5, 40, 1 bytes --->  sees those, and zeroes around them, in all of the memory
 */
static void a_server_sees_nothing_but_the_requests(void)
{
    int listener = listen_by_hand(10);
    struct hello hello;
    send_from_a_dirty_stack();
    int client = accept(listener, NULL, NULL);
    int memory = receive_hello(client, &hello);
    assert_true(memory >= 0);
    expect_zeroes(hello.reserved, sizeof hello.reserved);
    size_t size = RINGS + (size_t)hello.request_size + hello.reply_size;
    const uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, memory, 0), *at = bytes + RINGS;
    assert_ptr_not_equal(bytes, MAP_FAILED);
    at = expect_frame(at, (struct frame){.length = 5, .identifier = 11}, "hello");
    at = expect_frame(at, (struct frame){.length = 40, .identifier = 12}, "forty bytes that need two units of 32....");
    at = expect_frame(at, (struct frame){.length = 1, .identifier = 13}, "x");
    expect_zeroes(at, (size_t)(bytes + size - at));
    expect_zeroes(bytes + 2 * sizeof(struct words), RINGS - 2 * sizeof(struct words));
    munmap((void *)(uintptr_t)bytes, size);
    close(memory);
    close(client);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(a_wrong_hello_closes_the_connection),
        TH_TEST(another_version_gets_a_refusal),
        TH_TEST(a_record_that_is_no_hello_closes_the_connection),
        TH_TEST(other_descriptors_close_the_connection),
        TH_TEST(another_number_of_descriptors_closes_the_connection),
        TH_TEST(silent_connections_keep_nobody_out),
        TH_TEST(hostile_indices_close_the_connection),
        TH_TEST(hostile_frames_close_the_connection),
        TH_TEST(pieces_that_dont_add_up_close_the_connection),
        TH_TEST(wrong_parcels_close_the_connection),
        TH_TEST(a_client_made_by_hand_is_answered),
        TH_TEST(hostile_leases_close_the_connection),
        TH_TEST(a_flood_of_bells_is_no_parcel),
        TH_TEST(a_token_that_was_given_up_is_used_again),
        TH_TEST(a_lease_made_by_hand_is_answered),
        TH_TEST(hostile_reply_heads_close_the_connection),
        TH_TEST(flipping_bits_harms_nobody),
        TH_TEST(a_client_that_reads_nothing_goes),
        TH_TEST(records_that_are_no_bells_close_the_connection),
        TH_TEST(descriptors_with_bells_do_not_stay),
        TH_TEST(a_client_sees_nothing_but_its_answer),
        TH_TEST(a_server_that_never_accepts),
        TH_TEST(a_server_that_never_answers),
        TH_TEST(a_server_that_closes_at_once),
        TH_TEST(a_server_that_closes_after_the_hello),
        TH_TEST(a_server_that_sends_odd_records),
        TH_TEST(a_server_that_refuses),
        TH_TEST(a_server_with_a_bad_tail),
        TH_TEST(a_server_with_a_bad_frame),
        TH_TEST(a_server_with_a_bad_head),
        TH_TEST(a_server_that_mixes_replies),
        TH_TEST(a_server_whose_records_are_no_bells),
        TH_TEST(a_full_queue_of_connections_costs_the_timeout),
        TH_TEST(a_server_sees_nothing_but_the_requests),
    };
    return TH_MAIN(tests);
}
