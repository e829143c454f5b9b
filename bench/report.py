#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes report.md and three plots beside results.json, and prints the report.

    report.py RESULTS.JSON
"""
import json
import pathlib
import subprocess
import sys
import textwrap

OURS = "LightMessaging"
ASLEEP = "LightMessaging, no spin"
SOCKETS = ["AF_UNIX SEQPACKET", "AF_UNIX STREAM", "pipe", "sd-bus, direct", "dbus-broker", "dbus-daemon", "ZeroMQ",
           "nng, pair", "nng, req/rep"]
OTHERS = SOCKETS + ["iceoryx, polling", "iceoryx, wait set"]
TWO = ("apart", "free")
KIB, MIB = 1 << 10, 1 << 20
PICTURES = (16, 2160)  # rows of 4096 pixels
LAYOUT_NAMES = {"one": "one core", "apart": "two cores, one each", "free": "two cores, not tied"}


class Run:
    """The results. A method returns one figure, or None if it was not measured."""

    def __init__(self, path):
        self.data = json.loads(path.read_text())
        self.rows = {(row["peer"], row["layout"], row["work"], row["a"]): row for row in self.data["results"]}

    def us(self, peer, layout, work, a, percent=50):
        return self.rows.get((peer, layout, work, a), {}).get("us", {}).get(str(percent))

    def number(self, peer, layout, work, a, index=0):
        numbers = self.rows.get((peer, layout, work, a), {}).get("numbers")
        return numbers[index] if numbers else None

    def best(self, pick, figure, peers, layouts, *what):
        """The best peer's figure, and its name."""
        found = [(value, peer) for peer in peers for layout in layouts
                 if (value := figure(peer, layout, *what)) is not None]
        return pick(found) if found else (None, None)

    def layouts(self, peer):
        return sorted({key[1] for key in self.rows if key[0] == peer}, key=list(LAYOUT_NAMES).index, reverse=True)

    def peers(self):
        return list(dict.fromkeys(row["peer"] for row in self.data["results"]))


# --- Tables ---


def table(head, rows):
    """A Markdown table that is also readable on a terminal. All columns but the first are aligned to the right."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]

    def line(row):
        aligned = [row[0].ljust(widths[0]), *[cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]]
        return "| " + " | ".join(aligned) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])]) + "\n"


def show(value, scale=1.0):
    """Three significant digits; – for a figure that was not measured."""
    if value is None:
        return "–"
    value *= scale
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def size_name(size):
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB" if size >= KIB else f"{size} B"


# --- Targets ---


class Targets:
    def __init__(self):
        self.rows = []

    def add(self, what, ours, than, yardstick, sense, limit, unit):
        """Adds a target: `ours` must be at most (≤) or at least (≥) `limit` times the yardstick, or `limit` times faster
        than it. Without `than`, and with a yardstick of 1, `ours` must be at most or at least the limit."""
        target = f"≥ {limit:g} × faster than {than}" if sense == "faster" else f"{sense} {limit:g} " + (
            f"× {than}" if than else unit)
        measured = f"{show(ours)} {unit}"
        compared = f"{show(yardstick)} {unit}" if than else ""
        if ours is None or yardstick is None:
            self.rows.append([what, target, "–" if ours is None else measured, compared, "–", "not run"])
            return
        over, under = (yardstick, ours) if sense == "faster" else (ours, yardstick)
        ratio = over / under if under else 0.0 if over == 0 else float("inf")
        met = ratio <= limit if sense == "≤" else ratio >= limit
        self.rows.append([what, target, measured, compared, show(ratio) if than else "", "met" if met else "NOT MET"])


def add_latency(t, run):
    trip = run.us(OURS, "free", "calls", 64)
    socket, name = run.best(min, run.us, SOCKETS, TWO, "calls", 64)
    apart, apart_name = run.best(min, run.us, SOCKETS, ["apart"], "calls", 64)
    t.add("Two-way 64 B, two cores", trip, "a cache line", run.us("cache line", "apart", "calls", 64),
          "≤", 2.5, "µs")
    polling = run.us("iceoryx, polling", "apart", "calls", 64)
    t.add("", trip, "iceoryx, polling", polling, "faster", 5, "µs")
    t.add("", trip, f"the best socket peer ({name})", socket, "faster", 15, "µs")
    t.add("", trip, f"the best of them on one core each ({apart_name})", apart, "faster", 15, "µs")
    for layout, limit in ("one", 1.0), ("apart", 1.2):
        t.add(f"… no spinning, {LAYOUT_NAMES[layout]}", run.us(ASLEEP, layout, "calls", 64), "AF_UNIX SEQPACKET",
              run.us("AF_UNIX SEQPACKET", layout, "calls", 64), "≤", limit, "µs")


def add_throughput(t, run):
    def rate(*key):
        value = run.number(*key)
        return value and value / 1e6

    sent = rate(OURS, "free", "oneway", 64)
    peer, name = run.best(max, rate, OTHERS, LAYOUT_NAMES, "oneway", 64)
    t.add("One-way 64 B", sent, "", 1, "≥", 12, "M/s")
    t.add("", sent, f"best peer ({name})", peer, "≥", 4, "M/s")
    copied = run.us(OURS, "free", "calls", MIB)
    raw, _ = run.best(min, run.us, ["AF_UNIX STREAM", "AF_UNIX SEQPACKET"], TWO, "calls", MIB)

    def speed(us):
        return us and MIB / us / 1e3

    t.add("Request of 1 MiB, copied", speed(copied), "AF_UNIX", speed(raw), "≥", 2, "GB/s")
    t.add("", speed(copied), "one memcpy", speed(run.us("memcpy", "free", "calls", MIB)), "≥", 0.35, "GB/s")


def add_lending(t, run):
    trip = run.us(OURS, "free", "calls", 64)
    for size in MIB, 16 * MIB:
        lent = run.us(OURS, "free", "lend", size)
        loan, name = run.best(min, run.us, ["iceoryx, polling", "iceoryx, wait set"], TWO, "lend", size)
        t.add(f"Request of {size_name(size)}, lent", lent, "a 64 B trip", trip, "≤", 3, "µs")
        t.add("", lent, f"{name or 'iceoryx'}, loan", loan, "≤", 1, "µs")


    small, large = (run.us(OURS, "free", "picture", rows) for rows in PICTURES)
    t.add(f"Image of 4096 × {PICTURES[1]}, lent", large, f"one of 4096 × {PICTURES[0]}", small, "≤", 1.5, "µs")


def add_connections(t, run):
    raw, name = run.best(min, run.us, ["AF_UNIX SEQPACKET", "AF_UNIX STREAM"], TWO, "connect", 0)
    one, one_name = run.best(min, run.us, ["AF_UNIX SEQPACKET", "AF_UNIX STREAM"], ["one"], "connect", 0)
    t.add("Connect, call, close, two cores", run.us(OURS, "free", "connect", 0), name or "AF_UNIX", raw,
          "≤", 2.5, "µs")
    t.add("… one core", run.us(OURS, "one", "connect", 0), one_name or "AF_UNIX", one, "≤", 2.5, "µs")
    most = run.data["connections"][-1]
    kib, descriptors, first, last = connection_figures(run, OURS, most)
    t.add(f"{most} connections, each", kib, "", 1, "≤", 16, "KiB")
    t.add("", descriptors, "", 1, "≤", 1, "descriptors")
    t.add("… an active client's p50", last, "one connection's", first, "≤", 1.3, "µs")
    few = run.data["connections"][1] if len(run.data["connections"]) > 1 else most
    t.add(f"Connect, call, close among {most}", run.us(OURS, "free", "joining", most), f"among {few}",
          run.us(OURS, "free", "joining", few), "≤", 1.5, "µs")


def connection_figures(run, peer, count):
    """KiB and descriptors per connection in the service; p50 of a client that is alone there, and of one among all."""
    memory = run.number(peer, "free", "connections", count, 0)
    descriptors = run.number(peer, "free", "connections", count, 1)
    return (None if memory is None else memory / count / KIB, None if descriptors is None else descriptors / count,
            run.us(peer, "free", "alone", count), run.us(peer, "free", "connections", count))


def add_rest(t, run):
    threads = run.data["threads"]
    t.add(f"{threads[-1]} threads on one connection", run.number(OURS, "free", "threads", threads[-1]), "one thread",
          run.number(OURS, "free", "threads", threads[0]), "≥", 1, "calls/s")
    for peer in OURS, ASLEEP:
        for index, who in enumerate(["service", "client"]):
            t.add(f"Quiet {who}{', no spin' if peer == ASLEEP else ''}",
                  run.number(peer, "free", "quiet", 0, index), "", 1, "≤", 0, "wake-ups/s")
    spinning, asleep = (value and value / 1e3 for value in (run.number(OURS, "free", "beat", 0),
                                                            run.number(ASLEEP, "free", "beat", 0)))
    t.add("A message a second: CPU", spinning, "no spinning", asleep, "≤", 1, "µs/s")
    cost = run.data["cost"]
    for name, what, key, scale, limit, unit in (
            ("cost", "compile time", "ms", 1, 150, "ms"),
            ("separate", "compile time, the code in a unit of its own", "ms", 1, 150, "ms"),
            ("cost", "machine code", "code", KIB, 64, "KiB"),
            ("cost", "text, as `size` counts it", "text", KIB, 64, "KiB")):
        added = (cost[name][key] - cost["empty"][key]) / scale if cost else None
        t.add(f"Headers: added {what}", added, "", 1, "≤", limit, unit)
    for key, what, limit, unit in ("ms", "compile time", 100, "ms"), ("text", "text", KIB, "bytes"):
        added = cost["timeout"][key] - cost["separate"][key] if cost else None
        t.add(f"`LIGHTMESSAGING_TIMEOUT` in such a unit: added {what}", added, "", 1, "≤", limit, unit)


def add_neighbours(t, run):
    """A flood takes processor time from the client wherever it runs: a process that only computes is the yardstick."""
    for row in run.data["neighbours"].get("rows", []):
        alone, burner, beside = (None if row[i] == "-" else float(row[i]) for i in (2, 4, 6))
        t.add(f"p99 beside {row[0]}", beside, "alone", alone, "≤", 3, "µs")
        if burner:
            t.add("", beside, "beside a process that only computes", burner, "≤", 3, "µs")


def targets(run):
    t = Targets()
    for add in add_latency, add_throughput, add_lending, add_connections, add_rest, add_neighbours:
        add(t, run)
    return table(["Work", "Target", "Measured", "Yardstick", "Ratio", ""], t.rows)


# --- All figures ---


def both(run, *key):
    return f"{show(run.us(*key))} / {show(run.us(*key, 99))}" if run.us(*key) is not None else "–"


def name_rows(run, cells):
    """A row for each peer and layout that has at least one figure."""
    rows = []
    for peer in run.peers():
        for layout in run.layouts(peer):
            row = cells(peer, layout)
            if any(cell != "–" for cell in row):
                rows.append([peer, LAYOUT_NAMES[layout], *row])
    return rows


def latency_table(run):
    sizes = run.data["sizes"]
    return table(["Peer", "Processes on", *map(size_name, sizes)],
                 name_rows(run, lambda peer, layout: [both(run, peer, layout, "calls", size) for size in sizes]))


def other_table(run):
    def cells(peer, layout):
        return [show(run.number(peer, layout, "oneway", 64), 1e-6), both(run, peer, layout, "connect", 0),
                both(run, peer, layout, "lend", MIB), both(run, peer, layout, "lend", 16 * MIB),
                *[show(run.number(peer, layout, "threads", count), 1e-3) for count in run.data["threads"]]]

    return table(["Peer", "Processes on", "One-way, M/s", "Connect, µs", "Lent 1 MiB, µs", "Lent 16 MiB, µs",
                  *[f"{count} thread{'s' if count > 1 else ''}, k/s" for count in run.data["threads"]]],
                 name_rows(run, cells))


def connection_table(run):
    rows = []
    for peer in run.peers():
        for count in run.data["connections"]:
            kib, descriptors, _, _ = connection_figures(run, peer, count)
            if kib is not None:
                rows.append([peer, count, show(kib), show(descriptors), both(run, peer, "free", "connections", count),
                             both(run, peer, "free", "alone", count), both(run, peer, "free", "joining", count)])
    return table(["Peer", "Connections", "KiB each", "Descriptors each", "Active client, µs",
                  "With one connection, µs", "Connect, call, close among them, µs"], rows)


def idle_table(run):
    rows = []
    for peer in run.peers():
        beat = [run.number(peer, "free", "beat", 0, i) for i in (0, 1)]
        quiet = [run.number(peer, "free", "quiet", 0, i) for i in (0, 1)]
        if beat[0] is not None:
            rows.append([peer, *[show(value, 1e-3) for value in beat], *map(show, quiet)])
    return table(["Peer", "Service, µs/s", "Client, µs/s", "Quiet service, wake-ups/s", "Quiet client, wake-ups/s"],
                 rows)


def neighbour_table(run):
    rows = run.data["neighbours"].get("rows")
    if not rows:
        return "Not run: " + run.data["neighbours"].get("lack", run.data["neighbours"].get("failure", "")) + "\n"
    cells = [[row[0], *[" / ".join(row[i:i + 2]).replace("- / -", "–") for i in (1, 3, 5)],
              show(float(row[6]) / float(row[2])), show(None if row[4] == "-" else float(row[6]) / float(row[4]))]
             for row in rows]
    return table(["Neighbour", "Alone, µs", "Beside a burner, µs", "Beside it, µs", "p99 to alone", "p99 to burner"],
                 cells)


def cost_table(run):
    cost = run.data["cost"]
    names = {"empty": "an empty program", "cost": "a client and a service",
             "code": "the library's code alone, compiled once (`LIGHTMESSAGING_IMPLEMENTATION`)",
             "separate": "a client and a service with it (`LIGHTMESSAGING_SEPARATE`)",
             "timeout": "the same with a timeout of its own (`LIGHTMESSAGING_TIMEOUT`)"}
    return table(["Program, `-O2`", "Compile and link, ms of processor time", "Machine code, bytes",
                  "With constants and unwind tables, bytes"],
                 [[names[name], show(value["ms"]), value["code"], value["text"]] for name, value in cost.items()])


def missing(run, key):
    """The results with that key: a line for each peer and reason."""
    works = {}
    for row in run.data["results"]:
        if key in row:
            works.setdefault((row["peer"], row[key]), []).append(row["work"])
    return [f"- {peer} ({', '.join(dict.fromkeys(names))}): {reason}" for (peer, reason), names in works.items()]


def disturbance(run):
    """A small round trip takes equally long in all rounds unless something else uses the cores."""
    found = [f"{peer} on {LAYOUT_NAMES[layout]} ({', '.join(map(show, row['p50s']))})"
             for (peer, layout, work, a), row in run.rows.items()
             if work == "calls" and a == 64 and row.get("p50s") and max(row["p50s"]) > 2 * min(row["p50s"])]
    return [wrap("**The run was disturbed.** The 64-byte round trips of these peers took more than twice as long in one "
                 f"round as in another (p50 of each round, in µs): {'; '.join(found)}. Do not rely on their figures.")
            ] if found else []


def wrap(paragraph):
    return textwrap.fill(paragraph, 120, break_long_words=False, break_on_hyphens=False) + "\n"


def write_report(run):
    data, machine = run.data, run.data["machine"]
    parts = [
        wrap(f"{machine['date']}, version {machine['version']}: {machine['processor']}, {machine['cores']} cores"
             f"{' of a virtual machine' if machine['hypervisor'] else ''}, {machine['memory']} GiB, "
             f"Linux {machine['kernel']}, {machine['libc']}, {machine['compiler']}; "
             f"load at the start {machine['load']:.2f}. `{data['effort']}`: "
             f"{data['rounds']} rounds of {data['ms']} ms each, {data['seconds']} s in all."),
        *disturbance(run), "### Targets\n", targets(run),
        "### Round trips by the size of the request, p50 / p99 in µs\n", latency_table(run),
        "### One way, connecting, lending, threads\n", other_table(run),
        "### Connections\n", connection_table(run),
        "### One message a second, and none\n", idle_table(run),
        "### Beside a neighbour, p50 / p99\n", neighbour_table(run),
        "### What the headers cost\n", cost_table(run),
        "### Not run\n", "\n".join(missing(run, "lack")) + "\n",
    ]
    failures = missing(run, "failure")
    if failures:
        parts += ["### FAILED\n", "\n".join(failures) + "\n"]
    return "\n".join(parts)


# --- Plots ---


HEAD = """set terminal svg size 860,{height} dynamic noenhanced background rgb 'white' font 'sans-serif,13'
set output '{name}.svg'
set multiplot layout {panels},1 title '{title}'
set grid
set key outside right top
"""


def plot(folder, name, title, *panels):
    """A panel consists of its settings and its series; a series is a title with its points."""
    script = HEAD.format(name=name, title=title, panels=len(panels), height=60 + 460 // len(panels) * len(panels))
    for number, (settings, series) in enumerate(panels):
        curves = []
        for i, (label, points) in enumerate(series):
            block = f"$d{number}_{i}"
            script += f"{block} << EOD\n" + "".join(f"{x} {y}\n" for x, y in points) + "EOD\n"
            mark = "lines" if len(points) > 20 else f"linespoints pt {i + 4} ps 0.6"
            curves.append(f"{block} with {mark} lw {3.5 if OURS in label else 1.5} dt {1 + i // 8} title '{label}'")
        script += settings + "\nplot " + ", ".join(curves) + "\n"
    (folder / f"{name}.gnuplot").write_text(script)
    subprocess.run(["gnuplot", f"{name}.gnuplot"], cwd=folder, check=True)


def best_layouts(run):
    """For each peer, the layout on two cores with the fastest small round trip."""
    for peer in run.peers():
        found = [(us, layout) for layout in TWO if (us := run.us(peer, layout, "calls", 64)) is not None]
        if found and peer != "AF_UNIX, epoll":
            yield peer, min(found)[1]


def plot_latency(run, folder):
    by_size = [(peer, [(size, us) for size in run.data["sizes"] if (us := run.us(peer, layout, "calls", size))])
               for peer, layout in best_layouts(run)]
    ticks = ", ".join(f"'{size_name(size)}' {size}" for size in run.data["sizes"])
    plot(folder, "latency-by-size", "Round trips by the size of the request, two cores, median",
         ("set xlabel 'request'\nset ylabel 'round trip, microseconds'\nset logscale xy\n"
          f"set xtics ({ticks})", by_size))
    distribution = [(peer, [(us, percent) for percent, us in run.rows[peer, layout, "calls", 64]["us"].items()])
                    for peer, layout in best_layouts(run) if peer != "memcpy"]
    plot(folder, "latency-distribution", "Round trips of 64 bytes, two cores",
         ("set xlabel 'round trip, microseconds'\nset ylabel 'took no longer, percent'\nset logscale x\n"
          "set yrange [0:100]", distribution))


def plot_connections(run, folder):
    counts = run.data["connections"]
    peers = [peer for peer in run.peers() if connection_figures(run, peer, counts[0])[2]]
    times = [(peer, [(count, us) for count in counts if (us := run.us(peer, "free", "connections", count))])
             for peer in peers]
    memory = [(peer, points) for peer in peers
              if (points := [(count, kib) for count in counts if (kib := connection_figures(run, peer, count)[0])])]
    axes = "set xlabel 'connections to one service'\nset logscale xy\nset ylabel "
    plot(folder, "cost-by-connections", "Cost by the number of connections",
         (axes + "\"active client's trip, microseconds\"", times),
         (axes + "'memory in the service, KiB each'", memory))


def write(path):
    run = Run(path)
    text = write_report(run)
    (path.parent / "report.md").write_text(text)
    print("\n" + text)
    try:
        plot_latency(run, path.parent)
        plot_connections(run, path.parent)
    except FileNotFoundError:
        print("no plots: gnuplot is not installed")
    print(f"Written to {path.parent}: results.json, report.md, and the plots")


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
