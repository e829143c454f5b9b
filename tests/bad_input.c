/* SPDX-License-Identifier: MIT */
/* Careless callers: each mistake gets the documented error and has no other effect. */
#include "harness.h"

#include <sys/stat.h>
#include <unistd.h>

static const char *const BAD_NAMES[] = {"",          ".hidden",     ".",         "..",   "a/b",    "/",
                                        "../escape", "line\nbreak", "tab\tname", "\x01", "del\x7f"};

static void never_called(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)message, (void)size, (void)info;
    abort();
}

static void check_client_refuses(LMConnectionRef connection)
{
    LMResponseBuffer buffer;
    memset(&buffer, 0xa5, sizeof buffer);
    assert_int_equal(LMConnectionSendOneWay(connection, 1, "x", 1), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSendOneWayWithTimeout(connection, 1, "x", 1, 100), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSendEmptyOneWay(connection, 1), KERN_INVALID_ARGUMENT);
    assert_false(LMConnectionSendOneWayData(connection, 1, NULL));
    assert_int_equal(LMConnectionSendTwoWay(connection, 1, "x", 1, &buffer), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
    assert_null(LMMessageGetData(&buffer.message));
    LMResponseBufferFree(&buffer);
    memset(&buffer, 0xa5, sizeof buffer);
    assert_int_equal(LMConnectionSendTwoWayWithTimeout(connection, 1, "x", 1, 100, &buffer), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMResponseConsumeInteger(&buffer), 0);
    memset(&buffer, 0xa5, sizeof buffer);
    assert_int_equal(LMConnectionSendTwoWayData(connection, 1, NULL, &buffer), KERN_INVALID_ARGUMENT);
    LMResponseBufferFree(&buffer);
}

static void clients_refuse_illegal_names(void)
{
    for (size_t i = 0; i < sizeof BAD_NAMES / sizeof *BAD_NAMES; i++) {
        LMConnection connection = th_connection(BAD_NAMES[i]);
        check_client_refuses(&connection);
    }
}

static void clients_refuse_a_name_without_end(void)
{
    struct {
        LMConnection connection;
        char beyond[64];
    } memory;
    memset(&memory, 'a', sizeof memory);
    check_client_refuses(&memory.connection);
    LMConnection *exact = malloc(sizeof *exact); /* so that a memory checker sees a read past the end */
    assert_non_null(exact);
    memset(exact, 'a', sizeof *exact);
    check_client_refuses(exact);
    free(exact);
}

static void clients_refuse_null(void)
{
    check_client_refuses(NULL);
    LMConnection connection = th_connection("bad.null");
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendOneWay(&connection, 1, NULL, 1), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSendOneWay(&connection, 1, NULL, UINT32_MAX), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMConnectionSendTwoWay(&connection, 1, NULL, 1, &buffer), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
    LMResponseBufferFree(&buffer);
}

static kern_return_t start_in_all_ways(const char *name, CFRunLoopRef loop, CFMachPortCallBack callback)
{
    kern_return_t result = LMStartService(name, loop, callback);
    assert_int_equal(LMStartServiceWithUserInfo(name, loop, callback, &loop), result);
    assert_int_equal(LMCheckInService(name, loop, callback, &loop), result);
    return result;
}

static void services_refuse_bad_arguments(void)
{
    unsigned before = th_descriptors();
    CFRunLoopRef loop = CFRunLoopGetCurrent();
    CFMachPortCallBack callback = (CFMachPortCallBack)never_called;
    th_expect_more_descriptors((int)(th_descriptors() - before)); /* the loop's own; the starts below add none */
    for (size_t i = 0; i < sizeof BAD_NAMES / sizeof *BAD_NAMES; i++)
        assert_int_equal(start_in_all_ways(BAD_NAMES[i], loop, callback), KERN_INVALID_ARGUMENT);
    char name[129];
    memset(name, 'a', 128);
    name[128] = '\0';
    assert_int_equal(start_in_all_ways(name, loop, callback), KERN_INVALID_ARGUMENT);
    assert_int_equal(start_in_all_ways(NULL, loop, callback), KERN_INVALID_ARGUMENT);
    assert_int_equal(start_in_all_ways("bad.fine", NULL, callback), KERN_INVALID_ARGUMENT);
    assert_int_equal(start_in_all_ways("bad.fine", loop, NULL), KERN_INVALID_ARGUMENT);
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0, false), kCFRunLoopRunFinished); /* no source left */
    LMConnection connection = th_connection("bad.fine");
    assert_int_equal(LMConnectionSendEmptyOneWay(&connection, 1), BOOTSTRAP_UNKNOWN_SERVICE);
}

static void the_longest_name_works(void)
{
    char name[128];
    memset(name, 'n', 127);
    name[127] = '\0';
    pid_t service = th_serve(name, th_echo);
    LMConnection connection = th_connection(name);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

static void odd_names_work(void)
{
    const char *names[] = {"a", "with space", "dots.and..more.", "-rf", "\xc3\xa9t\xc3\xa9", "*", "%s%n", "~"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pid_t service = th_serve(names[i], th_echo);
        LMConnection connection = th_connection(names[i]);
        th_check_echo(&connection);
        th_close(&connection);
        th_stop(service);
    }
}

/* In a service: answers 1 if all made-up ports are refused and the true port still works. */
static void try_ports(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    static mach_port_t stale;
    mach_port_t reply = message->head.msgh_remote_port;
    const mach_port_t forged[] = {1,
                                  2,
                                  reply + 1,
                                  reply - 1,
                                  reply ^ 0x80000000u,
                                  reply ^ 0x100000u,
                                  0xffffffffu,
                                  0xdeadbeefu,
                                  stale,
                                  CFMachPortGetPort(port),
                                  mach_task_self()};
    (void)size, (void)info;
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        if (forged[i] == reply || forged[i] == MACH_PORT_NULL)
            continue;
        assert_int_equal(LMSendReply(forged[i], "x", 1), MACH_SEND_INVALID_RIGHT);
        assert_int_equal(mach_port_deallocate(mach_task_self(), forged[i]), KERN_INVALID_ARGUMENT);
    }
    assert_int_equal(mach_port_deallocate(mach_task_self(), MACH_PORT_NULL), 0);
    stale = reply;
    assert_int_equal(LMSendIntegerReply(reply, 1), 0);
}

/*
 * Intent: only the reply port of a request can be replied to.
 *   client             service
 *   call ----------->  replies to forged and stale ports: invalid right
 *   <-------------- 1  replies to its own
 */
static void forged_reply_ports_are_refused(void)
{
    pid_t service = th_serve("bad.ports", try_ports);
    LMConnection connection = th_connection("bad.ports");
    for (int i = 0; i < 5; i++)
        assert_int_equal(th_ask(&connection, i), 1);
    /* A connection's port is no reply port either. */
    assert_int_equal(LMSendReply(connection.serverPort, "x", 1), MACH_SEND_INVALID_RIGHT);
    assert_int_equal(th_ask(&connection, 0), 1);
    th_close(&connection);
    th_stop(service);
}

static void reply_null_with_length(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    if (message->head.msgh_id != 1) {
        th_echo(port, message, size, info);
        return;
    }
    assert_int_equal(LMSendReply(message->head.msgh_remote_port, NULL, 8), KERN_INVALID_ARGUMENT);
    assert_int_equal(LMSendReply(message->head.msgh_remote_port, "x", 1),
                     MACH_SEND_INVALID_RIGHT); /* used up all the same */
}

/*
 * Intent: an invalid reply uses the port up and ends the wait.
 *   client             service
 *   call ----------->  replies NULL, 8 bytes: invalid argument
 *   dead port          replies again: invalid right
 */
static void a_senseless_reply_ends_the_wait(void)
{
    pid_t service = th_serve("bad.reply", reply_null_with_length);
    LMConnection connection = th_connection("bad.reply");
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(&connection, 1, NULL, 0, &buffer), MACH_RCV_PORT_DIED);
    LMResponseBufferFree(&buffer);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

static void validity_is_checked(void)
{
    LMResponseBuffer buffer;
    memset(&buffer, 0, sizeof buffer);
    assert_false(LMDataWithSizeIsValidMessage(NULL, (CFIndex)sizeof buffer));
    for (CFIndex size = -1; size < (CFIndex)sizeof(mach_msg_header_t); size++)
        assert_false(LMDataWithSizeIsValidMessage(&buffer, size));
    buffer.message.head.msgh_size = UINT32_MAX;
    buffer.message.data.in_line.length = UINT32_MAX;
    assert_false(LMDataWithSizeIsValidMessage(&buffer, (CFIndex)sizeof(LMMessage)));
}

static void cfdata_refuses_bad_lengths(void)
{
    assert_null(CFDataCreate(kCFAllocatorDefault, (const UInt8 *)"x", -1));
    assert_null(CFDataCreate(kCFAllocatorDefault, NULL, 1));
    CFDataRef empty = CFDataCreate(kCFAllocatorDefault, NULL, 0);
    assert_non_null(empty);
    assert_int_equal(CFDataGetLength(empty), 0);
    assert_int_equal(CFGetRetainCount(empty), 1);
    assert_ptr_equal(CFRetain(empty), empty);
    assert_int_equal(CFGetRetainCount(empty), 2);
    CFRelease(empty);
    CFRelease(empty);
    CFRelease(NULL);
    assert_null(CFRetain(NULL));
    UInt8 *bytes = malloc(10);
    assert_non_null(bytes);
    CFDataRef owner = CFDataCreateWithBytesNoCopy(kCFAllocatorDefault, bytes, 10, kCFAllocatorMalloc);
    assert_ptr_equal(CFDataGetBytePtr(owner), bytes);
    CFRelease(owner); /* the memory checkers find a leak or a double free */
}

static void every_error_has_its_own_sentence(void)
{
    const mach_error_t errors[] = {
        KERN_SUCCESS,           KERN_INVALID_ARGUMENT,     KERN_RESOURCE_SHORTAGE,   BOOTSTRAP_NOT_PRIVILEGED,
        BOOTSTRAP_NAME_IN_USE,  BOOTSTRAP_UNKNOWN_SERVICE, BOOTSTRAP_SERVICE_ACTIVE, MACH_SEND_INVALID_DATA,
        MACH_SEND_INVALID_DEST, MACH_SEND_TIMED_OUT,       MACH_SEND_INVALID_RIGHT,  MACH_SEND_NO_BUFFER,
        MACH_SEND_TOO_LARGE,    MACH_RCV_TIMED_OUT,        MACH_RCV_PORT_DIED};
    enum { COUNT = sizeof errors / sizeof *errors };
    for (int i = 0; i < COUNT; i++) {
        const char *sentence = mach_error_string(errors[i]);
        assert_non_null(sentence);
        assert_true(strlen(sentence) > 0);
        for (int other = 0; other < i; other++)
            assert_string_not_equal(sentence, mach_error_string(errors[other]));
        assert_string_not_equal(sentence, mach_error_string(-12345));
    }
    assert_non_null(mach_error_string(INT32_MAX));
    assert_true(strlen(mach_error_string(-1)) > 0);
}

static void ports_are_made_and_named_carefully(void)
{
    mach_port_t bootstrap;
    assert_int_equal(task_get_bootstrap_port(mach_task_self(), &bootstrap), 0);
    assert_int_equal(rocketbootstrap_register(bootstrap, "bad.port", 12345), MACH_SEND_INVALID_RIGHT);
    assert_int_equal(rocketbootstrap_register(bootstrap, "bad.port", MACH_PORT_NULL), MACH_SEND_INVALID_RIGHT);
    CFMachPortRef port = CFMachPortCreate(kCFAllocatorDefault, (CFMachPortCallBack)never_called, NULL, NULL);
    assert_non_null(port);
    assert_true(CFMachPortIsValid(port));
    assert_int_equal(rocketbootstrap_register(bootstrap, ".bad", CFMachPortGetPort(port)), KERN_INVALID_ARGUMENT);
    assert_int_equal(rocketbootstrap_register(bootstrap, "bad.port", CFMachPortGetPort(port)), 0);
    assert_int_equal(rocketbootstrap_register(bootstrap, "bad.port.two", CFMachPortGetPort(port)),
                     MACH_SEND_INVALID_RIGHT);
    assert_int_equal(mach_port_deallocate(mach_task_self(), CFMachPortGetPort(port)), KERN_INVALID_ARGUMENT);
    CFMachPortRef same = CFMachPortCreateWithPort(kCFAllocatorDefault, CFMachPortGetPort(port), NULL, NULL, NULL);
    assert_ptr_equal(same, port);
    CFRelease(same);
    assert_null(CFMachPortCreateWithPort(kCFAllocatorDefault, 4242, NULL, NULL, NULL));
    CFMachPortInvalidate(port);
    CFMachPortInvalidate(port);
    assert_false(CFMachPortIsValid(port));
    CFRelease(port);
}

static void check_runtime_directory(const char *path, kern_return_t service, kern_return_t client)
{
    LMConnection connection = th_connection("bad.directory");
    assert_int_equal(setenv("LM_RUNTIME_DIR", path, 1), 0);
    assert_int_equal(
        LMStartService("bad.directory", CFRunLoopGetCurrent(), (CFMachPortCallBack)(void (*)(void))never_called),
        service);
    assert_int_equal(LMConnectionSendEmptyOneWay(&connection, 1), client);
}

/* Intent: an unusable runtime directory gives an error that says so, and is not changed. */
static void bad_runtime_directories_are_refused(void)
{
    char here[PATH_MAX], path[PATH_MAX + 32], long_path[2 * PATH_MAX];
    snprintf(here, sizeof here, "%s", getenv("LM_RUNTIME_DIR"));
    check_runtime_directory("relative/path", KERN_INVALID_ARGUMENT, KERN_INVALID_ARGUMENT);
    memset(long_path, 'a', sizeof long_path);
    long_path[0] = '/';
    long_path[sizeof long_path - 1] = '\0';
    check_runtime_directory(long_path, KERN_INVALID_ARGUMENT, KERN_INVALID_ARGUMENT);
    snprintf(path, sizeof path, "%s/missing/below", here);
    check_runtime_directory(path, BOOTSTRAP_NOT_PRIVILEGED, BOOTSTRAP_UNKNOWN_SERVICE);
    snprintf(path, sizeof path, "%s/open", here);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(chmod(path, 0777), 0);
    check_runtime_directory(path, BOOTSTRAP_NOT_PRIVILEGED, BOOTSTRAP_NOT_PRIVILEGED);
    assert_int_equal(rmdir(path), 0); /* nothing was created in it */
    assert_int_equal(setenv("LM_RUNTIME_DIR", here, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(clients_refuse_illegal_names),
        TH_TEST(clients_refuse_a_name_without_end),
        TH_TEST(clients_refuse_null),
        TH_TEST(services_refuse_bad_arguments),
        TH_TEST(bad_runtime_directories_are_refused),
        TH_TEST(the_longest_name_works),
        TH_TEST(odd_names_work),
        TH_TEST(forged_reply_ports_are_refused),
        TH_TEST(a_senseless_reply_ends_the_wait),
        TH_TEST(validity_is_checked),
        TH_TEST(cfdata_refuses_bad_lengths),
        TH_TEST(every_error_has_its_own_sentence),
        TH_TEST(ports_are_made_and_named_carefully),
    };
    return TH_MAIN(tests);
}
