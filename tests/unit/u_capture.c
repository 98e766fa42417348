/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_capture.c - captures: written and read back, cut at every byte, every byte flipped,
 * of other versions, on full disks, in places where something is already.
 * Knows: capture/writer.h, capture/reader.h. Does not know: what events mean.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/array.h"
#include "capture/block.h"
#include "capture/reader.h"
#include "capture/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/memtrace-capture.XXXXXX";
static char path[64];

static void ok(struct mt_error *err)
{
	if (err)
		fail_msg("%s", err->message);
}

/* `err` has this text and, if not NULL, this hint; it is ended. */
static void wants(struct mt_error *err, const char *text, const char *hint)
{
	assert_non_null(err);
	assert_string_equal(err->message, text);
	if (hint)
		assert_string_equal(err->hint, hint);
	mt_error_destroy(err);
}

static void put_file(const char *name, const void *data, size_t size)
{
	FILE *f = fopen(name, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

static uint8_t *get_file(const char *name, size_t *size_ret)
{
	struct stat st;
	FILE *f = fopen(name, "r");
	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	*size_ret = (size_t)st.st_size;
	uint8_t *data = malloc(*size_ret + 1);
	assert_int_equal(fread(data, 1, *size_ret, f), *size_ret);
	fclose(f);
	return data;
}

#define DAMAGED 60u	/* events of the small captures */

struct events {
	MT_ARRAY(struct capture_event) all;
};

static struct mt_error *collect(const struct capture_event *events, size_t count, void *arg)
{
	struct events *e = arg;
	for (size_t i = 0; i < count; i++)
		if (!mt_array_push(&e->all, events[i]))
			return &mt_enomem;
	return NULL;
}

/* ---- a capture with one of everything ---- */

static struct capture_event sample_event(size_t i)
{
	struct capture_event e = {
		.ticks = 5000 + i * i, .kind = (uint8_t)(8 + i % 21),
		.thread = 1 + (uint32_t)(i / 5 % 3),
		.address = i % 7 == 3 ? UINT64_MAX - i : i % 5 == 2 ? i * 1001 : 0x555500001000 + 16 * i,
	};
	if (capture_kind_has_size(e.kind))
		e.size = i % 4 ? i * 10 : (uint64_t)1 << i % 60;
	if (capture_kind_allocates(e.kind))
		e.stack = 1 + (uint32_t)(i % 2);
	return e;
}

static void put_sides(struct capture_writer *w)
{
	const struct capture_segment segments[] = { { 0, 0x1000, 0, 4 }, { 0x1000, 0x2000, 0x800, 5 } };
	const struct capture_module m = {
		.id = 1, .load_ticks = 3, .unload_ticks = 9, .start = 0x400000, .end = 0x500000,
		.bias = 0x3ff000, .path = "/lib/x.so", .build_id = (const uint8_t *)"\1\0\2",
		.build_id_size = 3, .segments = segments, .segment_count = 2,
	};
	const struct capture_code code = {
		.id = 7, .first_line = 12, .first_traceable = 4, .file = "a\0b.py", .file_size = 6,
		.name = "f", .name_size = 1, .line_table = (const uint8_t *)"\xff\0", .line_table_size = 2,
	};
	const struct capture_sample s = { 5001, 2, 3, 4096, 5, 6, 7, UINT64_MAX };
	ok(capture_writer_meta(w, CAPTURE_META_COMMAND, "prog\0arg", 8));
	ok(capture_writer_meta(w, CAPTURE_META_PID, "1", 1));
	ok(capture_writer_meta(w, CAPTURE_META_PID, "4711", 4));
	ok(capture_writer_meta(w, CAPTURE_META_TSC_HZ, "2000000000", 10));
	ok(capture_writer_meta(w, CAPTURE_META_START_TICKS, "5000", 4));
	ok(capture_writer_meta(w, "empty", NULL, 0));
	ok(capture_writer_module(w, &m));
	ok(capture_writer_code(w, &code));
	ok(capture_writer_thread(w, 1, 100, 5000, "main"));
	ok(capture_writer_thread(w, 2, 101, 5000, ""));
	ok(capture_writer_thread(w, 1, 100, 6000, "renamed"));
	ok(capture_writer_sample(w, &s));
}

static void put_stacks(struct capture_writer *w)
{
	uint32_t id;
	ok(capture_writer_frame_native(w, 2, 0x1234, &id));
	assert_int_equal(id, 1);
	ok(capture_writer_frame_python(w, 7, true, 11, &id));
	assert_int_equal(id, 2);
	ok(capture_writer_node(w, 0, 1, &id));
	ok(capture_writer_node(w, 0, 2, &id));
	assert_int_equal(id, 2);
	ok(capture_writer_stack(w, 1, 2, 0x11, &id));
	ok(capture_writer_stack(w, 1, 0, 0, &id));
	assert_int_equal(id, 2);
}

/* `per_flush` events a block. */
static void make_capture(size_t events, size_t per_flush, bool finish)
{
	struct capture_writer *w;
	ok(capture_writer_create(path, true, CAPTURE_FEATURE_NATIVE, &w));
	put_sides(w);
	put_stacks(w);
	ok(capture_writer_add_features(w, CAPTURE_FEATURE_PYTHON));
	for (size_t i = 0; i < events; i++) {
		struct capture_event e = sample_event(i);
		ok(capture_writer_event(w, &e));
		if (i % per_flush == per_flush - 1)
			ok(capture_writer_flush(w));
	}
	assert_int_equal(capture_writer_events(w), events);
	ok(capture_writer_counter(w, CAPTURE_COUNTER_WRITTEN, events));
	if (finish)
		ok(capture_writer_finish(w));
	else
		ok(capture_writer_flush(w));
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(capture_writer_bytes(w), st.st_size);
	capture_writer_destroy(w);
}

static void check_sides(struct capture *cap)
{
	size_t n;
	assert_memory_equal(capture_meta(cap, CAPTURE_META_COMMAND, &n), "prog\0arg", 9);
	assert_int_equal(n, 8);
	assert_int_equal(capture_meta_u64(cap, CAPTURE_META_PID, 1), 4711);
	assert_string_equal(capture_meta(cap, "empty", &n), "");
	assert_null(capture_meta(cap, "absent", NULL));
	assert_int_equal(capture_meta_u64(cap, CAPTURE_META_COMMAND, 99), 99);
	const struct capture_module *m = capture_modules(cap, &n);
	assert_int_equal(n, 2);		/* id 0 was never written: empty */
	assert_string_equal(m[0].path, "");
	assert_string_equal(m[1].path, "/lib/x.so");
	assert_memory_equal(m[1].build_id, "\1\0\2", 3);
	assert_true(m[1].load_ticks == 3 && m[1].unload_ticks == 9 && m[1].bias == 0x3ff000);
	assert_true(m[1].segment_count == 2 && m[1].segments[1].file_offset == 0x800);
	const struct capture_code *code = capture_code_by_id(cap, 7);
	assert_non_null(code);
	assert_null(capture_code_by_id(cap, 8));
	assert_memory_equal(code->file, "a\0b.py", 6);
	assert_memory_equal(code->line_table, "\xff\0", 2);
	assert_true(code->first_line == 12 && code->first_traceable == 4 && code->file_size == 6);
	uint32_t tid;
	assert_string_equal(capture_thread_name(cap, 1, &tid), "renamed");
	assert_int_equal(tid, 100);
	assert_string_equal(capture_thread_name(cap, 50, &tid), "");
	assert_int_equal(tid, 0);
	capture_threads(cap, &n);
	assert_int_equal(n, 3);
	const struct capture_sample *s = capture_samples(cap, &n);
	assert_true(n == 1 && s->rss == 4096 && s->swap == UINT64_MAX);
	assert_int_equal(capture_ticks_to_ns(cap, 5000), 0);
	assert_int_equal(capture_ticks_to_ns(cap, 7000), 1000);
	assert_int_equal(capture_ticks_to_ns(cap, 1), 0);
}

static void check_tables(struct capture *cap)
{
	struct capture_tables t;
	ok(capture_load_tables(cap, &t));
	assert_true(t.frame_count == 3 && t.node_count == 3 && t.stack_count == 3);
	assert_true(t.frames[1].address == 0x1234 && t.frames[1].module_plus_1 == 2);
	assert_true(t.frames[2].is_python && t.frames[2].entry && t.frames[2].module_plus_1 == 7);
	assert_int_equal(t.frames[2].address, 11);
	assert_true(t.nodes[1].parent == 0 && t.nodes[1].frame == 1 && t.nodes[2].frame == 2);
	assert_true(t.stacks[1].native_node == 1 && t.stacks[1].python_node == 2);
	assert_int_equal(t.stacks[1].flags, 0x11);
}

static void check_events(struct capture *cap, size_t count)
{
	struct events e = { 0 };
	ok(capture_events(cap, collect, &e));
	assert_int_equal(e.all.len, count);
	for (size_t i = 0; i < e.all.len; i++) {
		struct capture_event want = sample_event(i);
		const struct capture_event *have = &e.all.items[i];
		assert_true(have->ticks == want.ticks && have->size == want.size &&
			    have->address == want.address && have->stack == want.stack &&
			    have->thread == want.thread && have->kind == want.kind);
	}
	mt_array_deinit(&e.all);
}

static void test_round_trip(void **state)
{
	(void)state;
	for (int finish = 0; finish < 2; finish++) {
		auto_capture struct capture *cap = NULL;
		uint64_t counter;
		make_capture(5000, 1000, finish);
		ok(capture_open(path, &cap));
		if (finish)
			assert_null(capture_damage(cap));
		else
			assert_non_null(strstr(capture_damage(cap), ": the capture was not finished"));
		assert_true(capture_counter(cap, CAPTURE_COUNTER_WRITTEN, &counter) == finish);
		assert_int_equal(capture_header(cap)->features,
				 CAPTURE_FEATURE_NATIVE | CAPTURE_FEATURE_PYTHON);
		check_sides(cap);
		for (int pass = 0; pass < 2; pass++)
			check_events(cap, 5000);
		check_tables(cap);
		assert_true(capture_progress(cap) == 1);
	}
}

/* Blocks that fill by themselves, and time that runs backwards. */
static void test_full_blocks(void **state)
{
	auto_capture struct capture *cap = NULL;
	struct capture_writer *w;
	struct events e = { 0 };
	enum { COUNT = 400000 };
	(void)state;
	ok(capture_writer_create(path, true, 0, &w));
	put_stacks(w);
	for (size_t i = 0; i < COUNT; i++) {
		struct capture_event ev = { .ticks = 100 + i - (i % 3 == 2 ? 2 : 0), .address = i << 20,
					    .kind = WIRE_REC_MALLOC, .size = i, .stack = 1 };
		ok(capture_writer_event(w, &ev));
	}
	ok(capture_writer_finish(w));
	capture_writer_destroy(w);
	ok(capture_open(path, &cap));
	assert_true(capture_block_count(cap) >= 3);
	ok(capture_events(cap, collect, &e));
	assert_int_equal(e.all.len, COUNT);
	for (size_t i = 1; i < COUNT; i++) {
		assert_true(e.all.items[i].size == i && e.all.items[i].address == i << 20);
		assert_true(e.all.items[i].ticks >= e.all.items[i - 1].ticks);
	}
	mt_array_deinit(&e.all);
}

/* Of a capture of some blocks other threads read and unpack; of passes in steps nobody does. */
static void same_by_steps(size_t least)
{
	auto_capture struct capture *whole = NULL, *steps = NULL;
	auto_capture_pass struct capture_pass *pass = NULL;
	const struct capture_event *events;
	struct events e = { 0 };
	size_t count = 1, at = 0;
	ok(capture_open(path, &whole));
	ok(capture_events(whole, collect, &e));
	assert_true(e.all.len >= least);
	ok(capture_open(path, &steps));
	ok(capture_pass_begin(steps, &pass));
	for (; count; at += count) {
		ok(capture_pass_next(pass, &events, &count));
		assert_true(at + count <= e.all.len);
		for (size_t i = 0; i < count; i++)
			assert_memory_equal(&events[i], &e.all.items[at + i], sizeof(*events));
	}
	assert_int_equal(at, e.all.len);
	if (capture_damage(steps))
		assert_string_equal(capture_damage(whole), capture_damage(steps));
	else
		assert_null(capture_damage(whole));
	mt_array_deinit(&e.all);
}

static struct mt_error *fails(const struct capture_event *events, size_t count, void *arg)
{
	size_t *left = arg;
	(void)events;
	*left -= count < *left ? count : *left;
	return *left ? NULL : &mt_enomem;
}

static void test_many_blocks(void **state)
{
	enum { COUNT = 1000000 };
	struct capture_writer *w;
	size_t size;
	(void)state;
	ok(capture_writer_create(path, true, 0, &w));
	put_stacks(w);
	for (size_t i = 0; i < COUNT; i++) {
		struct capture_event ev = sample_event(i);
		ok(capture_writer_event(w, &ev));
	}
	ok(capture_writer_finish(w));
	capture_writer_destroy(w);
	same_by_steps(COUNT);
	for (size_t left = 1; left < COUNT; left *= 9) {	/* given up at any time */
		auto_capture struct capture *cap = NULL;
		size_t events = left;
		ok(capture_open(path, &cap));
		assert_true(capture_events(cap, fails, &events) == &mt_enomem);
	}
	uint8_t *data = get_file(path, &size);
	for (unsigned part = 1; part < 6; part += 2) {		/* up to three blocks damaged */
		data[size / 6 * part] ^= 0x40;
		put_file(path, data, size);
		same_by_steps(COUNT / 3);
	}
	free(data);
}

/* Times in units: the order is exact, each time less than a unit too early. */
static void test_time_unit(void **state)
{
	auto_capture struct capture *cap = NULL;
	struct capture_writer *w;
	struct events e = { 0 };
	(void)state;
	ok(capture_writer_create(path, true, 0, &w));
	capture_writer_time_unit(w, 8);
	put_stacks(w);
	for (size_t i = 0; i < 1000; i++) {
		struct capture_event ev = sample_event(i);
		ok(capture_writer_event(w, &ev));
	}
	ok(capture_writer_finish(w));
	capture_writer_destroy(w);
	ok(capture_open(path, &cap));
	ok(capture_events(cap, collect, &e));
	assert_int_equal(e.all.len, 1000);
	for (size_t i = 0; i < e.all.len; i++) {
		struct capture_event want = sample_event(i);
		assert_true(e.all.items[i].ticks == want.ticks >> 8 << 8);
		assert_true(e.all.items[i].address == want.address);
	}
	mt_array_deinit(&e.all);
}

/* More threads than a block takes, in an order that changes at every event. */
static void test_many_threads(void **state)
{
	enum { COUNT = 30000, STEP = 7919, THREADS = 10007 };
	auto_capture struct capture *cap = NULL;
	struct capture_writer *w;
	struct events e = { 0 };
	(void)state;
	ok(capture_writer_create(path, true, 0, &w));
	for (uint64_t i = 0; i < COUNT; i++) {
		struct capture_event ev = { .ticks = i, .address = i * 48, .kind = WIRE_REC_FREE,
					    .thread = (uint32_t)(i * STEP % THREADS) };
		ok(capture_writer_event(w, &ev));
	}
	ok(capture_writer_finish(w));
	capture_writer_destroy(w);
	ok(capture_open(path, &cap));
	ok(capture_events(cap, collect, &e));
	assert_null(capture_damage(cap));
	assert_int_equal(e.all.len, COUNT);
	for (uint64_t i = 0; i < COUNT; i++)
		assert_true(e.all.items[i].thread == i * STEP % THREADS &&
			    e.all.items[i].address == i * 48);
	mt_array_deinit(&e.all);
}

/* tests/data/capture-v1 was written by version 1: all of make_capture(DAMAGED, 10, true). */
static void test_version_1(void **state)
{
	auto_capture struct capture *cap = NULL;
	(void)state;
	ok(capture_open("tests/data/capture-v1", &cap));
	assert_int_equal(capture_header(cap)->version, 1);
	assert_null(capture_damage(cap));
	check_sides(cap);
	check_events(cap, DAMAGED);
	check_tables(cap);
}

/* ---- copying ---- */

static void test_copy(void **state)
{
	auto_capture struct capture *cap = NULL, *copy = NULL;
	char to[80];
	struct capture_writer *w;
	(void)state;
	make_capture(200, 50, true);
	ok(capture_open(path, &cap));
	snprintf(to, sizeof(to), "%s/copy", dir);
	ok(capture_writer_create(to, true, CAPTURE_FEATURE_SYMBOLS, &w));
	ok(capture_writer_set_header(w, capture_header(cap)));
	for (size_t i = 0; i < capture_block_count(cap); i++) {
		const void *bytes;
		size_t size;
		capture_block(cap, i, &bytes, &size);
		assert_non_null(bytes);
		ok(capture_writer_copy_block(w, bytes, size));
		uint8_t *bad = malloc(size);
		memcpy(bad, bytes, size);
		bad[size - 1] ^= 1;
		wants(capture_writer_copy_block(w, bad, size),
		      "the checksum of a block does not match at offset 0", NULL);
		free(bad);
	}
	wants(capture_writer_copy_block(w, "x", 1), "a block of 1 bytes is too short at offset 0", NULL);
	ok(capture_writer_finish(w));
	capture_writer_destroy(w);
	ok(capture_open(to, &copy));
	assert_null(capture_damage(copy));
	check_sides(copy);
	check_tables(copy);
	assert_int_equal(capture_block_count(copy), capture_block_count(cap));
	unlink(to);
}

/* ---- damage ---- */

/* Opens what is in `path`: an error of one line, or a subset of the events, in order. */
static size_t read_damaged(bool prefix, size_t where)
{
	auto_capture struct capture *cap = NULL;
	struct events e = { 0 };
	struct mt_error *err = capture_open(path, &cap);
	if (err) {
		assert_null(strchr(err->message, '\n'));
		assert_true(where < 64 || err->code == MT_ERROR_NOMEM);
		mt_error_destroy(err);
		return 0;
	}
	ok(capture_events(cap, collect, &e));
	const char *damage = capture_damage(cap);
	if (!damage || strchr(damage, '\n'))
		fail_msg("byte %zu: damage not reported: %s", where, damage ? damage : "none");
	size_t next = 0;
	for (size_t i = 0; i < e.all.len; i++, next++) {
		struct capture_event want = sample_event(next);
		while (!prefix && next < DAMAGED && want.ticks != e.all.items[i].ticks)
			want = sample_event(++next);
		if (next >= DAMAGED || want.ticks != e.all.items[i].ticks ||
		    want.address != e.all.items[i].address || want.size != e.all.items[i].size ||
		    want.stack != e.all.items[i].stack || want.thread != e.all.items[i].thread)
			fail_msg("byte %zu: event %zu was never written", where, i);
	}
	next = e.all.len;
	mt_array_deinit(&e.all);
	return next;
}

static void test_cut(void **state)
{
	size_t size, last = 0;
	(void)state;
	make_capture(DAMAGED, 10, true);
	uint8_t *data = get_file(path, &size);
	for (size_t cut = 0; cut < size; cut++) {
		put_file(path, data, cut);
		size_t events = read_damaged(true, cut);
		assert_true(events >= last && events % 10 == 0);
		last = events;
	}
	assert_int_equal(last, DAMAGED);
	free(data);
}

static void test_flip(void **state)
{
	static const uint8_t flips[] = { 0x01, 0x80, 0xff };
	size_t size;
	(void)state;
	make_capture(DAMAGED, 10, true);
	uint8_t *data = get_file(path, &size);
	for (size_t i = 0; i < size * 3; i++) {
		size_t at = i / 3;
		data[at] ^= flips[i % 3];
		put_file(path, data, size);
		size_t events = read_damaged(false, at);
		data[at] ^= flips[i % 3];
		/* One damaged byte costs one block. */
		if (at >= 64 && events < DAMAGED - 10)
			fail_msg("byte %zu: only %zu events left", at, events);
	}
	free(data);
}

static void test_hole(void **state)
{
	size_t size;
	(void)state;
	make_capture(DAMAGED, 10, true);
	uint8_t *data = get_file(path, &size);
	for (size_t n = 1; n < size - 64; n += 37) {	/* bytes that are gone */
		uint8_t *less = malloc(size);
		memcpy(less, data, 64 + n / 2);
		memcpy(less + 64 + n / 2, data + 64 + n, size - 64 - n);
		put_file(path, less, size - n + n / 2);
		read_damaged(false, size);
		free(less);
	}
	free(data);
}

/* ---- what is no capture of ours ---- */

static void try_open(const char *what, const char *text)
{
	auto_capture struct capture *cap = NULL;
	char want[256];
	snprintf(want, sizeof(want), text, what);
	wants(capture_open(what, &cap), want, NULL);
	assert_null(cap);
}

static void set_header(size_t offset, const void *value, size_t size)
{
	size_t whole;
	make_capture(10, 10, true);
	uint8_t *data = get_file(path, &whole);
	struct capture_file_header h;
	memcpy(&h, data, sizeof(h));
	memcpy((uint8_t *)&h + offset, value, size);
	h.checksum = block_hash(&h, offsetof(struct capture_file_header, checksum));
	memcpy(data, &h, sizeof(h));
	put_file(path, data, whole);
	free(data);
}

static void test_not_ours(void **state)
{
	char other[80];
	const uint8_t newer[] = { 9, 0, 3, 0 }, readable[] = { 9, 0, 1, 0 };
	const uint8_t bit[] = { 1, 0x10, 0, 0 }, high_bit[] = { 1, 0, 1, 0 }, big = 2;
	auto_capture struct capture *cap = NULL, *cap2 = NULL;
	(void)state;
	put_file(path, "", 0);
	try_open(path, "'%s' is not a capture");
	put_file(path, "memtrac", 7);
	try_open(path, "'%s' is not a capture");
	put_file(path, "#!/bin/sh\necho this is a script\n", 32);
	try_open(path, "'%s' is not a capture");
	put_file(path, "memtrace is a fine program", 26);
	try_open(path, "'%s' is cut inside its header at offset 26");
	try_open(dir, "'%s' is a directory, not a capture");
	snprintf(other, sizeof(other), "%s/fifo", dir);
	assert_int_equal(mkfifo(other, 0600), 0);
	try_open(other, "'%s' is not a regular file, not a capture");	/* and does not wait */
	unlink(other);
	snprintf(other, sizeof(other), "%s/absent", dir);
	try_open(other, "cannot open '%s': No such file or directory");

	set_header(8, newer, 4);
	try_open(path, "'%s' was made by a newer memtrace (format 9, this one reads up to 2)");
	set_header(12, bit, 4);
	try_open(path, "'%s' was made by a newer memtrace (format 2, this one reads up to 2)");
	set_header(16, &big, 1);
	try_open(path, "'%s' comes from a big-endian machine: not supported");
	set_header(8, readable, 4);		/* newer, but says that we may */
	ok(capture_open(path, &cap));
	set_header(12, high_bit, 4);		/* a feature that need not be known */
	ok(capture_open(path, &cap2));
	assert_null(capture_damage(cap2));
}

/* ---- where captures may be put ---- */

static void test_overwrite(void **state)
{
	struct capture_writer *w = NULL;
	char link[80], text[200];
	size_t size;
	(void)state;
	put_file(path, "precious", 8);
	snprintf(text, sizeof(text), "'%s' exists", path);
	wants(capture_writer_create(path, false, 0, &w), text, "use -f to overwrite it");
	snprintf(link, sizeof(link), "%s/link", dir);
	assert_int_equal(symlink(path, link), 0);
	snprintf(text, sizeof(text), "'%s' exists and is a symbolic link", link);
	for (int force = 0; force < 2; force++)
		wants(capture_writer_create(link, force, 0, &w), text, "choose another file with -o");
	uint8_t *data = get_file(path, &size);
	assert_true(size == 8 && !memcmp(data, "precious", 8));
	free(data);
	unlink(link);
	assert_int_equal(symlink("nowhere", link), 0);	/* a dangling one is not followed either */
	wants(capture_writer_create(link, true, 0, &w), text, "choose another file with -o");
	unlink(link);
	snprintf(text, sizeof(text), "'%s' exists and is a directory", dir);
	wants(capture_writer_create(dir, true, 0, &w), text, "choose another file with -o");
	snprintf(link, sizeof(link), "%s/no/where", dir);
	snprintf(text, sizeof(text), "cannot create '%s': No such file or directory", link);
	wants(capture_writer_create(link, false, 0, &w), text,
	      "create the directory or choose another file with -o");
	assert_null(w);
	/* A reader of the old file keeps it. */
	FILE *old = fopen(path, "r");
	ok(capture_writer_create(path, true, 0, &w));
	assert_int_equal(fgetc(old), 'p');
	fclose(old);
	ok(capture_writer_finish(w));
	capture_writer_destroy(w);
	auto_capture struct capture *cap = NULL;
	ok(capture_open(path, &cap));
	assert_null(capture_damage(cap));
}

static void test_disk_full(void **state)
{
	struct rlimit old, small;
	struct capture_writer *w;
	struct mt_error *err = NULL;
	auto_capture struct capture *cap = NULL;
	struct events e = { 0 };
	char text[200];
	size_t i;
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 20000;
	ok(capture_writer_create(path, true, 0, &w));
	put_stacks(w);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (i = 0; i < 1000000 && !err; i++) {
		struct capture_event ev = sample_event(i);
		err = capture_writer_event(w, &ev);
		if (!err && i % 100 == 99)
			err = capture_writer_flush(w);
	}
	setrlimit(RLIMIT_FSIZE, &old);
	snprintf(text, sizeof(text), "cannot write '%s': File too large", path);
	wants(err, text, "free some space or choose another place with -o; what was recorded until "
			 "then is in the file");
	struct capture_event ev = sample_event(1);	/* room again, but the writer has failed */
	wants(capture_writer_event(w, &ev), text, NULL);
	wants(capture_writer_flush(w), text, NULL);
	wants(capture_writer_finish(w), text, NULL);
	wants(capture_writer_meta(w, "k", "v", 1), text, NULL);
	capture_writer_destroy(w);
	ok(capture_open(path, &cap));
	assert_non_null(strstr(capture_damage(cap), "the capture was not finished"));
	ok(capture_events(cap, collect, &e));
	assert_true(e.all.len > 100 && e.all.len % 100 == 0 && e.all.len < i);
	mt_array_deinit(&e.all);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/cap.bin", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_full_blocks),
		cmocka_unit_test(test_many_blocks),
		cmocka_unit_test(test_time_unit),  cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_copy),	   cmocka_unit_test(test_cut),
		cmocka_unit_test(test_flip),	   cmocka_unit_test(test_hole),
		cmocka_unit_test(test_not_ours),   cmocka_unit_test(test_overwrite),
		cmocka_unit_test(test_disk_full),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
