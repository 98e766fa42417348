/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/ranges.h - which of many nested or overlapping address ranges is on top at an address.
 *
 *	range_set_add(&set, low, high, priority, id)	any order, any overlap
 *	range_set_build(&set)				n log n, once
 *	range_set_find(&set, address, &id)		log n
 *
 * At every address the range of the highest priority wins, and of equal ones the one that was
 * added later. Used for scopes (priority: depth) and symbols (priority: how good). */
#ifndef MT_SYMBOLIZE_RANGES_H
#define MT_SYMBOLIZE_RANGES_H

#include "base/array.h"
#include "base/error.h"

#include <stdint.h>

struct range {
	uint64_t low, high;	/* high is outside */
	uint32_t priority;
	uint32_t id;
	uint32_t order;		/* of addition */
};

struct range_piece {		/* holds from low up to the next piece's low */
	uint64_t low;
	uint32_t id;		/* RANGE_NONE: nothing here */
};

#define RANGE_NONE UINT32_MAX

struct range_set {
	MT_ARRAY(struct range) ranges;
	MT_ARRAY(struct range_piece) pieces;
};

void range_set_deinit(struct range_set *set);
/* Empty ranges are ignored. False when out of memory. */
bool range_set_add(struct range_set *set, uint64_t low, uint64_t high, uint32_t priority,
		   uint32_t id);
/* Gives the added ranges' memory back; nothing can be added afterwards. */
struct mt_error *range_set_build(struct range_set *set) MT_MUST_CHECK;
/* id of the range on top, or RANGE_NONE. */
uint32_t range_set_find(const struct range_set *set, uint64_t address);

#endif
