# SPDX-License-Identifier: Apache-2.0
# tests/python/test_memray_tutorials.py - Memray's tutorials, example programs, cell magic and API give what it says.
# Knows: the pages of its documentation, pytest, IPython. Does not know: how either records.
# Run by tests/run.py. The programs are ours and do what the documented ones do; what differs: docs/python.md.
import json
import re
import textwrap
import unittest

import harness
from documented import HEADER, Case, by_function, memray
from test_package import PACKAGE, environment

TIMEOUT = 200


class Tutorials(Case):
    """tutorials/*.rst, whose tests are pytest's with limits."""

    def pytest(self, failing, *options):
        """Runs the folder's tests, of which these and no others fail; its output."""
        if harness.run([harness.PYTHON, "-c", "import pytest"]).code:
            self.skipTest("no pytest here")
        out = harness.run([harness.PYTHON, "-m", "pytest", "-p", "memtrace.pytest_plugin", *options],
                          cwd=self.tmp, timeout=150, check=1 if failing else 0,
                          env={**self.env, **environment(PACKAGE), "COLUMNS": "200"}).out
        self.assertEqual(set(re.findall(r"(?m)^(?:FAILED|MEMORY PROBLEMS) \S+::(\w+)", out)), set(failing), out)
        return out

    def test_fibonacci(self):
        """100 KB are enough for a generator, not for a list."""
        self.write("""
            import functools, itertools, operator, pytest
            def as_list(length):
                found = [1, 1][:length]
                while len(found) < length:
                    found.append(found[-1] + found[-2])
                return found
            def as_generator(length):
                last, number = 0, 1
                for _ in range(length):
                    yield number
                    last, number = number, last + number
            def added(series, *lengths):
                return functools.reduce(operator.add, itertools.chain(*map(series, lengths)), 0) % 10000
            @pytest.mark.limit_memory("100 KB")
            def test_list():
                added(as_list, 33333, 30000, 34567)
            @pytest.mark.limit_memory("100 KB")
            def test_generator():
                added(as_generator, 33333, 30000, 34567)
            @pytest.mark.parametrize("series", [as_list, as_generator])
            def test_result(series):
                assert (added(series, 0, 0, 19), added(series, 6, 6, 6)) == (945, 60)
        """, "test_it.py")
        out = self.pytest({"test_list"}, "--memtrace")
        self.assertRegex(out, r"Test is using [\d.]+MiB out of limit of 100.0KiB")
        self.assertRegex(out, r"(?m)^    - as_list:\S+test_it.py:6 -> [\d.]+MiB$")
        for text in ("Total memory allocated: ", "Total allocations: ", "Histogram of allocation sizes:",
                     "Biggest allocating functions:"):
            self.assertEqual(out.count(text), 4, text)

    def test_holding_on(self):
        """Four arrays while names hold what is no longer needed, two without them: a tenth of the documented 400
        and 200 MB."""
        functions = """
            MEGABYTES = 10
            TABLES = [bytes((byte + number) % 256 for byte in range(256)) for number in (1, 2, 3, 4)]
            def load():
                return bytes(MEGABYTES * 1_000_000)
            def subtract(data):
                return data.translate(TABLES[0])
            def power(data):
                return data.translate(TABLES[1])
            def duplicate(data):
                return data.translate(TABLES[2])
            def add(data):
                return data.translate(TABLES[3])
            def holding():
                data = load()
                data = subtract(data)
                powers = power(data)
                return add(duplicate(powers))
            def nested():
                return add(duplicate(power(subtract(load()))))
            def one_name():
                data = load()
                for step in (subtract, power, duplicate, add):
                    data = step(data)
                return data
        """
        reader = self.reader(functions + "    holding()\n", "-n")
        peak = by_function(reader.get_high_watermark_allocation_records(), 9_000_000)
        self.assertEqual({name: (size // 10_000_000, blocks) for name, (size, blocks) in peak.items()},
                         dict.fromkeys(("subtract", "power", "duplicate", "add"), (1, 1)))
        self.assertAlmostEqual(reader.metadata.peak_memory, 40_000_000, delta=4_500_000)	# the interpreter's own
        self.write("import pytest\n" + textwrap.dedent(functions) + "".join(f"""
@pytest.mark.limit_memory("23 MB")
def test_{name}():
    assert {name}()[:2] == bytes((10, 10))
""" for name in ("holding", "nested", "one_name")), "test_it.py")
        out = self.pytest({"test_holding"})
        self.assertRegex(out, r"Test is using 38.\dMiB out of limit of 23.0MiB")

    def test_cache_of_methods(self):
        """A cache of a method keeps every object it was called for, that of an object goes with it. A fifth of
        the documented count, limits in proportion."""
        self.write("""
            import functools, pytest
            class OfTheClass:
                def __init__(self, more):
                    self.more = more
                @functools.cache
                def product(self, number):
                    return number * self.product(number - 1) + self.more if number > 1 else 1 + self.more
            class Limited(OfTheClass):
                @functools.lru_cache(maxsize=1000)
                def product(self, number):
                    return number * self.product(number - 1) + self.more if number > 1 else 1 + self.more
            class OfTheObject:
                def __init__(self, more):
                    self.more = more
                    self.product = functools.cache(self.uncached)
                def uncached(self, number):
                    return number * self.product(number - 1) + self.more if number > 1 else 1 + self.more
            def digits(kind, count):
                for more in range(count):
                    one = kind(more)
                    for number in range(count):
                        yield one.product(number) % 10
            def check(kind):
                assert list(digits(kind, 6))[:6] == [1, 1, 2, 6, 4, 0]
                assert sum(1 for _ in digits(kind, 200)) == 40_000
            @pytest.mark.limit_memory("5 MB")
            def test_of_the_class():
                check(OfTheClass)
            @pytest.mark.limit_memory("5 MB")
            def test_limited():
                check(Limited)
            @pytest.mark.limit_memory("5 MB")
            def test_of_the_object():
                check(OfTheObject)
        """, "test_it.py")
        out = self.pytest({"test_of_the_class"})
        self.assertRegex(out, r"(?m)^    - (OfTheClass.)?product:\S+test_it.py:8 -> \d+.\dMiB$")
        out = self.pytest({"test_of_the_class"}, "--native", "--stacks=5", "-k", "of_the_class")
        self.assertRegex(out, r"(?m)^    - [^:]+:(?!\S*test_it.py)\S+:\d+ -> \d\d?.\dMiB$")
        self.assertRegex(out, r"(?m)^        (OfTheClass.)?product:\S+test_it.py:8$")


class Examples(Case):
    """examples/"""

    DEEP = """
        import sys
        def rising(number):
            last, now = 0, 1
            for _ in range(number - 1):
                last, now = now, (last + now) % MODULUS
            return now
        def remembered(number, known={{0: 0, 1: 1}}):
            if number not in known:
                known[number] = (remembered(number - 1) + remembered(number - 2)) % MODULUS
            return known[number]
        MODULUS = {modulus}
        sys.setrecursionlimit({depth} + 100)
        assert rising({depth}) == remembered({depth})
    """

    def test_deep_recursion(self):
        """99,900 calls deep: the frames themselves and what is remembered, as a flame graph; of a stack the 16,384
        youngest frames."""
        self.capture(self.DEEP.format(depth=99_900, modulus=2 ** 64), "-n")
        row = self.summary()["remembered"]
        self.assertGreater(row[0], 99_900 * 48)		# an int and an entry of the dictionary of each
        self.assertGreater(row[1], 80)
        deepest = max((frames for frames, _ in harness.folded(self.tmp / "test.bin")), key=len)
        self.assertGreater(sum(frame.startswith("remembered") for frame in deepest), 16_000)
        self.assertEqual(deepest[0], "<truncated>")
        page = self.memtrace("flamegraph", "test.bin").out.strip()
        self.assertIn("remembered", (self.tmp / page).read_text())

    def test_recursion_with_long_numbers(self):
        """Each call adds a number of its own, the longer the later: all blocks in one row."""
        reader = self.reader(self.DEEP.format(depth=8_000, modulus="10 ** 9999"), "-n")
        found = by_function(reader.get_high_watermark_allocation_records())["remembered"]
        self.assertGreater(found[1], 2000)		# those of more than 512 bytes
        self.assertEqual(self.summary()["remembered"][3], found[1])

    def test_sqlite(self):
        """A table in memory, filled from a list and read into one: Python's rows and SQLite's pages."""
        self.capture("""
            import random, sqlite3
            def values(series, count):
                for name in range(series):
                    for number in range(count):
                        yield (f"{name:010}", number, *(random.random() for _ in range(6)))
            def fill(base, rows):
                base.execute("create table measured (name text, at integer, a real, b real, c real, d real, "
                             "e real, f real, primary key (name, at))")
                base.executemany("insert into measured values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            def read(base):
                return base.execute("select * from measured").fetchall()
            def main():
                rows = list(values(300, 100))
                base = sqlite3.connect(":memory:")
                with base:
                    fill(base, rows)
                print(len(read(base)))
            main()
        """)
        python = self.summary("--no-native")
        self.assertGreater(python["main"][1], 80)
        for name, least in (("values", 30_000 * 7 * 24), ("fill", 30_000 * 70), ("read", 30_000 * 7 * 24)):
            self.assertGreater(python[name][0], least)
        native = [" ".join(frames) for frames, _ in harness.folded(self.tmp / "test.bin")]
        self.assertTrue([text for text in native if re.search(" fill .* sqlite3_step ", text)])

    def test_threads_that_compute(self):
        """Three threads at once draw the same figure; a site has what all of them have there."""
        reader = self.reader("""
            import threading
            def figure(height, width):
                rows = []
                for y in range(height):
                    rows.append(row(y * 2 / height - 1, width))
                together.wait()
                return rows
            def row(y, width):
                points = bytearray(width)
                for x in range(0, width, 50):
                    c = z = complex(x * 3 / width - 2, y)
                    while abs(z) < 2 and points[x] < 20:
                        z, points[x] = z * z + c, points[x] + 1
                return points
            together = threading.Barrier(3)
            threads = [threading.Thread(target=figure, args=(200, 2000)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        """, "-n")
        peak = list(reader.get_high_watermark_allocation_records(merge_threads=False))
        rows = [r for r in peak if r.stack_trace(max_stacks=1) == [("row", f"{self.tmp}/example.py", 10)]]
        self.assertEqual([r.n_allocations for r in rows], [200] * 3)
        self.assertEqual(len({r.tid for r in rows}), 3)
        self.assertEqual(sum(r.size for r in rows), 600 * 2001)


class Notebook(Case):
    """jupyter_magic.rst"""

    def test_cell(self):
        if harness.run([harness.PYTHON, "-c", "import IPython"]).code:
            self.skipTest("no IPython here")
        self.write("""
            from IPython.core.interactiveshell import InteractiveShell
            shell = InteractiveShell.instance()
            shell.run_line_magic("load_ext", "memtrace")
            shell.run_cell('''%%memtrace_flamegraph --trace-python-allocators --leaks
            def one():
                return "-" * 10_000
            def other():
                return "--" * 10_000
            kept = one() + other()
            ''')
            assert len(shell.user_ns["kept"]) == 30_000
        """)
        out = harness.run([harness.PYTHON, "example.py"], cwd=self.tmp, check=0,
                          env={**self.env, **environment(PACKAGE), "IPYTHONDIR": self.tmp}).out
        page = self.tmp / re.search(r"Results saved to (\S+)", out)[1]
        self.assertIn("</html>", page.read_text())
        with memray.FileReader(page.parent / "cell.bin") as reader:
            leaks = by_function(reader.get_leaked_allocation_records(), 10_000)
            peak = by_function(reader.get_high_watermark_allocation_records(), 10_000)
        self.assertAlmostEqual(leaks["<module>"][0], 30_000, delta=HEADER)
        self.assertEqual({"one", "other"} & set(leaks), set())
        self.assertEqual({"one", "other"} - set(peak), set())


class Api(Case):
    """api.rst, and what Tracker and FileDestination say of themselves."""

    def test_tracker(self):
        """What the block and other threads in it allocate, nothing before or after; once each, one at a time."""
        found = self.python("""
            import json, threading
            import memtrace as memray
            kept = []
            def before(): kept.append(bytearray(1_000_000))
            def inside(): kept.append(bytearray(2_000_000))
            def beside(): kept.append(bytearray(3_000_000))
            def after(): kept.append(bytearray(4_000_000))
            found = {"refused": []}
            def refused(work):
                try:
                    work()
                except (TypeError, OSError, RuntimeError) as error:
                    found["refused"].append(type(error).__name__)
            def enter(tracker):
                with tracker:
                    pass
            before()
            tracker = memray.Tracker("some_output_file.bin")
            with tracker:
                inside()
                thread = threading.Thread(target=beside)
                thread.start()
                thread.join()
                refused(lambda: enter(memray.Tracker("other.bin")))
            after()
            refused(lambda: enter(tracker))
            refused(lambda: memray.Tracker())
            refused(lambda: memray.Tracker("a.bin", destination=memray.FileDestination("a.bin")))
            refused(lambda: memray.Tracker("a.bin", True))
            refused(lambda: enter(memray.Tracker("some_output_file.bin")))
            refused(lambda: enter(memray.Tracker(destination=memray.FileDestination(path="some_output_file.bin"))))
            with memray.FileReader("some_output_file.bin") as reader:
                found["inside"] = sorted(
                    (record.size, record.n_allocations, record.stack_trace(max_stacks=1)[0][0])
                    for record in reader.get_high_watermark_allocation_records(merge_threads=True)
                    if record.size > 1_000_000 and record.allocator != memray.AllocatorType.MMAP)
            print(json.dumps(found))
        """)
        self.assertEqual(found["inside"], [[2_000_001, 1, "inside"], [3_000_001, 1, "beside"]])
        self.assertEqual(found["refused"], ["RuntimeError"] * 2 + ["TypeError"] * 3 + ["FileExistsError"] * 2)

    def test_destination(self):
        found = self.python("""
            import json, pathlib
            import memtrace as memray
            path, found = pathlib.Path("out.bin"), []
            for count in (1, 2):
                with memray.Tracker(destination=memray.FileDestination(
                        path, overwrite=True, compress_on_exit=False, buffered=True), memory_interval_ms=5):
                    kept = [bytearray(1_000_000) for _ in range(count)]
                with memray.FileReader(path) as reader:
                    found += [record.n_allocations for record in reader.get_high_watermark_allocation_records()
                              if record.size // record.n_allocations == 1_000_001]
                del kept
            with memray.Tracker("/dev/null"):
                pass
            print(json.dumps(found))
        """)
        self.assertEqual(found, [1, 2])

    def test_options(self):
        """native_traces, trace_python_allocators, file_format, follow_fork."""
        found = self.python("""
            import json, os
            import memtrace as memray
            class Row: pass
            def work():
                rows = [Row() for _ in range(1000)]
                return bytearray(5_000_000)
            found = {}
            for name, options in (
                    ("native", {"native_traces": True}), ("python", {"native_traces": False}),
                    ("objects", {"trace_python_allocators": True}),
                    ("sums", {"file_format": memray.FileFormat.AGGREGATED_ALLOCATIONS}),
                    ("forks", {"follow_fork": True})):
                with memray.Tracker(name + ".bin", **options):
                    if name == "forks":
                        if os.fork() == 0:
                            work()
                            os._exit(0)
                        os.wait()
                    kept = work()
                with memray.FileReader(name + ".bin") as reader:
                    m = reader.metadata
                    top = max(reader.get_leaked_allocation_records(), key=lambda r: r.size)
                    found[name] = [m.has_native_traces, m.trace_python_allocators, m.file_format.name, top.size,
                                   top.n_allocations, top.stack_trace(max_stacks=1)[0][0],
                                   bool(top.native_stack_trace())]
                    objects = [r for r in reader.get_high_watermark_allocation_records()
                               if r.allocator == memray.AllocatorType.PYMALLOC_MALLOC]
                    found[name].append(max((r.n_allocations for r in objects), default=0))
                del kept
            print(json.dumps(found))
        """)
        block = [5_000_001, 1, "work"]
        self.assertEqual(found["native"], [True, False, "ALL_ALLOCATIONS", *block, True, 0])
        self.assertEqual(found["python"], [False, False, "ALL_ALLOCATIONS", *block, False, 0])
        self.assertEqual(found["objects"][1], True)
        self.assertGreaterEqual(found["objects"][-1], 1000)
        self.assertEqual(found["sums"], [True, False, "AGGREGATED_ALLOCATIONS", *block, True, 0])
        self.assertEqual(found["forks"][3:6], block)
        self.assertEqual(len(list(self.tmp.glob("forks.bin.*"))), 1)

    def test_reader(self):
        """The loops over the views."""
        found = self.python("""
            import json
            import memtrace as memray
            kept = []
            def leak(): kept.append(bytearray(2_000_000))
            def passing(): bytearray(7_000_000)
            def peak():
                high = [bytearray(1_000_000) for _ in range(10)]
            with memray.Tracker("out.bin"):
                leak()
                for _ in range(3):
                    passing()
                peak()
            found = {}
            with memray.FileReader("out.bin") as reader:
                for name, records in (("peak", reader.get_high_watermark_allocation_records(merge_threads=True)),
                                      ("leaks", reader.get_leaked_allocation_records(merge_threads=True)),
                                      ("temporary", reader.get_temporary_allocation_records(merge_threads=True)),
                                      ("events", reader.get_allocation_records())):
                    found[name] = []
                    for record in records:
                        if record.size < 1_000_000 or record.allocator in (
                                memray.AllocatorType.MMAP, memray.AllocatorType.MUNMAP):
                            continue
                        for function, file, line in record.stack_trace(max_stacks=1):
                            found[name].append(f"{function}:{line} {record.size} {record.n_allocations}")
                found["snapshots"] = max(point.heap for point in reader.get_memory_snapshots()) >= 12_000_000
                found["peak bytes"] = reader.metadata.peak_memory
            print(json.dumps(found))
        """)
        inner = max(found["peak"], key=len).split(":")[0]
        self.assertRegex(inner, "^(peak|.*<listcomp>)$")	# which 3.12 does not have
        self.assertEqual(set(found["peak"]), {f"{inner}:8 10000010 10", "leak:5 2000001 1"})
        self.assertEqual(found["leaks"], ["leak:5 2000001 1"])
        # Nothing or one block came between the last two of the list and their release.
        self.assertEqual(set(found["temporary"]), {"passing:6 21000003 3", f"{inner}:8 2000002 2"})
        self.assertEqual(found["events"], ["leak:5 2000001 1"] + ["passing:6 7000001 1"] * 3 +
                         [f"{inner}:8 1000001 1"] * 10)
        self.assertTrue(found["snapshots"])
        self.assertAlmostEqual(found["peak bytes"], 12_000_000, delta=200_000)


if __name__ == "__main__":
    unittest.main()
