# SPDX-License-Identifier: Apache-2.0
# tests/unwind/test_live.py - stacks of running programs by our tables and by libunwind.
# Knows: tests/unwind/compare.c and its output. Does not know: how stacks are walked.
# Called by tests/run.py.
import re
import shutil
import time
import unittest
from pathlib import Path

import harness

COMPARE = harness.BUILD / "tests" / "unwind" / "compare"
TARGETS = Path(__file__).resolve().parent / "targets"


class Live(unittest.TestCase):
    def compare(self, argv, stops):
        """Unwinds at random moments; no frame may differ. Returns the counts by name."""
        with harness.start_target(argv) as target:
            time.sleep(0.7)
            done = harness.run([COMPARE, target.pid, stops], timeout=100)
            self.assertEqual(done.code, 0, done)
            self.assertEqual(harness.tracer_pid(target.pid), 0)
            self.assertNotIn(harness.proc_state(target.pid), "TtZ")
        found = re.search(r"(\d+) stacks, (\d+) equal frames, (\d+) complete, (\d+) truncated, "
                          r"(\d+) broken, (\d+) signal frames, 0 different", done.out)
        self.assertTrue(found, done)
        names = ("stacks", "frames", "complete", "truncated", "broken", "signals")
        counts = dict(zip(names, map(int, found.groups())))
        self.assertGreaterEqual(counts["stacks"], stops)
        self.assertEqual(counts["broken"], 0, done)
        return counts

    def test_python(self):
        counts = self.compare([harness.PYTHON, TARGETS / "busy.py"], 250)
        self.assertEqual(counts["truncated"], 0)
        self.assertGreater(counts["frames"], counts["stacks"] * 8)

    def test_cpp_exceptions_and_signals(self):
        program = harness.compile_c(TARGETS / "busy.cc",
                                    flags=["-O2", "-pthread", "-Wl,-z,lazy"])
        counts = self.compare([program], 150)
        # The lazy resolver of ld.so finds its caller by rbx, which the rules have no word for.
        self.assertLess(counts["truncated"], counts["stacks"] * 0.02 + 2)
        self.assertGreater(counts["signals"], 0)

    def test_frame_pointers(self):
        program = harness.compile_c(TARGETS / "busy.cc", flags=[
            "-O1", "-pthread", "-fno-omit-frame-pointer", "-mstackrealign"])
        counts = self.compare([program], 150)
        self.assertLess(counts["truncated"], counts["stacks"] * 0.02 + 2)

    def test_node(self):
        node = shutil.which("node")
        if not node:
            self.skipTest("no node")
        # JIT code has no tables: its stacks are truncated there, and equal up to it.
        counts = self.compare([node, TARGETS / "busy.js"], 60)
        self.assertGreater(counts["complete"], counts["stacks"] // 2)


if __name__ == "__main__":
    unittest.main()
