# SPDX-License-Identifier: Apache-2.0
# tests/python/documented.py - runs a program as Memray's documentation runs its examples, and reads what came out.
# Knows: our commands and package. Does not know: what the documentation says.
# Imported by test_memray_*.py.
import json
import os
import re
import sys
import textwrap
import unittest

import harness
from test_package import PACKAGE, environment

os.environ["MEMTRACE_LIBRARY"] = str(harness.BUILD / "libmemtrace.so.1")
sys.path.insert(0, str(PACKAGE))
import memtrace as memray  # noqa: E402

UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
HEADER = 60	# more than the object of a str or bytes has beside its text


def size(text):
    number, unit = text.split()
    return float(number) * UNITS[unit]


class Case(unittest.TestCase):
    def setUp(self):
        folder = harness.tmpdir()
        self.tmp = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        self.env = {"PATH": f"{harness.BUILD}:{os.path.dirname(harness.PYTHON)}:/usr/bin:/bin",
                    "PYTHONHASHSEED": "0"}

    def write(self, text, name="example.py"):
        path = self.tmp / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def memtrace(self, *arguments, check=0, **env):
        return harness.memtrace(*arguments, cwd=self.tmp, env={**self.env, **env}, check=check)

    def capture(self, text, *options, name="example.py", check=0, **env):
        """`run OPTIONS -fo test.bin example.py`"""
        self.write(text, name)
        self.memtrace("run", *options, "-fo", "test.bin", name, check=check, **env)
        return self.tmp / "test.bin"

    def reader(self, text, *options, **kwargs):
        reader = memray.FileReader(self.capture(text, *options, **kwargs))
        self.addCleanup(reader.close)
        return reader

    def python(self, text):
        """What a program that uses the package prints, from JSON."""
        self.write(text)
        out = harness.run([harness.PYTHON, "example.py"], cwd=self.tmp, check=0,
                          env={**self.env, **environment(PACKAGE)}).out
        return json.loads(out)

    def summary(self, *options):
        """{function: (total bytes, per cent, own bytes, count)}, largest first."""
        row = (r"(?m)^(\S.*?) at .*?  +(\d[\d.]* \w+) +<?([\d.]+)%  +(\d[\d.]* \w+) +<?[\d.]+%  +([\d,]+)$")
        found = {}
        for name, total, share, own, count in re.findall(row, self.memtrace(
                "summary", "test.bin", "-r1000", *options).out):
            found.setdefault(name, (size(total), float(share), size(own), int(count.replace(",", ""))))
        self.assertTrue(found)
        return found


def by_function(records, least=0):
    """{function that allocates: (bytes, blocks)}, of records of so many bytes at least."""
    found = {}
    for record in records:
        stack = record.stack_trace(max_stacks=1)
        if stack and record.size >= least:
            have = found.get(stack[0][0], (0, 0))
            found[stack[0][0]] = have[0] + record.size, have[1] + record.n_allocations
    return found
