# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_live.py - `memtrace live`, `attach --live`, `run --live`: numbers, keys, every way to leave, and
# that the terminal never slows the process.
# Knows: what stands where on the screen. Does not know: how it is drawn.
# Run by tests/run.py.
import contextlib
import os
import re
import signal
import time
import unittest

import harness
import session
import terminal

TIMEOUT = 240
NEEDS = ["tmux"]

# Says how far it is, holds what its name says, and goes on at each line of its input.
PROGRAM = """
import sys, threading
keep = []
def growing(): keep.append(bytearray(200000))
def steady(): return bytearray(50000)
def other(event): local = bytearray(3000000); event.wait()
print("ready", flush=True)
sys.stdin.readline()
stop = threading.Event()
t = threading.Thread(target=other, args=(stop,), name="other"); t.start()
for i in range(100):
    growing(); steady()
print("done", flush=True)
sys.stdin.readline()
stop.set(); t.join()
print("bye", flush=True)
"""
BUSY = """
import sys, time
total = 0
while True:
    kept = [bytearray(5000) for _ in range(2000)]
    total += len(kept)
    print(total, flush=True)
"""


class Live(unittest.TestCase):
    @contextlib.contextmanager
    def target(self, program=PROGRAM, **kwargs):
        with harness.start_target([harness.PYTHON, "-c", program], stdin=True, **kwargs) as target:
            yield target

    def live(self, target, *options, command="live", **kwargs):
        return terminal.Terminal([harness.MEMTRACE, command, *options, target.pid],
                                 **{"columns": 120, "rows": 40, **kwargs})

    def assert_clean(self, target):
        harness.wait_for(lambda: not session.armed(target.pid))
        self.assertEqual(harness.memtrace("status", target.pid).code, 0)
        self.assertEqual(harness.maps_clean(target.pid), [])

    def start(self, term, target):
        term.wait("recording")
        harness.wait_for(lambda: session.armed(target.pid))

    # ---- what it shows ----

    def test_numbers_are_those_of_the_capture(self):
        with self.target(wait="ready") as target, harness.tmpdir() as tmp:
            cap = tmp / "live.bin"
            with self.live(target, "--live", "-o", cap, command="attach") as term:
                self.start(term, target)
                target.send("\n")
                target.wait_line("done")
                shown = term.wait(r"^ *(2\d\.\d MiB|19\.\d MiB) .*? ([\d,]+)  growing ")
                term.keys("o")
                term.wait(r"\[Own\]")
                # Nothing is allocated any more: the last page is that of the whole capture.
                time.sleep(2.5)
                own = dict(re.findall(r"% +([\d.]+ \wiB) +[\d.]+% +[\d,]+  (\w+) ", term.text()))
                own = {name: size for size, name in own.items()}
                whole = term.wait(r"Alive now: ([\d.]+ \wiB) in ([\d,]+) blocks")
                term.keys("q")
                self.assertEqual(term.wait_end(), 0)
                self.assertRegex(term.errors(), r"live.bin: [\d,]+ events in .* \(interrupt\)\nnext: ")
            self.assert_clean(target)
            text = harness.memtrace("summary", "--leaks", "-s", "3", "-r", "50", cap).out
            line = re.search(r"^growing at .*? +([\d.]+ \wiB) +[\d.]+% +([\d.]+ \wiB) +[\d.]+% +([\d,]+)$",
                             text, re.M)
            self.assertEqual(line[2], own["growing"])
            self.assertEqual((line[1], line[3]), (shown[1], shown[2]))
            tree = harness.memtrace("tree", "--leaks", cap).out
            self.assertRegex(tree, rf" +{re.escape(whole[1])} 100.0% +- +{whole[2]}  <all>")

    def test_threads_views_pages_and_pause(self):
        with self.target(wait="ready") as target, self.live(target) as term:
            self.start(term, target)
            target.send("\n")
            target.wait_line("done")
            term.wait("growing")
            term.keys("Tab")
            term.wait(r"<all>")
            term.keys("Tab")
            term.wait("Over time +Site")
            term.wait("growing.*without pause|growing.*\n")
            term.wait("Age ")
            term.keys("Tab", "m")
            term.wait(r"thread 1 of 2: \S+ \[\d+\]")
            term.keys(">")
            term.wait(r"thread 2 of 2: ")
            self.assertNotIn("growing", term.wait(r"thread 2 of 2(.|\n)*")[0])
            term.keys("m", "v")
            term.wait("All allocations: ")
            term.wait("steady")
            term.keys("Space")
            term.wait("PAUSED")
            first = term.wait(r"recording +(\S+)")[1]
            term.wait(rf"recording +(?!{re.escape(first)})\S+")
            term.keys("Space")
            term.wait("space pause")
            self.assertNotIn("PAUSED", term.text())
            term.keys("Escape")
            self.assertEqual(term.wait_end(), 0)
            self.assert_clean(target)

    def test_sizes_and_kinds_of_terminal(self):
        with self.target(BUSY) as target:
            for columns, rows, env in ((80, 24, {}), (200, 60, {"TERM": "vt100"}), (40, 10, {}),
                                       (80, 24, {"LC_ALL": "C"})):
                with self.subTest(columns=columns, env=env), \
                        self.live(target, columns=columns, rows=rows, env=env) as term:
                    term.wait(r"\[Total\]")
                    term.wait(r"\d/s")
                    if "LC_ALL" in env:
                        self.assertTrue(term.text().isascii(), term.text())
                    for size in ((20, 4), (3, 2), (132, 50), (columns, rows)):
                        term.resize(*size)
                        term.keys("Down", "Tab")
                    term.wait("q quit")
                    term.keys("q")
                    self.assertEqual(term.wait_end(), 0)
                self.assert_clean(target)

    def test_no_terminal(self):
        with self.target(wait="ready") as target:
            result = harness.memtrace("live", target.pid, check=1)
            self.assertIn("standard input and output are no terminal", result.err)
            with self.live(target, env={"TERM": "no-such-kind"}) as term:
                self.assertEqual(term.wait_end(), 1)
                self.assertIn("is not known here", term.errors())
            self.assertEqual(session.thunk_pages(target.pid), [])     # nothing was put in

    # ---- ways to leave ----

    def test_keys_and_signals_end_it(self):
        with self.target(BUSY) as target:
            for end in ("q", "C-c", signal.SIGTERM, signal.SIGHUP):
                with self.subTest(end=end), self.live(target) as term:
                    self.start(term, target)
                    term.wait(r"\[Total\]")
                    if isinstance(end, str):
                        term.keys(end)
                    else:
                        os.kill(term.program_pid(), end)
                    self.assertEqual(term.wait_end(), 0)
                    self.assertIn(" echo ", harness.run(["stty", "-a", "-F", term.pane("pane_tty")]).out)
                    self.assertEqual(term.pane("alternate_on"), "0")
                    self.assertRegex(term.errors(), r"memtrace: [\d,]+ events in .*\(interrupt\)")
                self.assert_clean(target)

    def test_terminal_closed(self):
        with self.target(BUSY) as target:
            with self.live(target) as term:
                self.start(term, target)
                term.wait(r"\[Total\]")
                pid = term.program_pid()
            harness.wait_for(lambda: harness.proc_state(pid) in (None, "Z"))
            self.assert_clean(target)
            self.assertTrue(target.alive())

    def test_process_ends(self):
        with self.target(wait="ready") as target, self.live(target) as term:
            self.start(term, target)
            target.send("\n")
            target.wait_line("done")
            target.send("\n")
            self.assertEqual(target.wait(), 0)
            term.wait("process ended")
            term.wait("Alive now: ")             # keys of a page wait for none
            term.keys("v")
            term.wait("All allocations: ")
            term.wait("growing")                 # what was recorded is all there
            term.keys("q")
            self.assertEqual(term.wait_end(), 0)
            self.assertIn("(exit)", term.errors())

    def test_duration(self):
        with self.target(BUSY) as target, self.live(target, "-d", "2s") as term:
            term.wait("the time is over")
            self.assert_clean(target)            # before the person leaves
            term.keys("q")
            self.assertEqual(term.wait_end(), 0)

    # ---- the terminal and the process ----

    def works(self, target):
        """Waits for more events than all room there is for them: a process that waits stands still. How fast
        it is says nothing here: that is for the other processes of the machine to decide."""
        target.wait_line(r"^\d+$")
        first = int(target.lines[-1])
        harness.wait_for(lambda: int(target.lines[-1]) > first + 400000, timeout=90, what="the process works")

    def test_stopped_terminal_slows_nothing(self):
        with self.target(BUSY) as target, harness.tmpdir() as tmp:
            cap = tmp / "live.bin"
            with self.live(target, "-o", cap) as term:
                self.start(term, target)
                term.wait(r"\[Total\]")
                pid, server = term.program_pid(), term.server_pid()
                os.kill(server, signal.SIGSTOP)          # nobody reads the terminal any more
                try:
                    self.fill_terminal(pid)
                    self.works(target)
                    os.kill(pid, signal.SIGTERM)         # detaches all the same
                    harness.wait_for(lambda: harness.proc_state(pid) in (None, "Z"))
                    self.assert_clean(target)
                finally:
                    os.kill(server, signal.SIGCONT)
            counters = harness.counters(cap)
            self.assertEqual(counters["dropped"], 0)
            self.assertEqual(counters["produced"], counters["written"])
            self.assertGreater(counters["produced"], 800000)

    def fill_terminal(self, pid):
        """Until what the program draws has no room any more: its terminal is full."""
        def blocked():
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):
                    with open(f"/proc/{pid}/task/{task}/syscall") as f:
                        if f.read().startswith("1 "):        # write
                            return True
            return False
        tty = os.open(os.readlink(f"/proc/{pid}/fd/1"), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            while True:
                try:
                    os.write(tty, b"x" * 512)
                except BlockingIOError:
                    break
        finally:
            os.close(tty)
        harness.wait_for(blocked, what="the screen's thread waits for the terminal")

    def test_idle_process(self):
        with harness.start_target(["sleep", "100"]) as target, self.live(target) as term:
            self.start(term, target)
            term.wait(r"0 dropped|Waiting for events|Nothing is in this view")
            term.keys("q")
            self.assertEqual(term.wait_end(), 0)
            self.assert_clean(target)


# Holds what its name says, says how far it is, and how it was told to end.
RUN = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *a: (print("told", flush=True), sys.exit(7)))
keep = []
def growing(): keep.append(bytearray(200000))
for i in range(100): growing()
print("said before", repr(sys.stdin.read()), flush=True)
sys.stderr.write("complaint\\n")
MORE
"""


class RunLive(unittest.TestCase):
    """memtrace run --live: one terminal for the program and the view."""

    def setUp(self):
        self.scope = harness.tmpdir()
        self.tmp = self.scope.__enter__()
        self.cap = self.tmp / "cap.bin"

    def tearDown(self):
        self.scope.__exit__(None, None, None)

    @contextlib.contextmanager
    def run_live(self, more, *options, program=None, **kwargs):
        argv = [harness.MEMTRACE, "run", "--live", "-o", self.cap, *options, "--",
                *(program or [harness.PYTHON, "-c", RUN.replace("MORE", more)])]
        with terminal.Terminal(argv, **{"columns": 120, "rows": 40, **kwargs}) as term:
            yield term

    def folded_names(self):
        return {f for row, _ in harness.folded(self.cap, "--view", "allocated") for f in row}

    def test_program_ends(self):
        with self.run_live("time.sleep(1.5); sys.exit(5)") as term:
            term.wait("growing")
            self.assertNotIn("said before", term.text())
            term.wait("process ended")
            self.assertNotIn("said before", term.text())
            term.keys("q")
            self.assertEqual(term.wait_end(), 5)             # the program's
            term.wait(r"^said before ''$")                   # its input was empty
            self.assertRegex(term.errors(), r"complaint\nmemtrace: .*events in .*\(exit\)\nnext: ")
        self.assertTrue(any(name.startswith("growing") for name in self.folded_names()))

    def test_leave_while_it_runs(self):
        more = "for i in range(1000): print('line', i, flush=True); time.sleep(0.05)"
        with self.run_live(more) as term:
            term.wait("growing")
            term.keys("q")
            term.wait(r"^line \d+$")                        # it goes on, seen
            self.assertIn("said before", term.tmux("capture-pane", "-p", "-t", "t", "-S", "-"))
            first = int(re.findall(r"^line (\d+)$", term.text(), re.M)[-1])
            term.wait(rf"^line {first + 20}$")
            self.assertIn("(interrupt)", term.errors())
            [program] = children_of(term.program_pid())
            self.assertEqual(harness.memtrace("status", program).code, 0)
            self.assertEqual(harness.maps_clean(program), [])
            term.keys("C-c")                                 # the program's
            self.assertEqual(term.wait_end(), 7)
            term.wait("told$")

    def test_interrupt(self):
        with self.run_live("time.sleep(100)") as term:
            term.wait("growing")
            term.keys("C-c")
            self.assertEqual(term.wait_end(), 7)
            term.wait("told$")
            self.assertIn("(exit)", term.errors())

    def test_killed_by_a_signal(self):
        with self.run_live("import os; time.sleep(1); os.kill(os.getpid(), signal.SIGKILL)") as term:
            term.wait("process ended")
            term.keys("q")
            self.assertEqual(term.wait_end(), 128 + signal.SIGKILL)

    def test_duration_over_and_program_goes_on(self):
        with self.run_live("time.sleep(4); print('late')", "-d", "1s") as term:
            term.wait("the time is over")
            [program] = children_of(term.program_pid())
            harness.wait_for(lambda: not session.armed(program))
            term.keys("q")
            self.assertEqual(term.wait_end(), 0)
            term.wait("^late$")

    def test_much_output_is_kept_to_the_end_of_it(self):
        code = "for i in range(200000): print('number', i)\nprint('all', flush=True); time.sleep(2)"
        with self.run_live(code) as term:
            term.wait("process ended")
            term.keys("q")
            self.assertEqual(term.wait_end(), 0)
            term.wait("^all$")
            self.assertRegex(term.errors(), r"the first [\d.]+ MiB of what the program wrote are not shown")
            lines = re.findall(r"^number \d+$", term.tmux("capture-pane", "-p", "-t", "t", "-S", "-"), re.M)
            self.assertEqual(lines[-1], "number 199999")
            self.assertGreater(len(lines), 1000)

    def test_program_becomes_another(self):
        code = RUN.replace("MORE", "time.sleep(2)")
        with self.run_live(None, program=["sh", "-c", 'echo shell; sleep 0.2; exec "$@"', "sh",
                                          harness.PYTHON, "-c", code]) as term:
            term.wait("growing")
            term.wait("process ended")
            term.keys("q")
            self.assertEqual(term.wait_end(), 0)
            term.wait("^said before")
            term.wait("^shell$")
        self.assertTrue(any(name.startswith("growing") for name in self.folded_names()))

    def test_refusals(self):
        result = harness.memtrace("run", "--live", "-o", self.cap, "--", "true", check=1)
        self.assertIn("standard input and output are no terminal", result.err)
        with self.run_live("", "-F") as term:
            self.assertEqual(term.wait_end(), 2)
            self.assertIn("leave --follow-fork out", term.errors())
        with self.run_live("", program=["/no/such/program"]) as term:
            self.assertEqual(term.wait_end(), 1)
            self.assertIn("cannot run '/no/such/program'", term.errors())
        self.assertFalse(self.cap.exists())

    def test_terminal_closed(self):
        with self.run_live("time.sleep(100)") as term:
            term.wait("growing")
            pid = term.program_pid()
            [program] = children_of(pid)
        # The terminal's end ends the program, as ever, and memtrace with it.
        harness.wait_for(lambda: harness.proc_state(program) in (None, "Z"))
        harness.wait_for(lambda: harness.proc_state(pid) in (None, "Z"))


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(word) for word in f.read().split()]


if __name__ == "__main__":
    unittest.main()
