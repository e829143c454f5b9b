/* SPDX-License-Identifier: MIT */
/*
 * What the translation units of one program must agree on: the layouts of all structures that more than one of them
 * sees, which are the public ones and those that can be reached from the shared state (LM_STATE).
 */
#ifndef LM_DETAIL_GROUND_INTERFACE_H
#define LM_DETAIL_GROUND_INTERFACE_H

/*
 * The number of these layouts. Whoever changes one of them raises it and runs `tests/binary_interface.sh record`, which
 * else fails. A test may define another number, to be a unit of another version.
 */
#ifndef LM_BINARY_INTERFACE
#define LM_BINARY_INTERFACE 4
#endif

#define LM_TEXT(text)  LM_TEXT_(text)
#define LM_TEXT_(text) #text

/* A name for the linker that carries the number. */
#define LM_NUMBERED(name) name "_" LM_TEXT(LM_BINARY_INTERFACE)

#define LM_INTERFACE_NAME  LM_NUMBERED("lightmessaging_binary_interface")
#define LM_INTERFACE_ERROR "lightmessaging_error_units_of_different_binary_interfaces"

/* One object for all translation units of a program or plugin, whoever of them brings it. Its name for the linker
 * carries the number, so that no unit takes another version's for its own. */
#ifdef __cplusplus
#define LM_STATE(type, name)                                                                                           \
    extern "C" {                                                                                                       \
    __attribute__((weak, visibility("hidden"))) type name __asm__(LM_NUMBERED(#name));                                 \
    }
#else
#define LM_STATE(type, name) __attribute__((weak, visibility("hidden"))) type name __asm__(LM_NUMBERED(#name));
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Units of different numbers don't link. Each unit brings an empty section, in a group whose name carries the number,
 * and of a group's copies the linker keeps one. All groups define the same symbol: two groups define it twice, which is
 * an error, and the symbol's name says why.
 *
 * The function never runs. It holds the group because link-time optimization looks for symbols in a file's asm, and
 * would find this one once per unit, but not in a function's; and it is weak because that keeps one copy of a weak
 * function, but all copies of a static one. In an object file that comes out of link-time optimization, lld keeps all
 * groups, whatever it has kept of other files: a variable that clang knows to belong to the group tells it.
 */
void lm_interface(void) __asm__(LM_NUMBERED("lm_interface"));
__attribute__((used, cold, weak, visibility("hidden"))) void lm_interface(void)
{
    __asm__ volatile(".ifndef .L" LM_INTERFACE_NAME "\n"
                     ".pushsection ." LM_INTERFACE_NAME ", \"G\", %progbits, " LM_INTERFACE_NAME ", comdat\n"
                     ".L" LM_INTERFACE_NAME ":\n"
                     ".globl " LM_INTERFACE_ERROR "\n"
                     ".hidden " LM_INTERFACE_ERROR "\n" LM_INTERFACE_ERROR ":\n"
                     ".popsection\n"
                     ".endif");
}

#ifdef __clang__
extern const char lm_interface_group __asm__(LM_INTERFACE_NAME);
__attribute__((selectany, visibility("hidden"))) const char lm_interface_group = 0;
#endif

#ifdef __cplusplus
}
#endif

#endif
