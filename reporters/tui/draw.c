/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/draw.c - the picture: what goes where, and the lines of the list.
 * Knows: rows, widths. Does not know: keys, curses.
 * Called by reporters/tui/tui.c; calls screen.h, head.c, detail.c, help.c. */
#include "reporters/tui/tui_private.h"

#include "base/text.h"
#include "reporters/spark.h"

#include <stdio.h>
#include <string.h>

#define LEAST_ROWS 4
#define LEAST_COLUMNS 20
#define SIDE_COLUMNS 120	/* from here on the details stand beside the list */
#define BELOW_ROWS 20		/* and from here on below it */
#define BELOW_HEIGHT 5
#define BYTES_WIDTH 10
#define SHARE_WIDTH 7
#define COUNT_WIDTH 12
#define SPARK_WIDTH 16
#define MIDDLE_COLUMNS 64	/* of the list: from here on own memory and the count, too */
#define WIDE_COLUMNS 100	/* and files; the tree, which needs room for its forks, own memory */

struct columns {		/* which of them there is room for */
	bool own, count, spark, file;
	int name;		/* where the name begins */
	size_t width;		/* of the list */
};

unsigned share_style(const struct tui *t, uint64_t bytes)
{
	uint64_t whole = t->data->whole_bytes;
	double share = whole ? (double)bytes / (double)whole : 0;
	return share > 0.6 ? STYLE_HOT : share > 0.2 ? STYLE_WARM : share > 0.05 ? STYLE_MILD :
	       STYLE_PLAIN;
}

static struct columns choose_columns(const struct tui *t, size_t width)
{
	struct columns c = { .width = width };
	bool leaks = shown_page(t) == PAGE_LEAKS, tree = shown_page(t) == PAGE_TREE;
	c.own = !leaks && width >= (tree ? WIDE_COLUMNS : MIDDLE_COLUMNS);
	c.count = width >= MIDDLE_COLUMNS;
	c.spark = width >= MIDDLE_COLUMNS && leaks;
	c.file = width >= WIDE_COLUMNS && shown_page(t) == PAGE_TABLE;
	c.name = BYTES_WIDTH + SHARE_WIDTH + 2;
	if (c.own)
		c.name += BYTES_WIDTH + SHARE_WIDTH;
	if (c.count)
		c.name += COUNT_WIDTH;
	if (c.spark)
		c.name += SPARK_WIDTH + 2;
	return c;
}

static void put_number(struct tui *t, int y, int *x, size_t width, unsigned style, const char *text)
{
	screen_text_right(&t->screen, y, *x, width, style, text);
	*x += (int)width;
}

static void draw_headings(struct tui *t, int y, const struct columns *c)
{
	bool leaks = shown_page(t) == PAGE_LEAKS, table = shown_page(t) == PAGE_TABLE;
	enum rows_order order = t->rows.order;
	int x = 0;
	unsigned mark = STYLE_BAR | STYLE_BOLD;
	screen_fill(&t->screen, y, 0, c->width, STYLE_BAR);
	put_number(t, y, &x, BYTES_WIDTH, order == ORDER_TOTAL ? mark : STYLE_BAR,
		   leaks ? "Live" : order == ORDER_TOTAL ? "[Total]" : "Total");
	put_number(t, y, &x, SHARE_WIDTH, STYLE_BAR, "%");
	if (c->own) {
		put_number(t, y, &x, BYTES_WIDTH, order == ORDER_OWN ? mark : STYLE_BAR,
			   table && order == ORDER_OWN ? "[Own]" : "Own");
		put_number(t, y, &x, SHARE_WIDTH, STYLE_BAR, "%");
	}
	if (c->count)
		put_number(t, y, &x, COUNT_WIDTH, order == ORDER_COUNT ? mark : STYLE_BAR,
			   order == ORDER_COUNT ? "[Count]" : "Count");
	if (c->spark)
		screen_text(&t->screen, y, x + 2, SPARK_WIDTH, STYLE_BAR, "Over time");
	screen_text(&t->screen, y, c->name, c->width - (size_t)c->name, STYLE_BAR,
		    leaks ? "Site, the likeliest leak first" : table ? "Function" : "Stack");
	if (c->file)
		screen_text(&t->screen, y, c->name + ((int)c->width - c->name) / 2, c->width,
			    STYLE_BAR, "File or module");
}

static const char *fold_mark(const struct tui *t, const struct row *row)
{
	if (row->leaf)
		return "  ";
	if (t->screen.ascii)
		return row->open ? "- " : "+ ";
	return row->open ? "▾ " : "▸ ";
}

static const char *where_of(const struct row *row)
{
	return *row->file ? row->file : row->module;
}

/* "function  file:line", deeper ones further to the right, but never past half of the room. */
static void draw_tree_name(struct tui *t, int y, const struct columns *c, const struct row *row,
			   unsigned style)
{
	struct mt_buf where = MT_BUF_INIT;
	size_t left = c->width - (size_t)c->name, most = left / 2;
	size_t indent = row->depth ? 2 * (size_t)row->depth - 2 : 0;
	int x = c->name;
	if (indent > most)
		indent = most;
	x += (int)indent;
	left -= indent;
	size_t used = screen_text(&t->screen, y, x, left, style, row_branch_text(row, t->screen.ascii));
	used += screen_text(&t->screen, y, x + (int)used, left - used, style, fold_mark(t, row));
	used += screen_text(&t->screen, y, x + (int)used, left - used, style, row->function);
	if (*where_of(row) && left > used + 8) {
		mt_buf_printf(&where, *row->file && row->line ? "%s:%u" : "%s", where_of(row), row->line);
		mt_buf_put_char(&where, 0);
		if (!where.failed)
			screen_text(&t->screen, y, x + (int)used + 2, left - used - 2,
				    (style & ~0xfu) | STYLE_DIM, (const char *)where.data);
	}
	mt_buf_deinit(&where);
}

static void draw_table_name(struct tui *t, int y, const struct columns *c, const struct row *row,
			    unsigned style)
{
	size_t left = c->width - (size_t)c->name, half = c->file ? left / 2 : left;
	size_t used = screen_text(&t->screen, y, c->name, c->file ? half - 1 : half, style,
				  row->function);
	int x = c->file ? c->name + (int)half : c->name + (int)used + 2;
	if (x < (int)c->width)
		screen_text(&t->screen, y, x, c->width - (size_t)x, (style & ~0xfu) | STYLE_DIM,
			    where_of(row));
}

static void draw_curve(struct tui *t, int y, int x, const struct row *row, unsigned style)
{
	const struct leaks *l = &t->data->leaks;
	struct mt_buf spark = MT_BUF_INIT;
	spark_put(&spark, l->sites.items[row->site].live, l->slots, SPARK_WIDTH, t->screen.ascii);
	mt_buf_put_char(&spark, 0);
	if (!spark.failed)
		screen_text(&t->screen, y, x, SPARK_WIDTH, style, (const char *)spark.data);
	mt_buf_deinit(&spark);
}

static void draw_row(struct tui *t, int y, const struct columns *c, const struct row *row,
		     unsigned extra)
{
	char text[MT_TEXT_MAX];
	uint64_t whole = t->data->whole_bytes;
	unsigned total = share_style(t, row->total_bytes) | extra;
	unsigned own = share_style(t, row->own_bytes) | extra;
	unsigned name = extra | (row_matches(row, t->search) ? STYLE_MATCH : 0);
	int x = 0;
	if (extra)
		screen_fill(&t->screen, y, 0, c->width, extra);
	put_number(t, y, &x, BYTES_WIDTH, total, mt_text_size(text, row->total_bytes));
	put_number(t, y, &x, SHARE_WIDTH, total, mt_text_percent(text, row->total_bytes, whole));
	if (c->own) {
		bool any = row->own_bytes || row->own_count;
		put_number(t, y, &x, BYTES_WIDTH, own, any ? mt_text_size(text, row->own_bytes) : "-");
		put_number(t, y, &x, SHARE_WIDTH, own,
			   any ? mt_text_percent(text, row->own_bytes, whole) : "-");
	}
	if (c->count)
		put_number(t, y, &x, COUNT_WIDTH, extra, mt_text_count(text, row->total_count));
	if (c->spark)
		draw_curve(t, y, x + 2, row, extra);
	if (shown_page(t) == PAGE_TREE)
		draw_tree_name(t, y, c, row, name);
	else
		draw_table_name(t, y, c, row, name);
}

static void draw_list(struct tui *t, int y, size_t height, size_t width)
{
	struct columns c = choose_columns(t, width);
	draw_headings(t, y, &c);
	t->list_height = height;
	rows_fit(&t->rows, height);
	for (size_t i = 0; i < height && t->rows.top + i < t->rows.list.len; i++) {
		size_t at = t->rows.top + i;
		draw_row(t, y + 1 + (int)i, &c, &t->rows.list.items[at],
			 at == t->rows.cursor ? STYLE_CURSOR : 0);
	}
	if (!t->rows.list.len)
		screen_text(&t->screen, y + 2, 2, width, STYLE_PLAIN,
			    shown_page(t) == PAGE_LEAKS ? "Nothing is alive that was allocated here." :
			    "Nothing is in this view.");
}

static void draw_body(struct tui *t)
{
	struct screen *s = &t->screen;
	int y = head_draw(t), height = s->rows - y - 1;
	size_t width = (size_t)s->columns;
	bool roomy = s->rows >= BELOW_ROWS;
	if (!t->data) {
		screen_text(s, y + 1, 2, width, STYLE_PLAIN, "Waiting for events and the names of functions ...");
		return;
	}
	if (height > 3)
		head_draw_view(t, y++), height--;
	if (roomy && s->columns >= SIDE_COLUMNS) {
		int side = s->columns * 2 / 5;
		width -= (size_t)side;
		detail_draw(t, y, s->columns - side + 1, height, side - 1);
	} else if (roomy) {
		height -= BELOW_HEIGHT;
		detail_draw(t, y + height, 0, BELOW_HEIGHT, s->columns);
	}
	draw_list(t, y, height > 1 ? (size_t)height - 1 : 0, width);
}

void tui_draw(struct tui *t)
{
	struct screen *s = &t->screen;
	screen_begin(s);
	if (s->rows < LEAST_ROWS || s->columns < LEAST_COLUMNS) {
		screen_text(s, 0, 0, (size_t)s->columns, STYLE_PLAIN, "too small");
	} else if (t->help) {
		help_draw(t);
	} else {
		draw_body(t);
		help_draw_line(t, s->rows - 1);
	}
	screen_show(s);
}
