/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/unfold.c - the nodes of a tree as lines, largest first, below those that are open.
 * Knows: the tree, what is open. Does not know: the terminal.
 * Called by reporters/tui/; calls reporters/tree.h. */
#include "reporters/tui/unfold.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define ROOT_PATH 1u

struct place {			/* a node still to be put */
	uint32_t node, depth;
	enum row_branch branch;
	uint64_t path;		/* of itself */
};

struct unfold {
	const struct data *d;
	const struct tree_node *nodes;
	const struct tree_frame *frames;
	MT_ARRAY(struct place) stack;
	bool by_count;
};

static struct unfold begin(const struct rows *rows, const struct data *d)
{
	uint32_t count;
	return (struct unfold){ .d = d, .nodes = tree_nodes(d->tree, &count),
				.frames = tree_frames(d->tree, &count),
				.by_count = rows->order == ORDER_COUNT };
}

static const char *text(const struct unfold *u, uint32_t string)
{
	return tree_string(u->d->tree, string);
}

static uint64_t step(const struct unfold *u, uint64_t path, uint32_t node)
{
	const struct tree_frame *f = &u->frames[u->nodes[node].frame];
	const char *function = text(u, f->function), *file = text(u, f->file);
	uint64_t h = XXH3_64bits_withSeed(function, strlen(function), path);
	return XXH3_64bits_withSeed(file, strlen(file), h ^ mt_hash64(f->line));
}

static uint64_t value(const struct unfold *u, uint32_t node)
{
	enum view_kind view = u->d->request.view;
	return u->by_count ? u->d->totals[node].count[view] : u->d->totals[node].bytes[view];
}

/* The smaller first, as they go onto a stack. */
static int smaller_place(const void *pa, const void *pb, void *arg)
{
	const struct place *a = pa, *b = pb;
	uint64_t x = value(arg, a->node), y = value(arg, b->node);
	if (x != y)
		return x < y ? -1 : 1;
	return a->node < b->node ? 1 : -1;
}

static enum row_branch branch_below(enum row_branch b)
{
	return b == BRANCH_FORK ? BRANCH_BELOW : b == BRANCH_LAST ? BRANCH_BELOW_LAST : b;
}

/* Children of a node onto the stack, the largest on top. */
static bool push_children(struct unfold *u, const struct place *of)
{
	size_t first = u->stack.len;
	for (uint32_t c = u->nodes[of->node].first_child; c; c = u->nodes[c].next)
		if (!mt_array_push(&u->stack, (struct place){ c, 0, BRANCH_NONE, step(u, of->path, c) }))
			return false;
	size_t count = u->stack.len - first;
	if (count > 1)
		qsort_r(u->stack.items + first, count, sizeof(*u->stack.items), smaller_place, u);
	for (size_t i = first; i < u->stack.len; i++) {
		u->stack.items[i].depth = of->depth + (count > 1);
		u->stack.items[i].branch = count == 1 ? branch_below(of->branch) :
					   i == first ? BRANCH_LAST : BRANCH_FORK;
	}
	return true;
}

static struct row make_row(const struct unfold *u, const struct place *p)
{
	enum view_kind view = u->d->request.view;
	const struct tree_frame *f = &u->frames[u->nodes[p->node].frame];
	const struct tree_value *self = tree_self(u->d->tree, p->node);
	return (struct row){
		.id = p->path, .node = p->node, .depth = p->depth, .branch = (uint8_t)p->branch,
		.function = p->node ? text(u, f->function) : "<all>", .file = text(u, f->file),
		.module = text(u, f->module), .line = f->line, .kind = f->kind, .flags = f->flags,
		.leaf = !u->nodes[p->node].first_child,
		.total_bytes = u->d->totals[p->node].bytes[view],
		.total_count = u->d->totals[p->node].count[view],
		.own_bytes = self->bytes[view], .own_count = self->count[view],
	};
}

static bool is_open(const struct rows *rows, uint64_t path)
{
	const uint64_t *open = mt_map_get(&rows->open, path);
	return open && *open;
}

static struct mt_error *unfold(struct rows *rows, const struct data *d, bool all)
{
	struct unfold u = begin(rows, d);
	bool good = mt_array_push(&u.stack, (struct place){ 0, 0, BRANCH_NONE, ROOT_PATH });
	while (good && u.stack.len) {
		struct place p = u.stack.items[--u.stack.len];
		struct row row = make_row(&u, &p);
		row.open = !row.leaf && is_open(rows, p.path);
		good = mt_array_push(&rows->list, row) &&
		       (!(all || row.open) || push_children(&u, &p));
	}
	mt_array_deinit(&u.stack);
	return good ? NULL : &mt_enomem;
}

struct mt_error *unfold_visible(struct rows *rows, const struct data *d)
{
	return unfold(rows, d, false);
}

struct mt_error *unfold_all(struct rows *rows, const struct data *d)
{
	return unfold(rows, d, true);
}

/* ---- opening ---- */

struct mt_error *unfold_biggest(struct rows *rows, const struct data *d)
{
	struct unfold u = begin(rows, d);
	struct place p = { 0, 0, BRANCH_NONE, ROOT_PATH };
	bool good = true;
	while (good && u.nodes[p.node].first_child) {
		good = mt_map_put(&rows->open, p.path, true);
		u.stack.len = 0;
		good = good && push_children(&u, &p);
		if (good)
			p = u.stack.items[u.stack.len - 1];
	}
	mt_array_deinit(&u.stack);
	return good ? NULL : &mt_enomem;
}

struct mt_error *unfold_chain(struct rows *rows, const struct data *d, const struct row *from)
{
	struct unfold u = begin(rows, d);
	uint64_t path = from->id;
	uint32_t node = from->node;
	for (;;) {
		if (!mt_map_put(&rows->open, path, true))
			return &mt_enomem;
		uint32_t child = u.nodes[node].first_child;
		if (!child || u.nodes[child].next)
			return NULL;
		path = step(&u, path, child);
		node = child;
	}
}

struct mt_error *unfold_to(struct rows *rows, const struct data *d, uint32_t node)
{
	struct unfold u = begin(rows, d);
	MT_ARRAY(uint32_t) chain = { 0 };
	bool good = true;
	uint64_t path = ROOT_PATH;
	for (uint32_t n = node; n && good; n = u.nodes[n].parent)
		good = mt_array_push(&chain, n);
	for (size_t i = chain.len; i-- > 0 && good;) {
		good = mt_map_put(&rows->open, path, true);
		path = step(&u, path, chain.items[i]);
	}
	mt_array_deinit(&chain);
	return good ? NULL : &mt_enomem;
}
