/* SPDX-License-Identifier: Apache-2.0 */
/* tests/targets/check/page.h - the page in which a self-checking program keeps its verdict.
 * Knows: counters, the first failure. Does not know: what is checked.
 * Included by tests/targets/selfcheck.c and tests/unit/borrow_target.h. */
#ifndef MT_TESTS_CHECK_PAGE_H
#define MT_TESTS_CHECK_PAGE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHECK_THREADS 40

/* Shared with whoever watches (tests/selfcheck.py knows the offsets). */
struct check_page {
	_Atomic uint32_t ready, stop;
	_Atomic uint32_t failed;	/* a check failed; the first one is in failure */
	_Atomic uint32_t allow_eintr;	/* waits that the kernel lets lie may: a controller was killed */
	_Atomic uint64_t rounds;	/* progress */
	_Atomic uint64_t eintr, signals;
	_Atomic uint64_t gap_us;	/* the ticker's longest gap since the watcher wrote 0 */
	_Atomic uint64_t ticks;
	char failure[256];
	_Atomic int tids[CHECK_THREADS];	/* of the threads that check */
	_Atomic int tid_count;
};

static struct check_page *page;

static void fail(const char *what, long got, long want)
{
	if (!atomic_exchange(&page->failed, 1))
		snprintf(page->failure, sizeof(page->failure), "%s: %ld, expected %ld", what, got,
			 want);
}

#define MUST(what, got, want)				\
	do {						\
		long got_ = (long)(got), want_ = (long)(want); \
		if (got_ != want_)			\
			fail(what, got_, want_);	\
	} while (0)

static void publish_thread(void)
{
	int i = atomic_fetch_add(&page->tid_count, 1);
	if (i < CHECK_THREADS)
		page->tids[i] = (int)syscall(SYS_gettid);
}

static bool go_on(void)
{
	return !page->stop && !page->failed;
}

static void round_done(void)
{
	atomic_fetch_add(&page->rounds, 1);
}

static uint64_t now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* For modes that spin: leaves the processor to others a part of the time when asked to. */
static unsigned rest_us;

static void rest(void)
{
	if (rest_us)
		usleep(rest_us);
}

#endif
