/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "unix_socket.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address_in(const char *folder)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    return address;
}

int unix_socket_listen(const char *folder, int type)
{
    struct sockaddr_un address = address_in(folder);
    int listener = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, SOMAXCONN) == 0)
        return listener;
    peer_error("listen: %s", strerror(errno));
    close(listener);
    return -1;
}

int unix_socket_connect(const char *folder, int type)
{
    struct sockaddr_un address = address_in(folder);
    int client = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (connect(client, (struct sockaddr *)&address, sizeof address) == 0)
        return client;
    peer_error("connect: %s", strerror(errno));
    close(client);
    return -1;
}

static void watch(int epoll, int descriptor)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

void unix_socket_serve_one(int listener, bool (*answer)(int client))
{
    int client;
    while ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        while (answer(client))
            ;
        close(client);
    }
}

void unix_socket_serve_all(int listener, bool (*answer)(int client))
{
    struct epoll_event events[64];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, listener);
    for (;;) {
        int count = epoll_wait(epoll, events, sizeof events / sizeof events[0], -1);
        for (int i = 0; i < count; i++) {
            int descriptor = events[i].data.fd;
            if (descriptor == listener)
                watch(epoll, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
            else if (!answer(descriptor))
                close(descriptor);
        }
    }
}
