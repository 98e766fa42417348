/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/row_table.h - what each stack, thread and kind of allocation holds, has held and had at the peak.
 *
 *	row_table_find(&table, stack, thread, kind, &row)	before an allocation
 *	row_table_before(&table, row)				before live_* of the row change
 *	row_table_peak(&table)				the live bytes of all are as high as never before
 *	row_table_result(&table)				any time
 *
 * The peak needs no second pass: a row keeps its live values; when the total reaches a new maximum
 * only a counter moves. A row that is about to change while its values still are those of the last
 * maximum copies them aside first.
 *
 * Each event changes one row, of maybe a million: what it changes is one line of the cache. */
#ifndef MT_ANALYSIS_ROW_TABLE_H
#define MT_ANALYSIS_ROW_TABLE_H

#include "analysis/views.h"
#include "base/array.h"
#include "base/hash.h"

struct row_state {
	uint64_t live_bytes, live_count;
	uint64_t allocated_bytes, allocated_count;
	uint64_t peak_bytes, peak_count, peak_epoch;	/* of the maximum that they are of */
	uint32_t temporary_bytes, temporary_count;	/* the low halves */
};
_Static_assert(sizeof(struct row_state) == 64, "a cache line");

struct row_rest {
	uint32_t stack, thread;
	uint64_t temporary_bytes, temporary_count;	/* what is above the low halves */
	uint8_t kind;
};

struct row_last {
	uint32_t row_1, stack, thread;	/* row + 1; 0: none */
	uint8_t kind;
};

struct row_table {
	struct row_state *states;	/* aligned */
	size_t len, cap;
	uint64_t epoch;			/* of the last maximum */
	MT_ARRAY(struct row_rest) rest;
	struct mt_map by_key;
	struct row_last *last;		/* the row of a stack and thread that was counted in last */
	size_t last_cap;		/* 0 or a power of two: some of them fall on one place */
	MT_ARRAY(struct view_row) result;
};

void row_table_init(struct row_table *r);
void row_table_deinit(struct row_table *r);

/* rows.c: another row than the last one of the stack, maybe a new one. */
struct mt_error *row_table_find_other(struct row_table *r, uint32_t stack, uint32_t thread, uint8_t kind,
				 uint32_t *ret) MT_MUST_CHECK;
/* What does not fit into the low halves: bytes in units of 2^32, and a count if that became 0. */
void row_table_carry(struct row_table *r, uint32_t row, uint64_t bytes);
/* A row as it is; its peak is that of the state's epoch. */
void row_table_get(const struct row_table *r, uint32_t row, struct view_row *ret);
/* One for each row, in order; borrowed until the next call. */
struct mt_error *row_table_result(struct row_table *r) MT_MUST_CHECK;

/* There are rows. Stacks are numbered in the order of their appearance, and their threads are few. */
static inline struct row_last *row_table_last(const struct row_table *r, uint32_t stack, uint32_t thread)
{
	return &r->last[(stack + thread * 0x9e3779b1u) & (r->last_cap - 1)];
}

static inline struct mt_error *row_table_find(struct row_table *r, uint32_t stack, uint32_t thread,
					 uint8_t kind, uint32_t *ret)
{
	if (__builtin_expect(!r->len, 0))
		return row_table_find_other(r, stack, thread, kind, ret);
	const struct row_last *last = row_table_last(r, stack, thread);
	if (__builtin_expect(last->row_1 && last->stack == stack && last->thread == thread &&
			     last->kind == kind, 1)) {
		*ret = last->row_1 - 1;
		return NULL;
	}
	return row_table_find_other(r, stack, thread, kind, ret);
}

static inline void row_table_before(struct row_table *r, uint32_t row)
{
	struct row_state *s = &r->states[row];
	if (s->peak_epoch == r->epoch)
		return;
	s->peak_bytes = s->live_bytes;
	s->peak_count = s->live_count;
	s->peak_epoch = r->epoch;
}

static inline void row_table_peak(struct row_table *r)
{
	r->epoch++;
}

static inline void row_table_temporary(struct row_table *r, uint32_t row, uint64_t bytes)
{
	struct row_state *s = &r->states[row];
	uint64_t sum = s->temporary_bytes + bytes;
	s->temporary_bytes = (uint32_t)sum;
	s->temporary_count++;
	if (__builtin_expect(sum >> 32 || !s->temporary_count, 0))
		row_table_carry(r, row, sum >> 32);
}

#endif
