/* SPDX-License-Identifier: Apache-2.0 */
/* inject/unwind_private.h - what the unwind_*.c files share; nobody else includes it. */
#ifndef MT_INJECT_UNWIND_PRIVATE_H
#define MT_INJECT_UNWIND_PRIVATE_H

#include "base/cursor.h"
#include "base/hash.h"
#include "inject/unwind_compile.h"

/* DWARF register numbers of x86-64. */
enum { CFI_RBP = 6, CFI_RSP = 7, CFI_RA = 16, CFI_REG_OTHER = 255 };

/* How the CFA is found in one row. */
enum cfi_cfa { CFI_CFA_NONE, CFI_CFA_REG, CFI_CFA_DEREF, CFI_CFA_PLT, CFI_CFA_OTHER };
/* How a register is found in one row. */
enum cfi_how { CFI_SAME, CFI_AT_CFA, CFI_AT_RBP, CFI_UNDEFINED, CFI_AT_RSP, CFI_OTHER };

struct cfi_where {
	uint8_t how;		/* enum cfi_how */
	int64_t offset;
};

/* One row of the table that the instructions describe. Without padding, so that two can be compared
 * as bytes: the same few states come again in every function. */
struct cfi_state {
	uint8_t cfa;		/* enum cfi_cfa */
	uint8_t cfa_reg;	/* CFI_REG_OTHER: one that no rule of ours has */
	uint8_t plt_threshold;	/* CFI_CFA_PLT: (pc & 15) from which 8 bytes more are pushed */
	bool rsp_is_not_cfa;	/* the caller's rsp has a rule of its own */
	uint8_t rbp, ra;	/* enum cfi_how */
	uint16_t zero;
	int64_t cfa_offset, rbp_offset, ra_offset;
};
_Static_assert(sizeof(struct cfi_state) == 32, "no padding");

struct cfi_cie {
	uint64_t offset;	/* of the record in the section */
	bool supported, is_signal, has_size;	/* has_size: augmentation 'z' */
	uint8_t fde_encoding;
	uint64_t code_align;
	int64_t data_align;
	struct cfi_state initial;
};

/* One instruction stream being run: a CIE's or an FDE's. */
struct cfi_run {
	struct mt_cursor cur;
	const struct cfi_cie *cie;
	uint64_t section_vaddr;	/* for DW_CFA_set_loc; cur.start is the section's start */
	uint64_t loc, end;	/* the present row begins at loc */
	struct cfi_state state;
	bool in_cie;
	bool bad;		/* an instruction that cannot be followed: give up from loc on */
	/* FDE: called for [loc, next) each time the location moves. */
	bool (*row)(struct cfi_run *run, uint64_t next);
};

/* inject/unwind_cfa.c: runs the instructions; false only when row() said so. */
bool cfi_run(struct cfi_run *run);
/* Reads an encoded pointer (DW_EH_PE_*); false when the encoding is not one that stands by
 * itself. Cursor positions are relative to the section start. */
bool cfi_pointer(struct mt_cursor *cur, uint8_t encoding, uint64_t section_vaddr, uint64_t *ret);

/* inject/unwind_expr.c */
void cfi_cfa_expression(const uint8_t *expr, size_t size, struct cfi_state *state);
struct cfi_where cfi_register_expression(const uint8_t *expr, size_t size);

/* inject/unwind_rules.c: index of the rule, UINT32_MAX when out of memory. */
uint32_t unwind_rules_intern(struct unwind_rules *rules, const struct wire_rule *rule);
#define UNWIND_OFFSET_MAX ((1 << 28) - 1)	/* larger offsets have no rule */

#endif
