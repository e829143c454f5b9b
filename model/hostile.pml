/* SPDX-License-Identifier: MIT */
/*
 * An honest side of a ring against a peer that may write anything into the shared words at any time, rings at will, and
 * ends at some time. So each load may return any value, as it does here. The honest side reads and writes only inside
 * the ring, ends with an error if it finds one, and wakes when the peer has ended. Follows lm_consumer_peek and
 * lm_producer_prepare. Frames are counted in units, of which the header is the first; indices are modulo MODULUS. The
 * model omits the origin: for any origin, an index minus the origin is taken modulo the size.
 *
 * run: consumer quick -DCONSUMER
 * run: producer quick -DPRODUCER
 * mutant consumer: C1_NOT_CHECKED C2_NOT_CHECKED C2_FETCHED_TWICE NO_DEATH_WAKE
 * mutant producer: P1_NOT_CHECKED P1_LOADED_TWICE W2_NOT_CHECKED NO_DEATH_WAKE
 */
#define SIZE 4
#define MODULUS 16
#define PROCESSORS 0
#include "common.pml"

bool it_reads_inside_the_ring, it_reads_only_what_was_published, it_writes_inside_the_ring, an_index_is_in_range;

bool gone;

active proctype peer()
{
    gone = true
}

/* Loads a shared index as its distance, on the circle, from one of this side's indices or to it. */
#define load_distance_from(distance, from) \
    select(found : 0 .. MODULUS - 1); \
    distance = (found + MODULUS - (from)) % MODULUS; found = 0

#define load_distance_to(distance, to) \
    select(found : 0 .. MODULUS - 1); \
    distance = ((to) + MODULUS - found) % MODULUS; found = 0

/* S3 and W3: wakes by a bell, while the peer is alive to ring it, or by the end of the socket. */
inline sleep_on_socket()
{
    if
    :: !gone
#ifndef NO_DEATH_WAKE
    :: gone -> goto over
#endif
    fi
}

#ifdef CONSUMER
active proctype consumer()
{
    byte head, in_ring, found, distance, extent;
look:
    if
    :: in_ring == 0 -> /* C1 */
        load_distance_from(distance, head);
        if
#ifndef C1_NOT_CHECKED
        :: distance > SIZE -> goto over
#endif
        :: else -> d_step { in_ring = distance; distance = 0 }
        fi
    :: else
    fi;
    must(an_index_is_in_range, in_ring <= SIZE);
    if
    :: in_ring > 0 ->
        select(extent : 1 .. SIZE + 2); /* C2 */
        if
#ifndef C2_NOT_CHECKED
        :: extent > in_ring -> goto over
#endif
        :: else
        fi;
#ifdef C2_FETCHED_TWICE
        select(extent : 1 .. SIZE + 2);
#endif
        must(it_reads_inside_the_ring, extent <= SIZE); /* C3 */
        must(it_reads_only_what_was_published, extent <= in_ring);
        d_step { head = (head + extent) % MODULUS; in_ring = in_ring - extent; extent = 0 }; /* C5 */
        goto look
    :: else
    fi;
    load_distance_from(distance, head); /* S1, S2 */
    if
    :: distance == 0 -> sleep_on_socket() /* S3 */
    :: else -> distance = 0
    fi;
    goto look;
over:
    skip
}
#endif

#ifdef PRODUCER
/* P1 or W2, lm_producer_accept_head. A mutant loads the word twice: once to check it and once to use it. */
inline accept_head()
{
    load_distance_to(distance, tail);
    if
    :: distance > in_ring -> goto over
    :: else -> in_ring = distance
    fi;
    distance = 0
}

active proctype producer()
{
    byte tail, in_ring, found, distance, extent;
    do
    :: break
    :: true ->
        select(extent : 1 .. SIZE);
        do
        :: in_ring + extent <= SIZE -> break
        :: else ->
#ifdef P1_NOT_CHECKED
            load_distance_to(in_ring, tail);
#else
            accept_head(); /* P1 */
#endif
#ifdef P1_LOADED_TWICE
            load_distance_to(in_ring, tail);
#endif
            must(an_index_is_in_range, in_ring <= SIZE);
            if
            :: in_ring + extent <= SIZE -> break
            :: else
            fi;
#ifdef W2_NOT_CHECKED
            load_distance_to(in_ring, tail);
#else
            accept_head(); /* W1, W2 */
#endif
            must(an_index_is_in_range, in_ring <= SIZE);
            if
            :: in_ring + extent > SIZE -> sleep_on_socket() /* W3 */
            :: else
            fi
        od;
        must(it_writes_inside_the_ring, in_ring + extent <= SIZE); /* P4 */
        d_step { tail = (tail + extent) % MODULUS; in_ring = in_ring + extent; extent = 0 } /* P5 */
    od;
over:
    skip
}
#endif
