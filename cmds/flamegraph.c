/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/flamegraph.c - `memtrace flamegraph`: a capture as one HTML page.
 * Knows: options, file names. Does not know: what is on the page.
 * Called by cmds/main; calls cmds/open, cmds/output and reporters/flamegraph. */
#include "base/cleanup.h"
#include "base/text.h"
#include "cmds/command.h"
#include "cmds/open.h"
#include "cmds/output.h"
#include "reporters/flamegraph.h"
#include "reporters/html_stats.h"
#include "reporters/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char doc[] =
	"Writes a flame graph of a capture as one HTML page that opens offline in any browser. All "
	"views (peak, leaks, allocated, temporary) are in the page; --view and --metric say which "
	"one it shows first."
	"\vThe page goes to memtrace-flamegraph-NAME.html in the current directory unless -o says "
	"otherwise; its path is printed on standard output. `-o -` writes the page there instead.";

struct args {
	struct open_args open;
	bool inverted;
	size_t max_points;
	enum confidential confidential;
};

enum { KEY_INVERTED = 0x2000, KEY_NO_TEMPORAL, KEY_POINTS, KEY_CONFIDENTIAL, KEY_AS_IT_IS };

static const struct argp_option options[] = {
	{ "inverted", KEY_INVERTED, NULL, 0,
	  "Show the page inverted at first: the functions that allocate, below them their callers", 0 },
	{ "no-temporal", KEY_NO_TEMPORAL, NULL, 0,
	  "Leave out what was live when: a smaller page, without ranges of time", 0 },
	{ "max-memory-records", KEY_POINTS, "N", 0,
	  "Points of the chart of memory over time (default 2000)", 0 },
	{ "confidential-files", KEY_CONFIDENTIAL, "WHICH", 0,
	  "Source files of which no line may be in the page: all, none, default (what not everybody "
	  "may read, but for .py files)", 0 },
	/* What a page of ours always is and has; known to those who come from Memray. */
	{ "temporal", KEY_AS_IT_IS, NULL, OPTION_HIDDEN, NULL, 0 },
	{ "no-web", KEY_AS_IT_IS, NULL, OPTION_HIDDEN, NULL, 0 },
	{ 0 },
};

static enum confidential parse_confidential(struct argp_state *state, const char *which)
{
	static const char *const names[] = {
		[CONFIDENTIAL_DEFAULT] = "default", [CONFIDENTIAL_ALL] = "all", [CONFIDENTIAL_NONE] = "none",
	};
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(which, names[i]))
			return (enum confidential)i;
	argp_error(state, "which files are confidential: '%s'? (all, none, default)", which);
	return CONFIDENTIAL_ALL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		open_args_children(state, &args->open);
		return 0;
	case KEY_INVERTED:
		args->inverted = true;
		return 0;
	case KEY_NO_TEMPORAL:
		args->open.temporal = false;
		return 0;
	case KEY_POINTS:
		args->max_points = cmd_number(state, arg, 2);
		return 0;
	case KEY_CONFIDENTIAL:
		args->confidential = parse_confidential(state, arg);
		return 0;
	case KEY_AS_IT_IS:
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = { options, parse_option, "FILE", doc, open_children_views,
				  NULL, NULL };

/* What the reader of the page should know about the names in it. */
static struct mt_error *note_symbols(struct flamegraph *g, const struct symbolizer *sym)
{
	size_t count;
	const char *const *notes = symbolizer_notes(sym, &count);
	for (size_t i = 0; i < count && i < 8; i++) {
		struct mt_error *err = flamegraph_note(g, false, "%s", notes[i]);
		if (err)
			return err;
	}
	if (count > 8)
		return flamegraph_note(g, false, "%zu more modules have no names; `memtrace "
				       "symbolize` lists them.", count - 8);
	return NULL;
}

/* Source lines into the page; `s` has to live as long as it. */
static struct mt_error *add_sources(struct flamegraph *g, const struct report *report,
				    const struct args *args, struct sources *s)
{
	struct source_options source = {
		.confidential = args->confidential, .sysroot = args->open.sysroot,
		.start_ns = capture_meta_u64(report->cap, CAPTURE_META_START, 0),
	};
	struct mt_error *err = sources_read(g->tree, &source, s);
	if (err)
		return err;
	g->sources = s;
	if (!s->changed)
		return NULL;
	return flamegraph_note(g, false, "%" PRIu32 " source file%s changed after the capture began: no "
			       "line of %s is shown.", s->changed, s->changed == 1 ? "" : "s",
			       s->changed == 1 ? "it" : "them");
}

static struct mt_error *describe(struct flamegraph *g, const struct report *report,
				 const struct args *args, const uint32_t *row_nodes)
{
	struct mt_error *err = flamegraph_describe(g, report->cap, report->views, args->max_points);
	if (!err && report->split_threads)
		err = flamegraph_split(g, report->cap, report->views, row_nodes);
	if (!err)
		err = flamegraph_temporal(g, report->cap, report->views, row_nodes);
	if (!err)
		err = flamegraph_fact(g, "temporary_threshold", "%" PRIu32,
				      args->open.temporary_threshold);
	if (!err && report->view == VIEW_LEAKS)
		err = flamegraph_note_arenas(g, report->cap);
	return err ? err : note_symbols(g, report->sym);
}

static struct mt_error *write_page(const struct report *report, const struct args *args, FILE *out)
{
	auto_tree struct tree *tree = NULL;
	auto_buf struct mt_buf stats = MT_BUF_INIT;
	auto_free uint32_t *row_nodes = calloc(report->views->row_count + 1, sizeof(*row_nodes));
	struct tree_options tree_options = {
		.row_nodes = row_nodes,
		.progress = cmd_progress, .progress_arg = (void *)"building the tree",
	};
	if (!row_nodes)
		return &mt_enomem;
	struct mt_error *err = tree_build(report->cap, report->views, report->sym, &tree_options,
					 &tree);
	cmd_progress_end();
	if (!err)
		err = html_stats(&stats, report);
	if (err)
		return err;
	mt_auto(sources_deinit) struct sources sources = { 0 };
	struct flamegraph g = { .tree = tree, .view = report->view, .stats = &stats,
				.by_count = report->metric == METRIC_COUNT,
				.inverted = args->inverted };
	err = describe(&g, report, args, row_nodes);
	if (!err)
		err = add_sources(&g, report, args, &sources);
	if (!err)
		err = flamegraph_write(&g, out);
	flamegraph_deinit(&g);
	return err;
}

static void say_size(const char *path)
{
	struct stat st;
	char size[MT_TEXT_MAX];
	if (!stat(path, &st))
		cmd_note("wrote a page of %s", mt_text_size(size, (uint64_t)st.st_size));
}

static void args_deinit(struct args *args)
{
	open_args_deinit(&args->open);
}

struct mt_error *cmd_flamegraph(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	mt_auto(args_deinit) struct args args = {
		.open = { .view = VIEW_PEAK, .temporal = true }, .max_points = 2000,
	};
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	if (err)
		return err;
	const char *output = args.open.output;
	auto_free char *path = output ? strdup(output) : output_page_name("flamegraph", args.open.file);
	if (!path)
		return &mt_enomem;
	auto_report struct report report = { 0 };
	auto_output struct output out = { 0 };
	err = output_check(path, args.open.force);
	if (!err)
		err = open_report(&args.open, &report);
	if (!err)
		err = output_open(path, args.open.force, &out);
	if (!err)
		err = write_page(&report, &args, out.file);
	if (!err)
		err = output_finish(&out);
	if (err || !strcmp(path, "-"))
		return err;
	printf("%s\n", path);
	say_size(path);
	return NULL;
}
