/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/summary.c - memtrace summary FILE.
 * Knows: options, the terminal's size. Does not know: what is shown.
 * Called by cmds/main.c; calls reporters/. */
#include "reporters/summary.h"
#include "base/cleanup.h"
#include "cmds/command.h"
#include "cmds/open.h"
#include "cmds/output.h"


#define DEFAULT_ROWS 20		/* and columns, where the output is no terminal */
#define DEFAULT_WIDTH 120
#define LEAST_ROWS 10
#define LINES_AROUND 5		/* of a terminal that are not rows of the table */

struct summary_args {
	struct open_args open;
	struct summary_options options;
};

static const struct argp_option options[] = {
	{ "sort-column", 's', "N", 0,
	  "1 total memory (default), 2 its share, 3 own memory, 4 its share, 5 allocations", 0 },
	{ "max-rows", 'r', "N", 0, "Rows of the table (default: as many as the terminal has room)",
	  0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct summary_args *args = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		open_args_children(state, &args->open);
		return 0;
	case 's':
		if (*arg < '1' || *arg > '5' || arg[1])
			argp_error(state, "not a column from 1 to 5: '%s'", arg);
		args->options.sort_column = (unsigned)(*arg - '0');
		return 0;
	case 'r':
		args->options.max_rows = cmd_number(state, arg, 1);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE",
	.doc = "The functions that hold most memory, as a table (at the peak unless --view says"
	       " otherwise). Total memory and the count are of a function and all it called, own"
	       " memory is of the function itself.",
	.children = open_children_views,
};

static void fit_to_terminal(struct summary_options *o, int fd)
{
	size_t rows = DEFAULT_ROWS, columns = DEFAULT_WIDTH;
	if (cmd_terminal_size(fd, &rows, &columns)) {
		rows = rows > LINES_AROUND ? rows - LINES_AROUND : 0;
		if (rows < LEAST_ROWS)
			rows = LEAST_ROWS;
	}
	o->width = columns;
	o->color = cmd_color(fd);
	if (!o->max_rows)
		o->max_rows = rows;
}

static void args_deinit(struct summary_args *args)
{
	open_args_deinit(&args->open);
}

struct mt_error *cmd_summary(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	mt_auto(args_deinit) struct summary_args args = {
		.open = { .view = VIEW_PEAK },
	};
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	auto_report struct report report = { 0 };
	auto_output struct output out = { 0 };
	if (!err)
		err = output_check(args.open.output, args.open.force);
	if (!err)
		err = open_report(&args.open, &report);
	if (!err)
		err = output_open(args.open.output, args.open.force, &out);
	if (err)
		return err;
	fit_to_terminal(&args.options, fileno(out.file));
	if (!args.options.sort_column)
		args.options.sort_column = args.open.metric == METRIC_COUNT ? 5 : 1;
	err = summary_write(&report, &args.options, out.file);
	return err ? err : output_finish(&out);
}
