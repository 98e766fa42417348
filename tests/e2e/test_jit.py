# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_jit.py - names of code that a process made while it ran, and who may give them.
# Knows: perf maps, jitdumps, V8's and the JVM's options. Does not know: unwinding.
# Run by tests/run.py.
import contextlib
import os
import re
import subprocess
import unittest

import harness
import session

TARGET = harness.ROOT / "tests/targets/jit_code.c"
PLACE = r"^(0x[0-9a-f]+)$"


class Jit(unittest.TestCase):
    """A program of our own: nothing promises frame pointers, so the made frame is the last."""

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.tmp = self.stack.enter_context(harness.tmpdir(mode=0o755))
        program = harness.compile_c(TARGET, flags=["-O1", "-g"])
        self.target = self.stack.enter_context(
            harness.start_target([program, self.tmp], stdin=True, wait="^ready"))
        self.code = int(self.target.lines[0].split()[1], 16)
        self.map = harness.Path(f"/tmp/perf-{self.target.pid}.map")
        self.addCleanup(lambda: self.map.unlink(missing_ok=True))
        self.cap = self.tmp / "cap.bin"

    def do(self, line):
        before = len(self.target.lines)
        self.target.send(line + "\n")
        harness.wait_for(lambda: len(self.target.lines) > before)

    def capture(self, *between):
        """What the frame is called, all that was said; each of `between` is done and followed by work."""
        with session.Attach(self.target.pid, "-o", self.cap, "-f") as attach:
            for line in (None, *between):
                if callable(line):
                    line()
                elif line:
                    self.do(line)
                self.do("work")
            result = attach.interrupt()
        return self.caller(), result.err

    def caller(self):
        rows = harness.folded(self.cap, "--view", "allocated", "--no-debuginfod")
        found = {frames[1] for frames, _ in rows
                 if len(frames) == 3 and frames[0] == "<truncated>" and
                 frames[2].startswith("from_code")}
        self.assertEqual(len(found), 1, rows)
        return found.pop()

    def map_says(self, *names):
        self.map.write_text("".join(f"{self.code:x} 40 {name}\n" for name in names))

    def test_nothing(self):
        name, err = self.capture()
        self.assertRegex(name, PLACE)
        result = harness.memtrace("summary", self.cap, "--no-debuginfod")
        self.assertIn("code compiled at run time: no perf map or jitdump names it; 1 frame is shown "
                      "as an address", result.err)

    def test_perf_map(self):
        self.map_says("another", "the made one")
        self.assertEqual(self.capture()[0], "the made one (JIT)")
        self.map.unlink()
        harness.memtrace("symbolize", self.cap, "--no-debuginfod")
        self.assertEqual(self.caller(), "the made one (JIT)")

    def test_places_in_names(self):
        for name, want in [
                ("JS:*turn /srv/my app.js:12:7", "turn (/srv/my app.js:12)"),
                ("LazyCompile:~get size file:///srv/a.mjs:3:1", "get size (/srv/a.mjs:3)"),
                ("JS:^ node:internal/timers:5:6", "(anonymous) (node:internal/timers:5)"),
                ("JS:* no place at all", "JS:* no place at all (JIT)"),
                ("py::Shop.order:/srv/shop.py", "Shop.order (/srv/shop.py)"),
                ("py::", "py:: (JIT)"),
                ("int Buf.fill(int)", "int Buf.fill(int) (JIT)"),
                ("bad \udcff\udcfe bytes", None), ("x" * 100_000, None)]:
            with self.subTest(name=name[:40]):
                self.map.write_bytes(f"{self.code:x} 40 {name}\n".encode(errors="surrogateescape"))
                got = self.capture()[0]
                if want:
                    self.assertEqual(got, want)
                self.assertLess(len(got), 1100)

    def test_map_written_during_the_capture(self):
        self.assertEqual(self.capture(lambda: self.map_says("later"))[0], "later (JIT)")

    def test_code_that_became_another(self):
        self.map_says("first")
        def append():
            with self.map.open("a") as f:
                f.write(f"{self.code:x} 40 second\n")
        name, _ = self.capture(append)
        self.assertRegex(name, PLACE)
        result = harness.memtrace("summary", self.cap, "--no-debuginfod")
        self.assertIn("it was replaced by other code during the capture", result.err)

    def test_jitdump(self):
        self.do("dump named by the dump")
        self.assertEqual(self.capture()[0], "named by the dump (JIT)")

    def test_jitdump_mapped_during_the_capture(self):
        with session.Attach(self.target.pid, "-o", self.cap, "-f") as attach:
            self.do("dump late")
            self.do("work")
            harness.wait_for(lambda: any(".dump" in os.readlink(f"/proc/{attach.proc.pid}/fd/{fd}")
                                         for fd in harness.fds(attach.proc.pid)), what="noticed")
            attach.interrupt()
        self.assertEqual(self.caller(), "late (JIT)")

    def test_jitdump_code_that_became_another(self):
        self.do("dump first")
        self.assertRegex(self.capture("move second")[0], PLACE)

    def test_names_of_a_process_that_ended(self):
        self.do("dump gone")
        with session.Attach(self.target.pid, "-o", self.cap) as attach:
            self.do("work")
            self.target.proc.stdin.close()
            self.target.wait()
            self.assertEqual(attach.wait().code, 0)
        self.assertEqual(self.caller(), "gone (JIT)")

    def test_stack_command(self):
        """memtrace stack reads the same files."""
        self.map_says("where it sits")
        self.do("block")
        harness.wait_for(lambda: self.target.state() == "S")
        out = harness.memtrace("stack", self.target.pid, "--no-debuginfod").out
        self.assertRegex(out, r"pause \(.*\n +from_code \(.*\n +where it sits \(JIT\)\n")

    # ---- what has the name is not what it should be ----

    def refused(self):
        name, err = self.capture()
        self.assertRegex(name, PLACE)
        self.assertRegex(err, rf"perf-{self.target.pid}\.map of process \d+ is no file of its user: not read")

    def test_link(self):
        other = self.tmp / "other"
        other.write_text(f"{self.code:x} 40 stolen\n")
        self.map.symlink_to(other)
        self.refused()

    def test_pipe(self):
        os.mkfifo(self.map)
        self.refused()

    def test_folder(self):
        self.map.mkdir()
        self.addCleanup(self.map.rmdir)
        self.refused()

    @unittest.skipIf(os.geteuid() != 0, "chown needs root")
    def test_another_users(self):
        self.map_says("stranger")
        os.chown(self.map, 12345, 12345)
        self.refused()

    def test_garbage(self):
        lines = [b"", b"\0\0\0\n", b"zz 40 x\n", b"10\n", b"10 \n", b"-1 40 x\n", b"1 -40 x\n",
                 b"ffffffffffffffffffff 1 x\n", b"0 ffffffffffffffff all\n", os.urandom(5000)]
        self.map.write_bytes(b"\n".join(lines))
        self.do("dump x")
        dump = harness.Path(self.target.lines[0].split()[2])
        dump.write_bytes(dump.read_bytes()[:40] + os.urandom(3000))
        self.capture()

    def test_growing(self):
        """Written all the time: read up to some point, and the capture ends."""
        writer = self.stack.enter_context(harness.start_target(
            ["sh", "-c", 'while :; do echo "$1 40 grown"; done > "$2"', "-", f"{self.code:x}", self.map]))
        harness.wait_for(lambda: self.map.exists() and self.map.stat().st_size > 100_000)
        self.assertEqual(self.capture()[0], "grown (JIT)")
        self.assertTrue(writer.alive())

    @unittest.skipIf(os.geteuid() != 0, "namespaces need root")
    def test_own_namespaces(self):
        """In the process's own /tmp, by the pid it sees itself."""
        program = self.target.argv[0]
        # By a descriptor: the program may lie below /tmp, which is covered.
        inside = f'exec 9<{program}; mount -t tmpfs tmpfs /tmp; exec /proc/self/fd/9 /tmp'
        with harness.start_target(["unshare", "-m", "-p", "-f", "sh", "-c", inside], stdin=True,
                                  wait="^ready") as outer:
            pid = int(subprocess.check_output(["pgrep", "-P", str(outer.pid)]))
            code = outer.lines[0].split()[1]
            tmp = harness.Path(f"/proc/{pid}/root/tmp")
            (tmp / "perf-1.map").write_text(f"{code} 40 inside\n")
            (tmp / f"perf-{pid}.map").write_text(f"{code} 40 outside\n")
            with session.Attach(pid, "-o", self.cap) as attach:
                outer.send("work\n")
                outer.wait_line("^done")
                attach.interrupt()
        self.assertEqual(self.caller(), "inside (JIT)")


if __name__ == "__main__":
    unittest.main()
