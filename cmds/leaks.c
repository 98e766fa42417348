/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/leaks.c - memtrace leaks FILE.
 * Knows: options, the terminal. Does not know: what is shown.
 * Called by cmds/main.c; calls reporters/. */
#include "reporters/leaks.h"
#include "base/cleanup.h"
#include "cmds/command.h"
#include "cmds/open.h"
#include "cmds/output.h"

#include <string.h>

struct leaks_args {
	struct open_args open;
	struct leaks_options options;
	enum leaks_order order;
	bool json, html, sites_given;
};

enum { KEY_JSON = 0x2000, KEY_HTML, KEY_OLDER, KEY_FRAMES, KEY_SORT };

static const struct argp_option options[] = {
	{ "older-than", KEY_OLDER, "AGE", 0,
	  "Only blocks that are at least this old at the end: 10s, 500ms, 5m", 0 },
	{ "num-sites", 'n', "N", 0, "Sites to show (default 10, of --html 50; 0: all)", 0 },
	{ "frames", KEY_FRAMES, "N", 0, "Frames of each stack to show (default 12, 0: all)", 0 },
	{ "sort", KEY_SORT, "ORDER", 0, "likely (default), bytes or count", 0 },
	{ "json", KEY_JSON, NULL, 0, "For scripts", 0 },
	{ "html", KEY_HTML, NULL, 0, "An HTML page, to memtrace-leaks-NAME.html unless -o says otherwise", 0 },
	{ 0 },
};

static enum leaks_order parse_order(struct argp_state *state, const char *name)
{
	static const char *const names[] = { "likely", "bytes", "count" };
	for (unsigned i = 0; i < 3; i++)
		if (!strcmp(name, names[i]))
			return (enum leaks_order)i;
	argp_error(state, "no such order: '%s' (likely, bytes, count)", name);
	return LEAKS_LIKELY;
}

static uint64_t parse_age(struct argp_state *state, const char *text)
{
	uint64_t ns = 0;
	auto_error struct mt_error *err = cmd_parse_duration(text, &ns);
	if (err)
		argp_error(state, "%s", err->message);
	return ns;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct leaks_args *args = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		open_args_children(state, &args->open);
		return 0;
	case KEY_OLDER:
		args->open.older_than_ns = parse_age(state, arg);
		return 0;
	case 'n':
		args->options.max_sites = cmd_number(state, arg, 0);
		args->sites_given = true;
		return 0;
	case KEY_FRAMES:
		args->options.max_frames = cmd_number(state, arg, 0);
		return 0;
	case KEY_SORT:
		args->order = parse_order(state, arg);
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
		if (args->html && !args->sites_given)
			args->options.max_sites = 50;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE",
	.doc = "What was allocated while recording and not freed by its end, site by site, the likeliest"
	       " leak first: the site whose live bytes grew most in the last two thirds of the"
	       " capture and fell least. A large site that came early and stayed comes after it.",
	.children = open_children_symbols,
};

static void args_deinit(struct leaks_args *args)
{
	open_args_deinit(&args->open);
}

struct mt_error *cmd_leaks(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	mt_auto(args_deinit) struct leaks_args args = {
		.open = { .view = VIEW_LEAKS, .growth = true },
		.options = { .max_sites = 10, .max_frames = 12, .width = 120 },
	};
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	auto_report struct report report = { 0 };
	auto_output struct output out = { 0 };
	auto_leaks struct leaks leaks = { 0 };
	auto_free char *path = NULL;
	size_t rows;
	if (!err)
		err = output_page_path(args.open.output, args.html ? "leaks" : NULL, args.open.file,
				       &path);
	if (!err)
		err = output_check(path, args.open.force);
	if (!err)
		err = open_report(&args.open, &report);
	if (!err)
		err = leaks_compute(&report, &leaks);
	if (!err)
		err = output_open(path, args.open.force, &out);
	if (err)
		return err;
	leaks_sort(&leaks, args.order);
	cmd_terminal_size(fileno(out.file), &rows, &args.options.width);
	args.options.color = cmd_color(fileno(out.file));
	args.options.ascii = isatty(fileno(out.file)) && !cmd_utf8();
	err = (args.html ? leaks_write_html : args.json ? leaks_write_json : leaks_write_text)(
		&leaks, &args.options, out.file);
	if (!err)
		err = output_finish(&out);
	if (!err && args.html)
		output_say_page(path);
	return err;
}
