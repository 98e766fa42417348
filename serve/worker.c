/* SPDX-License-Identifier: Apache-2.0 */
/* serve/worker.c - a command of memtrace in a process of its own, with limits.
 * Knows: fork, limits, descriptors. Does not know: what the command does.
 * Called by serve/; calls base/ and the kernel. */
#include "serve/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 32
#define NO_GROUP 65534		/* whose files nobody has for being in it */

static void limit(int resource, uint64_t value)
{
	struct rlimit r;
	if (!value || getrlimit(resource, &r))
		return;
	if (r.rlim_max != RLIM_INFINITY && value > r.rlim_max)
		value = r.rlim_max;
	r.rlim_cur = r.rlim_max = value;
	setrlimit(resource, &r);
}

static void set_limits(const struct worker_spec *spec)
{
	struct rlimit none = { 0, 0 };
	limit(RLIMIT_AS, spec->memory);
	limit(RLIMIT_FSIZE, spec->file_size);
	limit(RLIMIT_CPU, spec->seconds);
	setrlimit(RLIMIT_CORE, &none);
}

/* Signals as a program expects them: ours are blocked, for ppoll() to take. */
static void reset_signals(void)
{
	sigset_t none;
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Descriptors 0 to 4 as the child has them, the rest closed. They are first moved out of the way, so
 * that none is overwritten before it is used. */
static bool place_files(const struct worker_spec *spec, const struct worker *c)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int from[3 + WORKER_FILES] = { null, c->out, c->err, spec->files[0], spec->files[1] };
	for (int i = 0; i < 3 + (int)WORKER_FILES; i++)
		if (from[i] >= 0 && (from[i] = fcntl(from[i], F_DUPFD, 3 + (int)WORKER_FILES)) < 0)
			return false;
	int last = 2;
	for (int i = 0; i < 3 + (int)WORKER_FILES; i++) {
		if (from[i] < 0)
			continue;
		if (dup2(from[i], i) < 0)
			return false;
		last = i;
	}
	return !syscall(SYS_close_range, (unsigned)last + 1, ~0u, 0u);
}

/* For good: no identity of before is kept to go back to. */
static bool become(uid_t owner)
{
	if (!owner)
		return true;
	return !setgroups(0, NULL) && !setresgid(NO_GROUP, NO_GROUP, NO_GROUP) &&
	       !setresuid(owner, owner, owner);
}

static void in_child(const struct worker_spec *spec, const struct worker *c, pid_t parent)
{
	char *argv[ARGS_MAX + 2] = { (char *)"memtrace" };
	/* A group of its own: Ctrl-C on the server's terminal is for the server to act on. */
	setpgid(0, 0);
	if (spec->folder >= 0 && fchdir(spec->folder))
		return;
	if (!place_files(spec, c))
		return;
	reset_signals();
	set_limits(spec);
	if (spec->no_network)
		unsetenv("DEBUGINFOD_URLS");
	if (!become(spec->owner))
		return;
	prctl(PR_SET_PDEATHSIG, spec->death_signal);	/* last: another user's clears it */
	if (getppid() != parent)
		return;			/* it ended before that was set */
	if (spec->run) {
		spec->run(spec->arg);
		_exit(0);		/* lint: allow, the end of a fork */
	}
	for (int i = 0; i < ARGS_MAX && spec->argv[i]; i++)
		argv[i + 1] = (char *)spec->argv[i];
	execv("/proc/self/exe", argv);
}

struct mt_error *worker_start(const struct worker_spec *spec, struct worker *ret)
{
	auto_close int out = memfd_create("memtrace-output", MFD_CLOEXEC);
	auto_close int err = memfd_create("memtrace-messages", MFD_CLOEXEC);
	if (out < 0 || err < 0)
		return mt_error_os(errno, "cannot start a process");
	struct worker c = { .out = out, .err = err };
	pid_t parent = getpid();
	c.pid = fork();
	if (c.pid < 0)
		return mt_error_os(errno, "cannot start a process");
	if (!c.pid) {
		in_child(spec, &c, parent);
		_exit(127);		/* lint: allow, the end of a fork */
	}
	c.pidfd = (int)syscall(SYS_pidfd_open, c.pid, 0);	/* close-on-exec by itself */
	if (c.pidfd < 0) {
		int saved = errno;
		kill(c.pid, SIGKILL);
		waitpid(c.pid, NULL, 0);
		return mt_error_os(saved, "cannot watch a process");
	}
	take_fd(&out);
	take_fd(&err);
	*ret = c;
	return NULL;
}

bool worker_ended(struct worker *c, int *status_ret)
{
	if (!c->pid || waitpid(c->pid, status_ret, WNOHANG) != c->pid)
		return false;
	c->pid = 0;
	close(c->pidfd);
	c->pidfd = -1;
	return true;
}

void worker_signal(const struct worker *c, int sig)
{
	if (c->pid)
		kill(c->pid, sig);	/* ours until waited for: the number is not another's */
}

void worker_deinit(struct worker *c)
{
	if (c->pid) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	}
	mt_cleanup_close(&c->pidfd);
	mt_cleanup_close(&c->out);
	mt_cleanup_close(&c->err);
	*c = WORKER_NONE;
}

void worker_messages(const struct worker *c, char *ret, size_t size)
{
	static const char prefix[] = "memtrace: ";
	ssize_t n = c->err >= 0 ? pread(c->err, ret, size - 1, 0) : 0;
	char *to = ret;
	ret[n > 0 ? n : 0] = 0;
	for (const char *from = ret; *from;) {
		if (!strncmp(from, prefix, sizeof(prefix) - 1))
			from += sizeof(prefix) - 1;
		size_t len = strcspn(from, "\n");
		len += from[len] == '\n';
		memmove(to, from, len);
		to += len;
		from += len;
	}
	while (to > ret && to[-1] == '\n')
		to--;
	*to = 0;
}
