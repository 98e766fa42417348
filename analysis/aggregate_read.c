/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/aggregate_read.c - the views of an aggregated capture, from the sums in it.
 * Knows: the blocks of an aggregated capture. Does not know: who asks for what.
 * Called by views_compute(), which is all that reporters see; calls capture/reader.h. */
#include "analysis/aggregate.h"
#include "analysis/aggregate_private.h"
#include "analysis/views_private.h"
#include "capture/numbers.h"

#include <string.h>

#define THREAD_LIMIT (1u << 27)		/* keys of rows have no room for more */
#define POINTS_MAX 100000u

/* ---- blocks ---- */

static struct mt_error *take_row(struct sums *s, const uint64_t *v, bool *good)
{
	uint64_t id = v[CAPTURE_ROW_ID];
	/* Every row has bytes in the file, so more rows than that are damage. */
	*good = id < UINT32_MAX && id / 64 <= capture_size(s->cap) &&
		v[CAPTURE_ROW_STACK] < s->tables.stack_count && v[CAPTURE_ROW_THREAD] < THREAD_LIMIT &&
		v[CAPTURE_ROW_KIND] >= WIRE_REC_MALLOC && v[CAPTURE_ROW_KIND] < WIRE_REC_FREE;
	if (!*good)
		return NULL;
	if (!mt_array_reserve(&s->raw, id + 1))
		return &mt_enomem;
	while (s->raw.len <= id)
		s->raw.items[s->raw.len++] = (struct sums_row){ .kind = 0 };
	s->raw.items[id] = (struct sums_row){
		.stack = (uint32_t)v[CAPTURE_ROW_STACK],
		.thread = (uint32_t)v[CAPTURE_ROW_THREAD],
		.kind = (uint8_t)v[CAPTURE_ROW_KIND],
		.bytes = { [VIEW_PEAK] = v[CAPTURE_ROW_PEAK_BYTES], [VIEW_LEAKS] = v[CAPTURE_ROW_LIVE_BYTES],
			   [VIEW_ALLOCATED] = v[CAPTURE_ROW_ALLOCATED_BYTES],
			   [VIEW_TEMPORARY] = v[CAPTURE_ROW_TEMPORARY_BYTES] },
		.count = { [VIEW_PEAK] = v[CAPTURE_ROW_PEAK_COUNT], [VIEW_LEAKS] = v[CAPTURE_ROW_LIVE_COUNT],
			   [VIEW_ALLOCATED] = v[CAPTURE_ROW_ALLOCATED_COUNT],
			   [VIEW_TEMPORARY] = v[CAPTURE_ROW_TEMPORARY_COUNT] },
		.peak_epoch = v[CAPTURE_ROW_PEAK_EPOCH], .released = v[CAPTURE_ROW_RELEASED],
		.lived_ms = v[CAPTURE_ROW_LIVED_MS], .longest_ms = v[CAPTURE_ROW_LONGEST_MS],
	};
	return NULL;
}

static struct mt_error *take_rows(struct sums *s, struct mt_cursor *c)
{
	auto_free uint64_t *v = NULL;
	size_t rows;
	struct mt_error *err = numbers_take(c, CAPTURE_ROW_COLUMNS, SIZE_MAX, &v, &rows);
	for (size_t i = 0; !err && i < rows; i++) {
		bool good;
		err = take_row(s, v + i * CAPTURE_ROW_COLUMNS, &good);
		c->failed |= !good;
	}
	return err;
}

static struct mt_error *take_points(struct sums *s, struct mt_cursor *c)
{
	auto_free uint64_t *v = NULL;
	size_t rows;
	struct mt_error *err = numbers_take(c, CAPTURE_POINT_COLUMNS, POINTS_MAX, &v, &rows);
	s->points.len = 0;
	for (size_t i = 0; !err && i < rows; i++) {
		const uint64_t *p = v + i * CAPTURE_POINT_COLUMNS;
		struct view_point point = { .ticks = p[CAPTURE_POINT_TICKS], .heap = p[CAPTURE_POINT_HEAP] };
		c->failed |= i && point.ticks < s->points.items[i - 1].ticks;
		if (!mt_array_push(&s->points, point))
			return &mt_enomem;
	}
	return err;
}

static struct mt_error *take_instants(struct sums *s, struct mt_cursor *c)
{
	auto_free uint64_t *v = NULL;
	size_t rows;
	struct mt_error *err = numbers_take(c, CAPTURE_INSTANT_COLUMNS, TEMPORAL_INSTANTS_MAX, &v, &rows);
	s->instants.len = 0;
	for (size_t i = 0; !err && i < rows; i++) {
		const uint64_t *p = v + i * CAPTURE_INSTANT_COLUMNS;
		struct temporal_instant t = { .ticks = p[CAPTURE_INSTANT_TICKS], .heap = p[CAPTURE_INSTANT_HEAP],
					      .slot = (uint32_t)p[CAPTURE_INSTANT_SLOT] };
		c->failed |= i && t.ticks < s->instants.items[i - 1].ticks;
		if (!mt_array_push(&s->instants, t))
			return &mt_enomem;
	}
	return err;
}

static struct mt_error *take_lives(struct sums *s, struct mt_cursor *c)
{
	auto_free uint64_t *head = NULL, *v = NULL;
	size_t heads, rows;
	struct mt_error *err = numbers_take(c, CAPTURE_LIVES_COLUMNS, 1, &head, &heads);
	if (!err)
		err = take_points(s, c);
	if (!err)
		err = take_instants(s, c);
	if (!err)
		err = numbers_take(c, CAPTURE_LIFE_COLUMNS, SIZE_MAX, &v, &rows);
	if (err)
		return err;
	c->failed |= heads != 1;
	s->start_ticks = head[CAPTURE_LIVES_START_TICKS];
	s->lives.len = 0;
	for (size_t i = 0; i < rows; i++) {
		const uint64_t *p = v + i * CAPTURE_LIFE_COLUMNS;
		uint64_t born = p[CAPTURE_LIFE_BORN], gone = p[CAPTURE_LIFE_GONE];
		bool never = gone == CAPTURE_LIFE_NEVER;
		if (p[CAPTURE_LIFE_ROW] >= UINT32_MAX || born > s->instants.len ||
		    (!never && (gone > s->instants.len || gone <= born))) {
			c->failed = true;
			continue;
		}
		struct sums_life life = { .row = (uint32_t)p[CAPTURE_LIFE_ROW], .born = (uint16_t)born,
					  .gone = (uint16_t)gone, .bytes = p[CAPTURE_LIFE_BYTES],
					  .count = p[CAPTURE_LIFE_COUNT] };
		if (!mt_array_push(&s->lives, life))
			return &mt_enomem;
	}
	return NULL;
}

static struct mt_error *take_totals(struct sums *s, struct mt_cursor *c)
{
	auto_free uint64_t *t = NULL, *kinds = NULL, *classes = NULL;
	size_t rows, kind_rows = 0, class_rows = 0;
	struct views *v = s->v;
	struct mt_error *err = numbers_take(c, CAPTURE_TOTAL_COLUMNS, 1, &t, &rows);
	if (!err)
		err = numbers_take(c, CAPTURE_KIND_COLUMNS, WIRE_REC_LIMIT, &kinds, &kind_rows);
	if (!err)
		err = numbers_take(c, CAPTURE_CLASS_COLUMNS, 65, &classes, &class_rows);
	if (err)
		return err;
	c->failed |= rows != 1;
	v->events = t[CAPTURE_TOTAL_EVENTS];
	v->allocations = t[CAPTURE_TOTAL_ALLOCATIONS];
	v->releases = t[CAPTURE_TOTAL_RELEASES];
	v->unknown_releases = t[CAPTURE_TOTAL_UNKNOWN_RELEASES];
	v->first_ticks = t[CAPTURE_TOTAL_FIRST_TICKS];
	v->last_ticks = t[CAPTURE_TOTAL_LAST_TICKS];
	v->peak_ticks = t[CAPTURE_TOTAL_PEAK_TICKS];
	v->min_size = t[CAPTURE_TOTAL_MIN_SIZE];
	v->max_size = t[CAPTURE_TOTAL_MAX_SIZE];
	s->peak_epoch = t[CAPTURE_TOTAL_PEAK_EPOCH];
	s->heap = t[CAPTURE_TOTAL_HEAP];
	for (size_t i = 0; i < kind_rows; i++) {
		const uint64_t *k = kinds + i * CAPTURE_KIND_COLUMNS;
		if (k[CAPTURE_KIND_KIND] >= WIRE_REC_LIMIT) {
			c->failed = true;
			continue;
		}
		v->kind_count[k[CAPTURE_KIND_KIND]] = k[CAPTURE_KIND_COUNT];
		v->kind_bytes[k[CAPTURE_KIND_KIND]] = k[CAPTURE_KIND_BYTES];
	}
	for (size_t i = 0; i < class_rows; i++) {
		const uint64_t *k = classes + i * CAPTURE_CLASS_COLUMNS;
		if (k[CAPTURE_CLASS_WIDTH] < 65)
			v->size_class[k[CAPTURE_CLASS_WIDTH]] = k[CAPTURE_CLASS_COUNT];
		else
			c->failed = true;
	}
	return NULL;
}

static struct mt_error *take_block(struct sums *s, size_t i, enum capture_block_type type,
				   bool *found_ret)
{
	const uint8_t *raw;
	size_t size;
	struct mt_error *err = capture_block_payload(s->cap, i, &raw, &size);
	*found_ret = raw && !err;
	if (!*found_ret)
		return err;
	struct mt_cursor c = mt_cursor_make(raw, size);
	err = type == CAPTURE_BLOCK_ROWS ? take_rows(s, &c) :
	      type == CAPTURE_BLOCK_LIVES ? take_lives(s, &c) : take_totals(s, &c);
	if (!err && (c.failed || c.pos != c.end))
		capture_block_damaged(s->cap, i);
	return err;
}

/* What comes after the last TOTALS block was not finished. Of TOTALS and LIVES the last is the truth. */
static struct mt_error *take_blocks(struct sums *s, const struct view_options *options)
{
	size_t end = capture_block_count(s->cap), lives = SIZE_MAX;
	bool found = false;
	struct mt_error *err = NULL;
	for (; end && !err; end--) {
		if (capture_block_type_of(s->cap, end - 1) == CAPTURE_BLOCK_TOTALS)
			err = take_block(s, end - 1, CAPTURE_BLOCK_TOTALS, &found);
		if (found)
			break;
	}
	for (size_t i = 0; !err && i < end; i++) {
		if (capture_block_type_of(s->cap, i) == CAPTURE_BLOCK_LIVES)
			lives = i;
		if (capture_block_type_of(s->cap, i) == CAPTURE_BLOCK_ROWS)
			err = take_block(s, i, CAPTURE_BLOCK_ROWS, &found);
		if (options->progress)
			options->progress((double)(i + 1) / (double)end, options->progress_arg);
	}
	if (!err && lives != SIZE_MAX)
		err = take_block(s, lives, CAPTURE_BLOCK_LIVES, &found);
	return err;
}

/* ---- rows, by thread or not ---- */

static struct mt_error *place_row(struct sums *s, struct sums_row *raw, bool split, struct mt_map *places)
{
	struct views *v = s->v;
	uint32_t thread = split ? raw->thread : 0;
	uint64_t key = (uint64_t)thread << 37 | (uint64_t)raw->stack << 5 | raw->kind;
	const uint64_t *there = mt_map_get(places, key);
	raw->place = there ? (uint32_t)*there : (uint32_t)v->row_count;
	struct view_row *row = &v->rows[raw->place];
	if (!there) {
		*row = (struct view_row){ .stack = raw->stack, .thread = thread, .kind = raw->kind };
		v->row_count++;
		if (!mt_map_put(places, key, raw->place))
			return &mt_enomem;
	}
	if (raw->peak_epoch != s->peak_epoch) {	/* unchanged since before the last maximum */
		raw->bytes[VIEW_PEAK] = raw->bytes[VIEW_LEAKS];
		raw->count[VIEW_PEAK] = raw->count[VIEW_LEAKS];
	}
	for (int k = 0; k < VIEW_COUNT; k++) {
		row->bytes[k] += raw->bytes[k];
		row->count[k] += raw->count[k];
		v->total_bytes[k] += raw->bytes[k];
		v->total_count[k] += raw->count[k];
	}
	return NULL;
}

static struct mt_error *place_rows(struct sums *s, bool split)
{
	struct mt_map places = MT_MAP_INIT;
	struct mt_error *err = NULL;
	s->v->rows = calloc(s->raw.len + 1, sizeof(*s->v->rows));
	if (!s->v->rows)
		return &mt_enomem;
	for (size_t i = 0; !err && i < s->raw.len; i++)
		if (s->raw.items[i].kind)
			err = place_row(s, &s->raw.items[i], split, &places);
	mt_map_deinit(&places);
	return err;
}

/* ---- all ---- */

static void sums_deinit(struct sums *s)
{
	mt_array_deinit(&s->raw);
	mt_array_deinit(&s->lives);
	mt_array_deinit(&s->instants);
	mt_array_deinit(&s->points);
	views_destroy(s->v);
}

static struct mt_error *compute(struct sums *s, const struct view_options *options)
{
	struct mt_error *err = capture_load_tables(s->cap, &s->tables);
	if (!err)
		err = take_blocks(s, options);
	if (!err)
		err = place_rows(s, options->split_threads);
	if (!err)
		err = sums_finish_lives(s);
	if (!err && options->temporal)
		err = sums_make_temporal(s);
	if (!err && options->growth)
		err = sums_make_growth(s, options->older_than_ms);
	return err ? err : views_put_points(s->v, s->cap, s->points.items, s->points.len);
}

struct mt_error *aggregate_views(struct capture *cap, const struct view_options *options,
				 struct views **ret)
{
	if (options->temporary_threshold != 1)
		return mt_error_hint(mt_error_create(MT_ERROR_OTHER,
				"'%s' is an aggregated capture: it counts the temporary allocations of"
				" threshold 1 only", capture_path(cap)),
			"record without --aggregate to choose another threshold");
	struct sums s = { .cap = cap, .start_ticks = UINT64_MAX, .v = calloc(1, sizeof(*s.v)) };
	struct mt_error *err = s.v ? compute(&s, options) : &mt_enomem;
	if (!err)
		*ret = take_ptr(&s.v);
	sums_deinit(&s);
	return err;
}
