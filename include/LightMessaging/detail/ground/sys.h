/* SPDX-License-Identifier: MIT */
/*
 * All system calls of the library. Most are made by number, since libc hides their declarations under -std=c11. They
 * return a negative errno on failure.
 *
 * A test may define LM_TEST_SYSCALL as the name of a function `int f(long number)` before it includes the library. The
 * function is called before each system call; if it returns an errno other than 0, the call fails with that errno. The
 * function thus also lets a test run code at that point.
 */
#ifndef LM_DETAIL_GROUND_SYS_H
#define LM_DETAIL_GROUND_SYS_H

#include "base.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* Constants of the kernel's interface that strict modes of libc hide. Those not taken from libc are the same on every
 * architecture. */
#ifdef O_DIRECTORY
#define LM_O_DIRECTORY O_DIRECTORY
#define LM_O_NOFOLLOW  O_NOFOLLOW
#define LM_O_CLOEXEC   O_CLOEXEC
#else
#define LM_O_DIRECTORY __O_DIRECTORY
#define LM_O_NOFOLLOW  __O_NOFOLLOW
#define LM_O_CLOEXEC   __O_CLOEXEC
#endif
#ifdef SO_PEERCRED
#define LM_SO_PEERCRED SO_PEERCRED
#else
#define LM_SO_PEERCRED 17
#endif
#ifdef SO_PEERGROUPS
#define LM_SO_PEERGROUPS SO_PEERGROUPS
#else
#define LM_SO_PEERGROUPS 59
#endif
#ifdef SO_PEERPIDFD
#define LM_SO_PEERPIDFD SO_PEERPIDFD
#else
#define LM_SO_PEERPIDFD 77 /* Linux 6.5 */
#endif
#define LM_O_PATH                 010000000
#define LM_AT_FDCWD               (-100)
#define LM_AT_SYMLINK_NOFOLLOW    0x100
#define LM_MFD_CLOEXEC            1u
#define LM_MFD_ALLOW_SEALING      2u
#define LM_F_DUPFD_CLOEXEC        1030
#define LM_F_ADD_SEALS            1033
#define LM_F_GET_SEALS            1034
#define LM_F_SEAL_SEAL            1
#define LM_F_SEAL_SHRINK          2
#define LM_F_SEAL_GROW            4
#define LM_TMPFS_MAGIC            0x01021994
#define LM_MADV_DONTFORK          10
#define LM_MADV_POPULATE_WRITE    23 /* Linux 5.14 */
#define LM_FUTEX_WAIT_PRIVATE     128
#define LM_FUTEX_WAKE_PRIVATE     129
#define LM_F_OFD_GETLK            36
#define LM_F_OFD_SETLK            37
#define LM_RENAME_NOREPLACE       1
#define LM_GRND_NONBLOCK          1u
#define LM_MFD_NOEXEC_SEAL        8u  /* Linux 6.3 */
#define LM_SYS_FCHMODAT2          452 /* Linux 6.6 */
#define LM_EFD_FLAGS              (LM_O_CLOEXEC | O_NONBLOCK)
#define LM_CLOCK_MONOTONIC        1
#define LM_CLOCK_MONOTONIC_COARSE 6
#define LM_S_IFMT                 0170000u
#define LM_S_IFREG                0100000u
#define LM_S_IFSOCK               0140000u

/* The kernel's timespec and timeval, in the width that its classic calls use on every architecture. */
struct lm_timespec {
    long seconds;
    long nanoseconds;
};
struct lm_timeval {
    long seconds;
    long microseconds;
};

/* The kernel's struct flock, with 64-bit offsets on every architecture. */
struct lm_file_lock {
    int16_t type;
    int16_t whence;
    int64_t start;
    int64_t length;
    int32_t pid;
};
#ifdef SYS_fcntl64
#define LM_SYS_FCNTL SYS_fcntl64
#else
#define LM_SYS_FCNTL SYS_fcntl
#endif

/* The result of SO_PEERCRED. */
struct lm_credentials {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};

/* libc's syscall() and clock_gettime() under private names, so that no libc header can declare them differently. */
LM_EXTERN_C long lm_libc_syscall(long number, ...) __asm__("syscall");
LM_EXTERN_C int lm_libc_clock_gettime(int clock, struct lm_timespec *now) __asm__("clock_gettime");

#ifdef LM_TEST_SYSCALL
LM_EXTERN_C int LM_TEST_SYSCALL(long number);
LM_INTERNAL int lm_sys_fault(long number)
{
    return LM_TEST_SYSCALL(number);
}
#else
LM_INTERNAL int lm_sys_fault(long number)
{
    (void)number;
    return 0;
}
#endif

LM_INTERNAL long lm_sys(long number, long a, long b, long c, long d, long e, long f)
{
    int fault = lm_sys_fault(number);
    if (fault)
        return -fault;
    long result = lm_libc_syscall(number, a, b, c, d, e, f);
    return result < 0 ? -(long)errno : result;
}

#define LM_SYS(number, a, b, c, d, e, f)                                                                               \
    lm_sys((long)(number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Closes the descriptor, if it is open, and sets it to -1. */
LM_INTERNAL void lm_sys_close(int *descriptor)
{
    if (*descriptor >= 0)
        LM_SYS(SYS_close, *descriptor, 0, 0, 0, 0, 0);
    *descriptor = -1;
}

/* `flags` is 0 or SOCK_NONBLOCK. */
LM_INTERNAL int lm_sys_socket(int flags)
{
    return (int)LM_SYS(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0, 0, 0, 0);
}

LM_INTERNAL int lm_sys_connect(int socket, const struct sockaddr_un *address)
{
    return (int)LM_SYS(SYS_connect, socket, address, sizeof *address, 0, 0, 0);
}

LM_INTERNAL int lm_sys_bind(int socket, const struct sockaddr_un *address)
{
    return (int)LM_SYS(SYS_bind, socket, address, sizeof *address, 0, 0, 0);
}

LM_INTERNAL int lm_sys_listen(int socket, int backlog)
{
    return (int)LM_SYS(SYS_listen, socket, backlog, 0, 0, 0, 0);
}

LM_INTERNAL int lm_sys_accept(int listener)
{
    return (int)LM_SYS(SYS_accept4, listener, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0);
}

LM_INTERNAL void lm_sys_shutdown(int socket)
{
    LM_SYS(SYS_shutdown, socket, SHUT_RDWR, 0, 0, 0, 0);
}

/* Sends one record without blocking and without SIGPIPE. */
LM_INTERNAL long lm_sys_send(int socket, const void *bytes, size_t length)
{
    return LM_SYS(SYS_sendto, socket, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
}

/* Receives one record. The kernel closes descriptors that came with it. */
LM_INTERNAL long lm_sys_receive(int socket, void *bytes, size_t length, int flags)
{
    return LM_SYS(SYS_recvfrom, socket, bytes, length, flags, 0, 0);
}

LM_INTERNAL long lm_sys_sendmsg(int socket, const struct msghdr *message)
{
    return LM_SYS(SYS_sendmsg, socket, message, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0, 0);
}

/* Received descriptors are close-on-exec. */
LM_INTERNAL long lm_sys_recvmsg(int socket, struct msghdr *message, int flags)
{
    return LM_SYS(SYS_recvmsg, socket, message, flags | MSG_CMSG_CLOEXEC, 0, 0, 0);
}

LM_INTERNAL bool lm_sys_is_open(int descriptor)
{
    return LM_SYS(SYS_fcntl, descriptor, F_GETFD, 0, 0, 0, 0) >= 0;
}

/* Returns a close-on-exec copy of the descriptor. */
LM_INTERNAL int lm_sys_duplicate(int descriptor)
{
    return (int)LM_SYS(SYS_fcntl, descriptor, LM_F_DUPFD_CLOEXEC, 0, 0, 0, 0);
}

LM_INTERNAL int lm_sys_peer(int socket, struct lm_credentials *peer)
{
    socklen_t length = sizeof *peer;
    return (int)LM_SYS(SYS_getsockopt, socket, SOL_SOCKET, LM_SO_PEERCRED, peer, &length, 0);
}

/* Returns the number of the peer's supplementary groups and stores them in memory that the caller frees. */
LM_SETUP int lm_sys_peer_groups(int socket, uint32_t **groups)
{
    socklen_t bytes = 0;
    long result = LM_SYS(SYS_getsockopt, socket, SOL_SOCKET, LM_SO_PEERGROUPS, NULL, &bytes, 0);
    *groups = result == -ERANGE ? (uint32_t *)malloc(bytes) : NULL;
    if (!*groups)
        return 0;
    result = LM_SYS(SYS_getsockopt, socket, SOL_SOCKET, LM_SO_PEERGROUPS, *groups, &bytes, 0);
    return result < 0 ? 0 : (int)(bytes / sizeof **groups);
}

/* Returns a close-on-exec pidfd of the peer, which the caller owns; -ENOPROTOOPT before Linux 6.5. */
LM_INTERNAL int lm_sys_peer_pidfd(int socket)
{
    int pidfd = -1;
    socklen_t length = sizeof pidfd;
    long result = LM_SYS(SYS_getsockopt, socket, SOL_SOCKET, LM_SO_PEERPIDFD, &pidfd, &length, 0);
    return result < 0 ? (int)result : pidfd;
}

/* Returns the number of descriptors that this process may have open. */
LM_INTERNAL uint64_t lm_sys_descriptor_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : (uint64_t)limit.rlim_cur;
}

/* Limits the time that connecting (SO_SNDTIMEO) or receiving (SO_RCVTIMEO) may block; 0 nanoseconds: no limit. */
LM_SETUP int lm_sys_set_timeout(int socket, int option, int64_t nanoseconds)
{
    int64_t microseconds = (nanoseconds + 999) / 1000;
    struct lm_timeval time = {(long)(microseconds / 1000000), (long)(microseconds % 1000000)};
    return (int)LM_SYS(SYS_setsockopt, socket, SOL_SOCKET, option, &time, sizeof time, 0);
}

/* Sleeps until the socket is readable or the time has passed; may return early. */
LM_SETUP void lm_sys_poll_readable(int socket, int64_t nanoseconds)
{
    struct lm_timespec time = {(long)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
    struct pollfd readable = {socket, POLLIN, 0};
    LM_SYS(SYS_ppoll, &readable, 1, &time, 0, 0, 0);
}

/* Returns whether there is something to read, or the other end has gone. */
LM_SETUP bool lm_sys_readable(int descriptor)
{
    struct lm_timespec none = {0, 0};
    struct pollfd readable = {descriptor, POLLIN, 0};
    LM_SYS(SYS_ppoll, &readable, 1, &none, 0, 0, 0);
    return readable.revents != 0;
}

/* Sleeps until one of the two descriptors is readable or the time has passed; may return early. True: the second is
 * readable, has ended, or is no descriptor. */
LM_SETUP bool lm_sys_poll_either(int socket, int other, int64_t nanoseconds)
{
    struct lm_timespec time = {(long)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
    struct pollfd readable[2] = {{socket, POLLIN, 0}, {other, POLLIN, 0}};
    LM_SYS(SYS_ppoll, readable, 2, &time, 0, 0, 0);
    return readable[1].revents != 0;
}

/* Returns whether the socket accepts a record without blocking. */
LM_SETUP bool lm_sys_writable(int socket)
{
    struct lm_timespec none = {0, 0};
    struct pollfd writable = {socket, POLLOUT, 0};
    LM_SYS(SYS_ppoll, &writable, 1, &none, 0, 0, 0);
    return (writable.revents & POLLOUT) != 0;
}

/* Whether the peer's end of the socket is closed. */
LM_INTERNAL bool lm_sys_hung_up(int socket)
{
    struct lm_timespec none = {0, 0};
    struct pollfd hang_up = {socket, 0, 0};
    LM_SYS(SYS_ppoll, &hang_up, 1, &none, 0, 0, 0);
    return (hang_up.revents & (POLLHUP | POLLERR)) != 0;
}

/* Creates a sealable memfd. If vm.memfd_noexec is 2, the kernel requires MFD_NOEXEC_SEAL; older kernels do not know
 * that flag, so it is used only after -EACCES. */
LM_SETUP int lm_sys_memfd_create(void)
{
    const unsigned flags = LM_MFD_CLOEXEC | LM_MFD_ALLOW_SEALING;
    int memory = (int)LM_SYS(SYS_memfd_create, "lightmessaging", flags, 0, 0, 0, 0);
    if (memory == -EACCES)
        memory = (int)LM_SYS(SYS_memfd_create, "lightmessaging", flags | LM_MFD_NOEXEC_SEAL, 0, 0, 0, 0);
    return memory;
}

LM_SETUP int lm_sys_memfd(size_t size)
{
    int memory = lm_sys_memfd_create();
    if (memory < 0)
        return memory;
    long result = LM_SYS(SYS_ftruncate, memory, size, 0, 0, 0, 0);
    if (result >= 0)
        result = LM_SYS(SYS_fcntl, memory, LM_F_ADD_SEALS, LM_F_SEAL_SHRINK | LM_F_SEAL_GROW | LM_F_SEAL_SEAL, 0, 0, 0);
    if (result < 0) {
        lm_sys_close(&memory);
        return (int)result;
    }
    return memory;
}

LM_INTERNAL int lm_sys_seals(int memory)
{
    return (int)LM_SYS(SYS_fcntl, memory, LM_F_GET_SEALS, 0, 0, 0, 0);
}

/* Maps shared memory; NULL on failure. Calls libc's mmap, because the sanitizers must see it. */
LM_SETUP void *lm_sys_map(int memory, size_t size)
{
    void *address =
        lm_sys_fault(SYS_munmap) ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    return address == MAP_FAILED ? NULL : address;
}

/* Excludes the mapping from forked children. */
LM_INTERNAL void lm_sys_keep_from_children(void *address, size_t size)
{
    LM_SYS(SYS_madvise, address, size, LM_MADV_DONTFORK, 0, 0, 0);
}

LM_INTERNAL void lm_sys_unmap(void *address, size_t size)
{
    munmap(address, size);
}

/* Allocates pages before they are touched. Kernels before 5.14 cannot do this and filters may forbid it; the result is
 * then 0, and a lack of memory shows only when a page is touched. */
LM_INTERNAL int lm_sys_populate(void *address, size_t size)
{
    int result = (int)LM_SYS(SYS_madvise, address, size, LM_MADV_POPULATE_WRITE, 0, 0, 0);
    return result == -EINVAL || result == -ENOSYS || result == -EPERM ? 0 : result;
}

LM_SETUP int lm_sys_stat(int descriptor, struct stat *status)
{
    int fault = lm_sys_fault(SYS_fstatfs);
    if (fault)
        return -fault;
    return fstat(descriptor, status) < 0 ? -errno : 0;
}

LM_INTERNAL bool lm_sys_on_tmpfs(int descriptor)
{
    struct statfs status;
    return fstatfs(descriptor, &status) == 0 && (uint32_t)status.f_type == LM_TMPFS_MAGIC;
}

/* Returns whether the descriptor was opened through a read-only mount. */
LM_SETUP bool lm_sys_is_read_only(int descriptor)
{
    const unsigned long read_only = 1; /* ST_RDONLY */
    struct statfs status;
    return fstatfs(descriptor, &status) == 0 && ((unsigned long)status.f_flags & read_only) != 0;
}

LM_INTERNAL int lm_sys_open(int directory, const char *path, int flags, unsigned mode)
{
    return (int)LM_SYS(SYS_openat, directory, path, flags | LM_O_CLOEXEC, mode, 0, 0);
}

LM_INTERNAL int lm_sys_mkdir(int directory, const char *path, unsigned mode)
{
    return (int)LM_SYS(SYS_mkdirat, directory, path, mode, 0, 0, 0);
}

/* The descriptor must not have been opened with O_PATH. */
LM_INTERNAL int lm_sys_fchmod(int descriptor, unsigned mode)
{
    return (int)LM_SYS(SYS_fchmod, descriptor, mode, 0, 0, 0, 0);
}

/* Follows links: use only with paths that no other user can change. */
LM_INTERNAL int lm_sys_chmod(const char *path, unsigned mode)
{
    return (int)LM_SYS(SYS_fchmodat, LM_AT_FDCWD, path, mode, 0, 0, 0);
}

/* Changes the mode of the entry itself, even of a symbolic link. -ENOSYS before Linux 6.6. */
LM_INTERNAL int lm_sys_chmod_entry(int directory, const char *name, unsigned mode)
{
    return (int)LM_SYS(LM_SYS_FCHMODAT2, directory, name, mode, LM_AT_SYMLINK_NOFOLLOW, 0, 0);
}

/* Renames within one directory and never replaces an entry. -EEXIST: `to` exists. */
LM_INTERNAL int lm_sys_rename(int directory, const char *from, const char *to)
{
    return (int)LM_SYS(SYS_renameat2, directory, from, directory, to, LM_RENAME_NOREPLACE, 0);
}

LM_INTERNAL int lm_sys_link(int from_directory, const char *from, int to_directory, const char *to)
{
    return (int)LM_SYS(SYS_linkat, from_directory, from, to_directory, to, 0, 0);
}

LM_INTERNAL int lm_sys_unlink(int directory, const char *path)
{
    return (int)LM_SYS(SYS_unlinkat, directory, path, 0, 0, 0, 0);
}

LM_INTERNAL int lm_sys_truncate(int file, size_t size)
{
    return (int)LM_SYS(SYS_ftruncate, file, size, 0, 0, 0, 0);
}

/* Describes the lock of one byte to fcntl. */
LM_SETUP struct lm_file_lock lm_file_lock_of(int16_t type, int64_t byte)
{
    struct lm_file_lock lock;
    memset(&lock, 0, sizeof lock);
    lock.type = type;
    lock.start = byte;
    lock.length = 1;
    return lock;
}

/* Takes the lock of one byte of a file without waiting. The lock is held until it is released, the descriptor and all
 * of its copies are closed, or the process dies. -EAGAIN: another descriptor has the lock. */
LM_INTERNAL int lm_sys_lock(int file, int64_t byte)
{
    struct lm_file_lock lock = lm_file_lock_of(F_WRLCK, byte);
    return (int)LM_SYS(LM_SYS_FCNTL, file, LM_F_OFD_SETLK, &lock, 0, 0, 0);
}

LM_INTERNAL void lm_sys_unlock(int file, int64_t byte)
{
    struct lm_file_lock lock = lm_file_lock_of(F_UNLCK, byte);
    LM_SYS(LM_SYS_FCNTL, file, LM_F_OFD_SETLK, &lock, 0, 0, 0);
}

/* Returns whether any process holds the lock, without taking it. */
LM_INTERNAL bool lm_sys_is_locked(int file, int64_t byte)
{
    struct lm_file_lock lock = lm_file_lock_of(F_WRLCK, byte);
    return LM_SYS(LM_SYS_FCNTL, file, LM_F_OFD_GETLK, &lock, 0, 0, 0) >= 0 && lock.type != F_UNLCK;
}

/* Reads as many of the directory's entries as fit, in the kernel's format. Returns their bytes, 0 at the end. */
LM_INTERNAL long lm_sys_entries(int directory, void *entries, size_t size)
{
    return LM_SYS(SYS_getdents64, directory, entries, size, 0, 0, 0);
}

LM_INTERNAL long lm_sys_write(int descriptor, const void *bytes, size_t length)
{
    return LM_SYS(SYS_write, descriptor, bytes, length, 0, 0, 0);
}

LM_SETUP int lm_sys_socket_option(int socket, int option)
{
    int value = -1;
    socklen_t length = sizeof value;
    long result = LM_SYS(SYS_getsockopt, socket, SOL_SOCKET, option, &value, &length, 0);
    return result < 0 ? (int)result : value;
}

/* Stores the address that the socket is bound to; a path in it ends with a NUL. */
LM_SETUP int lm_sys_address(int socket, struct sockaddr_un *address)
{
    socklen_t length = sizeof *address - 1;
    memset(address, 0, sizeof *address);
    return (int)LM_SYS(SYS_getsockname, socket, address, &length, 0, 0, 0);
}

/* Makes the descriptor close-on-exec and non-blocking. */
LM_SETUP int lm_sys_make_ours(int descriptor)
{
    long flags = LM_SYS(SYS_fcntl, descriptor, F_GETFL, 0, 0, 0, 0);
    long result = flags < 0 ? flags : LM_SYS(SYS_fcntl, descriptor, F_SETFL, flags | O_NONBLOCK, 0, 0, 0);
    return result < 0 ? (int)result : (int)LM_SYS(SYS_fcntl, descriptor, F_SETFD, FD_CLOEXEC, 0, 0, 0);
}

/* Flags: 0, or LM_GRND_NONBLOCK, with which it fails rather than wait, early in the system's start. */
LM_INTERNAL int lm_sys_random(void *bytes, size_t length, unsigned flags)
{
    return (int)LM_SYS(SYS_getrandom, bytes, length, flags, 0, 0, 0);
}

LM_INTERNAL int lm_sys_epoll(void)
{
    return (int)LM_SYS(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0);
}

LM_INTERNAL int lm_sys_epoll_control(int epoll, int operation, int descriptor, struct epoll_event *event)
{
    return (int)LM_SYS(SYS_epoll_ctl, epoll, operation, descriptor, event, 0, 0);
}

LM_INTERNAL int lm_sys_epoll_wait(int epoll, struct epoll_event *events, int most, int milliseconds)
{
    return (int)LM_SYS(SYS_epoll_pwait, epoll, events, most, milliseconds, 0, 8);
}

/* Returns the number of cores that this thread may run on; 1 if the kernel does not tell. */
LM_SETUP uint32_t lm_sys_core_count(void)
{
    unsigned long cores[1024 / sizeof(unsigned long)]; /* for 8192 cores, the most that Linux supports */
    long bytes = LM_SYS(SYS_sched_getaffinity, 0, sizeof cores, cores, 0, 0, 0);
    uint32_t count = 0;
    for (long i = 0; i < bytes / (long)sizeof *cores; i++)
        count += (uint32_t)__builtin_popcountl(cores[i]);
    return count > 0 ? count : 1;
}

LM_INTERNAL void lm_sys_yield(void)
{
    LM_SYS(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

LM_INTERNAL int lm_sys_inotify(void)
{
    return (int)LM_SYS(SYS_inotify_init1, LM_O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0, 0);
}

LM_INTERNAL int lm_sys_inotify_add(int inotify, const char *path, uint32_t events)
{
    return (int)LM_SYS(SYS_inotify_add_watch, inotify, path, events, 0, 0, 0);
}

LM_INTERNAL int lm_sys_eventfd(void)
{
    return (int)LM_SYS(SYS_eventfd2, 0, LM_EFD_FLAGS, 0, 0, 0, 0);
}

LM_INTERNAL void lm_sys_eventfd_raise(int eventfd)
{
    uint64_t one = 1;
    LM_SYS(SYS_write, eventfd, &one, sizeof one, 0, 0, 0);
}

LM_INTERNAL int lm_sys_timerfd(void)
{
    return (int)LM_SYS(SYS_timerfd_create, LM_CLOCK_MONOTONIC, LM_EFD_FLAGS, 0, 0, 0, 0);
}

/* Makes the timerfd readable from the given time on; 0 disarms it. */
LM_INTERNAL void lm_sys_timerfd_set(int timerfd, int64_t nanoseconds)
{
    const int absolute = 1;
    struct lm_timespec times[2] = {{0, 0}, {(long)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)}};
    LM_SYS(SYS_timerfd_settime, timerfd, absolute, times, 0, 0, 0);
}

/* Sleeps while *word is `value`; a NULL timeout means no timeout. */
LM_INTERNAL int lm_sys_futex_wait(uint32_t *word, uint32_t value, const struct lm_timespec *timeout)
{
    return (int)LM_SYS(SYS_futex, word, LM_FUTEX_WAIT_PRIVATE, value, timeout, 0, 0);
}

LM_INTERNAL void lm_sys_futex_wake(uint32_t *word, int most)
{
    LM_SYS(SYS_futex, word, LM_FUTEX_WAKE_PRIVATE, most, 0, 0, 0);
}

LM_INTERNAL void lm_sys_pause(int64_t nanoseconds)
{
    struct lm_timespec time = {(long)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
    LM_SYS(SYS_ppoll, 0, 0, &time, 0, 0, 0);
}

LM_INTERNAL bool lm_sys_is_main_thread(void)
{
    return LM_SYS(SYS_gettid, 0, 0, 0, 0, 0, 0) == (long)getpid();
}

/* Returns an environment variable, or NULL if it is empty or the program runs with raised privileges (AT_SECURE). */
LM_SETUP const char *lm_environment(const char *variable)
{
    const unsigned long secure = 23; /* AT_SECURE */
    const char *value = getauxval(secure) ? NULL : getenv(variable);
    return value && value[0] ? value : NULL;
}

#endif
