/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/no_ptrace.c - preloaded into memtrace, stands for a kernel that refuses to trace, as
 * Yama's scope 3 does: no ptrace, no other process's memory, nothing that its /proc shows to tracers only.
 * Knows: the calls that ask for permission. Does not know: memtrace. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/uio.h>

static int is_for_tracers(const char *path)
{
	int pid, tid, end = 0;
	if (sscanf(path, "/proc/%d/mem%n", &pid, &end) == 1 && end && !path[end])
		return 1;
	end = 0;
	return sscanf(path, "/proc/%d/task/%d/syscall%n", &pid, &tid, &end) == 2 && end && !path[end];
}

static int open_as(const char *name, const char *path, int flags, va_list rest)
{
	mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
	int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
	if (!is_for_tracers(path))
		return real(path, flags, mode);
	errno = EACCES;
	return -1;
}

int open(const char *path, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	int fd = open_as("open", path, flags, rest);
	va_end(rest);
	return fd;
}

int open64(const char *path, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	int fd = open_as("open64", path, flags, rest);
	va_end(rest);
	return fd;
}

long ptrace(int request, ...)
{
	(void)request;
	errno = EPERM;
	return -1;
}

ssize_t process_vm_readv(pid_t pid, const struct iovec *local, unsigned long locals,
			 const struct iovec *remote, unsigned long remotes, unsigned long flags)
{
	(void)pid, (void)local, (void)locals, (void)remote, (void)remotes, (void)flags;
	errno = EPERM;
	return -1;
}
