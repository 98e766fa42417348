# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_stack.py - `memtrace stack`: what every thread does, and nothing changed by looking.
# Knows: the output, what the programs say of themselves. Does not know: unwinding. Run by tests/run.py.
import json
import os
import re
import shutil
import signal
import subprocess
import unittest

import harness

TIMEOUT = 300

# Threads: argv[1] sleepers in read(), each through a chain of functions; a spinner; with argv[2] a
# churn of short threads. Prints "bad" when a blocked read ends.
C = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int fds[2];
__attribute__((noinline)) static int waits_in_read(void)
{
	char c;
	long n = read(fds[0], &c, 1);
	printf("bad %ld\n", n);
	return (int)n;
}
__attribute__((noinline)) static int middle(int n)
{
	int r = n ? middle(n - 1) : waits_in_read();
	return r + 1;
}
static void *sleeper(void *arg) { middle(5); return arg; }
static volatile unsigned long turns;
__attribute__((noinline)) static void spins(void) { for (;;) turns++; }
static void *spinner(void *arg) { spins(); return arg; }
static void *nothing(void *arg) { return arg; }
int main(int argc, char **argv)
{
	pthread_t t;
	setvbuf(stdout, NULL, _IONBF, 0);
	if (pipe(fds))
		return 1;
	for (int i = 0; i < atoi(argv[1]); i++)
		pthread_create(&t, NULL, sleeper, NULL);
	pthread_create(&t, NULL, spinner, NULL);
	usleep(200000);
	puts("ready");
	while (argc > 2)
		if (!pthread_create(&t, NULL, nothing, NULL))
			pthread_join(t, NULL);
	pause();
}
"""
CHAIN = ["waits_in_read"] + ["middle"] * 6 + ["sleeper"]


def stacks(pid, *options):
    """{tid: ([frame, ...], state)} from the text, leaf first."""
    found, frames = {}, None
    for line in harness.memtrace("stack", *options, pid).out.splitlines():
        head = re.match(r'thread (\d+) "(.*)" \((.*)\)$', line)
        if head:
            frames = []
            found[int(head[1])] = (frames, head[3])
        else:
            frames.append(line.strip())
    return found


def names(frames):
    return [frame.split(" (")[0] for frame in frames]


def snapshot(pid):
    """What must not change: maps, threads, descriptors, signal state. Once it sleeps again: a thread
    that was let go has to come back to its call first."""
    harness.wait_for(lambda: harness.proc_state(pid) == "S")
    keep = ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd", "TracerPid", "Threads")
    status = harness.proc_status(pid)
    return (sorted(harness.threads(pid)), harness.fds(pid), {k: status.get(k) for k in keep},
            [line for line in harness.maps(pid)])


class Stack(unittest.TestCase):
    maxDiff = None

    def check_chains(self, found, count):
        chains = [names(f) for f, _ in found.values() if "waits_in_read" in names(f)]
        self.assertEqual(len(chains), count)
        for chain in chains:
            at = chain.index("waits_in_read")
            self.assertEqual(chain[at:at + len(CHAIN)], CHAIN)
        self.assertEqual(sum("spins" in names(f) for f, _ in found.values()), 1)

    def test_every_thread(self):
        program = harness.compile_c(C, "stack", ["-pthread"])
        with harness.start_target([program, "3"], wait="ready") as target:
            found = stacks(target.pid)
            self.assertEqual(set(found), set(harness.threads(target.pid)))
            self.check_chains(found, 3)
            lines = [f for frames, _ in found.values() for f in frames if f.startswith("waits_in_read")]
            self.assertTrue(all(re.search(r"\.c:\d+\)$", f) for f in lines), lines)
            main = found[target.pid][0]
            self.assertIn("main", names(main))
            self.assertLess(names(main).index("main"), names(main).index("_start"))

    def test_hundred_threads_unharmed(self):
        program = harness.compile_c(C, "stack", ["-pthread"])
        with harness.start_target([program, "100"], wait="ready") as target:
            before = snapshot(target.pid)
            for _ in range(3):
                found = stacks(target.pid)
            self.assertEqual(len(found), 102)
            self.check_chains(found, 100)
            self.assertEqual(snapshot(target.pid), before)
            self.assertEqual(target.lines, ["ready"])  # no read has ended

    def test_threads_that_die_meanwhile(self):
        program = harness.compile_c(C, "stack", ["-pthread"])
        with harness.start_target([program, "4", "churn"], wait="ready") as target:
            for _ in range(10):
                self.check_chains(stacks(target.pid), 4)
            self.assertEqual(target.lines, ["ready"])

    def test_stopped_stays_stopped(self):
        program = harness.compile_c(C, "stack", ["-pthread"])
        with harness.start_target([program, "2"], wait="ready") as target:
            target.signal(signal.SIGSTOP)
            harness.wait_for(lambda: target.state() == "T")
            found = stacks(target.pid)
            self.check_chains(found, 2)
            self.assertEqual({state for _, state in found.values()}, {"stopped"})
            self.assertEqual(target.state(), "T")
            target.signal(signal.SIGCONT)
            harness.wait_for(lambda: target.state() == "S")

    def test_static_pie_and_deleted(self):
        program = harness.compile_c(C, "stack-static", ["-pthread", "-static-pie"])
        with harness.tmpdir() as tmp:
            copy = tmp / "gone"
            shutil.copy(program, copy)
            with harness.start_target([copy, "2"], wait="ready") as target:
                copy.unlink()
                self.check_chains(stacks(target.pid), 2)

    def test_static(self):
        program = harness.compile_c(C, "stack-static", ["-pthread", "-static"])
        with harness.start_target([program, "2"], wait="ready") as target:
            found = stacks(target.pid)
            self.assertTrue(all(frames for frames, _ in found.values()))
            self.assertEqual(sum("spins" in names(f) for f, _ in found.values()), 1)

    def test_chroot(self):
        if os.geteuid() != 0:
            self.skipTest("chroot needs root")
        program = harness.compile_c(C, "stack-static", ["-pthread", "-static-pie"])
        with harness.tmpdir(0o755) as tmp:
            shutil.copy(program, tmp / "inside")
            with harness.start_target(["/inside", "2"], wait="ready",
                                      preexec=lambda: os.chroot(tmp)) as target:
                self.check_chains(stacks(target.pid), 2)

    def test_traced_by_another(self):
        if not shutil.which("strace"):
            self.skipTest("no strace")
        with harness.start_target(["sleep", "1000"]) as target:
            with subprocess.Popen(["strace", "-o", "/dev/null", "-p", str(target.pid)],
                                  stderr=subprocess.DEVNULL) as tracer:
                try:
                    harness.wait_for(lambda: harness.tracer_pid(target.pid) == tracer.pid)
                    result = harness.memtrace("stack", target.pid, check=1)
                finally:
                    tracer.terminate()
            self.assertIn(f"already traced by process {tracer.pid} 'strace'", result.err)
            self.assertEqual(result.out, "")

    def check_python(self, python):
        with harness.start_target([python, harness.TARGETS / "stacks.py"], wait="ready") as target:
            wanted = [line.split(" ", 1)[1] for line in target.lines if line != "ready"]
            before = snapshot(target.pid)
            got, only = [], []
            for options, into in (((), got), (("--no-native",), only)):
                for frames, _ in stacks(target.pid, *options).values():
                    found = [re.match(r"(.*) \(.*\.py:(\d+)\)$", f) for f in frames]
                    into.append(";".join(f"{m[1].split('.')[-1]}:{m[2]}" for m in found if m))
            for line in wanted:
                self.assertIn(line, got)
                self.assertIn(line, only)
            self.assertEqual(snapshot(target.pid), before)

    def test_every_python(self):
        for name, python in harness.interpreters().items():
            with self.subTest(name):
                self.check_python(python)

    def test_merged(self):
        """C code stands between the Python frames that called it and those it called."""
        with harness.start_target(["/usr/bin/python3", harness.TARGETS / "stacks.py"],
                                  wait="ready") as target:
            found = stacks(target.pid, "--interpreter")
            frames = next(names(f) for f, _ in found.values() if "callback" in names(f))
            between = frames[frames.index("callback") + 1:frames.index("Thing.method")]
            self.assertGreater(len(between), 2, frames)

    def test_node(self):
        node = shutil.which("node")
        if not node:
            self.skipTest("no node")
        with harness.start_target([node, "-e", "console.log('ready'); setInterval(() => {}, 1e6)"],
                                  wait="ready") as target:
            found = stacks(target.pid)
            self.assertTrue(any("epoll" in f for f in found[target.pid][0]), found[target.pid])
            self.assertTrue(any(f.startswith("_start") for f in found[target.pid][0]))

    def test_json(self):
        program = harness.compile_c(C, "stack", ["-pthread"])
        with harness.start_target([program, "1"], wait="ready") as target:
            data = json.loads(harness.memtrace("stack", "--json", target.pid).out)
            self.assertEqual(data["pid"], target.pid)
            self.assertEqual({t["tid"] for t in data["threads"]}, set(harness.threads(target.pid)))
            functions = [[f["function"] for f in t["frames"]] for t in data["threads"]]
            self.assertTrue(any("waits_in_read" in f for f in functions))

    def test_verbose_and_gone(self):
        with harness.start_target(["sleep", "1000"]) as target:
            result = harness.memtrace("stack", "-v", target.pid)
            self.assertRegex(result.err, r"1 of 1 threads stopped, one at a time, the longest for ")
        self.assertIn("no process", harness.memtrace("stack", target.pid, check=1).err)


if __name__ == "__main__":
    unittest.main()
