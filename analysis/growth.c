/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/growth.c - live memory of rows over time, and the ages of what is left.
 * Knows: rows by number, milliseconds. Does not know: events, stacks.
 * Called by analysis/events.c and views.c; read by reporters/leaks.c. */
#include "analysis/growth.h"

void growth_init(struct growth *g, uint32_t older_than_ms)
{
	*g = (struct growth){ .slot_ms = 1, .older_than_ms = older_than_ms };
}

void growth_deinit(struct growth *g)
{
	for (size_t i = 0; i < g->rows.len; i++)
		mt_array_deinit(&g->rows.items[i].points);
	mt_array_deinit(&g->rows);
}

/* Of two slots that become one the later value stays. */
static void halve_row(struct growth_row *row)
{
	size_t n = 0;
	for (size_t i = 0; i < row->points.len; i++) {
		struct growth_point p = row->points.items[i];
		p.slot /= 2;
		if (n && row->points.items[n - 1].slot == p.slot)
			n--;
		row->points.items[n++] = p;
	}
	row->points.len = n;
	if (row->changed)
		row->changed = (row->changed - 1) / 2 + 1;
}

void growth_clock(struct growth *g, uint32_t ms)
{
	while (ms / g->slot_ms >= GROWTH_SLOTS) {
		for (size_t i = 0; i < g->rows.len; i++)
			halve_row(&g->rows.items[i]);
		g->slot_ms *= 2;
	}
	g->now = ms / g->slot_ms;
}

bool growth_rows(struct growth *g, size_t rows)
{
	if (!mt_array_reserve(&g->rows, rows))
		return false;
	while (g->rows.len < rows)
		g->rows.items[g->rows.len++] = (struct growth_row){ 0 };
	return true;
}

/* Two slots may have become one since, and the end may have been looked at: then it is the same slot. */
static bool put_point(struct growth_row *r, const struct growth_point *p)
{
	if (r->points.len && r->points.items[r->points.len - 1].slot == p->slot)
		r->points.len--;
	return mt_array_push(&r->points, *p);
}

/* What the row had when the slot of its last change ended: what it has before this one. */
bool growth_point(struct growth *g, struct growth_row *r, uint64_t bytes, uint64_t count)
{
	struct growth_point p = { r->changed - 1, bytes, count };
	bool first = !r->changed;
	r->changed = g->now + 1;
	return first || put_point(r, &p);
}

bool growth_note(struct growth *g, uint32_t row, uint32_t ms, uint64_t bytes, uint64_t count)
{
	growth_clock(g, ms);
	growth_most(g, row, bytes, count);
	return put_point(&g->rows.items[row], &(struct growth_point){ g->now, bytes, count });
}

bool growth_settle(struct growth *g, uint32_t row, uint64_t bytes, uint64_t count)
{
	struct growth_row *r = &g->rows.items[row];
	uint32_t changed = r->changed;
	bool ok = growth_point(g, r, bytes, count);
	r->changed = changed;
	return ok;
}

static void forget_survivors(struct growth_row *r)
{
	r->survived_ms = 0;
	r->oldest_ms = 0;
	r->older_bytes = r->older_count = 0;
	for (unsigned i = 0; i < GROWTH_AGES; i++)
		r->age_bytes[i] = r->age_count[i] = 0;
}

void growth_end(struct growth *g, uint32_t ms)
{
	growth_clock(g, ms);
	g->end_ms = ms;
	for (size_t i = 0; i < g->rows.len; i++)
		forget_survivors(&g->rows.items[i]);
}

static unsigned age_class(uint32_t ms)
{
	static const uint32_t below[GROWTH_AGES - 1] = { 1000, 10000, 60000, 600000 };
	unsigned i = 0;
	while (i < GROWTH_AGES - 1 && ms >= below[i])
		i++;
	return i;
}

void growth_survivor(struct growth *g, uint32_t row, uint32_t born_ms, uint64_t bytes,
		     uint64_t count)
{
	struct growth_row *r = &g->rows.items[row];
	uint32_t age = g->end_ms > born_ms ? g->end_ms - born_ms : 0;
	unsigned class = age_class(age);
	r->age_bytes[class] += bytes;
	r->age_count[class] += count;
	r->survived_ms += age * count;
	if (age > r->oldest_ms)
		r->oldest_ms = age;
	if (age < g->older_than_ms)
		return;
	r->older_bytes += bytes;
	r->older_count += count;
}

uint32_t growth_slots(const struct growth *g)
{
	return g->now + 1;
}

void growth_series(const struct growth *g, const struct growth_row *row,
		   uint64_t bytes[GROWTH_SLOTS], uint64_t count[GROWTH_SLOTS])
{
	for (size_t i = 0; i < row->points.len; i++) {
		const struct growth_point *p = &row->points.items[i];
		uint32_t next = i + 1 < row->points.len ? p[1].slot : growth_slots(g);
		for (uint32_t s = p->slot; s < next; s++) {
			bytes[s] += p->bytes;
			count[s] += p->count;
		}
	}
}
