/* SPDX-License-Identifier: Apache-2.0 */
/* record/clock.h - the time stamp counter, the kernel's clocks, and how they relate. */
#ifndef MT_RECORD_CLOCK_H
#define MT_RECORD_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ticks(void)
{
	return __builtin_ia32_rdtsc();
}

static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct clock_pair {
	uint64_t ticks, ns;	/* CLOCK_MONOTONIC */
};

static inline struct clock_pair clock_pair_now(void)
{
	/* The tighter of a few tries: a preemption between the two reads would skew the pair. */
	struct clock_pair best = { 0, 0 };
	uint64_t best_span = UINT64_MAX;
	for (int i = 0; i < 5; i++) {
		uint64_t before = clock_ticks(), ns = clock_ns(CLOCK_MONOTONIC), after = clock_ticks();
		if (after - before < best_span) {
			best_span = after - before;
			best = (struct clock_pair){ before + (after - before) / 2, ns };
		}
	}
	return best;
}

/* Ticks a second between two pairs, 0 when they are too close. */
static inline uint64_t clock_rate(struct clock_pair a, struct clock_pair b)
{
	if (b.ns <= a.ns)
		return 0;
	return (uint64_t)((double)(b.ticks - a.ticks) * 1e9 / (double)(b.ns - a.ns));
}

#endif
