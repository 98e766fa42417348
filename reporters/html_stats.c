/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/html_stats.c - the statistics of a capture as tables of a page.
 * Knows: views, facts, aggregates. Does not know: the page around them.
 * Called by cmds/; calls reporters/ and base/. */
#include "reporters/html_stats.h"

#include "base/text.h"
#include "reporters/aggregate.h"
#include "reporters/facts.h"
#include "reporters/html.h"
#include "reporters/stats.h"

#include <inttypes.h>
#include <string.h>

#define FUNCTIONS 40u
#define PACKAGES 15u
#define NAME_MAX_BYTES 400u

static void put_fact(struct mt_buf *out, const char *name, const char *value)
{
	mt_buf_printf(out, "<tr><th scope=\"row\">%s</th><td><bdi>", name);
	html_escape_max(out, value, 2000);
	mt_buf_put_str(out, "</bdi></td></tr>\n");
}

static void put_amount(struct mt_buf *out, const char *name, uint64_t bytes, uint64_t count)
{
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], text[2 * MT_TEXT_MAX + 16];
	snprintf(text, sizeof(text), "%s in %s blocks", mt_text_size(a, bytes),
		 mt_text_count(b, count));
	put_fact(out, name, text);
}

static void put_times(struct mt_buf *out, const struct facts *f)
{
	char text[MT_TEXT_MAX];
	if (f->start_ns)
		put_fact(out, "Start", mt_text_time(text, f->start_ns));
	if (f->end_ns)
		put_fact(out, "End", mt_text_time(text, f->end_ns));
	put_fact(out, "Recorded for", mt_text_duration(text, f->duration_ns));
}

static struct mt_error *put_meta(struct mt_buf *out, const struct capture *cap)
{
	static const struct {
		const char *name, *key;
	} rows[] = {
		{ "Host", CAPTURE_META_HOST }, { "Python", CAPTURE_META_PYTHON },
		{ "Python allocator", CAPTURE_META_PYTHON_ALLOCATOR },
		{ "Allocator", CAPTURE_META_ALLOCATOR }, { "Ended by", CAPTURE_META_END_REASON },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_free char *value = facts_meta(cap, rows[i].key, "");
		if (!value)
			return &mt_enomem;
		if (*value)
			put_fact(out, rows[i].name, value);
	}
	return NULL;
}

static struct mt_error *put_facts(struct mt_buf *out, const struct report *r)
{
	const struct views *v = r->views;
	char text[MT_TEXT_MAX];
	auto_facts struct facts f = { 0 };
	struct mt_error *err = facts_init(r->cap, v->last_ticks, &f);
	if (err)
		return err;
	mt_buf_put_str(out, "<table class=\"facts\"><caption>Capture</caption><tbody>\n");
	put_fact(out, "Command", *f.command ? f.command : "unknown");
	snprintf(text, sizeof(text), "%" PRIu64, f.pid);
	put_fact(out, "Process", text);
	put_times(out, &f);
	put_amount(out, "Allocated in all", v->total_bytes[VIEW_ALLOCATED], v->allocations);
	put_amount(out, "Live at the peak", v->total_bytes[VIEW_PEAK], v->total_count[VIEW_PEAK]);
	put_amount(out, "Live at the end", v->total_bytes[VIEW_LEAKS], v->total_count[VIEW_LEAKS]);
	if (!f.sample_rate)
		put_amount(out, "Temporary", v->total_bytes[VIEW_TEMPORARY],
			   v->total_count[VIEW_TEMPORARY]);
	put_fact(out, "Releases", mt_text_count(text, v->releases));
	if (f.has_counters)
		put_fact(out, "Events dropped", mt_text_count(text, f.dropped));
	err = put_meta(out, r->cap);
	mt_buf_put_str(out, "</tbody></table>\n");
	return err;
}

static void put_kinds(struct mt_buf *out, const struct views *v)
{
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	mt_buf_put_str(out, "<table><caption>Allocation functions</caption><thead><tr><th scope=\"col\">"
		       "Function</th><th scope=\"col\">Allocations</th><th scope=\"col\">Bytes</th></tr>"
		       "</thead><tbody>\n");
	for (unsigned k = 0; k < WIRE_REC_FREE; k++)
		if (v->kind_count[k])
			mt_buf_printf(out, "<tr><td>%s</td><td>%s</td><td>%s</td></tr>\n",
				      wire_record_name(k), mt_text_count(a, v->kind_count[k]),
				      mt_text_size(b, v->kind_bytes[k]));
	mt_buf_put_str(out, "</tbody></table>\n");
}

/* Bars are elements of their own kind: a policy without styles in attributes allows them. */
static void put_sizes(struct mt_buf *out, const struct views *v)
{
	struct stats_bin bins[VIEW_HISTOGRAM_BINS];
	size_t n = stats_histogram(v, bins);
	uint64_t most = 1;
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	for (size_t i = 0; i < n; i++)
		most = bins[i].count > most ? bins[i].count : most;
	mt_buf_put_str(out, "<table><caption>Sizes of allocations</caption><thead><tr><th scope=\"col\">"
		       "From</th><th scope=\"col\">To</th><th scope=\"col\">Allocations</th><th scope=\"col\">"
		       "Share of the largest</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < n; i++) {
		mt_buf_printf(out, "<tr><td>%s</td><td>%s</td>", mt_text_size(a, bins[i].min),
			      mt_text_size(b, bins[i].max));
		mt_buf_printf(out, "<td>%s</td><td><meter min=\"0\" max=\"%" PRIu64 "\" value=\"%" PRIu64
			      "\" aria-label=\"of the largest\">%s</meter></td></tr>\n",
			      mt_text_count(a, bins[i].count), most, bins[i].count,
			      mt_text_percent(b, bins[i].count, most));
	}
	mt_buf_put_str(out, "</tbody></table>\n");
}

static void put_name(struct mt_buf *out, const char *name)
{
	mt_buf_put_str(out, "<tr><td><bdi>");
	html_escape_max(out, name, NAME_MAX_BYTES);
	mt_buf_put_str(out, "</bdi></td>");
}

static struct mt_error *put_packages(struct mt_buf *out, const struct report *r)
{
	auto_aggregate struct aggregate a = { 0 };
	char size[MT_TEXT_MAX], count[MT_TEXT_MAX];
	struct mt_error *err = aggregate_compute(r, AGGREGATE_PACKAGES, &a);
	if (err)
		return err;
	aggregate_sort(&a, AGGREGATE_OWN_BYTES);
	mt_buf_put_str(out, "<table><caption>Packages and modules</caption><thead><tr><th scope=\"col\">"
		       "Name</th><th scope=\"col\">Bytes</th><th scope=\"col\">Blocks</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < a.count && i < PACKAGES; i++) {
		put_name(out, a.rows[i].name);
		mt_buf_printf(out, "<td>%s</td><td>%s</td></tr>\n",
			      mt_text_size(size, a.rows[i].own_bytes),
			      mt_text_count(count, a.rows[i].own_count));
	}
	mt_buf_put_str(out, "</tbody></table>\n");
	return NULL;
}

static struct mt_error *put_functions(struct mt_buf *out, const struct report *r)
{
	auto_aggregate struct aggregate a = { 0 };
	uint64_t all = r->views->total_bytes[r->view];
	char size[4][MT_TEXT_MAX];
	struct mt_error *err = aggregate_compute(r, AGGREGATE_FUNCTIONS, &a);
	if (err)
		return err;
	aggregate_sort(&a, AGGREGATE_TOTAL_BYTES);
	mt_buf_put_str(out, "<table class=\"names\"><caption>Functions with what they called</caption><thead><tr>"
		       "<th scope=\"col\">Function</th><th scope=\"col\">Total</th><th scope=\"col\">of all</th>"
		       "<th scope=\"col\">Own</th><th scope=\"col\">of all</th><th scope=\"col\">Blocks</th></tr>"
		       "</thead><tbody>\n");
	for (size_t i = 0; i < a.count && i < FUNCTIONS; i++) {
		const struct aggregate_row *row = &a.rows[i];
		put_name(out, row->name);
		mt_buf_printf(out, "<td>%s</td><td>%s</td>", mt_text_size(size[0], row->total_bytes),
			      mt_text_percent(size[1], row->total_bytes, all));
		mt_buf_printf(out, "<td>%s</td><td>%s</td><td>%s</td></tr>\n",
			      mt_text_size(size[0], row->own_bytes),
			      mt_text_percent(size[1], row->own_bytes, all),
			      mt_text_count(size[2], row->total_count));
	}
	mt_buf_put_str(out, "</tbody></table>\n");
	return NULL;
}

struct mt_error *html_stats(struct mt_buf *out, const struct report *r)
{
	struct mt_error *err = put_facts(out, r);
	if (err)
		return err;
	put_kinds(out, r->views);
	put_sizes(out, r->views);
	mt_buf_printf(out, "<p>Of the view “%s”:</p>\n", view_name(r->view));
	err = put_packages(out, r);
	if (!err)
		err = put_functions(out, r);
	return err ? err : mt_buf_error(out);
}
