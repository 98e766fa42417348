#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# bench/tracker.py - what Tracker takes to begin and to end, and FileReader to read a long capture.
# Knows: the package, bench/gen_capture.c. Does not know: how either works.
# Run by hand; prints figures, is never a test.
"""usage: bench/tracker.py [-n ROUNDS] [--python EXE] [--events N] [--live N] [WORD...]

In a process with the standard library's 60 or so extension modules loaded, and in a bare one, `with Tracker(...)`
around a little work, each round to a new file: milliseconds of __enter__ and of __exit__ by the clock. Then a capture of 26 million events: seconds from
FileReader(path) to the list of its peak records. WORDs choose: bare, modules, reader. The goals: 60 ms each, 1.5 s."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from imports import MODULES

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("O", ROOT / "build")).resolve()

TRACKER = r"""
import json, os, sys, time
import memtrace
rounds, folder = int(sys.argv[1]), sys.argv[2]
enter, leave = [], []
def work():
    return json.dumps([bytearray(1000).hex() for _ in range(200)])
work()
for i in range(rounds):
    tracker = memtrace.Tracker(os.path.join(folder, f"{i}.bin"))
    a = time.perf_counter()
    tracker.__enter__()
    b = time.perf_counter()
    work()
    c = time.perf_counter()
    tracker.__exit__(None, None, None)
    d = time.perf_counter()
    enter.append((b - a) * 1e3)
    leave.append((d - c) * 1e3)
    time.sleep(0.02)
with open("/proc/self/maps") as maps:
    modules = len({line.split()[-1] for line in maps if ".so" in line})
json.dump({"enter": enter, "exit": leave, "modules": modules}, sys.stdout)
"""
READER = r"""
import resource, sys, time
import memtrace
a, before = time.perf_counter(), time.process_time()
with memtrace.FileReader(sys.argv[1]) as reader:
    count = len(list(reader.get_high_watermark_allocation_records()))
print(time.perf_counter() - a, time.process_time() - before, count,
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def run(args, source, *argv):
    env = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "MEMTRACE": str(BUILD / "memtrace"),
           "MEMTRACE_LIBRARY": str(BUILD / "libmemtrace.so.1")}
    return subprocess.run([args.python, "-c", source, *map(str, argv)], env=env, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def tracker(args, name, source):
    with tempfile.TemporaryDirectory() as folder:
        found = json.loads(run(args, source + TRACKER, args.n, folder))
    for what in ("enter", "exit"):
        times = sorted(found[what])
        print(f"{name:8} {found['modules']:3} modules  {what:5}  median {statistics.median(times):6.1f} ms   "
              f"least {times[0]:6.1f}   95th of 100 {times[int(0.95 * (len(times) - 1))]:6.1f}   most {times[-1]:6.1f}",
              flush=True)


def reader(args):
    with tempfile.TemporaryDirectory() as folder:
        gen, capture = f"{folder}/gen", f"{folder}/cap.bin"
        sources = [*ROOT.glob("base/*.c"), *ROOT.glob("capture/*.c")]
        subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", f"-I{ROOT}", "-o", gen,
                        ROOT / "bench/gen_capture.c", *sources, "-lzstd"], check=True)
        subprocess.run([gen, capture, str(args.events), str(args.live)], check=True, stdout=subprocess.DEVNULL)
        for _ in range(args.reader_rounds):
            clock, cpu, count, rss = run(args, READER, capture).split()
            print(f"reader   {args.events / 1e6:g} M events, {count} peak records: {float(clock):.2f} s by the clock, "
                  f"{float(cpu):.2f} of the processors, {rss} MiB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=40)
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--events", type=int, default=26_000_000)
    parser.add_argument("--live", type=int, default=100_000)
    parser.add_argument("--reader-rounds", type=int, default=3)
    parser.add_argument("words", nargs="*", metavar="WORD")
    args = parser.parse_args()
    print(f"load average {' '.join(f'{x:.1f}' for x in os.getloadavg())}, {os.cpu_count()} processors", flush=True)
    for name, source in (("bare", ""), ("modules", MODULES)):
        if not args.words or name in args.words:
            tracker(args, name, source)
    if not args.words or "reader" in args.words:
        reader(args)


if __name__ == "__main__":
    sys.exit(main())
