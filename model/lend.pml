/* SPDX-License-Identifier: MIT */
/*
 * Lent segments. The sender writes a message into a segment, stores `lent` = 1 and passes the segment in a frame. The
 * receiver reads the message there and stores 0 when the message is freed, in any thread and any order. The sender uses
 * the segment again when it loads 0. A sender that withdraws the frame stores 0 itself. When the link has ended, lent
 * segments are given up, since the receiver may be alive and still read them. Either side may die at any step.
 *
 * The ring is two slots with P5 and C5 ordered; this model does not check its words. Store buffers hold the segments'
 * content and `lent`. `owner` is for the model's bookkeeping only: 0 the sender, else the message that holds the
 * segment.
 *
 * run: all quick
 * mutant all: LENT_NOT_STORED LENT_AFTER_P5 WRITTEN_AFTER_P5 LENT_NOT_LOADED WRITTEN_BEFORE_LOAD
 * mutant all: NOT_GIVEN_BACK GIVEN_BACK_TWICE GIVEN_BACK_AT_TAKING GIVEN_BACK_BEFORE_READ GIVEN_BACK_IF_WITHDRAWN
 * mutant all: WITHDRAWN_NOT_TAKEN_BACK TAKEN_BACK_THOUGH_TAKEN REUSED_AFTER_THE_END P5_PLAIN
 */
#define SEGMENTS 2
#define SLOTS 2
#define MESSAGES 3
#define READY 0
#define TAKEN 1
#define WITHDRAWN 2
#define SENDER 0
#define RECEIVER 1
#define HOLDER 2
#define LENT(segment) (segment)
#define CONTENT(segment) (SEGMENTS + (segment))
#define TAIL (2 * SEGMENTS)
#define WORDS (TAIL + 1)
#define PROCESSORS 3
#define DEPTH 3
#include "common.pml"

bool the_sender_writes_only_what_is_its_own, what_is_taken_is_what_was_sent, it_comes_back_once,
    it_stays_while_it_is_looked_at, none_is_lost;

byte state[SLOTS], frame_segment[SLOTS], frame_message[SLOTS];
byte head;
byte owner[SEGMENTS];
byte holds[SEGMENTS]; /* the receiver's messages: 0, or the number of the message in the segment */
bool ended;           /* the link: one side is dead, or the receiver has cut it */
bool killed[2];
bool sender_done, receiver_done;

inline lend()
{
    plain_store(SENDER, LENT(segment), 1)
}

inline write_content()
{
    must(the_sender_writes_only_what_is_its_own, owner[segment] == 0 && holds[segment] == 0);
    plain_store(SENDER, CONTENT(segment), message)
}

inline publish()
{
    d_step {
        frame_segment[tail % SLOTS] = segment;
        frame_message[tail % SLOTS] = message;
        state[tail % SLOTS] = READY
    };
    d_step { tail++; owner[segment] = message };
#ifdef P5_PLAIN
    plain_store(SENDER, TAIL, tail)
#else
    ordered_store(SENDER, TAIL, tail, skip) /* P5 */
#endif
}

/* Withdraws the frame that was just sent, unless it was taken: see take.pml. */
inline withdraw()
{
    d_step {
        if
        :: tail > head && state[(tail - 1) % SLOTS] == READY -> state[(tail - 1) % SLOTS] = WITHDRAWN; withdrawn = true
        :: else -> withdrawn = false
        fi;
        if
        :: withdrawn -> owner[segment] = 0
        :: else
        fi
    }
}

active proctype sender()
{
    byte segment, message, tail;
    bool withdrawn;
    {
        do
        :: message == MESSAGES || ended -> break
        :: message < MESSAGES && tail - head < SLOTS ->
            select(segment : 0 .. SEGMENTS - 1);
#ifdef WRITTEN_BEFORE_LOAD
            plain_store(SENDER, CONTENT(segment), message + 1);
#endif
            if
#ifdef LENT_NOT_LOADED
            :: true ->
#else
            :: words[LENT(segment)] == 0 ->
#endif
#ifndef REUSED_AFTER_THE_END
                if
                :: ended -> break
                :: else
                fi;
#endif
                message++;
#if !defined(LENT_NOT_STORED) && !defined(LENT_AFTER_P5)
                lend();
#endif
#if !defined(WRITTEN_AFTER_P5) && !defined(WRITTEN_BEFORE_LOAD)
                write_content();
#endif
                publish();
#ifdef LENT_AFTER_P5
                lend();
#endif
#ifdef WRITTEN_AFTER_P5
                plain_store(SENDER, CONTENT(segment), message);
#endif
                if
                :: true /* the call is answered */
                :: true -> /* the deadline has passed */
                    withdraw();
                    if
#ifdef TAKEN_BACK_THOUGH_TAKEN
                    :: true ->
#else
                    :: withdrawn ->
#endif
#ifndef WITHDRAWN_NOT_TAKEN_BACK
                        plain_store(SENDER, LENT(segment), 0);
#endif
                        /* Loads the word again: the sender's own store, wherever it is. */
                        empty(buffer[SENDER])
                    :: else
                    fi;
                    withdrawn = false
                fi
#ifdef REUSED_AFTER_THE_END
            :: ended -> write_content(); break
#endif
            :: words[LENT(segment)] != 0/* uses another segment, or a copy in the ring */
            fi
        od
    } unless { killed[SENDER] };
    skip;
    d_step { empty(buffer[SENDER]) -> sender_done = true; ended = ended || killed[SENDER] }
}

active proctype receiver()
{
    byte segment, message, was;
    {
        do
        :: head < words[TAIL] -> /* C1 */
            d_step { segment = frame_segment[head % SLOTS]; message = frame_message[head % SLOTS] }; /* C2 */
            d_step { /* C4 */
                was = state[head % SLOTS];
                state[head % SLOTS] = TAKEN;
                if
                :: was == READY -> holds[segment] = message
                :: else
                fi
            };
#ifdef GIVEN_BACK_AT_TAKING
            if
            :: was == READY -> plain_store(RECEIVER, LENT(segment), 0)
            :: else
            fi;
#endif
#ifdef GIVEN_BACK_IF_WITHDRAWN
            if
            :: was == WITHDRAWN -> plain_store(RECEIVER, LENT(segment), 0)
            :: else
            fi;
#endif
            head++; /* C5 */
            d_step { segment = 0; message = 0; was = 0 }
        :: sender_done && head == words[TAIL] -> break
        :: ended = true; break /* cuts the link, and keeps its messages */
        od
    } unless { killed[RECEIVER] };
    skip;
    d_step { empty(buffer[RECEIVER]) -> receiver_done = true; ended = ended || killed[RECEIVER] }
}

/* The receiver's program: reads its messages and frees them. */
active proctype holder()
{
    byte segment, message;
    {
        do
        :: true ->
            if
            :: segment = 0
            :: segment = 1
            fi;
            if
            :: holds[segment] != 0 -> /* C7 */
                message = holds[segment];
#ifdef GIVEN_BACK_BEFORE_READ
                plain_store(HOLDER, LENT(segment), 0);
#endif
                must(what_is_taken_is_what_was_sent, words[CONTENT(segment)] == message);
                must(it_stays_while_it_is_looked_at, words[CONTENT(segment)] == message);
                d_step {
                    must(it_comes_back_once, owner[segment] == message);
                    owner[segment] = 0;
                    holds[segment] = 0
                };
#ifndef NOT_GIVEN_BACK
                plain_store(HOLDER, LENT(segment), 0);
#endif
#ifdef GIVEN_BACK_TWICE
                plain_store(HOLDER, LENT(segment), 0);
#endif
                message = 0
            :: else
            fi;
            segment = 0
        :: receiver_done && holds[0] == 0 && holds[1] == 0 -> break
        od
    } unless { killed[RECEIVER] };
    empty(buffer[HOLDER]);
    sender_done;
    must(none_is_lost, ended || killed[RECEIVER] || (words[LENT(0)] == 0 && words[LENT(1)] == 0))
}

active proctype fate()
{
    if
    :: killed[SENDER] = true
    :: killed[RECEIVER] = true
    :: true
    fi
}
