/* SPDX-License-Identifier: Apache-2.0 */
/* inject/unwind_cfa.c - runs call frame instructions (DWARF 5, 6.4.2 and GNU additions).
 * Knows: instructions, pointer encodings. Does not know: records, tables, rules of ours.
 * Called by inject/unwind_compile.c; reads through base/cursor.h. */
#include "inject/unwind_private.h"

#include <dwarf.h>

/* States kept by DW_CFA_remember_state; compilers nest two or three deep. */
#define REMEMBER_MAX 32u

static bool read_value(struct mt_cursor *cur, uint8_t format, uint64_t *ret)
{
	switch (format) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8: *ret = mt_cursor_u64(cur); break;
	case DW_EH_PE_udata4: *ret = mt_cursor_u32(cur); break;
	case DW_EH_PE_sdata4: *ret = (uint64_t)(int64_t)(int32_t)mt_cursor_u32(cur); break;
	case DW_EH_PE_udata2: *ret = mt_cursor_u16(cur); break;
	case DW_EH_PE_sdata2: *ret = (uint64_t)(int64_t)(int16_t)mt_cursor_u16(cur); break;
	case DW_EH_PE_uleb128: *ret = mt_cursor_uleb128(cur); break;
	case DW_EH_PE_sleb128: *ret = (uint64_t)mt_cursor_sleb128(cur); break;
	default: return false;
	}
	return !cur->failed;
}

bool cfi_pointer(struct mt_cursor *cur, uint8_t encoding, uint64_t section_vaddr, uint64_t *ret)
{
	uint64_t base = 0, value;
	if (encoding == DW_EH_PE_aligned) {
		uint64_t at = section_vaddr + mt_cursor_offset(cur);
		mt_cursor_bytes(cur, -at & 7);
		*ret = mt_cursor_u64(cur);
		return !cur->failed;
	}
	switch (encoding & 0x70) {
	case DW_EH_PE_absptr: break;
	case DW_EH_PE_pcrel: base = section_vaddr + mt_cursor_offset(cur); break;
	default: return false;
	}
	if (!read_value(cur, encoding & 0x0f, &value))
		return false;
	*ret = base + value;
	return true;
}

/* ---- registers ------------------------------------------------------------------------ */

static void set_register(struct cfi_run *run, uint64_t reg, uint8_t how, int64_t offset)
{
	struct cfi_state *s = &run->state;
	if (reg == CFI_RBP) {
		s->rbp = how;
		s->rbp_offset = offset;
	} else if (reg == CFI_RA) {
		s->ra = how;
		s->ra_offset = offset;
	} else if (reg == CFI_RSP) {
		s->rsp_is_not_cfa = true;
	}
}

/* Offsets of damaged input may overflow: wrap, the range is checked when a rule is made. */
static int64_t factored(const struct cfi_run *run, int64_t n)
{
	return (int64_t)((uint64_t)n * (uint64_t)run->cie->data_align);
}

static void offset_rule(struct cfi_run *run, uint64_t reg, int64_t factor)
{
	set_register(run, reg, CFI_AT_CFA, factored(run, factor));
}

static void restore_register(struct cfi_run *run, uint64_t reg)
{
	const struct cfi_state *initial = &run->cie->initial;
	if (run->in_cie)
		run->bad = true;
	else if (reg == CFI_RBP)
		set_register(run, reg, initial->rbp, initial->rbp_offset);
	else if (reg == CFI_RA)
		set_register(run, reg, initial->ra, initial->ra_offset);
	else if (reg == CFI_RSP)
		run->state.rsp_is_not_cfa = initial->rsp_is_not_cfa;
}

static void register_expression(struct cfi_run *run, bool value)
{
	uint64_t reg = mt_cursor_uleb128(&run->cur), size = mt_cursor_uleb128(&run->cur);
	const uint8_t *expr = mt_cursor_bytes(&run->cur, size);
	if (!expr)
		return;
	struct cfi_where where = { .how = CFI_OTHER };
	if (!value)
		where = cfi_register_expression(expr, size);
	set_register(run, reg, where.how, where.offset);
}

/* Instructions that give a register a rule; false: not one of them. */
static bool run_register_op(struct cfi_run *run, uint8_t op)
{
	struct mt_cursor *cur = &run->cur;
	uint64_t reg;
	switch (op) {
	case DW_CFA_offset_extended:
		reg = mt_cursor_uleb128(cur);
		offset_rule(run, reg, (int64_t)mt_cursor_uleb128(cur));
		return true;
	case DW_CFA_offset_extended_sf:
		reg = mt_cursor_uleb128(cur);
		offset_rule(run, reg, mt_cursor_sleb128(cur));
		return true;
	case DW_CFA_GNU_negative_offset_extended:
		reg = mt_cursor_uleb128(cur);
		offset_rule(run, reg, (int64_t)-mt_cursor_uleb128(cur));
		return true;
	case DW_CFA_restore_extended:
		restore_register(run, mt_cursor_uleb128(cur));
		return true;
	case DW_CFA_undefined:
		set_register(run, mt_cursor_uleb128(cur), CFI_UNDEFINED, 0);
		return true;
	case DW_CFA_same_value:
		set_register(run, mt_cursor_uleb128(cur), CFI_SAME, 0);
		return true;
	case DW_CFA_register:
		reg = mt_cursor_uleb128(cur);
		set_register(run, reg, mt_cursor_uleb128(cur) == reg ? CFI_SAME : CFI_OTHER, 0);
		return true;
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
		reg = mt_cursor_uleb128(cur);
		/* Signed or not is the same where only zero matters. */
		if (!mt_cursor_uleb128(cur) && reg == CFI_RSP)
			run->state.rsp_is_not_cfa = false;
		else
			set_register(run, reg, CFI_OTHER, 0);
		return true;
	case DW_CFA_expression:
	case DW_CFA_val_expression:
		register_expression(run, op == DW_CFA_val_expression);
		return true;
	default:
		return false;
	}
}

/* ---- CFA ------------------------------------------------------------------------------ */

static uint8_t register_number(uint64_t reg)
{
	return reg < CFI_REG_OTHER ? (uint8_t)reg : CFI_REG_OTHER;
}

static void define_cfa(struct cfi_run *run, uint64_t reg, int64_t offset)
{
	run->state.cfa = CFI_CFA_REG;
	run->state.cfa_reg = register_number(reg);
	run->state.cfa_offset = offset;
}

/* Changes a part of a register + offset CFA; of another kind there is nothing to change. */
static void change_cfa(struct cfi_run *run, bool offset, uint64_t value)
{
	if (run->state.cfa != CFI_CFA_REG)
		run->state.cfa = CFI_CFA_OTHER;
	else if (offset)
		run->state.cfa_offset = (int64_t)value;
	else
		run->state.cfa_reg = register_number(value);
}

static bool run_cfa_op(struct cfi_run *run, uint8_t op)
{
	struct mt_cursor *cur = &run->cur;
	uint64_t reg, size;
	const uint8_t *expr;
	switch (op) {
	case DW_CFA_def_cfa:
		reg = mt_cursor_uleb128(cur);
		define_cfa(run, reg, (int64_t)mt_cursor_uleb128(cur));
		return true;
	case DW_CFA_def_cfa_sf:
		reg = mt_cursor_uleb128(cur);
		define_cfa(run, reg, factored(run, mt_cursor_sleb128(cur)));
		return true;
	case DW_CFA_def_cfa_register:
		change_cfa(run, false, mt_cursor_uleb128(cur));
		return true;
	case DW_CFA_def_cfa_offset_sf:
		change_cfa(run, true, (uint64_t)factored(run, mt_cursor_sleb128(cur)));
		return true;
	case DW_CFA_def_cfa_expression:
		size = mt_cursor_uleb128(cur);
		expr = mt_cursor_bytes(cur, size);
		if (expr)
			cfi_cfa_expression(expr, size, &run->state);
		return true;
	default:
		return false;
	}
}

/* ---- location ------------------------------------------------------------------------- */

/* Ends the present row; false: row() wants no more. Sets loc to end past the last row. */
static bool move_to(struct cfi_run *run, uint64_t loc)
{
	if (run->in_cie || loc < run->loc) {
		run->bad = true;
		return true;
	}
	if (loc > run->end)
		loc = run->end;
	if (loc > run->loc && !run->row(run, loc))
		return false;
	run->loc = loc;
	return true;
}

static bool advance(struct cfi_run *run, uint64_t n)
{
	uint64_t delta, loc;
	if (run->cur.failed)
		return true;
	if (__builtin_mul_overflow(n, run->cie->code_align, &delta) ||
	    __builtin_add_overflow(run->loc, delta, &loc))
		loc = UINT64_MAX;
	return move_to(run, loc);
}

static bool set_location(struct cfi_run *run)
{
	uint64_t loc;
	if (!cfi_pointer(&run->cur, run->cie->fde_encoding, run->section_vaddr, &loc)) {
		run->bad = true;
		return true;
	}
	return move_to(run, loc);
}

/* *known_ret is false for an instruction that is none of the location group. */
static bool run_location_op(struct cfi_run *run, uint8_t op, bool *known_ret)
{
	switch (op) {
	case DW_CFA_set_loc: return set_location(run);
	case DW_CFA_advance_loc1: return advance(run, mt_cursor_u8(&run->cur));
	case DW_CFA_advance_loc2: return advance(run, mt_cursor_u16(&run->cur));
	case DW_CFA_advance_loc4: return advance(run, mt_cursor_u32(&run->cur));
	case DW_CFA_MIPS_advance_loc8: return advance(run, mt_cursor_u64(&run->cur));
	case DW_CFA_GNU_args_size:
		mt_cursor_uleb128(&run->cur);
		return true;
	default:
		*known_ret = false;
		return true;
	}
}

/* The instructions that are not of every function; false only when row() said so. */
static bool run_rare_op(struct cfi_run *run, uint8_t op)
{
	bool known = true, more = true;
	if (!run_cfa_op(run, op) && !run_register_op(run, op))
		more = run_location_op(run, op, &known);
	run->bad |= !known || run->cur.failed;
	return more;
}

bool cfi_run(struct cfi_run *run)
{
	struct cfi_state saved[REMEMBER_MAX];
	unsigned depth = 0;
	while (run->cur.pos < run->cur.end && !run->bad && (run->in_cie || run->loc < run->end)) {
		uint8_t op = *run->cur.pos++, low = op & 0x3f;
		bool more = true;
		switch (op & 0xc0) {
		case DW_CFA_advance_loc:
			more = advance(run, low);
			break;
		case DW_CFA_offset:
			offset_rule(run, low, (int64_t)mt_cursor_uleb128(&run->cur));
			run->bad |= run->cur.failed;
			break;
		case DW_CFA_restore:
			restore_register(run, low);
			break;
		default:
			if (op == DW_CFA_def_cfa_offset) {
				change_cfa(run, true, mt_cursor_uleb128(&run->cur));
				run->bad |= run->cur.failed;
			} else if (op == DW_CFA_nop) {
				;
			} else if (op == DW_CFA_remember_state) {
				run->bad = depth == REMEMBER_MAX;
				if (!run->bad)
					saved[depth++] = run->state;
			} else if (op == DW_CFA_restore_state) {
				run->bad = !depth;
				if (depth)
					run->state = saved[--depth];
			} else {
				more = run_rare_op(run, op);
			}
		}
		if (!more)
			return false;
	}
	/* The last row goes to the end, as does what could not be followed. */
	return run->in_cie || run->loc >= run->end || run->row(run, run->end);
}
