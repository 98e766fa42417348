/* SPDX-License-Identifier: Apache-2.0 */
/* inject/unwind_expr.c - the few DWARF expressions that compilers and linkers use in frame rules.
 * Knows: their byte patterns. Does not know: tables.
 * Called by inject/unwind_cfa.c; reads through base/cursor.h. */
#include "inject/unwind_private.h"

#include <dwarf.h>

static bool take(struct mt_cursor *c, uint8_t op)
{
	return mt_cursor_u8(c) == op && !c->failed;
}

static bool take_breg(struct mt_cursor *c, unsigned reg, int64_t *offset_ret)
{
	if (reg > 31 || c->pos == c->end || *c->pos != DW_OP_breg0 + reg)
		return false;
	mt_cursor_u8(c);
	*offset_ret = mt_cursor_sleb128(c);
	return !c->failed;
}

static bool at_end(const struct mt_cursor *c)
{
	return !c->failed && c->pos == c->end;
}

/* The lazy PLT of GNU ld: rsp + N + ((rip & 15) >= T) * 8. T is where the push of the entry is
 * done: 11 in the plain one, other values with IBT or MPX. */
static bool match_plt(struct mt_cursor c, struct cfi_state *state)
{
	int64_t offset, rip;
	if (!take_breg(&c, CFI_RSP, &offset) || !take_breg(&c, CFI_RA, &rip) || rip ||
	    !take(&c, DW_OP_lit15) || !take(&c, DW_OP_and))
		return false;
	uint8_t lit = mt_cursor_u8(&c);
	if (c.failed || lit < DW_OP_lit0 || lit > DW_OP_lit15 || !take(&c, DW_OP_ge) ||
	    !take(&c, DW_OP_lit3) || !take(&c, DW_OP_shl) || !take(&c, DW_OP_plus) ||
	    !at_end(&c))
		return false;
	state->cfa = CFI_CFA_PLT;
	state->cfa_offset = offset;
	state->plt_threshold = lit - DW_OP_lit0;
	return true;
}

/* breg N, or breg N deref: stacks realigned by the compiler keep the CFA in a slot. */
static bool match_slot(struct mt_cursor c, unsigned reg, struct cfi_state *state)
{
	int64_t offset;
	if (!take_breg(&c, reg, &offset))
		return false;
	uint8_t cfa = CFI_CFA_REG;
	if (!at_end(&c)) {
		if (!take(&c, DW_OP_deref) || !at_end(&c))
			return false;
		cfa = CFI_CFA_DEREF;
	}
	state->cfa = cfa;
	state->cfa_reg = (uint8_t)reg;
	state->cfa_offset = offset;
	return true;
}

void cfi_cfa_expression(const uint8_t *expr, size_t size, struct cfi_state *state)
{
	struct mt_cursor c = mt_cursor_make(expr, size);
	if (!match_slot(c, CFI_RBP, state) && !match_slot(c, CFI_RSP, state) &&
	    !match_plt(c, state))
		state->cfa = CFI_CFA_OTHER;
}

struct cfi_where cfi_register_expression(const uint8_t *expr, size_t size)
{
	struct mt_cursor c = mt_cursor_make(expr, size);
	struct cfi_where where = { .how = CFI_OTHER };
	if (take_breg(&c, CFI_RBP, &where.offset))
		where.how = at_end(&c) ? CFI_AT_RBP : CFI_OTHER;
	else if (take_breg(&c, CFI_RSP, &where.offset))
		where.how = at_end(&c) ? CFI_AT_RSP : CFI_OTHER;
	return where;
}
