# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_states.py - what processes do to themselves before, during and after a capture.
# Knows: process states. Does not know: ptrace. Run by tests/run.py.
import contextlib
import os
import pty
import re
import signal
import time
import unittest

import harness
import session

TIMEOUT = 180

# "ready"; a byte: one change of itself, then 1000 blocks of 1234 bytes, "done"; a byte: exit 5.
CHANGES = r"""
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
static void *blocks[1000];
__attribute__((noinline)) static void make_blocks(void)
{
	for (int i = 0; i < 1000; i++) {
		blocks[i] = malloc(1234);
		memset(blocks[i], i, 1234);
	}
}
int main(int argc, char **argv)
{
	char c;
	int rc = 0;
	setvbuf(stdout, NULL, _IONBF, 0);
	free(malloc(10000));
	puts("ready");
	if (argc < 2 || read(0, &c, 1) != 1)
		return 2;
	if (!strcmp(argv[1], "closefrom")) {
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
		syscall(SYS_close_range, 3, ~0u, 0);
	} else if (!strcmp(argv[1], "daemon")) {
		if (fork())
			_exit(0);
		setsid();
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
	} else if (!strcmp(argv[1], "setuid")) {
		rc = setgroups(0, NULL) | setgid(65534) | setuid(65534);
	} else if (!strcmp(argv[1], "dumpable")) {
		rc = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	}
	make_blocks();
	printf("done %d\n", rc);
	if (read(0, &c, 1) != 1)
		return 3;
	return 5;
}
"""

VFORK = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	void *volatile p = malloc(100);
	int status = 0;
	puts("ready");
	fflush(stdout);
	pid_t pid = vfork();
	if (pid == 0) {
		sleep(2);
		_exit(7);
	}
	waitpid(pid, &status, 0);
	free(p);
	return WEXITSTATUS(status);
}
"""


def changing(what):
    program = harness.compile_c(CHANGES, name="changes", flags=["-O1", "-D_GNU_SOURCE", "-w"])
    return harness.start_target([program, what], stdin=True, wait="^ready")


class Clean(unittest.TestCase):
    def check_clean(self, pid):
        self.assertEqual(harness.maps_clean(pid), [])
        self.assertEqual(harness.tracer_pid(pid), 0)
        self.assertEqual(harness.memtrace("status", pid).code, 0)
        self.assertEqual([p for p in harness.fds(pid).values() if "memtrace" in p], [])


class ChangesDuringACapture(Clean):
    def changes(self, what):
        with harness.tmpdir() as tmp, changing(what) as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                target.send("g")
                self.assertEqual(target.wait_line(r"^done (-?\d+)")[1], "0")
                attach.interrupt()
            self.check_clean(target.pid)
            rows = harness.folded(tmp / "cap.bin", "--view", "leaks", "--metric", "count")
            self.assertEqual(harness.folded_sum(rows, r"^make_blocks\b"), 1000)
            harness.memtrace("attach", target.pid, "-d", "100ms", "-o", tmp / "again.bin")
            self.check_clean(target.pid)
            target.send("x")
            self.assertEqual(target.wait(), 5, target.err)

    def test_closes_all_descriptors(self):
        self.changes("closefrom")

    @unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
    def test_becomes_another_user(self):
        self.changes("setuid")

    def test_becomes_undumpable(self):
        if os.geteuid():
            self.skipTest("an undumpable process is root's to look at")
        self.changes("dumpable")

    def test_becomes_a_daemon(self):
        """The parent exits, the child with the hooks closes everything and goes on."""
        with harness.tmpdir() as tmp, changing("daemon") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                target.send("g")
                target.wait_line("^done 0")
                attach.wait(30)
            self.assertEqual(attach.result.code, 0, attach.result)
            pids = [int(p) for p in harness.run(["pgrep", "-f", f"^{target.argv[0]} daemon"]).out.split()]
            self.assertEqual(len(pids), 1, pids)
            child = pids[0]
            if harness.memtrace("status", child, check=(0, 3)).code == 3:
                harness.memtrace("detach", child)
            self.check_clean(child)
            target.send("x")
            harness.wait_for(lambda: harness.proc_state(child) in (None, "Z"), 10)


class Children(Clean):
    def test_prefork_children_outlive_the_capture(self):
        """Workers forked during a capture work on long after it, and are cleaned one by one."""
        code = ("import multiprocessing, os, sys, time\n"
                "def work(inbox, outbox):\n"
                "    for n in iter(inbox.get, None):\n"
                "        keep = [bytes(3000) for _ in range(200)]\n"
                "        outbox.put((os.getpid(), n * 2, len(keep)))\n"
                "def main():\n"
                "    context = multiprocessing.get_context('fork')\n"
                "    inbox, outbox = context.Queue(), context.Queue()\n"
                "    print('ready', flush=True); sys.stdin.readline()\n"
                "    workers = [context.Process(target=work, args=(inbox, outbox)) for _ in range(3)]\n"
                "    for w in workers: w.start()\n"
                "    print('pids', *[w.pid for w in workers], flush=True)\n"
                "    while sys.stdin.readline() == 'ask\\n':\n"
                "        for i in range(60): inbox.put(i)\n"
                "        got = [outbox.get(timeout=30) for _ in range(60)]\n"
                "        print('sum', sum(x[1] for x in got), sum(x[2] for x in got), flush=True)\n"
                "    for w in workers: inbox.put(None)\n"
                "    for w in workers: w.join(30)\n"
                "    print('codes', *[w.exitcode for w in workers], flush=True)\n"
                "main()\n")

        def ask(target):
            seen = len(target.lines)
            target.send("ask\n")
            harness.wait_for(lambda: len(target.lines) > seen, 30)
            self.assertEqual(target.lines[-1], "sum 3540 12000", target.err)
        with harness.tmpdir() as tmp, harness.start_target(
                [harness.PYTHON, "-c", code], stdin=True, wait="^ready") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                target.send("\n")
                match = target.wait_line(r"^pids (\d+) (\d+) (\d+)")
                ask(target)
                attach.interrupt()
            self.check_clean(target.pid)
            ask(target)
            time.sleep(2)
            ask(target)                         # with the parent's memory long gone
            first = int(match[1])
            harness.memtrace("status", first, check=3)
            harness.memtrace("detach", first)
            self.check_clean(first)
            ask(target)
            # The next one is recorded itself: what it inherited is removed on the way.
            with session.Attach(int(match[2]), "-o", tmp / "worker.bin") as attach:
                ask(target)
                attach.interrupt()
            self.check_clean(int(match[2]))
            ask(target)
            target.send("end\n")
            target.wait_line("^codes 0 0 0", 40)
            self.assertEqual(target.wait(), 0, target.err)
            self.assertEqual(target.err, "")


class LeftOver(Clean):
    def test_descriptor_of_a_killed_attach(self):
        """memtrace died between making its memory file in the target and closing it there."""
        code = ("import os, sys\nfd = os.memfd_create('memtrace-data')\nprint('ready', flush=True)\n"
                "sys.stdin.readline()\n"
                "try:\n    os.fstat(fd)\n    sys.exit(1)\nexcept OSError:\n    sys.exit(4)\n")
        with harness.start_target([harness.PYTHON, "-c", code], stdin=True, wait="^ready") as target:
            self.assertRegex(harness.memtrace("status", target.pid, check=3).out,
                             r"descriptors +1 ")
            harness.memtrace("detach", target.pid)
            self.check_clean(target.pid)
            target.send("\n")
            self.assertEqual(target.wait(), 4, target.err)


class Suspended(Clean):
    def test_vfork_parent(self):
        """It sleeps in vfork() while its child uses its stack: nothing is run on it meanwhile."""
        program = harness.compile_c(VFORK, name="vforks", flags=["-O1", "-w"])
        with harness.tmpdir() as tmp, harness.start_target([program], wait="^ready") as target:
            result = harness.memtrace("attach", target.pid, "-d", "100ms", "-o", tmp / "cap.bin",
                                      check=(0, 1), timeout=60)
            if result.code:
                self.assertRegex(result.err, "vfork|exited|gone|does not stop")
            self.assertEqual(target.wait(), 7)

    def test_vfork_child(self):
        program = harness.compile_c(VFORK, name="vforks", flags=["-O1", "-w"])
        with harness.tmpdir() as tmp, harness.start_target([program], wait="^ready") as target:
            child = harness.wait_for(lambda: harness.run(
                ["ps", "-o", "pid=", "--ppid", target.pid]).out.split())
            harness.memtrace("attach", int(child[0]), "-d", "100ms", "-o", tmp / "cap.bin",
                             check=(0, 1), timeout=60)
            self.assertEqual(target.wait(), 7)


class JobControl(Clean):
    """A shell with a terminal: stop it with its key, bring it back with fg and bg."""

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.tmp = self.stack.enter_context(harness.tmpdir())
        self.shell, self.master = pty.fork()
        if self.shell == 0:
            os.environ["PS1"] = "$ "
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.text = ""
        self.addCleanup(self.end)

    def end(self):
        with contextlib.suppress(OSError):
            os.close(self.master)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.shell, signal.SIGKILL)
        os.waitpid(self.shell, 0)

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern, timeout=20):
        import select
        deadline = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.text)
            if match:
                self.text = self.text[match.end():]
                return match
            if time.monotonic() > deadline:
                raise AssertionError(f"no {pattern!r} in {self.text[-1000:]!r}")
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 4096).decode(errors="replace")

    def foreground(self, pid):
        """A key that comes before the terminal is the job's would be the shell's, and would take
        what was typed before along."""
        self.type("fg\n")
        harness.wait_for(lambda: os.tcgetpgrp(self.master) == pid, 20)
        harness.wait_for(lambda: harness.proc_state(pid) in "RS", 5)

    def test_stop_and_continue(self):
        (self.tmp / "job.py").write_text(
            "import os, time\nprint('pid', os.getpid(), flush=True)\n"
            "for i in range(10**6):\n    x = [bytes(1000)] * 3; time.sleep(0.01)\n")
        self.type(f"{harness.PYTHON} {self.tmp}/job.py\n")
        pid = int(self.expect(r"pid (\d+)")[1])
        attach = ("attach", pid, "-f", "-o", self.tmp / "cap.bin", "-d", "150ms")
        harness.memtrace(*attach)
        self.assertIn(harness.proc_state(pid), "RS")
        with session.Attach(pid, "-o", self.tmp / "stopped.bin") as running:
            self.type("\x1a")                   # stopped in the middle of a capture
            self.expect("Stopped")
            self.assertEqual(harness.proc_state(pid), "T")
            running.interrupt(check=None)
            self.assertIn(running.result.code, (0, 3), running.result)
        harness.wait_for(lambda: harness.proc_state(pid) == "T", 5)
        result = harness.memtrace(*attach, check=(0, 1))
        self.assertIn("stopped" if result.code else "", result.err)
        self.assertEqual(harness.proc_state(pid), "T")
        self.foreground(pid)
        harness.memtrace(*attach)
        self.check_clean(pid)
        self.type("\x1a")
        self.expect("Stopped")
        self.type("bg\n")
        harness.wait_for(lambda: harness.proc_state(pid) in "RS", 5)
        harness.memtrace(*attach)
        self.check_clean(pid)
        self.foreground(pid)
        self.type("\x03")
        self.expect("KeyboardInterrupt")
        harness.wait_for(lambda: harness.proc_state(pid) is None, 10)


class EndsInEveryPhase(unittest.TestCase):
    """The target goes away while memtrace attaches, records or detaches: memtrace says so and ends."""

    def ends(self, number):
        program = harness.compile_c("alloc_service.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
        for i in range(24):
            with harness.tmpdir() as tmp, harness.start_target(
                    [program, 2], stdin=True, wait="^ready") as target:
                with session.Attach(target.pid, "-o", tmp / "cap.bin", "-d", "60ms",
                                    wait=False) as attach:
                    time.sleep(i * 0.012)
                    if number:
                        with contextlib.suppress(ProcessLookupError):
                            target.signal(number)
                    else:
                        target.send("x")
                    result = attach.wait(60)
                self.assertIn(result.code, (0, 1, 3), f"after {i * 12} ms: {result}")
                self.assertEqual(target.wait(), -number if number else 0, result)

    def test_exit(self):
        self.ends(0)

    def test_crash(self):
        self.ends(signal.SIGSEGV)

    def test_killed(self):
        self.ends(signal.SIGKILL)

    def test_exec(self):
        """Another program in its place, in any phase: the new one is never touched."""
        code = ("import os, time\nprint('ready', flush=True)\nos.read(0, 1)\n"
                "os.execv('/bin/sh', ['sh', '-c', 'echo new; read x; exit 6'])")
        for i in range(12):
            with harness.tmpdir() as tmp, harness.start_target(
                    [harness.PYTHON, "-c", code], stdin=True, wait="^ready") as target:
                with session.Attach(target.pid, "-o", tmp / "cap.bin", "-d", "60ms",
                                    wait=False) as attach:
                    time.sleep(i * 0.025)
                    target.send("g")
                    target.wait_line("^new")
                    result = attach.wait(60)
                self.assertIn(result.code, (0, 1), f"after {i * 25} ms: {result}")
                self.assertEqual(harness.maps_clean(target.pid), [])
                self.assertEqual(harness.tracer_pid(target.pid), 0)
                target.send("x\n")
                self.assertEqual(target.wait(), 6)


if __name__ == "__main__":
    unittest.main()
