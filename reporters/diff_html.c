/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/diff_html.c - two captures as one flame graph page, coloured by what changed.
 * Knows: which frames of two builds are the same. Does not know: how the page draws.
 * Called by cmds/diff.c; calls reporters/flamegraph, reporters/tree and base/. */
#include "reporters/diff.h"
#include "base/text.h"
#include "reporters/facts.h"
#include "reporters/flamegraph.h"
#include "reporters/html.h"
#include "symbolize/strings.h"

#include <inttypes.h>
#include <string.h>

/* The page's four views take the places of the tree's. */
enum side { SIDE_NEW, SIDE_BASE, SIDE_GROWN, SIDE_SHRUNK };

#define TABLE_ROWS 100u
#define NAME_MAX_BYTES 400u

struct merger {
	const struct diff *d;
	struct tree *tree;
	struct string_pool names;
	MT_ARRAY(struct symbol_frame) frames;
};

static void merger_deinit(struct merger *m)
{
	tree_destroy(m->tree);
	string_pool_deinit(&m->names);
	mt_array_deinit(&m->frames);
}

/* ---- frames that match --------------------------------------------------------------------- */

/* NULL: out of memory. */
static const char *name_of(struct merger *m, void (*put)(const char *, struct mt_buf *),
			   const char *text)
{
	auto_buf struct mt_buf buf = MT_BUF_INIT;
	put(text, &buf);
	return buf.failed ? NULL : string_pool_put(&m->names, (const char *)buf.data, buf.len);
}

/* As diff_key() has it: neither lines nor folders nor builds count. */
static struct mt_error *add_frame(struct merger *m, const struct symbol_frame *f)
{
	struct symbol_frame same = *f;
	same.line = 0;
	same.function = name_of(m, diff_function, f->function);
	same.file = name_of(m, diff_place, f->file);
	same.module = name_of(m, diff_place, f->module);
	if (!same.function || !same.file || !same.module || !mt_array_push(&m->frames, same))
		return &mt_enomem;
	return NULL;
}

static struct mt_error *add_row(struct merger *m, const struct report *r, enum side side,
				const struct view_row *row)
{
	const struct symbol_frame *frames = NULL;
	uint64_t bytes[VIEW_COUNT] = { 0 }, count[VIEW_COUNT] = { 0 };
	size_t n = 0;
	uint32_t node;
	bytes[side] = row->bytes[r->view];
	count[side] = row->count[r->view];
	if (!bytes[side] && !count[side])
		return NULL;
	struct mt_error *err = symbolizer_stack(r->sym, row->stack, &frames, &n);
	m->frames.len = 0;
	for (size_t i = 0; !err && i < n; i++)
		err = add_frame(m, &frames[i]);
	if (!err)
		err = tree_add_stack(m->tree, m->frames.items, n, &node);
	if (!err)
		tree_add_value(m->tree, node, bytes, count);
	return err;
}

/* What a stack has more of is grown, what it has less of is shrunk: the two add up to the change. */
static void add_changes(struct tree *t)
{
	uint32_t nodes;
	tree_nodes(t, &nodes);
	for (uint32_t i = 0; i < nodes; i++) {
		const struct tree_value *v = tree_self(t, i);
		uint64_t bytes[VIEW_COUNT] = { 0 }, count[VIEW_COUNT] = { 0 };
		bool more = v->bytes[SIDE_NEW] > v->bytes[SIDE_BASE];
		bytes[more ? SIDE_GROWN : SIDE_SHRUNK] =
			more ? v->bytes[SIDE_NEW] - v->bytes[SIDE_BASE] :
			       v->bytes[SIDE_BASE] - v->bytes[SIDE_NEW];
		more = v->count[SIDE_NEW] > v->count[SIDE_BASE];
		count[more ? SIDE_GROWN : SIDE_SHRUNK] =
			more ? v->count[SIDE_NEW] - v->count[SIDE_BASE] :
			       v->count[SIDE_BASE] - v->count[SIDE_NEW];
		tree_add_value(t, i, bytes, count);
	}
}

static struct mt_error *merge(struct merger *m)
{
	struct mt_error *err = tree_create(&m->tree);
	for (unsigned side = 0; side < 2; side++) {
		const struct report *r = m->d->r[side == SIDE_NEW];
		for (size_t i = 0; !err && i < r->views->row_count; i++)
			err = add_row(m, r, side, &r->views->rows[i]);
	}
	if (!err)
		add_changes(m->tree);
	return err;
}

/* ---- the table ----------------------------------------------------------------------------- */

static void put_signed(struct mt_buf *out, const uint64_t v[2], char *(*text)(char *, uint64_t))
{
	char plain[MT_TEXT_MAX];
	text(plain, v[1] > v[0] ? v[1] - v[0] : v[0] - v[1]);
	mt_buf_printf(out, "<td class=\"%s\">%s%s</td>",
		      v[1] > v[0] ? "more" : v[1] < v[0] ? "less" : "same",
		      v[1] > v[0] ? "+" : v[1] < v[0] ? "−" : "", plain);
}

static void put_row(struct mt_buf *out, const struct diff_row *row)
{
	char base[MT_TEXT_MAX], new[MT_TEXT_MAX];
	const char *at = NULL;
	for (const char *p = row->name; (p = strstr(p, " at ")); p++)
		at = p;
	size_t len = at ? (size_t)(at - row->name) : strlen(row->name);
	mt_buf_put_str(out, "<tr><td><bdi>");
	html_escape_len(out, row->name, len < NAME_MAX_BYTES ? len : NAME_MAX_BYTES);
	mt_buf_put_str(out, "</bdi></td><td><bdi>");
	html_escape_max(out, at ? at + 4 : "", NAME_MAX_BYTES);
	mt_buf_printf(out, "</bdi></td><td>%s</td><td>%s</td>", mt_text_size(base, row->bytes[0]),
		      mt_text_size(new, row->bytes[1]));
	put_signed(out, row->bytes, mt_text_size);
	put_signed(out, row->count, mt_text_count);
	mt_buf_put_str(out, "</tr>\n");
}

static void put_table(struct mt_buf *out, const struct diff *d)
{
	mt_buf_put_str(out, "<thead><tr><th scope=\"col\">Function</th><th scope=\"col\">File or module</th>"
		       "<th scope=\"col\">Base</th><th scope=\"col\">New</th><th scope=\"col\">Change</th>"
		       "<th scope=\"col\">Blocks</th></tr></thead>\n<tbody>\n");
	size_t n = diff_changed(d);
	for (size_t i = 0; i < n && i < TABLE_ROWS; i++)
		put_row(out, &d->rows.items[i]);
	if (!n)
		mt_buf_put_str(out, "<tr><td colspan=\"6\">Nothing changed.</td></tr>\n");
	mt_buf_put_str(out, "</tbody>\n");
}

/* ---- the page ------------------------------------------------------------------------------ */

static struct mt_error *note_side(struct flamegraph *g, const struct diff *d, unsigned side)
{
	static const char *const names[2] = { "Base", "New" };
	const struct report *r = d->r[side];
	auto_facts struct facts f = { 0 };
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], c[MT_TEXT_MAX];
	struct mt_error *err = facts_init(r->cap, r->views->last_ticks, &f);
	if (err)
		return err;
	return flamegraph_note(g, false, "%s: %s, pid %" PRIu64 ", recorded for %s: %s in %s blocks (%s)",
			       names[side], *f.command ? f.command : "unknown program", f.pid,
			       mt_text_duration(c, f.duration_ns),
			       mt_text_size(a, r->views->total_bytes[r->view]),
			       mt_text_count(b, r->views->total_count[r->view]), view_name(r->view));
}

static struct mt_error *describe(struct flamegraph *g, const struct diff *d)
{
	const struct report *new = d->r[1];
	struct mt_error *err = flamegraph_describe(g, new->cap, new->views, 2000);
	if (!err)
		err = flamegraph_fact(g, "diff", "%s", view_name(new->view));
	if (!err)
		err = note_side(g, d, 0);
	return err ? err : note_side(g, d, 1);
}

struct mt_error *diff_write_html(const struct diff *d, FILE *out)
{
	static const struct flamegraph_words words = {
		.views = { [SIDE_NEW] = "new", [SIDE_BASE] = "base", [SIDE_GROWN] = "grown",
			   [SIDE_SHRUNK] = "shrunk" },
		.sites_title = "What changed most",
		.sites_about = "The largest change first, 100 functions at most. Numbers are a function's own: of "
			       "the stacks whose site it is. Functions match by name and file, whatever line "
			       "and build.",
	};
	mt_auto(merger_deinit) struct merger m = { .d = d };
	auto_buf struct mt_buf table = MT_BUF_INIT;
	struct mt_error *err = merge(&m);
	if (err)
		return err;
	put_table(&table, d);
	struct flamegraph g = { .tree = m.tree, .view = (enum view_kind)SIDE_GROWN, .words = &words,
				.sites = &table, .by_count = d->r[1]->metric == METRIC_COUNT };
	err = mt_buf_error(&table);
	if (!err)
		err = describe(&g, d);
	if (!err)
		err = flamegraph_write(&g, out);
	flamegraph_deinit(&g);
	return err;
}
