/* SPDX-License-Identifier: MIT */
/*
 * The base of all models: words in memory behind store buffers, bells, and death. Labels are those of docs/PROTOCOL.md.
 *
 * A plain store goes into its processor's buffer, which the process `memory` empties in order at any later time, as on
 * x86; an ordered store and an exchange wait until the buffer is empty. No process loads a word that it has stored
 * plainly, so loads need not look into the buffer.
 *
 * Each d_step is one machine instruction, one system call or one critical section, which a kill cannot divide. The
 * including file defines the number of WORDS and of PROCESSORS.
 */
#if PROCESSORS > 0
#ifndef DEPTH
#define DEPTH 2
#endif
byte words[WORDS];
chan buffer[PROCESSORS] = [DEPTH] of { byte, byte };

#define plain_store(me, word, value) buffer[me]!word,value
/* `ghost` is a step of the model's own bookkeeping at the same time, or skip. */
#define ordered_store(me, word, value, ghost) d_step { empty(buffer[me]) -> words[word] = value; ghost }
#define exchange(me, word, value, old) d_step { empty(buffer[me]) -> old = words[word]; words[word] = value }

active proctype memory()
{
    byte word, value;
end:
    do
    :: d_step { buffer[0]?word,value -> words[word] = value; word = 0; value = 0 }
#if PROCESSORS > 1
    :: d_step { buffer[1]?word,value -> words[word] = value; word = 0; value = 0 }
#endif
#if PROCESSORS > 2
    :: d_step { buffer[2]?word,value -> words[word] = value; word = 0; value = 0 }
#endif
    od
}
#endif

/* Fails with the property's name, which pan prints. Properties are variables that are never set. */
#define must(property, condition) if :: !(condition) -> assert(property) :: else fi

/* --- The socket --- */

#ifndef QUEUE
#define QUEUE 1 /* records that fit into a socket's queue */
#endif

/* A full queue drops the bell: it holds another bell that was not read yet. */
#define send_bell(to) d_step { if :: bells[to] < QUEUE -> bells[to]++ :: else fi }
