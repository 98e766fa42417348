# SPDX-License-Identifier: Apache-2.0
# tests/acceptance/test_threads.py - names of threads (TN), of threads that end at once.
# Knows: what the functions of tests/targets/acceptance/threads.py do. Does not know: how they are run.
# Run by tests/run.py.
import errno
import re
import unittest

import table
from memtrace import AllocatorType as A
from table import Row

TIMEOUT = 400


def names(*want):
    """Those of the threads that made the row's blocks, in order."""
    def check(test, seen):
        found = [re.fullmatch(r"Thread \d+ \((.*)\)", r.thread_name) for r in seen.allocations(A.VALLOC)]
        test.assertEqual([match and match[1] for match in found], list(want))
    return check


def one_place(test, seen):
    """A thread is not told by its place, nor a block by its thread's."""
    names(*(f"many-{number}" for number in range(20)))(test, seen)
    test.assertEqual(len({r.tid for r in seen.allocations(A.VALLOC)}), 20)


def from_outside(test, seen):
    """The C library names another thread by a file in /proc."""
    if seen.said:
        test.assertEqual((seen.said, seen.python.root is None), (errno.ENOENT, False))
    else:
        names("from-outside")(test, seen)


ROWS = [
    Row("TN-1", "named_by_prctl", names("by-prctl"), shares="all", prime=False),
    Row("TN-1 late", "named_late", names("late-name"), shares="all", prime=False),
    Row("TN-2 from outside", "named_from_outside", from_outside, shares="all", prime=False),
    # Four records, one name: memtrace shows threads, and each has the name that it had last.
    Row("TN-2 one after another", "renamed", names(*["name-4"] * 4), shares="all", prime=False),
    Row("TN many", "many", one_place, shares="all", prime=False),
]
# threading.Thread(name=...) is no row: what Python alone knows is not asked for. From 3.14 on Python gives
# the name to the kernel, and it is seen.
Threads = table.of(ROWS, "threads")


if __name__ == "__main__":
    unittest.main()
