/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_live_blocks.c - the table of live blocks against a list of all addresses, and the table of rows
 * where its counters end.
 * Knows: analysis/live.h, analysis/row_table.h. Does not know: events.
 * Called by make unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/live.h"
#include "analysis/row_table.h"

#define ADDRESSES 5000u

/* Allocates address number i, as analysis/views.c does; true: another block was there. */
static bool add(struct live_blocks *live, uint64_t address, uint32_t row)
{
	struct live_block *b = live_entry(live, address, live_hash(address));
	assert_non_null(b);
	bool was = live_is(b);
	if (was) {
		assert_true(b->address == address);
		live_remove(live, b);
	}
	*b = (struct live_block){ .address = address, .size = row, .row_1 = row + 1 };
	live_added(live);
	return was;
}

/* `spread`: between addresses; the larger ones make many meet in one slot. */
static void against_model(uint64_t spread, unsigned reach)
{
	static uint32_t model[ADDRESSES];	/* row + 1 */
	struct live_blocks live = { 0 };
	uint64_t random = spread;
	size_t count = 0;
	for (unsigned i = 0; i < ADDRESSES; i++)
		model[i] = 0;
	for (uint32_t step = 0; step < 200000; step++) {
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		/* The window moves on: addresses become old and are never seen again. */
		unsigned at = (unsigned)((random >> 33) % reach + step / 50) % ADDRESSES;
		uint64_t address = 16 + at * spread;
		struct live_block *b = live_find(&live, address, live_hash(address));
		assert_int_equal(b ? b->row_1 : 0, model[at]);
		if (random >> 62) {
			assert_int_equal(add(&live, address, step), model[at] != 0);
			count += !model[at];
			model[at] = step + 1;
		} else if (b) {
			live_remove(&live, b);
			model[at] = 0;
			count--;
		}
		assert_int_equal(live.len, count);
		assert_true(live.used >= live.len && live.used < live.cap);
	}
	size_t seen = 0;
	for (size_t i = 0; i < live.cap; i++)
		if (live_is(&live.slots[i])) {
			assert_int_equal(live.slots[i].row_1, model[(live.slots[i].address - 16) / spread]);
			seen++;
		}
	assert_int_equal(seen, count);
	/* The dead do not make it grow: it is as wide as the living need. */
	assert_true(live.cap <= 1024 || live.cap <= 8 * ADDRESSES);
	live_deinit(&live);
}

static void test_live_blocks(void **state)
{
	(void)state;
	against_model(16, 300);
	against_model(16, ADDRESSES);
	against_model(1ull << 24, 300);
	against_model(1ull << 40, ADDRESSES);
}

/* A block at a time, each elsewhere: nothing but dead ones. */
static void test_dead_blocks_need_no_room(void **state)
{
	struct live_blocks live = { 0 };
	(void)state;
	for (uint64_t i = 1; i < 1000000; i++) {
		assert_false(add(&live, i * 64, 1));
		live_remove(&live, live_find(&live, i * 64, live_hash(i * 64)));
	}
	assert_true(live.cap <= 1024);
	assert_null(live_find(&live, 64, live_hash(64)));
	live_deinit(&live);
}

static void test_counters_carry(void **state)
{
	struct row_table t;
	uint32_t row, other;
	(void)state;
	row_table_init(&t);
	assert_null(row_table_find(&t, 3, 0, 1, &row));
	assert_null(row_table_find(&t, 5, 7, 1, &other));
	t.states[row].temporary_count = UINT32_MAX - 1;
	for (uint64_t i = 0; i < 3; i++)
		row_table_temporary(&t, row, (7ull << 32) + UINT32_MAX);
	assert_null(row_table_result(&t));
	assert_int_equal(t.result.len, 2);
	assert_true(t.result.items[row].bytes[VIEW_TEMPORARY] == 3 * ((7ull << 32) + UINT32_MAX));
	assert_true(t.result.items[row].count[VIEW_TEMPORARY] == (1ull << 32) + 1);
	assert_int_equal(t.result.items[other].bytes[VIEW_TEMPORARY], 0);
	assert_true(t.result.items[other].stack == 5 && t.result.items[other].thread == 7);
	row_table_deinit(&t);
}

/* Stacks, threads and kinds that meet in one place are told apart, before and after the table grew. */
static void test_rows_are_found(void **state)
{
	struct row_table t;
	uint32_t row, expected = 0;
	(void)state;
	row_table_init(&t);
	for (unsigned round = 0; round < 3; round++, expected = 0)
		for (uint32_t stack = 0; stack < 40; stack++)
			for (uint32_t thread = 0; thread < 40; thread++)
				for (uint8_t kind = 1; kind < 4; kind++) {
					assert_null(row_table_find(&t, stack * 4096, thread << 20, kind, &row));
					assert_int_equal(row, expected++);
				}
	assert_int_equal(t.len, 40 * 40 * 3);
	row_table_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_live_blocks),
		cmocka_unit_test(test_dead_blocks_need_no_room),
		cmocka_unit_test(test_counters_carry),
		cmocka_unit_test(test_rows_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
