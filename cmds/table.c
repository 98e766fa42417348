/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/table.c - memtrace table FILE.
 * Knows: options, where the page goes. Does not know: what is in the page.
 * Called by cmds/main.c; calls reporters/. */
#include "reporters/table.h"
#include "base/cleanup.h"
#include "cmds/command.h"
#include "cmds/open.h"
#include "cmds/output.h"

#include <string.h>

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
	.doc = "Writes all places that allocate, each with its allocation function, as one HTML page with"
	       " a table that opens offline in any browser, sorts, filters and saves as CSV."
	       "\vThe page goes to memtrace-table-NAME.html in the current directory unless -o says"
	       " otherwise; its path is printed on standard output. `-o -` writes the page there"
	       " instead.",
	.children = open_children_views,
};

struct mt_error *cmd_table(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	auto_open_args struct open_args args = { .view = VIEW_PEAK };
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	if (err)
		return err;
	auto_free char *path = args.output ? strdup(args.output) :
			       output_page_name("table", args.file);
	auto_report struct report report = { 0 };
	auto_output struct output out = { 0 };
	if (!path)
		return &mt_enomem;
	err = output_check(path, args.force);
	if (!err)
		err = open_report(&args, &report);
	if (!err)
		err = output_open(path, args.force, &out);
	if (!err)
		err = table_write(&report, out.file);
	if (!err)
		err = output_finish(&out);
	if (!err && strcmp(path, "-"))
		printf("%s\n", path);
	return err;
}
