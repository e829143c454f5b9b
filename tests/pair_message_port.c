/* SPDX-License-Identifier: MIT */
/* CFMessagePort's finer points: names, lives, deaths, sizes. What every program does with it is in
 * message_port_program.c. */
#include "harness.h"

#include <LightMessaging/CFMessagePort.h>
#include <pthread.h>
#include <unistd.h>

static const char NAME[] = "test.message.port";

enum { ECHO = 1, NO_ANSWER, DIE };
enum { CALLS, GO, ENDS }; /* words */

static CFStringRef make(const char *text)
{
    return CFStringCreateWithCString(NULL, text, kCFStringEncodingUTF8);
}

static CFDataRef answer(CFMessagePortRef local, SInt32 msgid, CFDataRef data, void *info)
{
    (void)local, (void)info;
    th_add(CALLS);
    switch (msgid) {
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

/* Gives up its own reference, as programs do: the loop keeps the port. */
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

/* The channel is the process's; ports only use it. */
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

/* --- Ends --- */

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
    CFMessagePortRef busy = create_local("test.busy"); /* something that keeps the loop running */
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

/* --- Lives --- */

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
        if (!port)
            continue; /* the other thread is just giving it up */
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
        TH_TEST(a_death_during_a_request_is_told),
        TH_TEST(a_kill_is_noticed_by_the_loop),
        TH_TEST(a_released_remote_port_calls_nobody),
        TH_TEST(a_late_callback_is_called_at_once),
        TH_TEST(taken_off_its_loop_a_port_may_go),
        TH_TEST(threads_may_share_a_name),
        TH_TEST(exposing_opens_the_door),
    };
    return TH_MAIN(tests);
}
