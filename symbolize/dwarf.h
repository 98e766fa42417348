/* SPDX-License-Identifier: Apache-2.0 */
/* symbolize/dwarf.h - function, file and line of an address, with the calls that were inlined there.
 *
 * A compilation unit is read when the first address in it is asked for: its functions and inlined
 * calls become one flat table, so that an address costs two binary searches and not a walk over
 * the tree (which is what dwarf_getscopes() does each time). Damaged information gives less,
 * never a crash or an endless loop: what is visited is bounded by the size of the unit. */
#ifndef MT_SYMBOLIZE_DWARF_H
#define MT_SYMBOLIZE_DWARF_H

#include "base/array.h"
#include "base/error.h"
#include "symbolize/strings.h"

#include <elfutils/libdw.h>

struct source_line {		/* strings of the pool; NULL: unknown */
	const char *function, *file;
	uint32_t line;		/* 0: unknown */
};

struct source_lines {
	MT_ARRAY(struct source_line);
};

struct dwarf_index;

/* Borrows dwarf and pool until dwarf_index_destroy(). */
struct mt_error *dwarf_index_create(Dwarf *dwarf, struct string_pool *pool,
				    struct dwarf_index **ret) MT_MUST_CHECK;
/* Whether units have their functions in a split part that was not found; for each of them
 * dwarf_index_set_split() may give it, by its DWO id, before any address is asked for. */
bool dwarf_index_lacks_split(const struct dwarf_index *x);
void dwarf_index_set_split(struct dwarf_index *x, uint64_t id, const Dwarf_Die *split);
/* Something was found that is not DWARF, or more of it than a compiler makes: what was found up to
 * there is used. True only after the addresses in it were asked for. */
bool dwarf_index_is_damaged(const struct dwarf_index *x);
void dwarf_index_destroy(struct dwarf_index *x);	/* NULL accepted */
/* Appends the lines of an address, the innermost inlined call first; nothing when the information
 * does not cover it. The outermost line's function may be NULL (assembly). */
struct mt_error *dwarf_index_find(struct dwarf_index *x, uint64_t address,
				  struct source_lines *lines) MT_MUST_CHECK;

#endif
