/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/sample.c - which blocks are recorded when only a sample is.
 * Knows: sizes, addresses, a random number. Does not know: records, stacks.
 * Called by the hooks; calls nothing.
 *
 * A thread counts down the bytes it allocates; where the count passes zero is a point of a Poisson
 * process, and the block it falls on is recorded. Gaps between points are exponential, so where the
 * last point was says nothing about the next.
 *
 * A release must be recorded when its block was, and cost next to nothing otherwise. Live samples
 * stand in a table in the shared memory, in buckets of one cache line; before it stands a filter of
 * counters, small enough for a processor's cache, in which nearly all releases find a zero. Both are
 * exact: a block is put in before its address leaves the hook and taken out before it is released, so
 * nobody else can have that address meanwhile. */
#include "inject/tracer/tracer.h"

#define FILTER_STUCK 255u	/* a counter that reached it stays: at worst a useless look */

/* ---- the gaps ---- */

static uint64_t next_random(struct thread *t)	/* splitmix64 */
{
	uint64_t z = t->random += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* -ln(u) for u in (0, 1], to about 1e-9: the exponent aside, ln m = 2 artanh((m - 1) / (m + 1)). */
static double minus_log(double u)
{
	uint64_t bits;
	__builtin_memcpy(&bits, &u, sizeof(bits));
	int exponent = (int)(bits >> 52) - 1023;
	bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
	double m;
	__builtin_memcpy(&m, &bits, sizeof(m));
	if (m > 1.4142135623730951) {
		m *= 0.5;
		exponent++;
	}
	double x = (m - 1) / (m + 1), x2 = x * x;
	double series = 1 + x2 * (1.0 / 3 + x2 * (1.0 / 5 + x2 * (1.0 / 7 + x2 * (1.0 / 9 + x2 * (1.0 / 11)))));
	return -(exponent * 0.6931471805599453 + 2 * x * series);
}

static int64_t next_gap(struct thread *t)
{
	double u = (double)((next_random(t) >> 11) + 1) * 0x1p-53;
	double gap = minus_log(u) * (double)tracer.header->sample_rate;
	return gap < 0x1p62 ? (int64_t)gap + 1 : 1ll << 62;
}

void sample_begin(struct thread *t)
{
	t->random = sys_ticks() ^ (uint64_t)t->ring->tid << 32 ^ (uint64_t)t;
	t->sample_left = tracer.header->sample_rate ? next_gap(t) : 0;
}

void sample_next(struct thread *t)
{
	t->sample_left = next_gap(t);
}

/* ---- the live samples ---- */

static uint64_t hash_of(uint64_t address)
{
	return (address >> 4) * 0x9e3779b97f4a7c15ull;
}

static uint8_t *filter_of(uint64_t hash)
{
	return tracer.base + tracer.header->sample_offset + (hash >> 32) % WIRE_SAMPLE_FILTER;
}

static uint64_t *bucket_of(uint64_t hash)
{
	uint8_t *table = tracer.base + tracer.header->sample_offset + WIRE_SAMPLE_FILTER;
	return (uint64_t *)table + (hash >> 40) % WIRE_SAMPLE_BUCKETS * WIRE_SAMPLE_WAYS;
}

static void filter_add(uint8_t *f, int change)
{
	uint8_t seen = __atomic_load_n(f, __ATOMIC_RELAXED);
	while (seen != FILTER_STUCK &&
	       !__atomic_compare_exchange_n(f, &seen, (uint8_t)(seen + change), true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
}

bool sample_put(const void *block)
{
	uint64_t hash = hash_of((uint64_t)block), *bucket = bucket_of(hash);
	for (unsigned i = 0; i < WIRE_SAMPLE_WAYS; i++) {
		uint64_t empty = 0;
		if (__atomic_compare_exchange_n(&bucket[i], &empty, (uint64_t)block, false,
						__ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
			filter_add(filter_of(hash), 1);
			return true;
		}
	}
	return false;
}

bool sample_take(const void *block)
{
	uint64_t hash = hash_of((uint64_t)block);
	uint8_t *filter = filter_of(hash);
	if (likely(!__atomic_load_n(filter, __ATOMIC_ACQUIRE)))
		return false;
	uint64_t *bucket = bucket_of(hash);
	for (unsigned i = 0; i < WIRE_SAMPLE_WAYS; i++)
		if (__atomic_load_n(&bucket[i], __ATOMIC_RELAXED) == (uint64_t)block) {
			__atomic_store_n(&bucket[i], 0, __ATOMIC_RELEASE);
			filter_add(filter, -1);
			return true;
		}
	return false;
}
