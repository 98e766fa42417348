/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/live.c - `memtrace live PID`.
 * Knows: the command line. Does not know: how a capture works, what is shown.
 * Called by cmds/main.c; calls cmds/attach.h. */
#include "cmds/attach.h"
#include "cmds/command.h"
#include "cmds/signals.h"

struct live_args {
	struct session_options session;
	const char *pid;
};

static error_t parse_arg(int key, char *arg, struct argp_state *state)
{
	struct live_args *a = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &a->session;
		return 0;
	case ARGP_KEY_ARG:
		if (a->pid)
			argp_error(state, "one process at a time");
		a->pid = arg;
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
	NULL, parse_arg, "PID",
	"Watch the memory of a running process on the terminal, function by function.\v"
	"Records until 'q', Ctrl-C, the duration is over or the process exits; then takes the tracer out "
	"again. '?' tells the keys. Nothing is kept unless -o is given.",
	children, NULL, NULL,
};

struct mt_error *cmd_live(int argc, char **argv, int *exit_code_ret)
{
	struct live_args args = { .session = { .mode = "attach", .signals_end = true } };
	int pid;
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	if (!err)
		err = cmd_parse_pid(args.pid, &pid);
	if (err)
		return err;
	args.session.flush_ns = ATTACH_LIVE_FLUSH_NS;
	args.session.in_memory = !args.session.output;
	signals_catch();
	return attach_record(pid, &args.session, ATTACH_LIVE, exit_code_ret);
}
