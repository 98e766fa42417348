/* SPDX-License-Identifier: Apache-2.0 */
/* bench/storm.c - programs in C that do nothing but allocate, on several threads.
 * Knows: shapes of stacks, clocks. Does not know: that somebody may record it.
 * Started by bench/run.py; a line "KIND DEPTH THREADS" on stdin is answered by "seconds".
 *	storm	malloc and free at once, DEPTH frames down
 *	tree	a walk over a random tree that allocates on the way in and frees on the way out
 *	reuse	blocks of many sizes that another thread frees */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAIRS 5000000
#define TREE_NODES 2000000
#define REUSE_PAIRS 1000000
#define PLACES 4096
#define THREADS_MAX 64

static int depth, threads;
static void *places[PLACES];

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static __attribute__((noinline)) void pairs(long count)
{
	for (long i = 0; i < count; i++) {
		void *volatile block = malloc(64);
		free(block);
	}
}

static __attribute__((noinline)) int down(int n, long count)
{
	volatile int result = 0;	/* kept as a call */
	if (n > 1)
		result = down(n - 1, count) + 1;
	else
		pairs(count);
	return result;
}

static void *storm(void *seed)
{
	(void)seed;
	down(depth - 4, PAIRS / threads);	/* pairs, storm and the thread's start are frames, too */
	return NULL;
}

static long walk(int level, uint32_t *seed, long *left);

#define STEP(n)											\
	static __attribute__((noinline)) long step_##n(int level, uint32_t *seed, long *left)	\
	{											\
		volatile char room[16 * n + 8];							\
		room[0] = 1;									\
		char *block = malloc(32 + next_random(seed) % 200);				\
		long sum = 1 + walk(level + 1, seed, left);					\
		free(block);									\
		return sum + room[0];								\
	}
STEP(1) STEP(2) STEP(3) STEP(4)

static __attribute__((noinline)) long walk(int level, uint32_t *seed, long *left)
{
	static long (*const steps[])(int, uint32_t *, long *) = { step_1, step_2, step_3, step_4 };
	long sum = 0;
	for (uint32_t i = next_random(seed) % 4; level < depth / 2 && i > 0 && --*left > 0; i--)
		sum += steps[next_random(seed) % 4](level, seed, left);
	return sum;
}

static void *tree(void *seed_number)
{
	uint32_t seed = (uint32_t)(uintptr_t)seed_number + 1;
	for (long left = TREE_NODES / threads; left > 0;)
		walk(0, &seed, &left);
	return NULL;
}

static void *reuse(void *seed_number)
{
	uint32_t seed = (uint32_t)(uintptr_t)seed_number + 1;
	for (long i = 0; i < REUSE_PAIRS / threads; i++) {
		size_t size = 16u << next_random(&seed) % 9;
		void *block = malloc(size + next_random(&seed) % size);
		free(__atomic_exchange_n(&places[next_random(&seed) % PLACES], block, __ATOMIC_ACQ_REL));
	}
	return NULL;
}

static const struct {
	const char *name;
	void *(*run)(void *);
} kinds[] = { { "storm", storm }, { "tree", tree }, { "reuse", reuse } };

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double timed(void *(*run)(void *))
{
	pthread_t started[THREADS_MAX];
	double begin = seconds();
	for (long i = 0; i < threads; i++)
		if (pthread_create(&started[i], NULL, run, (void *)i))
			exit(1);
	for (int i = 0; i < threads; i++)
		pthread_join(started[i], NULL);
	return seconds() - begin;
}

int main(void)
{
	char line[128], name[32];
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%31s %d %d", name, &depth, &threads) != 3 || threads < 1 ||
		    threads > THREADS_MAX)
			return 2;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			if (!strcmp(kinds[i].name, name))
				printf("%.5f\n", timed(kinds[i].run));
		fflush(stdout);
	}
	return 0;
}
