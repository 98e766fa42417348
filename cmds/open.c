/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/open.c - the options that all report commands share, and the capture they open.
 * Knows: argp, what is said on stderr on the way. Does not know: what a report looks like.
 * Called by cmds/; calls capture/, symbolize/ and analysis/. */
#include "cmds/open.h"
#include "base/text.h"
#include "cmds/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- options ------------------------------------------------------------------------------- */

enum open_key {
	KEY_VIEW = 0x1000, KEY_LEAKS, KEY_TEMPORARY, KEY_THRESHOLD, KEY_METRIC, KEY_SPLIT,
	KEY_NO_NATIVE, KEY_DEBUG_DIR, KEY_SYSROOT, KEY_NO_DEBUGINFOD, KEY_CALLED,
};

static const struct argp_option file_options[] = {
	{ "output", 'o', "OUT", 0, "Write to OUT; '-' is standard output", 0 },
	{ "force", 'f', NULL, 0, "Overwrite OUT", 0 },
	/* For `serve`, whose FILE is a descriptor. */
	{ "called", KEY_CALLED, "NAME", OPTION_HIDDEN, NULL, 0 },
	{ 0 },
};

static const struct argp_option symbol_options[] = {
	{ "no-native", KEY_NO_NATIVE, NULL, 0, "Python frames only", 0 },
	{ "debug-dir", KEY_DEBUG_DIR, "DIR", 0,
	  "Look for separate debug files in DIR too (may be repeated)", 0 },
	{ "sysroot", KEY_SYSROOT, "DIR", 0, "The captured machine's files are below DIR", 0 },
	{ "no-debuginfod", KEY_NO_DEBUGINFOD, NULL, 0, "Ask no debuginfod server", 0 },
	{ 0 },
};

static const struct argp_option view_options_table[] = {
	{ "view", KEY_VIEW, "VIEW", 0, "peak, leaks, allocated or temporary", 0 },
	{ "leaks", KEY_LEAKS, NULL, 0, "Short for --view leaks", 0 },
	{ "temporary-allocations", KEY_TEMPORARY, NULL, 0, "Short for --view temporary", 0 },
	{ "temporary-allocation-threshold", KEY_THRESHOLD, "N", 0,
	  "What is freed before N + 1 further allocations is temporary (default 1)", 0 },
	{ "metric", KEY_METRIC, "METRIC", 0, "bytes or count", 0 },
	{ "split-threads", KEY_SPLIT, NULL, 0, "Keep threads apart", 0 },
	{ 0 },
};

static error_t parse_file(int key, char *arg, struct argp_state *state)
{
	struct open_args *args = state->input;
	switch (key) {
	case 'o':
		args->output = arg;
		return 0;
	case 'f':
		args->force = true;
		return 0;
	case KEY_CALLED:
		args->called[args->called[0] != NULL] = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (args->file)
			argp_error(state, "one capture at a time: '%s' is too many", arg);
		args->file = arg;
		return 0;
	case ARGP_KEY_END:
		if (!args->file)
			argp_error(state, "which capture? FILE is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_symbols(int key, char *arg, struct argp_state *state)
{
	struct open_args *args = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		open_args_children(state, args);
		return 0;
	case KEY_NO_NATIVE:
		args->no_native = true;
		return 0;
	case KEY_DEBUG_DIR:
		return mt_array_push(&args->debug_dirs, arg) ? 0 : ENOMEM;
	case KEY_SYSROOT:
		args->sysroot = arg;
		return 0;
	case KEY_NO_DEBUGINFOD:
		args->no_debuginfod = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void set_view(struct argp_state *state, struct open_args *args, enum view_kind view)
{
	if (args->view_given && args->view != view)
		argp_error(state, "one view at a time: %s or %s", view_name(args->view),
			   view_name(view));
	args->view = view;
	args->view_given = true;
}

static void set_view_by_name(struct argp_state *state, struct open_args *args, const char *name)
{
	enum view_kind view = args->view;
	if (!view_parse(name, &view))
		argp_error(state, "no such view: '%s' (peak, leaks, allocated, temporary)", name);
	set_view(state, args, view);
}

static void set_threshold(struct argp_state *state, struct open_args *args, const char *text)
{
	char *end;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || n > 1000000000)
		argp_error(state, "not a number of allocations: '%s'", text);
	set_view(state, args, VIEW_TEMPORARY);
	args->temporary_threshold = (uint32_t)n;
	args->threshold_given = true;
}

static void set_metric(struct argp_state *state, struct open_args *args, const char *name)
{
	if (!strcmp(name, "bytes"))
		args->metric = METRIC_BYTES;
	else if (!strcmp(name, "count"))
		args->metric = METRIC_COUNT;
	else
		argp_error(state, "no such metric: '%s' (bytes, count)", name);
}

static error_t parse_views(int key, char *arg, struct argp_state *state)
{
	struct open_args *args = state->input;
	switch (key) {
	case ARGP_KEY_INIT:
		open_args_children(state, args);
		return 0;
	case KEY_VIEW:
		set_view_by_name(state, args, arg);
		return 0;
	case KEY_LEAKS:
		set_view(state, args, VIEW_LEAKS);
		return 0;
	case KEY_TEMPORARY:
		set_view(state, args, VIEW_TEMPORARY);
		return 0;
	case KEY_THRESHOLD:
		set_threshold(state, args, arg);
		return 0;
	case KEY_METRIC:
		set_metric(state, args, arg);
		return 0;
	case KEY_SPLIT:
		args->split_threads = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp file_argp = { .options = file_options, .parser = parse_file };
/* One child each, so that every parser hands its input down in the same way. */
const struct argp_child open_children_file[] = { { &file_argp, 0, NULL, 0 }, { 0 } };
static const struct argp symbols_argp = {
	.options = symbol_options, .parser = parse_symbols, .children = open_children_file,
};
const struct argp_child open_children_symbols[] = { { &symbols_argp, 0, NULL, 0 }, { 0 } };
static const struct argp views_argp = {
	.options = view_options_table, .parser = parse_views, .children = open_children_symbols,
};
const struct argp_child open_children_views[] = { { &views_argp, 0, NULL, 0 }, { 0 } };

void open_args_children(struct argp_state *state, struct open_args *args)
{
	state->child_inputs[0] = args;
}

void open_args_deinit(struct open_args *args)
{
	mt_array_deinit(&args->debug_dirs);
}

struct mt_error *open_symbolize_options(struct open_args *args, struct symbolize_options *ret)
{
	/* The terminating NULL stays out of len, so that this can be called again. */
	if (!mt_array_reserve(&args->debug_dirs, args->debug_dirs.len + 1))
		return &mt_enomem;
	args->debug_dirs.items[args->debug_dirs.len] = NULL;
	*ret = (struct symbolize_options){
		.debug_dirs = args->debug_dirs.items,
		.sysroot = args->sysroot,
		.no_debuginfod = args->no_debuginfod,
		.no_native = args->no_native,
	};
	return NULL;
}

/* ---- the capture --------------------------------------------------------------------------- */

void open_warn_damage(const struct capture *cap)
{
	const char *damage = capture_damage(cap);
	auto_free char *path = damage ? mt_text_clean(capture_path(cap)) : NULL;
	if (damage)
		cmd_note("warning: '%s': %s; what is whole is reported",
			 path ? path : "", damage);
}

static void warn_dropped(const struct capture *cap)
{
	uint64_t dropped = 0, produced = 0;
	char a[MT_TEXT_MAX], b[MT_TEXT_MAX];
	if (!capture_counter(cap, CAPTURE_COUNTER_DROPPED, &dropped) || !dropped)
		return;
	capture_counter(cap, CAPTURE_COUNTER_PRODUCED, &produced);
	cmd_note("warning: %s of %s events were dropped while recording; numbers are too low",
		 mt_text_count(a, dropped), mt_text_count(b, produced));
}

static void warn_late_loads(const struct capture *cap)
{
	uint64_t late = 0;
	if (capture_counter(cap, CAPTURE_COUNTER_LATE_LOADS, &late) && late)
		cmd_note("warning: memtrace was too slow for %llu libraries that were loaded while recording: "
			 "what they allocated first is missing", (unsigned long long)late);
}

static void print_meta_note(const struct capture *cap)
{
	const char *note = capture_meta(cap, CAPTURE_META_NOTE, NULL);
	auto_free char *clean = note && *note ? mt_text_clean(note) : NULL;
	if (clean)
		cmd_note("note: %s", clean);
}

static void say_sampled(const struct capture *cap)
{
	uint64_t rate = capture_meta_u64(cap, CAPTURE_META_SAMPLE, 0);
	char text[MT_TEXT_MAX];
	if (rate)
		cmd_note("a sample, one block every %s of allocations: bytes and counts are estimates"
			 " (mappings are exact)", mt_text_size(text, rate));
}

/* One line about names that were looked up now, and what could not be named. */
static void say_resolved(const struct report *r)
{
	uint32_t frames = 0, named = 0, lined = 0;
	size_t notes = 0;
	symbolizer_counts(r->sym, &frames, &named, &lined);
	const char *const *text = symbolizer_notes(r->sym, &notes);
	if (!frames)
		return;
	auto_free char *path = mt_text_clean(capture_path(r->cap));
	cmd_note("no symbols in '%s' yet: named %u of %u native frames, %u with lines, from the"
		 " files here; 'memtrace symbolize' keeps them", path ? path : "", named, frames,
		 lined);
	if (!notes || named == frames)
		return;
	auto_free char *first = mt_text_clean(text[0]);
	if (notes == 1)
		cmd_note("%s", first ? first : "");
	else
		cmd_note("%s (and %zu more modules)", first ? first : "", notes - 1);
}

static struct mt_error *resolve(struct open_args *args, struct report *r)
{
	struct symbolize_options options;
	struct mt_error *err = open_symbolize_options(args, &options);
	if (!err)
		err = symbolizer_create(r->cap, &options, &r->sym);
	if (err)
		return err;
	err = symbolizer_resolve(r->sym, cmd_progress, (void *)"symbols");
	cmd_progress_end();
	args->no_debuginfod |= cmd_warn_servers(r->sym);
	if (!err && !capture_has_symbols(r->cap) && !args->no_native)
		say_resolved(r);
	return err;
}

static struct mt_error *compute(struct open_args *args, struct report *r)
{
	if (!args->threshold_given)
		args->temporary_threshold = 1;
	uint64_t older_than = args->older_than_ns / 1000000;
	struct view_options options = {
		.split_threads = args->split_threads,
		.temporary_threshold = args->temporary_threshold,
		.growth = args->growth,
		.temporal = args->temporal,
		.older_than_ms = (uint32_t)(older_than < UINT32_MAX ? older_than : UINT32_MAX),
		.progress = cmd_progress,
		.progress_arg = (void *)"events",
	};
	struct mt_error *err = views_compute(r->cap, &options, &r->views);
	cmd_progress_end();
	return err;
}

struct mt_error *open_capture(const struct open_args *args, struct capture **ret)
{
	struct stat in, out;
	if (args->output && !stat(args->file, &in) && !stat(args->output, &out) &&
	    in.st_dev == out.st_dev && in.st_ino == out.st_ino)
		return mt_error_hint(mt_error_create(MT_ERROR_EXISTS,
						     "the output '%s' is the capture itself",
						     args->output),
				     "-o takes the name of another file");
	return capture_open_called(args->file, args->called[0] ? args->called[0] : args->file, ret);
}

struct mt_error *open_report(struct open_args *args, struct report *ret)
{
	auto_report struct report r = {
		.view = args->view,
		.metric = args->metric,
		.split_threads = args->split_threads,
		.no_native = args->no_native,
	};
	struct mt_error *err = open_capture(args, &r.cap);
	if (!err && r.view == VIEW_TEMPORARY && capture_meta_u64(r.cap, CAPTURE_META_SAMPLE, 0))
		err = mt_error_hint(mt_error_create(MT_ERROR_OTHER,
						    "a sample does not tell which blocks were temporary"),
				    "record without --sample for this view");
	if (!err)
		err = compute(args, &r);
	if (!err)
		err = resolve(args, &r);
	if (err)
		return err;
	open_warn_damage(r.cap);
	say_sampled(r.cap);
	warn_dropped(r.cap);
	warn_late_loads(r.cap);
	print_meta_note(r.cap);
	*ret = r;
	r = (struct report){ 0 };
	return NULL;
}

void report_close(struct report *report)
{
	views_destroy(report->views);
	symbolizer_destroy(report->sym);
	capture_close(report->cap);
	*report = (struct report){ 0 };
}
