# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_selfcheck.py - programs that check themselves, attached to, detached from, and left by
# a memtrace that was killed. Knows: the modes of tests/targets/selfcheck.c. Does not know: what they
# check. Run by tests/run.py.
import shutil
import time
import unittest

import harness
import selfcheck
import session

TIMEOUT = 240


class Checked(unittest.TestCase):
    compiler = None

    def attached(self, mode, killed=True):
        """Two captures, one that is killed, one that cleans up; then its own verdict."""
        with harness.tmpdir() as tmp, selfcheck.start(mode, tmp, compiler=self.compiler) as target:
            for i in range(2):
                harness.memtrace("attach", target.pid, "-d", "150ms", "-o", tmp / f"{i}.bin")
                self.assertEqual(target.failure(), "", f"capture {i}")
            if killed:
                target.page.put32(selfcheck.ALLOW_EINTR, 1)
                with session.Attach(target.pid, "-o", tmp / "killed.bin") as attach:
                    attach.proc.kill()
                    attach.wait()
                harness.memtrace("detach", target.pid)
            self.assertEqual(harness.memtrace("status", target.pid).code, 0)
            self.assertEqual(harness.maps_clean(target.pid), [])
            if mode != "idle":
                target.goes_on()
            time.sleep(0.1)
            self.assertEqual(target.failure(), "")
            self.assertEqual(target.finish(), "")


class OnAnyLibc:
    def test_registers(self):
        """General, flags, x87, MXCSR, vector and mask registers, red zone, errno, stack."""
        self.attached("regs")

    def test_blocking_calls(self):
        """More than thirty calls with and without time-outs: no EINTR, never early, not much later."""
        self.attached("waits")

    def test_signals(self):
        """Queued ones: none lost, none doubled, in order, on the alternate stack; the mask."""
        self.attached("storm")

    def test_idle(self):
        self.attached("idle")

    def test_saturated_with_malloc(self):
        self.attached("malloc")

    def test_threads_that_come_and_go(self):
        self.attached("churn")

    def test_children(self):
        """fork, vfork and exec, posix_spawn, raw clone all the time."""
        self.attached("children")


class OnGlibc(OnAnyLibc, Checked):
    def test_timers(self):
        """Expirations and overruns of timers, and what is pending stays pending."""
        self.attached("timers")

    def test_libraries_that_come_and_go(self):
        """dlopen and dlclose all the time: borrowed between two of them, in none."""
        self.attached("dlopen")

    def test_deep_stacks(self):
        """10,000 frames, unwound while the program allocates at the bottom."""
        self.attached("deep")

    def test_nearly_full_stack(self):
        """16 KiB from its end: the hooks must do with what malloc itself would."""
        self.attached("full-stack")

    def test_profiling_signal_that_allocates(self):
        """SIGPROF at 1 kHz, its handler calls malloc and mmap."""
        self.attached("profile")


@unittest.skipUnless(shutil.which("musl-gcc"), "no musl-gcc")
class OnMusl(OnAnyLibc, Checked):
    compiler = "musl-gcc"


if __name__ == "__main__":
    unittest.main()
