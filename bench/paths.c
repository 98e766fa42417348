/* SPDX-License-Identifier: Apache-2.0 */
/* bench/paths.c - makes allocations along one kind of stack, for bench/paths.py to count.
 * Knows: shapes of stacks. Does not know: that somebody counts.
 * A line "PATH DEPTH ROUNDS" on stdin is answered by "done"; with ROUNDS below 0 so many rounds
 * are counted by bench/step.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void step_begin(void);
void step_end(void);

typedef void (*body)(long rounds);

static void *volatile kept;

/* The same stack again and again. */
static __attribute__((noinline)) void same(long rounds)
{
	for (long i = 0; i < rounds; i++) {
		kept = malloc(64);
		free(kept);
	}
}

/* Two places of one function in turn. */
static __attribute__((noinline)) void leaf(long rounds)
{
	for (long i = 0; i < rounds; i++) {
		kept = malloc(64);
		free(kept);
		kept = malloc(64);
		free(kept);
	}
}

/* Three other frames each time. */
static __attribute__((noinline)) void inner(size_t size)
{
	kept = malloc(size);
	free(kept);
}

static __attribute__((noinline)) void left(size_t size)
{
	volatile char room[40];
	room[0] = 1;
	inner(size + (size_t)room[0]);
	room[1] = 2;
}

static __attribute__((noinline)) void right(size_t size)
{
	volatile char room[200];
	room[0] = 1;
	inner(size + (size_t)room[0]);
	room[1] = 2;
}

static __attribute__((noinline)) void moved(long rounds)
{
	for (long i = 0; i < rounds; i++) {
		left(64);
		right(64);
	}
}

static __attribute__((noinline)) void grown(long rounds)
{
	kept = malloc(16);
	for (long i = 0; i < rounds; i++) {
		kept = realloc(kept, 100);
		kept = realloc(kept, 200);
	}
	free(kept);
}

static __attribute__((noinline)) void cleared(long rounds)
{
	for (long i = 0; i < rounds; i++) {
		kept = calloc(3, 20);
		free(kept);
	}
}

static __attribute__((noinline)) void counted(body run, long rounds)
{
	if (rounds >= 0) {
		run(rounds);
		return;
	}
	step_begin();
	run(-rounds);
	step_end();
}

static __attribute__((noinline)) int deep(int depth, body run, long rounds)
{
	if (depth > 1) {
		volatile int result = deep(depth - 1, run, rounds);	/* kept as a call */
		return result;
	}
	counted(run, rounds);
	return 0;
}

/* The same with a frame pointer: two words of each frame are to be proved. */
#ifdef __clang__	/* has no such attribute: there the path is the one without */
#define WITH_FRAME_POINTER __attribute__((noinline))
#else
#define WITH_FRAME_POINTER __attribute__((noinline, optimize("no-omit-frame-pointer")))
#endif
static WITH_FRAME_POINTER
int deep_fp(int depth, body run, long rounds)
{
	if (depth > 1) {
		volatile int result = deep_fp(depth - 1, run, rounds);
		return result;
	}
	counted(run, rounds);
	return 0;
}

static const struct {
	const char *name;
	body run;
} bodies[] = {
	{ "same", same }, { "leaf", leaf }, { "moved", moved }, { "grown", grown },
	{ "cleared", cleared },
};

int main(void)
{
	char line[128], name[32];
	int depth;
	long rounds;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%31s %d %ld", name, &depth, &rounds) != 3)
			return 2;
		int (*go)(int, body, long) = deep;
		if (!strncmp(name, "fp-", 3)) {
			memmove(name, name + 3, strlen(name + 3) + 1);
			go = deep_fp;
		}
		for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
			if (!strcmp(bodies[i].name, name))
				go(depth, bodies[i].run, rounds);
		puts("done");
		fflush(stdout);
	}
	return 0;
}
