# SPDX-License-Identifier: Apache-2.0
# tests/acceptance/test_stacks.py - Python stacks (PS), native ones (NS), foreign threads and late libraries (EX).
# Knows: what the functions of tests/targets/acceptance/stacks.py do. Does not know: how they are run.
# Run by tests/run.py.
"""Rows of the table that are no rows here:
  PS-9, PS-14   each capture of the attach rows is one of many of its process, and has its own records alone
  PS-12         test_cython.py
  NS-2, NS-5..9 merged stacks and inlines: tests/e2e/test_exact_python.py, test_exact_stacks.py, test_symbolize.py
  EX-6          tests/e2e/test_exact_c.py, LateLibraries"""
import unittest

import table
from memtrace import AllocatorType as A
from table import Row

TIMEOUT = 400
K = 1024


def plain(stack):
    """Without the classes of functions, which Python before 3.11 has not in a frame."""
    return [[function.split(".")[-1], file, line] for function, file, line in stack]


def stacks(allocator=A.VALLOC, size=None):
    """Those of the row's blocks, in order, are what the target said, frame by frame and line by line."""
    def check(test, seen):
        found = [plain(r.stack_trace()) for r in seen.allocations(allocator, size)]
        test.assertEqual(found, [plain(stack) for stack in seen.said])
    return check


def ids(test, seen):
    stacks()(test, seen)
    return [r.stack_id for r in seen.allocations(A.VALLOC)]


def two_lines(test, seen):
    first, second = ids(test, seen)
    test.assertNotEqual(first, second)
    a, b = map(plain, seen.said)
    test.assertEqual(sum(x != y for x, y in zip(a, b)), 1)


def equal_ids(test, seen):
    test.assertEqual(len(set(ids(test, seen))), 1)


def depths(*want):
    def check(test, seen):
        stacks()(test, seen)
        test.assertEqual([[f[0] for f in stack].count("recurse") for stack in seen.said], list(want))
    return check


def next_line(test, seen):
    stacks(A.MMAP, 4096)(test, seen)
    lines = [next(f[2] for f in stack if f[0] == "two_maps") for stack in seen.said]
    test.assertEqual(lines[1], lines[0] + 1)


def foreign(test, seen):
    """The callback is all there is of Python, in a thread of its own."""
    stacks()(test, seen)
    found = seen.allocations(A.VALLOC)
    test.assertEqual([len(r.stack_trace()) for r in found], [1])
    test.assertNotIn(seen.reader.metadata.main_thread_id, [r.tid for r in found])


def at_exit(test, seen):
    found = [r for r in seen.capture.events if r.size == 4444]
    test.assertEqual([r.allocator for r in found], [A.VALLOC])
    test.assertEqual(len(seen.releases(found[0].address)), 1)


def native(*want):
    """The innermost native frames, leaf first, and what Python says."""
    def check(test, seen):
        stacks()(test, seen)
        frames = [f[0] for f in seen.allocations(A.VALLOC)[0].native_stack_trace()]
        test.assertEqual(frames[:len(want)], list(want))
    return check


def hundred_threads(test, seen):
    found = [r for r in seen.capture.events if r.allocator == A.POSIX_MEMALIGN and r.size == K and
             r.native_stack_trace(1)[0][0] == "allocate_memory"]
    test.assertEqual(len(found), 10000)
    test.assertEqual(len({r.tid for r in found}), 100)
    test.assertEqual({tuple(f[0] for f in r.native_stack_trace(2)) for r in found}, {("allocate_memory", "worker")})
    test.assertEqual([r for r in found if r.stack_trace()], [])
    live = [r for r in seen.reader.get_leaked_allocation_records() if r.allocator == A.POSIX_MEMALIGN]
    test.assertEqual(live, [])


NOT_BY_RUN = {"run": "nothing is older than the capture"}
PYTHON = [
    Row("PS-1", "chain", stacks(), shares="stacks"),
    Row("PS-2", "two_lines", two_lines, shares="stacks"),
    Row("PS-3", "one_line", equal_ids, shares="stacks"),
    Row("PS-4", "deep_and_shallow", depths(21, 0), shares="stacks"),
    Row("PS-5", "two_maps", next_line, shares="stacks"),
    Row("PS-6, PS-7", "waiting", stacks(), before=["start_thread"], prime=False, shares="thread 1",
        not_by=NOT_BY_RUN),
    Row("PS-8", "waiting", stacks(), prime=False, shares="thread 2", not_by=NOT_BY_RUN),
    # Memray loses the stack here, its profile function is gone; memtrace has none.
    Row("PS-10", "profile_removed", stacks(), shares="stacks"),
    Row("PS-11, AT-10", "profiled", stacks(), before=["set_profile"], prime=False, shares="profile"),
    Row("PS-13", "small_object", stacks(A.PYMALLOC_MALLOC, 499), options=["--trace-python-allocators"]),
]
EXTENSIONS = [
    Row("EX-1", "foreign_thread", foreign, shares="stacks", prime=False),
    Row("EX-2", "second_state", stacks(), shares="stacks"),
    Row("EX-3", "late_library", stacks(), prime=False, shares="late"),
    Row("EX-4", "at_thread_exit", at_exit, prime=False, shares="exit"),
]
NATIVE = [
    Row("NS-1", "native_chain", native("native_baz", "native_bar", "native_foo"), shares="native"),
    Row("NS-3", "native_recursion", native(*["native_deeper"] * 2049, "native_recursion"), shares="native"),
    Row("NS-4", "hundred_threads", hundred_threads, shares="native", prime=False),
]
Stacks = table.of(PYTHON + EXTENSIONS + NATIVE, "stacks")


if __name__ == "__main__":
    unittest.main()
