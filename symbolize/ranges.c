/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/ranges.c - flattens ranges with a sweep over their bounds and a heap of open ones.
 * Knows: numbers. Does not know: what the ranges are.
 * Called by symbolize/; calls base/. */
#include "symbolize/ranges.h"

#include <stdlib.h>
#include <string.h>

void range_set_deinit(struct range_set *set)
{
	mt_array_deinit(&set->ranges);
	mt_array_deinit(&set->pieces);
}

bool range_set_add(struct range_set *set, uint64_t low, uint64_t high, uint32_t priority,
		   uint32_t id)
{
	if (low >= high)
		return true;
	uint32_t order = (uint32_t)set->ranges.len;
	return mt_array_push(&set->ranges, (struct range){ low, high, priority, id, order });
}

static int compare_low(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	return x->low != y->low ? (x->low < y->low ? -1 : 1) : (x->order < y->order ? -1 : 1);
}

static bool above(const struct range *x, const struct range *y)
{
	return x->priority != y->priority ? x->priority > y->priority : x->order > y->order;
}

/* A binary heap of open ranges, the top one first. */
struct heap {
	const struct range **items;
	size_t len;
};

static void heap_push(struct heap *h, const struct range *r)
{
	size_t i = h->len++;
	while (i && above(r, h->items[(i - 1) / 2])) {
		h->items[i] = h->items[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	h->items[i] = r;
}

static void heap_pop(struct heap *h)
{
	const struct range *last = h->items[--h->len];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= h->len)
			break;
		if (child + 1 < h->len && above(h->items[child + 1], h->items[child]))
			child++;
		if (!above(h->items[child], last))
			break;
		h->items[i] = h->items[child];
		i = child;
	}
	h->items[i] = last;
}

static bool put_piece(struct range_set *set, uint64_t low, uint32_t id)
{
	size_t n = set->pieces.len;
	if (n && set->pieces.items[n - 1].low == low) {
		set->pieces.items[n - 1].id = id;
		return true;
	}
	if (n && set->pieces.items[n - 1].id == id)
		return true;
	return mt_array_push(&set->pieces, (struct range_piece){ low, id });
}

/* Closes what ends up to `limit`, and says at each such bound what lies below. */
static bool sweep_to(struct range_set *set, struct heap *h, uint64_t limit)
{
	while (h->len && h->items[0]->high <= limit) {
		uint64_t at = h->items[0]->high;
		while (h->len && h->items[0]->high <= at)
			heap_pop(h);
		if (!put_piece(set, at, h->len ? h->items[0]->id : RANGE_NONE))
			return false;
	}
	return true;
}

struct mt_error *range_set_build(struct range_set *set)
{
	size_t n = set->ranges.len;
	if (!n)
		return NULL;
	qsort(set->ranges.items, n, sizeof(*set->ranges.items), compare_low);
	struct heap h = { calloc(n, sizeof(*h.items)), 0 };
	bool ok = h.items;
	for (size_t i = 0; ok && i < n; i++) {
		const struct range *r = &set->ranges.items[i];
		ok = sweep_to(set, &h, r->low);
		heap_push(&h, r);
		ok = ok && put_piece(set, r->low, h.items[0]->id);
	}
	ok = ok && sweep_to(set, &h, UINT64_MAX);
	free(h.items);
	mt_array_deinit(&set->ranges);
	return ok ? NULL : &mt_enomem;
}

uint32_t range_set_find(const struct range_set *set, uint64_t address)
{
	size_t low = 0, high = set->pieces.len;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (set->pieces.items[mid].low <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? set->pieces.items[low - 1].id : RANGE_NONE;
}
