/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_views.c - what events mean: tables of small captures, and random ones against a
 * model that remembers every block and looks at all of them after each event.
 * Knows: analysis/views.h, capture/writer.h. Does not know: reports.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/views.h"
#include "base/array.h"
#include "capture/reader.h"
#include "capture/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096u
#define STACKS 24u
#define KIB 1024u

static void ok(struct mt_error *err)
{
	if (err)
		fail_msg("%s", err->message);
}

struct op {
	uint8_t kind;		/* 0: end */
	uint64_t address, size;
	uint32_t stack, thread;
};

#define M(addr, bytes, st) { WIRE_REC_MALLOC, (addr), (bytes), (st), 1 }
#define F(addr) { WIRE_REC_FREE, (addr), 0, 0, 1 }
#define MAP(addr, pages, st) { WIRE_REC_MMAP, (addr), (pages) * PAGE, (st), 1 }
#define UNMAP(addr, pages) { WIRE_REC_MUNMAP, (addr), (pages) * PAGE, 0, 1 }
#define SAMPLE(resident) { OP_SAMPLE, 0, (resident), 0, 0 }	/* of the process */
#define OP_SAMPLE 0xffu
#define END { 0, 0, 0, 0, 0 }

static void compute(const struct op *ops, size_t count, struct view_options options,
		    struct views **ret)
{
	char path[] = "/tmp/memtrace-views.XXXXXX";
	struct capture_writer *w;
	auto_capture struct capture *cap = NULL;
	uint32_t frame, node, stack;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	ok(capture_writer_create(path, true, CAPTURE_FEATURE_NATIVE, &w));
	for (uint32_t i = 1; i <= STACKS; i++) {
		ok(capture_writer_frame_native(w, 0, 0x1000 + i, &frame));
		ok(capture_writer_node(w, 0, frame, &node));
		ok(capture_writer_stack(w, node, 0, 0, &stack));
		assert_int_equal(stack, i);
	}
	for (size_t i = 0; i < count && ops[i].kind; i++) {
		if (ops[i].kind == OP_SAMPLE) {
			const struct capture_sample s = { .ticks = 1000 + 10 * i, .rss = ops[i].size };
			ok(capture_writer_sample(w, &s));
			continue;
		}
		struct capture_event e = { 1000 + 10 * i, ops[i].address, ops[i].size,
					   ops[i].stack, ops[i].thread, ops[i].kind };
		ok(capture_writer_event(w, &e));
	}
	ok(capture_writer_finish(w));
	capture_writer_destroy(w);
	ok(capture_open(path, &cap));
	unlink(path);
	assert_null(capture_damage(cap));
	ok(views_compute(cap, &options, ret));
}

/* ---- tables ---- */

struct expect {
	uint32_t stack;		/* 0: end */
	uint64_t bytes, count;
};

struct row {
	const char *name;
	enum view_kind view;
	uint32_t threshold;
	struct op ops[28];
	struct expect rows[8];
};

static const struct row rows[] = {
	{ "PK-1 twice the same", VIEW_PEAK, 1,
	  { M(16, KIB, 1), F(16), M(16, KIB, 1), F(16), END }, { { 1, 1024, 1 } } },
	{ "PK-2 the larger later", VIEW_PEAK, 1,
	  { M(16, KIB, 1), F(16), M(32, 2048, 2), F(32), END }, { { 2, 2048, 1 } } },
	{ "PK-2 the larger first", VIEW_PEAK, 1,
	  { M(32, 2048, 2), F(32), M(16, KIB, 1), F(16), END }, { { 2, 2048, 1 } } },
	{ "the last of equal maxima", VIEW_PEAK, 1,
	  { M(32, KIB, 2), F(32), M(16, KIB, 1), F(16), END }, { { 1, 1024, 1 } } },
	{ "a zero-byte block does not move the peak's bytes", VIEW_PEAK, 1,
	  { M(32, KIB, 2), M(16, 0, 1), F(32), END }, { { 1, 0, 1 }, { 2, 1024, 1 } } },
	{ "PK-3 two live of one place", VIEW_PEAK, 1,
	  { M(16, KIB, 1), M(1616, KIB, 1), F(16), F(1616), END }, { { 1, 2048, 2 } } },
	{ "PK-4 two places", VIEW_PEAK, 1,
	  { M(16, KIB, 1), M(1616, 2048, 2), END }, { { 1, 1024, 1 }, { 2, 2048, 1 } } },
	{ "PK-6 then a smaller one that stays", VIEW_PEAK, 1,
	  { M(16, 2048, 1), F(16), M(32, KIB, 2), END }, { { 1, 2048, 1 } } },
	{ "made and freed between two maxima", VIEW_PEAK, 1,
	  { M(16, KIB, 1), F(16), M(32, 8, 3), F(32), M(64, 2048, 2), F(64), END },
	  { { 2, 2048, 1 } } },
	{ "one of two at one place goes before the peak", VIEW_PEAK, 1,
	  { M(16, KIB, 1), M(32, KIB, 1), F(16), M(64, 4096, 2), END },
	  { { 1, 1024, 1 }, { 2, 4096, 1 } } },
	{ "PK-8 unmap one of two pages", VIEW_PEAK, 1,
	  { MAP(0x10000, 2, 1), UNMAP(0x10000, 1), MAP(0x80000, 10, 2), END },
	  { { 1, PAGE, 1 }, { 2, 10 * PAGE, 1 } } },
	{ "PK-9 first and last of four", VIEW_PEAK, 1,
	  { MAP(0x10000, 4, 1), UNMAP(0x10000, 1), UNMAP(0x13000, 1), MAP(0x80000, 10, 2), END },
	  { { 1, 2 * PAGE, 1 }, { 2, 10 * PAGE, 1 } } },
	{ "PK-10 two neighbours by one unmap", VIEW_PEAK, 1,
	  { MAP(0x10000, 4, 1), MAP(0x14000, 4, 1), UNMAP(0x10000, 8), MAP(0x80000, 10, 2), END },
	  { { 2, 10 * PAGE, 1 } } },
	{ "PK-11 four neighbours by two unmaps", VIEW_PEAK, 1,
	  { MAP(0x10000, 2, 1), MAP(0x12000, 2, 1), MAP(0x14000, 2, 1), MAP(0x16000, 2, 1),
	    UNMAP(0x10000, 4), UNMAP(0x14000, 4), MAP(0x80000, 10, 2), END },
	  { { 2, 10 * PAGE, 1 } } },
	{ "PK-12 pages 1 and 3 of five", VIEW_PEAK, 1,
	  { MAP(0x10000, 5, 1), UNMAP(0x11000, 1), UNMAP(0x13000, 1), MAP(0x80000, 10, 2), END },
	  { { 1, 3 * PAGE, 1 }, { 2, 10 * PAGE, 1 } } },
	{ "PK-13 one in the middle of eight", VIEW_PEAK, 1,
	  { MAP(0x10000, 8, 1), UNMAP(0x14000, 1), MAP(0x80000, 10, 2), END },
	  { { 1, 7 * PAGE, 1 }, { 2, 10 * PAGE, 1 } } },
	{ "MAP_FIXED over a part", VIEW_LEAKS, 1,
	  { MAP(0x10000, 4, 1), MAP(0x11000, 2, 2), END },
	  { { 1, 2 * PAGE, 1 }, { 2, 2 * PAGE, 1 } } },
	{ "MAP_FIXED over all", VIEW_LEAKS, 1,
	  { MAP(0x10000, 4, 1), MAP(0x10000, 4, 2), END }, { { 2, 4 * PAGE, 1 } } },
	{ "mremap that moves and grows", VIEW_LEAKS, 1,
	  { MAP(0x10000, 2, 1), { WIRE_REC_MREMAP_UNMAP, 0x10000, 2 * PAGE, 0, 1 },
	    { WIRE_REC_MREMAP, 0x80000, 5 * PAGE, 2, 1 }, END }, { { 2, 5 * PAGE, 1 } } },
	{ "mremap of a part", VIEW_LEAKS, 1,
	  { MAP(0x10000, 4, 1), { WIRE_REC_MREMAP_UNMAP, 0x13000, PAGE, 0, 1 },
	    { WIRE_REC_MREMAP, 0x80000, PAGE, 2, 1 }, END }, { { 1, 3 * PAGE, 1 }, { 2, PAGE, 1 } } },
	{ "the break, in odd steps", VIEW_LEAKS, 1,
	  { { WIRE_REC_BRK, 0x500010, 100, 1, 1 }, { WIRE_REC_BRK, 0x500074, 8000, 2, 1 },
	    { WIRE_REC_BRK_SHRINK, 0x500074, 8000, 0, 1 }, END }, { { 1, 100, 1 } } },
	{ "the last page of a mapping that is no whole page", VIEW_LEAKS, 1,
	  { { WIRE_REC_MMAP, 0x10000, 5000, 1, 1 }, UNMAP(0x11000, 1), END }, { { 1, 4096, 1 } } },
	{ "LK-1", VIEW_LEAKS, 1, { M(16, KIB, 1), END }, { { 1, 1024, 1 } } },
	{ "LK-2", VIEW_LEAKS, 1,
	  { M(16, 8, 1), F(16), M(16, 8, 1), F(16), M(16, 8, 2), F(16), END }, { { 0 } } },
	{ "LK-3", VIEW_LEAKS, 1,
	  { M(16, 8, 1), M(32, 2048, 2), F(16), M(16, 9, 3), F(16), END }, { { 2, 2048, 1 } } },
	{ "LK-4", VIEW_LEAKS, 1,
	  { M(16, KIB, 1), M(32, KIB, 1), M(48, KIB, 1), M(64, KIB, 1), M(80, KIB, 1),
	    M(96, KIB, 1), M(112, KIB, 1), M(128, KIB, 1), M(144, KIB, 1), M(160, KIB, 1), END },
	  { { 1, 10240, 10 } } },
	{ "LK-5", VIEW_LEAKS, 1, { M(16, 8, 1), M(32, 9, 2), END }, { { 1, 8, 1 }, { 2, 9, 1 } } },
	{ "AC-9 a block from before", VIEW_LEAKS, 1, { F(16), M(32, 8, 1), F(48), END },
	  { { 1, 8, 1 } } },
	{ "a mapping from before", VIEW_LEAKS, 1, { UNMAP(0x10000, 4), M(32, 8, 1), END },
	  { { 1, 8, 1 } } },
	{ "a lost free: the address comes again", VIEW_LEAKS, 1,
	  { M(16, 100, 1), M(16, 50, 2), END }, { { 2, 50, 1 } } },
	{ "realloc is a release and an allocation", VIEW_LEAKS, 1,
	  { M(16, 100, 1), { WIRE_REC_REALLOC_FREE, 16, 0, 0, 1 },
	    { WIRE_REC_REALLOC, 16, 200, 2, 1 }, END }, { { 2, 200, 1 } } },
	{ "address 0 is no block", VIEW_LEAKS, 1, { M(0, 100, 1), F(0), END }, { { 0 } } },
	{ "address 0 was asked for", VIEW_ALLOCATED, 1, { M(0, 100, 1), END }, { { 1, 100, 1 } } },
	{ "all of them", VIEW_ALLOCATED, 1,
	  { M(16, 8, 1), F(16), M(16, 9, 1), MAP(0x10000, 1, 2), UNMAP(0x10000, 1), END },
	  { { 1, 17, 2 }, { 2, PAGE, 1 } } },
	{ "TM-1", VIEW_TEMPORARY, 0, { M(16, 8, 1), F(16), END }, { { 1, 8, 1 } } },
	{ "TM-1 with 1", VIEW_TEMPORARY, 1, { M(16, 8, 1), F(16), END }, { { 1, 8, 1 } } },
	{ "one between, 1", VIEW_TEMPORARY, 1, { M(16, 8, 1), M(32, 9, 2), F(16), END },
	  { { 1, 8, 1 } } },
	{ "one between, 0", VIEW_TEMPORARY, 0, { M(16, 8, 1), M(32, 9, 2), F(16), END }, { { 0 } } },
	{ "two between, 1", VIEW_TEMPORARY, 1,
	  { M(16, 8, 1), M(32, 9, 2), M(48, 9, 2), F(16), END }, { { 0 } } },
	{ "TM-3 each thread by itself", VIEW_TEMPORARY, 0,
	  { { WIRE_REC_MALLOC, 16, 8, 1, 1 }, { WIRE_REC_MALLOC, 32, 9, 2, 2 },
	    { WIRE_REC_FREE, 16, 0, 0, 1 }, { WIRE_REC_FREE, 32, 0, 0, 2 }, END },
	  { { 1, 8, 1 }, { 2, 9, 1 } } },
	{ "freed by another thread: the allocating one counts", VIEW_TEMPORARY, 0,
	  { { WIRE_REC_MALLOC, 16, 8, 1, 1 }, { WIRE_REC_MALLOC, 32, 9, 2, 2 },
	    { WIRE_REC_FREE, 16, 0, 0, 2 }, END }, { { 1, 8, 1 } } },
	{ "TM-4 a growing vector, 1", VIEW_TEMPORARY, 1,
	  { M(16, 4, 1), M(32, 8, 1), F(16), M(48, 16, 1), F(32), F(48), END }, { { 1, 28, 3 } } },
	{ "TM-4 a growing vector, 0", VIEW_TEMPORARY, 0,
	  { M(16, 4, 1), M(32, 8, 1), F(16), M(48, 16, 1), F(32), F(48), END }, { { 1, 16, 1 } } },
	{ "TM-5", VIEW_TEMPORARY, 1, { M(16, 8, 1), END }, { { 0 } } },
	{ "a mapping that goes in parts is temporary as a whole", VIEW_TEMPORARY, 0,
	  { MAP(0x10000, 4, 1), UNMAP(0x11000, 1), UNMAP(0x10000, 4), END },
	  { { 1, 4 * PAGE, 1 } } },
	{ "a mapping of which something stays is not", VIEW_TEMPORARY, 1,
	  { MAP(0x10000, 4, 1), UNMAP(0x11000, 3), END }, { { 0 } } },
};

static void check_rows(const struct row *row, const struct views *v)
{
	uint64_t bytes = 0, count = 0;
	size_t want = 0, have = 0;
	for (const struct expect *e = row->rows; e->stack; e++, want++) {
		const struct view_row *found = NULL;
		for (size_t i = 0; i < v->row_count; i++)
			if (v->rows[i].stack == e->stack && v->rows[i].count[row->view])
				found = &v->rows[i];
		if (!found || found->bytes[row->view] != e->bytes ||
		    found->count[row->view] != e->count)
			fail_msg("%s: stack %u: %lu bytes, %lu blocks", row->name, e->stack,
				 found ? (unsigned long)found->bytes[row->view] : 0,
				 found ? (unsigned long)found->count[row->view] : 0);
		bytes += e->bytes;
		count += e->count;
	}
	for (size_t i = 0; i < v->row_count; i++)
		have += v->rows[i].count[row->view] || v->rows[i].bytes[row->view];
	if (have != want || v->total_bytes[row->view] != bytes ||
	    v->total_count[row->view] != count)
		fail_msg("%s: %zu rows, %lu bytes, %lu blocks", row->name, have,
			 (unsigned long)v->total_bytes[row->view],
			 (unsigned long)v->total_count[row->view]);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_views struct views *v = NULL;
		compute(rows[i].ops, sizeof(rows[i].ops) / sizeof(rows[i].ops[0]),
			(struct view_options){ .temporary_threshold = rows[i].threshold }, &v);
		check_rows(&rows[i], v);
	}
}

/* PK-7: a function calls itself with 10, 9 ... 1 KiB; odd ones free before they go on. */
static void test_recursion(void **state)
{
	static const uint64_t want[] = { 10, 8, 6, 4, 2, 1 };
	struct op ops[64];
	size_t n = 0;
	(void)state;
	for (uint64_t k = 10; k > 0; k--) {
		ops[n++] = (struct op)M(k << 20, k * KIB, (uint32_t)k);
		if (k % 2 && k > 1)
			ops[n++] = (struct op)F(k << 20);
	}
	for (uint64_t k = 1; k <= 10; k++)
		if (!(k % 2) || k == 1)
			ops[n++] = (struct op)F(k << 20);
	auto_views struct views *v = NULL;
	compute(ops, n, (struct view_options){ .temporary_threshold = 1 }, &v);
	assert_int_equal(v->events, 20);
	assert_int_equal(v->total_bytes[VIEW_ALLOCATED], 56320);
	assert_int_equal(v->total_bytes[VIEW_PEAK], 31 * KIB);
	for (size_t i = 0; i < v->row_count; i++) {
		bool expected = false;
		for (size_t k = 0; k < 6; k++)
			expected |= v->rows[i].stack == want[k];
		assert_int_equal(v->rows[i].count[VIEW_PEAK], expected);
		assert_int_equal(v->rows[i].bytes[VIEW_PEAK], expected * v->rows[i].stack * KIB);
	}
}

/* TM-2: N + 1 blocks freed in reverse, threshold N - 1: N of them. */
static void test_temporary_reverse(void **state)
{
	static const uint32_t ns[] = { 1, 2, 5, 10 };
	(void)state;
	for (size_t k = 0; k < 4; k++) {
		struct op ops[32];
		size_t n = 0;
		for (uint64_t i = 0; i <= ns[k]; i++)
			ops[n++] = (struct op)M(16 + i * 16, 8, 1);
		for (uint64_t i = ns[k] + 1; i > 0; i--)
			ops[n++] = (struct op)F(i * 16);
		auto_views struct views *v = NULL;
		compute(ops, n, (struct view_options){ .temporary_threshold = ns[k] - 1 }, &v);
		assert_int_equal(v->total_count[VIEW_TEMPORARY], ns[k]);
	}
}

/* PK-15, and kinds kept apart at one stack. */
static void test_split(void **state)
{
	static const struct op ops[] = {
		{ WIRE_REC_MALLOC, 0x1000, 2048, 1, 1 }, { WIRE_REC_MALLOC, 0x2000, 2048, 1, 2 },
		{ WIRE_REC_MALLOC, 0x3000, 2048, 1, 1 }, { WIRE_REC_MALLOC, 0x4000, 2048, 1, 2 },
		{ WIRE_REC_CALLOC, 0x5000, 10, 1, 2 },
	};
	(void)state;
	for (int split = 0; split < 2; split++) {
		auto_views struct views *v = NULL;
		compute(ops, 5, (struct view_options){ .split_threads = split }, &v);
		assert_int_equal(v->row_count, split ? 3 : 2);
		assert_int_equal(v->total_bytes[VIEW_PEAK], 4 * 2048 + 10);
		for (size_t i = 0; i < v->row_count; i++) {
			bool calloc_row = v->rows[i].kind == WIRE_REC_CALLOC;
			assert_int_equal(v->rows[i].bytes[VIEW_PEAK],
					 calloc_row ? 10 : split ? 4096 : 8192);
			assert_true(split ? v->rows[i].thread == 1 || v->rows[i].thread == 2 :
					    v->rows[i].thread == 0);
		}
	}
}

static void test_totals(void **state)
{
	static const struct op ops[] = {
		M(16, 100, 1), M(32, 0, 1), F(16), F(16), F(64), UNMAP(0x10000, 1), MAP(0x20000, 3, 2),
		UNMAP(0x20000, 1), { WIRE_REC_CALLOC, 48, 7, 2, 1 },
	};
	(void)state;
	auto_views struct views *v = NULL;
	compute(ops, 9, (struct view_options){ .temporary_threshold = 1 }, &v);
	assert_int_equal(v->events, 9);
	assert_int_equal(v->allocations, 4);
	assert_int_equal(v->releases, 5);
	assert_int_equal(v->unknown_releases, 3);
	assert_int_equal(v->min_size, 0);
	assert_int_equal(v->max_size, 3 * PAGE);
	assert_int_equal(v->kind_count[WIRE_REC_MALLOC], 2);
	assert_int_equal(v->kind_bytes[WIRE_REC_MALLOC], 100);
	assert_int_equal(v->kind_bytes[WIRE_REC_MUNMAP], 2 * PAGE);
	assert_int_equal(v->size_class[0], 1);
	assert_int_equal(v->size_class[7], 1);
	assert_int_equal(v->first_ticks, 1000);
	assert_int_equal(v->last_ticks, 1080);
	assert_int_equal(v->peak_ticks, 1060);
	auto_views struct views *none = NULL;
	compute(NULL, 0, (struct view_options){ 0 }, &none);
	assert_int_equal(none->row_count, 0);
	assert_int_equal(none->min_size, 0);
}

/* ---- random streams against a model ---- */

struct block {
	uint64_t address, size;		/* a mapping: its pages that are left, in bytes */
	uint64_t whole, sequence;
	uint32_t stack, thread;
	uint8_t kind;
	bool live, mapping;
	bool page[16];
};

#define KEYS (STACKS + 1) * 4 * 32	/* stack, thread, kind */

struct model {
	MT_ARRAY(struct block) blocks;
	uint64_t bytes[VIEW_COUNT][KEYS], count[VIEW_COUNT][KEYS];
	uint64_t peak, peak_event, unknown;
	uint64_t sequence[4];
	uint32_t threshold;
	bool split;
};

static size_t model_key(const struct model *m, const struct block *b)
{
	return (b->stack * 4 + (m->split ? b->thread : 0)) * 32 + b->kind;
}

static void model_ended(struct model *m, struct block *b)
{
	b->live = false;
	if (m->sequence[b->thread] - b->sequence > m->threshold)
		return;
	m->bytes[VIEW_TEMPORARY][model_key(m, b)] += b->whole;
	m->count[VIEW_TEMPORARY][model_key(m, b)]++;
}

static uint64_t page_bytes(const struct block *b, size_t i)
{
	uint64_t before = i * (uint64_t)PAGE;
	return b->whole - before < PAGE ? b->whole - before : PAGE;
}

static bool model_unmap(struct model *m, uint64_t start, uint64_t size)
{
	bool found = false;
	uint64_t end = start + (size + PAGE - 1) / PAGE * PAGE;
	for (size_t i = 0; i < m->blocks.len; i++) {
		struct block *b = &m->blocks.items[i];
		bool mine = false, left = false;
		for (size_t k = 0; b->live && b->mapping && k < 16; k++) {
			uint64_t at = b->address + k * PAGE;
			if (b->page[k] && at >= start && at < end) {
				b->page[k] = false;
				b->size -= page_bytes(b, k);
				mine = true;
			}
			left |= b->page[k];
		}
		found |= mine;
		if (mine && !left)
			model_ended(m, b);
	}
	return found;
}

static bool model_free(struct model *m, uint64_t address)
{
	for (size_t i = 0; i < m->blocks.len; i++)
		if (m->blocks.items[i].live && !m->blocks.items[i].mapping &&
		    m->blocks.items[i].address == address) {
			model_ended(m, &m->blocks.items[i]);
			return true;
		}
	return false;
}

/* All that is live, into one view. */
static uint64_t model_count(struct model *m, enum view_kind view)
{
	uint64_t total = 0;
	memset(m->bytes[view], 0, sizeof(m->bytes[view]));
	memset(m->count[view], 0, sizeof(m->count[view]));
	for (size_t i = 0; i < m->blocks.len; i++) {
		const struct block *b = &m->blocks.items[i];
		if (!b->live)
			continue;
		m->bytes[view][model_key(m, b)] += b->size;
		m->count[view][model_key(m, b)]++;
		total += b->size;
	}
	return total;
}

static void model_event(struct model *m, const struct op *op, uint64_t number)
{
	if (!capture_kind_allocates(op->kind)) {
		m->unknown += capture_kind_has_size(op->kind) ?
				      !model_unmap(m, op->address, op->size) :
				      !model_free(m, op->address);
		return;
	}
	struct block b = { .address = op->address, .size = op->size, .whole = op->size,
			   .stack = op->stack, .thread = op->thread, .kind = op->kind, .live = true };
	b.mapping = op->kind >= WIRE_REC_MMAP;
	if (b.mapping)
		model_unmap(m, op->address, op->size);
	else
		model_free(m, op->address);
	for (size_t k = 0; b.mapping && k < (op->size + PAGE - 1) / PAGE; k++)
		b.page[k] = true;
	b.sequence = ++m->sequence[op->thread];
	assert_true(mt_array_push(&m->blocks, b));
	m->bytes[VIEW_ALLOCATED][model_key(m, &b)] += op->size;
	m->count[VIEW_ALLOCATED][model_key(m, &b)]++;
	uint64_t live = 0;
	for (size_t i = 0; i < m->blocks.len; i++)
		live += m->blocks.items[i].live ? m->blocks.items[i].size : 0;
	if (live >= m->peak) {
		m->peak = model_count(m, VIEW_PEAK);
		m->peak_event = number;
	}
}

static struct op random_op(void)
{
	static const uint8_t small[] = { WIRE_REC_MALLOC, WIRE_REC_CALLOC, WIRE_REC_REALLOC };
	static const uint8_t unmaps[] = { WIRE_REC_MUNMAP, WIRE_REC_MREMAP_UNMAP,
					  WIRE_REC_BRK_SHRINK };
	struct op op = { .thread = (uint32_t)random() % 4 };
	unsigned what = (unsigned)random() % 16;
	op.stack = what < 6 || (what >= 12 && what < 14) ? 1 + (uint32_t)random() % STACKS : 0;
	if (what < 12) {
		op.address = 16 + (uint64_t)(random() % 24) * 16;
		op.kind = what < 6 ? small[random() % 3] :
			  what < 11 ? WIRE_REC_FREE : WIRE_REC_REALLOC_FREE;
		op.size = what < 6 ? (uint64_t)random() % 3000 : 0;
		return op;
	}
	op.address = 0x100000 + (uint64_t)(random() % 24) * PAGE;
	op.size = 1 + (uint64_t)random() % (8 * PAGE);
	op.kind = what < 14 ? (uint8_t)(WIRE_REC_MMAP + random() % 3) : unmaps[random() % 3];
	return op;
}

static void compare(struct model *m, const struct views *v, unsigned round)
{
	model_count(m, VIEW_LEAKS);
	assert_int_equal(v->unknown_releases, m->unknown);
	assert_int_equal(v->total_bytes[VIEW_PEAK], m->peak);
	if (v->allocations)
		assert_int_equal(v->peak_ticks, 1000 + 10 * m->peak_event);
	for (size_t i = 0; i < v->row_count; i++) {
		const struct view_row *row = &v->rows[i];
		struct block as = { .stack = row->stack, .thread = row->thread, .kind = row->kind };
		size_t key = model_key(m, &as);
		for (int k = 0; k < VIEW_COUNT; k++) {
			if (row->bytes[k] != m->bytes[k][key] || row->count[k] != m->count[k][key])
				fail_msg("round %u: %s of stack %u: %lu bytes %lu, model %lu %lu",
					 round, view_name((enum view_kind)k), row->stack,
					 (unsigned long)row->bytes[k], (unsigned long)row->count[k],
					 (unsigned long)m->bytes[k][key],
					 (unsigned long)m->count[k][key]);
			m->bytes[k][key] = m->count[k][key] = 0;
		}
	}
	for (size_t i = 0; i < KEYS; i++)	/* no row is missing */
		for (int k = 0; k < VIEW_COUNT; k++)
			assert_true(!m->bytes[k][i] && !m->count[k][i]);
}

static void test_random(void **state)
{
	enum { ROUNDS = 2000 };
	static struct op ops[120];
	struct model *m = malloc(sizeof(*m));
	(void)state;
	srandom(5);
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t n = 1 + (size_t)random() % 120;
		memset(m, 0, sizeof(*m));
		m->threshold = (uint32_t)random() % 4;
		m->split = random() % 2;
		for (size_t i = 0; i < n; i++) {
			ops[i] = random_op();
			model_event(m, &ops[i], i);
		}
		auto_views struct views *v = NULL;
		compute(ops, n, (struct view_options){ .split_threads = m->split,
						       .temporary_threshold = m->threshold }, &v);
		compare(m, v, round);
		mt_array_deinit(&m->blocks);
	}
	free(m);
}

/* Many points: halved again and again, in order, and the highest stays. */
static void test_points(void **state)
{
	enum { COUNT = 60000 };
	struct op *ops = calloc(COUNT, sizeof(*ops));
	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		ops[i] = i % 2 ? (struct op)F(16) : (struct op)M(16, i == 31000 ? 77777 : 10, 1);
	auto_views struct views *v = NULL;
	compute(ops, COUNT, (struct view_options){ 0 }, &v);
	uint64_t highest = 0;
	assert_true(v->point_count > 1000 && v->point_count <= 10000);
	for (size_t i = 0; i < v->point_count; i++) {
		assert_true(!i || v->points[i].ticks >= v->points[i - 1].ticks);
		if (v->points[i].heap > highest)
			highest = v->points[i].heap;
	}
	assert_int_equal(highest, 77777);
	free(ops);
}

/* A fall before a time without events, or before the end, is seen as long as it lasts. */
static void test_low_points(void **state)
{
	static const struct op ops[] = { M(16, 1000, 1), F(16), M(16, 500, 1), F(16) };
	static const struct view_point want[] = {
		{ .ticks = 1000, .heap = 1000 }, { .ticks = 1010, .heap = 1000 },
		{ .ticks = 1011, .heap = 0 }, { .ticks = 1020, .heap = 500 },
		{ .ticks = 1030, .heap = 500 }, { .ticks = 1030, .heap = 0 },
	};
	auto_views struct views *v = NULL;
	(void)state;
	compute(ops, 4, (struct view_options){ 0 }, &v);
	assert_int_equal(v->point_count, 6);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(v->points[i].ticks, want[i].ticks);
		assert_int_equal(v->points[i].heap, want[i].heap);
	}
}

/* A program that waits has memory, too: before its first event, between two and behind the last. */
static void test_points_of_samples(void **state)
{
	static const struct op ops[] = { SAMPLE(100), M(16, 1000, 1), SAMPLE(200), SAMPLE(300),
					 M(17, 500, 1), SAMPLE(400), SAMPLE(500) };
	static const struct view_point want[] = {
		{ 1000, 0, 100 }, { 1010, 1000, 100 }, { 1020, 1000, 200 }, { 1030, 1000, 300 },
		{ 1040, 1500, 300 }, { 1050, 1500, 400 }, { 1060, 1500, 500 },
	};
	auto_views struct views *v = NULL;
	(void)state;
	compute(ops, 7, (struct view_options){ 0 }, &v);
	assert_int_equal(v->point_count, 7);
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(v->points[i].ticks, want[i].ticks);
		assert_int_equal(v->points[i].heap, want[i].heap);
		assert_int_equal(v->points[i].rss, want[i].rss);
	}
}

static void test_names(void **state)
{
	enum view_kind kind;
	(void)state;
	for (unsigned i = 0; i < VIEW_COUNT; i++)
		assert_true(view_parse(view_name((enum view_kind)i), &kind) && kind == i);
	assert_false(view_parse("peaks", &kind));
	assert_false(view_parse("", &kind));
	assert_string_equal(wire_record_name(WIRE_REC_PVALLOC), "pvalloc");
	assert_string_equal(wire_record_name(31), "unknown");
	assert_string_equal(wire_record_name(1000), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),		cmocka_unit_test(test_recursion),
		cmocka_unit_test(test_temporary_reverse), cmocka_unit_test(test_split),
		cmocka_unit_test(test_totals),		cmocka_unit_test(test_random),
		cmocka_unit_test(test_points),		cmocka_unit_test(test_low_points),
		cmocka_unit_test(test_points_of_samples),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
