/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/temporal.h - what was live when: for each row, from which instant to which its blocks lived.
 *
 *	struct temporal t;
 *	temporal_init(&t)
 *	temporal_clock(&t, ms, ticks, heap)		when the millisecond changed, before its events
 *	... a block that is allocated now is stamped temporal_stamp(&t)
 *	temporal_release(&t, row, stamp, bytes, count)	before the block leaves the live bytes
 *	temporal_heap(&t, ticks, heap)			after each allocation
 *	temporal_end(&t); then for what is left:
 *	temporal_survivor(&t, row, stamp, bytes, count)
 *	temporal_deinit(&t)
 *
 * With temporal_follow() each block is told of when it comes, too, and the entries of what is left are
 * there whenever a slot was closed:
 *	temporal_follow(&t)				after temporal_init()
 *	temporal_have_row(&t, row)			before anything of a new row
 *	temporal_arrive(&t, row, bytes, count)	a block with the stamp of now
 *	temporal_end(&t)				and no temporal_survivor()
 *
 * The capture is cut into at most TEMPORAL_SLOTS slots of equal length; the instant of a slot is the
 * last moment the live bytes were highest in it, so the highest instant of any run of slots is the
 * peak of that time, and the highest of all is VIEW_PEAK. An entry says how many bytes and blocks of a row
 * were first seen live at instant `born` and first seen gone at instant `gone`. Hence live at instant
 * i: born <= i < gone. Allocated after instant i and live at j: born > i and born <= j < gone. Blocks
 * that no instant met are in no entry: they are most, and cost next to nothing.
 *
 * Memory is bounded: with too many slots or entries, two slots become one, which keeps its higher
 * instant. (What the entries then say about the instants that stay is exactly what it was.) */
#ifndef MT_ANALYSIS_TEMPORAL_H
#define MT_ANALYSIS_TEMPORAL_H

#include "base/array.h"

#include <stdint.h>

#define TEMPORAL_SLOTS 256u
#define TEMPORAL_INSTANTS_MAX 500u	/* numbers have 9 bits; temporal_put() may be given one more */
#define TEMPORAL_NEVER 511u		/* `gone` of what was live at the end */

struct temporal_instant {
	uint64_t ticks, heap;
	uint32_t stamp;		/* blocks stamped no later were live, unless released */
	uint32_t slot;
};

struct temporal_entry {
	uint64_t key;		/* 0: empty; else below */
	uint64_t bytes, count;
};

static inline uint32_t temporal_row(const struct temporal_entry *e)
{
	return (uint32_t)(e->key >> 18) - 1;
}

static inline uint32_t temporal_born(const struct temporal_entry *e)
{
	return e->key >> 9 & 511;
}

static inline uint32_t temporal_gone(const struct temporal_entry *e)
{
	return e->key & 511;
}

struct temporal_released {	/* since the instant of the open slot, at which it was live */
	uint32_t row, stamp;
	uint64_t bytes, count;
};

struct temporal_birth {		/* of a row: blocks that came since the instant of the last closed slot */
	uint64_t seen_bytes, seen_count;	/* and were live at that of the open slot */
	uint64_t new_bytes, new_count;		/* came after it, and are live */
	uint32_t stamp;		/* of the instant that both are about; when it moved on all are seen */
	bool active;		/* in `active` */
};

struct temporal {
	MT_ARRAY(struct temporal_instant) instants;	/* the last one is that of the open slot */
	struct temporal_entry *entries;			/* a hash table */
	size_t cap, len;
	MT_ARRAY(struct temporal_released) released;
	uint64_t heap;			/* at the open slot's instant */
	uint32_t stamp;			/* of that instant */
	uint32_t slot_ms;
	uint32_t entries_max;		/* about: more, and slots are joined */
	uint32_t closed;		/* slots so far */
	bool follow;
	MT_ARRAY(struct temporal_birth) births;		/* by row */
	MT_ARRAY(uint32_t) active;			/* rows with births */
	bool failed;			/* out of memory, or of stamps */
};

void temporal_init(struct temporal *t);
void temporal_deinit(struct temporal *t);

void temporal_clock(struct temporal *t, uint32_t ms, uint64_t ticks, uint64_t heap);
void temporal_end(struct temporal *t);
/* An entry as it was: of a capture that has them. */
void temporal_put(struct temporal *t, uint32_t row, uint32_t born, uint32_t gone, uint64_t bytes,
		  uint64_t count);
void temporal_survivor(struct temporal *t, uint32_t row, uint32_t stamp, uint64_t bytes,
		       uint64_t count);

/* Stamps are numbers of 32 bits. When they run out: temporal_restamp_begin(), then every block's stamp
 * becomes temporal_restamp() of it, then temporal_restamp_end(). */
static inline bool temporal_stamps_low(const struct temporal *t)
{
	return t->stamp >= 1u << 31;
}

void temporal_restamp_begin(struct temporal *t);
uint32_t temporal_restamp(const struct temporal *t, uint32_t stamp);
void temporal_restamp_end(struct temporal *t);

/* Should the heap be highest right after this allocation, then that is the stamp of the moment. */
static inline uint32_t temporal_stamp(const struct temporal *t)
{
	return t->stamp + 1;
}

void temporal_follow(struct temporal *t);
bool temporal_have_row(struct temporal *t, uint32_t row);	/* false: out of memory */

/* As of now: what was live when the open slot got higher has been seen. */
static inline struct temporal_birth *temporal_birth(struct temporal *t, uint32_t row)
{
	struct temporal_birth *b = &t->births.items[row];
	if (b->stamp != t->stamp) {
		b->seen_bytes += b->new_bytes;
		b->seen_count += b->new_count;
		b->new_bytes = b->new_count = 0;
		b->stamp = t->stamp;
	}
	return b;
}

static inline struct temporal_birth *temporal_birth_active(struct temporal *t, uint32_t row)
{
	struct temporal_birth *b = temporal_birth(t, row);
	if (!b->active) {	/* there is room: temporal_have_row() */
		b->active = true;
		t->active.items[t->active.len++] = row;
	}
	return b;
}

static inline void temporal_arrive(struct temporal *t, uint32_t row, uint64_t bytes, uint64_t count)
{
	struct temporal_birth *b = temporal_birth_active(t, row);
	b->new_bytes += bytes;
	b->new_count += count;
}

static inline void temporal_release(struct temporal *t, uint32_t row, uint32_t stamp,
				    uint64_t bytes, uint64_t count)
{
	if (stamp > t->stamp) {	/* came after the instant: no instant has met it */
		if (t->follow) {
			struct temporal_birth *b = temporal_birth(t, row);
			b->new_bytes -= bytes;
			b->new_count -= count;
		}
		return;
	}
	if (!mt_array_push(&t->released, (struct temporal_released){ row, stamp, bytes, count }))
		t->failed = true;
}

void temporal_highest(struct temporal *t, uint64_t ticks, uint64_t heap);

static inline void temporal_heap(struct temporal *t, uint64_t ticks, uint64_t heap)
{
	if (heap >= t->heap)
		temporal_highest(t, ticks, heap);
}

#endif
