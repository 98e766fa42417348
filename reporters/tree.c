/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tree.c - rows and their symbolized stacks to one prefix tree.
 * Knows: frames as text, self values. Does not know: pages, terminals, files.
 * Called by reporters/ and cmds/; calls symbolize/, capture/ and base/. */
#include "reporters/tree.h"

#include "base/array.h"
#include "base/hash.h"
#include "base/large.h"
#include "reporters/site.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* To look three texts up for every frame of every stack would be most of the work: a frame seen before
 * is found by where its texts are, which the symbolizer keeps. A slot has the last one that fell on it. */
#define CACHE_SLOTS 16384u

struct cache_slot {
	const char *function, *file, *module;
	uint32_t line, frame;		/* frame 0: empty */
	uint8_t kind, flags;
};

/* Looked up for every frame of every stack, and mostly not in the cache: all that is asked for is in one place. */
struct child {
	uint32_t parent, frame, node;	/* node 0: free */
};

struct tree {
	struct cache_slot *cache;
	MT_ARRAY(struct tree_node) nodes;
	MT_ARRAY(struct tree_value) self;
	MT_ARRAY(struct tree_frame) frames;
	MT_ARRAY(char *) strings;
	struct child *children;		/* an open hash table of all nodes but the root */
	size_t children_cap;		/* 0 or a power of two */
	struct mt_map frame_ids;	/* hash -> frame; equal hashes probe on */
	struct mt_map string_ids;
};

struct mt_error *tree_create(struct tree **ret)
{
	auto_tree struct tree *t = calloc(1, sizeof(*t));
	char *empty = t ? strdup("") : NULL;
	if (!empty)
		return &mt_enomem;
	t->cache = calloc(CACHE_SLOTS, sizeof(*t->cache));
	if (!t->cache || !mt_array_push(&t->strings, empty)) {
		free(empty);
		return &mt_enomem;
	}
	if (!mt_array_push(&t->frames, (struct tree_frame){ .kind = FRAME_MARK }) ||
	    !mt_array_push(&t->nodes, (struct tree_node){ 0 }) ||
	    !mt_array_push(&t->self, (struct tree_value){ { 0 }, { 0 } }))
		return &mt_enomem;
	*ret = take_ptr(&t);
	return NULL;
}

void tree_destroy(struct tree *t)
{
	if (!t)
		return;
	free(t->cache);
	for (size_t i = 0; i < t->strings.len; i++)
		free(t->strings.items[i]);
	mt_array_deinit(&t->strings);
	mt_array_deinit(&t->frames);
	mt_array_deinit(&t->nodes);
	mt_array_deinit(&t->self);
	free(t->children);
	mt_map_deinit(&t->frame_ids);
	mt_map_deinit(&t->string_ids);
	free(t);
}

static bool intern_string(struct tree *t, const char *s, uint32_t *ret)
{
	size_t len = strlen(s);
	if (!len) {
		*ret = 0;
		return true;
	}
	uint64_t key = XXH3_64bits(s, len);
	for (uint64_t *id; (id = mt_map_get(&t->string_ids, key)); key = mt_hash64(key + 1))
		if (!strcmp(t->strings.items[*id], s)) {
			*ret = (uint32_t)*id;
			return true;
		}
	char *copy = strdup(s);
	if (!copy)
		return false;
	if (!mt_array_push(&t->strings, copy)) {
		free(copy);
		return false;
	}
	*ret = (uint32_t)(t->strings.len - 1);
	return mt_map_put(&t->string_ids, key, *ret);
}

static bool same_frame(const struct tree_frame *a, const struct tree_frame *b)
{
	return a->function == b->function && a->file == b->file && a->module == b->module &&
	       a->line == b->line && a->kind == b->kind && a->flags == b->flags;
}

static bool intern_frame(struct tree *t, const struct symbol_frame *s, uint32_t *ret)
{
	struct tree_frame f = { .line = s->line, .kind = s->kind, .flags = s->flags };
	if (!intern_string(t, s->function, &f.function) || !intern_string(t, s->file, &f.file) ||
	    !intern_string(t, s->module, &f.module))
		return false;
	uint64_t key = mt_hash_pair((uint64_t)f.function << 32 | f.file,
				    mt_hash_pair((uint64_t)f.module << 32 | f.line,
						 (uint64_t)f.kind << 8 | f.flags));
	for (uint64_t *id; (id = mt_map_get(&t->frame_ids, key)); key = mt_hash64(key + 1))
		if (same_frame(&t->frames.items[*id], &f)) {
			*ret = (uint32_t)*id;
			return true;
		}
	if (!mt_array_push(&t->frames, f))
		return false;
	*ret = (uint32_t)(t->frames.len - 1);
	return mt_map_put(&t->frame_ids, key, *ret);
}

static struct child *child_place(const struct tree *t, uint32_t parent, uint32_t frame)
{
	size_t mask = t->children_cap - 1;
	size_t i = (size_t)(((uint64_t)parent << 32 | frame) * 0x9e3779b97f4a7c15ull >> 24) & mask;
	while (t->children[i].node && (t->children[i].parent != parent || t->children[i].frame != frame))
		i = (i + 1) & mask;
	return &t->children[i];
}

static bool grow_children(struct tree *t)
{
	size_t cap = t->children_cap ? t->children_cap * 2 : 256;
	struct child *children = mt_large_alloc(cap, sizeof(*children));
	if (!children)
		return false;
	free(t->children);
	t->children = children;
	t->children_cap = cap;
	for (uint32_t i = 1; i < t->nodes.len; i++) {
		const struct tree_node *n = &t->nodes.items[i];
		*child_place(t, n->parent, n->frame) = (struct child){ n->parent, n->frame, i };
	}
	return true;
}

static bool find_child(struct tree *t, uint32_t parent, uint32_t frame, uint32_t *ret)
{
	if (t->nodes.len * 2 > t->children_cap && !grow_children(t))
		return false;
	struct child *place = child_place(t, parent, frame);
	if (place->node) {
		*ret = place->node;
		return true;
	}
	uint32_t id = (uint32_t)t->nodes.len;
	if (id == UINT32_MAX ||
	    !mt_array_push(&t->self, (struct tree_value){ { 0 }, { 0 } }) ||
	    !mt_array_push(&t->nodes, (struct tree_node){ .parent = parent, .frame = frame }))
		return false;
	*place = (struct child){ parent, frame, id };
	struct tree_node *up = &t->nodes.items[parent];
	if (up->last_child)
		t->nodes.items[up->last_child].next = id;
	else
		up->first_child = id;
	up->last_child = id;
	*ret = id;
	return true;
}

static struct cache_slot *cache_slot(struct tree *t, const struct symbol_frame *s)
{
	uint64_t hash = ((uintptr_t)s->function + ((uint64_t)s->line << 32)) * 0x9e3779b97f4a7c15ull ^
			((uintptr_t)s->file + (uintptr_t)s->module) * 0xd6e8feb86659fd93ull;
	return &t->cache[hash >> 40 & (CACHE_SLOTS - 1)];
}

static bool frame_id(struct tree *t, const struct symbol_frame *s, uint32_t *ret)
{
	struct cache_slot *c = cache_slot(t, s);
	if (c->frame && c->function == s->function && c->file == s->file && c->module == s->module &&
	    c->line == s->line && c->kind == s->kind && c->flags == s->flags) {
		*ret = c->frame;
		return true;
	}
	if (!intern_frame(t, s, ret))
		return false;
	if (s->kind != FRAME_MARK)	/* their texts may be the caller's */
		*c = (struct cache_slot){ s->function, s->file, s->module, s->line, *ret, s->kind, s->flags };
	return true;
}

static bool add_frame(struct tree *t, const struct symbol_frame *frame, uint32_t *node)
{
	uint32_t id;
	return frame_id(t, frame, &id) && find_child(t, *node, id, node);
}

static struct mt_error *add_stack_at(struct tree *t, uint32_t node,
				     const struct symbol_frame *frames, size_t count,
				     const struct tree_options *options, uint32_t *node_ret)
{
	for (size_t i = 0; i < count; i++) {
		const struct symbol_frame *f = &frames[options->inverted ? count - 1 - i : i];
		if (!(f->flags & options->hide) && !add_frame(t, f, &node))
			return &mt_enomem;
	}
	*node_ret = node;
	return NULL;
}

struct mt_error *tree_add_stack(struct tree *t, const struct symbol_frame *frames, size_t count,
				uint32_t *node_ret)
{
	return add_stack_at(t, 0, frames, count, &(struct tree_options){ 0 }, node_ret);
}

void tree_add_value(struct tree *t, uint32_t node, const uint64_t bytes[VIEW_COUNT],
		    const uint64_t count[VIEW_COUNT])
{
	struct tree_value *v = &t->self.items[node];
	for (unsigned i = 0; i < VIEW_COUNT; i++) {
		v->bytes[i] += bytes[i];
		v->count[i] += count[i];
	}
}

char *tree_thread_text(const struct capture *cap, uint32_t index)
{
	uint32_t tid = 0;
	const char *name = capture_thread_name(cap, index, &tid);
	char *text = NULL;
	return asprintf(&text, "%s [%" PRIu32 "]", *name ? name : "thread", tid) < 0 ? NULL : text;
}

/* The frame that stands for a thread: its name and id. */
static struct mt_error *thread_node(struct tree *t, const struct capture *cap, uint32_t index,
				    uint32_t *node_ret)
{
	uint32_t node = 0;
	auto_free char *text = tree_thread_text(cap, index);
	if (!text)
		return &mt_enomem;
	struct symbol_frame mark = { .function = text, .file = "", .module = "",
				     .kind = FRAME_MARK, .flags = TREE_FRAME_THREAD };
	if (!add_frame(t, &mark, &node))
		return &mt_enomem;
	*node_ret = node;
	return NULL;
}

static struct mt_error *add_row(struct tree *t, struct capture *cap, struct symbolizer *s,
				const struct view_row *row, const struct tree_options *options,
				struct mt_map *leaves, uint32_t *node_ret)
{
	uint32_t top = 0, node;
	struct mt_error *err = options->split_threads ? thread_node(t, cap, row->thread, &top) : NULL;
	if (err)
		return err;
	/* Rows differ in their kind too: most stacks come several times. */
	uint64_t key = (uint64_t)top << 32 | row->stack;
	uint64_t *known = mt_map_get(leaves, key);
	if (known) {
		tree_add_value(t, *node_ret = (uint32_t)*known, row->bytes, row->count);
		return NULL;
	}
	const struct symbol_frame *frames;
	size_t count;
	err = symbolizer_stack(s, row->stack, &frames, &count);
	if (!err)
		err = add_stack_at(t, top, frames, count, options, &node);
	if (err)
		return err;
	if (!mt_map_put(leaves, key, node))
		return &mt_enomem;
	tree_add_value(t, *node_ret = node, row->bytes, row->count);
	return NULL;
}

struct mt_error *tree_build(struct capture *cap, const struct views *views,
			    struct symbolizer *s, const struct tree_options *options,
			    struct tree **ret)
{
	auto_tree struct tree *t = NULL;
	struct mt_error *err = tree_create(&t);
	struct mt_map leaves = MT_MAP_INIT;
	for (size_t i = 0; !err && i < views->row_count; i++) {
		uint32_t node = 0;
		err = add_row(t, cap, s, &views->rows[i], options, &leaves, &node);
		if (options->row_nodes)
			options->row_nodes[i] = node;
		if (options->progress && !(i & 1023))
			options->progress((double)i / (double)views->row_count,
					  options->progress_arg);
	}
	mt_map_deinit(&leaves);
	if (!err)
		*ret = take_ptr(&t);
	return err;
}

const struct tree_node *tree_nodes(const struct tree *t, uint32_t *count_ret)
{
	*count_ret = (uint32_t)t->nodes.len;
	return t->nodes.items;
}

const struct tree_frame *tree_frames(const struct tree *t, uint32_t *count_ret)
{
	*count_ret = (uint32_t)t->frames.len;
	return t->frames.items;
}

const struct tree_value *tree_self(const struct tree *t, uint32_t node)
{
	return &t->self.items[node];
}

const char *tree_string(const struct tree *t, uint32_t id)
{
	return t->strings.items[id];
}

uint32_t tree_string_count(const struct tree *t)
{
	return (uint32_t)t->strings.len;
}

static void add_to(struct tree_value *to, const struct tree_value *from)
{
	for (unsigned i = 0; i < VIEW_COUNT; i++) {
		to->bytes[i] += from->bytes[i];
		to->count[i] += from->count[i];
	}
}

struct mt_error *tree_totals(const struct tree *t, struct tree_value **ret)
{
	struct tree_value *totals = malloc(t->nodes.len * sizeof(*totals));
	if (!totals)
		return &mt_enomem;
	memcpy(totals, t->self.items, t->nodes.len * sizeof(*totals));
	for (size_t i = t->nodes.len - 1; i > 0; i--)
		add_to(&totals[t->nodes.items[i].parent], &totals[i]);
	*ret = totals;
	return NULL;
}

struct tree_value tree_total(const struct tree *t)
{
	struct tree_value total = { 0 };
	for (size_t i = 0; i < t->nodes.len; i++)
		add_to(&total, &t->self.items[i]);
	return total;
}

/* ---- sites ---- */

/* The candidates on the way to a node, innermost of each kind: frames, 0 for none. The choice
 * among them is that of site_find(), made for all nodes in one pass. */
struct site_path {
	uint32_t python, native, machinery, any;
};

static bool is_runtime(const struct tree *t, const struct tree_frame *f)
{
	return site_is_runtime_module(t->strings.items[f->module]) ||
	       site_is_runtime_function(t->strings.items[f->function]) ||
	       strstr(t->strings.items[f->file], "/include/c++/");
}

/* runtime: of each frame, is_runtime() of it. */
static void step_site(const struct tree *t, const bool *runtime, uint32_t frame,
		      struct site_path *path)
{
	const struct tree_frame *f = &t->frames.items[frame];
	if (f->kind == FRAME_PYTHON)
		path->python = frame;
	if (f->kind != FRAME_NATIVE)
		return;
	path->any = frame;
	if (runtime[frame])
		return;
	path->machinery = frame;
	if (!(f->flags & FRAME_INTERPRETER))
		path->native = frame;
}

static uint32_t choose_site(const struct site_path *path, uint32_t leaf)
{
	return path->python ? path->python : path->native ? path->native :
	       path->machinery ? path->machinery : path->any ? path->any : leaf;
}

static int compare_sites(const void *a, const void *b, void *view)
{
	const struct tree_site *x = a, *y = b;
	enum view_kind v = *(enum view_kind *)view;
	uint64_t vx = x->value.bytes[v], vy = y->value.bytes[v];
	if (vx != vy)
		return vx < vy ? 1 : -1;
	return x->frame < y->frame ? -1 : x->frame > y->frame;
}

/* Adds up the self values of all nodes by the frame of their site; false: out of memory. */
static bool add_up_sites(const struct tree *t, struct tree_site *sites)
{
	auto_free struct site_path *paths = calloc(t->nodes.len, sizeof(*paths));
	auto_free bool *runtime = calloc(t->frames.len, sizeof(*runtime));
	if (!paths || !runtime)
		return false;
	for (size_t i = 0; i < t->frames.len; i++)
		runtime[i] = is_runtime(t, &t->frames.items[i]);
	add_to(&sites[0].value, &t->self.items[0]);
	for (size_t i = 1; i < t->nodes.len; i++) {
		const struct tree_node *n = &t->nodes.items[i];
		paths[i] = paths[n->parent];
		step_site(t, runtime, n->frame, &paths[i]);
		add_to(&sites[choose_site(&paths[i], n->frame)].value, &t->self.items[i]);
	}
	return true;
}

struct mt_error *tree_sites(const struct tree *t, enum view_kind view, struct tree_site **ret,
			    size_t *count_ret)
{
	auto_free struct tree_site *sites = calloc(t->frames.len, sizeof(*sites));
	if (!sites || !add_up_sites(t, sites))
		return &mt_enomem;
	size_t count = 0;
	for (uint32_t f = 0; f < t->frames.len; f++) {
		if (!sites[f].value.bytes[view] && !sites[f].value.count[view])
			continue;
		sites[count] = sites[f];
		sites[count++].frame = f;
	}
	qsort_r(sites, count, sizeof(*sites), compare_sites, &view);
	*ret = take_ptr(&sites);
	*count_ret = count;
	return NULL;
}
