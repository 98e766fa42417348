/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/flamegraph_threads.c - what each thread has of each stack.
 * Knows: rows by thread, names of threads. Does not know: the page's layout.
 * Called by cmds/ and reporters/flamegraph.c; calls capture/ and base/.
 *
 * Threads of one program mostly do the same: a tree for each of them in the file would repeat it. So the file
 * has each stack once, and the page makes the trees. */
#include "reporters/flamegraph.h"

#include <inttypes.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

struct names {
	struct flamegraph *g;
	struct mt_map by_text;
};

static void names_deinit(struct names *n)
{
	mt_map_deinit(&n->by_text);
}

/* Threads of one name and id are one. */
static struct mt_error *number_name(struct names *n, char *text, uint64_t *ret)
{
	uint64_t key = XXH3_64bits(text, strlen(text));
	for (uint64_t *there; (there = mt_map_get(&n->by_text, key)); key = mt_hash64(key + 1))
		if (!strcmp(n->g->threads.items[*there], text)) {
			*ret = *there;
			free(text);
			return NULL;
		}
	*ret = n->g->threads.len;
	if (mt_map_put(&n->by_text, key, *ret) && mt_array_push(&n->g->threads, text))
		return NULL;
	free(text);
	return &mt_enomem;
}

static struct mt_error *number_thread(struct names *n, const struct capture *cap, uint32_t index,
				      uint32_t *ret)
{
	uint64_t *known = mt_map_get(&n->g->thread_numbers, index), number;
	if (known) {
		*ret = (uint32_t)*known;
		return NULL;
	}
	char *text = tree_thread_text(cap, index);
	struct mt_error *err = text ? number_name(n, text, &number) : &mt_enomem;
	if (err)
		return err;
	*ret = (uint32_t)number;
	return mt_map_put(&n->g->thread_numbers, index, number) ? NULL : &mt_enomem;
}

struct mt_error *flamegraph_split(struct flamegraph *g, const struct capture *cap,
				  const struct views *views, const uint32_t *row_nodes)
{
	mt_auto(names_deinit) struct names names = { g, MT_MAP_INIT };
	struct mt_error *err = NULL;
	for (size_t i = 0; !err && i < views->row_count; i++) {
		const struct view_row *row = &views->rows[i];
		struct flamegraph_share share = { .node = row_nodes[i] };
		memcpy(share.bytes, row->bytes, sizeof(share.bytes));
		memcpy(share.count, row->count, sizeof(share.count));
		err = number_thread(&names, cap, row->thread, &share.thread);
		if (!err && !mt_array_push(&g->shares, share))
			err = &mt_enomem;
	}
	return err;
}

static int by_place(const void *pa, const void *pb)
{
	const struct flamegraph_share *a = pa, *b = pb;
	if (a->node != b->node)
		return a->node < b->node ? -1 : 1;
	return (a->thread > b->thread) - (a->thread < b->thread);
}

void flamegraph_merge_shares(struct flamegraph_share *shares, size_t *count)
{
	size_t n = 0;
	if (*count)
		qsort(shares, *count, sizeof(*shares), by_place);
	for (size_t i = 0; i < *count; i++) {
		if (!n || by_place(&shares[n - 1], &shares[i])) {
			shares[n++] = shares[i];
			continue;
		}
		for (unsigned v = 0; v < VIEW_COUNT; v++) {
			shares[n - 1].bytes[v] += shares[i].bytes[v];
			shares[n - 1].count[v] += shares[i].count[v];
		}
	}
	*count = n;
}
