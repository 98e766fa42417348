#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# tests/soak/soak.py - attaches to and detaches from many kinds of program many times, and kills
# memtrace while it does; counts what was harmed.
# Knows: batches, workers, the table. Does not know: how a cycle goes (cycle.py), what the kinds are
# (kinds.py). Called by `make soak N=...` and tests/soak/test_soak.py.
"""usage: soak.py [-n N] [--seed SEED] [--kinds A,B,...] [--jobs J] [--keep DIR] [--least K] [-v]

Does N cycles over all kinds that this machine has. Kinds take turns in batches: a fresh target, its
load, some cycles, its own verdict at the end. A target that fails is harmed: all that helps to find
out why is kept in DIR, and a new one is started. Exit status: 0 no target harmed and no fault of
memtrace; 1 some; 2 fewer than K kinds could be had."""

import argparse
import collections
import multiprocessing
import multiprocessing.connection
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1]),
                str(Path(__file__).resolve().parents[1] / "real")]

import harness
from cycle import Cycles
from kinds import KINDS, Absent

BATCH_SECONDS = 25
START_SECONDS = 60


# ---- a batch: one target, in a process of its own ----

def keep_for_diagnosis(kind, tmp, keep, what):
    """State of the target, its stacks, and all files of the batch."""
    keep.mkdir(parents=True, exist_ok=True)
    (keep / "what.txt").write_text(what)
    pid = getattr(kind, "pid", 0)
    for name in ("status", "maps", "stat", "wchan", "syscall"):
        try:
            (keep / name).write_text(Path(f"/proc/{pid}/{name}").read_text())
        except OSError:
            pass
    for tid in harness.threads(pid) if os.path.exists(f"/proc/{pid}/task") else ():
        text = []
        for name in ("comm", "status", "syscall", "stack"):
            try:
                text.append(f"-- {name}\n" + Path(f"/proc/{pid}/task/{tid}/{name}").read_text())
            except OSError:
                pass
        (keep / f"thread-{tid}").write_text("\n".join(text))
    if os.path.exists(f"/proc/{pid}/exe"):
        stacks = harness.run(["gdb", "-p", pid, "-batch", "-ex", "info registers", "-ex",
                              "thread apply all bt"], timeout=60)
        (keep / "gdb.txt").write_text(stacks.out + stacks.err)
    target = getattr(kind, "target", None)
    if target:
        (keep / "output.txt").write_text("\n".join(target.lines[-100:]) + "\n" + target.err)
    shutil.copytree(tmp, keep / "files", dirs_exist_ok=True, ignore=shutil.ignore_patterns("data"),
                    ignore_dangling_symlinks=True)


def batch(pipe, name, seed, cycles, seconds, keep, ways):
    """Sends ("cycle", outcome) for each, at the end ("end", verdict) or ("absent", why)."""
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    kind = KINDS[name]()
    with harness.tmpdir(0o755) as tmp:
        os.chdir(tmp)           # a core dump lies with the rest
        try:
            kind.start(tmp, seconds)
        except Absent as why:
            pipe.send(("absent", str(why)))
            return
        except Exception:
            keep_for_diagnosis(kind, tmp, keep, traceback.format_exc())
            pipe.send(("broken", traceback.format_exc()))
            return
        try:
            verdict = run_cycles(pipe, kind, Cycles(kind, random.Random(seed), tmp), cycles, seconds,
                                 ways)
            if verdict is None:
                verdict = kind.finish()
            if verdict:
                keep_for_diagnosis(kind, tmp, keep, verdict)
            pipe.send(("end", verdict))
        except Exception:
            keep_for_diagnosis(kind, tmp, keep, traceback.format_exc())
            pipe.send(("broken", traceback.format_exc()))
        finally:
            kind.close()


def run_cycles(pipe, kind, doer, cycles, seconds, ways):
    """None, or why the target cannot be used on."""
    quiet = []
    kind.mark()
    time.sleep(0.3)
    pause = kind.pause_ms()
    if pause is not None:
        quiet.append(pause)
    pipe.send(("quiet", quiet))
    deadline = time.monotonic() + seconds
    for _ in range(cycles):
        if time.monotonic() > deadline:
            break
        outcome = doer.one(doer.rng.choice(ways) if ways else None)
        outcome["eintr"] = kind.eintr()
        pipe.send(("cycle", outcome))
        if outcome["harm"] or outcome.get("tool"):
            return f"{outcome}"
    return None


# ---- the whole ----

class Tally:
    """What is known of one kind."""

    def __init__(self):
        self.cycles = self.planned = self.kills = self.harmed = self.faults = self.targets = 0
        self.ok = self.left = self.eintr = 0
        self.pauses, self.quiet, self.refused = [], [], collections.Counter()
        self.events = collections.Counter()
        self.absent = None
        self.ways = collections.Counter()

    def add(self, outcome):
        self.cycles += 1
        self.ways[outcome["way"]] += 1
        self.kills += bool(outcome.get("killed"))
        self.left += bool(outcome.get("left"))
        self.ok += outcome.get("code") == 0
        if outcome["pause"] is not None:
            self.pauses.append(outcome["pause"])
        self.refused.update(outcome.get("refused", []))
        for key in ("produced", "written", "dropped"):
            self.events[key] += outcome.get(key, 0)


class Soak:
    def __init__(self, options, names):
        self.options = options
        self.tallies = {name: Tally() for name in names}
        self.problems = []
        self.running = {}
        self.batches = 0
        self.begun = time.monotonic()
        self.done = 0

    def planned(self):
        return sum(t.planned for t in self.tallies.values())

    def choose(self):
        """The kind with the fewest cycles that does not run now; servers that start slowly count
        as any other."""
        busy = {name for name, _ in self.running.values()}
        left = [(t.planned, i, name) for i, (name, t) in enumerate(self.tallies.items())
                if not t.absent and name not in busy]
        return min(left)[2] if left else None

    def start_batch(self):
        name = self.choose()
        if name is None:
            return False
        tally = self.tallies[name]
        left = self.options.n - self.planned()
        kinds = max(1, sum(not t.absent for t in self.tallies.values()))
        share = -(-self.options.n // kinds)         # what each kind shall get
        cycles = max(1, min(left, share, 40))
        tally.planned += cycles
        self.batches += 1
        seconds = min(BATCH_SECONDS, max(6, cycles))
        keep = Path(self.options.keep) / f"{self.batches:04}-{name}"
        here, there = multiprocessing.Pipe()
        seed = f"{self.options.seed}-{name}-{self.batches}"
        process = multiprocessing.Process(
            target=batch, name=name,
            args=(there, name, seed, cycles, seconds, keep, self.options.ways))
        process.start()
        there.close()
        process.deadline = time.monotonic() + START_SECONDS + seconds + 240
        process.cycles_left, process.keep = cycles, keep
        self.running[here] = (name, process)
        return True

    def end_batch(self, pipe):
        name, process = self.running.pop(pipe)
        self.tallies[name].planned -= process.cycles_left       # of those not done
        process.join(30)
        if process.is_alive():
            process.kill()
        pipe.close()

    def receive(self, pipe):
        name, process = self.running[pipe]
        tally = self.tallies[name]
        try:
            kind, data = pipe.recv()
        except EOFError:
            self.end_batch(pipe)
            return
        if kind == "cycle":
            self.done += 1
            process.cycles_left -= 1
            tally.add(data)
            tally.eintr = max(tally.eintr, data["eintr"])
            if data["harm"] or data.get("tool"):
                tally.harmed += bool(data["harm"])
                tally.faults += not data["harm"]
                self.problem(name, process, data["harm"] or data["tool"], data)
            elif self.options.verbose:
                print(f"{self.done:5} {name:12} {data['way']:9} {data['seconds']:.2f}s "
                      f"pause {data['pause']}", flush=True)
        elif kind == "quiet":
            tally.targets += 1
            tally.quiet += data
        elif kind == "absent":
            tally.absent = data
        elif kind == "broken" or data and not data.startswith("{'way'"):
            tally.harmed += 1
            self.problem(name, process, data, {})
            if not tally.cycles and tally.harmed > 2:
                tally.absent = "does not start"

    def problem(self, name, process, what, outcome):
        self.problems.append((name, what, process.keep))
        print(f"\n==== {name}: {what}\n  {outcome}\n  kept: {process.keep}\n", flush=True)

    def run(self):
        report_at = time.monotonic() + 30
        while self.done < self.options.n:
            while len(self.running) < self.options.jobs and self.planned() < self.options.n:
                if not self.start_batch():
                    break
            if not self.running:
                break
            for pipe in multiprocessing.connection.wait(list(self.running), timeout=1):
                self.receive(pipe)
            for pipe, (name, process) in list(self.running.items()):
                if time.monotonic() > process.deadline:
                    self.tallies[name].faults += 1
                    self.problem(name, process, "the batch hangs", {})
                    process.kill()
                    self.end_batch(pipe)
            if time.monotonic() > report_at:
                report_at += 30
                took = time.monotonic() - self.begun
                print(f"{self.done} cycles in {took:.0f} s, {len(self.problems)} problems; now: "
                      + ", ".join(name for name, _ in self.running.values()), flush=True)
        for pipe in list(self.running):
            while pipe in self.running:
                self.receive(pipe)

    # ---- the table ----

    def table(self):
        row = "{:12} {:>7} {:>7} {:>6} {:>6} {:>7} {:>7} {:>9} {:>9} {:>9} {:>11} {:>11} {:>8}"
        print()
        print(row.format("kind", "targets", "cycles", "kills", "harmed", "refused", "faults",
                         "pause med", "longest", "quiet", "produced", "written", "dropped"))
        for name, t in self.tallies.items():
            if t.absent:
                print(f"{name:12} not here: {t.absent}")
                continue
            print(row.format(
                name, t.targets, t.cycles, t.kills, t.harmed, sum(t.refused.values()), t.faults,
                *(f"{x:.1f} ms" if x is not None else "-" for x in (
                    statistics.median(t.pauses) if t.pauses else None,
                    max(t.pauses, default=None), max(t.quiet, default=None))),
                *(f"{t.events[k]:,}" for k in ("produced", "written", "dropped"))))
        here = [t for t in self.tallies.values() if not t.absent]
        print("\npause: of the self-checking programs as a 1 ms ticker in them saw it, of the servers "
              "the slowest answer\nto a client; quiet: the longest in 0.3 s without memtrace, under "
              "the same load.")
        ways = sum((t.ways for t in here), collections.Counter())
        print("ways to end: " + ", ".join(f"{w} {n}" for w, n in ways.most_common()))
        for reason, n in sum((t.refused for t in here), collections.Counter()).most_common():
            print(f"refused {n} times: {reason}")
        left, eintr = sum(t.left for t in here), sum(t.eintr for t in here)
        if left:
            print(f"left switched off by {left} attaches and removed by a later detach")
        if eintr:
            print(f"{eintr} EINTR of calls that signal(7) names, in the instant a controller was killed")
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")

    def verdict(self):
        here = [t for t in self.tallies.values() if not t.absent and t.ok]
        harmed = sum(t.harmed for t in self.tallies.values())
        faults = sum(t.faults for t in self.tallies.values())
        kills = sum(t.kills for t in self.tallies.values())
        took = time.monotonic() - self.begun
        few = len(here) < self.options.least or self.done < self.options.n
        good = not harmed and not faults and not few
        print(f"{'soak passed' if good else 'soak FAILED'}: {self.done} cycles, {len(here)} kinds, "
              f"{kills} SIGKILLs of the controller, {harmed} targets harmed, {faults} other faults, "
              f"{took:.0f} s ({self.done / took:.1f} a second), seed {self.options.seed}")
        return 0 if good else 1 if harmed or faults else 2


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=60, help="cycles")
    parser.add_argument("--seed", default=None)
    parser.add_argument("--kinds", default="", help="only these, by comma")
    parser.add_argument("--ways", default="", help="only these ways to end")
    parser.add_argument("--jobs", type=int, default=max(2, min(8, (os.cpu_count() or 2))))
    parser.add_argument("--least", type=int, default=1, help="kinds that must be here")
    parser.add_argument("--keep", default=str(harness.BUILD / "soak"))
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    options.seed = options.seed or str(int(time.time()))
    names = [n for n in options.kinds.split(",") if n] or list(KINDS)
    options.ways = [w for w in options.ways.split(",") if w]
    unknown = [n for n in names if n not in KINDS]
    if unknown:
        parser.error(f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    # A shell's background jobs ignore SIGINT, and memtrace keeps what is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    subprocess.run([harness.MEMTRACE, "--version"], check=True)
    soak = Soak(options, names)
    soak.run()
    soak.table()
    return soak.verdict()


if __name__ == "__main__":
    sys.exit(main())
