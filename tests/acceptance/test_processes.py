# SPDX-License-Identifier: Apache-2.0
# tests/acceptance/test_processes.py - children by fork (FK), and processes that end during a capture (AC-10, EX-5).
# Knows: what the functions of tests/targets/acceptance/processes.py do. Does not know: how they are run.
# Run by tests/run.py. Children of other kinds, exec, spawn: tests/e2e/test_follow_fork.py, test_follow_exec.py.
import signal
import unittest

import harness
import session
import table
from memtrace import AllocatorType as A
from table import Row

TIMEOUT = 400
SIZE = 1234


def children(seen):
    """Readers of the captures beside the row's own, by pid."""
    path = seen.capture.path
    return {int(p.suffix[1:]): table.memtrace.FileReader(p) for p in path.parent.glob(f"{path.name}.*")}


def blocks(reader, allocator, size):
    """(allocations, how many of them were released)"""
    made, released = 0, 0
    live = set()
    for r in reader.get_allocation_records():
        if r.allocator == allocator and r.size == size:
            made += 1
            live.add(r.address)
        elif r.allocator in table.RELEASES and r.address in live:
            live.discard(r.address)
            released += 1
    return made, released


def parent_alone(test, seen):
    test.assertEqual([r.size for r in seen.allocations(A.VALLOC)], [SIZE])
    test.assertEqual(blocks(seen.reader, A.VALLOC, SIZE), (1, 1))


def not_followed(test, seen):
    parent_alone(test, seen)
    test.assertEqual(children(seen), {})


def followed(allocator, size, times):
    """The parent's own is as without; the children together made exactly so many, and released each."""
    def check(test, seen):
        parent_alone(test, seen)
        found = children(seen)
        test.assertLessEqual(set(seen.said), set(found))
        counts = [blocks(reader, allocator, size) for reader in found.values()]
        test.assertEqual((sum(made for made, _ in counts), sum(gone for _, gone in counts)), (times, times))
    return check


FOLLOW = ["--follow-fork"]
ROWS = [
    Row("FK-1", "pool", not_followed, prime=False),
    Row("FK-2", "pool", followed(A.VALLOC, SIZE, 15111), options=FOLLOW, prime=False, shares="follow"),
    Row("FK-3", "pool_of_objects", followed(A.PYMALLOC_MALLOC, 497, 30), prime=False, shares="objects",
        options=FOLLOW + ["--trace-python-allocators"]),
    Row("FK-4", "pool_without_profile", not_followed, prime=False, shares="profile"),
]
Processes = table.of(ROWS, "processes")


class Endings(unittest.TestCase):
    """The target ends by itself: as it would have, and all it did is in the capture."""
    KINDS = {"at_once": 3, "by_signal": -signal.SIGKILL, "of_c": 4, "of_python": 5}

    def check(self, cap, kind):
        reader = table.memtrace.FileReader(cap)
        self.assertIsNone(reader.damage)
        self.assertEqual(blocks(reader, A.VALLOC, SIZE), (5, 5), kind)

    def each(self, python, check):
        for kind, code in self.KINDS.items():
            with self.subTest(kind), python.tmpdir() as tmp:
                check(table.argv(python, "processes", tmp), table.environment(python, tmp), kind, code, tmp)

    def ended_run(self, python):
        def check(argv, env, kind, code, tmp):
            harness.memtrace("run", "-q", "-o", tmp / "cap.bin", "--", *argv, stdin=f"do {kind}\n",
                             env=env, check=code)
            self.check(tmp / "cap.bin", kind)
        self.each(python, check)

    def ended_attach(self, python):
        def check(argv, env, kind, code, tmp):
            with harness.start_target(argv, stdin=True, wait="^ready", env=env) as target:
                with session.Attach(target.pid, "-q", "-o", tmp / "cap.bin") as attach:
                    target.send(f"do {kind}\n")
                    self.assertEqual(target.wait(), code)
                    result = attach.wait()
                self.assertEqual((result.code, result.err), (0, ""))
            self.check(tmp / "cap.bin", kind)
        self.each(python, check)


table.add(Endings, Endings.ended_run, Endings.ended_attach)


if __name__ == "__main__":
    unittest.main()
