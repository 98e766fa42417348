/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_aggregate.c - the sums of an aggregated capture are those of the same events one by one.
 * Knows: analysis/aggregate.h, analysis/views_private.h. Does not know: who records.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/aggregate.h"
#include "analysis/views_private.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICKS_PER_SECOND 1000000u
#define STACKS 200u
#define THREADS 5u
#define BLOCKS 3000u

static void ok(struct mt_error *err)
{
	if (err)
		fail_msg("%s", err->message);
}

/* ---- events at random: the same for the same seed ---- */

struct maker {
	uint64_t random, ticks;
	uint32_t stacks, threads;
	unsigned step;		/* ticks from one event to the next, at most */
	const char *sample;	/* NULL: all blocks are recorded */
};

static uint32_t below(struct maker *m, uint32_t n)
{
	m->random = m->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((m->random >> 33) % n);
}

static struct capture_event next_event(struct maker *m)
{
	struct capture_event ev = { .ticks = m->ticks += below(m, m->step), .thread = 1 + below(m, m->threads) };
	/* More come in one time than go, and the other way round. */
	bool come = below(m, 20) < (m->ticks / 200000 % 3 ? 12 : 6);
	bool range = !below(m, 12);
	if (range) {
		ev.address = 0x7f0000000000ull + 4096ull * below(m, 64);
		ev.kind = come ? WIRE_REC_MMAP : WIRE_REC_MUNMAP;
		ev.size = 1 + below(m, 40000);
	} else {
		ev.address = 0x10000 + 64ull * below(m, BLOCKS);
		ev.kind = come ? (below(m, 2) ? WIRE_REC_MALLOC : WIRE_REC_CALLOC) : WIRE_REC_FREE;
		ev.size = come ? below(m, 5000) : 0;
	}
	if (come)
		ev.stack = 1 + below(m, m->stacks);
	if (come && !below(m, 500))
		ev.address = 0;		/* malloc(0) may answer that */
	return ev;
}

static void put_stacks(struct capture_writer *w, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t frame, node, stack;
		ok(capture_writer_frame_native(w, 0, 0x1000 + i, &frame));
		ok(capture_writer_node(w, 0, frame, &node));
		ok(capture_writer_stack(w, node, 0, 0, &stack));
		assert_int_equal(stack, i + 1);
	}
}

/* ---- files ---- */

struct file {
	char path[48];
	struct capture_writer *w;
};

static void begin(struct file *f, bool aggregated, uint32_t stacks, const char *sample)
{
	strcpy(f->path, "/tmp/memtrace-aggregate.XXXXXX");
	int fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	ok(capture_writer_create(f->path, true, CAPTURE_FEATURE_NATIVE |
						(aggregated ? CAPTURE_FEATURE_AGGREGATED : 0), &f->w));
	ok(capture_writer_meta(f->w, CAPTURE_META_TSC_HZ, "1000000", 7));
	ok(capture_writer_meta(f->w, CAPTURE_META_START_TICKS, "1", 1));
	if (sample)
		ok(capture_writer_meta(f->w, CAPTURE_META_SAMPLE, sample, strlen(sample)));
	put_stacks(f->w, stacks);
}

static void end(struct file *f)
{
	ok(capture_writer_finish(f->w));
	capture_writer_destroy(f->w);
	f->w = NULL;
}

static struct aggregate *new_aggregate(const char *sample)
{
	struct views_source source = { .page_size = (uint64_t)sysconf(_SC_PAGESIZE),
				       .ticks_per_second = TICKS_PER_SECOND, .start_ticks = 1,
				       .sample_rate = sample ? strtoull(sample, NULL, 10) : 0 };
	struct aggregate *a;
	ok(aggregate_create(&source, &a));
	return a;
}

static void write_events(struct file *f, struct maker m, size_t count)
{
	begin(f, false, m.stacks, m.sample);
	for (size_t i = 0; i < count; i++) {
		struct capture_event ev = next_event(&m);
		ok(capture_writer_event(f->w, &ev));
	}
	end(f);
}

/* `flush`: events from one to the next. `last`: it is ended, not cut. */
static void write_sums(struct file *f, struct maker m, size_t count, size_t flush, bool last)
{
	struct aggregate *a = new_aggregate(m.sample);
	begin(f, true, m.stacks, m.sample);
	for (size_t i = 0; i < count; i++) {
		struct capture_event ev = next_event(&m);
		ok(aggregate_take(&ev, 1, a));
		if (i % flush == flush - 1)
			ok(aggregate_write(a, f->w, false));
	}
	if (last) {
		ok(aggregate_write(a, f->w, true));
		end(f);
	} else {
		capture_writer_destroy(f->w);
	}
	aggregate_destroy(a);
}

/* ---- the same? ---- */

static const struct view_row *find(const struct views *v, const struct view_row *want)
{
	for (size_t i = 0; i < v->row_count; i++)
		if (v->rows[i].stack == want->stack && v->rows[i].thread == want->thread &&
		    v->rows[i].kind == want->kind)
			return &v->rows[i];
	fail_msg("a row is not there: stack %u, thread %u, %s", want->stack, want->thread,
		 wire_record_name(want->kind));
	return NULL;
}

static void assert_same_rows(const struct views *a, const struct views *b)
{
	assert_int_equal(a->row_count, b->row_count);
	for (size_t i = 0; i < a->row_count; i++) {
		const struct view_row *row = find(b, &a->rows[i]);
		assert_memory_equal(a->rows[i].bytes, row->bytes, sizeof(row->bytes));
		assert_memory_equal(a->rows[i].count, row->count, sizeof(row->count));
	}
	assert_memory_equal(a->total_bytes, b->total_bytes, sizeof(a->total_bytes));
	assert_memory_equal(a->total_count, b->total_count, sizeof(a->total_count));
	assert_memory_equal(a->kind_count, b->kind_count, sizeof(a->kind_count));
	assert_memory_equal(a->kind_bytes, b->kind_bytes, sizeof(a->kind_bytes));
	assert_memory_equal(a->size_class, b->size_class, sizeof(a->size_class));
	assert_int_equal(a->events, b->events);
	assert_int_equal(a->allocations, b->allocations);
	assert_int_equal(a->releases, b->releases);
	assert_int_equal(a->unknown_releases, b->unknown_releases);
	assert_int_equal(a->min_size, b->min_size);
	assert_int_equal(a->max_size, b->max_size);
	assert_int_equal(a->peak_ticks, b->peak_ticks);
	assert_int_equal(a->first_ticks, b->first_ticks);
	assert_int_equal(a->last_ticks, b->last_ticks);
}

static void assert_same_points(const struct views *a, const struct views *b)
{
	assert_int_equal(a->point_count, b->point_count);
	for (size_t i = 0; i < a->point_count; i++) {
		assert_int_equal(a->points[i].ticks, b->points[i].ticks);
		assert_int_equal(a->points[i].heap, b->points[i].heap);
	}
}

/* Bytes of a stack and kind that lived from one instant to the other: entries are by row, and rows are
 * numbered as they come in both. */
static void assert_same_lives(const struct views *a, const struct views *b)
{
	const struct temporal *x = a->temporal, *y = b->temporal;
	struct mt_map lives = MT_MAP_INIT;
	size_t left = 0;
	assert_int_equal(x->instants.len, y->instants.len);
	for (size_t i = 0; i < x->instants.len; i++) {
		assert_int_equal(x->instants.items[i].ticks, y->instants.items[i].ticks);
		assert_int_equal(x->instants.items[i].heap, y->instants.items[i].heap);
	}
	for (size_t i = 0; i < x->cap; i++)
		if (x->entries[i].key)
			assert_true(mt_map_put(&lives, x->entries[i].key, i));
	for (size_t i = 0; i < y->cap; i++) {
		const uint64_t *there = y->entries[i].key ? mt_map_get(&lives, y->entries[i].key) : NULL;
		if (!y->entries[i].key)
			continue;
		assert_non_null(there);
		assert_int_equal(x->entries[*there].bytes, y->entries[i].bytes);
		assert_int_equal(x->entries[*there].count, y->entries[i].count);
		left++;
	}
	assert_int_equal(left, lives.len);
	mt_map_deinit(&lives);
}

/* What the entries say was live at an instant is what was. */
static void assert_whole_lives(const struct views *v)
{
	const struct temporal *t = v->temporal;
	assert_true(t->instants.len >= 16);
	for (size_t i = 0; i < t->instants.len; i++) {
		uint64_t sum = 0;
		for (size_t k = 0; k < t->cap; k++) {
			const struct temporal_entry *e = &t->entries[k];
			if (e->key && temporal_born(e) <= i && i < temporal_gone(e))
				sum += e->bytes;
		}
		assert_int_equal(sum, t->instants.items[i].heap);
	}
}

static struct views *views_of(const char *path, const struct view_options *options)
{
	auto_capture struct capture *cap = NULL;
	struct views *v;
	ok(capture_open(path, &cap));
	ok(views_compute(cap, options, &v));
	return v;
}

static void compare(const struct file *events, const struct file *sums, bool split)
{
	struct view_options options = { .split_threads = split, .temporal = true, .temporary_threshold = 1 };
	auto_views struct views *a = views_of(events->path, &options), *b = views_of(sums->path, &options);
	assert_same_rows(a, b);
	assert_same_points(a, b);
	assert_same_lives(a, b);
}

static void test_same_numbers(void **state)
{
	(void)state;
	static const struct {
		unsigned step;
		size_t count, flush;
		const char *sample;
	} rows[] = {
		{ 2, 200, 7, NULL }, { 40, 30000, 500, NULL }, { 40, 30000, 29999, NULL },
		{ 3000, 60000, 1000, NULL }, { 400, 20000, 1, NULL }, { 400, 20000, 100, "2048" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct maker m = { .random = i + 1, .stacks = STACKS, .threads = THREADS, .step = rows[i].step,
				   .sample = rows[i].sample };
		struct file events, sums;
		write_events(&events, m, rows[i].count);
		write_sums(&sums, m, rows[i].count, rows[i].flush, true);
		compare(&events, &sums, false);
		compare(&events, &sums, true);
		unlink(events.path);
		unlink(sums.path);
	}
}

/* A file that ends anywhere has the numbers of the last time that they were written. */
static void test_cut(void **state)
{
	(void)state;
	const size_t count = 4000, flush = 100;
	struct maker m = { .random = 9, .stacks = STACKS, .threads = THREADS, .step = 3000 };
	struct view_options options = { .split_threads = true, .temporal = true, .temporary_threshold = 1 };
	struct file sums;
	write_sums(&sums, m, count, flush, false);
	struct stat st;
	assert_int_equal(stat(sums.path, &st), 0);
	uint64_t last = count + 1;
	for (off_t size = st.st_size; size > 4000; size -= 1 + size / 50) {
		assert_int_equal(truncate(sums.path, size), 0);
		auto_views struct views *v = views_of(sums.path, &options);
		assert_int_equal(v->events % flush, 0);
		assert_true(v->events < last || v->events == last);
		last = v->events;
		if (!v->events)
			break;
		struct file prefix;
		write_events(&prefix, m, v->events);
		auto_views struct views *want = views_of(prefix.path, &options);
		assert_same_rows(want, v);
		/* What is left at the end of the time line is what is live. */
		uint64_t left = 0, end = 0;
		for (size_t i = 0; i < v->temporal->cap; i++)
			if (v->temporal->entries[i].key && temporal_gone(&v->temporal->entries[i]) == TEMPORAL_NEVER)
				left += v->temporal->entries[i].bytes;
		for (size_t i = 0; i < v->row_count; i++)
			end += v->rows[i].bytes[VIEW_LEAKS];
		assert_int_equal(left, end);
		unlink(prefix.path);
	}
	assert_true(last < count);
	unlink(sums.path);
}

/* Growth has the survivors, the releases and the last value; curves are by slots. */
static void test_growth(void **state)
{
	(void)state;
	struct maker m = { .random = 5, .stacks = 20, .threads = 2, .step = 400 };
	struct view_options options = { .growth = true, .temporary_threshold = 1 };
	struct file events, sums;
	write_events(&events, m, 20000);
	write_sums(&sums, m, 20000, 300, true);
	auto_views struct views *a = views_of(events.path, &options), *b = views_of(sums.path, &options);
	assert_int_equal(growth_slots(a->growth), growth_slots(b->growth));
	assert_int_equal(a->growth->slot_ms, b->growth->slot_ms);
	assert_int_equal(a->growth->end_ms, b->growth->end_ms);
	for (size_t i = 0; i < a->row_count; i++) {
		const struct growth_row *x = &a->growth->rows.items[i], *y = &b->growth->rows.items[i];
		uint64_t xs[2][GROWTH_SLOTS] = { { 0 } }, ys[2][GROWTH_SLOTS] = { { 0 } }, xb = 0, yb = 0;
		assert_int_equal(a->rows[i].stack, b->rows[i].stack);
		growth_series(a->growth, x, xs[0], xs[1]);
		growth_series(b->growth, y, ys[0], ys[1]);
		uint32_t end = growth_slots(a->growth) - 1;
		assert_int_equal(xs[0][end], ys[0][end]);
		assert_int_equal(xs[1][end], ys[1][end]);
		assert_int_equal(x->released, y->released);
		assert_in_range(y->longest_ms + LIFE_UNIT_MS, x->longest_ms, x->longest_ms + 2 * LIFE_UNIT_MS);
		assert_in_range(y->oldest_ms + 40, x->oldest_ms, x->oldest_ms + 80);	/* a slot has 32 */
		for (unsigned k = 0; k < GROWTH_AGES; k++) {
			xb += x->age_bytes[k];
			yb += y->age_bytes[k];
		}
		assert_int_equal(xb, yb);
	}
	unlink(events.path);
	unlink(sums.path);
}

/* However long it takes: the file stays as large as its sums, and whoever looks finds it whole. */
static void test_stays_small(void **state)
{
	(void)state;
	const uint32_t stacks = 20000;
	struct maker m = { .random = 3, .stacks = stacks, .threads = 1, .step = 40 };
	struct aggregate *a = new_aggregate(NULL);
	struct file sums, events;
	uint64_t most = 0;
	bool anew = false;
	begin(&sums, true, stacks, NULL);
	struct maker now = m;
	for (size_t i = 0; i < 600000; i++) {
		struct capture_event ev = next_event(&now);
		ok(aggregate_take(&ev, 1, a));
		if (i % 10000)
			continue;
		uint64_t before = capture_writer_bytes(sums.w);
		ok(aggregate_write(a, sums.w, false));
		anew |= capture_writer_bytes(sums.w) < before;
		if (capture_writer_bytes(sums.w) > most)
			most = capture_writer_bytes(sums.w);
	}
	ok(aggregate_write(a, sums.w, true));
	end(&sums);
	aggregate_destroy(a);
	assert_true(anew);
	assert_in_range(most, 1, 8u << 20);
	glob_t found;
	char beside[64];
	snprintf(beside, sizeof(beside), "%s.*", sums.path);
	assert_int_equal(glob(beside, 0, NULL, &found), GLOB_NOMATCH);
	write_events(&events, m, 600000);
	/* So many entries that slots are joined, for which the sums have more room. */
	struct view_options options = { .temporal = true, .temporary_threshold = 1 };
	auto_views struct views *x = views_of(events.path, &options), *y = views_of(sums.path, &options);
	assert_same_rows(x, y);
	assert_same_points(x, y);
	assert_whole_lives(y);
	unlink(events.path);
	unlink(sums.path);
}

/* No file can be made beside: the old one goes on, and grows until one can. A file that is renamed meanwhile
 * is written anew under its new name. */
static void test_no_file_beside(void **state)
{
	(void)state;
	struct maker m = { .random = 4, .stacks = 20000, .threads = 1, .step = 40 }, now = m;
	struct aggregate *a = new_aggregate(NULL);
	struct file sums, events;
	struct rlimit none, limit;
	uint64_t most = 0;
	begin(&sums, true, m.stacks, NULL);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 1;
	for (size_t i = 0; i < 600000; i++) {
		struct capture_event ev = next_event(&now);
		ok(aggregate_take(&ev, 1, a));
		if (i % 10000)
			continue;
		uint64_t before = capture_writer_bytes(sums.w);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, i < 400000 ? &none : &limit), 0);
		ok(aggregate_write(a, sums.w, false));
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		if (i < 400000)
			assert_true(capture_writer_bytes(sums.w) > before);
		most = capture_writer_bytes(sums.w) > most ? capture_writer_bytes(sums.w) : most;
		if (i == 300000) {
			char old[sizeof(sums.path)];
			strcpy(old, sums.path);
			sums.path[strlen(sums.path) - 1] ^= 1;
			assert_int_equal(rename(old, sums.path), 0);
		}
	}
	ok(aggregate_write(a, sums.w, true));
	assert_true(capture_writer_bytes(sums.w) < most);
	end(&sums);
	aggregate_destroy(a);
	write_events(&events, m, 600000);
	struct view_options options = { .split_threads = true, .temporary_threshold = 1 };
	auto_views struct views *x = views_of(events.path, &options), *y = views_of(sums.path, &options);
	assert_same_rows(x, y);
	unlink(events.path);
	unlink(sums.path);
}

/* Stamps that run out are given anew; blocks and mappings keep their places in time. */
static void test_stamps(void **state)
{
	(void)state;
	struct maker m = { .random = 21, .stacks = STACKS, .threads = THREADS, .step = 400 };
	struct views_source source = { .page_size = (uint64_t)sysconf(_SC_PAGESIZE),
				       .ticks_per_second = TICKS_PER_SECOND, .start_ticks = 1 };
	struct views_pass *p, *q;
	ok(views_pass_begin_aggregate(&source, &p));
	ok(views_pass_begin_aggregate(&source, &q));
	unsigned restamped = 0;
	for (unsigned i = 0; i < 30000; i++) {
		struct capture_event ev = next_event(&m);
		if (i % 1000 == 999)	/* near the end of the numbers, all in their order */
			restamped += p->temporal->stamp > 600;
		if (i % 1000 == 999 && p->temporal->stamp > 600)
			views_restamp(p);
		ok(views_pass_take(&ev, 1, p));
		ok(views_pass_take(&ev, 1, q));
	}
	assert_true(restamped > 5);
	assert_true(p->temporal->stamp < q->temporal->stamp);
	temporal_end(p->temporal);
	temporal_end(q->temporal);
	assert_false(p->temporal->failed);
	struct views a = { .temporal = p->temporal }, b = { .temporal = q->temporal };
	assert_same_lives(&a, &b);
	views_pass_end(p);
	views_pass_end(q);
}

/* Threads without end are no rows without end: those after the first few thousand are one. */
static void test_later_threads(void **state)
{
	(void)state;
	struct maker m = { .random = 2, .stacks = 10, .threads = AGGREGATE_THREADS + 500, .step = 4 };
	struct file events, sums;
	auto_capture struct capture *cap = NULL;
	write_events(&events, m, 40000);
	write_sums(&sums, m, 40000, 1000, true);
	struct view_options options = { .split_threads = true, .temporary_threshold = 1 };
	auto_views struct views *a = views_of(events.path, &options), *b = views_of(sums.path, &options);
	uint64_t later[2][VIEW_COUNT] = { { 0 } };
	for (size_t i = 0; i < a->row_count; i++)
		for (int k = 0; k < VIEW_COUNT; k++)
			later[0][k] += a->rows[i].thread >= AGGREGATE_THREADS ? a->rows[i].bytes[k] : 0;
	for (size_t i = 0; i < b->row_count; i++) {
		assert_true(b->rows[i].thread < AGGREGATE_THREADS);
		for (int k = 0; k < VIEW_COUNT; k++)
			later[1][k] += b->rows[i].thread ? 0 : b->rows[i].bytes[k];
	}
	assert_true(later[0][VIEW_ALLOCATED] > 0);
	for (int k = 0; k < VIEW_TEMPORARY; k++)	/* temporary: of one thread they are fewer */
		assert_int_equal(later[0][k], later[1][k]);
	ok(capture_open(sums.path, &cap));
	assert_string_equal(capture_thread_name(cap, 0, NULL), "later threads");
	unlink(events.path);
	unlink(sums.path);
}

static void test_threshold(void **state)
{
	(void)state;
	struct maker m = { .random = 1, .stacks = 2, .threads = 1, .step = 4 };
	struct file sums;
	auto_capture struct capture *cap = NULL;
	struct views *v;
	write_sums(&sums, m, 100, 10, true);
	ok(capture_open(sums.path, &cap));
	struct mt_error *err = views_compute(cap, &(struct view_options){ .temporary_threshold = 2 }, &v);
	assert_non_null(err);
	assert_non_null(strstr(err->message, "is an aggregated capture: it counts the temporary allocations of"
					     " threshold 1 only"));
	mt_error_destroy(err);
	unlink(sums.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_numbers), cmocka_unit_test(test_cut), cmocka_unit_test(test_growth),
		cmocka_unit_test(test_stays_small), cmocka_unit_test(test_stamps), cmocka_unit_test(test_threshold), cmocka_unit_test(test_no_file_beside),
		cmocka_unit_test(test_later_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
