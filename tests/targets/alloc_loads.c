/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_loads.c - threads that load a library each, use it at once and unload it, again and again:
 * the libraries take each other's places in memory. With -DLIBRARY it is such a library.
 * Knows: how many blocks that makes, prints it. Does not know: memtrace.
 * Usage: alloc_loads ROUNDS LIBRARY...; used by tests/e2e/test_exact_c.py. */
#include <stdlib.h>

#ifdef LIBRARY
__attribute__((noinline)) int loaded_work(void)
{
	int count = 0;
	for (int i = 0; i < 100; i++) {
		void *volatile p = malloc(77777);
		count += p != NULL;
		free(p);
	}
	return count;
}
#else
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#define THREADS_MAX 16

static int rounds;
static long total;

static void *load_and_unload(void *path)
{
	for (int i = 0; i < rounds; i++) {
		void *handle = dlopen(path, RTLD_NOW);
		int (*work)(void) = handle ? (int (*)(void))dlsym(handle, "loaded_work") : NULL;
		if (!work) {
			puts(dlerror());
			exit(3);
		}
		__atomic_add_fetch(&total, work(), __ATOMIC_RELAXED);
		dlclose(handle);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	if (argc < 3 || argc > 2 + THREADS_MAX)
		return 2;
	rounds = atoi(argv[1]);
	for (int i = 2; i < argc; i++)
		if (pthread_create(&threads[i - 2], NULL, load_and_unload, argv[i]))
			return 3;
	for (int i = 2; i < argc; i++)
		pthread_join(threads[i - 2], NULL);
	printf("%ld blocks\n", total);
	return 0;
}
#endif
