/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/aggregate_write.c - the sums of a capture, written as they change.
 * Knows: the pass over the events, the blocks of an aggregated capture. Does not know: who records.
 * Called by cmds/; calls capture/writer.h. aggregate_read.c is the other half.
 *
 * What changed is appended, so a file that is cut at any place is whole up to the last TOTALS block. When
 * more of it is out of date than holds, it is written anew beside and takes its place in one step
 * (capture/rewrite.c). */
#include "analysis/aggregate.h"
#include "analysis/views_private.h"
#include "capture/numbers.h"

#include <string.h>

#define BATCH 1024u			/* the pass looks ahead for what it will touch */
#define ROWS_A_BLOCK 16384u
#define LIVES_BYTES_A_FLUSH (512u << 10)	/* what takes longer to write is written less often */
#define STALE_MIN (1u << 20)		/* bytes that are not worth to be written anew */
#define ENTRIES_MIN 120000u		/* of the lives */
#define ENTRIES_A_ROW 4u

#define OURS (1u << CAPTURE_BLOCK_ROWS | 1u << CAPTURE_BLOCK_LIVES | 1u << CAPTURE_BLOCK_TOTALS)

struct aggregate {
	struct views_pass *pass;
	struct capture_event batch[BATCH];	/* taken, but not yet passed on */
	size_t batch_len;
	struct mt_buf out;
	MT_ARRAY(uint64_t) values;
	uint64_t events;		/* in the last TOTALS block */
	bool later_told;		/* what thread 0 is */
	uint32_t lives_closed;		/* slots in the last LIVES block ... */
	uint64_t lives_wait;		/* ... and flushes until the next */
	uint64_t whole_bytes;		/* of all sums when they were last written all */
	uint64_t since_bytes;		/* of the blocks since */
	uint64_t lives_bytes;		/* of the last LIVES block */
	uint64_t stale_max;
};

struct mt_error *aggregate_create(const struct views_source *source, struct aggregate **ret)
{
	struct aggregate *a = calloc(1, sizeof(*a));
	if (!a)
		return &mt_enomem;
	struct mt_error *err = views_pass_begin_aggregate(source, &a->pass);
	if (err) {
		free(a);
		return err;
	}
	a->stale_max = STALE_MIN;
	*ret = a;
	return NULL;
}

void aggregate_destroy(struct aggregate *a)
{
	if (!a)
		return;
	views_pass_end(a->pass);
	mt_buf_deinit(&a->out);
	mt_array_deinit(&a->values);
	free(a);
}

static struct mt_error *pass_on(struct aggregate *a)
{
	size_t count = a->batch_len;
	a->batch_len = 0;
	return count ? views_pass_take(a->batch, count, a->pass) : NULL;
}

struct mt_error *aggregate_take(const struct capture_event *events, size_t count, void *aggregate)
{
	struct aggregate *a = aggregate;
	while (count) {
		size_t n = BATCH - a->batch_len < count ? BATCH - a->batch_len : count;
		memcpy(a->batch + a->batch_len, events, n * sizeof(*events));
		a->batch_len += n;
		events += n;
		count -= n;
		struct mt_error *err = a->batch_len == BATCH ? pass_on(a) : NULL;
		if (err)
			return err;
	}
	return NULL;
}

/* ---- tables of numbers ---- */

/* One more row of zeros in a->values; NULL: out of memory. */
static uint64_t *new_values(struct aggregate *a, size_t columns)
{
	if (!mt_array_reserve(&a->values, a->values.len + columns))
		return NULL;
	uint64_t *row = a->values.items + a->values.len;
	memset(row, 0, columns * sizeof(*row));
	a->values.len += columns;
	return row;
}

static void put_table(struct aggregate *a, size_t columns)
{
	numbers_put(&a->out, a->values.items, columns, a->values.len / columns);
	a->values.len = 0;
}

static struct mt_error *put_block(struct aggregate *a, struct capture_writer *w,
				  enum capture_block_type type)
{
	if (a->out.failed)
		return &mt_enomem;
	uint64_t before = capture_writer_bytes(w);
	struct mt_error *err = capture_writer_raw_block(w, type, a->out.data, a->out.len);
	mt_buf_clear(&a->out);
	a->since_bytes += capture_writer_bytes(w) - before;
	return err;
}

/* ---- rows ---- */

static bool add_row(struct aggregate *a, uint32_t i)
{
	const struct views_pass *p = a->pass;
	const struct aggregate_row *more = &p->aggregate->rows.items[i];
	struct view_row row;
	uint64_t *v = new_values(a, CAPTURE_ROW_COLUMNS);
	if (!v)
		return false;
	row_table_get(&p->rows, i, &row);
	v[CAPTURE_ROW_ID] = i;
	v[CAPTURE_ROW_STACK] = row.stack;
	v[CAPTURE_ROW_THREAD] = row.thread;
	v[CAPTURE_ROW_KIND] = row.kind;
	v[CAPTURE_ROW_ALLOCATED_BYTES] = row.bytes[VIEW_ALLOCATED];
	v[CAPTURE_ROW_ALLOCATED_COUNT] = row.count[VIEW_ALLOCATED];
	v[CAPTURE_ROW_TEMPORARY_BYTES] = row.bytes[VIEW_TEMPORARY];
	v[CAPTURE_ROW_TEMPORARY_COUNT] = row.count[VIEW_TEMPORARY];
	v[CAPTURE_ROW_LIVE_BYTES] = row.bytes[VIEW_LEAKS];
	v[CAPTURE_ROW_LIVE_COUNT] = row.count[VIEW_LEAKS];
	v[CAPTURE_ROW_PEAK_BYTES] = row.bytes[VIEW_PEAK];
	v[CAPTURE_ROW_PEAK_COUNT] = row.count[VIEW_PEAK];
	v[CAPTURE_ROW_PEAK_EPOCH] = p->rows.states[i].peak_epoch;
	v[CAPTURE_ROW_RELEASED] = more->released;
	v[CAPTURE_ROW_LIVED_MS] = more->lived * LIFE_UNIT_MS;
	v[CAPTURE_ROW_LONGEST_MS] = more->longest * (uint64_t)LIFE_UNIT_MS;
	return true;
}

/* Those that changed, or all. */
static struct mt_error *write_rows(struct aggregate *a, struct capture_writer *w, bool all)
{
	struct aggregate_rows *rows = a->pass->aggregate;
	size_t count = all ? rows->rows.len : rows->dirty.len;
	for (size_t i = 0; i < count;) {
		size_t end = count - i < ROWS_A_BLOCK ? count : i + ROWS_A_BLOCK;
		for (; i < end; i++)
			if (!add_row(a, all ? (uint32_t)i : rows->dirty.items[i]))
				return &mt_enomem;
		put_table(a, CAPTURE_ROW_COLUMNS);
		struct mt_error *err = put_block(a, w, CAPTURE_BLOCK_ROWS);
		if (err)
			return err;
	}
	for (size_t i = 0; i < rows->dirty.len; i++)
		rows->rows.items[rows->dirty.items[i]].dirty = false;
	rows->dirty.len = 0;
	return NULL;
}

/* ---- lives ---- */

static bool add_point(struct aggregate *a, const struct view_point *p)
{
	uint64_t *v = new_values(a, CAPTURE_POINT_COLUMNS);
	if (!v)
		return false;
	v[CAPTURE_POINT_TICKS] = p->ticks;
	v[CAPTURE_POINT_HEAP] = p->heap;
	return true;
}

static bool add_points(struct aggregate *a)
{
	struct view_point last;
	for (size_t i = 0; i < a->pass->points.len; i++)
		if (!add_point(a, &a->pass->points.items[i]))
			return false;
	if (views_end_point(a->pass, &last) && !add_point(a, &last))
		return false;
	put_table(a, CAPTURE_POINT_COLUMNS);
	return true;
}

static bool add_instants(struct aggregate *a, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct temporal_instant *t = &a->pass->temporal->instants.items[i];
		uint64_t *v = new_values(a, CAPTURE_INSTANT_COLUMNS);
		if (!v)
			return false;
		v[CAPTURE_INSTANT_TICKS] = t->ticks;
		v[CAPTURE_INSTANT_HEAP] = t->heap;
		v[CAPTURE_INSTANT_SLOT] = t->slot;
	}
	put_table(a, CAPTURE_INSTANT_COLUMNS);
	return true;
}

static uint64_t life_number(const struct temporal_entry *e, size_t column)
{
	switch (column) {
	case CAPTURE_LIFE_ROW:
		return temporal_row(e);
	case CAPTURE_LIFE_BORN:
		return temporal_born(e);
	case CAPTURE_LIFE_GONE:
		return temporal_gone(e);
	case CAPTURE_LIFE_BYTES:
		return e->bytes;
	default:
		return e->count;
	}
}

static bool is_life(const struct temporal_entry *e)
{
	return e->key && (e->bytes || e->count);
}

/* They are many: not copied for it. */
static void add_entries(struct aggregate *a)
{
	const struct temporal *t = a->pass->temporal;
	const struct temporal_entry *e = t->entries, *end = e + t->cap;
	size_t count = 0;
	uint64_t last = 0;
	for (e = t->entries; e < end; e++)
		count += is_life(e);
	numbers_begin(&a->out, CAPTURE_LIFE_COLUMNS, count);
	for (size_t k = 0; k < CAPTURE_LIFE_COLUMNS; k++) {
		uint8_t *p = numbers_column(&a->out, count);
		for (e = t->entries; p && e < end; e++) {
			if (!is_life(e))
				continue;
			uint64_t v = life_number(e, k);
			p = varint_put(p, k ? v : varint_zigzag((int64_t)(v - last)));
			last = v;
		}
		if (p)
			numbers_column_end(&a->out, p);
	}
}
_Static_assert(TEMPORAL_NEVER == CAPTURE_LIFE_NEVER, "one mark for both");

static bool lives_due(struct aggregate *a, bool last)
{
	const struct temporal *t = a->pass->temporal;
	if (t->failed)		/* the time line ends where it is */
		return false;
	if (last)
		return true;
	if (a->lives_wait) {
		a->lives_wait--;
		return false;
	}
	return t->closed != a->lives_closed;
}

/* Of the slots that are closed: what was live at the open one's instant is not known before. */
static struct mt_error *write_lives(struct aggregate *a, struct capture_writer *w, bool ended)
{
	struct temporal *t = a->pass->temporal;
	size_t instants = t->instants.len - (ended || !t->instants.len ? 0 : 1);
	uint64_t *v = new_values(a, CAPTURE_LIVES_COLUMNS);
	if (!v)
		return &mt_enomem;
	v[CAPTURE_LIVES_SLOT_MS] = t->slot_ms;
	v[CAPTURE_LIVES_START_TICKS] = a->pass->start_ticks;
	put_table(a, CAPTURE_LIVES_COLUMNS);
	if (!add_points(a) || !add_instants(a, instants))
		return &mt_enomem;
	add_entries(a);
	a->lives_wait = a->out.len / LIVES_BYTES_A_FLUSH;
	a->lives_closed = t->closed;
	uint64_t before = a->since_bytes;
	struct mt_error *err = put_block(a, w, CAPTURE_BLOCK_LIVES);
	a->lives_bytes = a->since_bytes - before;
	return err;
}

/* ---- totals ---- */

static bool add_totals(struct aggregate *a)
{
	const struct views_pass *p = a->pass;
	const struct views *v = p->v;
	uint64_t *t = new_values(a, CAPTURE_TOTAL_COLUMNS);
	if (!t)
		return false;
	t[CAPTURE_TOTAL_ROWS] = p->rows.len;
	t[CAPTURE_TOTAL_EVENTS] = v->events;
	t[CAPTURE_TOTAL_ALLOCATIONS] = v->allocations;
	t[CAPTURE_TOTAL_RELEASES] = v->releases;
	t[CAPTURE_TOTAL_UNKNOWN_RELEASES] = v->unknown_releases;
	t[CAPTURE_TOTAL_FIRST_TICKS] = v->first_ticks;
	t[CAPTURE_TOTAL_LAST_TICKS] = v->last_ticks;
	t[CAPTURE_TOTAL_PEAK_TICKS] = v->peak_ticks;
	t[CAPTURE_TOTAL_PEAK_EPOCH] = p->rows.epoch;
	t[CAPTURE_TOTAL_HEAP] = p->live_bytes;
	t[CAPTURE_TOTAL_MIN_SIZE] = v->min_size;
	t[CAPTURE_TOTAL_MAX_SIZE] = v->max_size;
	put_table(a, CAPTURE_TOTAL_COLUMNS);
	return true;
}

static struct mt_error *write_totals(struct aggregate *a, struct capture_writer *w)
{
	const struct views *v = a->pass->v;
	bool enough = add_totals(a);
	for (unsigned i = 0; enough && i < WIRE_REC_LIMIT; i++) {
		uint64_t *k = v->kind_count[i] ? new_values(a, CAPTURE_KIND_COLUMNS) : NULL;
		enough = k || !v->kind_count[i];
		if (!k)
			continue;
		k[CAPTURE_KIND_KIND] = i;
		k[CAPTURE_KIND_COUNT] = v->kind_count[i];
		k[CAPTURE_KIND_BYTES] = v->kind_bytes[i];
	}
	put_table(a, CAPTURE_KIND_COLUMNS);
	for (unsigned i = 0; enough && i < sizeof(v->size_class) / sizeof(v->size_class[0]); i++) {
		uint64_t *c = v->size_class[i] ? new_values(a, CAPTURE_CLASS_COLUMNS) : NULL;
		enough = c || !v->size_class[i];
		if (!c)
			continue;
		c[CAPTURE_CLASS_WIDTH] = i;
		c[CAPTURE_CLASS_COUNT] = v->size_class[i];
	}
	put_table(a, CAPTURE_CLASS_COLUMNS);
	if (!enough)
		return &mt_enomem;
	a->events = v->events;
	return put_block(a, w, CAPTURE_BLOCK_TOTALS);
}

/* ---- all of it ---- */

static struct mt_error *write_sums(struct aggregate *a, struct capture_writer *w, bool all, bool last)
{
	struct mt_error *err = write_rows(a, w, all);
	if (!err && (all || lives_due(a, last)) && !a->pass->temporal->failed)
		err = write_lives(a, w, last);
	return err ? err : write_totals(a, w);
}

/* Nothing is lost when this fails: the old file is there, and goes on to grow. */
static struct mt_error *write_anew(struct aggregate *a, struct capture_writer *w, bool last)
{
	struct mt_error *err = capture_writer_rewrite_begin(w, OURS);
	a->since_bytes = 0;
	if (!err)
		err = write_sums(a, w, true, last);
	if (!err)
		err = capture_writer_rewrite_commit(w);
	if (!err) {
		a->whole_bytes = a->since_bytes;
		a->since_bytes = 0;
		a->stale_max = a->whole_bytes > STALE_MIN ? a->whole_bytes : STALE_MIN;
		return NULL;
	}
	capture_writer_rewrite_abort(w);
	if (err->code == MT_ERROR_NOMEM)
		return err;
	mt_error_destroy(err);
	a->stale_max *= 2;
	return write_sums(a, w, true, last);
}

struct mt_error *aggregate_write(struct aggregate *a, struct capture_writer *w, bool last)
{
	struct temporal *t = a->pass->temporal;
	struct mt_error *err = pass_on(a);
	if (err || (!last && a->pass->v->events == a->events))
		return err;
	if (a->pass->aggregate->later_threads && !a->later_told) {
		err = capture_writer_thread(w, 0, 0, a->pass->v->last_ticks, "later threads");
		if (err)
			return err;
		a->later_told = true;
	}
	uint64_t most = a->pass->rows.len * (uint64_t)ENTRIES_A_ROW;
	t->entries_max = most < ENTRIES_MIN ? ENTRIES_MIN : most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
	if (last)
		temporal_end(t);
	/* The file that stays has little that is out of date. */
	if (last ? a->since_bytes + a->lives_bytes > STALE_MIN / 4 : a->since_bytes > a->stale_max)
		return write_anew(a, w, last);
	return write_sums(a, w, false, last);
}
