#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# bench/paths.py - instructions that recording adds to one event, by path, from a real capture.
# Knows: bench/step.c, the targets bench/paths.c and paths_target.py. Does not know: the tracer.
# Called by `make bench` and tests/perf/; prints a table.
"""usage: bench/paths.py [--python EXE] [--profile PATH] [--write FILE] [WORD...]

Attaches memtrace to a program, lets it warm up, and single-steps some rounds of every path. Counts
do not depend on how busy the machine is. With --write the counts become the baseline that the
test compares with. WORDs choose paths; --profile shows where the instructions of one are."""

import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import harness      # noqa: E402
import session      # noqa: E402

STEP = harness.BUILD / "bench/step.so"
NATIVE = [str(harness.BUILD / "bench/paths")]
PYTHON = [harness.PYTHON, str(ROOT / "bench/paths_target.py"), str(STEP)]

# name: target, options of memtrace, path, depth, (function, how many of the last events of it)
PATHS = {
    "free": (NATIVE, [], "same", 10, "free"),
    "malloc, no stack": (NATIVE, ["--no-native"], "same", 10, "malloc"),
    "malloc, same stack of 10": (NATIVE, [], "same", 10, "malloc"),
    "malloc, same stack of 30": (NATIVE, [], "same", 30, "malloc"),
    "malloc, same stack of 100": (NATIVE, [], "same", 100, "malloc"),
    "malloc, same stack of 100, frame pointers": (NATIVE, [], "fp-same", 100, "malloc"),
    "malloc, other line, 10": (NATIVE, [], "leaf", 10, "malloc"),
    "malloc, other line, 100": (NATIVE, [], "leaf", 100, "malloc"),
    "malloc, three other frames, 10": (NATIVE, [], "moved", 10, "malloc"),
    "malloc, three other frames, 100": (NATIVE, [], "moved", 100, "malloc"),
    "calloc, same stack of 10": (NATIVE, [], "cleared", 10, "calloc"),
    "realloc, other line, 10": (NATIVE, [], "grown", 10, "realloc"),
    "Python, same stack of 10": (PYTHON, [], "same", 10, "*alloc"),
    "Python, same stack of 10, --no-native": (PYTHON, ["--no-native"], "same", 10, "*alloc"),
    "Python, same stack of 200": (PYTHON, [], "same", 200, "*alloc"),
    "Python, same stack of 200, --no-native": (PYTHON, ["--no-native"], "same", 200, "*alloc"),
    "Python, other line, 10": (PYTHON, [], "leaf", 10, "*alloc"),
    "Python, two other frames, 10": (PYTHON, [], "moved", 10, "*alloc"),
    "Python, C frames between, 10": (PYTHON, [], "between", 10, "*alloc"),
    "Python, C frames between, 200": (PYTHON, [], "between", 200, "*alloc"),
}
WARM, ROUNDS = 200, 4


class Target:
    def __init__(self, argv, options, env=None):
        self.tmp = tempfile.TemporaryDirectory(prefix="memtrace-bench-")
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     bufsize=1, env={**os.environ, "PYTHONHASHSEED": "0", **(env or {})})
        self.proc.stdout.readline()
        self.pid = self.proc.pid
        self.attach = session.Attach(self.pid, *options, "-f", "-o", f"{self.tmp.name}/cap.bin")
        self.attach.__enter__()

    def close(self):
        self.attach.interrupt()
        self.attach.__exit__(None, None, None)
        self.proc.kill()
        self.proc.wait()
        self.tmp.cleanup()

    def step(self, path, depth):
        """[(function, size, instructions, bytes)] of a path that is warm; {offset: count}."""
        self.proc.stdin.write(f"{path} {depth} {WARM}\n{path} {depth} -{ROUNDS}\n")
        lines = []
        for line in self.proc.stdout:
            lines.append(line.split())
            if lines[-1] == ["done"] and len(lines) > 1:
                break
        fields = lines[1:-1]
        events = [(f[0], *map(int, f[1:])) for f in fields if len(f) == 4]
        return events, {int(f[1], 0): int(f[2]) for f in fields if f[0] == "pc"}


def of_path(events, function):
    """(instructions, bytes): the median of the later half."""
    chosen = [e for e in events if e[0] == function or
              (function == "*alloc" and e[0] in ("malloc", "calloc") and 1000 < e[1] < 1100)]
    if not chosen:
        raise AssertionError(f"no {function} among {events}")
    late = sorted(e[2:] for e in chosen[len(chosen) // 2:])
    return late[len(late) // 2]


def measure(chosen):
    """{name: (instructions, bytes)}; one capture for the paths of a target."""
    results, groups = {}, collections.defaultdict(list)
    for name in chosen:
        target, options, *_ = PATHS[name]
        groups[tuple(target), tuple(options)].append(name)
    for (argv, options), names in groups.items():
        target = Target(argv, options)
        try:
            for name in names:
                _, _, path, depth, function = PATHS[name]
                results[name] = of_path(target.step(path, depth)[0], function)
        finally:
            target.close()
    return {name: results[name] for name in chosen}


def show_profile(name):
    target, options, path, depth, _ = PATHS[name]
    running = Target(target, options, {"STEP_PROFILE": "1"})
    try:
        events, counts = running.step(path, depth)
    finally:
        running.close()
    print(f"{len(events)} events")
    library = harness.BUILD / "memtrace-tracer.so"
    symbols = []
    for line in subprocess.run(["nm", "-n", library], capture_output=True, text=True,
                               check=True).stdout.splitlines():
        found = re.fullmatch(r"([0-9a-f]+) [tT] ([\w.]+)", line)
        if found:
            symbols.append((int(found[1], 16), found[2]))
    by_function = collections.Counter()
    for pc, count in counts.items():
        owner = next((n for at, n in reversed(symbols) if at <= pc), "?")
        by_function[owner] += count
    for function, count in by_function.most_common():
        print(f"{count / len(events):10.1f}  {function}")


def read_baseline(path):
    """{name: instructions} of a file that --write made."""
    rows = (line.rstrip("\n").split("\t") for line in open(path, encoding="utf-8")
            if not line.startswith("#"))
    return {row[0]: int(row[1]) for row in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="another interpreter for the Python paths")
    parser.add_argument("--profile", metavar="PATH")
    parser.add_argument("--write", metavar="FILE")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    if options.python:
        PYTHON[0] = options.python
    if options.profile:
        show_profile(options.profile)
        return 0
    chosen = [n for n in PATHS if not options.words or any(w in n for w in options.words)]
    print("# bench/paths.py: instructions of memtrace in one event, and its bytes in the ring\n"
          f"{'':44} {'instr.':>8} {'bytes':>6}")
    results = measure(chosen)
    for name, (count, size) in results.items():
        print(f"{name:44} {count:8} {size:6}")
    if options.write:
        with open(options.write, "w", encoding="utf-8") as out:
            out.write("# instructions of one event, by bench/paths.py --write\n")
            for name, (count, _) in results.items():
                out.write(f"{name}\t{count}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
