# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_follow_exec.py - --follow-fork across exec and spawn: every program that a process of
# the family executes has a capture of its own, from its entry point on, and nobody is harmed.
# Knows: what the targets' programs say they allocate. Does not know: how an exec is seen.
# Run by tests/run.py.
import collections
import contextlib
import csv
import io
import os
import random
import re
import signal
import stat
import time
import unittest

import harness
import session

TIMEOUT = 300
TIMES = 40


def captures(tmp, pid=None):
    """Files of the children and programs: {pid: [path, ...]}"""
    found = collections.defaultdict(list)
    for path in sorted(tmp.iterdir()):
        match = re.fullmatch(r"cap\.bin\.(\d+)(\.\d+)?", path.name)
        if match:
            found[int(match[1])].append(path)
    return found if pid is None else found[pid]


def blocks(path, leaf=r"\bleaf\b"):
    """(bytes, times) of what leaf() allocated, according to a capture."""
    return tuple(harness.folded_sum(harness.folded(path, "--view", "allocated", "--metric", metric), leaf)
                 for metric in ("bytes", "count"))


class Programs(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.program = harness.compile_c("executes.c", flags=["-O1", "-pthread", "-w", "-Wl,-z,now"])

    def start(self, tmp, **kwargs):
        """Found by name, too; with a script that it interprets, and a file that is no program."""
        (tmp / "bin").mkdir()
        (tmp / "bin" / "executes-by-name").symlink_to(self.program)
        script, garbage = tmp / "script", tmp / "garbage"
        script.write_text(f"#! {self.program} work\n")
        script.chmod(0o755)
        garbage.write_bytes(b"\x7fno program")
        garbage.chmod(0o755)
        env = {"PATH": f"/nowhere:{tmp}/bin:{os.environ['PATH']}", "EXECUTES_SCRIPT": script,
               "EXECUTES_GARBAGE": garbage}
        return env

    def check(self, tmp, lines, skip=()):
        """Each program is in a capture of its process, whole; nothing is bad."""
        self.assertEqual([line for line in lines if line.startswith("bad")], [])
        said = [tuple(map(int, m.groups())) for line in lines
                if (m := re.fullmatch(r"(\d+) (\d+) (\d+)", line))]
        self.assertGreater(len(said), 0)
        for pid, size, _ in said:
            if pid in skip:
                continue
            found = [blocks(path) for path in captures(tmp, pid)]
            self.assertIn((size * TIMES, TIMES), found, f"{pid}: {size}\n" + "\n".join(lines))
        for paths in captures(tmp).values():
            for path in paths:
                counters = harness.counters(path)
                self.assertEqual(counters["produced"], counters["written"])
        return said

    def test_every_way_attached(self):
        with harness.tmpdir() as tmp:
            env = self.start(tmp)
            with harness.start_target([self.program], stdin=True, wait="^ready", env=env) as target:
                before = session.Snapshot(target.pid)
                with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                    target.send("g")
                    target.wait_line("^done", 120)
                    result = attach.interrupt()
                self.assertNotIn("not recorded: too many", result.err)
                self.assertIn("executed programs have captures of their own", result.err)
                self.assertEqual([c for c in session.Snapshot(target.pid).changes(before)
                                  if "heap" not in c], [])
                said = self.check(tmp, target.lines, skip={target.pid})
                self.assertEqual(blocks(tmp / "cap.bin"), (29999 * TIMES, TIMES))
                self.assertEqual(len(said), 22)

    def test_every_way_run(self):
        with harness.tmpdir() as tmp:
            result = harness.memtrace("run", "-o", tmp / "cap.bin", "--follow-fork", "--", self.program,
                                      stdin="g", env=self.start(tmp))
            root = int(re.search(r"^(\d+) 29999", result.out, re.M)[1])
            self.check(tmp, result.out.splitlines(), skip={root})
            self.assertEqual(blocks(tmp / "cap.bin"), (29999 * TIMES, TIMES))

    def test_without_it_children_pass(self):
        with harness.tmpdir() as tmp:
            result = harness.memtrace("run", "-o", tmp / "cap.bin", "--", self.program, stdin="g",
                                      env=self.start(tmp))
            self.assertNotIn("bad", result.out)
            self.assertEqual(dict(captures(tmp)), {})

    def test_the_process_itself_again_and_again(self):
        """Its files are in the order of its programs."""
        for run in (False, True):
            with self.subTest(run=run), harness.tmpdir() as tmp:
                env = self.start(tmp)
                if run:
                    result = harness.memtrace("run", "-o", tmp / "cap.bin", "--follow-fork", "--",
                                              self.program, stdin="ga", env=env, check=7)
                    lines, pid = result.out.splitlines(), int(re.search(r"^(\d+) 29999", result.out, re.M)[1])
                else:
                    with harness.start_target([self.program], stdin=True, wait="^ready", env=env) as target:
                        with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                            target.send("ga")
                            self.assertEqual(target.wait(60), 7)
                            result = attach.wait()
                        lines, pid = target.lines, target.pid
                self.assertEqual(result.code, 7 if run else 0, result.err)
                self.assertEqual(blocks(tmp / "cap.bin"), (29999 * TIMES, TIMES))
                self.assertEqual([line for line in lines if re.match(f"{pid} 9", line)],
                                 [f"{pid} 9000{n} 0" for n in (3, 2, 1)])
                for n, name in ((3, ""), (2, ".2"), (1, ".3")):
                    self.assertEqual(blocks(tmp / f"cap.bin.{pid}{name}"), ((90000 + n) * TIMES, TIMES))


def python_blocks(path):
    """(bytes, times) of all blocks of workers, told by their size."""
    text = harness.memtrace("transform", "csv", "--no-native", "--view", "allocated", path).out
    rows = [(int(row["size"]), int(row["num_allocations"])) for row in csv.DictReader(io.StringIO(text))]
    found = [row for row in rows if row[1] and row[1] % 50 == 0 and 30000 < row[0] / row[1] < 35000]
    return sum(size for size, _ in found), sum(times for _, times in found)


class Python(unittest.TestCase):
    maxDiff = None

    def test_workers_of_every_start_method(self):
        """Every block of every worker, in the capture of the process that allocated it."""
        for name, python in sorted(harness.interpreters().items()):
            with self.subTest(name), harness.tmpdir() as tmp:
                result = harness.memtrace("run", "-q", "-o", tmp / "cap.bin", "--follow-fork", "--", python,
                                          harness.TARGETS / "spawns.py")
                self.assertIn("done", result.out)
                want = collections.defaultdict(lambda: (0, 0))
                for pid, size, times in re.findall(r"^(\d+) (\d+) (\d+)$", result.out, re.M):
                    b, n = want[int(pid)]
                    want[int(pid)] = b + int(size) * int(times), n + int(times)
                self.assertEqual(sum(n for _, n in want.values()), 50 * 13)
                got = {pid: tuple(map(sum, zip(*map(python_blocks, captures(tmp, pid))))) for pid in want}
                self.assertEqual(got, dict(want))


# Makes children in four ways without end, each of which must end with 7. Says how many did after each
# round; "bad" and how, when one did not. Signals come all the time, to a handler that does not ask for
# calls to be restarted. A byte ends it.
STORM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static char *argv[] = { "storm", "child", NULL };
static void tick(int sig) { (void)sig; }
static void check(const char *how, pid_t pid)
{
	int status = -1;
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 7 << 8)
		printf("bad %s %#x\n", how, status);
}
int main(int argc, char **args)
{
	static char self[4096];
	char c;
	if (argc > 1) {
		free(malloc(5000));
		return 7;
	}
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	fcntl(0, F_SETFL, O_NONBLOCK);
	signal(SIGALRM, SIG_IGN);
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = tick }, NULL);
	struct itimerval every = { { 0, 3000 }, { 0, 3000 } };
	setitimer(ITIMER_REAL, &every, NULL);
	puts("ready");
	fflush(stdout);
	for (int round = 1; read(0, &c, 1) < 0; round++) {
		pid_t pid = fork();
		if (!pid) {
			execv(self, argv);
			_exit(1);
		}
		check("fork", pid);
		pid = vfork();
		if (!pid) {
			execv(self, argv);
			_exit(1);
		}
		check("vfork", pid);
		pid = 0;
		if (posix_spawn(&pid, self, NULL, NULL, argv, environ))
			puts("bad spawn");
		check("spawn", pid);
		int status = system("exit 7");
		if (status != 7 << 8)
			printf("bad system %#x\n", status);
		printf("round %d\n", round);
		fflush(stdout);
	}
	puts("done");
	return 0;
}
"""


def descendants(pid):
    found, more = set(), {pid}
    while more:
        found |= more
        more = set()
        for p in found:
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{p}/task"):
                    with open(f"/proc/{p}/task/{task}/children") as f:
                        more |= set(map(int, f.read().split())) - found
    return found


class Storm(unittest.TestCase):
    def setUp(self):
        self.program = harness.compile_c(STORM, name="storm", flags=["-w", "-O1"])

    def rounds(self, target):
        return sum(line.startswith("round") for line in target.lines)

    def go_on(self, target, more):
        """So many rounds more; nobody of it is stopped or traced."""
        until = self.rounds(target) + more
        harness.wait_for(lambda: self.rounds(target) >= until, 60, what="further rounds")
        self.assertEqual([line for line in target.lines if line.startswith("bad")], [])

    def test_recorded(self):
        with harness.tmpdir() as tmp, harness.start_target([self.program], stdin=True,
                                                           wait="^ready") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin", "--follow-fork") as attach:
                self.go_on(target, 8)
                attach.interrupt()
            self.go_on(target, 3)
            self.assertEqual(harness.maps_clean(target.pid), [])
            self.assertGreater(len(captures(tmp)), 20)
            target.send("e")
            self.assertEqual(target.wait(), 0)

    def test_memtrace_killed(self):
        """All of it at once, or one process of it, at any instant."""
        seed = int(os.environ.get("MEMTRACE_FAULT_SEED") or random.SystemRandom().randrange(1 << 16))
        chance = random.Random(seed)
        with harness.tmpdir() as tmp, harness.start_target([self.program], stdin=True,
                                                           wait="^ready") as target:
            for turn in range(12):
                with self.subTest(seed=seed, turn=turn):
                    with session.Attach(target.pid, "-f", "-o", tmp / "cap.bin", "--follow-fork") as attach:
                        time.sleep(chance.random() * 0.3)
                        if turn % 3 == 2:
                            harness.wait_for(lambda: len(descendants(attach.proc.pid)) > 1, 30)
                            with contextlib.suppress(ProcessLookupError, IndexError):
                                one = chance.choice(sorted(descendants(attach.proc.pid) - {attach.proc.pid}))
                                os.kill(one, signal.SIGKILL)
                            self.go_on(target, 2)
                            attach.interrupt(check=None)
                        else:
                            os.killpg(attach.proc.pid, signal.SIGKILL)
                            attach.wait()
                    self.go_on(target, 2)
                    harness.memtrace("detach", target.pid, check=None)
                    self.assertEqual(harness.memtrace("status", target.pid, check=None).code, 0)
                    self.assertEqual(harness.maps_clean(target.pid), [])
            self.assertEqual(harness.tracer_pid(target.pid), 0)
            target.send("e")
            self.assertEqual(target.wait(), 0)
            self.assertEqual([line for line in target.lines if line.startswith("bad")], [])

    def test_run_killed(self):
        """The program goes on, and ends by itself."""
        for turn in range(6):
            with self.subTest(turn), harness.tmpdir() as tmp, harness.start_target(
                    [harness.MEMTRACE, "run", "-q", "-F", "-o", tmp / "cap.bin", "--", self.program],
                    stdin=True, wait="^ready") as run:
                self.go_on(run, 1)
                time.sleep(0.05 * turn)
                os.kill(run.pid, signal.SIGKILL)
                self.go_on(run, 2)
                run.send("e")
                run.wait_line("^done")

    def test_more_than_can_be_followed(self):
        """None is missed without a word, and all end as ever."""
        script = "i=0; while [ $i -lt 500 ]; do /bin/true || echo bad; i=$((i+1)); done; echo whole"
        with harness.tmpdir() as tmp:
            result = harness.memtrace("run", "-o", tmp / "cap.bin", "-F", "--", "/bin/sh", "-c", script)
            self.assertEqual(result.out, "whole\n")
            match = re.search(r"(\d+) children were not recorded: too many", result.err)
            self.assertEqual(len(captures(tmp)) + int(match[1] if match else 0), 500)
            self.assertGreaterEqual(len(captures(tmp)), 256)


class PassThrough(unittest.TestCase):
    """What cannot be recorded is untouched, and one note says so."""

    def run_programs(self, tmp, *programs):
        script = "; ".join(f"{program}; echo $?" for program in programs)
        return harness.memtrace("run", "-o", tmp / "cap.bin", "-F", "--", "/bin/sh", "-c", script + "; true")

    def test_static(self):
        program = harness.compile_c("int main(void) { return 7; }\n", name="static7", flags=["-static"])
        with harness.tmpdir() as tmp:
            result = self.run_programs(tmp, program, program)
            self.assertEqual(result.out, "7\n7\n")
            self.assertEqual(len(re.findall("not recorded", result.err)), 1)
            self.assertRegex(result.err, "2 executed programs were not recorded.*linked statically")
            self.assertEqual(dict(captures(tmp)), {})

    def test_32_bit(self):
        program = harness.compile_32_bit("int main(void) { return 7; }\n", name="small7")
        with harness.tmpdir() as tmp:
            result = self.run_programs(tmp, program)
            self.assertEqual(result.out, "7\n")
            self.assertRegex(result.err, "1 executed program was not recorded")

    def test_privileged(self):
        """By path, by name in PATH, as the interpreter of a script; by whoever owns it."""
        program = harness.compile_c(
            "#include <stdio.h>\n#include <unistd.h>\nint main(void)\n"
            "{ printf(\"%d\", geteuid()); return 7; }\n", name="who", flags=["-w"])
        with harness.tmpdir(0o755) as tmp:
            copy, script = tmp / "who-suid", tmp / "script"
            copy.write_bytes(program.read_bytes())
            if os.geteuid() == 0:
                os.chown(copy, 65534, -1)
            copy.chmod(0o755 | stat.S_ISUID)
            script.write_text(f"#!{copy} x\n")
            script.chmod(0o755)
            result = self.run_programs(tmp, copy, f"PATH={tmp} who-suid", script)
            self.assertEqual(result.out, f"{os.stat(copy).st_uid}7\n" * 3)
            self.assertIn("3 programs were left alone: set-user-id", result.err)
            self.assertEqual(dict(captures(tmp)), {})

    def test_traced_by_another(self):
        """A child that its parent traces when it executes: the parent sees what it would see."""
        program = harness.compile_c(
            "#include <stdio.h>\n#include <sys/ptrace.h>\n#include <sys/wait.h>\n#include <unistd.h>\n"
            "int main(void)\n{\n int s; pid_t pid = fork();\n if (!pid) {\n  ptrace(PTRACE_TRACEME, 0, 0, 0);\n"
            "  execl(\"/bin/sh\", \"sh\", \"-c\", \"exit 7\", NULL);\n }\n waitpid(pid, &s, 0);\n printf(\"%x \", s);\n"
            " ptrace(PTRACE_CONT, pid, 0, 0);\n waitpid(pid, &s, 0);\n printf(\"%x\\n\", s);\n return 7;\n}\n",
            name="tracer", flags=["-w"])
        with harness.tmpdir() as tmp:
            result = self.run_programs(tmp, program)
            self.assertEqual(result.out, "57f 700\n7\n")
            self.assertRegex(result.err, "1 executed program was not recorded: .*already traced")

    def test_signals_of_the_program_are_as_ever(self):
        """Masks, dispositions and pending signals, as the program finds them."""
        script = "trap '' USR1 HUP; grep -E 'Sig|Shd' /proc/self/status; exec grep -E 'Sig|Shd' /proc/self/status"
        plain = harness.run(["/bin/sh", "-c", script], check=0).out
        with harness.tmpdir() as tmp:
            result = harness.memtrace("run", "-q", "-F", "-o", tmp / "cap.bin", "--", "/bin/sh", "-c", script)
            self.assertEqual(result.out, plain)
            self.assertEqual(sum(map(len, captures(tmp).values())), 2)


if __name__ == "__main__":
    unittest.main()
