/* SPDX-License-Identifier: MIT */
/* One function sends all that can be sent: every combination of data, buffer, descriptors, timeout and interruption,
 * with and without a reply, at once and asynchronously; and what a callback can learn of its caller. */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "test.send";

/* Requests. SUM: the reply says what came. MARK: each descriptor gets a byte. */
enum { SUM = 1, MARK, STATUS, WITHHOLD, LEFT, BOTH_BACK, LEFT_ELSEWHERE, ORDERED = 100 };
enum { MARKED, LENT, TAKEN, NOT_AWAITED, IN_ORDER }; /* words */

struct facts {
    uint32_t length, descriptors;
    int32_t is_whole, is_lent;
};

/* --- The service --- */

static struct facts facts_of(const LMMessage *message)
{
    uint32_t length = LMMessageGetDataLength(message);
    return (struct facts){length, LMMessageGetDescriptorCount(message),
                          th_is_filled(LMMessageGetData(message), length, length), message->lent != NULL};
}

/* Writes a byte into each descriptor, and counts the message. */
static void mark(LMMessage *message)
{
    uint32_t count = LMMessageGetDescriptorCount(message);
    for (uint32_t i = 0; i < count; i++) {
        int descriptor = LMMessageTakeDescriptor(message, i);
        assert_int_equal(write(descriptor, "x", 1), 1);
        close(descriptor);
    }
    th_set(LENT, message->lent != NULL);
    th_add(MARKED);
}

static void send_both_back(const LMMessage *message)
{
    LMBufferRef buffer;
    int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
    mach_port_t reply = LMMessageGetReplyPort(message);
    assert_int_equal(LMReplyCreateBuffer(reply, 100000, &buffer), 0);
    th_fill(LMBufferGetBytes(buffer), 100000, 100000);
    LMReply both = {.buffer = &buffer, .descriptors = &descriptor, .descriptorCount = 1};
    assert_int_equal(LMReplySend(reply, &both), 0);
    assert_null(buffer);
    close(descriptor);
}

/* Does not reply until nobody waits for it any more. */
static void withhold_until_given_up(mach_port_t reply)
{
    th_add(TAKEN);
    while (LMReplyIsAwaited(reply))
        th_sleep_ms(1);
    th_add(NOT_AWAITED);
    LMSendReply(reply, NULL, 0);
    assert_false(LMReplyIsAwaited(reply));
}

static void *answer_left(void *info)
{
    const LMMessage *copy = info;
    uint32_t left = LMMessageGetTimeLeft(copy);
    LMSendReply(LMMessageGetReplyPort(copy), &left, sizeof left);
    return NULL;
}

/* Another thread has the message's head only, and must learn nothing from the callback's. */
static void answer_from_another_thread(const LMMessage *message)
{
    static LMMessage copy;
    pthread_t thread;
    copy.head = message->head;
    assert_int_equal(pthread_create(&thread, NULL, answer_left, &copy), 0);
    assert_int_equal(pthread_detach(thread), 0);
}

static void serve(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    struct facts facts = facts_of(message);
    mach_port_t reply = LMMessageGetReplyPort(message);
    uint32_t left = LMMessageGetTimeLeft(message);
    (void)port, (void)size, (void)info;
    if (LMMessageGetIdentifier(message) == MARK || LMMessageGetIdentifier(message) == SUM)
        mark(message);
    if (LMMessageGetIdentifier(message) == (SInt32)(ORDERED + th_get(IN_ORDER)))
        th_add(IN_ORDER);
    switch (LMMessageGetIdentifier(message)) {
    case STATUS:
        LMSendStatusReply(reply, -77);
        break;
    case WITHHOLD:
        withhold_until_given_up(reply);
        break;
    case LEFT:
        assert_true(reply || left == LM_TIMEOUT_NEVER);
        LMSendReply(reply, &left, sizeof left);
        break;
    case BOTH_BACK:
        send_both_back(message);
        break;
    case LEFT_ELSEWHERE:
        answer_from_another_thread(message);
        break;
    default:
        LMSendReply(reply, &facts, sizeof facts);
    }
}

/* --- The client --- */

static LMConnection connection;
static LMResponseBuffer response;

static pid_t start(void)
{
    connection = th_connection(NAME);
    return th_serve(NAME, serve);
}

/* Lets the service say that it takes lent buffers: the first message on a connection is a copy. */
static void warm_up(void)
{
    assert_int_equal(LMConnectionSendTwoWay(&connection, SUM, NULL, 0, &response), 0);
    LMResponseBufferFree(&response);
}

static LMBufferRef make_buffer(uint32_t length)
{
    LMBufferRef buffer;
    assert_int_equal(LMConnectionCreateBuffer(&connection, length, &buffer), 0);
    th_fill(LMBufferGetBytes(buffer), length, length);
    return buffer;
}

/* The reading end; ends[1] is for the service. */
static void make_pipe(int ends[2])
{
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
}

static void expect_marks(int ends[2], size_t count)
{
    char byte;
    close(ends[1]);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

static void expect_facts(const LMResponseBuffer *reply, struct facts expected)
{
    assert_int_equal(LMMessageGetDataLength(&reply->message), sizeof expected);
    assert_memory_equal(LMMessageGetData(&reply->message), &expected, sizeof expected);
}

/* What an asynchronous call brought. */
struct outcome {
    bool ended;
    kern_return_t status;
    int32_t reply_status;
    struct facts facts;
};

static void note(LMCallRef call, kern_return_t status, LMResponseBuffer *reply, void *info)
{
    struct outcome *outcome = info;
    (void)call;
    assert_false(outcome->ended);
    outcome->ended = true;
    outcome->status = status;
    outcome->reply_status = LMResponseGetStatus(reply);
    if (LMMessageGetDataLength(&reply->message) == sizeof outcome->facts)
        memcpy(&outcome->facts, LMMessageGetData(&reply->message), sizeof outcome->facts);
}

static void run_until_ended(const struct outcome *outcome)
{
    while (!outcome->ended)
        CFRunLoopRunInMode(kCFRunLoopDefaultMode, 10, true);
}

static kern_return_t send_async(const LMSend *send, struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    th_expect_more_descriptors(2); /* the loop's */
    return LMConnectionSendAsync(&connection, send, CFRunLoopGetCurrent(), note, outcome, NULL);
}

/*
 * Intent: an asynchronous call takes descriptors, which may be closed as soon as it was sent, and marks arrive.
 *   client                                service
 *   call with two descriptors, closes -->  writes into both
 *   <------------------------ what came
 */
static void an_asynchronous_call_takes_descriptors(void)
{
    pid_t service = start();
    int ends[2];
    struct outcome outcome;
    make_pipe(ends);
    LMSend send = {.messageId = SUM, .descriptors = (const int[]){ends[1], ends[1]}, .descriptorCount = 2};
    assert_int_equal(send_async(&send, &outcome), 0);
    close(ends[1]);
    ends[1] = -1;
    run_until_ended(&outcome);
    expect_marks(ends, 2);
    assert_int_equal(outcome.status, 0);
    assert_int_equal(outcome.facts.descriptors, 2);
    th_close(&connection);
    th_stop(service);
}

/* Intent: an asynchronous call takes a lent buffer over; one that is refused leaves it with its caller. */
static void an_asynchronous_call_takes_a_lent_buffer(void)
{
    pid_t service = start();
    struct outcome outcome;
    warm_up();
    for (int i = 0; i < 20; i++) {
        LMBufferRef buffer = make_buffer(200000);
        LMSend send = {.messageId = SUM, .buffer = &buffer};
        assert_int_equal(LMConnectionSendAsync(&connection, &send, NULL, note, NULL, NULL), KERN_INVALID_ARGUMENT);
        assert_non_null(buffer);
        assert_int_equal(send_async(&send, &outcome), 0);
        assert_null(buffer);
        run_until_ended(&outcome);
        assert_int_equal(outcome.status, 0);
        assert_memory_equal(&outcome.facts, &((struct facts){200000, 0, 1, 1}), sizeof outcome.facts);
    }
    th_close(&connection);
    th_stop(service);
}

/* Intent: a message may be in a lent buffer and have descriptors, one-way and two-way, at once and asynchronously. */
static void a_lent_buffer_goes_with_descriptors(void)
{
    pid_t service = start();
    warm_up();
    for (uint32_t i = 0; i < 12; i++) {
        int ends[2];
        struct outcome outcome;
        LMBufferRef buffer = make_buffer(70000 + i / 4 * 70000);
        uint32_t marked = th_get(MARKED), length = LMBufferGetLength(buffer);
        make_pipe(ends);
        LMSend send = {
            .messageId = i % 4 == 0 ? MARK : SUM, .buffer = &buffer, .descriptors = &ends[1], .descriptorCount = 1};
        if (i % 4 == 0) {
            assert_int_equal(LMConnectionSend(&connection, &send, NULL), 0);
        } else if (i % 4 == 1) {
            assert_int_equal(LMConnectionSend(&connection, &send, &response), 0);
            expect_facts(&response, (struct facts){length, 1, 1, 1});
            LMResponseBufferFree(&response);
        } else {
            assert_int_equal(send_async(&send, &outcome), 0);
            run_until_ended(&outcome);
            assert_memory_equal(&outcome.facts, &((struct facts){length, 1, 1, 1}), sizeof outcome.facts);
        }
        assert_null(buffer);
        th_await(MARKED, marked + 1);
        assert_int_equal(th_get(LENT), 1);
        expect_marks(ends, 1);
    }
    th_close(&connection);
    th_stop(service);
}

/* Intent: with as many descriptors as a record carries there is no room for the buffer's memory: it goes as a copy. */
static void a_buffer_with_all_descriptors_is_copied(void)
{
    pid_t service = start();
    static int all[LM_DESCRIPTORS_MAX];
    int ends[2];
    warm_up();
    make_pipe(ends);
    for (size_t i = 0; i < LM_DESCRIPTORS_MAX; i++)
        all[i] = ends[1];
    LMBufferRef buffer = make_buffer(200000);
    LMSend send = {.messageId = SUM, .buffer = &buffer, .descriptors = all, .descriptorCount = LM_DESCRIPTORS_MAX};
    assert_int_equal(LMConnectionSend(&connection, &send, &response), 0);
    expect_facts(&response, (struct facts){200000, LM_DESCRIPTORS_MAX, 1, 0});
    LMResponseBufferFree(&response);
    expect_marks(ends, LM_DESCRIPTORS_MAX);
    th_close(&connection);
    th_stop(service);
}

/* Intent: so may a reply. */
static void a_reply_has_a_lent_buffer_and_descriptors(void)
{
    pid_t service = start();
    warm_up();
    for (int i = 0; i < 10; i++) {
        assert_int_equal(LMConnectionSendTwoWay(&connection, BOTH_BACK, NULL, 0, &response), 0);
        struct facts facts = facts_of(&response.message);
        assert_memory_equal(&facts, &((struct facts){100000, 1, 1, 1}), sizeof facts);
        int descriptor = LMMessageTakeDescriptor(&response.message, 0);
        assert_int_equal(fcntl(descriptor, F_GETFD), FD_CLOEXEC);
        close(descriptor);
        LMResponseBufferFree(&response);
    }
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: asynchronous calls with descriptors and in lent buffers go to the next service if theirs dies.
 *   client                          service             next service
 *   warm up ----------------------> stopped
 *   a buffer, a descriptor -------> killed
 *   <------------------------------------------------- both
 */
static void what_a_dead_service_left_arrives_whole(void)
{
    pid_t service = start();
    int ends[2];
    struct outcome lent, marked;
    warm_up();
    th_pause(service);
    LMBufferRef buffer = make_buffer(300000);
    make_pipe(ends);
    LMSend first = {.messageId = SUM, .buffer = &buffer};
    LMSend second = {.messageId = SUM, .descriptors = &ends[1], .descriptorCount = 1};
    assert_int_equal(send_async(&first, &lent), 0);
    assert_int_equal(send_async(&second, &marked), 0);
    th_kill(service);
    service = th_serve(NAME, serve);
    run_until_ended(&lent);
    run_until_ended(&marked);
    assert_int_equal(lent.status, 0);
    assert_memory_equal(&lent.facts, &((struct facts){300000, 0, 1, 0}), sizeof lent.facts);
    assert_int_equal(marked.status, 0);
    assert_int_equal(marked.facts.descriptors, 1);
    expect_marks(ends, 1);
    warm_up(); /* the connection has the new channel */
    th_close(&connection);
    th_stop(service);
}

/* Makes the client notice nothing: its service dies and another takes the name while it does not use the connection. */
static pid_t replace_service(pid_t service)
{
    th_kill(service);
    return th_serve(NAME, serve);
}

/* Intent: likewise if the service has been replaced before they are sent, whatever is sent next. */
static void calls_to_a_replaced_service_end(void)
{
    pid_t service = start();
    for (int i = 0; i < 6; i++) {
        struct outcome outcome;
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        warm_up();
        LMBufferRef buffer = i % 3 == 2 ? make_buffer(100000) : NULL;
        service = replace_service(service);
        LMSend send = {.messageId = SUM, .descriptors = &null, .descriptorCount = i % 3 != 0};
        if (buffer)
            send.buffer = &buffer;
        assert_int_equal(send_async(&send, &outcome), 0);
        if (i >= 3)
            warm_up();
        run_until_ended(&outcome);
        assert_int_equal(outcome.status, 0);
        assert_int_equal(outcome.facts.descriptors, i % 3 != 0);
        close(null);
    }
    warm_up();
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: calls and one-way messages keep their order when they go to the next service, with descriptors and without.
 *   client                               service            next service
 *   calls 100 to 105, a one-way 106 ---> stopped, killed
 *   -----------------------------------------------------> in their order
 */
static void what_a_dead_service_left_keeps_its_order(void)
{
    pid_t service = start();
    struct outcome outcomes[6];
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    warm_up();
    th_pause(service);
    for (int i = 0; i < 6; i++) {
        LMSend send = {.messageId = ORDERED + i, .descriptors = &null, .descriptorCount = i % 2 == 0};
        assert_int_equal(send_async(&send, &outcomes[i]), 0);
    }
    assert_int_equal(LMConnectionSendOneWay(&connection, ORDERED + 6, NULL, 0), 0);
    service = replace_service(service);
    for (int i = 0; i < 6; i++)
        run_until_ended(&outcomes[i]);
    warm_up();
    assert_int_equal(th_get(IN_ORDER), 7);
    close(null);
    th_close(&connection);
    th_stop(service);
}

/* Intent: a call that ends, however, keeps neither descriptors nor a lent buffer, even if it is still referenced. */
static void an_ended_call_keeps_nothing(void)
{
    pid_t service = start();
    LMCallRef calls[24];
    struct outcome outcome;
    th_expect_more_descriptors(2); /* the loop's */
    warm_up();
    for (int i = 0; i < 24; i++) {
        int ends[2];
        bool cancels = i % 2;
        make_pipe(ends);
        outcome = (struct outcome){0};
        LMBufferRef buffer = make_buffer(100000);
        LMSend send = {.messageId = SUM, .descriptors = &ends[1], .descriptorCount = 1, .buffer = &buffer};
        if (cancels)
            th_pause(service);
        assert_int_equal(LMConnectionSendAsync(&connection, &send, CFRunLoopGetCurrent(), note, &outcome, &calls[i]),
                         0);
        if (cancels)
            assert_true(LMCallCancel(calls[i]));
        else
            run_until_ended(&outcome);
        assert_true(cancels || outcome.facts.is_lent);
        if (cancels) {
            th_resume(service);
            warm_up();
        }
        expect_marks(ends, !cancels);
    }
    for (int i = 0; i < 24; i++)
        CFRelease(calls[i]);
    th_close(&connection);
    th_stop(service);
}

/* Intent: buffers of calls that were refused for their length can be lent again. */
static void a_refused_buffer_is_lent_again(void)
{
    pid_t service = th_start(&(struct th_service){.name = NAME, .callback = serve, .largest = 70000});
    connection = th_connection(NAME);
    warm_up();
    for (int i = 0; i < 12; i++) {
        struct outcome outcome;
        LMBufferRef buffer = make_buffer(100000);
        LMSend send = {.messageId = SUM, .buffer = &buffer};
        if (send_async(&send, &outcome) == 0) {
            run_until_ended(&outcome);
            assert_int_equal(outcome.status, MACH_SEND_TOO_LARGE);
        }
        LMBufferFree(buffer);
    }
    LMBufferRef buffer = make_buffer(70000);
    LMSend send = {.messageId = SUM, .buffer = &buffer};
    assert_int_equal(LMConnectionSend(&connection, &send, &response), 0);
    expect_facts(&response, (struct facts){70000, 0, 1, 1});
    LMResponseBufferFree(&response);
    th_close(&connection);
    th_stop(service);
}

/* --- Interruption --- */

struct waiter {
    const LMSend *send;
    bool asks;
    kern_return_t status;
    pthread_t thread;
};

static void *wait_in_thread(void *info)
{
    struct waiter *waiter = info;
    LMResponseBuffer own;
    waiter->status = LMConnectionSend(&connection, waiter->send, waiter->asks ? &own : NULL);
    if (waiter->asks)
        LMResponseBufferFree(&own);
    return NULL;
}

static void begin(struct waiter *waiter)
{
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_in_thread, waiter), 0);
}

static kern_return_t end(struct waiter *waiter)
{
    assert_int_equal(pthread_join(waiter->thread, NULL), 0);
    return waiter->status;
}

/* Intent: a readable descriptor ends a wait, whether the thread leads or follows. */
static void a_descriptor_ends_a_wait(void)
{
    pid_t service = start();
    int first[2], second[2];
    make_pipe(first);
    make_pipe(second);
    LMSend led = {.messageId = WITHHOLD, .interrupt = &first[0]},
           followed = {.messageId = SUM, .interrupt = &second[0]};
    struct waiter leader = {&led, true, -1, 0}, follower = {&followed, true, -1, 0};
    begin(&leader);
    th_await(TAKEN, 1);
    th_await_others_asleep(1);
    begin(&follower);
    th_await_others_asleep(2);
    assert_int_equal(write(second[1], "x", 1), 1);
    assert_int_equal(end(&follower), MACH_SEND_INTERRUPTED);
    assert_int_equal(write(first[1], "x", 1), 1);
    assert_int_equal(end(&leader), MACH_RCV_INTERRUPTED);
    th_await(NOT_AWAITED, 1);
    th_pause(service);
    assert_int_equal(LMConnectionSend(&connection, &followed, &response), MACH_SEND_INTERRUPTED); /* readable already */
    th_resume(service);
    for (int i = 0; i < 2; i++) {
        close(first[i]);
        close(second[i]);
    }
    th_close(&connection);
    th_stop(service);
}

/* Intent: likewise the wait for room in a full queue, and the reply that comes in time is not lost. */
static void a_descriptor_ends_the_wait_for_room(void)
{
    static uint8_t bytes[60000];
    pid_t service = start();
    int ends[2];
    warm_up();
    make_pipe(ends);
    th_pause(service);
    LMSend fill = {.messageId = SUM, .data = bytes, .length = sizeof bytes, .timeout = LM_TIMEOUT_POLL};
    while (LMConnectionSend(&connection, &fill, NULL) == 0)
        ;
    LMSend send = {.messageId = SUM, .data = bytes, .length = sizeof bytes, .interrupt = &ends[0]};
    struct waiter waiter = {&send, false, -1, 0};
    begin(&waiter);
    th_await_others_asleep(1);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(end(&waiter), MACH_SEND_INTERRUPTED);
    th_resume(service);
    assert_int_equal(read(ends[0], bytes, 1), 1);
    assert_int_equal(LMConnectionSend(&connection, &send, &response), 0); /* not readable: nothing is interrupted */
    LMResponseBufferFree(&response);
    close(ends[0]);
    close(ends[1]);
    th_close(&connection);
    th_stop(service);
}

/* Intent: a descriptor ends the wait for a connection, too, where the listener's queue is full. */
static void wait_without_accepting(const struct th_service *me)
{
    char path[108];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)me;
    snprintf(path, sizeof path, "%.80s/locked", getenv("LM_RUNTIME_DIR"));
    mkdir(path, 0700);
    snprintf(address.sun_path, sizeof address.sun_path, "%.90s/%s", path, NAME);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 0) != 0)
        _exit(2);
    for (int i = 0; i < 2; i++) { /* nobody else gets in */
        int client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(client, (struct sockaddr *)&address, sizeof address);
    }
    th_ready();
    for (;;)
        pause();
}

static void a_descriptor_ends_the_wait_for_a_connection(void)
{
    int ends[2];
    pid_t listener = th_start(&(struct th_service){.program = wait_without_accepting});
    connection = th_connection(NAME);
    make_pipe(ends);
    LMSend send = {.messageId = SUM, .interrupt = &ends[0]};
    struct waiter waiter = {&send, true, -1, 0};
    begin(&waiter);
    th_sleep_ms(100); /* mostly, it waits by then; it is right either way */
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(end(&waiter), MACH_SEND_INTERRUPTED);
    close(ends[0]);
    close(ends[1]);
    th_kill(listener);
}

/* --- Timeouts --- */

/* Intent: the send's timeout comes before the name's, and that before the process's; 0 is none of them. */
static void the_nearest_timeout_counts(void)
{
    pid_t service = start();
    LMConnection other = th_connection("test.send.other");
    warm_up();
    th_pause(service);
    LMSetTimeout(1);
    assert_int_equal(LMConnectionSend(&connection, &(LMSend){.messageId = SUM}, &response), MACH_SEND_TIMED_OUT);
    LMSetTimeout(LM_TIMEOUT_NEVER);
    assert_int_equal(LMConnectionSetTimeout(&connection, 1), 0);
    assert_int_equal(LMConnectionSetTimeout(&other, LM_TIMEOUT_NEVER), 0);
    assert_int_equal(LMConnectionSend(&connection, &(LMSend){.messageId = SUM}, &response), MACH_SEND_TIMED_OUT);
    assert_int_equal(LMConnectionSetTimeout(&connection, LM_TIMEOUT_NEVER), 0);
    LMSend soon = {.messageId = SUM, .timeout = 1}, now = {.messageId = SUM, .timeout = LM_TIMEOUT_POLL};
    assert_int_equal(LMConnectionSend(&connection, &soon, &response), MACH_SEND_TIMED_OUT);
    assert_int_equal(LMConnectionSend(&connection, &now, &response), MACH_SEND_TIMED_OUT);
    assert_int_equal(LMConnectionSetTimeout(&connection, 0), 0);
    LMSetTimeout(2);
    assert_int_equal(LMConnectionSend(&connection, &(LMSend){.messageId = SUM}, &response), MACH_SEND_TIMED_OUT);
    LMConnection bad = {0, ""};
    assert_int_equal(LMConnectionSetTimeout(&bad, 1), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSetTimeout(NULL, 1), KERN_INVALID_ARGUMENT);
    LMSetTimeout(0);
    th_resume(service);
    warm_up();
    th_close(&connection);
    th_stop(service);
}

static uint32_t ask_for_left(SInt32 id, uint32_t timeout)
{
    uint32_t left = 0;
    LMSend send = {.messageId = id, .timeout = timeout};
    assert_int_equal(LMConnectionSend(&connection, &send, &response), 0);
    assert_int_equal(LMMessageGetDataLength(&response.message), sizeof left);
    memcpy(&left, LMMessageGetData(&response.message), sizeof left);
    LMResponseBufferFree(&response);
    return left;
}

static uint32_t ask_left(uint32_t timeout)
{
    return ask_for_left(LEFT, timeout);
}

/* Intent: a callback learns how long its caller will wait. */
static void a_callback_knows_its_callers_deadline(void)
{
    pid_t service = start();
    LMMessage none;
    memset(&none, 0, sizeof none);
    assert_in_range(ask_left(3600000), 1, 3600000);
    assert_in_range(ask_left(0x7fffffff), 1, 0x7fffffff);
    assert_int_equal(ask_left(0xf0000000), LM_TIMEOUT_NEVER); /* 46 days: further than is told */
    assert_int_equal(ask_left(LM_TIMEOUT_NEVER), LM_TIMEOUT_NEVER);
    assert_int_equal(ask_left(0), LM_TIMEOUT_NEVER);
    assert_int_equal(LMConnectionSendOneWay(&connection, LEFT, NULL, 0), 0);
    assert_int_equal(ask_left(0), LM_TIMEOUT_NEVER);
    for (int i = 0; i < 100; i++)
        assert_int_equal(ask_for_left(LEFT_ELSEWHERE, 3600000), LM_TIMEOUT_NEVER);
    assert_int_equal(LMMessageGetTimeLeft(&none), LM_TIMEOUT_NEVER);
    assert_int_equal(LMMessageGetTimeLeft(NULL), LM_TIMEOUT_NEVER);
    th_close(&connection);
    th_stop(service);
}

/* Intent: a service learns that a caller has given up: by its timeout, by cancelling, by its death. */
static void a_service_knows_that_nobody_waits(void)
{
    pid_t service = start();
    LMSend send = {.messageId = WITHHOLD, .timeout = LM_TIMEOUT_NEVER}, brief = {.messageId = WITHHOLD, .timeout = 1};
    struct outcome outcome = {0};
    LMCallRef call;
    th_expect_more_descriptors(2); /* the loop's */
    uint32_t seen = 0;
    while (LMConnectionSend(&connection, &brief, &response) != MACH_RCV_TIMED_OUT)
        ; /* it was not taken in time */
    th_await(NOT_AWAITED, seen = th_get(TAKEN));
    assert_int_equal(LMConnectionSendAsync(&connection, &send, CFRunLoopGetCurrent(), note, &outcome, &call), 0);
    th_await(TAKEN, seen + 1);
    assert_true(LMCallCancel(call));
    CFRelease(call);
    th_await(NOT_AWAITED, seen + 1);
    fflush(NULL);
    pid_t client = fork();
    if (client == 0)
        _exit(LMConnectionSend(&connection, &send, &response));
    th_await(TAKEN, seen + 2);
    kill(client, SIGKILL);
    assert_int_equal(waitpid(client, NULL, 0), client);
    th_await(NOT_AWAITED, seen + 2);
    assert_false(LMReplyIsAwaited(MACH_PORT_NULL));
    assert_false(LMReplyIsAwaited(12345));
    assert_false(outcome.ended);
    th_close(&connection);
    th_stop(service);
}

/* --- Status --- */

/* Intent: a service can reply with a number instead of data, and it is an error for those who don't expect it. */
static void a_reply_can_be_a_status(void)
{
    pid_t service = start();
    struct outcome outcome;
    LMSend send = {.messageId = STATUS};
    assert_int_equal(LMConnectionSend(&connection, &send, &response), LM_STATUS_REPLY);
    assert_int_equal(LMResponseGetStatus(&response), -77);
    assert_null(LMMessageGetData(&response.message));
    assert_int_equal(LMResponseConsumeInteger(&response), 0);
    assert_int_equal(send_async(&send, &outcome), 0);
    run_until_ended(&outcome);
    assert_int_equal(outcome.status, LM_STATUS_REPLY);
    assert_int_equal(outcome.reply_status, -77);
    assert_string_not_equal(mach_error_string(LM_STATUS_REPLY), mach_error_string(12345));
    assert_string_not_equal(mach_error_string(LM_INCOMPATIBLE_VERSION), mach_error_string(12345));
    th_close(&connection);
    th_stop(service);
}

/* --- Waiting for a service --- */

static void *start_later(void *info)
{
    th_sleep_ms(50);
    *(pid_t *)info = th_serve(NAME, serve);
    return NULL;
}

/* Intent: a program can wait for a service that is not there yet, and is told if it does not come. */
static void a_client_waits_for_its_service(void)
{
    pthread_t thread;
    pid_t service = 0;
    connection = th_connection(NAME);
    assert_int_equal(LMConnectionWaitForService(&connection, 0), MACH_SEND_TIMED_OUT);
    assert_int_equal(LMConnectionWaitForService(&connection, 10), MACH_SEND_TIMED_OUT);
    assert_int_equal(LMConnectionWaitForService(NULL, 10), KERN_INVALID_ARGUMENT);
    assert_int_equal(pthread_create(&thread, NULL, start_later, &service), 0);
    assert_int_equal(LMConnectionWaitForService(&connection, LM_TIMEOUT_NEVER), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(LMConnectionWaitForService(&connection, 0), 0);
    assert_int_equal(LMConnectionWaitForService(&connection, LM_TIMEOUT_POLL), 0);
    th_kill(service);
    assert_int_equal(LMConnectionWaitForService(&connection, LM_TIMEOUT_POLL), MACH_SEND_TIMED_OUT);
    assert_int_equal(LMConnectionWaitForService(&connection, 1), MACH_SEND_TIMED_OUT);
    assert_int_equal(pthread_create(&thread, NULL, start_later, &service), 0);
    assert_int_equal(LMConnectionWaitForService(&connection, LM_TIMEOUT_NEVER), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    warm_up();
    th_close(&connection);
    th_stop(service);
}

/* --- Small things --- */

/* Intent: contradictions are errors, and nothing is sent. */
static void contradictions_are_refused(void)
{
    pid_t service = start();
    LMBufferRef buffer, none = NULL;
    int descriptor = 0;
    warm_up();
    buffer = make_buffer(10);
    const LMSend wrong[] = {
        {.buffer = &buffer, .data = "x", .length = 1},
        {.buffer = &none},
        {.length = 1},
        {.descriptorCount = 1},
        {.descriptors = (const int[]){999999}, .descriptorCount = 1},
        {.descriptors = &descriptor, .descriptorCount = LM_DESCRIPTORS_MAX + 1},
        {.interrupt = (const int[]){999999}},
        {.reserved = {1, 0}},
        {.reserved = {0, 1}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(LMConnectionSend(&connection, &wrong[i], NULL), KERN_INVALID_ARGUMENT);
        assert_int_equal(LMConnectionSend(&connection, &wrong[i], &response), KERN_INVALID_ARGUMENT);
        assert_int_equal(LMMessageGetDataLength(&response.message), 0);
    }
    assert_int_equal(LMConnectionSend(&connection, NULL, NULL), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSend(NULL, &wrong[0], NULL), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMReplySend(connection.serverPort, NULL), MACH_SEND_INVALID_RIGHT);
    assert_int_equal(LMReplySend(MACH_PORT_NULL, NULL), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSendTwoWayWithTimeout(&connection, SUM, NULL, 0, LM_TIMEOUT_NEVER, &response), 0);
    LMResponseBufferFree(&response);
    LMServiceOptions options = {.reserved = {1}};
    assert_int_equal(LMStartServiceWithOptions("test.send.options", CFRunLoopGetCurrent(), (CFMachPortCallBack)serve,
                                               NULL, &options, NULL),
                     KERN_INVALID_ARGUMENT);
    LMBufferFree(buffer);
    th_close(&connection);
    th_stop(service);
}

/* Intent: a response may be on the heap, and the getters take an empty message's place for NULL. */
static void getters_take_null(void)
{
    pid_t service = start();
    LMResponseBuffer *heap = LMResponseCreate();
    assert_int_equal(LMConnectionSendTwoWay(&connection, SUM, "x", 1, heap), 0);
    assert_int_equal(LMMessageGetDataLength(&heap->message), sizeof(struct facts));
    LMResponseFree(heap);
    LMResponseFree(NULL);
    LMResponseBufferFree(NULL);
    LMMessageFree(NULL);
    assert_null(LMMessageGetData(NULL));
    assert_int_equal(LMMessageGetDataLength(NULL), 0);
    assert_int_equal(LMMessageGetIdentifier(NULL), 0);
    assert_int_equal(LMMessageGetReplyPort(NULL), MACH_PORT_NULL);
    assert_int_equal(LMMessageGetDescriptorCount(NULL), 0);
    assert_int_equal(LMMessageTakeDescriptor(NULL, 0), -1);
    assert_int_equal(LMResponseGetStatus(NULL), 0);
    th_close(&connection);
    th_stop(service);
}

/* Intent: a program can ask which versions its service speaks. */
static void a_client_knows_its_services_versions(void)
{
    pid_t service = start();
    LMServiceVersions versions = {0};
    assert_int_equal(LMConnectionGetServiceVersions(&connection, &versions), BOOTSTRAP_UNKNOWN_SERVICE);
    assert_int_equal(LMConnectionGetServiceVersions(NULL, &versions), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSendOneWay(&connection, MARK, NULL, 0), 0);
    th_await(MARKED, 1);
    assert_int_equal(LMConnectionGetServiceVersions(&connection, &versions), 0); /* nothing else told this process */
    assert_int_equal(LMConnectionWaitForService(&connection, LM_TIMEOUT_NEVER), 0);
    assert_int_equal(LMConnectionGetServiceVersions(&connection, &versions), 0);
    assert_int_equal(versions.lowest, LM_PROTOCOL_LOWEST);
    assert_int_equal(versions.highest, LM_PROTOCOL_HIGHEST);
    assert_int_equal(versions.spoken, LM_PROTOCOL_HIGHEST);
    assert_false(versions.otherByteOrder);
    th_close(&connection);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(an_asynchronous_call_takes_descriptors),
        TH_TEST(an_asynchronous_call_takes_a_lent_buffer),
        TH_TEST(a_lent_buffer_goes_with_descriptors),
        TH_TEST(a_buffer_with_all_descriptors_is_copied),
        TH_TEST(a_reply_has_a_lent_buffer_and_descriptors),
        TH_TEST(what_a_dead_service_left_arrives_whole),
        TH_TEST(calls_to_a_replaced_service_end),
        TH_TEST(what_a_dead_service_left_keeps_its_order),
        TH_TEST(an_ended_call_keeps_nothing),
        TH_TEST(a_refused_buffer_is_lent_again),
        TH_TEST(a_descriptor_ends_a_wait),
        TH_TEST(a_descriptor_ends_the_wait_for_room),
        TH_TEST(a_descriptor_ends_the_wait_for_a_connection),
        TH_TEST(the_nearest_timeout_counts),
        TH_TEST(a_callback_knows_its_callers_deadline),
        TH_TEST(a_service_knows_that_nobody_waits),
        TH_TEST(a_reply_can_be_a_status),
        TH_TEST(a_client_waits_for_its_service),
        TH_TEST(contradictions_are_refused),
        TH_TEST(getters_take_null),
        TH_TEST(a_client_knows_its_services_versions),
    };
    return TH_MAIN(tests);
}
