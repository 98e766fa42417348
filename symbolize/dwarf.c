/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/dwarf.c - from an address to its unit, its scopes and its line.
 * Knows: libdw. Does not know: which file this is, symbol tables.
 * Called by symbolize/native.c; calls base/, libdw. */
#include "symbolize/dwarf.h"

#include "base/cleanup.h"

#include "symbolize/demangle.h"
#include "symbolize/pathname.h"
#include "symbolize/ranges.h"

#include <dwarf.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#define TREE_DEPTH_MAX 256	/* nesting of DIEs; compilers stay below about 60 */
#define UNIT_SCOPES_MAX 4000000u
/* libdw takes some hundred bytes for a row of a line table, which may be one byte of it. Compilers stay
 * below a few megabytes for a unit. */
#define UNIT_LINES_MAX (16u << 20)
#define UNIT_RANGES_MAX 4000000u /* ranges of one unit, and of all units together */

struct scope {
	Dwarf_Die die;
	uint32_t parent;	/* index of the scope around it, SCOPE_NONE: none */
	bool inlined, named;
	const char *name;	/* once named: string of the pool, or NULL */
};

#define SCOPE_NONE UINT32_MAX

struct unit {
	Dwarf_Die lines_die;	/* has the line table and the ranges */
	Dwarf_Die tree_die;	/* has the functions: another one with split DWARF */
	uint64_t split_id;
	bool indexed, no_lines, lacks_split;
	MT_ARRAY(struct scope) scopes;
	struct range_set ranges;	/* ids are scope indices */
};

/* What a string of the file became: all inlined calls of a function have the very same one, and
 * demangling it each time takes a tenth of everything. */
struct known_text {
	const char *raw, *text;
};

#define KNOWN_TEXTS 1024u	/* a power of two */

struct dwarf_index {
	struct string_pool *pool;
	struct known_text names[KNOWN_TEXTS], files[KNOWN_TEXTS];	/* by hash of the raw address */
	MT_ARRAY(struct unit) units;
	struct range_set ranges;	/* ids are unit indices */
	bool damaged, lacks_split;
};

static struct mt_error *add_ranges(struct range_set *set, Dwarf_Die *die, uint32_t priority,
				   uint32_t id)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t offset = 0;
	while (set->ranges.len < UNIT_RANGES_MAX &&
	       (offset = dwarf_ranges(die, offset, &base, &low, &high)) > 0)
		/* Functions the linker dropped are left at address 0 (or all ones). */
		if (low && !range_set_add(set, low, high, priority, id))
			return &mt_enomem;
	return NULL;
}

/* ---- units ----------------------------------------------------------------------------------- */

static struct mt_error *add_unit(struct dwarf_index *x, Dwarf_Die *die, Dwarf_Die *split, bool skeleton)
{
	int tag = dwarf_tag(die);
	x->damaged |= tag == DW_TAG_invalid;
	if (tag != DW_TAG_compile_unit && tag != DW_TAG_skeleton_unit)
		return NULL;
	struct unit u = { .lines_die = *die, .tree_die = split->addr ? *split : *die,
			  .lacks_split = skeleton && !split->addr };
	if (u.lacks_split && dwarf_cu_info(die->cu, NULL, NULL, NULL, NULL, &u.split_id, NULL, NULL))
		u.split_id = 0;
	x->lacks_split |= u.lacks_split;
	uint32_t id = (uint32_t)x->units.len;
	if (id == RANGE_NONE || !mt_array_push(&x->units, u))
		return &mt_enomem;
	return add_ranges(&x->ranges, die, 0, id);
}

static struct mt_error *add_units(struct dwarf_index *x, Dwarf *dwarf)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die, split;
	uint8_t type;
	int end;
	while (!(end = dwarf_get_units(dwarf, cu, &cu, NULL, &type, &die, &split))) {
		struct mt_error *err = add_unit(x, &die, &split, type == DW_UT_skeleton);
		if (err)
			return err;
	}
	x->damaged |= end < 0 || x->ranges.ranges.len >= UNIT_RANGES_MAX;
	return range_set_build(&x->ranges);
}

struct mt_error *dwarf_index_create(Dwarf *dwarf, struct string_pool *pool,
				    struct dwarf_index **ret)
{
	struct dwarf_index *x = calloc(1, sizeof(*x));
	if (!x)
		return &mt_enomem;
	x->pool = pool;
	struct mt_error *err = add_units(x, dwarf);
	if (err) {
		dwarf_index_destroy(x);
		return err;
	}
	*ret = x;
	return NULL;
}

bool dwarf_index_lacks_split(const struct dwarf_index *x)
{
	return x->lacks_split;
}

void dwarf_index_set_split(struct dwarf_index *x, uint64_t id, const Dwarf_Die *split)
{
	for (size_t i = 0; i < x->units.len; i++) {
		struct unit *u = &x->units.items[i];
		if (!u->lacks_split || u->split_id != id)
			continue;
		u->tree_die = *split;
		u->lacks_split = false;
	}
}

bool dwarf_index_is_damaged(const struct dwarf_index *x)
{
	return x->damaged;
}

void dwarf_index_destroy(struct dwarf_index *x)
{
	if (!x)
		return;
	for (size_t i = 0; i < x->units.len; i++) {
		mt_array_deinit(&x->units.items[i].scopes);
		range_set_deinit(&x->units.items[i].ranges);
	}
	mt_array_deinit(&x->units);
	range_set_deinit(&x->ranges);
	free(x);
}

/* ---- scopes of a unit ------------------------------------------------------------------------ */

struct walk {
	struct unit *unit;
	size_t budget;		/* DIEs that may still be visited */
	bool damaged;
};

static bool has_scopes(int tag)
{
	switch (tag) {
	case DW_TAG_subprogram:
	case DW_TAG_inlined_subroutine:
	case DW_TAG_entry_point:
	case DW_TAG_lexical_block:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
	case DW_TAG_with_stmt:
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
	case DW_TAG_interface_type:
		return true;
	default:
		return false;
	}
}

static struct mt_error *add_scope(struct walk *w, Dwarf_Die *die, int tag, unsigned depth,
				  uint32_t parent, uint32_t *id_ret)
{
	struct scope s = { .die = *die, .parent = parent,
			   .inlined = tag == DW_TAG_inlined_subroutine };
	uint32_t id = (uint32_t)w->unit->scopes.len;
	if (!mt_array_push(&w->unit->scopes, s))
		return &mt_enomem;
	*id_ret = id;
	return add_ranges(&w->unit->ranges, die, depth, id);
}

/* Most functions of C++ are declarations or the abstract origins of inlined calls. Asking the
 * abbreviation for an attribute is a tenth of asking for ranges. */
static bool has_code(Dwarf_Die *die)
{
	return dwarf_hasattr(die, DW_AT_low_pc) || dwarf_hasattr(die, DW_AT_ranges);
}

/* Sibling links are foreign and may lead back into what was visited (libdw only sees to it that
 * they lead forward), which would take exponential time; hence the budget. */
static struct mt_error *walk_children(struct walk *w, Dwarf_Die *parent_die, unsigned depth,
				      uint32_t parent)
{
	Dwarf_Die die;
	int end = depth > TREE_DEPTH_MAX ? -1 : dwarf_child(parent_die, &die);
	for (; !end; end = dwarf_siblingof(&die, &die)) {
		if (!w->budget || w->unit->scopes.len >= UNIT_SCOPES_MAX)
			break;
		w->budget--;
		int tag = dwarf_tag(&die);
		w->damaged |= tag == DW_TAG_invalid;	/* an abbreviation that is not there */
		if (!has_scopes(tag) ||
		    (tag == DW_TAG_subprogram && dwarf_hasattr(&die, DW_AT_declaration) && !has_code(&die)))
			continue;	/* of a declaration: parameters */
		struct mt_error *err = NULL;
		uint32_t inner = parent;
		if (tag == DW_TAG_inlined_subroutine || (tag == DW_TAG_subprogram && has_code(&die)))
			err = add_scope(w, &die, tag, depth, parent, &inner);
		if (!err)
			err = walk_children(w, &die, depth + 1, inner);
		if (err)
			return err;
	}
	w->damaged |= end <= 0;
	return NULL;
}

static size_t unit_size(Dwarf_Die *die)
{
	Dwarf_Off next = 0, start = dwarf_dieoffset(die);
	size_t head;
	Dwarf *dwarf = dwarf_cu_getdwarf(die->cu);
	Dwarf_Off cu_start = start - dwarf_cuoffset(die);
	if (dwarf_next_unit(dwarf, cu_start, &next, &head, NULL, NULL, NULL, NULL, NULL, NULL))
		return 0;
	return next > cu_start ? next - cu_start : 0;
}

static const Elf_Data *line_section(Dwarf *dwarf)
{
	Elf *elf = dwarf_getelf(dwarf);
	size_t strings;
	Elf_Scn *scn = NULL;
	if (elf_getshdrstrndx(elf, &strings))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr shdr;
		const char *name = gelf_getshdr(scn, &shdr) ?
				   elf_strptr(elf, strings, shdr.sh_name) : NULL;
		if (name && (!strcmp(name, ".debug_line") || !strcmp(name, ".zdebug_line")))
			return elf_getdata(scn, NULL);
	}
	return NULL;
}

/* Whether there is a line table, and it can be read and not fill the memory. */
static bool have_lines(struct dwarf_index *x, struct unit *u)
{
	Dwarf_Attribute attr;
	Dwarf_Word offset;
	uint32_t size;
	Dwarf_Lines *lines;
	size_t count;
	if (!dwarf_attr(&u->lines_die, DW_AT_stmt_list, &attr))
		return false;
	const Elf_Data *data = line_section(dwarf_cu_getdwarf(u->lines_die.cu));
	bool good = data && !dwarf_formudata(&attr, &offset) && data->d_size >= sizeof(size) &&
		    offset <= data->d_size - sizeof(size);
	if (good)
		memcpy(&size, (const char *)data->d_buf + offset, sizeof(size));
	good = good && size <= UNIT_LINES_MAX && !dwarf_getsrclines(&u->lines_die, &lines, &count);
	x->damaged |= !good;
	return good;
}

static struct mt_error *index_unit(struct dwarf_index *x, struct unit *u)
{
	struct walk w = { u, unit_size(&u->tree_die), false };
	u->indexed = true;
	u->no_lines = !have_lines(x, u);
	struct mt_error *err = walk_children(&w, &u->tree_die, 0, SCOPE_NONE);
	x->damaged |= w.damaged || u->lacks_split || u->ranges.ranges.len >= UNIT_RANGES_MAX;
	return err ? err : range_set_build(&u->ranges);
}

/* ---- names and lines ------------------------------------------------------------------------- */

static const char *mangled_name(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attr))
		return dwarf_formstring(&attr);
	return NULL;
}

static struct known_text *known_text(struct known_text *texts, const char *raw)
{
	return &texts[((uint64_t)(uintptr_t)raw * 0x9e3779b97f4a7c15ull >> 32) & (KNOWN_TEXTS - 1)];
}

static const char *plain_name(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = dwarf_attr_integrate(die, DW_AT_name, &attr) ? dwarf_formstring(&attr) : NULL;
	return name && *name ? name : NULL;
}

static struct mt_error *name_scope(struct dwarf_index *x, struct scope *s)
{
	char buf[DEMANGLE_OUTPUT_MAX + 4];
	if (s->named)
		return NULL;
	s->named = true;
	const char *mangled = mangled_name(&s->die), *raw = mangled ? mangled : plain_name(&s->die);
	if (!raw || !*raw)
		return NULL;
	struct known_text *known = known_text(x->names, raw);
	if (known->raw != raw) {
		const char *text = mangled ? demangle(mangled, buf) : raw;
		if (text == mangled)	/* it is not: what is in the source, then */
			text = plain_name(&s->die) ?: mangled;
		text = string_pool_put_name(x->pool, text);
		if (!text)
			return &mt_enomem;
		*known = (struct known_text){ raw, text };
	}
	s->name = known->text;
	return NULL;
}

static struct mt_error *put_line(struct dwarf_index *x, const char *function, const char *file,
				 uint64_t line, struct source_lines *lines)
{
	struct source_line l = { .function = function, .line = line <= INT32_MAX ? (uint32_t)line : 0 };
	if (file && *file) {
		struct known_text *known = known_text(x->files, file);
		if (known->raw != file) {
			auto_free char *clean = pathname_clean(file);
			const char *text = clean ? string_pool_put_name(x->pool, clean) : NULL;
			if (!text)
				return &mt_enomem;
			*known = (struct known_text){ file, text };
		}
		l.file = known->text;
	}
	return mt_array_push(lines, l) ? NULL : &mt_enomem;
}

static uint64_t call_number(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attr;
	Dwarf_Word value = 0;
	return dwarf_attr(die, name, &attr) && !dwarf_formudata(&attr, &value) ? value : 0;
}

/* Where the inlined function was called from: the line of the scope around it. */
static void call_site(struct unit *u, Dwarf_Die *die, const char **file_ret, uint64_t *line_ret)
{
	Dwarf_Files *files;
	size_t count;
	*line_ret = call_number(die, DW_AT_call_line);
	*file_ret = NULL;
	bool split = u->tree_die.cu != u->lines_die.cu;
	if ((split && !dwarf_getsrcfiles(&u->tree_die, &files, &count)) ||
	    (!u->no_lines && !dwarf_getsrcfiles(&u->lines_die, &files, &count))) {
		uint64_t i = call_number(die, DW_AT_call_file);
		*file_ret = i < count ? dwarf_filesrc(files, i, NULL, NULL) : NULL;
	}
}

struct mt_error *dwarf_index_find(struct dwarf_index *x, uint64_t address,
				  struct source_lines *lines)
{
	uint32_t id = range_set_find(&x->ranges, address);
	if (id == RANGE_NONE)
		return NULL;
	struct unit *u = &x->units.items[id];
	struct mt_error *err = u->indexed ? NULL : index_unit(x, u);
	const char *file = NULL;
	uint64_t line = 0;
	int number = 0;
	Dwarf_Line *row = u->no_lines ? NULL : dwarf_getsrc_die(&u->lines_die, address);
	if (row) {
		file = dwarf_linesrc(row, NULL, NULL);
		line = !dwarf_lineno(row, &number) && number > 0 ? (uint64_t)number : 0;
	}
	uint32_t at = range_set_find(&u->ranges, address);
	for (; !err && at != RANGE_NONE; at = u->scopes.items[at].parent) {
		struct scope *s = &u->scopes.items[at];
		err = name_scope(x, s);
		err = err ? err : put_line(x, s->name, file, line, lines);
		if (err || !s->inlined)
			return err;
		call_site(u, &s->die, &file, &line);
	}
	/* No function around it: assembly, or an inlined call whose function is damaged. */
	return err || (!file && !line) ? err : put_line(x, NULL, file, line, lines);
}
