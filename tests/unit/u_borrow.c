/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_borrow.c - threads of self-checking targets borrowed thousands of times.
 * `u_borrow target MODE` is the target itself (borrow_target.h); BORROW_CYCLES sets the cycles. */
#include "attach/borrow.h"
#include "tests/unit/borrow_target.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <cmocka.h>

struct target {
	pid_t pid;
	int stdin_fd;
	unsigned uses;
	uint64_t stack;		/* mapped in the target by us */
	uint64_t end;		/* the same: the code in which calls end */
};

static const char *self_path;
static unsigned cycles = 200;

#define STACK_SIZE 65536

static void no_error(struct mt_error *err)
{
	if (err)
		print_error("%s\n", err->message);
	assert_null(err);
}

static void start(struct target *tg, const char *mode)
{
	int fd = memfd_create("shared", 0), in[2];
	assert_int_equal(ftruncate(fd, 4096), 0);
	sh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	page = &sh->page;
	memset(tg, 0, sizeof(*tg));
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	tg->pid = fork();
	if (tg->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(fd, TARGET_FD);
		execl(self_path, self_path, "target", mode, NULL);
		_exit(127);
	}
	close(fd);
	close(in[0]);
	tg->stdin_fd = in[1];
	for (int i = 0; i < 5000 && !page->ready; i++)
		usleep(1000);
	assert_true(page->ready);
	usleep(20000);
}

static void expect_fine(void)
{
	if (page->failed)
		print_error("target: %s\n", page->failure);
	assert_int_equal(page->failed, 0);
}

/* What each thread does, by the kernel: for the one who must find out why a target stands still. */
static void print_threads(pid_t pid)
{
	static const char *const files[] = { "comm", "stat", "syscall", "wchan", "stack" };
	char path[300], text[2048];
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));) {
		for (size_t i = 0; e->d_name[0] != '.' && i < 5; i++) {
			snprintf(path, sizeof(path), "/proc/%d/task/%s/%s", pid, e->d_name, files[i]);
			int fd = open(path, O_RDONLY | O_CLOEXEC);
			ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
			print_error("%s: %.*s\n", path, n < 0 ? 0 : (int)n, text);
			close(fd);
		}
	}
	if (d)
		closedir(d);
}

/* BORROW_MODE: only with targets of that mode. */
static bool skipped(const char *mode)
{
	const char *only = getenv("BORROW_MODE");
	return only && strcmp(only, mode) != 0;
}

/* It goes on, however busy the machine is; nothing to expect before the first round after an exec. */
static void expect_rounds(const struct target *tg)
{
	uint64_t rounds = page->rounds;
	for (int i = 0; i < 100000 && rounds && page->rounds == rounds; i++)
		usleep(200);
	if (rounds && page->rounds == rounds)
		print_threads(tg->pid);
	assert_true(!rounds || page->rounds != rounds);
}

static void finish(struct target *tg)
{
	int status = 0;
	expect_fine();
	expect_rounds(tg);
	page->stop = 1;
	close(tg->stdin_fd);
	for (int i = 0; i < 5000 && waitpid(tg->pid, &status, WNOHANG) == 0; i++)
		usleep(1000);
	expect_fine();
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		print_error("target ended with status 0x%x\n", (unsigned)status);
	assert_int_equal(status, 0);
	munmap(sh, 4096);
}

static void map_stack(struct target *tg, struct borrow *b)
{
	if (!tg->stack) {
		uint64_t args[6] = { 0, STACK_SIZE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0 };
		int64_t r;
		no_error(borrow_syscall(b, SYS_mmap, args, &r));
		assert_true(r > 0);
		tg->stack = (uint64_t)r;
	}
	borrow_set_stack(b, tg->stack, STACK_SIZE);
}

static void write_target(struct target *tg, uint64_t address, const void *data, size_t size)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)tg->pid);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, data, size, (off_t)address), (ssize_t)size);
	close(fd);
}

/* From here calls end in code of ours. */
static void map_end(struct target *tg, struct borrow *b)
{
	if (!tg->end) {
		uint64_t args[6] = { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
				     (uint64_t)-1, 0 };
		int64_t r;
		no_error(borrow_syscall(b, SYS_mmap, args, &r));
		assert_true(r > 0);
		tg->end = (uint64_t)r;
		write_target(tg, tg->end, borrow_end_code, BORROW_END_SIZE);
	}
	borrow_set_end(b, tg->end);
}

static void call_sum(struct borrow *b)
{
	uint64_t sum;
	no_error(borrow_call(b, sh->fn_sum, (uint64_t[]){ 1, 2, 3, 4, 5, 6 }, 6, 5000, &sum));
	assert_int_equal(sum, 654321);
}

/* A thread that the busy machine keeps in fork or at a page of a file does not stop in time, which
 * is no fault; at the next try it is elsewhere. */
static struct mt_error *stop_all_patiently(struct tracee *t, int timeout_ms)
{
	struct mt_error *err = tracee_stop_all(t, timeout_ms);
	for (int i = 0; i < 500 && err && err->code == MT_ERROR_BUSY; i++) {
		mt_error_destroy(err);
		usleep(2000);
		err = tracee_stop_all(t, timeout_ms);
	}
	return err;
}

/* getpid, a system call with a text argument, a function call; everything checked. */
static void use(struct target *tg, struct borrow *b)
{
	int64_t r;
	no_error(borrow_syscall(b, SYS_getpid, (uint64_t[6]){ 0 }, &r));
	assert_int_equal(r, tg->pid);
	uint64_t path;
	no_error(borrow_scratch(b, "/nonexistent", 13, &path));
	no_error(borrow_syscall(b, SYS_openat, (uint64_t[6]){ (uint64_t)AT_FDCWD, path }, &r));
	assert_int_equal(r, -ENOENT);
	map_stack(tg, b);
	call_sum(b);
	map_end(tg, b);
	call_sum(b);
	no_error(borrow_scratch(b, "/nonexistent", 13, &path));
	no_error(borrow_syscall(b, SYS_openat, (uint64_t[6]){ (uint64_t)AT_FDCWD, path }, &r));
	assert_int_equal(r, -ENOENT);
	no_error(borrow_syscall(b, SYS_gettid, (uint64_t[6]){ 0 }, &r));
	assert_int_equal(r, borrow_tid(b));
	if (tg->uses++ % 4 == 0) {		/* as unloading does */
		borrow_set_stack(b, 0, 0);
		no_error(borrow_syscall(b, SYS_munmap, (uint64_t[6]){ tg->stack, STACK_SIZE }, &r));
		assert_int_equal(r, 0);
		tg->stack = 0;
		no_error(borrow_syscall(b, SYS_getpid, (uint64_t[6]){ 0 }, &r));
		assert_int_equal(r, tg->pid);
	}
}

static uint64_t slowest_us, total_us;

static void note_time(uint64_t began)
{
	uint64_t took = now_us() - began;
	total_us += took;
	if (took > slowest_us)
		slowest_us = took;
}

static void acquire_cycles(const char *mode, unsigned n)
{
	struct target tg;
	start(&tg, mode);
	struct tracee *t;
	no_error(tracee_open(tg.pid, &t));
	slowest_us = total_us = 0;
	for (unsigned i = 0; i < n; i++) {
		struct borrow *b;
		uint64_t began = now_us();
		no_error(borrow_acquire(t, 20000, &b));
		note_time(began);
		use(&tg, b);
		borrow_release(b, false);
		expect_fine();
		if (i % 8 == 0)
			usleep(2000);
	}
	print_message("%s: %u cycles, acquire %.3f ms mean, %.1f ms slowest\n", mode, n,
		      (double)total_us / n / 1000, (double)slowest_us / 1000);
	tracee_close(t);
	finish(&tg);
}

static void idle(void **state)
{
	(void)state;
	acquire_cycles("idle", cycles);
}

static void registers(void **state)
{
	(void)state;
	acquire_cycles("regs", cycles);
}

static void storm(void **state)
{
	(void)state;
	acquire_cycles("storm", cycles);
}

static void churn(void **state)
{
	(void)state;
	acquire_cycles("churn", cycles);
}

static void hammered_malloc(void **state)
{
	(void)state;
	acquire_cycles("malloc", cycles / 8 + 1);
}

/* Every thread in turn, whatever it waits in. */
static void waiting(void **state)
{
	(void)state;
	struct target tg;
	start(&tg, "waits");
	struct tracee *t;
	no_error(tracee_open(tg.pid, &t));
	unsigned busy = 0, done = 0;
	for (unsigned i = 0; i < cycles * 4; i++) {
		struct tracee_thread *th;
		struct borrow *b;
		int count = page->tid_count;
		/* In fork a thread may sleep uninterruptibly for as long as the machine is busy. */
		struct mt_error *err = tracee_stop_thread(t, page->tids[i % (unsigned)count], &th);
		bool stopped = !err;
		if (stopped)
			err = borrow_thread(t, th, false, &b);
		if (err) {
			assert_int_equal(err->code, MT_ERROR_BUSY);
			mt_error_destroy(err);
			busy++;
			if (stopped)
				tracee_release_thread(t, th);
		} else {
			done++;
			use(&tg, b);
			borrow_release(b, i & 1);
			if (i & 1)
				tracee_release_thread(t, th);
		}
		expect_fine();
		if (i % 16 == 0)
			usleep(15000);
	}
	print_message("waits: %u borrowed, %u busy\n", done, busy);
	assert_true(done > busy);
	tracee_close(t);
	finish(&tg);
}

/* All threads stopped and let go, as unloading does; the waits must not notice. */
static void stop_all(void **state)
{
	(void)state;
	static const char *const modes[] = { "waits", "churn", "storm" };
	for (size_t m = 0; m < 3; m++) {
		struct target tg;
		start(&tg, modes[m]);
		struct tracee *t;
		no_error(tracee_open(tg.pid, &t));
		slowest_us = 0;
		for (unsigned i = 0; i < cycles / 2; i++) {
			size_t n;
			uint64_t began = now_us();
			no_error(stop_all_patiently(t, 2000));
			struct tracee_thread **th = tracee_threads(t, &n);
			assert_true(n >= 1);
			for (size_t k = 0; k < n; k++)
				assert_true(th[k]->held);
			tracee_release_all(t);
			note_time(began);
			expect_fine();
			if (i % 4 == 0)
				usleep(10000);
		}
		print_message("stop_all %s: %.1f ms slowest\n", modes[m], (double)slowest_us / 1000);
		tracee_close(t);
		finish(&tg);
	}
}

static void fault(void **state)
{
	(void)state;
	struct target tg;
	start(&tg, "regs");
	struct tracee *t;
	no_error(tracee_open(tg.pid, &t));
	for (unsigned i = 0; i < 50; i++) {
		struct borrow *b;
		uint64_t value = 77;
		no_error(borrow_acquire(t, 5000, &b));
		map_stack(&tg, b);
		if (i % 2)
			map_end(&tg, b);
		struct mt_error *err = borrow_call(b, sh->fn_fault, NULL, 0, 1000, &value);
		assert_non_null(err);
		assert_non_null(strstr(err->message, "signal 11 (Segmentation fault) at 0x10"));
		assert_int_equal(value, 77);
		mt_error_destroy(err);
		use(&tg, b);
		borrow_release(b, false);
		expect_fine();
	}
	tracee_close(t);
	finish(&tg);
}

/* A call that does not end: an error in time; it ends by itself later, and so does the thread. */
static void timeout(void **state)
{
	(void)state;
	static const char *const modes[] = { "regs", "idle", "waits" };
	for (size_t m = 0; m < 3; m++) {
		struct target tg;
		start(&tg, modes[m]);
		page->allow_eintr = 1;	/* of a wait restarted before: its number is lost */
		struct tracee *t;
		no_error(tracee_open(tg.pid, &t));
		for (unsigned i = 0; i < 20; i++) {
			struct borrow *b;
			uint64_t value;
			sh->block_gate = 0;
			no_error(borrow_acquire(t, 5000, &b));
			map_stack(&tg, b);
			if (i % 2)
				map_end(&tg, b);
			struct mt_error *err = borrow_call(b, sh->fn_block, NULL, 0, 20, &value);
			assert_non_null(err);
			assert_int_equal(err->code, MT_ERROR_BUSY);
			mt_error_destroy(err);
			err = borrow_call(b, sh->fn_block, NULL, 0, 20, &value);
			assert_int_equal(err->code, MT_ERROR_GONE);
			mt_error_destroy(err);
			borrow_release(b, false);
			assert_int_equal(sh->calls_done, i);
			sh->block_gate = 1;
			syscall(SYS_futex, &sh->block_gate, 1, 100, NULL, NULL, 0);
			for (int k = 0; k < 2000 && sh->calls_done == i; k++)
				usleep(1000);
			assert_int_equal(sh->calls_done, i + 1);
			usleep(2000);
			expect_fine();
		}
		tracee_close(t);
		finish(&tg);
	}
}

static struct borrow *take_or_exit(struct tracee *t, uint64_t *stack)
{
	struct borrow *b = NULL;
	struct mt_error *err = borrow_acquire(t, 5000, &b);
	int64_t r = 0;
	/* A stack of its own: a thread of the controller before may still be on its way back. */
	if (!err && !*stack)
		err = borrow_syscall(b, SYS_mmap, (uint64_t[6]){ 0, STACK_SIZE,
				     PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				     (uint64_t)-1 }, &r);
	if (err) {
		print_error("controller: %s\n", err->message);
		_exit(3);
	}
	if (!*stack)
		*stack = (uint64_t)r;
	borrow_set_stack(b, *stack, STACK_SIZE);
	return b;
}

static void killed_child(pid_t pid, unsigned i)
{
	struct tracee *t;
	uint64_t value, stack = 0;
	int64_t r;
	if (tracee_open(pid, &t))
		_exit(2);
	struct borrow *b = take_or_exit(t, &stack);
	sh->controller_ready = 1;
	for (unsigned k = 0;; k++) {
		struct mt_error *err;
		if (i % 3 == 0)
			err = borrow_syscall(b, SYS_getpid, (uint64_t[6]){ 0 }, &r);
		else
			err = borrow_call(b, sh->fn_slow, (uint64_t[]){ i * 7 % 900 }, 1, 5000,
					  &value);
		if (err) {
			print_error("controller: %s\n", err->message);
			_exit(4);
		}
		if (k % 5 == 4 || i % 7 == 0) {
			borrow_release(b, false);
			b = take_or_exit(t, &stack);
		}
	}
}

/* The controller dies by SIGKILL anywhere; the target goes on unharmed. */
static void killed(void **state)
{
	(void)state;
	static const char *const modes[] = { "regs", "waits", "idle", "malloc", "storm" };
	for (size_t m = 0; m < 5; m++) {
		struct target tg;
		if (skipped(modes[m]))
			continue;
		start(&tg, modes[m]);
		page->allow_eintr = 1;
		for (unsigned i = 0; i < cycles / 4; i++) {
			int status = 0, died = 0;
			sh->controller_ready = 0;
			pid_t pid = fork();
			if (pid == 0)
				killed_child(tg.pid, i);
			if (i % 8) {
				for (int k = 0; k < 10000 && !sh->controller_ready; k++)
					usleep(500);
				usleep(i * 137 % 3000);
			} else {
				usleep(i * 137 % 20000);
			}
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			if (!WIFSIGNALED(status))
				print_error("controller ended with 0x%x\n", (unsigned)status);
			if (waitpid(tg.pid, &died, WNOHANG) != 0)
				print_error("target ended with 0x%x\n", (unsigned)died);
			assert_int_equal(died, 0);
			assert_true(WIFSIGNALED(status));
			/* All calls that began end: nobody is left in the middle. */
			for (int k = 0; k < 2000 && sh->calls_begun != sh->calls_done; k++)
				usleep(1000);
			assert_int_equal(sh->calls_begun, sh->calls_done);
			expect_fine();
		}
		print_message("killed %s: %lu calls, %lu EINTR\n", modes[m],
			      (unsigned long)sh->calls_done, (unsigned long)page->eintr);
		finish(&tg);
	}
}

/* All ptrace calls of attach/ go through here: the controller can die before any of them. */
static long ptrace_calls, die_at;
static bool die_with_signal;	/* of the target, in hand */

long ptrace(enum __ptrace_request request, ...)
{
	va_list ap;
	va_start(ap, request);
	pid_t pid = va_arg(ap, pid_t);
	void *address = va_arg(ap, void *), *data = va_arg(ap, void *);
	va_end(ap);
	if (++ptrace_calls == die_at || (die_with_signal && request == PTRACE_CONT && data))
		kill(getpid(), SIGKILL);
	if (request != PTRACE_PEEKDATA)
		return syscall(SYS_ptrace, request, pid, address, data);
	long word = 0;
	return syscall(SYS_ptrace, request, pid, address, &word) < 0 ? -1 : word;
}

static void use_once(struct target *tg)
{
	struct tracee *t;
	struct borrow *b;
	if (tracee_open(tg->pid, &t))
		_exit(2);
	for (int i = 0; i < 2; i++) {
		if (borrow_acquire(t, 20000, &b))
			_exit(3);
		tg->uses = 0;
		tg->stack = tg->end = 0;
		use(tg, b);
		borrow_release(b, false);
	}
	if (stop_all_patiently(t, 5000))
		_exit(4);
	tracee_release_all(t);
	tracee_close(t);
}

static void killed_at_every_step(void **state)
{
	(void)state;
	static const char *const modes[] = { "regs", "waits", "idle", "storm" };
	for (size_t m = 0; m < 4; m++) {
		struct target tg;
		int status = 0, died = 0;
		long step = 0;
		if (skipped(modes[m]))
			continue;
		start(&tg, modes[m]);
		page->allow_eintr = 1;
		while (!step || WIFSIGNALED(status)) {
			assert_true(++step < 2000);
			pid_t pid = fork();
			if (pid == 0) {
				ptrace_calls = 0;
				die_at = step;
				use_once(&tg);
				_exit(0);
			}
			waitpid(pid, &status, 0);
			if (WIFSIGNALED(status))
				assert_int_equal(WTERMSIG(status), SIGKILL);
			assert_int_equal(waitpid(tg.pid, &died, WNOHANG), 0);
			expect_rounds(&tg);
			expect_fine();
		}
		assert_int_equal(status, 0);
		print_message("killed at every step, %s: %ld steps, %lu EINTR\n", modes[m],
			      step - 1, (unsigned long)page->eintr);
		assert_true(step > 50);
		finish(&tg);
	}
}

/* A thread is stopped for each signal on its way in; dying then loses none. */
static void killed_with_signal(void **state)
{
	(void)state;
	struct target tg;
	start(&tg, "storm");
	page->allow_eintr = 1;
	for (int i = 0; i < 20; i++) {
		int status;
		pid_t pid = fork();
		if (pid == 0) {
			struct tracee *t;
			struct borrow *b;
			die_with_signal = true;
			/* Opened anew: any of the threads, not the same again. */
			while (!tracee_open(tg.pid, &t) && !borrow_acquire(t, 20000, &b)) {
				borrow_release(b, false);
				tracee_close(t);
			}
			_exit(3);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		expect_rounds(&tg);
		expect_fine();
	}
	finish(&tg);
}

/* Stopped by job control meanwhile: the stop is kept. */
static char state_of(pid_t pid)
{
	char c;
	long nr;
	no_error(proc_thread_state(pid, pid, &c, &nr));
	return c;
}

static void job_control(void **state)
{
	(void)state;
	struct target tg;
	start(&tg, "regs");
	struct tracee *t;
	struct borrow *b;
	struct tracee_thread *th;
	no_error(tracee_open(tg.pid, &t));
	for (int i = 0; i < 20; i++) {
		no_error(borrow_acquire(t, 5000, &b));
		use(&tg, b);
		kill(tg.pid, SIGSTOP);
		use(&tg, b);		/* runs although the process is stopped */
		borrow_release(b, false);
		for (int k = 0; k < 1000 && state_of(tg.pid) != 'T'; k++)
			usleep(1000);
		assert_int_equal(state_of(tg.pid), 'T');
		struct mt_error *err = borrow_acquire(t, 30, &b);
		assert_non_null(err);
		assert_int_equal(err->code, MT_ERROR_BUSY);
		mt_error_destroy(err);
		no_error(tracee_stop_thread(t, tg.pid, &th));
		assert_true(th->group_stopped);
		tracee_release_thread(t, th);
		for (int k = 0; k < 5000 && state_of(tg.pid) != 'T'; k++)
			usleep(1000);
		assert_int_equal(state_of(tg.pid), 'T');
		kill(tg.pid, SIGCONT);
		for (int k = 0; k < 1000 && state_of(tg.pid) == 'T'; k++)
			usleep(1000);
		assert_int_not_equal(state_of(tg.pid), 'T');
	}
	tracee_close(t);
	finish(&tg);
}

/* A Ctrl-Z of ours: no thread of the target stands still until somebody continues us. */
static void stopped_while_holding(struct target *tg, int sig)
{
	struct tracee *t;
	struct borrow *b;
	int64_t r;
	signal(sig, SIG_DFL);
	setpgid(0, 0);		/* one whose parent is outside: the kernel stops no orphans */
	if (tracee_open(tg->pid, &t) || borrow_acquire(t, 20000, &b))
		_exit(2);
	kill(getpid(), sig);
	if (borrow_syscall(b, SYS_getpid, (uint64_t[6]){ 0 }, &r) || r != tg->pid)
		_exit(3);
	sh->controller_ready = 1;
	borrow_release(b, false);
	sh->controller_ready = 2;
	tracee_close(t);
	_exit(0);
}

static void stop_of_controller(void **state)
{
	(void)state;
	static const int signals[] = { SIGTSTP, SIGTTIN, SIGTTOU };
	struct target tg;
	start(&tg, "regs");
	for (size_t i = 0; i < 3; i++) {
		int status;
		sh->controller_ready = 0;
		pid_t pid = fork();
		if (pid == 0)
			stopped_while_holding(&tg, signals[i]);
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		assert_true(WIFSTOPPED(status));
		assert_int_equal(WSTOPSIG(status), signals[i]);
		assert_int_equal(sh->controller_ready, 1);
		expect_rounds(&tg);
		kill(pid, SIGCONT);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_int_equal(sh->controller_ready, 2);
	}
	finish(&tg);
}

/* The process ends in the call: an error, and the exit status is still there for its parent. */
static void exit_in_call(void **state)
{
	(void)state;
	struct target tg;
	struct tracee *t;
	struct borrow *b;
	uint64_t value;
	int status;
	start(&tg, "waits");
	no_error(tracee_open(tg.pid, &t));
	no_error(borrow_acquire(t, 5000, &b));
	map_stack(&tg, b);
	struct mt_error *err = borrow_call(b, sh->fn_exit, (uint64_t[]){ 42 }, 1, 5000, &value);
	assert_non_null(err);
	assert_int_equal(err->code, MT_ERROR_GONE);
	mt_error_destroy(err);
	borrow_release(b, false);
	for (int i = 0; i < 1000 && tracee_alive(t); i++)
		usleep(1000);
	assert_false(tracee_alive(t));
	tracee_close(t);
	assert_int_equal(waitpid(tg.pid, &status, 0), tg.pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	close(tg.stdin_fd);
	munmap(sh, 4096);
}

static void exec_meanwhile(void **state)
{
	(void)state;
	struct target tg;
	unsigned gone = 0, fine = 0;
	start(&tg, "exec");
	/* Between two programs of it, and in the loader, it is refused: how often it is met there is
	 * the scheduler's choice, so looks are added until one of them stopped it. */
	for (unsigned i = 0; i < cycles / 2 || (!fine && i < 5000); i++) {
		struct tracee *t = NULL;
		struct mt_error *err = tracee_open(tg.pid, &t);
		for (int k = 0; k < 5 && !err; k++) {
			err = tracee_stop_all(t, 1000);
			if (!err) {
				fine++;
				tracee_release_all(t);
			}
			usleep(300);
		}
		/* Caught in the middle there is no C library yet, or another program. */
		if (err) {
			assert_true(err->code == MT_ERROR_GONE || err->code == MT_ERROR_REFUSED ||
				    err->code == MT_ERROR_BUSY);
			gone++;
		}
		mt_error_destroy(err);
		tracee_close(t);
	}
	print_message("exec: %u stops, %u opens that ended early\n", fine, gone);
	assert_true(fine > 0);
	finish(&tg);
}

/* A thread asleep in vfork never stops: said so at once, nobody stands still for it. */
static void vfork_parent(void **state)
{
	(void)state;
	struct target tg;
	struct tracee *t;
	struct borrow *b;
	start(&tg, "vfork");
	no_error(tracee_open(tg.pid, &t));
	for (int i = 0; i < 10; i++) {
		uint64_t began = now_us();
		struct mt_error *err = tracee_stop_all(t, 5000);
		assert_non_null(err);
		assert_int_equal(err->code, MT_ERROR_BUSY);
		assert_non_null(strstr(err->message, "in an uninterruptible system call"));
		assert_true(now_us() - began < 3000000);
		mt_error_destroy(err);
	}
	struct mt_error *err = borrow_acquire(t, 100, &b);
	assert_non_null(err);
	assert_non_null(strstr(err->message, "sharing memory with a vfork child"));
	mt_error_destroy(err);
	tracee_close(t);
	finish(&tg);
}

int main(int argc, char **argv)
{
	self_path = "/proc/self/exe";
	if (argc == 3 && !strcmp(argv[1], "target"))
		return target_main(argv[2]);
	if (getenv("BORROW_CYCLES"))
		cycles = (unsigned)atoi(getenv("BORROW_CYCLES"));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle),
		cmocka_unit_test(registers),
		cmocka_unit_test(waiting),
		cmocka_unit_test(storm),
		cmocka_unit_test(churn),
		cmocka_unit_test(hammered_malloc),
		cmocka_unit_test(stop_all),
		cmocka_unit_test(fault),
		cmocka_unit_test(timeout),
		cmocka_unit_test(job_control),
		cmocka_unit_test(stop_of_controller),
		cmocka_unit_test(exit_in_call),
		cmocka_unit_test(exec_meanwhile),
		cmocka_unit_test(vfork_parent),
		cmocka_unit_test(killed),
		cmocka_unit_test(killed_at_every_step),
		cmocka_unit_test(killed_with_signal),
	};
	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
