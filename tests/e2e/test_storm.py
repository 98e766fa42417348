# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_storm.py - a storm of events: none is lost, and that is written down.
# Knows: how many blocks the target allocates. Does not know: rings.
# Run by tests/run.py.
import json
import os
import time
import unittest

import harness
import session


# `make soak-events` asks for 10^9.
EVENTS = int(os.environ.get("MEMTRACE_STORM_EVENTS", 10_000_000))
PATIENCE = 120 + EVENTS // 200000
TIMEOUT = 3 * PATIENCE


class Storm(unittest.TestCase):
    def check(self, threads, pairs, how):
        program = harness.compile_c("alloc_storm.c", flags=["-O2", "-D_GNU_SOURCE", "-pthread"])
        with harness.tmpdir() as tmp:
            cap = tmp / "cap.bin"
            if how == "run":
                out = harness.memtrace("run", "-o", cap, "--", program, threads, pairs).out
            else:
                with harness.start_target([program, threads, pairs], stdin=True,
                                          wait="^ready") as target:
                    session.capture_work(target, cap)
                    out = "\n".join(target.lines)
            total = next(x for x in out.splitlines() if x.startswith("total")).split()
            self.check_counts(cap, int(total[1]), int(total[2]))

    def check_counts(self, cap, count, size):
        counters = harness.counters(cap)
        self.assertEqual(counters["dropped"], 0)
        self.assertEqual(counters["produced"], counters["written"])
        self.assertGreaterEqual(counters["written"], 2 * count)
        values = {(view, metric): harness.folded_sum(
            harness.folded(cap, "--view", view, "--metric", metric), r"^work \(")
            for view in ("allocated", "leaks") for metric in ("count", "bytes")}
        self.assertEqual(values["allocated", "count"], count)
        self.assertEqual(values["allocated", "bytes"], size)
        self.assertEqual(values["leaks", "count"], 0)
        # Every event is a line of `parse`, and no more.
        lines = harness.memtrace("parse", cap, timeout=100).out.splitlines()
        frees = sum(1 for line in lines if " kind=free " in line)
        self.assertGreaterEqual(len(lines), counters["written"])
        self.assertGreaterEqual(frees, count - 64)

    def test_one_thread(self):
        self.check(1, 200000, "attach")

    def test_four_threads(self):
        self.check(4, 50000, "attach")

    def test_run(self):
        self.check(2, 50000, "run")

    def test_many_events(self):
        """The target's own count agrees with what was produced, written and read back."""
        threads = 4
        pairs = EVENTS // 2 // threads
        program = harness.compile_c("alloc_storm.c", flags=["-O2", "-D_GNU_SOURCE", "-pthread"])
        with harness.tmpdir() as tmp:
            cap = tmp / "cap.bin"
            with harness.start_target([program, threads, pairs], stdin=True, wait="^ready") as target:
                session.capture_work(target, cap, timeout=PATIENCE)
                total = target.wait_line(r"^total (\d+) (\d+)")
            counters = harness.counters(cap)
            self.assertEqual(counters["produced"], counters["written"] + counters["dropped"])
            self.assertEqual(counters["dropped"], 0)
            stats = json.loads(harness.memtrace("stats", "--json", cap, timeout=PATIENCE).out)
            rows = harness.parse_folded(harness.memtrace(
                "transform", "folded", cap, "--view", "allocated", "--metric", "count",
                timeout=PATIENCE).out)
        count = int(total[1])
        self.assertEqual(harness.folded_sum(rows, r"^work \("), count)
        # Each of these blocks is released; starting and ending threads is a few events more.
        self.assertGreaterEqual(counters["written"], 2 * count)
        self.assertLess(counters["written"], 2 * count + 500)
        self.assertEqual(stats["metadata"]["total_releases"] + stats["total_num_allocations"],
                         counters["written"])

    def test_attach_in_the_middle(self):
        """Frees of older blocks are ignored, nothing else is missing: what is counted as leaked
        at the end is at most what can be live."""
        program = harness.compile_c("alloc_storm.c", flags=["-O2", "-D_GNU_SOURCE", "-pthread"])
        with harness.tmpdir() as tmp, harness.start_target(
                [program, 3, 20000000], stdin=True, wait="^ready") as target:
            target.send("g")
            for i in range(4):
                time.sleep(0.1)
                harness.memtrace("attach", target.pid, "--duration", "200ms",
                                 "-o", tmp / f"{i}.bin")
                counters = harness.counters(tmp / f"{i}.bin")
                self.assertEqual(counters["produced"], counters["written"] + counters["dropped"])
                leaks = harness.folded(tmp / f"{i}.bin", "--view", "leaks", "--metric", "count")
                # One block a thread in flight and one passed on.
                self.assertLessEqual(sum(v for _, v in leaks), 6, leaks)
            self.assertTrue(target.alive())
            target.wait_line("^done", 60)


if __name__ == "__main__":
    unittest.main()
