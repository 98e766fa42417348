/* SPDX-License-Identifier: Apache-2.0 */
/* record/intern.c - gives frames, nodes and stacks their ids in the capture.
 * Knows: which were put already. Does not know: rings, processes.
 * Called by record/ring_reader.c and recorder.c; calls capture/writer.h. */
#include "record/intern.h"

#include <stdlib.h>
#include <string.h>

#define PYTHON_FRAME (1ull << 63)	/* no program counter has it */

void intern_init(struct intern *in, struct capture_writer *writer)
{
	memset(in, 0, sizeof(*in));
	in->writer = writer;
}

void intern_deinit(struct intern *in)
{
	mt_map_deinit(&in->native_frames);
	mt_map_deinit(&in->python_frames);
	mt_map_deinit(&in->nodes);
	mt_map_deinit(&in->stacks);
	mt_map_deinit(&in->flagged_stacks);
	free(in->modules);
	mt_array_deinit(&in->homeless);
}

static int by_start(const void *a, const void *b)
{
	const struct intern_module *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

struct mt_error *intern_take_images(struct intern *in, const struct images *images)
{
	struct intern_module *list = calloc(images->by_start.len + images->code.len + 1, sizeof(*list));
	size_t count = 0;
	if (!list)
		return &mt_enomem;
	for (size_t i = 0; i < images->by_start.len; i++) {
		const struct image *img = images->by_start.items[i];
		list[count++] = (struct intern_module){ img->start, img->end, img->bias, img->id };
	}
	for (size_t i = 0; i < images->code.len; i++) {
		const struct image_code *c = &images->code.items[i];
		if (c->image)
			list[count++] = (struct intern_module){ c->start, c->end, c->bias, c->image->id };
	}
	qsort(list, count, sizeof(*list), by_start);
	free(in->modules);
	in->modules = list;
	in->module_count = count;
	return NULL;
}

void intern_forget_modules(struct intern *in)
{
	mt_map_clear(&in->native_frames);
	memset(in->node_cache, 0, sizeof(in->node_cache));
}

static const struct intern_module *module_of(const struct intern *in, uint64_t pc)
{
	size_t lo = 0, hi = in->module_count;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (pc >= in->modules[mid].end)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < in->module_count && pc >= in->modules[lo].start ? &in->modules[lo] : NULL;
}

static struct mt_error *intern_node(struct intern *in, uint32_t parent, uint32_t frame,
				    uint32_t *node_ret)
{
	uint64_t key = (uint64_t)parent << 32 | frame;
	const uint64_t *there = mt_map_get(&in->nodes, key);
	if (there) {
		*node_ret = (uint32_t)*there;
		return NULL;
	}
	struct mt_error *err = capture_writer_node(in->writer, parent, frame, node_ret);
	if (!err && !mt_map_put(&in->nodes, key, *node_ret))
		err = &mt_enomem;
	return err;
}

static struct mt_error *find_native(struct intern *in, uint32_t parent, uint64_t pc,
				    uint32_t *node_ret)
{
	const uint64_t *there = mt_map_get(&in->native_frames, pc);
	if (there)
		return intern_node(in, parent, (uint32_t)*there, node_ret);
	const struct intern_module *m = module_of(in, pc);
	uint32_t frame;
	struct mt_error *err = capture_writer_frame_native(in->writer, m ? m->id + 1 : 0,
							   m ? pc - m->bias : pc, &frame);
	if (err)
		return err;
	if (!mt_map_put(&in->native_frames, pc, frame) || (!m && !mt_array_push(&in->homeless, pc)))
		return &mt_enomem;
	return intern_node(in, parent, frame, node_ret);
}

struct mt_error *intern_native_new(struct intern *in, uint32_t parent, uint64_t pc, uint32_t *node_ret)
{
	struct mt_error *err = find_native(in, parent, pc, node_ret);
	if (!err && !(pc & PYTHON_FRAME))
		*intern_node_entry(in, parent, pc) = (struct intern_node_entry){ pc, parent, *node_ret };
	return err;
}

static struct mt_error *find_python(struct intern *in, uint32_t parent, uint64_t key,
				    uint32_t *node_ret)
{
	const uint64_t *there = mt_map_get(&in->python_frames, key);
	if (there)
		return intern_node(in, parent, (uint32_t)*there, node_ret);
	uint32_t frame;
	struct mt_error *err = capture_writer_frame_python(in->writer, (uint32_t)(key >> 32), key & 1,
							   (uint32_t)key >> 1, &frame);
	if (err)
		return err;
	if (!mt_map_put(&in->python_frames, key, frame))
		return &mt_enomem;
	return intern_node(in, parent, frame, node_ret);
}

struct mt_error *intern_python(struct intern *in, uint32_t parent, uint32_t code, bool entry,
			       uint64_t offset1, uint32_t *node_ret)
{
	/* Instruction offsets are far below 2^31; more is damage and shares one frame. */
	uint32_t instr = offset1 < 0x7fffffff ? (uint32_t)offset1 : 0x7fffffff;
	uint64_t key = (uint64_t)code << 32 | instr << 1 | entry, frame = key | PYTHON_FRAME;
	struct intern_node_entry *e = intern_node_entry(in, parent, frame);
	/* Code numbers with the bit count from "unknown" down and are few. */
	if (intern_entry_is(e, parent, frame) && !(key & PYTHON_FRAME)) {
		*node_ret = e->node;
		return NULL;
	}
	struct mt_error *err = find_python(in, parent, key, node_ret);
	if (!err && !(key & PYTHON_FRAME))
		*e = (struct intern_node_entry){ frame, parent, *node_ret };
	return err;
}

static struct mt_error *find_stack(struct intern *in, uint32_t native_node, uint32_t python_node,
				   uint32_t flags, uint32_t *stack_ret)
{
	/* Flags are a few bits and follow from the native root nearly always: one map a value. */
	uint64_t key = (uint64_t)native_node << 32 | python_node;
	struct mt_map *map = &in->stacks;
	if (flags) {
		key = mt_hash_pair(key, flags);
		map = &in->flagged_stacks;
	}
	const uint64_t *there = mt_map_get(map, key);
	if (there) {
		*stack_ret = (uint32_t)*there;
		return NULL;
	}
	struct mt_error *err = capture_writer_stack(in->writer, native_node, python_node, flags,
						    stack_ret);
	if (!err && !mt_map_put(map, key, *stack_ret))
		err = &mt_enomem;
	return err;
}

struct mt_error *intern_stack(struct intern *in, uint32_t native_node, uint32_t python_node,
			      uint32_t flags, uint32_t *stack_ret)
{
	uint64_t h = ((uint64_t)native_node << 32 | python_node) * 0x9e3779b97f4a7c15ull;
	struct intern_stack_entry *e = &in->stack_cache[h >> 52];
	_Static_assert(INTERN_STACK_CACHE == 1u << (64 - 52), "the high bits");
	if (e->native == native_node && e->python == python_node && e->flags == flags && e->stack) {
		*stack_ret = e->stack;
		return NULL;
	}
	struct mt_error *err = find_stack(in, native_node, python_node, flags, stack_ret);
	if (!err)
		*e = (struct intern_stack_entry){ native_node, python_node, flags, *stack_ret };
	return err;
}
