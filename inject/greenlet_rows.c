/* SPDX-License-Identifier: Apache-2.0 */
/* inject/greenlet_rows.c - unwind rows of the functions that greenlets begin in.
 * Knows: rows, which function is which. Does not know: names, call frame information.
 * Called by inject/tables.c; calls attach/greenlet.c and unwind_rules.c. */
#include "inject/greenlet_rows.h"

#include "attach/greenlet.h"
#include "inject/unwind_private.h"

struct marking {
	struct unwind_table *table;
	const struct image *img;
	uint32_t root_rule;
	bool root_found, nomem;
};

static bool mark_symbol(const char *name, const struct image_symbol *sym, void *arg)
{
	struct marking *m = arg;
	enum greenlet_part part = greenlet_part_named(name);
	if (part == GREENLET_OTHER || sym->type != STT_FUNC || !sym->size)
		return true;
	uint64_t start = sym->address - m->img->bias;
	uint32_t rule = part == GREENLET_ROOT ? m->root_rule : 0;
	if (!unwind_table_set(m->table, start, start + sym->size, rule))
		m->nomem = true;
	m->root_found |= part == GREENLET_ROOT;
	return !m->nomem;
}

struct mt_error *greenlet_mark_rows(struct tracee *t, struct image *img, struct unwind_rules *rules,
				    struct unwind_table *table)
{
	static const struct wire_rule end = { .cfa = WIRE_CFA_END };
	if (!table->rows.len || !greenlet_is_library(t, img))
		return NULL;
	struct marking m = { .table = table, .img = img, .root_rule = unwind_rules_intern(rules, &end) };
	if (m.root_rule == UINT32_MAX)
		return &mt_enomem;
	image_each_symbol(t, img, mark_symbol, &m);
	if (!m.root_found && !unwind_table_set(table, table->base, table->base + UINT32_MAX, 0))
		return &mt_enomem;
	return m.nomem ? &mt_enomem : NULL;
}
