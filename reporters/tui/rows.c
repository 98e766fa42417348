/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/rows.c - lines of the table and the leaks, the cursor, the search.
 * Knows: data. Does not know: the terminal, how a tree unfolds (unfold.c).
 * Called by reporters/tui/. */
#include "reporters/tui/rows.h"

#include "reporters/tui/unfold.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

void rows_deinit(struct rows *rows)
{
	mt_array_deinit(&rows->list);
	mt_map_deinit(&rows->open);
}

/* ---- lines ---- */

static struct mt_error *fill_table(struct rows *rows, const struct data *d)
{
	static const enum aggregate_order orders[] = {
		[ORDER_TOTAL] = AGGREGATE_TOTAL_BYTES, [ORDER_OWN] = AGGREGATE_OWN_BYTES,
		[ORDER_COUNT] = AGGREGATE_TOTAL_COUNT,
	};
	/* Sorted where it is: the data is the screen's by now. */
	struct aggregate *a = (struct aggregate *)&d->functions;
	aggregate_sort(a, orders[rows->order]);
	for (size_t i = 0; i < a->count; i++) {
		const struct aggregate_row *from = &a->rows[i];
		struct row row = {
			.id = XXH3_64bits(from->name, strlen(from->name)),
			.function = from->frame.function, .file = from->frame.file,
			.module = from->frame.module, .kind = from->frame.kind,
			.flags = from->frame.flags,
			.total_bytes = from->total_bytes, .total_count = from->total_count,
			.own_bytes = from->own_bytes, .own_count = from->own_count,
		};
		if (!mt_array_push(&rows->list, row))
			return &mt_enomem;
	}
	return NULL;
}

static struct mt_error *fill_leaks(struct rows *rows, const struct data *d)
{
	struct leaks *l = (struct leaks *)&d->leaks;
	leaks_sort(l, rows->order == ORDER_COUNT ? LEAKS_COUNT :
		      rows->order == ORDER_OWN ? LEAKS_BYTES : LEAKS_LIKELY);
	for (size_t i = 0; i < l->sites.len; i++) {
		const struct leak_site *s = &l->sites.items[i];
		struct row row = {
			.id = XXH3_64bits(s->name, strlen(s->name)), .function = s->name, .file = "",
			.module = "", .total_bytes = s->bytes, .total_count = s->count,
			.own_bytes = s->bytes, .own_count = s->count, .site = (uint32_t)i,
		};
		if (!mt_array_push(&rows->list, row))
			return &mt_enomem;
	}
	return NULL;
}

/* The line that was under the cursor, wherever it is now. */
static void find_cursor(struct rows *rows)
{
	for (size_t i = 0; i < rows->list.len; i++)
		if (rows->list.items[i].id == rows->cursor_id) {
			rows->cursor = i;
			return;
		}
	rows_move_to(rows, rows->cursor);
}

struct mt_error *rows_fill(struct rows *rows, const struct data *d)
{
	rows->list.len = 0;
	struct mt_error *err = d->request.page == PAGE_TABLE ? fill_table(rows, d) :
			       d->request.page == PAGE_LEAKS ? fill_leaks(rows, d) :
			       unfold_visible(rows, d);
	if (!err)
		find_cursor(rows);
	return err;
}

struct mt_error *rows_restart(struct rows *rows, const struct data *d)
{
	mt_map_clear(&rows->open);
	rows->cursor = rows->top = 0;
	rows->cursor_id = 0;
	struct mt_error *err = d->request.page == PAGE_TREE ? unfold_biggest(rows, d) : NULL;
	if (!err)
		err = rows_fill(rows, d);
	if (!err)
		rows_move_to(rows, 0);
	return err;
}

/* ---- the cursor ---- */

const struct row *rows_at_cursor(const struct rows *rows)
{
	return rows->cursor < rows->list.len ? &rows->list.items[rows->cursor] : NULL;
}

void rows_move_to(struct rows *rows, size_t line)
{
	if (line >= rows->list.len)
		line = rows->list.len ? rows->list.len - 1 : 0;
	rows->cursor = line;
	const struct row *row = rows_at_cursor(rows);
	rows->cursor_id = row ? row->id : 0;
}

void rows_move(struct rows *rows, long by)
{
	if (by < 0)
		rows_move_to(rows, (size_t)-by > rows->cursor ? 0 : rows->cursor - (size_t)-by);
	else
		rows_move_to(rows, rows->cursor + (size_t)by);
}

void rows_fit(struct rows *rows, size_t height)
{
	if (!height)
		return;
	if (rows->cursor < rows->top)
		rows->top = rows->cursor;
	if (rows->cursor >= rows->top + height)
		rows->top = rows->cursor - height + 1;
	if (rows->top + height > rows->list.len)
		rows->top = rows->list.len > height ? rows->list.len - height : 0;
}

/* ---- the tree ---- */

struct mt_error *rows_open(struct rows *rows, const struct data *d, bool open)
{
	const struct row *row = rows_at_cursor(rows);
	if (!row || d->request.page != PAGE_TREE)
		return NULL;
	if (!mt_map_put(&rows->open, row->id, open))
		return &mt_enomem;
	return rows_fill(rows, d);
}

struct mt_error *rows_open_chain(struct rows *rows, const struct data *d)
{
	const struct row *row = rows_at_cursor(rows);
	if (!row || d->request.page != PAGE_TREE)
		return NULL;
	struct mt_error *err = unfold_chain(rows, d, row);
	return err ? err : rows_fill(rows, d);
}

void rows_to_parent(struct rows *rows, const struct data *d)
{
	const struct row *row = rows_at_cursor(rows);
	if (!row || d->request.page != PAGE_TREE || !row->node)
		return;
	uint32_t count, parent = tree_nodes(d->tree, &count)[row->node].parent;
	for (size_t i = rows->cursor; i-- > 0;)
		if (rows->list.items[i].node == parent) {
			rows_move_to(rows, i);
			return;
		}
}

const char *row_branch_text(const struct row *row, bool ascii)
{
	static const char *const lines[] = { "", "├ ", "└ ", "│ ", "  " };
	static const char *const plain[] = { "", "|-", "`-", "| ", "  " };
	return (ascii ? plain : lines)[row->branch];
}

/* ---- search ---- */

bool row_matches(const struct row *row, const char *text)
{
	return *text && (strcasestr(row->function, text) || strcasestr(row->file, text) ||
			 strcasestr(row->module, text));
}

static bool search_lines(struct rows *rows, const char *text, bool forward)
{
	size_t n = rows->list.len;
	for (size_t k = 1; k <= n; k++) {
		size_t i = (rows->cursor + (forward ? k : n - k)) % n;
		if (row_matches(&rows->list.items[i], text)) {
			rows_move_to(rows, i);
			return true;
		}
	}
	return false;
}

struct mt_error *rows_search(struct rows *rows, const struct data *d, const char *text, bool forward,
			     bool *found_ret)
{
	*found_ret = false;
	if (d->request.page != PAGE_TREE) {
		*found_ret = search_lines(rows, text, forward);
		return NULL;
	}
	/* All nodes for a moment: the order is that of the lines. */
	rows->list.len = 0;
	struct mt_error *err = unfold_all(rows, d);
	if (!err) {
		find_cursor(rows);
		*found_ret = search_lines(rows, text, forward);
	}
	if (!err && *found_ret)
		err = unfold_to(rows, d, rows_at_cursor(rows)->node);
	return err ? err : rows_fill(rows, d);
}
