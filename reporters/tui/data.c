/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/data.c - what one page of the terminal shows, made from a report once.
 * Knows: views and their rows. Does not know: keys, the terminal.
 * Called by reporters/tui/ and cmds/; calls reporters/ and analysis/. */
#include "reporters/tui/data.h"

#include "base/text.h"
#include "reporters/facts.h"

#include <inttypes.h>
#include <stdlib.h>

void data_destroy(struct data *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->threads.len; i++)
		free(d->threads.items[i].name);
	mt_array_deinit(&d->threads);
	free(d->command);
	aggregate_deinit(&d->functions);
	tree_destroy(d->tree);
	free(d->totals);
	leaks_deinit(&d->leaks);
	free(d);
}

/* ---- the whole ---- */

static struct mt_error *put_facts(struct data *d, const struct report *r)
{
	auto_facts struct facts f = { 0 };
	struct mt_error *err = facts_init(r->cap, r->views->last_ticks, &f);
	if (err)
		return err;
	d->pid = f.pid;
	d->sample_rate = f.sample_rate;
	d->start_ns = f.start_ns;
	d->duration_ns = f.duration_ns;
	for (unsigned i = 0; i < VIEW_COUNT; i++) {
		d->bytes[i] = r->views->total_bytes[i];
		d->count[i] = r->views->total_count[i];
	}
	d->command = take_ptr(&f.command);
	return NULL;
}

static void raise_to(uint64_t *most, uint64_t value)
{
	if (value > *most)
		*most = value;
}

static void put_points(struct data *d, const struct report *r)
{
	const struct views *v = r->views;
	size_t samples;
	const struct capture_sample *s = capture_samples(r->cap, &samples);
	d->points = v->point_count < DATA_POINTS ? v->point_count : DATA_POINTS;
	for (size_t i = 0; i < v->point_count; i++) {
		size_t slot = i * d->points / v->point_count;
		raise_to(&d->heap[slot], v->points[i].heap);
		raise_to(&d->rss[slot], v->points[i].rss);
	}
	for (size_t i = 0; i < samples; i++)
		raise_to(&d->rss_most, s[i].rss);
	d->rss_now = samples ? s[samples - 1].rss : 0;
	d->heap_now = v->total_bytes[VIEW_LEAKS];
}

static struct mt_error *put_threads(struct data *d, const struct report *r)
{
	auto_free uint8_t *seen = NULL;
	uint32_t most = 0;
	for (size_t i = 0; i < r->views->row_count; i++)
		if (r->views->rows[i].thread > most)
			most = r->views->rows[i].thread;
	seen = calloc((size_t)most + 1, 1);
	if (!seen)
		return &mt_enomem;
	for (size_t i = 0; i < r->views->row_count; i++) {
		const struct view_row *row = &r->views->rows[i];
		seen[row->thread] |= row->count[d->request.view] || row->bytes[d->request.view];
	}
	for (uint32_t i = 0; i <= most; i++) {
		struct data_thread t = { .index = i };
		if (!seen[i])
			continue;
		t.name = mt_text_clean(capture_thread_name(r->cap, i, &t.tid));
		if (!t.name)
			return &mt_enomem;
		if (!mt_array_push(&d->threads, t)) {
			free(t.name);
			return &mt_enomem;
		}
	}
	return NULL;
}

/* ---- rows of the request ---- */

/* Those with something in the view, of the thread that is asked for. */
static struct mt_error *choose_rows(struct data *d, const struct report *r, struct views *ret)
{
	enum view_kind view = d->request.view;
	*ret = *r->views;
	ret->growth = NULL;
	ret->row_count = 0;
	ret->rows = malloc((r->views->row_count + 1) * sizeof(*ret->rows));
	if (!ret->rows)
		return &mt_enomem;
	for (size_t i = 0; i < r->views->row_count; i++) {
		const struct view_row *row = &r->views->rows[i];
		if ((!row->bytes[view] && !row->count[view]) ||
		    (d->request.thread != DATA_ALL_THREADS && row->thread != d->request.thread))
			continue;
		ret->rows[ret->row_count++] = *row;
		d->whole_bytes += row->bytes[view];
		d->whole_count += row->count[view];
	}
	return NULL;
}

/* ---- the tree ---- */

static int larger_row(const void *pa, const void *pb, void *arg)
{
	const struct data_request *q = arg;
	const struct view_row *a = pa, *b = pb;
	uint64_t x = q->metric == METRIC_COUNT ? a->count[q->view] : a->bytes[q->view];
	uint64_t y = q->metric == METRIC_COUNT ? b->count[q->view] : b->bytes[q->view];
	if (x != y)
		return x < y ? 1 : -1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

/* Adds what the smaller stacks hold as one node, so that the tree still adds up. */
static struct mt_error *put_rest(struct data *d, const struct view_row *rows, size_t count)
{
	struct tree_value sum = { { 0 }, { 0 } };
	for (size_t i = 0; i < count; i++)
		for (unsigned k = 0; k < VIEW_COUNT; k++) {
			sum.bytes[k] += rows[i].bytes[k];
			sum.count[k] += rows[i].count[k];
		}
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], text[160];
	snprintf(text, sizeof(text), "<%s allocations of %s smaller stacks>",
		 mt_text_count(a, sum.count[d->request.view]), mt_text_count(b, count));
	struct symbol_frame mark = { .function = text, .file = "", .module = "",
				     .kind = FRAME_MARK };
	uint32_t node;
	struct mt_error *err = tree_add_stack(d->tree, &mark, 1, &node);
	if (!err)
		tree_add_value(d->tree, node, sum.bytes, sum.count);
	return err;
}

static struct mt_error *make_tree(struct data *d, const struct report *r, struct views *chosen)
{
	struct data_request *q = &d->request;
	struct tree_options options = { .split_threads = q->thread_roots, .inverted = q->inverted,
					.hide = q->hide };
	size_t all = chosen->row_count;
	if (q->biggest && all > q->biggest) {
		qsort_r(chosen->rows, all, sizeof(*chosen->rows), larger_row, q);
		chosen->row_count = q->biggest;
	}
	struct mt_error *err = tree_build(r->cap, chosen, r->sym, &options, &d->tree);
	if (!err && chosen->row_count < all)
		err = put_rest(d, chosen->rows + chosen->row_count, all - chosen->row_count);
	return err ? err : tree_totals(d->tree, &d->totals);
}

/* ---- */

static struct mt_error *make_page(struct data *d, const struct report *r)
{
	struct views chosen = { 0 };
	struct report narrowed = *r;
	struct mt_error *err = choose_rows(d, r, &chosen);
	narrowed.views = &chosen;
	narrowed.view = d->request.view;
	narrowed.split_threads = false;
	if (!err && d->request.page == PAGE_TABLE)
		err = aggregate_compute(&narrowed, AGGREGATE_FUNCTIONS, &d->functions);
	else if (!err && d->request.page == PAGE_TREE)
		err = make_tree(d, r, &chosen);
	else if (!err && r->views->growth)
		err = leaks_compute(r, &d->leaks);
	d->leaks.r = NULL;	/* it ends before the data does */
	free(chosen.rows);
	return err;
}

struct mt_error *data_make(const struct report *r, const struct data_request *request,
			   struct data **ret)
{
	auto_data struct data *d = calloc(1, sizeof(*d));
	if (!d)
		return &mt_enomem;
	d->request = *request;
	symbolizer_set_no_native(r->sym, request->no_native);
	struct mt_error *err = put_facts(d, r);
	if (!err)
		err = put_threads(d, r);
	if (!err)
		err = make_page(d, r);
	if (err)
		return err;
	put_points(d, r);
	*ret = take_ptr(&d);
	return NULL;
}
