/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/serve.c - `memtrace serve`.
 * Knows: the command line, when to end. Does not know: HTTP.
 * Called by cmds/main.c; calls serve/server.h. */
#include "serve/server.h"

#include "cmds/command.h"
#include "cmds/signals.h"

#include <signal.h>
#include <stdio.h>

enum { KEY_INSECURE = 0x100 };
static const struct argp_option options[] = {
	{ "listen", 'l', "WHERE", 0, "listen on WHERE (127.0.0.1:0, a free port) or unix:PATH", 0 },
	{ "insecure", KEY_INSECURE, NULL, 0, "let WHERE be an address that others can reach: nothing is encrypted", 0 },
	{ 0 },
};

static error_t parse_arg(int key, char *arg, struct argp_state *state)
{
	struct server_options *o = state->input;
	switch (key) {
	case 'l':
		o->listen = arg;
		return 0;
	case KEY_INSECURE:
		o->insecure = true;
		return 0;
	case ARGP_KEY_ARG:
		if (o->folder)
			argp_error(state, "one folder at a time");
		o->folder = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	options, parse_arg, "[DIR]",
	"Show the captures of a folder in a browser: flame graphs, tables, leaks, differences.\v"
	"DIR is the current folder unless it is given. Prints an address with a token and opens nothing by itself; "
	"without the token nothing is answered. Captures are read only. Ctrl-C ends it.",
	NULL, NULL, NULL,
};

struct mt_error *cmd_serve(int argc, char **argv, int *exit_code_ret)
{
	struct server_options o = { 0 };
	struct server *server;
	sigset_t block, before;
	(void)exit_code_ret;
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &o);
	if (err)
		return err;
	o.folder = o.folder ? o.folder : ".";
	o.listen = o.listen ? o.listen : "127.0.0.1:0";
	signals_catch();
	/* The threads of the server take none of them, so that the wait below cannot miss one. */
	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGHUP);
	sigprocmask(SIG_BLOCK, &block, &before);
	err = server_start(&o, &server);
	if (err)
		return err;
	printf("%s\n", server_address(server));
	fflush(stdout);
	while (!signals_end_asked())
		sigsuspend(&before);
	server_stop(server);
	return NULL;
}
