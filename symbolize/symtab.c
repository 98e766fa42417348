/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/symtab.c - ELF symbol tables as ranges of addresses.
 * Knows: libelf, libdwfl's .gnu_debugdata. Does not know: DWARF, captures.
 * Called by symbolize/; calls base/, libelf, libdwfl. */
#include "symbolize/symtab.h"

#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* From worst to best; symbols of a better class hide those of a worse one. */
enum symbol_class { CLASS_LABEL, CLASS_UNSIZED, CLASS_SIZED };

struct symtab_symbol {
	uint64_t address, end;
	const char *name;
	uint8_t class;		/* enum symbol_class */
	uint8_t bind;		/* 0 local, 1 weak, 2 global */
	uint8_t underscores;	/* malloc is a better name than __libc_malloc */
};

#define SECTIONS_MAX 1024	/* executable ones; linked files have about four */

struct exec_section {
	uint64_t low, high;
};

struct load {
	struct symtab *t;
	MT_ARRAY(struct exec_section) sections;
	bool unsized;		/* symbols without a size are believed */
};

void symtab_deinit(struct symtab *t)
{
	mt_array_deinit(&t->symbols);
	range_set_deinit(&t->ranges);
	if (t->dwfl)
		dwfl_end(t->dwfl);
	t->dwfl = NULL;
}

static bool load_sections(struct load *l, Elf *elf)
{
	l->sections.len = 0;
	Elf_Scn *scn = NULL;
	while (l->sections.len < SECTIONS_MAX && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr shdr;
		if (!gelf_getshdr(scn, &shdr) || !(shdr.sh_flags & SHF_EXECINSTR) || !shdr.sh_size)
			continue;
		struct exec_section s = { shdr.sh_addr, shdr.sh_addr + shdr.sh_size };
		if (s.low < s.high && !mt_array_push(&l->sections, s))
			return false;
	}
	return true;
}

static const struct exec_section *section_of(const struct load *l, uint64_t address)
{
	for (size_t i = 0; i < l->sections.len; i++)
		if (address >= l->sections.items[i].low && address < l->sections.items[i].high)
			return &l->sections.items[i];
	return NULL;
}

static bool add_symbol(struct load *l, const GElf_Sym *sym, const char *name)
{
	unsigned type = GELF_ST_TYPE(sym->st_info), bind = GELF_ST_BIND(sym->st_info);
	bool function = type == STT_FUNC || type == STT_GNU_IFUNC;
	if (!name || !*name || *name == '$' || sym->st_shndx == SHN_UNDEF ||
	    (!function && type != STT_NOTYPE) || (!sym->st_size && !l->unsized))
		return true;
	const struct exec_section *section = section_of(l, sym->st_value);
	if (!section)
		return true;
	struct symtab_symbol s = { .address = sym->st_value, .name = name };
	s.end = sym->st_size ? sym->st_value + sym->st_size : section->high;
	if (s.end <= s.address)
		return true;
	s.class = sym->st_size ? CLASS_SIZED : function ? CLASS_UNSIZED : CLASS_LABEL;
	s.bind = bind == STB_LOCAL ? 0 : bind == STB_WEAK ? 1 : 2;
	s.underscores = (uint8_t)strspn(name, "_");
	return mt_array_push(&l->t->symbols, s);
}

static bool load_table(struct load *l, Elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	if (!data || !shdr->sh_entsize || !load_sections(l, elf))
		return !data || !shdr->sh_entsize;
	size_t n = data->d_size / shdr->sh_entsize;
	for (size_t i = 1; i < n && i < INT32_MAX; i++) {
		GElf_Sym sym;
		if (gelf_getsym(data, (int)i, &sym) &&
		    !add_symbol(l, &sym, elf_strptr(elf, shdr->sh_link, sym.st_name)))
			return false;
	}
	return true;
}

static bool load_type(struct load *l, const struct elf_file *f, uint32_t type)
{
	Elf_Scn *scn = NULL;
	while (f && (scn = elf_nextscn(f->elf, scn))) {
		GElf_Shdr shdr;
		if (gelf_getshdr(scn, &shdr) && shdr.sh_type == type &&
		    !load_table(l, f->elf, scn, &shdr))
			return false;
	}
	return true;
}

static int find_no_debuginfo(Dwfl_Module *mod, void **user, const char *name, Dwarf_Addr base,
			     const char *file, const char *link, GElf_Word crc, char **path)
{
	(void)mod, (void)user, (void)name, (void)base, (void)file, (void)link, (void)crc, (void)path;
	return -1;
}

static int find_no_elf(Dwfl_Module *mod, void **user, const char *name, Dwarf_Addr base,
		       char **path, Elf **elf)
{
	(void)mod, (void)user, (void)name, (void)base, (void)path, (void)elf;
	return -1;
}

static const Dwfl_Callbacks callbacks = {
	.find_elf = find_no_elf,
	.find_debuginfo = find_no_debuginfo,
	.section_address = dwfl_offline_section_address,
};

/* The small symbol table that distributions leave in stripped files, xz-compressed; libdwfl
 * unpacks it beside .dynsym. */
static bool load_debugdata(struct load *l, const struct elf_file *f)
{
	if (!f || !elf_file_has_section(f, ".gnu_debugdata"))
		return true;
	Dwfl *dwfl = l->t->dwfl = dwfl_begin(&callbacks);
	int fd = dwfl ? fcntl(f->fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (fd < 0)
		return dwfl;
	dwfl_report_begin(dwfl);
	Dwfl_Module *mod = dwfl_report_elf(dwfl, f->path, f->path, fd, 0, true);
	if (!mod)
		close(fd);
	dwfl_report_end(dwfl, NULL, NULL);
	int n = mod ? dwfl_module_getsymtab(mod) : 0;
	for (int i = 1; i < n; i++) {
		GElf_Sym sym;
		GElf_Addr address;
		const char *name = dwfl_module_getsym_info(mod, i, &sym, &address, NULL, NULL, NULL);
		if (!name)
			continue;
		sym.st_value = address;
		if (!add_symbol(l, &sym, name))
			return false;
	}
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct symtab_symbol *x = a, *y = b;
	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (x->bind != y->bind)
		return x->bind < y->bind ? -1 : 1;
	if (x->underscores != y->underscores)
		return x->underscores > y->underscores ? -1 : 1;
	return -strcmp(x->name, y->name);
}

/* Symbols are sorted: an unsized one ends where the next of its class begins, or the first sized
 * one; the latter comes by itself, as that class hides it. But what lies after the sized one is
 * not the unsized symbol's any more. */
static void close_unsized(struct symtab *t)
{
	size_t n = t->symbols.len, sized = 0, after = n;
	struct symtab_symbol *s = t->symbols.items;
	uint64_t next = UINT64_MAX;
	while (sized < n && s[sized].class != CLASS_SIZED)
		sized++;
	for (size_t i = sized; i-- > 0;) {
		if (i + 1 == sized || s[i + 1].class != s[i].class) {
			next = UINT64_MAX;
			after = n;
		} else if (s[i + 1].address != s[i].address) {
			next = s[i + 1].address;
		}
		while (after > sized && s[after - 1].address > s[i].address)
			after--;
		if (s[i].end > next)
			s[i].end = next;
		if (after < n && s[i].end > s[after].address)
			s[i].end = s[after].address;
	}
}

static struct mt_error *build(struct symtab *t)
{
	if (t->symbols.len >= RANGE_NONE)
		t->symbols.len = RANGE_NONE - 1;
	if (t->symbols.len)
		qsort(t->symbols.items, t->symbols.len, sizeof(*t->symbols.items), compare);
	close_unsized(t);
	for (uint32_t i = 0; i < t->symbols.len; i++) {
		const struct symtab_symbol *s = &t->symbols.items[i];
		if (!range_set_add(&t->ranges, s->address, s->end, i, i))
			return &mt_enomem;
	}
	return range_set_build(&t->ranges);
}

struct mt_error *symtab_load(struct symtab *t, const struct elf_file *main,
			     const struct elf_file *debug)
{
	struct load l = { .t = t, .unsized = true };
	bool ok = load_type(&l, debug, SHT_SYMTAB);
	if (ok && !t->symbols.len)
		ok = load_type(&l, main, SHT_SYMTAB);
	if (ok && !t->symbols.len) {
		l.unsized = false;
		ok = load_type(&l, main, SHT_DYNSYM) && load_debugdata(&l, main);
	}
	mt_array_deinit(&l.sections);
	return ok ? build(t) : &mt_enomem;
}

const char *symtab_find(const struct symtab *t, uint64_t address, size_t *len_ret)
{
	uint32_t i = range_set_find(&t->ranges, address);
	if (i == RANGE_NONE)
		return NULL;
	const char *name = t->symbols.items[i].name;
	*len_ret = strcspn(name, "@");
	return *len_ret ? name : NULL;
}
