# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_symbolize.py - `memtrace symbolize` on real captures, and what it leaves alone.
# Knows: options, files and their modes, exit codes. Does not know: DWARF.
# Run by tests/run.py.
import os
import shutil
import subprocess
import unittest

import harness

PROGRAM = r"""
#include <stdlib.h>
static inline __attribute__((always_inline)) char *grab(int n) { return malloc(n); }
__attribute__((noinline)) char *fetch(int n) { char *p = grab(n); p[0] = 1; return p; }
int main(void) { for (int i = 0; i < 10; i++) { char *p = fetch(1000 + i); if (i & 1) free(p); } return 0; }
"""


class Symbolize(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        cls.dir = cls.scope.__enter__()
        built = harness.compile_c(PROGRAM, name="symbolize_me", flags=["-O2", "-g"])
        cls.built = cls.dir / "built"
        shutil.copy(built, cls.built)
        cls.program = cls.dir / "prog"
        shutil.copy(built, cls.program)
        cls.raw = cls.dir / "raw.bin"
        harness.memtrace("run", "-o", cls.raw, "--", cls.program)

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    def setUp(self):
        self.inner = harness.tmpdir()
        self.tmp = self.inner.__enter__()
        self.cap = self.tmp / "cap.bin"
        shutil.copy(self.raw, self.cap)
        self.before = self.cap.read_bytes()
        if not self.program.exists():
            shutil.copy(self.built, self.program)

    def tearDown(self):
        self.inner.__exit__(None, None, None)

    def symbolize(self, *args, **kwargs):
        return harness.memtrace("symbolize", "--no-debuginfod", *args, **kwargs)

    def names(self, cap):
        """Stacks of a capture; `symbolized` ones only when nothing can be looked up."""
        return harness.memtrace("transform", "folded", "--no-debuginfod", "--view", "allocated",
                                cap).out

    def assert_named(self, cap):
        self.program.unlink(missing_ok=True)        # what is not in the capture is gone
        self.assertRegex(self.names(cap), r"main .*;fetch .*;grab ")

    def assert_not_named(self, cap):
        self.program.unlink(missing_ok=True)
        self.assertNotIn("fetch", self.names(cap))

    def no_leftovers(self, *expected):
        self.assertEqual(sorted(os.listdir(self.tmp)), sorted(expected))

    # ---- where it goes ----

    def test_output(self):
        out = self.tmp / "out.bin"
        result = self.symbolize(self.cap, "-o", out)
        self.assertEqual(result.out, "")
        self.assertRegex(result.err, r"(?m)^memtrace: .*out\.bin: symbolized [\d,]+ frames of \d+ "
                         r"modules: [\d.]+% with function names, [\d.]+% with lines$")
        self.assertRegex(result.err, r"(?m)^next: memtrace flamegraph .*out\.bin$")
        self.assertEqual(self.cap.read_bytes(), self.before)
        self.assertEqual(out.stat().st_mode & 0o777, 0o600)
        self.assert_named(out)
        self.assert_not_named(self.cap)
        self.no_leftovers("cap.bin", "out.bin")

    def test_in_place_keeps_mode_and_owner(self):
        self.cap.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(self.cap, 12345, 23456)
        old = self.cap.stat()
        self.symbolize(self.cap)
        new = self.cap.stat()
        self.assertEqual((new.st_mode, new.st_uid, new.st_gid),
                         (old.st_mode, old.st_uid, old.st_gid))
        self.assert_named(self.cap)
        self.no_leftovers("cap.bin")

    def test_through_a_link(self):
        link = self.tmp / "link.bin"
        link.symlink_to("cap.bin")
        self.symbolize(link)
        self.assertTrue(link.is_symlink())
        self.assert_named(self.cap)
        self.no_leftovers("cap.bin", "link.bin")

    def test_already(self):
        self.symbolize(self.cap)
        first = self.cap.read_bytes()
        result = self.symbolize(self.cap)
        self.assertRegex(result.err, "carries symbols already; -f looks them up again")
        self.assertEqual(self.cap.read_bytes(), first)
        self.program.unlink()
        result = self.symbolize(self.cap, "-f")
        self.assertRegex(result.err, r"prog: no file with symbols found; \d+ frames? (is|are) shown")
        self.assert_not_named(self.cap)
        shutil.copy(self.built, self.program)
        self.symbolize("-f", self.cap)
        self.assertEqual(self.cap.stat().st_size, len(first), "old symbols stay in the file")
        self.assert_named(self.cap)

    def test_output_exists(self):
        out = self.tmp / "out.bin"
        out.write_text("precious")
        result = self.symbolize(self.cap, "-o", out, check=1)
        self.assertIn("out.bin", result.err)
        self.assertEqual(out.read_text(), "precious")
        self.symbolize(self.cap, "-o", out, "-f")
        self.assert_named(out)
        self.assertEqual(self.cap.read_bytes(), self.before)
        self.no_leftovers("cap.bin", "out.bin")

    def test_output_is_the_capture(self):
        """-o FILE -f is the same as in place, by whatever name; without -f nothing happens."""
        other = self.tmp / "hard.bin"
        os.link(self.cap, other)
        for name in (other, self.tmp / "." / "cap.bin", self.cap):
            with self.subTest(name=name):
                shutil.copy(self.built, self.program)
                self.symbolize(self.cap, "-o", name, check=1)
                self.assertEqual(self.cap.read_bytes(), self.before)
                self.symbolize(self.cap, "-o", name, "-f")
                self.assert_named(name)
                if name == other:
                    self.assertEqual(self.cap.read_bytes(), self.before)
                self.cap.write_bytes(self.before)
        self.no_leftovers("cap.bin", "hard.bin")

    def test_output_is_the_capture_full_disk(self):
        result = harness.run(["bash", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$@"', "-",
                              harness.MEMTRACE, "symbolize", "--no-debuginfod", self.cap, "-f",
                              "-o", self.cap], check=1)
        self.assertIn("is as it was", result.err)
        self.assertEqual(self.cap.read_bytes(), self.before)
        self.no_leftovers("cap.bin")

    def test_read_only_directory(self):
        if os.geteuid() == 0:
            self.tmp.chmod(0o555)
            prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
            self.dir.chmod(0o755)
            os.chown(self.cap, 65534, 65534)
            os.chown(self.tmp, 65534, 65534)
        else:
            self.tmp.chmod(0o555)
            prefix = []
        binary = self.dir / "memtrace"
        if not binary.exists():
            shutil.copy(harness.MEMTRACE, binary)
        try:
            result = harness.run([*prefix, binary, "symbolize", "--no-debuginfod", self.cap], check=1)
        finally:
            self.tmp.chmod(0o755)
        self.assertRegex(result.err, r"(?m)^memtrace: .*cap\.bin")
        self.assertRegex(result.err, r"(?m)^hint: .*is as it was; -o writes to another place")
        self.assertEqual(self.cap.read_bytes(), self.before)
        self.no_leftovers("cap.bin")

    def test_full_disk(self):
        """A writer that meets an error leaves FILE whole and nothing beside it."""
        result = harness.run(["bash", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$@"', "-",
                              harness.MEMTRACE, "symbolize", "--no-debuginfod", self.cap], check=1)
        self.assertRegex(result.err, "is as it was; -o writes to another place")
        self.assertEqual(self.cap.read_bytes(), self.before)
        self.no_leftovers("cap.bin")

    # ---- where names come from ----

    def split(self):
        """prog is stripped, its debug file is returned."""
        debug = self.tmp / "prog.debug"
        subprocess.run(["objcopy", "--only-keep-debug", self.built, debug], check=True)
        subprocess.run(["strip", "-s", "-o", self.program, self.built], check=True)
        return debug

    def test_debug_dir(self):
        self.split()
        result = self.symbolize(self.cap, "-o", self.tmp / "none.bin")
        self.assertRegex(result.err, "prog: no file with symbols found")
        self.symbolize(self.cap, "-o", self.tmp / "some.bin", "--debug-dir", self.tmp / "nowhere",
                       "--debug-dir", self.tmp)
        self.assert_named(self.tmp / "some.bin")
        self.assert_not_named(self.tmp / "none.bin")

    def test_sysroot(self):
        root = self.tmp / "root"
        (root / str(self.dir).lstrip("/")).mkdir(parents=True)
        shutil.copy(self.built, root / str(self.program).lstrip("/"))
        self.program.unlink()
        self.symbolize(self.cap, "--sysroot", root)
        self.assert_named(self.cap)

    def test_empty_root(self):
        """Nothing of the captured system is here: a note for each module, no error."""
        root = self.tmp / "root"
        root.mkdir()
        copies = self.tmp / "gone"
        copies.mkdir()
        self.program.unlink()
        result = self.symbolize(self.cap, "--sysroot", root)
        self.assertRegex(result.err, "prog: no file with symbols found; [0-9,]+ frames? (is|are) shown as")
        self.assert_not_named(self.cap)

    def test_other_build(self):
        subprocess.run(["gcc", "-O0", "-g", "-x", "c", "-o", self.program, "-"], check=True,
                       input=PROGRAM.encode())
        result = self.symbolize(self.cap)
        self.assertRegex(result.err, "prog: the file on disk is of another build: not used; ")
        self.assert_not_named(self.cap)

    def test_notes_stay(self):
        """A report of a symbolized capture says the same about names as the run that made them."""
        self.program.unlink()
        said = self.symbolize(self.cap).err
        page = self.tmp / "page.html"
        harness.memtrace("flamegraph", self.cap, "-o", page)
        note = [line for line in said.splitlines() if "prog: no file" in line][0]
        self.assertIn(note.split("memtrace: ")[-1], page.read_text())

    # ---- what it is given ----

    def test_cut_capture(self):
        whole = self.before
        for cut in (len(whole) - 10, len(whole) * 3 // 4, len(whole) // 2):
            with self.subTest(cut=cut):
                shutil.copy(self.built, self.program)
                self.cap.write_bytes(whole[:cut])
                result = self.symbolize(self.cap, "-o", self.tmp / f"{cut}.bin", check=0)
                self.assertRegex(result.err, r"cap\.bin' is .*; what is whole was symbolized")
                stats = harness.memtrace("stats", self.tmp / f"{cut}.bin")
                self.assertNotIn("no symbols", stats.err)

    def test_not_a_capture(self):
        for content in (b"", b"hello\n", self.before[:40], b"memtrace" + bytes(100)):
            with self.subTest(content=content[:10]):
                self.cap.write_bytes(content)
                result = self.symbolize(self.cap, check=1)
                self.assertRegex(result.err, r"^memtrace: ")
                self.assertEqual(self.cap.read_bytes(), content)
        self.symbolize(self.tmp / "nothing.bin", check=1)
        self.symbolize(self.tmp, check=1)
        self.no_leftovers("cap.bin")

    def test_wrong_usage(self):
        for argv, text in [([], "which capture"), (["a", "b"], "one capture at a time"),
                           (["--nonsense", "a"], "unrecognized option"),
                           (["-o"], "requires an argument")]:
            with self.subTest(argv=argv):
                result = harness.memtrace("symbolize", *argv, check=2)
                self.assertRegex(result.err, text)
                self.assertEqual(result.out, "")


if __name__ == "__main__":
    unittest.main()
