/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/folded.c - stacks one a line.
 * Knows: the prefix tree of label numbers. Does not know: files, options of commands.
 * Called by cmds/transform.c; calls symbolize/ and base/. */
#include "reporters/folded.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/hash.h"
#include "reporters/labels.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Deep stacks share most of their frames, so the lines are kept as a tree of labels: whole lines
 * of 10,000 frames each would not fit in memory. */
struct node {
	uint32_t parent, label;
	uint64_t value;		/* of stacks that end here */
	uint32_t first, count;	/* children in `order`, once sorted */
};

struct folded {
	const struct report *r;
	const struct folded_options *options;
	struct labels *labels;
	struct mt_map children;			/* parent << 32 | label -> node */
	MT_ARRAY(struct node) nodes;		/* 0 is the root */
	uint32_t *order;			/* nodes by parent, then by text */
};

static void folded_deinit(struct folded *f)
{
	labels_destroy(f->labels);
	mt_map_deinit(&f->children);
	mt_array_deinit(&f->nodes);
	free(f->order);
}

static struct mt_error *child_of(struct folded *f, uint32_t label, uint32_t *node)
{
	uint64_t key = (uint64_t)*node << 32 | label;
	uint64_t *there = mt_map_get(&f->children, key);
	if (there) {
		*node = (uint32_t)*there;
		return NULL;
	}
	if (f->nodes.len >= UINT32_MAX)
		return mt_error_create(MT_ERROR_OTHER, "too many different stacks");
	uint32_t made = (uint32_t)f->nodes.len;
	if (!mt_array_push(&f->nodes, (struct node){ .parent = *node, .label = label }) ||
	    !mt_map_put(&f->children, key, made))
		return &mt_enomem;
	*node = made;
	return NULL;
}

static struct mt_error *add_frame(struct folded *f, const struct symbol_frame *frame,
				  uint32_t *node)
{
	uint32_t label;
	struct mt_error *err = labels_of_frame(f->labels, frame, LABEL_NO_THREAD, &label);
	return err ? err : child_of(f, label, node);
}

static struct mt_error *add_row(struct folded *f, const struct view_row *row)
{
	const struct symbol_frame *frames = NULL;
	size_t count = 0;
	uint32_t node = 0, label;
	struct mt_error *err = symbolizer_stack(f->r->sym, row->stack, &frames, &count);
	if (!err && f->r->split_threads) {
		err = labels_of_thread(f->labels, row->thread, &label);
		if (!err)
			err = child_of(f, label, &node);
	}
	bool any = false;
	for (size_t i = 0; !err && i < count; i++) {
		if (frames[i].flags & FRAME_INTERPRETER && !f->options->interpreter)
			continue;
		err = add_frame(f, &frames[i], &node);
		any = true;
	}
	if (!err && !any)
		err = add_frame(f, NULL, &node);
	if (!err)
		f->nodes.items[node].value += report_value(f->r, row);
	return err;
}

/* ---- order --------------------------------------------------------------------------------- */

static int compare_nodes(const void *pa, const void *pb, void *arg)
{
	const struct folded *f = arg;
	const struct node *a = &f->nodes.items[*(const uint32_t *)pa];
	const struct node *b = &f->nodes.items[*(const uint32_t *)pb];
	if (a->parent != b->parent)
		return a->parent < b->parent ? -1 : 1;
	return strcmp(labels_text(f->labels, a->label), labels_text(f->labels, b->label));
}

static struct mt_error *sort_nodes(struct folded *f)
{
	size_t n = f->nodes.len - 1;
	f->order = malloc((n + 1) * sizeof(*f->order));
	if (!f->order)
		return &mt_enomem;
	for (size_t i = 0; i < n; i++)
		f->order[i] = (uint32_t)i + 1;
	qsort_r(f->order, n, sizeof(*f->order), compare_nodes, f);
	for (size_t i = 0; i < n; i++) {
		struct node *parent = &f->nodes.items[f->nodes.items[f->order[i]].parent];
		if (!parent->count++)
			parent->first = (uint32_t)i;
	}
	return NULL;
}

/* ---- writing ------------------------------------------------------------------------------- */

struct step {
	uint32_t node, next;	/* next child to visit */
	size_t length;		/* of the line without this node */
};

struct walk {			/* the path from the root to a node, and as text */
	struct mt_buf line;
	MT_ARRAY(struct step) path;
};

static bool walk_enter(struct walk *w, const struct folded *f, uint32_t node)
{
	size_t length = w->line.len;
	if (node) {
		if (length)
			mt_buf_put_char(&w->line, ';');
		mt_buf_put_str(&w->line, labels_text(f->labels, f->nodes.items[node].label));
	}
	return mt_array_push(&w->path, (struct step){ node, 0, length }) && !w->line.failed;
}

static struct mt_error *write_lines(const struct folded *f, struct walk *w, FILE *out,
				    size_t *lines)
{
	if (!walk_enter(w, f, 0))
		return &mt_enomem;
	while (w->path.len && !ferror(out)) {
		struct step *top = &w->path.items[w->path.len - 1];
		const struct node *node = &f->nodes.items[top->node];
		if (!top->next && node->value) {
			fwrite(w->line.data, 1, w->line.len, out);
			fprintf(out, " %" PRIu64 "\n", node->value);
			++*lines;
		}
		if (top->next < node->count) {
			if (!walk_enter(w, f, f->order[node->first + top->next++]))
				return &mt_enomem;
		} else {
			w->line.len = top->length;
			w->path.len--;
		}
	}
	return NULL;
}

struct mt_error *folded_write(const struct report *r, const struct folded_options *options,
			      FILE *out, size_t *lines_ret)
{
	mt_auto(folded_deinit) struct folded f = { .r = r, .options = options };
	size_t lines = 0;
	struct mt_error *err = labels_create(r->cap, LABEL_FOLDED, &f.labels);
	if (!err && !mt_array_push(&f.nodes, (struct node){ 0 }))
		err = &mt_enomem;
	for (size_t i = 0; !err && i < r->views->row_count; i++)
		if (report_value(r, &r->views->rows[i]))
			err = add_row(&f, &r->views->rows[i]);
	if (!err)
		err = sort_nodes(&f);
	if (err)
		return err;
	struct walk w = { .line = MT_BUF_INIT };
	err = write_lines(&f, &w, out, &lines);
	mt_buf_deinit(&w.line);
	mt_array_deinit(&w.path);
	if (!err && lines_ret)
		*lines_ret = lines;
	return err;
}
