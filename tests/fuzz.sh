#!/bin/bash
# SPDX-License-Identifier: MIT
# Fuzzes what consumes a peer's data with clang's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer. fuzz.sh SEEDS-PROGRAM
# LM_FUZZ_SECONDS (60) says for how long; LM_FUZZ_CORPUS names a folder to go on from and to keep what was found in.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
seeds=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
corpus=${LM_FUZZ_CORPUS:-$work/corpus}
mkdir -p "$corpus" "$work/seeds"
"$seeds" "$work/seeds"
clang -std=c11 -O1 -g -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -I "$root/include" \
    "$root/tests/fuzz_consume.c" $(pkg-config --cflags --libs libplist-2.0) -o "$work/fuzz_consume"
cd "$work"
if ! nice ./fuzz_consume -max_total_time="${LM_FUZZ_SECONDS:-60}" -max_len=65536 -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 \
    "$corpus" seeds >log 2>&1; then
    tail -n 60 log
    for found in crash-* leak-* timeout-* oom-*; do
        if [ -f "$found" ]; then cp "$found" "${TMPDIR:-/tmp}" && echo "kept as ${TMPDIR:-/tmp}/$found"; fi
    done
    exit 1
fi
grep -E 'number_of_executed_units|new_units_added' log
