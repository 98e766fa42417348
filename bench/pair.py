#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# bench/pair.py - what recording adds to one malloc+free pair, alternated with and without memtrace.
# Knows: the program, bench/pair.c's commands. Does not know: how recording works.
# Called by `make bench`; prints figures, is never a test.
"""One process, rounds in turn: alone, recorded, detached. Medians. A burst fits into a ring, so that
the pace is the hooks' own; without a pause the pace is memtrace's, which drains on another core."""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("O", ROOT / "build"))
MEMTRACE = BUILD / "memtrace"
sys.path.insert(0, str(ROOT / "tests"))
import session      # noqa: E402: reads the tracer's shared words from outside
ROUNDS = 9
PAIRS = 10_000
INNER = 15


class Loop:
    def __init__(self, depth):
        self.proc = subprocess.Popen([BUILD / "bench/pair", str(depth)], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self.proc.stdout.readline() == "ready\n"

    def time(self, count=PAIRS):
        self.proc.stdin.write(f"{count}\n")
        return float(self.proc.stdout.readline())

    def rounds(self, count=PAIRS):
        """The median of some rounds, with pauses for the ring to be drained; the first warms
        caches."""
        values = []
        for _ in range(INNER + 1):
            time.sleep(0.02)
            values.append(self.time(count))
        return statistics.median(values[1:])


def recorded(loop, options, folder, count=PAIRS):
    memtrace = subprocess.Popen(
        [MEMTRACE, "attach", str(loop.proc.pid), *options, "-f", "-o", f"{folder}/cap.bin"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    begin = time.monotonic()
    while not session.armed(loop.proc.pid):
        if memtrace.poll() is not None or time.monotonic() > begin + 10:
            memtrace.kill()
            sys.exit("bench: attach failed:\n" + memtrace.stderr.read())
        time.sleep(0.001)
    value = loop.rounds(count)
    memtrace.send_signal(signal.SIGTERM)
    rest = memtrace.stderr.read()
    if memtrace.wait():
        sys.exit(f"bench: attach failed: {rest}")
    return value


def measure(depth, options, name, count=PAIRS):
    with tempfile.TemporaryDirectory(prefix="memtrace-bench-") as folder:
        loop = Loop(depth)
        try:
            alone, with_it, after = [], [], []
            for _ in range(ROUNDS):
                alone.append(loop.rounds(count))
                with_it.append(recorded(loop, options, folder, count))
                after.append(loop.rounds(count))
        finally:
            loop.proc.kill()
            loop.proc.wait()
    base = statistics.median(alone)
    print(f"{name:44} {base:8.1f} {statistics.median(with_it):9.1f} "
          f"{statistics.median(with_it) - base:8.1f} {statistics.median(after):9.1f}", flush=True)


def main():
    print(f"# bench/pair.py: ns per malloc+free of 64 bytes, median of {ROUNDS} attaches\n"
          f"{'':44} {'alone':>8} {'recorded':>9} {'added':>8} {'detached':>9}")
    for depth in (10, 30, 100):
        measure(depth, [], f"depth {depth}, bursts of 10,000 pairs")
    measure(10, ["--no-native"], "depth 10, bursts, --no-native")
    measure(20, [], "depth 20, 3 million pairs without a pause", 3_000_000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
