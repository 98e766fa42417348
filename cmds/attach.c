/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/attach.c - `memtrace attach PID`.
 * Knows: the command line. Does not know: how a capture works.
 * Called by cmds/main.c; calls cmds/session.h. */
#include "cmds/command.h"
#include "cmds/control.h"
#include "cmds/session.h"
#include "cmds/signals.h"

#include <stdio.h>

#define BORROW_DEADLINE_MS 10000
#define TURN_MS 20	/* a tracer whose ring is half full does not wait for it */

struct attach_args {
	struct session_options session;
	const char *pid;
	bool control;
};

enum { KEY_CONTROL = 0x100 };
static const struct argp_option options[] = {
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
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which process? give its PID");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { &session_argp, 0, NULL, 0 }, { 0 } };
static const struct argp argp = {
	options, parse_arg, "PID",
	"Record every allocation of a running process with its stack.\v"
	"Records until the duration is over, the process exits, or Ctrl-C; then takes the tracer out "
	"again and writes the capture. The process needs nothing installed and is not restarted.",
	children, NULL, NULL,
};

static struct mt_error *attach_session(struct session *s)
{
	struct borrow *b = NULL;
	tracee_set_cancel(s->t, signals_end_asked);
	struct mt_error *err = borrow_acquire(s->t, BORROW_DEADLINE_MS, &b);
	tracee_set_cancel(s->t, NULL);	/* taking out is not given up */
	if (err)
		return err;
	err = injection_load(s->injection, b);
	borrow_release(b, false);
	return err ? err : session_arm(s);
}

static struct mt_error *record(pid_t pid, const struct attach_args *args, int *exit_code_ret)
{
	struct session s;
	struct mt_error *err = session_open(&s, pid, &args->session, false);
	if (err)
		return err;
	err = attach_session(&s);
	if (err) {
		session_abort(&s);
		return err;
	}
	if (args->control)
		control_recording(s.path);
	if (!args->session.quiet)
		cmd_note("recording process %d (%s) to %s; Ctrl-C ends it", pid, s.comm, s.path);
	do
		session_turn(&s, TURN_MS);
	while (s.end == SESSION_GOES_ON);
	err = session_close(&s, exit_code_ret);
	session_drop(&s, false);
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
		err = control_begin();
	if (!err)
		err = record(pid, &args, exit_code_ret);
	if (args.control)
		control_end(err);
	return err;
}
