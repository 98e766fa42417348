# SPDX-License-Identifier: Apache-2.0
# tests/fault/test_seccomp.py - memtrace dies while a thread with a seccomp filter loads the tracer.
# Knows: tests/targets/t_seccomp.c, the log of tests/fault/fault.c. Does not know: how it is loaded.
# Run by tests/run.py.
import re
import signal
import unittest

import harness
import walker

PTRACE_CONT, PTRACE_SYSCALL = 7, 24


class Killed(unittest.TestCase):
    """The suspension of a filter ends with memtrace: what the thread is about to call must be
    allowed by the filter itself."""

    def setUp(self):
        self.tmp = self.enterContext(harness.tmpdir())
        self.log = self.tmp / "log"
        self.worked = 0

    def start(self, kind):
        program = harness.compile_c("t_seccomp.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
        self.target = self.enterContext(
            harness.start_target([program, kind], stdin=True, wait="^ready"))

    def attach(self, fault, code):
        self.log.unlink(missing_ok=True)
        return harness.run([walker.FAULTY, "attach", self.target.pid, "-d", "1ms", "-f", "-q",
                            "-o", self.tmp / "cap.bin"], check=code, timeout=60,
                           env={"MEMTRACE_FAULT": fault, "MEMTRACE_FAULT_LOG": self.log})

    def resumptions(self):
        """The steps by which a thread is made to go on in a call of ours."""
        wanted = {f"ptrace {PTRACE_CONT:#x}", f"ptrace {PTRACE_SYSCALL:#x}"}
        steps = [re.match(r"(\d+) (\S+ \S+)", line) for line in self.log.read_text().splitlines()]
        return [int(m[1]) for m in steps if m and m[2] in wanted]

    def check_works(self):
        self.worked += 1
        self.target.send("x")
        harness.wait_for(lambda: self.target.lines.count("worked") == self.worked, 20)

    def walk(self, kind):
        self.start(kind)
        self.attach(None, 0)
        steps = self.resumptions()
        self.assertGreater(len(steps), 30)
        for step in steps[::4]:
            for at in (step, step + 1):
                with self.subTest(kind=kind, step=at):
                    # The last ones may come earlier than in the first run, and end well.
                    self.attach(f"kill:{at}", (-signal.SIGKILL, 0))
                    self.check_works()
                    result = harness.memtrace("detach", self.target.pid, check=None)
                    self.check_works()
                    self.assertEqual(harness.maps_clean(self.target.pid), [], result)
        self.target.proc.stdin.close()
        self.assertEqual(self.target.wait(), 0)

    def test_where_the_loader_may_work(self):
        self.walk("kill_but_loading")

    def test_where_nothing_may_be_opened(self):
        self.walk("kill_but_mapping")


if __name__ == "__main__":
    unittest.main()
