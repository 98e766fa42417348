/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_preflight.c - every refusal on demand, by its exact text. */
#include "attach/preflight.h"
#include "attach/tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void refused(pid_t pid, enum mt_error_code code, const char *message, const char *hint)
{
	struct proc_status st;
	struct mt_error *err = preflight(pid, &st);
	assert_non_null(err);
	assert_string_equal(err->message, message);
	assert_int_equal(err->code, code);
	if (hint)
		assert_string_equal(err->hint, hint);
	else
		assert_null(err->hint);
	mt_error_destroy(err);
}

static const char *text(const char *fmt, ...) MT_PRINTF(1, 2);
static const char *text(const char *fmt, ...)
{
	static char buf[2][256];
	static int turn;
	turn = !turn;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(buf[turn], sizeof(buf[turn]), fmt, ap);
	va_end(ap);
	return buf[turn];
}

static void wait_state(pid_t pid, char state, const char *comm)
{
	struct proc_status st = { .state = '?' };
	while (st.state != state || strcmp(st.comm, comm)) {
		usleep(1000);
		assert_null(proc_status_read(pid, &st));
	}
}

/* Returns when the program runs; -1: the kernel does not execute it. */
static pid_t start_sleep(const char *path)
{
	int ends[2];
	char failed;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (!pid) {
		execl(path, "sleep", "100", NULL);
		_exit(write(ends[1], "", 1) == 1 ? 127 : 126);
	}
	close(ends[1]);
	bool runs = read(ends[0], &failed, 1) == 0;
	close(ends[0]);
	if (runs) {
		/* The descriptor is closed in the middle of the exec. */
		wait_state(pid, 'S', strrchr(path, '/') + 1);
		return pid;
	}
	waitpid(pid, NULL, 0);
	return -1;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void fine(void **state)
{
	(void)state;
	pid_t pid = start_sleep("/bin/sleep");
	struct proc_status st;
	assert_null(preflight(pid, &st));
	assert_string_equal(st.comm, "sleep");
	end(pid);
}

static void nobody(void **state)
{
	(void)state;
	refused(0, MT_ERROR_GONE, "no process 0", "`pgrep -a NAME` lists processes by name");
	refused(-5, MT_ERROR_GONE, "no process -5", "`pgrep -a NAME` lists processes by name");
	refused(0x3ffffff, MT_ERROR_GONE, "no process 67108863", "`pgrep -a NAME` lists processes by name");
	refused(getpid(), MT_ERROR_REFUSED, text("process %d is memtrace itself", getpid()),
		"give another process id");
}

static void *wait_here(void *arg)
{
	*(volatile pid_t *)arg = (pid_t)syscall(SYS_gettid);
	pause();
	return NULL;
}

static void thread_id(void **state)
{
	(void)state;
	int fds[2];
	pid_t tid = 0;
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (!pid) {
		pthread_t th;
		volatile pid_t t = 0;
		prctl(PR_SET_NAME, "threaded");
		pthread_create(&th, NULL, wait_here, (void *)&t);
		while (!t)
			usleep(100);
		tid = t;
		(void)!write(fds[1], &tid, sizeof(tid));
		for (;;)
			pause();
	}
	assert_int_equal(read(fds[0], &tid, sizeof(tid)), sizeof(tid));
	refused(tid, MT_ERROR_REFUSED, text("%d is a thread of process %d 'threaded'", tid, pid),
		text("give the process id %d", pid));
	end(pid);
}

static void zombie(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_NAME, "dead");
		_exit(0);
	}
	siginfo_t si;
	waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT);
	refused(pid, MT_ERROR_REFUSED,
		text("process %d 'dead' is a zombie: it has exited already", pid),
		text("its parent %d has not collected it yet", getpid()));
	end(pid);
}

static void main_thread_gone(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (!pid) {
		pthread_t th;
		pid_t t;
		prctl(PR_SET_NAME, "headless");
		pthread_create(&th, NULL, wait_here, &t);
		pthread_exit(NULL);
	}
	wait_state(pid, 'Z', "headless");
	struct proc_status st;
	assert_null(preflight(pid, &st));
	assert_int_not_equal(proc_living(pid), pid);
	end(pid);
}

static void stopped(void **state)
{
	(void)state;
	pid_t pid = start_sleep("/bin/sleep");
	kill(pid, SIGSTOP);
	wait_state(pid, 'T', "sleep");
	refused(pid, MT_ERROR_REFUSED, text("process %d 'sleep' is stopped by job control", pid),
		text("continue it with 'kill -CONT %d' first", pid));
	struct proc_status st;
	assert_null(proc_status_read(pid, &st));
	assert_int_equal(st.state, 'T');
	end(pid);
}

static void traced(void **state)
{
	(void)state;
	pid_t pid = start_sleep("/bin/sleep");
	pid_t tracer = fork();
	if (!tracer) {
		prctl(PR_SET_NAME, "debugger");
		ptrace(PTRACE_SEIZE, pid, 0, 0);
		for (;;)
			pause();
	}
	struct proc_status st = { 0 };
	while (!st.tracer) {
		usleep(1000);
		assert_null(proc_status_read(pid, &st));
	}
	const char *want = text("process %d is already traced by process %d 'debugger'", pid, tracer);
	refused(pid, MT_ERROR_REFUSED, want,
		text("only one tracer at a time is possible; end or detach process %d first",
		     tracer));
	struct mt_error *err = preflight_explain_seize(pid, EPERM);
	assert_string_equal(err->message,
			    text("process %d is already traced by process %d 'debugger'", pid, tracer));
	mt_error_destroy(err);
	end(tracer);
	end(pid);
}

static bool compile(const char *flags, const char *path)
{
	return system(text("echo '#include <unistd.h>\nint main(void) { sleep(100); }' | "
			   "gcc %s -x c - -o %s 2>/dev/null", flags, path)) == 0;
}

static void other_programs(void **state)
{
	(void)state;
	char dir[] = "/tmp/memtrace-preflight-XXXXXX", path[64];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/prog", dir);
	assert_true(compile("-static", path));
	pid_t pid = start_sleep(path);
	refused(pid, MT_ERROR_REFUSED,
		text("process %d is a static program: it has no dynamic loader", pid),
		"link the program dynamically (Go: build with cgo) to trace it");
	end(pid);
	pid = compile("-m32", path) ? start_sleep(path) : -1;
	if (pid >= 0) {
		refused(pid, MT_ERROR_REFUSED, text("process %d is not a 64-bit x86 program", pid),
			"memtrace traces 64-bit x86 programs only");
		end(pid);
	} else {
		print_message("no 32-bit compiler, or the kernel runs no such programs: not tried\n");
	}
	unlink(path);
	rmdir(dir);
}

static void kernel_thread(void **state)
{
	(void)state;
	struct proc_status st;
	if (proc_status_read(2, &st) || !st.kernel_thread) {
		print_message("no kernel thread to be seen here: not tried\n");
		return;
	}
	refused(2, MT_ERROR_REFUSED, text("process 2 '%s' is a kernel thread", st.comm),
		"it has no user memory to trace");
}

/* As an unprivileged user: the kernel itself refuses. */
static void permission(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("not root: not tried\n");
		return;
	}
	pid_t pid = start_sleep("/bin/sleep");
	pid_t child = fork();
	if (!child) {
		struct proc_status st;
		if (setresuid(65534, 65534, 65534))
			_exit(2);
		struct mt_error *err = preflight(pid, &st);
		if (!err || strcmp(err->message, text("process %d belongs to user 0, this is user "
						      "65534 without CAP_SYS_PTRACE", pid)))
			_exit(3);
		_exit(strcmp(err->hint, "run memtrace as root, or as user 0") ? 4 : 0);
	}
	int status;
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	end(pid);
	/* Same user, but not dumpable. */
	pid = fork();
	if (!pid) {
		if (setresuid(65534, 65534, 65534))
			_exit(2);
		prctl(PR_SET_DUMPABLE, 0);
		for (;;)
			pause();
	}
	child = fork();
	if (!child) {
		struct proc_status st;
		usleep(50000);
		if (setresuid(65534, 65534, 65534))
			_exit(2);
		struct mt_error *err = preflight(pid, &st);
		_exit(!err || strcmp(err->message, text("process %d is protected: it is not dumpable "
							"(set-user-id, file capabilities or "
							"PR_SET_DUMPABLE)", pid)) ? 3 : 0);
	}
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	end(pid);
}

static void permission_rules(void **state)
{
	(void)state;
	static const struct {
		struct preflight_facts facts;
		const char *message, *hint;
	} rows[] = {
		{ { 1000, 1000, 1000, 1, false, false },
		  "process 7 may not be traced: kernel.yama.ptrace_scope is 1",
		  "run memtrace as root, start the program with 'memtrace run', or "
		  "'sysctl kernel.yama.ptrace_scope=0'" },
		{ { 1000, 1000, 1000, 2, false, false },
		  "process 7 may not be traced: kernel.yama.ptrace_scope is 2",
		  "run memtrace as root (CAP_SYS_PTRACE)" },
		{ { 1000, 1000, 1000, 3, false, false },
		  "process 7 may not be traced: kernel.yama.ptrace_scope is 3",
		  "nobody may trace here until a reboot with another value" },
		{ { 0, 1000, 1000, 3, true, false },
		  "process 7 may not be traced: kernel.yama.ptrace_scope is 3, which forbids tracing "
		  "to everybody", "the setting can only be changed by a reboot with another value" },
		{ { 0, 1000, 1000, 1, true, false },
		  "process 7 may not be traced even with CAP_SYS_PTRACE",
		  "it belongs to another user namespace, a security module or seccomp forbids it, or a "
		  "tracer outside of this container has it; try from the host" },
		{ { 0, 1000, 1000, -1, false, false },
		  "process 7 belongs to user 1000, this is user 0 without CAP_SYS_PTRACE",
		  "give this container CAP_SYS_PTRACE, or run as user 1000" },
		{ { 1000, 1000, 0, 0, false, true },
		  "process 7 belongs to user 0, this is user 1000 without CAP_SYS_PTRACE",
		  "run memtrace as root, or as user 0" },
		{ { 1000, 1000, 1000, 1, false, true },
		  "process 7 is protected: it is not dumpable (set-user-id, file capabilities or "
		  "PR_SET_DUMPABLE)", "run memtrace as root (CAP_SYS_PTRACE)" },
		{ { 1000, 1000, 1000, -1, false, false }, "process 7 may not be traced",
		  "run memtrace as root; in a container, give it CAP_SYS_PTRACE and a seccomp profile "
		  "that allows ptrace" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct mt_error *err = preflight_explain_permission(7, &rows[i].facts);
		assert_int_equal(err->code, MT_ERROR_REFUSED);
		assert_string_equal(err->message, rows[i].message);
		assert_string_equal(err->hint, rows[i].hint);
		mt_error_destroy(err);
	}
}

static void libc_names(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		bool want;
	} rows[] = {
		{ "/lib/x86_64-linux-gnu/libc.so.6", true }, { "/lib64/libc-2.28.so", true },
		{ "/lib/ld-musl-x86_64.so.1", true }, { "/lib/libc.musl-x86_64.so.1", true },
		{ "/usr/lib/libcap.so.2", false }, { "/lib64/ld-linux-x86-64.so.2", false },
		{ "", false }, { "libc", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(preflight_is_libc_path(rows[i].path), rows[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fine), cmocka_unit_test(nobody), cmocka_unit_test(thread_id),
		cmocka_unit_test(zombie), cmocka_unit_test(main_thread_gone),
		cmocka_unit_test(stopped), cmocka_unit_test(traced),
		cmocka_unit_test(other_programs), cmocka_unit_test(kernel_thread),
		cmocka_unit_test(permission), cmocka_unit_test(permission_rules),
		cmocka_unit_test(libc_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
