/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fault/fault.c - numbers the calls by which memtrace touches a target or a file, and makes
 * something happen at one of them.
 * Knows: names and failure values of calls of libc. Does not know: what memtrace does by them.
 * Linked by `make FAULT=1` alone, with the same objects as the program itself: the linker's --wrap
 * leads their calls here. The Makefile takes the names from the lines that begin with WRAP.
 *
 * Environment:
 *	MEMTRACE_FAULT=WHAT		what happens at step N, the first is 1:
 *		kill:N			SIGKILL for this process, before the call
 *		signal:N:SIGNO[:TIMES]	a signal for this process, before the call
 *		target:N:SIGNO		the same for the target
 *		fail:N:ERRNO[:TIMES]	the call is not made and fails; TIMES: so do the next calls of
 *					the same function
 *		short:N			a read or write does half of what it was asked
 *		delay:N:US		a pause before the call
 *		nomem:N			the N-th allocation of memory fails, counted apart
 *	MEMTRACE_FAULT_PID=PID		the target, until a fork of this process makes one
 *	MEMTRACE_FAULT_LOG=FILE		a line per step is appended: number, name, argument; at the
 *					end one "end", with the numbers of steps and allocations
 *	MEMTRACE_FAULT_BACKGROUND=1	steps are those of the first child: it is this process that has
 *					gone to the background
 *
 * A wait that is asked again and again is one step, so that the numbers of two runs are about the
 * same. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* The calls of this file itself are no steps. */
long __real_syscall(long nr, long a, long b, long c, long d, long e, long f);
static long kernel(long nr, long a, long b, long c, long d)
{
	return __real_syscall(nr, a, b, c, d, 0, 0);
}

enum what { NOTHING, KILL, SIGNAL, TARGET, FAIL, SHORT, DELAY, NOMEM };

static struct {
	enum what what;
	unsigned long at, steps, allocations;
	long arg, times;
	const char *failing, *last;	/* names of calls */
	pid_t target;
	int log;
	bool off;			/* in a child */
	bool background;		/* but not in the first one */
	bool cut;			/* this call is to be made short */
} fault = { .log = -1 };

static void open_log(void)
{
	const char *log = getenv("MEMTRACE_FAULT_LOG");
	if (log)
		fault.log = (int)kernel(SYS_openat, AT_FDCWD, (long)log,
					O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

__attribute__((constructor)) static void read_environment(void)
{
	static const char *const names[] = { "", "kill", "signal", "target", "fail", "short", "delay",
					     "nomem" };
	const char *text = getenv("MEMTRACE_FAULT"), *pid = getenv("MEMTRACE_FAULT_PID");
	char name[16] = "";
	fault.times = 1;
	if (text && sscanf(text, "%15[a-z]:%lu:%ld:%ld", name, &fault.at, &fault.arg, &fault.times) < 2) {
		fprintf(stderr, "MEMTRACE_FAULT is not understood: '%s'\n", text);
		_exit(125);
	}
	for (size_t i = 1; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			fault.what = (enum what)i;
	fault.target = pid ? atoi(pid) : 0;
	fault.off = fault.background = getenv("MEMTRACE_FAULT_BACKGROUND") != NULL;
	open_log();
}

static void write_log(const char *name, const char *text, long argument)
{
	char line[320];
	int n = text ? snprintf(line, sizeof(line), "%lu %s %s\n", fault.steps, name, text) :
		       snprintf(line, sizeof(line), "%lu %s %#lx\n", fault.steps, name, argument);
	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	if (fault.log >= 0)
		kernel(SYS_write, fault.log, (long)line, n, 0);
}

/* A signal to this process is taken before the call returns. */
static void act(void)
{
	struct timespec ts = { fault.arg / 1000000, fault.arg % 1000000 * 1000 };
	pid_t self = (pid_t)kernel(SYS_getpid, 0, 0, 0, 0);
	switch (fault.what) {
	case KILL:
		kernel(SYS_kill, self, SIGKILL, 0, 0);
		break;
	case SIGNAL:
		for (long i = 0; i < fault.times; i++)
			kernel(SYS_kill, self, fault.arg, 0, 0);
		break;
	case TARGET:
		if (fault.target > 0)
			kernel(SYS_kill, fault.target, fault.arg, 0, 0);
		break;
	case DELAY:
		kernel(SYS_nanosleep, (long)&ts, 0, 0, 0);
		break;
	case SHORT:
		fault.cut = true;
		break;
	case FAIL:
	case NOMEM:
	case NOTHING:
		break;
	}
}

/* True: the call is to fail, with errno. */
static bool step(const char *name, const char *text, long argument)
{
	int saved = errno;
	fault.cut = false;
	if (fault.off)
		return false;
	bool again = name == fault.last && !strncmp(name, "wait", 4);
	fault.last = name;
	if (!again) {
		fault.steps++;
		write_log(name, text, argument);
		if (fault.steps == fault.at) {
			act();
			if (fault.what == FAIL)
				fault.failing = name;
		}
	}
	if (fault.failing == name && fault.times > 0) {
		fault.times--;
		errno = (int)fault.arg;
		return true;
	}
	errno = saved;
	return false;
}

static size_t cut(size_t size)
{
	return fault.cut && size > 1 ? size / 2 : size;
}

#define WRAP(type, name, params, args, failure, text, argument)			\
	type __real_##name params;						\
	type __wrap_##name params;						\
	type __wrap_##name params						\
	{									\
		if (step(#name, text, (long)(argument)))			\
			return failure;						\
		return __real_##name args;					\
	}

/* ---- the target ---- */
WRAP(long, ptrace, (long req, pid_t pid, void *addr, void *data), (req, pid, addr, data), -1, NULL, req)
WRAP(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options), -1, NULL, pid)
WRAP(int, waitid, (int t, id_t id, siginfo_t *si, int options), (t, id, si, options), -1, NULL, id)
WRAP(ssize_t, process_vm_readv, (pid_t pid, const struct iovec *to, unsigned long n,
	const struct iovec *from, unsigned long m, unsigned long flags),
     (pid, to, n, from, m, flags), -1, NULL, from->iov_base)
WRAP(int, kill, (pid_t pid, int sig), (pid, sig), -1, NULL, sig)
WRAP(int, prlimit, (pid_t pid, int what, const struct rlimit *to, struct rlimit *old),
     (pid, what, to, old), -1, NULL, what)
WRAP(int, poll, (struct pollfd *fds, nfds_t n, int ms), (fds, n, ms), -1, NULL, n)

/* ---- files: of /proc, memory files, the capture ---- */
WRAP(int, open, (const char *path, int flags, mode_t mode), (path, flags, mode), -1, path, 0)
WRAP(ssize_t, read, (int fd, void *buf, size_t size), (fd, buf, cut(size)), -1, NULL, fd)
WRAP(ssize_t, pread, (int fd, void *buf, size_t size, off_t at), (fd, buf, cut(size), at), -1, NULL, at)
WRAP(ssize_t, write, (int fd, const void *buf, size_t size), (fd, buf, cut(size)), -1, NULL, fd)
WRAP(ssize_t, pwrite, (int fd, const void *buf, size_t size, off_t at),
     (fd, buf, cut(size), at), -1, NULL, at)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), -1, NULL, size)
WRAP(int, unlink, (const char *path), (path), -1, path, 0)
WRAP(int, rename, (const char *from, const char *to), (from, to), -1, to, 0)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), -1, NULL, fd)
WRAP(int, fcntl, (int fd, int cmd, long arg), (fd, cmd, arg), -1, NULL, cmd)
WRAP(ssize_t, readlink, (const char *path, char *buf, size_t size), (path, buf, size), -1, path, 0)
WRAP(DIR *, opendir, (const char *path), (path), NULL, path, 0)
WRAP(struct dirent *, readdir, (DIR *dir), (dir), NULL, NULL, 0)
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL, path, 0)
WRAP(void *, mmap, (void *at, size_t size, int prot, int flags, int fd, off_t offset),
     (at, size, prot, flags, fd, offset), MAP_FAILED, NULL, size)
WRAP(int, munmap, (void *at, size_t size), (at, size), -1, NULL, size)

/* ---- processes, and what has no function in libc ---- */
WRAP(int, pipe2, (int fds[2], int flags), (fds, flags), -1, NULL, flags)
WRAP(long, syscall, (long nr, long a, long b, long c, long d, long e, long f),
     (nr, a, b, c, d, e, f), -1, NULL, nr)

/* ---- memory ---- */
static bool no_memory(void)
{
	if (++fault.allocations != fault.at || fault.what != NOMEM || fault.off)
		return false;
	errno = ENOMEM;
	return true;
}

#define WRAP_MEMORY(type, name, params, args)		\
	type __real_##name params;			\
	type __wrap_##name params;			\
	type __wrap_##name params			\
	{						\
		return no_memory() ? NULL : __real_##name args; \
	}

WRAP_MEMORY(void *, malloc, (size_t size), (size))
WRAP_MEMORY(void *, calloc, (size_t count, size_t size), (count, size))
WRAP_MEMORY(void *, realloc, (void *p, size_t size), (p, size))
WRAP_MEMORY(char *, strdup, (const char *text), (text))

__attribute__((destructor)) static void write_end(void)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "end %lu %lu\n", fault.steps, fault.allocations);
	if (fault.log >= 0)
		kernel(SYS_write, fault.log, (long)line, n, 0);
}

/* ---- fork, whose name the Makefile knows ---- */

/* A child is a target: nothing happens in it by itself. */
pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __wrap_fork(void)
{
	if (step("fork", NULL, 0))
		return -1;
	pid_t pid = __real_fork();
	if (!pid) {
		fault.off = !fault.background;
		fault.background = false;
		if (!fault.off)		/* what was inherited has been closed */
			open_log();
	} else if (!fault.background)
		fault.target = pid;
	return pid;
}
