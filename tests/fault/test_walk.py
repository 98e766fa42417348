# SPDX-License-Identifier: Apache-2.0
# tests/fault/test_walk.py - memtrace dies, fails or is interrupted at every k-th of its steps.
# Knows: how many steps a short run may take. Does not know: what is checked (walker.py).
# Run by tests/run.py; `make fault` walks all of them.
import errno
import re
import signal
import subprocess
import unittest

import harness
import walk
import walker

TIMEOUT = 300


class Switch(unittest.TestCase):
    def names(self, path):
        return subprocess.check_output(["nm", str(path)], text=True)

    def test_nothing_of_it_is_in_the_program(self):
        self.assertNotRegex(self.names(harness.MEMTRACE), r"__wrap_|__real_")
        self.assertNotIn(b"MEMTRACE_FAULT", harness.MEMTRACE.read_bytes())

    def test_no_call_slips_by(self):
        """Fortified forms of the functions (__read_chk) would not be led through the switch."""
        source = (harness.ROOT / "tests" / "fault" / "fault.c").read_text()
        calls = re.findall(r"^WRAP[A-Z_]*\([^,]*, (\w+),", source, re.M) + ["fork"]
        self.assertGreater(len(calls), 25)
        undefined = {line.split()[-1].split("@")[0] for line in self.names(walker.FAULTY).splitlines()
                     if line.split()[-2:-1] == ["U"]}
        odd = {f"__{c}_chk" for c in calls} | {f"__{c}_2" for c in calls} | {f"{c}64" for c in calls}
        self.assertEqual(undefined & odd, set())
        self.assertRegex(self.names(walker.FAULTY), r" T __wrap_ptrace\b")

    def test_steps_are_counted(self):
        with walker.Walk() as w:
            steps = w.steps("attach")
            self.assertGreater(len(steps), 500)
            self.assertEqual([int(s.split()[0]) for s in steps], list(range(1, len(steps) + 1)))
            for call in ("ptrace", "waitid", "pwrite", "process_vm_readv", "write", "open"):
                self.assertIn(call, {s.split()[1] for s in steps})
            result = w.faulty("attach", "kill:300")
            self.assertEqual(result.code, -signal.SIGKILL)
            self.assertEqual(len(w.log.read_text().splitlines()), 300)
            w.remove_rest()


class LostThread(unittest.TestCase):
    def test_in_every_call(self):
        """memtrace takes the borrowed thread for dead while it runs a call of ours, and goes on to take
        out what is there: not the stack from under that call."""
        with walker.Walk() as w:
            steps = [line.split()[1:3] for line in w.steps("attach")]
            waits = [n for n, (a, b) in enumerate(zip(steps, steps[1:]), 2)
                     if a == ["ptrace", "0x7"] and b[0] == "waitid"]
            self.assertGreater(len(waits), 15)
            for n in waits * 2:
                w.ready()
                with w.named("thread lost", n):
                    w.end_well("attach", w.faulty("attach", f"fail:{n}:{errno.ECHILD}"))


class EveryNthStep(unittest.TestCase):
    def walk(self, way, stride):
        seed, offset = walk.offset_of_this_run(stride)
        again = (f"MEMTRACE_FAULT_SEED={seed} does the same steps again: every {stride}th from "
                 f"{offset + 1} of {way}")
        print(again, flush=True)
        failures, walked = walk.walk_way(way, stride, offset)
        self.assertEqual(failures, [], again)
        self.assertGreater(walked, 1)

    def test_killed_while_attached(self):
        self.walk("kill-attach", 90)

    def test_killed_while_it_removes_what_another_left(self):
        self.walk("kill-detach", 110)

    def test_killed_while_it_looks(self):
        self.walk("kill-status", 25)

    def test_a_call_fails_while_attached(self):
        self.walk("fail-attach", 90)

    def test_a_call_fails_while_it_removes_what_another_left(self):
        self.walk("fail-detach", 110)

    def test_half_a_read_or_write(self):
        self.walk("short-attach", 200)

    def test_no_memory(self):
        self.walk("memory-attach", 60)

    def test_interrupted_while_attached(self):
        self.walk("signal-attach", 110)

    def test_interrupted_while_it_removes_what_another_left(self):
        self.walk("signal-detach", 150)

    def test_target_ends_while_attached(self):
        self.walk("target-attach", 110)

    def test_run_is_killed(self):
        self.walk("kill-run", 150)

    def test_run_is_interrupted(self):
        self.walk("signal-run", 300)

    def test_program_of_run_ends(self):
        self.walk("target-run", 300)


if __name__ == "__main__":
    unittest.main()
