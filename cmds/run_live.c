/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/run_live.c - a program and the picture of its memory on one terminal.
 * Knows: who has the terminal when. Does not know: what the picture shows.
 * Called by cmds/run.c; calls cmds/live_view.h and cmds/session.h. */
#include "cmds/run_live.h"

#include "cmds/attach.h"
#include "cmds/live_view.h"
#include "cmds/signals.h"
#include "reporters/tui/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define TURN_MS 10

struct mt_error *run_live_prepare(struct run_live *l, struct session_options *options)
{
	struct mt_error *err = screen_check();
	if (!err && options->follow_fork)
		err = mt_error_create(MT_ERROR_USAGE, "the live view is of one process: leave --follow-fork out");
	if (!err && options->aggregate)
		err = mt_error_create(MT_ERROR_USAGE, "the live view looks at every event: leave --aggregate out");
	if (!err)
		err = hidden_begin(&l->hidden);
	if (err)
		return err;
	options->flush_ns = ATTACH_LIVE_FLUSH_NS;
	l->streams[STDIN_FILENO] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (l->streams[STDIN_FILENO] < 0)
		return mt_error_os(errno, "cannot open '/dev/null'");
	l->streams[STDOUT_FILENO] = l->hidden.fd;
	l->streams[STDERR_FILENO] = isatty(STDERR_FILENO) ? l->hidden.fd : -1;
	return NULL;
}

static struct mt_error *end_view(struct run_live *l)
{
	struct live_view *v = l->view;
	l->view = NULL;
	return v ? live_view_end(v, &l->stuck) : NULL;
}

/* The new program's picture is a new one. */
static struct mt_error *view_exec(struct run_live *l)
{
	struct mt_error *err = end_view(l);
	if (l->stuck) {
		l->s->end = SESSION_EXEC;
		session_finish(l->s, l->exit_code);
		session_drop(l->s, false);
	}
	if (!err && !l->stuck)
		err = run_follow_exec(l->s, l->child, l->options);
	if (!err && l->s->t)
		err = live_view_begin(l->s, &l->view);
	return err;
}

/* Until the program ended, the capture is over or the person leaves. */
static struct mt_error *look(struct run_live *l)
{
	struct session *s = l->s;
	while (l->child->state != CHILD_ENDED && s->end == SESSION_GOES_ON) {
		child_poll(l->child);
		if (l->child->state == CHILD_EXECED) {
			struct mt_error *err = view_exec(l);
			if (err || !l->view)
				return err;
			continue;
		}
		run_forward_signals(l->child);
		hidden_forget(&l->hidden);
		session_turn(s, TURN_MS);
		if (s->end == SESSION_EXIT || s->end == SESSION_EXEC) {
			s->end = SESSION_GOES_ON;
			child_wait(l->child, TURN_MS);	/* says which by an event of its own */
		} else if (live_view_turn(l->view, s) && s->end == SESSION_GOES_ON) {
			s->end = SESSION_INTERRUPT;
		}
	}
	if (s->end == SESSION_GOES_ON)
		s->end = SESSION_EXIT;
	return NULL;
}

/* What there was stays on the terminal. Ctrl-C goes to the program: it leaves the view when it ended that. */
static void stay(struct run_live *l)
{
	while (!live_view_left(l->view) && (l->child->state != CHILD_ENDED || !signals_end_asked())) {
		if (l->child->state != CHILD_ENDED)
			run_forward_signals(l->child);
		hidden_forget(&l->hidden);
		child_wait(l->child, TURN_MS * 3);
	}
}

struct mt_error *run_live(struct run_live *l)
{
	struct session *s = l->s;
	struct mt_error *err, *told;
	if (!s->t)
		return NULL;
	err = live_view_begin(s, &l->view);
	if (!err)
		err = look(l);
	if (err || !l->view) {
		mt_error_destroy(end_view(l));
		child_let_go(l->child);
		return err;
	}
	child_let_go(l->child);
	session_finish(s, l->exit_code);
	live_view_over(l->view, s);
	if (s->end != SESSION_INTERRUPT)
		stay(l);
	err = end_view(l);
	if (!l->stuck)
		hidden_show(&l->hidden, STDOUT_FILENO);
	told = l->stuck ? NULL : session_tell(s);
	session_drop(s, false);
	if (!err)
		return told;
	mt_error_destroy(told);
	return err;
}

void run_live_rest(struct run_live *l)
{
	while (l->child->state != CHILD_ENDED) {
		run_forward_signals(l->child);
		if (l->stuck)
			hidden_forget(&l->hidden);
		else
			hidden_show(&l->hidden, STDOUT_FILENO);
		child_wait(l->child, TURN_MS * 3);
	}
	if (!l->stuck)
		hidden_show(&l->hidden, STDOUT_FILENO);
	hidden_end(&l->hidden);
	mt_cleanup_close(&l->streams[STDIN_FILENO]);
}
