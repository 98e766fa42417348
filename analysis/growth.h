/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/growth.h - how the live memory of each row moved over the capture, and how old what is
 * left is.
 *
 *	struct growth g;
 *	growth_init(&g, older_than_ms)
 *	growth_rows(&g, rows)				before anything of a new row
 *	growth_clock(&g, ms)				when the millisecond changed, before its events
 *	growth_before(&g, row, bytes, count)		before each change of a row, with what it has yet
 *	growth_most(&g, row, bytes, count)		after each change that made it more
 *	growth_release(&g, row, lived_ms)		after each release of a whole block
 *	growth_note(&g, row, ms, bytes, count)		or, in place of clock, before and most: what it has then
 *	growth_settle(&g, row, bytes, count)		for all rows, with what they have; then
 *	growth_end(&g, ms)				no change comes any more; then, for what is left:
 *	growth_survivor(&g, row, born_ms, bytes, count)
 *	growth_series(&g, row, bytes, count)
 *	growth_deinit(&g)
 *
 * Time is milliseconds since the start of the capture, in at most GROWTH_SLOTS equal slots; a slot
 * has the last value in it. When the capture outgrows the slots their width doubles, so a row takes
 * no more than GROWTH_SLOTS points, and no more than it had changes. What a row had at the end of a slot
 * is written down when it changes next: that is once a slot, not once an event. */
#ifndef MT_ANALYSIS_GROWTH_H
#define MT_ANALYSIS_GROWTH_H

#include "base/array.h"

#include <stdint.h>

#define GROWTH_SLOTS 64u

enum { GROWTH_AGES = 5 };	/* below 1 s, 10 s, 1 min, 10 min; older */

struct growth_point {
	uint32_t slot;
	uint64_t bytes, count;
};

struct growth_row {
	MT_ARRAY(struct growth_point) points;
	uint32_t changed;		/* slot of the last change + 1; 0: it never had any */
	uint64_t released;		/* blocks */
	uint32_t longest_ms;		/* the longest life of a released one */
	uint64_t lived_ms;		/* lives of released blocks, added up */
	uint64_t most_bytes, most_count;	/* when most bytes of the row were live */
	/* of the survivors: */
	uint64_t survived_ms;		/* their ages, added up */
	uint32_t oldest_ms;
	uint64_t age_bytes[GROWTH_AGES], age_count[GROWTH_AGES];
	uint64_t older_bytes, older_count;	/* at least `older_than_ms` old */
};

struct growth {
	MT_ARRAY(struct growth_row) rows;
	uint32_t slot_ms, now;		/* width of a slot, the slot of this moment */
	uint32_t older_than_ms, end_ms;
};

void growth_init(struct growth *g, uint32_t older_than_ms);
void growth_deinit(struct growth *g);

bool growth_rows(struct growth *g, size_t rows);	/* these four: false when out of memory */
bool growth_note(struct growth *g, uint32_t row, uint32_t ms, uint64_t bytes, uint64_t count);
void growth_clock(struct growth *g, uint32_t ms);
bool growth_settle(struct growth *g, uint32_t row, uint64_t bytes, uint64_t count);
bool growth_point(struct growth *g, struct growth_row *row, uint64_t bytes, uint64_t count);
/* The capture ended at `ms`, or is looked at then: it may go on, with other survivors at its next end. */
void growth_end(struct growth *g, uint32_t ms);

static inline bool growth_before(struct growth *g, uint32_t row, uint64_t bytes, uint64_t count)
{
	struct growth_row *r = &g->rows.items[row];
	if (r->changed == g->now + 1)
		return true;
	return growth_point(g, r, bytes, count);
}

static inline void growth_most(struct growth *g, uint32_t row, uint64_t bytes, uint64_t count)
{
	struct growth_row *r = &g->rows.items[row];
	if (bytes <= r->most_bytes)
		return;
	r->most_bytes = bytes;
	r->most_count = count;
}

static inline void growth_release(struct growth *g, uint32_t row, uint32_t lived_ms)
{
	struct growth_row *r = &g->rows.items[row];
	r->released++;
	r->lived_ms += lived_ms;
	if (lived_ms > r->longest_ms)
		r->longest_ms = lived_ms;
}

/* Bytes and blocks of one age; may be called with either of them 0. */
void growth_survivor(struct growth *g, uint32_t row, uint32_t born_ms, uint64_t bytes,
		     uint64_t count);

/* Slots from the start to the end of the capture, 1 to GROWTH_SLOTS. */
uint32_t growth_slots(const struct growth *g);
/* Adds the values of a row to one entry a slot. */
void growth_series(const struct growth *g, const struct growth_row *row,
		   uint64_t bytes[GROWTH_SLOTS], uint64_t count[GROWTH_SLOTS]);

#endif
