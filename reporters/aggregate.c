/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/aggregate.c - the rows of a view by place, by package or by function.
 * Knows: stacks and rows. Does not know: how a report looks.
 * Called by reporters/; calls symbolize/ and base/. */
#include "reporters/aggregate.h"
#include "base/array.h"
#include "reporters/site.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct builder {
	const struct report *r;
	enum aggregate_by by;
	struct labels *labels;
	MT_ARRAY(struct aggregate_row) rows;	/* by label number */
	MT_ARRAY(uint64_t) seen;		/* by label number: 1 + last view row it was in */
};

void aggregate_deinit(struct aggregate *a)
{
	free(a->rows);
	labels_destroy(a->labels);
	*a = (struct aggregate){ 0 };
}

/* The row of a label, which may be new. */
static struct aggregate_row *row_of(struct builder *b, uint32_t label)
{
	while (b->rows.len <= label)
		if (!mt_array_push(&b->rows, (struct aggregate_row){ 0 }) ||
		    !mt_array_push(&b->seen, 0))
			return NULL;
	return &b->rows.items[label];
}

/* The label of a frame (NULL: unknown), whose row remembers one frame it stands for. */
static struct mt_error *label_of(struct builder *b, const struct symbol_frame *frame, uint32_t thread,
				 uint32_t *ret)
{
	static const struct symbol_frame unknown = { LABEL_UNKNOWN, "", "", 0, FRAME_MARK, 0 };
	struct mt_error *err = labels_of_frame(b->labels, frame, thread, ret);
	struct aggregate_row *row = err ? NULL : row_of(b, *ret);
	if (!err && !row)
		err = &mt_enomem;
	if (row && !row->frame.function)
		row->frame = frame ? *frame : unknown;
	return err;
}

static struct mt_error *add_own(struct builder *b, uint32_t label, const struct view_row *row)
{
	struct aggregate_row *to = row_of(b, label);
	if (!to)
		return &mt_enomem;
	to->own_bytes += row->bytes[b->r->view];
	to->own_count += row->count[b->r->view];
	return NULL;
}

static struct mt_error *add_total(struct builder *b, uint32_t label, uint64_t stamp,
				  const struct view_row *row)
{
	struct aggregate_row *to = row_of(b, label);
	if (!to)
		return &mt_enomem;
	if (b->seen.items[label] == stamp)
		return NULL;
	b->seen.items[label] = stamp;
	to->total_bytes += row->bytes[b->r->view];
	to->total_count += row->count[b->r->view];
	return NULL;
}

static uint32_t thread_of(const struct builder *b, const struct view_row *row)
{
	return b->r->split_threads ? row->thread : LABEL_NO_THREAD;
}

/* What would fill a table of functions with one same number: the runtime at the root, the
 * interpreter's machinery, and what CPython does inside for the Python line that is the site. */
static bool is_noise(const struct symbol_frame *f, const struct symbol_frame *site)
{
	if (f == site || f->kind == FRAME_PYTHON)
		return false;
	return f->kind == FRAME_MARK || f->flags & FRAME_INTERPRETER || site_is_runtime_frame(f) ||
	       (site && site->kind == FRAME_PYTHON && site_is_interpreter_module(f->module));
}

static struct mt_error *add_functions(struct builder *b, const struct symbol_frame *frames,
				      size_t count, uint64_t stamp, const struct view_row *row)
{
	uint32_t thread = thread_of(b, row), label;
	const struct symbol_frame *site = site_find(frames, count);
	struct mt_error *err = NULL;
	for (size_t i = 0; !err && i < count; i++) {
		if (is_noise(&frames[i], site))
			continue;
		err = label_of(b, &frames[i], thread, &label);
		if (!err)
			err = add_total(b, label, stamp, row);
	}
	if (!err)
		err = label_of(b, site, thread, &label);
	if (!err)
		err = add_own(b, label, row);
	if (!err && !site)
		err = add_total(b, label, stamp, row);
	return err;
}

static struct mt_error *add_row(struct builder *b, uint64_t stamp, const struct view_row *row)
{
	const struct symbol_frame *frames = NULL;
	size_t count = 0;
	uint32_t label;
	char package[PATH_MAX];
	struct mt_error *err = symbolizer_stack(b->r->sym, row->stack, &frames, &count);
	if (err)
		return err;
	switch (b->by) {
	case AGGREGATE_FUNCTIONS:
		return add_functions(b, frames, count, stamp, row);
	case AGGREGATE_PACKAGES:
		err = labels_of_text(b->labels,
				     site_package(frames, count, package, sizeof(package)), &label);
		break;
	default:
		err = label_of(b, site_find(frames, count), thread_of(b, row), &label);
	}
	return err ? err : add_own(b, label, row);
}

/* Names the rows and leaves out labels that never got a number of their own. */
static void finish_rows(struct builder *b)
{
	size_t kept = 0;
	for (size_t i = 0; i < b->rows.len; i++) {
		struct aggregate_row row = b->rows.items[i];
		if (!row.own_count && !row.own_bytes && !row.total_count && !row.total_bytes)
			continue;
		row.name = labels_text(b->labels, (uint32_t)i);
		b->rows.items[kept++] = row;
	}
	b->rows.len = kept;
}

struct mt_error *aggregate_compute(const struct report *r, enum aggregate_by by,
				   struct aggregate *ret)
{
	struct builder b = { .r = r, .by = by };
	struct mt_error *err = labels_create(
		r->cap, by == AGGREGATE_FUNCTIONS ? LABEL_FUNCTION : LABEL_SITE, &b.labels);
	for (size_t i = 0; !err && i < r->views->row_count; i++) {
		const struct view_row *row = &r->views->rows[i];
		if (row->bytes[r->view] || row->count[r->view])
			err = add_row(&b, i + 1, row);
	}
	mt_array_deinit(&b.seen);
	if (err) {
		mt_array_deinit(&b.rows);
		labels_destroy(b.labels);
		return err;
	}
	finish_rows(&b);
	*ret = (struct aggregate){ b.rows.items, b.rows.len, b.labels };
	return NULL;
}

/* ---- order --------------------------------------------------------------------------------- */

static int compare_u64(uint64_t a, uint64_t b)	/* the larger first */
{
	return a > b ? -1 : a < b;
}

static int compare_rows(const struct aggregate_row *a, const struct aggregate_row *b,
			const uint64_t keys[3][2])
{
	for (int i = 0; i < 3; i++) {
		int c = compare_u64(keys[i][0], keys[i][1]);
		if (c)
			return c;
	}
	return strcmp(a->name, b->name);
}

static int by_total(const void *pa, const void *pb)
{
	const struct aggregate_row *a = pa, *b = pb;
	const uint64_t keys[3][2] = { { a->total_bytes, b->total_bytes },
				      { a->own_bytes, b->own_bytes },
				      { a->total_count, b->total_count } };
	return compare_rows(a, b, keys);
}

static int by_own(const void *pa, const void *pb)
{
	const struct aggregate_row *a = pa, *b = pb;
	const uint64_t keys[3][2] = { { a->own_bytes, b->own_bytes },
				      { a->total_bytes, b->total_bytes },
				      { a->own_count, b->own_count } };
	return compare_rows(a, b, keys);
}

static int by_total_count(const void *pa, const void *pb)
{
	const struct aggregate_row *a = pa, *b = pb;
	const uint64_t keys[3][2] = { { a->total_count, b->total_count },
				      { a->own_count, b->own_count },
				      { a->total_bytes, b->total_bytes } };
	return compare_rows(a, b, keys);
}

static int by_own_count(const void *pa, const void *pb)
{
	const struct aggregate_row *a = pa, *b = pb;
	const uint64_t keys[3][2] = { { a->own_count, b->own_count },
				      { a->own_bytes, b->own_bytes },
				      { a->total_count, b->total_count } };
	return compare_rows(a, b, keys);
}

void aggregate_sort(struct aggregate *a, enum aggregate_order order)
{
	static int (*const by[])(const void *, const void *) = {
		[AGGREGATE_TOTAL_BYTES] = by_total,
		[AGGREGATE_OWN_BYTES] = by_own,
		[AGGREGATE_TOTAL_COUNT] = by_total_count,
		[AGGREGATE_OWN_COUNT] = by_own_count,
	};
	if (a->count)
		qsort(a->rows, a->count, sizeof(*a->rows), by[order]);
}
