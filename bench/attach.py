#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# bench/attach.py - how fast an attach is, how long it pauses the target, what memory it takes there.
# Knows: the program, bench/ticker.c's commands. Does not know: how attaching works.
# Called by `make bench`; prints figures, is never a test.
"""For each target: from the start of `memtrace attach` to armed (its own process start included,
as a person waits for it), the longest gap a 1 ms ticker thread in the target saw meanwhile (a wake-up
of its own takes up to 1.1 ms and more on a busy machine, so the gap without memtrace stands beside
it), and what the tracer's mappings take in the target."""

import os
import re
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
ROUNDS = 11
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable

PYTHON_TICKER = r"""
import json, sqlite3, sys, threading, time
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


class Ticker:
    def __init__(self, argv):
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     bufsize=1)
        assert self.proc.stdout.readline() == "ready\n"
        self.pid = self.proc.pid

    def gap(self):
        """Longest gap in microseconds since the last call."""
        self.proc.stdin.write("gap\n")
        return int(self.proc.stdout.readline().split()[0])

    def close(self):
        self.proc.kill()
        self.proc.wait()


def tracer_memory(pid):
    """(KiB mapped, KiB resident, KiB proportional) of everything that is memtrace's."""
    size = rss = pss = 0
    ours = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = "memtrace-" in line
        elif ours:
            key, value = line.split(":")[0], line.split()[1]
            size += int(value) if key == "Size" else 0
            rss += int(value) if key == "Rss" else 0
            pss += int(value) if key == "Pss" else 0
    return size, rss, pss


def one_attach(ticker, folder):
    ticker.gap()
    time.sleep(0.5)
    quiet = ticker.gap()
    begin = time.monotonic()
    memtrace = subprocess.Popen(
        [MEMTRACE, "attach", str(ticker.pid), "--duration", "1s", "-f", "-o", f"{folder}/cap.bin"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not session.armed(ticker.pid):
        if memtrace.poll() is not None or time.monotonic() > begin + 10:
            memtrace.kill()
            sys.exit("bench: attach failed:\n" + memtrace.stderr.read())
        time.sleep(0.0005)
    seconds = time.monotonic() - begin
    time.sleep(0.3)
    attach_gap = ticker.gap()
    memory = tracer_memory(ticker.pid)
    chatter = memtrace.stderr.read()
    if memtrace.wait():
        sys.exit("bench: attach failed:\n" + chatter)
    return seconds * 1e3, quiet, attach_gap, ticker.gap(), memory


def measure(name, argv):
    with tempfile.TemporaryDirectory(prefix="memtrace-bench-") as folder:
        ticker = Ticker(argv)
        try:
            rounds = [one_attach(ticker, folder) for _ in range(ROUNDS)]
        finally:
            ticker.close()
    ms, quiet, attach_gap, detach_gap, memory = zip(*rounds)
    size, rss, pss = memory[-1]
    print(f"{name:34} {statistics.median(ms):8.1f} {max(ms):8.1f}   {statistics.median(quiet) / 1e3:7.1f}"
          f" {statistics.median(attach_gap) / 1e3:8.1f} {max(attach_gap) / 1e3:7.1f}"
          f" {statistics.median(detach_gap) / 1e3:8.1f} {max(detach_gap) / 1e3:7.1f}"
          f"   {size:8} {rss:8}", flush=True)


def main():
    print(f"# bench/attach.py: {ROUNDS} attaches each; ms, and KiB in the target\n"
          f"{'':34} {'attach to armed':>17}   {'gap:':>7} {'attach':>16} {'detach and rest':>16}"
          f"   {'tracer':>17}\n"
          f"{'target':34} {'median':>8} {'longest':>8}   {'without':>7} {'median':>8} {'longest':>7}"
          f" {'median':>8} {'longest':>7}   {'mapped':>8} {'resident':>8}")
    measure("C, 5 threads, 80,000 allocations/s", [BUILD / "bench/ticker", "4", "1000000"])
    measure("C, 33 threads", [BUILD / "bench/ticker", "32", "5000000"])
    measure("Python, 3 threads, JSON", [PYTHON, "-c", PYTHON_TICKER])
    return 0


if __name__ == "__main__":
    sys.exit(main())
