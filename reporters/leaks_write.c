/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/leaks_write.c - the leaks report as text for a terminal and as JSON.
 * Knows: layout. Does not know: how sites are found and ordered.
 * Called by cmds/leaks.c; calls base/. */
#include "reporters/leaks.h"
#include "base/buf.h"
#include "base/text.h"
#include "reporters/facts.h"
#include "reporters/site.h"
#include "reporters/spark.h"

#include <inttypes.h>
#include <string.h>

#define SPARK_WIDTH 32u

/* ---- text ---------------------------------------------------------------------------------- */

struct text {
	const struct leaks *l;
	const struct leaks_options *o;
	FILE *out;
	struct leaks_rss rss;
};

static const char *bold(const struct text *t)
{
	return t->o->color ? "\033[1m" : "";
}

static const char *plain(const struct text *t)
{
	return t->o->color ? "\033[0m" : "";
}

static struct mt_error *print_line(const struct text *t, const char *indent, const char *s,
				   const char *style)
{
	auto_buf struct mt_buf line = MT_BUF_INIT;
	auto_free char *clean = mt_text_clean(s);
	size_t used = strlen(indent);
	if (!clean)
		return &mt_enomem;
	mt_text_put_fitted(&line, clean, t->o->width > used + 20 ? t->o->width - used : 20, false);
	if (line.failed)
		return &mt_enomem;
	fprintf(t->out, "%s%s%.*s%s\n", indent, style, (int)line.len, (const char *)line.data,
		*style ? plain(t) : "");
	return NULL;
}

static struct mt_error *print_head(const struct text *t)
{
	const struct leaks *l = t->l;
	const struct views *v = l->r->views;
	auto_facts struct facts f = { 0 };
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	struct mt_error *err = facts_init(l->r->cap, v->last_ticks, &f);
	if (err)
		return err;
	fprintf(t->out, "%-12s %s\n", "Command", *f.command ? f.command : "unknown");
	fprintf(t->out, "%-12s %" PRIu64 ", recorded for %s\n", "Process", f.pid,
		mt_text_duration(a, f.duration_ns));
	fprintf(t->out, "%-12s %s in %s block%s", "Live at end",
		mt_text_size(a, v->total_bytes[VIEW_LEAKS]),
		mt_text_count(b, v->total_count[VIEW_LEAKS]),
		v->total_count[VIEW_LEAKS] == 1 ? "" : "s");
	if (l->older_than_ms)
		fprintf(t->out, "; %s in %s of them at least %s old", mt_text_size(a, l->bytes),
			mt_text_count(b, l->count),
			mt_text_duration((char[MT_TEXT_MAX]){ 0 }, l->older_than_ms * 1000000ull));
	fputc('\n', t->out);
	if (t->rss.last)
		fprintf(t->out, "%-12s %s at first, %s at last\n", "Resident",
			mt_text_size(a, t->rss.first), mt_text_size(b, t->rss.last));
	if (f.dropped)
		fprintf(t->out, "%-12s %s of %s events: a block whose release was lost seems to leak\n",
			"Dropped", mt_text_count(a, f.dropped), mt_text_count(b, f.produced));
	if (f.arenas)
		fprintf(t->out, "%-12s %s\n", "Note", FACTS_ARENAS);
	return NULL;
}

static void print_growth(const struct text *t, const struct leak_site *s)
{
	auto_buf struct mt_buf spark = MT_BUF_INIT;
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	spark_put(&spark, s->live, t->l->slots, SPARK_WIDTH, t->o->ascii);
	fprintf(t->out, "    |%.*s|  %s to %s\n", (int)spark.len, (const char *)spark.data,
		mt_text_size(a, s->live[0]), mt_text_size(b, s->live[t->l->slots - 1]));
}

static void print_ages(const struct text *t, const struct leak_site *s)
{
	char a[MT_TEXT_MAX];
	uint64_t all = 0;
	const char *comma = "    Age: ";
	for (unsigned i = 0; i < GROWTH_AGES; i++)
		all += s->age_count[i];
	for (unsigned i = 0; i < GROWTH_AGES; i++) {
		if (!s->age_count[i])
			continue;
		fprintf(t->out, "%s%s %s", comma, mt_text_percent(a, s->age_count[i], all),
			leaks_age_name(i));
		comma = ", ";
	}
	fprintf(t->out, "%s%s\n", all ? "; the oldest " : "    The oldest: ",
		mt_text_duration(a, s->oldest_ms * 1000000ull));
}

static void print_size(const struct text *t, const struct leak_site *s)
{
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], c[MT_TEXT_MAX];
	auto_buf struct mt_buf share = MT_BUF_INIT;
	leaks_share_of_growth(t->l, s, &t->rss, &share);
	fprintf(t->out, "    %s in %s block%s, %s of what is left%.*s\n", mt_text_size(a, s->bytes),
		mt_text_count(b, s->count), s->count == 1 ? "" : "s",
		mt_text_percent(c, s->bytes, t->l->bytes), (int)share.len, (const char *)share.data);
}

/* From the site to the root; what the site called to get its memory is left out. */
static struct mt_error *print_stack(const struct text *t, const struct leak_site *s)
{
	const struct symbol_frame *frames = NULL;
	size_t count = 0, shown = 0;
	auto_buf struct mt_buf line = MT_BUF_INIT;
	struct mt_error *err = symbolizer_stack(t->l->r->sym, s->stack, &frames, &count);
	char a[MT_TEXT_MAX];
	const struct symbol_frame *site = err ? NULL : site_find(frames, count);
	size_t from = site ? (size_t)(site - frames) + 1 : count;
	if (!err && s->stack_bytes != s->bytes)
		fprintf(t->out, "    The stack of %s of it:\n", mt_text_size(a, s->stack_bytes));
	for (size_t i = from; !err && i-- > 0;) {
		if (frames[i].flags & FRAME_INTERPRETER)
			continue;
		if (t->o->max_frames && shown == t->o->max_frames) {
			fprintf(t->out, "      ... %zu more; --frames 0 shows all\n", i + 1);
			break;
		}
		leaks_frame_text(&frames[i], &line);
		mt_buf_put_char(&line, '\0');
		err = mt_buf_error(&line);
		if (!err)
			err = print_line(t, "      ", (const char *)line.data, "");
		shown++;
	}
	return err;
}

static struct mt_error *print_site(const struct text *t, size_t i)
{
	const struct leak_site *s = &t->l->sites.items[i];
	auto_buf struct mt_buf sentence = MT_BUF_INIT;
	char number[32];
	snprintf(number, sizeof(number), "\n%2zu. ", i + 1);
	struct mt_error *err = print_line(t, number, s->name, bold(t));
	if (err)
		return err;
	leaks_sentence(t->l, s, &sentence);
	if (sentence.failed)
		return &mt_enomem;
	print_size(t, s);
	fprintf(t->out, "    %.*s\n", (int)sentence.len, (const char *)sentence.data);
	print_growth(t, s);
	print_ages(t, s);
	return print_stack(t, s);
}

struct mt_error *leaks_write_text(const struct leaks *l, const struct leaks_options *options,
				  FILE *out)
{
	struct text t = { l, options, out, leaks_rss(l->r->cap) };
	size_t n = l->sites.len;
	if (options->max_sites && n > options->max_sites)
		n = options->max_sites;
	struct mt_error *err = print_head(&t);
	if (!err && !l->sites.len)
		fputs(l->r->views->allocations ? "\nNothing that was recorded is left.\n" :
		      "\nNo allocations were recorded.\n", out);
	for (size_t i = 0; !err && i < n; i++)
		err = print_site(&t, i);
	if (!err && n < l->sites.len)
		fprintf(out, "\n%zu more site%s; -n shows more\n", l->sites.len - n,
			l->sites.len - n == 1 ? "" : "s");
	return err;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static struct mt_error *json_stack(const struct leaks *l, const struct leak_site *s,
				   struct mt_json *j)
{
	const struct symbol_frame *frames = NULL;
	size_t count = 0;
	struct mt_error *err = symbolizer_stack(l->r->sym, s->stack, &frames, &count);
	if (err)
		return err;
	mt_json_open(j, "stack", '[');
	for (size_t i = count; i-- > 0;) {
		mt_json_open(j, NULL, '{');
		mt_json_str(j, "function", frames[i].function);
		mt_json_str(j, "file", frames[i].file);
		mt_json_str(j, "module", frames[i].module);
		mt_json_u64(j, "line", frames[i].line);
		mt_json_close(j);
	}
	mt_json_close(j);
	return NULL;
}

static struct mt_error *json_site(const struct leaks *l, const struct leak_site *s,
				  struct mt_json *j)
{
	auto_buf struct mt_buf sentence = MT_BUF_INIT;
	double span = (double)leaks_span_ms(l, s) / 1000;
	leaks_sentence(l, s, &sentence);
	mt_json_open(j, NULL, '{');
	mt_json_str(j, "location", s->name);
	mt_json_u64(j, "bytes", s->bytes);
	mt_json_u64(j, "count", s->count);
	mt_json_u64(j, "allocated", s->allocated);
	mt_json_u64(j, "released", s->released);
	mt_json_u64(j, "longest_released_ms", s->longest_ms);
	mt_json_u64(j, "oldest_ms", s->oldest_ms);
	mt_json_str(j, "trend", trend_name(s->trend.kind));
	mt_json_double(j, "bytes_per_second", span > 0 ? s->trend.net / span : 0);
	mt_json_double(j, "kept", s->trend.kept);
	mt_json_double(j, "score", s->trend.score);
	mt_json_strn(j, "sentence", (const char *)sentence.data, sentence.len);
	mt_json_open(j, "live_bytes", '[');
	for (uint32_t i = 0; i < l->slots; i++)
		mt_json_u64(j, NULL, s->live[i]);
	mt_json_close(j);
	mt_json_open(j, "ages", '[');
	for (unsigned i = 0; i < GROWTH_AGES; i++) {
		mt_json_open(j, NULL, '{');
		mt_json_str(j, "age", leaks_age_name(i));
		mt_json_u64(j, "bytes", s->age_bytes[i]);
		mt_json_u64(j, "count", s->age_count[i]);
		mt_json_close(j);
	}
	mt_json_close(j);
	struct mt_error *err = json_stack(l, s, j);
	mt_json_close(j);
	return err;
}

struct mt_error *leaks_write_json(const struct leaks *l, const struct leaks_options *options,
				  FILE *out)
{
	struct mt_json j = mt_json_make(out, true);
	struct leaks_rss rss = leaks_rss(l->r->cap);
	struct mt_error *err = NULL;
	mt_json_open(&j, NULL, '{');
	mt_json_u64(&j, "leaked_bytes", l->r->views->total_bytes[VIEW_LEAKS]);
	mt_json_u64(&j, "leaked_count", l->r->views->total_count[VIEW_LEAKS]);
	mt_json_u64(&j, "older_than_ms", l->older_than_ms);
	mt_json_u64(&j, "duration_ms", l->end_ms);
	mt_json_u64(&j, "slot_ms", l->slot_ms);
	mt_json_u64(&j, "rss_first", rss.first);
	mt_json_u64(&j, "rss_last", rss.last);
	mt_json_u64(&j, "total_sites", l->sites.len);
	mt_json_open(&j, "sites", '[');
	for (size_t i = 0; !err && i < l->sites.len &&
	     (!options->max_sites || i < options->max_sites); i++)
		err = json_site(l, &l->sites.items[i], &j);
	mt_json_close(&j);
	mt_json_close(&j);
	return err;
}
