# SPDX-License-Identifier: Apache-2.0
# tests/acceptance/test_memory.py - allocators (AC), peak (PK), leaks (LK) and temporary blocks (TM).
# Knows: what the functions of tests/targets/acceptance/memory.py do. Does not know: how they are run.
# Run by tests/run.py.
import unittest

import harness
import table
from memtrace import AllocatorType as A
from table import Row, sizes

TIMEOUT = 400
K = 1024
PAGE = 4096


# ---- AC ----

def once(allocator, size, release=A.FREE):
    """One record of this size, by this allocator, and its release; in the peak view as well."""
    def check(test, seen):
        found = seen.allocations(allocator, size)
        test.assertEqual(len(found), 1)
        test.assertGreaterEqual(len(seen.releases(found[0].address, release)), 1)
        test.assertEqual([r.n_allocations for r in seen.peak(allocator) if r.size == size], [1])
        if isinstance(seen.said, dict):
            test.assertEqual(found[0].address, seen.said[allocator.name.lower()])
    return check


def all_of(*checks):
    def check(test, seen):
        for one in checks:
            one(test, seen)
    return check


def domains(traced):
    """A record and a release of each of the three calls when Python's allocators are recorded; none without."""
    def check(test, seen):
        kinds = (A.PYMALLOC_MALLOC, A.PYMALLOC_CALLOC, A.PYMALLOC_REALLOC)
        found = [(r.allocator, r.address) for r in seen.allocations(size=1234) if r.allocator in kinds]
        test.assertEqual(found, list(zip(kinds, seen.said)) if traced else [])
        for _, address in found:
            test.assertGreaterEqual(len(seen.releases(address, A.PYMALLOC_FREE)), 1)
    return check


def sized(test, seen):
    """Each block is there once, then released, and not there at the end."""
    for allocator, size in ((A.MALLOC, 7531), (A.ALIGNED_ALLOC, 7536)):
        found = seen.allocations(allocator, size)
        test.assertEqual(len(found), 1)
        test.assertGreaterEqual(len(seen.releases(found[0].address)), 1)
        test.assertEqual([r for r in seen.leaks(allocator) if r.size == size], [])


def nobody(test, seen):
    test.assertEqual(seen.allocations(), [])


def not_negative(test, seen):
    """The release is there, its block is in no view."""
    test.assertGreaterEqual(len(seen.releases(seen.said)), 1)
    for view in (seen.reader.get_leaked_allocation_records, seen.reader.get_high_watermark_allocation_records):
        test.assertEqual([r for r in view() if r.size == 6543 and r.allocator == A.VALLOC and seen.way == "attach"],
                         [])
        test.assertTrue(all(r.size > 0 and r.n_allocations > 0 for r in view()))
    test.assertGreaterEqual(seen.reader.totals()["leakedBytes"], 0)


def raw_thread(test, seen):
    """It has no Python frames."""
    found = [r for r in seen.capture.events
             if r.allocator == A.VALLOC and r.address == seen.said and r.size == 984]
    found = [r for r in found if r.tid != seen.reader.metadata.main_thread_id]
    test.assertEqual([r.stack_trace() for r in found[-1:]], [[]])
    if seen.way == "attach":
        test.assertEqual(len(found), 1)


def twice_the_same(test, seen):
    """Two readings of a capture are equal, and it counts its own records."""
    def read():
        reader = table.memtrace.FileReader(seen.capture.path)
        records = list(reader.get_allocation_records())
        return records, [r.stack_trace() for r in records if r.allocator not in table.RELEASES]
    first, second = read(), read()
    test.assertEqual(first, second)
    test.assertEqual(seen.reader.metadata.total_allocations, len(first[0]))
    test.assertGreater(len(first[1]), 0)


ONE_CALL = (A.MALLOC, A.VALLOC, A.PVALLOC, A.CALLOC, A.MEMALIGN, A.POSIX_MEMALIGN, A.ALIGNED_ALLOC, A.REALLOC)
ALLOCATORS = [
    Row("AC-1", "each", all_of(*(once(allocator, 984) for allocator in ONE_CALL)), high=True),
    Row("AC-2", "vector", once(A.MALLOC, 984), high=True),
    Row("AC-3", "sized", sized, shares="one by one"),
    *(Row(f"AC-4 {name}", f"domain_{name}", domains(True), options=["--trace-python-allocators"], shares="traced")
      for name in ("raw", "mem", "obj")),
    *(Row(f"AC-5 {name}", f"domain_{name}", domains(False), shares="one by one")
      for name in ("raw", "mem", "obj")),
    Row("AC-6", "mapped", once(A.MMAP, 2048, A.MUNMAP), high=True),
    Row("AC-7", "nothing", nobody, shares="one by one"),
    Row("AC-8", "raw_thread", raw_thread, shares="one by one"),
    Row("AC-9", "free_before", not_negative, before=["take_before"], prime=False, shares="one by one"),
    Row("AC-11, AC-12", "nothing", twice_the_same, shares="one by one"),
]


# ---- PK ----

def peak(want, allocator=A.VALLOC):
    """Sizes and counts of the row's own, each a row of the view."""
    def check(test, seen):
        test.assertEqual(sizes(seen.peak(allocator)), sorted(want, reverse=True))
    return check


def peak_pages(*want):
    return peak([(n * PAGE, 1) for n in want], A.MMAP)


def recursion(test, seen):
    found = seen.allocations(A.VALLOC)
    test.assertEqual(len(found), 10)
    test.assertEqual(sum(r.size for r in found), 56320)
    for r in found:
        test.assertGreaterEqual(len(seen.releases(r.address)), 1)
    peak([(n * K, 1) for n in (10, 8, 6, 4, 2, 1)])(test, seen)


def header(test, seen):
    """The header's peak is the sum of the view, and the row's part of it exact."""
    test.assertEqual(sizes(seen.peak(A.VALLOC)), [(102400, 100)])
    everything = sum(r.size for r in seen.reader.get_high_watermark_allocation_records())
    test.assertEqual(seen.reader.metadata.peak_memory, everything)
    test.assertEqual(seen.reader.totals()["peakBytes"], everything)


def threads_apart(test, seen):
    found = {}
    for r in seen.peak(A.VALLOC, merge_threads=False):
        found.setdefault(r.tid, []).append(r.size)
    test.assertEqual([sum(v) for v in found.values()], [4096, 4096])


PEAKS = [
    Row("PK-1", "same_twice", peak([(K, 1)]), high=True),
    Row("PK-2", "small_then_big", peak([(2 * K, 1)]), high=True),
    Row("PK-2 reversed", "big_then_small", peak([(2 * K, 1)]), high=True),
    Row("PK-3", "two_of_one_line", peak([(2 * K, 2)]), high=True),
    Row("PK-4", "two_of_two_lines", peak([(K, 1), (2 * K, 1)]), high=True),
    Row("PK-5", "two_native_places", peak([(984, 1), (984, 1)]), high=True),
    Row("PK-6", "big_then_small_kept", peak([(2 * K, 1)]), high=True),
    Row("PK-7", "recursive", recursion, high=True),
    Row("PK-8", "pages 2,-0:1", peak_pages(1, 10), high=True),
    Row("PK-9", "pages 4,-0:1,-3:1", peak_pages(2, 10), high=True),
    Row("PK-10", "pages 4,+4,-0:8", peak_pages(10), high=True),
    Row("PK-11", "pages 2,+2,+2,+2,-0:4,-4:4", peak_pages(10), high=True),
    Row("PK-12", "pages 5,-1:1,-3:1", peak_pages(3, 10), high=True),
    Row("PK-13", "pages 8,-4:1", peak_pages(7, 10), high=True),
    Row("PK-14", "hundred", header, high=True),
    Row("PK-15", "two_threads", threads_apart, high=True),
]


# ---- LK, TM ----

def leaks(want):
    def check(test, seen):
        test.assertEqual(sizes(seen.leaks(A.VALLOC)), sorted(want, reverse=True))
    return check


def temporary(want, allocator=A.VALLOC):
    """{threshold: [(bytes, blocks)]}"""
    def check(test, seen):
        test.assertEqual({t: sizes(seen.temporary(t, allocator)) for t in want}, want)
    return check


LEAKS = [
    Row("LK-1", "one_leak", leaks([(K, 1)]), shares="leaks"),
    Row("LK-2", "three_pairs", leaks([]), shares="leaks"),
    Row("LK-3", "leak_among_others", leaks([(2 * K, 1)]), shares="leaks"),
    Row("LK-4", "ten_leaks", leaks([(10 * K, 10)]), shares="leaks"),
    Row("LK-5", "leaks_of_two_lines", leaks([(K, 1), (2 * K, 1)]), shares="leaks"),
]
TEMPORARY = [
    Row("TM-1", "three_pairs", temporary({1: [(3 * K, 3)], 0: [(3 * K, 3)]}), shares="temporary"),
    *(Row(f"TM-2 N = {n}", f"reverse_{n}", temporary({n - 1: [(n * K, n)]}), shares="temporary")
      for n in (1, 2, 5, 10)),
    Row("TM-3", "interleaved", temporary({1: [(K, 1), (K, 1)]}), shares="temporary", prime=False),
    Row("TM-4", "growing", temporary({1: [(4092, 10)], 0: [(2048, 1)]}, A.MALLOC), shares="temporary"),
    Row("TM-5", "never", temporary({10: []}), shares="temporary"),
]



def refused(test, seen):
    """AT-2: sums have no events."""
    with test.assertRaisesRegex(NotImplementedError, "is an aggregated capture"):
        list(seen.reader.get_allocation_records())


def summed(row):
    """The same from sums alone."""
    return Row(f"{row.name} of sums", " ".join([row.function, *row.arguments]), row.check, high=row.high,
               shares=f"{row.shares} of sums", options=["--aggregate"], prime=row.prime,
               not_by={"run": "what is summed up is told in the same way; by attach alone, to be quick"})


# Whose views are all they look at.
SUMS = [summed(row) for row in PEAKS + LEAKS if row.name != "PK-7"]
SUMS.append(Row("AT-2", "nothing", refused, shares="leaks of sums", options=["--aggregate"],
                not_by={"run": "as above"}))
Memory = table.of(ALLOCATORS + PEAKS + LEAKS + TEMPORARY + SUMS, "memory")


if __name__ == "__main__":
    unittest.main()
