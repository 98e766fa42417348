# SPDX-License-Identifier: Apache-2.0
# tests/symbols/test_root.py - names in a root that has none of the binaries, debug files given aside.
# Knows: chroot, what a program needs to start there. Does not know: DWARF.
# Run by tests/run.py.
import os
import re
import shutil
import subprocess
import unittest

import forms
import harness

LIBRARY = r"""
#include <stdlib.h>
static inline __attribute__((always_inline)) void *grab(int n) { return malloc(n); }
void *shelf(int n) { char *p = grab(n); *p = 1; return p; }
"""
PROGRAM = r"""
#include <cstdlib>
extern "C" void *shelf(int n);
namespace shop {
template <typename T> struct Till {
	__attribute__((noinline)) void *order(T n) { char *p = (char *)shelf((int)n); p[1] = 1; return p; }
};
}
int main() { shop::Till<long> t; for (int i = 0; i < 9; i++) free(t.order(5000 + i)); return !t.order(7000); }
"""


class Root(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        cls.dir = cls.scope.__enter__()
        cls.there = cls.dir / "there"         # where program and library lie when they run
        cls.there.mkdir()
        (cls.dir / "l.c").write_text(LIBRARY)
        (cls.dir / "p.cc").write_text(PROGRAM)
        forms.sh("gcc -g -O2 -shared -fPIC -Wl,--build-id=sha1 -o there/libshelf.so l.c; "
                 "g++ -g -O1 -Wl,--build-id=sha1,-rpath,$PWD/there -o there/prog p.cc -Lthere -lshelf",
                 cls.dir)
        cls.cap = cls.dir / "cap.bin"
        harness.memtrace("run", "-o", cls.cap, "--", cls.there / "prog")
        cls.want = cls.rows(harness.memtrace("transform", "folded", "--view", "allocated",
                                             "--no-debuginfod", cls.cap).out)
        cls.root = cls.make_root()
        # As a distribution has them: stripped, with the debug information in files by build-id.
        cls.given = cls.dir / "given"
        for name in ("prog", "libshelf.so"):
            forms.sh(f"objcopy --only-keep-debug there/{name} x.debug; id=$(readelf -n there/{name} | "
                     "sed -n 's/.*Build ID: //p'); mkdir -p given/.build-id/${id:0:2}; "
                     "mv x.debug given/.build-id/${id:0:2}/${id:2}.debug", cls.dir)
        shutil.copytree(cls.there, cls.dir / "kept")
        for file in cls.there.iterdir():
            file.unlink()

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    @classmethod
    def make_root(cls):
        """memtrace with its libraries and loader in a place of their own, and nothing else."""
        root = cls.dir / "root"
        own = root / "opt" / "memtrace"
        own.mkdir(parents=True)
        (root / "tmp").mkdir()
        shutil.copy(harness.MEMTRACE, own / "memtrace")
        listed = subprocess.run(["ldd", harness.MEMTRACE], capture_output=True, text=True, check=True).stdout
        for path in re.findall(r"(/\S+) \(0x", listed):
            shutil.copy(path, own)
            if "ld-linux" in path:
                cls.loader = f"/opt/memtrace/{os.path.basename(path)}"
        return root

    def setUp(self):
        self.mine = self.root / "tmp"
        shutil.copy(self.cap, self.mine / "cap.bin")

    def tearDown(self):
        for file in list(self.mine.iterdir()):
            shutil.rmtree(file) if file.is_dir() else file.unlink()

    @staticmethod
    def rows(text):
        """The frames of the program and its library: other libraries' names differ by what is here."""
        found = set()
        for line in text.splitlines():
            stack, size = line.rsplit(" ", 1)
            frames = stack.split(";")
            first = [i for i, f in enumerate(frames) if f.startswith("main")]
            if first:
                found.add((";".join(re.sub(r"\(\S*/", "(", f) for f in frames[first[0]:]), size))
        return found

    def inside(self, *args, check=0):
        enter = [] if os.geteuid() == 0 else ["unshare", "-r"]
        if enter and subprocess.run([*enter, "true"], check=False).returncode:
            self.skipTest("chroot needs root or a user namespace")
        return harness.run([*enter, "chroot", self.root, self.loader, "--library-path", "/opt/memtrace",
                            "/opt/memtrace/memtrace", *args], check=check,
                           env={"DEBUGINFOD_URLS": None, "TERM": "dumb"})

    def report(self):
        return self.rows(self.inside("transform", "folded", "--view", "allocated", "/tmp/cap.bin").out)

    def test_what_is_wanted(self):
        text = "\n".join(stack for stack, _ in self.want)
        self.assertRegex(text, r"main \(p\.cc:\d+\);shop::Till<long>::order\(long\) \(p\.cc:6\);"
                         r"shelf \(l\.c:4\);grab \(l\.c:3\)")

    def test_nothing(self):
        result = self.inside("symbolize", "/tmp/cap.bin")
        self.assertRegex(result.err, r"(?m)^memtrace: prog: no file with symbols found; \d+ frames? (is|are) shown as")
        self.assertRegex(result.err, r"(?m)^memtrace: libshelf\.so: no file with symbols found")
        self.assertRegex(result.err, r"(?m)^memtrace: libc\.so\.6: no file with symbols found")
        self.assertRegex(self.inside("stats", "/tmp/cap.bin").out, r"(?i)alloc")

    def test_debug_dir(self):
        shutil.copytree(self.given, self.mine / "given")
        result = self.inside("symbolize", "--debug-dir", "/tmp/given", "/tmp/cap.bin")
        self.assertNotRegex(result.err, "prog: |libshelf")
        shutil.rmtree(self.mine / "given")
        self.assertEqual(self.report(), self.want)      # the capture carries them now

    def test_sysroot(self):
        for debug in (False, True):
            with self.subTest(debug_files_apart=debug):
                shutil.copy(self.cap, self.mine / "cap.bin")
                system = self.mine / "system"
                place = system / str(self.there).lstrip("/")
                shutil.copytree(self.dir / "kept", place)
                if debug:
                    shutil.copytree(self.given, system / "usr" / "lib" / "debug")
                    for file in place.iterdir():
                        subprocess.run(["strip", "-s", file], check=True)
                result = self.inside("symbolize", "--sysroot", "/tmp/system", "/tmp/cap.bin")
                self.assertNotRegex(result.err, "prog: |libshelf")
                shutil.rmtree(system)
                self.assertEqual(self.report(), self.want)

    def test_another_build_given(self):
        """Files of the right names and another build are refused, by their name."""
        other = self.mine / "given"
        other.mkdir()
        (self.mine / "l.c").write_text(LIBRARY + "int more;\n")
        forms.sh("gcc -g -O1 -shared -fPIC -Wl,--build-id=sha1 -o given/libshelf.so l.c", self.mine)
        result = self.inside("symbolize", "--debug-dir", "/tmp/given", "/tmp/cap.bin")
        self.assertRegex(result.err, r"(?m)^memtrace: libshelf\.so: the file on disk is of another build: not used")
        self.assertNotIn("shelf (", "\n".join(stack for stack, _ in self.report()))


if __name__ == "__main__":
    unittest.main()
