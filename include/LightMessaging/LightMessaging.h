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
 *   LMStartService("com.example.name",                     puts(LMMessageGetData(&buffer.message)); // a C string
 *       CFRunLoopGetCurrent(),                         LMResponseBufferFree(&buffer);
 *       (CFMachPortCallBack)answer);
 *   CFRunLoopRun();
 *
 * To use it, copy the folders LightMessaging and rocketbootstrap side by side into an include path, and include this
 * file.
 *
 * Macros that a file may define before it includes this one:
 *   LIGHTMESSAGING_TIMEOUT             the default timeout of the file's sends, in milliseconds; 0 does not wait.
 *                                      Files of one program may differ. See "Timeouts".
 *   LIGHTMESSAGING_USE_ROCKETBOOTSTRAP 1 (the default): starting a service also unlocks it for sandboxed processes.
 *                                      0: only rocketbootstrap_unlock unlocks it.
 *   LIGHTMESSAGING_SEPARATE            for programs of many files: the file gets declarations and compiles faster. The
 *                                      two macros above work as usual. Files in Objective-C have code of their own
 *                                      all the same.
 *   LIGHTMESSAGING_IMPLEMENTATION      in exactly one C or C++ file of such a program or plugin. That file gets the
 *                                      code for all the others, so it includes every LightMessaging header that any of
 *                                      them includes.
 *                                      The first two macros have no effect in it.
 *
 * Errors: functions that return kern_return_t return 0 for success, or a number that mach_error_string explains. A
 * service *takes* a message when it reads it for its callback, which then runs unless the service dies. After
 * MACH_SEND_..., BOOTSTRAP_..., KERN_... errors and LM_INCOMPATIBLE_VERSION the service has not taken the message and
 * never will: repeating the send cannot deliver it twice. After MACH_RCV_... errors it has taken the message, and may
 * or may not have handled it: repeat only what may be done twice. LM_STATUS_REPLY is a reply.
 *
 * Log: if LM_DEBUG is 1 in the environment, the library writes a line per event to the standard error stream. A line
 * about an error names the service, the path and the remedy.
 *
 * Threads: every function may be called from any thread, and a connection may be shared by all threads. Messages of one
 * thread arrive in the order of their sends. No function may be called from a signal handler.
 *
 * Forks: a child has no channels, services, run loops and kept messages of its parent. It may use every function; its
 * connections look their services up again, and it is a client of its own.
 *
 * Lengths are in bytes, from 0 to 2^32 - 1. Data arrive as they were sent, aligned to 16 bytes.
 */
#ifndef LIGHTMESSAGING_LIGHTMESSAGING_H
#define LIGHTMESSAGING_LIGHTMESSAGING_H

#include "detail/ground/quiet.h"

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
 * A connection to a named service. Set serverName; serverPort may have any value, MACH_PORT_NULL included: the first
 * use looks the service up and stores its port there. All connections of a process to one service share one channel.
 * There is nothing to close. mach_port_deallocate on serverPort closes the channel.
 */
typedef struct {
    mach_port_t serverPort;
    name_t serverName;
} LMConnection;
typedef LMConnection *LMConnectionRef;

typedef struct {
    uint32_t msgh_bits;           /* MACH_MSGH_BITS_COMPLEX if the data are out of line, else 0 */
    mach_msg_size_t msgh_size;    /* size of the message with its in-line data */
    mach_port_t msgh_remote_port; /* of a request: the reply port; MACH_PORT_NULL in a one-way message */
    mach_port_t msgh_local_port;  /* of a request: the service's port */
    mach_msg_id_t msgh_id;        /* the sender's message id */
} mach_msg_header_t;

typedef struct {
    uint32_t msgh_descriptor_count; /* 1: data.out_of_line is valid; 0: data.in_line is valid */
} mach_msg_body_t;

typedef struct {
    void *address;
    mach_msg_size_t size;
} mach_msg_ool_descriptor_t;

#define MACH_MSGH_BITS_COMPLEX 0x80000000u

/* A received message. Read its data with LMMessageGetData and LMMessageGetDataLength, not from the fields. */
typedef struct LMMessage {
    mach_msg_header_t head;
    mach_msg_body_t body;
    struct lm_parcel *descriptors; /* internal: file descriptors that came with the message */
    struct lm_segment *lent;       /* internal: the lent buffer that holds the data */
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

/*
 * Limits. A message has at most LM_DESCRIPTORS_MAX file descriptors: 253, the kernel's limit for a socket's record. A
 * service name has at most LM_NAME_MAX (127) bytes, so that it fits a name_t. Up to LM_INLINE_MAX bytes of data, a
 * page, are stored in the message itself; more are in memory of their own.
 */
#define LM_INLINE_MAX 4096u

/* The default limit of a request and of a reply, in bytes: 256 MiB. A longer message is more likely a mistake than
 * intended; the number is not tuned. */
#define LM_LARGEST_MESSAGE 0x10000000u

/* A place for a reply, on the caller's stack or from LMResponseCreate. It needs no initialisation. */
typedef struct LMResponseBuffer {
    LMMessage message;
    uint8_t slack[LM_INLINE_MAX];
} LMResponseBuffer;

/* A service that was started: the port that its callback gets. */
typedef CFMachPortRef LMServiceRef;

/* An asynchronous call. CFRetain and CFRelease count references to it. */
typedef struct lm_async *LMCallRef;

/* A watch on a service's starts and deaths. CFRetain and CFRelease count references to it. */
typedef struct lm_observer *LMObserverRef;

/* A buffer to fill and send; see "Lent buffers". */
typedef struct lm_segment *LMBufferRef;

/* --- Timeouts ---
 *
 * A timeout covers a whole send: look-up, connection, waiting for room and waiting for the reply. The first of these
 * that is set applies: the timeout of the send; the file's LIGHTMESSAGING_TIMEOUT; the service name's
 * (LMConnectionSetTimeout); the process's (LMSetTimeout). If none is set, a send waits for ever.
 */

/* A timeout in milliseconds that is never over. */
#define LM_TIMEOUT_NEVER 0xffffffffu
/* A timeout that is over at once: a one-way send succeeds if it need not wait. A two-way send ends with
 * MACH_SEND_TIMED_OUT, or MACH_RCV_TIMED_OUT if the service has just taken the message. 0 means the same in
 * LIGHTMESSAGING_TIMEOUT and in arguments named `milliseconds` of functions that send or wait; but in LMSend.timeout,
 * LMConnectionSetTimeout and LMSetTimeout, 0 means that no timeout is set. */
#define LM_TIMEOUT_POLL 0xfffffffeu

/*
 * Sets the default timeout of this process's sends to a name: milliseconds, LM_TIMEOUT_POLL, LM_TIMEOUT_NEVER, or 0 to
 * unset it.
 * Does not connect. The setting is kept for the life of the process; one entry is kept per name.
 * Errors: KERN_INVALID_ARGUMENT (NULL connection, illegal name), KERN_RESOURCE_SHORTAGE (no memory).
 */
LM_API kern_return_t LMConnectionSetTimeout(LMConnectionRef connection, uint32_t milliseconds);

/* Sets the default timeout of all sends of this process, likewise. */
LM_API void LMSetTimeout(uint32_t milliseconds);

/* --- Sending --- */

/*
 * What to send. Set the fields that you need and leave the others 0: LMSend send = {0}. The structure may grow in later
 * versions. `reserved` must be 0.
 */
typedef struct {
    SInt32 messageId;         /* yours; the receiver gets it */
    uint32_t timeout;         /* milliseconds, LM_TIMEOUT_POLL or LM_TIMEOUT_NEVER; 0: see "Timeouts" */
    const void *data;         /* may be NULL if length is 0 */
    uint32_t length;          /* bytes of data */
    uint32_t descriptorCount; /* at most LM_DESCRIPTORS_MAX */
    const int *descriptors;   /* arrive as close-on-exec copies; yours stay open */
    LMBufferRef *buffer;      /* sent in place of data, which is NULL then; see "Lent buffers" */
    const int *interrupt;     /* a descriptor: while it is readable, the send does not wait; NULL: none */
    uintptr_t reserved[2];
} LMSend;

/*
 * Sends a message. If `response` is NULL the message is one-way; else this waits for the reply and stores it there.
 * After 0, free the response with LMResponseBufferFree, or consume it. After an error it is an empty message, which may
 * be freed but need not be; after LM_STATUS_REPLY it also has the status.
 *
 * One-way: returns 0 when the message is queued. It then reaches the service even if this process exits or is killed.
 * The send waits only while the queue, which holds 512 KiB, is full. A message that is longer than 64 KiB, is in a
 * buffer or has descriptors does not fit the queue: the send waits until the service has taken it.
 *
 * Data and descriptors may be changed, freed and closed when this returns.
 *
 * If the service dies or is invalidated before it takes a queued one-way message, this process keeps the message for
 * the next service of that name. It sends the message, in order and before newer ones, when it next uses a connection
 * to the name, or when it ends by `exit` or a return from `main`, which may then take up to half a second longer. The
 * message is lost if this process ended before the service died; or if, after that death, this process is killed, calls
 * `_exit`, ends while no service has the name, or never uses the name again. A message that is sent after the service's
 * death is never kept: it goes to the next service, or the send returns an error. (In a continuous stream of messages,
 * this holds from about 10 microseconds after the death.)
 *
 * `interrupt` points to a descriptor, such as the reading end of a pipe into which a signal handler writes, or a
 * signalfd. While it is readable, or closed at
 * its other end, the send does not wait, not even for the connection; a send that need not wait is not
 * affected. The library does not read from the descriptor: empty it before the next send. Signals alone do not end a
 * wait.
 *
 * Errors of both kinds:
 *
 *   KERN_INVALID_ARGUMENT      connection or send is NULL; the data are NULL and the length is not 0; both data and
 *                              buffer are set; the name is empty, illegal or has no NUL; a descriptor is not open, or
 *                              there are too many; `reserved` is not 0
 *   BOOTSTRAP_UNKNOWN_SERVICE  no process serves the name
 *   BOOTSTRAP_NOT_PRIVILEGED   the service cannot be reached from here, or refuses this user
 *   LM_INCOMPATIBLE_VERSION    the service speaks other versions of the protocol (LMConnectionGetServiceVersions), or
 *                              has the other byte order. The library does not repeat the send; a later one succeeds if
 *                              a compatible service has the name by then
 *   MACH_SEND_TOO_LARGE        the service accepts no message of that length
 *   MACH_SEND_TIMED_OUT        the timeout is over; the message was withdrawn
 *   MACH_SEND_INTERRUPTED      `interrupt` became readable; the message was withdrawn
 *   MACH_SEND_INVALID_DEST     the service died before it took the message, and no other has taken its place
 *   KERN_RESOURCE_SHORTAGE     no memory or descriptors, here or in the service; or this user's quota there is used up
 *
 * Errors of two-way messages:
 *
 *   MACH_RCV_TIMED_OUT    the service took the message and did not reply in time; a late reply is dropped
 *   MACH_RCV_INTERRUPTED  `interrupt` became readable after the service had taken the message
 *   MACH_RCV_PORT_DIED    the service took the message and then died, or gave up the reply port; or memory or
 *                         descriptors for the reply ran out here
 *   LM_STATUS_REPLY       the service replied with a status instead of data: LMResponseGetStatus
 *
 * A service decides who may call, and tells its versions, only after the first message of a connection is queued. That
 * message may get 0, and the next one BOOTSTRAP_NOT_PRIVILEGED or LM_INCOMPATIBLE_VERSION.
 */
LM_FILE_API kern_return_t LMConnectionSend(LMConnectionRef connection, const LMSend *send, LMResponseBuffer *response);

/* Reports the end of an asynchronous call. `status` and `response` are those of a two-way LMConnectionSend. The
 * callback may consume the response; it is freed afterwards. */
typedef void (*LMReplyCallBack)(LMCallRef call, kern_return_t status, LMResponseBuffer *response, void *info);

/*
 * Sends a two-way message and does not wait for the reply. The thread that runs `runLoop` calls `callback` once, when
 * the call ends. The data are copied and the descriptors duplicated; the messages are sent in the order of the calls,
 * as the service makes room. The function itself waits only to connect, while thousands of other processes connect.
 *
 *   send      as for LMConnectionSend, but `interrupt` must be NULL. The timeout covers the whole call
 *   callback  gets `info`
 *   call      may be NULL; else gets the call, with a reference for the caller, or NULL after an error
 *
 * The run loop keeps running until the call has ended. After 0, a buffer in `send` belongs to the call, however that
 * ends, and is set to NULL. The copies of data and descriptors are freed when the call ends. If the service dies, calls
 * that it had not taken go to its successor in their order; one-way messages may overtake those over 64 KiB. After an
 * error the callback is not called. Errors as for LMConnectionSend, and:
 *
 *   KERN_INVALID_ARGUMENT  NULL run loop or callback
 *   MACH_SEND_NO_BUFFER    256 MiB wait for the service already
 */
LM_FILE_API kern_return_t LMConnectionSendAsync(LMConnectionRef connection, const LMSend *send, CFRunLoopRef runLoop,
                                                LMReplyCallBack callback, void *info, LMCallRef *call);

/* Cancels an asynchronous call. True: the callback will not be called; the message is withdrawn unless the service has
 * taken it. False: the callback has been called or is running, or `call` is NULL. */
LM_API bool LMCallCancel(LMCallRef call);

/*
 * LMConnectionSend in fewer words. The names say which fields are set, and `milliseconds` is the timeout: 0 to
 * LM_TIMEOUT_NEVER, where 0 means LM_TIMEOUT_POLL. One-way messages:
 */
LM_FILE_API kern_return_t LMConnectionSendOneWay(LMConnectionRef connection, SInt32 messageId, const void *data,
                                                 uint32_t length);
LM_FILE_API kern_return_t LMConnectionSendEmptyOneWay(LMConnectionRef connection, SInt32 messageId);
LM_FILE_API kern_return_t LMConnectionSendOneWayWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                            const void *data, uint32_t length, uint32_t milliseconds);
LM_FILE_API kern_return_t LMConnectionSendOneWayWithDescriptors(LMConnectionRef connection, SInt32 messageId,
                                                                const void *data, uint32_t length,
                                                                const int *descriptors, uint32_t count,
                                                                uint32_t milliseconds);
LM_FILE_API kern_return_t LMConnectionSendOneWayBuffer(LMConnectionRef connection, SInt32 messageId,
                                                       LMBufferRef *buffer);
LM_FILE_API kern_return_t LMConnectionSendOneWayBufferWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                                  LMBufferRef *buffer, uint32_t milliseconds);
/* Sends a CFData's bytes; NULL sends an empty message. Unlike its siblings, returns true if the message was sent. */
LM_FILE_API bool LMConnectionSendOneWayData(LMConnectionRef connection, SInt32 messageId, CFDataRef data);

/* Two-way messages; KERN_INVALID_ARGUMENT if `response` is NULL: */
LM_FILE_API kern_return_t LMConnectionSendTwoWay(LMConnectionRef connection, SInt32 messageId, const void *data,
                                                 uint32_t length, LMResponseBuffer *response);
LM_FILE_API kern_return_t LMConnectionSendTwoWayWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                            const void *data, uint32_t length, uint32_t milliseconds,
                                                            LMResponseBuffer *response);
LM_FILE_API kern_return_t LMConnectionSendTwoWayWithDescriptors(LMConnectionRef connection, SInt32 messageId,
                                                                const void *data, uint32_t length,
                                                                const int *descriptors, uint32_t count,
                                                                uint32_t milliseconds, LMResponseBuffer *response);
LM_FILE_API kern_return_t LMConnectionSendTwoWayBuffer(LMConnectionRef connection, SInt32 messageId,
                                                       LMBufferRef *buffer, LMResponseBuffer *response);
LM_FILE_API kern_return_t LMConnectionSendTwoWayBufferWithTimeout(LMConnectionRef connection, SInt32 messageId,
                                                                  LMBufferRef *buffer, uint32_t milliseconds,
                                                                  LMResponseBuffer *response);
LM_FILE_API kern_return_t LMConnectionSendTwoWayData(LMConnectionRef connection, SInt32 messageId, CFDataRef data,
                                                     LMResponseBuffer *response);
LM_FILE_API kern_return_t LMConnectionSendTwoWayAsync(LMConnectionRef connection, SInt32 messageId, const void *data,
                                                      uint32_t length, uint32_t milliseconds, CFRunLoopRef runLoop,
                                                      LMReplyCallBack callback, void *info, LMCallRef *call);

/* --- Responses --- */

/* Allocates a response on the heap, for callers that have no C stack, and frees one. LMResponseCreate returns an empty
 * response, or NULL if memory runs out. LMResponseFree also frees what the response holds. NULL is ignored. */
LM_API LMResponseBuffer *LMResponseCreate(void);
LM_API void LMResponseFree(LMResponseBuffer *response);

/* Frees what a response holds, and leaves an empty message; the response itself remains the caller's. Idempotent. NULL
 * is ignored. */
LM_API void LMResponseBufferFree(LMResponseBuffer *response);

/* Returns the reply as a 32-bit integer in this machine's byte order, 0 if it is not 4 bytes long, and frees the
 * response as LMResponseBufferFree does. */
LM_API int32_t LMResponseConsumeInteger(LMResponseBuffer *response);

/* Returns the status that came as the reply, if the send returned LM_STATUS_REPLY; 0 after another error. A status is
 * any number but 0. */
LM_API int32_t LMResponseGetStatus(const LMResponseBuffer *response);

/* --- Connections --- */

/*
 * Waits until a service of that name lets this process in, at most `milliseconds`. Errors:
 *
 *   MACH_SEND_TIMED_OUT       no service of that name let this process in in time (with 0, mostly)
 *   BOOTSTRAP_NOT_PRIVILEGED, LM_INCOMPATIBLE_VERSION, KERN_INVALID_ARGUMENT, KERN_RESOURCE_SHORTAGE
 *                             as for LMConnectionSend; returned at once
 */
LM_API kern_return_t LMConnectionWaitForService(LMConnectionRef connection, uint32_t milliseconds);

/*
 * Reports the starts and deaths of a connection's service. The thread that runs `runLoop` calls `callback` with the
 * state soon after this returns, and at each change; a restart is always reported as a death and a start. A service is
 * there once it has let this process in. It is away when it has died, was invalidated, or refuses this process.
 *
 * `observer` gets the observer, with a reference for the caller. It keeps a channel to the service open and its run
 * loop running until it is invalidated. `serverName` is valid during the callback.
 *
 *   KERN_INVALID_ARGUMENT   NULL connection, run loop, callback or observer; illegal name
 *   KERN_RESOURCE_SHORTAGE  no memory or descriptors
 */
typedef void (*LMObserverCallBack)(LMObserverRef observer, const char *serverName, bool isThere, void *info);
LM_API kern_return_t LMConnectionObserve(LMConnectionRef connection, CFRunLoopRef runLoop, LMObserverCallBack callback,
                                         void *info, LMObserverRef *observer);
/* Stops an observer: no further callback begins, and a callback that is running in another thread finishes. Idempotent.
 * NULL is ignored. The caller's reference remains, to be given up with CFRelease. */
LM_API void LMObserverInvalidate(LMObserverRef observer);

/*
 * Spinning. A thread that waits for a message polls shared memory before it sleeps, if its last waits were short. A
 * call between two busy cores then takes less than a microsecond instead of tens. A spin costs at most the set time of
 * processor time before a sleep; a thread whose spins find nothing spins ever more rarely, and an idle thread sleeps
 * until it is woken. If more threads call on one channel than there are cores, spinning threads yield their core. A
 * thread that may use only one core when it opens the channel or creates the run loop never spins.
 *
 * Disable spinning where battery life or other programs matter more: LM_SPIN_NEVER for a service or a connection, or
 * LM_SPIN_US=0 in the environment. LM_SPIN_US is an upper limit, in microseconds, for a process.
 */
#define LM_SPIN_NEVER 0xffffffffu

/*
 * Sets how long this process's threads spin while they wait for the service: 1 to 1000 microseconds, 0 for the default
 * of 50, or LM_SPIN_NEVER. Applies to all connections of this process to the name, also after the service restarts.
 * Connects first; errors as for LMConnectionSend, and KERN_INVALID_ARGUMENT for other times.
 */
LM_FILE_API kern_return_t LMConnectionSetSpin(LMConnectionRef connection, uint32_t microseconds);

/* The versions of the protocol that this library speaks. A later version may speak several. */
#define LM_PROTOCOL_LOWEST  1u
#define LM_PROTOCOL_HIGHEST 1u

/* The versions of the protocol that a service speaks, and the features that it knows, as docs/PROTOCOL.md numbers
 * them. */
typedef struct {
    uint32_t lowest, highest;
    uint32_t spoken; /* with this process; 0: none, since the service refused it */
    uint32_t features;
    bool otherByteOrder;
    uint32_t reserved[4];
} LMServiceVersions;

/*
 * Stores the versions that the name's service told this process when it last accepted or refused a connection; does not
 * connect. KERN_INVALID_ARGUMENT: NULL or an illegal name; BOOTSTRAP_UNKNOWN_SERVICE: no service of that name has told
 * this process its versions so far.
 */
LM_API kern_return_t LMConnectionGetServiceVersions(const LMConnection *connection, LMServiceVersions *versions);

/* Sets the longest reply that this process accepts on channels that it opens from now on. The default is
 * LM_LARGEST_MESSAGE. */
LM_API void LMSetLargestReply(uint32_t bytes);

/* --- Lent buffers ---
 *
 * A lent buffer is shared memory that the receiver gets as it is, so that the time of a send does not depend on its
 * length. Fill the buffer in place: an image that is drawn there, or a file that is read there, is never copied. The
 * channel reuses a buffer once the receiver has freed the message; a program that sends one buffer after another then
 * makes no system call.
 *
 *     LMBufferRef buffer;
 *     LMConnectionCreateBuffer(&connection, length, &buffer);
 *     draw(LMBufferGetBytes(buffer), LMBufferGetLength(buffer));
 *     LMConnectionSendTwoWayBuffer(&connection, DRAWN, &buffer, &response);
 *     LMBufferFree(buffer);
 *
 * A function that sends a buffer takes it over: after 0, MACH_RCV_... and LM_STATUS_REPLY the buffer is gone and the
 * caller's variable is NULL. After any other error the variable and the buffer's contents are unchanged, and the caller
 * sends it again or frees it. The same holds for replies, although the reply port is used up; with MACH_PORT_NULL the
 * buffer is gone.
 *
 * A channel lends up to 8 buffers and 256 MiB at a time in each direction. A buffer is sent as a copy, with the same
 * result, beyond these limits; if the system forbids memfds; on another connection than it was created for; with 253
 * descriptors; in the first message on a channel; to another user's process; and to a receiver that wants private
 * copies (LMServiceOptions.privateCopies, LMSetPrivateCopies).
 *
 * The receiver gets an ordinary message, and may read and write its data until it frees the message. A sender that goes
 * on writing to a buffer that it has sent can change what the receiver reads: a service that does not trust every
 * process of its own user should set privateCopies. Lent buffers do not count in quotas.
 *
 * One thread at a time may use a buffer. A child that is forked while a message in a lent buffer is held shares its
 * data, and sees them change once the parent has freed the message.
 */

/* Creates a buffer for a message of `length` bytes, at least one; its bytes are aligned to 4096. What it holds at first
 * is undefined: zeroes, or an earlier message. Connects if needed, with errors as for LMConnectionSend. Give the buffer
 * up by sending it or with LMBufferFree. */
LM_FILE_API kern_return_t LMConnectionCreateBuffer(LMConnectionRef connection, uint32_t length, LMBufferRef *buffer);

/* Creates a buffer for the reply to a call, likewise. The reply port remains to be used. Errors: KERN_INVALID_ARGUMENT
 * (NULL, or no length), KERN_RESOURCE_SHORTAGE (no memory), MACH_SEND_INVALID_RIGHT (not a reply port, or used). */
LM_API kern_return_t LMReplyCreateBuffer(mach_port_t replyPort, uint32_t length, LMBufferRef *buffer);

/* A buffer's bytes and length. The buffer must not be NULL. */
LM_API void *LMBufferGetBytes(LMBufferRef buffer);
LM_API uint32_t LMBufferGetLength(LMBufferRef buffer);

/* Gives up a buffer that was not sent. NULL is ignored. */
LM_API void LMBufferFree(LMBufferRef buffer);

/* Sets whether this process gets replies as private copies, also from its own user's services, on channels that it
 * opens from now on. */
LM_API void LMSetPrivateCopies(bool wanted);

/* --- Messages --- */

/* Returns the data, or NULL if there are none. They remain valid until the message is freed or, for a request, until
 * the callback returns. NULL is an empty message here and below. */
LM_API void *LMMessageGetData(const LMMessage *message);
LM_API uint32_t LMMessageGetDataLength(const LMMessage *message);

/* Returns the id that the sender gave the message. */
LM_API SInt32 LMMessageGetIdentifier(const LMMessage *message);

/* Returns a request's reply port, MACH_PORT_NULL for a one-way message. */
LM_API mach_port_t LMMessageGetReplyPort(const LMMessage *message);

/* Returns the number of file descriptors that came with the message. */
LM_API uint32_t LMMessageGetDescriptorCount(const LMMessage *message);

/* Returns one of the descriptors, which is close-on-exec and which the caller closes from then on; -1 if there is none
 * of that index or it was taken before. The others are closed with the message: when it is freed or consumed, and, for
 * a request, when the callback returns. */
LM_API int LMMessageTakeDescriptor(LMMessage *message, uint32_t index);

/* Frees a request's data and descriptors before its callback returns, and leaves an empty message. Idempotent. */
LM_API void LMMessageFree(LMMessage *message);

/* Whether `size` bytes hold a complete message. A message that this library passes to a callback always is. */
LM_API bool LMDataWithSizeIsValidMessage(const void *data, CFIndex size);

/* The sender of a message: the kernel's record of the process that connected, at that time. */
typedef struct {
    pid_t pid; /* 0 if the process is not visible in this pid namespace */
    uid_t uid; /* 65534 if it has no number in this user namespace; likewise the next */
    gid_t gid;
} LMSender;

/* Stores the sender of the message whose callback is running. KERN_INVALID_ARGUMENT, and `sender` is unchanged, outside
 * of the callback and for a copy of the message. The pid may be reused by another process; a pidfd is not. */
LM_API kern_return_t LMMessageGetSender(const LMMessage *message, LMSender *sender);

/* Returns a close-on-exec pidfd of the sender, which the caller closes; -1 if the client is gone, descriptors ran out,
 * Linux is older than 6.5, or LMMessageGetSender would fail. */
LM_API int LMMessageCopySenderPidfd(const LMMessage *message);

/* Returns how many milliseconds the caller of the message will still wait, rounded down; 0 also if it has stopped
 * waiting; LM_TIMEOUT_NEVER if it waits for ever, for a one-way message, and outside of the message's callback, or in
 * another thread than its. See LMReplyIsAwaited. */
LM_API uint32_t LMMessageGetTimeLeft(const LMMessage *message);

/* --- Replies --- */

/* A reply. Set the fields that you need and leave the others 0: LMReply reply = {0}. `reserved` must be 0. */
typedef struct {
    const void *data;         /* may be NULL if length is 0 */
    uint32_t length;          /* bytes of data */
    uint32_t descriptorCount; /* at most LM_DESCRIPTORS_MAX */
    const int *descriptors;   /* arrive as close-on-exec copies; yours stay open */
    LMBufferRef *buffer;      /* sent in place of data, which is NULL then; see "Lent buffers" */
    int32_t status;           /* not 0: sent in place of all the others; the client's send returns LM_STATUS_REPLY */
    uintptr_t reserved[2];
} LMReply;

/*
 * Replies to a request. The reply port is used up, whatever is returned. A callback may return without a reply: save
 * the port, and reply later from any thread; but copy the message's data before the callback returns. The caller waits
 * until then, or until its timeout. Every reply port must be replied to or given up with mach_port_deallocate, which
 * ends the caller's wait with MACH_RCV_PORT_DIED; it holds memory until then, even if the client is gone.
 *
 * The function never waits: a reply that the client has not made room for is copied. The data, descriptors and `reply`
 * itself may be changed, closed and freed when it returns. With MACH_PORT_NULL, the port of a one-way message, it sends
 * nothing and returns 0. A client that loses its connection gets MACH_RCV_PORT_DIED for the calls that were taken, and
 * KERN_RESOURCE_SHORTAGE for the others.
 *
 *   MACH_SEND_INVALID_RIGHT  not a reply port, or used before
 *   MACH_SEND_INVALID_DEST   the client is gone
 *   MACH_SEND_TOO_LARGE      the client accepts no reply of that length; its wait ends with MACH_RCV_PORT_DIED
 *   MACH_SEND_NO_BUFFER      too much waits for the client: 256 MiB behind the reply that is being sent, or its user's
 *                            quota. The client loses its connection
 *   KERN_INVALID_ARGUMENT    fields that exclude each other, NULL data with a length, or a descriptor that is not open;
 *                            the client's wait ends with MACH_RCV_PORT_DIED
 *   KERN_RESOURCE_SHORTAGE   no memory; the client loses its connection
 */
LM_API kern_return_t LMReplySend(mach_port_t replyPort, const LMReply *reply);

/* LMReplySend in fewer words. */
LM_API kern_return_t LMSendReply(mach_port_t replyPort, const void *data, uint32_t length);
LM_API kern_return_t LMSendReplyWithDescriptors(mach_port_t replyPort, const void *data, uint32_t length,
                                                const int *descriptors, uint32_t count);
LM_API kern_return_t LMSendReplyBuffer(mach_port_t replyPort, LMBufferRef *buffer);
LM_API kern_return_t LMSendIntegerReply(mach_port_t replyPort, int integer);
/* 0 sends an empty reply. */
LM_API kern_return_t LMSendStatusReply(mach_port_t replyPort, int32_t status);
/* NULL sends an empty reply. The data remain the caller's. MACH_SEND_TOO_LARGE for more than 2^32 - 1 bytes. */
LM_API kern_return_t LMSendCFDataReply(mach_port_t replyPort, CFDataRef data);

/* Whether the caller still waits for the reply: false if its timeout is over, if it cancelled the call or died, and if
 * the port is not a reply port or used up. The port remains to be used. Cancelling can escape notice: if the client's
 * queue was full, or if it has cancelled 64 other calls since that were not replied to. */
LM_API bool LMReplyIsAwaited(mach_port_t replyPort);

/* --- Services --- */

/* Gets each message of a service in the thread that runs its run loop: the service, the message, its size as the
 * original library counts it, and the service's userInfo. */
typedef void (*LMServiceCallBack)(LMServiceRef service, LMMessage *message, CFIndex size, void *userInfo);

/*
 * Starts a service: registers the name and calls `callback` on the run loop, for one message at a time. Cast a callback
 * of LMServiceCallBack's type to CFMachPortCallBack. userInfo is passed to the callback.
 *
 * The message is valid until the callback returns; its data are private to the callback and writable, and are freed
 * afterwards unless the callback has freed them. A callback may run the loop, which then calls it for further messages.
 * C++ and Objective-C exceptions must not leave a callback. Stop the service with LMServiceInvalidate.
 *
 * A name has 1 to 127 bytes, without '/' and control characters, and does not begin with '.'. An existing socket of
 * that name is tested by connecting to it; if a launcher listens on it, this starts the launcher's service. A start
 * that fails leaves nothing behind.
 *
 *   KERN_INVALID_ARGUMENT     NULL run loop or callback; empty, too long or illegal name
 *   BOOTSTRAP_NAME_IN_USE     a live process serves the name; it is not disturbed
 *   BOOTSTRAP_NOT_PRIVILEGED  the runtime directory cannot be created or written, or belongs to another user
 *   KERN_RESOURCE_SHORTAGE    no memory or descriptors; or a stopped process holds the name's lock
 */
LM_FILE_API kern_return_t LMStartService(const char *serverName, CFRunLoopRef runLoop, CFMachPortCallBack callback);
LM_FILE_API kern_return_t LMStartServiceWithUserInfo(const char *serverName, CFRunLoopRef runLoop,
                                                     CFMachPortCallBack callback, void *userInfo);

/*
 * Starts a service on a socket that a launcher such as systemd holds; without a launcher, starts it like
 * LMStartService.
 *
 * The launcher passes its sockets in LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. The service takes the socket that has
 * its name (FileDescriptorName= in a unit), or whose path says so. The path must end in locked/NAME or unlocked/NAME,
 * where clients look; the folder decides whether the service is unlocked. Each service of a process takes a socket of
 * its own, and closes it when it stops. The launcher keeps a copy, so the name stays. Messages that clients sent while
 * the service was starting are served. Errors as for LMStartService, and:
 *
 *   KERN_INVALID_ARGUMENT     the launcher's variables are inconsistent; it has two sockets for the name, or one that
 *                             does not listen, is not AF_UNIX and SOCK_SEQPACKET, or is not where clients look
 *   BOOTSTRAP_SERVICE_ACTIVE  this process has checked the service in before
 */
LM_FILE_API kern_return_t LMCheckInService(const char *serverName, CFRunLoopRef runLoop, CFMachPortCallBack callback,
                                           void *userInfo);

/* Decides whether a client may call. Called once per client, in the run loop's thread, before the service reads
 * anything from the client. Gets the service's userInfo. */
typedef bool (*LMServicePolicy)(const LMSender *sender, void *userInfo);

/*
 * A service's options. 0 is the default everywhere: LMServiceOptions options = {0}. The structure may grow in later
 * versions. `reserved` must be 0.
 *
 * Who may call: everybody who can reach the socket, if `users`, `groups` and `policy` are all empty; else those whom at
 * least one of them admits. Root needs admission like any user. Others get BOOTSTRAP_NOT_PRIVILEGED; their one-way
 * messages that were queued before are kept like those to a service that died.
 *
 * The quotas hold for all clients of one user together. A client that exceeds one loses its connection, with
 * KERN_RESOURCE_SHORTAGE for what was not taken. One message always fits.
 */
typedef struct {
    uint32_t largestMessage;     /* bytes of a request, at least 65536; default LM_LARGEST_MESSAGE */
    uint32_t connectionsPerUser; /* client processes; default: half of RLIMIT_NOFILE's soft limit */
    uint32_t descriptorsPerUser; /* that came with messages and wait for the callback; default 512 */
    uint64_t bytesPerUser;       /* of arriving requests over 4 KiB and of waiting replies; default 1 GiB */
    const uid_t *users;          /* who may call; copied */
    uint32_t userCount;
    const gid_t *groups; /* whose members may call, supplementary groups included; copied */
    uint32_t groupCount;
    LMServicePolicy policy;
    bool privateCopies;         /* accept no lent buffers; those of other users are never accepted */
    uint32_t spinMicroseconds;  /* 1 to 1000, or LM_SPIN_NEVER; default 50 */
    LMServiceCallBack callback; /* called in place of the function's own callback, which may be NULL then */
    uintptr_t reserved[4];
} LMServiceOptions;

/*
 * Start a service with options. `options` may be NULL, and may be freed when this returns. `service` may be NULL; else
 * it gets the service, with a reference for the caller, or NULL after an error. The service runs on without the
 * reference. Errors as above; KERN_INVALID_ARGUMENT also for an option out of its range.
 */
LM_FILE_API kern_return_t LMStartServiceWithOptions(const char *serverName, CFRunLoopRef runLoop,
                                                    CFMachPortCallBack callback, void *userInfo,
                                                    const LMServiceOptions *options, LMServiceRef *service);
LM_FILE_API kern_return_t LMCheckInServiceWithOptions(const char *serverName, CFRunLoopRef runLoop,
                                                      CFMachPortCallBack callback, void *userInfo,
                                                      const LMServiceOptions *options, LMServiceRef *service);

/*
 * Stops a service: its name is free, its clients' waits end with MACH_RCV_PORT_DIED or, for what it had not taken, as
 * after a death, and it takes no further message. A callback
 * that another thread is about to begin still runs.
 * Idempotent. NULL is ignored. The same as CFMachPortInvalidate.
 */
LM_API void LMServiceInvalidate(LMServiceRef service);

/* Sets the longest request that the service accepts from clients that connect from now on: 65536 (every service accepts
 * that much) to 2^32 - 1 bytes. KERN_INVALID_ARGUMENT: NULL, or less. */
LM_API kern_return_t LMServiceSetLargestMessage(CFMachPortRef service, uint32_t bytes);

/*
 * Locks a service: sandboxed processes and other users can no longer connect to it. The reverse of
 * rocketbootstrap_unlock. The service need not be running. Holds until the name is next unlocked, which starting the
 * service does unless LIGHTMESSAGING_USE_ROCKETBOOTSTRAP is 0. Idempotent.
 *
 * Clients that are connected stay connected. A sandboxed process of the same user that has opened the socket's path
 * without connecting can still connect, until the service restarts with another socket; other users cannot.
 *
 *   KERN_INVALID_ARGUMENT     empty, too long or illegal name
 *   BOOTSTRAP_NOT_PRIVILEGED  the runtime directory is not writable for this user; or a launcher, or a process other
 *                             than the service in `locked`, listens on the socket in `unlocked`. The library connects
 *                             to find out, which starts a launcher's service
 *   KERN_RESOURCE_SHORTAGE    no memory or descriptors; or a stopped process holds the name's lock
 */
LM_API kern_return_t LMLockService(const char *serverName);

/* A name in a runtime directory. The strings are valid until the callback returns. */
typedef struct {
    const char *serverName;
    const char *directory; /* the runtime directory */
    bool isUnlocked;       /* sandboxed processes and other users can reach it */
    bool isServed; /* a process holds the name's lock. False if its process died, if a launcher holds the socket,
                              or if the name is another user's and its owner cannot be determined */
} LMServiceEntry;

/* Returns false to end the listing. */
typedef bool (*LMServiceEntryCallBack)(const LMServiceEntry *entry, void *info);

/*
 * Lists the names in this user's runtime directory and in /run/lightmessaging that this process can see, in no order:
 * it calls `callback` for each before it returns. It reads directories only and does not connect to services. A missing
 * directory has no names.
 *
 *   KERN_INVALID_ARGUMENT     NULL callback; LM_RUNTIME_DIR is not an absolute path
 *   BOOTSTRAP_NOT_PRIVILEGED  the user's runtime directory is not trusted: it belongs to another user, or others may
 *                             write to it. The system's services have been listed
 */
LM_API kern_return_t LMListServices(LMServiceEntryCallBack callback, void *info);

#ifdef LM_FOUNDATION

/* --- Objective-C, with Foundation ---
 *
 * A thread's CFRunLoop and its NSRunLoop are one, from the thread's first CFRunLoopGetCurrent in an Objective-C file
 * on: services are served, asynchronous calls end and CFRunLoopTimers fire while NSRunLoop runs in
 * NSDefaultRunLoopMode, and NSTimers fire in CFRunLoopRun.
 *
 * Property lists consist of NSDictionary, NSArray, NSString, NSData, NSDate and NSNumber. They are sent in the binary
 * format, and received in that or in XML. The limits of PropertyList.h apply, and are checked before Foundation sees
 * what a peer sent. nil sends an empty message. Returned objects are autoreleased. A CFDataRef is not an NSData. For
 * images see Image.h.
 *
 * MACH_SEND_INVALID_DATA: the object is not a property list, or exceeds a limit; a reply port is used up, and its
 * client's wait ends with MACH_RCV_PORT_DIED. Other errors as for LMConnectionSend and LMReplySend.
 */
LM_API kern_return_t LMConnectionSendOneWayPropertyList(LMConnectionRef connection, SInt32 messageId, id propertyList);
LM_API kern_return_t LMConnectionSendTwoWayPropertyList(LMConnectionRef connection, SInt32 messageId, id propertyList,
                                                        LMResponseBuffer *response);
LM_API kern_return_t LMSendPropertyListReply(mach_port_t replyPort, id propertyList);
/* Returns nil for an empty message and for one that is not a property list. Frees what the response holds. */
LM_API id LMResponseConsumePropertyList(LMResponseBuffer *response);
/* Replies with the bytes of the data; nil sends an empty reply. */
LM_API kern_return_t LMSendNSDataReply(mach_port_t replyPort, NSData *data);
/* Convert between data and property lists; nil if the argument is not one. */
LM_API id LMPropertyListForData(NSData *data);
LM_API NSData *LMDataForPropertyList(id propertyList);

#endif

/* --- The end of the manual; the implementation follows --- */

#ifndef LM_DECLARATIONS_ONLY
#include "detail/channel/message.h"
#include "detail/client/send.h"
#include "detail/client/async.h"
#include "detail/client/await.h"
#include "detail/client/observer.h"
#include "detail/service/start.h"
#include "detail/registry/listing.h"
#include "detail/service/send_reply.h"
#include "detail/service/awaited.h"
#endif
#ifdef LM_FILE_CODE
#include "detail/client/senders.h"
#include "detail/service/starters.h"
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

#include "detail/ground/quiet_end.h"

#endif
