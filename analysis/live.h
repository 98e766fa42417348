/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/live.h - the blocks that are live: address to what is known of the block.
 *
 * Open addressing with linear probing and backward-shift deletion, inline: this is looked at for
 * every event. Address 0 is nobody's block and marks a free slot. */
#ifndef MT_ANALYSIS_LIVE_H
#define MT_ANALYSIS_LIVE_H

#include "base/hash.h"

#include <stdlib.h>

struct live_block {
	uint64_t address, size;
	uint64_t sequence : 37;	/* allocations of its thread before it */
	uint64_t thread : 27;	/* as many as a capture can have */
	uint32_t row;
	uint32_t born;		/* milliseconds, or a stamp: analysis/views.c says */
};
_Static_assert(sizeof(struct live_block) == 32, "two blocks a cache line");

struct live_blocks {
	struct live_block *slots;
	size_t cap, len;	/* cap: 0 or a power of two */
};

static inline void live_deinit(struct live_blocks *live)
{
	free(live->slots);
	*live = (struct live_blocks){ 0 };
}

/* Addresses are multiples of 16 and come in runs: a multiplication spreads them well enough. */
static inline size_t live_home(const struct live_blocks *live, uint64_t address)
{
	return (size_t)((address >> 4) * 0x9e3779b97f4a7c15ull >> 20) & (live->cap - 1);
}

/* The slot is wanted soon: a large table is mostly cache misses, which can overlap. A macro,
 * because gcc 12 drops calls of functions that do nothing but prefetch. */
#define live_prefetch(live, address)								\
	do {											\
		if ((live)->cap)								\
			__builtin_prefetch(&(live)->slots[live_home((live), (address))]);	\
	} while (0)

static inline struct live_block *live_find(const struct live_blocks *live, uint64_t address)
{
	if (!live->len)
		return NULL;
	for (size_t i = live_home(live, address); live->slots[i].address;
	     i = (i + 1) & (live->cap - 1))
		if (live->slots[i].address == address)
			return &live->slots[i];
	return NULL;
}

static inline void live_remove(struct live_blocks *live, struct live_block *b)
{
	size_t mask = live->cap - 1, i = (size_t)(b - live->slots);
	for (size_t j = (i + 1) & mask; live->slots[j].address; j = (j + 1) & mask) {
		size_t home = live_home(live, live->slots[j].address);
		if (((j - home) & mask) >= ((j - i) & mask)) {
			live->slots[i] = live->slots[j];
			i = j;
		}
	}
	live->slots[i].address = 0;
	live->len--;
}

/* live.c: doubles the table; false when out of memory. */
bool live_grow(struct live_blocks *live);

/* The address is not in the table. False when out of memory. */
static inline bool live_add(struct live_blocks *live, const struct live_block *b)
{
	if (__builtin_expect(live->len * 3 >= live->cap * 2, 0) && !live_grow(live))
		return false;
	size_t i = live_home(live, b->address);
	while (live->slots[i].address)
		i = (i + 1) & (live->cap - 1);
	live->slots[i] = *b;
	live->len++;
	return true;
}

#endif
