/* SPDX-License-Identifier: Apache-2.0 */
/* bench/pair.c - times malloc+free pairs at a given call depth, on demand.
 * Knows: clocks. Does not know: that somebody may record what it does.
 * Started by bench/pair.py; a line "PAIRS" on stdin is answered by "ns per pair" on stdout. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static __attribute__((noinline)) double pairs(long count)
{
	double begin = seconds();
	for (long i = 0; i < count; i++) {
		void *volatile block = malloc(64);
		free(block);
	}
	return (seconds() - begin) * 1e9 / (double)count;
}

/* Recursion that the compiler keeps: the result is used after the call. */
static __attribute__((noinline)) double at_depth(int depth, long count)
{
	volatile double result = depth > 0 ? at_depth(depth - 1, count) : pairs(count);
	return result;
}

int main(int argc, char **argv)
{
	/* main, pairs and the start code are frames, too. */
	int depth = argc > 1 ? atoi(argv[1]) - 4 : 16;
	char line[64];
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		printf("%.3f\n", at_depth(depth, atol(line)));
		fflush(stdout);
	}
	return 0;
}
