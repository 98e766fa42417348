#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# tests/fault/walk.py - walks all steps of a command, or every k-th.
# Knows: the command line, counting. Does not know: what is checked (tests/fault/walker.py).
# Called by `make fault` and by hand.
"""usage: tests/fault/walk.py [--stride K] [--from N] [--to N] [--jobs N] [--keep-going] [WAY...]

A WAY is what happens, to which command: kill-attach fail-attach ... (all without one). Prints a
line per way, and for a failure the step and a command that does it again. Jobs walk on targets of
their own, each every so-manieth step."""

import argparse
import concurrent.futures
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]
import walker  # noqa: E402

ENDS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGUSR1)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def choose(list_, n):
    """One after the other whatever the stride."""
    return list_[(n // 3 + n // 16 + n + TURN) % len(list_)]


# way -> (command, what to do at step n, targets must see no EINTR at all)
WAYS = {
    "kill-attach": ("attach", lambda w, n: w.kill("attach", n), False),
    "kill-detach": ("detach", lambda w, n: w.kill("detach", n), False),
    "kill-status": ("status", lambda w, n: w.kill("status", n), True),
    "fail-attach": ("attach", lambda w, n: w.fail("attach", n, TURN), False),
    "fail-detach": ("detach", lambda w, n: w.fail("detach", n, TURN), False),
    "short-attach": ("attach", lambda w, n: w.short("attach", n), False),
    "short-detach": ("detach", lambda w, n: w.short("detach", n), False),
    "memory-attach": ("attach", lambda w, n: w.no_memory("attach", n), False),
    "memory-detach": ("detach", lambda w, n: w.no_memory("detach", n), False),
    "signal-attach": ("attach", lambda w, n: w.interrupt("attach", n, choose(SIGNALS, n), 1 + n % 2),
                      True),
    "signal-detach": ("detach", lambda w, n: w.interrupt("detach", n, choose(SIGNALS, n), 1 + n % 2),
                      False),
    "target-attach": ("attach", lambda w, n: w.end_target("attach", n, choose(ENDS, n)), False),
    "kill-run": ("run", lambda w, n: w.kill_run(n), False),
    "fail-run": ("run", lambda w, n: w.fail_run(n, TURN), False),
    "signal-run": ("run", lambda w, n: w.interrupt_run(n), False),
    "target-run": ("run", lambda w, n: w.end_program(n), False),
}
TURN = 0


def last_step(walk, way):
    command = WAYS[way][0]
    if command == "detach":
        walk.leave_something()
    steps = walk.steps(command)
    return walk.memory if way.startswith("memory") else len(steps) + 20


def numbers(last, stride, offset, first=1):
    return range(first + offset % stride, last + 1, stride)


def walk_way(way, stride, offset=0, first=1, last=None, keep_going=False, seconds=None):
    """Does it; the failures as [(step, text)], and how many steps were walked. `seconds` ends it
    early, in the middle of whatever."""
    _, act, strict = WAYS[way]
    failures, walked, begin = [], 0, time.monotonic()
    walk = walker.Walk(strict).__enter__()
    try:
        end = last or last_step(walk, way)
        for n in numbers(end, stride, offset, first):
            if seconds and time.monotonic() - begin > seconds:
                break
            try:
                act(walk, n)
            except AssertionError as e:
                failures.append((n, str(e)))
                if not keep_going:
                    break
                print(f"  {way} {n}: {e}", flush=True)
                walk.drop()
            walked += 1
    finally:
        walk.__exit__(AssertionError if failures else None)
    return failures, walked


def offset_of_this_run(stride):
    """Another one each time, so that all steps are covered over time; MEMTRACE_FAULT_SEED repeats."""
    seed = int(os.environ.get("MEMTRACE_FAULT_SEED") or random.SystemRandom().randrange(1 << 16))
    return seed, seed % stride


def walk_part(turn, *args):
    """In a process of a job: (failures, how many steps were walked)."""
    global TURN
    TURN = turn
    try:
        return walk_way(*args)
    except Exception:                       # the walk itself; the others may go on
        return [(0, f"the walk broke\n{traceback.format_exc()}")], 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__.partition("\n")[0][7:], description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--to", type=int)
    parser.add_argument("--turn", type=int, default=0, help="which failure of several, first")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep-going", action="store_true")
    parser.add_argument("ways", nargs="*", metavar="WAY")
    options = parser.parse_args()
    bad = 0
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        for way in options.ways or WAYS:
            begin = time.monotonic()
            stride = options.stride * options.jobs
            parts = [pool.submit(walk_part, options.turn, way, stride, i * options.stride,
                                 options.first, options.to, options.keep_going)
                     for i in range(options.jobs)]
            failures, walked = zip(*(part.result() for part in parts))
            failures = sorted(sum(failures, []))
            print(f"{way}: {sum(walked)} steps, {len(failures)} failed, "
                  f"{time.monotonic() - begin:.0f} s", flush=True)
            for n, text in failures:
                print(f"  {text}\n  again: tests/fault/walk.py --from {n} --to {n} {way}", flush=True)
            bad += len(failures)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
