/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/ranges.h - mapped address ranges, split and joined as mmap and munmap do.
 *
 * A mapping occupies whole pages and counts the bytes that were asked for. It can be released in
 * parts; each part gives its bytes back, and the last one its count. Pieces are kept in a treap
 * by start address, so cost is logarithmic whatever the program does. */
#ifndef MT_ANALYSIS_RANGES_H
#define MT_ANALYSIS_RANGES_H

#include "base/array.h"
#include "base/error.h"

#include <stdint.h>

struct range_piece {
	uint64_t start, end;
	uint64_t bytes;		/* asked-for bytes inside, from start on */
	uint32_t owner;		/* index of a struct range_owner */
	uint32_t priority;
	uint32_t left, right;	/* pieces; 0: none */
};

struct range_owner {
	uint64_t sequence, size;	/* size: bytes asked for, set by ranges_map() */
	uint32_t row, thread;
	uint32_t born;
	uint32_t pieces;
	uint32_t next_free;
};

struct ranges {
	MT_ARRAY(struct range_piece) pieces;	/* 0 is none */
	MT_ARRAY(struct range_owner) owners;
	uint32_t root, free_piece, free_owner;
	uint32_t random;
	uint64_t page_size;
};

/* Called for what a release takes: bytes of one mapping, `last` when nothing of it is left. The
 * owner is valid during the call. */
typedef void (*range_released_fn)(const struct range_owner *owner, uint64_t bytes, bool last,
				  void *arg);

void ranges_init(struct ranges *r, uint64_t page_size);
void ranges_deinit(struct ranges *r);
/* Maps [start, start + size); what was there is released first (MAP_FIXED). */
struct mt_error *ranges_map(struct ranges *r, uint64_t start, uint64_t size,
			    const struct range_owner *owner, range_released_fn fn, void *arg)
	MT_MUST_CHECK;
/* Releases [start, start + size), whole pages. *found_ret: something was there. */
struct mt_error *ranges_unmap(struct ranges *r, uint64_t start, uint64_t size, bool *found_ret,
			      range_released_fn fn, void *arg) MT_MUST_CHECK;

/* Calls back for every mapping that is left, as a release of all would: bytes of one piece, `last`
 * once a mapping. Nothing changes. */
void ranges_each(const struct ranges *r, range_released_fn fn, void *arg);
/* Every mapping that is left, to be changed. */
void ranges_each_owner(struct ranges *r, void (*fn)(struct range_owner *owner, void *arg), void *arg);

#endif
