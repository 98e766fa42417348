/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/acceptance/helper.c - one entry point per allocation function, for rows in Python.
 * Knows: malloc and its family. Does not know: Python, memtrace.
 * Loaded by ctypes in tests/targets/acceptance/*.py; its calls go through slots of its own, as those of
 * any library do, and not through the pointers that dlsym answered to ctypes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

/* C23's, which a C library may lack: helper_sized.c then has them. */
void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t alignment, size_t size);

static void *volatile nothing;		/* realloc(NULL, n) would become malloc(n) */

void *a_malloc(size_t size)
{
	return malloc(size);
}

void *a_calloc(size_t size)
{
	return calloc(1, size);
}

void *a_realloc(size_t size)
{
	return realloc(nothing, size);
}

void *a_posix_memalign(size_t size)
{
	void *p = NULL;
	return posix_memalign(&p, 64, size) ? NULL : p;
}

void *a_aligned_alloc(size_t size)
{
	return aligned_alloc(8, size);
}

void *a_memalign(size_t size)
{
	return memalign(64, size);
}

void *a_valloc(size_t size)
{
	return valloc(size);
}

void *a_pvalloc(size_t size)
{
	return pvalloc(size);
}

void a_free(void *p)
{
	free(p);
}

void a_free_sized(void *p, size_t size)
{
	free_sized(p, size);
}

void a_free_aligned_sized(void *p, size_t alignment, size_t size)
{
	free_aligned_sized(p, alignment, size);
}

void *a_mmap(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

/* Address space for mappings side by side. By the system call, so that it is no mapping of the row's. */
void *reserve(size_t size)
{
	long p = syscall(SYS_mmap, NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == -1 ? NULL : (void *)p;
}

void *a_mmap_at(void *at, size_t size)
{
	void *p = mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

int a_munmap(char *p, size_t size)
{
	return munmap(p, size);
}

/* Two places of one Python line. */

NOINLINE void *from_here(size_t size)
{
	return valloc(size);
}

NOINLINE void *from_there(size_t size)
{
	return valloc(size);
}

void from_both(void **kept, size_t size)
{
	kept[0] = from_here(size);
	kept[1] = from_there(size);
}

/* Stacks. */

void *wait_and_valloc(int fd, size_t size)
{
	char byte;
	return read(fd, &byte, 1) == 1 ? valloc(size) : NULL;
}

NOINLINE void *native_baz(size_t size)
{
	return valloc(size);
}

NOINLINE void *native_bar(size_t size)
{
	return native_baz(size);
}

void *native_foo(size_t size)
{
	return native_bar(size);
}

NOINLINE void *native_deeper(int depth)
{
	void *volatile p = depth ? native_deeper(depth - 1) : valloc(1024);
	return p;
}

void *native_recursion(int depth)
{
	return native_deeper(depth);
}

NOINLINE void allocate_memory(void)
{
	void *p = NULL;
	if (!posix_memalign(&p, sizeof(p), 1024))
		free(p);
}

static void *worker(void *unused)
{
	for (int i = 0; i < 100; i++)
		allocate_memory();
	return unused;
}

int hundred_threads(void)
{
	pthread_t threads[100];
	for (int i = 0; i < 100; i++)
		if (pthread_create(&threads[i], NULL, worker, NULL))
			return -1;
	for (int i = 0; i < 100; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static void *calling(void *callback)
{
	((void (*)(void))callback)();
	return NULL;
}

int call_in_raw_thread(void (*callback)(void))
{
	pthread_t thread;
	return pthread_create(&thread, NULL, calling, (void *)callback) || pthread_join(thread, NULL);
}

/* Some frames of C between two of Python's. */
NOINLINE int native_between(int depth, void (*callback)(void))
{
	if (depth)
		return native_between(depth - 1, callback) + 1;
	callback();
	return 0;
}

void *use_library(const char *path, size_t size)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	void *(*allocate)(size_t) = library ? (void *(*)(size_t))dlsym(library, "native_foo") : NULL;
	return allocate ? allocate(size) : NULL;
}

void leave(int code)
{
	exit(code);
}

static pthread_key_t key;

static void at_exit(void *size)
{
	free(valloc((size_t)size));
}

static void *with_key(void *size)
{
	pthread_setspecific(key, size);
	return NULL;
}

int valloc_at_thread_exit(size_t size)
{
	pthread_t thread;
	if (!key && pthread_key_create(&key, at_exit))
		return -1;
	return pthread_create(&thread, NULL, with_key, (void *)size) || pthread_join(thread, NULL);
}

/* Names of threads: one of its own; one that another gives it. */

int name_myself(const char *name)
{
	return prctl(PR_SET_NAME, name, 0, 0, 0);
}

unsigned long myself(void)
{
	return pthread_self();
}

int name_other(unsigned long thread, const char *name)
{
	return pthread_setname_np(thread, name);
}

/* A thread that Python does not know. */

static void *raw_thread(void *size)
{
	void *p = valloc((size_t)size);
	free(p);
	return p;
}

void *in_raw_thread(size_t size)
{
	pthread_t thread;
	void *address;
	if (pthread_create(&thread, NULL, raw_thread, (void *)size) || pthread_join(thread, &address))
		return NULL;
	return address;
}
