/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/leaks_html.c - the leaks report as a page without a script.
 * Knows: layout. Does not know: how sites are found and ordered.
 * Called by cmds/leaks.c; calls reporters/html and base/. */
#include "reporters/leaks.h"
#include "base/text.h"
#include "reporters/assets.h"
#include "reporters/facts.h"
#include "reporters/html.h"
#include "reporters/site.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 600u
#define OPEN_STACKS 3u		/* sites whose stack is open at first */
#define CURVE_HEIGHT 100u
#define MEMORY_COLUMNS 400u	/* of memory over time, at most */

struct page {
	const struct leaks *l;
	const struct leaks_options *o;
	struct facts facts;
	struct leaks_rss rss;
};

/* ---- curves -------------------------------------------------------------------------------- */

/* Of `n` values, each a unit wide, CURVE_HEIGHT in all: the picture is stretched. */
static void put_points(struct mt_buf *out, const uint64_t *values, size_t n, uint64_t most)
{
	for (size_t i = 0; i < n; i++) {
		double y = CURVE_HEIGHT - 3 - (double)values[i] / (double)most * (CURVE_HEIGHT - 8);
		mt_buf_printf(out, "%zu,%.1f %zu,%.1f ", i, y, i + 1, y);
	}
}

static void put_line(struct mt_buf *out, const char *class, const uint64_t *values, size_t n, uint64_t most)
{
	mt_buf_printf(out, "<polyline class=\"%s\" points=\"", class);
	put_points(out, values, n, most);
	mt_buf_put_str(out, "\"/>");
}

static void put_area(struct mt_buf *out, const uint64_t *values, size_t n, uint64_t most)
{
	mt_buf_printf(out, "<polygon class=\"area\" points=\"0,%u ", CURVE_HEIGHT);
	put_points(out, values, n, most);
	mt_buf_printf(out, "%zu,%u\"/>", n, CURVE_HEIGHT);
}

static uint64_t highest(const uint64_t *values, size_t n)
{
	uint64_t most = 1;
	for (size_t i = 0; i < n; i++)
		most = values[i] > most ? values[i] : most;
	return most;
}

/* ---- memory over time ---------------------------------------------------------------------- */

/* A column has the highest value in its time; one without a value has what the last one ended with. */
struct columns {
	uint64_t most[MEMORY_COLUMNS], end[MEMORY_COLUMNS];
	bool seen[MEMORY_COLUMNS];
	bool any;
};

static void columns_put(struct columns *c, const struct page *p, uint64_t ticks, uint64_t value)
{
	uint64_t ns = capture_ticks_to_ns(p->l->r->cap, ticks), end = p->facts.duration_ns;
	size_t i = ns < end ? (size_t)((double)ns / (double)end * (MEMORY_COLUMNS - 1)) : MEMORY_COLUMNS - 1;
	if (!c->seen[i] || value > c->most[i])
		c->most[i] = value;
	c->end[i] = value;
	c->seen[i] = c->any = true;
}

static void columns_fill(struct columns *c, uint64_t before)
{
	for (size_t i = 0; i < MEMORY_COLUMNS; i++)
		if (!c->seen[i])
			c->most[i] = c->end[i] = i ? c->end[i - 1] : before;
}

/* Memory of a process that allocates little would press its heap flat on one scale. */
static bool one_scale(uint64_t heap, uint64_t rss)
{
	return rss / 4 <= heap;
}

static void put_memory_words(struct mt_buf *out, const struct page *p, uint64_t heap, uint64_t rss)
{
	char a[MT_TEXT_MAX];
	mt_buf_printf(out, "<figcaption><span>0 s</span><span class=\"key\"><b><i class=\"heap\"></i>Heap, "
		      "at most %s</b>", mt_text_size(a, heap));
	if (rss)
		mt_buf_printf(out, " <b><i class=\"rss\"></i>Resident, at most %s%s</b>", mt_text_size(a, rss),
			      one_scale(heap, rss) ? "" : ", on a scale of its own");
	mt_buf_printf(out, "</span><span>%s</span></figcaption>\n",
		      mt_text_duration(a, p->facts.duration_ns));
}

/* Live bytes of what was recorded, and the process's resident memory where it was sampled. */
static struct mt_error *put_memory(struct mt_buf *out, const void *arg)
{
	const struct page *p = arg;
	const struct views *v = p->l->r->views;
	size_t samples;
	const struct capture_sample *s = capture_samples(p->l->r->cap, &samples);
	auto_free struct columns *c = calloc(2, sizeof(*c));
	if (!c)
		return &mt_enomem;
	for (size_t i = 0; i < v->point_count; i++)
		columns_put(&c[0], p, v->points[i].ticks, v->points[i].heap);
	for (size_t i = 0; i < samples; i++)
		columns_put(&c[1], p, s[i].ticks, s[i].rss);
	if (!c[0].any || !p->facts.duration_ns)
		return NULL;
	columns_fill(&c[0], 0);
	columns_fill(&c[1], samples ? s[0].rss : 0);
	uint64_t heap = highest(c[0].most, MEMORY_COLUMNS);
	uint64_t rss = c[1].any ? highest(c[1].most, MEMORY_COLUMNS) : 0;
	bool same = rss && one_scale(heap, rss);
	uint64_t top = same && rss > heap ? rss : heap;
	mt_buf_put_str(out, "<section class=\"memory\">\n<h2>Memory over time</h2>\n<figure>\n");
	mt_buf_printf(out, "<svg viewBox=\"0 0 %u %u\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
		      MEMORY_COLUMNS, CURVE_HEIGHT);
	put_area(out, c[0].most, MEMORY_COLUMNS, top);
	put_line(out, "curve", c[0].most, MEMORY_COLUMNS, top);
	if (rss)
		put_line(out, "rss", c[1].most, MEMORY_COLUMNS, same ? top : rss);
	mt_buf_put_str(out, "</svg>\n");
	put_memory_words(out, p, heap, rss);
	mt_buf_put_str(out, "</figure>\n</section>\n");
	return NULL;
}

/* ---- one site ------------------------------------------------------------------------------ */

/* The first third, which the order leaves aside, is shaded. */
static void put_curve(struct mt_buf *out, const struct page *p, const struct leak_site *s)
{
	uint32_t slots = p->l->slots;
	uint64_t most = highest(s->live, slots);
	mt_buf_printf(out, "<svg viewBox=\"0 0 %" PRIu32 " %u\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
		      slots, CURVE_HEIGHT);
	mt_buf_printf(out, "<rect class=\"before\" width=\"%" PRIu32 "\" height=\"%u\"/>",
		      slots > 3 ? s->trend.from + 1 : 0, CURVE_HEIGHT);
	put_area(out, s->live, slots, most);
	put_line(out, "curve", s->live, slots, most);
	mt_buf_put_str(out, "</svg>\n");
}

static void put_figure(struct mt_buf *out, const struct page *p, const struct leak_site *s)
{
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	mt_buf_put_str(out, "<figure>\n");
	put_curve(out, p, s);
	mt_buf_printf(out, "<figcaption><span>%s</span><span>live bytes over %s</span>",
		      mt_text_size(a, s->live[0]), mt_text_duration(b, p->l->end_ms * 1000000ull));
	mt_buf_printf(out, "<span>%s</span></figcaption>\n</figure>\n",
		      mt_text_size(a, s->live[p->l->slots - 1]));
}

static void put_numbers(struct mt_buf *out, const struct page *p, const struct leak_site *s)
{
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], c[MT_TEXT_MAX];
	mt_buf_printf(out, "<p class=\"numbers\"><b>%s</b> in %s block%s, %s of what is left",
		      mt_text_size(a, s->bytes), mt_text_count(b, s->count), s->count == 1 ? "" : "s",
		      mt_text_percent(c, s->bytes, p->l->bytes));
	leaks_share_of_growth(p->l, s, &p->rss, out);
	mt_buf_put_str(out, "</p>\n");
}

static void put_ages(struct mt_buf *out, const struct leak_site *s)
{
	char a[MT_TEXT_MAX];
	uint64_t all = 0;
	const char *comma = "Age: ";
	for (unsigned i = 0; i < GROWTH_AGES; i++)
		all += s->age_count[i];
	mt_buf_put_str(out, "<p class=\"ages\">");
	for (unsigned i = 0; i < GROWTH_AGES; i++) {
		if (!s->age_count[i])
			continue;
		mt_buf_printf(out, "%s%s %s", comma, mt_text_percent(a, s->age_count[i], all),
			      leaks_age_name(i));
		comma = ", ";
	}
	mt_buf_printf(out, "%s%s</p>\n", all ? "; the oldest " : "The oldest: ",
		      mt_text_duration(a, s->oldest_ms * 1000000ull));
}

static struct mt_error *put_frame(struct mt_buf *out, const struct symbol_frame *f)
{
	auto_buf struct mt_buf line = MT_BUF_INIT;
	leaks_frame_text(f, &line);
	mt_buf_put_char(&line, '\0');
	if (line.failed)
		return &mt_enomem;
	mt_buf_put_str(out, "<li><bdi>");
	html_escape_max(out, (const char *)line.data, NAME_MAX_BYTES);
	mt_buf_put_str(out, "</bdi></li>\n");
	return NULL;
}

/* From the site to the root, as on the terminal. */
static struct mt_error *put_stack(struct mt_buf *out, const struct page *p, size_t number)
{
	const struct leak_site *s = &p->l->sites.items[number];
	const struct symbol_frame *frames = NULL;
	size_t count = 0, shown = 0;
	char a[MT_TEXT_MAX];
	struct mt_error *err = symbolizer_stack(p->l->r->sym, s->stack, &frames, &count);
	if (err)
		return err;
	const struct symbol_frame *site = site_find(frames, count);
	size_t i = site ? (size_t)(site - frames) + 1 : count;
	mt_buf_printf(out, "<details%s><summary>", number < OPEN_STACKS ? " open" : "");
	if (s->stack_bytes != s->bytes)
		mt_buf_printf(out, "The stack of %s of it", mt_text_size(a, s->stack_bytes));
	else
		mt_buf_put_str(out, "Its stack");
	mt_buf_put_str(out, "</summary>\n<ol>\n");
	while (!err && i-- > 0) {
		if (frames[i].flags & FRAME_INTERPRETER)
			continue;
		if (p->o->max_frames && shown++ == p->o->max_frames) {
			mt_buf_printf(out, "<li class=\"more\">%zu more</li>\n", i + 1);
			break;
		}
		err = put_frame(out, &frames[i]);
	}
	mt_buf_put_str(out, "</ol></details>\n");
	return err;
}

static struct mt_error *put_site(struct mt_buf *out, const struct page *p, size_t number)
{
	const struct leak_site *s = &p->l->sites.items[number];
	auto_buf struct mt_buf sentence = MT_BUF_INIT;
	leaks_sentence(p->l, s, &sentence);
	mt_buf_put_char(&sentence, '\0');
	if (sentence.failed)
		return &mt_enomem;
	mt_buf_printf(out, "<li><h2><b>%zu</b> <bdi>", number + 1);
	html_escape_max(out, s->name, NAME_MAX_BYTES);
	mt_buf_put_str(out, "</bdi></h2>\n<div class=\"body\"><div>\n");
	put_numbers(out, p, s);
	mt_buf_put_str(out, "<p class=\"sentence\">");
	html_escape(out, (const char *)sentence.data);
	mt_buf_put_str(out, "</p>\n");
	put_ages(out, s);
	mt_buf_put_str(out, "</div>\n");
	put_figure(out, p, s);
	mt_buf_put_str(out, "</div>\n");
	struct mt_error *err = put_stack(out, p, number);
	mt_buf_put_str(out, "</li>\n");
	return err;
}

/* ---- the page ------------------------------------------------------------------------------ */

static struct mt_error *put_title(struct mt_buf *out, const void *arg)
{
	const struct page *p = arg;
	mt_buf_put_str(out, "memtrace leaks: ");
	html_escape_max(out, *p->facts.command ? p->facts.command : "unknown program", 120);
	return NULL;
}

static struct mt_error *put_command(struct mt_buf *out, const void *arg)
{
	const struct page *p = arg;
	html_escape_max(out, *p->facts.command ? p->facts.command : "unknown program", 1000);
	return NULL;
}

static struct mt_error *put_facts(struct mt_buf *out, const void *arg)
{
	const struct page *p = arg;
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	mt_buf_printf(out, "pid %" PRIu64 ", recorded for %s", p->facts.pid,
		      mt_text_duration(a, p->facts.duration_ns));
	if (p->rss.last)
		mt_buf_printf(out, "; resident %s at first, %s at last", mt_text_size(a, p->rss.first),
			      mt_text_size(b, p->rss.last));
	return NULL;
}

static struct mt_error *put_totals(struct mt_buf *out, const void *arg)
{
	const struct page *p = arg;
	const struct views *v = p->l->r->views;
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], c[MT_TEXT_MAX];
	mt_buf_printf(out, "%s in %s block%s live at the end",
		      mt_text_size(a, v->total_bytes[VIEW_LEAKS]),
		      mt_text_count(b, v->total_count[VIEW_LEAKS]),
		      v->total_count[VIEW_LEAKS] == 1 ? "" : "s");
	if (p->l->older_than_ms)
		mt_buf_printf(out, ", %s in %s of them at least %s old", mt_text_size(a, p->l->bytes),
			      mt_text_count(b, p->l->count),
			      mt_text_duration(c, p->l->older_than_ms * 1000000ull));
	return NULL;
}

static struct mt_error *put_notes(struct mt_buf *out, const void *arg)
{
	const struct page *p = arg;
	const char *damage = capture_damage(p->l->r->cap);
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	if (p->facts.dropped)
		mt_buf_printf(out, "<p class=\"warning\">%s of %s events were dropped: a block whose "
			      "release was lost seems to leak.</p>\n",
			      mt_text_count(a, p->facts.dropped), mt_text_count(b, p->facts.produced));
	if (damage) {
		mt_buf_put_str(out, "<p class=\"warning\">The capture is damaged (");
		html_escape(out, damage);
		mt_buf_put_str(out, "). What was readable is shown.</p>\n");
	}
	if (p->facts.sample_rate)
		mt_buf_printf(out, "<p class=\"warning\">A sample, one block every %s of allocations: bytes "
			      "and blocks are estimates.</p>\n", mt_text_size(a, p->facts.sample_rate));
	if (p->facts.arenas)
		mt_buf_put_str(out, "<p class=\"note\">" FACTS_ARENAS ".</p>\n");
	return NULL;
}

static struct mt_error *put_sites(struct mt_buf *out, const void *arg)
{
	const struct page *p = arg;
	size_t n = p->l->sites.len;
	struct mt_error *err = NULL;
	if (p->o->max_sites && n > p->o->max_sites)
		n = p->o->max_sites;
	for (size_t i = 0; !err && i < n; i++)
		err = put_site(out, p, i);
	if (!p->l->sites.len)
		mt_buf_put_str(out, p->l->r->views->allocations ?
			       "<li>Nothing that was recorded is left.</li>\n" :
			       "<li>No allocations were recorded.</li>\n");
	else if (n < p->l->sites.len)
		mt_buf_printf(out, "<li class=\"more\">%zu more; -n shows more</li>\n",
			      p->l->sites.len - n);
	return err;
}

struct mt_error *leaks_write_html(const struct leaks *l, const struct leaks_options *options,
				  FILE *out)
{
	static const struct html_page parts = {
		asset_leaks_html, asset_leaks_html_end, asset_leaks_css, asset_leaks_css_end, NULL, NULL,
	};
	static const struct html_mark marks[] = {
		{ "TITLE", put_title }, { "COMMAND", put_command }, { "FACTS", put_facts },
		{ "TOTALS", put_totals }, { "NOTES", put_notes }, { "MEMORY", put_memory },
		{ "SITES", put_sites }, { NULL, NULL },
	};
	auto_buf struct mt_buf page = MT_BUF_INIT;
	struct page p = { .l = l, .o = options, .rss = leaks_rss(l->r->cap) };
	struct mt_error *err = facts_init(l->r->cap, l->r->views->last_ticks, &p.facts);
	if (!err)
		err = html_fill(&page, &parts, marks, &p);
	facts_deinit(&p.facts);
	if (err)
		return err;
	errno = 0;
	if (fwrite(page.data, 1, page.len, out) != page.len)
		return mt_error_os(errno ? errno : EIO, "cannot write the page");
	return NULL;
}
