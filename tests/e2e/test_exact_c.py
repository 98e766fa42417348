# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_exact_c.py - what a C program says it allocated is what the reports say.
# Knows: the targets' ledgers. Does not know: how memtrace works.
# Run by tests/run.py.
import os
import signal
import time
import unittest

import exact
import harness
import session

TIMEOUT = 180


def build(name, variant):
    compiler, flags = exact.VARIANTS[variant]
    return harness.compile_c(name, flags=["-w", *flags, "-pthread"], compiler=compiler)


class Exact(unittest.TestCase):
    def compare(self, sites, cap, sources, **kwargs):
        faults, outside = exact.compare(sites, cap, sources, **kwargs)
        self.assertEqual(faults, [], "\n" + "\n".join(faults))
        return outside

    def attach(self, program, *args, options=(), tmp=None):
        with harness.start_target([program, *args], stdin=True, wait="^ready") as target:
            cap = tmp / "attach.bin"
            session.capture_work(target, cap, *options)
            sites = session.read_sites(target.lines)
            target.send("e")
            self.assertEqual(target.wait(), 0, target.err)
        return sites, cap

    def run_(self, program, *args, options=(), tmp=None):
        cap = tmp / "run.bin"
        result = harness.memtrace("run", "-o", cap, *options, "--", program, *args)
        return session.read_sites(result.out.splitlines()), cap


class AllFunctions(Exact):
    """Every allocation function, by attach and by run, however the program was compiled."""

    def check_stats(self, sites, cap):
        stats = harness.stats(cap)
        self.assertEqual(stats["total_num_allocations"],
                         sum(s.count("allocated") for s in sites))
        self.assertEqual(stats["total_bytes_allocated"],
                         sum(s.bytes("allocated") for s in sites))
        self.assertEqual(stats["metadata"]["peak_memory"], sum(s.bytes("peak") for s in sites))
        kinds = {k.lower(): v for k, v in stats["allocator_type_distribution"].items() if v}
        self.assertEqual(kinds, exact.by_kind(sites))
        self.assertIn("peak", str(stats["top_allocations_by_size"][0]) +
                      str(stats["top_allocations_by_size"][1]))

    def attach_variant(self, variant):
        with harness.tmpdir() as tmp:
            program = build("alloc_exact.c", variant)
            sites, cap = self.attach(program, tmp=tmp)
            outside = self.compare(sites, cap, ["alloc_exact.c"])
            for (view, metric), rows in outside.items():
                self.assertEqual(rows, [], f"{view} {metric}: rows of nobody")
            self.check_stats(sites, cap)
            counters = harness.counters(cap)
            self.assertEqual(counters["produced"], counters["written"] + counters["dropped"])
            self.assertEqual(counters["dropped"], 0)

    def run_variant(self, variant):
        with harness.tmpdir() as tmp:
            program = build("alloc_exact.c", variant)
            sites, cap = self.run_(program, tmp=tmp)
            self.compare_run(sites, cap)

    def compare_run(self, sites, cap):
        """As compare(), but the 16 blocks of before "ready" are seen, too; one of them is live
        until use_realloc() makes it grow."""
        self.assertEqual(
            [], [f for f in exact.compare(sites, cap, ["alloc_exact.c"])[0]
                 if not f.startswith("--view") and "  main:" not in f])

    def test_symbolized_file_says_the_same(self):
        with harness.tmpdir() as tmp:
            sites, cap = self.attach(build("alloc_exact.c", "O1"), tmp=tmp)
            harness.memtrace("symbolize", cap, "-o", tmp / "symbolized.bin")
            self.compare(sites, tmp / "symbolized.bin", ["alloc_exact.c"])
            for view in exact.VIEWS:
                self.assertEqual(sorted(harness.folded(cap, "--view", view)),
                                 sorted(harness.folded(tmp / "symbolized.bin", "--view", view)))

    def test_without_native_frames_the_sums_stay(self):
        with harness.tmpdir() as tmp:
            sites, cap = self.attach(build("alloc_exact.c", "O1"), options=["--no-native"], tmp=tmp)
            for view in ("allocated", "leaks", "peak"):
                for metric in ("count", "bytes"):
                    rows = harness.folded(cap, "--view", view, "--metric", metric)
                    self.assertEqual(sum(v for _, v in rows),
                                     sum(getattr(s, metric)(view) for s in sites))

    def test_two_captures_one_after_another(self):
        """The second one sees only what happens in it, and all of that."""
        with harness.tmpdir() as tmp:
            program = build("alloc_exact.c", "O2-no-frame-pointer")
            with harness.start_target([program], stdin=True, wait="^ready") as target:
                with session.Attach(target.pid, "-o", tmp / "first.bin") as attach:
                    attach.interrupt()
                session.capture_work(target, tmp / "second.bin")
                sites = session.read_sites(target.lines)
            self.assertEqual(harness.folded(tmp / "first.bin", "--view", "allocated"), [])
            self.compare(sites, tmp / "second.bin", ["alloc_exact.c"])


for _variant in exact.VARIANTS:
    setattr(AllFunctions, f"test_attach_{_variant.replace('-', '_')}",
            lambda self, v=_variant: self.attach_variant(v))
    setattr(AllFunctions, f"test_run_{_variant.replace('-', '_')}",
            lambda self, v=_variant: self.run_variant(v))


class Threads(Exact):
    """Blocks of threads that run at once; the peak then depends on the moment."""
    VIEWS = ("allocated", "leaks")

    def test_attach(self):
        with harness.tmpdir() as tmp:
            sites, cap = self.attach(build("alloc_threads.c", "O1"), tmp=tmp)
            self.compare(sites, cap, ["alloc_threads.c"], views=self.VIEWS)

    def test_run(self):
        with harness.tmpdir() as tmp:
            sites, cap = self.run_(build("alloc_threads.c", "O2-no-frame-pointer"), tmp=tmp)
            self.compare(sites, cap, ["alloc_threads.c"], views=self.VIEWS)

    def test_split_threads(self):
        """The four busy threads are told apart, by name."""
        with harness.tmpdir() as tmp:
            _, cap = self.attach(build("alloc_threads.c", "O1"), tmp=tmp)
            rows = harness.folded(cap, "--view", "allocated", "--metric", "count",
                                  "--split-threads")
            for i in range(4):
                mine = [(f, v) for f, v in rows if any(f"busy-{i}" in frame for frame in f)]
                self.assertEqual(harness.folded_sum(mine, r"busy_work"), 1000, f"busy-{i}: {mine}")


class LateLibraries(Exact):
    """A library loaded during the capture is covered from the moment dlopen() returns."""
    SOURCES = ["alloc_dlopen.c", "alloc_late.c"]

    def library(self, tmp, *flags):
        return harness.compile_c("alloc_late.c", flags=["-O1", "-shared", "-fPIC", *flags])

    def check(self, method, *flags, variant="O1"):
        with harness.tmpdir() as tmp:
            library = self.library(tmp, *flags)
            copy = tmp / "copy.so"
            copy.write_bytes(library.read_bytes())
            sites, cap = method(build("alloc_dlopen.c", variant), library, copy, tmp=tmp)
            self.assertEqual({s.function for s in sites}, {"late_work"})
            self.compare_library(sites, cap)

    def compare_library(self, sites, cap):
        for view in ("allocated", "leaks"):
            for metric in ("count", "bytes"):
                rows = harness.folded(cap, "--view", view, "--metric", metric)
                rows = [row for row in rows if not any("in_constructor" in f for f in row[0])]
                got, _ = session.by_site(rows, ["alloc_late.c"])
                self.assertEqual(
                    [], exact.differences(exact.expected(sites, view, metric), got),
                    f"{view} {metric}")

    def test_attach(self):
        self.check(self.attach)

    def test_run(self):
        self.check(self.run_)

    def test_attach_bound_now(self):
        self.check(self.attach, "-Wl,-z,now", "-Wl,-z,relro")

    def test_attach_bound_lazily(self):
        self.check(self.attach, "-Wl,-z,lazy")

    def test_attach_without_plt(self):
        self.check(self.attach, "-fno-plt")

    def test_looked_at_while_it_is_relocated(self):
        """The loader lists a library before it relocates it: its slots lead nowhere, for a while."""
        for flags in (["-Wl,-z,now"], ["-Wl,-z,lazy"], ["-fno-plt"], ["-Wl,-z,norelro"]):
            for method in (self.attach, self.run_):
                with self.subTest(flags=flags, method=method.__name__):
                    self.check(method, "-DSLOW_RESOLVER", *flags)

    def test_looked_at_while_its_plt_seems_to_be_the_programs(self):
        """What a slot holds before it is relocated can be an address in a program that is not moved."""
        for method in (self.attach, self.run_):
            self.check(method, "-DSLOW_RESOLVER", "-Wl,-z,lazy", "-Wl,-Ttext-segment=0x400000",
                       variant="no-pie")

    def test_another_thread_is_in_the_middle_of_a_dlopen(self):
        """Its library needs one that cannot be opened now: what the first thread has loaded is no less there."""
        with harness.tmpdir() as tmp:
            os.mkfifo(tmp / "fifo.so")
            stub = harness.compile_c("\nint stub;\n", name="stub", out_dir=tmp,
                                     flags=["-shared", f"-Wl,-soname,{tmp}/fifo.so"])
            blocked = harness.compile_c("\nextern int stub; int *blocked = &stub;\n", name="blocked", out_dir=tmp,
                                        flags=["-shared", "-fPIC", stub])
            library = self.library(tmp)
            with harness.start_target([build("alloc_dlopen.c", "O1"), library, "-", blocked], stdin=True,
                                      wait="^ready") as target:
                with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                    attach.send_signal(signal.SIGSTOP)
                    harness.wait_for(lambda: harness.proc_state(attach.proc.pid) == "T", what="stopped memtrace")
                    target.send("g")
                    harness.wait_for(lambda: any("blocked" in line for line in harness.maps(target.pid)), what="the second dlopen")
                    attach.send_signal(signal.SIGCONT)
                    time.sleep(0.5)         # the first thread goes on, while the second cannot
                    os.close(os.open(tmp / "fifo.so", os.O_WRONLY))
                    target.wait_line("^done", 60)
                    attach.interrupt()
                    sites = session.read_sites(target.lines)
            self.compare_library(sites, tmp / "cap.bin")

    def test_threads_that_load_and_unload(self):
        """Nobody goes on before its library is hooked, nor closes it under the hands of who hooks it."""
        with harness.tmpdir() as tmp:
            content = harness.compile_c("alloc_loads.c", name="loads",
                                        flags=["-O1", "-shared", "-fPIC", "-DLIBRARY"]).read_bytes()
            libraries = [tmp / f"loads-{i}.so" for i in range(8)]
            for path in libraries:
                path.write_bytes(content)
            program = harness.compile_c("alloc_loads.c", flags=["-O1", "-pthread"])
            for _ in range(3):
                said = harness.memtrace("run", "-f", "-o", tmp / "cap.bin", "--", program, 60, *libraries).out
                self.assertEqual(said, "48000 blocks\n")
                sizes = harness.stats(tmp / "cap.bin")["allocation_size_histogram"]
                blocks = sum(row["count"] for row in sizes if row["min_bytes"] <= 77777 <= row["max_bytes"])
                self.assertEqual(blocks, 48000, sizes)

    def slow(self, tmp, pause):
        """memtrace stands still for a while when the library comes; what it said, what the target did."""
        library = self.library(tmp)
        with harness.start_target([build("alloc_dlopen.c", "O1"), library], stdin=True,
                                  wait="^ready") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                attach.send_signal(signal.SIGSTOP)
                harness.wait_for(lambda: harness.proc_state(attach.proc.pid) == "T", what="stopped memtrace")
                target.send("g")
                time.sleep(pause)
                attach.send_signal(signal.SIGCONT)
                target.wait_line("^done", 60)
                result = attach.interrupt()
                sites = session.read_sites(target.lines)
        return result.err, sites

    def test_busy_memtrace(self):
        with harness.tmpdir() as tmp:
            said, sites = self.slow(tmp, 1)
            self.assertNotIn("too slow", said)
            self.compare_library(sites, tmp / "cap.bin")

    def test_memtrace_that_stands_still(self):
        with harness.tmpdir() as tmp:
            said, _ = self.slow(tmp, 5)
            self.assertRegex(said, "memtrace was too slow for [1-9] libraries")
            report = harness.memtrace("summary", tmp / "cap.bin")
            self.assertRegex(report.err, "warning: memtrace was too slow for [1-9] libraries")
            self.assertRegex(harness.memtrace("info", tmp / "cap.bin").out, r"late libraries +[1-9]")


class LibcCallers(Exact):
    """What libc allocates for the program counts for the line that called it."""

    def check(self, method):
        with harness.tmpdir() as tmp:
            program = build("alloc_libc.c", "O1")
            lines = []
            if method == "attach":
                with harness.start_target([program], stdin=True, wait="^ready") as target:
                    session.capture_work(target, tmp / "cap.bin")
                    lines = target.lines
            else:
                lines = harness.memtrace("run", "-o", tmp / "cap.bin", "--",
                                         program).out.splitlines()
            self.check_lines(lines, tmp / "cap.bin")

    def check_lines(self, lines, cap):
        sites = session.read_sites(lines)
        about = [line.split() for line in lines if line.startswith("about ")]
        self.assertEqual(len(about), 10)
        values = {}
        for view in ("allocated", "leaks"):
            for metric in ("count", "bytes"):
                rows = harness.folded(cap, "--view", view, "--metric", metric)
                got, _ = session.by_site(rows, ["alloc_libc.c"])
                values[view, metric] = got
                exactly = {(s.function, s.line) for s in sites}
                self.assertEqual([], exact.differences(
                    exact.expected(sites, view, metric),
                    {k: v for k, v in got.items() if k in exactly}), f"{view} {metric}")
        for _, function, line, what, count, size, leaked in about:
            key = (function, int(line))
            self.assertGreaterEqual(values["allocated", "count"].get(key, 0), int(count), what)
            self.assertGreaterEqual(values["allocated", "bytes"].get(key, 0), int(size), what)
            self.assertEqual(values["leaks", "count"].get(key, 0), int(leaked), what)

    def test_attach(self):
        self.check("attach")

    def test_run(self):
        self.check("run")


if __name__ == "__main__":
    unittest.main()
