/* SPDX-License-Identifier: Apache-2.0 */
/* reporters/tui/screen.c - the terminal on standard input and output, as a grid of characters.
 * Knows: ncurses. Does not know: what is shown.
 * Called by reporters/tui/; calls ncursesw and base/text.h. */
#include "reporters/tui/screen.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define ESCAPE_MS 25		/* what comes this soon after an Esc belongs to it */

/* ---- opening ---- */

static struct mt_error *unfit(const char *why)
{
	const char *term = getenv("TERM");
	return mt_error_hint(mt_error_create(MT_ERROR_OTHER, "the terminal '%s' %s",
					     term ? term : "", why),
			     "set TERM to what it is, like xterm");
}

/* Of <term.h>, whose macros are called like members here. */
extern int setupterm(const char *, int, int *);

struct mt_error *screen_check(void)
{
	int found;
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return mt_error_create(MT_ERROR_OTHER, "standard input and output are no terminal");
	if (!getenv("TERM"))
		return unfit("has no name");
	if (setupterm(NULL, STDOUT_FILENO, &found) != OK)
		return unfit("is not known here");
	const char *place = tigetstr("cup");
	return place && place != (char *)-1 ? NULL : unfit("cannot place text");
}

static void start_colors(struct screen *s, bool wanted)
{
	static const short colors[] = {
		[STYLE_HOT] = COLOR_RED, [STYLE_WARM] = COLOR_YELLOW, [STYLE_MILD] = COLOR_GREEN,
	};
	s->color = wanted && has_colors() && start_color() == OK;
	if (!s->color)
		return;
	use_default_colors();
	for (short i = STYLE_HOT; i <= STYLE_MILD; i++)
		init_pair(i, colors[i], -1);
	init_pair(STYLE_BAR, COLOR_BLACK, COLOR_CYAN);
}

/* Ctrl-Z would stop whoever else needs this process to go on. */
static void forbid_suspend(void)
{
	struct termios t;
	if (tcgetattr(STDIN_FILENO, &t))
		return;
	t.c_cc[VSUSP] = _POSIX_VDISABLE;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
	def_prog_mode();
}

struct mt_error *screen_open(struct screen *s, const struct screen_options *options)
{
	*s = (struct screen){ 0 };
	setlocale(LC_CTYPE, "");
	s->ascii = strcmp(nl_langinfo(CODESET), "UTF-8");
	struct mt_error *err = screen_check();
	if (err)
		return err;
	SCREEN *screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return unfit("is not known here");
	s->handle = screen;
	set_term(screen);
	set_escdelay(ESCAPE_MS);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	start_colors(s, options->color);
	if (options->no_suspend)
		forbid_suspend();
	getmaxyx(stdscr, s->rows, s->columns);
	return NULL;
}

void screen_close(struct screen *s)
{
	if (!s->handle)
		return;
	endwin();
	delscreen(s->handle);
	s->handle = NULL;
}

/* ---- drawing ---- */

void screen_begin(struct screen *s)
{
	struct winsize size;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row && size.ws_col &&
	    (size.ws_row != s->rows || size.ws_col != s->columns))
		resizeterm(size.ws_row, size.ws_col);
	getmaxyx(stdscr, s->rows, s->columns);
	erase();
	curs_set(0);
}

static attr_t attributes(const struct screen *s, unsigned style)
{
	unsigned base = style & 0xf;
	attr_t a = A_NORMAL;
	if (base == STYLE_DIM)
		a |= A_DIM;
	else if (base == STYLE_BAR)
		a |= s->color ? (attr_t)COLOR_PAIR(STYLE_BAR) : A_REVERSE;
	else if (base && s->color)
		a |= (attr_t)COLOR_PAIR(base);
	if (style & STYLE_BOLD || base == STYLE_HOT)
		a |= A_BOLD;
	if (style & STYLE_CURSOR)
		a |= A_REVERSE;
	if (style & STYLE_MATCH)
		a |= A_UNDERLINE;
	return a;
}

/* Without UTF-8 a byte is a column, and the ellipsis needs another spelling. */
static void put_ascii(struct mt_buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint32_t code = 0;
		size_t n = mt_text_utf8(text + i, len - i, &code);
		unsigned width = n ? mt_text_char_width(code) : 1;
		if (code < 0x80 && n)
			mt_buf_put_char(out, (char)code);
		else if (code == 0x2026)
			mt_buf_put_char(out, '~');
		else
			for (; width; width--)
				mt_buf_put_char(out, '?');
		i += n ? n : 1;
	}
}

/* The text as it will stand there, NUL-terminated; NULL: out of memory. */
static char *fit(const struct screen *s, const char *text, size_t width)
{
	auto_buf struct mt_buf fitted = MT_BUF_INIT, plain = MT_BUF_INIT;
	auto_free char *clean = mt_text_clean(text);
	if (!clean)
		return NULL;
	mt_text_put_fitted(&fitted, clean, width, false);
	if (!s->ascii)
		return mt_buf_take_str(&fitted);
	put_ascii(&plain, (const char *)fitted.data, fitted.len);
	return mt_buf_take_str(&plain);
}

static size_t room(const struct screen *s, int y, int x, size_t width)
{
	if (y < 0 || y >= s->rows || x < 0 || x >= s->columns)
		return 0;
	size_t left = (size_t)(s->columns - x);
	return width < left ? width : left;
}

size_t screen_text(struct screen *s, int y, int x, size_t width, unsigned style, const char *text)
{
	width = room(s, y, x, width);
	auto_free char *shown = width ? fit(s, text, width) : NULL;
	if (!shown)
		return 0;
	attrset(attributes(s, style));
	mvaddstr(y, x, shown);
	attrset(A_NORMAL);
	return mt_text_width(shown);
}

void screen_text_right(struct screen *s, int y, int x, size_t width, unsigned style,
		       const char *text)
{
	size_t wanted = mt_text_width(text);
	if (wanted > width)
		wanted = width;
	screen_text(s, y, x + (int)(width - wanted), wanted, style, text);
}

void screen_fill(struct screen *s, int y, int x, size_t width, unsigned style)
{
	width = room(s, y, x, width);
	attrset(attributes(s, style));
	if (width)
		mvhline(y, x, ' ', (int)width);
	attrset(A_NORMAL);
}

void screen_caret(struct screen *s, int y, int x)
{
	if (!room(s, y, x, 1))
		return;
	move(y, x);
	curs_set(1);
}

void screen_show(struct screen *s)
{
	(void)s;
	refresh();
}

/* ---- keys ---- */

static int translate(int key)
{
	static const struct {
		int theirs, ours;
	} keys[] = {
		{ KEY_UP, SCREEN_UP }, { KEY_DOWN, SCREEN_DOWN }, { KEY_LEFT, SCREEN_LEFT },
		{ KEY_RIGHT, SCREEN_RIGHT }, { KEY_PPAGE, SCREEN_PAGE_UP },
		{ KEY_NPAGE, SCREEN_PAGE_DOWN }, { KEY_HOME, SCREEN_HOME }, { KEY_END, SCREEN_END },
		{ KEY_BACKSPACE, SCREEN_BACKSPACE }, { KEY_RESIZE, SCREEN_RESIZE },
		{ KEY_BTAB, SCREEN_BACKTAB }, { KEY_ENTER, SCREEN_ENTER }, { '\r', SCREEN_ENTER },
		{ 127, SCREEN_BACKSPACE }, { 8, SCREEN_BACKSPACE }, { ERR, SCREEN_NOTHING },
	};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].theirs == key)
			return keys[i].ours;
	return key < 0x100 ? key : SCREEN_NOTHING;
}

int screen_key(struct screen *s, int ms, int wake_fd)
{
	(void)s;
	int key = translate(getch());
	if (key != SCREEN_NOTHING)
		return key;
	struct pollfd fds[] = { { STDIN_FILENO, POLLIN, 0 }, { wake_fd, POLLIN, 0 } };
	int n = poll(fds, 2, ms);
	if (n < 0)
		return errno == EINTR ? SCREEN_RESIZE : SCREEN_GONE;
	if (fds[0].revents & (POLLERR | POLLNVAL) ||
	    (fds[0].revents & POLLHUP && !(fds[0].revents & POLLIN)))
		return SCREEN_GONE;
	if (!(fds[0].revents & POLLIN))
		return SCREEN_NOTHING;
	key = translate(getch());
	/* Readable, and nothing comes: the other side is closed. */
	int bytes = 1;
	if (key == SCREEN_NOTHING && (ioctl(STDIN_FILENO, FIONREAD, &bytes) || !bytes))
		return fds[0].revents & POLLHUP ? SCREEN_GONE : SCREEN_NOTHING;
	return key;
}
