# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_exact_python.py - Python stacks, lines, counts and bytes, as the interpreter says.
# Knows: the target's own account. Does not know: how memtrace reads frames.
# Run by tests/run.py.
import collections
import glob
import json
import os
import unittest

import harness
import session

SCRIPT = harness.TARGETS / "alloc_python.py"
TIMEOUT = 120


def interpreters():
    """Every CPython 3.11 at hand: Debian's (non-PIE, static) and pyenv's (shared or PIE)."""
    found = {}
    if os.path.exists("/usr/bin/python3.11"):
        found["debian"] = "/usr/bin/python3.11"
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    for path in sorted(glob.glob(f"{root}/versions/3.11.*/bin/python3.11")):
        found["pyenv"] = path
    return found


def expected(lines):
    """{(function, file, line) from root to leaf: [count, bytes, live bytes]}"""
    found = collections.defaultdict(lambda: [0, 0, 0])
    for line in lines:
        if line.startswith("{"):
            row = json.loads(line)
            stack = tuple((f, os.path.basename(file), n) for f, file, n in row["stack"])
            for i, name in enumerate(("count", "bytes", "live")):
                found[stack][i] += row[name]
    return dict(found)


def python_frames(frames):
    found = []
    for frame in frames:
        function, file, line = session.split_frame(frame)
        if file.endswith(".py") or file.startswith("<"):
            found.append((function, file, line))
    return tuple(found)


def captured(cap, leaves, *options):
    """The same from a capture, for stacks that end at one of the lines where blocks were noted."""
    found = collections.defaultdict(lambda: [0, 0, 0])
    for i, (view, metric) in enumerate((("allocated", "count"), ("allocated", "bytes"),
                                        ("leaks", "bytes"))):
        for frames, value in harness.folded(cap, "--view", view, "--metric", metric, *options):
            stack = python_frames(frames)
            if stack and stack[-1] in leaves:
                found[stack][i] += value
    return dict(found)


def short(stack):
    out = []
    for function, file, line in stack:
        text = f"{function}:{line}"
        if out and out[-1][0] == text:
            out[-1][1] += 1
        else:
            out.append([text, 1])
    return ";".join(t if n == 1 else f"{t}*{n}" for t, n in out)


class Python(unittest.TestCase):
    def python(self, which):
        path = interpreters().get(which)
        if not path:
            self.skipTest(f"no {which} Python 3.11 here")
        return path

    def compare(self, lines, cap, *options):
        self.assertIn("done", lines)
        want = expected(lines)
        self.assertGreater(len(want), 70)
        leaves = {stack[-1] for stack in want}
        got = captured(cap, leaves, *options)
        faults = [f"  {short(s)[-300:]}: Python says {want.get(s)}, the capture {got.get(s)}"
                  for s in sorted(set(want) | set(got)) if want.get(s) != got.get(s)]
        self.assertEqual(faults, [], f"\n{len(faults)} of {len(want)}\n" + "\n".join(faults[:60]))

    def attach(self, which, *options):
        with harness.tmpdir() as tmp:
            cap = tmp / "cap.bin"
            with harness.start_target([self.python(which), SCRIPT], stdin=True,
                                      wait="^ready") as target:
                session.capture_work(target, cap, *options)
                lines = target.lines
                target.send("e")
                self.assertEqual(target.wait(), 0, target.err)
            self.compare(lines, cap)
            if "--no-native" not in options:
                self.compare(lines, cap, "--no-native")
                self.check_merged(cap)

    def check_merged(self, cap):
        """Native frames stand beside the Python ones: ctypes called strdup for a Python line."""
        rows = harness.folded(cap, "--view", "allocated", "--metric", "bytes")
        rows = [(f, v) for f, v in rows if any("strdup" in frame for frame in f)]
        self.assertTrue(rows, "no native frame of strdup")
        frames = [frame for frame in rows[0][0]]
        line = next(i for i, f in enumerate(frames) if f.startswith("from_c ("))
        strdup = next(i for i, f in enumerate(frames) if "strdup" in f)
        self.assertLess(line, strdup)
        self.assertFalse([f for f in frames if "_PyEval_EvalFrameDefault" in f],
                         "eval loops are replaced by the Python frames they ran")

    def run_(self, which, *options):
        python = self.python(which)
        with harness.tmpdir() as tmp:
            result = harness.memtrace("run", "-o", tmp / "cap.bin", *options, "--", python, SCRIPT,
                                      "--from-start")
            self.compare(result.out.splitlines(), tmp / "cap.bin")

    def test_attach_debian(self):
        self.attach("debian")

    def test_attach_pyenv(self):
        self.attach("pyenv")

    def test_attach_debian_no_native(self):
        self.attach("debian", "--no-native")

    def test_run_debian(self):
        self.run_("debian")

    def test_run_pyenv(self):
        self.run_("pyenv")


if __name__ == "__main__":
    unittest.main()
