/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/stats.c - totals, sizes, allocators and the top places of a capture.
 * Knows: what Memray calls things. Does not know: options of commands.
 * Called by cmds/stats.c; calls analysis/, capture/ and base/. */
#include "reporters/stats.h"
#include "base/text.h"
#include "reporters/aggregate.h"
#include "reporters/facts.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

struct stats {
	const struct report *r;
	size_t top;
	struct facts facts;
	struct aggregate sites, packages;
	uint32_t frame_count;
};

static void stats_deinit(struct stats *s)
{
	facts_deinit(&s->facts);
	aggregate_deinit(&s->sites);
	aggregate_deinit(&s->packages);
}

static struct mt_error *stats_init(struct stats *s, const struct report *r, size_t top)
{
	struct capture_tables tables;
	*s = (struct stats){ .r = r, .top = top };
	struct mt_error *err = facts_init(r->cap, r->views->last_ticks, &s->facts);
	if (!err)
		err = capture_load_tables(r->cap, &tables);
	if (!err)
		s->frame_count = tables.frame_count ? tables.frame_count - 1 : 0;
	if (!err)
		err = aggregate_compute(r, AGGREGATE_SITES, &s->sites);
	if (!err)
		err = aggregate_compute(r, AGGREGATE_PACKAGES, &s->packages);
	return err;
}

/* ---- histogram ----------------------------------------------------------------------------- */

/* Smallest size of a bit width. */
static uint64_t width_min(unsigned width)
{
	return width ? 1ull << (width - 1) : 0;
}

static uint64_t width_max(unsigned width)
{
	return width > 63 ? UINT64_MAX : (1ull << width) - 1;
}

size_t stats_histogram(const struct views *v, struct stats_bin bins[VIEW_HISTOGRAM_BINS])
{
	unsigned low = 65, high = 0;
	for (unsigned w = 0; w <= 64; w++) {
		if (!v->size_class[w])
			continue;
		high = w;
		if (low == 65)
			low = w;
	}
	if (low == 65)
		return 0;
	unsigned per_bin = (high - low + VIEW_HISTOGRAM_BINS) / VIEW_HISTOGRAM_BINS;
	size_t n = 0;
	for (unsigned w = low; n < VIEW_HISTOGRAM_BINS && w <= 64; w += per_bin) {
		unsigned last = w + per_bin - 1 < 64 ? w + per_bin - 1 : 64;
		struct stats_bin bin = { width_min(w), width_max(last), 0 };
		for (unsigned i = w; i <= last; i++)
			bin.count += v->size_class[i];
		bins[n++] = bin;
	}
	return n;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void json_histogram(struct mt_json *j, const struct views *v)
{
	struct stats_bin bins[VIEW_HISTOGRAM_BINS];
	size_t n = stats_histogram(v, bins);
	mt_json_open(j, "allocation_size_histogram", '[');
	for (size_t i = 0; i < n; i++) {
		mt_json_open(j, NULL, '{');
		mt_json_u64(j, "min_bytes", bins[i].min);
		mt_json_u64(j, "max_bytes", bins[i].max);
		mt_json_u64(j, "count", bins[i].count);
		mt_json_close(j);
	}
	mt_json_close(j);
}

/* Memray spells allocators in capitals: MALLOC, POSIX_MEMALIGN. */
static void json_allocators(struct mt_json *j, const struct views *v)
{
	mt_json_open(j, "allocator_type_distribution", '{');
	for (unsigned k = 0; k < WIRE_REC_FREE; k++) {
		if (!v->kind_count[k])
			continue;
		char name[32];
		snprintf(name, sizeof(name), "%s", wire_record_name(k));
		for (char *p = name; *p; p++)
			*p = (char)toupper((unsigned char)*p);
		mt_json_u64(j, name, v->kind_count[k]);
	}
	mt_json_close(j);
}

static void json_locations(struct mt_json *j, const char *key, const struct stats *s,
			   const char *value_key, bool by_count)
{
	mt_json_open(j, key, '[');
	for (size_t i = 0; i < s->sites.count && i < s->top; i++) {
		const struct aggregate_row *row = &s->sites.rows[i];
		mt_json_open(j, NULL, '{');
		mt_json_str(j, "location", row->name);
		mt_json_u64(j, value_key, by_count ? row->own_count : row->own_bytes);
		mt_json_close(j);
	}
	mt_json_close(j);
}

static void json_modules(struct mt_json *j, const char *key, const struct stats *s)
{
	mt_json_open(j, key, '[');
	for (size_t i = 0; i < s->packages.count && i < s->top; i++) {
		const struct aggregate_row *row = &s->packages.rows[i];
		mt_json_open(j, NULL, '{');
		mt_json_str(j, "module", row->name);
		mt_json_u64(j, "num_allocations", row->own_count);
		mt_json_u64(j, "total_bytes", row->own_bytes);
		mt_json_close(j);
	}
	mt_json_close(j);
}

static void json_time(struct mt_json *j, const char *key, uint64_t ns)
{
	char text[MT_TEXT_MAX];
	mt_json_str(j, key, ns ? mt_text_time(text, ns) : NULL);
}

static void json_bytes_count(struct mt_json *j, const char *name, const struct views *v,
			     enum view_kind view)
{
	char key[64];
	snprintf(key, sizeof(key), "%s_bytes", name);
	mt_json_u64(j, key, v->total_bytes[view]);
	snprintf(key, sizeof(key), "%s_count", name);
	mt_json_u64(j, key, v->total_count[view]);
}

static void json_metadata_more(struct mt_json *j, const struct stats *s)
{
	const struct views *v = s->r->views;
	const struct capture_file_header *header = capture_header(s->r->cap);
	mt_json_u64(j, "format_version", header->version);
	mt_json_u64(j, "duration_ns", s->facts.duration_ns);
	mt_json_u64(j, "ticks_per_second",
		    capture_meta_u64(s->r->cap, CAPTURE_META_TSC_HZ, 0));
	mt_json_u64(j, "peak_count", v->total_count[VIEW_PEAK]);
	mt_json_u64(j, "peak_time_ns", capture_ticks_to_ns(s->r->cap, v->peak_ticks));
	json_bytes_count(j, "leaked", v, VIEW_LEAKS);
	if (!s->facts.sample_rate)
		json_bytes_count(j, "temporary", v, VIEW_TEMPORARY);
	mt_json_bool(j, "estimated", s->facts.sample_rate != 0);
	if (s->facts.sample_rate)
		mt_json_u64(j, "sample_bytes", s->facts.sample_rate);
	mt_json_u64(j, "total_releases", v->releases);
	mt_json_u64(j, "unknown_releases", v->unknown_releases);
	if (s->facts.has_counters) {
		mt_json_u64(j, "produced", s->facts.produced);
		mt_json_u64(j, "written", s->facts.written);
		mt_json_u64(j, "dropped", s->facts.dropped);
	} else {
		mt_json_null(j, "produced");
		mt_json_null(j, "written");
		mt_json_null(j, "dropped");
	}
	mt_json_str(j, "damage", capture_damage(s->r->cap));
}

static void json_metadata(struct mt_json *j, const struct stats *s)
{
	struct capture *cap = s->r->cap;
	const struct views *v = s->r->views;
	mt_json_open(j, "metadata", '{');
	json_time(j, "start_time", s->facts.start_ns);
	json_time(j, "end_time", s->facts.end_ns);
	mt_json_u64(j, "total_allocations", v->allocations);
	mt_json_u64(j, "total_frames", s->frame_count);
	mt_json_u64(j, "peak_memory", v->total_bytes[VIEW_PEAK]);
	mt_json_str(j, "command_line", s->facts.command);
	mt_json_u64(j, "pid", s->facts.pid);
	mt_json_u64(j, "main_thread_id", s->facts.main_tid);
	mt_json_str(j, "python_allocator",
		    capture_meta(cap, CAPTURE_META_PYTHON_ALLOCATOR, NULL));
	mt_json_bool(j, "has_native_traces",
		     capture_header(cap)->features & CAPTURE_FEATURE_NATIVE);
	mt_json_bool(j, "trace_python_allocators",
		     facts_meta_has(cap, CAPTURE_META_OPTIONS, "python-allocators"));
	mt_json_str(j, "file_format", "ALL_ALLOCATIONS");
	json_metadata_more(j, s);
	mt_json_close(j);
}

struct mt_error *stats_write_json(const struct report *r, size_t top, FILE *out)
{
	mt_auto(stats_deinit) struct stats s;
	struct mt_error *err = stats_init(&s, r, top);
	if (err)
		return err;
	struct mt_json j = mt_json_make(out, true);
	mt_json_open(&j, NULL, '{');
	mt_json_u64(&j, "total_num_allocations", r->views->total_count[VIEW_ALLOCATED]);
	mt_json_u64(&j, "total_bytes_allocated", r->views->total_bytes[VIEW_ALLOCATED]);
	json_histogram(&j, r->views);
	json_allocators(&j, r->views);
	mt_json_str(&j, "view", view_name(r->view));
	aggregate_sort(&s.sites, AGGREGATE_OWN_BYTES);
	json_locations(&j, "top_allocations_by_size", &s, "size", false);
	aggregate_sort(&s.sites, AGGREGATE_OWN_COUNT);
	json_locations(&j, "top_allocations_by_count", &s, "count", true);
	aggregate_sort(&s.packages, AGGREGATE_OWN_BYTES);
	json_modules(&j, "top_modules_by_allocation_size", &s);
	aggregate_sort(&s.packages, AGGREGATE_OWN_COUNT);
	json_modules(&j, "top_modules_by_allocation_count", &s);
	json_metadata(&j, &s);
	mt_json_close(&j);
	return NULL;
}

/* ---- text ---------------------------------------------------------------------------------- */

static void text_total(FILE *out, const char *name, const struct views *v, enum view_kind view)
{
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	fprintf(out, "%-24s %s in %s allocation%s\n", name, mt_text_size(a, v->total_bytes[view]),
		mt_text_count(b, v->total_count[view]), v->total_count[view] == 1 ? "" : "s");
}

static void text_totals(const struct stats *s, FILE *out)
{
	const struct views *v = s->r->views;
	char a[MT_TEXT_MAX];
	fprintf(out, "%-24s %s\n", "Command:", *s->facts.command ? s->facts.command : "unknown");
	fprintf(out, "%-24s %" PRIu64 "\n", "Process:", s->facts.pid);
	fprintf(out, "%-24s %s\n", "Duration:", mt_text_duration(a, s->facts.duration_ns));
	if (s->facts.dropped)
		fprintf(out, "%-24s %s events\n", "Dropped:", mt_text_count(a, s->facts.dropped));
	text_total(out, "Allocated in all:", v, VIEW_ALLOCATED);
	text_total(out, "Peak:", v, VIEW_PEAK);
	text_total(out, "Live at the end:", v, VIEW_LEAKS);
	if (s->facts.sample_rate)
		fprintf(out, "%-24s from a sample, one block every %s\n", "Estimated:",
			mt_text_size(a, s->facts.sample_rate));
	else
		text_total(out, "Temporary:", v, VIEW_TEMPORARY);
}

static void text_bar(FILE *out, uint64_t value, uint64_t most)
{
	enum { WIDTH = 40 };
	unsigned n = most ? (unsigned)((double)value / (double)most * WIDTH + 0.5) : 0;
	if (value && !n)
		n = 1;
	if (n)
		fputc(' ', out);
	while (n--)
		fputs("\xe2\x96\x87", out);
}

static void text_histogram(const struct views *v, FILE *out)
{
	struct stats_bin bins[VIEW_HISTOGRAM_BINS];
	size_t n = stats_histogram(v, bins);
	uint64_t most = 0;
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	for (size_t i = 0; i < n; i++)
		most = bins[i].count > most ? bins[i].count : most;
	while (n && !bins[n - 1].count)
		n--;
	fprintf(out, "\nSizes of allocations, from %s to %s:\n", mt_text_size(a, v->min_size),
		mt_text_size(b, v->max_size));
	for (size_t i = 0; i < n; i++) {
		char count[MT_TEXT_MAX];
		/* The upper bound reads better as the next bin's lower one. */
		fprintf(out, "  %10s .. <%-10s %15s", mt_text_size(a, bins[i].min),
			mt_text_size(b, bins[i].max == UINT64_MAX ? UINT64_MAX : bins[i].max + 1),
			mt_text_count(count, bins[i].count));
		text_bar(out, bins[i].count, most);
		fputc('\n', out);
	}
}

static void text_allocators(const struct views *v, FILE *out)
{
	uint64_t most = 0;
	for (unsigned k = 0; k < WIRE_REC_FREE; k++)
		most = v->kind_count[k] > most ? v->kind_count[k] : most;
	fputs("\nAllocation functions:\n", out);
	for (unsigned k = 0; k < WIRE_REC_FREE; k++) {
		char count[MT_TEXT_MAX], size[MT_TEXT_MAX];
		if (!v->kind_count[k])
			continue;
		fprintf(out, "  %-16s %10s %15s", wire_record_name(k),
			mt_text_size(size, v->kind_bytes[k]),
			mt_text_count(count, v->kind_count[k]));
		text_bar(out, v->kind_count[k], most);
		fputc('\n', out);
	}
}

static struct mt_error *text_top(const struct stats *s, struct aggregate *a, bool by_count,
				 const char *title, FILE *out)
{
	aggregate_sort(a, by_count ? AGGREGATE_OWN_COUNT : AGGREGATE_OWN_BYTES);
	fprintf(out, "\n%s:\n", title);
	for (size_t i = 0; i < a->count && i < s->top; i++) {
		const struct aggregate_row *row = &a->rows[i];
		char size[MT_TEXT_MAX], count[MT_TEXT_MAX];
		auto_free char *name = mt_text_clean(row->name);
		if (!name)
			return &mt_enomem;
		mt_text_size(size, row->own_bytes);
		mt_text_count(count, row->own_count);
		fprintf(out, "  %10s %15s  %s\n", by_count ? count : size, by_count ? size : count,
			name);
	}
	return NULL;
}

static struct mt_error *text_tops(struct stats *s, FILE *out)
{
	char title[128];
	const char *view = view_name(s->r->view);
	struct mt_error *err = NULL;
	for (int i = 0; !err && i < 4; i++) {
		bool by_count = i & 1, packages = i & 2;
		snprintf(title, sizeof(title), "Top %zu %s by %s (%s: %s)", s->top,
			 packages ? "modules" : "locations", by_count ? "count" : "size", view,
			 by_count ? "allocations, size" : "size, allocations");
		err = text_top(s, packages ? &s->packages : &s->sites, by_count, title, out);
	}
	return err;
}

struct mt_error *stats_write_text(const struct report *r, size_t top, FILE *out)
{
	mt_auto(stats_deinit) struct stats s;
	struct mt_error *err = stats_init(&s, r, top);
	if (err)
		return err;
	text_totals(&s, out);
	if (!r->views->allocations) {
		fputs("\nNo allocations were recorded.\n", out);
		return NULL;
	}
	text_histogram(r->views, out);
	text_allocators(r->views, out);
	return text_tops(&s, out);
}
