/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/open.h - the options that all report commands share, and the capture they open.
 *
 *	static struct mt_error *cmd_x(...)
 *		auto_open_args struct open_args args = { .view = VIEW_PEAK };	(the defaults)
 *		argp { options, parser, ..., .children = open_children_views };
 *		parser, ARGP_KEY_INIT: open_args_children(state, &args);
 *		cmd_parse_args(&argp, argc, argv, 0, &args);
 *		output_check(args.output, args.force);			(cmds/output.h)
 *		auto_report struct report report = { 0 };
 *		open_report(&args, &report);
 *
 * The child parsers take the positional FILE as well: exactly one. A command with positional
 * arguments of its own before it (transform FORMAT FILE) takes them in its parser and returns
 * ARGP_ERR_UNKNOWN for the rest. */
#ifndef MT_CMDS_OPEN_H
#define MT_CMDS_OPEN_H

#include "base/array.h"
#include "base/error.h"
#include "reporters/report.h"

#include <argp.h>

struct open_args {
	const char *file;		/* FILE */
	const char *called[2];		/* --called, not for people: what messages call FILE, and a second one */
	const char *output;		/* -o, NULL: not given */
	bool force;			/* -f */
	enum view_kind view;
	bool view_given;
	uint32_t temporary_threshold;	/* the default after open_report() when not given */
	bool threshold_given;
	enum report_metric metric;
	bool split_threads, no_native;
	bool growth;			/* of every row; `older_than_ns` goes with it */
	uint64_t older_than_ns;
	bool temporal;			/* what was live when; not with growth */
	MT_ARRAY(const char *) debug_dirs;
	const char *sysroot;
	bool no_debuginfod;
};

#define auto_open_args mt_auto(open_args_deinit)
#define auto_report mt_auto(report_close)

void open_args_deinit(struct open_args *args);
extern const struct argp_child open_children_file[];	/* FILE -o -f */
extern const struct argp_child open_children_symbols[];	/* and --no-native --debug-dir ... */
extern const struct argp_child open_children_views[];	/* and --view ... */
/* Hands `args` to all child parsers; call it at ARGP_KEY_INIT. */
void open_args_children(struct argp_state *state, struct open_args *args);
/* The symbolizer's options; borrows from args. */
struct mt_error *open_symbolize_options(struct open_args *args, struct symbolize_options *ret)
	MT_MUST_CHECK;

/* Opens the capture alone. An output that is the capture itself is refused, whatever -f says. */
struct mt_error *open_capture(const struct open_args *args, struct capture **ret) MT_MUST_CHECK;
/* Opens the capture, names its frames (on the fly when it carries no symbols, said in one line on
 * stderr) and computes the views, with a progress bar. Damage is a warning on stderr. */
struct mt_error *open_report(struct open_args *args, struct report *ret) MT_MUST_CHECK;
/* Ends what open_report made; the struct may be all zero. */
void report_close(struct report *report);
/* "memtrace: warning: FILE: cut at offset ..." when the capture is damaged. */
void open_warn_damage(const struct capture *cap);

#endif
