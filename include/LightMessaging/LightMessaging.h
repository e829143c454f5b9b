/* SPDX-License-Identifier: MIT */
/*
 * LightMessaging: named services, one-way and two-way messages between the processes of one machine.
 *
 * A service:                                           A client:
 *
 *   void answer(CFMachPortRef port, LMMessage *message,  static LMConnection connection =
 *               CFIndex size, void *info) {                  { MACH_PORT_NULL, "com.example.name" };
 *       LMSendReply(message->head.msgh_remote_port,
 *                   "lol", 4);                         LMResponseBuffer buffer;
 *   }                                                  if (LMConnectionSendTwoWay(&connection, 1, "hi", 3,
 *                                                                                 &buffer) == 0)
 *   LMStartService("com.example.name",                     puts(LMMessageGetData(&buffer.message));
 *       CFRunLoopGetCurrent(),                         LMResponseBufferFree(&buffer);
 *       (CFMachPortCallBack)answer);
 *   CFRunLoopRun();
 *
 * Copy the folders LightMessaging and rocketbootstrap next to each other into an include path, include this file, and
 * that is all.
 *
 * Define before including, if at all:
 *   LIGHTMESSAGING_TIMEOUT             milliseconds that a call of this file may take, look-up and connecting included.
 *                                      Undefined: for ever. 0: not at all. Files of one program may differ.
 *   LIGHTMESSAGING_USE_ROCKETBOOTSTRAP 1 (the default): starting a service also unlocks it for sandboxed processes.
 *                                      0: it does not; only rocketbootstrap_unlock, which is remembered, does then.
 *   LIGHTMESSAGING_SEPARATE            for programs of many files, which compile faster with it: the file gets
 *                                      declarations only. Files in Objective-C, and those that define one of the above,
 *                                      keep code of their own all the same.
 *   LIGHTMESSAGING_IMPLEMENTATION      in one file in C or C++ of such a program or plugin, which has the code for all.
 *                                      Include all headers there that the others use. What is defined above it holds
 *                                      for them, too.
 *
 * Errors are 0 for success, or a number that mach_error_string explains. A call that fails with MACH_SEND_... or
 * BOOTSTRAP_... was never taken by the service and never will be, and can be repeated; MACH_RCV_... means that it was
 * taken and no answer came.
 *
 * With LM_DEBUG=1 in its environment, a program that uses this writes a line per event to its standard error stream:
 * the time, the process, the connection, what happened; of errors which name, which path, and what to do about it.
 *
 * Threads: every function may be called from any thread. A connection may be shared by all threads.
 * Lengths are bytes, from 0 to 2^32 - 1. Message ids are yours. Data arrive as they were sent, aligned to 16 bytes.
 */
#ifndef LIGHTMESSAGING_LIGHTMESSAGING_H
#define LIGHTMESSAGING_LIGHTMESSAGING_H

#ifndef LIGHTMESSAGING_USE_ROCKETBOOTSTRAP
#define LIGHTMESSAGING_USE_ROCKETBOOTSTRAP 1
#endif

#include "Mach.h"
#include "CoreFoundation.h"
#if LIGHTMESSAGING_USE_COREFOUNDATION
#include "detail/cf/aside.h"
#endif

/* --- Types --- */

/*
 * A connection to a named service. Fill in the name; serverPort may be MACH_PORT_NULL or anything else, it is looked up
 * when first used. All connections of a process to one service share one channel; there is nothing to close.
 */
typedef struct {
    mach_port_t serverPort;
    name_t serverName;
} LMConnection;
typedef LMConnection *LMConnectionRef;

typedef struct {
    uint32_t msgh_bits;           /* MACH_MSGH_BITS_COMPLEX if the data is out of line, else 0 */
    mach_msg_size_t msgh_size;    /* of the message with its in-line data */
    mach_port_t msgh_remote_port; /* in a request: where the reply goes; MACH_PORT_NULL in a one-way message */
    mach_port_t msgh_local_port;  /* in a request: the service's port */
    mach_msg_id_t msgh_id;        /* what the sender passed */
} mach_msg_header_t;

typedef struct {
    uint32_t msgh_descriptor_count; /* 1: data.out_of_line is valid; 0: data.in_line */
} mach_msg_body_t;

typedef struct {
    void *address;
    mach_msg_size_t size;
} mach_msg_ool_descriptor_t;

#define MACH_MSGH_BITS_COMPLEX 0x80000000u

/* A received message. Use LMMessageGetData and LMMessageGetDataLength rather than the data's fields. */
typedef struct LMMessage {
    mach_msg_header_t head;
    mach_msg_body_t body;
    struct lm_parcel *descriptors; /* LMMessageTakeDescriptor; NULL: none */
    struct lm_segment *lent;       /* where the data are, if they came in a lent buffer */
    union {
        struct {
            mach_msg_ool_descriptor_t descriptor;
        } out_of_line;
        struct {
            uint32_t length;
            uint8_t bytes[16] __attribute__((aligned(16))); /* the first of up to LM_INLINE_MAX bytes */
        } in_line;
    } data;
} LMMessage;

/* One message can carry LM_DESCRIPTORS_MAX file descriptors, which is 253: the kernel's own limit for a record of a
 * socket. A name has at most LM_NAME_MAX bytes, 127. */
/* Up to this many bytes of data are stored in the message itself; more are in memory of their own. */
#define LM_INLINE_MAX 4096u

/* Where a reply is put: an object on the caller's stack, which needs no initialisation. */
typedef struct LMResponseBuffer {
    LMMessage message;
    uint8_t slack[LM_INLINE_MAX];
} LMResponseBuffer;

/*
 * Spinning before sleeping. A thread that waits for a message polls shared memory for a while before it sleeps, if its
 * last waits were short enough for that to pay. A call between two busy cores then takes less than a microsecond
 * instead of tens. It costs at most that many microseconds of processor time before a sleep; a waiter that has nothing
 * to do sleeps until it is woken, and one whose spins find nothing spins ever more rarely. Where more threads are in
 * calls on one channel than there are cores, they yield theirs between two polls. A thread restricted to one core (when
 * it opens the channel, or makes the run loop) never spins.
 *
 * Switch it off where the battery or the other programs on the machine matter more: with LM_SPIN_NEVER for a service or
 * a connection, or with LM_SPIN_US=0 in the environment, whose number of microseconds is the upper bound for a process.
 */
#define LM_SPIN_NEVER UINT32_MAX

/* As a timeout: wait for ever. */
#define LM_TIMEOUT_NEVER UINT32_MAX

/* Defaults, in bytes: the longest request that a service takes, and the longest reply that a client takes. */
#define LM_LARGEST_MESSAGE 0x10000000u /* 256 MiB: the size at which a slip is likelier than a use; not tuned */

/* A service that was started; the same thing as the port in its callback. */
typedef CFMachPortRef LMServiceRef;

/* An asynchronous call. CFRetain and CFRelease count references to it. */
typedef struct lm_async *LMCallRef;

/* What is told of a service's comings and goings. */
typedef struct lm_observer *LMObserverRef;

/* A buffer to fill and send; see "Lent buffers". */
typedef struct lm_segment *LMBufferRef;

/* How an asynchronous call ended. The response is freed after the callback, which may consume it; it is an empty
 * message unless the status is 0. */
typedef void (*LMReplyCallBack)(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info);

/* --- Client --- */

/*
 * Sends and does not wait for an answer. 0: the message is queued, and reaches the service even if this process exits
 * or is killed at once. Waits, within the timeout, only while the queue is full (or, over 64 KiB, until the service has
 * taken it). The queue holds 512 KiB. The data may be changed or freed as soon as it returns.
 *
 * If the service dies first, this process keeps the messages that the service had not taken. They go to the next
 * service of that name, in order and before newer messages, when this process next uses a connection to the name, or
 * when it ends by `exit` or by a return from `main`, which that may hold up for half a second. They are lost if this
 * process has ended when the service dies, if it is killed or calls `_exit` before they could go, if it ends while no
 * service has the name, or if nobody uses a connection to the name again. A message that is sent when the service is
 * dead already is not kept: it goes to the next service, or the send fails. (Where a stream of messages is being sent,
 * that holds from some 10 microseconds after the death.)
 *
 *   KERN_INVALID_ARGUMENT      NULL connection, NULL data with a length, empty or illegal name, no NUL in it
 *   BOOTSTRAP_UNKNOWN_SERVICE  no process serves the name
 *   BOOTSTRAP_NOT_PRIVILEGED   it may not be called from here, or by this user
 *   MACH_SEND_TOO_LARGE        the service takes no message of that length; nothing was sent
 *   MACH_SEND_TIMED_OUT        the timeout passed; nothing of the message will arrive
 *   MACH_SEND_INVALID_DEST     the service died before it took the message, and is not back
 *   KERN_RESOURCE_SHORTAGE     no memory or descriptors, or the service's quota for this user is used up
 *
 * The service's answer to who may call comes after the first message was queued: that one may get 0, and the next one
 * BOOTSTRAP_NOT_PRIVILEGED.
 */
LM_API kern_return_t LMConnectionSendOneWay(LMConnectionRef connection, SInt32 messageId, const void *data,
                                            uint32_t length);
LM_API kern_return_t LMConnectionSendOneWayWithTimeout(LMConnectionRef connection, SInt32 messageId, const void *data,
                                                       uint32_t length, uint32_t milliseconds);
/* The same without data. */
LM_API kern_return_t LMConnectionSendEmptyOneWay(LMConnectionRef connection, SInt32 messageId);
/* The same with a CFData's bytes; NULL is an empty message. True if it was sent (unlike its siblings). */
LM_API bool LMConnectionSendOneWayData(LMConnectionRef connection, SInt32 messageId, CFDataRef data);

/*
 * Sends and waits for the reply, which it puts into `response`; free that with LMResponseBufferFree, or consume it.
 * After a failure the response is an empty message, safe to read and free. Besides the errors above:
 *
 *   MACH_RCV_TIMED_OUT  the service took the call and did not answer in time; a late answer is dropped
 *   MACH_RCV_PORT_DIED  the service took the call and died, or gave up the reply port; or there was no memory, or no
 *                       room for descriptors, to receive the reply
 */
LM_API kern_return_t LMConnectionSendTwoWay(LMConnectionRef connection, SInt32 messageId, const void *data,
                                            uint32_t length, LMResponseBuffer *response);
LM_API kern_return_t LMConnectionSendTwoWayWithTimeout(LMConnectionRef connection, SInt32 messageId, const void *data,
                                                       uint32_t length, uint32_t milliseconds,
                                                       LMResponseBuffer *response);
LM_API kern_return_t LMConnectionSendTwoWayData(LMConnectionRef connection, SInt32 messageId, CFDataRef data,
                                                LMResponseBuffer *response);

/*
 * The same with up to LM_DESCRIPTORS_MAX file descriptors, which arrive with the message, as close-on-exec copies;
 * yours stay open. A one-way message with descriptors waits, within its timeout, until the service has taken it.
 * Besides the errors above:
 *
 *   KERN_INVALID_ARGUMENT   there are too many, or one is not open
 *   KERN_RESOURCE_SHORTAGE  the service has no room for them
 */
LM_API kern_return_t LMConnectionSendOneWayWithDescriptors(LMConnectionRef connection, SInt32 messageId,
                                                           const void *data, uint32_t length, const int *descriptors,
                                                           uint32_t count, uint32_t milliseconds);
LM_API kern_return_t LMConnectionSendTwoWayWithDescriptors(LMConnectionRef connection, SInt32 messageId,
                                                           const void *data, uint32_t length, const int *descriptors,
                                                           uint32_t count, uint32_t milliseconds,
                                                           LMResponseBuffer *response);

/*
 * How long a thread of this process that waits for the service looks before it sleeps: 1 to 1000 microseconds, 0 for
 * the default, which is 50, or LM_SPIN_NEVER. For all connections of this process to the name, also after the service
 * restarts. Connects first, with errors as above; KERN_INVALID_ARGUMENT for a longer time.
 */
LM_API kern_return_t LMConnectionSetSpin(LMConnectionRef connection, uint32_t microseconds);

/*
 * Sends and goes on; the callback is called once, in the thread that runs the loop, with what LMConnectionSendTwoWay
 * would return. The data are copied, and go out in the order of the sends as the service makes room; nothing waits here
 * but connecting, when thousands of others are connecting too. A call keeps its run loop running until it has ended.
 * `call` may be NULL; else it gets the call, with a reference that is yours to give up with CFRelease. If this returns
 * an error, `call` gets NULL and the callback is not called. Besides the errors above:
 *
 *   MACH_SEND_NO_BUFFER  256 MiB stand in line for the service already
 */
LM_API kern_return_t LMConnectionSendTwoWayAsync(LMConnectionRef connection, SInt32 messageId, const void *data,
                                                 uint32_t length, uint32_t milliseconds, CFRunLoopRef runLoop,
                                                 LMReplyCallBack callback, void *info, LMCallRef *call);
/*
 * Gives an asynchronous call up. True: its callback will not be called; the request is taken back if the service has
 * not taken it. False: the callback has been called, or has begun in another thread. Any thread.
 */
LM_API bool LMCallCancel(LMCallRef call);

/*
 * Tells when a connection's service comes and goes. The callback is called in the thread that runs the loop: once soon
 * with how it is now, then at each change; a restart is always told as both. The service is there when it has let us
 * in, and away when it has died, was stopped for good or does not let us in. An observer keeps a channel to the service
 * open, and its run loop running, until it is invalidated; it is yours, to be given up with CFRelease after that.
 */
typedef void (*LMObserverCallBack)(LMObserverRef observer, const char *serverName, bool isThere, void *info);
LM_API kern_return_t LMConnectionObserve(LMConnectionRef connection, CFRunLoopRef runLoop, LMObserverCallBack callback,
                                         void *info, LMObserverRef *observer);
/* No further callback begins; one that another thread is in finishes. Idempotent, any thread. */
LM_API void LMObserverInvalidate(LMObserverRef observer);

/* The reply as a 32-bit integer of this machine's byte order; 0 if it is not 4 bytes long. Frees the response. */
LM_API int32_t LMResponseConsumeInteger(LMResponseBuffer *response);
/* Frees what the response holds and leaves an empty message. Idempotent. A service calls it on requests, cast from
 * LMMessage *. */
LM_API void LMResponseBufferFree(LMResponseBuffer *response);

/* --- Lent buffers --- */

/*
 * For large data: a buffer in memory that goes to the other side as it is, so that sending takes equally long whatever
 * its size. What a program fills there anyway (a picture, a file that is read) is never copied. Buffers are used again,
 * and warm, once the receiver has freed the message; a program that sends one after another makes no system call.
 *
 *     LMBufferRef buffer;
 *     LMConnectionCreateBuffer(&connection, length, &buffer);
 *     draw(LMBufferGetBytes(buffer), LMBufferGetLength(buffer));
 *     LMConnectionSendTwoWayBuffer(&connection, DRAWN, &buffer, &response);
 *     LMBufferFree(buffer);
 *
 * A sending function takes the buffer and sets yours to NULL, unless nothing of the message will arrive: then it is
 * still yours, to be sent again or freed. What it holds at first is undefined: zeroes, or what you sent before. Each
 * channel lends up to 8 buffers and 256 MiB at a time in each direction; beyond that, without memfds, or on another
 * connection than it was made for, a buffer is sent as a copy, and all else is the same.
 *
 * The receiver gets an ordinary message, and can read and write its data until it frees it. A sender that goes on
 * writing to a buffer that it has sent can change what the receiver reads. So buffers go between processes of one user
 * only, and not to a receiver that wants none (LMServiceOptions, LMSetPrivateCopies): these get private copies. A
 * service that lets sandboxed processes of its own user in, and does not trust them, is better off with copies. Lent
 * buffers don't count in quotas. The first message on a connection goes as a copy too.
 *
 * One thread at a time may use a buffer. A child that is forked while a message in a lent buffer is held shares its
 * data, and sees them change once the parent has freed it: copy what it needs.
 */

/* A buffer for requests of that many bytes, at least one, 4096-aligned. Connects if need be, with errors as for
 * sending; KERN_RESOURCE_SHORTAGE: no memory. */
LM_API kern_return_t LMConnectionCreateBuffer(LMConnectionRef connection, uint32_t length, LMBufferRef *buffer);
/* A buffer for the reply to that call, likewise. The port is still to be used. MACH_SEND_INVALID_RIGHT: not a reply
 * port, or used before. */
LM_API kern_return_t LMReplyCreateBuffer(mach_port_t replyPort, uint32_t length, LMBufferRef *buffer);
LM_API void *LMBufferGetBytes(LMBufferRef buffer);
LM_API uint32_t LMBufferGetLength(LMBufferRef buffer);
/* Gives a buffer up that was not sent. NULL is nothing. */
LM_API void LMBufferFree(LMBufferRef buffer);
/* As LMConnectionSendOneWay and LMConnectionSendTwoWay; the first waits until the service has taken the message. */
LM_API kern_return_t LMConnectionSendOneWayBuffer(LMConnectionRef connection, SInt32 messageId, LMBufferRef *buffer);
LM_API kern_return_t LMConnectionSendOneWayBufferWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                             LMBufferRef *buffer, uint32_t milliseconds);
LM_API kern_return_t LMConnectionSendTwoWayBuffer(LMConnectionRef connection, SInt32 messageId, LMBufferRef *buffer,
                                                  LMResponseBuffer *response);
LM_API kern_return_t LMConnectionSendTwoWayBufferWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                             LMBufferRef *buffer, uint32_t milliseconds,
                                                             LMResponseBuffer *response);
/* As LMSendReply. The reply port is used up, whatever is returned. */
LM_API kern_return_t LMSendReplyBuffer(mach_port_t replyPort, LMBufferRef *buffer);
/* Whether replies come as private copies, even from this user's services; on channels opened from now on. */
LM_API void LMSetPrivateCopies(bool wanted);

/* --- Messages --- */

/* The data, NULL when there is none. Borrowed: until the message is freed or, for a request, the callback returns. */
LM_API void *LMMessageGetData(LMMessage *message);
LM_API uint32_t LMMessageGetDataLength(LMMessage *message);
/* How many file descriptors came with the message; and one of them, which is yours to close from then on: -1 if there
 * is none of that index, or it was taken before. Those that nobody takes are closed with the message. */
LM_API uint32_t LMMessageGetDescriptorCount(LMMessage *message);
LM_API int LMMessageTakeDescriptor(LMMessage *message, uint32_t index);
/* Whether `size` bytes hold a complete message. What this library hands to a callback always does. */
LM_API bool LMDataWithSizeIsValidMessage(const void *data, CFIndex size);

/* Who sent a message, as the kernel says: the process that connected, and its ids at that time. Ids that have no number
 * in this user namespace are 65534. */
typedef struct {
    pid_t pid; /* 0 if the process is not visible from here */
    uid_t uid;
    gid_t gid;
} LMSender;

/*
 * The sender of the message that the callback is in; only in the callback, and only of the message itself, not of a
 * copy: else KERN_INVALID_ARGUMENT, and `sender` is not changed. A pid may be another process's by the time you use it;
 * the pidfd is not.
 */
LM_API kern_return_t LMMessageGetSender(LMMessage *message, LMSender *sender);
/* A pidfd of the sender, close-on-exec, yours to close; under the same conditions. -1 if there is none: Linux before
 * 6.5, no descriptors left, or the client is gone. */
LM_API int LMMessageCopySenderPidfd(LMMessage *message);

/* --- Services --- */

/*
 * Registers the name and serves it on the run loop, one message at a time:
 *
 *     void callback(CFMachPortRef port, LMMessage *message, CFIndex size, void *info)
 *
 * which is passed with a cast to CFMachPortCallBack.
 * The message's data are private to the callback and writable. What the callback does not free is freed after it. Reply
 * to message->head.msgh_remote_port, in the callback or later, from any thread, once; or give the port up with
 * mach_port_deallocate. A callback may run the loop, and is called within that with what comes meanwhile; exceptions
 * must not leave it. Stop with CFMachPortInvalidate(port). A start that fails leaves nothing behind:
 *
 *   KERN_INVALID_ARGUMENT     NULL run loop or callback, empty, too long or illegal name
 *   BOOTSTRAP_NAME_IN_USE     a live process serves the name; it is not disturbed
 *   BOOTSTRAP_NOT_PRIVILEGED  the runtime directory can't be made or written, or belongs to somebody else
 *   KERN_RESOURCE_SHORTAGE    no memory or descriptors; or a process that is stopped keeps the name's lock
 *
 * A socket that is there under the name is asked, by connecting, whether somebody listens. If that is a launcher's, it
 * starts its service.
 *
 * A name is 1 to 127 bytes without '/' and control characters, and does not start with '.'.
 */
LM_API kern_return_t LMStartService(const char *serverName, CFRunLoopRef runLoop, CFMachPortCallBack callback);
LM_API kern_return_t LMStartServiceWithUserInfo(const char *serverName, CFRunLoopRef runLoop,
                                                CFMachPortCallBack callback, void *userInfo);
/*
 * Takes the service over from the launcher that holds its socket, such as systemd; without one it registers like the
 * others. The socket is one of those that LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES speak of: the one that has the
 * service's name (FileDescriptorName= in a unit), or whose path says so. In any case the path must end in locked/NAME
 * or unlocked/NAME, where clients look. Several services of a process take one each, and no service two. It is the
 * service's from then on, and closed with it; the launcher keeps its own copy, so the name stays. What clients sent
 * while the service was being started is served. Whether the service is unlocked is up to the launcher: it is if the
 * socket is in the `unlocked` folder. Besides the errors above:
 *
 *   KERN_INVALID_ARGUMENT     the launcher's variables don't fit each other; or it has two sockets for the name, or one
 *                             that does not listen, is not AF_UNIX and SOCK_SEQPACKET, or is not where clients look
 *   BOOTSTRAP_SERVICE_ACTIVE  this process has checked the service in before
 */
LM_API kern_return_t LMCheckInService(const char *serverName, CFRunLoopRef runLoop, CFMachPortCallBack callback,
                                      void *userInfo);

/*
 * Closes a service's door to sandboxed processes and other users, as rocketbootstrap_unlock opens it. Idempotent; the
 * service need not be there. It holds until the next unlocking, which starting a service is unless
 * LIGHTMESSAGING_USE_ROCKETBOOTSTRAP is 0. Whoever is connected stays so; and a sandboxed process of the same user that
 * has opened the door before, without connecting, can still connect, since the socket is its user's: only another start
 * of the service, which has another socket, ends that. Other users can't.
 *
 *   KERN_INVALID_ARGUMENT     empty, too long or illegal name
 *   BOOTSTRAP_NOT_PRIVILEGED  the runtime directory is not this user's to write; or a launcher, or anybody but the
 *                             service in `locked`, listens at the door. It is asked by connecting, which starts a
 *                             launcher's service
 *   KERN_RESOURCE_SHORTAGE    no memory or descriptors; or a process that is stopped keeps the name's lock
 */
LM_API kern_return_t LMLockService(const char *serverName);

/* A name in a runtime directory; valid until the callback returns. */
typedef struct {
    const char *serverName;
    const char *directory; /* the runtime directory */
    bool isUnlocked;       /* sandboxed processes and other users can reach it */
    bool isServed;         /* a process holds the name. False: its process died, or a launcher holds the socket, or the
                              name is another user's, of whom that can't be seen */
} LMServiceEntry;

/* False to hear no more. */
typedef bool (*LMServiceEntryCallBack)(const LMServiceEntry *entry, void *info);

/*
 * Calls back, before it returns, for each name in this user's runtime directory and in /run/lightmessaging that can be
 * seen from here, in no order. It asks the directories only and disturbs no service. No directory is no name.
 *
 *   KERN_INVALID_ARGUMENT     NULL callback, or LM_RUNTIME_DIR is not an absolute path
 *   BOOTSTRAP_NOT_PRIVILEGED  the user's runtime directory is not to be trusted: it is somebody else's, or others may
 *                             write to it. The system's services have been listed
 */
LM_API kern_return_t LMListServices(LMServiceEntryCallBack callback, void *info);

/* Gets each message of a service, in the thread that runs its run loop: the service, the message, the message's size as
 * the original counts it, and the service's userInfo. The message is valid until the callback returns. */
typedef void (*LMServiceCallBack)(LMServiceRef service, LMMessage *message, CFIndex size, void *userInfo);

/* Whether a client may call: asked once per client, in the run loop's thread, before anything of it is looked at. */
typedef bool (*LMServicePolicy)(const LMSender *sender, void *userInfo);

/*
 * What a service may be told when it starts. Zero is the default everywhere: LMServiceOptions options = {0}.
 *
 * Who may call: if there is neither a list nor a function, everybody whom the runtime directory's permissions let in;
 * else who is named by at least one of them; nobody, root included, by any other right. Who may not is told
 * BOOTSTRAP_NOT_PRIVILEGED; one-way messages that were queued before that was known are kept like those to a service
 * that died.
 *
 * Quotas hold for all clients of one user together. Who goes beyond loses the connection, with KERN_RESOURCE_SHORTAGE
 * for what was not taken; one message always fits.
 */
typedef struct {
    uint32_t largestMessage;     /* bytes of a request; LM_LARGEST_MESSAGE. As LMServiceSetLargestMessage takes it */
    uint32_t connectionsPerUser; /* client processes; half of RLIMIT_NOFILE's soft limit */
    uint32_t descriptorsPerUser; /* that came with messages and wait for the callback; 512 */
    uint64_t bytesPerUser;       /* of requests over 4 KiB that are coming in, and of replies that wait; 1 GiB */
    const uid_t *users;          /* who may call; copied */
    uint32_t userCount;
    const gid_t *groups; /* whose members may call, further groups included; copied */
    uint32_t groupCount;
    LMServicePolicy policy;     /* gets the service's userInfo */
    bool privateCopies;         /* takes no lent buffers: they come as copies. Those of other users always do */
    uint32_t spinMicroseconds;  /* 1 to 1000, or LM_SPIN_NEVER; 50. See "Spinning before sleeping" */
    LMServiceCallBack callback; /* called in place of the function's own, which may be NULL then and needs no cast */
} LMServiceOptions;

/*
 * The same with options, which may be NULL and may go when it returns. `service` may be NULL; else it gets the service,
 * with a reference that is yours to give up with CFRelease; the service runs on without it. NULL after a failure.
 */
LM_API kern_return_t LMStartServiceWithOptions(const char *serverName, CFRunLoopRef runLoop,
                                               CFMachPortCallBack callback, void *userInfo,
                                               const LMServiceOptions *options, LMServiceRef *service);
LM_API kern_return_t LMCheckInServiceWithOptions(const char *serverName, CFRunLoopRef runLoop,
                                                 CFMachPortCallBack callback, void *userInfo,
                                                 const LMServiceOptions *options, LMServiceRef *service);
/* Stops the service: the name is free, its clients' waits end with an error, no further message is taken; the callback
 * is still called with one that another thread is just taking. What was not taken goes to the service that takes the
 * name next. Idempotent, any thread. The same as CFMachPortInvalidate. */
LM_API void LMServiceInvalidate(LMServiceRef service);

/*
 * Changes the longest request that the service takes, for clients that connect from now on: 64 KiB (every service takes
 * that much) to 2^32 - 1 bytes, else KERN_INVALID_ARGUMENT.
 */
LM_API kern_return_t LMServiceSetLargestMessage(CFMachPortRef service, uint32_t bytes);
/* Changes the longest reply that this process takes, for channels opened from now on. The default is
 * LM_LARGEST_MESSAGE. */
LM_API void LMSetLargestReply(uint32_t bytes);

/*
 * Answers a call; the reply port is used up, whatever is returned. The data may be changed or freed as soon as it
 * returns: what the client has not made room for yet is copied. Never waits. MACH_PORT_NULL (a one-way message) sends
 * nothing and returns 0.
 *
 *   MACH_SEND_INVALID_RIGHT  not a reply port, or used before
 *   MACH_SEND_INVALID_DEST   the client is gone
 *   MACH_SEND_TOO_LARGE      the client takes no reply of that length; its wait ends with MACH_RCV_PORT_DIED
 *   MACH_SEND_NO_BUFFER      too much waits for the client already (256 MiB behind the reply that is being sent, or its
 *                            user's quota); it loses its connection
 *   KERN_INVALID_ARGUMENT    NULL data with a length; the client's wait ends with MACH_RCV_PORT_DIED
 *   KERN_RESOURCE_SHORTAGE   no memory; it loses its connection
 */
LM_API kern_return_t LMSendReply(mach_port_t replyPort, const void *data, uint32_t length);
/* The same with up to LM_DESCRIPTORS_MAX file descriptors, of which the client gets copies; yours stay open. */
LM_API kern_return_t LMSendReplyWithDescriptors(mach_port_t replyPort, const void *data, uint32_t length,
                                                const int *descriptors, uint32_t count);
LM_API kern_return_t LMSendIntegerReply(mach_port_t replyPort, int integer);
/* NULL is an empty reply. The data stay the caller's. A CFData over 2^32 - 1 bytes is MACH_SEND_TOO_LARGE. */
LM_API kern_return_t LMSendCFDataReply(mach_port_t replyPort, CFDataRef data);

#ifdef LM_FOUNDATION

/* --- Objective-C, with Foundation --- */

/*
 * A thread's CFRunLoop and its NSRunLoop are one: services are served, asynchronous calls end and CFRunLoopTimers fire
 * while [[NSRunLoop currentRunLoop] run...] runs in NSDefaultRunLoopMode, and NSTimers fire in CFRunLoopRun. They are
 * one from the thread's first call of CFRunLoopGetCurrent in a file in Objective-C on.
 *
 * Property lists are NSDictionary, NSArray, NSString, NSData, NSDate and NSNumber, sent in the binary format and
 * received in that or in XML, under the limits of PropertyList.h, which are checked before Foundation sees what a peer
 * sent. nil is an empty message. What is returned is autoreleased. A CFDataRef is not an NSData. Pictures come with
 * Image.h.
 *
 * MACH_SEND_INVALID_DATA: it is not a property list, or beyond the limits; a reply port is used up, and its client's
 * wait ends with MACH_RCV_PORT_DIED. Other errors as in their siblings above.
 */
LM_API kern_return_t LMConnectionSendOneWayPropertyList(LMConnectionRef connection, SInt32 messageId, id propertyList);
LM_API kern_return_t LMConnectionSendTwoWayPropertyList(LMConnectionRef connection, SInt32 messageId, id propertyList,
                                                        LMResponseBuffer *response);
LM_API kern_return_t LMSendPropertyListReply(mach_port_t replyPort, id propertyList);
/* nil for an empty message, and for one that is no property list. Frees the response. */
LM_API id LMResponseConsumePropertyList(LMResponseBuffer *response);
/* The bytes of the data; nil is an empty reply. */
LM_API kern_return_t LMSendNSDataReply(mach_port_t replyPort, NSData *data);
/* nil if it is none. */
LM_API id LMPropertyListForData(NSData *data);
LM_API NSData *LMDataForPropertyList(id propertyList);

#endif

/* --- The end of the manual; what follows is how it is done --- */

#ifndef LM_DECLARATIONS_ONLY
#include "detail/channel/message.h"
#include "detail/client/connection.h"
#include "detail/client/async.h"
#include "detail/client/observer.h"
#include "detail/service/start.h"
#include "detail/registry/listing.h"
#include "detail/client/send_buffer.h"
#include "detail/service/reply_buffer.h"
#include "detail/service/sender.h"
#endif
#ifdef LM_FOUNDATION
#include "detail/objc/property_list.h"
#endif
#include "CFMachPort.h"
#if LIGHTMESSAGING_USE_ROCKETBOOTSTRAP
#include "../rocketbootstrap/rocketbootstrap.h"
#endif
#if LIGHTMESSAGING_USE_COREFOUNDATION
#include "detail/cf/aside_end.h"
#endif

#endif
