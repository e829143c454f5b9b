#!/bin/bash
# SPDX-License-Identifier: MIT
#   fuzz.sh SEEDS-PROGRAM
# Fuzzes the functions that consume a peer's data: C with clang's libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer, then Objective-C, with gcc, AddressSanitizer and a mutator of its own. LM_FUZZ_SECONDS
# (60) is the time for C; Objective-C takes half of it. LM_FUZZ_CORPUS names a folder with inputs to start from, to
# which new ones are added.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
seeds=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
corpus=${LM_FUZZ_CORPUS:-$work/corpus}
seconds=${LM_FUZZ_SECONDS:-60}
mkdir -p "$corpus" "$work/seeds"
"$seeds" "$work/seeds"
cd "$work"

give_up()
{
    tail -n 60 log
    for found in crash-* leak-* timeout-* oom-*; do
        if [ -f "$found" ]; then cp "$found" "${TMPDIR:-/tmp}" && echo "kept as ${TMPDIR:-/tmp}/$found"; fi
    done
    exit 1
}

clang -std=c11 -O1 -g -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    -I "$root/include" "$root/tests/fuzz_consume.c" $(pkg-config --cflags --libs libplist-2.0) -o fuzz_consume
for word in '<array>' '</array>' '<dict>' '<key>' '</key>' '<string>' '</string>' '</plist>' '<!--' '-->' '<!-->' \
    '<![CDATA[' ']]>' '<?' '?>' '<!DOCTYPE ' '<plist ' '&amp;' '&#' '<integer>' '<date>' '<true/>'; do
    echo "\"$word\""
done >words
if ! nice ./fuzz_consume -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 \
    -dict=words "$corpus" seeds >log 2>&1; then
    give_up
fi
grep -E 'number_of_executed_units|new_units_added' log

# pair_foundation checks the memory that GNUstep never frees.
gcc -std=gnu11 -O1 -g -Wall -Wextra -Werror -fsanitize=address -fexceptions -fobjc-exceptions \
    -D_NATIVE_OBJC_EXCEPTIONS -fconstant-string-class=NSConstantString -D_GNU_SOURCE -I "$root/include" \
    -isystem "$(gnustep-config --variable=GNUSTEP_SYSTEM_HEADERS)" "$root/tests/fuzz_foundation.m" -o fuzz_foundation \
    -lgnustep-base -lobjc
if ! ASAN_OPTIONS=detect_leaks=0 nice ./fuzz_foundation $((seconds / 2)) "$RANDOM" seeds/* >log 2>&1; then
    give_up
fi
cat log
