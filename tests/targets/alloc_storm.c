/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_storm.c - several threads allocate and free as fast as they can.
 * Knows: how many blocks and bytes that makes. Does not know: memtrace.
 * Usage: alloc_storm THREADS PAIRS; used by tests/e2e/test_storm.py. */
/* Waits for a byte, works, prints "total COUNT BYTES SECONDS" and "done", waits again. Every 100th
 * block of a thread is given to the next thread, which frees it. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static unsigned long pairs;
static _Atomic(void *) passed[64];
static unsigned long bytes[64];
static int count;

__attribute__((noinline)) static void *deeper(int depth, size_t n)
{
	void *p = depth ? deeper(depth - 1, n) : malloc(n);
	__asm__ volatile("" : "+r"(p));
	return p;
}

static void *work(void *arg)
{
	int me = (int)(intptr_t)arg;
	unsigned seed = (unsigned)me + 1;
	unsigned long sum = 0;
	for (unsigned long i = 0; i < pairs; i++) {
		seed = seed * 1664525u + 1013904223u;
		size_t n = 1 + (seed >> 8) % 2000;
		void *p = deeper((int)(seed >> 28), n);
		sum += n;
		if (i % 100 == 0)
			p = atomic_exchange(&passed[(me + 1) % count], p);
		free(p);
	}
	bytes[me] = sum;
	return NULL;
}

int main(int argc, char **argv)
{
	char c;
	pthread_t threads[64];
	struct timespec from, to;
	if (argc != 3)
		return 2;
	count = atoi(argv[1]);
	pairs = strtoul(argv[2], NULL, 10);
	dprintf(1, "ready %d\n", (int)getpid());
	if (read(0, &c, 1) < 0)
		return 3;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i))
			return 4;
	unsigned long sum = 0;
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		sum += bytes[i];
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	for (int i = 0; i < count; i++)
		free(passed[i]);
	dprintf(1, "total %lu %lu %.3f\ndone\n", pairs * (unsigned long)count, sum,
		(double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
	if (read(0, &c, 1) < 0)
		return 3;
	return 0;
}
