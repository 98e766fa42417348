/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_dlopen.c - loads a library late, uses it at once, unloads it, loads it again.
 * Knows: what is allocated (alloc_ledger.h). Does not know: memtrace.
 * Usage: alloc_dlopen LIBRARY [COPY [BLOCKED]]: a second thread is in dlopen(BLOCKED) soon after the first
 * has loaded LIBRARY. Used by tests/e2e/test_exact_c.py. */
#include "alloc_ledger.h"

#include <dlfcn.h>
#include <pthread.h>

static void *blocks[64];
static int block_count;

static void note(const char *function, int line, size_t size, void *p)
{
	/* The name lives in the library, which is unloaded before the ledger is printed. */
	blocks[block_count++] = ledger_got(strcmp(function, "late_work") ? "?" : "late_work", line,
					   "late", p, size);
}

static NOINLINE void load_and_use(const char *path, int flags, int close)
{
	void *handle = dlopen(path, flags);
	if (!handle)
		ledger_die(dlerror());
	void (*work)(void (*)(const char *, int, size_t, void *)) =
		(void (*)(void (*)(const char *, int, size_t, void *)))dlsym(handle, "late_work");
	work(note);
	void (**late_free)(void *) = (void (**)(void *))dlsym(handle, "late_free");
	GONE(blocks[block_count - 1]);
	(*late_free)(blocks[block_count - 1]);
	if (close)
		dlclose(handle);
}

static void *load_blocked(void *path)
{
	usleep(300000);		/* the first dlopen() is done, but for what memtrace makes of it */
	dlopen(path, RTLD_NOW);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	if (argc < 2)
		return 2;
	ledger_wait("ready");
	if (argc > 3) {
		if (pthread_create(&thread, NULL, load_blocked, argv[3]))
			ledger_die("no thread");
		load_and_use(argv[1], RTLD_NOW | RTLD_LOCAL, 0);
		pthread_join(thread, NULL);
	} else {
		load_and_use(argv[1], RTLD_NOW | RTLD_LOCAL, 1);
		load_and_use(argv[1], RTLD_LAZY | RTLD_GLOBAL, 0);
		if (argc > 2)
			load_and_use(argv[2], RTLD_LAZY | RTLD_LOCAL, 0);
	}
	ledger_print();
	ledger_wait("done");
	return 0;
}
