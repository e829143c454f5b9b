/* SPDX-License-Identifier: MIT */
/*
 * The base of every test. A test body runs in a process of its own, with a timeout, a private runtime directory, and a
 * check of its descriptors when it is done. Services run in further processes, which are forked by a helper process
 * that never used the library, so that a service inherits nothing but the test's code.
 *
 * A failing cmocka assertion ends the process that made it (cmocka's abort mode), so assertions may be used in any
 * thread, in services and in callbacks. Processes that a body leaves running are killed after it.
 *
 * Timeouts only catch hangs. They are twelve times what an idle machine needs at most, and four times that on valgrind
 * and with ThreadSanitizer; LM_TEST_SLOWNESS in the environment replaces the twelve.
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
    unsigned seconds; /* limit on an idle machine; 0: the default of 25 */
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

/* Runs the case and returns how it failed, in words; NULL if it passed. For the harness's own test. */
const char *th_outcome(const struct th_case *test);
/* Skips the tests that do not match LM_TEST_ONLY (with * and ?), if it is set. */
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
/* Returns whether the program runs with AddressSanitizer. */
bool th_sanitized(void);
/* Returns whether to do less work: LM_TEST_QUICK is set, or the program runs on valgrind. */
bool th_quick(void);
/* Returns `count` natively, and a fiftieth of it where rounds are slow. */
unsigned th_rounds(unsigned count);
/* Returns the number of descriptors that this process has open. */
unsigned th_descriptors(void);
unsigned th_sockets(void);
/* Declares that the test rightly keeps `count` more descriptors than it had. */
void th_expect_more_descriptors(int count);
uint64_t th_now_ms(void);
void th_sleep_ms(unsigned milliseconds);
/* Returns the th_now_ms after which a wait that begins now counts as hung: 20 seconds later on an idle machine. */
uint64_t th_hung_at(void);
/* Waits until the condition is true; fails the test if that hangs. */
void th_wait_until(bool (*condition)(void *), void *info);

/* --- Words that the test and all of its services share, even after one has died --- */

enum { TH_WORDS = 65536 }; /* all 0 when a body starts */

uint32_t th_get(unsigned word);
void th_set(unsigned word, uint32_t value);
void th_add(unsigned word);
/* Waits until the word is at least `least`; fails the test if that hangs. */
void th_await(unsigned word, uint32_t least);

/* --- Services --- */

typedef void (*th_callback)(CFMachPortRef port, LMMessage *message, CFIndex size, void *info);

struct th_service {
    const char *name;
    th_callback callback;
    uint32_t largest;                             /* 0: the default */
    void (*program)(const struct th_service *me); /* if set, runs instead of a service */
    void *info;                                   /* for both; has its value from before the fork */
    void (*prepare)(void);                        /* in the service's process, before it registers */
};

/* Starts the service and waits until it can be called; returns its process. */
pid_t th_start(const struct th_service *service);
pid_t th_serve(const char *name, th_callback callback);
/* For a program: tells the test to continue. */
void th_ready(void);
/* Ends a service's loop; fails the test if the service did not end well. */
void th_stop(pid_t service);
/* Sends SIGKILL, and returns when the process is gone. */
void th_kill(pid_t service);
/* Sends SIGSTOP, and returns when the process is stopped. */
void th_pause(pid_t service);
void th_resume(pid_t service);
/* Waits until the process's first thread sleeps, as that of an idle service does. */
void th_await_sleep(pid_t service);
/* Waits until all other threads of this process sleep and are at least `least`. No thread may end meanwhile. */
void th_await_others_asleep(unsigned least);
/* Waits for a process that ends by itself; returns its wait status. */
int th_reap(pid_t process);
/* Serves the loop of this thread until the process is told to end. */
void th_serve_until_stopped(void);

/* --- Calls --- */

/* A callback that sends every request back, and ignores one-way messages. */
void th_echo(CFMachPortRef port, LMMessage *message, CFIndex size, void *info);
/* Requests to a service that uses th_echo: its number of open descriptors, and its process id. */
enum { TH_COUNT_DESCRIPTORS = 0x7e570001, TH_PROCESS_ID = 0x7e570002 };
bool th_answer_standard(LMMessage *message);
/* Calls and returns the integer of the answer; fails the test if the call fails. */
int32_t th_ask(LMConnectionRef connection, SInt32 id);
/* Makes a call that must be echoed. */
void th_check_echo(LMConnectionRef connection);
/* Gives up the connection's channel, so that no descriptor stays open. */
void th_close(LMConnectionRef connection);
LMConnection th_connection(const char *name);

/* --- Hunts: tests that repeat a race --- */

/*
 * With LM_TEST_LONG=1 in the environment (make hunt), hunts run in full length, with half an hour for each test.
 * Otherwise they are scaled like any test. LM_TEST_SEED=number repeats the random choices of the run that printed it.
 */
#define TH_HUNT_MAIN(tests) (th_choose_seed(), TH_MAIN(tests))

bool th_long(void);
/* Returns `longer` in full length, else th_rounds(shorter). */
unsigned th_hunt(unsigned shorter, unsigned longer);
/* Called before anything is forked, so that all processes use the same seed. */
void th_choose_seed(void);
/* Returns the seed of a separate sequence for each `stream`. */
uint64_t th_seed(uint64_t stream);
uint64_t th_random(uint64_t *state);
/* Returns a random number from `least` to `most`. */
uint64_t th_random_in(uint64_t *state, uint64_t least, uint64_t most);
/* Returns zeroed memory that all processes forked later share, and that outlives them. */
void *th_share(size_t length);
/* Spins: a sleep would take longer than the race needs. */
void th_spin_us(uint64_t microseconds);
uint64_t th_now_us(void);
/* Prints a line of counts. */
void th_report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- Data --- */

void th_fill(void *bytes, size_t length, uint64_t seed);
/* Returns whether the bytes are those of th_fill: a generator rather than a sum, so that swapped words are noticed
 * too. */
bool th_is_filled(const void *bytes, size_t length, uint64_t seed);

#endif
