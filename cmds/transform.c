/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/transform.c - memtrace transform FORMAT FILE: other tools' formats.
 * Knows: the table of formats. Does not know: how one is written.
 * Called by cmds/main.c; calls reporters/. */
#include "base/cleanup.h"
#include "cmds/command.h"
#include "cmds/open.h"
#include "cmds/output.h"
#include "reporters/export.h"
#include "reporters/folded.h"

#include <string.h>

struct transform_args {
	struct open_args open;
	const struct transform_format *format;
	struct folded_options folded;
};

enum format_flags {
	FORMAT_BY_THREAD = 1 << 0,	/* has a place for the thread of every row */
	FORMAT_GROWTH = 1 << 1,		/* wants views->growth */
	FORMAT_BINARY = 1 << 2,		/* not for a terminal */
};

struct transform_format {
	const char *name, *help;
	unsigned flags;
	/* *items_ret is how many lines or records were written. NULL: folded stacks. */
	struct mt_error *(*write)(struct export *x, FILE *out, size_t *items_ret);
};

/* A new format is one row here and one file in reporters/. */
static const struct transform_format formats[] = {
	{ "folded", "one line a stack, \"root;...;leaf value\"", 0, NULL },
	{ "pprof", "profile.proto, gzip: go tool pprof, Pyroscope, Parca",
	  FORMAT_BY_THREAD | FORMAT_BINARY, export_pprof },
	{ "speedscope", "JSON of www.speedscope.app", 0, export_speedscope },
	{ "gprof2dot", "JSON that gprof2dot -f json reads", 0, export_gprof2dot },
	{ "csv", "one row a stack, thread and allocation function", FORMAT_BY_THREAD, export_csv },
	{ "dhat", "JSON of valgrind's dh_view.html", FORMAT_GROWTH, export_dhat },
	{ "sqlite", "database of SQLite: frames, stacks, allocations", FORMAT_BY_THREAD | FORMAT_BINARY,
	  export_sqlite },
	{ "sql", "the statements that make that database", FORMAT_BY_THREAD, export_sql },
};
#define NAMES_MAX 256
#define FORMAT_COUNT (sizeof(formats) / sizeof(formats[0]))

const char *const *cmd_transform_formats(void)
{
	static const char *names[FORMAT_COUNT + 1];
	for (size_t i = 0; i < FORMAT_COUNT; i++)
		names[i] = formats[i].name;
	return names;
}

static void format_names(char *names, size_t size)
{
	names[0] = '\0';
	for (size_t i = 0; i < FORMAT_COUNT; i++) {
		size_t n = strlen(names);
		snprintf(names + n, size - n, "%s%s", i ? ", " : "", formats[i].name);
	}
}

static const struct transform_format *find_format(struct argp_state *state, const char *name)
{
	char names[NAMES_MAX];
	for (size_t i = 0; i < FORMAT_COUNT; i++)
		if (!strcmp(formats[i].name, name))
			return &formats[i];
	format_names(names, sizeof(names));
	argp_error(state, "no such format: '%s' (%s)", name, names);
	return NULL;
}

enum { KEY_INTERPRETER = 0x2000 };

static const struct argp_option options[] = {
	{ "interpreter-frames", KEY_INTERPRETER, NULL, 0,
	  "Keep the frames of the Python interpreter's own call machinery", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct transform_args *args = state->input;
	char names[NAMES_MAX];
	switch (key) {
	case ARGP_KEY_INIT:
		open_args_children(state, &args->open);
		return 0;
	case KEY_INTERPRETER:
		args->folded.interpreter = true;
		return 0;
	case ARGP_KEY_ARG:
		if (args->format)
			return ARGP_ERR_UNKNOWN;	/* FILE is the child's */
		args->format = find_format(state, arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		format_names(names, sizeof(names));
		argp_error(state, "which format? FORMAT and FILE are missing (%s)", names);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The list of formats below the options of --help. */
static char *help_filter(int key, const char *text, void *input)
{
	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	char *list = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&list, &size);
	if (!out)
		return (char *)text;
	fputs("Formats:\n", out);
	for (size_t i = 0; i < FORMAT_COUNT; i++)
		fprintf(out, "  %-12s %s\n", formats[i].name, formats[i].help);
	fclose(out);
	return list;
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FORMAT FILE",
	.doc = "Writes a capture in another tool's format, to standard output or -o OUT.\v",
	.children = open_children_views,
	.help_filter = help_filter,
};

static void args_deinit(struct transform_args *args)
{
	open_args_deinit(&args->open);
}

static struct mt_error *write_format(const struct report *r, const struct transform_args *args,
				     FILE *out, size_t *items_ret)
{
	if (!args->format->write)
		return folded_write(r, &args->folded, out, items_ret);
	auto_export struct export x = { 0 };
	struct mt_error *err = export_init(&x, r, args->folded.interpreter);
	return err ? err : args->format->write(&x, out, items_ret);
}

struct mt_error *cmd_transform(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	mt_auto(args_deinit) struct transform_args args = { .open = { .view = VIEW_PEAK } };
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	auto_report struct report report = { 0 };
	auto_output struct output out = { 0 };
	size_t items = 0;
	if (!err)
		err = output_check(args.open.output, args.open.force);
	if (!err && args.format->flags & FORMAT_BINARY && isatty(STDOUT_FILENO) &&
	    !args.open.output)
		err = mt_error_hint(mt_error_create(MT_ERROR_USAGE, "'%s' is not for a terminal",
						    args.format->name), "-o FILE writes it to a file");
	if (!err) {
		args.open.split_threads |= (args.format->flags & FORMAT_BY_THREAD) != 0;
		args.open.growth = args.format->flags & FORMAT_GROWTH;
		err = open_report(&args.open, &report);
	}
	if (!err)
		err = output_open(args.open.output, args.open.force, &out);
	if (!err)
		err = write_format(&report, &args, out.file, &items);
	if (!err)
		err = output_finish(&out);
	if (!err && !items)
		cmd_note("nothing to write: the view '%s' is empty", view_name(report.view));
	return err;
}
