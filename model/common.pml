/* SPDX-License-Identifier: MIT */
/*
 * What the models share: words in memory behind store buffers, bells, and death. Labels are docs/PROTOCOL.md's.
 *
 * A plain store goes into its processor's buffer, which the process `memory` empties in order at any later time, as x86
 * does; an ordered store and an exchange wait until the buffer is empty. No process loads a word that it has stored
 * plainly, so that loads need not look into the buffer.
 *
 * Everything that one machine instruction, one system call or one critical section does is one d_step, which a kill
 * can't divide. The including file says how many WORDS and how many PROCESSORS there are.
 */
#if PROCESSORS > 0
#ifndef DEPTH
#define DEPTH 2
#endif
byte words[WORDS];
chan buffer[PROCESSORS] = [DEPTH] of { byte, byte };

#define plain_store(me, word, value) buffer[me]!word,value
/* With `ghost`, a step of the model's own bookkeeping at the same time, or skip. */
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

/* Fails by the property's name, which pan prints. Properties are variables that are never set. */
#define must(property, condition) if :: !(condition) -> assert(property) :: else fi

/* --- The socket --- */

#ifndef QUEUE
#define QUEUE 1 /* records that fit into a socket's queue */
#endif

/* A full queue drops the bell: there is one in it that was not read yet. */
#define send_bell(to) d_step { if :: bells[to] < QUEUE -> bells[to]++ :: else fi }
