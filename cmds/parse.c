/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/parse.c - memtrace parse FILE.
 * Knows: options. Does not know: records.
 * Called by cmds/main.c; calls reporters/. */
#include "reporters/parse.h"
#include "base/cleanup.h"
#include "cmds/command.h"
#include "cmds/open.h"
#include "cmds/output.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	open_args_children(state, state->input);
	return 0;
}

static const struct argp argp = {
	.parser = parse,
	.args_doc = "FILE",
	.doc = "Every record of a capture as a line of text: the record's name, then key=value"
	       " pairs. For looking into a capture; not meant to stay the same for ever.",
	.children = open_children_file,
};

struct mt_error *cmd_parse(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	auto_open_args struct open_args args = { 0 };
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	auto_capture struct capture *cap = NULL;
	auto_output struct output out = { 0 };
	if (!err)
		err = output_check(args.output, args.force);
	if (!err)
		err = open_capture(&args, &cap);
	if (!err && capture_aggregated(cap))
		err = mt_error_hint(mt_error_create(MT_ERROR_OTHER, "'%s' is an aggregated capture: it has no single"
						    " events", args.file),
				    "record without --aggregate for those");
	if (!err)
		err = output_open(args.output, args.force, &out);
	if (err)
		return err;
	if (isatty(fileno(out.file)))
		cmd_note("every event of the capture follows; '-o FILE' or '| less' may be better");
	err = parse_write(cap, out.file);
	if (err)
		return err;
	open_warn_damage(cap);
	return output_finish(&out);
}
