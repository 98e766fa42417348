/* SPDX-License-Identifier: Apache-2.0 */
/* lib/same.c - finds the stacks that differ only in the instruction within a line of Python.
 * Knows: the tables of frames, nodes and stacks. Does not know: names.
 * Called by lib/reader.c; calls symbolize/, capture/ and base/. */
#include "lib/same.h"

#include "base/array.h"
#include "base/hash.h"

#include <stdlib.h>

/* The number first given to a key. */
static bool number(struct mt_map *map, uint64_t key, uint32_t mine, uint32_t *ret)
{
	const uint64_t *there = mt_map_get(map, key);
	*ret = there ? (uint32_t)*there : mine;
	return there || mt_map_put(map, key, mine);
}

/* By frame: the first one of the same code object and line; native frames are themselves. */
static struct mt_error *same_frames(const struct capture_tables *t, struct symbolizer *sym,
				    uint32_t *first)
{
	struct mt_map map = MT_MAP_INIT;
	struct mt_error *err = NULL;
	for (uint32_t i = 0; i < t->frame_count && !err; i++) {
		const struct capture_frame *f = &t->frames[i];
		uint32_t line = 0;
		first[i] = i;
		if (!f->is_python)
			continue;
		err = symbolizer_python_line(sym, i, &line);
		/* Without its line a frame is like no other. */
		if (!err && line && !number(&map, (uint64_t)f->module_plus_1 << 32 | line, i, &first[i]))
			err = &mt_enomem;
	}
	mt_map_deinit(&map);
	return err;
}

/* Parents come before their children. */
static struct mt_error *same_nodes(const struct capture_tables *t, const uint32_t *frames,
				   uint32_t *first)
{
	struct mt_map map = MT_MAP_INIT;
	bool good = true;
	for (uint32_t i = 1; i < t->node_count && good; i++) {
		const struct capture_node *n = &t->nodes[i];
		uint32_t parent = n->parent < i ? first[n->parent] : 0;
		uint32_t frame = n->frame < t->frame_count ? frames[n->frame] : 0;
		good = number(&map, (uint64_t)parent << 32 | frame, i, &first[i]);
	}
	mt_map_deinit(&map);
	return good ? NULL : &mt_enomem;
}

static struct mt_error *same_pairs(const struct capture_tables *t, const uint32_t *nodes,
				   uint32_t *first)
{
	struct mt_map map = MT_MAP_INIT;
	bool good = true;
	for (uint32_t i = 1; i < t->stack_count && good; i++) {
		const struct capture_stack *s = &t->stacks[i];
		first[i] = i;
		if (s->native_node < t->node_count && s->python_node < t->node_count && !s->flags)
			good = number(&map, (uint64_t)nodes[s->native_node] << 32 | nodes[s->python_node], i,
				      &first[i]);
	}
	mt_map_deinit(&map);
	return good ? NULL : &mt_enomem;
}

struct mt_error *same_stacks_init(struct same_stacks *same, struct capture *cap,
				  struct symbolizer *sym)
{
	struct capture_tables t;
	struct mt_error *err = capture_load_tables(cap, &t);
	if (err)
		return err;
	auto_free uint32_t *frames = calloc(t.frame_count + 1, sizeof(*frames));
	auto_free uint32_t *nodes = calloc(t.node_count + 1, sizeof(*nodes));
	auto_free uint32_t *stacks = calloc(t.stack_count + 1, sizeof(*stacks));
	if (!frames || !nodes || !stacks)
		return &mt_enomem;
	err = same_frames(&t, sym, frames);
	if (!err)
		err = same_nodes(&t, frames, nodes);
	if (!err)
		err = same_pairs(&t, nodes, stacks);
	if (err)
		return err;
	*same = (struct same_stacks){ take_ptr(&stacks), t.stack_count };
	return NULL;
}

void same_stacks_deinit(struct same_stacks *same)
{
	free(same->first);
	*same = (struct same_stacks){ 0 };
}
