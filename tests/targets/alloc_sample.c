/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_sample.c - allocates blocks of known sizes, in known numbers, on some threads.
 * Usage: alloc_sample THREADS ROUNDS; used by tests/e2e/test_sample.py, which knows the sums:
 * every round allocates each of sizes[] once and frees it, moves one block from 3000 to 5000 bytes,
 * and keeps one block of 700 bytes for ever. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const size_t sizes[] = { 16, 100, 1000, 4000, 20000, 100000 };
#define COUNT (sizeof(sizes) / sizeof(sizes[0]))

static long rounds;

struct kept {
	struct kept *next;
	char rest[700 - sizeof(struct kept *)];
};

static void fail_on(int failed)
{
	if (!failed)
		return;
	perror("alloc_sample");
	exit(1);
}

static void *work(void *arg)
{
	struct kept **all = arg;
	for (long i = 0; i < rounds; i++) {
		void *blocks[COUNT];
		for (size_t k = 0; k < COUNT; k++)
			fail_on(!(blocks[k] = malloc(sizes[k])));
		void *moved = malloc(3000);
		fail_on(!moved || !(moved = realloc(moved, 5000)));
		for (size_t k = 0; k < COUNT; k++)
			free(blocks[(k + (size_t)i) % COUNT]);
		free(moved);
		struct kept *kept = malloc(sizeof(*kept));
		fail_on(!kept);
		kept->next = *all;
		*all = kept;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 2 ? atoi(argv[1]) : 0;
	pthread_t ids[64];
	static struct kept *all[64];
	if (threads < 1 || threads > 64)
		return 2;
	rounds = atol(argv[2]);
	for (int i = 0; i < threads; i++)
		fail_on(pthread_create(&ids[i], NULL, work, &all[i]) != 0);
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	return all[0] == NULL;
}
