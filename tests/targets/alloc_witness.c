/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_witness.c - counts a program's allocations by LD_PRELOAD, as a second opinion.
 * Knows: calls that reach malloc and its family. Does not know: memtrace, stacks.
 * Used by tests/e2e/test_exact_witness.py. */
/* At exit it writes "COUNT BYTES" to the file that WITNESS names. What the dynamic loader allocates
 * for itself does not count (memtrace does not see it), nor what an allocation function calls. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_ulong count, bytes;
static __thread int depth __attribute__((tls_model("initial-exec")));
static uintptr_t loader_start, loader_end;
static char early[65536];	/* dlsym() itself may call calloc() before ours is known */
static size_t early_used;
static int looking_up;

static void find_loader(void)
{
	char line[512];
	FILE *f = fopen("/proc/self/maps", "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long from, to;
		if (!strstr(line, "/ld-linux") || sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		if (!loader_start)
			loader_start = from;
		loader_end = to;
	}
	if (f)
		fclose(f);
}

static void note(const void *p, size_t size, void *caller)
{
	if (!p || depth)
		return;
	if (!loader_start) {
		depth++;
		find_loader();
		depth--;
	}
	if ((uintptr_t)caller >= loader_start && (uintptr_t)caller < loader_end)
		return;
	atomic_fetch_add(&count, 1);
	atomic_fetch_add(&bytes, size);
}

static void *next(const char *name)
{
	looking_up = 1;
	void *f = dlsym(RTLD_NEXT, name);
	looking_up = 0;
	return f;
}

#define WITNESS(name, size, parameters, arguments)			\
	void *name parameters						\
	{								\
		static void *(*real) parameters;			\
		if (!real)						\
			real = (void *(*) parameters)next(#name);	\
		depth++;						\
		void *p = real arguments;				\
		depth--;						\
		note(p, size, __builtin_return_address(0));		\
		return p;						\
	}

WITNESS(malloc, n, (size_t n), (n))
WITNESS(realloc, n, (void *old, size_t n), (old, n))
WITNESS(reallocarray, m * n, (void *old, size_t m, size_t n), (old, m, n))
WITNESS(memalign, n, (size_t align, size_t n), (align, n))
WITNESS(aligned_alloc, n, (size_t align, size_t n), (align, n))
WITNESS(valloc, n, (size_t n), (n))
WITNESS(pvalloc, n, (size_t n), (n))

void *calloc(size_t m, size_t n)
{
	static void *(*real)(size_t, size_t);
	if (looking_up) {
		early_used += (m * n + 15) & ~15ul;
		return early + early_used - ((m * n + 15) & ~15ul);
	}
	if (!real)
		real = (void *(*)(size_t, size_t))next("calloc");
	depth++;
	void *p = real(m, n);
	depth--;
	note(p, m * n, __builtin_return_address(0));
	return p;
}

int posix_memalign(void **out, size_t align, size_t n)
{
	static int (*real)(void **, size_t, size_t);
	if (!real)
		real = (int (*)(void **, size_t, size_t))next("posix_memalign");
	depth++;
	int rc = real(out, align, n);
	depth--;
	note(rc ? NULL : *out, n, __builtin_return_address(0));
	return rc;
}

__attribute__((destructor)) static void tell(void)
{
	char text[64];
	depth++;
	const char *path = getenv("WITNESS");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
	int n = snprintf(text, sizeof(text), "%lu %lu\n", atomic_load(&count), atomic_load(&bytes));
	if (fd >= 0 && write(fd, text, (size_t)n) == n)
		close(fd);
}
