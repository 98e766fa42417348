# SPDX-License-Identifier: Apache-2.0
# tests/perf/test_paths.py - no path of the tracer got more instructions than it had.
# Knows: bench/paths.py and its baseline. Does not know: why a path has as many.
# Called by tests/run.py.
"""The counts do not depend on how busy the machine is, but on the compiler and on the interpreter:
a path may take a tenth more than the baseline. A path that got cheaper by more than that wants a
new baseline, so that the gain is kept: bench/paths.py --write tests/perf/baseline.tsv."""
import sys
import unittest
from pathlib import Path

import harness

sys.path.insert(0, str(harness.ROOT / "bench"))
import paths        # noqa: E402

BASELINE = Path(__file__).resolve().parent / "baseline.tsv"
MARGIN = 1.10
TIMEOUT = 300


class Paths(unittest.TestCase):
    def compare(self, names):
        baseline = paths.read_baseline(BASELINE)
        measured = paths.measure(names)
        for name in names:
            with self.subTest(name):
                self.assertIn(name, baseline)
                self.assertLessEqual(measured[name][0], baseline[name] * MARGIN + 2)

    def test_native(self):
        self.compare([n for n in paths.PATHS if not n.startswith("Python")])

    def test_python(self):
        self.compare([n for n in paths.PATHS if n.startswith("Python")])

    def test_baseline_is_of_these_paths(self):
        self.assertEqual(sorted(paths.read_baseline(BASELINE)), sorted(paths.PATHS))


if __name__ == "__main__":
    unittest.main()
