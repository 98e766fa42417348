# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_reports.py - the text reports as a person and a script meet them.
# Knows: options, terminals, exit codes. Does not know: how numbers come about.
# Run by tests/run.py.
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import unittest

import harness

TIMEOUT = 120
REPORTS = [["info"], ["info", "--json"], ["leaks"], ["leaks", "--json"], ["stats"], ["stats", "--json"], ["summary"], ["parse"],
           ["transform", "folded"], ["transform", "speedscope"], ["transform", "gprof2dot"],
           ["transform", "csv"], ["transform", "dhat"], ["transform", "sql"]]
VIEWS = ["peak", "leaks", "allocated", "temporary"]


def on_terminal(argv, rows=24, columns=80, env=None):
    """What a command shows on a terminal of this size."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    full = dict(os.environ, TERM="xterm", **(env or {}))
    if "NO_COLOR" not in (env or {}):
        full.pop("NO_COLOR", None)
    proc = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=follower,
                            stderr=subprocess.DEVNULL, env=full)
    os.close(follower)
    text = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:         # the other side is closed
            break
        if not data:
            break
        text += data
    os.close(leader)
    assert proc.wait(30) == 0, text
    return text.decode().replace("\r\n", "\n")


class Reports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        cls.tmp = cls.scope.__enter__()
        cls.raw, cls.cap = cls.tmp / "raw.bin", cls.tmp / "cap.bin"
        program = harness.compile_c("alloc_exact.c", flags=["-w", "-O1", "-fno-inline", "-pthread"])
        harness.memtrace("run", "-o", cls.raw, "--", program)
        harness.memtrace("symbolize", cls.raw, "-o", cls.cap)

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    # ---- command lines ----

    def test_wrong_usage(self):
        for argv, text in [
                (["stats"], "FILE is missing"),
                (["stats", "a", "b"], "'b' is too many"),
                (["stats", "-n", "0", "a"], "not a number of 1 or more: '0'"),
                (["stats", "--view", "some", "a"], "no such view: 'some' .peak, leaks"),
                (["stats", "--leaks", "--view", "peak", "a"], "one view at a time: leaks or peak"),
                (["stats", "--nonsense", "a"], "unrecognized option"),
                (["summary", "-s", "6", "a"], "not a column from 1 to 5: '6'"),
                (["summary", "-s", "x", "a"], "not a column from 1 to 5: 'x'"),
                (["summary", "-r", "0", "a"], "not a number of 1 or more: '0'"),
                (["summary", "--metric", "speed", "a"], "no such metric: 'speed' .bytes, count"),
                (["transform"], r"which format\? .*folded"),
                (["transform", "pdf", "a"], "no such format: 'pdf' .*folded"),
                (["transform", "folded"], "FILE is missing"),
                (["transform", "folded", "a", "--temporary-allocation-threshold", "-1"],
                 "not a number of allocations: '-1'"),
                (["leaks"], "FILE is missing"),
                (["leaks", "--older-than", "x", "a"], "not a duration: 'x'"),
                (["leaks", "--sort", "x", "a"], "no such order: 'x' .likely, bytes, count"),
                (["leaks", "-n", "-1", "a"], "not a number of 0 or more: '-1'"),
                (["diff"], "BASE and NEW are missing"), (["diff", "a"], "FILE is missing"),
                (["diff", "a", "b", "c"], "'c' is too many"),
                (["info"], "FILE is missing"), (["parse", "--leaks", "a"], "unrecognized option")]:
            with self.subTest(argv=argv):
                result = harness.memtrace(*argv, check=2)
                self.assertRegex(result.err, rf"^memtrace {argv[0]}: ")
                self.assertRegex(result.err, text)
                self.assertEqual(result.out, "")

    def test_help(self):
        for command in ("info", "leaks", "stats", "summary", "parse", "transform"):
            for flag in ("--help", "-h"):
                result = harness.memtrace(command, flag)
                self.assertRegex(result.out, rf"^Usage: memtrace {command} \[OPTION")
                self.assertEqual(result.err, "")
        self.assertIn("root;...;leaf value", harness.memtrace("transform", "--help").out)

    # ---- outputs ----

    def test_output_files(self):
        for words in REPORTS:
            with self.subTest(command=words):
                out = self.tmp / "out.txt"
                printed = harness.memtrace(*words, self.cap)
                self.assertEqual(printed.err, "", "a good symbolized capture needs no chatter")
                written = harness.memtrace(*words, self.cap, "-o", out)
                self.assertEqual((written.out, written.err), ("", ""))
                self.assertEqual(out.read_text(), printed.out)
                self.assertEqual(out.stat().st_mode & 0o777, 0o600)
                again = harness.memtrace(*words, self.cap, "-o", out, check=1)
                self.assertRegex(again.err, r"cannot write '.*out\.txt': it exists\nhint: -f ")
                harness.memtrace(*words, self.cap, "-f", "-o", out)
                self.assertEqual(out.read_text(), printed.out)
                out.unlink()
                dash = harness.memtrace(*words, self.cap, "-o", "-")
                self.assertEqual(dash.out, printed.out)

    def test_output_is_never_the_capture(self):
        before = self.cap.read_bytes()
        for words in REPORTS:
            with self.subTest(command=words):
                result = harness.memtrace(*words, self.cap, "-f", "-o", self.cap, check=1)
                self.assertRegex(result.err, "is the capture itself")
                self.assertEqual(self.cap.read_bytes(), before)

    def test_full_and_closed(self):
        for words in REPORTS:
            with self.subTest(command=words):
                for target, text in (("> /dev/full", "No space left"), (">&-", "Bad file")):
                    line = f'exec "$0" "$@" {target}'
                    result = harness.run(["sh", "-c", line, harness.MEMTRACE, *words, self.cap])
                    self.assertEqual(result.code, 1, result)
                    self.assertRegex(result.err, f"cannot write to standard output: {text}")
                result = harness.memtrace(*words, self.cap, "-o", "/dev/full", check=1)
                self.assertRegex(result.err, "cannot write '/dev/full': No space left")

    def test_symbols_on_the_fly(self):
        """A capture without symbols gives the same reports, and one line that says so."""
        for words in (["stats", "--json"], ["summary"], ["transform", "folded"]):
            with self.subTest(command=words):
                raw = harness.memtrace(*words, self.raw)
                self.assertRegex(raw.err, r"^memtrace: no symbols in '.*raw\.bin' yet: named \d+ of "
                                          r"\d+ native frames, .* 'memtrace symbolize' keeps them\n")
                self.assertEqual(raw.out, harness.memtrace(*words, self.cap).out)

    # ---- numbers ----

    def test_numbers_agree(self):
        stats = harness.stats(self.cap)
        meta = stats["metadata"]
        want = {"peak": (meta["peak_memory"], meta["peak_count"]),
                "leaks": (meta["leaked_bytes"], meta["leaked_count"]),
                "allocated": (stats["total_bytes_allocated"], stats["total_num_allocations"]),
                "temporary": (meta["temporary_bytes"], meta["temporary_count"])}
        for view in VIEWS:
            for metric, number in zip(("bytes", "count"), want[view]):
                for options in ([], ["--split-threads"]):
                    rows = harness.folded(self.cap, "--view", view, "--metric", metric, *options)
                    self.assertEqual(sum(v for _, v in rows), number, (view, metric, options))
            top = harness.stats(self.cap, "--view", view, "-n", "100000")
            for name, field, number in (("size", "size", want[view][0]),
                                        ("count", "count", want[view][1])):
                rows = top[f"top_allocations_by_{name}"]
                self.assertEqual(sum(r[field] for r in rows), number, view)
                self.assertEqual([r[field] for r in rows],
                                 sorted((r[field] for r in rows), reverse=True))
        leaks = json.loads(harness.memtrace("leaks", "--json", "-n", "0", self.cap).out)
        self.assertEqual((leaks["leaked_bytes"], leaks["leaked_count"]), want["leaks"])
        for field, number in zip(("bytes", "count"), want["leaks"]):
            self.assertEqual(sum(site[field] for site in leaks["sites"]), number)
            self.assertEqual(sum(age[field] for site in leaks["sites"] for age in site["ages"]),
                             number)
        self.assertEqual(sum(site["live_bytes"][-1] for site in leaks["sites"]), want["leaks"][0])
        top = {row["location"]: row["size"]
               for row in harness.stats(self.cap, "--leaks", "-n", "100000")["top_allocations_by_size"]}
        self.assertEqual({site["location"]: site["bytes"] for site in leaks["sites"]}, top)
        self.assertEqual(sum(b["count"] for b in stats["allocation_size_histogram"]),
                         stats["total_num_allocations"])
        self.assertEqual(len(stats["allocation_size_histogram"]), 10)
        self.assertEqual(sum(stats["allocator_type_distribution"].values()),
                         stats["total_num_allocations"])
        info = json.loads(harness.memtrace("info", "--json", self.cap).out)
        self.assertEqual(info["events"], meta["written"])
        self.assertEqual(info["counters"]["produced"], meta["written"] + meta["dropped"])
        self.assertTrue(info["counters"]["conserved"])
        events = re.findall(r"^event .* kind=(\S+) ", harness.memtrace("parse", self.cap).out, re.M)
        self.assertEqual(len(events), info["events"])
        for kind, count in info["events_by_kind"].items():
            self.assertEqual(events.count(kind), count, kind)

    def test_folded_is_in_order_and_without_the_allocator(self):
        rows = harness.folded(self.cap, "--view", "allocated")
        self.assertEqual(len({tuple(f) for f, _ in rows}), len(rows), "equal lines are merged")
        for frames, value in rows:
            self.assertGreater(value, 0)
            self.assertNotRegex(frames[-1], r"^(malloc|calloc|realloc|mmap|posix_memalign) \(")
            self.assertFalse([f for f in frames if "memtrace" in f and "tracer" in f], frames)

    # ---- the table on a terminal ----

    def table(self, *options, **kwargs):
        text = on_terminal([harness.MEMTRACE, "summary", self.cap, *options], **kwargs)
        return text[text.index("Location"):].splitlines()

    def test_summary_fits_the_terminal(self):
        plain = {"NO_COLOR": "1"}
        for rows, columns, most in ((12, 80, 10), (24, 80, 19), (24, 100, 19), (60, 200, 55)):
            with self.subTest(rows=rows, columns=columns):
                lines = self.table("--view", "allocated", rows=rows, columns=columns, env=plain)
                body = [line for line in lines[1:] if " at " in line or "…" in line]
                self.assertLessEqual(len(body), most)
                self.assertLessEqual(max(map(len, lines)), columns)
        more = self.table("-r", "3", "--view", "allocated", env=plain)
        self.assertEqual(len(more), 5)
        self.assertRegex(more[-1], r"^\d+ more functions are not shown; -r shows more rows$")

    def test_summary_colours(self):
        self.assertRegex("\n".join(self.table()), r"\x1b\[1;31m +\S")
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            argv = ["env", *(f"{k}={v}" for k, v in env.items()), harness.MEMTRACE, "summary",
                    self.cap]
            self.assertNotIn("\x1b", on_terminal(argv), env)
        self.assertNotIn("\x1b", harness.memtrace("summary", self.cap).out)

    def test_summary_sorts(self):
        headings = ["Total Memory", "Total %", "Own Memory", "Own %", "Allocation Count"]
        for column, heading in enumerate(headings, 1):
            out = harness.memtrace("summary", "-s", column, "--view", "allocated", self.cap).out
            head, *body = out[out.index("Location"):].splitlines()
            self.assertIn(f"[{heading}]", head)
            self.assertEqual(head.count("["), 1)
            if column == 5:
                counts = [int(line.rsplit(None, 1)[1].replace(",", "")) for line in body
                          if "more function" not in line]
                self.assertEqual(counts, sorted(counts, reverse=True))

    def test_parse_on_a_terminal_says_that_it_is_long(self):
        leader, follower = pty.openpty()
        proc = subprocess.Popen([harness.MEMTRACE, "parse", self.cap], stdin=subprocess.DEVNULL,
                                stdout=follower, stderr=subprocess.PIPE)
        os.close(follower)
        try:
            while os.read(leader, 65536):
                pass
        except OSError:
            pass
        err = proc.communicate(timeout=30)[1].decode()
        os.close(leader)
        self.assertEqual(proc.returncode, 0)
        self.assertRegex(err, r"every event of the capture follows; '-o FILE'")

    # ---- captures with nothing in them ----

    def test_empty_capture(self):
        cap = self.tmp / "empty.bin"
        source = self.tmp / "nothing.c"
        source.write_text("int main(void) { return 0; }\n")
        program = self.tmp / "nothing"
        harness.run(["gcc", "-O1", "-o", program, source], check=0)
        harness.memtrace("run", "-o", cap, "--", program)
        for words in REPORTS:
            with self.subTest(command=words):
                harness.memtrace(*words, cap)
        self.assertIn("No allocations were recorded.", harness.memtrace("stats", cap).out)
        self.assertIn("No allocations were recorded.", harness.memtrace("summary", cap).out)
        self.assertIn("No allocations were recorded.", harness.memtrace("leaks", cap).out)
        result = harness.memtrace("transform", "folded", cap)
        self.assertEqual(result.out, "")
        self.assertIn("nothing to write: the view 'peak' is empty", result.err)


if __name__ == "__main__":
    unittest.main()
