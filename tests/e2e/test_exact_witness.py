# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_exact_witness.py - programs nobody here wrote, counted twice at the same time: by
# memtrace and by a preloaded library. Knows: both counts. Does not know: how either is made.
# Run by tests/run.py.
import re
import subprocess
import unittest

import harness

KINDS = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign", "valloc",
         "pvalloc")
PYTHON_WORK = "import json, re, sqlite3, zlib; json.dumps([{str(i): i} for i in range(5000)])"


class Witness(unittest.TestCase):
    def check(self, *argv, least):
        library = harness.compile_c("alloc_witness.c",
                                    flags=["-w", "-O1", "-D_GNU_SOURCE", "-shared", "-fPIC"])
        with harness.tmpdir() as tmp:
            harness.memtrace("run", "-o", tmp / "cap.bin", "--", "env", f"LD_PRELOAD={library}",
                             f"WITNESS={tmp}/witness", *argv, cwd=tmp)
            want = [int(x) for x in (tmp / "witness").read_text().split()]
            got = [0, 0]
            for line in harness.memtrace("parse", tmp / "cap.bin").out.splitlines():
                match = re.match(r"event .*\bkind=(\S+) .*\bsize=(\d+)", line)
                if match and match[1].lower() in KINDS:
                    got[0] += 1
                    got[1] += int(match[2])
        self.assertGreater(want[0], least)
        self.assertEqual(got, want, f"[count, bytes] of {argv}")

    def test_compiler(self):
        """145,000 allocations of gcc's own compiler."""
        cc1 = subprocess.check_output(["gcc", "-print-prog-name=cc1"], text=True).strip()
        self.check(cc1, "-quiet", "-O2", "-D_GNU_SOURCE", harness.TARGETS / "alloc_exact.c",
                   "-o", "/dev/null", least=20000)

    def test_python(self):
        """Not position independent, bound lazily, with stubs of its own for malloc and free."""
        self.check(harness.PYTHON, "-c", PYTHON_WORK, least=2000)

    def test_shell(self):
        self.check("bash", "-c", "for i in {1..2000}; do a[$i]=$i; done; echo ${#a[@]}", least=3000)

    def test_perl(self):
        self.check("perl", "-e", "my %h; $h{$_} = \"x$_\" for 1..5000;", least=5000)


if __name__ == "__main__":
    unittest.main()
