/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/flamegraph_facts.c - what the page says about a capture beside its tree.
 * Knows: the capture's meta, counters and samples. Does not know: the page's layout.
 * Called by cmds/; calls capture/, analysis/ and base/. */
#include "reporters/flamegraph.h"

#include "base/text.h"
#include "reporters/facts.h"

#include <inttypes.h>

static struct mt_error *text_fact(struct flamegraph *g, struct capture *cap, const char *name,
				  const char *key)
{
	size_t size;
	const char *value = capture_meta(cap, key, &size);
	return value ? flamegraph_fact(g, name, "%s", value) : NULL;
}

static struct mt_error *time_facts(struct flamegraph *g, struct capture *cap,
				   const struct views *v, const struct facts *facts)
{
	struct mt_error *err = NULL;
	if (facts->start_ns)
		err = flamegraph_fact(g, "start_ns", "%" PRIu64, facts->start_ns);
	if (!err)
		err = flamegraph_fact(g, "duration_ns", "%" PRIu64, facts->duration_ns);
	if (!err && v->total_bytes[VIEW_PEAK])
		err = flamegraph_fact(g, "peak_ns", "%" PRIu64,
				      capture_ticks_to_ns(cap, v->peak_ticks));
	return err;
}

static struct mt_error *count_facts(struct flamegraph *g, const struct views *v,
				    const struct facts *facts)
{
	struct mt_error *err = flamegraph_fact(g, "allocations", "%" PRIu64, v->allocations);
	if (!err)
		err = flamegraph_fact(g, "releases", "%" PRIu64, v->releases);
	char text[MT_TEXT_MAX];
	if (!err && facts->sample_rate)
		err = flamegraph_note(g, false, "A sample, one block every %s of allocations: bytes and "
				      "counts are estimates; mappings are exact.",
				      mt_text_size(text, facts->sample_rate));
	if (err || !facts->has_counters)
		return err;
	err = flamegraph_fact(g, "dropped", "%" PRIu64, facts->dropped);
	if (err || !facts->dropped)
		return err;
	return flamegraph_note(g, true, "%s events were dropped: the target allocated faster than "
			       "they could be written. All figures are too low.",
			       mt_text_count(text, facts->dropped));
}

static struct mt_error *note_facts(struct flamegraph *g, struct capture *cap)
{
	const char *damage = capture_damage(cap);
	struct mt_error *err = NULL;
	if (damage)
		err = flamegraph_note(g, true, "The capture is damaged (%s). What was readable is "
				      "shown.", damage);
	size_t size;
	const char *note = capture_meta(cap, CAPTURE_META_NOTE, &size);
	if (!err && note && *note)
		err = flamegraph_note(g, false, "%s", note);
	return err;
}

/* The highest of each run of points, so that no peak is lost. */
static void thin_points(struct flamegraph *g, size_t max_points)
{
	struct flamegraph_point *p = g->points.items;
	size_t count = g->points.len, step = count / max_points + (count % max_points > 0), n = 0;
	for (size_t i = 0; i < count; i += step) {
		size_t best = i;
		for (size_t k = i; k < count && k < i + step; k++)
			if (p[k].heap > p[best].heap)
				best = k;
		p[n++] = p[best];
	}
	g->points.len = n;
}

static struct mt_error *point_facts(struct flamegraph *g, struct capture *cap,
				    const struct views *v, size_t max_points)
{
	for (size_t i = 0; i < v->point_count; i++) {
		const struct view_point *p = &v->points[i];
		if (!mt_array_push(&g->points, (struct flamegraph_point){ capture_ticks_to_ns(cap, p->ticks),
									  p->heap, p->rss }))
			return &mt_enomem;
	}
	if (max_points)
		thin_points(g, max_points);
	return NULL;
}

struct mt_error *flamegraph_temporal(struct flamegraph *g, struct capture *cap,
				     const struct views *views, const uint32_t *row_nodes)
{
	const struct temporal *t = views->temporal;
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->instants.len; i++) {
		const struct temporal_instant *at = &t->instants.items[i];
		struct flamegraph_point to = { capture_ticks_to_ns(cap, at->ticks), at->heap, 0 };
		if (g->instants.len && to.ns < g->instants.items[g->instants.len - 1].ns)
			to.ns = g->instants.items[g->instants.len - 1].ns;
		if (!mt_array_push(&g->instants, to))
			return &mt_enomem;
	}
	for (size_t i = 0; i < t->cap; i++) {
		const struct temporal_entry *e = &t->entries[i];
		if (!e->key)
			continue;
		const uint64_t *thread = mt_map_get(&g->thread_numbers, views->rows[temporal_row(e)].thread);
		struct flamegraph_life life = {
			.node = row_nodes[temporal_row(e)], .thread = thread ? (uint32_t)*thread : 0, .born = (uint16_t)temporal_born(e),
			.gone = (uint16_t)temporal_gone(e), .bytes = e->bytes, .count = e->count,
		};
		if (!mt_array_push(&g->lives, life))
			return &mt_enomem;
	}
	return NULL;
}

struct mt_error *flamegraph_note_arenas(struct flamegraph *g, struct capture *cap)
{
	auto_facts struct facts facts = { 0 };
	struct mt_error *err = facts_init(cap, 0, &facts);
	return err || !facts.arenas ? err : flamegraph_note(g, false, "%s.", FACTS_ARENAS);
}

struct mt_error *flamegraph_describe(struct flamegraph *g, struct capture *cap,
				     const struct views *views, size_t max_points)
{
	static const struct {
		const char *name, *key;
	} texts[] = {
		{ "pid", CAPTURE_META_PID },	     { "host", CAPTURE_META_HOST },
		{ "python", CAPTURE_META_PYTHON },   { "libc", CAPTURE_META_LIBC },
		{ "allocator", CAPTURE_META_ALLOCATOR }, { "mode", CAPTURE_META_MODE },
		{ "python_allocator", CAPTURE_META_PYTHON_ALLOCATOR },
		{ "version", CAPTURE_META_TOOL },    { "end_reason", CAPTURE_META_END_REASON },
	};
	auto_facts struct facts facts = { 0 };
	struct mt_error *err = facts_init(cap, views->last_ticks, &facts);
	if (!err && *facts.command)
		err = flamegraph_fact(g, "command", "%s", facts.command);
	else if (!err)
		err = text_fact(g, cap, "command", CAPTURE_META_EXE);
	for (size_t i = 0; !err && i < sizeof(texts) / sizeof(texts[0]); i++)
		err = text_fact(g, cap, texts[i].name, texts[i].key);
	if (!err)
		err = time_facts(g, cap, views, &facts);
	if (!err)
		err = count_facts(g, views, &facts);
	if (!err)
		err = note_facts(g, cap);
	if (!err)
		err = point_facts(g, cap, views, max_points);
	return err;
}
