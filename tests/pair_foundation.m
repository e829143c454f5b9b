/* SPDX-License-Identifier: MIT */
/* Objective-C with GNUstep's Foundation: property lists to and from C, and services on an NSRunLoop. */
#import <LightMessaging/LightMessaging.h>

#include "lists.h"

#include <malloc.h>
#include <unistd.h>

static const char NAME[] = "test.foundation";

enum { DATA = 10, NO_DATA, TICKS, STOP };
enum { TICKED, FIRED, REPLIES }; /* words */

/* Memory that Foundation allocates when a list is first written, and never frees; gnustep.supp has this function's
 * name. */
__attribute__((noinline)) static void set_up_foundation(void)
{
    static bool done;
    if (!done)
        [NSPropertyListSerialization dataWithPropertyList:@"first"
                                                   format:NSPropertyListBinaryFormat_v1_0
                                                  options:0
                                                    error:NULL];
    done = true;
}

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    set_up_foundation();
    mach_port_t reply = message->head.msgh_remote_port;
    switch (message->head.msgh_id) {
    case LS_ECHO:
        LMSendPropertyListReply(reply, LMResponseConsumePropertyList((LMResponseBuffer *)message));
        break;
    case DATA:
        assert_int_equal(LMSendNSDataReply(reply, [NSData dataWithBytes:"bytes" length:5]), 0);
        break;
    case NO_DATA:
        assert_int_equal(LMSendNSDataReply(reply, nil), 0);
        break;
    case TICKS:
        LMSendIntegerReply(reply, (int)th_get(TICKED));
        break;
    default:
        th_echo(port, message, size, info);
    }
    [pool release];
}

/* Runs a test in a pool of its own. */
#define IN_POOL(name)                                                                                                  \
    static void name##_in_pool(void);                                                                                  \
    static void name(void)                                                                                             \
    {                                                                                                                  \
        NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];                                                    \
        set_up_foundation();                                                                                           \
        name##_in_pool();                                                                                              \
        [pool release];                                                                                                \
    }                                                                                                                  \
    static void name##_in_pool(void)

/* --- Lists --- */

static NSArray *make_integers(void)
{
    const long long values[] = {0,     1,     127,       128,        255,        256,         32767,    32768,
                                65535, 65536, INT32_MAX, 0x80000000, UINT32_MAX, 0x100000000, INT64_MAX};
    NSMutableArray *array = [NSMutableArray array];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        [array addObject:[NSNumber numberWithLongLong:values[i]]];
    return array;
}

static NSArray *make_reals(void)
{
    const double values[] = {0.0, 0.5, -1.5, 1e-9, 1e300, 0.1};
    NSMutableArray *array = [NSMutableArray array];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        [array addObject:[NSNumber numberWithDouble:values[i]]];
    return array;
}

static NSString *text(const char *bytes)
{
    return [NSString stringWithUTF8String:bytes];
}

static void set_texts(NSMutableDictionary *dictionary)
{
    [dictionary setObject:@"" forKey:@"empty"];
    [dictionary setObject:@"<a & \"b\">\n\t'c'" forKey:@"markup"];
    [dictionary setObject:text("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80") forKey:@"wide"];
    [dictionary setObject:@"a wide key" forKey:text("cl\xc3\xa9")];
    [dictionary setObject:[@"" stringByPaddingToLength:1024 withString:@"x" startingAtIndex:0] forKey:@"long"];
}

static void set_others(NSMutableDictionary *dictionary)
{
    char bytes[300];
    th_fill(bytes, sizeof bytes, 3);
    [dictionary setObject:[NSData dataWithBytes:bytes length:sizeof bytes] forKey:@"data"];
    [dictionary setObject:[NSData data] forKey:@"no data"];
    [dictionary setObject:[NSDate dateWithTimeIntervalSinceReferenceDate:700000000] forKey:@"date"];
    [dictionary setObject:[NSDate dateWithTimeIntervalSinceReferenceDate:-86400] forKey:@"early date"];
    [dictionary setObject:[NSNumber numberWithBool:YES] forKey:@"true"];
    [dictionary setObject:[NSNumber numberWithBool:NO] forKey:@"false"];
    [dictionary setObject:[NSArray array] forKey:@"empty array"];
    [dictionary setObject:[NSDictionary dictionary] forKey:@"empty dictionary"];
}

/* Returns the same list as ls_make_for_foundation. */
static NSDictionary *make(void)
{
    NSMutableDictionary *inner = [NSMutableDictionary dictionary];
    [inner setObject:make_integers() forKey:@"integers"];
    [inner setObject:[NSNumber numberWithInt:-1] forKey:@"minus one"];
    [inner setObject:make_reals() forKey:@"reals"];
    set_texts(inner);
    set_others(inner);
    NSArray *array = [NSArray arrayWithObjects:[[inner copy] autorelease], inner, @"last", nil];
    return [NSDictionary dictionaryWithObject:array forKey:@"nested"];
}

static NSDictionary *make_large(void)
{
    static char bytes[6 << 20];
    NSMutableArray *array = [NSMutableArray array];
    for (unsigned i = 0; i < (th_quick() || th_sanitized() ? 500 : 10000); i++)
        [array addObject:[[NSString stringWithFormat:@"string %05u ", i] stringByPaddingToLength:449
                                                                                      withString:@"x"
                                                                                 startingAtIndex:0]];
    th_fill(bytes, sizeof bytes, 11);
    return [NSDictionary
        dictionaryWithObjectsAndKeys:array, @"strings", [NSData dataWithBytes:bytes length:sizeof bytes], @"data", nil];
}

static id make_deep(unsigned depth)
{
    id list = [NSArray array];
    for (unsigned i = 1; i < depth; i++)
        list = [NSArray arrayWithObject:list];
    return list;
}

static void check_echo(LMConnectionRef connection, id list)
{
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWayPropertyList(connection, LS_ECHO, list, &response), 0);
    id reply = LMResponseConsumePropertyList(&response);
    assert_true([list isEqual:reply]);
    assert_int_equal(LMMessageGetDataLength(&response.message), 0);
}

/* Without characters beyond U+FFFF: GNUstep writes them as escapes that XML does not have. It reads such characters. */
static NSDictionary *make_for_xml(void)
{
    NSMutableDictionary *inner = [[[[make() objectForKey:@"nested"] objectAtIndex:0] mutableCopy] autorelease];
    [inner setObject:text("caf\xc3\xa9 \xe2\x82\xac") forKey:@"wide"];
    return [NSDictionary dictionaryWithObject:inner forKey:@"nested"];
}

static void check_echo_of_xml(LMConnectionRef connection, id list)
{
    LMResponseBuffer response;
    NSData *data = [NSPropertyListSerialization dataWithPropertyList:list
                                                              format:NSPropertyListXMLFormat_v1_0
                                                             options:0
                                                               error:NULL];
    assert_int_equal(LMConnectionSendTwoWay(connection, LS_ECHO, [data bytes], (uint32_t)[data length], &response), 0);
    assert_true([list isEqual:LMResponseConsumePropertyList(&response)]);
}

static void check_all_echoes(LMConnectionRef connection)
{
    check_echo(connection, make());
    check_echo(connection, @"a value alone");
    check_echo(connection, [NSNumber numberWithInt:7]);
    check_echo(connection, [NSDictionary dictionary]);
    check_echo(connection, [NSArray array]);
    check_echo(connection, [NSData data]);
    check_echo(connection, make_deep(256));
    check_echo_of_xml(connection, make_for_xml());
    check_echo(connection, make_large());
    check_echo_of_xml(connection, make_large());
}

IN_POOL(every_type_goes_from_objective_c_to_itself)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    check_all_echoes(&connection);
    th_close(&connection);
    th_stop(server);
}

IN_POOL(every_type_goes_from_objective_c_to_c)
{
    pid_t server = th_serve(NAME, ls_answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    check_all_echoes(&connection);
    assert_int_equal(LMConnectionSendTwoWayPropertyList(&connection, LS_COMPARE, make(), &response), 0);
    assert_int_equal(LMResponseConsumeInteger(&response), 1);
    assert_int_equal(LMConnectionSendOneWayPropertyList(&connection, LS_COUNT, make()), 0);
    th_close(&connection);
    th_stop(server);
}

static void every_type_goes_from_c_to_objective_c(void)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    ls_check_echo(&connection, ls_make_for_foundation());
    ls_check_echo_of_lent(&connection, ls_make_for_foundation());
    ls_check_echo_of_xml(&connection, ls_make_for_foundation());
    ls_check_echo(&connection, ls_make_large());
    ls_check_echo_of_xml(&connection, ls_make_large());
    th_close(&connection);
    th_stop(server);
}

IN_POOL(lists_and_data_become_each_other)
{
    NSDictionary *list = make();
    NSData *data = LMDataForPropertyList(list);
    assert_memory_equal([data bytes], "bplist00", 8);
    assert_true([list isEqual:LMPropertyListForData(data)]);
    assert_null(LMDataForPropertyList(nil));
    assert_null(LMPropertyListForData(nil));
    assert_null(LMPropertyListForData([NSData data]));
}

static bool is_nil_of(const uint8_t *bytes, size_t length)
{
    return LMPropertyListForData([NSData dataWithBytes:bytes length:length]) == nil;
}

IN_POOL(bad_lists_are_nil)
{
    static uint8_t bytes[1 << 20];
    assert_false(is_nil_of(bytes, ls_write_chain(bytes, 256, 1, -1)));
    assert_true(is_nil_of(bytes, ls_write_chain(bytes, 10000, 1, -1)));
    assert_true(is_nil_of(bytes, ls_write_chain(bytes, 10, 1, 3)));
    assert_true(is_nil_of(bytes, ls_write_chain(bytes, 60, 2, -1)));
    NSData *good = LMDataForPropertyList(make());
    for (NSUInteger cut = 0; cut < [good length]; cut += th_quick() || th_sanitized() ? 37 : 1)
        assert_true(is_nil_of([good bytes], cut));
}

/* The same texts are lists in C and in Objective-C. */
IN_POOL(the_same_is_a_list_as_in_c)
{
    uint8_t bytes[200];
    for (const struct ls_text *text = ls_texts; text->text; text++)
        if (is_nil_of((const uint8_t *)text->text, strlen(text->text)) == text->is_list)
            fail_msg("%s", text->text);
    for (const struct ls_value *value = ls_values; value->bytes; value++)
        if (is_nil_of(bytes, ls_write_value(bytes, value->bytes, value->length)) == value->is_list)
            fail_msg("value %d", (int)(value - ls_values));
}

IN_POOL(hidden_depth_is_nil)
{
    char *text;
    for (unsigned way = 0; (text = ls_write_trick(way)) != NULL; way++) {
        if (!is_nil_of((const uint8_t *)text, strlen(text)))
            fail_msg("trick %u is taken for a list", way);
        free(text);
    }
}

/* A list with one damaged byte may have any result, but no exception and no crash. */
IN_POOL(damaged_lists_do_no_harm)
{
    NSMutableData *data = [[LMDataForPropertyList(make()) mutableCopy] autorelease];
    uint8_t *bytes = [data mutableBytes];
    for (NSUInteger at = 8; at < [data length]; at += th_quick() || th_sanitized() ? 37 : 1) {
        NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
        uint8_t right = bytes[at];
        bytes[at] ^= (uint8_t)(1u << (at % 8));
        LMPropertyListForData(data);
        bytes[at] = 0xff;
        LMPropertyListForData(data);
        bytes[at] = right;
        [pool release];
    }
}

static void reply_unsendable(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    set_up_foundation();
    if (message->head.msgh_id == LS_ECHO)
        assert_int_equal(LMSendPropertyListReply(message->head.msgh_remote_port, [[NSObject new] autorelease]),
                         MACH_SEND_INVALID_DATA);
    else
        th_echo(port, message, size, info);
    [pool release];
}

IN_POOL(what_is_no_list_is_not_sent)
{
    pid_t server = th_serve(NAME, reply_unsendable);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    const unichar nul[] = {'a', 0, 'b'};
    NSString *cut = [NSString stringWithCharacters:nul length:3];
    id bad[] = {[[NSObject new] autorelease],
                make_deep(257),
                make_deep(10000),
                cut,
                [NSDictionary dictionaryWithObject:@"value" forKey:cut],
                [NSNumber numberWithUnsignedLongLong:1ULL << 63],
                [NSNumber numberWithUnsignedLongLong:UINT64_MAX],
                [NSNumber numberWithDouble:strtod("nan", NULL)],
                [NSArray arrayWithObject:[NSNumber numberWithFloat:strtof("nan", NULL)]],
                [NSDate dateWithTimeIntervalSinceReferenceDate:-1e12]};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(LMConnectionSendTwoWayPropertyList(&connection, LS_ECHO, bad[i], &response),
                         MACH_SEND_INVALID_DATA);
        assert_int_equal(LMMessageGetDataLength(&response.message), 0);
        assert_int_equal(LMConnectionSendOneWayPropertyList(&connection, LS_ECHO, bad[i]), MACH_SEND_INVALID_DATA);
    }
    assert_int_equal(LMConnectionSendTwoWayPropertyList(&connection, LS_ECHO, nil, &response), MACH_RCV_PORT_DIED);
    th_close(&connection);
    th_stop(server);
}

IN_POOL(data_are_replies)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    LMResponseBuffer response;
    assert_int_equal(LMConnectionSendTwoWay(&connection, DATA, NULL, 0, &response), 0);
    assert_memory_equal(LMMessageGetData(&response.message), "bytes", 5);
    LMResponseBufferFree(&response);
    assert_int_equal(LMConnectionSendTwoWay(&connection, NO_DATA, NULL, 0, &response), 0);
    assert_int_equal(LMMessageGetDataLength(&response.message), 0);
    assert_null(LMResponseConsumePropertyList(&response));
    th_close(&connection);
    th_stop(server);
}

/* --- Run loops --- */

@interface TestTicker : NSObject
- (void)tick:(NSTimer *)timer;
- (void)stop:(NSTimer *)timer;
@end

@implementation TestTicker
- (void)tick:(NSTimer *)timer
{
    (void)timer;
    th_add(TICKED);
}
- (void)stop:(NSTimer *)timer
{
    (void)timer;
    CFRunLoopStop(CFRunLoopGetCurrent());
}
@end

static void start_ticking(SEL selector)
{
    TestTicker *ticker = [[TestTicker new] autorelease];
    [NSTimer scheduledTimerWithTimeInterval:0.01 target:ticker selector:selector userInfo:nil repeats:YES];
}

static void fire(CFRunLoopTimerRef timer, void *info)
{
    (void)timer, (void)info;
    th_add(FIRED);
}

static CFRunLoopTimerRef add_timer(void)
{
    CFRunLoopTimerRef timer = CFRunLoopTimerCreate(NULL, CFAbsoluteTimeGetCurrent() + 0.01, 0.01, 0, 0, fire, NULL);
    CFRunLoopAddTimer(CFRunLoopGetCurrent(), timer, kCFRunLoopCommonModes);
    return timer;
}

/* A service as in programs for NSRunLoop: it never calls CFRunLoopRun. */
static void run_ns_run_loop(const struct th_service *me)
{
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    assert_int_equal(LMStartService(me->name, CFRunLoopGetCurrent(), (CFMachPortCallBack)(void (*)(void))answer), 0);
    start_ticking(@selector(tick:));
    CFRelease(add_timer());
    CFRunLoopStop(CFRunLoopGetCurrent()); /* has no effect on an NSRunLoop's run, and must not keep it from serving */
    th_ready();
    [[NSRunLoop currentRunLoop] run];
    [pool release];
    exit(1);
}

static void an_ns_run_loop_serves_timers_and_services(void)
{
    const struct th_service service = {.name = NAME, .program = run_ns_run_loop};
    pid_t server = th_start(&service);
    LMConnection connection = th_connection(NAME);
    for (uint32_t round = 1; round <= 5; round++) {
        th_await(TICKED, 3 * round);
        th_await(FIRED, 3 * round);
        assert_true(th_ask(&connection, TICKS) >= (int32_t)(3 * round));
    }
    for (unsigned i = 0; i < th_rounds(1000); i++)
        th_check_echo(&connection);
    uint32_t ticks = th_get(TICKED), fired = th_get(FIRED);
    th_await(TICKED, ticks + 3);
    th_await(FIRED, fired + 3);
    th_close(&connection);
    th_kill(server);
}

static void count_reply(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info)
{
    (void)call, (void)info;
    assert_int_equal(status, 0);
    assert_int_equal(LMMessageGetDataLength(&response->message), 5);
    th_add(REPLIES);
}

IN_POOL(asynchronous_calls_end_on_an_ns_run_loop)
{
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    th_expect_more_descriptors(5); /* the loops' */
    for (int i = 0; i < 10; i++)
        assert_int_equal(LMConnectionSendTwoWayAsync(&connection, DATA, NULL, 0, 20000, CFRunLoopGetCurrent(),
                                                     count_reply, NULL, NULL),
                         0);
    while (th_get(REPLIES) < 10)
        [[NSRunLoop currentRunLoop] runMode:NSDefaultRunLoopMode beforeDate:[NSDate distantFuture]];
    th_close(&connection);
    th_stop(server);
}

IN_POOL(ns_timers_fire_in_a_cf_run_loop)
{
    th_expect_more_descriptors(5);
    CFRunLoopTimerRef timer = add_timer();
    start_ticking(@selector(tick:));
    while (th_get(TICKED) < 3 || th_get(FIRED) < 3)
        assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 0.05, false), kCFRunLoopRunTimedOut);
    start_ticking(@selector(stop:));
    CFRunLoopRun();
    assert_int_equal(CFRunLoopRunInMode(kCFRunLoopDefaultMode, 20, false), kCFRunLoopRunStopped);
    CFRunLoopTimerInvalidate(timer);
    CFRelease(timer);
}

/* --- Leaks --- */

static size_t memory_in_use(void)
{
    return mallinfo2().uordblks;
}

static void echo_many(LMConnectionRef connection, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
        LMResponseBuffer response;
        check_echo(connection, make());
        assert_int_equal(LMConnectionSendTwoWay(connection, DATA, NULL, 0, &response), 0);
        assert_null(LMResponseConsumePropertyList(&response));
        LMConnectionSendOneWayPropertyList(connection, 99, make_deep(300));
        [pool release];
    }
}

/* Allocation checkers would report the runtime's own memory, which it never frees; memory that grows is the
 * library's. */
IN_POOL(nothing_grows)
{
    const unsigned rounds = th_sanitized() ? 20 : th_rounds(500);
    pid_t server = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    echo_many(&connection, rounds); /* Foundation fills its caches */
    size_t before = memory_in_use();
    echo_many(&connection, rounds);
    th_report("%zu bytes, then %zu", before, memory_in_use());
    assert_true(th_sanitized() || th_on_valgrind() || memory_in_use() < before + rounds * 16);
    th_close(&connection);
    th_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(every_type_goes_from_objective_c_to_itself),
        TH_TEST(every_type_goes_from_objective_c_to_c),
        TH_TEST(every_type_goes_from_c_to_objective_c),
        TH_TEST(lists_and_data_become_each_other),
        TH_TEST(bad_lists_are_nil),
        TH_TEST(the_same_is_a_list_as_in_c),
        TH_TEST(hidden_depth_is_nil),
        TH_TEST(damaged_lists_do_no_harm),
        TH_TEST(what_is_no_list_is_not_sent),
        TH_TEST(data_are_replies),
        TH_TEST(an_ns_run_loop_serves_timers_and_services),
        TH_TEST(asynchronous_calls_end_on_an_ns_run_loop),
        TH_TEST(ns_timers_fire_in_a_cf_run_loop),
        TH_TEST(nothing_grows),
    };
    return TH_MAIN(tests);
}
