/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/symtab.h - the function symbol that an address lies in.
 *
 * A symbol owns the bytes its size says. One without a size owns what lies up to the next symbol
 * or the end of the section, but only in a full symbol table: in a stripped file's dynamic table
 * the next symbol says nothing about where a function ends, and a guess would be a lie. */
#ifndef MT_SYMBOLIZE_SYMTAB_H
#define MT_SYMBOLIZE_SYMTAB_H

#include "base/error.h"
#include "symbolize/elffile.h"
#include "symbolize/ranges.h"

struct symtab {
	MT_ARRAY(struct symtab_symbol) symbols;
	struct range_set ranges;
	void *dwfl;		/* holds the unpacked .gnu_debugdata whose strings are borrowed */
};

void symtab_deinit(struct symtab *t);
/* From .symtab of the debug file, else of the main file, else from .gnu_debugdata and .dynsym.
 * Either file may be NULL. Borrows both until symtab_deinit(). */
struct mt_error *symtab_load(struct symtab *t, const struct elf_file *main,
			     const struct elf_file *debug) MT_MUST_CHECK;
/* The name as the file has it (mangled, without "@version"), its length in len_ret; NULL: none. */
const char *symtab_find(const struct symtab *t, uint64_t address, size_t *len_ret);

#endif
