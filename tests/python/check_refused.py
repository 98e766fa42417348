# SPDX-License-Identifier: Apache-2.0
# tests/python/check_refused.py - all that check_tracker.py and check_web.py ask of Tracker, where ptrace
# is refused: by a filter, or by whatever $MEMTRACE is (test_package.py).
# Knows: what is different then. Does not know: how it is done all the same.
import os
import signal
import unittest

import check_tracker
import check_web
import refused
from memtrace import Tracker
from memtrace._cooperation import Cooperation

if "PTRACE_IS_REFUSED" not in os.environ:
    refused.refuse()
del check_tracker.Forks.test_children_too       # test_children_cannot_be_followed, below


class Refused(check_tracker.Case):
    def test_children_cannot_be_followed(self):
        with self.assertRaisesRegex(RuntimeError, "process .* (has a seccomp filter|may not be traced)"):
            with Tracker(self.path, follow_fork=True):
                pass
        self.assertFalse(os.path.exists(self.path))
        with Tracker(self.path):
            pass

    def test_interrupted_between_a_call_and_its_answer(self):
        left = [0]

        def interrupted(cooperation, words):
            answer = call(cooperation, words)
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            return answer
        call = self.replace(Cooperation, "_do_call", interrupted)
        for left[0] in range(1, 5):
            with self.assertRaises(KeyboardInterrupt):
                with Tracker(self.path, overwrite=True):
                    pass
            self.check_taken_out()
        with Tracker(self.path, overwrite=True):
            pass

    def test_it_dies_before_it_is_answered(self):
        """Where a broken pipe kills."""
        before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        self.addCleanup(signal.signal, signal.SIGPIPE, before)
        tracker = Tracker(self.path)

        def end(cooperation, words):
            os.kill(int(tracker._controller.pid), signal.SIGKILL)
            while os.read(cooperation._control, 1):
                pass
            return help_(cooperation, words)
        help_ = self.replace(Cooperation, "_do_help", end)
        with self.assertRaisesRegex(RuntimeError, "ended unexpectedly"):
            with tracker:
                self.fail("inside")


def load_tests(loader, own, pattern):
    suite = unittest.TestSuite(own)
    for module in (check_tracker, check_web):
        suite.addTests(loader.loadTestsFromModule(module))
    return suite


if __name__ == "__main__":
    unittest.main()
