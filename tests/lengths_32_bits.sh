#!/bin/bash
# SPDX-License-Identifier: MIT
# Lengths of 32 bits where size_t has no more: nothing wraps. Some kernels run no such programs: then it only has to
# build, and is skipped.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
compile=(gcc -m32 -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror -I "$root/include")

"${compile[@]}" "$root/tests/lengths_32_bits.c" -o "$work/program" || exit 1
echo 'int main(void) { return 0; }' | "${compile[@]}" -x c - -o "$work/empty" || exit 1
"$work/empty" 2>/dev/null || { echo 'SKIPPED: this kernel runs no programs of 32 bits'; exit 77; }
"$work/program"
