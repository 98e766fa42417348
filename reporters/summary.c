/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/summary.c - the functions that hold most memory, as a table for the terminal.
 * Knows: columns and colours. Does not know: the terminal itself.
 * Called by cmds/summary.c; calls analysis/ and base/. */
#include "reporters/summary.h"
#include "base/text.h"
#include "reporters/aggregate.h"
#include "reporters/facts.h"

#include <inttypes.h>
#include <string.h>

#define COLUMNS 6
#define LOCATION_MIN 20
#define NARROW 100		/* columns below which headings are short */
#define COVERED 0.95

struct summary {
	const struct report *r;
	const struct summary_options *options;
	FILE *out;
	struct aggregate functions;
	size_t shown;
	size_t width[COLUMNS];
};

struct cells {
	char text[COLUMNS][MT_TEXT_MAX];	/* 0 is not used: the location can be long */
};

/* ---- what matters -------------------------------------------------------------------------- */

static void print_live(FILE *out, const char *name, const struct views *v, enum view_kind view)
{
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	fprintf(out, "%-12s %s in %s block%s", name, mt_text_size(a, v->total_bytes[view]),
		mt_text_count(b, v->total_count[view]), v->total_count[view] == 1 ? "" : "s");
}

static struct mt_error *print_head(const struct report *r, FILE *out)
{
	auto_facts struct facts f = { 0 };
	const struct views *v = r->views;
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	struct mt_error *err = facts_init(r->cap, v->last_ticks, &f);
	if (err)
		return err;
	fprintf(out, "%-12s %s\n", "Command", *f.command ? f.command : "unknown");
	fprintf(out, "%-12s %" PRIu64 ", recorded for %s\n", "Process", f.pid,
		mt_text_duration(a, f.duration_ns));
	print_live(out, "Peak", v, VIEW_PEAK);
	if (v->total_bytes[VIEW_PEAK])
		fprintf(out, ", %s after the start",
			mt_text_duration(a, capture_ticks_to_ns(r->cap, v->peak_ticks)));
	fputc('\n', out);
	print_live(out, "Live at end", v, VIEW_LEAKS);
	fprintf(out, "\n%-12s %s in %s allocations", "Allocated",
		mt_text_size(a, v->total_bytes[VIEW_ALLOCATED]),
		mt_text_count(b, v->total_count[VIEW_ALLOCATED]));
	if (f.sample_rate)
		fprintf(out, "\n%-12s from a sample, one block every %s\n", "Estimated",
			mt_text_size(a, f.sample_rate));
	else
		fprintf(out, ", %s of them temporary\n",
			mt_text_percent(a, v->total_count[VIEW_TEMPORARY],
					v->total_count[VIEW_ALLOCATED]));
	if (f.dropped)
		fprintf(out, "%-12s %s of %s events: the numbers are too low\n", "Dropped",
			mt_text_count(a, f.dropped), mt_text_count(b, f.produced));
	return NULL;
}

/* ---- table --------------------------------------------------------------------------------- */

static void fill_cells(const struct report *r, const struct aggregate_row *row, struct cells *c)
{
	uint64_t whole = r->views->total_bytes[r->view];
	mt_text_size(c->text[1], row->total_bytes);
	mt_text_percent(c->text[2], row->total_bytes, whole);
	mt_text_size(c->text[3], row->own_bytes);
	mt_text_percent(c->text[4], row->own_bytes, whole);
	mt_text_count(c->text[5], row->total_count);
}

static void fill_headings(const struct summary_options *o, struct cells *c)
{
	static const char *const wide[COLUMNS] = {
		"", "Total Memory", "Total %", "Own Memory", "Own %", "Allocation Count",
	};
	static const char *const narrow[COLUMNS] = { "", "Total", "%", "Own", "%", "Count" };
	const char *const *names = o->width < NARROW ? narrow : wide;
	for (unsigned i = 1; i < COLUMNS; i++)
		snprintf(c->text[i], MT_TEXT_MAX, i == o->sort_column ? "[%s]" : "%s", names[i]);
}

static enum aggregate_order order_of(unsigned column)
{
	return column <= 2 ? AGGREGATE_TOTAL_BYTES :
	       column <= 4 ? AGGREGATE_OWN_BYTES : AGGREGATE_TOTAL_COUNT;
}

/* How many rows: up to the limit, or until they hold 95 % of the view between them. */
static size_t rows_to_show(const struct summary *s)
{
	const struct views *v = s->r->views;
	bool by_count = s->options->sort_column == 5;
	uint64_t whole = by_count ? v->total_count[s->r->view] : v->total_bytes[s->r->view];
	uint64_t sum = 0;
	size_t n = 0;
	while (n < s->functions.count && n < s->options->max_rows) {
		const struct aggregate_row *row = &s->functions.rows[n++];
		sum += by_count ? row->own_count : row->own_bytes;
		if (whole && (double)sum >= COVERED * (double)whole)
			break;
	}
	return n;
}

/* Numbers take what they need; the location has the rest of the line. */
static struct mt_error *measure(struct summary *s)
{
	struct cells c;
	size_t numbers = 0, longest = strlen("Location");
	fill_headings(s->options, &c);
	for (unsigned i = 1; i < COLUMNS; i++)
		s->width[i] = strlen(c.text[i]);
	for (size_t n = 0; n < s->shown; n++) {
		fill_cells(s->r, &s->functions.rows[n], &c);
		for (unsigned i = 1; i < COLUMNS; i++)
			if (strlen(c.text[i]) > s->width[i])
				s->width[i] = strlen(c.text[i]);
		auto_free char *name = mt_text_clean(s->functions.rows[n].name);
		if (!name)
			return &mt_enomem;
		if (mt_text_width(name) > longest)
			longest = mt_text_width(name);
	}
	for (unsigned i = 1; i < COLUMNS; i++)
		numbers += s->width[i] + 2;
	size_t room = s->options->width > numbers ? s->options->width - numbers : 0;
	if (room < LOCATION_MIN)
		room = LOCATION_MIN;
	s->width[0] = longest < room ? longest : room;
	return NULL;
}

static const char *color_of(const struct summary *s, uint64_t bytes)
{
	uint64_t whole = s->r->views->total_bytes[s->r->view];
	double share = whole ? (double)bytes / (double)whole : 0;
	if (!s->options->color)
		return "";
	return share > 0.6 ? "\033[1;31m" : share > 0.2 ? "\033[33m" : share > 0.05 ? "\033[32m" :
	       "";
}

static void put_cell(struct mt_buf *line, const char *text, size_t width, const char *color)
{
	mt_buf_printf(line, "  %s%*s%s", color, (int)width, text, *color ? "\033[0m" : "");
}

static struct mt_error *print_row(const struct summary *s, const struct aggregate_row *row)
{
	struct cells c;
	auto_buf struct mt_buf line = MT_BUF_INIT;
	auto_free char *name = mt_text_clean(row->name);
	if (!name)
		return &mt_enomem;
	fill_cells(s->r, row, &c);
	mt_text_put_fitted(&line, name, s->width[0], true);
	for (unsigned i = 1; i < COLUMNS; i++)
		put_cell(&line, c.text[i], s->width[i],
			 i == COLUMNS - 1 ? "" :
			 color_of(s, i <= 2 ? row->total_bytes : row->own_bytes));
	mt_buf_put_char(&line, '\n');
	if (line.failed)
		return &mt_enomem;
	fwrite(line.data, 1, line.len, s->out);
	return NULL;
}

static void print_headings(const struct summary *s)
{
	struct cells c;
	fill_headings(s->options, &c);
	fprintf(s->out, "%s%-*s", s->options->color ? "\033[1m" : "", (int)s->width[0], "Location");
	for (unsigned i = 1; i < COLUMNS; i++)
		fprintf(s->out, "  %*s", (int)s->width[i], c.text[i]);
	fprintf(s->out, "%s\n", s->options->color ? "\033[0m" : "");
}

static struct mt_error *print_table(struct summary *s)
{
	aggregate_sort(&s->functions, order_of(s->options->sort_column));
	s->shown = rows_to_show(s);
	struct mt_error *err = measure(s);
	if (err)
		return err;
	print_headings(s);
	for (size_t i = 0; !err && i < s->shown; i++)
		err = print_row(s, &s->functions.rows[i]);
	if (!err && s->shown < s->functions.count)
		fprintf(s->out, "%zu more function%s not shown%s\n", s->functions.count - s->shown,
			s->functions.count - s->shown == 1 ? " is" : "s are",
			s->shown == s->options->max_rows ? "; -r shows more rows" :
			": the rows above hold 95 % of the view");
	return err;
}

struct mt_error *summary_write(const struct report *r, const struct summary_options *options,
			       FILE *out)
{
	struct summary s = { .r = r, .options = options, .out = out };
	struct mt_error *err = print_head(r, out);
	if (err)
		return err;
	if (!r->views->allocations) {
		fputs("\nNo allocations were recorded.\n", out);
		return NULL;
	}
	fprintf(out, "\nView: %s\n", view_name(r->view));
	err = aggregate_compute(r, AGGREGATE_FUNCTIONS, &s.functions);
	if (!err && s.functions.count)
		err = print_table(&s);
	else if (!err)
		fputs("Nothing is in this view.\n", out);
	aggregate_deinit(&s.functions);
	return err;
}
