# SPDX-License-Identifier: Apache-2.0
# tests/python/check_refused.py - all that check_tracker.py and check_web.py ask of Tracker, where ptrace
# is refused: by a filter, or by whatever $MEMTRACE is (test_package.py).
# Knows: what is different then. Does not know: how it is done all the same.
import os
import unittest

import check_tracker
import check_web
import refused
from memtrace import Tracker

if "PTRACE_IS_REFUSED" not in os.environ:
    refused.refuse()


class Refused(check_tracker.Case):
    def test_children_cannot_be_followed(self):
        with self.assertRaisesRegex(RuntimeError, "children of process .* cannot be followed: ptrace is refused"):
            with Tracker(self.path, follow_fork=True):
                pass
        self.assertFalse(os.path.exists(self.path))
        with Tracker(self.path):
            pass


def each(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        else:
            yield test


def load_tests(loader, own, pattern):
    suite = unittest.TestSuite(own)
    for module in (check_tracker, check_web):
        suite.addTests(test for test in each(loader.loadTestsFromModule(module))
                       if not test.id().endswith("test_children_too"))
    return suite


if __name__ == "__main__":
    unittest.main()
