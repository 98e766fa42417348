# SPDX-License-Identifier: Apache-2.0
# tests/sizes/test_sizes.py - every report of captures that are extreme in one way: a million sites, stacks
# ten thousand deep, ten thousand threads.
# Knows: what tests/sizes/gen put in. Does not know: how reports are made.
# Run by tests/run.py. Their pages in a browser: tests/browser.
import collections
import csv
import json
import unittest

import harness

TIMEOUT = 600
GEN = harness.BUILD / "tests/sizes/gen"
MEMORY = 6 << 30        # of address space; a report that needs more is broken


class Sizes(unittest.TestCase):
    """One capture and its reports; which one is what the subclasses say."""
    kind, n = None, 0

    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        cls.tmp = cls.scope.__enter__()
        cls.cap = cls.tmp / f"{cls.kind}.bin"
        cls.want = json.loads(harness.run([GEN, cls.kind, cls.n, cls.cap], timeout=120, check=0).out)

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    def report(self, *words, suffix="txt"):
        """The file that a report wrote."""
        out = self.tmp / f"out.{suffix}"
        harness.run(["prlimit", f"--as={MEMORY}", harness.MEMTRACE, *words, "-f", "-o", out, self.cap],
                    timeout=240, check=0)
        return out

    def totals(self):
        stats = json.loads(self.report("stats", "--json").read_text())
        self.assertEqual(stats["total_num_allocations"], self.want["allocations"])
        self.assertEqual(stats["total_bytes_allocated"], self.want["bytes"])
        self.assertEqual(stats["metadata"]["leaked_count"], self.want["left_count"])
        self.assertEqual(stats["metadata"]["leaked_bytes"], self.want["left_bytes"])
        return stats

    def page(self, *words):
        page = self.report(*words, suffix="html").read_text()
        self.assertTrue(page.rstrip().endswith("</html>"))
        return page

    def folded(self, *options):
        lines = self.report("transform", "folded", *options).read_text().splitlines()
        return [(stack.split(";"), int(value)) for stack, value in (l.rsplit(" ", 1) for l in lines)]

    def leaks_rows(self, name):
        """(bytes, count) of what is left, by the format's own columns."""
        path = self.report("transform", name, "--leaks")
        if name == "csv":
            csv.field_size_limit(1 << 28)
            with open(path, newline="") as f:
                rows = [(int(r["size"]), int(r["num_allocations"])) for r in csv.DictReader(f)]
            return sum(r[0] for r in rows), sum(r[1] for r in rows)
        data = json.loads(path.read_text())
        return tuple(sum(profile["weights"]) for profile in data["profiles"])

    def check_formats(self):
        left = (self.want["left_bytes"], self.want["left_count"])
        for name in ("csv", "speedscope"):
            with self.subTest(format=name):
                self.assertEqual(self.leaks_rows(name), left)
        for name in ("pprof", "gprof2dot", "dhat", "sqlite"):
            with self.subTest(format=name):
                self.assertGreater(self.report("transform", name).stat().st_size, 100)


class ManySites(Sizes):
    kind, n = "sites", 1000000

    def test_totals_and_lists(self):
        self.totals()
        summary = self.report("summary", "-r", "5").read_text()
        self.assertRegex(summary, r"\d+ more functions are not shown")
        leaks = self.report("leaks").read_text()
        self.assertRegex(leaks, r"site_\d{7}")
        tree = self.report("tree", "-b", "100").read_text()
        self.assertRegex(tree, r"of [\d,]+ smaller stacks>")

    def test_pages(self):
        self.assertIn("site_", self.page("flamegraph"))
        self.assertIn("site_", self.page("leaks", "--html"))
        self.page("table")

    def test_folded(self):
        rows = self.folded("--view", "allocated")
        self.assertEqual(len(rows), self.n)
        self.assertEqual(sum(value for _, value in rows), self.want["bytes"])

    def test_difference(self):
        out = self.tmp / "diff.html"
        harness.run(["prlimit", f"--as={MEMORY}", harness.MEMTRACE, "diff", "--html", "-o", out, self.cap,
                     self.cap], timeout=240, check=0)
        self.assertIn("Nothing changed.", out.read_text())

    def test_formats(self):
        self.assertEqual(self.leaks_rows("csv"), (self.want["left_bytes"], self.want["left_count"]))


class DeepStacks(Sizes):
    kind, n = "deep", 10000

    def test_totals_and_lists(self):
        stats = self.totals()
        self.assertTrue(stats["top_allocations_by_size"][0]["location"].startswith(("down:", "0x")))
        for words in (["summary"], ["leaks"], ["leaks", "--frames", "0"], ["tree", "-b", "0"], ["table"],
                      ["flamegraph"], ["flamegraph", "--inverted"], ["leaks", "--html", "--frames", "0"]):
            with self.subTest(words=words):
                self.report(*words)
        self.assertGreaterEqual(self.report("leaks", "--frames", "0").read_text().count("down ("), self.n)

    def test_folded(self):
        depths = collections.Counter(len(stack) for stack, _ in self.folded("--view", "allocated"))
        self.assertEqual(depths, {self.n + 1: 1, self.n // 2 + 1: 1, self.n: 1})

    def test_formats(self):
        self.check_formats()


class ManyThreads(Sizes):
    kind, n = "threads", 10000

    def test_totals_and_lists(self):
        self.totals()
        for words in (["summary"], ["leaks"], ["tree"], ["tree", "--split-threads"], ["info"]):
            with self.subTest(words=words):
                self.report(*words)

    def test_split(self):
        rows = self.folded("--leaks", "--split-threads")
        self.assertEqual(len(rows), self.n)
        self.assertEqual(len({stack[0] for stack, _ in rows}), self.n)
        self.assertEqual(sum(value for _, value in rows), self.want["left_bytes"])
        self.assertEqual(self.folded("--leaks")[0][1], self.want["left_bytes"])
        for words in (["flamegraph", "--split-threads"], ["table", "--split-threads"],
                      ["flamegraph", "--split-threads", "--inverted"]):
            with self.subTest(words=words):
                self.page(*words)

    def test_formats(self):
        self.check_formats()
        with open(self.report("transform", "csv"), newline="") as f:
            self.assertEqual(len({r["tid"] for r in csv.DictReader(f)}), self.n)


if __name__ == "__main__":
    unittest.main()
