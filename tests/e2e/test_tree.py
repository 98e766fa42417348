# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_tree.py - `memtrace tree`: its numbers, its keys, on terminals of many kinds.
# Knows: what stands where on the screen. Does not know: how it is drawn.
# Run by tests/run.py.
import json
import re
import unittest

import harness
import terminal

TIMEOUT = 240
NEEDS = ["tmux"]
UNITS = {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}


def size_of(text):
    number, unit = re.match(r"([\d.]+) (\w+)", text).groups()
    return float(number) * 2 ** UNITS[unit]


class Tree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scope = harness.tmpdir()
        tmp = cls.scope.__enter__()
        raw, cls.cap = tmp / "raw.bin", tmp / "cap.bin"
        cls.script = tmp / "leaf.py"
        cls.script.write_text("""
import os, threading
keep = []
def small(): keep.append(bytearray(3000))
def large(n):
    if n: return large(n - 1)
    keep.append(bytearray(9000000))
def fork():
    for _ in range(20): small()
    large(5)
def worker(): keep.append(bytearray(900000))
fork()
t = threading.Thread(target=worker, name="worker")
t.start(); t.join()
os._exit(0)
""")
        harness.memtrace("run", "-o", raw, "--", harness.PYTHON, cls.script)
        harness.memtrace("symbolize", raw, "-o", cls.cap)

    @classmethod
    def tearDownClass(cls):
        cls.scope.__exit__(None, None, None)

    def tree(self, *options, **kwargs):
        return terminal.Terminal([harness.MEMTRACE, "tree", *options, self.cap], **kwargs)

    def plain(self, *options):
        """Rows of the plain tree: (total, own, count, rest of the line)."""
        out = harness.memtrace("tree", *options, self.cap).out.splitlines()
        self.assertRegex(out[1], r"Total +% +Own +Count +Stack")
        rows = []
        for line in out[2:]:
            m = re.match(r" *([\d.]+ \w+) +<?[\d.]+% +(-|[\d.]+ \w+) +([\d,]+)  (.*)$", line)
            self.assertTrue(m, line)
            rows.append((m[1], m[2], int(m[3].replace(",", "")), m[4]))
        return rows

    # ---- numbers ----

    def test_totals_are_those_of_the_other_reports(self):
        stats = json.loads(harness.memtrace("stats", "--json", self.cap).out)
        rows = self.plain("--view", "allocated", "-b", "0")
        self.assertEqual(rows[0][2], stats["total_num_allocations"])
        self.assert_shown(rows[0][0], stats["total_bytes_allocated"])
        self.assert_shown(self.plain("--view", "peak")[0][0], stats["metadata"]["peak_memory"])
        for view in ("peak", "leaks", "allocated", "temporary"):
            with self.subTest(view=view):
                folded = harness.memtrace("transform", "folded", "--view", view, self.cap).out
                whole = sum(int(line.rsplit(" ", 1)[1]) for line in folded.splitlines())
                self.assert_shown(self.plain("--view", view, "-b", "0")[0][0], whole)

    def assert_shown(self, shown, exact):
        self.assertAlmostEqual(size_of(shown), exact, delta=exact * 0.0051 + 0.6)

    def test_own_adds_up_whatever_is_folded_together(self):
        for options in ([], ["-b", "3"], ["--inverted"], ["--split-threads"], ["--no-native"]):
            with self.subTest(options=options):
                rows = self.plain("--leaks", *options)
                own = sum(size_of(row[1]) for row in rows if row[1] != "-")
                self.assertAlmostEqual(own, size_of(rows[0][0]), delta=own * 0.01)

    def test_biggest(self):
        rows = self.plain("--leaks", "-b", "2")
        self.assertTrue(any("smaller stacks>" in row[3] for row in rows))
        self.assertFalse(any("smaller stacks>" in row[3] for row in self.plain("--leaks", "-b", "0")))

    def test_split_threads_and_inverted(self):
        names = [row[3] for row in self.plain("--leaks", "--split-threads")]
        self.assertGreater(sum(bool(re.search(r"\[\d+\]$", name)) for name in names), 1, names)
        first = self.plain("--leaks", "--inverted")
        top = [row[3] for row in first if re.match(r"[├└] ", row[3])]
        self.assertGreater(len(top), 1)

    def test_pipe_file_and_locale(self):
        with harness.tmpdir() as tmp:
            harness.memtrace("tree", "-o", tmp / "t.txt", self.cap)
            self.assertEqual((tmp / "t.txt").read_text(), harness.memtrace("tree", self.cap).out)
            again = harness.memtrace("tree", "-o", tmp / "t.txt", self.cap, check=1)
            self.assertIn("exists", again.err)

    # ---- the screen ----

    def test_first_picture(self):
        for columns, rows in ((80, 24), (200, 60), (40, 10)):
            with self.subTest(columns=columns), self.tree("--leaks", columns=columns, rows=rows) as term:
                term.wait(r"<all>")
                lines = term.lines()
                self.assertLessEqual(max(len(line) for line in lines), columns)
                self.assertIn("[Total]", term.text())
                self.assertIn("q quit", lines[rows - 1])
                term.keys("q")
                self.assertEqual(term.wait_end(), 0)

    def test_the_biggest_chain_is_open_and_keys_fold(self):
        with self.tree("--leaks", columns=100, rows=50) as term:
            term.wait("large .*leaf.py:7")
            term.keys("Enter")
            term.wait(r"▸ <all>")
            self.assertNotIn("large", term.text())
            term.keys("Right", "Down", "e")
            term.wait("fork")
            term.keys("Home", "Left")
            term.wait(r"▸ <all>")

    def test_search(self):
        with self.tree("--leaks", columns=100, rows=40) as term:
            term.wait("<all>")
            term.keys("Enter", "/")
            term.type("SMALL")
            term.keys("Enter")
            term.wait("Function +small")        # unfolded, and under the cursor
            term.keys("/")
            term.type("nothing like it")
            term.keys("Enter")
            term.wait("not found: nothing like it")
            term.keys("Escape", "q")
            self.assertEqual(term.wait_end(), 0)

    def test_table_order_view_thread_and_source(self):
        with self.tree("--leaks", columns=200, rows=40) as term:
            term.wait("<all>")
            term.keys("Tab")
            term.wait("Function +File or module")
            term.keys("o")
            first = term.wait(r"\[Own\][^\n]*\n.*?%.*?% +[\d,]+  (\w+)")
            self.assertEqual(first[1], "large")
            term.keys("a")
            term.wait(r"\[Count\]")
            term.keys("v")
            term.wait("All allocations:")
            term.keys("v", "v", "v", "m")
            term.wait(r"thread 1 of \d")
            term.keys(">")
            term.wait(r"thread 2 of \d")
            term.keys("m", "Tab", "/")
            term.type("worker")
            term.keys("Enter")
            term.wait(r"\d+ def worker\(\): keep.append")    # the source beside the tree

    def test_interpreter_import_and_native_frames(self):
        with self.tree("--leaks", columns=120, rows=60) as term:
            term.wait("u show interpreter")
            term.keys("u")
            term.wait("u hide interpreter")
            term.keys("i")
            term.wait("i show imports")
            term.keys("x")
            term.wait("Python only")
            term.keys("r")
            term.wait("callers below")
            term.keys("?")
            term.wait("search function, file or module")
            term.keys("q")                       # any key: back
            term.wait("callers below")

    def test_resized_while_drawing(self):
        with self.tree("--leaks") as term:
            term.wait("<all>")
            for columns, rows in ((200, 60), (20, 5), (10, 2), (40, 10), (1, 1), (132, 43), (80, 24)) * 3:
                term.resize(columns, rows)
                term.keys("Down", "Tab")
            term.wait(r"q quit")
            term.keys("q")
            self.assertEqual(term.wait_end(), 0)

    def test_too_small(self):
        with self.tree(columns=15, rows=3) as term:
            term.wait("too small")
            term.keys("q")
            self.assertEqual(term.wait_end(), 0)

    def test_no_colour_and_no_utf8(self):
        for env in ({"TERM": "vt100"}, {"NO_COLOR": "1"}):
            with self.subTest(env=env), self.tree("--leaks", env=env) as term:
                term.wait("<all>")
                self.assertNotRegex(term.text(escapes=True), r"\x1b\[[0-9;]*(3[1-7]|4[1-7])")
        with self.tree("--leaks") as term:
            term.wait("<all>")
            self.assertRegex(term.text(escapes=True), r"\x1b\[[0-9;]*3[1-7]")
        with self.tree("--leaks", env={"LC_ALL": "C"}) as term:
            term.wait(r"- <all>")
            self.assertTrue(term.text().isascii(), term.text())

    def test_terminals_that_cannot(self):
        with self.tree("--leaks", "-b", "1", columns=200, env={"TERM": "dumb"}) as term:
            self.assertEqual(term.wait_end(), 0)
            self.assertIn("<all>", term.text())
        with self.tree(env={"TERM": "no-such-kind"}) as term:
            self.assertEqual(term.wait_end(), 1)
            self.assertIn("'no-such-kind' is not known here\nhint: ", term.errors())

    def test_the_terminal_is_given_back(self):
        for end in ("q", "C-c"):
            with self.subTest(end=end), self.tree() as term:
                term.wait("<all>")
                self.assertEqual(term.pane("alternate_on"), "1")
                term.keys(end)
                term.wait_end()
                self.assertEqual(term.pane("alternate_on"), "0")
                self.assertIn(" echo ", harness.run(["stty", "-a", "-F", term.pane("pane_tty")]).out)

    def test_terminal_closed(self):
        term = self.tree().__enter__()
        try:
            term.wait("<all>")
            pid = term.program_pid()
        finally:
            term.__exit__()
        harness.wait_for(lambda: harness.proc_state(pid) in (None, "Z"))


if __name__ == "__main__":
    unittest.main()
