/* SPDX-License-Identifier: Apache-2.0 */
/* inject/unwind_compile.h - compiles an image's call frame information into the flat table that
 * the tracer searches (struct wire_row, struct wire_rule).
 *
 * Input is .eh_frame (found through .eh_frame_hdr in the image's memory or file), and .debug_frame
 * of the file where only that exists. Only what an unwind needs is kept: CFA and rbp; the return
 * address must be at CFA - 8. A rule that struct wire_rule cannot express becomes
 * WIRE_CFA_UNSUPPORTED, an undefined return address WIRE_CFA_END, an 'S' augmentation
 * WIRE_CFA_SIGNAL. Between FDEs, rows are WIRE_CFA_UNSUPPORTED. Hostile input gives an error or
 * UNSUPPORTED rows, never a crash. */
#ifndef MT_INJECT_UNWIND_COMPILE_H
#define MT_INJECT_UNWIND_COMPILE_H

#include "base/array.h"
#include "base/error.h"
#include "capture/wire.h"

/* Rules shared by all modules of a target, deduplicated; index 0 is always UNSUPPORTED. */
struct unwind_rules {
	MT_ARRAY(struct wire_rule) list;
	struct unwind_rule_index *index;
};

struct unwind_table {
	MT_ARRAY(struct wire_row) rows;	/* ascending pc = vaddr - base; equal neighbours merged */
	/* Set before compiling when the image lies above 4 GiB in its own virtual addresses
	 * (prelinked libraries), else 0. wire_module.bias is then the image's bias + base. */
	uint64_t base;
	uint32_t fde_count;
	uint32_t unsupported_count;	/* FDEs with a row that could not be expressed */
	uint64_t damaged_at;		/* section offset where reading stopped early, 0: did not */
};

void unwind_rules_init(struct unwind_rules *rules);
void unwind_rules_deinit(struct unwind_rules *rules);
void unwind_table_deinit(struct unwind_table *table);

/* Bytes of an .eh_frame section that starts at virtual address `vaddr` (pc-relative pointers).
 * `is_debug_frame` reads the .debug_frame dialect. Adds rows for code that the table has none for;
 * of FDEs that overlap the lowest start wins, then the first. Reading ends at a zero length
 * (.eh_frame) or at a damaged record; MT_ERROR_CORRUPT only when nothing came before that. */
struct mt_error *unwind_compile_section(const uint8_t *data, size_t size, uint64_t vaddr,
					bool is_debug_frame, struct unwind_rules *rules,
					struct unwind_table *table) MT_MUST_CHECK;

/* Code in [start, end) gets this rule (an index), whatever it had; what lies around keeps its own. False: out
 * of memory, and the table is as it was. */
bool unwind_table_set(struct unwind_table *table, uint64_t start, uint64_t end, uint32_t rule)
	MT_MUST_CHECK;

/* The rule for a virtual address, for tests and the remote unwinder: the tracer's own search. */
const struct wire_rule *unwind_lookup(const struct unwind_table *table,
				      const struct unwind_rules *rules, uint64_t vaddr);

#endif
