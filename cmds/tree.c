/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/tree.c - memtrace tree FILE.
 * Knows: options, whether there is a terminal. Does not know: what is shown.
 * Called by cmds/main.c; calls reporters/tui/. */
#include "base/cleanup.h"
#include "cmds/command.h"
#include "cmds/open.h"
#include "cmds/output.h"
#include "reporters/tui/plain.h"
#include "reporters/tui/tui.h"

#include <string.h>

#define PLAIN_STACKS 200u	/* the same number as Memray's */

enum { KEY_INVERTED = 256 };

struct tree_args {
	struct open_args open;
	size_t biggest;
	bool biggest_given, inverted;
};

static const struct argp_option options[] = {
	{ "biggest-allocs", 'b', "N", 0,
	  "The N largest stacks, the others as one line; 0: all (default: all on a terminal, else 200)",
	  0 },
	{ "inverted", KEY_INVERTED, NULL, 0, "Begin with what allocates; callers are below it", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct tree_args *args = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		open_args_children(state, &args->open);
		return 0;
	case 'b':
		args->biggest = cmd_number(state, arg, 0);
		args->biggest_given = true;
		return 0;
	case KEY_INVERTED:
		args->inverted = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE",
	.doc = "The stacks that hold memory, as a tree to look through with keys ('?' tells them),"
	       " largest first. Where the output is no terminal, the tree as text.",
	.children = open_children_views,
};

struct capture_source {
	const struct report *report;
	struct data_request last;
	bool any;
};

static struct mt_error *get(void *arg, const struct data_request *request, struct data **ret)
{
	struct capture_source *source = arg;
	if (source->any && data_request_same(&source->last, request))
		return NULL;
	struct mt_error *err = data_make(source->report, request, ret);
	source->any = !err;
	source->last = *request;
	return err;
}

static struct mt_error *show(const struct report *report, const struct data_request *request)
{
	struct capture_source state = { .report = report };
	struct tui_source source = { .get = get, .wake_fd = -1, .arg = &state };
	return tui_run(&source, &(struct tui_options){ .request = *request,
						       .color = cmd_color(STDOUT_FILENO) });
}

static struct mt_error *print(const struct report *report, const struct data_request *request,
			      const struct open_args *open)
{
	auto_output struct output out = { 0 };
	auto_data struct data *data = NULL;
	struct mt_error *err = data_make(report, request, &data);
	if (!err)
		err = output_open(open->output, open->force, &out);
	if (!err)
		err = plain_write(data, isatty(fileno(out.file)) && !cmd_utf8(), out.file);
	return err ? err : output_finish(&out);
}

static void args_deinit(struct tree_args *args)
{
	open_args_deinit(&args->open);
}

struct mt_error *cmd_tree(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	mt_auto(args_deinit) struct tree_args args = { .open = { .view = VIEW_PEAK } };
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	auto_report struct report report = { 0 };
	if (!err)
		err = output_check(args.open.output, args.open.force);
	bool thread_roots = args.open.split_threads;
	args.open.split_threads = true;		/* one thread at a time can be asked for later */
	if (!err)
		err = open_report(&args.open, &report);
	if (err)
		return err;
	const char *term = getenv("TERM");
	bool screen = !args.open.output && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term &&
		      strcmp(term, "dumb");
	struct data_request request = {
		.page = PAGE_TREE, .view = args.open.view, .thread = DATA_ALL_THREADS,
		.hide = FRAME_INTERPRETER, .no_native = args.open.no_native,
		.inverted = args.inverted, .thread_roots = thread_roots, .metric = args.open.metric,
		.biggest = args.biggest_given || screen ? args.biggest : PLAIN_STACKS,
	};
	return screen ? show(&report, &request) : print(&report, &request, &args.open);
}
