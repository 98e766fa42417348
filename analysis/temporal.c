/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/temporal.c - from lives of blocks to entries between instants.
 * Knows: rows by number, stamps. Does not know: events, stacks.
 * Called by analysis/events.c and views.c; read by reporters/flamegraph.c.
 *
 * Which moment of a slot is its instant is known at the slot's end only. Until then a released
 * block that was live at the highest moment so far waits in `released`: when the heap gets higher
 * it was gone by the slot's instant, at the slot's end it was not. */
#include "analysis/temporal.h"

#include "base/hash.h"

#include <string.h>

#define ENTRIES_MAX 120000u	/* about 3 bytes each in a page */
#define SLOTS_MIN 16u		/* fewer are of little help: */
#define ENTRIES_FACTOR 4u	/* only for so many times as many entries */
#define TOGETHER 64u		/* entries that are asked of memory at once: the table is large */

void temporal_init(struct temporal *t)
{
	*t = (struct temporal){ .slot_ms = 1, .entries_max = ENTRIES_MAX };
}

void temporal_deinit(struct temporal *t)
{
	mt_array_deinit(&t->instants);
	mt_array_deinit(&t->released);
	mt_array_deinit(&t->births);
	mt_array_deinit(&t->active);
	free(t->entries);
	*t = (struct temporal){ 0 };
}

/* ---- entries ---- */

static uint64_t key_of(uint32_t row, uint32_t born, uint32_t gone)
{
	return (row + 1ull) << 18 | (uint64_t)born << 9 | gone;
}

static size_t home(const struct temporal *t, uint64_t key)
{
	return mt_hash64(key) & (t->cap - 1);
}

static struct temporal_entry *find(const struct temporal *t, uint64_t key)
{
	size_t i = home(t, key);
	while (t->entries[i].key && t->entries[i].key != key)
		i = (i + 1) & (t->cap - 1);
	return &t->entries[i];
}

static void put(struct temporal *t, const struct temporal_entry *e)
{
	struct temporal_entry *there = find(t, e->key);
	if (!there->key) {
		t->len++;
		*there = (struct temporal_entry){ .key = e->key };
	}
	there->bytes += e->bytes;
	there->count += e->count;
}

#define PLACED (1ull << 63)	/* of a key, while entries are placed anew */

/* Takes `e` to its place; the entry that was there, and has none yet, goes on instead. */
static void place(struct temporal *t, struct temporal_entry e)
{
	while (e.key) {
		size_t i = home(t, e.key);
		while (t->entries[i].key & PLACED && t->entries[i].key != (e.key | PLACED))
			i = (i + 1) & (t->cap - 1);
		struct temporal_entry there = t->entries[i];
		e.key |= PLACED;
		if (there.key == e.key) {	/* became equal */
			t->entries[i].bytes += e.bytes;
			t->entries[i].count += e.count;
			return;
		}
		t->entries[i] = e;
		t->len++;
		e = there;
	}
}

/* After keys changed, in place: the table may be large. Entries of nothing go. */
static void replace_all(struct temporal *t)
{
	t->len = 0;
	for (size_t i = 0; i < t->cap; i++) {
		struct temporal_entry e = t->entries[i];
		if (!e.key || e.key & PLACED)
			continue;
		t->entries[i].key = 0;
		if (e.bytes || e.count)
			place(t, e);
	}
	for (size_t i = 0; i < t->cap; i++)
		t->entries[i].key &= ~PLACED;
}

/* The table anew, `cap` wide. */
static bool rehash(struct temporal *t, size_t cap)
{
	struct temporal_entry *old = t->entries, *entries = calloc(cap, sizeof(*entries));
	size_t old_cap = t->cap;
	if (!entries)
		return false;
	t->entries = entries;
	t->cap = cap;
	t->len = 0;
	for (size_t i = 0; i < old_cap; i++)
		if (old[i].key && (old[i].bytes || old[i].count))
			put(t, &old[i]);
	free(old);
	return true;
}

/* Blocks that were left and are released by now leave empty entries, which rehash() drops. */
static bool make_room(struct temporal *t)
{
	if (t->follow)
		replace_all(t);
	return t->len * 2 < t->cap || rehash(t, t->cap ? t->cap * 2 : 1024);
}

static void add(struct temporal *t, uint32_t row, uint32_t born, uint32_t gone, uint64_t bytes,
		uint64_t count)
{
	if (born == gone || t->failed)
		return;
	if (t->len * 3 >= t->cap * 2 && !make_room(t)) {
		t->failed = true;
		return;
	}
	put(t, &(struct temporal_entry){ key_of(row, born, gone), bytes, count });
}

/* The first instant at which what has this stamp was live; past the last when none is. */
static uint32_t first_instant(const struct temporal *t, uint32_t stamp)
{
	size_t low = 0, high = t->instants.len;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (t->instants.items[middle].stamp >= stamp)
			high = middle;
		else
			low = middle + 1;
	}
	return (uint32_t)low;
}

/* It was live from instant `born` on and gone at instant `gone`, and no longer is what is left. */
static void settle_one(struct temporal *t, const struct temporal_released *r, uint32_t born, uint32_t gone)
{
	add(t, r->row, born, gone, r->bytes, r->count);
	if (t->follow)		/* sums may be below 0 for a while: they are taken modulo 2^64 */
		add(t, r->row, born, TEMPORAL_NEVER, -r->bytes, -r->count);
}

/* What waited was gone at instant `gone`, and live at the one before. */
static void settle(struct temporal *t, uint32_t gone)
{
	const struct temporal_released *r = t->released.items;
	uint32_t born[TOGETHER];
	for (size_t done = 0, n; done < t->released.len; done += n, r += n) {
		n = t->released.len - done < TOGETHER ? t->released.len - done : TOGETHER;
		for (size_t i = 0; i < n; i++) {
			born[i] = first_instant(t, r[i].stamp);
			if (t->cap)
				__builtin_prefetch(&t->entries[home(t, key_of(r[i].row, born[i], gone))], 1);
		}
		for (size_t i = 0; i < n; i++)
			settle_one(t, &r[i], born[i], gone);
	}
	t->released.len = 0;
}

/* ---- what is left, as it comes ---- */

void temporal_follow(struct temporal *t)
{
	t->follow = true;
}

bool temporal_have_row(struct temporal *t, uint32_t row)
{
	if (!mt_array_reserve(&t->births, (size_t)row + 1) ||
	    !mt_array_reserve(&t->active, (size_t)row + 1))
		return false;
	while (t->births.len <= row)
		t->births.items[t->births.len++] = (struct temporal_birth){ .stamp = t->stamp };
	return true;
}

/* What the open slot's instant has seen is left until it is released. */
static void keep_seen(struct temporal *t)
{
	size_t n = 0;
	for (size_t i = 0; i < t->active.len; i++) {
		uint32_t row = t->active.items[i];
		struct temporal_birth *b = temporal_birth(t, row);
		if (b->seen_bytes || b->seen_count)
			add(t, row, (uint32_t)t->instants.len - 1, TEMPORAL_NEVER, b->seen_bytes,
			    b->seen_count);
		b->seen_bytes = b->seen_count = 0;
		b->active = b->new_bytes || b->new_count;
		if (b->active)
			t->active.items[n++] = row;
	}
	t->active.len = n;
}

static void keep_new(struct temporal *t)
{
	for (size_t i = 0; i < t->active.len; i++) {
		struct temporal_birth *b = temporal_birth(t, t->active.items[i]);
		add(t, t->active.items[i], (uint32_t)t->instants.len, TEMPORAL_NEVER, b->new_bytes,
		    b->new_count);
		*b = (struct temporal_birth){ .stamp = b->stamp };
	}
	t->active.len = 0;
}

/* ---- new stamps: the number of the first instant at which a block was live, + 1 ---- */

uint32_t temporal_restamp(const struct temporal *t, uint32_t stamp)
{
	return first_instant(t, stamp) + 1;
}

void temporal_restamp_begin(struct temporal *t)
{
	for (size_t i = 0; i < t->active.len; i++)
		temporal_birth(t, t->active.items[i]);
	for (size_t i = 0; i < t->released.len; i++)
		t->released.items[i].stamp = temporal_restamp(t, t->released.items[i].stamp);
}

void temporal_restamp_end(struct temporal *t)
{
	for (size_t i = 0; i < t->instants.len; i++)
		t->instants.items[i].stamp = (uint32_t)i + 1;
	t->stamp = (uint32_t)t->instants.len;
	/* Nothing is new in rows that are not active. */
	for (size_t i = 0; i < t->births.len; i++)
		t->births.items[i].stamp = t->stamp;
}

/* ---- slots ---- */

static void renumber(struct temporal *t, const uint32_t *number)
{
	for (size_t i = 0; i < t->cap; i++) {
		struct temporal_entry *e = &t->entries[i];
		if (!e->key)
			continue;
		uint32_t born = number[temporal_born(e)], gone = temporal_gone(e);
		if (gone != TEMPORAL_NEVER)
			gone = number[gone];
		e->key = born == gone ? 0 : key_of(temporal_row(e), born, gone);
	}
	replace_all(t);
}

/* Two slots become one; no slot is open. */
static void halve(struct temporal *t)
{
	uint32_t number[TEMPORAL_INSTANTS_MAX + 3], n = 0;
	struct temporal_instant *all = t->instants.items;
	size_t len = t->instants.len;
	for (size_t i = 0; i < len;) {
		size_t best = i, end = i;
		for (; end < len && all[end].slot / 2 == all[i].slot / 2; end++)
			if (all[end].heap >= all[best].heap)
				best = end;
		struct temporal_instant kept = all[best];
		kept.slot /= 2;
		for (size_t k = i; k < end; k++)
			number[k] = n + (k > best);
		all[n++] = kept;
		i = end;
	}
	number[len] = n;
	t->instants.len = n;
	t->slot_ms *= 2;
	renumber(t, number);
}

static void close_slot(struct temporal *t)
{
	if (!t->instants.len)
		return;
	if (t->follow)
		keep_seen(t);
	settle(t, (uint32_t)t->instants.len);
	t->closed++;
}

/* `heap` at the start of a slot is its first highest moment. */
static void open_slot(struct temporal *t, uint32_t slot, uint64_t ticks, uint64_t heap)
{
	struct temporal_instant instant = { ticks, heap, ++t->stamp, slot };
	t->heap = heap;
	if (!mt_array_push(&t->instants, instant) || t->stamp >= UINT32_MAX - 1)
		t->failed = true;
}

static bool too_many(const struct temporal *t)
{
	return (t->len > t->entries_max && t->instants.len > SLOTS_MIN) ||
	       (t->len / ENTRIES_FACTOR > t->entries_max && t->instants.len > 2);
}

void temporal_clock(struct temporal *t, uint32_t ms, uint64_t ticks, uint64_t heap)
{
	if (t->failed)
		return;
	if (t->instants.len && ms / t->slot_ms <= t->instants.items[t->instants.len - 1].slot)
		return;
	close_slot(t);
	while (ms / t->slot_ms >= TEMPORAL_SLOTS || t->instants.len >= TEMPORAL_INSTANTS_MAX ||
	       too_many(t))
		halve(t);
	open_slot(t, ms / t->slot_ms, ticks, heap);
}

void temporal_highest(struct temporal *t, uint64_t ticks, uint64_t heap)
{
	if (t->failed || !t->instants.len)
		return;
	struct temporal_instant *open = &t->instants.items[t->instants.len - 1];
	uint32_t number = (uint32_t)t->instants.len - 1;
	/* What was live at the highest moment before and came in this slot met no instant. */
	uint32_t older = number ? open[-1].stamp : 0;
	for (size_t i = 0; i < t->released.len; i++) {
		const struct temporal_released *r = &t->released.items[i];
		if (r->stamp <= older) {
			settle_one(t, r, first_instant(t, r->stamp), number);
		} else if (t->follow) {
			struct temporal_birth *b = temporal_birth_active(t, r->row);
			b->seen_bytes -= r->bytes;
			b->seen_count -= r->count;
		}
	}
	t->released.len = 0;
	open->ticks = ticks;
	open->heap = t->heap = heap;
	open->stamp = ++t->stamp;
	if (t->stamp >= UINT32_MAX - 1)
		t->failed = true;
}

void temporal_end(struct temporal *t)
{
	close_slot(t);
	if (t->follow)
		keep_new(t);
	while (!t->failed && too_many(t))
		halve(t);
}

void temporal_survivor(struct temporal *t, uint32_t row, uint32_t stamp, uint64_t bytes,
		       uint64_t count)
{
	add(t, row, first_instant(t, stamp), TEMPORAL_NEVER, bytes, count);
}

void temporal_put(struct temporal *t, uint32_t row, uint32_t born, uint32_t gone, uint64_t bytes,
		  uint64_t count)
{
	add(t, row, born, gone, bytes, count);
}
