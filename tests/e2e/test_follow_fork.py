# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_follow_fork.py - --follow-fork: every forked child has a capture of its own, from its
# first event, and nobody is harmed whoever dies.
# Knows: what the targets' processes say they allocate. Does not know: how a child is noticed.
# Run by tests/run.py.
import collections
import csv
import io
import os
import re
import signal
import time
import unittest

import harness
import session

TIMEOUT = 300
TARGET = harness.TARGETS / "forks.py"


def said(lines):
    """{pid: {(bytes, times)}}"""
    found = collections.defaultdict(set)
    for line in lines:
        match = re.match(r"(\d+) \w+ (\d+) (\d+)$", line)
        if match:
            found[int(match[1])].add((int(match[2]), int(match[3])))
    return dict(found)


def leaf_blocks(cap):
    """{(bytes, times)} of what leaf() allocated."""
    text = harness.memtrace("transform", "csv", "--no-native", "--view", "allocated", cap).out
    found = collections.Counter()
    for row in csv.DictReader(io.StringIO(text)):
        times, size = int(row["num_allocations"]), int(row["size"])
        leaf = row["stack_trace"].split("|")[0]
        if "forks.py" in leaf and times and size // times > 20000:
            found[size // times] += times
    return set(found.items())


def captures(tmp):
    """{pid or 0 for the root: path}"""
    found = {}
    for path in tmp.iterdir():
        match = re.fullmatch(r"cap\.bin(?:\.(\d+))?", path.name)
        if match:
            found[int(match[1] or 0)] = path
    return found


class FollowFork(unittest.TestCase):
    maxDiff = None

    def check_captures(self, tmp, lines, root):
        want = said(lines)
        got = {pid or root: leaf_blocks(path) for pid, path in captures(tmp).items()}
        self.assertEqual({pid: blocks for pid, blocks in got.items() if blocks}, want)
        for path in captures(tmp).values():
            counters = harness.counters(path)
            self.assertEqual(counters["produced"], counters["written"])

    def test_children_of_every_kind(self):
        for options in ([], ["--trace-python-allocators"]):
            with self.subTest(options), harness.tmpdir() as tmp, harness.start_target(
                    [harness.PYTHON, TARGET], stdin=True, wait="^ready") as target:
                with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork",
                                    *options) as attach:
                    target.send("go\n")
                    target.wait_line("^done", 60)
                    result = attach.interrupt()
                self.assertNotIn("not recorded", result.err)
                self.assertEqual(harness.maps_clean(target.pid), [])
                self.check_captures(tmp, target.lines, target.pid)
                target.send("end\n")
                self.assertEqual(target.wait(), 0, target.err)

    def test_run(self):
        with harness.tmpdir() as tmp:
            result = harness.memtrace("run", "-o", tmp / "cap.bin", "--follow-fork", "--",
                                      harness.PYTHON, TARGET, stdin=b"go\nend\n")
            lines = result.out.splitlines()
            root = next(int(x.split()[0]) for x in lines if " root " in x)
            self.check_captures(tmp, lines, root)

    def test_first_event_of_a_c_program(self):
        program = harness.compile_c("alloc_fork.c", flags=["-w", "-O1", "-fno-inline", "-pthread"])
        with harness.tmpdir() as tmp, harness.start_target([program], stdin=True,
                                                           wait="^ready") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                target.send("g")
                target.wait_line("^done", 60)
                child = int(target.wait_line(r"^forked (\d+)")[1])
                attach.interrupt()
            self.assertEqual(harness.maps_clean(child), [])
            rows = harness.folded(tmp / f"cap.bin.{child}", "--view", "allocated", "--metric", "count")
            self.assertEqual(harness.folded_sum(rows, r"\bchild_work\b"), 50 * 100 + 50)
            self.assertEqual(harness.folded_sum(rows, r"\bof_parent\b"), 0)
            target.send("x")
            self.assertEqual(target.wait(), 0)

    def test_limits_of_file_sizes(self):
        """A channel is a file; a program that may not write one so large would be killed for it."""
        program = harness.compile_c("alloc_fork.c", flags=["-w", "-O1", "-fno-inline", "-pthread"])
        for limits, followed in ("1048576:unlimited", True), ("1048576:1048576", False):
            with self.subTest(limits), harness.tmpdir() as tmp, harness.start_target(
                    ["prlimit", f"--fsize={limits}", program], stdin=True, wait="^ready") as target:
                with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                    target.send("g")
                    target.wait_line("^done", 60)
                    child = int(target.wait_line(r"^forked (\d+)")[1])
                    attach.interrupt()
                self.assertEqual((tmp / f"cap.bin.{child}").exists(), followed)
                target.send("x")
                self.assertEqual(target.wait(), 0)
                self.assertEqual(target.wait_line(r"^child 1 (\d+)", 10)[1], "0")

    def forking(self, code):
        return harness.start_target([harness.PYTHON, "-c", code], stdin=True, wait="^ready")

    STORM = ("import os, sys\n"
             "print('ready', flush=True); sys.stdin.readline()\n"
             "bad = 0\n"
             "for i in range(%d):\n"
             "    pid = os.fork()\n"
             "    if not pid:\n"
             "        x = [bytes(700) for _ in range(10)]\n"
             "        os._exit(7)\n"
             "    %s\n"
             "while True:\n"
             "    try:\n"
             "        bad += os.wait()[1] != 7 << 8\n"
             "    except ChildProcessError:\n"
             "        break\n"
             "print('bad', bad, flush=True); sys.stdin.readline()\n")

    def test_more_children_than_can_be_followed(self):
        with harness.tmpdir() as tmp, self.forking(self.STORM % (300, "pass")) as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                target.send("go\n")
                self.assertEqual(target.wait_line("^bad (.*)", 100)[1], "0")
                result = attach.interrupt()
            match = re.search(r"(\d+) child(?:ren were| was) not recorded", result.err)
            missed = int(match[1]) if match else 0
            self.assertEqual(len(captures(tmp)) - 1 + missed, 300)
            for path in list(captures(tmp).values())[:5]:
                harness.memtrace("info", path)

    def test_no_file_is_overwritten(self):
        with harness.tmpdir() as tmp, self.forking(self.STORM % (3, "os.waitid(os.P_PID, pid, "
                                                   "os.WEXITED | os.WNOWAIT)")) as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "-f", "--follow-fork") as attach:
                for n in range(target.pid, target.pid + 300):
                    (tmp / f"cap.bin.{n}").write_text("mine")
                target.send("go\n")
                self.assertEqual(target.wait_line("^bad (.*)", 100)[1], "0")
                attach.interrupt()
            mine = [p for p in tmp.iterdir() if p.stat().st_size == 4]
            self.assertEqual(len(mine), 300)
            self.assertEqual(len([p for p in tmp.iterdir() if p.stat().st_size > 4]), 4)

    LONG = ("import os, sys, time\n"
            "print('ready', flush=True); sys.stdin.readline()\n"
            "pid = os.fork()\n"
            "if not pid:\n"
            "    n = 0\n"
            "    while True:\n"
            "        n += 1; x = [bytes(7000) for _ in range(10)]; time.sleep(0.01)\n"
            "        if n %% 20 == 1: os.write(1, b'child %%d %%d\\n' %% (os.getpid(), n))\n"
            "print('forked', pid, flush=True)\n"
            "sys.stdin.readline()\n"
            "%s\n")

    def test_killed_controllers(self):
        """Of all, at once; and children that are forked after it."""
        with harness.tmpdir() as tmp, self.forking(
                self.LONG % "for i in range(5):\n"
                            "    if not os.fork():\n"
                            "        x = bytes(100); os._exit(0)\n"
                            "    os.wait()\n"
                            "print('after', flush=True); sys.stdin.readline(); os.kill(pid, 9)") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                target.send("go\n")
                child = int(target.wait_line("^forked (.*)")[1])
                target.wait_line(f"^child {child} 21$")
                os.killpg(attach.proc.pid, signal.SIGKILL)
                attach.wait()
            target.wait_line(f"^child {child} 6[0-9]*$")
            begin = time.monotonic()
            target.send("fork\n")
            target.wait_line("^after", 30)
            self.assertLess(time.monotonic() - begin, 20)
            for pid in (target.pid, child):
                harness.memtrace("detach", pid)
                self.assertEqual(harness.maps_clean(pid), [])
                self.assertEqual(harness.memtrace("status", pid).code, 0)
            harness.memtrace("info", tmp / f"cap.bin.{child}")
            target.send("end\n")
            self.assertEqual(target.wait(), 0, target.err)

    def test_parent_ends_first_and_killed_child(self):
        with harness.tmpdir() as tmp, self.forking(self.LONG % "os._exit(0)") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                target.send("go\n")
                child = int(target.wait_line("^forked (.*)")[1])
                target.wait_line(f"^child {child} 21$")
                target.send("end\n")
                self.assertEqual(target.wait(), 0)
                target.wait_line(f"^child {child} 61$")
                self.assertIsNone(attach.proc.poll())
                os.kill(child, signal.SIGKILL)
                result = attach.wait()
            self.assertEqual(result.code, 0, result.err)
            rows = harness.folded(tmp / f"cap.bin.{child}", "--no-native", "--view", "allocated",
                                  "--metric", "count")
            self.assertGreaterEqual(harness.folded_sum(rows, r"<string>:7"), 600)

    def test_killed_recorder_of_one_child(self):
        with harness.tmpdir() as tmp, self.forking(self.LONG % "os.kill(pid, 9)") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                target.send("go\n")
                child = int(target.wait_line("^forked (.*)")[1])
                target.wait_line(f"^child {child} 21$")
                recorder, = harness.run(["ps", "-o", "pid=", "--ppid", str(attach.proc.pid)]).out.split()
                os.kill(int(recorder), signal.SIGKILL)
                target.wait_line(f"^child {child} 61$")
                self.assertTrue(session.armed(target.pid))
                result = attach.interrupt()
            self.assertIn(f"`memtrace detach {child}` removes what it left", result.err)
            harness.memtrace("detach", child)
            self.assertEqual(harness.maps_clean(child), [])
            target.send("end\n")
            self.assertEqual(target.wait(), 0)

    def test_detach_one_child(self):
        with harness.tmpdir() as tmp, self.forking(self.LONG % "os.kill(pid, 9)") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                target.send("go\n")
                child = int(target.wait_line("^forked (.*)")[1])
                target.wait_line(f"^child {child} 21$")
                self.assertEqual(harness.memtrace("status", child, check=None).code, 3)
                harness.memtrace("detach", child)
                self.assertEqual(harness.maps_clean(child), [])
                self.assertTrue(session.armed(target.pid))
                attach.interrupt()
            target.send("end\n")
            self.assertEqual(target.wait(), 0)


if __name__ == "__main__":
    unittest.main()
