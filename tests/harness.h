/* SPDX-License-Identifier: MIT */
/*
 * What every test stands on. A test body runs in a process of its own, with a time-out, a runtime directory that only
 * it sees, and a look at its descriptors when it is done. Services run in further processes, which are forked by a
 * helper process that never used the library, so that a service inherits nothing but the test's code.
 *
 * A failing cmocka assertion ends the process that made it (cmocka's abort mode), so assertions may be used in any
 * thread, in services and in callbacks. What a body leaves running is killed after it.
 *
 * Time-outs are for hangs only. They are twelve times what an idle machine needs at most, and four times that on
 * valgrind and with ThreadSanitizer; LM_TEST_SLOWNESS in the environment stands for the twelve.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#include <LightMessaging/LightMessaging.h>

typedef void (*th_body)(void);

struct th_case {
    const char *name;
    th_body body;
    unsigned seconds; /* at most, on an idle machine; 0: the usual 25 */
};

/* An entry for cmocka's list of tests. */
#define TH_TEST(function)               TH_TEST_SECONDS(function, 0)
#define TH_TEST_SECONDS(function, time) TH_CASE(#function, function, time)
#define TH_CASE(label, function, time)                                                                                 \
    {                                                                                                                  \
        label, th_run, NULL, NULL, &(struct th_case)                                                                   \
        {                                                                                                              \
            label, function, time                                                                                      \
        }                                                                                                              \
    }
#define TH_MAIN(tests) (th_choose(), cmocka_run_group_tests(tests, NULL, NULL))

/* How a body ended, in words; NULL if all was well. For the harness's own test. */
const char *th_outcome(const struct th_case *test);
/* Only the tests that LM_TEST_ONLY names, with * and ?, if it is set. */
void th_choose(void);
/* cmocka's test function: runs the case in *state and fails if it did. */
void th_run(void **state);

/* --- Surroundings --- */

#if defined(__SANITIZE_THREAD__)
#define TH_THREAD_SANITIZER 1
#elif defined(__has_feature)
#define TH_THREAD_SANITIZER __has_feature(thread_sanitizer)
#else
#define TH_THREAD_SANITIZER 0
#endif

bool th_on_valgrind(void);
/* Whether AddressSanitizer is in the program. */
bool th_sanitized(void);
/* Less work is wanted: LM_TEST_QUICK is set, or valgrind runs us. */
bool th_quick(void);
/* `count` loops natively, a fiftieth of that where they are slow. */
unsigned th_rounds(unsigned count);
/* Descriptors that this process has open. */
unsigned th_descriptors(void);
unsigned th_sockets(void);
/* The test is right to keep `count` more descriptors than it had. */
void th_expect_more_descriptors(int count);
uint64_t th_now_ms(void);
void th_sleep_ms(unsigned milliseconds);
/* The th_now_ms at which a wait that begins now hangs: 20 seconds on an idle machine. */
uint64_t th_hung_at(void);
/* Repeats until it is true; fails the test when that hangs. */
void th_wait_until(bool (*condition)(void *), void *info);

/* --- Words that the test and all of its services see, even after one has died --- */

enum { TH_WORDS = 65536 }; /* all 0 when a body starts */

uint32_t th_get(unsigned word);
void th_set(unsigned word, uint32_t value);
void th_add(unsigned word);
/* Waits until the word is at least that; fails the test when that hangs. */
void th_await(unsigned word, uint32_t least);

/* --- Services --- */

typedef void (*th_callback)(CFMachPortRef port, LMMessage *message, CFIndex size, void *info);

struct th_service {
    const char *name;
    th_callback callback;
    uint32_t largest;                             /* 0: the default */
    void (*program)(const struct th_service *me); /* instead of serving: run this */
    void *info;                                   /* for both; a value from before the fork */
    void (*prepare)(void);                        /* in the service's process, before it registers */
};

/* Starts it and waits until it is ready to be called; its process. */
pid_t th_start(const struct th_service *service);
pid_t th_serve(const char *name, th_callback callback);
/* For a program: tells the test that it may go on. */
void th_ready(void);
/* Ends a service's loop, and fails the test if it did not end well. */
void th_stop(pid_t service);
/* SIGKILL, and gone when this returns. */
void th_kill(pid_t service);
/* SIGSTOP, and stopped when this returns. */
void th_pause(pid_t service);
void th_resume(pid_t service);
/* Waits until its first thread sleeps, as that of a service does which has nothing to do. */
void th_await_sleep(pid_t service);
/* Waits until all other threads of this process sleep, and are at least that many. None may end meanwhile. */
void th_await_others_asleep(unsigned least);
/* Waits for a process that ends by itself; its wait status. */
int th_reap(pid_t process);
/* Serves the loop of this thread until the process is told to end. */
void th_serve_until_stopped(void);

/* --- Calls --- */

/* A callback that sends every request back, and one-way messages nowhere. */
void th_echo(CFMachPortRef port, LMMessage *message, CFIndex size, void *info);
/* Asks for these in a service that uses th_echo: its open descriptors, and its process id. */
enum { TH_COUNT_DESCRIPTORS = 0x7e570001, TH_PROCESS_ID = 0x7e570002 };
bool th_answer_standard(LMMessage *message);
/* Calls and consumes an integer; fails the test if the call fails. */
int32_t th_ask(LMConnectionRef connection, SInt32 id);
/* An echo that must work. */
void th_check_echo(LMConnectionRef connection);
/* Gives the connection's channel up, so that no descriptor stays. */
void th_close(LMConnectionRef connection);
LMConnection th_connection(const char *name);

/* --- Hunts: tests that repeat a race --- */

/*
 * LM_TEST_LONG=1 in the environment (make hunt) has them run in full length, with half an hour for each test. Otherwise
 * they are scaled like any test. LM_TEST_SEED=number makes the same random choices again as the run that printed it.
 */
#define TH_HUNT_MAIN(tests) (th_choose_seed(), TH_MAIN(tests))

bool th_long(void);
/* How many of something: `longer` in full length, else th_rounds(shorter). */
unsigned th_hunt(unsigned shorter, unsigned longer);
/* Before anything is forked, so that all processes agree. */
void th_choose_seed(void);
/* The start of a sequence of its own for each `stream`. */
uint64_t th_seed(uint64_t stream);
uint64_t th_random(uint64_t *state);
/* From `least` to `most`. */
uint64_t th_random_in(uint64_t *state, uint64_t least, uint64_t most);
/* Zeroed memory that all processes forked later share, and that outlives them. */
void *th_share(size_t length);
/* Spins: a sleep would cost more than what is to be raced with. */
void th_spin_us(uint64_t microseconds);
uint64_t th_now_us(void);
/* A line of counts. */
void th_report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- Data --- */

void th_fill(void *bytes, size_t length, uint64_t seed);
/* Whether the bytes are th_fill's: a generator rather than a sum, so that swapped words are noticed too. */
bool th_is_filled(const void *bytes, size_t length, uint64_t seed);

#endif
