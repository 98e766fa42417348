# SPDX-License-Identifier: Apache-2.0
# tests/unwind/test_tables.py - the compiled unwind tables against libdw and against written rows.
# Knows: tests/unwind/libdw.c and its output. Does not know: DWARF.
# Called by tests/run.py.
import os
import re
import shutil
import unittest
from pathlib import Path

import harness

LIBDW = harness.BUILD / "tests" / "unwind" / "libdw"
TARGETS = Path(__file__).resolve().parent / "targets"
LIBRARIES = ("libc.so.6", "libstdc++.so.6", "libcrypto.so.3", "libgcc_s.so.1", "libm.so.6",
             "ld-linux-x86-64.so.2", "libsqlite3.so.0", "libpython3.11.so.1.0")
PROGRAMS = ("/usr/bin/python3", "/bin/bash", "/usr/bin/gdb", "/usr/bin/perl")

# Label, offset from it, what libdw.c's --at prints there: cfa kind and offset, rbp kind and offset.
ROWS = """
saves_rbp      0   rsp+8        same
saves_rbp      1   rsp+16       cfa-16
saves_rbp      4   rbp+16       cfa-16
saves_rbp      9   rsp+8        same
saves_rbp     10   rbp+16       cfa-16
saves_rbp     12   rsp+8        same
saves_rbp     13   unsupported
saves_rsp      0   rsp+8        same
saves_rsp      7   rsp+72       same
saves_rsp     16   *(rsp+8)     same
saves_rsp     22   rsp+8        same
by_r10         0   rsp+8        same
by_r10         5   unsupported
by_r10        14   unsupported
by_r10        19   *(rbp-8)     rbp+0
by_r10        24   unsupported
by_r10        29   rsp+8        same
thread_root    0   end
thread_root    1   end
thread_root    2   unsupported
no_information 0   unsupported
no_information 1   unsupported
"""


class Tables(unittest.TestCase):
    def compare(self, *files):
        """Every row of the files is what libdw says. Returns (FDEs, unsupported, rows, ms)."""
        done = harness.run([LIBDW, *files], timeout=100)
        self.assertEqual(done.code, 0, done)
        found = re.findall(r": (\d+) FDEs, (\d+) with unsupported rows, (\d+) rows, \d+ rules, "
                           r"([\d.]+) ms; (\d+) addresses compared, \d+ unsupported, 0 different",
                           done.out)
        self.assertEqual(len(found), len(files), done)
        for fdes, unsupported, rows, _, compared in found:
            self.assertGreater(int(rows), int(fdes))
            self.assertGreater(int(compared), 2 * int(rows))
            # A table that is empty would agree on much: nearly all must be expressible.
            self.assertLess(int(unsupported), int(fdes) * 0.05 + 8)
        return found

    def test_system_libraries(self):
        folder = Path("/usr/lib/x86_64-linux-gnu")
        files = [folder / name for name in LIBRARIES if (folder / name).exists()]
        self.assertGreaterEqual(len(files), 5)
        self.compare(*files)

    def test_system_programs(self):
        files = [name for name in PROGRAMS if os.path.exists(name)]
        self.assertIn("/usr/bin/python3", files)
        self.compare(*files)

    def test_node(self):
        node = shutil.which("node")
        if not node:
            self.skipTest("no node")
        self.compare(os.path.realpath(node))

    def test_compilers(self):
        ways = ["-O0", "-O2", "-O3 -mavx2", "-O2 -mstackrealign", "-O2 -fno-omit-frame-pointer",
                "-Os -mavx -mstackrealign -fno-omit-frame-pointer", "-O2 -static",
                "-O2 -no-pie -Wl,-z,lazy", "-O2 -fcf-protection -Wl,-z,lazy -Wl,-z,ibtplt",
                "-O1 -fno-asynchronous-unwind-tables -funwind-tables", "-O2 -flto",
                "-O2 -fstack-clash-protection -fstack-protector-all"]
        for compiler in ("gcc", "clang"):
            for way in ways:
                with self.subTest(compiler=compiler, flags=way):
                    self.compare(harness.compile_c(TARGETS / "shapes.c", compiler=compiler,
                                                   flags=["-w", *way.split()]))

    def test_exceptions_program(self):
        self.compare(harness.compile_c(TARGETS / "busy.cc", flags=[
            "-O2", "-pthread", "-Wl,-z,lazy"]))

    def test_assembly(self):
        with harness.tmpdir() as tmp:
            library = tmp / "assembly.so"
            harness.run(["gcc", "-shared", "-nostdlib", "-o", library, TARGETS / "assembly.s"],
                        check=0)
            symbols = {}
            for line in harness.run(["nm", library], check=0).out.splitlines():
                address, _, name = line.split()
                symbols[name] = int(address, 16)
            rows = [row.split() for row in ROWS.strip().splitlines()]
            addresses = [hex(symbols[row[0]] + int(row[1])) for row in rows]
            done = harness.run([LIBDW, "--at", library, *addresses], check=0)
            for row, line in zip(rows, done.out.splitlines()):
                self.assertEqual(line.split()[1:], row[2:], f"{row[0]} + {row[1]}\n{done}")
            self.assertEqual(len(done.out.splitlines()), len(rows))
            harness.run([LIBDW, library], check=0)


if __name__ == "__main__":
    unittest.main()
