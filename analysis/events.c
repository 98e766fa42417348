/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/events.c - what an event does to live memory: the hot part of the pass over a capture.
 * Knows: rows, live blocks, mappings. Does not know: how a pass begins and ends, names, files, output.
 * Called by whoever reads the events; the pass is analysis/views.c's.
 *
 * Half of what an event costs is to wait for memory: the block's entry in the table of live blocks, and its
 * row. So both are asked for some events ahead. The other half are instructions: most passes keep nothing
 * besides the views, or what lived when, and have a loop of their own that does not ask for the rest. */
#include "analysis/views_private.h"
#include "analysis/weight.h"

#define POINTS_MAX 10000u
#define LOOK_AHEAD 32u		/* events; what they touch is fetched meanwhile */
#define LOOK_AT_ROW 12u
#define HASHES (2 * LOOK_AHEAD)
/* Inline by force: what a pass keeps is a constant only there, and gcc 12 drops calls of functions that do
 * nothing but prefetch. */
#define HOT static inline __attribute__((always_inline))

/* ---- what a pass keeps: a constant wherever it is given ---- */

enum keeps {
	KEEPS_VIEWS,
	KEEPS_TEMPORAL,
	KEEPS_ANY,		/* or growth, or sums to be written; of a sample, or by thread */
};

static enum keeps keeps(const struct views_pass *p)
{
	if (p->growth || p->aggregate || p->sample_rate || p->options.split_threads)
		return KEEPS_ANY;
	return p->temporal ? KEEPS_TEMPORAL : KEEPS_VIEWS;
}

HOT struct temporal *temporal_of(const struct views_pass *p, enum keeps k)
{
	if (k == KEEPS_TEMPORAL && !p->temporal)
		__builtin_unreachable();
	return k == KEEPS_VIEWS ? NULL : p->temporal;
}

HOT struct growth *growth_of(const struct views_pass *p, enum keeps k)
{
	return k == KEEPS_ANY ? p->growth : NULL;
}

HOT struct aggregate_rows *aggregate_of(const struct views_pass *p, enum keeps k)
{
	return k == KEEPS_ANY ? p->aggregate : NULL;
}

HOT uint64_t sample_rate_of(const struct views_pass *p, enum keeps k)
{
	return k == KEEPS_ANY ? p->sample_rate : 0;
}

/* The thread that a row is by. */
HOT uint32_t row_thread(const struct views_pass *p, uint32_t thread, enum keeps k)
{
	return k == KEEPS_ANY && p->options.split_threads ? thread : 0;
}

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

HOT void mark_dirty(struct views_pass *p, uint32_t row, enum keeps k)
{
	struct aggregate_rows *a = aggregate_of(p, k);
	if (!a || a->rows.items[row].dirty)
		return;
	a->rows.items[row].dirty = true;
	a->dirty.items[a->dirty.len++] = row;	/* there is room: have_row() */
}

HOT struct mt_error *find_row(struct views_pass *p, const struct capture_event *ev, uint32_t thread,
			      enum keeps k, uint32_t *ret)
{
	size_t rows = p->rows.len;
	struct mt_error *err = row_table_find(&p->rows, ev->stack, row_thread(p, thread, k), ev->kind, ret);
	if (k != KEEPS_ANY)
		return err;
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

/* A millisecond is over, or the time of a point, or nothing was before. */
static __attribute__((noinline)) struct mt_error *time_passed(struct views_pass *p, uint64_t ticks)
{
	struct mt_error *err = NULL;
	if (ticks >= p->ms_end)
		clock_next(p, ticks);
	if (ticks >= p->point_end || !p->points.len)
		err = point_next(p, ticks);
	p->due = p->ms_end < p->point_end ? p->ms_end : p->point_end;
	return err;
}

/* After an allocation: a release makes nothing higher. */
HOT void point_note(struct views_pass *p, uint64_t ticks)
{
	if (p->live_bytes <= p->point_bytes)
		return;
	p->points.items[p->points.len - 1] = (struct view_point){ .ticks = ticks, .heap = p->live_bytes };
	p->point_bytes = p->live_bytes;
}

/* ---- what events do ---- */

/* What the row has is about to change. Out of memory here is found at the end: few of the callers
 * could say so. */
HOT void row_before(struct views_pass *p, uint32_t row, enum keeps k)
{
	const struct row_state *s = &p->rows.states[row];
	struct growth *growth = growth_of(p, k);
	mark_dirty(p, row, k);
	row_table_before(&p->rows, row);
	if (growth && !growth_before(growth, row, s->live_bytes, s->live_count))
		p->no_memory = true;
}

/* What `born` of a block or mapping says: growth and temporal are never both wanted. */
HOT uint32_t born_now(const struct views_pass *p, enum keeps k)
{
	const struct temporal *temporal = temporal_of(p, k);
	return temporal ? temporal_stamp(temporal) : p->ms;
}

static inline uint32_t life_units(const struct views_pass *p)
{
	uint32_t units = p->ms / LIFE_UNIT_MS;
	return units < LIFE_UNITS_MAX ? units : LIFE_UNITS_MAX;
}

/* What stands in the place of the thread in what is live: see analysis/views_private.h. */
HOT uint32_t thread_word(const struct views_pass *p, uint32_t thread, enum keeps k)
{
	return aggregate_of(p, k) ? life_units(p) : thread;
}

HOT uint32_t thread_of(const struct views_pass *p, uint32_t row, uint32_t word, enum keeps k)
{
	return aggregate_of(p, k) ? p->rows.rest.items[row].thread : word;
}

HOT void note_life(struct views_pass *p, uint32_t row, uint32_t born, uint32_t word, enum keeps k)
{
	struct growth *growth = growth_of(p, k);
	if (growth && !p->no_memory)
		growth_release(growth, row, p->ms - born);
	if (!aggregate_of(p, k))
		return;
	struct aggregate_row *a = &p->aggregate->rows.items[row];
	uint32_t lived = life_units(p) - word;
	a->released++;
	a->lived += lived;
	if (lived > a->longest)
		a->longest = lived;
}

HOT void take_bytes(struct views_pass *p, uint32_t row, uint32_t born, uint64_t bytes, uint64_t count,
		    enum keeps k)
{
	if (temporal_of(p, k))
		temporal_release(p->temporal, row, born, bytes, count);
	row_before(p, row, k);
	p->rows.states[row].live_bytes -= bytes;
	p->rows.states[row].live_count -= count;
	p->live_bytes -= bytes;
}

HOT void note_temporary(struct views_pass *p, uint32_t row, uint32_t thread, uint64_t sequence,
			struct weight w, enum keeps k)
{
	/* A sample does not tell how many allocations there were in between. */
	if (sample_rate_of(p, k))
		return;
	/* The allocation itself is not a further one. */
	if (p->sequence.items[thread] - sequence - 1 > p->options.temporary_threshold)
		return;
	row_table_temporary(&p->rows, row, w.bytes);
}

HOT void end_block(struct views_pass *p, struct live_block *b, enum keeps k)
{
	uint32_t row = b->row_1 - 1;
	struct weight w = weight_of(sample_rate_of(p, k), b->size, b->address, b->sequence);
	note_temporary(p, row, thread_of(p, row, b->thread, k), b->sequence, w, k);
	note_life(p, row, b->born, b->thread, k);
	take_bytes(p, row, b->born, w.bytes, w.count, k);
	live_remove(&p->live, b);
}

/* Its release was not recorded. */
static __attribute__((noinline)) void end_lost(struct views_pass *p, struct live_block *b)
{
	end_block(p, b, KEEPS_ANY);
}

static void range_released(const struct range_owner *owner, uint64_t bytes, bool last, void *arg)
{
	struct views_pass *p = arg;
	if (last) {	/* all parts went before, so the whole mapping was that short-lived */
		note_temporary(p, owner->row, thread_of(p, owner->row, owner->thread, KEEPS_ANY),
			       owner->sequence, (struct weight){ owner->size, 1 }, KEEPS_ANY);
		note_life(p, owner->row, owner->born, owner->thread, KEEPS_ANY);
	}
	take_bytes(p, owner->row, owner->born, bytes, last, KEEPS_ANY);
}

static inline bool kind_is_mapping(uint8_t kind)
{
	const uint32_t mappings = 1u << WIRE_REC_MMAP | 1u << WIRE_REC_MREMAP | 1u << WIRE_REC_BRK;
	return mappings >> kind & 1;	/* kinds are below WIRE_REC_LIMIT, 32 */
}

static __attribute__((noinline)) struct mt_error *place_mapping(struct views_pass *p,
								const struct capture_event *ev,
								uint32_t row, uint64_t sequence)
{
	struct range_owner owner = { .sequence = sequence, .row = row,
				     .thread = thread_word(p, ev->thread, KEEPS_ANY),
				     .born = born_now(p, KEEPS_ANY) };
	return ranges_map(&p->ranges, ev->address, ev->size, &owner, range_released, p);
}

HOT struct mt_error *place(struct views_pass *p, const struct capture_event *ev, uint64_t hash,
			   uint32_t row, uint64_t sequence, enum keeps k)
{
	if (kind_is_mapping(ev->kind))
		return place_mapping(p, ev, row, sequence);
	struct live_block *b = live_entry(&p->live, ev->address, hash);
	if (!b)
		return &mt_enomem;
	if (__builtin_expect(live_is(b), 0))
		end_lost(p, b);
	*b = (struct live_block){ .address = ev->address, .size = ev->size, .sequence = sequence,
				  .row_1 = row + 1, .thread = thread_word(p, ev->thread, k),
				  .born = born_now(p, k) };
	live_added(&p->live);
	return NULL;
}

/* What is live of the row grew. */
HOT void put_bytes(struct views_pass *p, uint32_t row, struct weight w, enum keeps k)
{
	struct row_state *s = &p->rows.states[row];
	row_before(p, row, k);
	s->live_bytes += w.bytes;
	s->live_count += w.count;
	p->live_bytes += w.bytes;
	if (aggregate_of(p, k))
		temporal_arrive(p->temporal, row, w.bytes, w.count);
	if (growth_of(p, k))
		growth_most(p->growth, row, s->live_bytes, s->live_count);
}

HOT void count_allocation(struct views *v, const struct capture_event *ev, struct weight w)
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

HOT struct mt_error *allocate(struct views_pass *p, const struct capture_event *ev, uint64_t hash,
			      enum keeps k)
{
	uint32_t row, thread = ev->thread;
	if (aggregate_of(p, k) && thread >= AGGREGATE_THREADS) {
		thread = 0;
		p->aggregate->later_threads = true;
	}
	struct mt_error *err = find_row(p, ev, thread, k, &row);
	while (!err && p->sequence.len <= thread)
		if (!mt_array_push(&p->sequence, 0))
			err = &mt_enomem;
	if (err)
		return err;
	uint64_t sequence = p->sequence.items[thread];
	if (ev->address)
		err = place(p, ev, hash, row, sequence, k);
	if (err)
		return err;
	p->sequence.items[thread] = sequence + 1;
	mark_dirty(p, row, k);
	/* Mappings are never sampled. */
	struct weight w = weight_of(kind_is_mapping(ev->kind) ? 0 : sample_rate_of(p, k), ev->size,
				    ev->address, sequence);
	p->rows.states[row].allocated_bytes += w.bytes;
	p->rows.states[row].allocated_count += w.count;
	if (ev->address)	/* 0 is nobody's block and cannot be released */
		put_bytes(p, row, w, k);
	if (p->live_bytes >= p->peak_bytes) {
		p->peak_bytes = p->live_bytes;
		row_table_peak(&p->rows);
		p->v->peak_ticks = ev->ticks;
	}
	point_note(p, ev->ticks);
	if (temporal_of(p, k))
		temporal_heap(p->temporal, ev->ticks, p->live_bytes);
	count_allocation(p->v, ev, w);
	return NULL;
}

static __attribute__((noinline)) struct mt_error *release_mapping(struct views_pass *p,
								  const struct capture_event *ev)
{
	bool found;
	struct mt_error *err = ranges_unmap(&p->ranges, ev->address, ev->size, &found, range_released, p);
	p->v->unknown_releases += !err && !found;
	return err;
}

HOT struct mt_error *release(struct views_pass *p, const struct capture_event *ev, uint64_t hash,
			     enum keeps k)
{
	struct views *v = p->v;
	v->releases++;
	v->kind_count[ev->kind]++;
	v->kind_bytes[ev->kind] += ev->size;
	if (__builtin_expect(capture_kind_has_size(ev->kind), 0))
		return release_mapping(p, ev);
	struct live_block *b = live_find(&p->live, ev->address, hash);
	if (b)
		end_block(p, b, k);
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

/* Events that come soon: first the block's entry; when that is there, the row. Nobody foresees whether
 * an event allocates, so there is no branch here. */
HOT void look_ahead(struct views_pass *p, uint64_t hash, const struct capture_event *at_row,
		    uint64_t hash_at_row, enum keeps k)
{
	if (__builtin_expect(!p->live.cap, 0))
		return;
	live_prefetch(&p->live, hash);
	uint32_t allocates = -(uint32_t)(at_row->stack != 0);
	uint32_t thread = row_thread(p, at_row->thread, k);
	uint32_t row = (row_table_last(&p->rows, at_row->stack, thread)->row_1 & allocates) |
		       (live_row_near(&p->live, hash_at_row) & ~allocates);
	row -= row != 0;
	__builtin_prefetch(p->rows.states + row, 1);
	if (aggregate_of(p, k)) {
		__builtin_prefetch(&p->temporal->births.items[row]);
		__builtin_prefetch(&p->aggregate->rows.items[row]);
	}
}

HOT struct mt_error *take(struct views_pass *p, const struct capture_event *events, size_t count, enum keeps k)
{
	uint64_t hashes[HASHES];	/* of the addresses of what comes */
	for (size_t i = 0; i < count && i < LOOK_AHEAD; i++) {
		hashes[i] = live_hash(events[i].address);
		if (p->live.cap)
			live_prefetch(&p->live, hashes[i]);
	}
	for (size_t i = 0; i < count; i++) {
		const struct capture_event *ev = &events[i];
		uint64_t hash = hashes[i % HASHES];
		if (i + LOOK_AHEAD < count) {
			uint64_t next = live_hash(ev[LOOK_AHEAD].address);
			hashes[(i + LOOK_AHEAD) % HASHES] = next;
			look_ahead(p, next, ev + LOOK_AT_ROW, hashes[(i + LOOK_AT_ROW) % HASHES], k);
		}
		struct mt_error *err = NULL;
		if (__builtin_expect(ev->ticks >= p->due, 0))
			err = time_passed(p, ev->ticks);
		if (!err)
			err = capture_kind_allocates(ev->kind) ? allocate(p, ev, hash, k) :
								 release(p, ev, hash, k);
		if (__builtin_expect(err != NULL, 0))
			return err;
	}
	return NULL;
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
	struct mt_error *err = NULL;
	switch (keeps(p)) {
	case KEEPS_VIEWS:
		err = take(p, events, count, KEEPS_VIEWS);
		break;
	case KEEPS_TEMPORAL:
		err = take(p, events, count, KEEPS_TEMPORAL);
		break;
	case KEEPS_ANY:
		err = take(p, events, count, KEEPS_ANY);
		break;
	}
	if (err)
		return err;
	v->events += count;
	v->last_ticks = events[count - 1].ticks;
	if (p->options.progress)
		p->options.progress(capture_progress(p->cap), p->options.progress_arg);
	return NULL;
}
