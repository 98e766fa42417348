# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_aggregate.py - --aggregate: sums of events, the same as of the events.
# Knows: the targets' ledgers, what a kill may cost. Does not know: how sums are kept.
# Run by tests/run.py.
import json
import os
import random
import re
import signal
import time
import unittest

import exact
import harness
import session
import test_exact_c

TIMEOUT = 180

# For bench/stacks.c: two calls of the same function stay two.
SPREAD = ["-O1", "-fno-optimize-sibling-calls", "-fno-crossjumping", "-fno-if-conversion"]

# Grows by a block of its own line every millisecond or so, and says when how much there is.
GROWING = """
import sys, time
keep = []
def grow():
    keep.append(bytes(100000))
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + 60
while time.monotonic() < end:
    grow()
    if len(keep) % 20 == 0:
        print(time.monotonic(), len(keep), flush=True)
    time.sleep(0.001)
"""

# Many short-lived blocks, some that stay, of one line each; the same every time.
STEADY = """
import os
keep = []
def stay():
    keep.append(bytes(20000))
def pass_by():
    return bytes(5000)
for i in range(40000):
    pass_by()
    if i % 100 == 0:
        stay()
    if i == 30000:
        keep.clear()
os._exit(0)                             # nothing is freed at the end
"""


class SameNumbers(test_exact_c.Exact):
    OPTIONS = ("--aggregate",)

    def check(self, cap):
        stats, counters = harness.stats(cap), harness.counters(cap)
        self.assertEqual(counters["produced"], counters["written"] + counters["dropped"])
        self.assertEqual(counters["dropped"], 0)
        text = harness.memtrace("info", cap).out
        self.assertNotIn("the file holds", text)        # as many as were written
        self.assertIn("aggregate", text)
        return stats

    def test_attach_to_c(self):
        with harness.tmpdir() as tmp:
            sites, cap = self.attach(test_exact_c.build("alloc_exact.c", "O1"), options=self.OPTIONS, tmp=tmp)
            outside = self.compare(sites, cap, ["alloc_exact.c"])
            for (view, metric), rows in outside.items():
                self.assertEqual(rows, [], f"{view} {metric}: rows of nobody")
            stats = self.check(cap)
            self.assertEqual(stats["total_num_allocations"], sum(s.count("allocated") for s in sites))
            self.assertEqual(stats["total_bytes_allocated"], sum(s.bytes("allocated") for s in sites))
            self.assertEqual(stats["metadata"]["peak_memory"], sum(s.bytes("peak") for s in sites))

    def test_run_of_threads(self):
        with harness.tmpdir() as tmp:
            sites, cap = self.run_(test_exact_c.build("alloc_threads.c", "O2-no-frame-pointer"),
                                   options=self.OPTIONS, tmp=tmp)
            self.compare(sites, cap, ["alloc_threads.c"], views=("allocated", "leaks"))
            self.check(cap)
            rows = harness.folded(cap, "--view", "allocated", "--metric", "count", "--split-threads")
            for i in range(4):
                mine = [(f, v) for f, v in rows if any(f"busy-{i}" in frame for frame in f)]
                self.assertEqual(harness.folded_sum(mine, r"busy_work"), 1000, f"busy-{i}: {mine}")

    def test_the_same_program_twice(self):
        """A Python program by events and by sums: every function has the same bytes and blocks."""
        with harness.tmpdir() as tmp:
            (tmp / "steady.py").write_text(STEADY)
            for name, options in ("events", []), ("sums", self.OPTIONS):
                harness.memtrace("run", "-q", *options, "-o", tmp / name, "--", harness.PYTHON, tmp / "steady.py",
                                 env={"PYTHONHASHSEED": "0"})
            self.check(tmp / "sums")
            for view in exact.VIEWS:
                for metric in "bytes", "count":
                    events, sums = [self.by_line(tmp / name, view, metric) for name in ("events", "sums")]
                    self.assertEqual(events, sums, (view, metric))
            self.assertLess((tmp / "sums").stat().st_size, (tmp / "events").stat().st_size)

    def by_line(self, cap, view, metric):
        found = {}
        for frames, value in harness.folded(cap, "--view", view, "--metric", metric):
            line = next((f for f in reversed(frames) if "steady.py" in f), None)
            found[line] = found.get(line, 0) + value
        found.pop(None, None)           # of the interpreter's own start
        return found

    def test_children(self):
        """Each has sums of its own."""
        program = harness.compile_c("alloc_fork.c", flags=["-w", "-O1", "-fno-inline", "-pthread"])
        with harness.tmpdir() as tmp, harness.start_target([program], stdin=True, wait="^ready") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork", "--aggregate") as attach:
                target.send("g")
                target.wait_line("^done", 60)
                child = int(target.wait_line(r"^forked (\d+)")[1])
                attach.interrupt()
            rows = harness.folded(tmp / f"cap.bin.{child}", "--view", "allocated", "--metric", "count")
            self.assertEqual(harness.folded_sum(rows, r"\bchild_work\b"), 50 * 100 + 50)
            self.assertEqual(harness.folded_sum(rows, r"\bof_parent\b"), 0)
            self.check(tmp / f"cap.bin.{child}")
            target.send("x")
            self.assertEqual(target.wait(), 0)


class Reports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = harness.tmpdir()
        tmp = cls.dir.__enter__()
        (tmp / "steady.py").write_text(STEADY)
        cls.cap, cls.tmp = tmp / "cap.bin", tmp
        harness.memtrace("run", "-q", "--aggregate", "-o", cls.cap, "--", harness.PYTHON, tmp / "steady.py")

    @classmethod
    def tearDownClass(cls):
        cls.dir.__exit__(None, None, None)

    def test_all_of_them(self):
        for words in (["summary"], ["table", "-o", "-"], ["stats"], ["info"], ["leaks"], ["tree"],
                      ["transform", "pprof", "-o", self.tmp / "x"], ["transform", "dhat", "-o", self.tmp / "y"],
                      ["flamegraph", "-o", self.tmp / "z"], ["summary", "--view", "temporary"]):
            command = words[:2] if words[0] == "transform" else words[:1]
            result = harness.memtrace(*command, self.cap, *words[len(command):])
            self.assertNotIn("warning", result.err, words)
        self.assertIn("pass_by", harness.memtrace("summary", self.cap, "--view", "temporary").out)
        diff = harness.memtrace("diff", self.cap, self.cap).out
        self.assertIn("no change", diff)

    def test_symbols_are_kept(self):
        harness.memtrace("symbolize", self.cap, "-o", self.tmp / "symbols")
        for view in exact.VIEWS:
            self.assertEqual(sorted(harness.folded(self.cap, "--view", view)),
                             sorted(harness.folded(self.tmp / "symbols", "--view", view)))

    def test_leaks(self):
        """What stayed since the middle grew, and what went is counted as freed."""
        leaks = json.loads(harness.memtrace("leaks", "--json", self.cap).out)
        site = next(s for s in leaks["sites"] if "stay" in json.dumps(s))
        # The list itself is of the same site: one block, which was replaced as it grew.
        self.assertAlmostEqual(site["bytes"], 99 * 20033, delta=2000)
        self.assertEqual(site["count"], 100)
        self.assertEqual(site["allocated"] - site["released"], 100)
        self.assertGreater(site["released"], 300)
        self.assertEqual(sum(a["bytes"] for a in site["ages"]), site["bytes"])
        self.assertEqual(site["live_bytes"][-1], site["bytes"])
        self.assertGreater(max(site["live_bytes"]), site["bytes"])

    def test_what_it_cannot_say(self):
        result = harness.memtrace("parse", self.cap, check=1)
        self.assertIn("is an aggregated capture: it has no single events", result.err)
        result = harness.memtrace("table", "--temporary-allocation-threshold", "5", self.cap, "-o", "-", check=1)
        self.assertIn("threshold 1 only", result.err)
        result = harness.memtrace("attach", "--live", "--aggregate", os.getpid(), check=None)
        self.assertNotEqual(result.code, 0)


class Killed(unittest.TestCase):
    def test_kill_costs_the_last_second(self):
        with harness.tmpdir() as tmp, harness.start_target(
                [harness.PYTHON, "-c", GROWING], stdin=True, wait="^ready") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--aggregate") as attach:
                target.send("go\n")
                time.sleep(5)
                killed = time.monotonic()
                os.kill(attach.proc.pid, signal.SIGKILL)
                attach.wait()
            target.wait_line(r"^\d")
            said = [line.split() for line in target.lines if re.match(r"\d+\.\d+ \d+$", line)]
            before = max(int(n) for at, n in said if float(at) < killed - 2.5)
            after = min([int(n) for at, n in said if float(at) > killed] or [1 << 40])
            self.assertGreater(before, 100)
            for view in "peak", "leaks", "allocated":
                rows = harness.folded(tmp / "cap.bin", "--view", view, "--metric", "count")
                got = harness.folded_sum(rows, r"^grow\b")
                self.assertGreaterEqual(got, before, view)
                self.assertLessEqual(got, 2 * after, view)
            self.assertIn("cut at offset", harness.memtrace("summary", tmp / "cap.bin").err)
            self.assertIn("grow", harness.memtrace("leaks", tmp / "cap.bin").out)
            harness.memtrace("flamegraph", tmp / "cap.bin", "-o", tmp / "page.html")
            self.assertEqual([p for p in tmp.iterdir() if "cap.bin." in p.name], [])
            harness.memtrace("detach", target.pid)
            self.assertEqual(harness.maps_clean(target.pid), [])

    def test_kills_at_any_moment(self):
        """What is read is whole: rows, totals and time line of one moment. The file is large enough to be written
        anew every second or third time."""
        moments = random.Random(7)
        program = harness.compile_c(harness.ROOT / "bench/stacks.c", flags=SPREAD)
        for i in range(6):
            with self.subTest(i), harness.tmpdir() as tmp, harness.start_target(
                    [program, "13", "20000", "60"], wait="^ready") as target:
                with session.Attach(target.pid, "-o", tmp / "cap.bin", "--aggregate") as attach:
                    time.sleep(2 + 3 * moments.random())
                    os.kill(attach.proc.pid, signal.SIGKILL)
                    attach.wait()
                stats = harness.stats(tmp / "cap.bin")
                self.assertGreater(stats["total_num_allocations"], 10000)
                for view, metric, total in (("allocated", "count", stats["total_num_allocations"]),
                                            ("allocated", "bytes", stats["total_bytes_allocated"]),
                                            ("peak", "bytes", stats["metadata"]["peak_memory"])):
                    rows = harness.folded(tmp / "cap.bin", "--view", view, "--metric", metric)
                    self.assertEqual(sum(v for _, v in rows), total, (view, metric))
                leaks = json.loads(harness.memtrace("leaks", "--json", tmp / "cap.bin").out)
                self.assertEqual(sum(a["bytes"] for s in leaks["sites"] for a in s["ages"]), leaks["leaked_bytes"])
                harness.memtrace("detach", target.pid)


class Bounded(unittest.TestCase):
    def test_the_file_stays_small(self):
        """A hundred thousand events of eight thousand stacks a second, for a while: the file is as large as the
        stacks are many, and nothing lies beside it."""
        program = harness.compile_c(harness.ROOT / "bench/stacks.c", flags=SPREAD)
        with harness.tmpdir() as tmp:
            harness.memtrace("run", "-q", "--aggregate", "-o", tmp / "short", "--", program, "13", "20000", "4")
            harness.memtrace("run", "-q", "--aggregate", "-o", tmp / "long", "--", program, "13", "20000", "16")
            short, long = [(tmp / name).stat().st_size for name in ("short", "long")]
            self.assertLess(long, 1.5 * short + 100000)
            self.assertEqual(sorted(p.name for p in tmp.iterdir()), ["long", "short"])


if __name__ == "__main__":
    unittest.main()
