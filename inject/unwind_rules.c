/* SPDX-License-Identifier: Apache-2.0 */
/* inject/unwind_rules.c - the deduplicated unwind rules, and the search in a table.
 * Knows: struct wire_rule, struct wire_row. Does not know: where they come from.
 * Called by inject/unwind_*.c and tests; calls base/hash. */
#include "inject/unwind_private.h"

#include <stdlib.h>
#include <string.h>

struct unwind_rule_index {
	struct mt_map map;	/* rule_key() -> index */
};

static const struct wire_rule unsupported = { .cfa = WIRE_CFA_UNSUPPORTED };

void unwind_rules_init(struct unwind_rules *rules)
{
	*rules = (struct unwind_rules){ 0 };
	rules->index = calloc(1, sizeof(*rules->index));
	/* Out of memory shows at the first unwind_rules_intern(). */
	(void)!mt_array_push(&rules->list, unsupported);
}

void unwind_rules_deinit(struct unwind_rules *rules)
{
	if (rules->index)
		mt_map_deinit(&rules->index->map);
	free(rules->index);
	rules->index = NULL;
	mt_array_deinit(&rules->list);
}

void unwind_table_deinit(struct unwind_table *table)
{
	mt_array_deinit(&table->rows);
}

/* Offsets have 29 bits each (UNWIND_OFFSET_MAX), the kinds 3 bits each. */
static uint64_t rule_key(const struct wire_rule *r)
{
	return (uint64_t)r->cfa << 61 | (uint64_t)(r->rbp & 7) << 58 |
	       ((uint64_t)(uint32_t)r->cfa_offset & 0x1fffffff) << 29 |
	       ((uint64_t)(uint32_t)r->rbp_offset & 0x1fffffff);
}

uint32_t unwind_rules_intern(struct unwind_rules *rules, const struct wire_rule *rule)
{
	if (rule->cfa == WIRE_CFA_UNSUPPORTED && rules->list.len)
		return 0;
	if (!rules->index || !rules->list.len)
		return UINT32_MAX;
	uint64_t key = rule_key(rule);
	const uint64_t *known = mt_map_get(&rules->index->map, key);
	if (known)
		return (uint32_t)*known;
	uint32_t index = (uint32_t)rules->list.len;
	if (!mt_array_reserve(&rules->list, rules->list.len + 1) ||
	    !mt_map_put(&rules->index->map, key, index))
		return UINT32_MAX;
	rules->list.items[rules->list.len++] = *rule;
	return index;
}

bool unwind_table_set(struct unwind_table *table, uint64_t start, uint64_t end, uint32_t rule)
{
	struct unwind_table old = *table, new = *table;
	uint64_t from = start - table->base, to = end - table->base;
	uint32_t behind = 0;		/* the rule that goes on at `to` */
	size_t i = 0;
	if (start < table->base || from >= to || to > UINT32_MAX)
		return true;		/* no code of this table */
	memset(&new.rows, 0, sizeof(new.rows));
	if (!mt_array_reserve(&new.rows, old.rows.len + 2))
		return false;
	for (; i < old.rows.len && old.rows.items[i].pc < from; i++)
		behind = (new.rows.items[new.rows.len++] = old.rows.items[i]).rule;
	new.rows.items[new.rows.len++] = (struct wire_row){ (uint32_t)from, rule };
	for (; i < old.rows.len && old.rows.items[i].pc <= to; i++)
		behind = old.rows.items[i].rule;
	new.rows.items[new.rows.len++] = (struct wire_row){ (uint32_t)to, behind };
	for (; i < old.rows.len; i++)
		new.rows.items[new.rows.len++] = old.rows.items[i];
	mt_array_deinit(&old.rows);
	*table = new;
	return true;
}

const struct wire_rule *unwind_lookup(const struct unwind_table *table,
				      const struct unwind_rules *rules, uint64_t vaddr)
{
	size_t low = 0, high = table->rows.len;
	uint64_t pc = vaddr - table->base;
	if (vaddr < table->base || pc > UINT32_MAX)
		return &unsupported;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (table->rows.items[mid].pc <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || table->rows.items[low - 1].rule >= rules->list.len)
		return &unsupported;
	return &rules->list.items[table->rows.items[low - 1].rule];
}
