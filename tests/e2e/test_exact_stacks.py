# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_exact_stacks.py - the stacks of a capture are the ones the program had.
# Knows: the target prints its own stacks. Does not know: unwinding.
# Run by tests/run.py.
import collections
import unittest

import exact
import harness
import session

SOURCE = "alloc_stacks.c"


def expected(lines):
    """{functions from root to leaf: [count, bytes]}"""
    found = collections.defaultdict(lambda: [0, 0])
    for line in lines:
        if line.startswith("stack "):
            _, size, count, text = line.split()
            chain = []
            for part in text.split(";"):
                name, _, times = part.partition("*")
                chain += [name] * int(times or 1)
            found[tuple(chain)][0] += int(count)
            found[tuple(chain)][1] += int(size)
    return dict(found)


def short(chain):
    out = []
    for name in chain:
        if out and out[-1][0] == name:
            out[-1][1] += 1
        else:
            out.append([name, 1])
    return ";".join(name if n == 1 else f"{name}*{n}" for name, n in out)


class Stacks(unittest.TestCase):
    def captured(self, cap):
        found = collections.defaultdict(lambda: [0, 0])
        for i, metric in enumerate(("count", "bytes")):
            for frames, value in harness.folded(cap, "--view", "allocated", "--metric", metric):
                chain = [session.split_frame(f) for f in frames]
                chain = tuple(f[0] for f in chain if f[1] == SOURCE)
                if chain:
                    found[chain][i] += value
        return dict(found)

    def check(self, lines, cap):
        want, got = expected(lines), self.captured(cap)
        self.assertGreater(len(want), 18)
        faults = [f"  {short(c)}: the program says {want.get(c)}, the capture {got.get(c)}"
                  for c in sorted(set(want) | set(got)) if want.get(c) != got.get(c)]
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def variant(self, variant):
        compiler, flags = exact.VARIANTS[variant]
        program = harness.compile_c(SOURCE, flags=["-w", *flags, "-pthread"], compiler=compiler)
        with harness.tmpdir() as tmp:
            with harness.start_target([program], stdin=True, wait="^ready") as target:
                session.capture_work(target, tmp / "cap.bin")
                lines = target.lines
            self.assertIn("ledger ends", lines)
            self.check(lines, tmp / "cap.bin")

    def test_no_stack_is_cut(self):
        """No mark of a truncated stack in a program with unwind information everywhere. (The
        root of a makecontext() stack says of itself that nothing is above it; glibc does not.)"""
        program = harness.compile_c(SOURCE, flags=["-w", "-O2", "-pthread"])
        with harness.tmpdir() as tmp:
            harness.memtrace("run", "-o", tmp / "cap.bin", "--", program)
            rows = harness.folded(tmp / "cap.bin", "--view", "allocated", "--metric", "count")
            rows = [row for row in rows if not any(f.startswith(("fiber ", "diver ")) for f in row[0])]
            self.assertGreater(len(rows), 15)
            self.assertEqual(harness.folded_sum(rows, "truncated"), 0)


for _variant in exact.VARIANTS:
    setattr(Stacks, f"test_{_variant.replace('-', '_')}", lambda self, v=_variant: self.variant(v))


if __name__ == "__main__":
    unittest.main()
