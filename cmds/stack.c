/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/stack.c - `memtrace stack PID`: the stacks of all threads, native and Python merged.
 * Knows: the order of the work, the output. Does not know: unwinding, interpreters, symbols.
 * Called by cmds/main.c; calls cmds/stack_look.h, record/intern.h, symbolize/.
 *
 * What was copied of each thread becomes, while the process runs, a capture in memory, of stacks without
 * events, so that names, lines and merging are those of every report. */
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "capture/reader.h"
#include "cmds/command.h"
#include "cmds/stack_look.h"
#include "record/intern.h"
#include "record/jit_names.h"
#include "symbolize/symbolize.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES_MAX 4096

struct args {
	const char *pid;
	bool no_native, interpreter, json, verbose, no_debuginfod;
};

struct stacks {
	const struct args *args;
	struct looked look;
	struct intern *intern;
	struct mt_map codes;		/* hash of a key -> id */
	uint32_t next_code;
};

static void stacks_deinit(struct stacks *s)
{
	mt_map_deinit(&s->codes);
	if (s->intern)
		intern_deinit(s->intern);
	free(s->intern);
	looked_deinit(&s->look);
}

/* ---- the capture in memory ---- */

static struct mt_error *put_modules(struct stacks *s, struct capture_writer *w)
{
	struct mt_error *err = intern_take_images(s->intern, &s->look.images);
	if (err)
		return err;
	for (size_t i = 0; i < s->look.images.list.len; i++) {
		const struct image *img = s->look.images.list.items[i];
		struct capture_segment segments[16];
		for (size_t k = 0; k < img->segment_count; k++)
			segments[k] = (struct capture_segment){
				.vaddr = img->segments[k].vaddr, .size = img->segments[k].memsz,
				.file_offset = img->segments[k].offset, .flags = img->segments[k].flags,
			};
		struct capture_module m = {
			.id = img->id, .start = img->start, .end = img->end, .bias = img->bias,
			.path = img->path, .build_id = img->build_id,
			.build_id_size = img->build_id_size, .segments = segments,
			.segment_count = img->segment_count,
		};
		err = capture_writer_module(w, &m);
		if (err)
			return err;
	}
	return NULL;
}

static struct mt_error *put_python(struct stacks *s, struct capture_writer *w)
{
	const struct python *py = &s->look.python;
	char text[32];
	int n = snprintf(text, sizeof(text), "%u.%u", py->version >> 8, py->version & 0xff);
	if (!py->present || !py->version)
		return NULL;
	struct mt_error *err = capture_writer_meta(w, CAPTURE_META_PYTHON, text, (size_t)n);
	if (!err && py->eval_ranges.len)
		err = capture_writer_meta(w, CAPTURE_META_PYTHON_EVAL, py->eval_ranges.data,
					  py->eval_ranges.len);
	return err;
}

static struct mt_error *native_node(struct stacks *s, struct thread_stack *th, uint32_t *ret,
				    bool *cut_ret)
{
	enum backtrace_end end;
	if (th->why)
		return NULL;
	auto_free struct backtrace_frame *frames = calloc(FRAMES_MAX, sizeof(*frames));
	if (!frames)
		return &mt_enomem;
	size_t n = backtrace_walk_copy(s->look.backtrace, &th->native.copy, frames, FRAMES_MAX, &end);
	*cut_ret = end != BACKTRACE_START;
	struct mt_error *err = NULL;
	for (size_t i = n; i > 0 && !err; i--)
		err = intern_native(s->intern, *ret, frames[i - 1].call_pc, ret);
	return err;
}

static uint64_t hash_key(const struct python_code_key *k)
{
	return mt_hash_pair(mt_hash_pair(k->address, k->filename),
			    mt_hash_pair(k->name ^ (uint64_t)k->first_line << 48, k->linetable)) | 1;
}

static struct mt_error *code_id(struct stacks *s, struct capture_writer *w,
				const struct python_code_key *key, uint32_t *ret)
{
	*ret = WIRE_CODE_UNKNOWN;
	if (!key->address)
		return NULL;
	const uint64_t *known = mt_map_get(&s->codes, hash_key(key));
	if (known) {
		*ret = (uint32_t)*known;
		return NULL;
	}
	struct python_code code;
	struct mt_error *err = NULL;
	if (python_frames_code(&s->look.frames, key, &code)) {
		*ret = ++s->next_code;
		struct capture_code out = {
			.id = *ret, .first_line = key->first_line,
			.first_traceable = code.first_traceable,
			.file = (const char *)code.file.data, .file_size = code.file.len,
			.name = (const char *)code.name.data, .name_size = code.name.len,
			.line_table = code.lines.data, .line_table_size = code.lines.len,
		};
		err = capture_writer_code(w, &out);
		python_code_deinit(&code);
	}
	if (!err && !mt_map_put(&s->codes, hash_key(key), *ret))
		err = &mt_enomem;
	return err;
}

static struct mt_error *python_node(struct stacks *s, struct capture_writer *w,
				    const struct python_stack *st, uint32_t *ret)
{
	struct mt_error *err = NULL;
	for (size_t i = st->frames.len; i > 0 && !err; i--) {
		const struct python_frame *f = &st->frames.items[i - 1];
		uint32_t code;
		err = code_id(s, w, &f->code, &code);
		if (!err)
			err = intern_python(s->intern, *ret, code, f->entry, f->offset1, ret);
	}
	return err;
}

static struct mt_error *put_thread(struct stacks *s, struct capture_writer *w, struct thread_stack *th)
{
	uint32_t native = 0, python = 0;
	bool cut = false;
	struct mt_error *err = native_node(s, th, &native, &cut);
	if (!err)
		err = python_node(s, w, &th->python, &python);
	if (err || th->why)
		return err;
	uint32_t flags = cut || th->python.cut ? WIRE_STACK_TRUNCATED : 0;
	err = intern_stack(s->intern, native, python, flags, &th->stack);
	if (err)
		return err;
	/* Tables are written with events. */
	struct capture_event ev = { .ticks = 1, .stack = th->stack, .kind = WIRE_REC_MALLOC };
	return capture_writer_event(w, &ev);
}

/* Names of what the process's runtime compiled, as of now. */
static struct mt_error *put_jit(struct stacks *s, struct capture_writer *w)
{
	auto_jit_names struct jit_names *j = NULL;
	struct mt_error *err = jit_names_open(s->look.t, clock_pair_now(), &j);
	jit_names_watch(j, &s->look.images);
	return err ? err : jit_names_put(j, s->intern->homeless.items, s->intern->homeless.len, w);
}

static struct mt_error *make_capture(struct stacks *s, struct capture **ret)
{
	auto_close int fd = -1;
	auto_capture_writer struct capture_writer *w = NULL;
	char path[64];
	struct mt_error *err = capture_writer_create_in_memory(0, &fd, &w);
	if (err)
		return err;
	s->intern = malloc(sizeof(*s->intern));
	if (!s->intern)
		return &mt_enomem;
	intern_init(s->intern, w);
	err = put_modules(s, w);
	if (!err)
		err = put_python(s, w);
	for (size_t i = 0; i < s->look.threads.len && !err; i++)
		err = put_thread(s, w, &s->look.threads.items[i]);
	if (!err)
		err = put_jit(s, w);
	if (!err)
		err = capture_writer_finish(w);
	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return capture_open(path, ret);
}

/* ---- the output ---- */

static int open_module(const struct capture_module *m, void *arg)
{
	struct stacks *s = arg;
	return m->id < s->look.images.list.len ? image_open_file(s->look.t, s->look.images.list.items[m->id]) : -1;
}

static bool is_shown(const struct stacks *s, const struct symbol_frame *f)
{
	return s->args->interpreter || !(f->flags & FRAME_INTERPRETER);
}

static void put_clean(struct mt_buf *out, const char *text)
{
	mt_text_put_clean(out, text, strlen(text), 0);
}

/* "function (file.py:line)", "function (file.c:line)", "function (module)" */
static struct mt_error *print_frame(const struct symbol_frame *f)
{
	auto_buf struct mt_buf line = MT_BUF_INIT;
	const char *where = *f->file ? f->file : f->module;
	put_clean(&line, f->function);
	if (f->kind != FRAME_MARK && *where) {
		mt_buf_put_str(&line, " (");
		put_clean(&line, where);
		if (*f->file && f->line)
			mt_buf_printf(&line, ":%u", f->line);
		mt_buf_put_char(&line, ')');
	}
	if (line.failed)
		return &mt_enomem;
	printf("    %.*s\n", (int)line.len, (const char *)line.data);
	return NULL;
}

static struct mt_error *print_thread(const struct stacks *s, const struct thread_stack *th,
				     const struct symbol_frame *frames, size_t count)
{
	auto_free char *name = mt_text_clean(th->name);
	struct mt_error *err = NULL;
	if (!name)
		return &mt_enomem;
	printf("thread %d \"%s\" (%s)\n", (int)th->tid, name, th->state);
	if (th->why)
		printf("    no stack: %s\n", th->why);
	for (size_t i = count; i > 0 && !err; i--)
		if (is_shown(s, &frames[i - 1]))
			err = print_frame(&frames[i - 1]);
	return err;
}

static void json_frame(struct mt_json *j, const struct symbol_frame *f)
{
	static const char *const kinds[] = { [FRAME_NATIVE] = "native", [FRAME_PYTHON] = "python",
					     [FRAME_MARK] = "mark" };
	mt_json_open(j, NULL, '{');
	mt_json_str(j, "kind", kinds[f->kind]);
	mt_json_str(j, "function", f->function);
	mt_json_str(j, "file", *f->file ? f->file : NULL);
	if (f->line)
		mt_json_u64(j, "line", f->line);
	else
		mt_json_null(j, "line");
	mt_json_str(j, "module", *f->module ? f->module : NULL);
	mt_json_close(j);
}

static void json_thread(struct mt_json *j, const struct stacks *s, const struct thread_stack *th,
			const struct symbol_frame *frames, size_t count)
{
	mt_json_open(j, NULL, '{');
	mt_json_u64(j, "tid", (uint64_t)th->tid);
	mt_json_str(j, "name", th->name);
	mt_json_str(j, "state", th->state);
	mt_json_str(j, "no_stack", th->why);
	mt_json_open(j, "frames", '[');
	for (size_t i = count; i > 0; i--)
		if (is_shown(s, &frames[i - 1]))
			json_frame(j, &frames[i - 1]);
	mt_json_close(j);
	mt_json_close(j);
}

static struct mt_error *print_all(struct stacks *s, struct symbolizer *sym)
{
	struct mt_json j = mt_json_make(stdout, true);
	struct mt_error *err = NULL;
	if (s->args->json) {
		mt_json_open(&j, NULL, '{');
		mt_json_u64(&j, "pid", (uint64_t)tracee_pid(s->look.t));
		mt_json_open(&j, "threads", '[');
	}
	for (size_t i = 0; i < s->look.threads.len && !err; i++) {
		const struct thread_stack *th = &s->look.threads.items[i];
		const struct symbol_frame *frames = NULL;
		size_t count = 0;
		if (!th->why)
			err = symbolizer_stack(sym, th->stack, &frames, &count);
		if (!err && s->args->json)
			json_thread(&j, s, th, frames, count);
		else if (!err)
			err = print_thread(s, th, frames, count);
	}
	if (!err && s->args->json) {
		mt_json_close(&j);
		mt_json_close(&j);
	}
	return err;
}

static void print_notes(const struct stacks *s, const struct symbolizer *sym)
{
	size_t count;
	const char *const *notes = symbolizer_notes(sym, &count);
	const struct python *py = &s->look.python;
	if (py->present && !py->known)
		cmd_note("the Python frames cannot be read, native ones only: %s", py->why_unknown);
	else if (py->present && !py->runtime)
		cmd_note("the Python frames cannot be read, native ones only: no _PyRuntime found");
	if (!s->args->verbose)
		return;
	for (size_t i = 0; i < count; i++)
		cmd_note("%s", notes[i]);
	char stop[MT_TEXT_MAX], asked[MT_TEXT_MAX];
	cmd_note("%zu of %zu threads stopped, one at a time, the longest for %s (%s since asked to)",
		 s->look.stopped, s->look.threads.len, mt_text_duration(stop, s->look.longest_ns),
		 mt_text_duration(asked, s->look.longest_asked_ns));
}

static struct mt_error *show(struct stacks *s)
{
	char root[64];
	snprintf(root, sizeof(root), "/proc/%d/root", (int)proc_living(tracee_pid(s->look.t)));
	struct symbolize_options options = {
		.sysroot = root, .open_module = open_module, .open_arg = s,
		.no_debuginfod = s->args->no_debuginfod, .no_native = s->args->no_native,
	};
	auto_capture struct capture *cap = NULL;
	auto_symbolizer struct symbolizer *sym = NULL;
	struct mt_error *err = make_capture(s, &cap);
	if (!err)
		err = symbolizer_create(cap, &options, &sym);
	if (!err)
		err = symbolizer_resolve(sym, cmd_progress, (void *)"symbols");
	cmd_progress_end();
	if (sym)
		cmd_warn_servers(sym);
	if (!err)
		err = print_all(s, sym);
	if (!err)
		print_notes(s, sym);
	return err;
}

/* ---- the command line ---- */

enum { KEY_NO_NATIVE = 256, KEY_INTERPRETER, KEY_JSON, KEY_NO_DEBUGINFOD };

static const struct argp_option options[] = {
	{ "no-native", KEY_NO_NATIVE, NULL, 0, "Leave native frames out where there are Python ones", 0 },
	{ "interpreter", KEY_INTERPRETER, NULL, 0, "Show the frames of CPython itself, too", 0 },
	{ "json", KEY_JSON, NULL, 0, "Write JSON", 0 },
	{ "no-debuginfod", KEY_NO_DEBUGINFOD, NULL, 0, "Ask no debuginfod server", 0 },
	{ "verbose", 'v', NULL, 0, "Tell how long threads were stopped, and which names are missing", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	switch (key) {
	case KEY_NO_NATIVE: args->no_native = true; return 0;
	case KEY_INTERPRETER: args->interpreter = true; return 0;
	case KEY_JSON: args->json = true; return 0;
	case KEY_NO_DEBUGINFOD: args->no_debuginfod = true; return 0;
	case 'v': args->verbose = true; return 0;
	case ARGP_KEY_ARG:
		if (args->pid)
			argp_error(state, "more than one process");
		args->pid = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which process?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "PID",
	.doc = "The stacks of all threads of a process, leaf first, Python frames where their interpreter"
	       " loop runs. Nothing is put into the process; each thread is stopped once, alone, while"
	       " its stack is copied, mostly for a tenth of a millisecond (--verbose tells).",
};

struct mt_error *cmd_stack(int argc, char **argv, int *exit_code_ret)
{
	(void)exit_code_ret;
	struct args args = { 0 };
	int pid;
	struct mt_error *err = cmd_parse_args(&argp, argc, argv, 0, &args);
	if (!err)
		err = cmd_parse_pid(args.pid, &pid);
	if (err)
		return err;
	mt_auto(stacks_deinit) struct stacks s = { .args = &args };
	err = looked_prepare(&s.look, pid);
	if (!err)
		err = looked_at_all(&s.look);
	if (!err && !s.look.threads.len)
		err = mt_error_create(MT_ERROR_GONE, "process %d is gone", pid);
	return err ? err : show(&s);
}
