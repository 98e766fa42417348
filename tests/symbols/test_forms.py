# SPDX-License-Identifier: Apache-2.0
# tests/symbols/test_forms.py - debug information in all its forms, against two other readers of it.
# Knows: compilers and what takes debug files apart. Does not know: DWARF.
# Run by tests/run.py; tests/symbols/names.c asks memtrace.
import re
import shutil
import unittest

import forms
import harness

TIMEOUT = 300

CPP = r"""
#include <cstdlib>
#include <vector>
namespace shop {
template <typename T> struct Box {
	T value;
	inline T doubled() const { return value + value; }
	inline T deep() const
	{
		T a = doubled();
		return a * 3 + doubled();
	}
};
struct Till {
	int sum = 0;
	__attribute__((noinline)) int operator()(int n) { return sum += n * 7 % 5; }
	__attribute__((noinline)) Till &operator<<(int n) { sum ^= (*this)(n); return *this; }
};
static inline int pick(int n) { return n > 2 ? (int)(Box<long>{ n }.deep()) : n; }
__attribute__((noinline)) int order(int n)
{
	std::vector<int> v;
	for (int i = 0; i < n; i++)
		v.push_back(pick(i));
	int s = 0;
	for (int i : v)
		s += i;
	return s;
}
template <typename F> __attribute__((noinline)) int twice(F f, int n) { return f(f(n)); }
}
namespace {
__attribute__((noinline)) int hidden(int n) { return shop::twice([n](int x) { return x * n + rand(); }, n); }
}
extern "C" __attribute__((noinline)) int plain(int n)
{
	return n < 0 ? -plain(-n) : shop::order(n);
}
int main(int argc, char **)
{
	shop::Till t;
	t << argc << plain(argc * 7);
	return (hidden(argc) + t(3)) & 1;
}
"""
WORDS = ["shop::", "plain", "hidden", "main"]

RUST = r"""
mod shop {
    pub struct Till<T> { pub kept: Vec<T> }
    impl<T: Copy + Into<u64>> Till<T> {
        #[inline(always)]
        fn weigh(&self, n: T) -> u64 { n.into().wrapping_mul(7) ^ self.kept.len() as u64 }
        #[inline(never)]
        pub fn order(&mut self, n: T) -> u64 { self.kept.push(n); self.weigh(n) }
    }
    #[inline(never)]
    pub fn with<F: Fn(u64) -> u64>(f: F, n: u64) -> u64 { f(n).rotate_left(3) }
}
fn main() {
    let mut t = shop::Till { kept: Vec::new() };
    let mut sum = 0u64;
    for i in 0..std::env::args().count() as u32 * 9 { sum ^= t.order(i); }
    println!("{}", shop::with(|x| x ^ sum, sum));
}
"""


class Forms(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        cls.dir = cls.scope.__enter__()
        (cls.dir / "p.cc").write_text(CPP)
        (cls.dir / "p.rs").write_text(RUST)
        forms.sh("g++ -w -O2 -g -Wl,--build-id=sha1 -o p p.cc", cls.dir)
        cls.program = cls.dir / "p"
        cls.where = forms.addresses(cls.program, WORDS)
        cls.known, _ = forms.ours(cls.program, cls.where)

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    def setUp(self):
        self.inner = harness.tmpdir()
        self.tmp = self.inner.__enter__()
        shutil.copy(self.dir / "p.cc", self.tmp)
        shutil.copy(self.dir / "p.rs", self.tmp)

    def tearDown(self):
        self.inner.__exit__(None, None, None)

    def agree(self, got, want, least=100, **kwargs):
        found, compared = forms.differences(got, want, **kwargs)
        self.assertGreater(compared, least)
        self.assertFalse(found, f"{len(found)} of {compared} differ:\n" + "\n".join(found[:5]))

    # ---- as compilers write it ----

    def test_versions(self):
        for compiler in ("g++", "clang++"):
            for version in (2, 3, 4, 5):
                for level in ("-O0", "-O2"):
                    with self.subTest(f"{compiler} -gdwarf-{version} {level}"):
                        forms.sh(f"{compiler} -w {level} -gdwarf-{version} -o q p.cc", self.tmp)
                        program = self.tmp / "q"
                        where = forms.addresses(program, WORDS)
                        got, _ = forms.ours(program, where)
                        # eu-addr2line knows no lines of clang's units, which .debug_aranges leaves out.
                        self.agree(got, forms.elfutils(program, where), -1 if compiler[0] == "c" else 100)
                        self.agree(got, forms.llvm(program, where))

    # ---- as tools change it: the same names and lines as before ----

    def same(self, program, *options, lines=True):
        """At `program`, which is the known one in another form."""
        got, said = forms.ours(program, self.where, *options)
        if not lines:
            got = {a: [(f[-1][0], "??", 0)] for a, f in got.items()}
            want = {a: [(f[-1][0], "??", 0)] for a, f in self.known.items()}
            self.assertEqual(got, want)
            return
        self.assertEqual(got, self.known, said)

    def test_known_is_right(self):
        self.agree(self.known, forms.elfutils(self.program, self.where))
        self.agree(self.known, forms.llvm(self.program, self.where))
        self.assertGreater(sum(len(f) > 1 for f in self.known.values()), 50)
        self.assertGreater(len({f[-1][0] for f in self.known.values()}), 5)

    def test_changed(self):
        split = "objcopy --only-keep-debug P x.debug; strip -s -o q P; "
        link = split + "objcopy --add-gnu-debuglink=x.debug q; "
        build_id = "$(readelf -n P | sed -n 's/.*Build ID: //p')"
        folder = (f"id={build_id}; mkdir -p d/.build-id/${{id:0:2}}; "
                  "mv x.debug d/.build-id/${id:0:2}/${id:2}.debug; ")
        twin = "cp x.debug y.debug; "
        rows = [
            ("zlib", "objcopy --compress-debug-sections=zlib P q", ()),
            ("zlib, old names", "objcopy --compress-debug-sections=zlib-gnu P q", ()),
            ("zlib by the linker", "g++ -w -O2 -g -gz=zlib -Wl,--build-id=sha1 -o q p.cc", ()),
            ("zlib in a debug file", link + "objcopy --compress-debug-sections=zlib x.debug", ()),
            ("debuglink", link, ()),
            ("debuglink in .debug", link + "mkdir .debug; mv x.debug .debug", ()),
            ("build-id folder", split + folder, ("-d", "d")),
            ("build-id folder, another file in its place under the link", link + folder + "cp q x.debug",
             ("-d", "d")),
            ("dwz of one file", "dwz -o q P", ()),
            ("dwz with a common file", link + twin + "dwz -m c.debug -r x.debug y.debug; "
             "readelf --debug-dump=links x.debug | grep -q debugaltlink", ()),
            ("dwz with a common file in a build-id folder", link + twin +
             "dwz -m c.debug -M /nowhere/c.debug x.debug y.debug; "
             "id=$(readelf -n c.debug | sed -n 's/.*Build ID: //p'); mkdir -p d/.build-id/${id:0:2}; "
             "mv c.debug d/.build-id/${id:0:2}/${id:2}.debug", ("-d", "d")),
            ("link-time optimisation's sections aside",
             "objcopy --add-section .gnu.debuglto_.debug_info=p.cc P q", ()),
        ]
        for what, command, options in rows:
            with self.subTest(what), harness.tmpdir() as tmp:
                shutil.copy(self.program, tmp / "P")
                shutil.copy(self.dir / "p.cc", tmp)
                forms.sh(command, tmp)
                options = [tmp / o if o == "d" else o for o in options]
                if "linker" in what:
                    self.agree(forms.ours(tmp / "q", self.where)[0], forms.llvm(tmp / "q", self.where))
                else:
                    self.same(tmp / "q", *options)

    def test_names_only(self):
        rows = [("symbol table", "strip -S -o q P"),
                ("symbol table in a debug file",
                 "objcopy --only-keep-debug P x.debug; strip -S x.debug; strip -s -o q P; "
                 "objcopy --add-gnu-debuglink=x.debug q"),
                ("small symbol table of a stripped file, .gnu_debugdata",
                 "strip -S -o mini P; xz mini; strip -s -o q P; "
                 "objcopy --add-section .gnu_debugdata=mini.xz q")]
        for what, command in rows:
            with self.subTest(what), harness.tmpdir() as tmp:
                shutil.copy(self.program, tmp / "P")
                forms.sh(command, tmp)
                got, _ = forms.ours(tmp / "q", self.where)
                want = {a: [(forms.bare(f[-1][0]), "??", 0)] for a, f in self.known.items()}
                self.assertEqual({a: forms.outline(f) for a, f in got.items()}, want)

    def test_refused(self):
        """A common file, or a debug file, of another build is not read; the names stay right."""
        rows = [("debuglink to another build",
                 "strip -s -o q P; g++ -w -O1 -g -Wl,--build-id=sha1 -o x.debug p.cc; "
                 "objcopy --add-gnu-debuglink=x.debug q"),
                ("common file of another build",
                 "objcopy --only-keep-debug P x.debug; strip -s -o q P; objcopy --add-gnu-debuglink=x.debug q; "
                 "cp x.debug y.debug; dwz -m c.debug -r x.debug y.debug; "
                 "g++ -w -O1 -g -Wl,--build-id=sha1 -o c.debug p.cc")]
        for what, command in rows:
            with self.subTest(what), harness.tmpdir() as tmp:
                shutil.copy(self.program, tmp / "P")
                shutil.copy(self.dir / "p.cc", tmp)
                forms.sh(command, tmp)
                got, said = forms.ours(tmp / "q", self.where)
                for address, frames in got.items():
                    for function, file, line in frames:
                        self.assertIn(line, [0] + [k[2] for k in self.known[address]], (hex(address), said))
                        if function != "??":
                            self.assertIn(forms.bare(function),
                                          [forms.bare(k[0]) for k in self.known[address]])

    # ---- split: functions in a file of their own ----

    def build_split(self, compiler, version):
        forms.sh(f"{compiler} -w -O2 -gdwarf-{version} -gsplit-dwarf -c -o r.o p.cc; "
                 f"{compiler} -Wl,--build-id=sha1 -o r r.o; ls *.dwo", self.tmp)
        program = self.tmp / "r"
        where = forms.addresses(program, WORDS)
        want = forms.llvm(program, where)
        self.assertGreater(sum(len(f) > 1 for f in want.values()), 30)
        return program, where, want

    def test_split(self):
        for compiler in ("g++", "clang++"):
            for version in (4, 5):
                with self.subTest(f"{compiler} {version}"):
                    program, where, want = self.build_split(compiler, version)
                    self.agree(forms.ours(program, where)[0], want)
                    for file in self.tmp.glob("*.dwo"):
                        file.unlink()
                    got, _ = forms.ours(program, where)     # the line table and the symbols are left
                    self.assertEqual({a: f[-1][0] for a, f in got.items() if f[-1][2]},
                                     {a: f[-1][0] for a, f in got.items() if f[-1][2] and
                                      forms.bare(f[-1][0]) == forms.bare(want[a][-1][0])})

    def test_split_elsewhere(self):
        """Parts that libdw does not find: given aside, and in packages."""
        # Debian 12's dwp crashes on DWARF 5.
        for compiler, version, tool in (("g++", 4, "dwp"), ("clang++", 4, "dwp"), ("g++", 4, "llvm-dwp"),
                                        ("g++", 5, "llvm-dwp"),
                                        ("clang++", 4, "llvm-dwp"), ("clang++", 5, "llvm-dwp")):
            program, where, want = self.build_split(compiler, version)
            dwo = next(self.tmp.glob("*.dwo"))
            for what, command, options in (
                    ("package beside", f"{tool} -e r -o r.dwp; mv {dwo} gone", ()),
                    ("package in the debug directory", "mkdir d; mv r.dwp d", ("-d", self.tmp / "d")),
                    ("package of another name", "mv d/r.dwp d/x.dwp", None),
                    ("unit in the debug directory", f"mv gone d/{dwo.name}", ("-d", self.tmp / "d")),
                    ("unit under a root", f"mkdir -p s/{dwo.parent}; mv d/{dwo.name} s/{dwo.parent}; "
                     f"cp r s/{dwo.parent}", ("-s", self.tmp / "s"))):
                with self.subTest(f"{compiler} {version} {tool}: {what}"):
                    forms.sh(command, self.tmp)
                    got, said = forms.ours(program, where, *(options or ("-d", self.tmp / "d")))
                    if options is None:
                        self.assertIn("cannot be read", said)
                    else:
                        self.agree(got, want)
                        self.assertNotIn("cannot be read", said)
            shutil.rmtree(self.tmp / "d")
            shutil.rmtree(self.tmp / "s")

    def test_split_of_another_build(self):
        program, where, want = self.build_split("clang++", 5)
        dwo = next(self.tmp.glob("*.dwo"))
        (self.tmp / "p.cc").write_text("\n" + CPP)
        self.build_split("clang++", 5)
        forms.sh("mkdir d; llvm-dwp -e r -o d/r.dwp", self.tmp)
        (self.tmp / "p.cc").write_text(CPP)
        self.build_split("clang++", 5)
        dwo.unlink()
        got, said = forms.ours(program, where, "-d", self.tmp / "d")
        self.assertIn("cannot be read", said)
        self.assertEqual({len(f) for f in got.values()}, {1})

    # ---- other languages ----

    def test_rust(self):
        for mangling in ("legacy", "v0"):
            with self.subTest(mangling):
                forms.sh("RUSTC_BOOTSTRAP=1 rustc -A warnings -O -g -C strip=none -Z unstable-options "
                         f"-C symbol-mangling-version={mangling} -o q p.rs", self.tmp)
                program = self.tmp / "q"
                where = forms.addresses(program, ["p::shop", "p::main"])
                got, _ = forms.ours(program, where)
                self.agree(got, forms.llvm(program, where), names=False)
                names = {f for frames in got.values() for f, _, _ in frames}
                self.assertFalse([n for n in names if re.search("^_R|^_ZN|17h[0-9a-f]{16}", n)], names)
                for name in ("p::main", "p::shop::with", "p::shop::Till<.*>::order"):
                    self.assertTrue([n for n in names if re.search(name, n)], (name, names))

    def test_d_names(self):
        """A symbol table as a D compiler makes it."""
        (self.tmp / "d.s").write_text("".join(
            f".globl {n}\n.type {n},@function\n{n}: .fill 8,1,0x90\n.size {n}, .-{n}\n"
            for n in ("_Dmain", "_D4shop5orderFiZi", "_D4shop4Till6__ctorMFAyaZv",
                      "_D4shop__T4deepTlZ4deepFlZl")))
        forms.sh("gcc -shared -nostdlib -o q d.s", self.tmp)
        program = self.tmp / "q"
        where = forms.addresses(program, [""], 8)
        got, _ = forms.ours(program, where)
        self.assertEqual({f[0][0] for f in got.values()},
                         {"D main", "shop.order(int)", "shop.Till.this(immutable(char)[])",
                          "shop.deep!(long).deep(long)"})


if __name__ == "__main__":
    unittest.main()
