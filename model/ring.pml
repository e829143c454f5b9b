/* SPDX-License-Identifier: MIT */
/*
 * One ring: a producer, a consumer, their sleep and wake protocol in both directions, and death of either at any step.
 * Follows ring.h; the sleeps follow link_wait.h and serving.h. Frames have 1 to LONGEST units, and the ring has SIZE.
 * Private indices are modulo WIDE, published ones modulo MODULUS, and both wrap endlessly. Each unit of a frame holds
 * the position that it was written for. An empty ring may restart at its first unit.
 *
 * run: death quick -DSIZE=2 -DLONGEST=2 -DDEATH
 * run: service -DSIZE=2 -DLONGEST=2 -DDEATH -DSERVICE
 * run: longer -DSIZE=4 -DLONGEST=3 -DWIDE=MODULUS
 * mutant death: NO_P6 NO_C6 NO_S1 NO_S2 NO_W1 NO_W2 NO_BELL_P6 NO_BELL_C6
 * mutant death: S1_PLAIN W1_PLAIN P5_PLAIN C5_PLAIN S2_BEFORE_S1 W2_BEFORE_W1 P6_BEFORE_P5 C6_BEFORE_C5
 * mutant death: P5_BEFORE_P4 C5_BEFORE_C3 C3_BEFORE_C1 P4_BEFORE_P1
 * mutant death: NO_DEATH_WAKE BELL_READ_LATE EOF_ENDS_AT_ONCE
 * mutant death: ORIGIN_NOT_EMPTY ORIGIN_AFTER_P5 ORIGIN_BEFORE_C1 ORIGIN_KEPT
 */
#ifndef SIZE
#define SIZE 4
#endif
#ifndef LONGEST
#define LONGEST 3
#endif
#define MODULUS (2 * SIZE)
#ifndef WIDE
#define WIDE (2 * MODULUS)
#endif
#define NOTHING WIDE /* is in a slot */
#define PAGE (SIZE / 2) /* LM_RING_WARM */

#define WORDS 5
#define PROCESSORS 2
#define TAIL 0
#define HEAD 1
#define CONSUMER_SLEEPS 2
#define PRODUCER_WAITS 3
#define ORIGIN 4
#define P 0
#define C 1
#include "common.pml"

bool no_sleeper_with_data_and_no_wake, no_sleeper_with_room_and_no_wake, fifo_without_loss_or_duplicate,
    payload_is_whole, honest_indices_are_accepted, all_that_was_published_is_consumed;

byte slot_position[SIZE] = NOTHING;
byte slot_extent[SIZE];

byte bells[2];
bool killed[2];
bool gone[2];    /* its end of the socket is closed: the other side reads end-of-file after the bells */
bool ringing[2]; /* has published, and not yet decided whether to ring */

bool asleep;     /* the consumer is in S3, */
byte awaits;     /* the producer is in W3 for so many units; SIZE + 1: until everything was taken */
byte the_head;   /* and the indices that they know there */
byte the_tail;
byte published;  /* the tail before it is reduced to its published half */

/* Units from `from` to `to` on the published circle. */
#define distance(from, to) ((((to) % MODULUS) + MODULUS - ((from) % MODULUS)) % MODULUS)
#define wide_distance(from, to) (((to) + WIDE - (from)) % WIDE)
/* The place of an index, with the origin that the calling process knows. */
#define slot(index) (((index) + SIZE - origin) % SIZE)
#define fits(units) (SIZE - wide_distance(head, tail) >= (units))

/* P1, lm_producer_accept_head */
inline refresh_head()
{
    d_step {
        n = distance(words[HEAD], tail);
        if
        :: n > wide_distance(head, tail) -> assert(honest_indices_are_accepted)
        :: else -> head = wide_distance(n, tail)
        fi;
        n = 0
    }
}

/* Returns whether, by the published indices, so many units are free; SIZE + 1: whether the ring is empty. */
#define has_room(in_ring, units) ((in_ring) == 0 || (in_ring) + (units) <= SIZE)

/* The steps that mutants leave out. */
#ifdef NO_P6
#define rings_at_p6 false
#else
#define rings_at_p6 true
#endif
#ifdef NO_C6
#define rings_at_c6 false
#else
#define rings_at_c6 true
#endif
#ifdef NO_BELL_P6
#define bell_of_p6 skip
#else
#define bell_of_p6 send_bell(C)
#endif
#ifdef NO_BELL_C6
#define bell_of_c6 skip
#else
#define bell_of_c6 send_bell(P)
#endif
#ifdef NO_W2
#define w2_fails(condition) true
#else
#define w2_fails(condition) condition
#endif

inline announce_wait()
{
#ifdef NO_W1
    skip
#elif defined(W1_PLAIN)
    plain_store(P, PRODUCER_WAITS, 1)
#else
    ordered_store(P, PRODUCER_WAITS, 1, skip)
#endif
}

inline producer_sleeps(units)
{
#ifndef W2_BEFORE_W1
    announce_wait(); /* W1 */
#endif
    if
    :: has_room(distance(words[HEAD], tail), units) -> skip /* W2 */
#ifdef W2_BEFORE_W1
    :: !has_room(distance(words[HEAD], tail), units) ->
        announce_wait();
        d_step { the_tail = tail % MODULUS; awaits = units };
#else
    :: d_step { w2_fails(!has_room(distance(words[HEAD], tail), units)) -> the_tail = tail % MODULUS; awaits = units };
#endif
        /* W3 */
        if
        :: d_step { bells[P] > 0 -> bells[P]--; awaits = 0; the_tail = 0 }
#ifndef NO_DEATH_WAKE
        :: d_step { bells[P] == 0 && gone[C] -> awaits = 0; the_tail = 0 };
            goto over
#endif
        fi
    fi
}
inline write_frame()
{
    skip;
    d_step {
        slot_position[slot(tail)] = tail;
        slot_extent[slot(tail)] = extent;
        n = 1;
        do
        :: n < extent -> slot_position[slot(tail + n)] = tail; n++
        :: else -> break
        od;
        n = 0
    }
}

/* lm_producer_restart */
#ifdef ORIGIN_NOT_EMPTY
#define may_restart true
#else
#define may_restart (head == tail)
#endif
#ifdef ORIGIN_AFTER_P5
#define store_origin() skip
#else
#define store_origin() plain_store(P, ORIGIN, origin)
#endif
inline restart()
{
    if
    :: slot(tail) > 0 && (slot(tail) - 1) / PAGE != (slot(tail) + extent - 1) / PAGE ->
        refresh_head();
        if
        :: may_restart -> origin = tail % SIZE; store_origin()
        :: else
        fi
    :: else
    fi
}

active proctype producer()
{
    byte tail, head, extent, n, flag, origin;
    {
        do
        :: break /* no more */
        :: true ->
            select(extent : 1 .. LONGEST);
#ifdef P4_BEFORE_P1
            write_frame();
#endif
            do
            :: restart();
                if
                :: !fits(extent) -> refresh_head()
                :: else
                fi;
                if
                :: fits(extent) -> break
                :: else
                fi;
                producer_sleeps(extent)
            od;
            skip;
#ifdef P6_BEFORE_P5
            flag = words[CONSUMER_SLEEPS];
#endif
#ifdef P5_BEFORE_P4
            ordered_store(P, TAIL, (tail + extent) % MODULUS, ringing[P] = true);
#endif
#ifndef P4_BEFORE_P1
            write_frame(); /* P4 */
#endif
            d_step { tail = (tail + extent) % WIDE; extent = 0 };
#ifdef P5_PLAIN
            d_step { nfull(buffer[P]) -> buffer[P]!TAIL,(tail % MODULUS); ringing[P] = true; published = tail };
#else
            ordered_store(P, TAIL, tail % MODULUS, ringing[P] = true; published = tail); /* P5 */
#endif
#ifdef ORIGIN_AFTER_P5
            plain_store(P, ORIGIN, origin);
#endif
#ifndef P6_BEFORE_P5
            flag = words[CONSUMER_SLEEPS]; /* P6 */
#endif
            if
            :: rings_at_p6 && flag != 0 ->
                exchange(P, CONSUMER_SLEEPS, 0, flag);
                if
                :: flag != 0 -> d_step { flag = 0; ringing[P] = false; bell_of_p6 }
                :: else
                fi
            :: else
            fi;
            flag = 0;
            ringing[P] = false
        od;
        /* lm_link_wait_taken: waits for the last frame, or not. */
        do
        :: break
        :: true ->
            refresh_head();
            if
            :: head == tail -> break
            :: else
            fi;
            producer_sleeps(SIZE + 1)
        od;
over:   skip;
        skip
    } unless { killed[P] };
    d_step { empty(buffer[P]) -> gone[P] = true; ringing[P] = false; awaits = 0; the_tail = 0 }
}

/* lm_consumer_move and C6 */
inline move_on(units)
{
    d_step {
        n2 = 0;
        do /* a released place may hold anything */
        :: n2 < units -> slot_position[slot(head + n2)] = NOTHING; slot_extent[slot(head + n2)] = 0; n2++
        :: else -> break
        od;
        n2 = 0;
        head = (head + units) % WIDE;
        the_head = head % MODULUS
    };
#ifdef C5_PLAIN
    d_step { nfull(buffer[C]) -> buffer[C]!HEAD,(head % MODULUS); ringing[C] = true };
#else
    ordered_store(C, HEAD, head % MODULUS, ringing[C] = true);
#endif
}

inline ring_if_awaited()
{
#ifndef C6_BEFORE_C5
    flag = words[PRODUCER_WAITS];
#endif
    if
    :: rings_at_c6 && flag != 0 ->
        exchange(C, PRODUCER_WAITS, 0, flag);
        if
        :: flag != 0 -> d_step { flag = 0; ringing[C] = false; bell_of_c6 }
        :: else
        fi
    :: else
    fi;
    flag = 0;
    ringing[C] = false
}

/* C3: every unit must be what the producer wrote. */
inline copy_payload()
{
    d_step {
        n = 0;
        do
        :: n < extent -> must(payload_is_whole, slot_position[slot(at + n)] == at); n++
        :: else -> break
        od;
        n = 0
    }
}

inline announce_sleep()
{
#ifdef NO_S1
    skip
#elif defined(S1_PLAIN)
    plain_store(C, CONSUMER_SLEEPS, 1)
#else
    ordered_store(C, CONSUMER_SLEEPS, 1, skip)
#endif
}

active proctype consumer()
{
    byte tail, head, at, extent, n, n2, flag, origin;
    bool end_of_file, came;
#ifdef C3_BEFORE_C1
    byte early;
#endif
    {
        skip;
look:   skip;
#ifdef C3_BEFORE_C1
        early = slot_position[slot(head)];
#endif
        if
        :: tail == head -> /* C1 */
#ifdef ORIGIN_BEFORE_C1
            origin = words[ORIGIN];
#endif
            d_step {
                n = distance(head, words[TAIL]);
                if
                :: n > SIZE -> assert(honest_indices_are_accepted)
                :: else -> tail = (head + n) % WIDE
                fi;
                came = n > 0;
                n = 0
            };
#if !defined(ORIGIN_BEFORE_C1) && !defined(ORIGIN_KEPT)
            if
            :: came -> d_step { origin = words[ORIGIN]; came = false }
            :: else
            fi
#endif
            came = false
        :: else
        fi;
        if
        :: tail != head -> /* C2 */
            d_step { extent = slot_extent[slot(head)]; at = head };
#ifdef C3_BEFORE_C1
            must(fifo_without_loss_or_duplicate, early == at);
#else
            must(fifo_without_loss_or_duplicate, slot_position[slot(at)] == at && extent > 0);
#endif
#ifdef C5_BEFORE_C3
            move_on(extent);
            copy_payload();
#else
            copy_payload();
#ifdef C6_BEFORE_C5
            flag = words[PRODUCER_WAITS];
#endif
            move_on(extent);
#endif
            d_step { extent = 0; at = 0 };
            ring_if_awaited();
            goto look
        :: else
        fi;
        if
        :: end_of_file -> goto over
        :: else
        fi;
        if
        :: goto look /* the consumer spins before S1 */
        :: true
        fi;
#ifndef S2_BEFORE_S1
        announce_sleep(); /* S1 */
#endif
        /* S2 */
#ifdef NO_S2
        asleep = true;
#else
        if
#ifdef S2_BEFORE_S1
        :: words[TAIL] == head % MODULUS ->
            announce_sleep();
            asleep = true
#else
        :: d_step { words[TAIL] == head % MODULUS -> asleep = true }
#endif
        :: words[TAIL] != head % MODULUS ->
            plain_store(C, CONSUMER_SLEEPS, 0); /* lm_consumer_awake */
            goto look
        fi;
#endif
#ifdef BELL_READ_LATE
        d_step { if :: bells[C] > 0 -> bells[C]-- :: else fi };
#endif
        /* S3 */
        if
        :: d_step { bells[C] > 0 -> bells[C]--; asleep = false }
#ifndef NO_DEATH_WAKE
        :: d_step { bells[C] == 0 && gone[P] -> end_of_file = true; asleep = false }
#endif
        fi;
#ifdef EOF_ENDS_AT_ONCE
        if
        :: end_of_file -> goto over
        :: else
        fi;
#endif
#ifndef SERVICE /* the flag stays set */
        plain_store(C, CONSUMER_SLEEPS, 0); /* lm_consumer_awake */
#endif
        goto look;
over:   skip;
        must(all_that_was_published_is_consumed, head == published)
    } unless { killed[C] };
    d_step { empty(buffer[C]) -> gone[C] = true; ringing[C] = false; asleep = false; the_head = 0 }
}

#ifdef DEATH
active proctype fate()
{
    if
    :: killed[P] = true
    :: killed[C] = true
    :: true
    fi
}
#endif

/* The two sentences of PROTOCOL.md, section 7. */
active proctype monitor()
{
end:
    if
    :: asleep && words[TAIL] != the_head && bells[C] == 0 && !ringing[P] && !gone[P] && !killed[C] ->
        assert(no_sleeper_with_data_and_no_wake)
    :: awaits > 0 && bells[P] == 0 && !ringing[C] && !gone[C] && !killed[P] &&
        has_room(distance(words[HEAD], the_tail), awaits) ->
        assert(no_sleeper_with_room_and_no_wake)
    fi
}
