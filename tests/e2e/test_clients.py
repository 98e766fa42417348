# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_clients.py - what `transform` writes, read by the programs it is written for.
# Knows: go tool pprof, dot, gprof2dot, sqlite3, as their users call them. Does not know: the formats.
# Run by tests/run.py. The viewers that need a browser: tests/browser/test_clients.mjs.
import re
import shutil
import unittest

import harness

TIMEOUT = 180
PROGRAM = """
import os, threading
kept = []
def holds(): kept.append(bytearray(3000000))
def holds_less(): kept.append(bytearray(1000000))
def passes(): return len(bytearray(2000000))
holds()
thread = threading.Thread(target=holds_less, name="worker"); thread.start(); thread.join()
for i in range(5): passes()
os._exit(0)
"""


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        cls.tmp = cls.scope.__enter__()
        cls.cap = cls.tmp / "cap.bin"
        raw, program = cls.tmp / "raw.bin", cls.tmp / "program.py"
        program.write_text(PROGRAM)
        harness.memtrace("run", "-o", raw, "--", harness.PYTHON, program)
        harness.memtrace("symbolize", raw, "-o", cls.cap)
        cls.stats = harness.stats(cls.cap)

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    def transform(self, name, suffix, *options):
        out = self.tmp / f"out.{suffix}"
        harness.memtrace("transform", name, self.cap, "-o", out, "-f", *options)
        return out

    def need(self, program):
        if not shutil.which(program):
            self.skipTest(f"{program} is not installed")

    # ---- pprof ----

    def pprof(self, *options):
        self.need("go")
        profile = self.transform("pprof", "pb.gz")
        result = harness.run(["go", "tool", "pprof", *options, profile], timeout=120, check=0,
                             env={"HOME": str(self.tmp), "PPROF_TMPDIR": str(self.tmp),
                                  "GOCACHE": str(self.tmp)})
        return result.out

    def test_pprof_raw(self):
        """Every sample, its labels and the modules' build-ids."""
        raw = self.pprof("-raw")
        self.assertIn("alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]",
                      raw)
        samples = re.findall(r"^ +(\d+) +(\d+) +(\d+) +(\d+): ", raw, re.M)
        sums = [sum(int(s[i]) for s in samples) for i in range(4)]
        meta = self.stats["metadata"]
        self.assertEqual(sums, [self.stats["total_num_allocations"], self.stats["total_bytes_allocated"],
                                meta["peak_count"], meta["peak_memory"]])
        self.assertRegex(raw, r"allocator:\[malloc\]")
        self.assertRegex(raw, r"thread:\[.*worker|thread:\[python")
        self.assertRegex(raw, r"(?m)^\d+: 0x[0-9a-f]+/0x[0-9a-f]+/0x[0-9a-f]+ /\S+ [0-9a-f]{40}")

    def test_pprof_top(self):
        top = self.pprof("-top", "-cum", "-unit=B", "-sample_index=inuse_space", "-nodecount=1000000",
                         "-nodefraction=0", "-edgefraction=0")
        total = self.stats["metadata"]["peak_memory"]
        self.assertRegex(top, rf"Showing nodes accounting for {total}B, 100% of {total}B total")
        folded = harness.folded(self.cap)
        for name in ("holds", "holds_less"):
            want = sum(v for frames, v in folded if any(f.startswith(f"{name} (") for f in frames))
            [got] = re.findall(rf"^ *\S+ +\S+ +\S+ +(\d+)B +\S+ +{name}$", top, re.M)
            self.assertEqual(int(got), want, name)

    def test_pprof_graph(self):
        self.need("dot")
        graph = self.tmp / "graph.dot"
        graph.write_text(self.pprof("-dot", "-focus=^holds$"))
        drawn = harness.run(["dot", "-Tsvg", graph], timeout=120, check=0)
        self.assertIn("holds", drawn.out)

    # ---- the others ----

    def test_gprof2dot(self):
        """Not in Debian: where somebody installed it."""
        self.need("gprof2dot")
        self.need("dot")
        profile = self.transform("gprof2dot", "json")
        graph = harness.run(["gprof2dot", "-f", "json", "-n", "0", "-e", "0", profile], check=0)
        self.assertIn("holds", graph.out)
        (self.tmp / "gprof2dot.dot").write_text(graph.out)
        drawn = harness.run(["dot", "-Tsvg", self.tmp / "gprof2dot.dot"], timeout=120, check=0)
        self.assertIn("holds_less", drawn.out)

    def test_sqlite3(self):
        self.need("sqlite3")
        base = self.transform("sqlite", "db")
        result = harness.run(["sqlite3", "-readonly", base, "PRAGMA integrity_check; "
                              "SELECT sum(peak_bytes), sum(allocated_count) FROM allocation;"], check=0)
        self.assertEqual(result.out.split(), ["ok", f"{self.stats['metadata']['peak_memory']}|"
                                              f"{self.stats['total_num_allocations']}"])
        script = self.transform("sql", "sql")
        result = harness.run(["sh", "-c", f"(cat {script}; echo 'SELECT sum(leaked_bytes) FROM allocation;')"
                              " | sqlite3 -bail :memory:"], check=0)
        self.assertEqual(int(result.out.split()[-1]), self.stats["metadata"]["leaked_bytes"])


if __name__ == "__main__":
    unittest.main()
