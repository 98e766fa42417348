/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/leaks.c - survivors by site, with growth and age, and their order.
 * Knows: rows, their growth, sites. Does not know: how it is shown.
 * Called by cmds/leaks.c; calls analysis/, symbolize/ and base/. */
#include "reporters/leaks.h"
#include "base/buf.h"
#include "base/text.h"
#include "reporters/site.h"

#include <inttypes.h>
#include <string.h>

void leaks_deinit(struct leaks *l)
{
	mt_array_deinit(&l->sites);
	labels_destroy(l->labels);
}

/* The site of a row; NULL: out of memory. Labels are numbered in order of first use. */
static struct leak_site *site_of(struct leaks *l, uint32_t label)
{
	while (l->sites.len <= label)
		if (!mt_array_push(&l->sites, (struct leak_site){ 0 }))
			return NULL;
	return &l->sites.items[label];
}

static void add_survivors(struct leak_site *s, const struct view_row *row,
			  const struct growth_row *g, bool older)
{
	uint64_t bytes = older ? g->older_bytes : row->bytes[VIEW_LEAKS];
	s->bytes += bytes;
	s->count += older ? g->older_count : row->count[VIEW_LEAKS];
	for (unsigned i = 0; i < GROWTH_AGES; i++) {
		s->age_bytes[i] += g->age_bytes[i];
		s->age_count[i] += g->age_count[i];
	}
	if (g->oldest_ms > s->oldest_ms)
		s->oldest_ms = g->oldest_ms;
	if (bytes > s->stack_bytes || !s->stack) {
		s->stack = row->stack;
		s->stack_bytes = bytes;
	}
}

static struct mt_error *add_row(struct leaks *l, size_t i)
{
	const struct view_row *row = &l->r->views->rows[i];
	const struct growth *g = l->r->views->growth;
	const struct growth_row *grown = &g->rows.items[i];
	const struct symbol_frame *frames = NULL;
	size_t count = 0;
	uint32_t label;
	struct mt_error *err = symbolizer_stack(l->r->sym, row->stack, &frames, &count);
	if (!err)
		err = labels_of_frame(l->labels, site_find(frames, count), LABEL_NO_THREAD, &label);
	if (err)
		return err;
	struct leak_site *s = site_of(l, label);
	if (!s)
		return &mt_enomem;
	s->allocated += row->count[VIEW_ALLOCATED];
	s->released += grown->released;
	if (grown->longest_ms > s->longest_ms)
		s->longest_ms = grown->longest_ms;
	growth_series(g, grown, s->live, s->blocks);
	add_survivors(s, row, grown, g->older_than_ms);
	return NULL;
}

/* Sites without survivors go; the others get their names and trends. */
static void finish_sites(struct leaks *l)
{
	size_t n = 0;
	for (size_t i = 0; i < l->sites.len; i++) {
		struct leak_site *s = &l->sites.items[i];
		if (!s->count && !s->bytes)
			continue;
		s->name = labels_text(l->labels, (uint32_t)i);
		s->trend = trend_of(s->live, l->slots);
		l->bytes += s->bytes;
		l->count += s->count;
		l->sites.items[n++] = *s;
	}
	l->sites.len = n;
}

struct mt_error *leaks_compute(const struct report *r, struct leaks *ret)
{
	const struct growth *g = r->views->growth;
	struct leaks l = { .r = r, .slots = growth_slots(g), .slot_ms = g->slot_ms,
			   .end_ms = g->end_ms, .older_than_ms = g->older_than_ms };
	struct mt_error *err = labels_create(r->cap, LABEL_SITE, &l.labels);
	for (size_t i = 0; !err && i < r->views->row_count; i++)
		err = add_row(&l, i);
	if (err) {
		leaks_deinit(&l);
		return err;
	}
	finish_sites(&l);
	*ret = l;
	return NULL;
}

/* ---- order --------------------------------------------------------------------------------- */

static int larger_first(double a, double b)
{
	return a > b ? -1 : a < b;
}

static int by_keys(const struct leak_site *a, const struct leak_site *b, double x, double y)
{
	int c = larger_first(x, y);
	if (!c)
		c = larger_first((double)a->bytes, (double)b->bytes);
	if (!c)
		c = larger_first((double)a->count, (double)b->count);
	return c ? c : strcmp(a->name, b->name);
}

static int by_likely(const void *pa, const void *pb)
{
	const struct leak_site *a = pa, *b = pb;
	return by_keys(a, b, a->trend.score, b->trend.score);
}

static int by_bytes(const void *pa, const void *pb)
{
	return by_keys(pa, pb, 0, 0);
}

static int by_count(const void *pa, const void *pb)
{
	const struct leak_site *a = pa, *b = pb;
	return by_keys(a, b, (double)a->count, (double)b->count);
}

void leaks_sort(struct leaks *l, enum leaks_order order)
{
	static int (*const by[])(const void *, const void *) = {
		[LEAKS_LIKELY] = by_likely, [LEAKS_BYTES] = by_bytes, [LEAKS_COUNT] = by_count,
	};
	if (l->sites.len)
		qsort(l->sites.items, l->sites.len, sizeof(*l->sites.items), by[order]);
}

/* ---- words of all writers ------------------------------------------------------------------ */

struct leaks_rss leaks_rss(const struct capture *cap)
{
	size_t count;
	const struct capture_sample *s = capture_samples(cap, &count);
	return count ? (struct leaks_rss){ s[0].rss, s[count - 1].rss } : (struct leaks_rss){ 0, 0 };
}

void leaks_share_of_growth(const struct leaks *l, const struct leak_site *s,
			   const struct leaks_rss *rss, struct mt_buf *out)
{
	char a[MT_TEXT_MAX];
	uint64_t grown = rss->last > rss->first ? rss->last - rss->first : 0;
	uint64_t live = s->live[l->slots - 1];	/* since the same moment as the growth, or later */
	if (!grown || s->trend.net <= 0)
		return;
	if (live <= grown)
		mt_buf_printf(out, ", %s of the growth of resident memory",
			      mt_text_percent(a, live, grown));
	else
		mt_buf_printf(out, ", more than resident memory grew by (%s)", mt_text_size(a, grown));
}

const char *leaks_age_name(unsigned age)
{
	static const char *const names[GROWTH_AGES] = {
		"under 1 s", "1 to 10 s", "10 s to 1 min", "1 to 10 min", "over 10 min",
	};
	return age < GROWTH_AGES ? names[age] : "";
}

void leaks_frame_text(const struct symbol_frame *f, struct mt_buf *out)
{
	const char *where = *f->file ? f->file : f->module;
	mt_buf_clear(out);
	mt_buf_put_str(out, f->function);
	if (*where && f->kind != FRAME_MARK)
		mt_buf_printf(out, *f->file && f->line ? " (%s:%u)" : " (%s)", where, f->line);
}

/* ---- the sentence -------------------------------------------------------------------------- */

/* A slot has its last value, so the curve that was looked at begins where slot `from` ends. */
uint64_t leaks_span_ms(const struct leaks *l, const struct leak_site *s)
{
	uint64_t begin = (s->trend.from + 1ull) * l->slot_ms;
	return l->end_ms > begin ? l->end_ms - begin : 0;
}

static char *duration(char buf[MT_TEXT_MAX], uint64_t ms)
{
	return mt_text_duration(buf, ms * 1000000);
}

static void put_rate(const struct leaks *l, const struct leak_site *s, struct mt_buf *out)
{
	char a[MT_TEXT_MAX];
	double span = (double)leaks_span_ms(l, s) / 1000;
	double blocks = (double)s->blocks[l->slots - 1] - (double)s->blocks[s->trend.from];
	if (span <= 0)
		return;
	mt_buf_printf(out, ", %s/s", mt_text_size(a, (uint64_t)(s->trend.net / span)));
	if (blocks > 0)
		mt_buf_printf(out, ", %.*f blocks/s", blocks / span < 10 ? 1 : 0, blocks / span);
}

/* When the curve made its one large step. */
static uint32_t step_ms(const struct leaks *l, const struct leak_site *s)
{
	uint32_t at = s->trend.from + 1;
	for (uint32_t i = at; i < l->slots; i++)
		if ((double)s->live[i] - (double)s->live[i - 1] >
		    (double)s->live[at] - (double)s->live[at - 1])
			at = i;
	return at * l->slot_ms;
}

static void put_trend(const struct leaks *l, const struct leak_site *s, struct mt_buf *out)
{
	char a[MT_TEXT_MAX];
	switch (s->trend.kind) {
	case TREND_STEADY:
		mt_buf_put_str(out, "Grew without pause");
		put_rate(l, s, out);
		break;
	case TREND_STEPS:
		mt_buf_put_str(out, "Grew with pauses");
		put_rate(l, s, out);
		break;
	case TREND_STEP:
		mt_buf_printf(out, "Rose once, by %s after %s",
			      mt_text_size(a, (uint64_t)s->trend.net),
			      duration((char[MT_TEXT_MAX]){ 0 }, step_ms(l, s)));
		break;
	case TREND_WAVES:
		mt_buf_put_str(out, "Went up and down, and up in all");
		put_rate(l, s, out);
		break;
	case TREND_LEVEL:
		mt_buf_printf(out, "Level for the last %s: a cache, a pool, or what the start left",
			      duration(a, leaks_span_ms(l, s)));
		break;
	case TREND_FALLING:
		mt_buf_put_str(out, "Shrinking");
		break;
	default:
		mt_buf_put_str(out, "Recorded for too short a time to see growth");
	}
}

void leaks_sentence(const struct leaks *l, const struct leak_site *s, struct mt_buf *out)
{
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	put_trend(l, s, out);
	if (!s->released) {
		mt_buf_put_str(out, "; nothing of it was freed.");
		return;
	}
	mt_buf_printf(out, "; %s of its %s blocks were freed",
		      mt_text_percent(a, s->released, s->allocated), mt_text_count(b, s->allocated));
	/* Both ends of a life are whole milliseconds, so it was less than one longer. */
	if (s->oldest_ms > s->longest_ms)
		mt_buf_printf(out, ", none of them older than %s.", duration(a, s->longest_ms + 1ull));
	else
		mt_buf_printf(out, ", the oldest after %s.", duration(a, s->longest_ms + 1ull));
}
