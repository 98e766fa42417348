/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/detail.c - what is known of the line under the cursor, and its source.
 * Knows: rows and data, source files of this machine. Does not know: keys, curses.
 * Called by reporters/tui/draw.c; calls screen.h. */
#include "reporters/tui/tui_private.h"

#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SOURCE_MAX (16ll << 20)
#define LABEL_WIDTH 11

struct pane {
	struct tui *t;
	int y, x, end;
	size_t width;
};

static void put_labelled(struct pane *p, const char *label, const char *text)
{
	if (p->y >= p->end)
		return;
	size_t left = p->width > LABEL_WIDTH ? p->width - LABEL_WIDTH : 0;
	screen_text(&p->t->screen, p->y, p->x, LABEL_WIDTH, STYLE_DIM, label);
	screen_text(&p->t->screen, p->y++, p->x + LABEL_WIDTH, left, STYLE_PLAIN, text);
}

/* A text over as many lines as it takes, broken at spaces. */
static void put_wrapped(struct pane *p, const char *text)
{
	while (*text && p->y < p->end && p->width > 8) {
		size_t n = strlen(text);
		if (n > p->width) {
			n = p->width;
			while (n > 1 && text[n] != ' ')
				n--;
			if (n <= 1)
				n = p->width;
		}
		auto_free char *line = strndup(text, n);
		if (line)
			screen_text(&p->t->screen, p->y++, p->x, p->width, STYLE_PLAIN, line);
		text += n + (text[n] == ' ');
	}
}

static void put_numbers(struct pane *p, const struct row *row)
{
	const struct data *d = p->t->data;
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], c[MT_TEXT_MAX], text[160];
	snprintf(text, sizeof(text), "%s (%s) in %s blocks", mt_text_size(a, row->total_bytes),
		 mt_text_percent(b, row->total_bytes, d->whole_bytes),
		 mt_text_count(c, row->total_count));
	put_labelled(p, "Total", text);
	snprintf(text, sizeof(text), "%s (%s) in %s blocks", mt_text_size(a, row->own_bytes),
		 mt_text_percent(b, row->own_bytes, d->whole_bytes),
		 mt_text_count(c, row->own_count));
	put_labelled(p, "Own", text);
}

/* ---- source ---- */

static FILE *open_source(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	FILE *f = fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > SOURCE_MAX ? NULL :
		  fdopen(fd, "r");
	if (!f)
		close(fd);
	return f;
}

static void put_source_line(struct pane *p, const char *text, unsigned number, bool current)
{
	char label[16];
	struct mt_buf line = MT_BUF_INIT;
	for (const char *c = text; *c && *c != '\n' && *c != '\r'; c++)
		if (*c == '\t')
			mt_buf_put_str(&line, "        ");
		else
			mt_buf_put_char(&line, *c);
	mt_buf_put_char(&line, 0);
	snprintf(label, sizeof(label), "%5u ", number);
	screen_text(&p->t->screen, p->y, p->x, 6, current ? STYLE_BOLD : STYLE_DIM, label);
	if (!line.failed && p->width > 6) {
		/* Cut at its end, not in its middle. */
		size_t room = p->width - 6;
		char *shown = (char *)line.data;
		while (mt_text_width(shown) > room && *shown)
			shown[strlen(shown) - 1] = 0;
		screen_text(&p->t->screen, p->y, p->x + 6, room,
			    current ? STYLE_BOLD | STYLE_WARM : STYLE_PLAIN, shown);
	}
	p->y++;
	mt_buf_deinit(&line);
}

/* The lines around the one of the row, where its file is on this machine. */
static void put_source(struct pane *p, const struct row *row)
{
	int height = p->end - p->y;
	if (height < 3 || !row->line || *row->file != '/')
		return;
	auto_fclose FILE *f = open_source(row->file);
	if (!f)
		return;
	p->y++;
	height--;
	unsigned first = row->line > (unsigned)height / 2 ? row->line - (unsigned)height / 2 : 1;
	auto_free char *text = NULL;
	size_t cap = 0;
	for (unsigned n = 1; p->y < p->end && getline(&text, &cap, f) > 0; n++)
		if (n >= first)
			put_source_line(p, text, n, n == row->line);
}

/* ---- leaks ---- */

static void put_leak(struct pane *p, const struct row *row)
{
	static const char *const ages[GROWTH_AGES] = {
		"under 1 s", "1 to 10 s", "10 s to 1 min", "1 to 10 min", "over 10 min",
	};
	const struct leaks *l = &p->t->data->leaks;
	const struct leak_site *site = &l->sites.items[row->site];
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX], text[160];
	auto_buf struct mt_buf sentence = MT_BUF_INIT;
	leaks_sentence(l, site, &sentence);
	mt_buf_put_char(&sentence, 0);
	put_wrapped(p, row->function);
	if (!sentence.failed)
		put_wrapped(p, (const char *)sentence.data);
	for (unsigned i = 0; i < GROWTH_AGES; i++) {
		if (!site->age_count[i])
			continue;
		snprintf(text, sizeof(text), "%-14s %s in %s", ages[i],
			 mt_text_size(a, site->age_bytes[i]), mt_text_count(b, site->age_count[i]));
		put_labelled(p, "Age", text);
	}
}

void detail_draw(struct tui *t, int y, int x, int height, int width)
{
	struct pane p = { .t = t, .y = y, .x = x, .end = y + height, .width = (size_t)width };
	const struct row *row = rows_at_cursor(&t->rows);
	char line[32];
	auto_free char *where = NULL;
	if (!row)
		return;
	if (shown_page(t) == PAGE_LEAKS) {
		put_leak(&p, row);
		return;
	}
	line[0] = 0;
	if (row->line)
		snprintf(line, sizeof(line), ":%u", row->line);
	if (asprintf(&where, "%s%s%s%s", *row->file ? row->file : row->module,
		     *row->file ? line : "", *row->file && *row->module ? "  in " : "",
		     *row->file ? row->module : "") < 0)
		where = NULL;
	put_labelled(&p, "Function", row->function);
	put_labelled(&p, "Location", where ? where : "");
	put_numbers(&p, row);
	put_source(&p, row);
}
