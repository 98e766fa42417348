/* SPDX-License-Identifier: Apache-2.0 */
/* inject/unwind_compile.c - .eh_frame or .debug_frame into the flat table of struct wire_row.
 * Knows: CIE and FDE records. Does not know: processes, files, how the table is searched.
 * Called by inject/unwind_image.c and tests; calls inject/unwind_cfa.c. */
#include "inject/unwind_private.h"

#include <dwarf.h>
#include <stdlib.h>

#define PLT_EXPAND_MAX (1u << 20)	/* bytes of code that one PLT rule is written out for */

/* The code of one FDE, or a run of rows that the table had before. */
struct span {
	uint32_t start, end;
	uint32_t at;		/* the record's offset; with SPAN_OLD the first of the old rows */
};

#define SPAN_OLD 0x80000000u	/* no section is that long */

/* States whose rule has been looked up: a function begins and ends like the one before it. */
#define KNOWN_RULES 256u

struct compiler {
	const uint8_t *data;
	size_t size;
	uint64_t vaddr;
	bool is_debug_frame;
	struct unwind_rules *rules;
	struct unwind_table *table;
	MT_ARRAY(struct cfi_cie) cies;		/* ascending offset */
	const struct cfi_cie *last_cie;
	MT_ARRAY(struct wire_row) old;		/* what the table had */
	MT_ARRAY(struct span) spans;
	bool fde_unsupported;
	bool nomem;
	struct known_rule {
		struct cfi_state state;
		uint32_t rule;			/* 0: nothing is known here */
	} known[KNOWN_RULES];
};

struct fde_run {
	struct cfi_run run;		/* first: row callbacks cast back */
	struct compiler *c;
	uint64_t from;			/* code before this has its rows already */
};

/* A CIE or FDE as it lies in the section. */
struct record {
	uint64_t offset;		/* of its length field */
	uint64_t id_offset;		/* of its CIE id or pointer */
	uint64_t id;
	uint64_t end;
	bool is_cie;
};

/* ---- rows ----------------------------------------------------------------------------- */

static bool offset_fits(int64_t v)
{
	return v >= -UNWIND_OFFSET_MAX && v <= UNWIND_OFFSET_MAX;
}

static struct wire_rule signal_rule(const struct cfi_state *s)
{
	struct wire_rule rule = { 0 };
	/* The signal frame of Linux: rsp at a ucontext, whose rsp and rip stand at 160 and 168. */
	if (s->cfa == CFI_CFA_DEREF && s->cfa_reg == CFI_RSP && s->cfa_offset == 160 &&
	    s->ra == CFI_AT_RSP && s->ra_offset == 168)
		rule.cfa = WIRE_CFA_SIGNAL;
	return rule;
}

static void rbp_rule(const struct cfi_state *s, struct wire_rule *rule)
{
	rule->rbp = WIRE_RBP_UNKNOWN;
	if (s->rbp == CFI_SAME) {
		rule->rbp = WIRE_RBP_SAME;
	} else if ((s->rbp == CFI_AT_CFA || s->rbp == CFI_AT_RBP) && offset_fits(s->rbp_offset)) {
		rule->rbp = s->rbp == CFI_AT_CFA ? WIRE_RBP_CFA : WIRE_RBP_RBP;
		rule->rbp_offset = (int32_t)s->rbp_offset;
	}
}

/* The CFA part for anything but a PLT; UNSUPPORTED when the wire has no word for it. */
static enum wire_cfa cfa_kind(const struct cfi_state *s)
{
	bool rsp = s->cfa_reg == CFI_RSP, rbp = s->cfa_reg == CFI_RBP;
	if (!offset_fits(s->cfa_offset) || (!rsp && !rbp))
		return WIRE_CFA_UNSUPPORTED;
	if (s->cfa == CFI_CFA_REG)
		return rsp ? WIRE_CFA_RSP : WIRE_CFA_RBP;
	if (s->cfa == CFI_CFA_DEREF)
		return rsp ? WIRE_CFA_RSP_DEREF : WIRE_CFA_RBP_DEREF;
	return WIRE_CFA_UNSUPPORTED;
}

static struct wire_rule make_rule(const struct cfi_run *run)
{
	const struct cfi_state *s = &run->state;
	struct wire_rule rule = { 0 }, none = { 0 };
	if (run->bad)
		return none;
	if (run->cie->is_signal)
		return signal_rule(s);
	if (s->ra == CFI_UNDEFINED) {
		rule.cfa = WIRE_CFA_END;
		return rule;
	}
	if (s->ra != CFI_AT_CFA || s->ra_offset != -8 || s->rsp_is_not_cfa)
		return none;
	rule.cfa = (uint8_t)cfa_kind(s);
	if (s->cfa == CFI_CFA_PLT && s->cfa_offset == 8 && s->plt_threshold == 11)
		rule.cfa = WIRE_CFA_PLT;
	if (rule.cfa == WIRE_CFA_UNSUPPORTED)
		return none;
	rule.cfa_offset = (int32_t)s->cfa_offset;
	rbp_rule(s, &rule);
	return rule;
}

static bool put_row(struct unwind_table *t, uint32_t pc, uint32_t rule)
{
	if (t->rows.len && t->rows.items[t->rows.len - 1].rule == rule)
		return true;
	return mt_array_push(&t->rows, (struct wire_row){ .pc = pc, .rule = rule });
}

static bool add_row(struct fde_run *f, uint64_t pc, uint32_t rule)
{
	struct compiler *c = f->c;
	if (!rule)
		c->fde_unsupported = true;
	if (rule == UINT32_MAX || !put_row(c->table, (uint32_t)(pc - c->table->base), rule)) {
		c->nomem = true;
		return false;
	}
	return true;
}

static uint32_t intern_rule(struct compiler *c, const struct cfi_run *run)
{
	struct wire_rule rule = make_rule(run);
	return unwind_rules_intern(c->rules, &rule);
}

/* A PLT whose entries push elsewhere than the wire's rule says: two rows an entry. */
static bool expand_plt(struct fde_run *f, uint64_t from, uint64_t next)
{
	const struct cfi_state *s = &f->run.state;
	for (uint64_t pc = from; pc < next;) {
		bool pushed = (pc & 15) >= s->plt_threshold;
		struct cfi_run row = f->run;
		row.state.cfa = CFI_CFA_REG;
		row.state.cfa_reg = CFI_RSP;
		row.state.cfa_offset = s->cfa_offset + (pushed ? 8 : 0);
		if (!add_row(f, pc, intern_rule(f->c, &row)))
			return false;
		pc = (pc & ~15ull) + (pushed ? 16 : s->plt_threshold);
	}
	return true;
}

static struct known_rule *known_rule(struct compiler *c, const struct cfi_state *s)
{
	uint64_t h = (uint64_t)s->cfa_offset * 5 + (uint64_t)s->rbp_offset + s->cfa_reg * 31u +
		     s->rbp * 7u;
	return &c->known[(h ^ h >> 3) % KNOWN_RULES];
}

static uint32_t rule_of(struct fde_run *f)
{
	const struct cfi_run *run = &f->run;
	if (run->bad || run->cie->is_signal)
		return intern_rule(f->c, run);
	struct known_rule *k = known_rule(f->c, &run->state);
	if (k->rule && !memcmp(&k->state, &run->state, sizeof(k->state)))
		return k->rule;
	uint32_t rule = intern_rule(f->c, run);
	if (rule != UINT32_MAX)
		*k = (struct known_rule){ run->state, rule };
	return rule;
}

static bool emit_row(struct cfi_run *run, uint64_t next)
{
	struct fde_run *f = (struct fde_run *)run;
	if (next <= f->from)
		return true;
	uint64_t from = run->loc > f->from ? run->loc : f->from;
	uint32_t rule = rule_of(f);
	if (!rule && run->state.cfa == CFI_CFA_PLT && !run->bad &&
	    offset_fits(run->state.cfa_offset) && next - from <= PLT_EXPAND_MAX)
		return expand_plt(f, from, next);
	return add_row(f, from, rule);
}

/* ---- records -------------------------------------------------------------------------- */

/* Reads the head of the record at the cursor. False: the section ends here, or is damaged. */
static bool next_record(const struct compiler *c, struct mt_cursor *cur, struct record *ret)
{
	unsigned id_size = 4;
	ret->offset = mt_cursor_offset(cur);
	uint64_t length = mt_cursor_u32(cur);
	if (length == 0xffffffff) {
		length = mt_cursor_u64(cur);
		id_size = 8;
	}
	ret->id_offset = mt_cursor_offset(cur);
	if (cur->failed || length > mt_cursor_left(cur) || (length && length < id_size)) {
		cur->failed = true;
		return false;
	}
	ret->end = ret->id_offset + length;
	ret->id = 0;
	ret->is_cie = false;
	if (!length)
		return c->is_debug_frame;	/* .eh_frame: the end; .debug_frame: padding */
	ret->id = mt_cursor_uint(cur, id_size);
	if (c->is_debug_frame)
		ret->is_cie = ret->id == (id_size == 8 ? UINT64_MAX : UINT32_MAX);
	else
		ret->is_cie = !ret->id;
	return true;
}

static struct mt_cursor record_cursor(const struct compiler *c, const struct record *r,
				      uint64_t from)
{
	struct mt_cursor cur = mt_cursor_make(c->data, r->end);
	cur.pos += from;
	return cur;
}

/* The data that the augmentation's letters describe; false: a letter we do not know. */
static bool read_augmentation(const struct compiler *c, struct mt_cursor *cur, const char *letters,
			      struct cfi_cie *cie)
{
	uint64_t ignored;
	for (; *letters; letters++) {
		switch (*letters) {
		case 'R':
			cie->fde_encoding = mt_cursor_u8(cur);
			break;
		case 'L':
			mt_cursor_u8(cur);
			break;
		case 'P': {
			uint8_t encoding = mt_cursor_u8(cur);
			/* Read for its length alone: what it is relative to does not matter. */
			if (encoding != DW_EH_PE_aligned)
				encoding &= 0x0f;
			if (!cfi_pointer(cur, encoding, c->vaddr, &ignored))
				return false;
			break;
		}
		case 'S':
			cie->is_signal = true;
			break;
		case 'B':		/* pointer authentication: not on this machine */
		case 'G':
			break;
		default:
			return false;
		}
	}
	return !cur->failed;
}

static bool read_cie_head(const struct compiler *c, struct mt_cursor *cur, struct cfi_cie *cie)
{
	uint8_t version = mt_cursor_u8(cur);
	const char *letters = mt_cursor_cstr(cur);
	if (cur->failed || (version != 1 && version != 3 && version != 4))
		return false;
	if (version == 4) {
		uint8_t address_size = mt_cursor_u8(cur), segment_size = mt_cursor_u8(cur);
		if (address_size != 8 || segment_size)
			return false;
	}
	cie->code_align = mt_cursor_uleb128(cur);
	cie->data_align = mt_cursor_sleb128(cur);
	uint64_t ra = version == 1 ? mt_cursor_u8(cur) : mt_cursor_uleb128(cur);
	if (cur->failed || ra != CFI_RA)
		return false;
	if (!*letters)
		return true;
	if (*letters != 'z')
		return false;
	cie->has_size = true;
	uint64_t size = mt_cursor_uleb128(cur);
	const uint8_t *data = mt_cursor_bytes(cur, size);
	if (!data)
		return false;
	struct mt_cursor aug = *cur;
	aug.pos = data;
	aug.end = data + size;
	return read_augmentation(c, &aug, letters + 1, cie);
}

/* A CIE that we cannot follow stays in the list: its FDEs become unsupported rows. */
static bool add_cie(struct compiler *c, const struct record *r)
{
	struct cfi_cie cie = { .offset = r->offset, .fde_encoding = DW_EH_PE_absptr };
	uint64_t id_size = r->id_offset - r->offset == 4 ? 4 : 8;
	struct mt_cursor cur = record_cursor(c, r, r->id_offset + id_size);
	cie.supported = read_cie_head(c, &cur, &cie);
	if (cie.supported) {
		struct cfi_run run = { .cur = cur, .cie = &cie, .in_cie = true,
				       .section_vaddr = c->vaddr };
		/* The return address is nowhere until a rule says where. */
		run.state.ra = CFI_OTHER;
		cfi_run(&run);
		cie.supported = !run.bad;
		cie.initial = run.state;
	}
	if (mt_array_push(&c->cies, cie))
		return true;
	c->nomem = true;
	return false;
}

static const struct cfi_cie *find_cie(struct compiler *c, uint64_t offset)
{
	if (c->last_cie && c->last_cie->offset == offset)
		return c->last_cie;
	size_t low = 0, high = c->cies.len;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (c->cies.items[mid].offset < offset)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == c->cies.len || c->cies.items[low].offset != offset)
		return NULL;
	c->last_cie = &c->cies.items[low];
	return c->last_cie;
}

/* Address range of an FDE; false when it is empty, elsewhere than the image, or not readable. */
static bool read_range(const struct compiler *c, struct mt_cursor *cur, const struct cfi_cie *cie,
		       uint64_t *start_ret, uint64_t *end_ret)
{
	uint64_t start, length;
	if (!cfi_pointer(cur, cie->fde_encoding, c->vaddr, &start) ||
	    !cfi_pointer(cur, cie->fde_encoding & 0x0f, c->vaddr, &length) || !length ||
	    (cie->fde_encoding & DW_EH_PE_indirect))
		return false;
	/* 0 is what linkers leave of functions that they dropped. */
	if (start < c->table->base || (!start && !c->table->base))
		return false;
	start -= c->table->base;
	if (start >= UINT32_MAX)
		return false;
	*start_ret = start + c->table->base;
	*end_ret = (length > UINT32_MAX - start ? UINT32_MAX : start + length) + c->table->base;
	return true;
}

/* The CIE of an FDE and its range; false when there is nothing to run. */
static bool open_fde(struct compiler *c, const struct record *r, struct cfi_run *run)
{
	uint64_t id_size = r->id_offset - r->offset == 4 ? 4 : 8;
	run->cie = find_cie(c, c->is_debug_frame ? r->id : r->id_offset - r->id);
	run->section_vaddr = c->vaddr;
	run->cur = record_cursor(c, r, r->id_offset + id_size);
	return run->cie && run->cie->supported &&
	       read_range(c, &run->cur, run->cie, &run->loc, &run->end);
}

static bool note_fde(struct compiler *c, const struct record *r)
{
	struct cfi_run run;
	c->table->fde_count++;
	if (!open_fde(c, r, &run)) {
		c->table->unsupported_count += !run.cie || !run.cie->supported;
		return true;
	}
	struct span span = {
		.start = (uint32_t)(run.loc - c->table->base),
		.end = (uint32_t)(run.end - c->table->base),
		.at = (uint32_t)r->offset,
	};
	if (mt_array_push(&c->spans, span))
		return true;
	c->nomem = true;
	return false;
}

/* One pass over the section; *bad_ret is where it is damaged, or the size. */
static bool each_record(struct compiler *c, bool cies, uint64_t *bad_ret)
{
	struct mt_cursor cur = mt_cursor_make(c->data, c->size);
	struct record r;
	*bad_ret = c->size;
	while (mt_cursor_left(&cur) >= 4 && next_record(c, &cur, &r)) {
		bool ok = true;
		if (r.end != r.id_offset && r.is_cie == cies)
			ok = cies ? add_cie(c, &r) : note_fde(c, &r);
		if (!ok)
			return false;
		cur.pos = c->data + r.end;
	}
	if (cur.failed)
		*bad_ret = r.offset;
	return true;
}

/* ---- the table ------------------------------------------------------------------------ */

static bool is_sorted(const struct compiler *c)
{
	for (size_t i = 1; i < c->spans.len; i++)
		if (c->spans.items[i - 1].start > c->spans.items[i].start)
			return false;
	return true;
}

/* Stable, by start: linkers put FDEs in the order of input files, nearly sorted but not quite. */
static bool sort_spans(struct compiler *c)
{
	size_t n = c->spans.len;
	if (is_sorted(c))
		return true;
	struct span *from = c->spans.items, *to = malloc(n * sizeof(*to)), *other = to;
	if (!to)
		return false;
	for (unsigned shift = 0; shift < 32; shift += 11) {
		size_t count[2048] = { 0 }, sum = 0;
		for (size_t i = 0; i < n; i++)
			count[from[i].start >> shift & 2047]++;
		for (size_t i = 0; i < 2048; i++) {
			size_t here = count[i];
			count[i] = sum;
			sum += here;
		}
		for (size_t i = 0; i < n; i++)
			to[count[from[i].start >> shift & 2047]++] = from[i];
		struct span *swap = from;
		from = to;
		to = swap;
	}
	/* Three passes: the result is in the second array. */
	c->spans.items = from;
	c->spans.cap = from == other ? n : c->spans.cap;
	free(to);
	return true;
}

/* What the table already has, as spans in front of the new ones. */
static bool take_old_rows(struct compiler *c)
{
	struct unwind_table *t = c->table;
	size_t n = t->rows.len;
	if (!n)
		return true;
	if (!mt_array_reserve(&c->old, n) || !mt_array_reserve(&c->spans, n))
		return false;
	memcpy(c->old.items, t->rows.items, n * sizeof(*c->old.items));
	c->old.len = n;
	t->rows.len = 0;
	for (size_t i = 0; i < n; i++) {
		const struct wire_row *row = &c->old.items[i];
		if (!row->rule)
			continue;
		struct span *last = c->spans.len ? &c->spans.items[c->spans.len - 1] : NULL;
		uint32_t end = i + 1 < n ? row[1].pc : UINT32_MAX;
		if (last && last->end == row->pc)
			last->end = end;
		else
			c->spans.items[c->spans.len++] =
				(struct span){ row->pc, end, SPAN_OLD | (uint32_t)i };
	}
	return true;
}

/* Old rows of the span from `start` on. */
static bool put_old(struct compiler *c, const struct span *s, uint32_t start)
{
	const struct wire_row *row = &c->old.items[s->at & ~SPAN_OLD];
	const struct wire_row *end = c->old.items + c->old.len;
	for (; row < end && row->pc < s->end; row++) {
		if (row + 1 < end && row[1].pc <= start)
			continue;
		if (!put_row(c->table, row->pc < start ? start : row->pc, row->rule))
			return false;
	}
	return true;
}

/* Runs the instructions of the span's FDE, for its code from `start` on. */
static bool put_fde(struct compiler *c, const struct span *s, uint32_t start)
{
	struct mt_cursor cur = mt_cursor_make(c->data, c->size);
	struct record r;
	struct fde_run f;
	cur.pos += s->at;
	if (!next_record(c, &cur, &r) || !open_fde(c, &r, &f.run))
		return true;		/* it was read once */
	if (f.run.cie->has_size)
		mt_cursor_bytes(&f.run.cur, mt_cursor_uleb128(&f.run.cur));
	f.c = c;
	f.from = start + c->table->base;
	f.run.in_cie = false;
	f.run.state = f.run.cie->initial;
	f.run.bad = f.run.cur.failed;
	f.run.row = emit_row;
	c->fde_unsupported = false;
	if (!cfi_run(&f.run))
		return false;
	c->table->unsupported_count += c->fde_unsupported;
	return true;
}

static bool build_table(struct compiler *c)
{
	struct unwind_table *t = c->table;
	uint32_t covered = 0;
	if (!sort_spans(c))
		return false;
	for (size_t i = 0; i < c->spans.len; i++) {
		const struct span *s = &c->spans.items[i];
		uint32_t start = s->start > covered ? s->start : covered;
		if (start >= s->end)
			continue;
		if (t->rows.len && start > covered && !put_row(t, covered, 0))
			return false;
		if (!(s->at & SPAN_OLD ? put_old(c, s, start) : put_fde(c, s, start)))
			return false;
		covered = s->end;
	}
	return !t->rows.len || put_row(t, covered, 0);
}

struct mt_error *unwind_compile_section(const uint8_t *data, size_t size, uint64_t vaddr,
					bool is_debug_frame, struct unwind_rules *rules,
					struct unwind_table *table)
{
	struct compiler c = { .data = data, .size = size, .vaddr = vaddr, .rules = rules,
			      .table = table, .is_debug_frame = is_debug_frame };
	struct mt_error *err = NULL;
	uint64_t bad;
	uint32_t fdes = table->fde_count;
	/* Offsets of records are kept in 32 bits a row; no real section comes near. */
	if (size > UINT32_MAX / 2)
		return mt_error_corrupt(0, "frame section of %zu bytes", size);
	/* CIEs first: in .debug_frame they may come after their FDEs, and each is read once however
	 * many FDEs a hostile section points at it. */
	bool ok = take_old_rows(&c) && each_record(&c, true, &bad) &&
		  each_record(&c, false, &bad) && build_table(&c);
	if (!ok)
		err = &mt_enomem;
	else if (bad != size && table->fde_count == fdes)
		err = mt_error_corrupt(bad, "damaged frame record");
	else if (bad != size)
		table->damaged_at = bad;
	mt_array_deinit(&c.cies);
	mt_array_deinit(&c.old);
	mt_array_deinit(&c.spans);
	return err;
}
