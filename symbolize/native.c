/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/native.c - names of addresses from a module's debug information and symbols.
 * Knows: libdw handles, which source is better. Does not know: captures' frames, merging.
 * Called by symbolize/symbolizer.c; calls dwarf.c, symtab.c, files.c. */
#include "symbolize/native.h"

#include "symbolize/demangle.h"

#include <elfutils/libdwelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Dwarf *open_dwarf(const struct elf_file *f)
{
	return f->elf ? dwarf_begin_elf(f->elf, DWARF_C_READ, NULL) : NULL;
}

static bool has_dwarf(const struct elf_file *f)
{
	return elf_file_has_section(f, ".debug_info") || elf_file_has_section(f, ".zdebug_info");
}

/* dwz moves what several files share into one more file. */
static void open_alt(struct file_search *search, struct native_module *m, const struct elf_file *of)
{
	const char *name;
	const void *id;
	ssize_t size = dwelf_dwarf_gnu_debugaltlink(m->dwarf, &name, &id);
	if (size <= 0)
		return;
	if (find_alt_file(search, of, name, id, (size_t)size, &m->alt) == FILE_FOUND)
		m->alt_dwarf = open_dwarf(&m->alt);
	/* Left alone, libdw takes any file of that name, whatever its build-id, and reads names of
	 * another build from it. One byte is no unit: what it refers to is not there. */
	static const struct elf_image_section nothing = { ".debug_info", "", 1 };
	if (m->alt_dwarf)
		dwarf_setalt(m->dwarf, m->alt_dwarf);
	else if (elf_image_open(&m->no_alt, &nothing, 1))
		dwarf_setalt(m->dwarf, m->no_alt.dwarf);
}

static bool is_damaged(const struct elf_file *f)
{
	return f->elf && !elf_file_is_whole(f);
}

static struct mt_error *open_index(struct file_search *search, struct native_module *m,
				   const struct capture_module *module, struct string_pool *pool)
{
	const struct elf_file *of = &m->debug;
	/* First: libdw unpacks sections in place, which makes them larger than the file. */
	m->damaged = is_damaged(&m->main) || is_damaged(&m->debug);
	m->dwarf = open_dwarf(of);
	if (!m->dwarf) {
		of = &m->main;
		m->dwarf = open_dwarf(of);
	}
	if (!m->dwarf) {
		m->damaged |= has_dwarf(&m->main) || has_dwarf(&m->debug);
		return NULL;
	}
	open_alt(search, m, of);
	struct mt_error *err = dwarf_index_create(m->dwarf, pool, &m->index);
	if (!err)
		m->status = CAPTURE_SYMBOLS_DWARF;
	if (!err && dwarf_index_lacks_split(m->index))
		err = split_link(&m->split, m->dwarf, m->index, search, module, &m->main, &m->debug);
	return err;
}

/* The module's files; true when the only one there is of another build. Servers are asked for
 * debug information that is not here, and for the file itself when that is all that is left. */
static bool find_files(struct file_search *search, const struct capture_module *module,
		       struct native_module *m)
{
	enum file_found found = find_module_file(search, module, &m->main);
	if (found != FILE_FOUND)
		elf_file_close(&m->main);
	const struct elf_file *main = m->main.elf ? &m->main : NULL;
	if (find_debug_file(search, module, main, &m->debug) != FILE_FOUND)
		elf_file_close(&m->debug);
	if (!m->debug.elf && !has_dwarf(&m->main))
		fetch_module_file(search, module, true, main, &m->debug);
	if (!m->debug.elf && !m->main.elf)
		fetch_module_file(search, module, false, NULL, &m->main);
	return found == FILE_OTHER_BUILD;
}

struct mt_error *native_module_open(struct file_search *search, const struct capture_module *module,
				    struct string_pool *pool, struct native_module *ret)
{
	struct native_module m = { .main = ELF_FILE_INIT, .debug = ELF_FILE_INIT,
				   .alt = ELF_FILE_INIT, .split = SPLIT_INIT };
	if (find_files(search, module, &m) && !m.main.elf && !m.debug.elf)
		m.status = CAPTURE_SYMBOLS_MISMATCH;
	if (m.main.elf || m.debug.elf) {
		m.status = CAPTURE_SYMBOLS_TABLE;
		struct mt_error *err = symtab_load(&m.symtab, m.main.elf ? &m.main : NULL,
						   m.debug.elf ? &m.debug : NULL);
		m.has_symtab = !err;
		if (!err)
			err = open_index(search, &m, module, pool);
		if (err) {
			native_module_close(&m);
			return err;
		}
		if (m.status == CAPTURE_SYMBOLS_TABLE && !m.symtab.symbols.len)
			m.status = CAPTURE_SYMBOLS_NONE;
	}
	*ret = m;
	return NULL;
}

enum capture_symbol_status native_module_status(const struct native_module *m)
{
	bool damaged = m->damaged || (m->index && dwarf_index_is_damaged(m->index));
	return damaged ? CAPTURE_SYMBOLS_DAMAGED : m->status;
}

void native_module_close(struct native_module *m)
{
	dwarf_index_destroy(m->index);
	split_close(&m->split);
	if (m->dwarf)
		dwarf_end(m->dwarf);
	if (m->alt_dwarf)
		dwarf_end(m->alt_dwarf);
	elf_image_close(&m->no_alt);
	if (m->has_symtab)
		symtab_deinit(&m->symtab);
	elf_file_close(&m->main);
	elf_file_close(&m->debug);
	elf_file_close(&m->alt);
}

/* `mangled_only` wants C++, Rust and D names only. NULL when there is none. */
static struct mt_error *symbol_name(struct native_module *m, uint64_t address, bool mangled_only,
				    struct string_pool *pool, const char **ret)
{
	size_t len;
	const char *mangled = m->has_symtab ? symtab_find(&m->symtab, address, &len) : NULL;
	char buf[DEMANGLE_OUTPUT_MAX + 4];
	*ret = NULL;
	if (!mangled)
		return NULL;
	char *copy = strndup(mangled, len);
	if (!copy)
		return &mt_enomem;
	const char *text = demangle(copy, buf);
	bool wanted = !mangled_only || text != copy;
	if (wanted)
		*ret = string_pool_put_name(pool, text);
	free(copy);
	return *ret || !wanted ? NULL : &mt_enomem;
}

struct mt_error *native_module_find(struct native_module *m, uint64_t address,
				    struct string_pool *pool, struct source_lines *lines)
{
	size_t before = lines->len;
	struct mt_error *err = m->index ? dwarf_index_find(m->index, address, lines) : NULL;
	if (err)
		return err;
	const char *name, *known = lines->len > before ? lines->items[lines->len - 1].function : NULL;
	/* C++ functions of one file only have no linkage name there, so "order" is all that is said
	 * of shop::order(int); the symbol table knows the rest. */
	if (known && (strchr(known, '(') || strchr(known, ':')))
		return NULL;
	err = symbol_name(m, address, known != NULL, pool, &name);
	if (err || !name)
		return err;
	if (lines->len > before) {	/* assembly with a line but no function */
		lines->items[lines->len - 1].function = name;
		return NULL;
	}
	struct source_line l = { .function = name };
	return mt_array_push(lines, l) ? NULL : &mt_enomem;
}
