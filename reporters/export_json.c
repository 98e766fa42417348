/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/export_json.c - speedscope, gprof2dot and DHAT: formats that are JSON.
 * Knows: their fields. Does not know: where values come from.
 * Called by cmds/transform.c; calls base/. */
#include "reporters/export.h"
#include "reporters/facts.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/text.h"
#include "symbolize/strings.h"

#include <inttypes.h>
#include <string.h>

/* ---- speedscope ---------------------------------------------------------------------------- */

/* Values of the report's view by leaf: rows that differ in kind alone are one sample. */
static struct mt_error *leaf_values(const struct export *x, bool by_count, uint64_t **ret)
{
	uint32_t count;
	tree_nodes(x->tree, &count);
	uint64_t *values = calloc(count, sizeof(*values));
	if (!values)
		return &mt_enomem;
	for (size_t i = 0; i < x->r->views->row_count; i++) {
		const struct view_row *row = &x->r->views->rows[i];
		values[x->leaf[i]] += (by_count ? row->count : row->bytes)[x->r->view];
	}
	*ret = values;
	return NULL;
}

static struct mt_error *speedscope_samples(struct export *x, const uint64_t *values,
					   struct mt_json *j)
{
	uint32_t count;
	struct mt_error *err = NULL;
	tree_nodes(x->tree, &count);
	mt_json_open(j, "samples", '[');
	for (uint32_t n = 0; !err && n < count; n++) {
		if (!values[n])
			continue;
		err = export_path(x, n);
		mt_json_open(j, NULL, '[');
		for (size_t k = x->path.len; !err && k-- > 0;)
			mt_json_u64(j, NULL, x->path.items[k] - 1);
		mt_json_close(j);
	}
	mt_json_close(j);
	return err;
}

static struct mt_error *speedscope_profile(struct export *x, bool by_count, struct mt_json *j,
					   size_t *items)
{
	auto_free uint64_t *values = NULL;
	uint64_t total = 0;
	uint32_t count;
	char name[64];
	struct mt_error *err = leaf_values(x, by_count, &values);
	if (err)
		return err;
	tree_nodes(x->tree, &count);
	for (uint32_t n = 0; n < count; n++)
		total += values[n];
	snprintf(name, sizeof(name), "%s (%s)", by_count ? "Allocations" : "Memory",
		 view_name(x->r->view));
	mt_json_open(j, NULL, '{');
	mt_json_str(j, "type", "sampled");
	mt_json_str(j, "name", name);
	mt_json_str(j, "unit", by_count ? "none" : "bytes");
	mt_json_u64(j, "startValue", 0);
	mt_json_u64(j, "endValue", total);
	err = speedscope_samples(x, values, j);
	mt_json_open(j, "weights", '[');
	for (uint32_t n = 0; n < count; n++) {
		if (!values[n])
			continue;
		mt_json_u64(j, NULL, values[n]);
		++*items;
	}
	mt_json_close(j);
	mt_json_close(j);
	return err;
}

struct mt_error *export_speedscope(struct export *x, FILE *out, size_t *items_ret)
{
	struct mt_json j = mt_json_make(out, false);
	auto_facts struct facts f = { 0 };
	uint32_t count;
	struct mt_error *err = facts_init(x->r->cap, x->r->views->last_ticks, &f);
	if (err)
		return err;
	const struct tree_frame *frames = tree_frames(x->tree, &count);
	*items_ret = 0;
	mt_json_open(&j, NULL, '{');
	mt_json_str(&j, "$schema", "https://www.speedscope.app/file-format-schema.json");
	mt_json_str(&j, "exporter", "memtrace");
	mt_json_str(&j, "name", f.command);
	mt_json_u64(&j, "activeProfileIndex", x->r->metric == METRIC_COUNT);
	mt_json_open(&j, "shared", '{');
	mt_json_open(&j, "frames", '[');
	for (uint32_t i = 1; i < count; i++) {
		mt_json_open(&j, NULL, '{');
		mt_json_str(&j, "name", export_function(x, i));
		mt_json_str(&j, "file", export_place(x, i));
		if (frames[i].line)
			mt_json_u64(&j, "line", frames[i].line);
		mt_json_close(&j);
	}
	mt_json_close(&j);
	mt_json_close(&j);
	mt_json_open(&j, "profiles", '[');
	err = speedscope_profile(x, false, &j, items_ret);
	if (!err)
		err = speedscope_profile(x, true, &j, items_ret);
	mt_json_close(&j);
	mt_json_close(&j);
	return err;
}

/* ---- gprof2dot ----------------------------------------------------------------------------- */

struct functions {			/* frames that differ in their line alone are one function */
	uint32_t *of_frame;		/* by frame of the tree */
	MT_ARRAY(uint32_t) first;	/* a frame of each function */
};

static void functions_deinit(struct functions *f)
{
	free(f->of_frame);
	mt_array_deinit(&f->first);
}

static struct mt_error *number_functions(const struct export *x, struct functions *f)
{
	uint32_t count;
	const struct tree_frame *frames = tree_frames(x->tree, &count);
	struct mt_map known = MT_MAP_INIT;
	struct mt_error *err = NULL;
	f->of_frame = calloc(count, sizeof(*f->of_frame));
	if (!f->of_frame)
		return &mt_enomem;
	for (uint32_t i = 1; !err && i < count; i++) {
		uint32_t place = *tree_string(x->tree, frames[i].file) ? frames[i].file :
				 frames[i].module;
		uint64_t key = (uint64_t)frames[i].function << 32 | place;
		uint64_t *there = mt_map_get(&known, key);
		f->of_frame[i] = there ? (uint32_t)*there : (uint32_t)f->first.len;
		if (!there && (!mt_map_put(&known, key, f->first.len) ||
			       !mt_array_push(&f->first, i)))
			err = &mt_enomem;
	}
	mt_map_deinit(&known);
	return err;
}

struct mt_error *export_gprof2dot(struct export *x, FILE *out, size_t *items_ret)
{
	struct mt_json j = mt_json_make(out, false);
	mt_auto(functions_deinit) struct functions f = { 0 };
	const struct views *v = x->r->views;
	struct mt_error *err = number_functions(x, &f);
	if (err)
		return err;
	*items_ret = 0;
	mt_json_open(&j, NULL, '{');
	mt_json_u64(&j, "version", 0);
	mt_json_open(&j, "costs", '[');
	mt_json_open(&j, NULL, '{');
	mt_json_str(&j, "description", x->r->metric == METRIC_COUNT ? "Allocations" : "Memory");
	mt_json_str(&j, "unit", x->r->metric == METRIC_COUNT ? "" : "bytes");
	mt_json_close(&j);
	mt_json_close(&j);
	mt_json_open(&j, "functions", '[');
	for (size_t i = 0; i < f.first.len; i++) {
		mt_json_open(&j, NULL, '{');
		mt_json_str(&j, "name", export_function(x, f.first.items[i]));
		mt_json_str(&j, "module", export_place(x, f.first.items[i]));
		mt_json_close(&j);
	}
	mt_json_close(&j);
	mt_json_open(&j, "events", '[');
	for (size_t i = 0; !err && i < v->row_count; i++) {
		if (!report_value(x->r, &v->rows[i]))
			continue;
		err = export_path(x, x->leaf[i]);
		mt_json_open(&j, NULL, '{');
		mt_json_open(&j, "callchain", '[');
		for (size_t k = 0; !err && k < x->path.len; k++)
			mt_json_u64(&j, NULL, f.of_frame[x->path.items[k]]);
		mt_json_close(&j);
		mt_json_open(&j, "cost", '[');
		mt_json_u64(&j, NULL, report_value(x->r, &v->rows[i]));
		mt_json_close(&j);
		mt_json_close(&j);
		++*items_ret;
	}
	mt_json_close(&j);
	mt_json_close(&j);
	return err;
}

/* ---- DHAT ---------------------------------------------------------------------------------- */

/* One frame as valgrind spells it; the allocation function is a frame too, at the top. */
static void dhat_frame(const struct export *x, uint32_t i, struct mt_json *j, struct mt_buf *text)
{
	const char *place = export_place(x, i);
	mt_buf_clear(text);
	mt_buf_put_str(text, export_function(x, i));
	if (*place && export_frame(x, i)->line)
		mt_buf_printf(text, " (%s:%" PRIu32 ")", place, export_frame(x, i)->line);
	else if (*place)
		mt_buf_printf(text, " (in %s)", place);
	mt_json_strn(j, NULL, (const char *)text->data, text->len);
}

/* A program point: all rows of one function and one stack, as it is spelled. The viewer takes no stack
 * twice. */
struct dhat_point {
	uint32_t leaf;
	uint8_t kind;
	uint64_t bytes[VIEW_COUNT], count[VIEW_COUNT];
	uint64_t life_ms, most_bytes, most_count;
};

static int by_stack(const void *pa, const void *pb)
{
	const struct dhat_point *a = pa, *b = pb;
	if (a->leaf != b->leaf)
		return a->leaf < b->leaf ? -1 : 1;
	return (a->kind > b->kind) - (a->kind < b->kind);
}

static void add_point(struct dhat_point *to, const struct dhat_point *p)
{
	for (unsigned v = 0; v < VIEW_COUNT; v++) {
		to->bytes[v] += p->bytes[v];
		to->count[v] += p->count[v];
	}
	to->life_ms += p->life_ms;
	/* Not at one time, perhaps: at most. */
	to->most_bytes += p->most_bytes;
	to->most_count += p->most_count;
}

/* The caller frees; NULL: out of memory. */
static struct dhat_point *dhat_points(const struct export *x, size_t *count_ret)
{
	const struct views *v = x->r->views;
	struct dhat_point *points = calloc(v->row_count + 1, sizeof(*points));
	size_t n = 0;
	if (!points)
		return NULL;
	for (size_t i = 0; i < v->row_count; i++) {
		const struct growth_row *g = &v->growth->rows.items[i];
		struct dhat_point *p = &points[i];
		p->leaf = x->leaf[i];
		p->kind = v->rows[i].kind;
		memcpy(p->bytes, v->rows[i].bytes, sizeof(p->bytes));
		memcpy(p->count, v->rows[i].count, sizeof(p->count));
		p->life_ms = g->lived_ms + g->survived_ms;
		p->most_bytes = g->most_bytes;
		p->most_count = g->most_count;
	}
	qsort(points, v->row_count, sizeof(*points), by_stack);
	for (size_t i = 0; i < v->row_count; i++) {
		if (n && !by_stack(&points[n - 1], &points[i]))
			add_point(&points[n - 1], &points[i]);
		else
			points[n++] = points[i];
	}
	*count_ret = n;
	return points;
}

static void dhat_put(const struct export *x, const struct dhat_point *p, uint32_t kinds_from,
		     struct mt_json *j)
{
	mt_json_open(j, NULL, '{');
	mt_json_u64(j, "tb", p->bytes[VIEW_ALLOCATED]);
	mt_json_u64(j, "tbk", p->count[VIEW_ALLOCATED]);
	mt_json_u64(j, "tl", p->life_ms * 1000);
	mt_json_u64(j, "mb", p->most_bytes);
	mt_json_u64(j, "mbk", p->most_count);
	mt_json_u64(j, "gb", p->bytes[VIEW_PEAK]);
	mt_json_u64(j, "gbk", p->count[VIEW_PEAK]);
	mt_json_u64(j, "eb", p->bytes[VIEW_LEAKS]);
	mt_json_u64(j, "ebk", p->count[VIEW_LEAKS]);
	mt_json_open(j, "fs", '[');
	mt_json_u64(j, NULL, kinds_from + p->kind);
	for (size_t k = 0; k < x->path.len; k++)
		mt_json_u64(j, NULL, x->path.items[k]);
	mt_json_close(j);
	mt_json_close(j);
}

static void dhat_head(const struct export *x, const struct facts *f, struct mt_json *j)
{
	const struct views *v = x->r->views;
	mt_json_u64(j, "dhatFileVersion", 2);
	mt_json_str(j, "mode", "heap");
	mt_json_str(j, "verb", "Allocated");
	mt_json_bool(j, "bklt", true);		/* block lifetimes are there, */
	mt_json_bool(j, "bkacc", false);	/* accesses are not */
	mt_json_str(j, "tu", "µs");		/* Mtu has to be a million of them */
	mt_json_str(j, "Mtu", "s");
	mt_json_u64(j, "tuth", 1000);		/* short-lived */
	mt_json_str(j, "cmd", f->command);
	mt_json_u64(j, "pid", f->pid);
	mt_json_u64(j, "te", v->growth->end_ms * 1000ull);
	mt_json_u64(j, "tg", capture_ticks_to_ns(x->r->cap, v->peak_ticks) / 1000);
}

struct mt_error *export_dhat(struct export *x, FILE *out, size_t *items_ret)
{
	struct mt_json j = mt_json_make(out, false);
	auto_facts struct facts f = { 0 };
	auto_buf struct mt_buf text = MT_BUF_INIT;
	const struct views *v = x->r->views;
	uint32_t count;
	size_t points_count;
	struct mt_error *err = facts_init(x->r->cap, v->last_ticks, &f);
	if (err)
		return err;
	auto_free struct dhat_point *points = dhat_points(x, &points_count);
	if (!points)
		return &mt_enomem;
	tree_frames(x->tree, &count);
	mt_json_open(&j, NULL, '{');
	dhat_head(x, &f, &j);
	mt_json_open(&j, "pps", '[');
	for (size_t i = 0; !err && i < points_count; i++) {
		err = export_path(x, points[i].leaf);
		if (!err)
			dhat_put(x, &points[i], count, &j);
	}
	*items_ret = points_count;
	mt_json_close(&j);
	mt_json_open(&j, "ftbl", '[');
	mt_json_str(&j, NULL, "[root]");
	for (uint32_t i = 1; i < count; i++)
		dhat_frame(x, i, &j, &text);
	for (unsigned kind = 0; kind < WIRE_REC_LIMIT; kind++)
		mt_json_str(&j, NULL, wire_record_name(kind));
	mt_json_close(&j);
	mt_json_close(&j);
	return err ? err : mt_buf_error(&text);
}
