/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/stats.c - memtrace stats FILE.
 * Knows: options. Does not know: what is counted.
 * Called by cmds/main.c; calls reporters/. */
#include "base/cleanup.h"
#include "cmds/command.h"
#include "cmds/open.h"
#include "cmds/output.h"
#include "reporters/stats.h"


struct stats_args {
	struct open_args open;
	bool json;
	size_t top;
};

enum { KEY_JSON = 0x2000 };

static const struct argp_option options[] = {
	{ "json", KEY_JSON, NULL, 0, "For scripts, with the field names of Memray", 0 },
	{ "num-largest", 'n', "N", 0, "Length of the top lists (default 5)", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct stats_args *args = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		open_args_children(state, &args->open);
		return 0;
	case KEY_JSON:
		args->json = true;
		return 0;
	case 'n':
		args->top = cmd_number(state, arg, 1);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE",
	.doc = "Totals, a histogram of sizes, allocation functions, and the places that allocate"
	       " most (all allocations unless --view says otherwise).",
	.children = open_children_views,
};

static void args_deinit(struct stats_args *args)
{
	open_args_deinit(&args->open);
}

struct mt_error *cmd_stats(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	mt_auto(args_deinit) struct stats_args args = {
		.open = { .view = VIEW_ALLOCATED }, .top = 5,
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
	if (!err)
		err = (args.json ? stats_write_json : stats_write_text)(&report, args.top,
									out.file);
	return err ? err : output_finish(&out);
}
