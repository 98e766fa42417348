/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/diff.c - memtrace diff BASE NEW.
 * Knows: options, the terminal. Does not know: what is shown.
 * Called by cmds/main.c; calls reporters/. */
#include "reporters/diff.h"
#include "base/cleanup.h"
#include "cmds/command.h"
#include "cmds/open.h"
#include "cmds/output.h"

struct diff_args {
	struct open_args open;		/* of NEW */
	const char *base;
	struct diff_options options;
	bool json, html;
};

enum { KEY_JSON = 0x2000, KEY_HTML };

static const struct argp_option options[] = {
	{ "max-rows", 'r', "N", 0, "Rows of the table (default 30, 0: all)", 0 },
	{ "json", KEY_JSON, NULL, 0, "For scripts", 0 },
	{ "html", KEY_HTML, NULL, 0, "An HTML page, to memtrace-diff-NEW.html unless -o says otherwise", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct diff_args *args = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		open_args_children(state, &args->open);
		return 0;
	case 'r':
		args->options.max_rows = cmd_number(state, arg, 0);
		return 0;
	case KEY_JSON:
		args->json = true;
		return 0;
	case KEY_HTML:
		args->html = true;
		return 0;
	case ARGP_KEY_SUCCESS:
		if (args->json && args->html)
			argp_error(state, "one output at a time: --json or --html");
		return 0;
	case ARGP_KEY_ARG:
		if (args->base)
			return ARGP_ERR_UNKNOWN;	/* NEW is the child's */
		args->base = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which captures? BASE and NEW are missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "BASE NEW",
	.doc = "What changed from one capture to another, function by function, the largest change"
	       " first. Functions match by their name and the name of their file, so that moved lines"
	       " and another build do not matter.",
	.children = open_children_views,
};

static void args_deinit(struct diff_args *args)
{
	open_args_deinit(&args->open);
}

static struct mt_error *open_both(struct diff_args *args, struct report *base, struct report *new)
{
	const char *file = args->open.file;
	args->open.file = args->base;
	struct mt_error *err = open_report(&args->open, base);
	args->open.file = file;
	args->open.called[0] = args->open.called[1];
	return err ? err : open_report(&args->open, new);
}

struct mt_error *cmd_diff(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	mt_auto(args_deinit) struct diff_args args = {
		.open = { .view = VIEW_PEAK }, .options = { .max_rows = 30, .width = 120 },
	};
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	auto_report struct report base = { 0 };
	auto_report struct report new = { 0 };
	auto_diff struct diff diff = { 0 };
	auto_output struct output out = { 0 };
	auto_free char *path = NULL;
	size_t rows;
	if (!err)
		err = output_page_path(args.open.output, args.html ? "diff" : NULL, args.open.file, &path);
	if (!err)
		err = output_check(path, args.open.force);
	if (!err)
		err = open_both(&args, &base, &new);
	if (!err)
		err = diff_compute(&base, &new, &diff);
	if (!err)
		err = output_open(path, args.open.force, &out);
	if (err)
		return err;
	cmd_terminal_size(fileno(out.file), &rows, &args.options.width);
	args.options.color = cmd_color(fileno(out.file));
	err = args.html ? diff_write_html(&diff, out.file) :
	      args.json ? diff_write_json(&diff, out.file) :
	      diff_write_text(&diff, &args.options, out.file);
	if (!err)
		err = output_finish(&out);
	if (!err && args.html)
		output_say_page(path);
	return err;
}
