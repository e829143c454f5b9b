/* SPDX-License-Identifier: MIT */
/* Tests the harness: it must notice a body that fails, in whatever way, a descriptor left open, and a hang. */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static void body_that_passes(void)
{
}

static void body_that_fails(void)
{
    assert_int_equal(1, 2);
}

static void *fail_in_thread(void *argument)
{
    assert_null(argument);
    return NULL;
}

static void body_that_fails_in_a_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, fail_in_thread, (void *)"");
    pthread_join(thread, NULL);
}

static void body_that_leaks(void)
{
    (void)dup(0);
}

static void body_that_closes(void)
{
    close(0);
}

static void body_that_hangs(void)
{
    for (;;)
        pause();
}

static void body_that_crashes(void)
{
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

static void body_that_exits_early(void)
{
    _exit(3);
}

static void program_that_fails(const struct th_service *me)
{
    (void)me;
    _exit(1);
}

static void body_whose_service_never_gets_ready(void)
{
    th_start(&(struct th_service){.program = program_that_fails});
}

static void program_that_ends_badly(const struct th_service *me)
{
    (void)me;
    th_ready();
    th_serve_until_stopped(); /* not pause(): the signal may come before it */
    _exit(1);
}

static void body_whose_service_ends_badly(void)
{
    th_stop(th_start(&(struct th_service){.program = program_that_ends_badly}));
}

static void body_whose_service_is_fine(void)
{
    pid_t service = th_start(&(struct th_service){.program = program_that_ends_badly});
    th_kill(service);
    assert_int_equal(kill(service, 0), -1); /* reaped, not only killed */
}

static void program_that_sets_words(const struct th_service *me)
{
    (void)me;
    th_add(0);
    th_set(TH_WORDS - 1, 7);
    th_ready();
    for (;;)
        pause();
}

static void body_that_reads_words(void)
{
    assert_int_equal(th_get(0), 0); /* nothing of the last body */
    pid_t service = th_start(&(struct th_service){.program = program_that_sets_words});
    th_await(0, 1);
    th_kill(service);
    assert_int_equal(th_get(TH_WORDS - 1), 7);
}

static void body_that_waits_for_a_word(void)
{
    th_await(0, 1);
}

static volatile int contested;
static int has_written;

static void *write_without_asking(void *argument)
{
    contested = 1;
    __atomic_store_n(&has_written, 1, __ATOMIC_RELAXED);
    return argument;
}

static void body_that_races(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, write_without_asking, NULL);
    while (!__atomic_load_n(&has_written, __ATOMIC_RELAXED))
        th_sleep_ms(1);
    contested = 2;
    pthread_join(thread, NULL);
}

static void program_that_races(const struct th_service *me)
{
    (void)me;
    th_ready();
    body_that_races();
    th_serve_until_stopped();
}

static void body_whose_service_races(void)
{
    th_stop(th_start(&(struct th_service){.program = program_that_races}));
}

static void body_in_its_own_folder(void)
{
    struct stat status;
    assert_int_equal(stat(getenv("LM_RUNTIME_DIR"), &status), 0);
    assert_true(S_ISDIR(status.st_mode));
}

static void expect(th_body body, const char *outcome)
{
    const char *got = th_outcome(&(struct th_case){"inner", body, 1});
    if (outcome == NULL)
        assert_null(got);
    else
        assert_string_equal(got, outcome);
}

static void a_good_body_passes(void **state)
{
    (void)state;
    expect(body_that_passes, NULL);
    expect(body_whose_service_is_fine, NULL);
}

static void a_failing_body_is_reported(void **state)
{
    (void)state;
    expect(body_that_fails, "failed");
    expect(body_that_fails_in_a_thread, "failed");
    expect(body_that_crashes, "ended with wait status 0xb");
    expect(body_that_exits_early, "ended with wait status 0x300");
}

static void a_failing_service_is_reported(void **state)
{
    (void)state;
    expect(body_whose_service_never_gets_ready, "failed");
    expect(body_whose_service_ends_badly, "failed");
}

static void a_leak_is_noticed(void **state)
{
    (void)state;
    expect(body_that_leaks, "left descriptors behind");
    expect(body_that_closes, "left descriptors behind");
}

static void a_hang_is_ended(void **state)
{
    (void)state;
    setenv("LM_TEST_SLOWNESS", "1", 1);
    expect(body_that_hangs, "hung");
    expect(body_that_waits_for_a_word, "hung");
    unsetenv("LM_TEST_SLOWNESS");
}

static void words_are_shared_and_fresh(void **state)
{
    (void)state;
    expect(body_that_reads_words, NULL);
    expect(body_that_reads_words, NULL);
}

/* Intent: ThreadSanitizer's run can fail, in the test's process and in a service's. */
static void a_data_race_is_reported(void **state)
{
    (void)state;
    if (!TH_THREAD_SANITIZER)
        skip();
    expect(body_that_races, "ended with wait status 0x4200");
    expect(body_whose_service_races, "failed");
}

static void the_folder_is_private_and_goes_away(void **state)
{
    (void)state;
    expect(body_in_its_own_folder, NULL);
    assert_int_equal(access(getenv("LM_RUNTIME_DIR"), F_OK), -1);
}

static void filled_bytes_are_told_from_others(void **state)
{
    (void)state;
    uint8_t bytes[100];
    for (size_t length = 0; length <= sizeof bytes; length++) {
        th_fill(bytes, length, 5);
        assert_true(th_is_filled(bytes, length, 5));
        for (size_t at = 0; at < length; at++) {
            bytes[at] ^= 1;
            assert_false(th_is_filled(bytes, length, 5));
            bytes[at] ^= 1;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_body_passes),
        cmocka_unit_test(a_failing_body_is_reported),
        cmocka_unit_test(a_failing_service_is_reported),
        cmocka_unit_test(a_leak_is_noticed),
        cmocka_unit_test(a_hang_is_ended),
        cmocka_unit_test(words_are_shared_and_fresh),
        cmocka_unit_test(a_data_race_is_reported),
        cmocka_unit_test(the_folder_is_private_and_goes_away),
        cmocka_unit_test(filled_bytes_are_told_from_others),
    };
    return TH_MAIN(tests);
}
