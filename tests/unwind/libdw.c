/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unwind/libdw.c - compares the unwind table of files with what libdw reads there.
 * Knows: inject/unwind_compile.h, libdw's frame functions. Does not know: processes.
 * Called by tests/unwind/test_tables.py: libdw FILE... prints one line a file, exits 1 on a
 * difference; libdw --at FILE ADDRESS... prints our rule at each address.
 *
 * Each address range for which libdw has one row is looked at, and each row of ours. What libdw
 * says is put into a struct wire_rule from its DWARF operations, with none of our code. */
#include "inject/unwind_compile.h"

#include <elfutils/libdw.h>
#include <dwarf.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct subject {
	const char *path;
	Elf *elf;
	Dwarf_CFI *cfi;
	struct unwind_rules rules;
	struct unwind_table table;
	unsigned long compared, different, unsupported;
	double ms;
};

static const struct wire_rule none = { .cfa = WIRE_CFA_UNSUPPORTED };

/* ---- libdw's view --------------------------------------------------------------------- */

static bool op_is_reg(const Dwarf_Op *op, unsigned *reg, int64_t *offset)
{
	if (op->atom == DW_OP_bregx) {
		*reg = (unsigned)op->number;
		*offset = (int64_t)op->number2;
		return true;
	}
	*reg = op->atom - DW_OP_breg0;
	*offset = (int64_t)op->number;
	return op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31;
}

/* rsp + 8 + ((rip & 15) >= T) * 8; the wire has a word for T = 11, else rows for each half. */
static bool is_plt(const Dwarf_Op *op, size_t n, unsigned *threshold)
{
	static const uint8_t rest[] = { DW_OP_lit15, DW_OP_and, DW_OP_lit0, DW_OP_ge, DW_OP_lit3,
					DW_OP_shl, DW_OP_plus };
	if (n != 2 + sizeof(rest) || op[0].atom != DW_OP_breg7 || op[0].number != 8 ||
	    op[1].atom != DW_OP_breg16 || op[1].number)
		return false;
	for (size_t i = 0; i < sizeof(rest); i++)
		if (i != 2 && op[2 + i].atom != rest[i])
			return false;
	*threshold = op[4].atom - DW_OP_lit0;
	return *threshold <= 15;
}

/* "At CFA + offset" is DW_OP_call_frame_cfa, and DW_OP_plus_uconst unless the offset is 0. */
static bool at_cfa(const Dwarf_Op *op, size_t n, int64_t *offset)
{
	if (!n || op[0].atom != DW_OP_call_frame_cfa)
		return false;
	*offset = 0;
	if (n == 1)
		return true;
	*offset = (int64_t)op[1].number;
	return n == 2 && op[1].atom == DW_OP_plus_uconst;
}

static void libdw_cfa(Dwarf_Frame *frame, uint64_t pc, struct wire_rule *ret)
{
	Dwarf_Op *op;
	size_t n;
	unsigned reg;
	int64_t offset;
	if (dwarf_frame_cfa(frame, &op, &n) || !n)
		return;
	if (is_plt(op, n, &reg)) {
		ret->cfa = reg == 11 ? WIRE_CFA_PLT : WIRE_CFA_RSP;
		ret->cfa_offset = reg != 11 && (pc & 15) >= reg ? 16 : 8;
		return;
	}
	bool deref = n == 2 && op[1].atom == DW_OP_deref;
	if ((n != 1 && !deref) || !op_is_reg(op, &reg, &offset) || (reg != 6 && reg != 7))
		return;
	if (deref)
		ret->cfa = reg == 7 ? WIRE_CFA_RSP_DEREF : WIRE_CFA_RBP_DEREF;
	else
		ret->cfa = reg == 7 ? WIRE_CFA_RSP : WIRE_CFA_RBP;
	ret->cfa_offset = (int32_t)offset;
}

static void libdw_rbp(Dwarf_Frame *frame, struct wire_rule *ret)
{
	Dwarf_Op mem[3], *op;
	size_t n;
	unsigned reg;
	int64_t offset;
	ret->rbp = WIRE_RBP_UNKNOWN;
	if (dwarf_frame_register(frame, 6, mem, &op, &n))
		return;
	if (!n && !op) {
		ret->rbp = WIRE_RBP_SAME;
	} else if (at_cfa(op, n, &offset)) {
		ret->rbp = WIRE_RBP_CFA;
		ret->rbp_offset = (int32_t)offset;
	} else if (n == 2 && op[0].atom == DW_OP_call_frame_cfa &&
		   op_is_reg(&op[1], &reg, &offset) && reg == 6) {
		ret->rbp = WIRE_RBP_RBP;
		ret->rbp_offset = (int32_t)offset;
	} else if (n == 1 && op_is_reg(op, &reg, &offset) && reg == 6) {
		ret->rbp = WIRE_RBP_RBP;
		ret->rbp_offset = (int32_t)offset;
	}
}

static struct wire_rule libdw_rule(Dwarf_Frame *frame, uint64_t pc)
{
	struct wire_rule rule = { 0 };
	Dwarf_Op mem[3], *op;
	size_t n;
	int64_t offset;
	bool signal = false;
	dwarf_frame_info(frame, NULL, NULL, &signal);
	if (signal) {
		rule.cfa = WIRE_CFA_SIGNAL;
		return rule;
	}
	if (dwarf_frame_register(frame, 16, mem, &op, &n))
		return none;
	if (!n && op) {
		rule.cfa = WIRE_CFA_END;
		return rule;
	}
	if (!at_cfa(op, n, &offset) || offset != -8)
		return none;
	libdw_cfa(frame, pc, &rule);
	if (rule.cfa == WIRE_CFA_UNSUPPORTED)
		return none;
	libdw_rbp(frame, &rule);
	return rule;
}

/* ---- comparison ----------------------------------------------------------------------- */

static void complain(struct subject *s, uint64_t pc, const struct wire_rule *ours,
		     const struct wire_rule *theirs)
{
	if (s->different++ < 10)
		printf("%s: 0x%llx: ours cfa %u %+d rbp %u %+d, libdw cfa %u %+d rbp %u %+d\n",
		       s->path, (unsigned long long)pc, ours->cfa, ours->cfa_offset, ours->rbp,
		       ours->rbp_offset, theirs->cfa, theirs->cfa_offset, theirs->rbp,
		       theirs->rbp_offset);
}

/* Compares at one address; returns where libdw's row ends, 0 when it has none. */
static uint64_t compare_at(struct subject *s, uint64_t pc)
{
	Dwarf_Frame *frame = NULL;
	Dwarf_Addr end = 0;
	struct wire_rule theirs = none;
	if (!dwarf_cfi_addrframe(s->cfi, pc, &frame)) {
		dwarf_frame_info(frame, NULL, &end, NULL);
		theirs = libdw_rule(frame, pc);
	}
	free(frame);
	const struct wire_rule *ours = unwind_lookup(&s->table, &s->rules, pc);
	s->compared++;
	s->unsupported += end && ours->cfa == WIRE_CFA_UNSUPPORTED;
	if (memcmp(ours, &theirs, sizeof(theirs)) != 0)
		complain(s, pc, ours, &theirs);
	return end;
}

static void compare_segment(struct subject *s, uint64_t start, uint64_t size)
{
	for (uint64_t pc = start; pc < start + size;) {
		uint64_t end = compare_at(s, pc);
		if (end > pc + 1)
			compare_at(s, end - 1);
		pc = end > pc ? end : pc + 1;
	}
}

static void compare_all(struct subject *s)
{
	size_t count = 0;
	elf_getphdrnum(s->elf, &count);
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr p;
		if (gelf_getphdr(s->elf, (int)i, &p) && p.p_type == PT_LOAD && (p.p_flags & PF_X))
			compare_segment(s, p.p_vaddr, p.p_memsz);
	}
	for (size_t i = 0; i < s->table.rows.len; i++) {
		compare_at(s, s->table.rows.items[i].pc);
		if (i)
			compare_at(s, s->table.rows.items[i].pc - 1ull);
	}
}

static bool compile(struct subject *s)
{
	size_t names;
	Elf_Scn *scn = NULL;
	if (elf_getshdrstrndx(s->elf, &names))
		return false;
	while ((scn = elf_nextscn(s->elf, scn))) {
		GElf_Shdr shdr;
		struct timespec a, b;
		const char *name;
		if (!gelf_getshdr(scn, &shdr) || !(name = elf_strptr(s->elf, names, shdr.sh_name)) ||
		    strcmp(name, ".eh_frame"))
			continue;
		Elf_Data *data = elf_getdata(scn, NULL);
		if (!data)
			return false;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
		struct mt_error *err = unwind_compile_section(data->d_buf, data->d_size,
							      shdr.sh_addr, false, &s->rules,
							      &s->table);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
		s->ms += (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
		if (err)
			printf("%s: %s\n", s->path, err->message);
		mt_error_destroy(err);
		return !err;
	}
	return false;
}

static bool subject_open(struct subject *s, const char *path, int *fd_ret)
{
	*s = (struct subject){ .path = path };
	*fd_ret = open(path, O_RDONLY | O_CLOEXEC);
	s->elf = *fd_ret < 0 ? NULL : elf_begin(*fd_ret, ELF_C_READ_MMAP, NULL);
	s->cfi = s->elf ? dwarf_getcfi_elf(s->elf) : NULL;
	unwind_rules_init(&s->rules);
	if (s->cfi && compile(s))
		return true;
	printf("%s: no frame information\n", path);
	return false;
}

static void subject_close(struct subject *s, int fd)
{
	unwind_table_deinit(&s->table);
	unwind_rules_deinit(&s->rules);
	if (s->cfi)
		dwarf_cfi_end(s->cfi);
	if (s->elf)
		elf_end(s->elf);
	if (fd >= 0)
		close(fd);
}

static bool compare_file(const char *path)
{
	struct subject s;
	int fd;
	bool ok = subject_open(&s, path, &fd);
	if (ok) {
		compare_all(&s);
		printf("%s: %u FDEs, %u with unsupported rows, %zu rows, %zu rules, %.2f ms; "
		       "%lu addresses compared, %lu unsupported, %lu different\n", path,
		       s.table.fde_count, s.table.unsupported_count, s.table.rows.len,
		       s.rules.list.len, s.ms, s.compared, s.unsupported, s.different);
	}
	ok = ok && !s.different;
	subject_close(&s, fd);
	return ok;
}

static void print_rule(uint64_t pc, const struct wire_rule *r)
{
	static const char *const cfa[] = { "unsupported", "end", "rsp%+d", "rbp%+d", "*(rbp%+d)",
					   "*(rsp%+d)", "plt", "signal" };
	static const char *const rbp[] = { "same", "cfa%+d", "rbp%+d", "unknown" };
	printf("0x%llx ", (unsigned long long)pc);
	printf(cfa[r->cfa], r->cfa_offset);
	if (r->cfa > WIRE_CFA_END) {
		printf(" ");
		printf(rbp[r->rbp], r->rbp_offset);
	}
	printf("\n");
}

static bool print_rules(char **argv)
{
	struct subject s;
	int fd;
	bool ok = subject_open(&s, argv[0], &fd);
	for (char **at = argv + 1; ok && *at; at++) {
		uint64_t pc = strtoull(*at, NULL, 0);
		print_rule(pc, unwind_lookup(&s.table, &s.rules, pc));
	}
	subject_close(&s, fd);
	return ok;
}

int main(int argc, char **argv)
{
	int bad = 0;
	elf_version(EV_CURRENT);
	if (argc > 2 && !strcmp(argv[1], "--at"))
		return !print_rules(argv + 2);
	for (int i = 1; i < argc; i++)
		bad |= !compare_file(argv[i]);
	return bad;
}
