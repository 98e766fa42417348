/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/flamegraph.c - a report's tree, facts and page parts to one HTML file.
 * Knows: the payload's layout, the template's marks. Does not know: how the page draws.
 * Called by cmds/; calls reporters/tree, reporters/html and base/. */
#include "reporters/flamegraph.h"

#include "base/text.h"
#include "reporters/assets.h"
#include "reporters/html.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define SITE_ROWS 50
#define SITE_NAME_MAX 400
#define TITLE_MAX 120

void flamegraph_deinit(struct flamegraph *g)
{
	for (size_t i = 0; i < g->facts.len; i++) {
		free(g->facts.items[i].name);
		free(g->facts.items[i].value);
	}
	for (size_t i = 0; i < g->notes.len; i++)
		free(g->notes.items[i].text);
	mt_array_deinit(&g->facts);
	mt_array_deinit(&g->notes);
	mt_array_deinit(&g->points);
	mt_array_deinit(&g->instants);
	mt_array_deinit(&g->lives);
	for (size_t i = 0; i < g->threads.len; i++)
		free(g->threads.items[i]);
	mt_array_deinit(&g->threads);
	mt_array_deinit(&g->shares);
	mt_map_deinit(&g->thread_numbers);
}

struct mt_error *flamegraph_fact(struct flamegraph *g, const char *name, const char *fmt, ...)
{
	struct flamegraph_fact f = { strdup(name), NULL };
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&f.value, fmt, ap) < 0)
		f.value = NULL;
	va_end(ap);
	if (f.name && f.value && mt_array_push(&g->facts, f))
		return NULL;
	free(f.name);
	free(f.value);
	return &mt_enomem;
}

struct mt_error *flamegraph_note(struct flamegraph *g, bool warning, const char *fmt, ...)
{
	struct flamegraph_note n = { warning, NULL };
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&n.text, fmt, ap) < 0)
		n.text = NULL;
	va_end(ap);
	if (n.text && mt_array_push(&g->notes, n))
		return NULL;
	free(n.text);
	return &mt_enomem;
}

static const char *fact(const struct flamegraph *g, const char *name)
{
	for (size_t i = 0; i < g->facts.len; i++)
		if (!strcmp(g->facts.items[i].name, name))
			return g->facts.items[i].value;
	return "";
}

/* ---- payload ---- */

static void put_clean(struct mt_buf *out, const char *s)
{
	auto_buf struct mt_buf clean = MT_BUF_INIT;
	mt_text_put_clean(&clean, s, strlen(s), 0);
	if (clean.failed)
		out->failed = true;
	html_put_leb(out, clean.len);
	mt_buf_put(out, clean.data, clean.len);
}

static void put_facts(struct mt_buf *out, const struct flamegraph *g)
{
	html_put_leb(out, g->facts.len);
	for (size_t i = 0; i < g->facts.len; i++) {
		put_clean(out, g->facts.items[i].name);
		put_clean(out, g->facts.items[i].value);
	}
	html_put_leb(out, g->notes.len);
	for (size_t i = 0; i < g->notes.len; i++) {
		html_put_leb(out, g->notes.items[i].warning);
		put_clean(out, g->notes.items[i].text);
	}
}

static void put_threads(struct mt_buf *out, const struct flamegraph *g)
{
	html_put_leb(out, g->threads.len);
	for (size_t i = 0; i < g->threads.len; i++)
		put_clean(out, g->threads.items[i]);
}

static void put_frames(struct mt_buf *out, const struct tree *t)
{
	uint32_t strings = tree_string_count(t), count;
	html_put_leb(out, strings);
	for (uint32_t i = 0; i < strings; i++)
		put_clean(out, tree_string(t, i));
	const struct tree_frame *f = tree_frames(t, &count);
	html_put_leb(out, count);
	for (uint32_t i = 0; i < count; i++)
		html_put_leb(out, f[i].function);
	for (uint32_t i = 0; i < count; i++)
		html_put_leb(out, f[i].file);
	for (uint32_t i = 0; i < count; i++)
		html_put_leb(out, f[i].module);
	for (uint32_t i = 0; i < count; i++)
		html_put_leb(out, f[i].line);
	for (uint32_t i = 0; i < count; i++)
		html_put_leb(out, f[i].kind | (uint32_t)f[i].flags << 2);
}

static void put_sources(struct mt_buf *out, const struct sources *s)
{
	uint32_t count = 0, last = 0, frames = s ? s->frames : 0;
	for (uint32_t i = 0; i < frames; i++)
		count += s->text[i] && *s->text[i];
	html_put_leb(out, count);
	for (uint32_t i = 0; i < frames; i++) {
		if (!s->text[i] || !*s->text[i])
			continue;
		html_put_leb(out, i - last);
		last = i;
	}
	for (uint32_t i = 0; i < frames; i++)
		if (s->text[i] && *s->text[i])
			put_clean(out, s->text[i]);
}

/* Pre-order without the root: node[i] of the tree stands at place i + 1 of the page. */
struct order {
	uint32_t *node;		/* place - 1 -> node */
	uint32_t *up;		/* levels from the place before back to the parent */
	uint32_t count;
};

static void order_nodes(const struct tree_node *nodes, struct order *o)
{
	uint32_t up = 0;
	o->count = 0;
	for (uint32_t n = nodes[0].first_child; n;) {
		o->node[o->count] = n;
		o->up[o->count++] = up;
		up = 0;
		if (nodes[n].first_child) {
			n = nodes[n].first_child;
			continue;
		}
		while (n && !nodes[n].next) {
			n = nodes[n].parent;
			up++;
		}
		up++;		/* a sibling hangs on the parent of the one before */
		n = nodes[n].next;
	}
}

/* Places of the nodes that have something of their own, in order: they are few beside the rest, and
 * each view goes through them four times. The caller frees; NULL: out of memory. */
static uint32_t *places_with_value(const struct tree *t, const struct order *o, size_t *count_ret)
{
	static const struct tree_value nothing;
	uint32_t *places = malloc((o->count + 1) * sizeof(*places));
	size_t n = 0;
	for (uint32_t i = 0; places && i <= o->count; i++)
		if (memcmp(tree_self(t, i ? o->node[i - 1] : 0), &nothing, sizeof(nothing)))
			places[n++] = i;
	*count_ret = n;
	return places;
}

static void put_view(struct mt_buf *out, const struct tree *t, const struct order *o,
		     const uint32_t *places, size_t count, enum view_kind view)
{
	uint64_t entries = 0;
	for (unsigned column = 0; column < 4; column++) {
		uint32_t last = 0;
		for (size_t k = 0; k < count; k++) {
			uint32_t i = places[k];
			const struct tree_value *v = tree_self(t, i ? o->node[i - 1] : 0);
			if (!v->bytes[view] && !v->count[view])
				continue;
			entries++;
			if (column)
				html_put_leb(out, column == 1 ? i - last : column == 2 ? v->bytes[view] :
									  v->count[view]);
			last = i;
		}
		if (!column)
			html_put_leb(out, entries);
	}
}

static struct mt_error *put_views(struct mt_buf *out, const struct tree *t, const struct order *o)
{
	size_t valued;
	auto_free uint32_t *places = places_with_value(t, o, &valued);
	if (!places)
		return &mt_enomem;
	for (unsigned v = 0; v < VIEW_COUNT; v++)
		put_view(out, t, o, places, valued, v);
	return NULL;
}

/* Of a page by thread. */
static void put_shared_view(struct mt_buf *out, const struct flamegraph_share *shares, size_t count,
			    enum view_kind view)
{
	uint64_t entries = 0;
	for (unsigned column = 0; column < 5; column++) {
		uint32_t last = 0;
		for (size_t k = 0; k < count; k++) {
			const struct flamegraph_share *s = &shares[k];
			if (!s->bytes[view] && !s->count[view])
				continue;
			entries++;
			if (column)
				html_put_leb(out, column == 1 ? s->node - last : column == 2 ? s->thread :
						  column == 3 ? s->bytes[view] : s->count[view]);
			last = s->node;
		}
		if (!column)
			html_put_leb(out, entries);
	}
}

static struct mt_error *put_shared_views(struct mt_buf *out, const struct flamegraph *g, const uint32_t *place)
{
	size_t count = g->shares.len;
	auto_free struct flamegraph_share *shares = malloc(count * sizeof(*shares) + 1);
	if (!shares)
		return &mt_enomem;
	if (count)
		memcpy(shares, g->shares.items, count * sizeof(*shares));
	for (size_t i = 0; i < count; i++)
		shares[i].node = place[shares[i].node];
	flamegraph_merge_shares(shares, &count);
	for (unsigned v = 0; v < VIEW_COUNT; v++)
		put_shared_view(out, shares, count, v);
	return NULL;
}

/* place: filled in, where each node of the tree stands in the page. */
static struct mt_error *put_nodes(struct mt_buf *out, const struct flamegraph *g, uint32_t *place)
{
	const struct tree *t = g->tree;
	uint32_t count;
	const struct tree_node *nodes = tree_nodes(t, &count);
	auto_free uint32_t *node = malloc(count * sizeof(*node));
	auto_free uint32_t *up = malloc(count * sizeof(*up));
	if (!node || !up)
		return &mt_enomem;
	struct order o = { node, up, 0 };
	order_nodes(nodes, &o);
	html_put_leb(out, o.count);
	for (uint32_t i = 0; i < o.count; i++)
		html_put_leb(out, up[i]);
	for (uint32_t i = 0; i < o.count; i++)
		html_put_leb(out, nodes[node[i]].frame);
	place[0] = 0;
	for (uint32_t i = 0; i < o.count; i++)
		place[o.node[i]] = i + 1;
	return g->threads.len ? put_shared_views(out, g, place) : put_views(out, t, &o);
}

static void put_points(struct mt_buf *out, const struct flamegraph *g)
{
	const struct flamegraph_point *p = g->points.items;
	html_put_leb(out, g->points.len);
	for (size_t i = 0; i < g->points.len; i++)
		html_put_leb(out, p[i].ns - (i ? p[i - 1].ns : 0));
	for (size_t i = 0; i < g->points.len; i++)
		html_put_leb(out, p[i].heap);
	for (size_t i = 0; i < g->points.len; i++)
		html_put_leb(out, p[i].rss);
}

static int by_life(const void *pa, const void *pb)
{
	const struct flamegraph_life *a = pa, *b = pb;
	if (a->node != b->node)
		return a->node < b->node ? -1 : 1;
	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	if (a->born != b->born)
		return a->born < b->born ? -1 : 1;
	return (a->gone > b->gone) - (a->gone < b->gone);
}

/* In order of the page's nodes; rows that share a node are one. The number that is left. */
static size_t order_lives(struct flamegraph_life *lives, size_t count, const uint32_t *place)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		lives[i].node = place[lives[i].node];
	if (count)
		qsort(lives, count, sizeof(*lives), by_life);
	for (size_t i = 0; i < count; i++) {
		if (n && !by_life(&lives[n - 1], &lives[i])) {
			lives[n - 1].bytes += lives[i].bytes;
			lives[n - 1].count += lives[i].count;
		} else {
			lives[n++] = lives[i];
		}
	}
	return n;
}

static struct mt_error *put_temporal(struct mt_buf *out, const struct flamegraph *g,
				     const uint32_t *place)
{
	size_t bytes = g->lives.len * sizeof(*g->lives.items);
	auto_free struct flamegraph_life *l = malloc(bytes + 1);
	if (!l)
		return &mt_enomem;
	if (bytes)
		memcpy(l, g->lives.items, bytes);
	size_t n = order_lives(l, g->lives.len, place);
	const struct flamegraph_point *at = g->instants.items;
	html_put_leb(out, g->instants.len);
	for (size_t i = 0; i < g->instants.len; i++)
		html_put_leb(out, at[i].ns - (i ? at[i - 1].ns : 0));
	for (size_t i = 0; i < g->instants.len; i++)
		html_put_leb(out, at[i].heap);
	html_put_leb(out, n);
	for (size_t i = 0; i < n; i++)
		html_put_leb(out, l[i].node - (i ? l[i - 1].node : 0));
	for (size_t i = 0; i < n && g->threads.len; i++)
		html_put_leb(out, l[i].thread);
	for (size_t i = 0; i < n; i++)
		html_put_leb(out, i && l[i].node == l[i - 1].node && l[i].thread == l[i - 1].thread ?
					  l[i].born - l[i - 1].born : l[i].born);
	for (size_t i = 0; i < n; i++)
		html_put_leb(out, l[i].gone == TEMPORAL_NEVER ? 0 : l[i].gone - l[i].born);
	for (size_t i = 0; i < n; i++)
		html_put_leb(out, l[i].bytes);
	for (size_t i = 0; i < n; i++)
		html_put_leb(out, l[i].count);
	return NULL;
}

static struct mt_error *encode(const struct flamegraph *g, struct mt_buf *out)
{
	auto_buf struct mt_buf raw = MT_BUF_INIT, packed = MT_BUF_INIT;
	uint32_t nodes;
	tree_nodes(g->tree, &nodes);
	auto_free uint32_t *place = malloc(nodes * sizeof(*place));
	if (!place)
		return &mt_enomem;
	mt_buf_put(&raw, "MTFG\3", 5);
	put_facts(&raw, g);
	put_threads(&raw, g);
	put_frames(&raw, g->tree);
	put_sources(&raw, g->sources);
	struct mt_error *err = put_nodes(&raw, g, place);
	if (err)
		return err;
	put_points(&raw, g);
	err = put_temporal(&raw, g, place);
	if (!err)
		err = mt_buf_error(&raw);
	if (!err)
		err = html_gzip(raw.data, raw.len, &packed);
	if (!err)
		html_base64(out, packed.data, packed.len);
	return err;
}

/* ---- page ---- */

static struct mt_error *put_title(struct mt_buf *out, const void *arg)
{
	const struct flamegraph *g = arg;
	const char *command = fact(g, "command");
	mt_buf_put_str(out, "memtrace: ");
	html_escape_max(out, *command ? command : "flame graph", TITLE_MAX);
	if (*fact(g, "pid")) {
		mt_buf_put_str(out, " (pid ");
		html_escape(out, fact(g, "pid"));
		mt_buf_put_str(out, ")");
	}
	return NULL;
}

static struct mt_error *put_data(struct mt_buf *out, const void *arg)
{
	const struct flamegraph *g = arg;
	return encode(g, out);
}

static const char *name_of_view(const struct flamegraph *g, unsigned view)
{
	return g->words ? g->words->views[view] : view_name(view);
}

static struct mt_error *put_first(struct mt_buf *out, const void *arg)
{
	const struct flamegraph *g = arg;
	mt_buf_printf(out, "%s %s%s", name_of_view(g, g->view), g->by_count ? "count" : "bytes",
		      g->inverted ? " inverted" : "");
	return NULL;
}

static void put_site_name(struct mt_buf *out, const struct tree *t, const struct tree_frame *f)
{
	const char *function = tree_string(t, f->function), *file = tree_string(t, f->file);
	const char *module = tree_string(t, f->module);
	mt_buf_put_str(out, "<td><bdi>");
	html_escape_max(out, *function ? function : "(no stack)", SITE_NAME_MAX);
	mt_buf_put_str(out, "</bdi></td><td><bdi>");
	html_escape_max(out, *file ? file : module, SITE_NAME_MAX);
	if (*file && f->line)
		mt_buf_printf(out, ":%" PRIu32, f->line);
	mt_buf_put_str(out, "</bdi></td>");
}

static void put_site(struct mt_buf *out, const struct tree *t, const struct tree_site *site)
{
	static const enum view_kind columns[] = { VIEW_PEAK, VIEW_LEAKS, VIEW_ALLOCATED };
	char text[MT_TEXT_MAX];
	uint32_t count;
	mt_buf_put_str(out, "<tr>");
	put_site_name(out, t, &tree_frames(t, &count)[site->frame]);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		mt_buf_printf(out, "<td>%s</td>",
			      mt_text_size(text, site->value.bytes[columns[i]]));
	mt_buf_printf(out, "<td>%s</td></tr>\n",
		      mt_text_count(text, site->value.count[VIEW_ALLOCATED]));
}

/* The table for readers without JavaScript or without eyes for pictures. */
static struct mt_error *put_sites(struct mt_buf *out, const void *arg)
{
	const struct flamegraph *g = arg;
	auto_free struct tree_site *sites = NULL;
	size_t count;
	if (g->sites) {
		mt_buf_put(out, g->sites->data, g->sites->len);
		return NULL;
	}
	mt_buf_put_str(out, "<thead><tr><th scope=\"col\">Function</th><th scope=\"col\">File or module</th>"
		       "<th scope=\"col\">Peak</th><th scope=\"col\">Leaks</th><th scope=\"col\">Allocated</th>"
		       "<th scope=\"col\">Allocations</th></tr></thead>\n<tbody>\n");
	struct mt_error *err = tree_sites(g->tree, g->view, &sites, &count);
	if (err)
		return err;
	for (size_t i = 0; i < count && i < SITE_ROWS; i++)
		put_site(out, g->tree, &sites[i]);
	if (!count)
		mt_buf_put_str(out, "<tr><td colspan=\"6\">No allocations.</td></tr>\n");
	mt_buf_put_str(out, "</tbody>\n");
	return NULL;
}

static struct mt_error *put_stats(struct mt_buf *out, const void *arg)
{
	const struct flamegraph *g = arg;
	if (g->stats)
		mt_buf_put(out, g->stats->data, g->stats->len);
	return NULL;
}

static struct mt_error *put_notes(struct mt_buf *out, const void *arg)
{
	const struct flamegraph *g = arg;
	for (size_t i = 0; i < g->notes.len; i++) {
		mt_buf_put_str(out, g->notes.items[i].warning ? "<p class=\"warning\">" : "<p>");
		html_escape(out, g->notes.items[i].text);
		mt_buf_put_str(out, "</p>\n");
	}
	return NULL;
}

static struct mt_error *put_totals(struct mt_buf *out, const void *arg)
{
	const struct flamegraph *g = arg;
	struct tree_value total = tree_total(g->tree);
	char size[MT_TEXT_MAX], count[MT_TEXT_MAX];
	for (unsigned v = 0; v < VIEW_COUNT; v++)
		mt_buf_printf(out, "%s%c%s: %s in %s allocations", v ? "; " : "",
			      toupper((unsigned char)*name_of_view(g, v)), name_of_view(g, v) + 1,
			      mt_text_size(size, total.bytes[v]),
			      mt_text_count(count, total.count[v]));
	return NULL;
}

static struct mt_error *put_sites_title(struct mt_buf *out, const void *arg)
{
	const struct flamegraph *g = arg;
	mt_buf_put_str(out, g->words ? g->words->sites_title : "Top allocation sites");
	return NULL;
}

static struct mt_error *put_sites_about(struct mt_buf *out, const void *arg)
{
	const struct flamegraph *g = arg;
	if (g->words)
		mt_buf_put_str(out, g->words->sites_about);
	else
		mt_buf_printf(out, "Most bytes of the view “%s” first, %u sites at most. A site is the innermost "
			      "Python function of a stack, else the innermost native one outside of the C "
			      "library and the allocators.", view_name(g->view), SITE_ROWS);
	return NULL;
}

struct mt_error *flamegraph_write(const struct flamegraph *g, FILE *out)
{
	static const struct html_page parts = {
		asset_page_html, asset_page_html_end, asset_page_css, asset_page_css_end,
		asset_page_js, asset_page_js_end,
	};
	static const struct html_mark marks[] = {
		{ "TITLE", put_title }, { "DATA", put_data },	{ "FIRST", put_first },
		{ "SITES", put_sites }, { "NOTES", put_notes }, { "SITES_TITLE", put_sites_title },
		{ "SITES_ABOUT", put_sites_about },
		{ "TOTALS", put_totals }, { "STATS", put_stats }, { NULL, NULL },
	};
	auto_buf struct mt_buf page = MT_BUF_INIT;
	struct mt_error *err = html_fill(&page, &parts, marks, g);
	if (err)
		return err;
	/* errno is lost by the time the stream is closed; what is small fails there. */
	errno = 0;
	if (fwrite(page.data, 1, page.len, out) != page.len)
		return mt_error_os(errno ? errno : EIO, "cannot write the page");
	return NULL;
}
