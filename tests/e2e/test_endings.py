# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_endings.py - the terminal, the disk or the file goes away during a capture.
# Knows: terminals, pipes, limits, file names. Does not know: ptrace.
# Run by tests/run.py.
import contextlib
import os
import pty
import resource
import signal
import subprocess
import tempfile
import time
import unittest

import harness
import session

TIMEOUT = 120


class Endings(unittest.TestCase):
    """Whatever goes away: the target is let go as it was, and works on."""

    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.tmp = stack.enter_context(harness.tmpdir())
        self.dir = self.tmp / "out"
        self.dir.mkdir()
        self.cap = self.dir / "cap.bin"
        program = harness.compile_c("alloc_service.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
        self.target = stack.enter_context(
            harness.start_target([program, 2], stdin=True, wait="^ready"))

    def attach(self, *options, **kwargs):
        return session.Attach(self.target.pid, "-o", self.cap, *options, **kwargs)

    def check_target(self):
        pid = self.target.pid
        self.assertEqual(harness.maps_clean(pid), [])
        self.assertEqual(harness.tracer_pid(pid), 0)
        self.assertEqual(harness.memtrace("status", pid).code, 0)
        self.assertEqual([p for p in harness.fds(pid).values() if "memtrace" in p], [])
        self.target.send("x")
        self.assertEqual(self.target.wait(30), 0, self.target.lines[-3:])

    def check_whole(self, cap):
        self.assertNotRegex(harness.memtrace("info", cap).err, "warning")
        self.assertGreater(harness.stats(cap)["total_num_allocations"], 100)


class Reader(Endings):
    """Who reads its messages."""

    def on_a_terminal(self, argv):
        """A session with its controlling terminal; the descriptor of whoever shows it."""
        pid, fd = pty.fork()
        if not pid:
            try:
                os.chdir(self.cap.parent)       # nohup writes a file
                os.execv(argv[0], [str(a) for a in argv])
            finally:
                os._exit(127)
        self.addCleanup(self.end_child, pid)
        harness.wait_for(lambda: session.armed(self.target.pid), what="armed")
        return pid, fd

    def end_child(self, pid):
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def test_terminal_closed(self):
        """SIGHUP from the kernel, and from then on EIO for every message."""
        pid, fd = self.on_a_terminal([str(harness.MEMTRACE), "attach", self.target.pid,
                                      "-o", self.cap])
        time.sleep(0.3)
        os.close(fd)
        _, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        self.check_target()
        self.check_whole(self.cap)

    def test_terminal_closed_around_nohup(self):
        """The capture goes on without one, to its end."""
        pid, fd = self.on_a_terminal(["/usr/bin/nohup", harness.MEMTRACE, "attach",
                                      self.target.pid, "-d", "2s", "-o", self.cap])
        os.close(fd)
        time.sleep(0.5)
        self.assertTrue(session.armed(self.target.pid))
        _, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        self.check_target()
        self.check_whole(self.cap)

    def test_pipe_of_messages_closed(self):
        """The messages at its end meet a closed pipe: no death by SIGPIPE, the file is whole."""
        with self.attach("-d", "1s") as attach:
            attach.proc.stderr.close()
            attach.proc.stdout.close()
            code = attach.proc.wait(30)
            attach.result = code
        self.assertEqual(code, 0)
        self.check_target()
        self.check_whole(self.cap)

    def test_messages_to_a_full_disk(self):
        with tempfile.TemporaryFile() as out, open("/dev/full", "wb") as full:
            proc = subprocess.Popen([harness.MEMTRACE, "attach", str(self.target.pid), "-d", "500ms",
                                     "-o", self.cap], stdout=out, stderr=full,
                                    stdin=subprocess.DEVNULL)
            self.assertEqual(proc.wait(30), 0)
        self.check_target()
        self.check_whole(self.cap)


class Place(Endings):
    """Where the capture is written."""

    def test_file_size_limit(self):
        """RLIMIT_FSIZE during the capture, room for a block of events (half a MiB): SIGXFSZ is not
        its death."""
        with self.attach("-d", "30s") as attach:
            resource.prlimit(attach.proc.pid, resource.RLIMIT_FSIZE, (1000000, 1000000))
            result = attach.wait()
        self.assertEqual(result.code, 1, result)
        self.assertIn(f"cannot write '{self.cap}': File too large", result.err)
        self.assertIn("hint: free some space or choose another place", result.err)
        self.assertLess(result.seconds, 29, "it went on without a file")
        self.check_target()
        self.assertGreater(harness.stats(self.cap)["total_num_allocations"], 100)

    def lost(self, remove):
        with self.attach("-d", "30s") as attach:
            remove()
            result = attach.wait()
        self.assertEqual(result.code, 1, result)
        self.assertIn(f"'{self.cap}' was deleted while it was written", result.err)
        self.assertNotIn("readable", result.err)
        self.assertLess(result.seconds, 29, "it went on for nothing")
        self.check_target()

    def test_file_deleted(self):
        self.lost(self.cap.unlink)

    def test_directory_deleted(self):
        def remove():
            self.cap.unlink()
            self.dir.rmdir()
        self.lost(remove)

    def test_file_replaced(self):
        """Another file by its name is not touched."""
        def replace():
            other = self.dir / "other"
            other.write_text("other")
            other.rename(self.cap)
        self.lost(replace)
        self.assertEqual(self.cap.read_text(), "other")

    def test_deleted_just_before_the_end(self):
        with self.attach() as attach:
            self.cap.unlink()
            result = attach.interrupt(check=1)
        self.assertIn("was deleted while it was written", result.err)
        self.check_target()

    def moved(self, rename, new):
        with self.attach() as attach:
            time.sleep(0.2)
            rename()
            result = attach.interrupt()
        self.assertIn(f"memtrace: {new}: ", result.err)
        self.assertIn(f"next: memtrace symbolize {new} ", result.err)
        self.check_target()
        self.check_whole(new)

    def test_file_renamed(self):
        """It says where the capture is now."""
        new = self.dir / "kept.bin"
        self.moved(lambda: self.cap.rename(new), new)

    def test_directory_renamed(self):
        new = self.tmp / "kept"
        self.moved(lambda: self.dir.rename(new), new / "cap.bin")

    def test_deleted_under_run(self):
        """The program goes on and keeps its exit code."""
        result = harness.memtrace(
            "run", "-o", self.cap, "--", "sh", "-c", f"rm {self.cap}; sleep 1.5; exit 7", check=7)
        self.assertIn("was deleted while it was written", result.err)


if __name__ == "__main__":
    unittest.main()
