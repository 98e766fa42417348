/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/live.h - the blocks that are live: address to what is known of the block.
 *
 * Open addressing with linear probing, inline: this is looked at for every event, and to wait for its memory is
 * half of what an event costs. So whoever is released leaves its entry as it is, but for a mark: allocators give
 * the same addresses again and again, and the next block there needs no look at any other entry. Entries of the
 * dead are used by other addresses too, and all of them go when the table is full. Address 0 is nobody's block and
 * marks a free slot. */
#ifndef MT_ANALYSIS_LIVE_H
#define MT_ANALYSIS_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct live_block {
	uint64_t address, size;
	uint64_t sequence : 37;	/* allocations of its thread before it */
	uint64_t thread : 27;	/* as many as a capture can have */
	uint32_t row_1;		/* row + 1; 0: released, or free */
	uint32_t born;		/* milliseconds, or a stamp: analysis/events.c says */
};
_Static_assert(sizeof(struct live_block) == 32, "two blocks a cache line");

struct live_blocks {
	struct live_block *slots;
	size_t cap;		/* 0 or a power of two */
	size_t len, used;	/* live ones; and dead ones */
};

static inline void live_deinit(struct live_blocks *live)
{
	free(live->slots);
	*live = (struct live_blocks){ 0 };
}

static inline bool live_is(const struct live_block *b)
{
	return b->row_1;
}

/* Addresses are multiples of 16 and come in runs: a multiplication spreads them well enough. */
static inline uint64_t live_hash(uint64_t address)
{
	return (address >> 4) * 0x9e3779b97f4a7c15ull >> 20;
}

static inline size_t live_home(const struct live_blocks *live, uint64_t hash)
{
	return (size_t)hash & (live->cap - 1);
}

/* These two: there is a table. The slot is wanted soon: a large table is mostly cache misses, which can overlap. A
 * macro, because gcc 12 drops calls of functions that do nothing but prefetch. */
#define live_prefetch(live, hash) __builtin_prefetch(&(live)->slots[live_home((live), (hash))], 1)

/* Row + 1 of what is in the slot of the address: the block that is meant, unless others were there first. 0: none. */
static inline uint32_t live_row_near(const struct live_blocks *live, uint64_t hash)
{
	return live->slots[live_home(live, hash)].row_1;
}

/* `hash` is the address's: who looks ahead has it already. */
static inline struct live_block *live_find(const struct live_blocks *live, uint64_t address, uint64_t hash)
{
	if (!live->len)
		return NULL;
	for (size_t i = live_home(live, hash); live->slots[i].address;
	     i = (i + 1) & (live->cap - 1))
		if (live->slots[i].address == address)
			return live_is(&live->slots[i]) ? &live->slots[i] : NULL;
	return NULL;
}

static inline void live_remove(struct live_blocks *live, struct live_block *b)
{
	b->row_1 = 0;
	live->len--;
}

/* live.c: no dead ones, and room; false when out of memory. */
bool live_renew(struct live_blocks *live);

/* The entry to be filled for the address; with a live block in it, that is still there and to be removed
 * first. The caller fills all of it, and counts it with live_added(). NULL: out of memory. */
static inline struct live_block *live_entry(struct live_blocks *live, uint64_t address, uint64_t hash)
{
	struct live_block *dead = NULL;
	if (__builtin_expect(live->used * 8 >= live->cap * 5, 0) && !live_renew(live))
		return NULL;
	for (size_t i = live_home(live, hash);; i = (i + 1) & (live->cap - 1)) {
		struct live_block *b = &live->slots[i];
		if (b->address == address)
			return b;
		if (!b->address) {
			live->used += !dead;
			return dead ? dead : b;
		}
		if (!b->row_1 && !dead)
			dead = b;
	}
}

static inline void live_added(struct live_blocks *live)
{
	live->len++;
}

#endif
