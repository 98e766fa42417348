/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_unwind.c - .eh_frame and .debug_frame sections of any content.
 * Knows: inject/unwind_compile.h. Does not know: what a good section looks like.
 * Called by tests/run.py; seeds in tests/fuzz/seeds/unwind/.
 *
 * First byte: bit 0 the dialect, bit 1 compiles the second half into the same table. */
#include "inject/unwind_compile.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct unwind_table *table, const struct unwind_rules *rules)
{
	for (size_t i = 0; i < table->rows.len; i++) {
		const struct wire_row *row = &table->rows.items[i];
		if (row->rule >= rules->list.len)
			abort();
		/* The tracer's binary search needs them ascending. */
		if (i && (row[-1].pc >= row->pc || row[-1].rule == row->rule))
			abort();
		if (unwind_lookup(table, rules, row->pc) != &rules->list.items[row->rule])
			abort();
	}
	if (table->rows.len && table->rows.items[table->rows.len - 1].rule)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct unwind_rules rules;
	struct unwind_table table = { 0 };
	if (!size)
		return 0;
	bool debug_frame = data[0] & 1, twice = data[0] & 2;
	size_t first = twice ? (size - 1) / 2 : size - 1;
	unwind_rules_init(&rules);
	mt_error_destroy(unwind_compile_section(data + 1, first, 0x10000, debug_frame, &rules,
						&table));
	check(&table, &rules);
	if (twice) {
		mt_error_destroy(unwind_compile_section(data + 1 + first, size - 1 - first,
							0x10000, debug_frame, &rules, &table));
		check(&table, &rules);
	}
	unwind_table_deinit(&table);
	unwind_rules_deinit(&rules);
	return 0;
}
