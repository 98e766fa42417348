#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# bench/stack.py - how long `memtrace stack` holds the thread that it holds longest.
# Knows: programs, what --verbose tells. Does not know: how stacks are copied.
# Called by hand; prints figures, is never a test.
"""For each program some looks, one after the other; of each look the longest hold of a thread, from its
stop to its release, and the same since it was asked to stop (which on a busy machine is mostly the wait for
a processor). --alone: program and memtrace under `chrt -f 10`, so that nobody else runs meanwhile."""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("O", ROOT / "build"))
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
UNITS = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3}

PYTHON_THREADS = r"""
import sys, threading, time
def deep(n):
    if n:
        return deep(n - 1)
    while True:
        [bytes(100) for _ in range(100)]
        time.sleep(0.001)
sys.setrecursionlimit(10000)
for _ in range(3):
    threading.Thread(target=deep, args=(%d,), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
TARGETS = [
    ("C, one thread", [BUILD / "bench/ticker", "single"]),
    ("C, 102 threads", [BUILD / "bench/ticker", "100", "5000000"]),
    ("C, 2,002 threads", [BUILD / "bench/ticker", "2000", "50000000"]),
    ("Python, 4 threads, 40 frames", [PYTHON, "-c", PYTHON_THREADS % 36]),
    ("Python, 4 threads, 900 frames", [PYTHON, "-c", PYTHON_THREADS % 896]),
]


def look(pid, before):
    result = subprocess.run([*before, BUILD / "memtrace", "stack", "-v", "--no-debuginfod", str(pid)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    told = re.search(r"the longest for ([\d.]+) (\w+) \(([\d.]+) (\w+) since", result.stderr)
    return float(told[1]) * UNITS[told[2]], float(told[3]) * UNITS[told[4]]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--looks", type=int, default=15)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("-t", "--target", default="", help="only programs whose name has this in it")
    options = parser.parse_args()
    before = ["chrt", "-f", "10"] if options.alone else []
    print(f"# bench/stack.py: {options.looks} looks each, load average {os.getloadavg()[0]:.1f} at the "
          f"start; ms: least, median, most\n{'':32}{'held':>23}  {'since asked to stop':>23}")
    for name, argv in TARGETS:
        if options.target not in name:
            continue
        program = subprocess.Popen([*before, *map(str, argv)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        try:
            program.stdout.readline()
            time.sleep(0.5)
            columns = zip(*(look(program.pid, before) for _ in range(options.looks)))
        finally:
            program.kill()
            program.wait()
        print(f"{name:32}" + "  ".join(f"{min(c):7.2f} {statistics.median(c):7.2f} {max(c):7.2f}"
                                       for c in columns), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
