/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/symbolize.c - `memtrace symbolize FILE`: a capture that carries its names.
 * Knows: copying a capture, replacing it safely. Does not know: DWARF.
 * Called by cmds/main.c; calls symbolize/ and capture/. */
#include "base/array.h"
#include "base/text.h"
#include "cmds/command.h"
#include "symbolize/symbolize.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct symbolize_args {
	const char *file, *output;
	MT_ARRAY(const char *) debug_dirs;
	struct symbolize_options options;
	bool force;
};

static const struct argp_option rows[] = {
	{ "output", 'o', "OUT", 0, "write to OUT and leave FILE as it is", 0 },
	{ "debug-dir", 'D', "DIR", 0, "look for debug files in DIR too (can be repeated)", 0 },
	{ "sysroot", 'S', "DIR", 0, "DIR is the root of the system that was captured", 0 },
	{ "no-debuginfod", 'N', NULL, 0, "do not ask the servers of DEBUGINFOD_URLS", 0 },
	{ "force", 'f', NULL, 0, "overwrite OUT; symbolize again", 0 },
	{ 0 },
};

static error_t parse_arg(int key, char *arg, struct argp_state *state)
{
	struct symbolize_args *a = state->input;
	switch (key) {
	case 'o':
		a->output = arg;
		return 0;
	case 'D':
		return mt_array_push(&a->debug_dirs, arg) ? 0 : ENOMEM;
	case 'S':
		a->options.sysroot = arg;
		return 0;
	case 'N':
		a->options.no_debuginfod = true;
		return 0;
	case 'f':
		a->force = true;
		return 0;
	case ARGP_KEY_ARG:
		if (a->file)
			argp_error(state, "one capture at a time");
		a->file = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which capture?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	rows, parse_arg, "FILE",
	"Give a capture its function names, files and lines.\v"
	"Files are found by their build-id: where they were, in the debug directories, and through "
	"debuginfod if DEBUGINFOD_URLS is set. Afterwards the capture needs no other file. Without "
	"-o, FILE is replaced when all has been written.",
	NULL, NULL, NULL,
};

static struct mt_error *copy_blocks(struct capture *cap, struct capture_writer *w)
{
	for (size_t i = 0; i < capture_block_count(cap); i++) {
		const void *bytes;
		size_t size;
		enum capture_block_type type = capture_block(cap, i, &bytes, &size);
		if (type == CAPTURE_BLOCK_SYMBOLS || !bytes)	/* the old ones, and damaged blocks */
			continue;
		struct mt_error *err = capture_writer_copy_block(w, bytes, size);
		if (err)
			return err;
	}
	return NULL;
}

static struct mt_error *write_capture(struct capture *cap, struct symbolizer *s, const char *path,
				      bool overwrite)
{
	void *symbols = NULL;
	size_t size;
	struct capture_writer *w = NULL;
	uint32_t features = capture_header(cap)->features | CAPTURE_FEATURE_SYMBOLS;
	struct mt_error *err = symbolizer_encode(s, &symbols, &size);
	if (!err)
		err = capture_writer_create(path, overwrite, features, &w);
	if (err) {
		free(symbols);
		return err;
	}
	err = capture_writer_set_header(w, capture_header(cap));
	if (!err)
		err = copy_blocks(cap, w);
	if (!err)
		err = capture_writer_raw_block(w, CAPTURE_BLOCK_SYMBOLS, symbols, size);
	if (!err)
		err = capture_writer_finish(w);
	capture_writer_destroy(w);
	free(symbols);
	if (err)
		unlink(path);
	return err;
}

/* FILE is replaced in one step, and only by a whole file. */
static struct mt_error *replace_capture(struct capture *cap, struct symbolizer *s, const char *path)
{
	auto_free char *target = realpath(path, NULL);	/* a link stays a link */
	auto_free char *temporary = NULL;
	struct stat st;
	if (!target || stat(target, &st))
		return mt_error_os(errno, "cannot find '%s'", path);
	if (asprintf(&temporary, "%s.%d.tmp", target, (int)getpid()) < 0)
		return &mt_enomem;
	struct mt_error *err = write_capture(cap, s, temporary, false);
	if (err)
		return mt_error_hint(err, "'%s' is as it was; -o writes to another place", path);
	/* The owner's, when root symbolizes a user's capture; best effort on file systems without. */
	if ((chmod(temporary, st.st_mode & 0777) || chown(temporary, st.st_uid, st.st_gid)) &&
	    errno != EPERM)
		err = mt_error_os(errno, "cannot give '%s' its owner", temporary);
	if (!err && rename(temporary, target))
		err = mt_error_os(errno, "cannot replace '%s'", path);
	if (err)
		unlink(temporary);
	return err;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;
	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Writing over the capture while it is read would end both. */
static struct mt_error *write_result(const struct symbolize_args *a, struct capture *cap,
				     struct symbolizer *s)
{
	if (!a->output)
		return replace_capture(cap, s, a->file);
	if (a->force && same_file(a->file, a->output))
		return replace_capture(cap, s, a->output);
	return write_capture(cap, s, a->output, a->force);
}

static void print_result(struct capture *cap, const struct symbolizer *s, const char *path)
{
	char count[MT_TEXT_MAX], names[MT_TEXT_MAX], lines[MT_TEXT_MAX];
	uint32_t frames, named, lined;
	size_t notes, modules;
	const char *const *note = symbolizer_notes(s, &notes);
	for (size_t i = 0; i < notes; i++)
		cmd_note("%s", note[i]);
	symbolizer_counts(s, &frames, &named, &lined);
	capture_modules(cap, &modules);
	fprintf(stderr, "memtrace: %s: symbolized %s frames of %zu modules: %s with function names, %s with lines\n",
		path, mt_text_count(count, frames), modules, mt_text_percent(names, named, frames),
		mt_text_percent(lines, lined, frames));
	fprintf(stderr, "next: memtrace flamegraph %s\n", path);
}

static struct mt_error *symbolize(struct symbolize_args *a)
{
	auto_capture struct capture *cap = NULL;
	auto_symbolizer struct symbolizer *s = NULL;
	struct mt_error *err = capture_open(a->file, &cap);
	if (err)
		return err;
	if (capture_has_symbols(cap) && !a->force && !a->output) {
		cmd_note("'%s' carries symbols already; -f looks them up again", a->file);
		return NULL;
	}
	a->options.again = true;
	err = symbolizer_create(cap, &a->options, &s);
	if (!err)
		err = symbolizer_resolve(s, cmd_progress, (void *)"symbolizing");
	cmd_progress_end();
	if (s)
		cmd_warn_servers(s);
	if (!err && capture_damage(cap))
		cmd_note("'%s' is %s; what is whole was symbolized", a->file, capture_damage(cap));
	if (!err)
		err = write_result(a, cap, s);
	if (!err)
		print_result(cap, s, a->output ? a->output : a->file);
	return err;
}

struct mt_error *cmd_symbolize(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	struct symbolize_args args = { 0 };
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	if (!err && !mt_array_push(&args.debug_dirs, NULL))
		err = &mt_enomem;
	args.options.debug_dirs = args.debug_dirs.items;
	if (!err)
		err = symbolize(&args);
	mt_array_deinit(&args.debug_dirs);
	return err;
}
