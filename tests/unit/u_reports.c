/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_reports.c - all reports of one capture tell the same numbers.
 * Knows: every reporter's sums. Does not know: how they are laid out.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "reporters/aggregate.h"
#include "reporters/folded.h"
#include "reporters/info.h"
#include "reporters/parse.h"
#include "reporters/stats.h"
#include "reporters/tree.h"
#include "tests/unit/synthetic.h"

#include <inttypes.h>

#define STACKS 40
#define BLOCKS 64
#define EVENTS 3000

struct random_state {
	uint64_t x;
};

static uint32_t pick(struct random_state *r, uint32_t n)
{
	r->x = mt_hash64(r->x + 0x9e3779b97f4a7c15ull);
	return (uint32_t)(r->x % n);
}

static void pick_frames(struct random_state *r, const uint32_t *from, uint32_t count,
			uint32_t *frames)
{
	uint32_t depth = pick(r, 8);
	for (uint32_t i = 0; i < depth; i++)
		frames[i] = from[pick(r, count)];
	frames[depth] = 0;
}

static void make_stacks(struct synthetic *s, struct random_state *r, uint32_t *stacks)
{
	static const char *const names[] = {
		"main", "run", "parse", "put", "operator new(unsigned long)",
	};
	uint32_t native[16], python[6];
	for (unsigned i = 0; i < 16; i++)
		native[i] = synthetic_native(s, i % 7 ? names[i % 5] : NULL, i % 3 ? "x.c" : NULL,
					     i / 4, i % SYNTHETIC_MODULES);
	for (unsigned i = 0; i < 6; i++)
		python[i] = synthetic_python(s, names[i % 4], i & 1 ? "a.py" : "b.py", 5 + i / 3);
	for (unsigned i = 0; i < STACKS; i++) {
		uint32_t n[9], p[9];
		pick_frames(r, native, 16, n);
		pick_frames(r, python, i & 1 ? 6 : 1, p);
		if (!(i % 3))
			p[0] = 0;
		stacks[i] = synthetic_stack(s, n, p, i % 5 ? 0 : WIRE_STACK_TRUNCATED);
	}
}

struct model {			/* what the test itself counts */
	uint64_t bytes[VIEW_COUNT], count[VIEW_COUNT];
	uint64_t live_bytes, live_count;
};

static void model_add(struct model *m, uint64_t size)
{
	m->bytes[VIEW_ALLOCATED] += size;
	m->count[VIEW_ALLOCATED]++;
	m->live_bytes += size;
	m->live_count++;
	/* the last of equal peaks counts */
	if (m->live_bytes >= m->bytes[VIEW_PEAK]) {
		m->bytes[VIEW_PEAK] = m->live_bytes;
		m->count[VIEW_PEAK] = m->live_count;
	}
}

static void make_capture(struct synthetic *s, uint64_t seed, struct model *m)
{
	struct random_state r = { seed };
	uint64_t size[BLOCKS] = { 0 };
	uint32_t stacks[STACKS];
	memset(m, 0, sizeof(*m));
	synthetic_begin(s);
	make_stacks(s, &r, stacks);
	for (unsigned i = 0; i < EVENTS; i++) {
		uint32_t block = pick(&r, BLOCKS), thread = 1 + pick(&r, 2);
		uint64_t address = 0x10000 + 0x10000ull * block;
		if (size[block]) {
			synthetic_event(s, WIRE_REC_FREE, address, 0, 0, thread);
			m->live_bytes -= size[block];
			m->live_count--;
			size[block] = 0;
			continue;
		}
		size[block] = 1 + pick(&r, pick(&r, 2) ? 100 : 60000);
		synthetic_event(s, pick(&r, 2) ? WIRE_REC_MALLOC : WIRE_REC_CALLOC, address,
				size[block], stacks[pick(&r, STACKS)], thread);
		model_add(m, size[block]);
	}
	m->bytes[VIEW_LEAKS] = m->live_bytes;
	m->count[VIEW_LEAKS] = m->live_count;
	synthetic_end(s, true);
}

static uint64_t folded_sum(const struct report *r, bool interpreter)
{
	struct folded_options options = { .interpreter = interpreter };
	auto_free char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	synthetic_ok(folded_write(r, &options, out, NULL));
	fclose(out);
	uint64_t sum = 0;
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		sum += strtoull(strrchr(line, ' ') + 1, NULL, 10);
	}
	return sum;
}

static void check_aggregates(const struct report *r, uint64_t bytes, uint64_t count)
{
	for (int by = AGGREGATE_SITES; by <= AGGREGATE_FUNCTIONS; by++) {
		auto_aggregate struct aggregate a = { 0 };
		uint64_t own_bytes = 0, own_count = 0;
		synthetic_ok(aggregate_compute(r, (enum aggregate_by)by, &a));
		for (size_t i = 0; i < a.count; i++) {
			own_bytes += a.rows[i].own_bytes;
			own_count += a.rows[i].own_count;
			if (by != AGGREGATE_FUNCTIONS)
				continue;
			/* recursion counts once, so no total is more than all there is */
			assert_true(a.rows[i].total_bytes <= bytes);
			assert_true(a.rows[i].total_count <= count);
			assert_true(a.rows[i].total_bytes >= a.rows[i].own_bytes);
		}
		assert_int_equal(own_bytes, bytes);
		assert_int_equal(own_count, count);
	}
}

static const struct aggregate_row *row_named(const struct aggregate *a, const char *name)
{
	for (size_t i = 0; i < a->count; i++)
		if (!strcmp(a->rows[i].name, name))
			return &a->rows[i];
	return NULL;
}

/* The page's sites are those of stats: the same places with the same numbers. */
static void check_tree_sites(const struct report *r, const struct tree *tree)
{
	auto_free struct tree_site *sites = NULL;
	auto_aggregate struct aggregate a = { 0 };
	size_t count;
	synthetic_ok(tree_sites(tree, r->view, &sites, &count));
	synthetic_ok(aggregate_compute(r, AGGREGATE_SITES, &a));
	uint32_t frame_count;
	const struct tree_frame *frames = tree_frames(tree, &frame_count);
	for (size_t i = 0; i < count; i++) {
		const struct tree_frame *f = &frames[sites[i].frame];
		const struct symbol_frame frame = {
			tree_string(tree, f->function), tree_string(tree, f->file),
			tree_string(tree, f->module), f->line, f->kind, f->flags,
		};
		uint32_t label;
		bool none = !sites[i].frame || f->kind == FRAME_MARK;
		synthetic_ok(labels_of_frame(a.labels, none ? NULL : &frame, LABEL_NO_THREAD,
					     &label));
		const struct aggregate_row *row = row_named(&a, labels_text(a.labels, label));
		if (!row)
			fail_msg("stats has no '%s'", labels_text(a.labels, label));
		/* Rows of equal text are one row in stats and may be several sites in the tree. */
		((struct aggregate_row *)row)->own_bytes -= sites[i].value.bytes[r->view];
		((struct aggregate_row *)row)->own_count -= sites[i].value.count[r->view];
	}
	for (size_t i = 0; i < a.count; i++)
		if (a.rows[i].own_bytes || a.rows[i].own_count)
			fail_msg("'%s' differs by %" PRId64 " bytes", a.rows[i].name,
				 (int64_t)a.rows[i].own_bytes);
}

static void check_tree(const struct report *r, enum view_kind view, uint64_t bytes,
		       uint64_t count)
{
	struct tree_options options = { .split_threads = r->split_threads };
	auto_tree struct tree *tree = NULL;
	auto_free struct tree_value *totals = NULL;
	synthetic_ok(tree_build(r->cap, r->views, r->sym, &options, &tree));
	synthetic_ok(tree_totals(tree, &totals));
	assert_int_equal(totals[0].bytes[view], bytes);
	assert_int_equal(totals[0].count[view], count);
	if (!r->split_threads)
		check_tree_sites(r, tree);
}

static uint64_t json_number(const char *json, const char *key)
{
	char want[64];
	snprintf(want, sizeof(want), "\"%s\": ", key);
	const char *at = strstr(json, want);
	if (!at)
		fail_msg("no %s", key);
	return strtoull(at + strlen(want), NULL, 10);
}

static void check_json(const struct report *r, const struct model *m)
{
	auto_free char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	synthetic_ok(stats_write_json(r, 5, out));
	fclose(out);
	assert_int_equal(json_number(text, "total_num_allocations"), m->count[VIEW_ALLOCATED]);
	assert_int_equal(json_number(text, "total_bytes_allocated"), m->bytes[VIEW_ALLOCATED]);
	assert_int_equal(json_number(text, "peak_memory"), m->bytes[VIEW_PEAK]);
	assert_int_equal(json_number(text, "peak_count"), m->count[VIEW_PEAK]);
	assert_int_equal(json_number(text, "leaked_bytes"), m->bytes[VIEW_LEAKS]);
	assert_int_equal(json_number(text, "leaked_count"), m->count[VIEW_LEAKS]);
	assert_int_equal(json_number(text, "MALLOC") + json_number(text, "CALLOC"),
			 m->count[VIEW_ALLOCATED]);
}

static void check_view(const struct synthetic *s, enum view_kind view, bool split,
		       struct model *m)
{
	auto_report struct report r = { 0 };
	synthetic_open(s, view, METRIC_BYTES, split, &r);
	if (view == VIEW_TEMPORARY) {	/* the model has no opinion; the reports must agree */
		m->bytes[view] = r.views->total_bytes[view];
		m->count[view] = r.views->total_count[view];
		assert_true(m->count[view] > 0 && m->count[view] < m->count[VIEW_ALLOCATED]);
	}
	assert_int_equal(r.views->total_bytes[view], m->bytes[view]);
	assert_int_equal(r.views->total_count[view], m->count[view]);
	check_aggregates(&r, m->bytes[view], m->count[view]);
	assert_int_equal(folded_sum(&r, false), m->bytes[view]);
	assert_int_equal(folded_sum(&r, true), m->bytes[view]);
	r.metric = METRIC_COUNT;
	assert_int_equal(folded_sum(&r, false), m->count[view]);
	check_tree(&r, view, m->bytes[view], m->count[view]);
	check_json(&r, m);
}

static void test_agreement(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct synthetic s;
		struct model m;
		make_capture(&s, seed, &m);
		for (int view = 0; view < VIEW_COUNT; view++)
			for (int split = 0; split < 2; split++)
				check_view(&s, (enum view_kind)view, split, &m);
		synthetic_remove(&s);
	}
}

/* `parse` has a line for every event, frame, node and stack; `info` counts the same. */
static void test_parse_and_info(void **state)
{
	struct synthetic s;
	struct model m;
	auto_free char *text = NULL;
	size_t size = 0;
	uint64_t events = 0, allocated = 0, stacks = 0, frames = 0;
	(void)state;
	make_capture(&s, 42, &m);
	auto_capture struct capture *cap = NULL;
	synthetic_ok(capture_open(s.path, &cap));
	FILE *out = open_memstream(&text, &size);
	synthetic_ok(parse_write(cap, out));
	fclose(out);
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		events += !strncmp(line, "event ", 6);
		stacks += !strncmp(line, "stack ", 6);
		frames += !strncmp(line, "frame ", 6);
		const char *kind = strstr(line, " kind=");
		if (!strncmp(line, "event ", 6) && strncmp(kind + 6, "free", 4))
			allocated += strtoull(strstr(line, " size=") + 6, NULL, 10);
	}
	auto_info struct info info = { 0 };
	synthetic_ok(info_gather(cap, NULL, NULL, &info));
	assert_int_equal(events, EVENTS);
	assert_int_equal(info.events, EVENTS);
	assert_int_equal(allocated, m.bytes[VIEW_ALLOCATED]);
	assert_int_equal(stacks, STACKS);
	assert_int_equal(frames, 22);
	assert_int_equal(facts_missing(&info.facts), 0);
	synthetic_remove(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agreement), cmocka_unit_test(test_parse_and_info),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
