/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/aggregate_private.h - what aggregate_read.c and aggregate_lives.c share; nobody else
 * includes it. */
#ifndef MT_ANALYSIS_AGGREGATE_PRIVATE_H
#define MT_ANALYSIS_AGGREGATE_PRIVATE_H

#include "analysis/views.h"
#include "base/array.h"

struct sums_row {		/* as in the file, by thread */
	uint32_t stack, thread;
	uint32_t place;		/* in the views' rows */
	uint8_t kind;		/* 0: was lost */
	uint64_t bytes[VIEW_COUNT], count[VIEW_COUNT];
	uint64_t peak_epoch, released, lived_ms, longest_ms;
};

struct sums_life {		/* `row`: of the file; after sums_finish_lives() of the views */
	uint32_t row;
	uint16_t born, gone;
	uint64_t bytes, count;
};

struct sums {			/* what an aggregated capture says */
	struct capture *cap;
	struct capture_tables tables;
	MT_ARRAY(struct sums_row) raw;
	MT_ARRAY(struct sums_life) lives;
	MT_ARRAY(struct temporal_instant) instants;
	MT_ARRAY(struct view_point) points;
	uint64_t start_ticks, peak_epoch, heap;
	struct views *v;	/* the result */
};

/* The time line may be older than the sums: a last instant, at which what is live now is live and nothing
 * else of what was left, makes both agree. */
struct mt_error *sums_finish_lives(struct sums *s) MT_MUST_CHECK;
struct mt_error *sums_make_temporal(struct sums *s) MT_MUST_CHECK;	/* s->v->temporal */
struct mt_error *sums_make_growth(struct sums *s, uint32_t older_than_ms) MT_MUST_CHECK;

#endif
