# SPDX-License-Identifier: Apache-2.0
# tests/python/check_reader.py - the package's FileReader, run by every interpreter at hand, as a script
# that was written for Memray uses it.
# Knows: the package. Does not know: how it is installed. Started by test_package.py.
import datetime
import mmap
import os
import tempfile
import threading
import time
import unittest

import memtrace as memray
from memtrace import AllocatorType

BIG = 1 << 20	# above what anything else here asks for


def take(size):
    return bytearray(size)


def recurse(depth, kept):
    if depth:
        return recurse(depth - 1, kept)
    kept.append(take(3 * BIG))


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "out.bin")

    def record(self, work, **kwargs):
        with memray.Tracker(self.path, **kwargs):
            work()
        return memray.FileReader(self.path)

    def rows(self, records, least=BIG):
        """(MiB, count) of the big ones of each Python stack, largest first. An interpreter that specializes
        calls the same function by another one when it is warm, which is another native stack."""
        found = {}
        for r in records:
            if r.size // r.n_allocations >= least:
                size, count = found.get((r.tid, r.allocator, tuple(r.stack_trace())), (0, 0))
                found[r.tid, r.allocator, tuple(r.stack_trace())] = size + r.size, count + r.n_allocations
        return sorted(((size >> 20, count) for size, count in found.values()), reverse=True)


class Views(Case):
    def test_peak_of_blocks_one_after_another(self):
        def work():
            for _ in range(2):
                take(BIG)
        reader = self.record(work)
        self.assertEqual(self.rows(reader.get_high_watermark_allocation_records()), [(1, 1)])

    def test_peak_of_two_sizes(self):
        for sizes in ((1, 2), (2, 1)):
            def work():
                for size in sizes:
                    take(size * BIG)
            with self.subTest(sizes), self.record(work, overwrite=True) as reader:
                self.assertEqual(self.rows(reader.get_high_watermark_allocation_records()), [(2, 1)])

    def test_one_line_is_one_row_two_lines_are_two(self):
        kept = []

        def one():
            kept.extend([bytearray(BIG), bytearray(BIG)])

        def two():
            kept.append(bytearray(BIG))
            kept.append(bytearray(2 * BIG))
        with self.record(one) as reader:
            self.assertEqual(self.rows(reader.get_high_watermark_allocation_records()), [(2, 2)])
        with self.record(two, overwrite=True) as reader:
            self.assertEqual(self.rows(reader.get_high_watermark_allocation_records()),
                             [(2, 1), (1, 1)])

    def test_leaks(self):
        kept = []

        def work():
            take(BIG)
            kept.append(take(2 * BIG))
            take(BIG)
            for _ in range(10):
                kept.append(bytearray(BIG))
        with self.record(work) as reader:
            self.assertEqual(self.rows(reader.get_leaked_allocation_records()), [(10, 10), (2, 1)])

    def test_temporary(self):
        kept = []

        def work():
            take(BIG)
            kept.append(take(2 * BIG))
        with self.record(work) as reader:
            for threshold in (0, 1):
                self.assertEqual(self.rows(reader.get_temporary_allocation_records(
                    threshold=threshold)), [(1, 1)])
            with self.assertRaises(ValueError):
                reader.get_temporary_allocation_records(threshold=-1)

    def test_every_record(self):
        def work():
            kept = take(BIG)
            del kept
            pages = mmap.mmap(-1, 2 * BIG)
            pages.close()
        with self.record(work) as reader:
            records = list(reader.get_allocation_records())
            self.assertEqual(reader.metadata.total_allocations, len(records))
            self.assertEqual(records, list(reader.get_allocation_records()))
            big = [r for r in records if r.size >= BIG]
            self.assertEqual([r.allocator for r in big],
                             [AllocatorType.MALLOC, AllocatorType.MMAP, AllocatorType.MUNMAP])
            frees = [r for r in records if r.allocator == AllocatorType.FREE and
                     r.address == big[0].address]
            self.assertEqual(len(frees), 1)
            with self.assertRaises(NotImplementedError):
                frees[0].stack_trace()
            self.assertEqual({r.tid for r in big}, {os.getpid()})

    def test_iterations_inside_each_other(self):
        with self.record(lambda: take(BIG)) as reader:
            count = sum(1 for _ in reader.get_allocation_records())
            for _ in reader.get_allocation_records():
                self.assertEqual(sum(1 for _ in reader.get_allocation_records()), count)
                self.rows(reader.get_high_watermark_allocation_records(merge_threads=False))

    def test_stacks(self):
        kept = []
        with self.record(lambda: [recurse(20, kept), kept.append(take(2 * BIG))]) as reader:
            deep, flat = sorted(reader.get_high_watermark_allocation_records(),
                                key=lambda r: -r.size)[:2]
            names = [name.split(".")[-1] for name, _, _ in deep.stack_trace()]
            self.assertEqual(names[:22], ["take"] + 21 * ["recurse"])
            self.assertNotIn("recurse", [name for name, _, _ in flat.stack_trace()])
            self.assertEqual(deep.stack_trace(max_stacks=2), deep.stack_trace()[:2])
            file, line = deep.stack_trace()[0][1:]
            self.assertEqual((file, line), (take.__code__.co_filename,
                                            take.__code__.co_firstlineno + 1))

    def test_temporal(self):
        kept = []

        def work():
            early = take(3 * BIG)
            time.sleep(0.05)
            del early
            time.sleep(0.05)
            kept.append(bytearray(2 * BIG))
            time.sleep(0.05)
        with self.record(work) as reader:
            snapshots = list(reader.get_memory_snapshots())
            records, peaks = reader.get_temporal_high_water_mark_allocation_records()
            self.assertEqual(peaks, [s.heap for s in snapshots])
            lives = {interval.n_bytes >> 20: interval for r in records for interval in r.intervals}
            self.assertIsNone(lives[2].deallocated_before_snapshot)
            self.assertLess(lives[3].allocated_before_snapshot, lives[3].deallocated_before_snapshot)
            self.assertLessEqual(lives[3].deallocated_before_snapshot,
                                 lives[2].allocated_before_snapshot)
            self.assertGreaterEqual(max(s.heap for s in snapshots), 3 * BIG)
            self.assertLessEqual(len(list(memray.FileReader(
                self.path, max_memory_records=2).get_memory_snapshots())), 2)


    def test_what_comes_after_the_last_instant(self):
        """The last slot of time has its highest moment before it."""
        kept = []

        def work():
            take(8 * BIG)
            kept.append(bytearray(2 * BIG))
        with self.record(work) as reader:
            lives = [interval for r in reader.get_temporal_allocation_records() for interval in r.intervals
                     if interval.n_bytes >> 20 == 2]
            self.assertEqual([i.deallocated_before_snapshot for i in lives], [None])
            self.assertLessEqual(lives[0].allocated_before_snapshot, len(list(reader.get_memory_snapshots())))


class Aggregated(Views):
    """The same views of the same work, of sums in place of events."""

    def record(self, work, **kwargs):
        return super().record(work, file_format=memray.FileFormat.AGGREGATED_ALLOCATIONS, **kwargs)

    def test_temporary(self):
        with self.record(lambda: take(BIG)) as reader:
            self.assertEqual(self.rows(reader.get_temporary_allocation_records()), [(1, 1)])
            with self.assertRaisesRegex(RuntimeError, "threshold 1 only"):
                list(reader.get_temporary_allocation_records(threshold=0))

    def test_every_record(self):
        with self.record(lambda: take(BIG)) as reader:
            with self.assertRaisesRegex(NotImplementedError, "has no single events"):
                list(reader.get_allocation_records())
            self.assertEqual(reader.metadata.file_format, memray.FileFormat.AGGREGATED_ALLOCATIONS)
            self.assertGreater(reader.metadata.total_allocations, 1)

    test_iterations_inside_each_other = None	# of records


class Facts(Case):
    def test_metadata(self):
        begin = datetime.datetime.now(datetime.timezone.utc)
        with self.record(lambda: take(BIG)) as reader:
            m = reader.metadata
        self.assertEqual((m.pid, m.main_thread_id), (os.getpid(), os.getpid()))
        self.assertLess(abs((m.start_time - begin).total_seconds()), 60)
        self.assertLessEqual(m.start_time, m.end_time)
        self.assertGreaterEqual(m.peak_memory, BIG)
        self.assertIn("unittest", m.command_line)
        self.assertEqual(m.python_allocator, os.environ.get("PYTHONMALLOC", "pymalloc"))
        self.assertTrue(m.has_native_traces)
        self.assertFalse(m.trace_python_allocators)
        self.assertEqual(m.file_format, memray.FileFormat.ALL_ALLOCATIONS)

    def test_threads(self):
        kept = []

        def work():
            thread = threading.Thread(target=lambda: kept.append(take(BIG)), name="a-worker")
            thread.start()
            thread.join()
            kept.append(take(2 * BIG))
        with self.record(work) as reader:
            found = {r.size >> 20: r for r in
                     reader.get_high_watermark_allocation_records(merge_threads=False)}
        self.assertNotEqual(found[1].tid, found[2].tid)
        self.assertEqual(found[2].tid, os.getpid())
        self.assertIn(str(found[1].tid), found[1].thread_name)

    def test_closed(self):
        reader = self.record(lambda: take(BIG))
        records = list(reader.get_high_watermark_allocation_records())
        self.assertFalse(reader.closed)
        reader.close()
        reader.close()
        self.assertTrue(reader.closed)
        with self.assertRaisesRegex(ValueError, "closed"):
            list(reader.get_allocation_records())
        with self.assertRaises(ValueError):
            with reader:
                pass
        self.assertTrue(records[0].stack_trace())

    def test_documented_example(self):
        with memray.Tracker(destination=memray.FileDestination(self.path)):
            kept = [take(BIG) for _ in range(5)]
        with memray.FileReader(self.path) as reader:
            top = max(reader.get_high_watermark_allocation_records(), key=lambda r: r.size)
            lines = [f"{function} {line}" for function, _, line in top.stack_trace(max_stacks=1)]
        self.assertEqual((top.n_allocations, lines),
                         (len(kept), [f"take {take.__code__.co_firstlineno + 1}"]))


class Bad(Case):
    def test_no_capture(self):
        with self.assertRaises(FileNotFoundError) as caught:
            memray.FileReader(self.path)
        self.assertEqual(caught.exception.filename, self.path)
        for text in (b"", b"x", b"memtrace" + b"\0" * 100, b"\x7fELF" * 1000):
            with open(self.path, "wb") as file:
                file.write(text)
            with self.subTest(text[:8]), self.assertRaises(OSError):
                memray.FileReader(self.path)
        with self.assertRaises((OSError, RuntimeError)):
            memray.FileReader(self.folder.name)

    def test_cut_and_damaged(self):
        def work():
            kept = [bytearray(600 + i % 1000) for i in range(20000)]
            time.sleep(1.2)	# a block is in the file
            return kept
        self.record(work).close()
        with open(self.path, "rb") as file:
            whole = file.read()
        for name, data in (("cut", whole[:-200]), ("half", whole[:len(whole) // 2]),
                           ("damaged", whole[:-3000] + b"\xff" * 500 + whole[-2500:])):
            path = os.path.join(self.folder.name, name)
            with open(path, "wb") as file:
                file.write(data)
            with self.subTest(name), memray.FileReader(path) as reader:
                list(reader.get_allocation_records())
                list(reader.get_high_watermark_allocation_records())
                self.assertRegex(reader.damage, "cut at|damaged at")

    def test_read_while_it_is_written(self):
        with memray.Tracker(self.path):
            kept = take(BIG)
            with memray.FileReader(self.path) as reader:
                list(reader.get_allocation_records())
                self.assertIn("cut", reader.damage)
        del kept
        with memray.FileReader(self.path) as reader:
            self.assertIsNone(reader.damage)


if __name__ == "__main__":
    unittest.main()
