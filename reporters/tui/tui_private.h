/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/tui_private.h - what keys and drawing share; nobody else includes it. */
#ifndef MT_REPORTERS_TUI_TUI_PRIVATE_H
#define MT_REPORTERS_TUI_TUI_PRIVATE_H

#include "reporters/tui/rows.h"
#include "reporters/tui/tui.h"

struct tui {
	struct screen screen;
	const struct tui_source *source;
	bool live;
	struct data_request request;
	struct data *data;		/* NULL: none yet */
	struct data *head;		/* newer than `data`, of which the table is held (paused) */
	struct rows rows;
	struct tui_status status;
	bool paused, help, typing, quit;
	char search[80];
	size_t search_len;
	char message[120];		/* instead of the keys, until the next one */
	size_t list_height;		/* as last drawn: a page */
};

/* Of the data there is, which is behind the request until the next comes. */
static inline enum data_page shown_page(const struct tui *t)
{
	return t->data->request.page;
}

/* draw.c: the whole picture. */
void tui_draw(struct tui *t);
/* head.c: the lines above the list; returns how many. */
int head_draw(struct tui *t);
/* head.c: of what the list is, in a line: view, thread, order. */
void head_draw_view(struct tui *t, int y);
/* detail.c: what is known of the line under the cursor, into this part of the screen. */
void detail_draw(struct tui *t, int y, int x, int height, int width);
/* help.c: the keys, one line of them, and all with what they do. */
void help_draw_line(struct tui *t, int y);
void help_draw(struct tui *t);

/* Of the data shown: part of the whole, in the metric of the order. */
unsigned share_style(const struct tui *t, uint64_t bytes);

#endif
