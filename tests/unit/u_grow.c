/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_grow.c - a capture read while it is written: at each step the views are those of a capture
 * that ended there.
 * Knows: capture_grow(), views_pass_*(). Does not know: who records.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/views.h"
#include "capture/reader.h"
#include "capture/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEPS 12
#define EVENTS 3000		/* of a step */
#define BLOCKS 400

static void ok(struct mt_error *err)
{
	if (err)
		fail_msg("%s", err->message);
}

struct maker {
	struct capture_writer *w;
	char path[40];
	uint32_t stacks;
	uint64_t ticks;
	uint32_t random;
};

static uint32_t random_below(struct maker *t, uint32_t n)
{
	t->random = t->random * 1664525u + 1013904223u;
	return (t->random >> 8) % n;
}

static void new_stack(struct maker *t)
{
	uint32_t frame, node, stack;
	ok(capture_writer_frame_native(t->w, 0, 0x1000 + t->stacks, &frame));
	ok(capture_writer_node(t->w, 0, frame, &node));
	ok(capture_writer_stack(t->w, node, 0, 0, &stack));
	assert_int_equal(stack, t->stacks + 1);
}

static void begin(struct maker *t)
{
	strcpy(t->path, "/tmp/memtrace-grow.XXXXXX");
	int fd = mkstemp(t->path);
	assert_true(fd >= 0);
	close(fd);
	ok(capture_writer_create(t->path, true, CAPTURE_FEATURE_NATIVE, &t->w));
	ok(capture_writer_meta(t->w, CAPTURE_META_TSC_HZ, "1000000", 7));
	ok(capture_writer_meta(t->w, CAPTURE_META_START_TICKS, "1", 1));
}

/* The same events each time for the same steps. */
static void step(struct maker *t)
{
	for (unsigned i = 0; i < EVENTS; i++) {
		bool fresh = t->stacks < 1 + t->ticks / 500;
		struct capture_event ev = { .ticks = t->ticks += 1 + random_below(t, 50), .thread = 1 };
		ev.address = 0x10000 + 64ull * random_below(t, BLOCKS);
		ev.kind = random_below(t, 2) ? WIRE_REC_MALLOC : WIRE_REC_FREE;
		if (fresh)
			new_stack(t);
		t->stacks += fresh;
		if (ev.kind == WIRE_REC_MALLOC) {
			ev.size = 1 + random_below(t, 5000);
			ev.stack = 1 + random_below(t, t->stacks);
		}
		ok(capture_writer_event(t->w, &ev));
	}
}

static void assert_same_views(const struct views *a, const struct views *b)
{
	assert_int_equal(a->events, b->events);
	assert_int_equal(a->row_count, b->row_count);
	assert_int_equal(a->peak_ticks, b->peak_ticks);
	assert_int_equal(a->min_size, b->min_size);
	assert_int_equal(a->max_size, b->max_size);
	assert_memory_equal(a->total_bytes, b->total_bytes, sizeof(a->total_bytes));
	assert_memory_equal(a->total_count, b->total_count, sizeof(a->total_count));
	for (size_t i = 0; i < a->row_count; i++) {
		assert_int_equal(a->rows[i].stack, b->rows[i].stack);
		assert_memory_equal(a->rows[i].bytes, b->rows[i].bytes, sizeof(a->rows[i].bytes));
		assert_memory_equal(a->rows[i].count, b->rows[i].count, sizeof(a->rows[i].count));
		const struct growth_row *x = &a->growth->rows.items[i], *y = &b->growth->rows.items[i];
		assert_int_equal(x->released, y->released);
		assert_int_equal(x->oldest_ms, y->oldest_ms);
		assert_int_equal(x->survived_ms, y->survived_ms);
		assert_memory_equal(x->age_bytes, y->age_bytes, sizeof(x->age_bytes));
	}
}

static void take_all(struct capture *cap, struct capture_pass *events, struct views_pass *pass)
{
	const struct capture_event *batch;
	size_t count = 1;
	ok(capture_grow(cap));
	while (count) {
		ok(capture_pass_next(events, &batch, &count));
		if (count)
			ok(views_pass_take(batch, count, pass));
	}
}

/* The prefix of `steps` steps as a capture of its own. */
static void compare_with_prefix(unsigned steps, const struct views *now)
{
	struct maker t = { .random = 7 };
	auto_capture struct capture *cap = NULL;
	auto_views struct views *v = NULL;
	begin(&t);
	for (unsigned i = 0; i < steps; i++)
		step(&t);
	ok(capture_writer_finish(t.w));
	capture_writer_destroy(t.w);
	ok(capture_open(t.path, &cap));
	ok(views_compute(cap, &(struct view_options){ .growth = true, .temporary_threshold = 1 }, &v));
	assert_same_views(v, now);
	unlink(t.path);
}

static void test_each_step(void **state)
{
	(void)state;
	struct maker t = { .random = 7 };
	auto_capture struct capture *cap = NULL;
	auto_capture_pass struct capture_pass *events = NULL;
	auto_views_pass struct views_pass *pass = NULL;
	struct capture_tables tables;
	begin(&t);
	ok(capture_open_growing(t.path, &cap));
	ok(capture_grow(cap));
	assert_null(capture_meta(cap, CAPTURE_META_TSC_HZ, NULL));	/* nothing there yet */
	for (unsigned i = 1; i <= STEPS; i++) {
		struct views *now;
		step(&t);
		ok(capture_writer_flush(t.w));
		if (!pass) {
			ok(capture_grow(cap));
			ok(capture_pass_begin(cap, &events));
			ok(views_pass_begin(cap, &(struct view_options){ .growth = true,
									 .temporary_threshold = 1 }, &pass));
		}
		take_all(cap, events, pass);
		ok(capture_load_tables(cap, &tables));
		assert_int_equal(tables.stack_count, t.stacks + 1);
		ok(views_pass_now(pass, &now));
		compare_with_prefix(i, now);
	}
	uint64_t before = capture_grown(cap);
	ok(capture_writer_finish(t.w));		/* the index and the end mark are nothing new */
	take_all(cap, events, pass);
	assert_true(capture_grown(cap) >= before);
	struct views *last;
	ok(views_pass_now(pass, &last));
	compare_with_prefix(STEPS, last);
	capture_writer_destroy(t.w);
	unlink(t.path);
}

/* A block that is not there whole is waited for; what is no block ends the reading. */
static void test_torn(void **state)
{
	(void)state;
	struct maker t = { .random = 7 };
	auto_capture struct capture *cap = NULL;
	char bytes[1 << 16], path[] = "/tmp/memtrace-grow.XXXXXX";
	begin(&t);
	step(&t);
	ok(capture_writer_finish(t.w));
	capture_writer_destroy(t.w);
	FILE *f = fopen(t.path, "r");
	size_t size = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	assert_true(size > 2000 && size < sizeof(bytes));
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, 100), 100);
	ok(capture_open_growing(path, &cap));
	uint64_t grown = 0;
	for (size_t at = 100; at < size; at += 37) {
		size_t n = size - at < 37 ? size - at : 37;
		assert_int_equal(write(fd, bytes + at, n), n);
		ok(capture_grow(cap));
		assert_true(capture_grown(cap) >= grown && capture_grown(cap) <= at + n);
		grown = capture_grown(cap);
	}
	assert_non_null(capture_meta(cap, CAPTURE_META_TSC_HZ, NULL));
	assert_int_equal(write(fd, bytes + 7, 4000), 4000);
	ok(capture_grow(cap));
	assert_int_equal(capture_grown(cap), grown);
	close(fd);
	unlink(path);
	unlink(t.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_step), cmocka_unit_test(test_torn) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
