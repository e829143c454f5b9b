#!/bin/bash
# SPDX-License-Identifier: MIT
# Checks that lengths do not wrap where size_t has 32 bits. The program is static, so that it needs no libraries of its
# architecture. If the kernel runs no 32-bit programs, QEMU does; without QEMU, the program only has to build.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
compile=(i686-linux-gnu-gcc -static -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror -I "$root/include")

"${compile[@]}" "$root/tests/lengths_32_bits.c" -o "$work/program" || exit 1
echo 'int main(void) { return 0; }' | "${compile[@]}" -x c - -o "$work/empty" || exit 1
if "$work/empty" 2>/dev/null; then
    "$work/program"
elif command -v qemu-i386-static >/dev/null; then
    echo 'this kernel runs no programs of 32 bits: QEMU does'
    qemu-i386-static "$work/program"
else
    echo 'SKIPPED: this kernel runs no programs of 32 bits, and there is no qemu-i386-static'
    exit 77
fi
