/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/help.c - the keys, on the last line and on a page of their own.
 * Knows: what keys do, in words. Does not know: how (tui.c).
 * Called by reporters/tui/draw.c; calls screen.h. */
#include "reporters/tui/tui_private.h"

#include <stdio.h>
#include <string.h>

enum when { ALWAYS, LIVE, TREE, ROWS };

static const struct {
	const char *keys, *does;
	enum when when;
} keys[] = {
	{ "q, Ctrl-C", "leave", ALWAYS },
	{ "up down, j k", "the line before or after", ALWAYS },
	{ "PgUp PgDn Home End", "a page, the first, the last line", ALWAYS },
	{ "Tab", "functions, stacks as a tree, leaks", ALWAYS },
	{ "v", "view: at the peak, alive, all, temporary allocations", ALWAYS },
	{ "t o a", "order by total memory, own memory, allocations", ALWAYS },
	{ "m", "threads together or one at a time", ALWAYS },
	{ "< >, left right", "the thread before or after (in the tree: < >)", ALWAYS },
	{ "/ n N", "search function, file or module; next, previous match", ALWAYS },
	{ "Esc", "end the search", ALWAYS },
	{ "x", "native frames on or off (off: Python only)", ALWAYS },
	{ "Enter, right left", "open or close a node; to its parent", TREE },
	{ "e", "open a node and all below it up to the next fork", TREE },
	{ "u", "frames of the interpreter hidden or shown", TREE },
	{ "i", "frames of the import system hidden or shown", TREE },
	{ "r", "callers below what they called, or above", TREE },
	{ "space", "hold the list; curves go on", LIVE },
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

void help_draw(struct tui *t)
{
	struct screen *s = &t->screen;
	size_t width = (size_t)s->columns;
	int y = 1;
	screen_fill(s, 0, 0, width, STYLE_BAR);
	screen_text(s, 0, 1, width, STYLE_BAR | STYLE_BOLD, "memtrace: keys");
	for (size_t i = 0; i < KEYS && y < s->rows - 1; i++) {
		if (keys[i].when == LIVE && !t->live)
			continue;
		screen_text(s, y, 1, 19, STYLE_BOLD, keys[i].keys);
		if (width > 22)
			screen_text(s, y, 21, width - 22, STYLE_PLAIN, keys[i].does);
		y++;
	}
	screen_text(s, s->rows - 1, 1, width, STYLE_DIM, "any key: back");
}

/* ---- the last line ---- */

struct hint {
	char key[8];
	const char *does;
};

static size_t hints_of(const struct tui *t, struct hint ret[16])
{
	size_t n = 0;
	bool tree = t->request.page == PAGE_TREE;
	ret[n++] = (struct hint){ "q", "quit" };
	ret[n++] = (struct hint){ "?", "keys" };
	if (t->live)
		ret[n++] = (struct hint){ "space", t->paused ? "go on" : "pause" };
	ret[n++] = (struct hint){ "Tab", tree && !t->live ? "table" : tree ? "leaks" :
				  t->request.page == PAGE_TABLE ? "tree" : "table" };
	ret[n++] = (struct hint){ "/", "search" };
	if (tree) {
		ret[n++] = (struct hint){ "e", "open chain" };
		ret[n++] = (struct hint){ "u", t->request.hide & FRAME_INTERPRETER ?
					  "show interpreter" : "hide interpreter" };
		ret[n++] = (struct hint){ "i", t->request.hide & FRAME_IMPORT ? "show imports" :
					  "hide imports" };
	} else {
		ret[n++] = (struct hint){ "t o a", "sort" };
	}
	ret[n++] = (struct hint){ "v", "view" };
	ret[n++] = (struct hint){ "m", t->request.thread == DATA_ALL_THREADS ? "split threads" :
				  "merge threads" };
	if (t->request.thread != DATA_ALL_THREADS)
		ret[n++] = (struct hint){ "< >", "thread" };
	return n;
}

static void draw_prompt(struct tui *t, int y)
{
	size_t width = (size_t)t->screen.columns;
	size_t used = screen_text(&t->screen, y, 0, width, STYLE_BOLD, "/");
	used += screen_text(&t->screen, y, (int)used, width - used, STYLE_PLAIN, t->search);
	screen_caret(&t->screen, y, (int)used);
}

void help_draw_line(struct tui *t, int y)
{
	struct hint hints[16];
	size_t width = (size_t)t->screen.columns, x = 1;
	if (t->typing) {
		draw_prompt(t, y);
		return;
	}
	if (t->message[0]) {
		screen_text(&t->screen, y, 1, width - 1, STYLE_BOLD, t->message);
		return;
	}
	size_t count = hints_of(t, hints);
	for (size_t i = 0; i < count; i++) {
		size_t need = strlen(hints[i].key) + 1 + strlen(hints[i].does);
		if (x + need > width)
			break;
		x += screen_text(&t->screen, y, (int)x, width - x, STYLE_BOLD, hints[i].key) + 1;
		x += screen_text(&t->screen, y, (int)x, width - x, STYLE_DIM, hints[i].does) + 2;
	}
}
