/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/attach.c - `memtrace attach PID`.
 * Knows: the command line. Does not know: how a capture works.
 * Called by cmds/main.c; calls cmds/session.h. */
#include "cmds/attach.h"

#include "attach/cooperation.h"
#include "cmds/command.h"
#include "cmds/control.h"
#include "cmds/family.h"
#include "cmds/live_view.h"
#include "cmds/signals.h"
#include "reporters/tui/screen.h"

#include <stdio.h>

#define BORROW_DEADLINE_MS 10000
#define TURN_MS 20	/* a tracer whose ring is half full does not wait for it */

struct attach_args {
	struct session_options session;
	const char *pid;
	bool control, live;
};

enum { KEY_CONTROL = 0x100, KEY_LIVE };
static const struct argp_option rows[] = {
	{ "live", KEY_LIVE, NULL, 0, "show on the terminal what is recorded, as `memtrace live` does", 0 },
	{ "control", KEY_CONTROL, NULL, 0, "for programs: go to the background and obey standard input", 0 },
	{ 0 },
};

static error_t parse_arg(int key, char *arg, struct argp_state *state)
{
	struct attach_args *a = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->session;
		return 0;
	case ARGP_KEY_ARG:
		if (a->pid)
			argp_error(state, "one process at a time");
		a->pid = arg;
		return 0;
	case KEY_CONTROL:
		a->control = true;
		return 0;
	case KEY_LIVE:
		a->live = true;
		return 0;
	case ARGP_KEY_END:
		if (a->control && a->live)
			argp_error(state, "--control and --live exclude each other");
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which process? give its PID");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { &session_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
	rows, parse_arg, "PID",
	"Record every allocation of a running process with its stack.\v"
	"Records until the duration is over, the process exits, or Ctrl-C; then takes the tracer out "
	"again and writes the capture. The process needs nothing installed and is not restarted.",
	children, NULL, NULL,
};

/* A thread is held for one step only, so that none misses more than it must. */
static struct mt_error *take_step(struct session *s, enum injection_step step)
{
	struct borrow *b = NULL;
	tracee_set_cancel(s->t, signals_end_asked);
	struct mt_error *err = borrow_acquire(s->t, BORROW_DEADLINE_MS, &b);
	tracee_set_cancel(s->t, NULL);	/* taking out is not given up */
	if (err)
		return err;
	err = injection_step(s->injection, step, b);
	borrow_release(b, false);
	return err;
}

static struct mt_error *attach_session(struct session *s)
{
	struct mt_error *err = NULL;
	for (int step = 0; step < INJECTION_STEPS && !err; step++)
		err = take_step(s, (enum injection_step)step);
	return err ? err : session_arm(s);
}

static struct mt_error *record_quietly(struct session *s, int *exit_code_ret)
{
	struct family family = { 0 };
	family_begin(&family, s);
	do {
		session_turn(s, family.page ? FAMILY_TURN_MS : TURN_MS);
		family_turn(&family);
	} while (s->end == SESSION_GOES_ON);
	struct mt_error *err = session_close(s, exit_code_ret);
	family_end(&family, s->end != SESSION_EXIT && s->end != SESSION_EXEC);
	return err;
}

/* The process is let go as soon as it is over, before the person who looks on is waited for. */
static struct mt_error *record_live(struct session *s, int *exit_code_ret)
{
	struct live_view *view;
	bool stuck = false;
	struct mt_error *err = live_view_begin(s, &view), *told;
	if (err) {
		session_abort(s);
		return err;
	}
	do
		session_turn(s, TURN_MS);
	while (!live_view_turn(view, s) && s->end == SESSION_GOES_ON);
	if (s->end == SESSION_GOES_ON)
		s->end = SESSION_INTERRUPT;
	session_finish(s, exit_code_ret);
	live_view_over(view, s);
	if (s->end != SESSION_INTERRUPT)
		live_view_wait(view);
	err = live_view_end(view, &stuck);
	if (stuck)		/* a word to the terminal would keep us here */
		_exit(s->error ? EXIT_FAILED : *exit_code_ret);
	told = session_tell(s);
	if (!err)
		return told;
	mt_error_destroy(told);
	return err;
}

struct mt_error *attach_record(pid_t pid, const struct session_options *options, enum attach_way way,
			       int *exit_code_ret)
{
	struct session s;
	struct mt_error *err = way == ATTACH_LIVE ? screen_check() : NULL;
	if (!err && way == ATTACH_LIVE && options->follow_fork)
		err = mt_error_create(MT_ERROR_USAGE, "the live view is of one process: leave --follow-fork out");
	if (!err && way == ATTACH_LIVE && options->aggregate)
		err = mt_error_create(MT_ERROR_USAGE, "the live view looks at every event: leave --aggregate out");
	if (!err)
		err = session_open(&s, pid, options, false);
	if (err)
		return err;
	err = attach_session(&s);
	if (err) {
		session_abort(&s);
		return err;
	}
	if (way == ATTACH_CONTROLLED)
		control_recording(s.path);
	if (way == ATTACH_LIVE) {
		err = record_live(&s, exit_code_ret);
		session_drop(&s, false);
		return err;
	}
	if (!options->quiet)
		cmd_note("recording process %d (%s) to %s; Ctrl-C ends it", pid, s.comm, s.path);
	err = record_quietly(&s, exit_code_ret);
	session_drop(&s, false);
	return err;
}

/* Where ptrace is refused the program that wants to be recorded does in its place what it can. */
static struct mt_error *attach_controlled(int pid, struct session_options *options, int *exit_code_ret)
{
	struct cooperation with;
	struct mt_error *err = control_begin();
	if (!err)
		err = attach_record(pid, options, ATTACH_CONTROLLED, exit_code_ret);
	/* Nobody in a child would obey. */
	bool can_help = !options->follow_fork && !signals_end_asked();
	if (err && err->code == MT_ERROR_REFUSED && can_help) {
		auto_error struct mt_error *silent = control_ask_cooperation(pid, &with);
		if (!silent) {
			mt_error_destroy(err);
			options->cooperation = &with;
			err = attach_record(pid, options, ATTACH_CONTROLLED, exit_code_ret);
		}
	}
	control_end(err);
	return err;
}

struct mt_error *cmd_attach(int argc, char **argv, int *exit_code_ret)
{
	struct attach_args args = { .session = { .mode = "attach", .signals_end = true } };
	int pid;
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	if (!err)
		err = cmd_parse_pid(args.pid, &pid);
	if (err)
		return err;
	signals_catch();
	if (args.control)
		return attach_controlled(pid, &args.session, exit_code_ret);
	if (args.live)
		args.session.flush_ns = ATTACH_LIVE_FLUSH_NS;
	return attach_record(pid, &args.session, args.live ? ATTACH_LIVE : ATTACH_QUIETLY, exit_code_ret);
}
