# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_diff.py - memtrace diff over two builds of one program.
# Knows: what the two builds allocate. Does not know: how functions are matched.
# Called by tests/run.py.
import json
import unittest

import harness

SOURCE = """
#include <stdlib.h>
#include <unistd.h>
%s
__attribute__((noinline)) void *steady(void) { return malloc(1000); }
__attribute__((noinline)) void *grows(void) { return malloc(%d); }
__attribute__((noinline)) void *%s(void) { return malloc(333); }
void *volatile keep[3];
int main(void) { keep[0] = steady(); keep[1] = grows(); keep[2] = %s(); _exit(0); }
"""


class Diff(unittest.TestCase):
    def capture(self, folder, lines, size, name):
        (folder / "build").mkdir(parents=True)
        source, program = folder / "build" / "prog.c", folder / "prog"
        source.write_text(SOURCE % ("\n" * lines, size, name, name))
        harness.run(["gcc", "-g", "-O1", "-o", program, source], check=0)
        raw, cap = folder / "raw.bin", folder / "cap.bin"
        harness.memtrace("run", "-o", raw, "--", program)
        harness.memtrace("symbolize", raw, "-o", cap)
        return cap

    def test_two_builds(self):
        with harness.tmpdir() as tmp:
            base = self.capture(tmp / "one", 0, 2000, "before")
            new = self.capture(tmp / "two", 25, 9000, "after")
            out = harness.memtrace("diff", base, new, "--leaks", "--json").out
            rows = {r["location"].split(" ")[0]: r for r in json.loads(out)["functions"]}
            sizes = {name: (r["base_bytes"], r["new_bytes"]) for name, r in rows.items()}
            self.assertEqual(sizes["steady"], (1000, 1000))
            self.assertEqual(sizes["grows"], (2000, 9000))
            self.assertEqual(sizes["before"], (333, 0))
            self.assertEqual(sizes["after"], (0, 333))
            for side, cap in (("base", base), ("new", new)):
                meta = harness.stats(cap)["metadata"]
                self.assertEqual(json.loads(out)[side]["bytes"], meta["leaked_bytes"])
                self.assertEqual(sum(r[f"{side}_bytes"] for r in rows.values()),
                                 meta["leaked_bytes"])
            text = harness.memtrace("diff", base, new, "--leaks").out
            self.assertRegex(text, r"(?m)^grows at prog\.c +1\.95 KiB +8\.79 KiB +\+6\.84 KiB")
            self.assertRegex(text, r"(?m)^before at prog\.c .* -333 B +gone +-1$")
            self.assertNotIn("\x1b", text)
            same = harness.memtrace("diff", base, base).out
            self.assertRegex(same, r"\d+ more functions?: no change\n$")
            failed = harness.memtrace("diff", base, tmp / "none", check=1)
            self.assertRegex(failed.err, "none")


if __name__ == "__main__":
    unittest.main()
