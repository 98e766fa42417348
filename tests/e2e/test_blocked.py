# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_blocked.py - a target that sits in a system call is attached at once and never
# sees EINTR. Knows: which calls the kernel does not restart. Does not know: memtrace's stops.
# Run by tests/run.py.
import contextlib
import signal
import time
import unittest

import harness
import session

TIMED = ["epoll", "poll", "select", "futex", "nanosleep", "clock_nanosleep", "sigtimedwait",
         "recv", "semop"]
UNTIL_INPUT = ["read", "epoll", "poll", "msgrcv", "wait"]
# What the call returns when its time is over: (result, errno).
# A stop makes the kernel begin these anew with their whole time (docs/reliability.md).
BEGUN_ANEW = {"epoll", "sigtimedwait", "recv", "semop"}
AT_END = {"futex": (-1, 110), "sigtimedwait": (-1, 11), "recv": (-1, 11), "semop": (-1, 11)}


def build():
    return harness.compile_c("alloc_blocked.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])


def ended(target):
    match = target.wait_line(r"^ended (\S+) (-?\d+) (\d+) (\d+)", 30)
    return int(match[2]), int(match[3]), int(match[4])


class Blocked(unittest.TestCase):
    def test_until_input(self):
        """Attach and detach twice while it is blocked; then the input comes."""
        program = build()
        for mode in UNTIL_INPUT:
            with self.subTest(mode=mode), harness.tmpdir() as tmp, \
                    harness.start_target([program, mode], stdin=True, wait="^ready") as target:
                time.sleep(0.1)
                for i in range(2):
                    with session.Attach(target.pid, "-o", tmp / f"{i}.bin") as attach:
                        self.assertLess(attach.seconds_to_armed, 5)
                        time.sleep(0.1)
                        self.assertFalse([ln for ln in target.lines if ln.startswith("ended")],
                                         target.lines)
                        attach.interrupt()
                harness.wait_for(lambda: target.state() == "S")
                target.send("x")
                self.assertEqual(ended(target)[:2], (1, 0), mode)

    def test_timed(self):
        """The call's own time runs on: it ends when it would have ended, with its own result."""
        program = build()
        with contextlib.ExitStack() as stack:
            tmp = stack.enter_context(harness.tmpdir())
            begin = time.monotonic()
            targets = {mode: stack.enter_context(harness.start_target(
                [program, f"{mode}-timed"], stdin=True, wait="^ready")) for mode in TIMED}
            time.sleep(0.2)
            attaches = {mode: stack.enter_context(session.Attach(
                target.pid, "-o", tmp / f"{mode}.bin", "--duration", "300ms", wait=False))
                for mode, target in targets.items()}
            for mode, attach in attaches.items():
                with self.subTest(mode=mode):
                    result = attach.wait()
                    self.assertEqual(result.code, 0, result)
            last_stop = (time.monotonic() - begin) * 1000
            for mode, target in targets.items():
                with self.subTest(mode=mode):
                    value, error, milliseconds = ended(target)
                    self.assertEqual((value, error), AT_END.get(mode, (0, 0)), mode)
                    self.assertGreaterEqual(milliseconds, 2990)
                    most = 4500 + (last_stop if mode in BEGUN_ANEW else 0)
                    self.assertLess(milliseconds, most, "waited a second time")

    def test_pause_ends_only_by_its_signal(self):
        program = build()
        with harness.tmpdir() as tmp, harness.start_target(
                [program, "pause"], stdin=True, wait="^ready") as target:
            time.sleep(0.1)
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                attach.interrupt()
            time.sleep(0.2)
            self.assertTrue(target.alive())
            self.assertFalse([line for line in target.lines if line.startswith("ended")])
            target.signal(signal.SIGUSR1)
            self.assertEqual(ended(target)[:2], (-1, 4))


if __name__ == "__main__":
    unittest.main()
