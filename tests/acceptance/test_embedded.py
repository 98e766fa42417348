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

TIMEOUT = 400		# the first one makes a root of another Debian
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
    """(its shared library, its prefix), as it sees them; None where there is none."""
    text = ("import sys, sysconfig; v = sysconfig.get_config_var; "
            "print(sys.base_prefix); print(v('LIBDIR')); print(v('INSTSONAME')); print(v('LDLIBRARY'))")
    prefix, folder, *names = harness.run([*python.argv, "-c", text], check=0).out.split("\n")[:4]
    version = harness.run([*python.argv, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).out.strip()
    for name in names + [f"libpython{version}.so.1.0"]:
        for where in (folder, f"{folder}/x86_64-linux-gnu"):
            path = Path(python.outside(where), name)
            if ".so" in name and path.exists():
                return path.resolve(), prefix
    return None


class Embedded(unittest.TestCase):
    maxDiff = None

    def check_capture(self, cap, times=TIMES):
        reader = table.memtrace.FileReader(cap)
        found = [r.stack_trace() for r in reader.get_allocation_records() if r.size == SIZE + HEADER]
        self.assertEqual(found, [STACK] * times)
        merged = [r.hybrid_stack_trace() for r in reader.get_allocation_records() if r.size == SIZE + HEADER]
        for frames in merged:
            self.assertEqual([f for f in frames if f in STACK], STACK)
            self.assertEqual(frames[-1][0], "_start")
            self.assertFalse([f for f in frames if "EvalFrameDefault" in f[0]])

    def each(self, python, check):
        found = library(python)
        if not found:
            self.skipTest("a build without a shared library cannot be embedded")
        path, prefix = found
        with python.tmpdir() as tmp:
            program = python.put(harness.compile_c("acceptance/embedded.c", flags=["-pthread", "-ldl"]), tmp)
            command = python.argv[:-1] + [program]		# in the interpreter's root, if it has one
            # A debug build adds to each block else.
            check(tmp, command, path, {"PYTHONHOME": prefix, "PYTHONMALLOC": "pymalloc"})

    def attach(self, tmp, argv, env, before, during):
        with harness.start_target(argv, stdin=True, wait="^ready", env=env) as target:
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

    def run_(self, tmp, argv, env, words, *options):
        result = harness.memtrace("run", "-q", "-o", tmp / "run.bin", *options, "--", *argv,
                                  stdin="".join(f"{word}\n" for word in words), env=env)
        self.assertEqual(result.err, "")
        return tmp / "run.bin"

    def library_of_another_name(self, python):
        def check(tmp, command, path, env):
            other = tmp / "engine.so"
            shutil.copy(path, other)
            argv = [*command, python.inside(other), CODE]
            self.check_capture(self.attach(tmp, argv, env, ["load"], ["work"]))
        self.each(python, check)

    def library_that_comes_later(self, python):
        def check(tmp, command, path, env):
            argv = [*command, python.inside(path), CODE]
            self.check_capture(self.attach(tmp, argv, env, [], ["load", "work"]))
        self.each(python, check)

    def embedded_run(self, python):
        def check(tmp, command, path, env):
            argv = [*command, python.inside(path), CODE]
            self.check_capture(self.run_(tmp, argv, env, ["load", "work", "end"]))
        self.each(python, check)

    def python_allocators_of_a_library_that_comes_later(self, python):
        def check(tmp, command, path, env):
            argv = [*command, python.inside(path), CODE]
            cap = self.run_(tmp, argv, env, ["load", "work", "end"], "--trace-python-allocators")
            reader = table.memtrace.FileReader(cap)
            found = [(r.allocator.name, r.stack_trace()) for r in reader.get_allocation_records()
                     if r.size == SIZE + HEADER]
            self.assertEqual(found, [("PYMALLOC_CALLOC", STACK)] * TIMES)
            self.assertTrue(reader.metadata.trace_python_allocators)
        self.each(python, check)

    def thread_of_c(self, python):
        """It has no interpreter state before, and none afterwards."""
        def check(tmp, command, path, env):
            argv = [*command, python.inside(path), CODE]
            reader = table.memtrace.FileReader(self.run_(tmp, argv, env, ["load", "thread", "thread", "end"]))
            found = [r for r in reader.get_allocation_records() if r.size == SIZE + HEADER]
            self.assertEqual([r.stack_trace() for r in found], [STACK] * 2 * TIMES)
            self.assertEqual(len({r.tid for r in found} - {reader.metadata.main_thread_id}), 2)
        self.each(python, check)


table.add(Embedded, Embedded.library_of_another_name, Embedded.library_that_comes_later, Embedded.embedded_run,
          Embedded.python_allocators_of_a_library_that_comes_later, Embedded.thread_of_c)


if __name__ == "__main__":
    unittest.main()
