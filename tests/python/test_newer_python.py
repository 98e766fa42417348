# SPDX-License-Identifier: Apache-2.0
# tests/python/test_newer_python.py - the wheel under a Python newer than this machine's, in its own Debian release.
# Knows: the wheel's build, harness.rootfs(), check_*.py. Does not know: what the package does.
# Run by tests/run.py. Needs the network once; the root is kept in the build folder.
import os
import re
import shutil
import unittest
import zipfile

import harness
from test_package import HERE, PACKAGE

TIMEOUT = 900		# the first run fetches some packages
NEEDS = ["apt-get", "chroot", "unshare", "dpkg-deb"]
# What the program in the wheel is linked with, by its names there.
LIBRARIES = ["libunwind8", "libdw1t64", "libelf1t64", "libzstd1", "zlib1g", "libncursesw6", "libtinfo6"]
SUITES = {"forky": 14}

# A process that attaches to itself needs its /proc.
INSIDE = """
mount -t proc proc "$1/proc" &&
exec chroot "$1" sh -c 'cd /tmp/wheel && exec python3 -W error::ResourceWarning -m unittest check_tracker check_reader check_web check_objects'
"""


class NewerPython(unittest.TestCase):
    def check(self, suite, least):
        root = harness.rootfs(self, suite, "python3", "python3-pytest", *LIBRARIES)
        minor = harness.run(["chroot", root, "python3", "-c", "import sys; print(sys.version_info[1])"], check=0)
        self.assertGreaterEqual(int(minor.out), least)
        with harness.tmpdir() as tmp:
            out = harness.run([harness.PYTHON, "-c", "import _build, sys; print(_build.build_wheel(sys.argv[1]))", tmp],
                              cwd=PACKAGE, check=0, env={"O": harness.BUILD, "PYTHONPATH": PACKAGE}).out
            place = root / "tmp" / "wheel"
            shutil.rmtree(place, ignore_errors=True)
            with zipfile.ZipFile(tmp / out.splitlines()[-1]) as wheel:
                wheel.extractall(place)
        self.addCleanup(shutil.rmtree, place, ignore_errors=True)
        (place / "memtrace" / "bin" / "memtrace").chmod(0o755)
        for name in ("check_tracker.py", "check_reader.py", "check_web.py", "check_objects.py"):
            shutil.copy(os.path.join(HERE, name), place)
        result = harness.run(["unshare", "--mount", "sh", "-c", INSIDE, "sh", root], timeout=400,
                             env={"PYTHONPATH": None, "MEMTRACE": None, "MEMTRACE_LIBRARY": None,
                                  "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        self.assertEqual(result.code, 0, result)
        self.assertRegex(result.err, r"Ran [6-9]\d tests")
        self.assertFalse(re.search(r"skipped", result.err), result.err)


def add_case(suite, least):
    def test(self):
        self.check(suite, least)
    setattr(NewerPython, f"test_{suite}", test)


for name, version in SUITES.items():
    add_case(name, version)


if __name__ == "__main__":
    unittest.main()
