/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/alloc_service.c - threads that allocate without a pause and check what they own.
 * Knows: a pattern in every block. Does not know: memtrace.
 * Usage: alloc_service [THREADS]; used by tests/e2e. */
/* Prints "ready PID", then "beat N" ten times a second (N: rounds so far), until a byte comes on
 * standard input or it ends; then "ok N" and exit 0. A damaged block: "broken" and exit 98. A
 * signal handler with SA_RESTART counts SIGALRM of a 5 ms timer: signals must go on to arrive. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define OWNED 256

static atomic_ulong rounds, alarms;
static atomic_int over;

static void broken(const char *what)
{
	dprintf(1, "broken: %s\n", what);
	_exit(98);
}

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

__attribute__((noinline)) static unsigned char *make_block(size_t size, unsigned char mark)
{
	unsigned char *p = malloc(size);
	if (!p)
		broken("malloc");
	memset(p, mark, size);
	return p;
}

static void check_block(const unsigned char *p, size_t size, unsigned char mark)
{
	if (p[0] != mark || p[size / 2] != mark || p[size - 1] != mark)
		broken("a block changed");
}

static void *work(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg * 77777;
	unsigned char *blocks[OWNED] = { 0 };
	size_t sizes[OWNED];
	double sum = 0;
	while (!atomic_load(&over)) {
		unsigned i = next(&seed) % OWNED;
		if (blocks[i]) {
			check_block(blocks[i], sizes[i], (unsigned char)i);
			if (next(&seed) % 4 == 0) {
				size_t size = 1 + next(&seed) % 5000;
				blocks[i] = realloc(blocks[i], size);
				memset(blocks[i], (int)(unsigned char)i, size);
				sizes[i] = size;
			} else {
				free(blocks[i]);
				blocks[i] = NULL;
			}
		} else {
			sizes[i] = 1 + next(&seed) % 3000;
			blocks[i] = make_block(sizes[i], (unsigned char)i);
		}
		/* Floating point state must survive, too. */
		double before = sum;
		sum += 0.5;
		if (sum != before + 0.5)
			broken("floating point");
		atomic_fetch_add(&rounds, 1);
		if (next(&seed) % 64 == 0)
			usleep(200);
	}
	for (int i = 0; i < OWNED; i++)
		free(blocks[i]);
	return NULL;
}

static void on_alarm(int number)
{
	(void)number;
	atomic_fetch_add(&alarms, 1);
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 2;
	pthread_t threads[64];
	struct sigaction act = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	sigaction(SIGALRM, &act, NULL);
	struct itimerval timer = { { 0, 5000 }, { 0, 5000 } };
	setitimer(ITIMER_REAL, &timer, NULL);
	for (int i = 0; i < count && i < 64; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1)))
			broken("pthread_create");
	dprintf(1, "ready %d\n", (int)getpid());
	for (;;) {
		struct pollfd p = { .fd = 0, .events = POLLIN };
		int rc = poll(&p, 1, 100);
		if (rc < 0 && errno != EINTR)
			broken("poll");
		if (rc > 0)
			break;
		if (rc == 0 || atomic_load(&alarms) % 20 == 0)
			dprintf(1, "beat %lu\n", atomic_load(&rounds));
	}
	atomic_store(&over, 1);
	for (int i = 0; i < count && i < 64; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 100 && !atomic_load(&alarms); i++)
		usleep(20000);
	if (!atomic_load(&alarms))
		broken("no signal arrived");
	dprintf(1, "ok %lu\n", atomic_load(&rounds));
	return 0;
}
