# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_python_versions.py - the stacks of every CPython at hand, as the program itself says.
# Knows: `run`, `transform folded`, a root of another Debian. Does not know: frame layouts.

import os
import re
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402

TIMEOUT = 400
DEEP = str(harness.TARGETS / "chunks.py")
SCRIPTS = [str(harness.TARGETS / name) for name in ("versions.py", "frames.py", "codes.py")]


def counts(rows, script):
    """{"function:line;...": count} of the script's frames, by names without their class."""
    found = {}
    for frames, value in rows:
        stack = []
        for frame in frames:
            match = re.match(r"(.*) \((.*):(\d+)\)$", frame)
            if match and match[2].endswith(script):
                stack.append(f"{match[1].split('.')[-1]}:{match[3]}")
        if stack and stack[-1].startswith("leaf:"):
            key = ";".join(stack)
            found[key] = found.get(key, 0) + value
    return found


class Versions(unittest.TestCase):
    maxDiff = None

    def check(self, python, script, *options):
        with harness.tmpdir() as tmp:
            cap = tmp / "cap.bin"
            result = harness.memtrace("run", "-q", "-o", cap, "--", *python, script)
            self.assertEqual(result.err, "")
            want = {}
            for line in result.out.splitlines():
                value, key = line.split(" ", 1)
                key = ";".join(part.split(".")[-1] for part in key.split(";"))
                want[key] = want.get(key, 0) + int(value)
            rows = harness.folded(cap, "--view", "allocated", "--metric", "count", *options)
            got = counts(rows, os.path.basename(script))
            # Small objects of leaf() itself come from the interpreter's arenas now and then, so the
            # line of the big allocation is what is compared.
            self.assertEqual({k: v for k, v in got.items() if k in want}, want)

    def test_every_interpreter(self):
        for name, python in harness.interpreters().items():
            for script in SCRIPTS:
                with self.subTest(name, script=os.path.basename(script)):
                    self.check([python], script)

    def test_deep_stacks(self):
        for name, python in harness.interpreters().items():
            with self.subTest(name):
                self.check([python], DEEP, "--no-native")

    def check_subinterpreters(self, python, script):
        with harness.tmpdir() as tmp:
            cap = tmp / "cap.bin"
            want = int(harness.memtrace("run", "-q", "-o", cap, "--", *python, script).out)
            rows = harness.folded(cap, "--no-native", "--view", "allocated", "--metric", "count")
            got = sum(n for frames, n in rows if re.match(
                r"<module> \(\S+:6\)$", frames[0]) and frames[-1].startswith("leaf ("))
            self.assertEqual(got, want)

    def test_subinterpreters(self):
        for name, python in harness.interpreters().items():
            with self.subTest(name):
                self.check_subinterpreters([python], harness.TARGETS / "subinterpreters.py")

    def test_interpreters_of_a_newer_debian(self):
        root = harness.newer_root(self)
        for script in SCRIPTS:
            shutil.copy(script, root / "tmp")
        shutil.copy(harness.TARGETS / "subinterpreters.py", root / "tmp")
        for python in (f"python{name}" for name in harness.NEWER):
            for script in map(os.path.basename, SCRIPTS):
                with self.subTest(python, script=script):
                    self.check(["chroot", root, f"/usr/bin/{python}"], f"/tmp/{script}")
            with self.subTest(python):
                self.check_subinterpreters(["chroot", root, f"/usr/bin/{python}"],
                                           "/tmp/subinterpreters.py")


if __name__ == "__main__":
    unittest.main()
