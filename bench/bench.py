#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures all peers in one run, taking turns, and writes results.json and the report beside the programs.

    bench.py FOLDER [full|quick|smoke]

FOLDER holds the programs: peer_NAME, neighbours. Exits with 1 if a measurement failed: a wrong answer, a lost message,
a program that hangs or cannot start. What a peer cannot do, and a peer that is not installed, is not a failure but is
named. No figure decides anything.
"""
import json
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True  # beside the sources
import report

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 120  # seconds beyond which a program that does not answer hangs
CORES = sorted(os.sched_getaffinity(0))

# Where client and server may run. A thread that may use one core only never spins: see LM_SPIN_US.
LAYOUTS = {
    "one": (CORES[0], CORES[0]),
    "apart": (CORES[0], CORES[1] if len(CORES) > 1 else None),
    "free": (-1, -1 if len(CORES) > 1 else None),
    "any": (-1, -1),  # to see whether it works, also on one core
}

# Title, program, its name there, layouts in which it makes sense.
PEERS = [
    ("cache line", "floor", "line", ["apart"]),
    ("memcpy", "floor", "memcpy", ["free"]),
    (report.OURS, "lightmessaging", "spinning", ["free", "one"]),
    (report.ASLEEP, "lightmessaging", "sleeping", ["apart", "free", "one"]),
    ("AF_UNIX SEQPACKET", "raw", "seqpacket", ["apart", "free", "one"]),
    ("AF_UNIX STREAM", "raw", "stream", ["apart", "free", "one"]),
    ("AF_UNIX, epoll", "raw", "epoll", ["free"]),
    ("pipe", "pipe", "pipe", ["apart", "free", "one"]),
    ("iceoryx, polling", "iceoryx", "polling", ["apart"]),
    ("iceoryx, wait set", "iceoryx", "waitset", ["free", "one"]),
    ("sd-bus, direct", "sdbus", "direct", ["free", "one"]),
    ("dbus-broker", "sdbus", "dbus-broker", ["free", "one"]),
    ("dbus-daemon", "sdbus", "dbus-daemon", ["free", "one"]),
    ("ZeroMQ", "zeromq", "zeromq", ["free", "one"]),
    ("nng, pair", "nng", "pair", ["free", "one"]),
    ("nng, req/rep", "nng", "req", ["free", "one"]),
]
OWN = {"floor", "lightmessaging", "raw", "pipe"}  # programs that need nothing installed: they must run

KIB, MIB = 1 << 10, 1 << 20
EFFORTS = {
    "full": dict(rounds=4, ms=100, sizes=[64, 4 * KIB, 64 * KIB, MIB, 16 * MIB], threads=[1, 2, 4, 8],
                 connections=[1, 10, 100, 1000, 10000], idle=30, neighbours=(10, 1000), compiles=3),
    "quick": dict(one_core="own", rounds=2, ms=25, sizes=[64, 64 * KIB, MIB], threads=[1, 8],
                  connections=[1, 10, 100], idle=3, neighbours=(4, 200), compiles=1),
    "smoke": dict(layout="any", rounds=1, ms=1, sizes=[64, 64 * KIB], threads=[2],
                  connections=[3], idle=1, neighbours=(2, 10), compiles=0),
}
PERCENTS = [*range(100), 99.5, 99.9, 100]  # of the quantiles that are kept


class Program:
    """One peer's client and server, and the pipe to order them about."""

    def __init__(self, folder, peer, layout):
        self.title, program, name, _ = peer
        self.layout = layout
        self.directory = tempfile.mkdtemp(prefix="lightmessaging-bench-")
        self.log = open(os.path.join(self.directory, "stderr.log"), "w+")
        client, server = LAYOUTS[layout]
        path = folder / f"peer_{program}"
        self.process = None
        if server is None:
            self.state = ("-", "this process may use one core only")
        elif not path.exists():
            self.state = ("!" if program in OWN else "-", f"{path.name} was not built: see above for what is missing")
        else:
            self.process = subprocess.Popen([path, name, self.directory, str(client), str(server)], text=True,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
            self.state = self.read()
            if self.state[0] == "!":
                self.state = ("!" if program in OWN else "-", f"did not start: {self.state[1]}")

    def read(self):
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            return ("!", f"the program hung or ended, status {self.process.poll()}; {self.last_words()}")
        sign, rest = line[0], line[1:].strip()
        return (sign, [float(value) for value in rest.split()] if sign == "=" else rest)

    def last_words(self):
        self.log.seek(0)
        return (self.log.read().strip().splitlines() or ["it said nothing"])[-1][:200]

    def order(self, work, a, b, ms):
        if self.state[0] == "=":
            try:
                self.process.stdin.write(f"{work} {a} {b} {ms}\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                pass  # what follows says so

    def answer(self):
        if self.state[0] == "=":
            result = self.read()
            if result[0] == "!":
                self.state = ("!", "not tried after the failure before it")
            return result
        return self.state

    def close(self):
        if self.process:
            try:
                self.process.communicate(timeout=PATIENCE)
            except (subprocess.TimeoutExpired, BrokenPipeError):
                self.process.kill()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Results:
    """What was measured, by peer, layout, work and its number: a list of rounds each; and what was not, and why."""

    def __init__(self):
        self.rows = {}

    def add(self, program, work, a, answer):
        row = self.rows.setdefault((program.title, program.layout, work, a), {"rounds": []})
        sign, values = answer
        if sign != "=":
            row["lack" if sign == "-" else "failure"] = values
            if sign == "!":
                print(f"FAILED: {program.title}, {program.layout}, {work} {a}: {values}", flush=True)
        else:
            row["rounds"].append(values)

    def leave_out(self, contenders, orders, why):
        for peer, layout in contenders:
            for work, a in orders:
                if work != "threads":  # nobody does that on one core
                    self.rows[(peer[0], layout, work, a)] = {"rounds": [], "lack": why}

    def as_list(self):
        keys = ("peer", "layout", "work", "a")
        return [dict(zip(keys, key), **summary(row)) for key, row in self.rows.items()]

    def failed(self):
        return any("failure" in row for row in self.rows.values())


def summary(row):
    """Medians over the rounds: of each percentile in microseconds, of each plain number."""
    result = {key: row[key] for key in ("lack", "failure") if key in row}
    if row["rounds"]:
        medians = [statistics.median(column) for column in zip(*row["rounds"])]
        plain = len(medians) % 1001
        result["rounds"] = len(row["rounds"])
        result["numbers"] = medians[:plain]
        if len(medians) > plain:
            quantiles = medians[plain:]
            result["us"] = {str(p): round(quantiles[int(p * 10)] / 1e3, 4) for p in PERCENTS}
            result["p50s"] = [round(values[plain + 500] / 1e3, 4) for values in row["rounds"]]
    return result


def order_of(title, work, a):
    """An order's numbers: bytes of a call's request and reply. A cache line has room for 48 and the turn."""
    if work != "calls":
        return a, 0
    return (48, 48) if title == "cache line" and a == 64 else (a, 64)


def take_turns(results, folder, effort, orders, contenders):
    """Every contender does all the orders; then again, the other way round."""
    for number in range(effort["rounds"]):
        for peer, layout in contenders if number % 2 == 0 else reversed(contenders):
            program = Program(folder, peer, layout)
            for work, a in orders:
                if work == "threads" and (layout == "one" or peer[1] == "floor"):
                    continue
                program.order(work, *order_of(program.title, work, a), effort["ms"])
                results.add(program, work, a, program.answer())
            program.close()
        print(f"    round {number + 1} of {effort['rounds']}, {time.monotonic() - BEGIN:.0f} s", flush=True)


def connect_many(results, folder, effort, contenders):
    """A client of a service with more and more connections, in turns with one that has its service for itself."""
    for peer, layout in contenders:
        many, one = Program(folder, peer, layout), Program(folder, peer, layout)
        for count in effort["connections"]:
            for _ in range(effort["rounds"]):
                for program, work, connections in (many, "connections", count), (one, "alone", 1):
                    program.order("connections", connections, 0, effort["ms"])
                    results.add(program, work, count, program.answer())
            for _ in range(effort["rounds"]):
                many.order("joining", count, 0, effort["ms"])
                results.add(many, "joining", count, many.answer())
        many.close()
        one.close()
        print(f"    {peer[0]}, {time.monotonic() - BEGIN:.0f} s", flush=True)


def all_at_once(results, folder, seconds, contenders, works):
    """What takes its time and no computing: in all contenders at the same time."""
    programs = [(Program(folder, peer, layout), work) for peer, layout in contenders for work in works]
    for program, work in programs:
        program.order(work, 0, 0, seconds * 1000)
    for program, work in programs:
        results.add(program, work, 0, program.answer())
        program.close()


def contenders_of(effort, only):
    """Who takes part in which layouts: in all that make sense, or in fewer to save time, which are the second list."""
    if only:
        return [(peer, only) for peer in PEERS], []
    everything = [(peer, layout) for peer in PEERS for layout in peer[3]]
    left_out = [(peer, layout) for peer, layout in everything
                if layout == "one" and effort.get("one_core", "all") == "own" and peer[1] not in OWN]
    return [contender for contender in everything if contender not in left_out], left_out


def measure_peers(results, folder, effort):
    only = effort.get("layout")
    contenders, left_out = contenders_of(effort, only)
    many = (report.OURS, "AF_UNIX, epoll", "ZeroMQ", "nng, req/rep")
    free = [(peer, only or "free") for peer in PEERS if peer[0] in many]
    idle = [(peer, only or "free") for peer in PEERS if peer[0] in (report.OURS, report.ASLEEP, "AF_UNIX, epoll")]
    orders = [("calls", size) for size in effort["sizes"]]
    orders += [("oneway", 64), ("connect", 0), ("lend", MIB), ("lend", 16 * MIB)]
    orders += [("threads", count) for count in effort["threads"]]
    results.leave_out(left_out, orders, "left out on one core, to save time")
    print(f"{len(contenders)} peers and layouts", flush=True)
    take_turns(results, folder, effort, orders, contenders)
    print("pictures", flush=True)
    take_turns(results, folder, effort, [("picture", rows) for rows in report.PICTURES],
               [(peer, only or "free") for peer in PEERS if peer[0] == report.OURS])
    print("connections", flush=True)
    connect_many(results, folder, effort, free)
    print(f"idle: {effort['idle']} s", flush=True)
    all_at_once(results, folder, effort["idle"], idle, ["beat", "quiet"])


def measure_neighbours(folder, effort):
    print("neighbours", flush=True)
    if len(CORES) < 2:
        return {"lack": "this process may use one core only"}
    run = subprocess.run([folder / "neighbours", *map(str, effort["neighbours"])], text=True, capture_output=True)
    if run.returncode != 0:
        print(f"FAILED: neighbours: {run.stderr.strip()}", flush=True)
        return {"failure": run.stderr.strip() or f"status {run.returncode}"}
    return {"rows": [line.split("\t") for line in run.stdout.splitlines()]}


def compile_timed(*arguments):
    """The computing time, in seconds. Sections are for the linker, to leave out what a program does not use."""
    command = [os.environ.get("CC", "cc"), "-O2", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections",
               "-I", HERE.parent / "include", *arguments]
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime


def section_sizes(program):
    """The machine code, and what `size` calls text: with it constants and unwind tables."""
    def run(*options):
        lines = subprocess.run(["size", *options, program], check=True, text=True, capture_output=True).stdout
        return [line.split() for line in lines.splitlines() if line.strip()]
    code = sum(int(row[1]) for row in run("-A") if row[0].startswith(".text"))
    return {"code": code, "text": int(run()[1][0])}


def measure_cost(folder, effort):
    """What it takes to compile a program with a client and a service, and an empty one, and their size."""
    print("compiling", flush=True)
    empty, code, code_object = folder / "empty.c", folder / "code.c", folder / "code.o"
    empty.write_text("int main(void)\n{\n    return 0;\n}\n")
    code.write_text("#define LIGHTMESSAGING_IMPLEMENTATION\n#include <LightMessaging/LightMessaging.h>\n")
    builds = {  # in this order: what one makes the next may need
        "empty": [empty],
        "cost": [HERE / "cost.c"],
        "code": ["-c", code],
        "separate": ["-DLIGHTMESSAGING_SEPARATE", HERE / "cost.c", code_object],
        "timeout": ["-DLIGHTMESSAGING_SEPARATE", "-DLIGHTMESSAGING_TIMEOUT=300", HERE / "cost.c", code_object],
    }
    cost = {name: {"ms": []} for name in builds}
    for _ in range(effort["compiles"]):
        for name, arguments in builds.items():
            product = code_object if name == "code" else folder / f"{name}.program"
            cost[name]["ms"].append(1e3 * compile_timed("-o", product, *arguments))
            cost[name].update(section_sizes(product))
    return {name: {**value, "ms": statistics.median(value["ms"])} for name, value in cost.items() if value["ms"]}


def first_line(*command):
    try:
        return subprocess.run(command, text=True, capture_output=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def machine():
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": model[0] if model else platform.processor() or platform.machine(),
        "cores": len(CORES),
        "hypervisor": any("hypervisor" in line for line in open("/proc/cpuinfo")),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30,
        "kernel": platform.release(),
        "compiler": first_line(os.environ.get("CC", "cc"), "--version"),
        "libc": "-".join(platform.libc_ver()),
        "version": first_line("git", "-C", str(HERE), "describe", "--always", "--dirty"),
        "load": os.getloadavg()[0],
    }


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    name = sys.argv[2] if len(sys.argv) > 2 else "full"
    effort = EFFORTS[name]
    results = Results()
    run = {"effort": name, **effort, "machine": machine()}
    measure_peers(results, folder, effort)
    run["neighbours"] = measure_neighbours(folder, effort)
    run["cost"] = measure_cost(folder, effort)
    run["results"] = results.as_list()
    run["seconds"] = round(time.monotonic() - BEGIN)
    (folder / "results.json").write_text(json.dumps(run, indent=1) + "\n")
    if name == "smoke":
        for title, reason in sorted({(row["peer"], row["lack"]) for row in run["results"] if "lack" in row}):
            print(f"not run: {title}: {reason}")
    else:
        report.write(folder / "results.json")
    return 1 if results.failed() or "failure" in run["neighbours"] else 0


if __name__ == "__main__":
    BEGIN = time.monotonic()
    sys.exit(main())
