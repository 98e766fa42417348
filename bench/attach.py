#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# bench/attach.py - how fast memtrace comes and goes, how long it pauses the target, what it takes there.
# Knows: the program, bench/ticker.c's commands. Does not know: how attaching works.
# Called by `make bench`; prints figures, is never a test.
"""For each target, cycles of: a quiet time; `memtrace attach` until it says that it records; a moment
of recording; Ctrl-C until the command has ended (tracer gone, file written). A thread of the target
that wants to wake up every millisecond keeps the longest gap between two wake-ups: of the quiet
time (what the machine does by itself, by the same method, interleaved) and of the whole cycle.
Nothing is subtracted. In the target with one thread that thread is the one borrowed, so its gap is the
absence of a borrowed thread. What of it memtrace causes it says itself (--verbose): from a thread's first stop to
its release, and how many stops there were in all."""

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from imports import MODULES

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("O", ROOT / "build"))
MEMTRACE = BUILD / "memtrace"
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
RECORDING_S = 0.1

PYTHON_TICKER = MODULES + r"""
import json, sys, threading, time
longest = 0.0
def tick():
    global longest
    last = time.monotonic()
    while True:
        time.sleep(0.001)
        now = time.monotonic()
        longest = max(longest, now - last)
        last = now
def work():
    while True:
        json.loads(json.dumps({str(i): [i] * 20 for i in range(20)}))
        time.sleep(0.001)
threading.Thread(target=tick, daemon=True).start()
threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    print(int(longest * 1e6), 0, flush=True)
    longest = 0.0
"""

TICKER = BUILD / "bench/ticker"
TARGETS = [
    # name, command; ticker: threads that allocate, their rest in ns; 0: the main thread ticks
    ("C, one thread (the borrowed one)", [TICKER, "single"]),
    ("C, idle, 2 threads", [TICKER, "0"]),
    ("C, 6 threads, malloc-heavy", [TICKER, "4", "1000"]),
    ("C, 10 threads", [TICKER, "8", "1000000"]),
    ("C, 34 threads", [TICKER, "32", "5000000"]),
    ("Python, 3 threads", [PYTHON, "-c", PYTHON_TICKER]),
]


class Ticker:
    def __init__(self, argv):
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     bufsize=1)
        assert self.proc.stdout.readline() == "ready\n"
        self.pid = self.proc.pid

    def gap(self):
        """Longest gap in ms since the last call."""
        self.proc.stdin.write("gap\n")
        return int(self.proc.stdout.readline().split()[0]) / 1e3

    def libraries(self):
        maps = Path(f"/proc/{self.pid}/maps").read_text()
        return len(set(re.findall(r" r-xp .* (/\S+)", maps)))

    def close(self):
        self.proc.kill()
        self.proc.wait()


def tracer_memory(pid):
    """KiB resident of everything that is memtrace's in the target."""
    rss = 0
    ours = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = "memtrace-" in line
        elif ours and line.startswith("Rss:"):
            rss += int(line.split()[1])
    return rss


def held(chatter):
    """(ms, stops) of what `attach --verbose` tells at its end."""
    told = re.search(r"stopped (\d+) times, the longest held for ([\d.]+) (ns|us|ms|s)\b", chatter)
    unit = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3}[told[3]]
    return float(told[2]) * unit, int(told[1])


def one_cycle(ticker, capture, want_memory):
    """(ms to armed, ms to gone, gap without, gap with, ms held, stops, KiB) of one cycle."""
    ticker.gap()
    time.sleep(RECORDING_S + 0.1)
    quiet = ticker.gap()
    begin = time.monotonic()
    memtrace = subprocess.Popen([MEMTRACE, "attach", str(ticker.pid), "-v", "-f", "-o", capture],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = memtrace.stderr.readline()
    armed = time.monotonic() - begin
    if b"recording" not in said:
        memtrace.kill()
        sys.exit("bench: attach failed:\n" + (said + memtrace.stderr.read()).decode())
    time.sleep(RECORDING_S)
    memory = tracer_memory(ticker.pid) if want_memory else 0
    end = time.monotonic()
    memtrace.send_signal(signal.SIGTERM)        # as Ctrl-C, which is ignored in the background
    chatter = memtrace.stderr.read()
    code = memtrace.wait()
    gone = time.monotonic() - end
    if code:
        sys.exit(f"bench: memtrace ended with {code}:\n" + chatter.decode())
    return armed * 1e3, gone * 1e3, quiet, ticker.gap(), *held(chatter.decode()), memory


def percentiles(values):
    ordered = sorted(values)
    at99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"{statistics.median(ordered):7.1f} {at99:7.1f} {ordered[-1]:7.1f}"


def measure(name, argv, cycles):
    with tempfile.TemporaryDirectory(prefix="memtrace-bench-") as folder:
        ticker = Ticker(argv)
        try:
            name += f", {ticker.libraries()} modules"
            rows = [one_cycle(ticker, f"{folder}/cap.bin", i == cycles - 1) for i in range(cycles)]
        finally:
            ticker.close()
    armed, gone, quiet, gap, hold, stops, memory = zip(*rows)
    print(f"{name:46}{percentiles(armed)}  {percentiles(gone)}  {percentiles(quiet)}  "
          f"{percentiles(gap)}  {percentiles(hold)} {statistics.median(stops):6.0f} {memory[-1]:8}",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description="how fast memtrace comes and goes")
    parser.add_argument("-n", "--cycles", type=int, default=200)
    parser.add_argument("-t", "--target", default="", help="only targets whose name has this in it")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"# bench/attach.py: {args.cycles} cycles each, load average {load:.1f} at the start; ms: median, "
          f"99th percentile, longest\n{'':46}{'start to armed':>23}  {'Ctrl-C to gone':>23}  "
          f"{'gap without memtrace':>23}  {'gap of a cycle':>23}  {'thread held':>23} {'':>6} "
          f"{'tracer':>8}\n{'target':46}"
          + "  ".join([f"{'p50':>7} {'p99':>7} {'max':>7}"] * 5) + f" {'stops':>6} {'RSS KiB':>8}")
    for name, argv in TARGETS:
        if args.target in name:
            measure(name, argv, args.cycles)
    return 0


if __name__ == "__main__":
    sys.exit(main())
