/* SPDX-License-Identifier: Apache-2.0 */
/* record/intern.h - frames, nodes and stacks, each put into the capture once.
 *
 * A node is (parent, frame); a stack of frames is its top node. Program counters become frames of
 * a module, by the modules loaded at that moment: intern_forget_modules() must be called when a
 * module left, since its addresses may come to mean something else. */
#ifndef MT_RECORD_INTERN_H
#define MT_RECORD_INTERN_H

#include "attach/image.h"
#include "base/array.h"
#include "base/error.h"
#include "base/hash.h"
#include "capture/writer.h"

#include <stdbool.h>
#include <stdint.h>

struct intern_module {		/* of the modules loaded now, ascending by start */
	uint64_t start, end, bias;
	uint32_t id;		/* in the capture */
};

/* Direct-mapped caches before the maps: programs allocate at the same places again and again, and
 * the maps of a long capture are larger than a processor's caches. */
#define INTERN_NODE_CACHE 16384u
#define INTERN_STACK_CACHE 4096u

struct intern {
	struct capture_writer *writer;
	struct intern_node_entry {
		uint64_t frame;		/* pc, or PYTHON_FRAME | the key in python_frames */
		uint32_t parent, node;	/* node 0: empty */
	} node_cache[INTERN_NODE_CACHE];
	struct intern_stack_entry {
		uint32_t native, python, flags, stack;	/* stack 0: empty */
	} stack_cache[INTERN_STACK_CACHE];
	struct mt_map native_frames;	/* pc -> frame id */
	struct mt_map python_frames;	/* code and instruction -> frame id */
	struct mt_map nodes;		/* parent << 32 | frame -> node id */
	struct mt_map stacks;		/* native << 32 | python -> stack id, by flags below */
	struct mt_map flagged_stacks;	/* hash of (native, python, flags) */
	struct intern_module *modules;
	size_t module_count;
	MT_ARRAY(uint64_t) homeless;	/* addresses of the frames put that are of no module */
};

void intern_init(struct intern *in, struct capture_writer *writer);
void intern_deinit(struct intern *in);
/* The modules are these from now on, their code that is mapped elsewhere once more included. */
struct mt_error *intern_take_images(struct intern *in, const struct images *images) MT_MUST_CHECK;
void intern_forget_modules(struct intern *in);

/* The long way of intern_native(). */
struct mt_error *intern_native_new(struct intern *in, uint32_t parent, uint64_t pc, uint32_t *node_ret)
	MT_MUST_CHECK;

static inline struct intern_node_entry *intern_node_entry(struct intern *in, uint32_t parent, uint64_t frame)
{
	uint64_t h = (frame ^ (uint64_t)parent * 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull;
	return &in->node_cache[h >> 50];
}
_Static_assert(INTERN_NODE_CACHE == 1u << (64 - 50), "intern_node_entry() takes the high bits");

static inline bool intern_entry_is(const struct intern_node_entry *e, uint32_t parent, uint64_t frame)
{
	return e->frame == frame && e->parent == parent && e->node;
}

static inline MT_MUST_CHECK struct mt_error *intern_native(struct intern *in, uint32_t parent, uint64_t pc,
							   uint32_t *node_ret)
{
	const struct intern_node_entry *e = intern_node_entry(in, parent, pc);
	if (__builtin_expect(!intern_entry_is(e, parent, pc), 0))
		return intern_native_new(in, parent, pc, node_ret);
	*node_ret = e->node;
	return NULL;
}

struct mt_error *intern_python(struct intern *in, uint32_t parent, uint32_t code, bool entry,
			       uint64_t offset1, uint32_t *node_ret) MT_MUST_CHECK;
struct mt_error *intern_stack(struct intern *in, uint32_t native_node, uint32_t python_node,
			      uint32_t flags, uint32_t *stack_ret) MT_MUST_CHECK;

#endif
