/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tree.h - the prefix tree of a capture's stacks, with self values of every view.
 *
 *	tree_build(cap, views, symbolizer, &options, &tree)
 *	... tree->nodes, tree->frames, tree_string(), tree_sites() ...
 *	tree_destroy(tree)
 *
 * Node 0 is the root (the whole program), frame 0 and string 0 are empty. A node's index is
 * greater than its parent's, so totals are one pass from the end and depths one from the start:
 * no recursion, whatever the depth of a stack. Strings are copied. */
#ifndef MT_REPORTERS_TREE_H
#define MT_REPORTERS_TREE_H

#include "analysis/views.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "symbolize/symbolize.h"

#include <stdio.h>

enum { TREE_FRAME_THREAD = 1 << 7 };	/* flag beside enum frame_flags: stands for a thread */

struct tree_frame {
	uint32_t function, file, module;	/* string ids */
	uint32_t line;
	uint8_t kind, flags;			/* enum frame_kind, enum frame_flags */
};

struct tree_value {
	uint64_t bytes[VIEW_COUNT], count[VIEW_COUNT];
};

struct tree_node {
	uint32_t parent, frame;
	uint32_t first_child, last_child, next;	/* 0: none; children in order of appearance */
};

struct tree;

struct tree_options {
	bool split_threads;		/* a frame for the thread at the root of each stack */
	uint32_t *row_nodes;		/* filled in: the node of each row of the views; or NULL */
	void (*progress)(double, void *);
	void *progress_arg;
	bool inverted;			/* callers below what they called */
	uint8_t hide;			/* enum frame_flags: frames with one of them are left out */
};

struct tree_site {			/* the frame a person can act on: reporters/site.h */
	uint32_t frame;
	struct tree_value value;
};

struct mt_error *tree_create(struct tree **ret) MT_MUST_CHECK;
void tree_destroy(struct tree *t);	/* NULL accepted */
MT_DEFINE_CLEANUP(tree, struct tree *, tree_destroy)
#define auto_tree mt_auto(mt_cleanup_tree)

struct mt_error *tree_build(struct capture *cap, const struct views *views,
			    struct symbolizer *s, const struct tree_options *options,
			    struct tree **ret) MT_MUST_CHECK;

/* What a frame that stands for a thread says: "name [id]". The caller frees; NULL: out of memory. */
char *tree_thread_text(const struct capture *cap, uint32_t index);
/* Adds a stack, root to leaf; *node_ret is the leaf's node (0 for an empty stack). Texts are told apart by where they
 * are: until the last stack is added they must not move or change, as a symbolizer's do not. */
struct mt_error *tree_add_stack(struct tree *t, const struct symbol_frame *frames, size_t count,
				uint32_t *node_ret) MT_MUST_CHECK;
/* Adds to the self values of a node. */
void tree_add_value(struct tree *t, uint32_t node, const uint64_t bytes[VIEW_COUNT],
		    const uint64_t count[VIEW_COUNT]);

const struct tree_node *tree_nodes(const struct tree *t, uint32_t *count_ret);
const struct tree_frame *tree_frames(const struct tree *t, uint32_t *count_ret);
const struct tree_value *tree_self(const struct tree *t, uint32_t node);
const char *tree_string(const struct tree *t, uint32_t id);
uint32_t tree_string_count(const struct tree *t);

/* Self values summed up over each node's subtree, one entry a node. The caller frees. */
struct mt_error *tree_totals(const struct tree *t, struct tree_value **ret) MT_MUST_CHECK;
/* Of the whole tree. */
struct tree_value tree_total(const struct tree *t);
/* Sites with something in `view`, by bytes of it, largest first. The caller frees. */
struct mt_error *tree_sites(const struct tree *t, enum view_kind view, struct tree_site **ret,
			    size_t *count_ret) MT_MUST_CHECK;

#endif
