/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/plain.c - the tree of a page as text, all of it unfolded.
 * Knows: rows. Does not know: the terminal.
 * Called by cmds/tree.c; calls reporters/tui/. */
#include "reporters/tui/plain.h"

#include "base/text.h"
#include "reporters/tui/rows.h"
#include "reporters/tui/unfold.h"

#include <string.h>

static void put_name(struct mt_buf *line, const struct row *row)
{
	const char *where = *row->file ? row->file : row->module;
	mt_text_put_clean(line, row->function, strlen(row->function), 0);
	if (!*where)
		return;
	mt_buf_put_str(line, "  ");
	mt_text_put_clean(line, where, strlen(where), 0);
	if (*row->file && row->line)
		mt_buf_printf(line, ":%u", row->line);
}

static struct mt_error *put_row(const struct data *d, const struct row *row, bool ascii, FILE *out)
{
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], c[MT_TEXT_MAX], e[MT_TEXT_MAX];
	auto_buf struct mt_buf line = MT_BUF_INIT;
	mt_buf_printf(&line, "%10s %6s %10s %11s  ", mt_text_size(a, row->total_bytes),
		      mt_text_percent(b, row->total_bytes, d->whole_bytes),
		      row->own_bytes || row->own_count ? mt_text_size(c, row->own_bytes) : "-",
		      mt_text_count(e, row->total_count));
	for (uint32_t i = 1; i < row->depth; i++)
		mt_buf_put_str(&line, "  ");
	mt_buf_put_str(&line, row_branch_text(row, ascii));
	put_name(&line, row);
	mt_buf_put_char(&line, '\n');
	if (line.failed)
		return &mt_enomem;
	fwrite(line.data, 1, line.len, out);
	return NULL;
}

struct mt_error *plain_write(const struct data *d, bool ascii, FILE *out)
{
	struct rows rows = { .order = d->request.metric == METRIC_COUNT ? ORDER_COUNT : ORDER_TOTAL };
	struct mt_error *err = unfold_all(&rows, d);
	fprintf(out, "View: %s\n%10s %6s %10s %11s  %s\n", view_name(d->request.view), "Total", "%",
		"Own", "Count", "Stack");
	for (size_t i = 0; i < rows.list.len && !err; i++)
		err = put_row(d, &rows.list.items[i], ascii, out);
	rows_deinit(&rows);
	return err;
}
