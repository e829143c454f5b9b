#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures two versions of the library in one run, taking turns, and prints a table of both.

    bench/compare.py OLD NEW [ROUNDS]

OLD and NEW are folders with a built `peer_lightmessaging`: `make bench-programs` puts one into build/bench. Each round
runs both, every other round in the opposite order; 12 rounds unless told. The column "old, twice" is what the old
version's odd rounds make of its even ones: a ratio of new to old within it says nothing.
"""
import pathlib
import statistics
import sys

sys.dont_write_bytecode = True  # beside the sources
import bench
import report

ORDERS = [("calls", 64), ("calls", 4 * bench.KIB), ("calls", 64 * bench.KIB), ("calls", bench.MIB), ("oneway", 64),
          ("connect", 0), ("lend", bench.MIB), ("threads", 1), ("threads", 8)]
UNITS = {"oneway": "a second", "threads": "calls a second"}  # of what is counted; the rest is timed, in microseconds
IDLE_SECONDS = 10
ROUND_MS = 100


def figure(work, answer):
    """The median of what was timed, in microseconds, or what was counted; None if it was not measured."""
    sign, values = answer
    if sign != "=":
        print(f"FAILED: {values}", file=sys.stderr)
        return None
    if work == "beat":
        return sum(values) / 1e3
    plain = len(values) % 1001
    return values[plain + 500] / 1e3 if len(values) > plain else values[0]


def measure_round(rows, version, folder, contenders):
    for peer, layout in contenders:
        program = bench.Program(folder, peer, layout)
        for work, a in ORDERS:
            if work == "threads" and layout == "one":
                continue
            program.order(work, *bench.order_of(peer[0], work, a), ROUND_MS)
            row = rows.setdefault((peer[0], layout, work, a), ([], []))
            row[version].append(figure(work, program.answer()))
        program.close()


def measure_idle(rows, folders, peer):
    """A message a second costs what server and client compute together; both versions run at the same time."""
    programs = [bench.Program(folder, peer, "free") for folder in folders]
    for program in programs:
        program.order("beat", 0, 0, IDLE_SECONDS * 1000)
    for version, program in enumerate(programs):
        rows.setdefault((peer[0], "free", "beat", 0), ([], []))[version].append(figure("beat", program.answer()))
        program.close()


def ratio(new, old):
    return f"{statistics.median(new) / statistics.median(old):.3f}" if new and old else "-"


def print_table(rows):
    print("| who | where | what | unit | old | new | new : old | old, twice |")
    print("|---|---|---|---|--:|--:|--:|--:|")
    for (who, layout, work, a), (old, new) in rows.items():
        even, odd = old[::2], old[1::2]
        unit = UNITS.get(work, "µs a second" if work == "beat" else "µs")
        print(f"| {who} | {layout} | {work} {a} | {unit} | {statistics.median(old):.4g} | {statistics.median(new):.4g} |"
              f" {ratio(new, old)} | {ratio(odd, even)} |")


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    folders = [pathlib.Path(folder).resolve() for folder in sys.argv[1:3]]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 12
    peers = {peer[0]: peer for peer in bench.PEERS}
    contenders = [(peers[report.OURS], "free"), (peers[report.OURS], "one"), (peers[report.ASLEEP], "apart"),
                  (peers[report.ASLEEP], "one")]
    rows = {}
    for number in range(rounds):
        for version in (0, 1) if number % 2 == 0 else (1, 0):
            measure_round(rows, version, folders[version], contenders)
        if number % 4 == 0:
            measure_idle(rows, folders, peers[report.OURS])
    lacking = [key for key, (old, new) in rows.items() if None in old + new]
    for key in lacking:
        del rows[key]
    print_table(rows)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
