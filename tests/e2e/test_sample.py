# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_sample.py - what reports estimate from a sample against what a program is known to do.
# Knows: the program's sums, the probability of each block to be recorded. Does not know: the tracer.
# Run by tests/run.py.
"""The estimate of a sum over blocks, each recorded with the probability p and weighted 1/p, has a variance
that is known: the sum of value^2 * (1 - p) / p. The bound is 7 standard deviations, plus what the counts
lose to rounding: a right program misses it less than once in 10^11 runs."""
import math
import re
import unittest

import harness

THREADS, ROUNDS = 3, 15000
ROUND = [16, 100, 1000, 4000, 20000, 100000, 3000, 5000]	# and then:
KEPT = 700
SIGMAS = 7


def chance(size, rate):
    return -math.expm1(-size / rate)


class Estimate:
    """What is to come out for blocks of these sizes, each `times` times."""

    def __init__(self, sizes, times, rate):
        self.bytes, self.count = sum(sizes) * times, len(sizes) * times
        spread = [(s, (1 - chance(s, rate)) / chance(s, rate)) for s in sizes]
        self.bytes_error = SIGMAS * math.sqrt(times * sum(s * s * v for s, v in spread))
        # Rounding 1/p by chance adds at most 1/4 to the variance of each recorded block.
        self.count_error = SIGMAS * math.sqrt(times * sum(v + 0.25 * chance(s, rate) for s, v in spread))


class Sample(unittest.TestCase):
    def record(self, tmp, *options):
        program = harness.compile_c("alloc_sample.c", flags=["-O1", "-pthread"])
        harness.memtrace("run", "-q", "-f", *options, "-o", tmp / "cap.bin", "--", program,
                         str(THREADS), str(ROUNDS))
        return tmp / "cap.bin"

    def near(self, got, want, error, what):
        slack = 200000 if "bytes" in what else 2000      # of the C library's own, at the start
        self.assertLessEqual(abs(got - want), error + slack, what)

    def check(self, rate, option):
        with harness.tmpdir() as tmp:
            capture = self.record(tmp, "--sample", option)
            stats, counters = harness.stats(capture), harness.counters(capture)
            parsed = harness.memtrace("parse", capture).out
        self.assertEqual(counters["produced"], counters["written"] + counters["dropped"])
        self.assertEqual(counters["dropped"], 0)
        meta = stats["metadata"]
        self.assertTrue(meta["estimated"])
        self.assertEqual(meta["sample_bytes"], rate)
        # Every recorded release is of a recorded block.
        self.assertEqual(meta["unknown_releases"], 0)
        live, twice = set(), 0
        for kind, address in re.findall(r"^event .*\bkind=(\S+) .*\baddress=(0x[0-9a-f]+)", parsed, re.M):
            if kind in ("malloc", "realloc"):
                twice += address in live
                live.add(address)
            elif kind in ("free", "realloc-free"):
                live.discard(address)
        self.assertEqual(twice, 0, "blocks recorded again without their release")
        times = THREADS * ROUNDS
        whole, kept = Estimate(ROUND + [KEPT], times, rate), Estimate([KEPT], times, rate)
        self.near(stats["total_bytes_allocated"], whole.bytes, whole.bytes_error, "bytes allocated")
        self.near(stats["total_num_allocations"], whole.count, whole.count_error, "allocations")
        self.near(meta["leaked_bytes"], kept.bytes, kept.bytes_error, "bytes live at the end")
        self.near(meta["leaked_count"], kept.count, kept.count_error, "blocks live at the end")
        # The bound means something: the sums are known to a few percent.
        self.assertLess(whole.bytes_error, whole.bytes / 10)
        self.assertLess(kept.bytes_error, kept.bytes / 3)

    def test_sums(self):
        self.check(8 << 10, "8KiB")

    def test_sums_of_a_coarse_sample(self):
        self.check(64 << 10, "65536")

    def test_reports_say_so(self):
        with harness.tmpdir() as tmp:
            capture = self.record(tmp, "--sample", "512KiB")
            for command in ("summary", "stats", "flamegraph", "transform folded"):
                result = harness.memtrace(*command.split(), capture, "-f", "-o", tmp / "out")
                self.assertRegex(result.err, "a sample, one block every 512 KiB .* estimates")
            for command in ("summary", "stats"):
                self.assertRegex(harness.memtrace(command, capture).out, r"Estimated:? +from a sample")
            self.assertIn("524288", harness.memtrace("info", capture).out)
            result = harness.memtrace("flamegraph", "--view", "temporary", capture, "-o", tmp / "t.html",
                                      check=1)
            self.assertIn("a sample does not tell which blocks were temporary", result.err)

    def test_bad_sizes(self):
        for size in ("0", "x", "-5", "5x", "1025GiB", "99999999999999999999", ""):
            result = harness.memtrace("run", "--sample", size, "--", "true", check=2)
            self.assertIn("not a size of 1 to 1024GiB", result.err)


if __name__ == "__main__":
    unittest.main()
