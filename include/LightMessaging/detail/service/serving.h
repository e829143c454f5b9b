/* SPDX-License-Identifier: MIT */
/*
 * How a service serves its clients: it opens a session, takes the session's requests in turns and hands them to the
 * callback, and ends the session. The service's lock guards the members below it. It is taken before a session's lock.
 */
#include "../../LightMessaging.h"

#ifndef LM_DETAIL_SERVICE_SERVING_H
#define LM_DETAIL_SERVICE_SERVING_H

#include "policy.h"
#include "../registry/registry.h"
#include "request.h"

#define LM_FAIR_STEPS 64 /* frames of one client in a turn: enough to be worth it; untuned */
#define LM_HELLO_NANOSECONDS                                                                                           \
    5000000000 /* until a hello must arrive: as long as a client may be stopped; no network is involved */

/* Guarded by the process's lock. */
struct lm_services {
    struct lm_list all;
};

LM_STATE(struct lm_services, lm_services)

/* A message whose callback is running. On the stack; deliveries nest if a callback runs the run loop. */
struct lm_delivery {
    struct lm_delivery *outer;
    LMMessage *message;
    struct lm_session *session;
    const struct lm_arrival *arrival;
};

struct lm_service {
    struct lm_object object;
    pthread_mutex_t lock;
    uint32_t valid; /* may be read without the lock */
    mach_port_t port;
    CFMachPortCallBack callback;
    LMServiceCallBack typed; /* called in place of `callback`, if not NULL */
    CFMachPortInvalidationCallBack invalidated;
    CFMachPortContext context;
    uint32_t largest_message;
    bool borrows;  /* takes lent segments of its own user's processes */
    uint32_t spin; /* the longest time in nanoseconds that its run loop spins for it */
    struct lm_policy policy;
    struct lm_quota quota;          /* of each user; 0: the default */
    struct lm_list users;           /* those that have clients here */
    uintptr_t serving_thread;       /* that called the callback last; any thread reads it */
    struct lm_delivery *delivering; /* used only by the run loop's thread */
    char name[LM_NAME_MAX + 1];     /* empty: not registered */
    struct lm_registration registration;
    struct lm_loop *loop; /* serves it; with a reference; set once, before any watch is added; NULL: none yet */
    struct lm_watch listener;
    struct lm_timer timer; /* for overdue hellos, and for accepting again after a pause */
    struct lm_list sessions;
    struct lm_index processes; /* the sessions of each client process, in order */
    struct lm_list ending;     /* sessions that are being closed: a fork finds them here, or their sockets closed */
    struct lm_list unfinished; /* sessions that wait for their hello, the oldest first */
    uint32_t unfinished_count; /* how many there are */
    bool paused;
    struct lm_list in_process;
};

LM_INTERNAL bool lm_service_valid(const struct lm_service *service)
{
    return lm_load_acquire(&service->valid);
}

/* --- Sessions --- */

LM_COLD void lm_log_session(const struct lm_session *session, const char *event)
{
    lm_log(session->channel.socket, "service \"%s\": process %d of user %u %s", session->service->name,
           (int)session->client.pid, (unsigned)session->client.uid, event);
}

LM_SETUP void lm_session_destroy(struct lm_object *object)
{
    struct lm_session *session = LM_CONTAINER(object, struct lm_session, object);
    lm_channel_deinit(&session->channel);
    lm_index_deinit(&session->by_token);
    if (session->predecessor)
        lm_release(&session->predecessor->object);
    lm_release(&session->service->object);
    free(session);
}

/* Stops waiting for the session's hello. Called with the service's lock held. Idempotent. */
LM_SETUP void lm_session_finish(struct lm_service *service, struct lm_session *session)
{
    service->unfinished_count -= lm_list_contains(&session->in_unfinished);
    lm_list_remove(&session->in_unfinished);
}

/* Returns whether the caller is the one to end the session. */
LM_SETUP bool lm_session_claim_end(struct lm_session *session)
{
    struct lm_service *service = session->service;
    pthread_mutex_lock(&service->lock);
    bool first = !session->ended;
    session->ended = true;
    if (first) {
        lm_index_remove(&service->processes, &session->in_processes);
        lm_list_remove(&session->in_service);
        lm_list_append(&service->ending, &session->in_service);
    }
    if (first)
        lm_session_finish(service, session);
    pthread_mutex_unlock(&service->lock);
    return first;
}

/* Removes a closed session, which holds nothing of its user's quota any more. `user` may be NULL. */
LM_SETUP void lm_session_leave(struct lm_session *session, struct lm_user *user)
{
    struct lm_service *service = session->service;
    pthread_mutex_lock(&service->lock);
    lm_list_remove(&session->in_service);
    if (user)
        lm_user_leave(user);
    pthread_mutex_unlock(&service->lock);
}

/* Closes everything of the session at once; reply ports that refer to it find it cut. Idempotent. Called from any
 * thread. */
LM_SETUP void lm_session_end(struct lm_session *session)
{
    if (!lm_session_claim_end(session))
        return;
    if (lm_logging())
        lm_log_session(session, "is gone, or was sent away");
    lm_watch_remove(&session->watch, session->channel.socket);
    lm_session_lock(session);
    lm_session_cut(session);
    lm_session_drop_backlog(session);
    lm_session_drop_parts(session);
    lm_session_drop_parcels(session);
    lm_channel_leave(&session->channel);
    lm_channel_unmap(&session->channel);
    lm_sys_close(&session->channel.socket);
    struct lm_user *user = session->user;
    session->user = NULL;
    lm_session_unlock(session);
    lm_session_leave(session, user);
    lm_release(&session->object);
}

LM_INTERNAL void lm_service_call_back(struct lm_service *service, struct lm_session *session, LMMessage *message,
                                      const struct lm_arrival *arrival)
{
    struct lm_delivery delivery = {service->delivering, message, session, arrival};
    __atomic_store_n(&service->serving_thread, (uintptr_t)pthread_self(), __ATOMIC_RELAXED);
    service->delivering = &delivery;
    CFIndex size = (CFIndex)message->head.msgh_size;
    if (service->typed)
        service->typed(service, message, size, service->context.info);
    else
        service->callback(service, message, size, service->context.info);
    service->delivering = delivery.outer;
}

/* Hands a taken message to the callback, and frees what the callback leaves. A service that another thread is stopping
 * just now still gets the message, because no other service would. */
LM_INTERNAL void lm_service_deliver(struct lm_service *service, struct lm_session *session, LMMessage *message,
                                    const struct lm_arrival *arrival)
{
    mach_port_t reply = MACH_PORT_NULL;
    if (arrival->token)
        reply = lm_port_create(LM_PORT_REPLY, &session->object, arrival->token, arrival->deadline);
    message->head.msgh_id = arrival->identifier;
    message->head.msgh_remote_port = reply;
    message->head.msgh_local_port = service->port;
    service->loop->handled++;
    LM_LOG(session->channel.socket, "service \"%s\" takes message %d of %u bytes%s", service->name,
           (int)arrival->identifier, (unsigned)LMMessageGetDataLength(message), reply ? ", to answer" : "");
    if (reply || !arrival->token)
        lm_service_call_back(service, session, message, arrival);
    else
        lm_session_drop_call(session, arrival->token);
    LMResponseBufferFree((LMResponseBuffer *)(void *)message);
}

/*
 * Returns the last earlier channel of the same process that the process has closed, or NULL: messages that are left in
 * it come first. A process with plugins may have several channels open. Processes whose ids are not visible from here
 * all have the id 0. Called with the service's lock held.
 */
LM_SETUP struct lm_session *lm_session_find_predecessor(const struct lm_session *session)
{
    const struct lm_index *processes = &session->service->processes;
    uint32_t pid = (uint32_t)session->client.pid;
    struct lm_session *found = NULL;
    struct lm_indexed *other = pid ? lm_index_next(processes, pid, NULL) : NULL;
    for (; other; other = lm_index_next(processes, pid, other)) {
        struct lm_session *earlier = LM_CONTAINER(other, struct lm_session, in_processes);
        if (lm_sys_hung_up(earlier->channel.socket))
            found = earlier;
    }
    return found;
}

/* Returns whether requests of the earlier channel are still to be served. */
LM_INTERNAL bool lm_session_await_predecessor(struct lm_session *session)
{
    if (!session->predecessor || !lm_session_is_cut(session->predecessor))
        return session->predecessor != NULL;
    lm_release(&session->predecessor->object);
    session->predecessor = NULL;
    return false;
}

LM_COLD void lm_log_versions(const struct lm_session *session, const struct lm_hello *hello)
{
    LM_LOG(session->channel.socket,
           "service \"%s\" speaks versions %u to %u of the protocol with features 0x%x, %s %u to %u and requires 0x%x",
           session->service_name, LM_PROTOCOL_LOWEST, LM_PROTOCOL_HIGHEST, LM_FEATURES_KNOWN,
           hello->magic == LM_HELLO_MAGIC ? "a client" : "a client with an unknown hello", (unsigned)hello->lowest,
           (unsigned)hello->highest, (unsigned)hello->required);
}

/* Logs the outcome of a hello. */
LM_COLD void lm_log_hello(const struct lm_session *session, int result)
{
    const char *event = result == 0                  ? "is let in"
                        : session->refusal           ? "is refused by the service's policy"
                        : result == -EDQUOT          ? "has too many connections (connectionsPerUser)"
                        : result == -EPROTONOSUPPORT ? "speaks no version of the protocol that this service speaks"
                        : result == -EMFILE          ? "can't be let in: no descriptor is left for its memory"
                                                     : "sent an invalid hello";
    lm_log_session(session, event);
}

/* Asks the service's policy, once. -EAGAIN: it has not decided yet. Called without any lock, because the policy may be
 * the service's own function, which may run the run loop. */
LM_SETUP int lm_session_judge(struct lm_session *session)
{
    if (session->verdict != LM_VERDICT_NONE)
        return session->verdict == LM_VERDICT_GIVEN ? 0 : -EAGAIN;
    session->verdict = LM_VERDICT_PENDING;
    const struct lm_policy *policy = &session->service->policy;
    lm_session_lock(session); /* another thread may stop the service and close the socket */
    bool admitted = lm_policy_admits(policy, &session->client, session->channel.socket);
    lm_session_unlock(session);
    if (!admitted && !lm_policy_asks(policy, &session->client))
        session->refusal = BOOTSTRAP_NOT_PRIVILEGED;
    session->verdict = LM_VERDICT_GIVEN;
    return 0;
}

/* Adds the session to those of its process and its user. -ENOMEM, -EDQUOT: it must end. */
LM_SETUP int lm_session_enter(struct lm_service *service, struct lm_session *session)
{
    session->predecessor = lm_session_find_predecessor(session);
    if (session->predecessor)
        lm_retain(&session->predecessor->object);
    uint32_t pid = (uint32_t)session->client.pid;
    int result = pid ? lm_index_add(&service->processes, &session->in_processes, pid) : 0;
    if (result < 0)
        return result;
    return lm_user_enter(&service->users, session->client.uid, &service->quota, &session->user);
}

/* H4 and H5. The locks of service and session are held. */
LM_SETUP int lm_session_welcome(struct lm_service *service, struct lm_session *session)
{
    if (session->ended || lm_session_is_cut(session))
        return -EPIPE;
    struct lm_hello hello;
    session->channel.borrows = service->borrows && session->client.uid == (uint32_t)geteuid();
    int result = lm_channel_accept(&session->channel, session->refusal, &hello);
    if (result == -EPROTONOSUPPORT)
        lm_log_versions(session, &hello);
    if (result == 0)
        result = lm_session_enter(service, session);
    if (result < 0)
        return result;
    session->welcomed = session->rings_welcome = true;
    session->largest_reply = hello.largest_reply;
    session->lends = (hello.ignorable & LM_FEATURE_BORROWS) != 0;
    lm_session_finish(service, session);
    lm_channel_welcome(&session->channel, &hello, session->incoming.largest);
    return 0;
}

/* Handles the hello. 0: the session is open; -EAGAIN: the hello has not arrived yet. */
LM_SETUP int lm_session_open(struct lm_session *session)
{
    struct lm_service *service = session->service;
    int result = lm_session_judge(session);
    if (result < 0)
        return result;
    pthread_mutex_lock(&service->lock);
    lm_session_lock(session);
    result = lm_session_welcome(service, session);
    if (service->unfinished_count == 0 && !service->paused)
        lm_timer_clear(&service->timer, service->loop);
    lm_session_unlock(session);
    pthread_mutex_unlock(&service->lock);
    if (result != -EAGAIN && lm_logging())
        lm_log_hello(session, result);
    return result;
}

/* Reads what the socket reports, and flushes the backlog. 1: some of the backlog waits for its turn. Called with the
 * lock held. */
LM_INTERNAL int lm_session_handle_socket(struct lm_session *session, uint32_t events)
{
    if (lm_session_is_cut(session))
        return -EPIPE;
    int result = lm_session_read_record(session, events);
    if (result == 0)
        result = lm_session_flush(session, false);
    session->room_seen = (uint32_t)session->channel.out.head;
    return result;
}

/* The result of a session's turn. A negative errno means that the client must lose its connection. */
enum lm_turn {
    LM_TURN_OVER = 0,  /* nothing is left to do */
    LM_TURN_MORE = 1,  /* something may be left, but other sessions come first */
    LM_TURN_SILENT = 2 /* the hello has not arrived yet */
};

/* Returns whether the session has something to do. The run loop polls it while it keeps the session hot. */
LM_INTERNAL bool lm_session_has_come(struct lm_object *object)
{
    const struct lm_session *session = LM_CONTAINER(object, struct lm_session, object);
    if (lm_consumer_has_more(&session->channel.in))
        return true;
    return lm_load_relaxed(&session->answers_wait) &&
           lm_ring_head_moved(&session->channel.out.ring, session->room_seen);
}

/* Has the client ring when there is something to do. LM_TURN_MORE: there is something now. */
LM_INTERNAL int lm_session_rest(struct lm_session *session)
{
    lm_session_lock(session);
    int result = lm_session_is_cut(session) ? -EPIPE : lm_session_flush(session, true);
    if (result == 0)
        result = lm_consumer_announce_sleep(&session->channel.in) ? LM_TURN_OVER : LM_TURN_MORE;
    lm_session_unlock(session);
    return result;
}

/* Returns the bytes that went either way, and those in the backlog. Called with the lock held. */
LM_INTERNAL uint64_t lm_session_traffic(const struct lm_session *session)
{
    return session->channel.in.head + session->channel.out.tail + session->backlog_bytes;
}

/* Handles the next frame. Results as lm_session_step, and -EBUSY: the turn was long enough. Called with the lock
 * held. */
LM_INTERNAL int lm_session_advance(struct lm_session *session, uint64_t enough, LMMessage *message,
                                   struct lm_arrival *arrival)
{
    if (!lm_service_valid(session->service))
        return -EPIPE; /* messages that were not taken go to a successor */
    if (lm_session_traffic(session) >= enough)
        return -EBUSY;
    lm_message_init(message);
    return lm_session_step(session, message, arrival);
}

/* Takes requests, as many as are fair. Called with the lock held; gives it up while the callback runs. */
LM_INTERNAL int lm_session_take_requests(struct lm_session *session)
{
    uint64_t enough = lm_session_traffic(session) + LM_FAIR_BYTES;
    struct lm_arrival arrival = {0, 0, 0};
    LMResponseBuffer request;
    for (int i = 0; i < LM_FAIR_STEPS && !lm_loop_interrupted(session->service->loop); i++) {
        int result = lm_session_advance(session, enough, &request.message, &arrival);
        session->streams = result == -EAGAIN && i > 0 && !arrival.token;
        if (result == -EAGAIN || result == -EBUSY)
            return result == -EBUSY ? LM_TURN_MORE : LM_TURN_OVER;
        if (result < 0)
            return result;
        if (result == 0)
            continue;
        lm_session_unlock(session);
        lm_service_deliver(session->service, session, &request.message, &arrival);
        lm_session_lock(session);
    }
    return LM_TURN_MORE;
}

/* Runs one turn of an open session. The socket comes first. */
LM_INTERNAL int lm_session_serve(struct lm_session *session, uint32_t events)
{
    lm_session_lock(session);
    session->look_again = false;
    int answers = lm_session_handle_socket(session, events);
    int requests = answers < 0 ? answers : lm_session_take_requests(session);
    lm_session_unlock(session);
    if (requests != LM_TURN_OVER)
        return requests;
    return answers || session->look_again ? LM_TURN_MORE : LM_TURN_OVER;
}

/* Tells a client why it loses its connection, unless it broke the protocol. */
LM_SETUP void lm_session_explain(struct lm_session *session, int error)
{
    lm_session_lock(session);
    if ((error == -ENOMEM || error == -EDQUOT || error == -EMFILE) && !lm_session_is_cut(session))
        lm_channel_refuse(&session->channel, KERN_RESOURCE_SHORTAGE);
    lm_session_unlock(session);
}

/* H5: wakes a client that sleeps until the welcome. */
LM_SETUP void lm_session_ring_welcome(struct lm_session *session)
{
    session->rings_welcome = false;
    lm_session_lock(session);
    if (!lm_session_is_cut(session) && lm_producer_claim_bell(&session->channel.out))
        lm_channel_ring_bell(&session->channel);
    lm_session_unlock(session);
}

/* Runs one turn, and opens the session first if necessary. The bell for the welcome follows the first turn, whose
 * replies have mostly rung already, or a turn within it, if a callback runs the run loop. */
LM_INTERNAL int lm_session_turn(struct lm_session *session, uint32_t events)
{
    int opened = session->welcomed ? 0 : lm_session_open(session);
    if (opened < 0)
        return opened == -EAGAIN ? (int)LM_TURN_SILENT : opened;
    int turn = lm_session_await_predecessor(session) ? (int)LM_TURN_MORE : lm_session_serve(session, events);
    if (turn >= 0 && session->rings_welcome)
        lm_session_ring_welcome(session);
    return turn;
}

/* Ends a turn with nothing left to do: the session rests or stays hot. -EPIPE: the client is gone. */
LM_INTERNAL int lm_session_settle_down(struct lm_session *session, bool *hot)
{
    if (session->peer_gone)
        return -EPIPE;
    *hot = lm_loop_keeps_hot(session->service->loop, session->service->spin);
    return *hot ? 0 : lm_session_rest(session);
}

/* The watch's callback. */
LM_INTERNAL enum lm_wish lm_session_ready(struct lm_object *object, uint32_t events)
{
    struct lm_session *session = LM_CONTAINER(object, struct lm_session, object);
    bool hot = false;
    int turn = lm_session_turn(session, events);
    if (turn == LM_TURN_SILENT)
        turn = events & EPOLLRDHUP ? -EPIPE : LM_TURN_SILENT;
    else if (turn == LM_TURN_OVER)
        turn = lm_session_settle_down(session, &hot);
    if (turn < 0) {
        lm_session_explain(session, turn);
        lm_session_end(session);
    }
    if (hot)
        return session->streams ? LM_WATCH_WARM : LM_WATCH_HOT;
    return turn == LM_TURN_MORE ? LM_WATCH_AGAIN : LM_WATCH_WAIT;
}

LM_INTERNAL int lm_session_watch(struct lm_session *session, struct lm_loop *loop)
{
    return lm_loop_add(loop, &session->watch, session->channel.socket, EPOLLIN | EPOLLRDHUP);
}

/* Creates a session and takes over the socket, unless it returns NULL: no memory. A client whose credentials cannot be
 * read has no rights. */
LM_SETUP struct lm_session *lm_session_create(struct lm_service *service, int socket)
{
    struct lm_session *session = (struct lm_session *)lm_new(sizeof *session);
    if (!session)
        return NULL;
    if (lm_sys_peer(socket, &session->client) < 0) {
        session->verdict = LM_VERDICT_GIVEN;
        session->refusal = BOOTSTRAP_NOT_PRIVILEGED;
    }
    lm_object_init(&session->object, lm_session_destroy);
    session->object.deallocated = lm_session_deallocated;
    lm_channel_init(&session->channel, socket, service->loop->spin.cores == 1);
    lm_watch_init(&session->watch, &session->object, lm_session_ready);
    session->watch.has_come = lm_session_has_come;
    session->service = service;
    session->service_name = service->name;
    session->incoming.largest = service->largest_message;
    session->hello_deadline = lm_now() + LM_HELLO_NANOSECONDS;
    lm_retain(&service->object);
    return session;
}

#endif
