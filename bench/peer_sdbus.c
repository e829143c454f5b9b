/* SPDX-License-Identifier: MIT */
/* D-Bus with sd-bus: peer to peer, and through each of the two daemons, which this program starts. */
#define _GNU_SOURCE
#include "peer.h"
#include "unix_socket.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define NAME   "bench.Echo" /* the names of the service and of its interface */
#define OBJECT "/bench"

static sd_bus *connection;
static const char *destination; /* NULL: the peer itself */

static bool check(const char *what, int result)
{
    return result >= 0 || peer_error("%s: %s", what, strerror(-result));
}

/* --- Both ends --- */

static int answer(sd_bus_message *request, void *argument, sd_bus_error *error)
{
    const void *data;
    size_t size;
    uint32_t length;
    sd_bus_message *reply = NULL;
    (void)argument, (void)error;
    if (!sd_bus_message_is_method_call(request, NAME, "Echo"))
        return 0;
    int result = sd_bus_message_read_array(request, 'y', &data, &size);
    const void *answered = result < 0 ? NULL : peer_answer(data, &length);
    if (!answered)
        return result < 0 ? result : 1;
    result = sd_bus_message_new_method_return(request, &reply);
    if (result >= 0)
        result = sd_bus_message_append_array(reply, 'y', answered, length);
    if (result >= 0)
        result = sd_bus_send(NULL, reply, NULL);
    sd_bus_message_unref(reply);
    return result < 0 ? result : 1;
}

/* Serves until the connection ends. */
static bool serve_bus(sd_bus *bus)
{
    for (;;) {
        int result = sd_bus_process(bus, NULL);
        if (result == 0)
            result = sd_bus_wait(bus, UINT64_MAX);
        if (result < 0 && result != -EINTR)
            return check("serve", result);
    }
}

static sd_bus_message *new_call(const void *data, uint32_t length)
{
    sd_bus_message *message = NULL;
    int result = sd_bus_message_new_method_call(connection, &message, destination, OBJECT, NAME, "Echo");
    if (result >= 0)
        result = sd_bus_message_append_array(message, 'y', data, length);
    if (check("message", result))
        return message;
    sd_bus_message_unref(message);
    return NULL;
}

static bool copy_reply(sd_bus_message *message, void *reply, uint32_t reply_length)
{
    const void *data;
    size_t size;
    if (!check("reply", sd_bus_message_read_array(message, 'y', &data, &size)))
        return false;
    if (size != reply_length)
        return peer_error("a reply of the wrong length");
    memcpy(reply, data, size);
    return true;
}

static bool bus_call(const void *request, uint32_t length, void *reply, uint32_t reply_length)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message *answered = NULL;
    sd_bus_message *message = new_call(request, length);
    if (!message)
        return false;
    int result = sd_bus_call(connection, message, UINT64_MAX, &error, &answered);
    bool done = result < 0 ? peer_error("call: %s", error.message ? error.message : strerror(-result))
                           : copy_reply(answered, reply, reply_length);
    sd_bus_error_free(&error);
    sd_bus_message_unref(answered);
    sd_bus_message_unref(message);
    return done;
}

/* Flushes, since sd-bus would otherwise queue what the socket does not take, without a limit and in a slow queue. */
static bool bus_send(const void *data, uint32_t length)
{
    uint64_t queued;
    sd_bus_message *message = new_call(data, length);
    if (!message)
        return false;
    int result = sd_bus_message_set_expect_reply(message, 0);
    if (result >= 0)
        result = sd_bus_send(connection, message, NULL);
    if (result >= 0 && sd_bus_get_n_queued_write(connection, &queued) >= 0 && queued > 0)
        result = sd_bus_flush(connection);
    sd_bus_message_unref(message);
    return check("send", result);
}

static bool open_bus(sd_bus **bus, const char *folder)
{
    char address[256];
    snprintf(address, sizeof address, "unix:path=%s/socket", folder);
    int result = sd_bus_new(bus);
    if (result >= 0)
        result = sd_bus_set_address(*bus, address);
    if (result >= 0 && destination)
        result = sd_bus_set_bus_client(*bus, 1);
    if (result >= 0)
        result = sd_bus_start(*bus);
    return check("connect", result);
}

static void disconnect(void)
{
    connection = sd_bus_flush_close_unref(connection);
}

/* --- Peer to peer --- */

static void serve_client(int client)
{
    sd_bus *bus = NULL;
    sd_id128_t id = {0};
    int result = sd_bus_new(&bus);
    if (result >= 0)
        result = sd_bus_set_fd(bus, client, client);
    if (result >= 0)
        result = sd_bus_set_server(bus, 1, id);
    if (result >= 0)
        result = sd_bus_add_filter(bus, NULL, answer, NULL);
    if (result >= 0)
        result = sd_bus_start(bus);
    if (check("accept", result))
        (void)serve_bus(bus);
    sd_bus_flush_close_unref(bus);
}

static void direct_serve(const char *folder, void (*ready)(void))
{
    int client;
    int listener = unix_socket_listen(folder, SOCK_STREAM);
    if (listener < 0)
        return;
    ready();
    while ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        serve_client(client);
}

static bool direct_connect(const char *folder)
{
    destination = NULL;
    return open_bus(&connection, folder);
}

/* --- Through a daemon --- */

static void serve_name(const char *folder, void (*ready)(void))
{
    sd_bus *bus = NULL;
    destination = NAME;
    if (!open_bus(&bus, folder) || !check("filter", sd_bus_add_filter(bus, NULL, answer, NULL)) ||
        !check("name", sd_bus_request_name(bus, NAME, 0)))
        return;
    ready();
    (void)serve_bus(bus);
}

static bool named_connect(const char *folder)
{
    destination = NAME;
    return open_bus(&connection, folder);
}

static void daemon_serve(const char *folder, void (*ready)(void))
{
    char address[300];
    char path[256];
    snprintf(path, sizeof path, "%s/socket", folder);
    snprintf(address, sizeof address, "--address=unix:path=%s", path);
    const char *const arguments[] = {"dbus-daemon", "--session", "--nofork", "--nosyslog",
                                     "--nopidfile", address,     NULL};
    if (!peer_start_helper(arguments))
        return;
    for (int i = 0; i < 500 && access(path, F_OK) != 0; i++)
        usleep(10000);
    serve_name(folder, ready);
}

/* dbus-broker gets its listening socket from a controller; systemd need not run. */
static int append_policy(sd_bus_message *message)
{
    /* A session bus's policy: everything is allowed for every uid, at priority 1; nothing for gids, SELinux and
     * AppArmor. */
    static const char type[] = "(a(u(bta(btbs)a(btssssuutt)a(btssssuutt)))a(buu(bta(btbs)a(btssssuutt)a(btssssuutt)))"
                               "a(ss)bs)";
    const uint64_t priority = 1;
    const uint64_t any = UINT64_MAX;
    return sd_bus_message_append(message, "v", type,                                     /* */
                                 1, UINT32_MAX, 1, priority,                             /* connect */
                                 1, 1, priority, 1, "",                                  /* own */
                                 1, 1, priority, "", "", "", "", 0, 0, UINT64_C(0), any, /* send */
                                 1, 1, priority, "", "", "", "", 0, 0, UINT64_C(0), any, /* receive */
                                 0, 0, 0, "session");
}

static bool add_listener(sd_bus *controller, int listener)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message *message = NULL;
    int result = sd_bus_message_new_method_call(controller, &message, NULL, "/org/bus1/DBus/Broker",
                                                "org.bus1.DBus.Broker", "AddListener");
    if (result >= 0)
        result = sd_bus_message_append(message, "oh", "/org/bus1/DBus/Listener/0", listener);
    if (result >= 0)
        result = append_policy(message);
    if (result >= 0)
        result = sd_bus_call(controller, message, UINT64_MAX, &error, NULL);
    sd_bus_message_unref(message);
    return result >= 0 || peer_error("dbus-broker: %s", error.message ? error.message : strerror(-result));
}

/* The controller's connection stays open: the broker ends when it is closed. */
static bool control_broker(int end, int listener)
{
    sd_bus *controller = NULL;
    int result = sd_bus_new(&controller);
    if (result >= 0)
        result = sd_bus_set_fd(controller, end, end);
    if (result >= 0)
        result = sd_bus_start(controller);
    return check("dbus-broker", result) && add_listener(controller, listener);
}

static void broker_serve(const char *folder, void (*ready)(void))
{
    int ends[2];
    char end[16];
    int listener = unix_socket_listen(folder, SOCK_STREAM | SOCK_NONBLOCK);
    if (listener < 0 || !check("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends)))
        return;
    snprintf(end, sizeof end, "%d", ends[1]);
    const char *const arguments[] = {
        "dbus-broker", "--controller", end, "--machine-id", "0123456789abcdef0123456789abcdef",
        "--max-bytes", "1000000000",   NULL};
    if (!peer_start_helper(arguments))
        return;
    close(ends[1]);
    if (control_broker(ends[0], listener))
        serve_name(folder, ready);
}

#define THROUGH_A_DAEMON                                                                                               \
    .connect = named_connect, .call = bus_call, .send = bus_send, .disconnect = disconnect, .lacks = daemon_lacks

static const PeerLack daemon_lacks[] = {
    {"lend", "copies"}, {"connections", "its clients are the daemon's, not the service's"}, {NULL, NULL}};
static const PeerLack direct_lacks[] = {
    {"lend", "copies"}, {"connections", "this server takes one client at a time"}, {NULL, NULL}};
static const Peer direct = {.name = "direct",
                            .serve = direct_serve,
                            .connect = direct_connect,
                            .call = bus_call,
                            .send = bus_send,
                            .disconnect = disconnect,
                            .lacks = direct_lacks};
static const Peer daemon_peer = {.name = "dbus-daemon", .serve = daemon_serve, THROUGH_A_DAEMON};
static const Peer broker_peer = {.name = "dbus-broker", .serve = broker_serve, THROUGH_A_DAEMON};
const Peer *const peers[] = {&direct, &daemon_peer, &broker_peer, NULL};
