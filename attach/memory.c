/* SPDX-License-Identifier: Apache-2.0 */
/* attach/memory.c - reads and writes a live process's memory.
 * Knows: pid, addresses, lengths. Does not know: what the bytes mean.
 * Called by attach/, inject/ and record/; calls base/ and the kernel. */
#include "attach/tracee_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define PAGE 4096ull

/* Errno policy: ESRCH and an end of file mean that the address space is gone; ENOSYS and EPERM of
 * process_vm_readv (old kernels, seccomp profiles of containers) mean that /proc/PID/mem is asked
 * instead; EFAULT and EIO are about the address. */

static struct mt_error *memory_gone(const struct tracee *t)
{
	return mt_error_create(MT_ERROR_GONE, "process %d is gone", (int)t->pid);
}

static int mem_open(const struct tracee *t)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)proc_living(t->pid));
	int fd = open(path, O_RDWR | O_CLOEXEC);
	return fd >= 0 ? fd : open(path, O_RDONLY | O_CLOEXEC);
}

/* The file stands for the address space of the moment it was opened; after exec it reads as empty
 * and has to be opened again. */
static int mem_fd(const struct tracee *t, bool again)
{
	if (t->cooperates)	/* opened by the process: the kernel asks then, not when it is used */
		return t->cooperation.memory;
	int *fd = (int *)&t->mem_fd;	/* a cache: the tracee is the same with or without it */
	if (again && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	if (*fd < 0)
		*fd = mem_open(t);
	return *fd;
}

static ssize_t file_read(const struct tracee *t, uint64_t address, void *buf, size_t size)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		int fd = mem_fd(t, attempt > 0);
		if (fd < 0)
			return -1;
		ssize_t n = pread(fd, buf, size, (off_t)address);
		if (n != 0)
			return n;
	}
	errno = ESRCH;
	return -1;
}

/* A dead main thread has no memory to its number: another thread's serves as well. */
static ssize_t vm_readv(const struct tracee *t, const struct iovec *local, const struct iovec *remote,
			size_t count)
{
	ssize_t n = process_vm_readv(t->living, local, 1, remote, count, 0);
	if (n >= 0 || errno != ESRCH)
		return n;
	*(pid_t *)&t->living = proc_living(t->pid);	/* a cache, too */
	return process_vm_readv(t->living, local, 1, remote, count, 0);
}

/* Up to `size` bytes, fewer at the first page that cannot be read. */
static size_t vm_read(const struct tracee *t, uint64_t address, void *buf, size_t size,
		      int *errnum_ret)
{
	size_t done = 0;
	*errnum_ret = 0;
	while (done < size) {
		struct iovec local = { (char *)buf + done, size - done };
		struct iovec remote = { (void *)(uintptr_t)(address + done), size - done };
		ssize_t n = vm_readv(t, &local, &remote, 1);
		if (n <= 0) {
			*errnum_ret = n < 0 ? errno : EFAULT;
			break;
		}
		done += (size_t)n;
	}
	return done;
}

size_t tracee_read_some(const struct tracee *t, uint64_t address, void *buf, size_t size)
{
	int errnum;
	size_t done = vm_read(t, address, buf, size, &errnum);
	if (done || errnum == EFAULT || errnum == 0)
		return done;
	while (done < size) {
		ssize_t n = file_read(t, address + done, (char *)buf + done, size - done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

#define WORDS_STEP 256u

void tracee_read_words(const struct tracee *t, const uint64_t *addresses, size_t count,
		       uint64_t *ret)
{
	struct iovec remote[WORDS_STEP];
	for (size_t at = 0; at < count;) {
		size_t n = count - at < WORDS_STEP ? count - at : WORDS_STEP;
		for (size_t i = 0; i < n; i++)
			remote[i] = (struct iovec){ (void *)(uintptr_t)addresses[at + i], 8 };
		struct iovec local = { ret + at, n * 8 };
		ssize_t got = vm_readv(t, &local, remote, n);
		size_t whole = got > 0 ? (size_t)got / 8 : 0;
		at += whole;
		if (whole == n)
			continue;
		/* It ended at this one: alone, and the next ones together again. */
		uint64_t word;
		ret[at] = tracee_read_some(t, addresses[at], &word, 8) == 8 ? word : 0;
		at++;
	}
}

struct mt_error *tracee_read(const struct tracee *t, uint64_t address, void *buf, size_t size)
{
	int errnum;
	size_t done = vm_read(t, address, buf, size, &errnum);
	/* The file also reaches pages that the process itself may not read. */
	while (done < size) {
		ssize_t n = file_read(t, address + done, (char *)buf + done, size - done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done == size)
		return NULL;
	if (!tracee_alive(t) || errnum == ESRCH)
		return memory_gone(t);
	struct mt_error *err = mt_error_os(errnum ? errnum : EFAULT,
		"cannot read %zu bytes at 0x%" PRIx64 " of process %d", size, address, (int)t->pid);
	if (!err->is_static)
		err->address = address + done;
	return err;
}

struct mt_error *tracee_read_string(const struct tracee *t, uint64_t address, size_t max,
				    char **ret)
{
	char *s = NULL;
	size_t len = 0;
	while (len < max) {
		/* Never across a page: the next one need not be there. */
		size_t chunk = (size_t)(PAGE - (address + len) % PAGE);
		if (chunk > max - len)
			chunk = max - len;
		if (chunk > 256)
			chunk = 256;
		char *bigger = realloc(s, len + chunk + 1);
		if (!bigger) {
			free(s);
			return &mt_enomem;
		}
		s = bigger;
		struct mt_error *err = tracee_read(t, address + len, s + len, chunk);
		if (err) {
			free(s);
			return err;
		}
		if (memchr(s + len, 0, chunk)) {
			*ret = s;
			return NULL;
		}
		len += chunk;
	}
	free(s);
	struct mt_error *err = mt_error_create(MT_ERROR_OTHER,
		"text at 0x%" PRIx64 " of process %d does not end within %zu bytes", address,
		(int)t->pid, max);
	if (!err->is_static)
		err->address = address;
	return err;
}

static struct tracee_thread *any_held(const struct tracee *t)
{
	for (size_t i = 0; i < t->threads.len; i++)
		if (t->threads.items[i]->held)
			return t->threads.items[i];
	return NULL;
}

/* Kernels with proc_mem.force_override may forbid the file to reach read-only pages; a tracer's
 * POKEDATA still may. */
static bool poke(pid_t tid, uint64_t address, const uint8_t *data, size_t size)
{
	while (size) {
		uint64_t base = address & ~7ull;
		size_t skip = (size_t)(address - base);
		size_t n = 8 - skip < size ? 8 - skip : size;
		uint64_t word = 0;
		if (n < 8) {
			errno = 0;
			word = (uint64_t)ptrace(PTRACE_PEEKDATA, tid, base, NULL);
			if (errno)
				return false;
		}
		memcpy((uint8_t *)&word + skip, data, n);
		if (ptrace(PTRACE_POKEDATA, tid, base, word) < 0)
			return false;
		address += n;
		data += n;
		size -= n;
	}
	return true;
}

struct mt_error *tracee_write(const struct tracee *t, uint64_t address, const void *buf,
			      size_t size)
{
	const uint8_t *data = buf;
	size_t done = 0;
	int errnum = EIO;
	bool again = false;
	while (done < size) {
		int fd = mem_fd(t, again);
		ssize_t n = fd < 0 ? -1 : pwrite(fd, data + done, size - done,
						 (off_t)(address + done));
		if (n < 0)
			errnum = errno;
		if (n == 0 && !again) {
			again = true;
			continue;
		}
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done == size)
		return NULL;
	if (!tracee_alive(t))
		return memory_gone(t);
	const struct tracee_thread *held = any_held(t);
	if (held && poke(held->tid, address + done, data + done, size - done))
		return NULL;
	struct mt_error *err = mt_error_os(errnum,
		"cannot write %zu bytes at 0x%" PRIx64 " of process %d", size, address, (int)t->pid);
	if (!err->is_static)
		err->address = address + done;
	return err;
}
