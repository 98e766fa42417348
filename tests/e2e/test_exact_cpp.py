# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_exact_cpp.py - C++ allocations arrive through malloc, once, under readable names.
# Knows: the target's ledger. Does not know: how memtrace works.
# Run by tests/run.py.
import unittest

import exact
import harness
import session

SOURCES = ["alloc_cpp.cc"]


class Cpp(unittest.TestCase):
    def capture(self, tmp, flags, how):
        program = harness.compile_c("alloc_cpp.cc", flags=["-w", *flags, "-pthread"])
        cap = tmp / "cap.bin"
        if how == "run":
            lines = harness.memtrace("run", "-o", cap, "--", program).out.splitlines()
        else:
            with harness.start_target([program], stdin=True, wait="^ready") as target:
                session.capture_work(target, cap)
                lines = target.lines
        return lines, cap

    def check(self, flags, how):
        with harness.tmpdir() as tmp:
            lines, cap = self.capture(tmp, flags, how)
            self.check_sites(lines, cap)
            self.check_chains(lines, cap)
            self.check_exceptions(cap)
            self.check_names(cap)

    def check_sites(self, lines, cap):
        sites = session.read_sites(lines)
        mine = {(s.function, s.line) for s in sites}
        for view in ("allocated", "leaks"):
            for metric in ("count", "bytes"):
                got, _ = session.by_site(
                    harness.folded(cap, "--view", view, "--metric", metric), SOURCES)
                self.assertEqual([], exact.differences(
                    exact.expected(sites, view, metric),
                    {k: v for k, v in got.items() if k in mine}), f"{view} {metric}")

    def check_chains(self, lines, cap):
        """Containers: everything below one function."""
        chains = [line.split() for line in lines if line.startswith("chain ")]
        self.assertEqual(len(chains), 2)
        for _, function, *numbers in chains:
            got = [harness.folded_sum(harness.folded(cap, "--view", view, "--metric", metric),
                                      rf"^{function}\b")
                   for view in ("allocated", "leaks") for metric in ("count", "bytes")]
            self.assertEqual(got, [int(n) for n in numbers], function)

    def check_exceptions(self, cap):
        """Ten blocks of 999 bytes whose constructor threw: allocated, not leaked."""
        allocated = harness.folded(cap, "--view", "allocated", "--metric", "bytes")
        self.assertGreaterEqual(harness.folded_sum(allocated, r"^thrown\b"), 9990)
        self.assertEqual(
            harness.folded_sum(harness.folded(cap, "--view", "leaks"), r"^thrown\b"), 0)

    def check_names(self, cap):
        frames = {f for row, _ in harness.folded(cap, "--view", "allocated") for f in row}
        self.assertTrue(any(f.startswith("shop::use_new()") for f in frames), frames)
        self.assertTrue(any("shop::keeper<double>::keep(" in f for f in frames), frames)
        self.assertFalse([f for f in frames if f.startswith("_Z")], "mangled names")

    def test_attach_O1(self):
        self.check(["-O1", "-fno-inline"], "attach")

    def test_attach_O2(self):
        self.check(["-O2", "-fomit-frame-pointer"], "attach")

    def test_run_O2(self):
        self.check(["-O2", "-fomit-frame-pointer"], "run")


if __name__ == "__main__":
    unittest.main()
