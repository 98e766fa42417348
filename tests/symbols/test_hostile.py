# SPDX-License-Identifier: Apache-2.0
# tests/symbols/test_hostile.py - damaged and hostile debug information: less is known, and it is said.
# Knows: ELF headers, a few bytes of DWARF. Does not know: libdw.
# Run by tests/run.py; tests/symbols/names.c asks memtrace.
import random
import re
import shutil
import struct
import unittest
import zlib

import forms
import harness

TIMEOUT = 300
CANNOT = r"(?m)^\S+: part of its symbols or debug information cannot be read; \d+ frames may lack names or lines$"

SOURCE = r"""
static inline __attribute__((always_inline)) int weigh(int x) { return x * 3 + 1; }
static inline __attribute__((always_inline)) int pick(int *p, int n) { return n ? weigh(p[n]) : weigh(*p) * n; }
__attribute__((noinline)) int order(int *p, int n) { int s = 0; for (int i = 0; i < n; i++) s += pick(p, i); return s; }
int plain(int n) { int a[4] = { n, 1, 2, 3 }; return order(a, 4) + weigh(n); }
int main(int argc, char **argv) { return plain(argc); }
"""


def sections(data):
    """{name: (offset, size, offset of its header)} of a 64-bit file."""
    table, = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3a)
    heads = [struct.unpack_from("<IIQQQQ", data, table + i * size) for i in range(count)]
    strings = heads[names][4]
    return {bytes(data[strings + h[0]:data.index(0, strings + h[0])]).decode():
            (h[4], h[5], table + i * size) for i, h in enumerate(heads)}


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        cls.dir = cls.scope.__enter__()
        (cls.dir / "p.c").write_text(SOURCE)
        # No build-id: the file is taken for the module whatever is in it.
        for version in (4, 5):
            forms.sh(f"gcc -O2 -gdwarf-{version} -Wl,--build-id=none -o p{version} p.c", cls.dir)
        cls.where = forms.addresses(cls.dir / "p5", ["order", "plain", "main"])

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    def setUp(self):
        self.inner = harness.tmpdir()
        self.tmp = self.inner.__enter__()
        self.file = self.tmp / "module.so"

    def tearDown(self):
        self.inner.__exit__(None, None, None)

    def ask(self, data, where=None, timeout=20):
        """Names, and what is said; at most 2 GiB of memory and `timeout` seconds."""
        self.file.write_bytes(data)
        done = harness.run(["bash", "-c", 'ulimit -v 2500000; exec "$@"', "-", forms.NAMES, self.file],
                           timeout=timeout, check=0, stdin="".join(f"{a:#x}\n" for a in where or self.where))
        return forms._blocks(done.out), done.err

    # ---- by chance ----

    def test_changed_bytes(self):
        """Bytes of the debug sections changed, and nothing else: symbols still name the functions."""
        chance = random.Random(20261129)
        said = 0
        for version in (4, 5):
            whole = (self.dir / f"p{version}").read_bytes()
            where = forms.addresses(self.dir / f"p{version}", ["order", "plain", "main"])
            debug = {n: s for n, s in sections(whole).items() if n.startswith(".debug_")}
            for i in range(150):
                data = bytearray(whole)
                name = chance.choice(sorted(debug))
                offset, size, _ = debug[name]
                for _ in range(chance.choice((1, 3, 20))):
                    data[offset + chance.randrange(size)] = chance.choice((0, 1, 0x7f, 0x80, 0xff,
                                                                           chance.randrange(256)))
                with self.subTest(version=version, i=i, section=name):
                    got, notes = self.ask(data, where)
                    self.assertEqual(len(got), len(where))
                    said += bool(re.search(CANNOT, notes))
        self.assertGreater(said, 10)

    def test_changed_package(self):
        """The same of a .dwp, whose index is read by our own code."""
        forms.sh(f"clang -w -O2 -gdwarf-5 -gsplit-dwarf -c -o r.o {self.dir}/p.c; "
                 "clang -Wl,--build-id=none -o r r.o; llvm-dwp -e r -o r.dwp; rm *.dwo", self.tmp)
        chance = random.Random(7)
        whole = (self.tmp / "r.dwp").read_bytes()
        where = forms.addresses(self.tmp / "r", ["order", "plain", "main"])
        text = "".join(f"{a:#x}\n" for a in where)
        index, size, _ = sections(whole)[".debug_cu_index"]
        said = 0
        for i in range(200):
            data = bytearray(whole)
            for _ in range(chance.choice((1, 3, 20))):
                at = index + chance.randrange(size) if i % 2 else chance.randrange(len(whole))
                data[at] = chance.choice((0, 1, 0x7f, 0x80, 0xff, chance.randrange(256)))
            (self.tmp / "r.dwp").write_bytes(data if i % 10 else data[:chance.randrange(len(data))])
            with self.subTest(i=i):
                done = harness.run([forms.NAMES, self.tmp / "r"], timeout=20, check=0, stdin=text)
                self.assertEqual(len(forms._blocks(done.out)), len(where))
                said += bool(re.search(CANNOT, done.err))
        self.assertGreater(said, 10)

    def test_cut_sections(self):
        for version in (4, 5):
            whole = (self.dir / f"p{version}").read_bytes()
            for name, (_, size, head) in sections(whole).items():
                for part in (0, 1, size // 2, size - 1):
                    if not name.startswith(".debug_") or part >= size:
                        continue
                    data = bytearray(whole)
                    struct.pack_into("<Q", data, head + 0x20, part)
                    with self.subTest(version=version, section=name, part=part):
                        got, notes = self.ask(data)
                        self.assertEqual(len(got), len(self.where))
                        if name in (".debug_info", ".debug_abbrev") and 1 < part < size - 1:
                            self.assertRegex(notes, CANNOT)

    def test_cut_file(self):
        whole = (self.dir / "p5").read_bytes()
        for part in range(64, len(whole), len(whole) // 40):
            # What was captured is the whole file: its segments, and no build-id.
            self.file.write_bytes(whole[:part])
            where = "".join(f"{a:#x}\n" for a in self.where)
            with self.subTest(part=part):
                done = harness.run([forms.NAMES, "-p", self.file, self.dir / "p5"], check=0, stdin=where)
                self.assertRegex(done.err, CANNOT + "|of another build: not used")
        for what, offset in (("beyond the end", 1 << 40), ("nowhere", 0xffffffffffffff00)):
            data = bytearray(whole)
            struct.pack_into("<Q", data, sections(whole)[".debug_line"][2] + 0x18, offset)
            with self.subTest(what):
                _, notes = self.ask(data)
                self.assertRegex(notes, CANNOT)

    # ---- on purpose ----

    def assemble(self, text):
        (self.tmp / "x.s").write_text(text)
        forms.sh("as -o x.o x.s && ld -shared --build-id=none -o x x.o", self.tmp)
        program = self.tmp / "x"
        return program.read_bytes(), forms.addresses(program, ["function"], 4)

    CODE = """
        .text
        .globl function
        .type function,@function
function: .fill 64,1,0x90
        .size function,.-function
"""

    # A unit with one function, whose attributes and children the test writes.
    UNIT = CODE + """
        .section .debug_abbrev,"",@progbits
        .uleb128 1; .uleb128 0x11; .byte 1          # unit: low_pc, high_pc, name
        .uleb128 0x11; .uleb128 1; .uleb128 0x12; .uleb128 7; .uleb128 3; .uleb128 8; .byte 0,0
        .uleb128 2; .uleb128 0x2e; .byte 1          # function: low_pc, high_pc, origin
        .uleb128 0x11; .uleb128 1; .uleb128 0x12; .uleb128 7; .uleb128 0x31; .uleb128 0x13; .byte 0,0
        .uleb128 3; .uleb128 0x1d; .byte 1          # inlined call: low_pc, high_pc, origin
        .uleb128 0x11; .uleb128 1; .uleb128 0x12; .uleb128 7; .uleb128 0x31; .uleb128 0x13; .byte 0,0
        .uleb128 4; .uleb128 0x2e; .byte 0          # function: name
        .uleb128 3; .uleb128 8; .byte 0,0
        .uleb128 5; .uleb128 0x2e; .byte 1          # function: sibling, low_pc, high_pc
        .uleb128 1; .uleb128 0x13; .uleb128 0x11; .uleb128 1; .uleb128 0x12; .uleb128 7; .byte 0,0
        .byte 0
        .section .debug_info,"",@progbits
unit:   .long end - start
start:  .short 4
        .long 0
        .byte 8
        .uleb128 1; .quad function; .quad 64; .asciz "unit.c"
{dies}
        .byte 0
end:
"""

    def test_origins_in_a_circle(self):
        data, where = self.assemble(self.UNIT.format(dies="""
a:      .uleb128 2; .quad function; .quad 64; .long b - unit
b:      .uleb128 3; .quad function; .quad 32; .long a - unit
        .uleb128 3; .quad function; .quad 16; .long b - unit
        .byte 0,0,0"""))
        got, _ = self.ask(data, where)
        self.assertEqual({f[-1][0] for f in got.values()}, {"function"})

    def test_deep_tree(self):
        for depth in (100, 100000):
            data, where = self.assemble(self.UNIT.format(
                dies="        .uleb128 2; .quad function; .quad 64; .long 0\n" * depth
                     + f"        .fill {depth},1,0\n"))
            with self.subTest(depth):
                got, notes = self.ask(data, where)
                self.assertEqual({f[-1][0] for f in got.values()}, {"function"})
                self.assertEqual(bool(re.search(CANNOT, notes)), depth > 1000, notes)

    def test_siblings_forward_into_children(self):
        """Each says that the next one inside it is its sibling: 2^n ways through the tree."""
        n = 200
        dies = "".join(f"d{i}:  .uleb128 5; .long d{i + 1} - unit; .quad function; .quad 64\n" for i in range(n))
        data, where = self.assemble(self.UNIT.format(
            dies=dies + f"d{n}: .uleb128 4; .asciz \"last\"\n        .fill {n},1,0\n"))
        got, notes = self.ask(data, where)
        self.assertEqual({f[-1][0] for f in got.values()}, {"function"})
        self.assertRegex(notes, CANNOT)

    def test_long_names(self):
        for what, name in (("letters", "x" * 10_000_000), ("nested templates", "_Z1fI" + "1AI" * 1_000_000),
                           ("an end of substitutions", "_ZN" + "3abcI" * 400 + "S_" * 1000)):
            with self.subTest(what):
                (self.tmp / "name").write_text(name)
                data, where = self.assemble(self.UNIT.format(dies="""
        .uleb128 2; .quad function; .quad 64; .long named - unit
        .byte 0
named:  .uleb128 4; .incbin "name"; .byte 0"""))
                got, _ = self.ask(data, where)
                shown = {f[-1][0] for f in got.values()}
                self.assertEqual(len(shown), 1)
                self.assertEqual(shown.pop()[:4096], name[:4096])
                self.assertLess(max(len(f[-1][0]) for f in got.values()), 4100)

    def lines(self, program, compress=False):
        """A module whose unit has this line program."""
        table = struct.pack("<HIBBBbBB", 4, 0, 1, 1, 1, -5, 14, 13)
        table += bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1)) + b"\0" + b"a.c\0\0\0\0" + b"\0"
        table = table[:2] + struct.pack("<I", len(table) - 6) + table[6:]
        (self.tmp / "table").write_bytes(struct.pack("<I", len(table) + len(program)) + table + program)
        (self.tmp / "y.s").write_text(self.CODE + """
        .section .debug_abbrev,"",@progbits
        .uleb128 1; .uleb128 0x11; .byte 0
        .uleb128 0x11; .uleb128 1; .uleb128 0x12; .uleb128 7; .uleb128 0x10; .uleb128 0x17; .byte 0,0,0
        .section .debug_info,"",@progbits
        .long 4f - 3f
3:      .short 4
        .long 0
        .byte 8
        .uleb128 1; .quad function; .quad 64; .long 0
4:
        .section .debug_line,"",@progbits
        .incbin "table"
""")
        forms.sh("as -o y.o y.s && ld -shared --build-id=none -o y y.o", self.tmp)
        if compress:
            forms.sh("objcopy --compress-debug-sections=zlib y", self.tmp)
        return (self.tmp / "y").read_bytes(), forms.addresses(self.tmp / "y", ["function"], 4)

    def test_line_tables(self):
        set_address = lambda where: b"\0\x09\x02" + struct.pack("<Q", where)
        end = b"\0\x01\x01"
        data, where = self.lines(b"")
        at = where[0]
        small = set_address(at) + b"\x01" + b"\x20" * 63 + end
        data, where = self.lines(small)
        got, notes = self.ask(data, where)
        self.assertTrue(got[at][0][1].endswith("a.c"), (got, notes))
        self.assertNotRegex(notes, CANNOT)
        with self.subTest("a million rows"):
            got, notes = self.ask(self.lines(set_address(at) + b"\x13" * 1_000_000 + end)[0], where)
            self.assertNotRegex(notes, CANNOT)
        for what, compress in (("40 million rows", False), ("40 million rows in 40 kB", True)):
            with self.subTest(what):
                data, _ = self.lines(set_address(at) + b"\x13" * 40_000_000 + end, compress)
                got, notes = self.ask(data, where)
                self.assertRegex(notes, CANNOT)
                self.assertEqual({f[-1][0] for f in got.values()}, {"function"})

    def test_compressed_to_nothing(self):
        """Sections that say they unpack to far more than they hold, or are no zlib at all."""
        whole = (self.dir / "p5").read_bytes()
        for what, size, content in (("a terabyte", 1 << 40, zlib.compress(b"x" * 1000)),
                                    ("all memory", (1 << 64) - 1, b"x" * 50), ("garbage", 5000, b"y" * 500),
                                    ("nothing", 0, b"")):
            data = bytearray(whole)
            _, old, head = sections(whole)[".debug_info"]
            flags, = struct.unpack_from("<Q", data, head + 8)
            payload = struct.pack("<IIQQ", 1, 0, size, 1) + content
            struct.pack_into("<Q", data, head + 8, flags | 0x800)
            struct.pack_into("<QQ", data, head + 0x18, len(data), len(payload))
            with self.subTest(what):
                got, notes = self.ask(bytes(data) + payload)
                self.assertRegex(notes, CANNOT)
                self.assertTrue(all(f[-1][0] in ("order", "plain", "main") for f in got.values()), got)

    def test_rest_of_the_report(self):
        """One module is damaged: the names of the others, and one note."""
        program = self.tmp / "prog"
        (self.tmp / "lib.c").write_text("#include <stdlib.h>\nvoid *from_library(int n) { return malloc(n); }\n")
        (self.tmp / "main.c").write_text("void *from_library(int n);\n__attribute__((noinline)) void *mine(int n)"
                                         " { return from_library(n); }\nint main(void) { return !mine(7000); }\n")
        forms.sh("gcc -g -shared -fPIC -O1 -o libhurt.so lib.c; gcc -g -O1 -fno-optimize-sibling-calls -o prog "
                 "main.c ./libhurt.so", self.tmp)
        harness.memtrace("run", "-o", self.tmp / "cap.bin", "--", program, cwd=self.tmp)
        data = bytearray((self.tmp / "libhurt.so").read_bytes())
        offset, size, _ = sections(data)[".debug_abbrev"]
        data[offset:offset + size] = b"\xff" * size
        (self.tmp / "libhurt.so").unlink()
        (self.tmp / "libhurt.so").write_bytes(data)
        result = harness.memtrace("symbolize", "--no-debuginfod", self.tmp / "cap.bin")
        self.assertEqual(len(re.findall("cannot be read", result.err)), 1, result.err)
        self.assertRegex(result.err, r"(?m)^memtrace: libhurt\.so: part of its symbols or debug information "
                         "cannot be read; 1 frame may lack names or lines$")
        shutil.rmtree(self.tmp / "gone", ignore_errors=True)
        rows = harness.memtrace("transform", "folded", "--view", "allocated", self.tmp / "cap.bin").out
        self.assertRegex(rows, r"main \(\S*main\.c:\d+\);mine \(\S*main\.c:\d+\);from_library")


if __name__ == "__main__":
    unittest.main()
