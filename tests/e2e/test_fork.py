# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_fork.py - children of a captured process run unharmed and are not counted.
# Knows: the target's ledger. Does not know: how the tracer notices a fork.
# Run by tests/run.py.
import re
import signal
import unittest

import exact
import harness
import session


class Fork(unittest.TestCase):
    def program(self):
        return harness.compile_c("alloc_fork.c", flags=["-w", "-O1", "-fno-inline", "-pthread"])

    def check_parent(self, lines, cap):
        sites = session.read_sites(lines)
        got, _ = session.by_site(
            harness.folded(cap, "--view", "allocated", "--metric", "count"), ["alloc_fork.c"])
        got = {k: v for k, v in got.items() if k[0] not in ("main", "spawn_others")}
        self.assertEqual([], exact.differences(exact.expected(sites, "allocated", "count"), got))
        self.assertFalse([k for k in got if k[0] in ("of_child", "child_work")], "the child's")

    def children(self, target):
        return {int(m[1]): int(m[2]) for m in
                (re.match(r"child (\d+) (\d+)", line) for line in target.lines) if m}

    def test_children_during_and_after_attach(self):
        with harness.tmpdir() as tmp, harness.start_target(
                [self.program()], stdin=True, wait="^ready") as target:
            session.capture_work(target, tmp / "cap.bin")
            child = int(target.wait_line(r"^forked (\d+)")[1])
            self.assertEqual(harness.proc_state(child), "S")
            harness.memtrace("status", target.pid)
            target.send("x")                    # the long-lived child works once more
            self.assertEqual(target.wait(), 0)
            self.assertEqual(self.children(target), {1: 0, 2: 0, 3: 0, 4: 3, 5: 0})
            self.check_parent(target.lines, tmp / "cap.bin")

    def test_run(self):
        with harness.tmpdir() as tmp:
            result = harness.memtrace("run", "-o", tmp / "cap.bin", "--", self.program())
            lines = result.out.splitlines()
            self.assertIn("child 1 0", lines)
            self.check_parent(lines, tmp / "cap.bin")

    def test_child_can_be_attached_itself(self):
        """The child has the tracer's copy in it (it was forked during the capture)."""
        with harness.tmpdir() as tmp, harness.start_target(
                [self.program()], stdin=True, wait="^ready") as target:
            with session.Attach(target.pid, "-o", tmp / "parent.bin") as attach:
                target.send("g")
                target.wait_line("^done")
                child = int(target.wait_line(r"^forked (\d+)")[1])
                attach.interrupt()
            code = harness.memtrace("status", child, check=(0, 3)).code
            if code == 3:
                harness.memtrace("detach", child)
                self.assertEqual(harness.memtrace("status", child).code, 0)
            self.assertEqual(harness.maps_clean(child), [])
            with session.Attach(child, "-o", tmp / "child.bin") as attach:
                target.send("x")
                self.assertEqual(target.wait(), 0)
                result = attach.wait()
            self.assertEqual(result.code, 0, result)
            rows = harness.folded(tmp / "child.bin", "--view", "allocated", "--metric", "count")
            self.assertEqual(harness.folded_sum(rows, r"^of_child\b"), 50)
            self.assertEqual(self.children(target)[1], 0)

    def test_python_subprocess_and_fork(self):
        code = ("import os, subprocess, sys\n"
                "print('ready', flush=True); os.read(0, 1)\n"
                "keep = [bytes(5000) for _ in range(50)]\n"
                "pid = os.fork()\n"
                "if not pid:\n"
                "    keep += [bytes(7000) for _ in range(50)]\n"
                "    os._exit(len(keep))\n"
                "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
                "print(subprocess.run(['/bin/echo', 'hello'], capture_output=True).stdout)\n"
                "print(subprocess.run('exit 4', shell=True).returncode)\n"
                "print('done', flush=True); os.read(0, 1)\n")
        with harness.tmpdir() as tmp, harness.start_target(
                [harness.PYTHON, "-c", code], stdin=True, wait="^ready") as target:
            session.capture_work(target, tmp / "cap.bin")
            self.assertEqual(target.lines[1:], ["100", "b'hello\\n'", "4", "done"])
            target.send("x")
            self.assertEqual(target.wait(), 0, target.err)
            self.assertEqual(target.err, "")
            rows = harness.folded(tmp / "cap.bin", "--view", "allocated", "--metric", "bytes")
            line = [(f, v) for f, v in rows if any(x.endswith("(<string>:3)") for x in f)]
            self.assertGreaterEqual(sum(v for _, v in line), 50 * 5033)
            self.assertEqual(harness.folded_sum(rows, r"\(<string>:6\)"), 0, "the child's")


if __name__ == "__main__":
    unittest.main()
