/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/ranges.c - an ordered set of address ranges (a treap).
 * Knows: ranges and their owners. Does not know: views.
 * Called by analysis/views.c. Recursion is as deep as the treap, about twice log2 of its size. */
#include "analysis/ranges.h"

void ranges_init(struct ranges *r, uint64_t page_size)
{
	*r = (struct ranges){ .random = 2463534242u, .page_size = page_size ? page_size : 4096 };
}

void ranges_deinit(struct ranges *r)
{
	mt_array_deinit(&r->pieces);
	mt_array_deinit(&r->owners);
}

static struct range_piece *piece(struct ranges *r, uint32_t i)
{
	return &r->pieces.items[i];
}

static uint32_t next_random(struct ranges *r)
{
	uint32_t x = r->random;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return r->random = x;
}

/* Room for `n` more pieces, so that the operations in between cannot fail half way. */
static bool reserve_pieces(struct ranges *r, size_t n)
{
	if (!r->pieces.len && !mt_array_push(&r->pieces, (struct range_piece){ 0 }))
		return false;
	return mt_array_reserve(&r->pieces, r->pieces.len + n);
}

static uint32_t new_piece(struct ranges *r, const struct range_piece *from)
{
	uint32_t i = r->free_piece;
	if (i)
		r->free_piece = piece(r, i)->left;
	else
		i = (uint32_t)r->pieces.len++;
	*piece(r, i) = *from;
	piece(r, i)->priority = next_random(r);
	piece(r, i)->left = piece(r, i)->right = 0;
	return i;
}

/* Pieces that start below `key` to *low, the others to *high. */
static void split(struct ranges *r, uint32_t t, uint64_t key, uint32_t *low, uint32_t *high)
{
	if (!t) {
		*low = *high = 0;
	} else if (piece(r, t)->start < key) {
		split(r, piece(r, t)->right, key, &piece(r, t)->right, high);
		*low = t;
	} else {
		split(r, piece(r, t)->left, key, low, &piece(r, t)->left);
		*high = t;
	}
}

static uint32_t join(struct ranges *r, uint32_t low, uint32_t high)
{
	if (!low || !high)
		return low ? low : high;
	if (piece(r, low)->priority > piece(r, high)->priority) {
		piece(r, low)->right = join(r, piece(r, low)->right, high);
		return low;
	}
	piece(r, high)->left = join(r, low, piece(r, high)->left);
	return high;
}

static void insert(struct ranges *r, uint32_t i)
{
	uint32_t low, high;
	split(r, r->root, piece(r, i)->start, &low, &high);
	r->root = join(r, join(r, low, i), high);
}

/* The piece with the highest start below `address`, 0: none. */
static uint32_t piece_before(struct ranges *r, uint64_t address)
{
	uint32_t best = 0;
	for (uint32_t t = r->root; t;) {
		if (piece(r, t)->start < address) {
			best = t;
			t = piece(r, t)->right;
		} else {
			t = piece(r, t)->left;
		}
	}
	return best;
}

/* Makes `address` a border between pieces. */
static void cut_at(struct ranges *r, uint64_t address)
{
	uint32_t i = piece_before(r, address);
	if (!i || piece(r, i)->end <= address)
		return;
	struct range_piece upper = *piece(r, i);
	uint64_t lower_size = address - upper.start;
	uint64_t lower_bytes = upper.bytes < lower_size ? upper.bytes : lower_size;
	upper.start = address;
	upper.bytes -= lower_bytes;
	piece(r, i)->end = address;
	piece(r, i)->bytes = lower_bytes;
	r->owners.items[upper.owner].pieces++;
	insert(r, new_piece(r, &upper));
}

static void release_all(struct ranges *r, uint32_t t, range_released_fn fn, void *arg)
{
	if (!t)
		return;
	release_all(r, piece(r, t)->left, fn, arg);
	release_all(r, piece(r, t)->right, fn, arg);
	uint32_t o = piece(r, t)->owner;
	struct range_owner *owner = &r->owners.items[o];
	bool last = --owner->pieces == 0;
	fn(owner, piece(r, t)->bytes, last, arg);
	if (last) {
		owner->next_free = r->free_owner;
		r->free_owner = o + 1;
	}
	piece(r, t)->left = r->free_piece;
	r->free_piece = t;
}

static uint64_t page_end(const struct ranges *r, uint64_t start, uint64_t size)
{
	uint64_t mask = r->page_size - 1, end = start + size;
	if (end < start || end + mask < end)
		return UINT64_MAX & ~mask;
	return (end + mask) & ~mask;
}

struct mt_error *ranges_unmap(struct ranges *r, uint64_t start, uint64_t size, bool *found_ret,
			      range_released_fn fn, void *arg)
{
	uint64_t end = page_end(r, start, size);
	uint32_t low, middle, high;
	if (!reserve_pieces(r, 2))
		return &mt_enomem;
	cut_at(r, start);
	cut_at(r, end);
	split(r, r->root, start, &low, &high);
	split(r, high, end, &middle, &high);
	*found_ret = middle != 0;
	release_all(r, middle, fn, arg);
	r->root = join(r, low, high);
	return NULL;
}

struct mt_error *ranges_map(struct ranges *r, uint64_t start, uint64_t size,
			    const struct range_owner *owner, range_released_fn fn, void *arg)
{
	bool replaced;
	struct mt_error *err = ranges_unmap(r, start, size, &replaced, fn, arg);
	if (err)
		return err;
	if (!reserve_pieces(r, 1) || !mt_array_reserve(&r->owners, r->owners.len + 1))
		return &mt_enomem;
	uint32_t o = r->free_owner;
	if (o)
		r->free_owner = r->owners.items[--o].next_free;
	else
		o = (uint32_t)r->owners.len++;
	r->owners.items[o] = *owner;
	r->owners.items[o].pieces = 1;
	r->owners.items[o].size = size;
	struct range_piece p = { .start = start, .end = page_end(r, start, size), .bytes = size,
				 .owner = o };
	insert(r, new_piece(r, &p));
	return NULL;
}

static void each_piece(const struct ranges *r, uint32_t t, range_released_fn fn, void *arg)
{
	if (!t)
		return;
	const struct range_piece *p = &r->pieces.items[t];
	each_piece(r, p->left, fn, arg);
	each_piece(r, p->right, fn, arg);
	fn(&r->owners.items[p->owner], p->bytes, false, arg);
}

void ranges_each(const struct ranges *r, range_released_fn fn, void *arg)
{
	each_piece(r, r->root, fn, arg);
	for (size_t i = 0; i < r->owners.len; i++)
		if (r->owners.items[i].pieces)
			fn(&r->owners.items[i], 0, true, arg);
}

void ranges_each_owner(struct ranges *r, void (*fn)(struct range_owner *owner, void *arg), void *arg)
{
	for (size_t i = 0; i < r->owners.len; i++)
		if (r->owners.items[i].pieces)
			fn(&r->owners.items[i], arg);
}
