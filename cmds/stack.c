/* SPDX-License-Identifier: Apache-2.0 */
/* cmds/stack.c - `memtrace stack PID`: the stacks of all threads, native and Python merged.
 * Knows: the order of the work, the output. Does not know: unwinding, interpreters, symbols.
 * Called by cmds/main.c; calls attach/, inject/python_frames.h, record/intern.h, symbolize/.
 *
 * Each thread is stopped once, alone, for as long as it takes to copy registers, stack and Python
 * frames; all the rest is done while the process runs. What was copied becomes a capture in memory,
 * of stacks without events, so that names, lines and merging are those of every report. */
#include "attach/preflight.h"
#include "attach/snapshot.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "capture/reader.h"
#include "cmds/command.h"
#include "inject/python_frames.h"
#include "record/intern.h"
#include "record/jit_names.h"
#include "symbolize/symbolize.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES_MAX 4096
#define ROUNDS_MAX 8		/* over the list of threads, for those made meanwhile */
#define LOCK_MS 2000

struct args {
	const char *pid;
	bool no_native, interpreter, json, verbose, no_debuginfod;
};

struct thread_stack {
	pid_t tid;
	char name[64];
	const char *state;	/* static */
	const char *why;	/* not stopped; static, NULL: it was */
	struct snapshot native;
	struct python_stack python;
	uint32_t stack;		/* in the capture */
};

struct stacks {
	const struct args *args;
	struct tracee *t;
	struct images images;
	struct proc_maps maps;
	struct backtrace *backtrace;
	struct python python;
	struct python_frames frames;
	struct snapshot_room room;
	MT_ARRAY(struct thread_stack) threads;
	struct mt_map seen;		/* tid */
	/* Of a stop: from seeing the thread stand still to its release, and from asking for it, which
	 * takes in the time that a busy machine needs to let the thread come to its stop. */
	uint64_t longest_ns, longest_asked_ns;
	size_t stopped;
	struct intern *intern;
	struct mt_map codes;		/* hash of a key -> id */
	uint32_t next_code;
};

static void stacks_deinit(struct stacks *s)
{
	for (size_t i = 0; i < s->threads.len; i++) {
		snapshot_deinit(&s->threads.items[i].native);
		python_stack_deinit(&s->threads.items[i].python);
	}
	mt_array_deinit(&s->threads);
	mt_map_deinit(&s->seen);
	mt_map_deinit(&s->codes);
	snapshot_room_deinit(&s->room);
	python_frames_deinit(&s->frames);
	python_deinit(&s->python);
	backtrace_destroy(s->backtrace);
	proc_maps_deinit(&s->maps);
	images_deinit(&s->images);
	if (s->intern)
		intern_deinit(s->intern);
	free(s->intern);
	tracee_close(s->t);
}

/* ---- looking ---- */

static struct mt_error *prepare(struct stacks *s, pid_t pid)
{
	struct mt_error *err = tracee_open_to_stop(pid, &s->t);
	if (!err)
		err = tracee_lock(s->t, LOCK_MS);
	if (!err)
		err = proc_maps_read(pid, &s->maps);
	if (!err)
		err = images_read(s->t, &s->images);
	if (!err)
		err = backtrace_create(s->t, &s->images, &s->backtrace);
	if (!err)
		err = python_probe(s->t, &s->images, false, &s->python);
	if (!err)
		err = python_frames_init(&s->frames, s->t, &s->python);
	if (!err)
		err = python_frames_threads(&s->frames);
	return err ? err : snapshot_room_init(&s->room);
}

static const char *state_text(char state)
{
	switch (state) {
	case 'R': return "running";
	case 'S': return "sleeping";
	case 'D': return "in uninterruptible sleep";
	case 'T': return "stopped";
	case 't': return "traced";
	case 'Z': case 'X': return "exited";
	default: return "unknown";
	}
}

/* Stops it, copies and lets it go. */
static struct mt_error *copy_thread(struct stacks *s, struct thread_stack *th)
{
	struct tracee_thread *thread;
	uint64_t asked = mt_now_ns();
	struct mt_error *err = tracee_stop_thread(s->t, th->tid, &thread);
	if (err)
		return err;
	uint64_t begin = mt_now_ns();
	err = snapshot_copy(s->t, &s->maps, thread, &s->room);
	if (!err && s->python.known)
		err = python_frames_read(&s->frames, s->room.copy.regs.fs_base, &th->python);
	tracee_release_thread(s->t, thread);
	uint64_t end = mt_now_ns();
	if (end - begin > s->longest_ns)
		s->longest_ns = end - begin;
	if (end - asked > s->longest_asked_ns)
		s->longest_asked_ns = end - asked;
	s->stopped++;
	return err ? err : snapshot_keep(&s->room, &th->native);
}

/* *gone_ret: it exited before it could be looked at. */
static struct mt_error *look_at(struct stacks *s, struct thread_stack *th, bool *gone_ret)
{
	struct proc_thread p;
	struct mt_error *err = proc_thread_read(tracee_pid(s->t), th->tid, &p);
	if (!err)
		err = proc_thread_name(tracee_pid(s->t), th->tid, th->name, sizeof(th->name));
	if (!err) {
		th->state = state_text(p.state);
		if (p.kernel_worker)
			th->why = "it works inside the kernel and runs no code of the program";
		else if (p.state == 'Z' || p.state == 'X')
			th->why = "it has exited";
	}
	if (!err && !th->why)
		err = copy_thread(s, th);
	*gone_ret = false;
	if (!err)
		return NULL;
	if (err->code == MT_ERROR_BUSY)
		th->why = "it does not stop: it waits inside the kernel and cannot be interrupted";
	*gone_ret = err->code == MT_ERROR_GONE && tracee_alive(s->t);
	if (err->code != MT_ERROR_BUSY && !*gone_ret)
		return err;
	mt_error_destroy(err);
	return NULL;
}

static struct mt_error *look_at_new(struct stacks *s, pid_t tid, bool *found_ret)
{
	struct thread_stack th = { .tid = tid };
	bool gone;
	if (mt_map_get(&s->seen, (uint64_t)tid))
		return NULL;
	*found_ret = true;
	if (!mt_map_put(&s->seen, (uint64_t)tid, 1))
		return &mt_enomem;
	struct mt_error *err = look_at(s, &th, &gone);
	if (!err && !gone && !mt_array_push(&s->threads, th))
		err = &mt_enomem;
	if (err || gone) {
		snapshot_deinit(&th.native);
		python_stack_deinit(&th.python);
	}
	return err;
}

static struct mt_error *look_at_all(struct stacks *s)
{
	bool found = true;
	for (int round = 0; found && round < ROUNDS_MAX; round++) {
		struct proc_tids tids;
		found = false;
		struct mt_error *err = proc_tids_read(tracee_pid(s->t), &tids);
		if (err)
			return err;
		for (size_t i = 0; !err && i < tids.tids.len; i++)
			err = look_at_new(s, tids.tids.items[i], &found);
		proc_tids_deinit(&tids);
		/* Threads made since may be Python's. */
		if (!err && found)
			err = python_frames_threads(&s->frames);
		if (err)
			return err;
	}
	return NULL;
}

/* ---- the capture in memory ---- */

static struct mt_error *put_modules(struct stacks *s, struct capture_writer *w)
{
	struct mt_error *err = intern_take_images(s->intern, &s->images);
	if (err)
		return err;
	for (size_t i = 0; i < s->images.list.len; i++) {
		const struct image *img = s->images.list.items[i];
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
	const struct python *py = &s->python;
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
	size_t n = backtrace_walk_copy(s->backtrace, &th->native.copy, frames, FRAMES_MAX, &end);
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
	if (python_frames_code(&s->frames, key, &code)) {
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
	struct mt_error *err = jit_names_open(s->t, clock_pair_now(), &j);
	jit_names_watch(j, &s->images);
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
	for (size_t i = 0; i < s->threads.len && !err; i++)
		err = put_thread(s, w, &s->threads.items[i]);
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
	return m->id < s->images.list.len ? image_open_file(s->t, s->images.list.items[m->id]) : -1;
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
		mt_json_u64(&j, "pid", (uint64_t)tracee_pid(s->t));
		mt_json_open(&j, "threads", '[');
	}
	for (size_t i = 0; i < s->threads.len && !err; i++) {
		const struct thread_stack *th = &s->threads.items[i];
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
	const struct python *py = &s->python;
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
		 s->stopped, s->threads.len, mt_text_duration(stop, s->longest_ns),
		 mt_text_duration(asked, s->longest_asked_ns));
}

static struct mt_error *show(struct stacks *s)
{
	char root[64];
	snprintf(root, sizeof(root), "/proc/%d/root", (int)proc_living(tracee_pid(s->t)));
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
	err = prepare(&s, pid);
	if (!err)
		err = look_at_all(&s);
	if (!err && !s.threads.len)
		err = mt_error_create(MT_ERROR_GONE, "process %d is gone", pid);
	return err ? err : show(&s);
}
