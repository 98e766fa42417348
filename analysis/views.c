/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/views.c - one pass over the events of a capture, to all views at once: its begin and its result.
 * Knows: what a pass keeps. Does not know: what an event does (events.c), names, files, output.
 * Called by reporters/ and cmds/, and by aggregate_write.c; calls capture/reader.h. */
#include "analysis/aggregate.h"
#include "analysis/views_private.h"
#include "analysis/weight.h"

#include <assert.h>

/* ---- the result ---- */

bool views_end_point(const struct views_pass *p, struct view_point *ret)
{
	*ret = (struct view_point){ .ticks = p->v->last_ticks, .heap = p->live_bytes };
	return p->points.len && p->live_bytes < p->point_bytes;
}

/* The size of the process at each point: that of the nearest sample. */
static void put_rss(const struct capture_sample *samples, size_t count, struct view_point *points,
		    size_t point_count)
{
	size_t i = 0;
	for (size_t k = 0; k < point_count && count; k++) {
		uint64_t ticks = points[k].ticks;
		while (i + 1 < count && samples[i + 1].ticks <= ticks)
			i++;
		bool next_nearer = i + 1 < count && samples[i + 1].ticks - ticks <
					(ticks > samples[i].ticks ? ticks - samples[i].ticks : 0);
		points[k].rss = samples[i + next_nearer].rss;
	}
}

/* Ascending even in a file that is not. */
static void add_point(struct views *v, struct view_point point)
{
	if (v->point_count && point.ticks < v->points[v->point_count - 1].ticks)
		point.ticks = v->points[v->point_count - 1].ticks;
	v->points[v->point_count++] = point;
}

struct mt_error *views_put_points(struct views *v, struct capture *cap, struct view_point *events,
				  size_t event_count)
{
	size_t samples, next = 0;
	const struct capture_sample *s = capture_samples(cap, &samples);
	free(v->points);
	v->point_count = 0;
	v->points = malloc((event_count + samples + 1) * sizeof(*v->points));
	if (!v->points)
		return &mt_enomem;
	put_rss(s, samples, events, event_count);
	uint64_t heap = 0;
	for (size_t i = 0; i <= event_count; i++) {
		uint64_t until = i < event_count ? events[i].ticks : UINT64_MAX;
		for (; next < samples && s[next].ticks < until; next++)
			add_point(v, (struct view_point){ s[next].ticks, heap, s[next].rss });
		if (i == event_count)
			break;
		add_point(v, events[i]);
		heap = events[i].heap;
	}
	return NULL;
}

static void range_left(const struct range_owner *owner, uint64_t bytes, bool last, void *arg)
{
	growth_survivor(arg, owner->row, owner->born, bytes, last);
}

/* When the capture ended: as it says; else, of what there is, the last event or look at the process. */
uint32_t views_end_ms(const struct capture *cap, uint64_t start_ticks, uint64_t ms_ticks, uint32_t last_ms)
{
	uint64_t start = capture_meta_u64(cap, CAPTURE_META_START, 0);
	uint64_t end = capture_meta_u64(cap, CAPTURE_META_END, 0);
	uint64_t ms = end > start ? (end - start) / 1000000 : 0;
	if (ms >= last_ms && ms < UINT32_MAX)
		return (uint32_t)ms;
	/* Cut, or still recorded. */
	size_t count;
	const struct capture_sample *s = capture_samples(cap, &count);
	ms = count ? views_ms(start_ticks, s[count - 1].ticks, ms_ticks) : 0;
	return ms > last_ms ? (uint32_t)ms : last_ms;
}

static struct mt_error *finish_growth(struct views_pass *p)
{
	uint32_t ms = views_end_ms(p->cap, p->start_ticks, p->ms_ticks, p->ms);
	for (uint32_t i = 0; i < p->rows.len && !p->no_memory; i++)
		if (!growth_settle(p->growth, i, p->rows.states[i].live_bytes, p->rows.states[i].live_count))
			p->no_memory = true;
	if (p->no_memory)
		return &mt_enomem;
	growth_end(p->growth, ms);
	for (size_t i = 0; i < p->live.cap; i++) {
		const struct live_block *b = &p->live.slots[i];
		if (live_is(b))
			growth_survivor(p->growth, b->row_1 - 1, b->born, b->size, 1);
	}
	ranges_each(&p->ranges, range_left, p->growth);
	p->v->growth = p->growth;
	return NULL;
}

static void range_stayed(const struct range_owner *owner, uint64_t bytes, bool last, void *arg)
{
	temporal_survivor(arg, owner->row, owner->born, bytes, last);
}

static void finish_temporal(struct views_pass *p)
{
	struct temporal *t = p->temporal;
	temporal_end(t);
	for (size_t i = 0; i < p->live.cap; i++) {
		const struct live_block *b = &p->live.slots[i];
		if (!live_is(b))
			continue;
		struct weight w = weight_of(p->sample_rate, b->size, b->address, b->sequence);
		temporal_survivor(t, b->row_1 - 1, b->born, w.bytes, w.count);
	}
	ranges_each(&p->ranges, range_stayed, t);
	if (!t->failed)
		p->v->temporal = p->temporal;
}

static struct mt_error *finish_rows(struct views_pass *p)
{
	struct views *v = p->v;
	struct mt_error *err = row_table_result(&p->rows);
	if (err)
		return err;
	for (int k = 0; k < VIEW_COUNT; k++)
		v->total_bytes[k] = v->total_count[k] = 0;
	v->rows = p->rows.result.items;
	v->row_count = p->rows.result.len;
	for (size_t i = 0; i < v->row_count; i++)
		for (int k = 0; k < VIEW_COUNT; k++) {
			v->total_bytes[k] += v->rows[i].bytes[k];
			v->total_count[k] += v->rows[i].count[k];
		}
	struct view_point last;
	if (views_end_point(p, &last) && !mt_array_push(&p->points, last))
		return &mt_enomem;
	return views_put_points(v, p->cap, p->points.items, p->points.len);
}

void growth_destroy(struct growth *g)
{
	if (g)
		growth_deinit(g);
	free(g);
}

void temporal_destroy(struct temporal *t)
{
	if (t)
		temporal_deinit(t);
	free(t);
}

void views_pass_end(struct views_pass *p)
{
	if (!p)
		return;
	growth_destroy(p->growth);
	temporal_destroy(p->temporal);
	if (p->aggregate) {
		mt_array_deinit(&p->aggregate->rows);
		mt_array_deinit(&p->aggregate->dirty);
		free(p->aggregate);
	}
	if (p->v)
		free(p->v->points);
	free(p->v);
	row_table_deinit(&p->rows);
	free(p->points.items);
	live_deinit(&p->live);
	ranges_deinit(&p->ranges);
	mt_array_deinit(&p->sequence);
	free(p);
}

/* What else is wanted of each row. */
static struct mt_error *begin_extras(struct views_pass *p)
{
	assert(!p->options.growth || !p->options.temporal);
	if (p->options.growth) {
		p->growth = malloc(sizeof(*p->growth));
		if (!p->growth)
			return &mt_enomem;
		growth_init(p->growth, p->options.older_than_ms);
	}
	if (p->options.temporal) {
		p->temporal = malloc(sizeof(*p->temporal));
		if (!p->temporal)
			return &mt_enomem;
		temporal_init(p->temporal);
	}
	return NULL;
}

static struct mt_error *begin(const struct views_source *source, const struct view_options *options,
			      struct views_pass **ret)
{
	auto_views_pass struct views_pass *p = calloc(1, sizeof(*p));
	if (!p)
		return &mt_enomem;
	p->v = calloc(1, sizeof(*p->v));
	if (!p->v)
		return &mt_enomem;
	p->options = *options;
	row_table_init(&p->rows);
	p->sample_rate = source->sample_rate;
	ranges_init(&p->ranges, source->page_size);
	/* A millisecond to begin with. */
	p->point_ticks = source->ticks_per_second / 1000;
	if (!p->point_ticks)
		p->point_ticks = 1;
	p->ms_ticks = p->point_ticks;
	p->start_ticks = source->start_ticks;
	struct mt_error *err = begin_extras(p);
	if (!err)
		*ret = take_ptr(&p);
	return err;
}

struct mt_error *views_pass_begin(struct capture *cap, const struct view_options *options,
				  struct views_pass **ret)
{
	struct views_source source = {
		.sample_rate = capture_meta_u64(cap, CAPTURE_META_SAMPLE, 0),
		.page_size = capture_header(cap)->page_size,
		.ticks_per_second = capture_meta_u64(cap, CAPTURE_META_TSC_HZ, 0),
		.start_ticks = capture_meta_u64(cap, CAPTURE_META_START_TICKS, UINT64_MAX),
	};
	struct mt_error *err = begin(&source, options, ret);
	if (!err)
		(*ret)->cap = cap;
	return err;
}

struct mt_error *views_pass_begin_aggregate(const struct views_source *source,
					    struct views_pass **ret)
{
	auto_views_pass struct views_pass *p = NULL;
	struct mt_error *err = begin(source, &(struct view_options){ .split_threads = true,
								     .temporal = true,
								     .temporary_threshold = 1 }, &p);
	if (err)
		return err;
	p->aggregate = calloc(1, sizeof(*p->aggregate));
	if (!p->aggregate)
		return &mt_enomem;
	temporal_follow(p->temporal);
	*ret = take_ptr(&p);
	return NULL;
}

struct mt_error *views_pass_now(struct views_pass *p, struct views **ret)
{
	struct mt_error *err = p->growth ? finish_growth(p) : NULL;
	if (err)
		return err;
	if (p->temporal)
		finish_temporal(p);
	err = finish_rows(p);
	if (err)
		return err;
	*ret = p->v;
	return NULL;
}

struct mt_error *views_compute(struct capture *cap, const struct view_options *options,
			       struct views **ret)
{
	auto_views_pass struct views_pass *p = NULL;
	struct views *v;
	if (capture_aggregated(cap))
		return aggregate_views(cap, options, ret);
	struct mt_error *err = views_pass_begin(cap, options, &p);
	if (!err)
		err = capture_events(cap, views_pass_take, p);
	if (!err)
		err = views_pass_now(p, &v);
	if (err)
		return err;
	/* All that the views show is theirs from here on. */
	p->v = NULL;
	p->rows.result.items = NULL;
	if (v->growth)
		p->growth = NULL;
	if (v->temporal)
		p->temporal = NULL;
	*ret = v;
	return NULL;
}

void views_destroy(struct views *v)
{
	if (!v)
		return;
	free(v->rows);
	free(v->points);
	growth_destroy(v->growth);
	temporal_destroy(v->temporal);
	free(v);
}
