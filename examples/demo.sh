#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs services and their clients, and shows requests and replies. demo.sh FOLDER-OF-THE-EXAMPLES [NAME...]
# A NAME stands for NAME_server and NAME_client; without one, lol and processes run.
# Exits with 0 only if everything worked. Uses a runtime directory of its own, so it affects no other service.
set -u

[ $# -ge 1 ] || { echo "usage: $0 FOLDER [NAME...]" >&2; exit 2; }
programs=$(cd "$1" && pwd) || exit 2
shift
[ $# -gt 0 ] || set -- lol processes
services=

LM_RUNTIME_DIR=$(mktemp -d) || exit 1
export LM_RUNTIME_DIR

stop_services()
{
    for service in $services; do
        kill "$service" 2>/dev/null
        wait "$service" 2>/dev/null
    done
    services=
    rm -rf "$LM_RUNTIME_DIR"
}
trap stop_services EXIT
trap 'exit 1' HUP INT TERM

# Starts one service and waits at most 2 minutes for the line that reports that it serves.
start_service()
{
    output=$LM_RUNTIME_DIR/$1.output
    "$programs/$1" >"$output" 2>&1 &
    started=$!
    services="$services $started"
    tries=2400
    until grep -qs '^serving ' "$output"; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ] || ! kill -0 "$started" 2>/dev/null; then
            echo "$1 did not start; it printed:" >&2
            cat "$output" >&2
            exit 1
        fi
        sleep 0.05
    done
    echo "$1: $(cat "$output")"
}

run_client()
{
    echo
    echo "$1:"
    "$programs/$1" || { echo "$1 failed with status $?" >&2; exit 1; }
}

cd "$LM_RUNTIME_DIR" || exit 1 # files that a client writes are removed with it
for name; do start_service "${name}_server"; done
for name; do run_client "${name}_client"; done
