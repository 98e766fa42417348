/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/aggregate_lives.c - what lived when, of an aggregated capture: for the time line and for growth.
 * Knows: the sums of a capture. Does not know: blocks, files.
 * Called by analysis/aggregate_read.c. */
#include "analysis/aggregate_private.h"
#include "analysis/views_private.h"

#include <string.h>

/* ---- the end ---- */

/* Rows of the file become rows of the views; what is of lost rows goes. */
static void place_lives(struct sums *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->lives.len; i++) {
		struct sums_life l = s->lives.items[i];
		if (l.row >= s->raw.len || !s->raw.items[l.row].kind)
			continue;
		l.row = s->raw.items[l.row].place;
		s->lives.items[n++] = l;
	}
	s->lives.len = n;
}

static int youngest_first(const void *pa, const void *pb)
{
	const struct sums_life *a = pa, *b = pb;
	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	if (a->born != b->born)
		return a->born > b->born ? -1 : 1;
	return a->gone < b->gone ? -1 : a->gone > b->gone;
}

struct excess {			/* of what is left in the time line over what is live */
	uint64_t bytes, count;
};

static bool push_life(struct sums *s, uint32_t row, size_t born, size_t gone, uint64_t bytes,
		      uint64_t count)
{
	if (born == gone || (!bytes && !count))
		return true;
	return mt_array_push(&s->lives, (struct sums_life){ row, (uint16_t)born, (uint16_t)gone, bytes,
							    count });
}

static uint64_t take_up_to(uint64_t *from, uint64_t want)
{
	uint64_t n = *from < want ? *from : want;
	*from -= n;
	return n;
}

/* Lives [begin, end) are those of the row. Released since is the youngest: most blocks die young. */
static bool finish_row(struct sums *s, uint32_t row, size_t begin, size_t end, bool *changed)
{
	uint64_t bytes = 0, count = 0;
	size_t now = s->instants.len;
	for (size_t i = begin; i < end; i++)
		if (s->lives.items[i].gone == TEMPORAL_NEVER) {
			bytes += s->lives.items[i].bytes;
			count += s->lives.items[i].count;
		}
	uint64_t live = s->v->rows[row].bytes[VIEW_LEAKS], blocks = s->v->rows[row].count[VIEW_LEAKS];
	struct excess more = { bytes > live ? bytes - live : 0, count > blocks ? count - blocks : 0 };
	*changed |= bytes != live || count != blocks;
	for (size_t i = begin; i < end && (more.bytes || more.count); i++) {
		struct sums_life *l = &s->lives.items[i];
		if (l->gone != TEMPORAL_NEVER)
			continue;
		uint64_t b = take_up_to(&more.bytes, l->bytes), c = take_up_to(&more.count, l->count);
		l->bytes -= b;
		l->count -= c;
		if (!push_life(s, row, l->born, now, b, c))
			return false;
	}
	return push_life(s, row, now, TEMPORAL_NEVER, live > bytes ? live - bytes : 0,
			 blocks > count ? blocks - count : 0);
}

struct mt_error *sums_finish_lives(struct sums *s)
{
	bool changed = false, enough = true;
	place_lives(s);
	if (s->lives.len)
		qsort(s->lives.items, s->lives.len, sizeof(*s->lives.items), youngest_first);
	size_t i = 0, len = s->lives.len;
	for (uint32_t row = 0; row < s->v->row_count && enough; row++) {
		size_t begin = i;
		while (i < len && s->lives.items[i].row == row)
			i++;
		enough = finish_row(s, row, begin, i, &changed);
	}
	if (enough && changed) {
		size_t n = s->instants.len;
		struct temporal_instant end = { .ticks = s->v->last_ticks, .heap = s->heap,
						.slot = n ? s->instants.items[n - 1].slot + 1 : 0 };
		if (n && end.ticks < s->instants.items[n - 1].ticks)
			end.ticks = s->instants.items[n - 1].ticks;
		enough = mt_array_push(&s->instants, end);
	}
	return enough ? NULL : &mt_enomem;
}

/* ---- the time line ---- */

struct mt_error *sums_make_temporal(struct sums *s)
{
	struct temporal *t = malloc(sizeof(*t));
	if (!t)
		return &mt_enomem;
	temporal_init(t);
	for (size_t i = 0; i < s->instants.len && !t->failed; i++)
		t->failed = !mt_array_push(&t->instants, s->instants.items[i]);
	for (size_t i = 0; i < s->lives.len && !t->failed; i++) {
		const struct sums_life *l = &s->lives.items[i];
		temporal_put(t, l->row, l->born, l->gone, l->bytes, l->count);
	}
	temporal_end(t);	/* no more entries than a page has room for */
	if (t->failed)
		temporal_destroy(t);
	else
		s->v->temporal = t;
	return NULL;
}

/* ---- growth ---- */

struct change {			/* of a row at an instant */
	uint32_t row;
	bool gone;
	uint64_t bytes, count;
};

struct curves {
	struct sums *s;
	struct growth *g;
	struct change *changes;		/* by instant */
	size_t *starts;			/* of each instant's, and the end */
	uint64_t *bytes, *count;	/* live, by row */
	uint64_t start_ticks, ms_ticks;
};

static uint32_t ms_at(const struct curves *c, uint64_t ticks)
{
	return views_ms(c->start_ticks, ticks, c->ms_ticks);
}

/* Those of instants that are; what comes after the last one is in the sums. */
static bool sort_changes(struct curves *c)
{
	const struct sums *s = c->s;
	size_t instants = s->instants.len;
	c->starts = calloc(instants + 2, sizeof(*c->starts));
	c->changes = malloc((2 * s->lives.len + 1) * sizeof(*c->changes));
	if (!c->starts || !c->changes)
		return false;
	for (size_t i = 0; i < s->lives.len; i++) {
		const struct sums_life *l = &s->lives.items[i];
		if (l->born < instants)
			c->starts[l->born + 2]++;
		if (l->gone < instants)
			c->starts[l->gone + 2]++;
	}
	for (size_t i = 2; i < instants + 2; i++)
		c->starts[i] += c->starts[i - 1];
	/* starts[i + 1] is where the next one of i goes, and in the end where those of i + 1 begin. */
	for (size_t i = 0; i < s->lives.len; i++) {
		const struct sums_life *l = &s->lives.items[i];
		struct change change = { l->row, false, l->bytes, l->count };
		if (l->born < instants)
			c->changes[c->starts[l->born + 1]++] = change;
		change.gone = true;
		if (l->gone < instants)
			c->changes[c->starts[l->gone + 1]++] = change;
	}
	return true;
}

static bool note_instant(struct curves *c, size_t i)
{
	uint32_t ms = ms_at(c, c->s->instants.items[i].ticks);
	for (size_t k = c->starts[i]; k < c->starts[i + 1]; k++) {
		const struct change *h = &c->changes[k];
		c->bytes[h->row] += h->gone ? -h->bytes : h->bytes;
		c->count[h->row] += h->gone ? -h->count : h->count;
	}
	for (size_t k = c->starts[i]; k < c->starts[i + 1]; k++) {
		uint32_t row = c->changes[k].row;
		if (!growth_note(c->g, row, ms, c->bytes[row], c->count[row]))
			return false;
	}
	return true;
}

static bool note_end(struct curves *c, uint32_t ms)
{
	const struct views *v = c->s->v;
	for (uint32_t i = 0; i < v->row_count; i++) {
		const struct view_row *row = &v->rows[i];
		if ((c->bytes[i] != row->bytes[VIEW_LEAKS] || c->count[i] != row->count[VIEW_LEAKS]) &&
		    !growth_note(c->g, i, ms, row->bytes[VIEW_LEAKS], row->count[VIEW_LEAKS]))
			return false;
	}
	return true;
}

/* A block that was first seen at an instant came some time after the one before. */
static uint32_t born_ms(const struct curves *c, size_t born, uint32_t last_ms)
{
	size_t n = c->s->instants.len;
	uint32_t from = born ? ms_at(c, c->s->instants.items[born - 1].ticks) : 0;
	uint32_t to = born < n ? ms_at(c, c->s->instants.items[born].ticks) : last_ms;
	return to > from ? from + (to - from) / 2 : from;
}

static void finish_growth(struct curves *c, uint32_t last_ms)
{
	struct sums *s = c->s;
	for (size_t i = 0; i < s->raw.len; i++) {
		const struct sums_row *raw = &s->raw.items[i];
		struct growth_row *r = &c->g->rows.items[raw->place];
		if (!raw->kind)
			continue;
		r->released += raw->released;
		r->lived_ms += raw->lived_ms;
		if (raw->longest_ms > r->longest_ms)
			r->longest_ms = raw->longest_ms < UINT32_MAX ? (uint32_t)raw->longest_ms : UINT32_MAX;
	}
	for (size_t i = 0; i < s->v->row_count; i++) {
		const struct view_row *row = &s->v->rows[i];
		struct growth_row *r = &c->g->rows.items[i];
		if (row->bytes[VIEW_PEAK] > r->most_bytes) {	/* between two instants of a row it may be more */
			r->most_bytes = row->bytes[VIEW_PEAK];
			r->most_count = row->count[VIEW_PEAK];
		}
	}
	for (size_t i = 0; i < s->lives.len; i++) {
		const struct sums_life *l = &s->lives.items[i];
		if (l->gone == TEMPORAL_NEVER)
			growth_survivor(c->g, l->row, born_ms(c, l->born, last_ms), l->bytes, l->count);
	}
}

static bool make_curves(struct curves *c)
{
	struct sums *s = c->s;
	size_t rows = s->v->row_count;
	c->bytes = calloc(rows + 1, sizeof(*c->bytes));
	c->count = calloc(rows + 1, sizeof(*c->count));
	if (!c->bytes || !c->count || !growth_rows(c->g, rows) || !sort_changes(c))
		return false;
	uint32_t last_ms = ms_at(c, s->v->last_ticks);
	for (size_t i = 0; i < s->instants.len; i++)
		if (!note_instant(c, i))
			return false;
	if (s->instants.len && ms_at(c, s->instants.items[s->instants.len - 1].ticks) > last_ms)
		last_ms = ms_at(c, s->instants.items[s->instants.len - 1].ticks);
	if (!note_end(c, last_ms))
		return false;
	growth_end(c->g, views_end_ms(s->cap, c->start_ticks, c->ms_ticks, last_ms));
	finish_growth(c, last_ms);
	return true;
}

struct mt_error *sums_make_growth(struct sums *s, uint32_t older_than_ms)
{
	struct growth *g = malloc(sizeof(*g));
	if (!g)
		return &mt_enomem;
	growth_init(g, older_than_ms);
	struct curves c = { .s = s, .g = g, .start_ticks = s->start_ticks };
	if (c.start_ticks == UINT64_MAX)
		c.start_ticks = capture_meta_u64(s->cap, CAPTURE_META_START_TICKS, s->v->first_ticks);
	c.ms_ticks = capture_meta_u64(s->cap, CAPTURE_META_TSC_HZ, 0) / 1000;
	if (!c.ms_ticks)
		c.ms_ticks = 1;
	bool made = make_curves(&c);
	free(c.changes);
	free(c.starts);
	free(c.bytes);
	free(c.count);
	if (!made) {
		growth_destroy(g);
		return &mt_enomem;
	}
	s->v->growth = g;
	return NULL;
}
