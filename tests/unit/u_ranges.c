/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_ranges.c - maps and unmaps against an array of pages.
 * Knows: analysis/ranges.h. Does not know: views.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/ranges.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define OWNERS 32u

struct taken {			/* what releases gave back, by owner's row */
	uint64_t bytes[OWNERS], parts[OWNERS], last[OWNERS];
};

static void released(const struct range_owner *owner, uint64_t bytes, bool last, void *arg)
{
	struct taken *t = arg;
	t->bytes[owner->row] += bytes;
	t->parts[owner->row]++;
	t->last[owner->row] += last;
}

static void ok(struct mt_error *err)
{
	if (err)
		fail_msg("%s", err->message);
}

struct op {
	char what;		/* m: map, u: unmap, 0: end */
	uint64_t start, size;
	uint32_t row;		/* map: its owner */
	bool found;		/* unmap */
};

struct row {
	struct op ops[8];
	uint64_t bytes[3], last[3];	/* released in the end, of owners 0..2 */
};

static const struct row rows[] = {
	/* all at once; nothing there any more */
	{ { { 'm', 0x10000, 8192, 0, 0 }, { 'u', 0x10000, 8192, 0, true },
	    { 'u', 0x10000, 8192, 0, false } }, { 8192 }, { 1 } },
	/* one page of two */
	{ { { 'm', 0x10000, 8192, 0, 0 }, { 'u', 0x11000, 4096, 0, true } }, { 4096 }, { 0 } },
	/* first and last, then the middle */
	{ { { 'm', 0x10000, 16384, 0, 0 }, { 'u', 0x10000, 4096, 0, true },
	    { 'u', 0x13000, 4096, 0, true }, { 'u', 0x11000, 8192, 0, true } }, { 16384 }, { 1 } },
	/* two neighbours by one unmap; and the gap between two does not matter */
	{ { { 'm', 0x10000, 4096, 0, 0 }, { 'm', 0x11000, 4096, 1, 0 },
	    { 'u', 0x10000, 8192, 0, true } }, { 4096, 4096 }, { 1, 1 } },
	{ { { 'm', 0x10000, 4096, 0, 0 }, { 'm', 0x20000, 4096, 1, 0 },
	    { 'u', 0, 0x100000, 0, true } }, { 4096, 4096 }, { 1, 1 } },
	/* asked-for bytes are counted from the start: 5000 = 4096 + 904 */
	{ { { 'm', 0x10000, 5000, 0, 0 }, { 'u', 0x11000, 1, 0, true } }, { 904 }, { 0 } },
	{ { { 'm', 0x10000, 5000, 0, 0 }, { 'u', 0x10000, 1, 0, true } }, { 4096 }, { 0 } },
	{ { { 'm', 0x10000, 100, 0, 0 }, { 'u', 0x10000, 100, 0, true } }, { 100 }, { 1 } },
	/* MAP_FIXED over the middle, over all, over two */
	{ { { 'm', 0x10000, 12288, 0, 0 }, { 'm', 0x11000, 4096, 1, 0 } }, { 4096 }, { 0 } },
	{ { { 'm', 0x10000, 12288, 0, 0 }, { 'm', 0x10000, 16384, 1, 0 } }, { 12288 }, { 1 } },
	{ { { 'm', 0x10000, 8192, 0, 0 }, { 'm', 0x12000, 8192, 1, 0 },
	    { 'm', 0x11000, 8192, 2, 0 }, { 'u', 0x10000, 0x4000, 0, true } },
	  { 8192, 8192, 8192 }, { 1, 1, 1 } },
	/* the break grows by odd amounts and shrinks: no byte twice, none lost */
	{ { { 'm', 0x10010, 100, 0, 0 }, { 'm', 0x10074, 5000, 1, 0 },
	    { 'u', 0x10074, 5000, 0, true } }, { 0, 5000 }, { 0, 1 } },
	/* outside and empty */
	{ { { 'm', 0x10000, 4096, 0, 0 }, { 'u', 0x11000, 4096, 0, false },
	    { 'u', 0xf000, 4096, 0, false }, { 'u', 0x10000, 0, 0, false } }, { 0 }, { 0 } },
	/* the end of the address space */
	{ { { 'm', UINT64_MAX - 8191, 8192, 0, 0 }, { 'u', 0, UINT64_MAX, 0, true } },
	  { 8192 }, { 1 } },
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ranges r;
		struct taken t = { 0 };
		ranges_init(&r, PAGE);
		for (const struct op *op = rows[i].ops; op->what; op++) {
			struct range_owner owner = { .row = op->row };
			bool found = !op->found;
			if (op->what == 'm') {
				ok(ranges_map(&r, op->start, op->size, &owner, released, &t));
				continue;
			}
			ok(ranges_unmap(&r, op->start, op->size, &found, released, &t));
			if (found != op->found)
				fail_msg("row %zu: found %d at %#lx", i, found,
					 (unsigned long)op->start);
		}
		for (size_t k = 0; k < 3; k++)
			if (t.bytes[k] != rows[i].bytes[k] || t.last[k] != rows[i].last[k])
				fail_msg("row %zu, owner %zu: %lu bytes, %lu last", i, k,
					 (unsigned long)t.bytes[k], (unsigned long)t.last[k]);
		ranges_deinit(&r);
	}
}

/* ---- random, against one entry a page ---- */

#define PAGES 96u

struct model {
	int owner[PAGES];		/* -1: none */
	uint64_t bytes[PAGES];
	uint64_t pages[OWNERS];
	struct taken taken;
};

static void model_unmap(struct model *m, size_t first, size_t count, bool *found)
{
	*found = false;
	for (size_t i = first; i < first + count && i < PAGES; i++) {
		int o = m->owner[i];
		if (o < 0)
			continue;
		*found = true;
		m->taken.bytes[o] += m->bytes[i];
		m->taken.last[o] += --m->pages[o] == 0;
		m->owner[i] = -1;
	}
}

static void model_map(struct model *m, size_t first, uint64_t size, uint32_t owner)
{
	bool found;
	size_t count = (size + PAGE - 1) / PAGE;
	model_unmap(m, first, count, &found);
	for (size_t i = first; i < first + count; i++) {
		m->owner[i] = (int)owner;
		m->bytes[i] = size < PAGE ? size : PAGE;
		size -= m->bytes[i];
		m->pages[owner]++;
	}
}

static void random_step(struct ranges *r, struct model *m, struct taken *t)
{
	size_t first = (size_t)random() % PAGES, count = 1 + (size_t)random() % 12;
	if (first + count > PAGES)
		count = PAGES - first;
	uint64_t start = 0x400000 + first * PAGE, size = count * PAGE;
	size -= random() % 2 ? (uint64_t)random() % PAGE : 0;
	uint32_t free_owner = (uint32_t)random() % OWNERS;
	while (m->pages[free_owner])
		free_owner = (free_owner + 1) % OWNERS;
	bool found, found_model;
	if (random() % 5 < 2) {
		struct range_owner owner = { .row = free_owner };
		ok(ranges_map(r, start, size, &owner, released, t));
		model_map(m, first, size, free_owner);
		return;
	}
	ok(ranges_unmap(r, start, size, &found, released, t));
	model_unmap(m, first, count, &found_model);
	assert_true(found == found_model);
}

static bool owners_left(const struct model *m)
{
	for (size_t i = 0; i < OWNERS; i++)
		if (!m->pages[i])
			return true;
	return false;
}

static void test_random(void **state)
{
	(void)state;
	srandom(4);
	for (unsigned round = 0; round < 400; round++) {
		struct ranges r;
		struct model m = { 0 };
		struct taken t = { 0 };
		memset(m.owner, 0xff, sizeof(m.owner));
		ranges_init(&r, round % 2 ? 0 : PAGE);		/* 0: not known */
		for (unsigned i = 0; i < 300 && owners_left(&m); i++) {
			random_step(&r, &m, &t);
			assert_memory_equal(t.bytes, m.taken.bytes, sizeof(t.bytes));
			assert_memory_equal(t.last, m.taken.last, sizeof(t.last));
		}
		/* Freed pieces and owners are used again. */
		assert_true(r.pieces.len <= PAGES * 2 + 4 && r.owners.len <= OWNERS + 1);
		ranges_deinit(&r);
	}
}

/* A map of many small ones, in the order that makes a plain tree a list. */
static void test_sorted(void **state)
{
	struct ranges r;
	struct taken t = { 0 };
	bool found;
	(void)state;
	ranges_init(&r, PAGE);
	for (uint64_t i = 0; i < 200000; i++) {
		struct range_owner owner = { .row = 0 };
		ok(ranges_map(&r, 0x10000 + i * 2 * PAGE, PAGE, &owner, released, &t));
	}
	ok(ranges_unmap(&r, 0, UINT64_MAX / 2, &found, released, &t));
	assert_true(found);
	assert_int_equal(t.last[0], 200000);
	assert_int_equal(t.bytes[0], 200000ull * PAGE);
	ranges_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_sorted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
