# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_musl.py - programs of another C library are traced exactly and left clean.
# Knows: musl-gcc, the targets' ledgers. Does not know: how the tracer gets in.
# Run by tests/run.py.
import re
import time
import unittest

import exact
import harness
import session

TIMEOUT = 180
NEEDS = ["musl-gcc", "readelf"]


def build(name, *flags):
    return harness.compile_c(name, flags=["-w", "-O1", "-fno-inline", "-D_GNU_SOURCE", "-pthread",
                                          *flags], compiler="musl-gcc")


class Musl(unittest.TestCase):
    def check_ledger(self, lines, cap, sources):
        faults, _ = exact.compare(session.read_sites(lines), cap, sources,
                                  views=("allocated", "leaks"))
        self.assertEqual(faults, [], "\n" + "\n".join(faults))
        counters = harness.counters(cap)
        self.assertEqual(counters["produced"], counters["written"])

    def attach(self, source):
        with harness.tmpdir() as tmp, harness.start_target(
                [build(source)], stdin=True, wait="^ready") as target:
            cap = tmp / "cap.bin"
            session.capture_work(target, cap)
            self.assertEqual(harness.maps_clean(target.pid), [], "unmapped for real")
            self.assertIn("clean", harness.memtrace("status", target.pid).out)
            self.check_ledger(target.lines, cap, [source])
            target.send("e")
            self.assertEqual(target.wait(), 0, target.err)

    def test_every_function(self):
        self.attach("alloc_exact.c")

    def test_threads_that_come_and_go(self):
        self.attach("alloc_threads.c")

    def test_run(self):
        with harness.tmpdir() as tmp:
            cap = tmp / "run.bin"
            result = harness.memtrace("run", "-o", cap, "--", build("alloc_threads.c"))
            self.check_ledger(result.out.splitlines(), cap, ["alloc_threads.c"])

    def test_late_libraries(self):
        library = harness.compile_c("alloc_late.c", flags=["-O1", "-shared", "-fPIC"],
                                    compiler="musl-gcc")
        with harness.tmpdir() as tmp, harness.start_target(
                [build("alloc_dlopen.c"), library], stdin=True, wait="^ready") as target:
            session.capture_work(target, tmp / "cap.bin")
            rows = harness.folded(tmp / "cap.bin", "--view", "allocated", "--metric", "count")
            rows = [row for row in rows if not any("in_constructor" in f for f in row[0])]
            got, _ = session.by_site(rows, ["alloc_late.c"])
            want = exact.expected(session.read_sites(target.lines), "allocated", "count")
            # musl has no unwind tables: what its strdup() allocates has nobody who called it.
            inside = {k for k in want if k not in got}
            self.assertEqual(sum(want.pop(k) for k in inside),
                             harness.folded_sum(rows, r"^strdup \(libc"))
            self.assertEqual(exact.differences(want, got), [])
            self.assertEqual(harness.maps_clean(target.pid), [])
            target.send("e")
            self.assertEqual(target.wait(), 0, target.err)

    def test_idle_target_is_the_same_after_detach(self):
        """Time after time: its dlclose() unloads nothing, so it must not be what unloads us."""
        with harness.tmpdir() as tmp, harness.start_target(
                [build("alloc_exact.c")], stdin=True, wait="^ready") as target:
            before = session.Snapshot(target.pid)
            for i in range(5):
                with session.Attach(target.pid, "-o", tmp / f"{i}.bin") as attach:
                    attach.interrupt()
                self.assertEqual(session.Snapshot(target.pid).changes(before), [])
                self.assertEqual(harness.memtrace("status", target.pid).code, 0)
            target.send("ge")
            self.assertEqual(target.wait(), 0, target.err)

    def test_busy_threads(self):
        with harness.tmpdir() as tmp, harness.start_target(
                [build("alloc_service.c"), 4], stdin=True, wait="^ready") as target:
            for i in range(3):
                with session.Attach(target.pid, "-o", tmp / f"{i}.bin") as attach:
                    time.sleep(0.2)
                    attach.interrupt()
                self.assertEqual(harness.maps_clean(target.pid), [])
                rows = harness.folded(tmp / f"{i}.bin", "--view", "allocated", "--metric", "count")
                self.assertGreater(harness.folded_sum(rows, r"^make_block\b"), 100)
            target.send("x")
            self.assertEqual(target.wait(), 0, target.lines[-2:])

    def test_controller_killed_at_any_time(self):
        with harness.tmpdir() as tmp, harness.start_target(
                [build("alloc_service.c"), 2], stdin=True, wait="^ready") as target:
            for i in range(12):
                with session.Attach(target.pid, "-o", tmp / f"{i}.bin", "--duration", "50ms",
                                    wait=False) as attach:
                    time.sleep(0.013 * i)
                    attach.proc.kill()
                    attach.wait()
                seen = len(target.lines)
                harness.wait_for(lambda: len(target.lines) > seen, 10, what="it works on")
                harness.memtrace("detach", target.pid, check=(0, 1))
                self.assertEqual(harness.maps_clean(target.pid), [], f"kill {i}")
            target.send("x")
            self.assertEqual(target.wait(), 0, target.lines[-2:])

    def test_forked_children(self):
        """Their table of threads is wiped by the fork; what they allocate is their own."""
        with harness.tmpdir() as tmp, harness.start_target(
                [build("alloc_fork.c")], stdin=True, wait="^ready") as target:
            session.capture_work(target, tmp / "cap.bin")
            rows = harness.folded(tmp / "cap.bin", "--view", "allocated", "--metric", "count")
            got, _ = session.by_site(rows, ["alloc_fork.c"])
            self.assertFalse([k for k in got if k[0] in ("of_child", "child_work")])
            target.send("x")
            self.assertEqual(target.wait(), 0, target.err)


class Image(unittest.TestCase):
    def test_the_mapped_tracer_needs_no_loader(self):
        """Only relocations that inject/loader.c applies; no thread-local storage, no libraries."""
        image = harness.BUILD / "memtrace-tracer-mapped.so"
        text = harness.run(["readelf", "-rldW", image], check=0).out
        kinds = set(re.findall(r"R_X86_64_\w+", text))
        self.assertLessEqual(kinds, {"R_X86_64_RELATIVE", "R_X86_64_GLOB_DAT", "R_X86_64_64"})
        self.assertNotRegex(text, r"\bTLS\b|\(NEEDED\)|\(INIT|\(FINI")


if __name__ == "__main__":
    unittest.main()
