# SPDX-License-Identifier: Apache-2.0
# tests/acceptance/test_embedded.py - interpreters that a program of another name has, or gets later.
# Knows: tests/targets/acceptance/embedded.c. Does not know: how an interpreter is found.
# Run by tests/run.py.
import os
import shutil
import unittest
from pathlib import Path

import harness
import session
import table

TIMEOUT = 300
SIZE = 7654321
HEADER = 33		# of a bytes object
TIMES = 3
# The block is allocated in line 2 of the code; its caller is in line 5, and that one's in line 7.
CODE = f"""def leaf():
    return bytes({SIZE})
def middle():
    for _ in range({TIMES}):
        leaf()
    return 0
middle()
"""
STACK = [("leaf", "<string>", 2), ("middle", "<string>", 5), ("<module>", "<string>", 7)]


def library(python):
    """(its shared library, its prefix), None where there is none."""
    text = ("import sys, sysconfig; v = sysconfig.get_config_var; "
            "print(sys.base_prefix); print(v('LIBDIR')); print(v('INSTSONAME')); print(v('LDLIBRARY'))")
    prefix, folder, *names = harness.run([python, "-c", text], check=0).out.split("\n")[:4]
    version = harness.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).out.strip()
    for name in names + [f"libpython{version}.so.1.0"]:
        for where in (folder, f"{folder}/x86_64-linux-gnu"):
            path = Path(where, name)
            if ".so" in name and path.exists():
                return path.resolve(), prefix
    return None


class Embedded(unittest.TestCase):
    maxDiff = None

    def program(self):
        return harness.compile_c("acceptance/embedded.c", flags=["-pthread", "-ldl"])

    def check_capture(self, cap, times=TIMES):
        reader = table.memtrace.FileReader(cap)
        found = [r.stack_trace() for r in reader.get_allocation_records() if r.size == SIZE + HEADER]
        self.assertEqual(found, [STACK] * times)
        merged = [r.hybrid_stack_trace() for r in reader.get_allocation_records() if r.size == SIZE + HEADER]
        for frames in merged:
            self.assertEqual([f for f in frames if f in STACK], STACK)
            self.assertEqual(frames[-1][0], "_start")
            self.assertFalse([f for f in frames if "EvalFrameDefault" in f[0]])

    def each(self, check):
        for name, python in harness.interpreters().items():
            with self.subTest(name), harness.tmpdir() as tmp:
                found = library(python)
                if not found:
                    continue		# a build without one cannot be embedded
                check(tmp, *found)

    def attach(self, tmp, path, prefix, before, during):
        with harness.start_target([self.program(), path, CODE], stdin=True, wait="^ready",
                                  env={"PYTHONHOME": prefix}) as target:
            def ask(words):
                for word in words:
                    count = target.lines.count("done")
                    target.send(f"{word}\n")
                    harness.wait_for(lambda: target.lines.count("done") > count or not target.alive(), 60,
                                     0.002, word)
            ask(before)
            with session.Attach(target.pid, "-q", "-o", tmp / "cap.bin") as attach:
                ask(during)
                result = attach.interrupt()
            self.assertEqual(result.err, "")
            ask(["work", "end"])
            target.proc.stdin.close()
            self.assertEqual((target.wait(), target.err), (0, ""))
        return tmp / "cap.bin"

    def run_(self, tmp, path, prefix, words, *options):
        result = harness.memtrace("run", "-q", "-o", tmp / "run.bin", *options, "--", self.program(), path, CODE,
                                  stdin="".join(f"{word}\n" for word in words), env={"PYTHONHOME": prefix})
        self.assertEqual(result.err, "")
        return tmp / "run.bin"

    def test_library_of_another_name(self):
        def check(tmp, path, prefix):
            other = tmp / "engine.so"
            shutil.copy(path, other)
            self.check_capture(self.attach(tmp, other, prefix, ["load"], ["work"]))
        self.each(check)

    def test_library_that_comes_later(self):
        def check(tmp, path, prefix):
            self.check_capture(self.attach(tmp, path, prefix, [], ["load", "work"]))
        self.each(check)

    def test_run(self):
        def check(tmp, path, prefix):
            self.check_capture(self.run_(tmp, path, prefix, ["load", "work", "end"]))
        self.each(check)

    def test_python_allocators_of_a_library_that_comes_later(self):
        def check(tmp, path, prefix):
            cap = self.run_(tmp, path, prefix, ["load", "work", "end"], "--trace-python-allocators")
            reader = table.memtrace.FileReader(cap)
            found = [(r.allocator.name, r.stack_trace()) for r in reader.get_allocation_records()
                     if r.size == SIZE + HEADER]
            self.assertEqual(found, [("PYMALLOC_CALLOC", STACK)] * TIMES)
            self.assertTrue(reader.metadata.trace_python_allocators)
        self.each(check)

    def test_thread_of_c(self):
        """It has no interpreter state before, and none afterwards."""
        def check(tmp, path, prefix):
            cap = self.run_(tmp, path, prefix, ["load", "thread", "thread", "end"])
            reader = table.memtrace.FileReader(cap)
            found = [r for r in reader.get_allocation_records() if r.size == SIZE + HEADER]
            self.assertEqual([r.stack_trace() for r in found], [STACK] * 2 * TIMES)
            self.assertEqual(len({r.tid for r in found} - {reader.metadata.main_thread_id}), 2)
        self.each(check)


if __name__ == "__main__":
    unittest.main()
