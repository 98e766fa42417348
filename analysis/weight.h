/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/weight.h - how many blocks and bytes a recorded block stands for.
 *
 * In a sampled capture (`--sample RATE`) the points of a Poisson process, one every RATE bytes on
 * average, fall on what each thread allocates, and a block is recorded when it meets one: with the
 * probability p = 1 - exp(-size / RATE). It stands for 1/p blocks of its size, whatever that is,
 * which makes every sum an unbiased estimate. Counts are whole numbers: 1/p is rounded up or down by
 * chance, so that it is right on average. */
#ifndef MT_ANALYSIS_WEIGHT_H
#define MT_ANALYSIS_WEIGHT_H

#include "base/hash.h"

#include <math.h>

struct weight {
	uint64_t bytes, count;
};

/* `rate` 0: everything was recorded. The same block (`address` and `sequence`) has the same weight
 * every time it is asked for. */
static inline struct weight weight_of(uint64_t rate, uint64_t size, uint64_t address,
				      uint64_t sequence)
{
	if (!rate || !size)
		return (struct weight){ size, 1 };
	double blocks = -1 / expm1(-(double)size / (double)rate);
	double chance = (double)(mt_hash_pair(address, sequence) >> 11) * 0x1p-53;
	return (struct weight){ (uint64_t)(blocks * (double)size + 0.5), (uint64_t)(blocks + chance) };
}

#endif
