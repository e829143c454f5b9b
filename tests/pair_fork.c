/* SPDX-License-Identifier: MIT */
/* After a fork both sides can call: the child looks up afresh and holds nothing of its parent's, and the parent is not
 * affected. */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const char NAME[] = "test.fork";

static void expect_success(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void call_many(LMConnectionRef connection, uint64_t seed)
{
    for (unsigned i = 0; i < th_rounds(2000); i++) {
        uint8_t bytes[500];
        LMResponseBuffer buffer;
        uint32_t length = i % sizeof bytes;
        th_fill(bytes, length, seed + i);
        assert_int_equal(LMConnectionSendTwoWay(connection, 100, bytes, length, &buffer), 0);
        assert_int_equal(LMMessageGetDataLength(&buffer.message), length);
        assert_true(th_is_filled(LMMessageGetData(&buffer.message), length, seed + i));
        LMResponseBufferFree(&buffer);
    }
}

/*
 * Intent: parent and child use the same LMConnection at the same time, over two channels.
 *   parent             child              service
 *   call -------------------------------> answers
 *   forks -----------> starts
 *   calls ------------------------------> answers
 *                      calls -----------> answers
 */
static void both_sides_of_a_fork_call(void)
{
    pid_t service = th_serve(NAME, th_echo);
    LMConnection connection = th_connection(NAME);
    th_check_echo(&connection);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        call_many(&connection, 1u << 20);
        th_close(&connection);
        _exit(0);
    }
    call_many(&connection, 1u << 30);
    expect_success(child);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

/*
 * Intent: the child holds none of the parent's sockets, and the port it inherited is invalid there.
 *   parent             child
 *   call: 1 socket
 *   forks -----------> 0 sockets
 *                      call: 1 socket
 *   call
 */
static void the_child_holds_no_socket_of_the_parent(void)
{
    pid_t service = th_serve(NAME, th_echo);
    LMConnection connection = th_connection(NAME);
    unsigned before = th_sockets();
    th_check_echo(&connection);
    assert_int_equal(th_sockets(), before + 1);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        assert_int_equal(th_sockets(), before);
        assert_int_equal(mach_port_deallocate(mach_task_self(), connection.serverPort), KERN_INVALID_ARGUMENT);
        th_check_echo(&connection);
        assert_int_equal(th_sockets(), before + 1);
        _exit(0);
    }
    expect_success(child);
    th_check_echo(&connection);
    th_close(&connection);
    th_stop(service);
}

enum { FORK_HELPER = 1, KEEP };
enum { TAKEN }; /* words */

static void answer(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
{
    if (message->head.msgh_id == FORK_HELPER) {
        pid_t helper = fork();
        for (; helper == 0;)
            pause();
        LMSendIntegerReply(message->head.msgh_remote_port, helper);
    } else if (message->head.msgh_id == KEEP)
        th_add(TAKEN);
    else
        th_echo(port, message, size, info);
}

static void *hold_a_call(void *argument)
{
    LMResponseBuffer buffer;
    assert_int_equal(LMConnectionSendTwoWay(argument, KEEP, NULL, 0, &buffer), MACH_RCV_PORT_DIED);
    LMResponseBufferFree(&buffer);
    return NULL;
}

/*
 * Intent: a child that outlives a killed server neither keeps its clients waiting nor its name in use.
 *   client             service                 helper
 *                      forks ----------------> waits for ever
 *   call ----------->  keeps it
 *   ...                killed
 *   error              restarted, same name
 *   call ----------->  answers                 (still there)
 */
static void a_servers_child_keeps_nothing_alive(void)
{
    pid_t service = th_serve(NAME, answer);
    LMConnection connection = th_connection(NAME);
    pid_t helper = th_ask(&connection, FORK_HELPER);
    assert_true(helper > 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, hold_a_call, &connection), 0);
    th_await(TAKEN, 1);
    th_kill(service);
    pthread_join(thread, NULL);
    assert_int_equal(kill(helper, 0), 0);
    service = th_serve(NAME, answer);
    assert_int_equal(th_ask(&connection, TH_PROCESS_ID), service);
    assert_int_equal(kill(helper, SIGKILL), 0);
    th_close(&connection);
    th_stop(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TH_TEST(both_sides_of_a_fork_call),
        TH_TEST(the_child_holds_no_socket_of_the_parent),
        TH_TEST(a_servers_child_keeps_nothing_alive),
    };
    return TH_MAIN(tests);
}
