# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_python_allocators.py - --trace-python-allocators: each request to a domain of every
# CPython at hand is one event, and the tables are afterwards what they were.
# Knows: the target's known blocks, what its tables hold. Does not know: where they are.
# Run by tests/run.py.
import csv
import io
import os
import signal
import unittest

import harness
import session

TARGET = harness.TARGETS / "domains.py"
TIMEOUT = 400
N = 200
SMALL, LARGE = 333 + 33, 100000 + 33
# allocator, bytes: (times, of them live at the end). Three domains with three turns each.
WANT = {
    ("pymalloc_malloc", SMALL): (2 * N, N),
    ("pymalloc_calloc", LARGE): (N, N),
    ("pymalloc_malloc", 7001): (9, 9),
    ("pymalloc_malloc", 7002): (9, 0),
    ("pymalloc_realloc", 17003): (9, 0),
    ("pymalloc_calloc", 7035): (9, 0),
}
LINES = {SMALL: "small", LARGE: "large"}


def rows(cap, view):
    """{(allocator, bytes of one): times}, and the functions of the target at the leaf by size."""
    text = harness.memtrace("transform", "csv", "--no-native", "--view", view, cap).out
    found, leaves = {}, {}
    for row in csv.DictReader(io.StringIO(text)):
        times, size, leaf = int(row["num_allocations"]), int(row["size"]), row["stack_trace"].split("|")[0]
        if "domains.py" in leaf and times and size % times == 0:
            key = row["allocator"], size // times
            found[key] = found.get(key, 0) + times
            leaves.setdefault(size // times, set()).add(leaf.split(";")[0])
    return found, leaves


class Allocators(unittest.TestCase):
    maxDiff = None

    def ask(self, target, command):
        target.number = getattr(target, "number", 0) + 1
        target.send(command + "\n")
        return target.wait_line(f"^{target.number} (.*)", 60)[1]

    def tables(self, target):
        return self.ask(target, "tables")

    def check_capture(self, cap, times=1, live=True):
        made, leaves = rows(cap, "allocated")
        left, _ = rows(cap, "leaks")
        want = {key: (t * times, left * times if live or key[1] == 7001 else 0)
                for key, (t, left) in WANT.items()}
        self.assertEqual({key: (made.get(key, 0), left.get(key, 0)) for key in want}, want)
        for size, function in LINES.items():
            self.assertEqual(leaves[size], {function})
        # What pymalloc hands on to malloc is no second block.
        self.assertEqual([key for key in made if not key[0].startswith("pymalloc") and
                          key[1] in range(LARGE, LARGE + 100)], [])

    def start(self, *argv, malloc="default"):
        return harness.start_target(argv, stdin=True, wait="^ready", env={"PYTHONMALLOC": malloc})

    def check(self, python, malloc):
        with python.tmpdir() as tmp, self.start(*python.argv, python.put(TARGET, tmp), malloc=malloc) as target:
            before = self.tables(target)
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--trace-python-allocators") as a:
                held = self.tables(target)
                self.ask(target, "work")
                a.interrupt()
            self.assertNotEqual(held, before)
            self.assertEqual(self.tables(target), before)
            self.assertEqual(harness.maps_clean(target.pid), [])
            self.check_capture(tmp / "cap.bin")
            self.ask(target, "work")
            target.send("end\n")
            self.assertEqual(target.wait(), 0, target.err)

    def test_every_interpreter_and_allocator(self):
        for name, python in harness.interpreters().items():
            for malloc in ("default", "debug", "malloc") if "/usr/bin" in name else ("default", "debug"):
                with self.subTest(name, malloc=malloc):
                    self.check(harness.Interpreter(python), malloc)

    def test_interpreters_of_a_newer_debian(self):
        for name in harness.NEWER:
            python = harness.newer_interpreter(self, name)
            for malloc in ("default", "debug", "malloc", "mimalloc", "mimalloc_debug"):
                with self.subTest(name, malloc=malloc):
                    self.check(python, malloc)

    def test_from_the_start(self):
        """The interpreter sets its tables while it starts."""
        for name, python in harness.interpreters().items():
            for malloc in ("default", "debug") if "/usr/bin" in name else ("default",):
                with self.subTest(name, malloc=malloc), harness.tmpdir() as tmp:
                    harness.memtrace("run", "-q", "--trace-python-allocators", "-o", tmp / "cap.bin",
                                     "--", python, TARGET, stdin=b"work\n",
                                     env={"PYTHONMALLOC": malloc})
                    self.check_capture(tmp / "cap.bin", live=False)   # it gives back what it can

    def test_tracemalloc_comes_and_goes(self):
        with harness.tmpdir() as tmp, self.start(harness.PYTHON, TARGET) as target:
            before = self.tables(target)
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--trace-python-allocators") as a:
                self.ask(target, "tracemalloc")
                a.interrupt()
            self.assertEqual(self.tables(target), before)
            self.check_capture(tmp / "cap.bin", times=2)

    def test_killed_controller(self):
        with harness.tmpdir() as tmp, self.start(harness.PYTHON, TARGET) as target:
            before = self.tables(target)
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--trace-python-allocators") as a:
                self.ask(target, "work")
                a.send_signal(signal.SIGKILL)
                a.wait()
            self.ask(target, "work")
            self.assertNotEqual(self.tables(target), before)
            harness.memtrace("detach", target.pid)
            self.assertEqual(self.tables(target), before)
            self.ask(target, "work")

    def test_forked_child(self):
        with harness.tmpdir() as tmp, self.start(harness.PYTHON, TARGET) as target:
            before = self.tables(target)
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--trace-python-allocators") as a:
                child = int(self.ask(target, "fork"))
                target.wait_line("^child is there")
                a.interrupt()
            harness.memtrace("detach", child)
            self.assertEqual(harness.maps_clean(child), [])
            os.kill(child, signal.SIGUSR1)
            self.assertEqual(target.wait_line("^child 0.*")[0], f"child {before}")

    def test_without_python(self):
        with harness.tmpdir() as tmp, harness.start_target(["/bin/sleep", "60"]) as target:
            result = harness.memtrace("attach", "--trace-python-allocators", "-o", tmp / "cap.bin",
                                      target.pid, check=1)
            self.assertIn(f"process {target.pid} runs no Python", result.err)
            self.assertFalse((tmp / "cap.bin").exists())


if __name__ == "__main__":
    unittest.main()
