/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/u_unwind_compile.c - call frame instructions and the rows they must give.
 * Knows: inject/unwind_compile.h, the bytes of .eh_frame. Does not know: files, processes.
 * Called by tests/run.py. */
#include "base/buf.h"
#include "inject/unwind_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define VADDR 0x100000u		/* of the section */
#define CODE 0x1000u		/* where the function of a row starts */
#define LENGTH 0x100u
#define ROWS 12

/* ---- building sections ----------------------------------------------------------------- */

struct section {
	struct mt_buf buf;
	size_t cie;		/* offset of the CIE that FDEs refer to */
	bool debug_frame;
};

struct bytes {
	const char *data;
	size_t size;
};
#define BYTES(s) ((struct bytes){ (s), sizeof(s) - 1 })
#define NO_BYTES ((struct bytes){ NULL, 0 })

static size_t begin_record(struct section *s, uint32_t id)
{
	size_t at = s->buf.len;
	mt_buf_put_u32(&s->buf, 0);
	mt_buf_put_u32(&s->buf, id);
	return at;
}

static void end_record(struct section *s, size_t at)
{
	while (s->buf.len % 8 != 4)
		mt_buf_put_u8(&s->buf, 0);	/* DW_CFA_nop */
	uint32_t length = (uint32_t)(s->buf.len - at - 4);
	memcpy(s->buf.data + at, &length, 4);
}

/* Head: version, augmentation, alignments, return address column, augmentation data. */
static void put_cie(struct section *s, struct bytes head, struct bytes instructions)
{
	s->cie = begin_record(s, s->debug_frame ? 0xffffffff : 0);
	mt_buf_put(&s->buf, head.data, head.size);
	mt_buf_put(&s->buf, instructions.data, instructions.size);
	end_record(s, s->cie);
}

#define CIE_HEAD BYTES("\x01zR\0\x01\x78\x10\x01\x1b")		/* pcrel sdata4 */
#define CIE_USUAL BYTES("\x0c\x07\x08\x90\x01")			/* CFA rsp+8; RA at CFA-8 */

static void put_usual_cie(struct section *s)
{
	put_cie(s, CIE_HEAD, CIE_USUAL);
}

/* An FDE with pcrel sdata4 pointers and augmentation data of no bytes. */
static void put_fde(struct section *s, uint32_t start, uint32_t length, struct bytes instructions)
{
	uint32_t back = (uint32_t)(s->buf.len + 4 - s->cie);
	size_t at = begin_record(s, back);
	mt_buf_put_u32(&s->buf, start - (uint32_t)(VADDR + s->buf.len));
	mt_buf_put_u32(&s->buf, length);
	mt_buf_put_u8(&s->buf, 0);
	mt_buf_put(&s->buf, instructions.data, instructions.size);
	end_record(s, at);
}

static void put_end(struct section *s)
{
	mt_buf_put_u32(&s->buf, 0);
}

/* ---- checking -------------------------------------------------------------------------- */

struct row {
	uint32_t pc;
	uint8_t cfa;
	int32_t cfa_offset;
	uint8_t rbp;
	int32_t rbp_offset;
};

static const struct row no_row = { 0, 0xff, 0, 0, 0 };

struct result {
	struct unwind_rules rules;
	struct unwind_table table;
};

static struct mt_error *compile(const struct section *s, struct result *r)
{
	memset(r, 0, sizeof(*r));
	unwind_rules_init(&r->rules);
	/* A copy of the exact size, so that the sanitizer sees reads past the end. */
	uint8_t *data = malloc(s->buf.len ? s->buf.len : 1);
	memcpy(data, s->buf.len ? s->buf.data : (const uint8_t *)"", s->buf.len);
	struct mt_error *err = unwind_compile_section(data, s->buf.len, VADDR, s->debug_frame,
						      &r->rules, &r->table);
	free(data);
	return err;
}

static void result_deinit(struct result *r)
{
	unwind_table_deinit(&r->table);
	unwind_rules_deinit(&r->rules);
}

static void check_rows(const char *name, const struct result *r, const struct row *want, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i >= r->table.rows.len)
			fail_msg("%s: row %zu is missing", name, i);
		const struct wire_row *row = &r->table.rows.items[i];
		const struct wire_rule *rule = &r->rules.list.items[row->rule];
		if (row->pc != want[i].pc || rule->cfa != want[i].cfa ||
		    rule->cfa_offset != want[i].cfa_offset || rule->rbp != want[i].rbp ||
		    rule->rbp_offset != want[i].rbp_offset)
			fail_msg("%s: row %zu is 0x%x cfa %u %+d rbp %u %+d", name, i, row->pc,
				 rule->cfa, rule->cfa_offset, rule->rbp, rule->rbp_offset);
	}
	if (r->table.rows.len != n)
		fail_msg("%s: %zu rows instead of %zu", name, r->table.rows.len, n);
}

/* ---- instructions of one function ------------------------------------------------------ */

#define RSP(pc, n) { pc, WIRE_CFA_RSP, n, WIRE_RBP_SAME, 0 }
#define RSP_SAVED(pc, n, at) { pc, WIRE_CFA_RSP, n, WIRE_RBP_CFA, at }
#define RBP_SAVED(pc, n, at) { pc, WIRE_CFA_RBP, n, WIRE_RBP_CFA, at }
#define UNSUPPORTED(pc) { pc, WIRE_CFA_UNSUPPORTED, 0, 0, 0 }
#define END(pc) { pc, WIRE_CFA_END, 0, 0, 0 }
#define LAST UNSUPPORTED(CODE + LENGTH)
#define STOP { 0, 0xff, 0, 0, 0 }

#define PLT(t) "\x0f\x0b\x77\x08\x80\x00\x3f\x1a" t "\x2a\x33\x24\x22"

static const struct function_case {
	const char *name;
	const char *instructions;
	size_t size;
	struct row rows[ROWS];
} functions[] = {
#define CASE(name, bytes, ...) { name, bytes, sizeof(bytes) - 1, { __VA_ARGS__, STOP } }
	CASE("no instructions", "", RSP(0x1000, 8), LAST),
	CASE("push rbp; mov rsp, rbp; leave",
	     "\x41\x0e\x10\x86\x02\x43\x0d\x06\x02\x80\x0c\x07\x08",
	     RSP(0x1000, 8), RSP_SAVED(0x1001, 16, -16), RBP_SAVED(0x1004, 16, -16),
	     RSP_SAVED(0x1084, 8, -16), LAST),
	CASE("restore of rbp", "\x42\x0e\x10\x86\x02\x44\x0e\x08\xc6",
	     RSP(0x1000, 8), RSP_SAVED(0x1002, 16, -16), RSP(0x1006, 8), LAST),
	CASE("restore_extended of rbp", "\x42\x86\x02\x44\x06\x06",
	     RSP(0x1000, 8), RSP_SAVED(0x1002, 8, -16), RSP(0x1006, 8), LAST),
	CASE("other registers do not make rows", "\x42\x83\x03\x42\x8c\x04\x42\x8d\x05",
	     RSP(0x1000, 8), LAST),
	CASE("same rule again does not make a row", "\x42\x0e\x08\x42\x0e\x10\x42\x0e\x10",
	     RSP(0x1000, 8), RSP(0x1004, 16), LAST),
	CASE("advance_loc1, 2, 4", "\x02\x10\x0e\x10\x03\x20\x00\x0e\x18\x04\x30\x00\x00\x00\x0e\x20",
	     RSP(0x1000, 8), RSP(0x1010, 16), RSP(0x1030, 24), RSP(0x1060, 32), LAST),
	CASE("advance of 0", "\x40\x0e\x10\x42\x0e\x18", RSP(0x1000, 16), RSP(0x1002, 24), LAST),
	CASE("advance past the end", "\x42\x0e\x10\x04\xff\xff\xff\xff\x0e\x18",
	     RSP(0x1000, 8), RSP(0x1002, 16), LAST),
	CASE("MIPS_advance_loc8", "\x1d\x40\0\0\0\0\0\0\0\x0e\x10",
	     RSP(0x1000, 8), RSP(0x1040, 16), LAST),
	CASE("advance_loc8 that overflows", "\x42\x0e\x10\x1d\xff\xff\xff\xff\xff\xff\xff\xff\x0e\x20",
	     RSP(0x1000, 8), RSP(0x1002, 16), LAST),
	CASE("remember and restore", "\x42\x0e\x10\x86\x02\x0a\x44\x0e\x08\xc6\x44\x0b",
	     RSP(0x1000, 8), RSP_SAVED(0x1002, 16, -16), RSP(0x1006, 8),
	     RSP_SAVED(0x100a, 16, -16), LAST),
	CASE("restore without remember", "\x42\x0b\x42\x0e\x10", RSP(0x1000, 8),
	     UNSUPPORTED(0x1002)),
	CASE("remember too often",
	     "\x42\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a"
	     "\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x0a\x42\x0e\x10",
	     RSP(0x1000, 8), UNSUPPORTED(0x1002)),
	CASE("GNU_args_size", "\x42\x2e\x80\x01\x0e\x10", RSP(0x1000, 8), RSP(0x1002, 16), LAST),
	CASE("offset_extended", "\x42\x05\x06\x03", RSP(0x1000, 8), RSP_SAVED(0x1002, 8, -24), LAST),
	CASE("offset_extended_sf", "\x42\x11\x06\x7e", RSP(0x1000, 8), RSP_SAVED(0x1002, 8, 16),
	     LAST),
	CASE("GNU_negative_offset_extended", "\x42\x2f\x06\x02", RSP(0x1000, 8),
	     RSP_SAVED(0x1002, 8, 16), LAST),
	CASE("def_cfa_sf", "\x42\x12\x06\x7e", RSP(0x1000, 8),
	     { 0x1002, WIRE_CFA_RBP, 16, WIRE_RBP_SAME, 0 }, LAST),
	CASE("def_cfa_offset_sf", "\x42\x13\x7d", RSP(0x1000, 8), RSP(0x1002, 24), LAST),
	CASE("negative CFA offset", "\x42\x13\x02", RSP(0x1000, 8), RSP(0x1002, -16), LAST),
	CASE("rbp undefined", "\x42\x07\x06", RSP(0x1000, 8),
	     { 0x1002, WIRE_CFA_RSP, 8, WIRE_RBP_UNKNOWN, 0 }, LAST),
	CASE("rbp same_value", "\x42\x86\x02\x42\x08\x06", RSP(0x1000, 8), RSP_SAVED(0x1002, 8, -16),
	     RSP(0x1004, 8), LAST),
	CASE("rbp in a register", "\x42\x09\x06\x03", RSP(0x1000, 8),
	     { 0x1002, WIRE_CFA_RSP, 8, WIRE_RBP_UNKNOWN, 0 }, LAST),
	CASE("rbp in itself", "\x42\x86\x02\x42\x09\x06\x06", RSP(0x1000, 8),
	     RSP_SAVED(0x1002, 8, -16), RSP(0x1004, 8), LAST),
	CASE("rbp val_offset", "\x42\x14\x06\x02", RSP(0x1000, 8),
	     { 0x1002, WIRE_CFA_RSP, 8, WIRE_RBP_UNKNOWN, 0 }, LAST),
	CASE("rbp val_expression", "\x42\x16\x06\x02\x76\x00", RSP(0x1000, 8),
	     { 0x1002, WIRE_CFA_RSP, 8, WIRE_RBP_UNKNOWN, 0 }, LAST),
	CASE("stack realigned with a saved CFA", "\x42\x10\x06\x02\x76\x00\x42\x0f\x03\x76\x78\x06",
	     RSP(0x1000, 8), { 0x1002, WIRE_CFA_RSP, 8, WIRE_RBP_RBP, 0 },
	     { 0x1004, WIRE_CFA_RBP_DEREF, -8, WIRE_RBP_RBP, 0 }, LAST),
	CASE("CFA at rsp + N", "\x42\x0f\x04\x77\x90\x01\x06", RSP(0x1000, 8),
	     { 0x1002, WIRE_CFA_RSP_DEREF, 144, WIRE_RBP_SAME, 0 }, LAST),
	CASE("CFA expression without deref", "\x42\x0f\x02\x77\x18", RSP(0x1000, 8),
	     RSP(0x1002, 24), LAST),
	CASE("CFA expression deref plus_uconst", "\x42\x0f\x05\x77\x08\x06\x23\x08", RSP(0x1000, 8),
	     UNSUPPORTED(0x1002)),
	CASE("CFA expression with a tail", "\x42\x0f\x04\x77\x08\x06\x96", RSP(0x1000, 8),
	     UNSUPPORTED(0x1002)),
	CASE("CFA expression of another register", "\x42\x0f\x03\x7a\x78\x06", RSP(0x1000, 8),
	     UNSUPPORTED(0x1002)),
	CASE("empty CFA expression", "\x42\x0f\x00", RSP(0x1000, 8), UNSUPPORTED(0x1002)),
	CASE("rbp expression we do not know", "\x42\x10\x06\x03\x76\x00\x06", RSP(0x1000, 8),
	     { 0x1002, WIRE_CFA_RSP, 8, WIRE_RBP_UNKNOWN, 0 }, LAST),
	CASE("def_cfa_offset of an expression", "\x42\x0f\x03\x77\x08\x06\x42\x0e\x10", RSP(0x1000, 8),
	     { 0x1002, WIRE_CFA_RSP_DEREF, 8, WIRE_RBP_SAME, 0 }, UNSUPPORTED(0x1004)),
	CASE("CFA of r10, then back", "\x42\x0c\x0a\x00\x44\x0c\x07\x10", RSP(0x1000, 8),
	     UNSUPPORTED(0x1002), RSP(0x1006, 16), LAST),
	CASE("def_cfa_register to rbp", "\x42\x0d\x06", RSP(0x1000, 8),
	     { 0x1002, WIRE_CFA_RBP, 8, WIRE_RBP_SAME, 0 }, LAST),
	CASE("return address undefined", "\x42\x07\x10", RSP(0x1000, 8), END(0x1002), LAST),
	CASE("return address elsewhere", "\x42\x90\x02\x42\xd0", RSP(0x1000, 8), UNSUPPORTED(0x1002),
	     RSP(0x1004, 8), LAST),
	CASE("return address in a register", "\x42\x09\x10\x01", RSP(0x1000, 8),
	     UNSUPPORTED(0x1002)),
	CASE("caller's rsp is saved", "\x42\x87\x03\x42\xc7", RSP(0x1000, 8), UNSUPPORTED(0x1002),
	     RSP(0x1004, 8), LAST),
	CASE("caller's rsp is the CFA", "\x42\x14\x07\x00", RSP(0x1000, 8), LAST),
	CASE("PLT of GNU ld", PLT("\x3b"), { 0x1000, WIRE_CFA_PLT, 8, WIRE_RBP_SAME, 0 }, LAST),
	CASE("PLT with IBT, two entries", PLT("\x39") "\x60" "\x0c\x07\x08",
	     RSP(0x1000, 8), RSP(0x1009, 16), RSP(0x1010, 8), RSP(0x1019, 16), RSP(0x1020, 8), LAST),
	CASE("PLT that is none", "\x42\x0f\x0b\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x21",
	     RSP(0x1000, 8), UNSUPPORTED(0x1002)),
	CASE("set_loc past the end", "\x01\x00\x00\x00\x00\x0e\x10", RSP(0x1000, 8), LAST),
	CASE("set_loc backwards", "\x01\x00\x00\xf0\xff\x0e\x10", UNSUPPORTED(0x1000)),
	/* The pointer stands at 0x30 in the section: 0x100030 + 0xfff00fd4 is 0x1004. */
	CASE("set_loc", "\x0e\x10\x01\xd4\x0f\xf0\xff\x0e\x18", RSP(0x1000, 16),
	     RSP(0x1004, 24), LAST),
	CASE("unknown instruction", "\x42\x0e\x10\x42\x3f\x42\x0e\x18", RSP(0x1000, 8),
	     RSP(0x1002, 16), UNSUPPORTED(0x1004)),
	CASE("instruction cut off", "\x42\x0e\x10\x42\x0e\xff\xff\xff\xff\xff\xff\xff\xff",
	     RSP(0x1000, 8), RSP(0x1002, 16), UNSUPPORTED(0x1004)),
	CASE("expression longer than the FDE", "\x42\x0f\xff\x7f\x77", RSP(0x1000, 8),
	     UNSUPPORTED(0x1002)),
	CASE("offset too large for a rule", "\x42\x0e\x80\x80\x80\x80\x01\x42\x0e\x10",
	     RSP(0x1000, 8), UNSUPPORTED(0x1002), RSP(0x1004, 16), LAST),
	CASE("rbp offset too large for a rule", "\x42\x05\x06\x80\x80\x80\x80\x10", RSP(0x1000, 8),
	     { 0x1002, WIRE_CFA_RSP, 8, WIRE_RBP_UNKNOWN, 0 }, LAST),
#undef CASE
};

static void test_functions(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		const struct function_case *f = &functions[i];
		struct section s = { .buf = MT_BUF_INIT };
		struct result r;
		size_t rows = 0;
		put_usual_cie(&s);
		put_fde(&s, CODE, LENGTH, (struct bytes){ f->instructions, f->size });
		put_end(&s);
		struct mt_error *err = compile(&s, &r);
		if (err)
			fail_msg("%s: %s", f->name, err->message);
		while (f->rows[rows].cfa != 0xff)
			rows++;
		check_rows(f->name, &r, f->rows, rows);
		assert_int_equal(r.table.fde_count, 1);
		assert_int_equal(r.table.damaged_at, 0);
		result_deinit(&r);
		mt_buf_deinit(&s.buf);
	}
}

/* ---- CIEs ------------------------------------------------------------------------------ */

/* The FDE has `prefix` after its (pcrel sdata4) range in place of augmentation data. */
static const struct cie_case {
	const char *name;
	struct bytes head, instructions, fde;
	struct row rows[ROWS];
} cies[] = {
	{ "version 3", { "\x03zR\0\x01\x78\x10\x01\x1b", 9 }, { "\x0c\x07\x08\x90\x01", 5 },
	  { "\x44\x0e\x10", 3 }, { RSP(CODE, 8), RSP(CODE + 4, 16), LAST, STOP } },
	{ "version 4", { "\x04zR\0\x08\x00\x01\x78\x10\x01\x1b", 11 }, { "\x0c\x07\x08\x90\x01", 5 },
	  { "\x44\x0e\x10", 3 }, { RSP(CODE, 8), RSP(CODE + 4, 16), LAST, STOP } },
	{ "version 4 for 32-bit addresses", { "\x04zR\0\x04\x00\x01\x78\x10\x01\x1b", 11 },
	  { "\x0c\x07\x08\x90\x01", 5 }, { "", 0 }, { STOP } },
	{ "version 2", { "\x02zR\0\x01\x78\x10\x01\x1b", 9 }, { "\x0c\x07\x08\x90\x01", 5 },
	  { "", 0 }, { STOP } },
	{ "personality and LSDA", { "\x01zPLR\0\x01\x78\x10\x07\x9b\1\2\3\4\x1b\x1b", 17 },
	  { "\x0c\x07\x08\x90\x01", 5 }, { "\x44\x0e\x10", 3 },
	  { RSP(CODE, 8), RSP(CODE + 4, 16), LAST, STOP } },
	{ "code alignment 4", { "\x01zR\0\x04\x78\x10\x01\x1b", 9 }, { "\x0c\x07\x08\x90\x01", 5 },
	  { "\x44\x0e\x10", 3 }, { RSP(CODE, 8), RSP(CODE + 16, 16), LAST, STOP } },
	{ "return address column 17", { "\x01zR\0\x01\x78\x11\x01\x1b", 9 },
	  { "\x0c\x07\x08\x91\x01", 5 }, { "", 0 }, { STOP } },
	{ "old GNU augmentation", { "\x01" "eh\0\0\0\0\0\0\0\0\0\x01\x78\x10", 15 },
	  { "\x0c\x07\x08\x90\x01", 5 }, { "", 0 }, { STOP } },
	{ "unknown augmentation", { "\x01zRX\0\x01\x78\x10\x01\x1b", 10 },
	  { "\x0c\x07\x08\x90\x01", 5 }, { "", 0 }, { STOP } },
	{ "augmentation data cut off", { "\x01zR\0\x01\x78\x10\x7f\x1b", 9 },
	  { "\x0c\x07\x08\x90\x01", 5 }, { "", 0 }, { STOP } },
	{ "no rule for the return address", { "\x01zR\0\x01\x78\x10\x01\x1b", 9 },
	  { "\x0c\x07\x08", 3 }, { "", 0 }, { UNSUPPORTED(CODE), STOP } },
	{ "no CFA", { "\x01zR\0\x01\x78\x10\x01\x1b", 9 }, { "\x90\x01", 2 }, { "", 0 },
	  { UNSUPPORTED(CODE), STOP } },
	{ "rbp rule in the CIE", { "\x01zR\0\x01\x78\x10\x01\x1b", 9 },
	  { "\x0c\x07\x10\x90\x01\x86\x02", 7 }, { "\x44\xc6\x44\x08\x06\x44\xc6", 7 },
	  { RSP_SAVED(CODE, 16, -16), RSP(CODE + 8, 16), RSP_SAVED(CODE + 12, 16, -16), LAST,
	    STOP } },
	{ "location moves in the CIE", { "\x01zR\0\x01\x78\x10\x01\x1b", 9 },
	  { "\x0c\x07\x08\x90\x01\x44\x0e\x10", 8 }, { "", 0 }, { STOP } },
	{ "signal frame of Linux", { "\x01zRS\0\x01\x78\x10\x01\x1b", 10 },
	  { "", 0 },
	  { "\x0f\x04\x77\xa0\x01\x06\x10\x10\x03\x77\xa8\x01\x10\x06\x03\x77\xf8\x00", 18 },
	  { { CODE, WIRE_CFA_SIGNAL, 0, 0, 0 }, LAST, STOP } },
	{ "signal frame of something else", { "\x01zRS\0\x01\x78\x10\x01\x1b", 10 },
	  { "\x0c\x07\x08\x90\x01", 5 }, { "", 0 }, { UNSUPPORTED(CODE), STOP } },
};

static void test_cies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cies) / sizeof(cies[0]); i++) {
		const struct cie_case *c = &cies[i];
		struct section s = { .buf = MT_BUF_INIT };
		struct result r;
		size_t rows = 0;
		put_cie(&s, c->head, c->instructions);
		put_fde(&s, CODE, LENGTH, c->fde);
		put_end(&s);
		assert_null(compile(&s, &r));
		while (c->rows[rows].cfa != 0xff)
			rows++;
		check_rows(c->name, &r, c->rows, rows);
		if (!rows)
			assert_int_equal(r.table.unsupported_count, 1);
		result_deinit(&r);
		mt_buf_deinit(&s.buf);
	}
}

/* ---- pointer encodings ------------------------------------------------------------------ */

static const struct encoding_case {
	const char *name;
	uint8_t encoding;
	unsigned size;			/* bytes of a pointer; 0: LEB128 */
	bool pcrel, readable;
} encodings[] = {
	{ "absptr", 0x00, 8, false, true },
	{ "uleb128", 0x01, 0, false, true },
	{ "udata2", 0x02, 2, false, true },
	{ "udata4", 0x03, 4, false, true },
	{ "udata8", 0x04, 8, false, true },
	{ "sdata2", 0x0a, 2, false, true },
	{ "sdata4", 0x0b, 4, false, true },
	{ "sdata8", 0x0c, 8, false, true },
	{ "pcrel absptr", 0x10, 8, true, true },
	{ "pcrel sdata4", 0x1b, 4, true, true },
	{ "pcrel sdata8", 0x1c, 8, true, true },
	{ "datarel sdata4", 0x3b, 4, false, false },
	{ "funcrel sdata4", 0x4b, 4, false, false },
	{ "indirect pcrel sdata4", 0x9b, 4, true, false },
	{ "no such format", 0x05, 4, false, false },
	{ "omit", 0xff, 4, false, false },
};

static void put_pointer(struct mt_buf *buf, const struct encoding_case *e, uint64_t value)
{
	if (e->pcrel)
		value -= VADDR + buf->len;
	if (e->size) {
		mt_buf_put(buf, &value, e->size);
		return;
	}
	for (; value >= 0x80; value >>= 7)
		mt_buf_put_u8(buf, (uint8_t)(value | 0x80));
	mt_buf_put_u8(buf, (uint8_t)value);
}

static void test_encodings(void **state)
{
	(void)state;
	static const struct row rows[] = { RSP(CODE, 8), LAST };
	for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++) {
		const struct encoding_case *e = &encodings[i];
		struct encoding_case length = *e;
		struct section s = { .buf = MT_BUF_INIT };
		struct result r;
		char head[] = "\x01zR\0\x01\x78\x10\x01?";
		head[8] = (char)e->encoding;
		put_cie(&s, (struct bytes){ head, 9 }, CIE_USUAL);
		size_t at = begin_record(&s, (uint32_t)(s.buf.len + 4 - s.cie));
		length.pcrel = false;
		put_pointer(&s.buf, e, CODE);
		put_pointer(&s.buf, &length, LENGTH);
		mt_buf_put_u8(&s.buf, 0);
		end_record(&s, at);
		assert_null(compile(&s, &r));
		check_rows(e->name, &r, rows, e->readable ? 2 : 0);
		result_deinit(&r);
		mt_buf_deinit(&s.buf);
	}
}

/* ---- sections --------------------------------------------------------------------------- */

static void check_section(const char *name, struct section *s, const struct row *rows, size_t n)
{
	struct result r;
	assert_null(compile(s, &r));
	check_rows(name, &r, rows, n);
	result_deinit(&r);
	mt_buf_deinit(&s->buf);
}

static void test_order_and_gaps(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	static const struct row rows[] = {
		RSP(0x1000, 8), RSP(0x1004, 16), UNSUPPORTED(0x1010), RSP(0x1020, 8),
		RSP(0x1024, 24), RSP(0x1030, 8), UNSUPPORTED(0x1050),
	};
	put_usual_cie(&s);
	put_fde(&s, 0x1040, 0x10, NO_BYTES);
	put_fde(&s, 0x1020, 0x10, BYTES("\x44\x0e\x18"));
	put_fde(&s, 0x1000, 0x10, BYTES("\x44\x0e\x10"));
	put_fde(&s, 0x1030, 0x10, NO_BYTES);	/* touches 0x1040 with the same rule: merged */
	put_end(&s);
	check_section("order and gaps", &s, rows, 7);
}

static void test_overlaps(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	static const struct row rows[] = {
		RSP(0x1000, 8), RSP(0x1010, 16), RSP(0x1020, 24), RSP(0x1028, 32),
		UNSUPPORTED(0x1030),
	};
	put_usual_cie(&s);
	put_fde(&s, 0x1000, 0x20, BYTES("\x50\x0e\x10"));
	put_fde(&s, 0x1000, 0x20, BYTES("\x0e\x40"));			/* the same again: second */
	put_fde(&s, 0x1004, 0x10, BYTES("\x0e\x48"));			/* inside */
	put_fde(&s, 0x1010, 0x20, BYTES("\x0e\x18\x58\x0e\x20"));	/* its tail counts */
	put_fde(&s, 0x1008, 0, NO_BYTES);				/* of no length */
	put_end(&s);
	check_section("overlaps", &s, rows, 5);
}

static void test_dropped_functions(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	static const struct row rows[] = { RSP(CODE, 8), LAST };
	put_usual_cie(&s);
	put_fde(&s, 0, 0x20, NO_BYTES);
	put_fde(&s, CODE, LENGTH, NO_BYTES);
	check_section("function at 0", &s, rows, 2);
}

static void test_end_of_section(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	static const struct row rows[] = { RSP(CODE, 8), LAST };
	put_usual_cie(&s);
	put_fde(&s, CODE, LENGTH, NO_BYTES);
	put_end(&s);
	put_fde(&s, 0x3000, LENGTH, NO_BYTES);	/* what comes after the end is something else */
	check_section("zero length ends it", &s, rows, 2);
}

static void test_64_bit_records(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	static const struct row rows[] = { RSP(CODE, 8), RSP(CODE + 4, 16), LAST };
	static const char cie[] = "\xff\xff\xff\xff\x20\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0"
				  "\x01zR\0\x01\x78\x10\x01\x1b" "\x0c\x07\x08\x90\x01"
				  "\0\0\0\0\0\0\0\0\0\0";
	mt_buf_put(&s.buf, cie, 44);
	mt_buf_put(&s.buf, "\xff\xff\xff\xff\x18\0\0\0\0\0\0\0", 12);
	uint64_t back = s.buf.len;
	mt_buf_put_u64(&s.buf, back);
	mt_buf_put_u32(&s.buf, CODE - (uint32_t)(VADDR + s.buf.len));
	mt_buf_put_u32(&s.buf, LENGTH);
	mt_buf_put(&s.buf, "\0\x44\x0e\x10\0\0\0\0", 8);
	check_section("64-bit records", &s, rows, 3);
}

static void test_debug_frame(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT, .debug_frame = true };
	static const struct row rows[] = { RSP(CODE, 8), RSP(CODE + 4, 16), LAST };
	/* The FDE before its CIE, absolute addresses, an offset for the CIE. */
	size_t at = begin_record(&s, 36);
	mt_buf_put_u64(&s.buf, CODE);
	mt_buf_put_u64(&s.buf, LENGTH);
	mt_buf_put(&s.buf, "\x44\x0e\x10", 3);
	end_record(&s, at);
	assert_int_equal(s.buf.len, 28);
	mt_buf_put(&s.buf, "\0\0\0\0\0\0\0\0", 8);	/* padding is no end here */
	put_cie(&s, BYTES("\x03\0\x01\x78\x10"), CIE_USUAL);
	check_section("debug_frame", &s, rows, 3);
}

/* A second section fills what the first left open, and changes nothing else. */
static void test_two_sections(void **state)
{
	(void)state;
	struct section one = { .buf = MT_BUF_INIT }, two = { .buf = MT_BUF_INIT };
	struct result r;
	static const struct row rows[] = {
		RSP(0x1000, 8), RSP(0x1004, 16), RSP(0x1010, 40), UNSUPPORTED(0x1018),
		RSP(0x1040, 8), RSP(0x1050, 56), UNSUPPORTED(0x1060),
	};
	put_usual_cie(&one);
	put_fde(&one, 0x1000, 0x10, BYTES("\x44\x0e\x10"));
	put_fde(&one, 0x1040, 0x10, NO_BYTES);
	put_usual_cie(&two);
	put_fde(&two, 0x1008, 0x10, BYTES("\x0e\x28"));
	put_fde(&two, 0x1044, 0x1c, BYTES("\x0e\x38"));
	assert_null(compile(&one, &r));
	assert_null(unwind_compile_section(two.buf.data, two.buf.len, VADDR, false, &r.rules,
					   &r.table));
	check_rows("two sections", &r, rows, 7);
	assert_int_equal(r.table.fde_count, 4);
	result_deinit(&r);
	mt_buf_deinit(&one.buf);
	mt_buf_deinit(&two.buf);
}

static void test_base(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	struct result r = { 0 };
	const uint64_t high = 0x3900000000ull;		/* a prelinked library */
	put_usual_cie(&s);
	put_fde(&s, CODE, LENGTH, BYTES("\x44\x0e\x10"));
	unwind_rules_init(&r.rules);
	r.table.base = high;
	assert_null(unwind_compile_section(s.buf.data, s.buf.len, high + VADDR, false, &r.rules,
					   &r.table));
	assert_int_equal(r.table.rows.items[0].pc, CODE);
	assert_int_equal(unwind_lookup(&r.table, &r.rules, high + CODE + 4)->cfa_offset, 16);
	assert_int_equal(unwind_lookup(&r.table, &r.rules, CODE + 4)->cfa, WIRE_CFA_UNSUPPORTED);
	result_deinit(&r);
	/* Without the base its code is out of the table's reach. */
	memset(&r, 0, sizeof(r));
	unwind_rules_init(&r.rules);
	assert_null(unwind_compile_section(s.buf.data, s.buf.len, high + VADDR, false, &r.rules,
					   &r.table));
	assert_int_equal(r.table.rows.len, 0);
	result_deinit(&r);
	mt_buf_deinit(&s.buf);
}

static void test_lookup(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	struct result r;
	put_usual_cie(&s);
	put_fde(&s, CODE, LENGTH, BYTES("\x44\x0e\x10"));
	assert_null(compile(&s, &r));
	static const struct { uint64_t pc; int cfa, offset; } rows[] = {
		{ 0, WIRE_CFA_UNSUPPORTED, 0 }, { CODE - 1, WIRE_CFA_UNSUPPORTED, 0 },
		{ CODE, WIRE_CFA_RSP, 8 }, { CODE + 3, WIRE_CFA_RSP, 8 },
		{ CODE + 4, WIRE_CFA_RSP, 16 }, { CODE + LENGTH - 1, WIRE_CFA_RSP, 16 },
		{ CODE + LENGTH, WIRE_CFA_UNSUPPORTED, 0 }, { UINT32_MAX, WIRE_CFA_UNSUPPORTED, 0 },
		{ (1ull << 32) + CODE, WIRE_CFA_UNSUPPORTED, 0 },
		{ UINT64_MAX, WIRE_CFA_UNSUPPORTED, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct wire_rule *rule = unwind_lookup(&r.table, &r.rules, rows[i].pc);
		assert_int_equal(rule->cfa, rows[i].cfa);
		assert_int_equal(rule->cfa_offset, rows[i].offset);
	}
	struct unwind_table empty = { 0 };
	assert_int_equal(unwind_lookup(&empty, &r.rules, CODE)->cfa, WIRE_CFA_UNSUPPORTED);
	result_deinit(&r);
	mt_buf_deinit(&s.buf);
}

static void test_rules_are_shared(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	struct result r;
	put_usual_cie(&s);
	for (unsigned i = 0; i < 100; i++)
		put_fde(&s, 0x1000 + i * 0x20, 0x10, BYTES("\x44\x0e\x10\x44\x0e\x08"));
	assert_null(compile(&s, &r));
	assert_int_equal(r.rules.list.len, 3);
	assert_int_equal(r.rules.list.items[0].cfa, WIRE_CFA_UNSUPPORTED);
	assert_int_equal(r.table.rows.len, 400);
	assert_int_equal(r.table.fde_count, 100);
	assert_int_equal(r.table.unsupported_count, 0);
	result_deinit(&r);
	mt_buf_deinit(&s.buf);
}

/* ---- damage ------------------------------------------------------------------------------ */

static void check_corrupt(struct section *s, const char *text)
{
	struct result r;
	struct mt_error *err = compile(s, &r);
	assert_non_null(err);
	assert_int_equal(err->code, MT_ERROR_CORRUPT);
	assert_string_equal(err->message, text);
	assert_int_equal(r.table.rows.len, 0);
	mt_error_destroy(err);
	result_deinit(&r);
	mt_buf_deinit(&s->buf);
}

static void test_corrupt(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	mt_buf_put(&s.buf, "\x10\0\0\0\0\0\0\0", 8);		/* longer than the section */
	check_corrupt(&s, "damaged frame record at offset 0");
	mt_buf_put(&s.buf, "\x02\0\0\0\0\0\0\0", 8);		/* too short for an id */
	check_corrupt(&s, "damaged frame record at offset 0");
	mt_buf_put(&s.buf, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 16);
	check_corrupt(&s, "damaged frame record at offset 0");
	put_usual_cie(&s);
	assert_int_equal(s.buf.len, 28);
	mt_buf_put_u32(&s.buf, 0x7fffffff);
	check_corrupt(&s, "damaged frame record at offset 28");
}

static void test_damaged_tail(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	struct result r;
	static const struct row rows[] = { RSP(CODE, 8), LAST };
	put_usual_cie(&s);
	put_fde(&s, CODE, LENGTH, NO_BYTES);
	size_t at = s.buf.len;
	mt_buf_put_u32(&s.buf, 0x01020304);
	assert_null(compile(&s, &r));
	check_rows("damaged tail", &r, rows, 2);
	assert_int_equal(r.table.damaged_at, at);
	result_deinit(&r);
	mt_buf_deinit(&s.buf);
}

static void test_fde_without_cie(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	struct result r;
	put_usual_cie(&s);
	s.cie += 4;		/* not where a record begins */
	put_fde(&s, CODE, LENGTH, NO_BYTES);
	assert_null(compile(&s, &r));
	assert_int_equal(r.table.rows.len, 0);
	assert_int_equal(r.table.fde_count, 1);
	assert_int_equal(r.table.unsupported_count, 1);
	result_deinit(&r);
	mt_buf_deinit(&s.buf);
}

static void test_empty(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	check_section("empty", &s, &no_row, 0);
	put_end(&s);
	check_section("terminator alone", &s, &no_row, 0);
}

/* Every prefix and every flipped byte of a good section: rows or an error, nothing worse. */
static void test_mutations(void **state)
{
	(void)state;
	struct section s = { .buf = MT_BUF_INIT };
	struct result r;
	put_usual_cie(&s);
	put_fde(&s, 0x1000, 0x100, BYTES("\x41\x0e\x10\x86\x02\x43\x0d\x06\x0a\x44\x0b\x0c\x07\x08"));
	put_fde(&s, 0x1200, 0x100, BYTES("\x0e\x10\x46\x0e\x18\x4a\x0f\x03\x76\x78\x06"));
	put_fde(&s, 0x1300, 0x40, BYTES(PLT("\x3b")));
	put_end(&s);
	size_t size = s.buf.len;
	for (size_t len = 0; len <= size; len++) {
		s.buf.len = len;
		mt_error_destroy(compile(&s, &r));
		result_deinit(&r);
	}
	s.buf.len = size;
	for (size_t i = 0; i < size; i++) {
		for (unsigned v = 1; v < 256; v++) {
			s.buf.data[i] ^= (uint8_t)v;
			mt_error_destroy(compile(&s, &r));
			for (size_t k = 1; k < r.table.rows.len; k++)
				assert_true(r.table.rows.items[k - 1].pc < r.table.rows.items[k].pc);
			result_deinit(&r);
			s.buf.data[i] ^= (uint8_t)v;
		}
	}
	mt_buf_deinit(&s.buf);
}

/* Code that gets a rule, and what lies around it. Rows to begin with: 8 from 0x1000, 16 from 0x1010, 24
 * from 0x1020, nothing from 0x1030. */
static void test_set(void **state)
{
	(void)state;
	static const struct set_case {
		const char *name;
		uint32_t start, end;
		struct row rows[ROWS];
	} cases[] = {
		{ "inside of a row", 0x1014, 0x1018,
		  { RSP(0x1000, 8), RSP(0x1010, 16), END(0x1014), RSP(0x1018, 16), RSP(0x1020, 24),
		    UNSUPPORTED(0x1030), STOP } },
		{ "a whole row", 0x1010, 0x1020,
		  { RSP(0x1000, 8), END(0x1010), RSP(0x1020, 24), UNSUPPORTED(0x1030), STOP } },
		{ "over several", 0x1008, 0x1028,
		  { RSP(0x1000, 8), END(0x1008), RSP(0x1028, 24), UNSUPPORTED(0x1030), STOP } },
		{ "before the first", 0xff0, 0x1008,
		  { END(0xff0), RSP(0x1008, 8), RSP(0x1010, 16), RSP(0x1020, 24), UNSUPPORTED(0x1030),
		    STOP } },
		{ "before all", 0xf00, 0xf10,
		  { END(0xf00), UNSUPPORTED(0xf10), RSP(0x1000, 8), RSP(0x1010, 16), RSP(0x1020, 24),
		    UNSUPPORTED(0x1030), STOP } },
		{ "behind the last", 0x1040, 0x1050,
		  { RSP(0x1000, 8), RSP(0x1010, 16), RSP(0x1020, 24), UNSUPPORTED(0x1030), END(0x1040),
		    UNSUPPORTED(0x1050), STOP } },
		{ "everything", 0, UINT32_MAX, { END(0), UNSUPPORTED(UINT32_MAX), STOP } },
		{ "nothing", 0x1010, 0x1010,
		  { RSP(0x1000, 8), RSP(0x1010, 16), RSP(0x1020, 24), UNSUPPORTED(0x1030), STOP } },
	};
	static const struct wire_rule end = { .cfa = WIRE_CFA_END };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct set_case *c = &cases[i];
		struct section s = { .buf = MT_BUF_INIT };
		struct result r;
		size_t rows = 0;
		put_usual_cie(&s);
		put_fde(&s, 0x1000, 0x30, BYTES("\x50\x0e\x10\x50\x0e\x18"));
		put_end(&s);
		assert_null(compile(&s, &r));
		assert_true(unwind_table_set(&r.table, c->start, c->end, unwind_rules_intern(&r.rules, &end)));
		while (c->rows[rows].cfa != 0xff)
			rows++;
		check_rows(c->name, &r, c->rows, rows);
		result_deinit(&r);
		mt_buf_deinit(&s.buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_cies),
		cmocka_unit_test(test_encodings),
		cmocka_unit_test(test_order_and_gaps),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_dropped_functions),
		cmocka_unit_test(test_end_of_section),
		cmocka_unit_test(test_64_bit_records),
		cmocka_unit_test(test_debug_frame),
		cmocka_unit_test(test_two_sections),
		cmocka_unit_test(test_base),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_rules_are_shared),
		cmocka_unit_test(test_corrupt),
		cmocka_unit_test(test_damaged_tail),
		cmocka_unit_test(test_fde_without_cie),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_mutations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
