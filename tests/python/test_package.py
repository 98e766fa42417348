# SPDX-License-Identifier: Apache-2.0
# tests/python/test_package.py - the Python package on every interpreter at hand, as it is in the tree
# and as pip installs it.
# Knows: check_*.py, pip. Does not know: what the package does.
import os
import re
import shutil
import unittest
import zipfile

import harness

TIMEOUT = 600
HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = harness.ROOT / "python"


def environment(*folders):
    return {"PYTHONPATH": os.pathsep.join(map(str, folders)), "MEMTRACE": harness.MEMTRACE,
            "MEMTRACE_LIBRARY": harness.BUILD / "libmemtrace.so.1", "PYTHONDONTWRITEBYTECODE": "1"}


def ends(found):
    """Of all interpreters the system's, the oldest and the newest."""
    names = sorted(found, key=lambda n: (found[n] != "/usr/bin/python3", int(n[2:].split()[0])))
    return {name: found[name] for name in names[:2] + names[-1:]}


class Interpreters(unittest.TestCase):
    def check(self, module, found, **env):
        self.assertTrue(found)
        for name, python in found.items():
            with self.subTest(name):
                result = harness.run([python, "-W", "error::ResourceWarning", "-m", "unittest", module],
                                     timeout=180, env={**environment(PACKAGE, HERE), **env})
                self.assertEqual(result.code, 0, result)
                self.assertRegex(result.err, r"Ran [1-9]\d* tests?")

    def test_tracker(self):
        self.check("check_tracker", ends(harness.interpreters()))

    def test_tracker_of_all(self):
        self.check("check_tracker.Blocks", harness.interpreters())

    def test_reader(self):
        self.check("check_reader", ends(harness.interpreters()))

    def test_web(self):
        self.check("check_web", ends(harness.interpreters()))

    def test_ptrace_is_refused_by_a_filter(self):
        self.check("check_refused", ends(harness.interpreters()))

    def test_ptrace_is_refused_by_the_kernel(self):
        """Stood for by a library that is preloaded: few kernels have Yama, none can be told to forget it."""
        library = harness.compile_c("no_ptrace.c", flags=["-shared", "-fPIC", "-ldl"])
        with harness.tmpdir() as tmp:
            program = tmp / "memtrace"
            program.write_text(f"#!/bin/sh\nLD_PRELOAD={library} exec {harness.MEMTRACE} \"$@\"\n")
            program.chmod(0o755)
            self.check("check_refused", ends(harness.interpreters()), MEMTRACE=program,
                       PTRACE_IS_REFUSED="1")

    def test_reader_of_all(self):
        self.check("check_reader.Facts", harness.interpreters())


class Installed(unittest.TestCase):
    """What pip installs without a network."""

    @classmethod
    def setUpClass(cls):
        cls.pips = ends({name: python for name, python in harness.interpreters().items()
                         if harness.run([python, "-m", "pip", "--version"]).code == 0})
        if not cls.pips:
            raise unittest.SkipTest("no interpreter here has a pip")

    def install(self, python, target):
        # Nothing may be asked of a network: no index, and no proxy leads out.
        env = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "O": harness.BUILD,
               "PYTHONPATH": None, "PIP_NO_CACHE_DIR": "1", "PIP_ROOT_USER_ACTION": "ignore"}
        harness.run([python, "-m", "pip", "install", "--target", target, PACKAGE], timeout=300, env=env,
                    check=0)

    def test_pip_install(self):
        program = ("import memtrace\n"
                   "with memtrace.Tracker('out.bin'): kept = bytearray(1234567)\n"
                   "with memtrace.FileReader('out.bin') as r:\n"
                   "    print(r.metadata.peak_memory > 1234567, memtrace.__file__)\n")
        for name, python in self.pips.items():
            with self.subTest(name), harness.tmpdir() as tmp:
                self.install(python, tmp / "site")
                env = {"PYTHONPATH": tmp / "site", "MEMTRACE": None, "MEMTRACE_LIBRARY": None}
                out = harness.run([python, "-c", program], cwd=tmp, env=env, check=0).out
                self.assertEqual(out, f"True {tmp}/site/memtrace/__init__.py\n")
                out = harness.run([python, "-m", "memtrace", "info", "out.bin"], cwd=tmp, env=env,
                                  check=0).out
                self.assertIn("out.bin", out)
                self.assertTrue(os.access(tmp / "site" / "memtrace" / "bin" / "memtrace", os.X_OK))

    def test_the_wheel(self):
        """The same one by every interpreter."""
        wheels = set()
        for name, python in ends(harness.interpreters()).items():
            with self.subTest(name), harness.tmpdir() as tmp:
                out = harness.run([python, "-c", "import _build, sys; print(_build.build_wheel(sys.argv[1]))",
                                   tmp], cwd=PACKAGE, check=0,
                                  env={"O": harness.BUILD, "PYTHONPATH": PACKAGE}).out
                file = out.splitlines()[-1]
                self.assertRegex(file, r"^memtrace-[\d.]+-py3-none-linux_x86_64\.whl$")
                with zipfile.ZipFile(tmp / file) as wheel:
                    names = wheel.namelist()
                    self.assertIsNone(wheel.testzip())
                    wheels.add(frozenset((i.filename, i.CRC) for i in wheel.infolist()))
                for want in ("memtrace/py.typed", "memtrace/bin/memtrace", "memtrace/bin/libmemtrace.so.1"):
                    self.assertIn(want, names)
                self.assertFalse([n for n in names if "__pycache__" in n])
        self.assertEqual(len(wheels), 1)


class Text(unittest.TestCase):
    def test_version_is_that_of_the_program(self):
        version = re.search(r'MT_VERSION "(.*)"', (harness.ROOT / "base/version.h").read_text())[1]
        for file in ("pyproject.toml", "memtrace/__init__.py"):
            self.assertIn(f'ersion__ = "{version}"' if file.endswith("py") else f'version = "{version}"',
                          (PACKAGE / file).read_text())

    def test_types(self):
        """mypy where it is installed; every function is annotated anyway."""
        import ast
        for path in (PACKAGE / "memtrace").glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    with self.subTest(path.name, function=node.name):
                        self.assertIsNotNone(node.returns)
        if not shutil.which("mypy"):
            self.skipTest("no mypy here")
        result = harness.run(["mypy", "--strict", "--no-incremental", "--ignore-missing-imports",
                              "--allow-untyped-decorators", "--no-warn-unused-ignores",
                              PACKAGE / "memtrace"],
                             env={"MYPY_CACHE_DIR": os.devnull})
        self.assertEqual(result.code, 0, result)


if __name__ == "__main__":
    unittest.main()
