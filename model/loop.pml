/* SPDX-License-Identifier: MIT */
/*
 * A service's loop: hot channels, which the loop polls in memory, and quiet channels, which epoll watches. Follows
 * loop.h, serving.h and reply.h. Before the loop sleeps in epoll, each hot channel is called once more and announces
 * the sleep (S1, S2, and W1, W2 if answers wait for room). Each client sends FRAMES requests and waits for them, or
 * leaves without waiting. With ANSWERS, another thread of the service answers each request at some time, into a ring
 * with room for one answer. The two orders that ring.pml checks are assumed here.
 *
 * run: requests quick -DCHANNELS=2 -DFRAMES=2
 * run: answers quick -DCHANNELS=1 -DFRAMES=3 -DANSWERS
 * run: both -DCHANNELS=2 -DFRAMES=1 -DANSWERS
 * mutant requests: COOLED_WITHOUT_CALL HOT_WHILE_COOLING ASLEEP_WHILE_HOT ASLEEP_WHILE_READY NO_S1 NO_S2 NO_P6
 * mutant requests: BELL_READ_LATE DEATH_ENDS_AT_ONCE NO_DEATH_WAKE
 * mutant answers: NO_C6 NO_W1_AT_REST NO_W2_AT_REST NO_W1_AT_ANSWER NO_W2_AT_ANSWER
 */
#define PROCESSORS 0
#include "common.pml"

bool all_is_served, none_stays_hot_when_the_loop_cools;

byte bells[CHANNELS];
bool gone[CHANNELS];
byte tail[CHANNELS], head[CHANNELS];           /* requests */
bool consumer_sleeps[CHANNELS];
byte answers[CHANNELS];                        /* in the reply ring */
bool producer_waits[CHANNELS];
/* Each session's, guarded by its lock. */
byte due[CHANNELS];                            /* calls without an answer */
byte backlog[CHANNELS];                        /* answers that wait for room */
bool locked[CHANNELS];

bool hot[CHANNELS], ready[CHANNELS], woken[CHANNELS], over[CHANNELS];
bool cooling;

#define lock() d_step { !locked[c] -> locked[c] = true }
#define unlock() locked[c] = false

/* --- A client --- */

active [CHANNELS] proctype client()
{
    byte c, sent, got;
    c = _pid;
    do
    :: sent < FRAMES ->
        d_step { tail[c]++; sent++ }; /* P5 */
#ifndef NO_P6
        if
        :: d_step { consumer_sleeps[c] -> consumer_sleeps[c] = false }; send_bell(c)
        :: !consumer_sleeps[c]
        fi
#endif
    :: answers[c] > 0 ->
        d_step { answers[c]--; got++ }; /* C5 */
#ifndef NO_C6
        if
        :: d_step { producer_waits[c] -> producer_waits[c] = false }; send_bell(c)
        :: !producer_waits[c]
        fi
#endif
#ifdef ANSWERS
    :: got == FRAMES -> break
#else
    :: sent == FRAMES && head[c] == FRAMES -> break
#endif
    :: sent > 0 && sent < FRAMES -> break /* the client leaves, or dies */
    od;
    gone[c] = true
}

/* --- Answers --- */

/* lm_session_flush; announces the wait for room if `will_sleep`. */
inline flush(will_sleep)
{
#ifdef ANSWERS
    do
    :: backlog[c] > 0 && answers[c] == 0 -> d_step { answers[c]++; backlog[c]-- }
    :: backlog[c] == 0 -> break
    :: backlog[c] > 0 && answers[c] > 0 ->
        if
        :: will_sleep -> producer_waits[c] = true; /* W1 */
#ifdef NO_W2_AT_REST
            break
#else
            if
            :: answers[c] > 0 -> break /* W2 */
            :: answers[c] == 0
            fi
#endif
        :: else -> break
        fi
    od
#else
    skip
#endif
}

#ifdef NO_W1_AT_REST
#define announces_at_rest false
#else
#define announces_at_rest true
#endif

#ifdef ANSWERS
/* lm_session_send, in any thread. */
active [CHANNELS] proctype answerer()
{
    byte c, given;
    c = _pid - CHANNELS;
    do
    :: due[c] > 0 ->
        lock();
        due[c]--;
        if
        :: backlog[c] > 0 && answers[c] > 0 -> backlog[c]++
        :: backlog[c] > 0 && answers[c] == 0 -> answers[c]++ /* lm_session_pass */
        :: backlog[c] == 0 && answers[c] == 0 -> answers[c]++
        :: backlog[c] == 0 && answers[c] > 0 ->
#ifndef NO_W1_AT_ANSWER
            producer_waits[c] = true; /* W1 */
#endif
            if
#ifndef NO_W2_AT_ANSWER
            :: answers[c] == 0 -> answers[c]++ /* W2 */
#endif
            :: answers[c] > 0 -> backlog[c]++
            fi
        fi;
        given++;
        unlock()
    :: given == FRAMES || over[c] -> break
    od
}
#endif

/* --- The loop --- */

/* lm_session_rest: 1 if there is something to do. */
inline rest()
{
    lock();
    flush(announces_at_rest);
#ifndef NO_S1
    consumer_sleeps[c] = true; /* S1 */
#endif
#ifndef NO_S2
    if
    :: tail[c] != head[c] -> consumer_sleeps[c] = false; again = true /* S2 */
    :: tail[c] == head[c]
    fi;
#endif
    unlock()
}

/* lm_session_ready */
inline call()
{
    d_step {
        ready[c] = false;
        event = woken[c];
        woken[c] = false
    };
    lock();
    d_step {
        peer_gone = event && gone[c];
        if
        :: event && bells[c] > 0 -> bells[c]--
        :: else
        fi
    };
#ifdef DEATH_ENDS_AT_ONCE
    if
    :: peer_gone
    :: else ->
#endif
    flush(false);
    unlock();
    do
    :: tail[c] != head[c] -> d_step { head[c]++; due[c]++ } /* C1 to C7 */
    :: tail[c] == head[c] -> break
    :: tail[c] != head[c] -> again = true; break /* the other sessions' turn */
    od;
#ifdef DEATH_ENDS_AT_ONCE
    fi;
    unlock();
#endif
    if
    :: again
    :: !again && peer_gone ->
        must(all_is_served, head[c] == tail[c]);
        over[c] = true
#ifdef HOT_WHILE_COOLING
    :: !again && !peer_gone -> hot[c] = true
#else
    :: !again && !peer_gone && !cooling -> hot[c] = true /* LM_WATCH_HOT */
#endif
    :: !again && !peer_gone -> rest() /* LM_WATCH_WAIT */
    fi;
#ifdef BELL_READ_LATE
    bells[c] = 0;
#endif
    d_step { ready[c] = again; again = false; peer_gone = false; event = false }
}

#if CHANNELS > 1
#define any(what) (what[0] || what[1])
#else
#define any(what) what[0]
#endif
#ifdef NO_DEATH_WAKE
#define has_event(c) (!over[c] && bells[c] > 0)
#else
#define has_event(c) (!over[c] && (bells[c] > 0 || gone[c]))
#endif
#define has_come(c) (hot[c] && (tail[c] != head[c] || (backlog[c] > 0 && answers[c] == 0)))

/* The events that epoll holds; it may deliver them before the next poll of the channels. */
inline harvest()
{
    d_step {
        if
        :: has_event(0) -> ready[0] = true; woken[0] = true; hot[0] = false
        :: else
        fi;
#if CHANNELS > 1
        if
        :: has_event(1) -> ready[1] = true; woken[1] = true; hot[1] = false
        :: else
        fi;
#endif
        cooling = false
    }
}

#if CHANNELS > 1
#define any_event (has_event(0) || has_event(1))
#define any_over_all (over[0] && over[1])
#define any_has_come (has_come(0) || has_come(1))
#else
#define any_event has_event(0)
#define any_over_all over[0]
#define any_has_come has_come(0)
#endif

inline queue_hot(all)
{
    d_step {
        if
        :: hot[0] && (all || has_come(0)) -> ready[0] = true; hot[0] = false
        :: else
        fi;
#if CHANNELS > 1
        if
        :: hot[1] && (all || has_come(1)) -> ready[1] = true; hot[1] = false
        :: else
        fi
#endif
    }
}

active proctype loop()
{
    byte c;
    bool event, again, peer_gone;
    /* Each session is called once when it is new. */
    d_step {
        ready[0] = true;
#if CHANNELS > 1
        ready[1] = true
#endif
    };
    do
    :: any_over_all -> break
    :: else ->
        must(none_stays_hot_when_the_loop_cools, !(cooling && any(hot)));
        /* lm_loop_wait */
        if
#ifndef ASLEEP_WHILE_HOT
        :: any(hot) && !any(ready) ->
            if
            :: any_has_come -> queue_hot(false)
            :: true -> /* lm_loop_cool */
                cooling = true;
#ifdef COOLED_WITHOUT_CALL
                d_step {
                    hot[0] = false;
#if CHANNELS > 1
                    hot[1] = false
#endif
                }
#else
                queue_hot(true)
#endif
            fi
        :: !any(hot) && !any(ready) -> any_event -> harvest()
#else
        :: !any(ready) -> any_event -> harvest()
#endif
#ifdef ASLEEP_WHILE_READY
        :: any(ready) -> any_event -> harvest()
#else
        :: any(ready) -> harvest() /* asks epoll without waiting */
#endif
        :: any(ready) /* not yet */
        fi;
        /* The rest of lm_loop_pass. */
        if
        :: ready[0] && !over[0] -> c = 0; call()
        :: else
        fi;
#if CHANNELS > 1
        if
        :: ready[1] && !over[1] -> c = 1; call()
        :: else
        fi;
        c = 0
#endif
    od
}
