/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_library.c - the public reader over a small capture with known contents.
 * Knows: lib/memtrace.h. Does not know: the rooms behind it.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/memtrace.h"
#include "tests/unit/synthetic.h"

#include <errno.h>

static void good(struct memtrace_error *err)
{
	if (err)
		fail_msg("%s", memtrace_error_message(err));
}

struct made {
	struct synthetic s;
	uint32_t native_stack, python_stack, mixed_stack;
};

/* main -> f: 100 bytes kept; app.py's g: 40 freed at once, then 300 freed after the peak. */
static void make(struct made *m, bool whole)
{
	synthetic_begin(&m->s);
	uint32_t main_ = synthetic_native(&m->s, "main", "main.c", 10, 0);
	uint32_t f = synthetic_native(&m->s, "f", "f.c", 20, 3);
	uint32_t g = synthetic_python(&m->s, "g", "app.py", 3);
	m->native_stack = synthetic_stack(&m->s, (uint32_t[]){ main_, f, 0 }, (uint32_t[]){ 0 }, 0);
	m->python_stack = synthetic_stack(&m->s, (uint32_t[]){ 0 }, (uint32_t[]){ g, 0 }, 0);
	m->mixed_stack = synthetic_stack(&m->s, (uint32_t[]){ main_, f, 0 }, (uint32_t[]){ g, 0 }, 0);
	synthetic_event(&m->s, WIRE_REC_MALLOC, 0x1000, 100, m->native_stack, 1);
	synthetic_event(&m->s, WIRE_REC_CALLOC, 0x2000, 40, m->python_stack, 2);
	synthetic_event(&m->s, WIRE_REC_FREE, 0x2000, 0, 0, 2);
	synthetic_event(&m->s, WIRE_REC_MALLOC, 0x3000, 300, m->mixed_stack, 1);
	synthetic_event(&m->s, WIRE_REC_MMAP, 0x10000, 4096, m->mixed_stack, 2);
	synthetic_event(&m->s, WIRE_REC_MUNMAP, 0x10000, 4096, 0, 2);
	synthetic_event(&m->s, WIRE_REC_FREE, 0x3000, 0, 0, 1);
	synthetic_end(&m->s, whole);
}

static void test_facts(void **state)
{
	(void)state;
	struct made m;
	struct memtrace_reader *r;
	struct memtrace_totals t;
	uint64_t counter = 0;
	uint32_t tid = 0;
	size_t size = 0;
	make(&m, true);
	good(memtrace_reader_open(m.s.path, &r));
	assert_null(memtrace_reader_damage(r));
	assert_string_equal(memtrace_reader_meta(r, "pid", &size), "4711");
	assert_int_equal(size, 4);
	assert_null(memtrace_reader_meta(r, "no such key", NULL));
	assert_true(memtrace_reader_counter(r, "written", &counter));
	assert_int_equal(counter, 7);
	assert_false(memtrace_reader_counter(r, "no such counter", &counter));
	assert_string_equal(memtrace_reader_thread(r, 2, &tid), "wor;ker");
	assert_int_equal(tid, 4712);
	assert_string_equal(memtrace_reader_thread(r, 99, NULL), "");
	assert_int_equal(memtrace_reader_features(r), MEMTRACE_NATIVE | MEMTRACE_PYTHON);
	good(memtrace_reader_totals(r, &t));
	assert_int_equal(t.allocations, 4);
	assert_int_equal(t.releases, 3);
	assert_int_equal(t.allocated_bytes, 100 + 40 + 300 + 4096);
	assert_int_equal(t.peak_bytes, 100 + 300 + 4096);
	assert_int_equal(t.peak_count, 3);
	assert_int_equal(t.leaked_bytes, 100);
	assert_int_equal(t.start_ns, SYNTHETIC_START);
	assert_int_equal(t.frames, 3);
	memtrace_reader_close(r);
	synthetic_remove(&m.s);
}

/* bytes and count of one stack and allocator; -1 in a view that has no such row. */
static int64_t row(const struct memtrace_record *records, size_t count, uint32_t stack,
		   uint32_t allocator, uint32_t thread)
{
	for (size_t i = 0; i < count; i++)
		if (records[i].stack == stack && records[i].allocator == allocator &&
		    records[i].thread == thread)
			return (int64_t)(records[i].bytes * 10 + records[i].count);
	return -1;
}

static void test_records(void **state)
{
	(void)state;
	struct made m;
	make(&m, true);
	const struct {
		uint32_t view, flags, threshold;
		size_t count;
		uint32_t stack, allocator, thread;
		int64_t bytes_and_count;
	} rows[] = {
		{ MEMTRACE_PEAK, 0, 1, 3, m.mixed_stack, MEMTRACE_MMAP, 0, 40961 },
		{ MEMTRACE_PEAK, MEMTRACE_SPLIT_THREADS, 1, 3, m.mixed_stack, MEMTRACE_MALLOC, 1, 3001 },
		{ MEMTRACE_LEAKS, 0, 1, 1, m.native_stack, MEMTRACE_MALLOC, 0, 1001 },
		{ MEMTRACE_ALLOCATED, 0, 1, 4, m.python_stack, MEMTRACE_CALLOC, 0, 401 },
		{ MEMTRACE_TEMPORARY, 0, 0, 3, m.python_stack, MEMTRACE_CALLOC, 0, 401 },
		{ MEMTRACE_TEMPORARY, 0, 0, 3, m.native_stack, MEMTRACE_MALLOC, 0, -1 },
	};
	struct memtrace_reader *r;
	good(memtrace_reader_open(m.s.path, &r));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct memtrace_record *records;
		size_t count;
		good(memtrace_reader_records(r, rows[i].view, rows[i].flags, rows[i].threshold, &records,
					     &count));
		assert_int_equal(count, rows[i].count);
		assert_int_equal(row(records, count, rows[i].stack, rows[i].allocator, rows[i].thread),
				 rows[i].bytes_and_count);
		memtrace_free(records);
	}
	struct memtrace_record *records = (void *)&m;
	size_t count = 77;
	struct memtrace_error *err = memtrace_reader_records(r, 4, 0, 1, &records, &count);
	assert_non_null(err);
	assert_string_equal(memtrace_error_message(err), "there is no view 4");
	assert_ptr_equal(records, &m);
	assert_int_equal(count, 77);
	memtrace_error_free(err);
	memtrace_reader_close(r);
	synthetic_remove(&m.s);
}

/* Two calls on one line of Python are one place; on another line, another. */
static void test_same_line(void **state)
{
	(void)state;
	struct synthetic s;
	struct memtrace_reader *r;
	struct memtrace_record *records;
	uint32_t other, stacks[3], count_[2] = { 0 };
	size_t count;
	synthetic_begin(&s);
	uint32_t native = synthetic_native(&s, "main", "main.c", 10, 0);
	uint32_t g = synthetic_python(&s, "g", "app.py", 3);
	synthetic_ok(capture_writer_frame_python(s.w, s.next_code, false, 3, &other));
	uint32_t h = synthetic_python(&s, "g", "app.py", 4);
	const uint32_t frames[] = { g, other, h };
	for (int i = 0; i < 3; i++) {
		stacks[i] = synthetic_stack(&s, (uint32_t[]){ native, 0 }, (uint32_t[]){ frames[i], 0 }, 0);
		synthetic_event(&s, WIRE_REC_MALLOC, 0x1000 + 0x100u * (unsigned)i, 10, stacks[i], 1);
	}
	synthetic_end(&s, true);
	good(memtrace_reader_open(s.path, &r));
	good(memtrace_reader_records(r, MEMTRACE_PEAK, 0, 1, &records, &count));
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		assert_true(records[i].stack == stacks[0] || records[i].stack == stacks[2]);
		count_[records[i].stack == stacks[2]] += (uint32_t)records[i].count;
	}
	assert_int_equal(count_[0], 2);
	assert_int_equal(count_[1], 1);
	memtrace_free(records);
	memtrace_reader_close(r);
	synthetic_remove(&s);
}

static void test_lifetimes(void **state)
{
	(void)state;
	struct made m;
	struct memtrace_reader *r;
	struct memtrace_lifetime *lives;
	struct memtrace_snapshot *instants;
	struct memtrace_record *records;
	size_t count, instant_count, record_count;
	make(&m, true);
	good(memtrace_reader_open(m.s.path, &r));
	good(memtrace_reader_lifetimes(r, 0, &lives, &count, &instants, &instant_count));
	/* All in one millisecond: one instant, the peak, and what lived through it. */
	assert_int_equal(instant_count, 1);
	assert_int_equal(instants[0].heap, 100 + 300 + 4096);
	assert_int_equal(count, 3);
	uint64_t bytes = 0;
	for (size_t i = 0; i < count; i++) {
		bytes += lives[i].bytes;
		assert_int_equal(lives[i].born, 0);
		assert_int_equal(lives[i].gone == MEMTRACE_NEVER, lives[i].stack == m.native_stack);
	}
	assert_int_equal(bytes, 100 + 300 + 4096);
	memtrace_free(lives);
	memtrace_free(instants);
	/* The views are still there. */
	good(memtrace_reader_records(r, MEMTRACE_LEAKS, 0, 1, &records, &record_count));
	assert_int_equal(record_count, 1);
	memtrace_free(records);
	memtrace_reader_close(r);
	synthetic_remove(&m.s);
}

static void test_stacks(void **state)
{
	(void)state;
	struct made m;
	struct memtrace_reader *r;
	const struct memtrace_frame *frames;
	size_t count;
	make(&m, true);
	good(memtrace_reader_open(m.s.path, &r));
	good(memtrace_reader_stack(r, m.mixed_stack, MEMTRACE_STACK_PYTHON, &frames, &count));
	assert_int_equal(count, 1);
	assert_string_equal(frames[0].function, "g");
	assert_string_equal(frames[0].file, "app.py");
	assert_int_equal(frames[0].line, 3);
	assert_int_equal(frames[0].flags, MEMTRACE_FRAME_PYTHON);
	good(memtrace_reader_stack(r, m.mixed_stack, MEMTRACE_STACK_NATIVE, &frames, &count));
	assert_int_equal(count, 2);
	assert_string_equal(frames[0].function, "main");
	assert_string_equal(frames[1].function, "f");
	assert_string_equal(frames[1].module, "libfoo.so.1");
	good(memtrace_reader_stack(r, m.mixed_stack, MEMTRACE_STACK_HYBRID, &frames, &count));
	assert_int_equal(count, 3);
	good(memtrace_reader_stack(r, 0, MEMTRACE_STACK_HYBRID, &frames, &count));
	assert_int_equal(count, 0);
	good(memtrace_reader_stack(r, 1u << 30, MEMTRACE_STACK_HYBRID, &frames, &count));
	assert_int_equal(count, 0);
	struct memtrace_error *err = memtrace_reader_stack(r, 1, 3, &frames, &count);
	assert_non_null(err);
	memtrace_error_free(err);
	memtrace_reader_close(r);
	synthetic_remove(&m.s);
}

static void count_events(struct memtrace_reader *r, size_t want)
{
	struct memtrace_events *e;
	const struct memtrace_event *events;
	size_t count, all = 0;
	good(memtrace_events_begin(r, &e));
	do {
		good(memtrace_events_next(e, &events, &count));
		if (!all && count) {
			assert_int_equal(events[0].allocator, MEMTRACE_MALLOC);
			assert_int_equal(events[0].address, 0x1000);
			assert_int_equal(events[0].size, 100);
			assert_int_equal(events[0].thread, 1);
		}
		all += count;
	} while (count);
	good(memtrace_events_next(e, &events, &count));
	assert_int_equal(count, 0);
	memtrace_events_end(e);
	assert_int_equal(all, want);
}

/* A pass, another one begun in its middle that is given up, and views in between. */
static void test_events(void **state)
{
	(void)state;
	struct made m;
	struct memtrace_reader *r;
	struct memtrace_events *e;
	const struct memtrace_event *events;
	struct memtrace_totals t;
	size_t count;
	make(&m, true);
	good(memtrace_reader_open(m.s.path, &r));
	good(memtrace_events_begin(r, &e));
	good(memtrace_events_next(e, &events, &count));
	assert_int_equal(count, 7);
	count_events(r, 7);
	good(memtrace_reader_totals(r, &t));
	memtrace_events_end(e);
	count_events(r, 7);
	memtrace_reader_close(r);
	synthetic_remove(&m.s);
}

static void test_cut(void **state)
{
	(void)state;
	struct made m;
	struct memtrace_reader *r;
	make(&m, false);
	good(memtrace_reader_open(m.s.path, &r));
	assert_non_null(memtrace_reader_damage(r));
	count_events(r, 7);
	memtrace_reader_close(r);
	synthetic_remove(&m.s);
}

static void test_errors(void **state)
{
	(void)state;
	struct memtrace_reader *r = (void *)&r;
	struct memtrace_error *err = memtrace_reader_open("/nonexistent/cap.bin", &r);
	assert_non_null(err);
	assert_int_equal(memtrace_error_code(err), MEMTRACE_ERROR_OS);
	assert_int_equal(memtrace_error_errno(err), ENOENT);
	assert_null(memtrace_error_hint(err));
	memtrace_error_free(err);
	err = memtrace_reader_open("/proc/self/exe", &r);
	assert_non_null(err);
	assert_int_equal(memtrace_error_code(err), MEMTRACE_ERROR_CORRUPT);
	assert_non_null(memtrace_error_hint(err));
	memtrace_error_free(err);
	assert_ptr_equal(r, &r);
	memtrace_error_free(NULL);
	memtrace_reader_close(NULL);
	memtrace_events_end(NULL);
	assert_string_equal(memtrace_allocator_name(MEMTRACE_POSIX_MEMALIGN), "posix_memalign");
	assert_string_equal(memtrace_allocator_name(1000), "unknown");
}

static int held;

static void hold(void *object)
{
	held += *(int *)object;
}

/* Created and freed objects, ones that were there before, and others after the pause. */
static void test_objects(void **state)
{
	int things[] = { 1, 10, 100, 1000, 10000 };
	void **list = NULL;
	size_t count = 9;
	(void)state;
	struct memtrace_objects *o = memtrace_objects_create();
	assert_non_null(o);
	for (int i = 0; i < 3; i++)
		assert_int_equal(memtrace_objects_note(&things[i], MEMTRACE_OBJECT_CREATED, o), 0);
	memtrace_objects_note(&things[0], MEMTRACE_OBJECT_FREED, o);
	memtrace_objects_note(&things[0], MEMTRACE_OBJECT_CREATED, o);	/* another one in its place */
	memtrace_objects_note(&things[1], MEMTRACE_OBJECT_FREED, o);
	memtrace_objects_note(&things[3], MEMTRACE_OBJECT_FREED, o);	/* never seen */
	memtrace_objects_note(&things[2], 7, o);			/* what newer ones may tell */
	memtrace_objects_pause(o);
	memtrace_objects_note(&things[4], MEMTRACE_OBJECT_CREATED, o);
	good(memtrace_objects_take(o, hold, &list, &count));
	assert_int_equal(count, 2);
	assert_int_equal(held, 101);
	memtrace_free(list);
	memtrace_objects_note(&things[0], MEMTRACE_OBJECT_FREED, o);
	memtrace_objects_note(&things[2], MEMTRACE_OBJECT_FREED, o);
	good(memtrace_objects_take(o, hold, &list, &count));
	assert_int_equal(count, 0);
	memtrace_free(list);
	memtrace_objects_free(o);
	memtrace_objects_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),	cmocka_unit_test(test_records),
		cmocka_unit_test(test_stacks),	cmocka_unit_test(test_events),
		cmocka_unit_test(test_cut),	cmocka_unit_test(test_errors),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_lifetimes), cmocka_unit_test(test_same_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
