# SPDX-License-Identifier: Apache-2.0
# tests/python/test_pytest.py - the pytest plugin in real runs of Debian's pytest.
# Knows: pytest's output. Does not know: hooks.
import re
import unittest

import harness
from test_package import PACKAGE, environment

TIMEOUT = 300

SUITE = '''
import asyncio, unittest, pytest
kept = []

@pytest.mark.limit_memory("24 MB")
def test_small():
    bytearray(1 << 20)

@pytest.mark.limit_memory("1 MB")
def test_big():
    bytearray(2 << 20)

@pytest.mark.limit_leaks("1 MB")
def test_leak():
    kept.append(bytearray(3 << 20))

@pytest.mark.limit_leaks("1 MB")
def test_no_leak():
    cycle = [bytearray(3 << 20)]
    cycle.append(cycle)

@pytest.mark.limit_leaks("1 MB", filter_fn=lambda s: s.frames[0] and not any(
    f.function == "test_excused" for f in s.frames))
def test_excused():
    kept.append(bytearray(3 << 20))

@pytest.mark.parametrize("n", [1, 2])
def test_plain(n):
    bytearray(n << 20)

def test_fails():
    bytearray(5 << 20)
    assert 0

class Case(unittest.TestCase):
    @pytest.mark.limit_memory("1 MB")
    def test_case(self):
        bytearray(2 << 20)
'''
PROBLEMS = {"test_big", "test_leak", "Case::test_case"}


class Plugin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if harness.run([harness.PYTHON, "-c", "import pytest"]).code:
            raise unittest.SkipTest("no pytest here")

    def run_pytest(self, folder, *options, suite=SUITE, code=1, **env):
        if suite:
            (folder / "test_it.py").write_text(suite)
        return harness.run([harness.PYTHON, "-m", "pytest", "-p", "memtrace.pytest_plugin", *options],
                           cwd=folder, timeout=200, check=code,
                           env={**environment(PACKAGE), "COLUMNS": "200", **env}).out

    def problems(self, out):
        return {m.partition("::")[2] for m in re.findall(r"^MEMORY PROBLEMS (\S+)", out, re.M)}

    def test_markers(self):
        with harness.tmpdir() as tmp:
            out = self.run_pytest(tmp)
            self.assertEqual(self.problems(out), PROBLEMS)
            self.assertIn("4 failed, 5 passed", out)
            self.assertNotIn("MEMTRACE REPORT", out)
            self.assertIn("Test is using 2.0MiB out of limit of 1.0MiB", out)
            self.assertRegex(out, r"- test_big:\S+test_it.py:11 -> 2.0MiB")
            self.assertRegex(out, r"Test leaked 3.0MiB in 1 place, the limit of each is 1.0MiB")
            self.assertRegex(out, r"(?m)^test_it.py \.MM\.\.\.\.FM")

    def test_report(self):
        with harness.tmpdir() as tmp:
            out = self.run_pytest(tmp, "--memtrace", "--most-allocations=2", "--stacks=2")
            report = out[out.index("MEMTRACE REPORT"):]
            names = re.findall(r"Allocation results for test_it.py::(\S+) at the high watermark", report)
            self.assertEqual(len(names), 2)
            self.assertLessEqual(set(names), {"test_leak", "test_no_leak", "test_excused"})
            self.assertIn("Total memory allocated: 3.0MiB", report)
            self.assertRegex(report, r"(?m)^    from    1.0MiB +1 #+$")
            self.assertRegex(report, r"(?m)^    - test_\w+:\S+test_it.py:\d+ -> 3.0MiB\n        \S")
            out = self.run_pytest(tmp, "--memtrace", "--hide-memtrace-summary")
            self.assertNotIn("MEMTRACE REPORT", out)
            out = self.run_pytest(tmp, "--memtrace", "--most-allocations=0")
            self.assertEqual(out.count("Allocation results for"), 8)	# the one that failed has none

    def test_small_objects_leak(self):
        suite = ("import pytest\nkept = []\n@pytest.mark.limit_leaks('100 KB')\ndef test_it():\n"
                 "    kept.append([bytes(300) for _ in range(1000)])\n")
        with harness.tmpdir() as tmp:
            out = self.run_pytest(tmp, suite=suite)
            self.assertRegex(out, r"Test leaked 3\d\d.\dKiB in 1 place")

    def test_ini_and_captures(self):
        with harness.tmpdir() as tmp:
            (tmp / "pytest.ini").write_text("[pytest]\nmemtrace = true\nmost_allocations = 1\n")
            out = self.run_pytest(tmp, "--memtrace-bin-path=caps", "--memtrace-bin-prefix=mine")
            self.assertEqual(out.count("Allocation results for"), 1)
            captures = sorted((tmp / "caps").glob("mine-test_it.py-*.bin"))
            self.assertEqual(len(captures), 9)
            harness.memtrace("info", captures[0])

    def test_names_of_captures(self):
        """Tests whose names differ in what no file's name has get a capture each."""
        suite = ("import pytest\n@pytest.mark.parametrize('n', ['a/b', 'a-b', 'x' * 300, 'y' + 'x' * 300])\n"
                 "def test_it(n): bytearray(1 << 20)\n")
        with harness.tmpdir() as tmp:
            self.run_pytest(tmp, "--memtrace", "--memtrace-bin-path=caps", "--memtrace-bin-prefix=p", suite=suite,
                            code=0)
            self.assertEqual(len(list((tmp / "caps").glob("p-*.bin"))), 4)
            self.run_pytest(tmp, "--memtrace", "--memtrace-bin-path=caps", "--memtrace-bin-prefix=p", suite=suite,
                            code=0)				# written anew
            self.assertEqual(len(list((tmp / "caps").iterdir())), 4)

    def test_sums(self):
        """--memtrace-aggregate tells the same of small captures."""
        with harness.tmpdir() as tmp:
            (tmp / "pytest.ini").write_text("[pytest]\nmemtrace_aggregate = true\n")
            out = self.run_pytest(tmp, "--memtrace", "--memtrace-bin-path=caps", "--most-allocations=0")
            self.assertEqual(self.problems(out), PROBLEMS)
            self.assertIn("Test is using 2.0MiB out of limit of 1.0MiB", out)
            self.assertIn("Test leaked 3.0MiB in 1 place", out)
            self.assertRegex(out, r"(?m)^    - test_\w+:\S+test_it.py:\d+ -> 3.0MiB$")
            for capture in (tmp / "caps").iterdir():
                self.assertIn("aggregated", harness.memtrace("parse", capture, check=1).err)

    def test_one_thread_alone(self):
        suite = ('''
import threading, pytest
kept = []
def elsewhere(size):
    thread = threading.Thread(target=lambda: kept.append(bytearray(size)))
    thread.start()
    thread.join()
''' + "".join(f"""
@pytest.mark.{marker}("1 MB", current_thread_only={only})
def test_{marker}_{only}_{here}():
    elsewhere(3 << 20)
    kept.append(bytearray({(2 if here else 0)} << 20))
""" for marker in ("limit_memory", "limit_leaks") for only in (True, False) for here in (True, False)))
        with harness.tmpdir() as tmp:
            self.assertEqual(self.problems(self.run_pytest(tmp, suite=suite)), {
                f"test_{marker}_{only}_{here}" for marker in ("limit_memory", "limit_leaks")
                for only in (True, False) for here in (True, False) if here or not only})

    def test_coroutines(self):
        """Run by whatever plugin does that."""
        with harness.tmpdir() as tmp:
            (tmp / "conftest.py").write_text(
                "import asyncio, pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_pyfunc_call(pyfuncitem):\n"
                "    if asyncio.iscoroutinefunction(pyfuncitem.obj):\n"
                "        asyncio.run(pyfuncitem.obj())\n        return True\n")
            suite = ("import asyncio, pytest\n@pytest.mark.limit_memory('1 MB')\nasync def test_it():\n"
                     "    await asyncio.sleep(0.01)\n    bytearray(2 << 20)\n    await asyncio.sleep(0.01)\n")
            out = self.run_pytest(tmp, suite=suite)
            self.assertEqual(self.problems(out), {"test_it"})
            self.assertIn("Test is using 2.0MiB out of limit of 1.0MiB", out)

    def test_how_much_is_told(self):
        """-v, -q and verbosity_memtrace; --native shows the frames below Python's."""
        suite = ("import pytest\n" + "".join(f"def f{i}(): return bytearray({i + 1} << 18)\n" for i in range(8)) +
                 "@pytest.mark.limit_memory('1 MB')\ndef test_it(): kept = ["
                 + ", ".join(f"f{i}()" for i in range(8)) + "]\n")
        with harness.tmpdir() as tmp:
            def places(*options, ini=""):
                (tmp / "pytest.ini").write_text(f"[pytest]\n{ini}")
                out = self.run_pytest(tmp, *options, suite=suite)
                self.assertIn("out of limit of 1.0MiB", out)
                return len(re.findall(r"(?m)^    - f\d:", out))
            self.assertEqual((places(), places("-q"), places("-vv")), (5, 0, 8))
            self.assertEqual((places("--most-allocations=3"), places("--most-allocations=0")), (3, 8))
            self.assertEqual((places("-vv", ini="verbosity_memtrace = 0\n"),
                              places(ini="verbosity_memtrace = 2\n"), places(ini="verbosity_memtrace = -1\n")), (5, 8, 0))
            (tmp / "pytest.ini").unlink()
            out = self.run_pytest(tmp, "--native", "--stacks=3", suite=suite)
            self.assertRegex(out, r"(?m)^    - [^:]+:(?!\S*test_it.py)\S*:0 -> 9.0MiB$")	# not f7 itself

    def test_junit(self):
        with harness.tmpdir() as tmp:
            self.run_pytest(tmp, "--junit-xml=out.xml")
            self.assertIn("Test is using 2.0MiB out of limit of 1.0MiB", (tmp / "out.xml").read_text())

    def test_xdist(self):
        if harness.run([harness.PYTHON, "-c", "import xdist"]).code:
            self.skipTest("no xdist here")
        with harness.tmpdir() as tmp:
            out = self.run_pytest(tmp, "--memtrace", "-n2")
            self.assertEqual(self.problems(out), PROBLEMS)
            self.assertEqual(out.count("Allocation results for"), 5)
            self.run_pytest(tmp, "--memtrace-bin-path=caps", "--memtrace", "-n2")
            self.assertEqual(len(list((tmp / "caps").glob("*.bin"))), 9)
            # What was used last time comes from the worker that ran it, whichever it was.
            suite = SUITE.replace("bytearray(1 << 20)", "bytearray(3 << 20)")
            out = self.run_pytest(tmp, "--fail-on-increase", "-n2", suite=suite)
            self.assertEqual(self.problems(out), PROBLEMS | {"test_small"})
            self.assertIn("more than in its last run, 1.0MiB", out)

    def test_fail_on_increase(self):
        suite = ('import os, pytest\n@pytest.mark.limit_memory("24 MB")\n'
                 'def test_it():\n    bytearray(int(os.environ["MIB"]) << 20)\n')
        with harness.tmpdir() as tmp:
            for mib, code in (("4", 0), ("4", 0), ("6", 1), ("6", 1), ("3", 0), ("4", 1)):
                with self.subTest(mib):
                    out = self.run_pytest(tmp, "--fail-on-increase", suite=suite, code=code, MIB=mib)
                    self.assertEqual("more than in its last run" in out, bool(code))

    def test_wrong_use(self):
        for marker, text in (('limit_memory("lots")', "invalid size 'lots'"),
                             ('limit_memory()', "missing 1 required positional argument"),
                             ('limit_memory("1 MB", colour=1)', "unexpected keyword"),
                             ('limit_memory("1 MB")\n@pytest.mark.limit_leaks("1 MB")', "only one of")):
            with self.subTest(marker), harness.tmpdir() as tmp:
                suite = f"import pytest\n@pytest.mark.{marker}\ndef test_it(): pass\n"
                self.assertIn(text, self.run_pytest(tmp, suite=suite))

    def test_objects_need_a_newer_python(self):
        """Before any test runs; what newer ones do is in check_objects.py."""
        suite = "import pytest\n@pytest.mark.limit_leaked_objects\ndef test_it(): print('runs')\n"
        with harness.tmpdir() as tmp:
            (tmp / "test_it.py").write_text(suite)
            done = harness.run([harness.PYTHON, "-m", "pytest", "-s", "-p", "memtrace.pytest_plugin"], cwd=tmp,
                               env=environment(PACKAGE))
        if "3.13.3" in done.err:
            self.assertEqual(done.code, 4)
        self.assertEqual("runs" in done.out, "requires Python 3.13.3 or later, this is" not in done.err, done)

    def test_suite_of_another_project(self):
        """IPython's tests of its tokenizer and input transformer, as Debian installs them."""
        with harness.tmpdir() as tmp:
            probe = harness.run([harness.PYTHON, "-c", "import IPython.core.tests as t; print(t.__path__[0])"])
            if probe.code:
                self.skipTest("no IPython with its tests here")
            plain = self.run_pytest(tmp, "--pyargs", "IPython.core.tests.test_splitinput",
                                    "IPython.core.tests.test_inputtransformer2", "-p", "no:cacheprovider",
                                    suite=None, code=(0, 1), IPYTHONDIR=tmp)
            out = self.run_pytest(tmp, "--memtrace", "--pyargs", "IPython.core.tests.test_splitinput",
                                  "IPython.core.tests.test_inputtransformer2", "-p", "no:cacheprovider",
                                  suite=None, code=(0, 1), IPYTHONDIR=tmp)
            counts = [re.search(r"=+ (.*?) in [\d.]+s", text)[1] for text in (plain, out)]
            self.assertRegex(counts[0], r"\d\d passed")
            self.assertEqual(counts[1], counts[0])
            self.assertEqual(out.count("Allocation results for"), 5)


if __name__ == "__main__":
    unittest.main()
