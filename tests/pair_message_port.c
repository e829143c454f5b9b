/* SPDX-License-Identifier: MIT */
/* Details of CFMessagePort: names, lifetimes, deaths, sizes. The basics are in message_port_program.c. */
#include "harness.h"

#include <LightMessaging/CFMessagePort.h>
#include <pthread.h>
#include <unistd.h>

static const char NAME[] = "test.message.port";

enum { ECHO = 1, NO_ANSWER, DIE, KEEP, IS_KEPT, WATCH, QUIT };
enum { CALLS, GO, ENDS, SEEN, CHANGED, STAYED }; /* words */

static CFStringRef make(const char *text)
{
    return CFStringCreateWithCString(NULL, text, kCFStringEncodingUTF8);
}

/* Reads a request before and after its sender writes to it. */
static void watch(CFDataRef data)
{
    const UInt8 *bytes = CFDataGetBytePtr(data);
    UInt8 before = bytes[0];
    th_add(SEEN);
    th_await(CHANGED, 1);
    if (*(const volatile UInt8 *)bytes == before)
        th_add(STAYED);
}

static CFDataRef is_kept(CFDataRef data)
{
    CFIndex length = CFDataGetLength(data);
    UInt8 kept = length == 100000 && th_is_filled(CFDataGetBytePtr(data), (size_t)length, 7);
    CFRelease(data);
    return CFDataCreate(NULL, &kept, 1);
}

static CFDataRef answer(CFMessagePortRef local, SInt32 msgid, CFDataRef data, void *info)
{
    static CFDataRef kept;
    (void)info;
    th_add(CALLS);
    switch (msgid) {
    case KEEP:
        kept = CFDataCreateCopy(NULL, data);
        return NULL;
    case IS_KEPT:
        return is_kept(kept);
    case WATCH:
        watch(data);
        return NULL;
    case QUIT:
        CFMessagePortInvalidate(local);
        return CFDataCreate(NULL, (const UInt8 *)"bye", 3);
    case NO_ANSWER:
        return NULL;
    case DIE:
        _exit(0);
    default:
        return (CFDataRef)CFRetain(data);
    }
}

static CFMessagePortRef create_local(const char *text)
{
    CFStringRef name = text ? make(text) : NULL;
    CFMessagePortRef port = CFMessagePortCreateLocal(NULL, name, answer, NULL, NULL);
    CFRelease(name);
    return port;
}

static CFMessagePortRef create_remote(const char *text)
{
    CFStringRef name = make(text);
    CFMessagePortRef port = CFMessagePortCreateRemote(NULL, name);
    CFRelease(name);
    return port;
}

static void schedule(CFMessagePortRef port)
{
    CFRunLoopSourceRef source = CFMessagePortCreateRunLoopSource(NULL, port, 0);
    assert_non_null(source);
    CFRunLoopAddSource(CFRunLoopGetCurrent(), source, kCFRunLoopCommonModes);
    CFRelease(source);
}

/* Releases its own reference, as programs do: the loop keeps the port. */
static void serve(const struct th_service *me)
{
    CFMessagePortRef port = create_local(me->name);
    assert_non_null(port);
    if (me->info)
        assert_int_equal(rocketbootstrap_cfmessageportexposelocal(port), 0);
    schedule(port);
    CFRelease(port);
    th_ready();
    th_serve_until_stopped();
    exit(0);
}

static pid_t start(void *exposed)
{
    const struct th_service service = {.name = NAME, .program = serve, .info = exposed};
    return th_start(&service);
}

/* The channel belongs to the process; ports only use it. */
static void close_channel(void)
{
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    th_close(&connection);
}

static void check_echo(CFMessagePortRef port, CFIndex length)
{
    UInt8 *bytes = (UInt8 *)malloc((size_t)length + 1);
    CFDataRef reply = NULL;
    th_fill(bytes, (size_t)length, 7);
    CFDataRef data = CFDataCreateWithBytesNoCopy(NULL, bytes, length, kCFAllocatorMalloc);
    assert_int_equal(CFMessagePortSendRequest(port, ECHO, data, 20, 20, kCFRunLoopDefaultMode, &reply), 0);
    assert_non_null(reply);
    assert_int_equal(CFDataGetLength(reply), length);
    assert_true(th_is_filled(CFDataGetBytePtr(reply), (size_t)length, 7));
    CFRelease(reply);
    CFRelease(data);
}

/* --- Names --- */

static void a_name_has_one_port(void)
{
    Boolean should_free = false;
    CFMessagePortRef port = create_local(NAME);
    CFStringRef name = make(NAME);
    CFMessagePortContext context = {0, &should_free, NULL, NULL, NULL};
    CFMessagePortRef again = CFMessagePortCreateLocal(NULL, name, answer, &context, &should_free);
    assert_ptr_equal(port, again);
    assert_true(should_free);
    CFMessagePortGetContext(again, &context);
    assert_null(context.info);
    CFRelease(again);
    CFMessagePortInvalidate(port);
    CFMessagePortRef successor = create_local(NAME);
    assert_non_null(successor);
    assert_ptr_not_equal(successor, port);
    CFRelease(successor);
    CFRelease(port);
    CFRelease(name);
}

static void a_name_of_another_process_is_refused(void)
{
    pid_t server = start(NULL);
    Boolean should_free = false;
    CFStringRef name = make(NAME);
    assert_null(CFMessagePortCreateLocal(NULL, name, answer, NULL, &should_free));
    assert_true(should_free);
    CFRelease(name);
    th_stop(server);
}

static void bad_arguments_give_null(void)
{
    Boolean should_free = false;
    assert_null(create_local("a/b"));
    assert_null(create_remote("a/b"));
    assert_null(CFMessagePortCreateRemote(NULL, NULL));
    assert_null(CFMessagePortCreateLocal(NULL, CFSTR("x"), NULL, NULL, &should_free));
    assert_true(should_free);
    assert_int_equal(CFMessagePortSendRequest(NULL, 0, NULL, 0, 0, NULL, NULL), kCFMessagePortIsInvalid);
    assert_null(CFMessagePortCreateRunLoopSource(NULL, NULL, 0));
    assert_int_equal(rocketbootstrap_cfmessageportexposelocal(NULL), KERN_INVALID_ARGUMENT);
    CFMessagePortRef nameless = create_local(NULL);
    assert_non_null(nameless);
    assert_null(CFMessagePortGetName(nameless));
    assert_true(CFMessagePortIsValid(nameless));
    assert_int_equal(rocketbootstrap_cfmessageportexposelocal(nameless), KERN_INVALID_ARGUMENT);
    assert_int_equal(CFMessagePortSendRequest(nameless, 0, NULL, 0, 0, NULL, NULL), kCFMessagePortIsInvalid);
    CFRelease(nameless);
}

static void the_last_reference_frees_the_name(void)
{
    CFRelease(create_local(NAME));
    pid_t server = start(NULL);
    th_stop(server);
}

/* --- Requests --- */

static void all_sizes_come_back(void)
{
    pid_t server = start(NULL);
    CFMessagePortRef port = create_remote(NAME);
    const CFIndex sizes[] = {0, 1, 4096, 4097, 65536, 65537, 3000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_echo(port, sizes[i]);
    CFRelease(port);
    close_channel();
    th_stop(server);
}

static void no_answer_is_empty_data(void)
{
    pid_t server = start(NULL);
    CFMessagePortRef port = create_remote(NAME);
    CFDataRef reply = NULL;
    assert_int_equal(CFMessagePortSendRequest(port, NO_ANSWER, NULL, 20, 20, kCFRunLoopDefaultMode, &reply), 0);
    assert_int_equal(CFDataGetLength(reply), 0);
    CFRelease(reply);
    assert_int_equal(CFMessagePortSendRequest(port, ECHO, NULL, 20, 20, kCFRunLoopDefaultMode, NULL), 0);
    CFRelease(port);
    close_channel();
    th_stop(server);
}

static void zero_seconds_are_enough_for_a_queue_with_room(void)
{
    pid_t server = start(NULL);
    CFMessagePortRef port = create_remote(NAME);
    assert_int_equal(CFMessagePortSendRequest(port, NO_ANSWER, NULL, 0, 0, NULL, NULL), 0);
    th_await(CALLS, 1);
    CFRelease(port);
    close_channel();
    th_stop(server);
}

static void a_full_queue_is_a_send_timeout(void)
{
    static UInt8 bytes[65536];
    pid_t server = start(NULL);
    CFMessagePortRef port = create_remote(NAME);
    CFDataRef data = CFDataCreateWithBytesNoCopy(NULL, bytes, sizeof bytes, kCFAllocatorNull);
    SInt32 result = kCFMessagePortSuccess;
    CFDataRef reply = NULL;
    check_echo(port, 1);
    th_pause(server);
    for (int i = 0; i < 1000 && result == kCFMessagePortSuccess; i++)
        result = CFMessagePortSendRequest(port, NO_ANSWER, data, 0.01, 0, NULL, NULL);
    assert_int_equal(result, kCFMessagePortSendTimeout);
    result = CFMessagePortSendRequest(port, ECHO, data, 0.01, 1000, kCFRunLoopDefaultMode, &reply);
    assert_int_equal(result, kCFMessagePortSendTimeout);
    assert_null(reply);
    th_resume(server);
    check_echo(port, 1);
    CFRelease(data);
    CFRelease(port);
    close_channel();
    th_stop(server);
}

static void connections_and_ports_are_one(void)
{
    pid_t server = start(NULL);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(&connection, ECHO, "four", 4, &buffer), 0);
    assert_memory_equal(LMMessageGetData(&buffer.message), "four", 4);
    LMResponseBufferFree(&buffer);
    th_close(&connection);
    th_stop(server);
    server = th_serve(NAME, th_echo);
    CFMessagePortRef port = create_remote(NAME);
    check_echo(port, 100);
    CFRelease(port);
    close_channel();
    th_stop(server);
}

/* A copy that the callback makes outlives the request, whose memory is then reused. */
static void a_copy_of_a_request_lasts(void)
{
    static UInt8 bytes[100000];
    pid_t server = start(NULL);
    CFMessagePortRef port = create_remote(NAME);
    CFDataRef data = CFDataCreateWithBytesNoCopy(NULL, bytes, sizeof bytes, kCFAllocatorNull), reply = NULL;
    th_fill(bytes, sizeof bytes, 7);
    assert_int_equal(CFMessagePortSendRequest(port, KEEP, data, 20, 0, NULL, NULL), 0);
    check_echo(port, 1);
    memset(bytes, 0, sizeof bytes);
    for (int i = 0; i < 10; i++)
        assert_int_equal(CFMessagePortSendRequest(port, NO_ANSWER, data, 20, 0, NULL, NULL), 0);
    assert_int_equal(CFMessagePortSendRequest(port, IS_KEPT, data, 20, 20, kCFRunLoopDefaultMode, &reply), 0);
    assert_int_equal(CFDataGetBytePtr(reply)[0], 1);
    CFRelease(reply);
    CFRelease(data);
    CFRelease(port);
    close_channel();
    th_stop(server);
}

/* A request does not change even if the sender of its lent buffer still writes to it, which it must not. */
static void a_request_stays_as_it_is(void)
{
    pid_t server = start(NULL);
    LMConnection connection = th_connection(NAME);
    LMBufferRef buffer;
    th_check_echo(&connection); /* a connection's first message is never lent */
    assert_int_equal(LMConnectionCreateBuffer(&connection, 1 << 20, &buffer), 0);
    UInt8 *bytes = (UInt8 *)LMBufferGetBytes(buffer);
    memset(bytes, 'A', 1 << 20);
    assert_int_equal(LMConnectionSendOneWayBuffer(&connection, WATCH, &buffer), 0);
    th_await(SEEN, 1);
    *(volatile UInt8 *)bytes = 'B';
    th_add(CHANGED);
    th_check_echo(&connection);
    assert_int_equal(th_get(STAYED), 1);
    th_close(&connection);
    th_stop(server);
}

/* --- Ends --- */

static void a_callout_may_end_its_port_and_answer(void)
{
    th_expect_more_descriptors(1);
    pid_t server = start(NULL);
    CFMessagePortRef port = create_remote(NAME);
    CFDataRef reply = NULL;
    assert_int_equal(CFMessagePortSendRequest(port, QUIT, NULL, 20, 20, kCFRunLoopDefaultMode, &reply), 0);
    assert_int_equal(CFDataGetLength(reply), 3);
    assert_memory_equal(CFDataGetBytePtr(reply), "bye", 3);
    CFRelease(reply);
    SInt32 result = CFMessagePortSendRequest(port, ECHO, NULL, 20, 20, kCFRunLoopDefaultMode, NULL);
    assert_true(result == kCFMessagePortIsInvalid || result == kCFMessagePortBecameInvalidError);
    CFRelease(port);
    th_stop(server);
}

struct counted {
    int references; /* this test's own count; the test also runs under sanitizers, and frees nothing */
};

static const void *retain_counted(const void *info)
{
    __atomic_add_fetch(&((struct counted *)(uintptr_t)info)->references, 1, __ATOMIC_SEQ_CST);
    return info;
}

static void release_counted(const void *info)
{
    __atomic_sub_fetch(&((struct counted *)(uintptr_t)info)->references, 1, __ATOMIC_SEQ_CST);
}

static int count_of(struct counted *counted)
{
    return __atomic_load_n(&counted->references, __ATOMIC_SEQ_CST);
}

static CFDataRef answer_late(CFMessagePortRef local, SInt32 msgid, CFDataRef data, void *info)
{
    (void)local, (void)msgid, (void)data;
    th_add(CALLS);
    th_await(ENDS, 1);
    if (count_of((struct counted *)info) > 0)
        th_add(STAYED);
    CFRunLoopStop(CFRunLoopGetCurrent());
    return NULL;
}

static void *call_and_invalidate(void *local)
{
    CFMessagePortRef remote = create_remote(NAME);
    assert_int_equal(CFMessagePortSendRequest(remote, ECHO, NULL, 20, 0, NULL, NULL), 0);
    th_await(CALLS, 1);
    CFMessagePortInvalidate((CFMessagePortRef)local);
    th_add(ENDS);
    CFRelease(remote);
    return NULL;
}

static void the_info_lasts_as_long_as_a_callout(void)
{
    th_expect_more_descriptors(3);
    struct counted counted = {0};
    pthread_t thread;
    CFMessagePortContext context = {0, &counted, retain_counted, release_counted, NULL};
    CFStringRef name = make(NAME);
    CFMessagePortRef port = CFMessagePortCreateLocal(NULL, name, answer_late, &context, NULL);
    schedule(port);
    assert_int_equal(pthread_create(&thread, NULL, call_and_invalidate, port), 0);
    CFRunLoopRunInMode(kCFRunLoopDefaultMode, 20, false);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(th_get(STAYED), 1);
    assert_int_equal(count_of(&counted), 0);
    CFRelease(port);
    CFRelease(name);
}

static void a_death_during_a_request_is_told(void)
{
    th_expect_more_descriptors(1); /* the dead channel, until the name is looked up again */
    pid_t server = start(NULL);
    CFMessagePortRef port = create_remote(NAME);
    SInt32 result = CFMessagePortSendRequest(port, DIE, NULL, 20, 20, kCFRunLoopDefaultMode, NULL);
    assert_int_equal(result, kCFMessagePortBecameInvalidError);
    assert_false(CFMessagePortIsValid(port));
    assert_int_equal(CFMessagePortSendRequest(port, ECHO, NULL, 1, 1, NULL, NULL), kCFMessagePortIsInvalid);
    CFRelease(port);
    th_reap(server);
}

static void ended(CFMessagePortRef port, void *info)
{
    (void)info;
    assert_false(CFMessagePortIsValid(port));
    th_add(ENDS);
    CFRunLoopStop(CFRunLoopGetCurrent());
}

static void wait_for_an_end(void)
{
    CFMessagePortRef busy = create_local("test.busy"); /* keeps the loop running */
    schedule(busy);
    while (th_get(ENDS) == 0)
        CFRunLoopRunInMode(kCFRunLoopDefaultMode, 1, false);
    CFMessagePortInvalidate(busy);
    CFRelease(busy);
}

static void a_kill_is_noticed_by_the_loop(void)
{
    th_expect_more_descriptors(3); /* the loop's two, and the dead channel */
    pid_t server = start(NULL);
    CFMessagePortRef port = create_remote(NAME);
    CFMessagePortSetInvalidationCallBack(port, ended);
    assert_ptr_equal(CFMessagePortGetInvalidationCallBack(port), ended);
    th_kill(server);
    wait_for_an_end();
    CFMessagePortInvalidate(port);
    assert_int_equal(th_get(ENDS), 1);
    CFRelease(port);
}

static void a_released_remote_port_calls_nobody(void)
{
    th_expect_more_descriptors(3);
    pid_t server = start(NULL);
    CFMessagePortRef port = create_remote(NAME);
    CFMessagePortSetInvalidationCallBack(port, ended);
    CFRelease(port);
    th_kill(server);
    CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0, false);
    assert_int_equal(th_get(ENDS), 0);
}

static void a_late_callback_is_called_at_once(void)
{
    CFMessagePortRef port = create_local(NAME);
    CFMessagePortInvalidate(port);
    CFMessagePortSetInvalidationCallBack(port, ended);
    assert_int_equal(th_get(ENDS), 1);
    assert_null(CFMessagePortCreateRunLoopSource(NULL, port, 0));
    CFRelease(port);
}

/* --- Lifetimes --- */

static void add_one(CFRunLoopTimerRef timer, void *info)
{
    (void)timer, (void)info;
    th_add(GO);
    CFRunLoopStop(CFRunLoopGetCurrent());
}

static void taken_off_its_loop_a_port_may_go(void)
{
    th_expect_more_descriptors(2);
    CFMessagePortRef port = create_local(NAME);
    CFRunLoopSourceRef source = CFMessagePortCreateRunLoopSource(NULL, port, 0);
    CFRunLoopAddSource(CFRunLoopGetCurrent(), source, kCFRunLoopCommonModes);
    CFRunLoopAddSource(CFRunLoopGetCurrent(), source, kCFRunLoopCommonModes);
    CFRunLoopRemoveSource(CFRunLoopGetCurrent(), source, kCFRunLoopCommonModes);
    CFRelease(source);
    CFRelease(port);
    CFRunLoopTimerRef timer = CFRunLoopTimerCreate(NULL, 0, 0, 0, 0, add_one, NULL);
    CFRunLoopAddTimer(CFRunLoopGetCurrent(), timer, kCFRunLoopCommonModes);
    CFRelease(timer);
    CFRunLoopRun();
    assert_int_equal(th_get(GO), 1);
    pid_t server = start(NULL); /* the name is free */
    th_stop(server);
}

static void *create_and_release(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < th_rounds(2000); i++) {
        CFMessagePortRef port = create_local(NAME);
        assert_non_null(port);
        assert_int_equal(rocketbootstrap_cfmessageportexposelocal(port) & ~BOOTSTRAP_UNKNOWN_SERVICE, 0);
        CFRelease(port);
    }
    return NULL;
}

static void threads_may_share_a_name(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, create_and_release, NULL), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    CFMessagePortRef port = create_local(NAME);
    assert_non_null(port);
    CFRelease(port);
}

static pthread_barrier_t all_there;

static void *create_at_once(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&all_there);
    return create_local(NAME);
}

static void threads_that_create_at_once_get_one_port(void)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    void *ports[THREADS];
    for (unsigned i = 0; i < th_rounds(300); i++) {
        assert_int_equal(pthread_barrier_init(&all_there, NULL, THREADS), 0);
        for (int j = 0; j < THREADS; j++)
            assert_int_equal(pthread_create(&threads[j], NULL, create_at_once, NULL), 0);
        for (int j = 0; j < THREADS; j++)
            assert_int_equal(pthread_join(threads[j], &ports[j]), 0);
        assert_non_null(ports[0]);
        for (int j = 1; j < THREADS; j++)
            assert_ptr_equal(ports[j], ports[0]);
        CFMessagePortInvalidate((CFMessagePortRef)ports[0]);
        for (int j = 0; j < THREADS; j++)
            CFRelease(ports[j]);
        pthread_barrier_destroy(&all_there);
    }
}

static bool is_unlocked(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/unlocked/%s", getenv("LM_RUNTIME_DIR"), NAME);
    return access(path, F_OK) == 0;
}

static void exposing_opens_the_door(void)
{
    pid_t server = start(NULL);
    assert_false(is_unlocked());
    th_stop(server);
    server = start((void *)"exposed");
    assert_true(is_unlocked());
    CFStringRef name = make(NAME);
    CFMessagePortRef port = rocketbootstrap_cfmessageportcreateremote(NULL, name);
    assert_non_null(port);
    check_echo(port, 10);
    CFRelease(name);
    CFRelease(port);
    close_channel();
    th_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(a_name_has_one_port),
        TH_TEST(a_name_of_another_process_is_refused),
        TH_TEST(bad_arguments_give_null),
        TH_TEST(the_last_reference_frees_the_name),
        TH_TEST(all_sizes_come_back),
        TH_TEST(no_answer_is_empty_data),
        TH_TEST(zero_seconds_are_enough_for_a_queue_with_room),
        TH_TEST(a_full_queue_is_a_send_timeout),
        TH_TEST(connections_and_ports_are_one),
        TH_TEST(a_copy_of_a_request_lasts),
        TH_TEST(a_request_stays_as_it_is),
        TH_TEST(a_callout_may_end_its_port_and_answer),
        TH_TEST(the_info_lasts_as_long_as_a_callout),
        TH_TEST(a_death_during_a_request_is_told),
        TH_TEST(a_kill_is_noticed_by_the_loop),
        TH_TEST(a_released_remote_port_calls_nobody),
        TH_TEST(a_late_callback_is_called_at_once),
        TH_TEST(taken_off_its_loop_a_port_may_go),
        TH_TEST(threads_may_share_a_name),
        TH_TEST(threads_that_create_at_once_get_one_port),
        TH_TEST(exposing_opens_the_door),
    };
    return TH_MAIN(tests);
}
