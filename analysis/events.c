/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/events.c - what an event does to live memory: the hot part of the pass over a capture.
 * Knows: rows, live blocks, mappings. Does not know: how a pass begins and ends, names, files, output.
 * Called by whoever reads the events; the pass is analysis/views.c's.
 *
 * Half of what an event costs is to wait for memory: the block's entry in the table of live blocks, and its
 * row. So both are asked for some events ahead. */
#include "analysis/views_private.h"
#include "analysis/weight.h"

#define POINTS_MAX 10000u
#define LOOK_AHEAD 32u		/* events; what they touch is fetched meanwhile */
#define LOOK_AT_ROW 12u

/* ---- rows ---- */

/* What else is kept of each row. */
static bool have_row(struct views_pass *p, uint32_t row)
{
	struct aggregate_rows *a = p->aggregate;
	if (p->growth && !growth_rows(p->growth, (size_t)row + 1))
		return false;
	return !a || (mt_array_push(&a->rows, (struct aggregate_row){ 0 }) &&
		      mt_array_reserve(&a->dirty, (size_t)row + 1) && temporal_have_row(p->temporal, row));
}

static inline void mark_dirty(struct views_pass *p, uint32_t row)
{
	struct aggregate_rows *a = p->aggregate;
	if (!a || a->rows.items[row].dirty)
		return;
	a->rows.items[row].dirty = true;
	a->dirty.items[a->dirty.len++] = row;	/* there is room: have_row() */
}

static inline struct mt_error *find_row(struct views_pass *p, const struct capture_event *ev,
					uint32_t thread, uint32_t *ret)
{
	size_t rows = p->rows.len;
	struct mt_error *err = row_table_find(&p->rows, ev->stack, p->options.split_threads ? thread : 0,
					      ev->kind, ret);
	if (!err && __builtin_expect(p->rows.len != rows, 0) && !have_row(p, *ret))
		err = &mt_enomem;
	return err;
}

/* ---- memory over time ---- */

uint32_t views_ms(uint64_t start_ticks, uint64_t ticks, uint64_t ms_ticks)
{
	uint64_t ms = ticks > start_ticks ? (ticks - start_ticks) / ms_ticks : 0;
	return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static void clock_next(struct views_pass *p, uint64_t ticks)
{
	if (!p->ms_end && ticks < p->start_ticks)
		p->start_ticks = ticks;
	p->ms = views_ms(p->start_ticks, ticks, p->ms_ticks);
	p->ms_end = p->start_ticks + (p->ms + 1ull) * p->ms_ticks;
	if (p->growth)
		growth_clock(p->growth, p->ms);
	if (p->temporal)
		temporal_clock(p->temporal, p->ms, ticks, p->live_bytes);
}

/* Half as many points, each of twice the time: the higher of two. */
static void points_join(struct views_pass *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->points.len; i += 2) {
		struct view_point a = p->points.items[i];
		struct view_point b = p->points.items[i + 1 < p->points.len ? i + 1 : i];
		p->points.items[n++] = b.heap > a.heap ? b : a;
	}
	p->points.len = n;
	p->point_ticks *= 2;
}

static struct mt_error *point_next(struct views_pass *p, uint64_t ticks)
{
	if (p->points.len + 2 > POINTS_MAX)
		points_join(p);
	/* A point has the highest of its time. What was live through a time without events needs one of
	 * its own: else a fall just before it is seen when it is over, or never. */
	if (p->points.len && ticks > p->point_end + p->point_ticks && p->live_bytes < p->point_bytes) {
		struct view_point low = { .ticks = p->point_end, .heap = p->live_bytes };
		if (!mt_array_push(&p->points, low))
			return &mt_enomem;
	}
	p->point_end = ticks + p->point_ticks;
	p->point_bytes = p->live_bytes;
	struct view_point point = { .ticks = ticks, .heap = p->live_bytes };
	return mt_array_push(&p->points, point) ? NULL : &mt_enomem;
}

/* After an allocation: a release makes nothing higher. */
static inline void point_note(struct views_pass *p, uint64_t ticks)
{
	if (p->live_bytes <= p->point_bytes)
		return;
	p->points.items[p->points.len - 1] = (struct view_point){ .ticks = ticks, .heap = p->live_bytes };
	p->point_bytes = p->live_bytes;
}

/* ---- what events do ---- */

/* What the row has is about to change. Out of memory here is found at the end: few of the callers
 * could say so. */
static inline void row_before(struct views_pass *p, uint32_t row)
{
	const struct row_state *s = &p->rows.states[row];
	mark_dirty(p, row);
	row_table_before(&p->rows, row);
	if (p->growth && !growth_before(p->growth, row, s->live_bytes, s->live_count))
		p->no_memory = true;
}

/* What `born` of a block or mapping says: growth and temporal are never both wanted. */
static inline uint32_t born_now(const struct views_pass *p)
{
	return p->temporal ? temporal_stamp(p->temporal) : p->ms;
}

static inline uint32_t life_units(const struct views_pass *p)
{
	uint32_t units = p->ms / LIFE_UNIT_MS;
	return units < LIFE_UNITS_MAX ? units : LIFE_UNITS_MAX;
}

/* What stands in the place of the thread in what is live: see analysis/views_private.h. */
static inline uint32_t thread_word(const struct views_pass *p, uint32_t thread)
{
	return p->aggregate ? life_units(p) : thread;
}

static inline uint32_t thread_of(const struct views_pass *p, uint32_t row, uint32_t word)
{
	return p->aggregate ? p->rows.rest.items[row].thread : word;
}

static inline void note_life(struct views_pass *p, uint32_t row, uint32_t born, uint32_t word)
{
	if (p->growth && !p->no_memory)
		growth_release(p->growth, row, p->ms - born);
	if (!p->aggregate)
		return;
	struct aggregate_row *a = &p->aggregate->rows.items[row];
	uint32_t lived = life_units(p) - word;
	a->released++;
	a->lived += lived;
	if (lived > a->longest)
		a->longest = lived;
}

static inline void take_bytes(struct views_pass *p, uint32_t row, uint32_t born, uint64_t bytes,
			      uint64_t count)
{
	if (p->temporal)
		temporal_release(p->temporal, row, born, bytes, count);
	row_before(p, row);
	p->rows.states[row].live_bytes -= bytes;
	p->rows.states[row].live_count -= count;
	p->live_bytes -= bytes;
}

static inline void note_temporary(struct views_pass *p, uint32_t row, uint32_t thread, uint64_t sequence,
				  struct weight w)
{
	/* A sample does not tell how many allocations there were in between. */
	if (p->sample_rate)
		return;
	/* The allocation itself is not a further one. */
	if (p->sequence.items[thread] - sequence - 1 > p->options.temporary_threshold)
		return;
	row_table_temporary(&p->rows, row, w.bytes);
}

static inline void end_block(struct views_pass *p, struct live_block *b)
{
	uint32_t row = b->row_1 - 1;
	struct weight w = weight_of(p->sample_rate, b->size, b->address, b->sequence);
	note_temporary(p, row, thread_of(p, row, b->thread), b->sequence, w);
	note_life(p, row, b->born, b->thread);
	take_bytes(p, row, b->born, w.bytes, w.count);
	live_remove(&p->live, b);
}

static void range_released(const struct range_owner *owner, uint64_t bytes, bool last, void *arg)
{
	struct views_pass *p = arg;
	if (last) {	/* all parts went before, so the whole mapping was that short-lived */
		note_temporary(p, owner->row, thread_of(p, owner->row, owner->thread),
			       owner->sequence, (struct weight){ owner->size, 1 });
		note_life(p, owner->row, owner->born, owner->thread);
	}
	take_bytes(p, owner->row, owner->born, bytes, last);
}

static bool kind_is_mapping(uint8_t kind)
{
	return kind == WIRE_REC_MMAP || kind == WIRE_REC_MREMAP || kind == WIRE_REC_BRK;
}

static inline struct mt_error *place(struct views_pass *p, const struct capture_event *ev, uint32_t row,
			      uint64_t sequence)
{
	if (kind_is_mapping(ev->kind)) {
		struct range_owner owner = { .sequence = sequence, .row = row,
					     .thread = thread_word(p, ev->thread), .born = born_now(p) };
		return ranges_map(&p->ranges, ev->address, ev->size, &owner, range_released, p);
	}
	struct live_block *b = live_entry(&p->live, ev->address);
	if (!b)
		return &mt_enomem;
	if (live_is(b))		/* its release was not recorded */
		end_block(p, b);
	*b = (struct live_block){ .address = ev->address, .size = ev->size, .sequence = sequence,
				  .row_1 = row + 1, .thread = thread_word(p, ev->thread),
				  .born = born_now(p) };
	live_added(&p->live);
	return NULL;
}

/* What is live of the row grew. */
static inline void put_bytes(struct views_pass *p, uint32_t row, struct weight w)
{
	struct row_state *s = &p->rows.states[row];
	row_before(p, row);
	s->live_bytes += w.bytes;
	s->live_count += w.count;
	p->live_bytes += w.bytes;
	if (p->aggregate)
		temporal_arrive(p->temporal, row, w.bytes, w.count);
	if (p->growth)
		growth_most(p->growth, row, s->live_bytes, s->live_count);
}

static inline void count_allocation(struct views *v, const struct capture_event *ev, struct weight w)
{
	if (!v->allocations || ev->size < v->min_size)
		v->min_size = ev->size;
	if (ev->size > v->max_size)
		v->max_size = ev->size;
	v->allocations += w.count;
	v->kind_count[ev->kind] += w.count;
	v->kind_bytes[ev->kind] += w.bytes;
	v->size_class[ev->size ? 64 - __builtin_clzll(ev->size) : 0] += w.count;
}

static inline struct mt_error *allocate(struct views_pass *p, const struct capture_event *ev)
{
	uint32_t row, thread = ev->thread;
	if (p->aggregate && thread >= AGGREGATE_THREADS) {
		thread = 0;
		p->aggregate->later_threads = true;
	}
	struct mt_error *err = find_row(p, ev, thread, &row);
	while (!err && p->sequence.len <= thread)
		if (!mt_array_push(&p->sequence, 0))
			err = &mt_enomem;
	if (!err && ev->address)
		err = place(p, ev, row, p->sequence.items[thread]);
	if (err)
		return err;
	mark_dirty(p, row);
	/* Mappings are never sampled. */
	struct weight w = weight_of(kind_is_mapping(ev->kind) ? 0 : p->sample_rate, ev->size,
				    ev->address, p->sequence.items[thread]);
	p->sequence.items[thread]++;
	p->rows.states[row].allocated_bytes += w.bytes;
	p->rows.states[row].allocated_count += w.count;
	if (ev->address)	/* 0 is nobody's block and cannot be released */
		put_bytes(p, row, w);
	if (p->live_bytes >= p->peak_bytes) {
		p->peak_bytes = p->live_bytes;
		row_table_peak(&p->rows);
		p->v->peak_ticks = ev->ticks;
	}
	point_note(p, ev->ticks);
	if (p->temporal)
		temporal_heap(p->temporal, ev->ticks, p->live_bytes);
	count_allocation(p->v, ev, w);
	return NULL;
}

static inline struct mt_error *release(struct views_pass *p, const struct capture_event *ev)
{
	struct views *v = p->v;
	v->releases++;
	v->kind_count[ev->kind]++;
	v->kind_bytes[ev->kind] += ev->size;
	if (capture_kind_has_size(ev->kind)) {
		bool found;
		struct mt_error *err = ranges_unmap(&p->ranges, ev->address, ev->size, &found,
						    range_released, p);
		v->unknown_releases += !err && !found;
		return err;
	}
	struct live_block *b = live_find(&p->live, ev->address);
	if (b)
		end_block(p, b);
	else
		v->unknown_releases++;
	return NULL;
}

static void restamp_range(struct range_owner *owner, void *arg)
{
	owner->born = temporal_restamp(arg, owner->born);
}

/* A report is over before its stamps are used up. */
void views_restamp(struct views_pass *p)
{
	temporal_restamp_begin(p->temporal);
	for (size_t i = 0; i < p->live.cap; i++)
		if (live_is(&p->live.slots[i]))
			p->live.slots[i].born = temporal_restamp(p->temporal, p->live.slots[i].born);
	ranges_each_owner(&p->ranges, restamp_range, p->temporal);
	temporal_restamp_end(p->temporal);
}

/* An event that comes soon: its block's entry first; when that is there, its row. Nobody foresees whether
 * an event allocates, so there is no branch here. (Inline by force: gcc 12 drops calls of functions that do
 * nothing but prefetch.) */
static inline __attribute__((always_inline)) void look_ahead(struct views_pass *p,
							     const struct capture_event *next)
{
	const struct capture_event *at_row = next - LOOK_AHEAD + LOOK_AT_ROW;
	if (!p->live.cap)
		return;
	live_prefetch(&p->live, next->address);
	uint32_t allocates = -(uint32_t)(at_row->stack != 0);
	uint32_t thread = p->options.split_threads ? at_row->thread : 0;
	uint32_t row = (row_table_last(&p->rows, at_row->stack, thread)->row_1 & allocates) |
		       (live_row_near(&p->live, at_row->address) & ~allocates);
	row -= row != 0;
	__builtin_prefetch(p->rows.states + row, 1);
	if (p->aggregate) {
		__builtin_prefetch(&p->temporal->births.items[row]);
		__builtin_prefetch(&p->aggregate->rows.items[row]);
	}
}

struct mt_error *views_pass_take(const struct capture_event *events, size_t count, void *arg)
{
	struct views_pass *p = arg;
	struct views *v = p->v;
	if (p->growth)		/* its clock may have been at the end */
		growth_clock(p->growth, p->ms);
	if (!v->events)
		v->first_ticks = events[0].ticks;
	if (p->aggregate && temporal_stamps_low(p->temporal))
		views_restamp(p);
	for (size_t i = 0; i < count && i < LOOK_AHEAD && p->live.cap; i++)
		live_prefetch(&p->live, events[i].address);
	for (size_t i = 0; i < count; i++) {
		const struct capture_event *ev = &events[i];
		if (i + LOOK_AHEAD < count)
			look_ahead(p, &events[i + LOOK_AHEAD]);
		if (ev->ticks >= p->ms_end)
			clock_next(p, ev->ticks);
		if (ev->ticks >= p->point_end || !p->points.len) {
			struct mt_error *err = point_next(p, ev->ticks);
			if (err)
				return err;
		}
		struct mt_error *err = capture_kind_allocates(ev->kind) ? allocate(p, ev) : release(p, ev);
		if (err)
			return err;
	}
	v->events += count;
	v->last_ticks = events[count - 1].ticks;
	if (p->options.progress)
		p->options.progress(capture_progress(p->cap), p->options.progress_arg);
	return NULL;
}
