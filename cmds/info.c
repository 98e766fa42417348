/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/info.c - memtrace info FILE.
 * Knows: options. Does not know: what is told.
 * Called by cmds/main.c; calls reporters/. */
#include "reporters/info.h"
#include "base/cleanup.h"
#include "cmds/command.h"
#include "cmds/open.h"
#include "cmds/output.h"

struct info_args {
	struct open_args open;
	bool json;
};

enum { KEY_JSON = 0x2000 };

static const struct argp_option options[] = {
	{ "json", KEY_JSON, NULL, 0, "For scripts", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct info_args *args = state->input;
	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		open_args_children(state, &args->open);
		return 0;
	case KEY_JSON:
		args->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE",
	.doc = "What a capture is and how it was made: process, times, events, counters, threads"
	       " and modules.",
	.children = open_children_file,
};

static void args_deinit(struct info_args *args)
{
	open_args_deinit(&args->open);
}

struct mt_error *cmd_info(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	mt_auto(args_deinit) struct info_args args = { 0 };
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	auto_capture struct capture *cap = NULL;
	auto_info struct info info = { 0 };
	auto_output struct output out = { 0 };
	if (!err)
		err = output_check(args.open.output, args.open.force);
	if (!err)
		err = open_capture(&args.open, &cap);
	if (!err)
		err = info_gather(cap, cmd_progress, (void *)"events", &info);
	cmd_progress_end();
	if (err)
		return err;
	open_warn_damage(cap);
	err = output_open(args.open.output, args.open.force, &out);
	if (!err)
		err = (args.json ? info_write_json : info_write_text)(&info, out.file);
	return err ? err : output_finish(&out);
}
