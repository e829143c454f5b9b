/* SPDX-License-Identifier: MIT */
/*
 * A client's threads on one link: which thread leads and which follow, which has the turn for a large message, and the
 * line of an asynchronous call, whose run loop reads the socket while no thread does. Follows link_wait.h, link_send.h,
 * link_put.h and async.h. Whatever a thread does with the lock between two accesses to shared memory is one step.
 * ring.pml checks the rings' own steps; here only their order with respect to the lock matters. A large message has two
 * parts, and the ring has room for ROOM frames. The service takes, answers and welcomes at any time, but may keep the
 * asynchronous call for ever, so no thread may depend on its answer. With TOGETHER it answers nothing before it has
 * taken all messages, so no message may depend on the answer to another. With LAST it answers the first thread when the
 * others are done.
 *
 * CALLERS threads send small calls, the next LARGE threads large ones. With ASYNC there is a large asynchronous call.
 * With LATE the first thread's deadline may pass at any time, with CANCEL the asynchronous call may be cancelled at any
 * time, with DEATH the service may die at any time. Whether it will is decided first, so that an event that is still
 * possible does not hide that a thread waits for ever. For smaller searches, with NO_LOOKS no thread spins before it
 * sleeps, and with WELCOMED the client is welcome from the start.
 *
 * run: calls quick -DCALLERS=2 -DLARGE=0 -DLATE -DDEATH
 * run: turns -DCALLERS=0 -DLARGE=2 -DLATE
 * run: last quick -DCALLERS=2 -DLARGE=0 -DTOGETHER -DLAST
 * run: three -DCALLERS=1 -DLARGE=2 -DNO_LOOKS -DWELCOMED
 * run: line -DCALLERS=0 -DLARGE=1 -DASYNC -DTOGETHER
 * run: line-call -DCALLERS=1 -DLARGE=0 -DASYNC -DLATE
 * run: line-calls -DCALLERS=2 -DLARGE=0 -DASYNC -DPARTS=1 -DTOGETHER -DNO_LOOKS -DWELCOMED
 * run: cancelled -DCALLERS=0 -DLARGE=1 -DASYNC -DCANCEL -DNO_LOOKS
 * run: death -DCALLERS=0 -DLARGE=1 -DASYNC -DDEATH -DNO_LOOKS
 * run: death-call -DCALLERS=1 -DLARGE=0 -DASYNC -DDEATH -DNO_LOOKS
 * mutant calls: NO_HAND_OVER S2_LEFT_OUT LOOK_NOT_CHECKED
 * mutant last: NO_WAKE_AT_ANSWER W1_LEFT_OUT W2_LEFT_OUT
 * mutant turns: WELCOME_READ_LATE NO_WAKE_AT_TURNS_END TURN_WAITER_LEADS NO_WAKE_OF_FOLLOWERS
 * mutant line: LINE_NOT_PUT_BEFORE_WAITING LINE_NOT_PUT_AT_TURNS_END
 * mutant line-call: NOT_LEFT_TO_PUMPS PUMPS_S2_LEFT_OUT WELCOME_READ_LATE_BY_PUMPS
 * mutant death-call: PUMP_MISSED_FORGOTTEN
 * mutant cancelled: TURN_KEPT_AT_CANCEL
 */
#ifndef PARTS
#define PARTS 2 /* parts of the asynchronous call */
#endif
#ifndef ROOM
#define ROOM 1
#endif
#define THREADS (CALLERS + LARGE)
#define THE_CALL THREADS /* the number of the asynchronous call, after those of the threads' calls */
#define PART 255         /* a frame that is not a message's last */
#define PROCESSORS 0
#include "common.pml"

/* Shared with the service. */
chan requests = [ROOM] of { byte };
#ifdef WELCOMED
bool welcomed = true, told_welcome = true, rang_welcome = true;
#else
bool welcomed, told_welcome, rang_welcome;
#endif
bool producer_waits, consumer_sleeps, gone;
byte bells[1];
bool replied[THREADS + 1]; /* the reply ring */
bool news_in_ring;         /* tail != head */

/* The link's state, guarded by its lock. */
bool locked, led, large_turn, cut, pump_missed;
bool answered[THREADS + 1];
bool following[THREADS + 1], waits_for_reply[THREADS + 1], waits_for_thread[THREADS + 1], woken[THREADS + 1];
bool news[THREADS + 1]; /* something has happened since the thread last checked */
byte finished;

/* The run loop's state. */
bool asynchronous;     /* the call is under way, */
byte line;             /* number of its parts that stand in line, */
bool line_begun;       /* and whether some were put already */
bool pump_on, pump_edge, pump_woken, job_woken;
bool held;             /* the service keeps the call */
#ifdef ASYNC
bool over; /* the run loop is done with it */
#else
#define over true
#endif

#define lock() d_step { !locked -> locked = true }
#define unlock() locked = false

#ifdef TOGETHER
#ifdef ASYNC
#define may_answer (taken > THREADS)
#else
#define may_answer (taken == THREADS)
#endif
#else
#define may_answer true
#endif

#ifdef LAST
#define answers_any_first false
#else
#define answers_any_first true
#endif

/* --- The service --- */

inline ring_bell()
{
    d_step {
        if
        :: bells[0] < 1 -> bells[0]++
        :: else
        fi;
        pump_edge = pump_on
    }
}

/* P6 and H5 */
inline ring_if_it_sleeps()
{
    if
    :: d_step { consumer_sleeps -> consumer_sleeps = false }; ring_bell()
    :: !consumer_sleeps
    fi
}

inline answer(call)
{
    d_step { due[call] = false; replied[call] = true; news_in_ring = true }; /* P5 */
    ring_if_it_sleeps()
}

active proctype service()
{
    byte frame, taken;
    bool due[THREADS + 1];
#ifdef DEATH
    bool dies;
    if
    :: dies = true
    :: true
    fi;
#endif
    do
    :: requests?frame ->
        if
        :: d_step { producer_waits -> producer_waits = false }; ring_bell() /* C6 */
        :: !producer_waits
        fi;
        d_step {
            if
            :: frame != PART -> due[frame] = true; taken++
            :: else
            fi;
            frame = 0
        }
    :: may_answer && due[0] && (answers_any_first || finished == THREADS - 1) -> answer(0)
#if THREADS > 1
    :: may_answer && due[1] -> answer(1)
#endif
#if THREADS > 2
    :: may_answer && due[2] -> answer(2)
#endif
#ifdef ASYNC
    :: may_answer && due[THE_CALL] -> answer(THE_CALL)
    :: due[THE_CALL] -> d_step { due[THE_CALL] = false; held = true } /* for ever */
#endif
    :: !welcomed -> welcomed = true /* H5 */
    :: welcomed && !rang_welcome -> rang_welcome = true; ring_if_it_sleeps() /* after a turn of any length */
#ifdef DEATH
    :: d_step { dies -> gone = true; pump_edge = pump_on }; break
#endif
    :: finished == THREADS && empty(requests) && (held || over) && rang_welcome -> break
    od
}

/* --- The link --- */

inline wake_followers()
{
    d_step {
        i = 0;
        do
        :: i < THREADS ->
            news[i] = true;
            if
#ifndef NO_WAKE_OF_FOLLOWERS
            :: following[i] && !waits_for_reply[i] -> woken[i] = true
#endif
            :: following[i] && waits_for_reply[i] && cut -> woken[i] = true
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }
}

/* lm_link_collect: takes all replies that have come. */
inline collect()
{
    d_step {
        i = 0;
        news_in_ring = false;
        do
        :: i <= THREADS ->
            if
            :: replied[i] ->
                replied[i] = false;
                answered[i] = true;
                news[i] = true;
                if
                :: i == THE_CALL -> job_woken = true
#ifndef NO_WAKE_AT_ANSWER
                :: i != THE_CALL && following[i] && waits_for_reply[i] -> woken[i] = true
#endif
                :: else
                fi
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }
}

inline die()
{
    if
    :: !cut ->
        collect();
        d_step { cut = true; job_woken = true; pump_on = false };
        wake_followers()
    :: else
    fi
}

/* P5, P6: the lock is released for a bell, or to ask whether the service lives. */
inline publish(frame)
{
    requests!frame;
    if
    :: true
    :: unlock();
        lock();
        if
        :: gone -> die()
        :: else
        fi
    fi
}

/* lm_link_put_unsent; lm_link_put_next */
inline put_unsent()
{
#ifdef ASYNC
    do
    :: cut || line == 0 -> break
    :: else ->
        if
        :: !line_begun && (!welcomed || large_turn) -> break /* lm_link_may_begin */
        :: else
        fi;
        if
        :: full(requests) -> /* P1 */
            producer_waits = true; /* W1 */
            if
            :: full(requests) -> break /* W2 */
            :: nfull(requests)
            fi
        :: nfull(requests)
        fi;
        d_step { line--; line_begun = line > 0; large_turn = line_begun; frame_sent = (line > 0 -> PART : THE_CALL) };
        if
        :: line == 0 -> wake_followers() /* lm_link_leave_line */
        :: else
        fi;
        publish(frame_sent)
    od;
    frame_sent = 0
#else
    skip
#endif
}

inline note_welcome()
{
    d_step {
        if
        :: !told_welcome && welcomed -> told_welcome = true
        :: else
        fi
    }
}

/* lm_link_handle_news */
inline attend(dead)
{
    if
    :: dead -> die()
    :: else -> collect()
    fi;
    wake_followers();
    note_welcome();
    put_unsent()
}

/* The state of the welcome that a thread that announces a sleep compares with: the state at the last time that the
 * asynchronous calls were told; in the mutants, the state when it began to lead. */
#ifdef WELCOME_READ_LATE
#define welcome_known_to_leader was_welcomed
#else
#define welcome_known_to_leader told_welcome
#endif
#ifdef WELCOME_READ_LATE_BY_PUMPS
#define welcome_known_to_pumps was_welcomed
#else
#define welcome_known_to_pumps told_welcome
#endif

#ifdef LATE
#define may_be_late hurries
#else
#define may_be_late false
#endif

inline lead()
{
    led = true;
    was_welcomed = welcomed;
    consumer_sleeps = true; /* S1 */
    if
#ifdef S2_LEFT_OUT
    :: welcomed == welcome_known_to_leader ->
#else
    :: !news_in_ring && welcomed == welcome_known_to_leader -> /* S2 */
#endif
        unlock();
        if
        :: d_step { bells[0] > 0 -> bells[0]-- } /* S3 */
        :: bells[0] == 0 && gone -> is_dead = true
        :: may_be_late -> late = true
        fi;
        lock()
#ifndef S2_LEFT_OUT
    :: news_in_ring
#endif
    :: welcomed != welcome_known_to_leader
    fi;
    d_step { consumer_sleeps = false; led = false; was_welcomed = false; attends = true }
}

inline follow(for_reply, for_thread)
{
    d_step {
        following[me] = true;
        woken[me] = false;
        waits_for_reply[me] = for_reply;
        waits_for_thread[me] = for_thread
    };
    unlock();
    if
    :: woken[me]
    :: may_be_late -> late = true
    fi;
    lock();
    d_step { following[me] = false; woken[me] = false; waits_for_reply[me] = false; waits_for_thread[me] = false }
}

/* What a thread is waiting to do. */
#define LINE 0    /* wait until the line is empty, lm_link_wait_line */
#define WELCOME 1 /* large message: wait for the service's limits, lm_link_admit */
#define TURN 2    /* large message: take its turn, lm_link_take_turn */
#define FIRST 3   /* large message: put its first part, lm_link_put */
#define LAST 4    /* put the last part, or all of a small message */
#define ANSWER 5  /* wait for the answer, lm_link_call */

/* lm_link_spin: the lock is released meanwhile; afterwards the caller checks again whether anything has happened. */
inline look()
{
    news[me] = false;
    if
    :: true /* spinning does not pay */
#ifndef NO_LOOKS
    :: unlock();
        if
        :: true /* the spin found nothing */
        :: news_in_ring || (phase != ANSWER && nfull(requests)) -> attends = true
        fi;
        lock()
#endif
    fi
#ifndef LOOK_NOT_CHECKED
    ;
    waits = !attends && !news[me]
#else
    ;
    waits = !attends
#endif
}

/* For room, W1 and W2 come after the spin. */
inline announce_wait_for_room()
{
    if
    :: waits && (phase == FIRST || phase == LAST) ->
#ifndef W1_LEFT_OUT
        producer_waits = true; /* W1 */
#endif
#ifndef W2_LEFT_OUT
        waits = full(requests) /* W2 */
#endif
    :: else
    fi
}

#ifdef TURN_WAITER_LEADS
#define by_turn false
#else
#define by_turn ((phase == LINE || phase == TURN) && large_turn && !line_begun)
#endif

/* lm_link_wait, lm_link_wait_room, lm_link_wait_turn */
inline wait()
{
    if
    :: by_turn -> follow(false, true)
    :: else ->
        look();
        announce_wait_for_room();
        if
        :: !waits || cut
        :: waits && !cut && led -> follow(phase == ANSWER, false)
        :: waits && !cut && !led -> lead()
        fi;
        if
        :: attends -> attend(is_dead)
        :: else
        fi
    fi;
    d_step { waits = false; attends = false; is_dead = false }
}

inline leave_to_pumps()
{
    put_unsent();
    if
    :: led || cut
    :: else ->
        was_welcomed = welcomed;
        consumer_sleeps = true; /* S1 */
        d_step {
            if
#ifndef PUMP_MISSED_FORGOTTEN
            :: pump_missed -> pump_woken = true
#endif
#ifndef PUMPS_S2_LEFT_OUT
            :: news_in_ring -> pump_woken = true; consumer_sleeps = false /* S2 */
#endif
            :: welcomed != welcome_known_to_pumps -> pump_woken = true
            :: else
            fi;
            pump_missed = false
        };
        was_welcomed = false
    fi
}

#define can_lead(thread) (following[thread] && !waits_for_thread[thread])

/* lm_link_hand_over, to any follower that can lead. */
inline hand_over()
{
#ifndef NO_HAND_OVER
    if
    :: led
    :: !led && THREADS > 0 && can_lead(0) -> woken[0] = true
#if THREADS > 1
    :: !led && can_lead(1) -> woken[1] = true
#endif
#if THREADS > 2
    :: !led && can_lead(2) -> woken[2] = true
#endif
    :: else ->
        if
#ifndef NOT_LEFT_TO_PUMPS
        :: asynchronous -> leave_to_pumps()
#endif
        :: else
        fi
    fi
#else
    skip
#endif
}

/* --- Threads --- */

/* The end of lm_link_send_large */
inline end_turn()
{
    large_turn = false;
#ifndef LINE_NOT_PUT_AT_TURNS_END
    put_unsent();
#endif
#ifndef NO_WAKE_AT_TURNS_END
    wake_followers()
#endif
}

#define is_large (me >= CALLERS)

active [THREADS] proctype thread()
{
    byte me, i, frame_sent, phase;
    bool hurries, late, waits, attends, is_dead, was_welcomed, ends_turn;
    me = _pid - 1;
#ifdef LATE
    if
    :: me == 0 -> hurries = true
    :: true
    fi;
#endif
    lock();
    do
    :: cut || late || (phase == ANSWER && answered[me]) -> break
    :: else ->
        if
        :: phase == LINE && line == 0 -> phase = (is_large -> WELCOME : LAST)
        :: (phase == LINE && line > 0) || (phase == TURN && large_turn) ->
#ifdef LINE_NOT_PUT_BEFORE_WAITING
            if
            :: phase == LINE -> put_unsent()
            :: else
            fi;
#else
            put_unsent();
#endif
            waits = (phase == LINE && line > 0) || (phase == TURN && large_turn)
        :: phase == WELCOME && welcomed -> phase = TURN
        :: phase == WELCOME && !welcomed -> waits = true
        :: phase == TURN && !large_turn -> d_step { large_turn = true; phase = FIRST }
        :: (phase == FIRST || phase == LAST) && nfull(requests) -> /* P1 */
            frame_sent = (phase == FIRST -> PART : me);
            phase++;
            publish(frame_sent);
            frame_sent = 0;
            ends_turn = is_large && phase == ANSWER
        :: (phase == FIRST || phase == LAST) && full(requests) -> waits = true
        :: phase == ANSWER -> waits = true
        fi;
        if
        :: waits && !cut -> wait()
        :: else -> waits = false
        fi;
        if
        :: ends_turn || ((cut || late) && is_large && (phase == FIRST || phase == LAST)) ->
            end_turn();
            ends_turn = false
        :: else
        fi
    od;
    hand_over();
    d_step { locked = false; finished++ }
}

/* --- The run loop --- */

#ifdef ASYNC
/* lm_pump_ready */
inline pump_ready()
{
    lock();
    if
    :: led -> pump_missed = true
    :: !led && !cut ->
        d_step { is_dead = gone; bells[0] = 0 };
        consumer_sleeps = false;
        attend(is_dead);
        is_dead = false
    :: else
    fi;
    hand_over();
    d_step { pump_on = pump_on && asynchronous; locked = false }
}

/* lm_async_leave */
inline leave()
{
    asynchronous = false;
    if
    :: line > 0 ->
        d_step {
#ifndef TURN_KEPT_AT_CANCEL
            large_turn = large_turn && !line_begun;
#endif
            line = 0;
            line_begun = false
        };
        wake_followers()
    :: else
    fi;
    hand_over()
}

active proctype loop()
{
    byte i, frame_sent;
    bool is_dead, was_welcomed;
#ifdef CANCEL
    bool cancels;
    if
    :: cancels = true
    :: true
    fi;
#endif
    lock();
    if
    :: !cut ->
        d_step { pump_on = true; pump_edge = true; pump_woken = true; asynchronous = true; line = PARTS };
        put_unsent();
        hand_over()
    :: else
    fi;
    unlock();
    do
    :: !asynchronous -> over = true; break
    :: held && !gone && finished == THREADS -> break
    :: d_step { asynchronous && pump_on && pump_woken -> pump_woken = false }; pump_ready()
    :: d_step { asynchronous && pump_on && pump_edge && (bells[0] > 0 || gone) -> pump_edge = false }; pump_ready()
    :: d_step { asynchronous && job_woken -> job_woken = false };
        lock();
        if
        :: answered[THE_CALL] || cut -> leave()
        :: else
        fi;
        unlock()
#ifdef CANCEL
    :: d_step { cancels && asynchronous && !locked -> locked = true };
        if
        :: asynchronous -> leave()
        :: else
        fi;
        unlock()
#endif
    od
}
#endif
