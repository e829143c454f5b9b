/* SPDX-License-Identifier: MIT */
/* The port table, deadlines on a test clock, names, and system calls that fail at every place. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

int64_t test_clock(void);
int test_fault(long number);
#define LM_TEST_CLOCK   test_clock
#define LM_TEST_SYSCALL test_fault
#include "harness.h"

#include <sys/syscall.h>

static int64_t now;

int64_t test_clock(void)
{
    return now;
}

static int calls_until_fault; /* the call that fails, counted from 1; 0: none */
static int calls;
static bool from_there_on;

int test_fault(long number)
{
    if (number == SYS_close || number == SYS_unlinkat) /* cannot be handled if it fails */
        return 0;
    calls++;
    bool fails = calls_until_fault > 0 && (calls == calls_until_fault || (from_there_on && calls > calls_until_fault));
    return fails ? EMFILE : 0;
}

/* --- The table --- */

static void names_find_their_objects(void)
{
    struct lm_table table = {0};
    static int objects[1000];
    static uint32_t names[1000];
    for (uint32_t i = 0; i < 1000; i++) {
        names[i] = lm_table_insert(&table, (uint16_t)(i % 3), &objects[i], i);
        assert_int_not_equal(names[i], 0);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        struct lm_entry *entry = lm_table_find(&table, names[i], (uint16_t)(i % 3));
        assert_non_null(entry);
        assert_ptr_equal(entry->object, &objects[i]);
        assert_int_equal(entry->detail, i);
        assert_null(lm_table_find(&table, names[i], (uint16_t)((i + 1) % 3)));
    }
    lm_table_deinit(&table);
    lm_table_deinit(&table);
}

static void removed_and_forged_names_are_not_found(void)
{
    struct lm_table table = {0};
    int object;
    assert_null(lm_table_find_any(&table, 0));
    assert_null(lm_table_find_any(&table, 1));
    uint32_t name = lm_table_insert(&table, 1, &object, 0);
    lm_table_remove(&table, lm_table_find_any(&table, name));
    assert_null(lm_table_find_any(&table, name));
    name = lm_table_insert(&table, 1, &object, 0);
    const uint32_t forged[] = {0,          1u << LM_NAME_SLOT_BITS, name + 1, name ^ 1u << LM_NAME_SLOT_BITS,
                               UINT32_MAX, LM_NAME_SLOT_MAX};
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++)
        assert_null(lm_table_find_any(&table, forged[i]));
    assert_non_null(lm_table_find_any(&table, name));
    lm_table_deinit(&table);
}

static void a_slot_is_reused_late_and_under_another_name(void)
{
    struct lm_table table = {0};
    int object;
    uint32_t first = lm_table_insert(&table, 1, &object, 0);
    lm_table_remove(&table, lm_table_find_any(&table, first));
    uint32_t until_reuse = 0, name;
    do {
        name = lm_table_insert(&table, 1, &object, 0);
        assert_int_not_equal(name, first);
        assert_null(lm_table_find_any(&table, first));
        lm_table_remove(&table, lm_table_find_any(&table, name));
        until_reuse++;
    } while ((name ^ first) << (32 - LM_NAME_SLOT_BITS) != 0);
    assert_true(until_reuse >= LM_TABLE_FIRST_SIZE - 2);
    lm_table_deinit(&table);
}

static void clearing_ends_all_names(void)
{
    struct lm_table table = {0};
    int object;
    uint32_t names[10];
    for (int i = 0; i < 10; i++)
        names[i] = lm_table_insert(&table, 1, &object, 0);
    lm_table_clear(&table);
    for (int i = 0; i < 10; i++)
        assert_null(lm_table_find_any(&table, names[i]));
    assert_int_not_equal(lm_table_insert(&table, 1, &object, 0), 0);
    lm_table_deinit(&table);
}

/* --- Deadlines --- */

static void deadlines_count_down(void)
{
    now = 5000000000;
    int64_t deadline = lm_deadline_after(300);
    assert_int_equal(lm_deadline_left(deadline), 300000000);
    assert_int_equal(lm_deadline_milliseconds(deadline), 300);
    now += 1;
    assert_int_equal(lm_deadline_left(deadline), 299999999);
    assert_int_equal(lm_deadline_milliseconds(deadline), 300); /* rounded up */
    now += 299999998;
    assert_int_equal(lm_deadline_milliseconds(deadline), 1);
    now += 1;
    assert_int_equal(lm_deadline_left(deadline), 0);
    now += 1000;
    assert_int_equal(lm_deadline_left(deadline), 0);
    assert_int_equal(lm_deadline_milliseconds(deadline), 0);
}

static void deadlines_have_ends(void)
{
    now = 1000;
    assert_int_equal(lm_deadline_left(lm_deadline_after(0)), 0);
    assert_true(lm_deadline_after(UINT32_MAX) == LM_FOREVER);
    assert_int_equal(lm_deadline_milliseconds(LM_FOREVER), -1);
    assert_true(lm_deadline_left(LM_FOREVER) == LM_FOREVER);
    assert_true(lm_deadline_left(lm_deadline_after(UINT32_MAX - 1)) == (int64_t)(UINT32_MAX - 1) * 1000000);
    assert_int_equal(lm_deadline_milliseconds(LM_FOREVER - 1), INT_MAX);
}

/* --- Names --- */

static void names_are_checked(void)
{
    char name[130];
    memset(name, 'a', sizeof name);
    assert_false(lm_name_valid(name)); /* no NUL among 128 */
    name[127] = '\0';
    assert_true(lm_name_valid(name));
    assert_false(lm_name_valid(NULL));
    const char *bad[] = {"", ".", ".a", "a/", "/a", "a\n", "\x1f", "\x7f"};
    const char *good[] = {"a", "a.", "a b", "\x80\xff", "-", "com.example.name"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(lm_name_valid(bad[i]));
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(lm_name_valid(good[i]));
    for (int byte = 1; byte < 256; byte++) {
        const char text[3] = {'x', (char)byte, '\0'};
        assert_int_equal(lm_name_valid(text), byte >= 0x20 && byte != 0x7f && byte != '/');
    }
}

/* --- Failing system calls --- */

static void never_called(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    (void)port, (void)message, (void)size, (void)info;
    abort();
}

/* Starts and stops a service while the n-th system call fails; returns whether that call was reached. */
static bool register_with_fault(int nth)
{
    CFMachPortRef port = CFMachPortCreate(NULL, (CFMachPortCallBack)never_called, NULL, NULL);
    assert_non_null(port);
    unsigned before = th_descriptors();
    calls = 0;
    calls_until_fault = nth;
    kern_return_t result = rocketbootstrap_register(0, "unit.fault", CFMachPortGetPort(port));
    bool reached = calls >= nth;
    calls_until_fault = 0;
    if (result != 0)
        assert_int_equal(th_descriptors(), before); /* a failure leaves nothing behind */
    assert_true(result == 0 || result == KERN_RESOURCE_SHORTAGE || result == BOOTSTRAP_NOT_PRIVILEGED);
    CFMachPortInvalidate(port);
    CFRelease(port);
    assert_true(th_descriptors() <= before);
    return reached;
}

static void registering_survives_each_failure(void)
{
    for (int way = 0; way < 2; way++) {
        int nth = 1;
        from_there_on = way == 1;
        while (register_with_fault(nth))
            nth++;
        assert_true(nth > 5); /* several calls were made to fail */
        from_there_on = false;
    }
    assert_false(register_with_fault(1000)); /* and afterwards it works */
}

/* Calls an echo service while the n-th system call of this side fails; returns whether that call was reached. */
static bool call_with_fault(int nth)
{
    LMConnection connection = th_connection("unit.echo");
    LMResponseBuffer buffer;
    unsigned before = th_descriptors();
    calls = 0;
    calls_until_fault = nth;
    kern_return_t result = LMConnectionSendTwoWay(&connection, 1, "hello", 6, &buffer);
    bool reached = calls >= nth;
    calls_until_fault = 0;
    if (result == 0)
        assert_string_equal(LMMessageGetData(&buffer.message), "hello");
    else
        assert_int_equal(LMMessageGetDataLength(&buffer.message), 0);
    LMResponseBufferFree(&buffer);
    th_close(&connection);
    if (connection.serverPort == MACH_PORT_NULL ||
        result != 0) { /* a good call finds a channel that is left, and closes it */
        connection = th_connection("unit.echo");
        th_check_echo(&connection);
        th_close(&connection);
    }
    assert_int_equal(th_descriptors(), before);
    return reached;
}

static void calling_survives_each_failure(void)
{
    now = 1; /* the clock stands still, and nothing waits with a timeout */
    pid_t service = th_serve("unit.echo", th_echo);
    int nth = 1;
    while (call_with_fault(nth))
        nth++;
    assert_true(nth > 5);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(names_find_their_objects),
        TH_TEST(removed_and_forged_names_are_not_found),
        TH_TEST(a_slot_is_reused_late_and_under_another_name),
        TH_TEST(clearing_ends_all_names),
        TH_TEST(deadlines_count_down),
        TH_TEST(deadlines_have_ends),
        TH_TEST(names_are_checked),
        TH_TEST(registering_survives_each_failure),
        TH_TEST(calling_survives_each_failure),
    };
    return TH_MAIN(tests);
}
