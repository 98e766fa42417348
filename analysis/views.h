/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/views.h - from events to views, in one pass.
 *
 * peak: what was live at the last moment the live bytes were highest. leaks: what was live at
 * the end. allocated: all allocations. temporary: blocks freed before `threshold` + 1 further
 * allocations of their thread (threshold 1: at most one in between); none in a sampled capture, whose
 * other figures are estimates (analysis/weight.h).
 *
 * Releases of blocks that were allocated before the capture are ignored. A mapping released in
 * part counts in part: bytes go down, the count when the last byte goes. Never sees a pid. */
#ifndef MT_ANALYSIS_VIEWS_H
#define MT_ANALYSIS_VIEWS_H

#include "analysis/growth.h"
#include "analysis/temporal.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "capture/reader.h"
#include "capture/wire.h"

enum view_kind { VIEW_PEAK, VIEW_LEAKS, VIEW_ALLOCATED, VIEW_TEMPORARY, VIEW_COUNT };

struct view_row {		/* one (stack, thread if split, kind) with something in it */
	uint32_t stack;
	uint32_t thread;	/* thread index; 0 when threads are merged */
	uint8_t kind;		/* enum wire_record of the allocation */
	uint64_t bytes[VIEW_COUNT];
	uint64_t count[VIEW_COUNT];
};

struct view_options {
	bool split_threads;
	bool growth;			/* also views->growth; costs memory for every row */
	bool temporal;			/* also views->temporal; not both */
	uint32_t older_than_ms;		/* for growth */
	uint32_t temporary_threshold;	/* default 1 */
	void (*progress)(double, void *);
	void *progress_arg;
};

struct view_point {		/* memory over time */
	uint64_t ticks;
	uint64_t heap;		/* live bytes */
	uint64_t rss;		/* 0: no sample near */
};

#define VIEW_HISTOGRAM_BINS 10

struct views {
	struct view_row *rows;
	size_t row_count;
	uint64_t total_bytes[VIEW_COUNT], total_count[VIEW_COUNT];
	uint64_t peak_ticks;
	uint64_t events, allocations, releases, unknown_releases;
	uint64_t first_ticks, last_ticks;
	uint64_t kind_count[WIRE_REC_LIMIT], kind_bytes[WIRE_REC_LIMIT];
	uint64_t size_class[65];	/* allocations by bit width of the size */
	uint64_t min_size, max_size;
	struct view_point *points;	/* ascending: at most about 10,000 of events, one a sample */
	size_t point_count;
	struct growth *growth;		/* its rows are those of `rows`; NULL: not asked for */
	struct temporal *temporal;	/* likewise; NULL too when memory ran out for it */
};

struct mt_error *views_compute(struct capture *cap, const struct view_options *options,
			       struct views **ret) MT_MUST_CHECK;
void views_destroy(struct views *v);
MT_DEFINE_CLEANUP(views, struct views *, views_destroy)
#define auto_views mt_auto(mt_cleanup_views)

/* The same step by step, over a capture that grows: take events as they come, and look at the views as if
 * the capture ended there. They are the pass's, and hold until the next take. Not `temporal`. */
struct views_pass;
struct mt_error *views_pass_begin(struct capture *cap, const struct view_options *options,
				  struct views_pass **ret) MT_MUST_CHECK;
struct mt_error *views_pass_take(const struct capture_event *events, size_t count, void *pass)
	MT_MUST_CHECK;			/* a capture_event_fn */
struct mt_error *views_pass_now(struct views_pass *p, struct views **ret) MT_MUST_CHECK;
void views_pass_end(struct views_pass *p);	/* NULL accepted */
MT_DEFINE_CLEANUP(views_pass, struct views_pass *, views_pass_end)
#define auto_views_pass mt_auto(mt_cleanup_views_pass)

const char *view_name(enum view_kind kind);		/* "peak" */
bool view_parse(const char *name, enum view_kind *ret);
const char *wire_record_name(unsigned kind);		/* "malloc", "mmap", ... */

#endif
