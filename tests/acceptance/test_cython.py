# SPDX-License-Identifier: Apache-2.0
# tests/acceptance/test_cython.py - functions that Cython compiled among functions of Python (PS-12).
# Knows: what the functions of tests/targets/acceptance/cythons.py do, how to compile Cython. Does not know: how
# they are run. Run by tests/run.py.
import re
import shutil
import unittest
from pathlib import Path

import harness
import table
from table import Row
from test_stacks import plain, stacks

TIMEOUT = 400
NEEDS = ["cython3"]
# Versions of Python that Debian 12's Cython writes C for.
MINORS = range(7, 12)


def headers(python):
    """The folder of Python.h; None where a build came without."""
    text = "import sysconfig; print(sysconfig.get_paths()['include'])"
    folder = Path(harness.run([*python.argv, "-c", text], check=0).out.strip())
    return folder if (folder / "Python.h").exists() else None


def compiled(folder, python):
    """The module, in the folder."""
    source = folder / "compiled.c"
    harness.run(["cython3", "-3", "-o", source, table.TARGETS / "compiled.pyx"], check=0)
    built = harness.compile_c(source, flags=["-shared", "-fPIC", "-w", "-I", headers(python)])
    shutil.copy(built, folder / "compiled.so")


class Base(table.Table):
    def prepare(self, python, tmp):
        compiled(tmp, python)
        return {"PYTHONPATH": tmp}


def between(record):
    """The whole stack as letters: P of Python, C of Cython."""
    library = table.memtrace._library
    python = {f[0] for f in plain(record.stack_trace())}
    found = ""
    for frame in record._capture.stack(record.stack_id, library.HYBRID):
        if frame.function.split(".")[-1] in python and not frame.function.startswith("__pyx"):
            found += "P"
        elif frame.function.startswith(("__pyx_pf_", "__pyx_pw_", "__pyx_f_", "__pyx_gb_")):
            found += "C"
    return re.sub("P+", "P", re.sub("C+", "C", found))


def around(*shapes):
    """The Python stack has no function of Cython's; where they are natively is what each shape says."""
    def check(test, seen):
        stacks()(test, seen)
        test.assertEqual([between(r) for r in seen.allocations(table.memtrace.AllocatorType.VALLOC)], list(shapes))
    return check


ROWS = [
    Row("PS-12", "around", around("CPCP", "PCPCP", "CP"), shares="cython"),
    Row("PS-12 recursion", "recursion", around(*("CP" + depth * "CP" for depth in range(11))), shares="cython"),
    Row("PS-12 generator", "generator", around(*["PCP"] * 3), shares="cython"),
    Row("PS-12 exceptions", "exceptions", around(*["PCPCP", "P"] * 20), shares="cython"),
    Row("PS-12 older than the capture", "waiting", around("PCPCP", "PCPCP"), before=["start_thread"], prime=False,
        shares="thread", not_by={"run": "nothing is older than the capture"}),
]


def with_headers(check):
    interpreters = {}
    for name, path in harness.interpreters().items():
        python = harness.Interpreter(path)
        if int(name.split()[0].split(".")[1]) in MINORS and headers(python):
            interpreters[name] = lambda test, python=python: python
    return table.tests(check, interpreters)


Cython = table.of(ROWS, "cythons", with_headers, Base)


if __name__ == "__main__":
    unittest.main()
