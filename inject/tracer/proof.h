/* SPDX-License-Identifier: Apache-2.0 */
/* inject/tracer/proof.h - do the words that a kept native stack hangs on still hold what they held?
 * Knows: pairs and twins (tracer.h). Does not know: frames, rules.
 *
 * All at once, only where any of the words may be read whatever the others hold: independent loads
 * and no branch a word, a third of a nanosecond a frame. They are compared in batches from the end;
 * the last batch may run over the beginning, where stand entries that always hold. */
#ifndef MT_TRACER_PROOF_H
#define MT_TRACER_PROOF_H

#include "inject/tracer/tracer.h"

#define PAIR_BATCH 8u
#define TWIN_BATCH 4u

typedef uint64_t word2 __attribute__((vector_size(16), aligned(8), may_alias));

static inline uint64_t slot_value(uint64_t slot)
{
	return *(const uint64_t *)slot;
}

static inline uint64_t pair_difference(const struct pair *p)
{
	return slot_value(p->address) ^ p->expected;
}

static inline __attribute__((always_inline)) bool pairs_hold(const struct pair *p, uint32_t count)
{
	for (const struct pair *q = p + count; q > p;) {
		q -= PAIR_BATCH;
		uint64_t a = pair_difference(q) | pair_difference(q + 1);
		uint64_t b = pair_difference(q + 2) | pair_difference(q + 3);
		a |= pair_difference(q + 4) | pair_difference(q + 5);
		b |= pair_difference(q + 6) | pair_difference(q + 7);
		if (unlikely(a | b))
			return false;
	}
	return true;
}

static inline word2 twin_difference(const struct twin *w)
{
	return *(const word2 *)w->address ^ *(const word2 *)w->expected;
}

static inline __attribute__((always_inline)) bool twins_hold(const struct twin *w, uint32_t count)
{
	for (const struct twin *q = w + count; q > w;) {
		q -= TWIN_BATCH;
		word2 d = twin_difference(q) | twin_difference(q + 1) |
			  twin_difference(q + 2) | twin_difference(q + 3);
		if (unlikely(d[0] | d[1]))
			return false;
	}
	return true;
}

#endif
