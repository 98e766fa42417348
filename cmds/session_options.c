/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/session_options.c - the options that every command that records has.
 * Knows: argp. Does not know: what a session does with them.
 * Used by cmds/attach.c, cmds/run.c and cmds/live.c through cmds/session.h. */
#include "cmds/session.h"

#include <string.h>

enum { KEY_AS_IT_IS = 0x200 };	/* of Memray: what is done anyway, or makes no difference to who reads the file */

static const struct argp_option session_rows[] = {
	{ "output", 'o', "FILE", 0, "write the capture to FILE (memtrace-<name>.<pid>.bin)", 0 },
	{ "duration", 'd', "TIME", 0, "stop after TIME: 30s, 500ms, 5m, 1h30m", 0 },
	{ "no-native", 'n', NULL, 0, "Python frames only: no native stacks", 0 },
	{ "on-overflow", 'w', "WHAT", 0, "a full buffer makes the thread \"wait\" (default) or \"drop\" events", 0 },
	{ "sample", 'S', "BYTES", 0, "record a sample: one block every BYTES on average, like 512KiB; figures are estimates", 0 },
	{ "aggregate", 'A', NULL, 0, "keep sums by stack, not each event: a small file, however long it takes", 0 },
	{ "follow-fork", 'F', NULL, 0, "record forked children and executed programs, each to FILE.PID", 0 },
	{ "trace-python-allocators", 'p', NULL, 0, "record what Python asks of its own allocators, not what they ask of the system", 0 },
	{ "force", 'f', NULL, 0, "overwrite FILE", 0 },
	{ "quiet", 'q', NULL, 0, "print errors only", 0 },
	{ "verbose", 'v', NULL, 0, "tell for how long threads were held to attach and to detach", 0 },
	{ "native", KEY_AS_IT_IS, NULL, OPTION_HIDDEN, NULL, 0 },
	{ "compress-on-exit", KEY_AS_IT_IS, NULL, OPTION_HIDDEN, NULL, 0 },
	{ "no-compress", KEY_AS_IT_IS, NULL, OPTION_HIDDEN, NULL, 0 },
	{ "buffered-file-io", KEY_AS_IT_IS, NULL, OPTION_HIDDEN, NULL, 0 },
	{ 0 },
};

static error_t parse_row(int key, char *arg, struct argp_state *state)
{
	struct session_options *o = state->input;
	switch (key) {
	case 'o':
		o->output = arg;
		return 0;
	case 'd': {
		auto_error struct mt_error *err = cmd_parse_duration(arg, &o->duration_ns);
		if (err)
			argp_error(state, "%s", err->message);
		return 0;
	}
	case 'n':
		o->no_native = true;
		return 0;
	case 'w':
		if (strcmp(arg, "wait") && strcmp(arg, "drop"))
			argp_error(state, "--on-overflow is wait or drop, not '%s'", arg);
		o->drop = !strcmp(arg, "drop");
		return 0;
	case 'S': {
		auto_error struct mt_error *err = cmd_parse_size(arg, &o->sample_rate);
		if (err)
			argp_error(state, "%s", err->message);
		return 0;
	}
	case 'A':
		o->aggregate = true;
		return 0;
	case 'F':
		o->follow_fork = true;
		return 0;
	case 'p':
		o->python_allocators = true;
		return 0;
	case 'f':
		o->force = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case KEY_AS_IT_IS:
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp session_argp = { session_rows, parse_row, NULL, NULL, NULL, NULL, NULL };
