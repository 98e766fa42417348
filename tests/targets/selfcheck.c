/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/selfcheck.c - a program that checks itself while others attach to it.
 * Knows: the ticker, the verdict. Does not know: memtrace.
 * Usage: selfcheck MODE [PAGE [REST_US]]; used by tests/selfcheck.py. */
/* The verdict is kept in the file PAGE (check/page.h), which the watcher maps as well; without one
 * it ends at a byte on standard input. At the end it prints "ok ROUNDS" and exits with 0, or
 * "broken: WHAT: GOT, expected WANT" and exits with 1. REST_US: pause between rounds. */
#include "check/modes.h"

#include <sys/mman.h>
#include <sys/prctl.h>

/* Wakes up each millisecond and keeps the longest gap: how long the process was paused. */
static void *tick(void *arg)
{
	struct timespec millisecond = { 0, 1000000 };
	uint64_t last = now_us();
	(void)arg;
	prctl(PR_SET_NAME, "ticker");
	while (!page->stop) {
		nanosleep(&millisecond, NULL);
		uint64_t now = now_us();
		if (now - last > page->gap_us)
			page->gap_us = now - last;
		last = now;
		page->ticks++;
	}
	return NULL;
}

static void *stop_at_a_byte(void *arg)
{
	char c;
	while (read(0, &c, 1) < 0 && errno == EINTR)
		;
	page->stop = 1;
	return arg;
}

static void open_page(const char *path)
{
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : memfd_create("check-page", MFD_CLOEXEC);
	if (fd < 0 || (!path && ftruncate(fd, sizeof(*page)))) {
		perror(path ? path : "memfd_create");
		exit(2);
	}
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
}

/* No signal of a check's goes to the helpers. */
static void start_helper(void *(*run)(void *))
{
	sigset_t all, old;
	pthread_t thread;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_create(&thread, NULL, run, NULL);
	pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int main(int argc, char **argv)
{
	const struct check_mode *mode = argc > 1 ? find_mode(argv[1]) : NULL;
	if (!mode) {
		fprintf(stderr, "usage: selfcheck MODE [PAGE [REST_US]]\n");
		return 2;
	}
	program_arguments = argv;
	open_page(argc > 2 ? argv[2] : NULL);
	rest_us = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	void *volatile first = malloc(100);	/* the heap is there before anybody looks */
	free(first);
	if (mode->run != mode_idle) {
		start_helper(tick);
		if (argc <= 2)
			start_helper(stop_at_a_byte);
	}
	mode->run();
	if (page->failed)
		printf("broken: %s\n", page->failure);
	else
		printf("ok %lu\n", (unsigned long)page->rounds);
	return page->failed ? 1 : 0;
}
