/* SPDX-License-Identifier: Apache-2.0 */
/* analysis/row_table.c - the table of rows: what is not done at every event.
 * Knows: stacks, threads and kinds as numbers. Does not know: events, addresses.
 * Called by analysis/views.c. */
#include "analysis/row_table.h"

#include "base/large.h"

#include <string.h>

void row_table_init(struct row_table *r)
{
	*r = (struct row_table){ .epoch = 1 };
}

void row_table_deinit(struct row_table *r)
{
	free(r->states);
	mt_array_deinit(&r->rest);
	mt_map_deinit(&r->by_key);
	free(r->last);
	mt_array_deinit(&r->result);
	*r = (struct row_table){ 0 };
}

static bool grow(struct row_table *r)
{
	size_t cap = r->cap ? r->cap * 2 : 64;
	struct row_state *states = mt_large_alloc(cap, sizeof(*states));
	if (!states)
		return false;
	if (r->len)
		memcpy(states, r->states, r->len * sizeof(*states));
	free(r->states);
	r->states = states;
	r->cap = cap;
	/* All of them are found by their keys once more. */
	struct row_last *last = calloc(cap * 2, sizeof(*last));
	if (!last)
		return false;
	free(r->last);
	r->last = last;
	r->last_cap = cap * 2;
	return true;
}

static struct mt_error *new_row(struct row_table *r, uint64_t key, uint32_t stack, uint32_t thread,
				uint8_t kind, uint32_t *ret)
{
	if (r->len == r->cap && !grow(r))
		return &mt_enomem;
	*ret = (uint32_t)r->len;
	if (!mt_array_push(&r->rest, (struct row_rest){ .stack = stack, .thread = thread,
						       .kind = kind }) ||
	    !mt_map_put(&r->by_key, key, *ret))
		return &mt_enomem;
	r->states[r->len++] = (struct row_state){ 0 };
	return NULL;
}

struct mt_error *row_table_find_other(struct row_table *r, uint32_t stack, uint32_t thread, uint8_t kind,
				 uint32_t *ret)
{
	/* Kinds are below 32 and thread indexes count the threads of one process. */
	uint64_t key = (uint64_t)thread << 37 | (uint64_t)stack << 5 | kind;
	const uint64_t *there = mt_map_get(&r->by_key, key);
	struct mt_error *err = NULL;
	if (there)
		*ret = (uint32_t)*there;
	else
		err = new_row(r, key, stack, thread, kind, ret);
	if (!err)
		*row_table_last(r, stack, thread) = (struct row_last){ *ret + 1, stack, thread, kind };
	return err;
}

void row_table_carry(struct row_table *r, uint32_t row, uint64_t bytes)
{
	struct row_rest *rest = &r->rest.items[row];
	rest->temporary_bytes += bytes << 32;
	if (!r->states[row].temporary_count)
		rest->temporary_count += 1ull << 32;
}

void row_table_get(const struct row_table *r, uint32_t row, struct view_row *ret)
{
	const struct row_state *s = &r->states[row];
	const struct row_rest *rest = &r->rest.items[row];
	*ret = (struct view_row){
		.stack = rest->stack, .thread = rest->thread, .kind = rest->kind,
		.bytes = { [VIEW_PEAK] = s->peak_bytes, [VIEW_LEAKS] = s->live_bytes,
			   [VIEW_ALLOCATED] = s->allocated_bytes,
			   [VIEW_TEMPORARY] = rest->temporary_bytes + s->temporary_bytes },
		.count = { [VIEW_PEAK] = s->peak_count, [VIEW_LEAKS] = s->live_count,
			   [VIEW_ALLOCATED] = s->allocated_count,
			   [VIEW_TEMPORARY] = rest->temporary_count + s->temporary_count },
	};
}

struct mt_error *row_table_result(struct row_table *r)
{
	if (!mt_array_reserve(&r->result, r->len))
		return &mt_enomem;
	r->result.len = r->len;
	for (size_t i = 0; i < r->len; i++) {
		row_table_before(r, (uint32_t)i);
		row_table_get(r, (uint32_t)i, &r->result.items[i]);
	}
	return NULL;
}
