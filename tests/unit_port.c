/* SPDX-License-Identifier: MIT */
/* Port names: the salt between them and the table's names, and the numbers that are none. */
int test_fault(long number);
#define LM_TEST_SYSCALL test_fault
#include "harness.h"

#include <errno.h>
#include <sys/syscall.h>

/* What getrandom fails with, and how often it was called. */
static int fault;
static unsigned drawn;

int test_fault(long number)
{
    if (number != SYS_getrandom)
        return 0;
    drawn++;
    return fault;
}

static void never_destroyed(struct lm_object *object)
{
    (void)object;
    fail_msg("the test's own reference is gone");
}

static struct lm_object object = {.references = 1, .destroy = never_destroyed};

static mach_port_t create(void)
{
    return lm_port_create(LM_PORT_REPLY, &object, 7, 0);
}

static bool is_port(mach_port_t port)
{
    struct lm_object *found = lm_port_get(port, LM_PORT_REPLY);
    if (found != NULL)
        lm_release(found);
    return found != NULL;
}

/* As in a process that is starting. */
static void begin_again(void)
{
    lm_ports_forget();
    lm_table_deinit(&lm_process.ports);
    lm_process.salt = 0;
    fault = 0;
}

static void a_salt_is_drawn_once(void)
{
    begin_again();
    unsigned before = drawn;
    mach_port_t first = create(), second = create();
    assert_int_equal(drawn, before + 1);
    assert_int_not_equal(lm_process.salt, 0);
    assert_int_equal(first ^ lm_process.salt, 1);
    assert_int_equal(second ^ lm_process.salt, 2);
    assert_true(is_port(first) && is_port(second));
    lm_port_destroy(first, LM_PORT_REPLY);
    assert_false(is_port(first));
    assert_true(is_port(second));
}

static void salts_differ(void)
{
    mach_port_t ports[4];
    for (int i = 0; i < 4; i++) {
        begin_again();
        fault = i < 2 ? 0 : ENOSYS; /* then it is the time that differs */
        ports[i] = create();
        assert_true(is_port(ports[i]));
        for (int j = 0; j < i; j++)
            assert_false(is_port(ports[j]));
    }
}

/* The next name would be that number, and the one after it, too. */
static void taken_numbers_are_no_ports(void)
{
    mach_port_t bootstrap;
    assert_int_equal(task_get_bootstrap_port(mach_task_self(), &bootstrap), 0);
    const mach_port_t taken[] = {MACH_PORT_NULL, mach_task_self(), bootstrap};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        begin_again();
        lm_process.salt = taken[i] ^ 1;
        mach_port_t port = create();
        assert_int_equal(port ^ lm_process.salt, 2);
        assert_true(is_port(port));
        assert_false(is_port(taken[i]));
        assert_int_equal(lm_process.ports.free_count, 1);
    }
}

static void without_ports_nothing_is_one(void)
{
    begin_again();
    assert_false(is_port(0) || is_port(1) || is_port(UINT32_MAX));
    assert_int_equal(mach_port_deallocate(mach_task_self(), 1), KERN_INVALID_ARGUMENT);
    assert_int_equal(lm_process.salt, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(a_salt_is_drawn_once),
        TH_TEST(salts_differ),
        TH_TEST(taken_numbers_are_no_ports),
        TH_TEST(without_ports_nothing_is_one),
    };
    return TH_MAIN(tests);
}
