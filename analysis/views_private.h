/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/views_private.h - what the pass over the events and the writer of its sums share; nobody else
 * includes it. */
#ifndef MT_ANALYSIS_VIEWS_PRIVATE_H
#define MT_ANALYSIS_VIEWS_PRIVATE_H

#include "analysis/aggregate.h"
#include "analysis/live.h"
#include "analysis/ranges.h"
#include "analysis/row_table.h"
#include "analysis/views.h"
#include "base/array.h"

struct aggregate_row {		/* of an aggregated capture: more about a row */
	uint64_t released, lived;	/* blocks; their lives, in LIFE_UNIT_MS */
	uint32_t longest;
	bool dirty;			/* changed since it was written */
};

struct aggregate_rows {
	bool later_threads;	/* there are some of AGGREGATE_THREADS and more */
	MT_ARRAY(struct aggregate_row) rows;
	MT_ARRAY(uint32_t) dirty;
};

/* The thread of a live block is that of its row here, so the block has room for when it came. In 24
 * days that room is full; lives seem shorter then. */
#define LIFE_UNIT_MS 16u
#define LIFE_UNITS_MAX ((1u << 27) - 1)
/* Threads that come later are one in an aggregated capture: rows are by thread, and a server that
 * makes a thread a request must not fill memory and file with them. */
#define AGGREGATE_THREADS 4096u

struct views_pass {
	struct capture *cap;			/* NULL: it is still to be written */
	struct view_options options;
	struct views *v;
	struct row_table rows;
	struct live_blocks live;
	struct ranges ranges;
	MT_ARRAY(uint64_t) sequence;		/* by thread: allocations so far */
	uint64_t live_bytes, peak_bytes, point_bytes;	/* point_bytes: of the last point */
	uint64_t sample_rate;			/* 0: everything was recorded */
	MT_ARRAY(struct view_point) points;
	uint64_t point_ticks, point_end;
	uint64_t start_ticks, ms_ticks, ms_end;	/* ms_end: when `ms` is over */
	uint64_t due;				/* the first of both ends */
	uint32_t ms;				/* since the start */
	struct growth *growth;			/* NULL: not asked for */
	struct temporal *temporal;		/* NULL: not asked for */
	struct aggregate_rows *aggregate;	/* NULL: for reports, at once */
	bool no_memory;
};

/* A pass without a capture: its sums are written. */
struct mt_error *views_pass_begin_aggregate(const struct views_source *source,
					    struct views_pass **ret) MT_MUST_CHECK;
void views_restamp(struct views_pass *p);
/* The point behind the last one, if it needs one: what is live when it is below that. */
bool views_end_point(const struct views_pass *p, struct view_point *ret);
/* Memory over time: the points of the events, whose `rss` is set here, and one for each sample of the
 * process in between, with the heap of the point before: a program that waits is measured, too. */
struct mt_error *views_put_points(struct views *v, struct capture *cap, struct view_point *events,
				  size_t event_count) MT_MUST_CHECK;
/* Milliseconds from the start, at most UINT32_MAX. */
uint32_t views_ms(uint64_t start_ticks, uint64_t ticks, uint64_t ms_ticks);
uint32_t views_end_ms(const struct capture *cap, uint64_t start_ticks, uint64_t ms_ticks, uint32_t last_ms);
void growth_destroy(struct growth *g);		/* NULL accepted */
void temporal_destroy(struct temporal *t);	/* NULL accepted */

#endif
