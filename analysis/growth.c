/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/growth.c - live memory of rows over time, and the ages of what is left.
 * Knows: rows by number, milliseconds. Does not know: events, stacks.
 * Called by analysis/views.c; read by reporters/leaks.c. */
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
}

static void advance(struct growth *g, uint32_t ms)
{
	while (ms / g->slot_ms >= GROWTH_SLOTS) {
		for (size_t i = 0; i < g->rows.len; i++)
			halve_row(&g->rows.items[i]);
		g->slot_ms *= 2;
	}
	g->now = ms / g->slot_ms;
}

static bool have_rows(struct growth *g, size_t rows)
{
	if (!mt_array_reserve(&g->rows, rows))
		return false;
	while (g->rows.len < rows)
		g->rows.items[g->rows.len++] = (struct growth_row){ 0 };
	return true;
}

bool growth_note(struct growth *g, uint32_t row, uint32_t ms, uint64_t bytes, uint64_t count)
{
	if (ms / g->slot_ms != g->now)
		advance(g, ms);
	if (!have_rows(g, (size_t)row + 1))
		return false;
	struct growth_row *r = &g->rows.items[row];
	struct growth_point p = { g->now, bytes, count };
	if (bytes > r->most_bytes) {
		r->most_bytes = bytes;
		r->most_count = count;
	}
	if (r->points.len && r->points.items[r->points.len - 1].slot == p.slot)
		r->points.len--;
	return mt_array_push(&r->points, p);
}

void growth_release(struct growth *g, uint32_t row, uint32_t lived_ms)
{
	struct growth_row *r = &g->rows.items[row];
	r->released++;
	r->lived_ms += lived_ms;
	if (lived_ms > r->longest_ms)
		r->longest_ms = lived_ms;
}

static void forget_survivors(struct growth_row *r)
{
	r->survived_ms = 0;
	r->oldest_ms = 0;
	r->older_bytes = r->older_count = 0;
	for (unsigned i = 0; i < GROWTH_AGES; i++)
		r->age_bytes[i] = r->age_count[i] = 0;
}

bool growth_end(struct growth *g, size_t rows, uint32_t ms)
{
	advance(g, ms);
	g->end_ms = ms;
	for (size_t i = 0; i < g->rows.len; i++)
		forget_survivors(&g->rows.items[i]);
	return have_rows(g, rows);
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
