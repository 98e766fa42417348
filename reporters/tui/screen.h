/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/screen.h - the terminal on standard input and output, as a grid of characters.
 *
 *	screen_open(&s, &options)	takes the terminal over; an error when it cannot do what is needed
 *	screen_begin(&s)		a new picture, of the size the terminal has now
 *	screen_text(&s, ...)		any number of texts
 *	screen_show(&s)			to the terminal; a slow one makes this wait
 *	screen_key(&s, ms, wake)	a key, or nothing within that time
 *	screen_close(&s)		gives the terminal back as it was
 *
 * Texts are made harmless and fit for the terminal here: control characters become visible, and where
 * the locale has no UTF-8, what is not ASCII becomes a question mark. One screen a process. */
#ifndef MT_REPORTERS_TUI_SCREEN_H
#define MT_REPORTERS_TUI_SCREEN_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct screen {
	int rows, columns;
	bool ascii, color;
	void *handle;			/* of the library */
};

struct screen_options {
	bool color;
	bool no_suspend;		/* Ctrl-Z does nothing */
};

enum screen_style {			/* one of these, and any of the flags */
	STYLE_PLAIN, STYLE_DIM, STYLE_HOT, STYLE_WARM, STYLE_MILD, STYLE_BAR,
	STYLE_BOLD = 1 << 4, STYLE_CURSOR = 1 << 5, STYLE_MATCH = 1 << 6,
};

enum screen_key {			/* beside characters, which are their own code */
	SCREEN_NOTHING = -1, SCREEN_GONE = -2,	/* the terminal was closed */
	SCREEN_UP = 0x200000, SCREEN_DOWN, SCREEN_LEFT, SCREEN_RIGHT, SCREEN_PAGE_UP, SCREEN_PAGE_DOWN,
	SCREEN_HOME, SCREEN_END, SCREEN_BACKSPACE, SCREEN_RESIZE, SCREEN_BACKTAB,
	SCREEN_ENTER = '\n', SCREEN_ESCAPE = 27, SCREEN_TAB = '\t',
};

/* Whether screen_open() will be able to; changes nothing. */
struct mt_error *screen_check(void) MT_MUST_CHECK;
struct mt_error *screen_open(struct screen *s, const struct screen_options *options) MT_MUST_CHECK;
void screen_close(struct screen *s);	/* an all zero one too */

void screen_begin(struct screen *s);
/* Puts a foreign text into at most `width` columns from there, the middle of a longer one left out,
 * and returns the columns it took. Outside of the grid nothing happens. */
size_t screen_text(struct screen *s, int y, int x, size_t width, unsigned style, const char *text);
/* The same at the right end of the width. */
void screen_text_right(struct screen *s, int y, int x, size_t width, unsigned style,
		       const char *text);
/* A whole line in a style, to be written over. */
void screen_fill(struct screen *s, int y, int x, size_t width, unsigned style);
/* The terminal's own cursor; where a person types. */
void screen_caret(struct screen *s, int y, int x);
void screen_show(struct screen *s);

/* Waits at most `ms` (-1: as long as it takes) for a key, or for `wake_fd` (-1: none) to be
 * readable. */
int screen_key(struct screen *s, int ms, int wake_fd);

#endif
