/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/aggregate.h - a capture that keeps sums of its events: written as they come, and read.
 *
 *	aggregate_create(&source, &a)
 *	aggregate_take(events, count, a)	in order, all of them
 *	aggregate_write(a, writer, false)	every second or so: what changed since
 *	aggregate_write(a, writer, true)	once, at the end
 *	aggregate_destroy(a)
 *
 * The events go through the same pass that makes the views of a capture of events, so the sums are
 * the same. Memory and file are as large as what is live and as there are different stacks, however long
 * it takes: docs/performance.md. */
#ifndef MT_ANALYSIS_AGGREGATE_H
#define MT_ANALYSIS_AGGREGATE_H

#include "analysis/views.h"
#include "capture/writer.h"

struct aggregate;

struct views_source {
	uint64_t sample_rate;		/* bytes; 0: all blocks are recorded */
	uint64_t page_size;
	uint64_t ticks_per_second, start_ticks;
};

struct mt_error *aggregate_create(const struct views_source *source, struct aggregate **ret)
	MT_MUST_CHECK;
void aggregate_destroy(struct aggregate *a);	/* NULL accepted */
struct mt_error *aggregate_take(const struct capture_event *events, size_t count, void *aggregate)
	MT_MUST_CHECK;			/* a capture_event_fn */
struct mt_error *aggregate_write(struct aggregate *a, struct capture_writer *w, bool last)
	MT_MUST_CHECK;

/* The views of such a capture, for views_compute(). Temporary blocks are those of threshold 1. */
struct mt_error *aggregate_views(struct capture *cap, const struct view_options *options,
				 struct views **ret) MT_MUST_CHECK;

#endif
