# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_overflow.py - a controller that does not drain: stopped, killed, by choice.
# Knows: alloc_storm's protocol, the counters. Does not know: rings.
# Run by tests/run.py.
import contextlib
import os
import signal
import unittest

import harness
import session

THREADS, PAIRS = 2, 150000		# far more than the rings hold
EVENTS = 2 * THREADS * PAIRS


class Overflow(unittest.TestCase):
    @contextlib.contextmanager
    def storm(self):
        program = harness.compile_c("alloc_storm.c", flags=["-O1", "-pthread"])
        with harness.start_target([program, str(THREADS), str(PAIRS)], stdin=True,
                                  wait="^ready") as target:
            yield target

    def stop(self, target, attach):
        # Armed is a moment before the borrowed thread is let go.
        harness.wait_for(lambda: not harness.tracer_pid(target.pid))
        attach.send_signal(signal.SIGSTOP)
        harness.wait_for(lambda: harness.proc_state(attach.proc.pid) == "T")

    def stopped(self, *options):
        """A whole run of the target while the controller is stopped: counters, its own messages."""
        with harness.tmpdir() as tmp, self.storm() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin", *options) as attach:
                self.stop(target, attach)
                target.send("g")
                target.wait_line("^done", 60)		# and nobody drained meanwhile
                self.assertEqual(harness.proc_state(attach.proc.pid), "T")
                attach.send_signal(signal.SIGCONT)
                result = attach.interrupt()
            counters = harness.counters(tmp / "cap.bin")
            target.send("e")
            self.assertEqual(target.wait(), 0)
        self.assertGreater(counters["dropped"], 0)
        self.assertGreaterEqual(counters["produced"], EVENTS)
        self.assertEqual(counters["produced"], counters["written"] + counters["dropped"])
        self.assertIn(f"{counters['dropped']} of {counters['produced']} events were not recorded",
                      result.err)
        return counters

    def test_waits_a_bounded_time_for_a_stopped_controller(self):
        counters = self.stopped()
        self.assertGreater(counters["waits"], 0)

    def test_drops_when_told_to(self):
        self.assertEqual(self.stopped("--on-overflow", "drop")["waits"], 0)

    def test_goes_on_when_the_controller_is_killed_with_full_rings(self):
        with harness.tmpdir() as tmp, self.storm() as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                self.stop(target, attach)
                target.send("g")
                # Every thread that allocates waits for room.
                harness.wait_for(lambda: all(
                    open(f"/proc/{target.pid}/task/{tid}/stat", encoding="ascii").read()
                    .rpartition(")")[2].split()[0] == "S" for tid in os.listdir(f"/proc/{target.pid}/task"))
                    and len(os.listdir(f"/proc/{target.pid}/task")) > THREADS, what="full rings")
                attach.send_signal(signal.SIGKILL)
                attach.wait()
                target.wait_line("^done", 60)
            harness.memtrace("detach", target.pid)
            target.send("e")
            self.assertEqual(target.wait(), 0)

    def test_a_slow_controller_loses_nothing(self):
        """The default: threads wait, all is recorded, and the wait is told."""
        with harness.tmpdir() as tmp, self.storm() as target:
            result = session.capture_work(target, tmp / "cap.bin")
            counters = harness.counters(tmp / "cap.bin")
            target.send("e")
            self.assertEqual(target.wait(), 0)
        self.assertEqual(counters["dropped"], 0, result.err)
        self.assertGreaterEqual(counters["written"], EVENTS)
        self.assertEqual("waited" in result.err, counters["waits"] > 0, result.err)


if __name__ == "__main__":
    unittest.main()
