# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_odd_targets.py - targets that keep hooked pointers, live in namespaces or have
# odd limits. Knows: what each must go on doing. Does not know: memtrace.
# Run by tests/run.py.
import signal
import subprocess
import time
import unittest

import harness
import session

# Copies the addresses of malloc and free whenever it is asked to and uses all copies it has.
COPIES = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void *(*mallocs[64])(size_t);
static void (*frees[64])(void *);
static int copies;
int main(void)
{
	char c;
	free(malloc(10));
	puts("ready");
	fflush(stdout);
	while (read(0, &c, 1) == 1) {
		if (c == 'c') {
			mallocs[copies] = malloc;
			frees[copies++] = free;
		}
		for (int i = 0; i < copies; i++)
			for (int j = 1; j < 1000; j++) {
				char *p = mallocs[i](j);
				memset(p, j, j);
				frees[copies - 1 - i](p);
			}
		printf("used %d\n", copies);
		fflush(stdout);
	}
	return 0;
}
"""

# Blocks every signal, handles SIGTRAP, has floating point exceptions on and few descriptors.
STRICT = r"""
#include <fenv.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
static volatile int traps;
static void on_trap(int n) { (void)n; traps++; }
int main(int argc, char **argv)
{
	char c;
	struct sigaction act = { .sa_handler = on_trap };
	sigaction(SIGTRAP, &act, NULL);
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	feenableexcept(FE_DIVBYZERO | FE_INVALID);
	rlim_t files = argc > 1 ? (rlim_t)atoi(argv[1]) : 8;
	struct rlimit limit = { files, 8 };
	setrlimit(RLIMIT_NOFILE, &limit);
	void *p = malloc(1);
	puts("ready");
	fflush(stdout);
	while (read(0, &c, 1) == 1) {
		for (int i = 0; i < 1000; i++) {
			free(p);
			p = malloc(1000);
		}
		printf("worked %d\n", traps);
		fflush(stdout);
	}
	return 0;
}
"""

# Starts its arguments under a filter that allows all but reboot.
UNDER = r"""
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_reboot, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, filter };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (argc < 2 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 7;
	execv(argv[1], argv + 1);
	return 8;
}
"""


def start(source, name, *flags, argv=(), args=()):
    program = harness.compile_c(source, name=name, flags=["-O1", "-D_GNU_SOURCE", *flags])
    return Started([*argv, program, *args])


class Started:
    """A target that has settled: it waits for input, every function it needed is bound."""

    def __init__(self, argv):
        self.scope = harness.start_target(argv, stdin=True, wait="^ready")

    def __enter__(self):
        target = self.scope.__enter__()
        time.sleep(0.05)
        harness.wait_for(lambda: target.state() in "SZ")
        return target

    def __exit__(self, *exc):
        return self.scope.__exit__(*exc)


class CopiedPointers(unittest.TestCase):
    """xmlFree = free: a program that keeps what a slot held during a capture."""

    def check(self, *flags):
        with harness.tmpdir() as tmp, start(COPIES, "copies", *flags) as target:
            for i in range(1, 4):
                with session.Attach(target.pid, "-o", tmp / f"{i}.bin") as attach:
                    target.send("c")
                    target.wait_line(f"^used {i}$")
                    attach.interrupt()
                self.assertEqual(harness.maps_clean(target.pid), [])
                target.send("u")
                harness.wait_for(lambda: target.lines.count(f"used {i}") == 2, 20)
                self.assertEqual(len(session.thunk_pages(target.pid)), 1)
            target.proc.stdin.close()
            self.assertEqual(target.wait(), 0)
            stats = harness.stats(tmp / "3.bin")
            self.assertGreaterEqual(stats["total_num_allocations"], 999)

    def test_position_independent(self):
        self.check()

    def test_bound_now(self):
        self.check("-Wl,-z,now")

    def test_not_position_independent(self):
        """malloc's address is the program's own stub there."""
        self.check("-no-pie", "-fno-pie")


class Limits(unittest.TestCase):
    def capture(self, target, tmp, *options):
        with session.Attach(target.pid, "-o", tmp / "cap.bin", *options) as attach:
            target.send("x")
            target.wait_line("^worked")
            return attach.interrupt()

    def test_no_descriptor_left(self):
        """Refused with what to do, and captured after that was done."""
        with harness.tmpdir() as tmp, start(STRICT, "strict", "-lm", args=["3"]) as target:
            before = session.Snapshot(target.pid)
            result = harness.memtrace("attach", target.pid, "--duration", "200ms",
                                      "-o", tmp / "cap.bin", check=(0, 1), timeout=30)
            self.assertEqual(session.Snapshot(target.pid).changes(before), [])
            if result.code:
                self.assertRegex(result.err, r"Too many open files\nhint: .*prlimit")
                harness.run(["prlimit", "--pid", target.pid, "--nofile=8:8"], check=0)
            self.capture(target, tmp, "-f")

    def test_signals_blocked_and_few_descriptors(self):
        with harness.tmpdir() as tmp, start(STRICT, "strict", "-lm") as target:
            before = session.Snapshot(target.pid)
            self.capture(target, tmp)
            self.assertEqual(target.lines[-1], "worked 0")
            changes = [c for c in session.Snapshot(target.pid).changes(before)
                       if not c.startswith("slot")]     # it bound some itself
            self.assertEqual(changes, [])
            self.assertGreaterEqual(harness.stats(tmp / "cap.bin")["total_num_allocations"], 1000)
            target.proc.stdin.close()
            self.assertEqual(target.wait(), 0)

    def test_little_address_space(self):
        """No room for the rings: refused with the reason, or with smaller ones."""
        with harness.tmpdir() as tmp, start(
                STRICT, "strict", "-lm", argv=["prlimit", f"--as={24 << 20}"]) as target:
            result = harness.memtrace("attach", target.pid, "--duration", "300ms",
                                      "-o", tmp / "cap.bin", check=(0, 1), timeout=30)
            if result.code:
                self.assertRegex(result.err, r"(?i)memory")
            self.assertEqual(harness.maps_clean(target.pid), [])
            target.send("x")
            target.wait_line("^worked")

    def test_no_room_for_thread_local_variables(self):
        """dlopen cannot take the tracer then; it is mapped."""
        def library(size):
            return harness.compile_c(
                "__thread char room[%d] __attribute__((tls_model(\"initial-exec\"))) = { 1 };\n"
                "char *of_room(void) { return room; }\n" % size, name=f"room{size}",
                flags=["-O1", "-shared", "-fPIC"])
        with harness.tmpdir() as tmp, start(FULL_TLS, "full_tls", "-ldl",
                                            args=[library(256), library(8)]) as target:
            self.assertGreater(int(target.wait_line(r"^loaded (\d+)")[1]), 5)
            for i in range(2):
                with session.Attach(target.pid, "-o", tmp / f"{i}.bin") as attach:
                    target.send("x")
                    harness.wait_for(lambda n=i: target.lines.count("done") == n + 1)
                    attach.interrupt()
                self.assertEqual(harness.maps_clean(target.pid), [])
                rows = harness.folded(tmp / f"{i}.bin", "--view", "allocated", "--metric", "count")
                self.assertEqual(harness.folded_sum(rows, r"^make_blocks\b"), 1000)
            target.proc.stdin.close()
            self.assertEqual(target.wait(), 0, target.err)

    def test_working_directory_deleted(self):
        with harness.tmpdir() as tmp:
            gone = tmp / "gone"
            gone.mkdir()
            program = harness.compile_c(COPIES, name="copies", flags=["-O1", "-D_GNU_SOURCE"])
            with harness.start_target([program], stdin=True, wait="^ready", cwd=gone) as target:
                gone.rmdir()
                harness.memtrace("attach", target.pid, "--duration", "200ms",
                                 "-o", tmp / "cap.bin")
                self.assertTrue(target.alive())

    def test_program_deleted(self):
        """An upgrade replaced the program and its library while they run."""
        with harness.tmpdir() as tmp:
            program = tmp / "program"
            program.write_bytes(harness.compile_c(
                COPIES, name="copies", flags=["-O1", "-D_GNU_SOURCE"]).read_bytes())
            program.chmod(0o755)
            with harness.start_target([program], stdin=True, wait="^ready") as target:
                program.unlink()
                program.write_bytes(b"another file")
                with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                    target.send("c")
                    target.wait_line("^used")
                    attach.interrupt()
                rows = harness.folded(tmp / "cap.bin", "--view", "allocated", "--metric", "count")
                self.assertGreaterEqual(harness.folded_sum(rows, r"program"), 999)


class Seccomp(unittest.TestCase):
    """tests/targets/t_seccomp.c: recorded or refused with the reason, but never killed."""

    def start(self, kind, *flags):
        program = harness.compile_c("t_seccomp.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
        return harness.start_target([program, kind, *flags], stdin=True, wait="^ready")

    def goes_on(self, target, count):
        """It works when it is asked to, and ends by itself."""
        target.send("x")
        harness.wait_for(lambda: target.lines.count("worked") == count, 20)
        target.proc.stdin.close()
        self.assertEqual(target.wait(), 0)

    def recorded(self, kind, *flags):
        with harness.tmpdir() as tmp, self.start(kind, *flags) as target:
            for i in range(2):
                with session.Attach(target.pid, "-o", tmp / f"{i}.bin") as attach:
                    target.send("x")
                    harness.wait_for(lambda n=i: target.lines.count("worked") == n + 1, 20)
                    attach.interrupt()
                self.assertEqual(harness.maps_clean(target.pid), [])
                self.assertGreaterEqual(
                    harness.stats(tmp / f"{i}.bin")["total_num_allocations"], 1000)
            self.goes_on(target, 3)

    def refused(self, kind, text, *flags):
        with harness.tmpdir() as tmp, self.start(kind, *flags) as target:
            result = harness.memtrace("attach", target.pid, "--duration", "300ms",
                                      "-o", tmp / "cap.bin", check=1, timeout=30)
            self.assertIn(text, result.err)
            self.assertIn("hint: ", result.err)
            self.assertFalse((tmp / "cap.bin").exists())
            self.assertEqual(harness.maps_clean(target.pid), [])
            self.goes_on(target, 1)

    def lacks(self, kind, call, *flags):
        self.refused(kind, f"its seccomp filter does not allow '{call}', which recording needs",
                     *flags)

    def test_list_with_an_errno_default(self):
        self.recorded("docker")
        self.recorded("narrow_errno", "--wait")

    def test_list_that_kills_but_allows_recording(self):
        """No openat, no memfd_create: what loads the tracer is not judged by the filter."""
        self.recorded("kill_but_recording")
        self.recorded("kill_but_recording", "--wait")

    def test_list_that_kills_but_allows_a_way_in(self):
        self.recorded("kill_but_loading")
        self.recorded("kill_but_mapping", "--wait")

    def test_filter_of_one_thread(self):
        self.recorded("kill_but_recording", "--thread")
        self.lacks("kill_without_madvise", "madvise", "--thread")

    def test_list_that_kills_without_madvise(self):
        self.lacks("kill_without_madvise", "madvise")
        self.lacks("kill_without_madvise", "madvise", "--wait")

    def test_errno_on_what_must_work(self):
        self.lacks("errno_on_madvise", "madvise")

    def test_trap(self):
        self.lacks("trap", "gettid")

    def test_arguments(self):
        self.recorded("no_exec")
        self.lacks("private_futex", "futex")

    def test_timed_wait_without_restart_syscall(self):
        """Any stop in such a wait makes the kernel use restart_syscall."""
        self.recorded("kill_on_restart", "--wait")

    def test_strict_mode(self):
        self.refused("strict", "is in seccomp's strict mode")

    def test_without_privilege(self):
        """The filter cannot be read: refused before anything is stopped."""
        if harness.run(["setpriv", "--bounding-set=-sys_admin", "true"]).code:
            self.skipTest("no setpriv")
        with harness.tmpdir() as tmp, self.start("kill_but_recording", "--wait") as target:
            result = harness.run(
                ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin",
                 harness.MEMTRACE, "attach", target.pid, "-d", "300ms", "-o", tmp / "cap.bin"],
                check=1)
            self.assertIn("has a seccomp filter, which only root can read", result.err)
            self.assertIn("CAP_SYS_ADMIN", result.err)
            self.goes_on(target, 1)

    def test_memtrace_under_a_filter_of_its_own(self):
        """As inside of a container: its child inherits the filter, another process has its own."""
        with harness.tmpdir() as tmp, self.start("kill_but_recording") as target:
            filtered = harness.compile_c(UNDER, name="under", flags=["-O1", "-D_GNU_SOURCE"])
            result = harness.run([filtered, harness.MEMTRACE, "attach", target.pid, "-d", "300ms",
                                  "-o", tmp / "cap.bin"], check=1)
            self.assertIn("cannot read because it is under one itself", result.err)
            self.goes_on(target, 1)
            worker = harness.compile_c(COPIES, name="copies", flags=["-O1", "-D_GNU_SOURCE"])
            harness.run([filtered, harness.MEMTRACE, "run", "-q", "-o", tmp / "run.bin", "--",
                         worker], stdin="c", check=0)
            self.assertGreaterEqual(
                harness.stats(tmp / "run.bin")["total_num_allocations"], 999)


class Namespaces(unittest.TestCase):
    def check(self, *argv):
        if harness.run([*argv, "true"]).code:
            self.skipTest(f"no right for {argv}")
        program = harness.compile_c("alloc_service.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
        with harness.tmpdir() as tmp, harness.start_target(
                [*argv, program, 3], stdin=True, wait="^ready") as outer:
            inner = subprocess.run(["ps", "-o", "pid=", "--ppid", str(outer.pid)],
                                   capture_output=True, text=True, check=False).stdout.split()
            pid = int(inner[0]) if inner else outer.pid
            for i in range(2):
                with session.Attach(pid, "-o", tmp / f"{i}.bin") as attach:
                    time.sleep(0.3)
                    attach.interrupt()
                self.assertEqual(harness.maps_clean(pid), [])
                self.assertEqual(harness.memtrace("status", pid).code, 0)
                rows = harness.folded(tmp / f"{i}.bin", "--view", "allocated", "--metric", "count")
                self.assertGreater(harness.folded_sum(rows, r"^make_block\b"), 100)
            outer.send("x")
            self.assertEqual(outer.wait(30), 0)
            self.assertRegex(outer.lines[-1], "^ok ")

    def test_pid_namespace(self):
        """It sees itself as pid 1."""
        self.check("unshare", "--pid", "--fork", "--mount-proc")

    def test_pid_namespace_with_the_outer_proc(self):
        self.check("unshare", "--pid", "--fork")

    def test_user_and_mount_namespace(self):
        self.check("unshare", "--user", "--map-root-user", "--mount")

    def test_read_only_root(self):
        self.check("unshare", "--mount", "sh", "-c", "mount -o remount,bind,ro / && exec \"$0\" \"$@\"")


# Loads copies of a library until there is no room for thread-local variables that are reached
# without a call, of which the tracer has one; then works at each byte.
FULL_TLS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
static int load(const char *path)
{
	static char content[1 << 20];
	char name[64];
	FILE *f = fopen(path, "r");
	size_t size = fread(content, 1, sizeof(content), f);
	int fd = memfd_create("copy", 0);
	fclose(f);
	if (write(fd, content, size) != (ssize_t)size)
		_exit(3);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return dlopen(name, RTLD_NOW) != NULL;
}
__attribute__((noinline)) static void make_blocks(void)
{
	for (int i = 0; i < 1000; i++) {
		void *volatile block = malloc(100);
		free(block);
	}
}
int main(int argc, char **argv)
{
	char c;
	int count = 0;
	for (int i = 1; i < argc; i++)
		while (load(argv[i]))
			count++;
	printf("loaded %d\nready\n", count);
	fflush(stdout);
	while (read(0, &c, 1) == 1) {
		make_blocks();
		puts("done");
		fflush(stdout);
	}
	return 0;
}
"""

# Stays in a restartable sequence, which the kernel lets start anew when a signal or a stop came.
SEQUENCE = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
extern const ptrdiff_t __rseq_offset __attribute__((weak));
static volatile uint64_t rounds, aborts;
static volatile char stop;
static void on_signal(int sig) { (void)sig; stop = 1; }
static void enter(char *area)
{
	__asm__ volatile(".pushsection __rseq_cs, \"aw\"\n.balign 32\n"
			 "3:\n.long 0, 0\n.quad 1f, 2f - 1f, 4f\n.popsection\n"
			 "leaq 3b(%%rip), %%rax\nmovq %%rax, 8(%[area])\n"
			 "1:\nincq %[rounds]\ncmpb $0, %[stop]\nje 1b\n2:\n"
			 "jmp 5f\n.byte 0x0f, 0xb9, 0x3d\n.long 0x53053053\n"
			 "4:\nincq %[aborts]\n5:\n"
			 : [rounds] "+m"(rounds), [aborts] "+m"(aborts)
			 : [area] "r"(area), [stop] "m"(stop) : "rax", "memory", "cc");
}
int main(void)
{
	char *thread;
	__asm__("mov %%fs:0, %0" : "=r"(thread));
	signal(SIGUSR1, on_signal);
	free(malloc(10));
	if (!&__rseq_offset) {
		puts("none");
		return 0;
	}
	puts("ready");
	fflush(stdout);
	while (!stop)
		enter(thread + __rseq_offset);
	printf("aborts %d\n", aborts > 0);
	return 0;
}
"""

# main() ends by pthread_exit() at the first byte, another thread works at each one after it.
LEADERLESS = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static pthread_t leader;
__attribute__((noinline)) static void make_blocks(void)
{
	for (int i = 0; i < 1000; i++) {
		void *volatile block = malloc(100);
		free(block);
	}
}
static void *work(void *arg)
{
	char c;
	pthread_join(leader, NULL);
	puts("alone");
	while (read(0, &c, 1) == 1) {
		make_blocks();
		puts("done");
	}
	puts("ok");
	exit(0);
	return arg;
}
int main(void)
{
	pthread_t thread;
	char c;
	setvbuf(stdout, NULL, _IOLBF, 0);
	leader = pthread_self();
	pthread_create(&thread, NULL, work, NULL);
	make_blocks();
	puts("ready");
	if (read(0, &c, 1) == 1)
		pthread_exit(NULL);
	return 1;
}
"""


class Threads(unittest.TestCase):
    """The leader is a zombie then, by whose number the kernel shows neither memory nor files."""

    def leave_alone(self, target):
        target.send("l")
        target.wait_line("^alone")
        harness.wait_for(lambda: target.state() == "Z", 10, what="the main thread is a zombie")

    def capture(self, target, cap, before, inside=lambda: None):
        with session.Attach(target.pid, "-o", cap) as attach:
            inside()
            done = target.lines.count("done")
            target.send("w")
            harness.wait_for(lambda: target.lines.count("done") > done, 20)
            attach.interrupt()
        rows = harness.folded(cap, "--view", "allocated", "--metric", "count")
        self.assertEqual(harness.folded_sum(rows, r"^make_blocks\b"), 1000)
        self.assertEqual(harness.memtrace("status", target.pid).code, 0)
        if before:
            self.assertEqual(session.Snapshot(target.pid).changes(before), [])

    def ends_well(self, target):
        target.proc.stdin.close()
        self.assertEqual(target.wait(), 0)
        self.assertEqual(target.lines[-1], "ok")

    def test_main_thread_is_gone(self):
        """Captured like any other, by memtraces that live and after one that was killed."""
        with harness.tmpdir() as tmp, start(LEADERLESS, "leaderless", "-pthread") as target:
            self.leave_alone(target)
            target.send("w")
            target.wait_line("^done")
            before = session.Snapshot(target.pid)
            for i in range(2):
                self.capture(target, tmp / f"{i}.bin", before)
            with session.Attach(target.pid, "-o", tmp / "killed.bin") as attach:
                attach.proc.kill()
                attach.wait()
            harness.memtrace("detach", target.pid)
            self.assertEqual(session.Snapshot(target.pid).changes(before), [])
            self.assertIn("work", harness.memtrace("stack", target.pid).out)
            self.ends_well(target)

    def test_main_thread_goes_during_a_capture(self):
        with harness.tmpdir() as tmp, start(LEADERLESS, "leaderless", "-pthread") as target:
            self.capture(target, tmp / "cap.bin", None, lambda: self.leave_alone(target))
            self.assertEqual(harness.maps_clean(target.pid), [])
            self.capture(target, tmp / "again.bin", None)
            self.ends_well(target)

    def test_main_thread_goes_under_run(self):
        program = harness.compile_c(LEADERLESS, name="leaderless",
                                    flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
        with harness.tmpdir() as tmp:
            cap = tmp / "cap.bin"
            harness.memtrace("run", "-o", cap, "--", program, stdin="lww")
            rows = harness.folded(cap, "--view", "allocated", "--metric", "count")
            self.assertEqual(harness.folded_sum(rows, r"^make_blocks\b"), 3000)

    def test_spinning_thread_beside_a_blocked_one(self):
        """No thread ever allocates; one never leaves user code."""
        source = ("#include <pthread.h>\n#include <stdio.h>\n#include <unistd.h>\n"
                  "static void *spin(void *a)\n{\n\tfor (;;)\n\t\t__asm__ volatile(\"\");\n"
                  "\treturn a;\n}\n"
                  "int main(void)\n{\n\tpthread_t t;\n\tpthread_create(&t, 0, spin, 0);\n"
                  "\tputs(\"ready\");\n\tfflush(stdout);\n\tchar c;\n\treturn read(0, &c, 1) != 1;\n}\n")
        with harness.tmpdir() as tmp, start(source, "spin", "-pthread") as target:
            for i in range(3):
                with session.Attach(target.pid, "-o", tmp / f"{i}.bin") as attach:
                    self.assertLess(attach.seconds_to_armed, 5)
                    attach.interrupt()
                self.assertEqual(harness.maps_clean(target.pid), [])
            target.send("x")
            self.assertEqual(target.wait(), 0)

    def test_restartable_sequence(self):
        """Moved away and back in the middle of one, a thread would go on where it must begin anew. It is
        refused for that, or borrowed when the kernel has just thrown it out."""
        program = harness.compile_c(SEQUENCE, name="sequence", flags=["-O1", "-w"])
        with harness.tmpdir() as tmp, harness.start_target(
                [program], stdin=True, wait="^(ready|none)") as target:
            if "none" in target.lines:
                self.skipTest("this C library registers no restartable sequences")
            result = harness.memtrace("attach", target.pid, "-d", "100ms", "-o", tmp / "cap.bin",
                                      check=(0, 1), timeout=60)
            if result.code:
                self.assertRegex(result.err, r"safe point .*in a restartable sequence \(\d+\)")
            target.signal(signal.SIGUSR1)
            self.assertEqual(target.wait(), 0)
            self.assertEqual(target.lines[-1], "aborts 1")

    def test_idle_in_code_without_tables(self):
        """Old return addresses lie in its frames, and no walk gets past them."""
        program = harness.compile_c("alloc_idle.c", flags=["-O1", "-pthread"])
        with harness.tmpdir() as tmp, harness.start_target(
                [program], stdin=True, wait="^ready") as target:
            session.capture_work(target, tmp / "cap.bin")
            self.assertEqual(harness.maps_clean(target.pid), [])
            self.assertEqual(harness.folded_sum(harness.folded(
                tmp / "cap.bin", "--view", "allocated", "--metric", "count"), "^leave_traces "), 64)

    def test_one_thread_in_code_without_tables(self):
        """It never leaves it, and nobody else is there to be borrowed."""
        program = harness.compile_c("jit_spin.c", flags=["-O1"])
        with harness.tmpdir() as tmp, harness.start_target([program], wait="^ready") as target:
            for i in range(3):
                with session.Attach(target.pid, "-o", tmp / f"{i}.bin") as attach:
                    attach.interrupt()
                self.assertEqual(harness.maps_clean(target.pid), [])
            target.signal(signal.SIGTERM)
            target.wait_line("^whole")
            self.assertEqual(target.wait(), 0)

    def test_code_without_tables_below_an_allocator(self):
        """No walk gets from that code to who called it: its return address is found all the same."""
        program = harness.compile_c("jit_spin.c", flags=["-O1", "-rdynamic"])
        with harness.tmpdir() as tmp, harness.start_target(
                [program, "inside"], wait="^inside") as target:
            result = harness.memtrace("attach", target.pid, "-o", tmp / "cap.bin", check=1, timeout=60)
            self.assertIn("in the memory allocator", result.err)
            self.assertEqual(harness.maps_clean(target.pid), [])
            target.signal(signal.SIGUSR1)
            target.wait_line("^outside")
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                attach.interrupt()
            target.signal(signal.SIGTERM)
            target.wait_line("^whole")
            self.assertEqual(target.wait(), 0)

    def test_many_busy_threads(self):
        program = harness.compile_c("alloc_service.c", flags=["-O1", "-D_GNU_SOURCE", "-pthread"])
        with harness.tmpdir() as tmp, harness.start_target(
                [program, 24], stdin=True, wait="^ready") as target:
            with session.Attach(target.pid, "-o", tmp / "cap.bin") as attach:
                time.sleep(0.5)
                attach.interrupt()
            rows = harness.folded(tmp / "cap.bin", "--view", "allocated", "--metric", "count",
                                  "--split-threads")
            self.assertEqual(harness.maps_clean(target.pid), [])
            self.assertGreater(len({f[0] for f, _ in rows}), 15)
            target.send("x")
            self.assertEqual(target.wait(30), 0)


if __name__ == "__main__":
    unittest.main()
