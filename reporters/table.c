/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/table.c - rows by site, allocation function and thread, as one HTML page.
 * Knows: the payload's layout, the template's marks. Does not know: how the page draws.
 * Called by cmds/table.c; calls reporters/html, reporters/labels and base/. */
#include "reporters/table.h"
#include "base/array.h"
#include "base/hash.h"
#include "base/text.h"
#include "reporters/assets.h"
#include "reporters/facts.h"
#include "reporters/html.h"
#include "reporters/labels.h"
#include "reporters/site.h"

#include <inttypes.h>
#include <string.h>

#define PLAIN_ROWS 200u
#define TEXT_MAX 400u		/* of a name in the plain rows */

struct table_row {
	uint64_t bytes, count;
	uint32_t allocator, thread, place;	/* labels */
};

struct table {
	const struct report *r;
	struct labels *labels;
	struct mt_map known;		/* hash of the three labels -> 1 + row; verified */
	MT_ARRAY(struct table_row) rows;
	struct facts facts;
};

static void table_deinit(struct table *t)
{
	labels_destroy(t->labels);
	mt_map_deinit(&t->known);
	mt_array_deinit(&t->rows);
	facts_deinit(&t->facts);
}

/* ---- rows ---------------------------------------------------------------------------------- */

static bool same_row(const struct table_row *a, const struct table_row *b)
{
	return a->allocator == b->allocator && a->thread == b->thread && a->place == b->place;
}

static struct mt_error *add(struct table *t, const struct table_row *row)
{
	uint64_t key = mt_hash_pair((uint64_t)row->place << 32 | row->thread, row->allocator);
	for (;; key++) {	/* a hash that two rows share: the next one */
		const uint64_t *known = mt_map_get(&t->known, key);
		if (!known)
			break;
		struct table_row *there = &t->rows.items[*known];
		if (!same_row(there, row))
			continue;
		there->bytes += row->bytes;
		there->count += row->count;
		return NULL;
	}
	if (!mt_map_put(&t->known, key, t->rows.len) || !mt_array_push(&t->rows, *row))
		return &mt_enomem;
	return NULL;
}

static struct mt_error *add_view_row(struct table *t, const struct view_row *v)
{
	const struct symbol_frame *frames = NULL;
	size_t count = 0;
	struct table_row row = { .bytes = v->bytes[t->r->view], .count = v->count[t->r->view] };
	if (!row.bytes && !row.count)
		return NULL;
	struct mt_error *err = symbolizer_stack(t->r->sym, v->stack, &frames, &count);
	if (!err)
		err = labels_of_frame(t->labels, site_find(frames, count), LABEL_NO_THREAD,
				      &row.place);
	if (!err)
		err = labels_of_text(t->labels, wire_record_name(v->kind), &row.allocator);
	if (!err && t->r->split_threads)
		err = labels_of_thread(t->labels, v->thread, &row.thread);
	return err ? err : add(t, &row);
}

static int by_bytes(const void *pa, const void *pb)
{
	const struct table_row *a = pa, *b = pb;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->place < b->place ? -1 : a->place > b->place;
}

static struct mt_error *collect(struct table *t)
{
	uint32_t nothing;
	struct mt_error *err = labels_create(t->r->cap, LABEL_SITE, &t->labels);
	if (!err)
		err = labels_of_text(t->labels, "", &nothing);
	for (size_t i = 0; !err && i < t->r->views->row_count; i++)
		err = add_view_row(t, &t->r->views->rows[i]);
	if (!err && t->rows.len)
		qsort(t->rows.items, t->rows.len, sizeof(*t->rows.items), by_bytes);
	return err ? err : facts_init(t->r->cap, t->r->views->last_ticks, &t->facts);
}

/* ---- page ---------------------------------------------------------------------------------- */

static struct mt_error *put_data(struct mt_buf *out, const void *arg)
{
	const struct table *t = arg;
	auto_buf struct mt_buf raw = MT_BUF_INIT, packed = MT_BUF_INIT;
	size_t n = t->rows.len, strings = labels_count(t->labels);
	mt_buf_put(&raw, "MTTB\1", 5);
	html_put_leb(&raw, t->r->split_threads);
	html_put_leb(&raw, strings);
	for (size_t i = 0; i < strings; i++) {
		auto_free char *clean = mt_text_clean(labels_text(t->labels, (uint32_t)i));
		if (!clean)
			return &mt_enomem;
		html_put_leb(&raw, strlen(clean));
		mt_buf_put_str(&raw, clean);
	}
	html_put_leb(&raw, n);
	for (size_t i = 0; i < n; i++)
		html_put_leb(&raw, t->rows.items[i].bytes);
	for (size_t i = 0; i < n; i++)
		html_put_leb(&raw, t->rows.items[i].count);
	for (size_t i = 0; i < n; i++)
		html_put_leb(&raw, t->rows.items[i].allocator);
	for (size_t i = 0; i < n; i++)
		html_put_leb(&raw, t->rows.items[i].thread);
	for (size_t i = 0; i < n; i++)
		html_put_leb(&raw, t->rows.items[i].place);
	struct mt_error *err = mt_buf_error(&raw);
	if (!err)
		err = html_gzip(raw.data, raw.len, &packed);
	if (!err)
		html_base64(out, packed.data, packed.len);
	return err;
}

static struct mt_error *put_rows(struct mt_buf *out, const void *arg)
{
	const struct table *t = arg;
	char size[MT_TEXT_MAX], count[MT_TEXT_MAX];
	for (size_t i = 0; i < t->rows.len && i < PLAIN_ROWS; i++) {
		const struct table_row *row = &t->rows.items[i];
		mt_buf_printf(out, "<tr><td>%s</td><td>%s</td><td>%s</td><td><bdi>",
			      mt_text_size(size, row->bytes), mt_text_count(count, row->count),
			      labels_text(t->labels, row->allocator));
		html_escape_max(out, labels_text(t->labels, row->thread), TEXT_MAX);
		mt_buf_put_str(out, "</bdi></td><td><bdi>");
		html_escape_max(out, labels_text(t->labels, row->place), TEXT_MAX);
		mt_buf_put_str(out, "</bdi></td></tr>\n");
	}
	if (!t->rows.len)
		mt_buf_put_str(out, "<tr><td colspan=\"5\">No allocations.</td></tr>\n");
	return NULL;
}

static struct mt_error *put_title(struct mt_buf *out, const void *arg)
{
	const struct table *t = arg;
	mt_buf_put_str(out, "memtrace table: ");
	html_escape_max(out, *t->facts.command ? t->facts.command : "unknown program", 120);
	return NULL;
}

static struct mt_error *put_command(struct mt_buf *out, const void *arg)
{
	const struct table *t = arg;
	html_escape_max(out, *t->facts.command ? t->facts.command : "unknown program", 1000);
	return NULL;
}

static struct mt_error *put_totals(struct mt_buf *out, const void *arg)
{
	const struct table *t = arg;
	const struct views *v = t->r->views;
	char size[MT_TEXT_MAX], count[MT_TEXT_MAX], time[MT_TEXT_MAX];
	mt_buf_printf(out, "pid %" PRIu64 ", recorded for %s. View %s: %s in %s allocations.",
		      t->facts.pid, mt_text_duration(time, t->facts.duration_ns),
		      view_name(t->r->view), mt_text_size(size, v->total_bytes[t->r->view]),
		      mt_text_count(count, v->total_count[t->r->view]));
	if (t->facts.dropped)
		mt_buf_printf(out, " %s events were dropped: the numbers are too low.",
			      mt_text_count(count, t->facts.dropped));
	return NULL;
}

static struct mt_error *put_plain(struct mt_buf *out, const void *arg)
{
	(void)arg;
	mt_buf_printf(out, "%u", PLAIN_ROWS);
	return NULL;
}

struct mt_error *table_write(const struct report *r, FILE *out)
{
	static const struct html_page parts = {
		asset_table_html, asset_table_html_end, asset_table_css, asset_table_css_end,
		asset_table_js, asset_table_js_end,
	};
	static const struct html_mark marks[] = {
		{ "TITLE", put_title },
		{ "COMMAND", put_command }, { "TOTALS", put_totals }, { "ROWS", put_rows },
		{ "PLAIN", put_plain },	    { "DATA", put_data },   { NULL, NULL },
	};
	mt_auto(table_deinit) struct table t = { .r = r };
	auto_buf struct mt_buf page = MT_BUF_INIT;
	struct mt_error *err = collect(&t);
	if (!err)
		err = html_fill(&page, &parts, marks, &t);
	if (!err)
		err = mt_buf_error(&page);
	if (!err)
		fwrite(page.data, 1, page.len, out);
	return err;
}
