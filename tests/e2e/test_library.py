# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_library.py - libmemtrace.so as a program of somebody else uses it.
# Knows: make install, the public header, ELF tools. Does not know: the rooms behind the library.
import re
import unittest

import harness

LIBRARY = harness.BUILD / "libmemtrace.so.1"
HEADER = harness.ROOT / "lib" / "memtrace.h"

PROGRAM = r"""
#include <memtrace.h>
#include <inttypes.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct memtrace_reader *r;
	struct memtrace_record *records;
	const struct memtrace_frame *frames;
	size_t count, depth;
	struct memtrace_error *err = memtrace_reader_open(argv[argc - 1], &r);
	if (!err)
		err = memtrace_reader_records(r, MEMTRACE_ALLOCATED, 0, 1, &records, &count);
	for (size_t i = 0; !err && i < count; i++) {
		err = memtrace_reader_stack(r, records[i].stack, MEMTRACE_STACK_HYBRID, &frames, &depth);
		if (!err && depth)
			printf("%s %" PRIu64 " %" PRIu64 "\n", frames[depth - 1].function,
			       records[i].bytes, records[i].count);
	}
	if (err) {
		printf("error %d: %s\n", memtrace_error_code(err), memtrace_error_message(err));
		return 1;
	}
	memtrace_free(records);
	memtrace_reader_close(r);
	return 0;
}
"""
TARGET = r"""
#include <stdlib.h>
__attribute__((noinline)) void *keep(void) { return malloc(123456); }
int main(void) { for (int i = 0; i < 3; i++) if (!keep()) return 1; return 0; }
"""


def declared():
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
    return set(re.findall(r"\b(memtrace_\w+)\(", text))


class Library(unittest.TestCase):
    def test_exports_are_those_of_the_header(self):
        out = harness.run(["nm", "-D", "--defined-only", LIBRARY], check=0).out
        versioned = set(re.findall(r" T (\w+)@@MEMTRACE_1$", out, re.M))
        self.assertEqual(versioned, declared())
        self.assertEqual(len(re.findall(r" [TDBRW] ", out)), len(versioned))

    def test_soname(self):
        self.assertIn("Library soname: [libmemtrace.so.1]",
                      harness.run(["readelf", "-d", LIBRARY], check=0).out)

    def test_page_names_every_function(self):
        page = (harness.ROOT / "docs/man/libmemtrace.3").read_text().replace("\\-", "-")
        self.assertEqual(set(re.findall(r"\b(memtrace_\w+)\(", page.split(".SH DESCRIPTION")[0])),
                         declared())

    def test_layout_does_not_move(self):
        """Sizes that programs compiled in."""
        sizes = {"memtrace_totals": 88, "memtrace_record": 32, "memtrace_snapshot": 24,
                 "memtrace_frame": 32,
                 "memtrace_lifetime": 40, "memtrace_event": 40}
        checks = "\n".join(f'_Static_assert(sizeof(struct {name}) == {size}, "{name}");'
                           for name, size in sizes.items())
        harness.compile_c(f'#include "{HEADER}"\n{checks}\nint main(void) {{ return 0; }}\n',
                          name="layout")

    def test_a_program_against_what_is_installed(self):
        with harness.tmpdir() as tmp:
            root = tmp / "root"
            harness.run(["make", "--no-print-directory", "-C", harness.ROOT, "install",
                         f"O={harness.BUILD}", f"DESTDIR={root}", "PREFIX=/usr"], check=0)
            (tmp / "peak.c").write_text(PROGRAM)
            harness.run(["cc", "-Wall", "-Werror", f"-I{root}/usr/include", "-o", tmp / "peak",
                         tmp / "peak.c", f"-L{root}/usr/lib", "-lmemtrace"], check=0)
            harness.run(["c++", "-x", "c++", "-fsyntax-only", "-Wall", "-Werror", HEADER], check=0)
            target = harness.compile_c(TARGET, name="library_target", flags=["-g"])
            cap = tmp / "cap.bin"
            harness.memtrace("run", "-q", "-o", cap, "--", target)
            env = {"LD_LIBRARY_PATH": root / "usr/lib"}
            out = harness.run([tmp / "peak", cap], env=env, check=0).out
            self.assertIn(f"keep {3 * 123456} 3\n", out)
            out = harness.run([tmp / "peak", target], env=env, check=1).out
            self.assertEqual(out, f"error 3: '{target}' is not a capture\n")


if __name__ == "__main__":
    unittest.main()
