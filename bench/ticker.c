/* SPDX-License-Identifier: Apache-2.0 */
/* bench/ticker.c - notices when it is paused: a thread that wakes up every millisecond and remembers
 * the longest gap, beside threads that allocate and a main thread that reads commands. Or, as "single",
 * one thread that does both.
 * Knows: clocks, threads. Does not know: who pauses it.
 * Started by bench/attach.py; "gap" on stdin prints and resets the longest gap in microseconds. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static _Atomic int64_t longest;
static _Atomic long allocations;
static long pause_ns;

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void note_gap(int64_t *last)
{
	int64_t now = now_ns();
	if (now - *last > atomic_load(&longest))
		atomic_store(&longest, now - *last);
	*last = now;
}

static void *tick(void *arg)
{
	struct timespec millisecond = { 0, 1000000 };
	int64_t last = now_ns();
	(void)arg;
	for (;;) {
		nanosleep(&millisecond, NULL);
		note_gap(&last);
	}
	return NULL;
}

static bool answer(void)
{
	char line[64];
	if (!fgets(line, sizeof(line), stdin))
		return false;
	printf("%lld %ld\n", (long long)(atomic_exchange(&longest, 0) / 1000),
	       atomic_load(&allocations));
	fflush(stdout);
	return true;
}

static void tick_alone(void)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	int64_t last = now_ns();
	for (;;) {
		int ready = poll(&in, 1, 1);
		note_gap(&last);
		if (ready > 0 && !answer())
			return;
		free(malloc(100));
	}
}

static void *allocate(void *arg)
{
	struct timespec rest = { 0, pause_ns };
	(void)arg;
	for (;;) {
		for (int i = 0; i < 20; i++) {
			void *volatile block = malloc((size_t)(16 + i * 40));
			free(block);
		}
		atomic_fetch_add(&allocations, 20);
		nanosleep(&rest, NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 4;
	pause_ns = argc > 2 ? atol(argv[2]) : 1000000;
	puts("ready");
	fflush(stdout);
	if (argc > 1 && !strcmp(argv[1], "single")) {
		tick_alone();
		return 0;
	}
	pthread_t thread;
	pthread_create(&thread, NULL, tick, NULL);
	for (int i = 0; i < count; i++)
		pthread_create(&thread, NULL, allocate, NULL);
	while (answer())
		;
	return 0;
}
