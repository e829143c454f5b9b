/* SPDX-License-Identifier: MIT */
/*
 * Taken or withdrawn: the sender's threads, each with a deadline that may pass at any time, against the receiver's C4,
 * and the receiver's death at any step. Follows lm_producer_withdraw, lm_producer_taken and lm_consumer_take. A message
 * takes up one slot, and its number is its position. A message that was withdrawn may be sent again to a successor, so
 * it must never be taken, then or later. The decision is one word, changed only by exchanges, so the model loses
 * nothing by assuming sequential consistency.
 *
 * run: all quick
 * mutant all: WITHDRAWN_WITHOUT_EXCHANGE TAKEN_WITHOUT_EXCHANGE WITHDRAWN_WITHOUT_LOCK PLACE_NOT_CHECKED
 * mutant all: OUTCOME_NOT_CHECKED STATE_NOT_RESET C7_BEFORE_C4 C5_BEFORE_C4
 */
#define SLOTS 2
#define MESSAGES 4
#define READY 0
#define TAKEN 1
#define WITHDRAWN 2
#define PROCESSORS 0
#include "common.pml"

bool taken_or_withdrawn_not_both, taken_is_said_only_of_what_was_taken, each_is_taken_at_most_once,
    none_is_lost_while_the_receiver_lives, none_is_looked_at_unless_taken;

byte state[SLOTS], number[SLOTS];
byte tail, head;
bool locked, killed, gone;
byte at_work = 2; /* threads */
bool is_taken[MESSAGES], is_withdrawn[MESSAGES]; /* for the model's bookkeeping only */

#define lock() d_step { !locked -> locked = true }
#define unlock() locked = false

/* lm_producer_taken: the receiver has passed the frame, or holds it. */
inline look_whether_taken()
{
#ifdef PLACE_NOT_CHECKED
    taken = false;
#else
    taken = position < head;
#endif
    if
    :: !taken -> taken = state[position % SLOTS] == TAKEN
    :: else
    fi
}

/* lm_producer_withdraw */
inline withdraw()
{
    look_whether_taken();
    if
    :: !taken ->
#ifdef WITHDRAWN_WITHOUT_EXCHANGE
        was = state[position % SLOTS];
        if
        :: was == READY -> state[position % SLOTS] = WITHDRAWN
        :: else -> taken = true
        fi;
        was = 0
#else
        d_step {
            if
            :: state[position % SLOTS] == READY -> state[position % SLOTS] = WITHDRAWN
            :: else -> taken = true
            fi
        }
#endif
    :: else
    fi
#ifdef OUTCOME_NOT_CHECKED
    ;
    taken = false
#endif
}

active [2] proctype thread()
{
    byte position, was;
    bool taken;
    do
    :: break
    :: true ->
        lock();
        if
        :: tail == MESSAGES || tail - head == SLOTS -> unlock()
        :: else ->
            d_step {
                position = tail;
                number[position % SLOTS] = position;
#ifndef STATE_NOT_RESET
                state[position % SLOTS] = READY
#endif
            };
            tail++; /* P5 */
            unlock();
            if
            :: true /* answered */
            :: true ->
#ifndef WITHDRAWN_WITHOUT_LOCK
                lock();
#endif
                withdraw();
                d_step {
                    if
                    :: taken -> must(taken_is_said_only_of_what_was_taken, is_taken[position])
                    :: else ->
                        must(taken_or_withdrawn_not_both, !is_taken[position]);
                        is_withdrawn[position] = true
                    fi
                };
#ifndef WITHDRAWN_WITHOUT_LOCK
                unlock();
#endif
                taken = false
            fi
        fi
    od;
    at_work--
}

active proctype receiver()
{
    byte message, was;
    {
        do
        :: head < tail -> /* C1 */
            message = number[head % SLOTS]; /* C2, C3 */
#ifdef C5_BEFORE_C4
            head++;
#define CURRENT (head - 1)
#else
#define CURRENT head
#endif
#ifdef C7_BEFORE_C4
            must(none_is_looked_at_unless_taken, is_taken[message]);
#endif
#ifdef TAKEN_WITHOUT_EXCHANGE
            was = state[CURRENT % SLOTS];
            d_step { state[CURRENT % SLOTS] = TAKEN;
#else
            d_step { was = state[CURRENT % SLOTS]; state[CURRENT % SLOTS] = TAKEN; /* C4 */
#endif
                if
                :: was == READY ->
                    must(taken_or_withdrawn_not_both, !is_withdrawn[message]);
                    must(each_is_taken_at_most_once, !is_taken[message]);
                    is_taken[message] = true
                :: else
                fi
            };
#ifndef C5_BEFORE_C4
            head++; /* C5 */
#endif
            if
            :: was == READY -> must(none_is_looked_at_unless_taken, is_taken[message]) /* C7 */
            :: else
            fi;
            d_step { message = 0; was = 0 }
        :: at_work == 0 && head == tail -> break
        od;
        skip;
        d_step {
            message = 0;
            do
            :: message < tail ->
                must(none_is_lost_while_the_receiver_lives, is_taken[message] || is_withdrawn[message]);
                message++
            :: else -> break
            od
        }
    } unless { killed };
    gone = true
}

active proctype fate()
{
    if
    :: killed = true
    :: true
    fi
}
