# SPDX-License-Identifier: Apache-2.0
# tests/python/test_memray_examples.py - what Memray's documentation says of commands and reports is true of ours.
# Knows: the pages of that documentation, our commands. Does not know: how either records.
# Run by tests/run.py. The programs are ours and do what the documented ones do; what differs: docs/python.md.
import csv
import io
import json
import re
import unittest

import harness
import session
from documented import HEADER, Case, by_function, memray, size
from test_package import PACKAGE, environment

TIMEOUT = 200


class TemporaryAllocations(Case):
    """temporary_allocations.rst"""

    def test_a_list_that_grows(self):
        self.capture("""
            def gather(count):
                rows = []
                for _ in range(count):
                    rows.append(None)
                return rows
            gather(1_000_000)
        """)
        total, share, own, count = self.summary("--temporary-allocations")["gather"]
        self.assertEqual((total, own, count), (size("72.5 MiB"), size("72.5 MiB"), 78))
        self.assertGreater(share, 90)
        grown = total
        self.capture("""
            def at_once(count):
                return [None] * count
            at_once(1_000_000)
        """)
        rows = self.summary("--temporary-allocations")
        self.assertEqual((rows["at_once"][0], rows["at_once"][3]), (size("7.63 MiB"), 1))
        self.assertAlmostEqual(1 - rows["at_once"][0] / grown, 0.9, delta=0.01)

    def test_thresholds(self):
        """0: nothing came between; 1: one allocation may have."""
        reader = self.reader("""
            def at_once():
                bytearray(1_000_000)
            def one_between():
                first = bytearray(2_000_000)
                second = bytearray(3_000_000)
                del first
                return second
            at_once()
            kept = one_between()
        """)

        def found(threshold):
            return {name: blocks for name, (_, blocks) in by_function(reader.get_temporary_allocation_records(
                merge_threads=True, threshold=threshold), 1_000_000).items()}
        self.assertEqual(found(0), {"at_once": 1})
        self.assertEqual(found(1), {"at_once": 1, "one_between": 1})


class CommandLine(Case):
    """getting_started.rst, run.rst, and what README shows."""

    def test_first_steps(self):
        self.write("import os\nkept = bytearray(5_000_000)\nprint(os.getpid())\n")
        done = self.memtrace("run", "example.py")
        [capture] = self.tmp.glob("memtrace-*.bin")
        self.assertIn(f".{done.out.strip()}.bin", capture.name)
        self.assertIn(capture.name, done.err)
        page = self.memtrace("flamegraph", capture.name).out.strip()
        self.assertEqual(page, f"memtrace-flamegraph-{capture.name[len('memtrace-'):-len('.bin')]}.html")
        self.assertIn("</html>", (self.tmp / page).read_text())
        page = self.memtrace("table", capture.name).out.strip()
        self.assertIn("</html>", (self.tmp / page).read_text())
        again = self.memtrace("run", "-o", capture.name, "example.py", check=1)
        self.assertIn("exists", again.err)

    def test_arguments(self):
        """What stands behind the script is the script's, whatever it looks like."""
        for begin in (["example.py"], ["-m", "example"], ["-m", "folder"],
                      ["-c", "import sys; print(sys.argv[1:]); sys.exit(3)"]):
            for name in ("example.py", "folder/__main__.py"):
                self.write("import sys\nprint(sys.argv[1:])\nsys.exit(3)\n", name)
            with self.subTest(begin):
                done = self.memtrace("run", "-fo", "test.bin", *begin, "--live-port", "12345", "-o", "x", check=3)
                self.assertEqual(done.out, "['--live-port', '12345', '-o', 'x']\n")
                self.assertFalse((self.tmp / "x").exists())

    def test_as_a_module(self):
        self.write("print('tracked')")
        done = harness.run([harness.PYTHON, "-m", "memtrace", "run", "-o", "output.bin", "example.py"], check=0,
                           cwd=self.tmp, env={**self.env, **environment(PACKAGE)})
        self.assertEqual(done.out, "tracked\n")
        self.assertTrue((self.tmp / "output.bin").exists())

    def test_native(self):
        program = "import re\nkept = [bytearray(1_000_000) for _ in range(3)]\n"
        for options in (["--native"], []):
            reader = self.reader(program, *options)
            self.assertTrue(reader.metadata.has_native_traces)
            top = max(reader.get_high_watermark_allocation_records(), key=lambda r: r.size)
            native = [name for name, _, _ in top.native_stack_trace()]
            python = [file for _, file, _ in top.stack_trace()]
            self.assertIn("main", " ".join(native))
            self.assertTrue(all(file.endswith("example.py") for file in python), python)
            self.assertGreater(len(top.hybrid_stack_trace()), len(python))
        self.assertFalse(self.reader(program, "--no-native").metadata.has_native_traces)

    def test_accepted_for_its_sake(self):
        for option in ("--native", "--compress-on-exit", "--no-compress", "--buffered-file-io"):
            with self.subTest(option):
                self.capture("pass", option)

    def test_wrapper(self):
        """The script that saves what there is, whatever ended the program; also sums in place of events."""
        self.write("import os, time\nkept = bytearray(10_000_000)\nos.kill(os.getpid(), 9)\n", "killed.py")
        self.write("memtrace run $1 --output capture.bin killed.py\necho Program finished\n"
                   "memtrace summary capture.bin\n", "wrapper.sh")
        for option in ("--force", "--aggregate"):
            with self.subTest(option):
                (self.tmp / "capture.bin").unlink(missing_ok=True)
                out = harness.run(["sh", "wrapper.sh", option], cwd=self.tmp, env=self.env, check=0).out
                self.assertRegex(out, r"(?s)^Program finished\n.*<module> at \S+killed.py +9.54 MiB ")

    def test_follow_fork(self):
        reader = self.reader("""
            import os
            kept = bytearray(3_000_000)
            child = os.fork()
            if child == 0:
                def of_the_child():
                    return bytearray(5_000_000)
                of_the_child()
                os._exit(0)
            os.waitpid(child, 0)
            print(child)
        """, "--follow-fork")
        [other] = self.tmp.glob("test.bin.*")
        with memray.FileReader(other) as child:
            self.assertEqual(other.name, f"test.bin.{child.metadata.pid}")
            self.assertEqual(by_function(child.get_high_watermark_allocation_records(), 3_000_000).keys(),
                             {"of_the_child"})
        self.assertEqual(by_function(reader.get_high_watermark_allocation_records(), 3_000_000).keys(), {"<module>"})

    def test_aggregate(self):
        """Counts and bytes of the peak and of what leaked, by place, in a file that is much smaller."""
        program = """
            import os, random
            kept = []
            def leaks(count):
                for _ in range(count):
                    kept.append(bytearray(10_000))
            def at_the_peak():
                return [bytearray(1_000_000) for _ in range(30)]
            def passes():
                for _ in range(200_000):
                    bytearray(random.randrange(600, 5000))
            leaks(100)
            passes()
            at_the_peak()
            os._exit(0)
        """
        events = self.capture(program, "-n").stat().st_size
        sums = self.capture(program, "-n", "--aggregate").stat().st_size
        self.assertLess(sums, events / 5)
        reader = memray.FileReader(self.tmp / "test.bin")
        self.addCleanup(reader.close)
        self.assertEqual(reader.metadata.file_format, memray.FileFormat.AGGREGATED_ALLOCATIONS)
        leaks = by_function(reader.get_leaked_allocation_records())
        self.assertEqual(leaks["leaks"][1] // 100, 1)		# and of the list itself
        self.assertAlmostEqual(leaks["leaks"][0], 1_000_000, delta=10_000)
        self.assertNotIn("passes", leaks)
        peak = {name: value for name, value in by_function(
            reader.get_high_watermark_allocation_records(), 10_000_000).items()}
        self.assertEqual([blocks for _, blocks in peak.values()], [30])
        for report in ("flamegraph", "table", "summary", "tree"):
            self.memtrace(report, "test.bin")

    def test_attach(self):
        """attach.rst: what the process allocates from then on, until detach or the end of a duration."""
        self.write("""
            kept = []
            def early(): kept.append(bytearray(3_000_000))
            def late(): kept.append(bytearray(5_000_000))
            early()
            print("ready", flush=True)
            input()
            late()
            print("done", flush=True)
            input()
        """)
        with harness.start_target([harness.PYTHON, self.tmp / "example.py"], stdin=True, wait="ready") as target:
            with session.Attach(target.pid, "-o", self.tmp / "test.bin", "--duration", "100s") as attach:
                target.send("\n")
                target.wait_line("done")
                self.memtrace("detach", target.pid)
                self.assertEqual(attach.wait().code, 0)
            target.send("\n")
            self.assertEqual(target.wait(), 0)
        with memray.FileReader(self.tmp / "test.bin") as reader:
            self.assertEqual(by_function(reader.get_leaked_allocation_records(), 1_000_000),
                             {"late": (5_000_001, 1)})


class PythonAllocators(Case):
    """python_allocators.rst, and the pages that send there."""

    PROGRAM = """
        import os
        kept = []
        class Row:
            __slots__ = ("one", "two")
        def small(count):
            for _ in range(count):
                kept.append(Row())
        def large():
            kept.append(bytes(600))
            kept.append(bytes(100_000))
        large()
        small(50_000)
        os._exit(0)
    """

    def allocators(self, *options, **env):
        found = {}
        for record in self.reader(self.PROGRAM, *options, **env).get_leaked_allocation_records():
            stack = record.stack_trace(max_stacks=1)
            if stack and stack[0][0] in ("small", "large"):
                key = stack[0][0], record.allocator.name
                have = found.get(key, (0, 0))
                found[key] = have[0] + record.size, have[1] + record.n_allocations
        return found

    def test_pools(self):
        """Up to 512 bytes come from arenas, which are mappings of whole pages; the rest is malloc's."""
        found = self.allocators()
        arenas, count = found["small", "MMAP"]
        self.assertEqual(arenas % 4096, 0)
        self.assertLess(count, 100)
        self.assertGreater(arenas, 50_000 * 32 - (1 << 20))	# there was room in an older one
        self.assertEqual(found["large", "MALLOC"][1] if ("large", "MALLOC") in found
                         else found["large", "CALLOC"][1], 2)

    def test_each_object(self):
        for options, env, kind in ((["--trace-python-allocators"], {}, "PYMALLOC_MALLOC"),
                                   ([], {"PYTHONMALLOC": "malloc"}, "MALLOC")):
            with self.subTest(kind):
                found = self.allocators(*options, **env)
                self.assertNotIn(("small", "MMAP"), found)
                self.assertIn(found["small", kind][1] // 1000, (50, 51))
                self.assertAlmostEqual(found["small", kind][0] / 50_000, 32, delta=17)


class Reports(Case):
    """flamegraph.rst, summary.rst, tree.rst, table.rst, stats.rst, transform.rst"""

    def test_simple_flame_graph(self):
        """Two places that allocate, as wide as each other, below those that only call."""
        self.capture("""
            def outer(count):
                return between(count)
            def between(count):
                return [first(count), second(count)]
            def first(count):
                return "-" * count
            def second(count):
                return "-" * count
            outer(100_000)
        """, "-n")
        rows = self.summary()
        self.assertEqual(rows["first"], rows["second"])
        self.assertAlmostEqual(rows["first"][2], 100_000, delta=600)	# three figures are shown
        for caller in ("outer", "between"):
            self.assertEqual((rows[caller][2], rows[caller][3]), (0, 2))
            self.assertAlmostEqual(rows[caller][0], 200_000, delta=1200)
        stacks = [[frame.split(" ")[0] for frame in frames] for frames, value in harness.folded(self.tmp / "test.bin")
                  if value > 99_000 and "outer" in " ".join(frames)]
        self.assertEqual(sorted(stack[-3:] for stack in stacks),
                         [["outer", "between", "first"], ["outer", "between", "second"]])

    def test_complete_flame_graph(self):
        """What is gone at the peak is not in it; a caller's width is that of what it called."""
        reader = self.reader("""
            def top(count):
                return [left(count), right(count)]
            def left(count):
                return below(count)
            def below(count):
                missing(count)
                return half(count)
            def missing(count):
                return "-" * count
            def half(count):
                return [single(count), passes(count), "-" * (count // 2)]
            def single(count):
                return "-" * count
            def passes(count):
                return double(count)
            def double(count):
                return "-" * count * 2
            def right(count):
                return last(count)
            def last(count):
                return "-" * count
            top(100_000)
        """, "-n")
        peak = by_function(reader.get_high_watermark_allocation_records(), 40_000)
        for name, hundreds in (("half", 50), ("single", 100), ("double", 200), ("last", 100)):
            self.assertAlmostEqual(peak[name][0], hundreds * 1000, delta=HEADER)
        for name in ("missing", "top", "left", "below", "passes", "right"):
            self.assertNotIn(name, peak)
        rows = self.summary()
        self.assertAlmostEqual(rows["left"][0] / rows["right"][0], 3.5, delta=0.05)
        self.assertNotIn("missing", rows)
        self.assertIn("missing", self.summary("--view=allocated"))

    def test_inverted(self):
        """One row of each function that allocates, whoever called it."""
        self.capture("""
            def leaf():
                return 1_000_000 * "-"
            def alone():
                return 1_000_000 * "-"
            def calls():
                return leaf()
            def one():
                return calls()
            def two():
                return calls()
            def main():
                return alone(), one(), two(), calls()
            main()
        """, "-n")
        text = self.memtrace("tree", "--inverted", "-b0", "test.bin").out
        roots = dict(re.findall(r"(?m)^ *(\d\S* \w+) .* \d+  [├└] (?:\S\S )?(leaf|alone)  ", text))
        self.assertEqual({name: total for total, name in roots.items()}, {"leaf": "2.86 MiB", "alone": "977 KiB"})
        self.memtrace("flamegraph", "--inverted", "test.bin")
        text = self.memtrace("tree", "-b0", "test.bin").out
        self.assertEqual(len(re.findall(r" leaf  \S+example.py:3", text)), 3)

    def test_leaks(self):
        program = """
            import os
            kept = []
            def lost():
                kept.append("-" * 2_000_000)
            def released():
                return "-" * 3_000_000
            lost()
            released()
            os._exit(0)
        """
        self.capture(program, "-n", PYTHONMALLOC="malloc")
        leaks = self.summary("--leaks")
        self.assertEqual((leaks["lost"][0], leaks["lost"][3]), (size("1.91 MiB"), 2))	# and of the list
        self.assertNotIn("released", leaks)
        self.assertIn("released", self.summary())
        self.memtrace("flamegraph", "--leaks", "test.bin")

    THREADS = """
        import threading
        def work(count):
            held.append(bytearray(count))
        held = []
        threads = [threading.Thread(target=work, args=(number * 1_000_000,)) for number in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """

    def test_threads(self):
        """Merged, or each alone."""
        reader = self.reader(self.THREADS, "-n")
        merged, count = by_function(reader.get_high_watermark_allocation_records(), 900_000)["work"]
        self.assertEqual((merged // 1_000_000, count), (6, 3))
        alone = [r for r in reader.get_high_watermark_allocation_records(merge_threads=False)
                 if r.size > 900_000 and r.stack_trace(max_stacks=1)[:1] == [("work", f"{self.tmp}/example.py", 4)]]
        self.assertEqual(sorted(r.size // 1_000_000 for r in alone), [1, 2, 3])
        self.assertEqual(len({r.tid for r in alone}), 3)
        for report in ("flamegraph", "table"):
            self.memtrace(report, "--split-threads", "test.bin")

    def test_transform_csv(self):
        self.capture(self.THREADS, "-n")
        rows = list(csv.DictReader(io.StringIO(self.memtrace("transform", "csv", "--split-threads", "test.bin").out)))
        self.assertEqual(list(rows[0]), ["allocator", "num_allocations", "size", "tid", "thread_name", "stack_trace"])
        big = [row for row in rows if int(row["size"]) > 900_000 and row["stack_trace"].startswith("work;")]
        self.assertEqual(sorted(int(row["size"]) // 1_000_000 for row in big), [1, 2, 3])
        self.assertEqual(len({row["tid"] for row in big}), 3)
        for row in big:
            function, file, line = row["stack_trace"].split("|")[0].split(";")
            self.assertEqual((function, file, line), ("work", str(self.tmp / "example.py"), "4"))
            self.assertEqual(row["num_allocations"], "1")

    def test_transform_gprof2dot(self):
        self.capture(self.THREADS, "-n")
        graph = json.loads(self.memtrace("transform", "gprof2dot", "test.bin").out)
        top = max(graph["events"], key=lambda event: event["cost"][0])
        self.assertEqual(graph["functions"][top["callchain"][0]]["name"], "work")
        self.assertEqual(top["cost"][0] // 1_000_000, 6)

    def test_stats(self):
        """Totals, allocators, a histogram and the top locations, of all allocations."""
        reader = self.reader("""
            def many():
                for _ in range(5000):
                    bytearray(1000)
            def large():
                return bytearray(20_000_000)
            many()
            large()
        """, "-n")
        found = json.loads(self.memtrace("stats", "--json", "-n", "3", "test.bin").out)
        kinds = found["allocator_type_distribution"]
        allocations = [r for r in reader.get_allocation_records() if r.allocator.name in kinds]
        self.assertEqual(found["total_num_allocations"], len(allocations))
        self.assertEqual(found["total_bytes_allocated"], sum(r.size for r in allocations))
        self.assertEqual(sum(kinds.values()), len(allocations))
        self.assertEqual(sum(row["count"] for row in found["allocation_size_histogram"]), len(allocations))
        by_size, by_count = found["top_allocations_by_size"], found["top_allocations_by_count"]
        self.assertEqual((len(by_size), len(by_count)), (3, 3))
        self.assertEqual(by_size[0], {"location": f"large:{self.tmp}/example.py:6", "size": 20_000_001})
        self.assertEqual((by_count[0]["location"], by_count[0]["count"] // 1000),
                         (f"many:{self.tmp}/example.py:4", 5))
        self.assertEqual({"command_line", "pid", "peak_memory", "python_allocator"} - set(found["metadata"]), set())
        text = self.memtrace("stats", "test.bin").out
        self.assertRegex(text, r"(?s)Allocated in all: .*Peak: .*Sizes of allocations.*malloc .*by size.*by count")

    def test_over_time(self):
        """memory.rst: the heap grows when memory is asked for, what is resident when it is written."""
        self.write("""
            import mmap
            pages = mmap.mmap(-1, 80_000_000)
            input()
            for at in range(0, len(pages), mmap.PAGESIZE):
                pages[at] = 42
            input()
            pages.close()
            input()
        """)

        def seen(heap, resident):
            """Whether the file, which is being written, has such an instant."""
            if not capture.exists() or not capture.stat().st_size:
                return False
            with memray.FileReader(capture) as reader:
                return [point for point in reader.get_memory_snapshots() if
                        (point.heap >= 80_000_000) == heap and (point.rss >= 80_000_000) == resident]
        capture = self.tmp / "test.bin"
        with harness.start_target([harness.MEMTRACE, "run", "-o", capture, "example.py"], cwd=self.tmp,
                                  env=self.env, stdin=True) as target:
            for heap, resident in ((True, False), (True, True)):
                harness.wait_for(lambda: seen(heap, resident), what="an instant in the file")
                target.send("\n")
            target.send("\n")
            self.assertEqual(target.wait(), 0, target.err)
        with memray.FileReader(capture) as reader:
            lives = [interval for record in reader.get_temporal_allocation_records(merge_threads=True)
                     for interval in record.intervals if 80_000_000 <= interval.n_bytes < 80_010_000]
            heaps = [point.heap for point in reader.get_memory_snapshots()]
        self.assertEqual(len(lives), 1)
        begin, end = lives[0].allocated_before_snapshot, lives[0].deallocated_before_snapshot
        high = [at for at, heap in enumerate(heaps) if heap >= 80_000_000]
        self.assertEqual(len(high), high[-1] - high[0] + 1, heaps)
        self.assertTrue(high[0] <= begin <= high[-1] <= end, (begin, end, heaps))


if __name__ == "__main__":
    unittest.main()
