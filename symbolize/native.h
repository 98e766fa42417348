/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/native.h - one module's files, opened, and the names of addresses in it. */
#ifndef MT_SYMBOLIZE_NATIVE_H
#define MT_SYMBOLIZE_NATIVE_H

#include "capture/format.h"
#include "symbolize/dwarf.h"
#include "symbolize/elfimage.h"
#include "symbolize/files.h"
#include "symbolize/split.h"
#include "symbolize/symtab.h"

struct native_module {
	struct elf_file main, debug, alt;
	Dwarf *dwarf, *alt_dwarf;
	struct split split;		/* outlives the index */
	struct elf_image no_alt;	/* stands for the file in `alt` when that is not there */
	struct dwarf_index *index;
	struct symtab symtab;
	bool has_symtab, damaged;
	enum capture_symbol_status status;
};

/* Finds and opens what there is; missing files are a status, not an error. */
struct mt_error *native_module_open(struct file_search *search, const struct capture_module *m,
				    struct string_pool *pool, struct native_module *ret)
	MT_MUST_CHECK;
/* As it is now: damage can show when addresses are looked up. */
enum capture_symbol_status native_module_status(const struct native_module *m);
void native_module_close(struct native_module *m);
/* Appends the lines of an address, innermost inlined call first; nothing when it has no name. */
struct mt_error *native_module_find(struct native_module *m, uint64_t address,
				    struct string_pool *pool, struct source_lines *lines)
	MT_MUST_CHECK;

#endif
