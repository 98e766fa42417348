/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/main.c - the command table, and what happens before and after a command.
 * Knows: names of commands, exit codes. Does not know: what they do.
 * Called by the system; calls cmds/. */
#include "base/cleanup.h"
#include "cmds/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
	{ "attach", "record the allocations of a running process", cmd_attach },
	{ "run", "start a program and record its allocations", cmd_run },
	{ "live", "watch the memory of a running process on the terminal", cmd_live },
	{ "detach", "stop a capture, or remove what a killed memtrace left", cmd_detach },
	{ "status", "what of memtrace is in a process now", cmd_status },
	{ "stack", "the stacks of all threads of a process, native and Python", cmd_stack },
	{ "symbolize", "give a capture its function names, files and lines", cmd_symbolize },
	{ "flamegraph", "write a flame graph as one HTML page", cmd_flamegraph },
	{ "table", "write all places that allocate as one HTML page", cmd_table },
	{ "leaks", "what was never freed, the likeliest leak first", cmd_leaks },
	{ "tree", "the stacks that hold memory, as a tree to look through", cmd_tree },
	{ "summary", "the functions that allocate most, on the terminal", cmd_summary },
	{ "stats", "totals, histogram and top locations; --json for scripts", cmd_stats },
	{ "diff", "what changed between two captures, function by function", cmd_diff },
	{ "serve", "show the captures of a folder in a browser", cmd_serve },
	{ "transform", "write another tool's format: pprof, speedscope, folded, ...", cmd_transform },
	{ "serve", "captures in the browser: reports, new captures, downloads", cmd_serve },
	{ "info", "what a capture is and how it was made", cmd_info },
	{ "parse", "every record of a capture as a line of text", cmd_parse },
};

static void print_help(FILE *out)
{
	fprintf(out, "usage: memtrace COMMAND [OPTIONS] ...\n\n"
		     "Finds where a running program's memory goes.\n\ncommands:\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\n`memtrace COMMAND --help` tells a command's options. For example:\n"
		     "  memtrace attach 1234 --duration 30s\n"
		     "  memtrace symbolize memtrace-app.1234.bin\n"
		     "  memtrace flamegraph memtrace-app.1234.bin\n");
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* A full disk or a closed pipe behind stdout must not look like success. */
static struct mt_error *check_stdout(void)
{
	if (fflush(stdout) || ferror(stdout))
		return mt_error_os(errno, "cannot write to standard output");
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	const char *name = argv[1];
	const struct command *command = find_command(name);
	bool help = !strcmp(name, "-h") || !strcmp(name, "--help") || !strcmp(name, "help");
	bool version = !strcmp(name, "-V") || !strcmp(name, "--version");
	if (!command && !help && !version) {
		fprintf(stderr, "memtrace: no such command: '%s'\nhint: memtrace --help lists them\n",
			name);
		return EXIT_USAGE;
	}
	int code = EXIT_DONE;
	auto_error struct mt_error *err = NULL;
	if (help)
		print_help(stdout);
	else if (version)
		printf("memtrace " MT_VERSION "\n");
	else
		err = command->run(argc - 1, argv + 1, &code);
	if (!err)
		err = check_stdout();
	if (!err)
		return code;
	cmd_print_error(err);
	return err->code == MT_ERROR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}
